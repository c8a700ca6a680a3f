//! Native histograms: what the wire says and what is stored.

use axum::http::StatusCode;
use model::sample::{NativeHistogram, ResetHint, STALE_NAN_BITS, is_stale};
use proto::remote_write::messages::{BucketSpan, Count, Histogram, ZeroCount};

use super::requests::*;
use crate::Limits;
use crate::otlp::tests::sinks::{Bench, NOW};

const NAME: [(&str, &str); 1] = [("__name__", "latency_seconds")];

async fn store(histogram: Histogram) -> Result<NativeHistogram, String> {
    let bench = Bench::new(Limits::default());
    let answer = send_v2(&bench, &Symbols::new().histogram(&NAME, histogram.clone()).0).await;
    let mut series = series_v1(&NAME, 0.0);
    series.samples.clear();
    series.histograms.push(histogram);
    let answer_v1 = send_v1(&bench, &request_v1(vec![series])).await;
    assert_eq!(answer.status, answer_v1.status, "both versions say the same");
    if answer.status != StatusCode::NO_CONTENT {
        assert_eq!((answer.status, answer.written()[1]), (StatusCode::BAD_REQUEST, "0"));
        assert!(answer.body.contains("(bad_histogram)"), "{}", answer.body);
        return Err(answer.body);
    }
    assert_eq!(answer.written(), ["0", "1", "0"]);
    let batches = bench.memory.batches.lock();
    assert_eq!(batches[0].histograms[0].at, NOW);
    Ok(batches[0].histograms[0].histogram.clone())
}

#[tokio::test]
async fn deltas_and_spans_become_absolute_counts_at_their_indexes() {
    let stored = store(histogram()).await.unwrap();
    let expected = NativeHistogram {
        schema: 3,
        zero_threshold: 1e-128,
        zero_count: 1.0,
        count: 6.0,
        sum: 4.5,
        positive: vec![(-2, 1.0), (3, 2.0)],
        negative: vec![(1, 2.0)],
        ..Default::default()
    };
    assert_eq!(stored, expected, "the bucket at index 2 is empty and left out");
}

#[tokio::test]
async fn float_histograms_have_counts_as_they_are() {
    let float = Histogram {
        count: Some(Count::CountFloat(4.0)),
        zero_count: Some(ZeroCount::ZeroCountFloat(0.5)),
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
        positive_counts: vec![1.5, 2.0],
        timestamp: NOW.0,
        reset_hint: 3,
        ..Default::default()
    };
    let stored = store(float).await.unwrap();
    assert_eq!(stored.positive, [(0, 1.5), (1, 2.0)]);
    assert_eq!((stored.count, stored.zero_count, stored.reset_hint), (4.0, 0.5, ResetHint::Gauge));
}

#[tokio::test]
async fn hints_of_resets_are_kept_but_not_that_there_was_none() {
    use ResetHint::{Gauge, Reset, Unknown};
    for (hint, expected) in [(0, Unknown), (1, Reset), (2, Unknown), (3, Gauge), (9, Unknown)] {
        let stored = store(Histogram { reset_hint: hint, ..histogram() }).await.unwrap();
        assert_eq!(stored.reset_hint, expected);
    }
}

fn custom() -> Histogram {
    Histogram {
        count: Some(Count::CountInt(6)),
        sum: 3.0,
        schema: -53,
        positive_spans: vec![
            BucketSpan { offset: 0, length: 1 },
            BucketSpan { offset: 1, length: 1 },
        ],
        positive_deltas: vec![2, 2],
        custom_values: vec![0.5, 2.5],
        timestamp: NOW.0,
        ..Default::default()
    }
}

#[tokio::test]
async fn custom_bounds_are_kept_and_the_last_bucket_is_over_all_of_them() {
    let stored = store(custom()).await.unwrap();
    assert_eq!((stored.schema, stored.custom_bounds.as_slice()), (-53, &[0.5, 2.5][..]));
    assert_eq!(stored.positive, [(0, 2.0), (2, 4.0)]);
}

#[tokio::test]
async fn histograms_without_buckets_of_one_sign_or_of_any_are_kept() {
    let only_zero = Histogram {
        count: Some(Count::CountInt(3)),
        zero_count: Some(ZeroCount::ZeroCountInt(3)),
        timestamp: NOW.0,
        ..Default::default()
    };
    assert_eq!(store(only_zero.clone()).await.unwrap().zero_count, 3.0);
    let empty = Histogram { timestamp: NOW.0, ..Default::default() };
    assert_eq!(store(empty).await.unwrap(), NativeHistogram::default());
    let negative = Histogram {
        count: Some(Count::CountInt(5)),
        negative_spans: vec![BucketSpan { offset: 2, length: 1 }],
        negative_deltas: vec![2],
        ..only_zero
    };
    assert_eq!(store(negative).await.unwrap().negative, [(2, 2.0)]);
}

#[tokio::test]
async fn finer_schemas_are_merged_down() {
    let fine = Histogram {
        schema: 10,
        positive_spans: vec![BucketSpan { offset: -3, length: 9 }],
        positive_deltas: vec![1, 0, 0, 0, 0, 0, 0, 0, 0],
        negative_spans: Vec::new(),
        negative_deltas: Vec::new(),
        zero_count: None,
        count: Some(Count::CountInt(9)),
        ..histogram()
    };
    let stored = store(fine).await.unwrap();
    // Schema 10 has four buckets where schema 8 has one: -3 to 0, 1 to 4, 5.
    assert_eq!(
        (stored.schema, stored.positive.as_slice()),
        (8, &[(0, 4.0), (1, 4.0), (2, 1.0)][..])
    );
}

#[tokio::test]
async fn the_end_of_a_series_needs_no_other_field() {
    let sum = f64::from_bits(STALE_NAN_BITS);
    let stale = Histogram { sum, count: Some(Count::CountInt(7)), ..histogram() };
    assert!(is_stale(store(stale).await.unwrap().sum));
}

#[tokio::test]
async fn start_times_of_histograms_are_kept() {
    let bench = Bench::new(Limits::default());
    let started = Histogram { start_timestamp: NOW.0 - 60_000, ..histogram() };
    send_v2(&bench, &Symbols::new().histogram(&NAME, started).0).await;
    assert_eq!(bench.memory.batches.lock()[0].histograms[0].start, NOW.plus_ms(-60_000));
}

#[tokio::test]
async fn histograms_that_contradict_themselves_are_refused() {
    let check = async |histogram: Histogram, what: &str| {
        let said = store(histogram).await.unwrap_err();
        assert!(said.contains(what), "{said}");
    };
    let good = histogram;
    check(Histogram { count: Some(Count::CountInt(7)), ..good() }, "the count is 7").await;
    check(Histogram { schema: 53, ..good() }, "schema 53").await;
    check(Histogram { schema: -5, ..good() }, "schema -5").await;
    check(Histogram { positive_deltas: vec![1], ..good() }, "spans are of").await;
    check(Histogram { positive_deltas: vec![1, -1, 2, 0], ..good() }, "there are 4").await;
    check(Histogram { positive_deltas: vec![1, -3, 5], ..good() }, "negative").await;
    check(Histogram { custom_values: vec![1.0], ..good() }, "need schema -53").await;
    let huge = vec![BucketSpan { offset: 0, length: u32::MAX }];
    check(Histogram { positive_spans: huge, ..good() }, "spans are of more").await;
    let back = vec![BucketSpan { offset: 5, length: 1 }, BucketSpan { offset: -1, length: 2 }];
    check(Histogram { positive_spans: back, ..good() }, "negative offset -1").await;
    let far = vec![BucketSpan { offset: i32::MAX, length: 3 }];
    check(Histogram { positive_spans: far, ..good() }, "out of range").await;
    let zero_count = Some(ZeroCount::ZeroCountInt(0));
    check(Histogram { custom_values: vec![2.5, 0.5], ..custom() }, "must grow").await;
    check(Histogram { custom_values: vec![0.5], ..custom() }, "do not fit").await;
    check(Histogram { custom_values: vec![0.5, f64::NAN], ..custom() }, "NaN").await;
    check(Histogram { custom_values: vec![0.5, f64::INFINITY], ..custom() }, "infinite").await;
    check(Histogram { zero_threshold: 1.0, zero_count, ..custom() }, "neither a zero").await;
}
