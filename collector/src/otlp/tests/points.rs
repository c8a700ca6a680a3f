//! Kinds of points: histograms with custom buckets, exemplars, markers of ends, kinds, and deltas.

use std::time::Duration;

use model::labels::{DELTA, TEMPORALITY};
use model::sample::{MetricKind, ResetHint, is_stale};
use proto::generated::opentelemetry::proto::metrics::v1::exponential_histogram_data_point::Buckets;
use proto::generated::opentelemetry::proto::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, Sum, exemplar, metric, number_data_point,
};

use super::mapped::{Mapped, Shelf, map, map_with};
use super::sinks::*;
use crate::{DeltaTemporality, Limits, Translation};

fn metric_of(name: &str, data: metric::Data) -> Metric {
    Metric { name: name.to_owned(), data: Some(data), ..Default::default() }
}

fn histogram_point() -> HistogramDataPoint {
    HistogramDataPoint {
        time_unix_nano: NOW_NS,
        start_time_unix_nano: NOW_NS - 10_000_000_000,
        count: 6,
        sum: Some(9.5),
        min: Some(0.1),
        max: Some(99.0),
        bucket_counts: vec![1, 0, 5],
        explicit_bounds: vec![0.005, 10.0],
        ..Default::default()
    }
}

fn histogram(data_points: Vec<HistogramDataPoint>, aggregation_temporality: i32) -> Metric {
    metric_of("h", metric::Data::Histogram(Histogram { data_points, aggregation_temporality }))
}

fn exponential(point: ExponentialHistogramDataPoint, aggregation_temporality: i32) -> Metric {
    let data = ExponentialHistogram { data_points: vec![point], aggregation_temporality };
    metric_of("e", metric::Data::ExponentialHistogram(data))
}

fn nhcb() -> Translation {
    Translation { convert_histograms_to_nhcb: true, ..Default::default() }
}

#[test]
fn explicit_bounds_become_custom_buckets_where_that_is_wanted() {
    let mapped = map_with(nhcb(), &metrics(vec![histogram(vec![histogram_point()], 2)]));
    let point = &mapped.batch.histograms[0];
    assert_eq!((point.at, point.start), (NOW, NOW.plus_ms(-10_000)));
    let h = &point.histogram;
    assert_eq!((h.schema, h.count, h.sum, h.reset_hint), (-53, 6.0, 9.5, ResetHint::Unknown));
    assert_eq!(
        (h.custom_bounds.as_slice(), h.positive.as_slice()),
        (&[0.005, 10.0][..], &[(0, 1.0), (2, 5.0)][..])
    );
    assert!(mapped.samples().is_empty(), "no classic series beside it");
    // Without bounds all is in one bucket.
    let bare = HistogramDataPoint {
        bucket_counts: Vec::new(),
        explicit_bounds: Vec::new(),
        ..histogram_point()
    };
    let mapped = map_with(nhcb(), &metrics(vec![histogram(vec![bare], 2)]));
    assert_eq!(mapped.batch.histograms[0].histogram.positive, [(0, 6.0)]);
    for bounds in [vec![10.0, 0.005], vec![1.0, 1.0], vec![1.0, f64::INFINITY]] {
        let bad = HistogramDataPoint { explicit_bounds: bounds, ..histogram_point() };
        let mapped = map_with(nhcb(), &metrics(vec![histogram(vec![bad], 2)]));
        assert_eq!(mapped.outcome.refused[0].reason, "bad_histogram");
    }
}

fn exemplar(value: f64, attribute: &str) -> Exemplar {
    Exemplar {
        time_unix_nano: NOW_NS,
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        filtered_attributes: vec![text("user.id", attribute), text("trace_id", "mine")],
        value: Some(exemplar::Value::AsDouble(value)),
    }
}

/// The labels of each exemplar's series, `le` and the exemplar's own.
fn exemplars(mapped: &Mapped) -> Vec<(String, String)> {
    let series = mapped.memory.series.lock();
    let exemplars = mapped.batch.exemplars.iter().map(|(id, exemplar)| {
        let le = series[id.0 as usize].get_or_empty("le").to_owned();
        (le, exemplar.labels.to_string())
    });
    exemplars.collect()
}

#[test]
fn exemplars_go_to_their_bucket_and_lose_attributes_that_are_too_long() {
    let mut point = histogram_point();
    point.exemplars = [10.0, 0.001, 10.1].map(|value| exemplar(value, "7")).to_vec();
    let mapped = map(vec![histogram(vec![point], 2)]);
    let ids = format!("span_id=\"{}\", trace_id=\"{}\"", "cd".repeat(8), "ab".repeat(16));
    let labels = format!("{{{ids}, user_id=\"7\"}}");
    let expected = ["10", "0.005", "+Inf"].map(|le| (le.to_owned(), labels.clone()));
    assert_eq!(exemplars(&mapped), expected);
    // The ids count too: 8 + 32 and 7 + 16 characters of 128, and `trace_id` of 12 more.
    for (length, is_kept) in [(46, true), (47, false)] {
        let mut point = histogram_point();
        point.exemplars = vec![exemplar(1.0, &"x".repeat(length))];
        let (_, labels) = exemplars(&map(vec![histogram(vec![point], 2)])).remove(0);
        assert_eq!(labels.contains("user_id"), is_kept, "{length}: {labels}");
        assert!(labels.contains(&ids));
    }
}

#[test]
fn the_end_of_a_series_is_the_end_of_every_series_of_the_point() {
    let ended = HistogramDataPoint { flags: 1, ..histogram_point() };
    let mapped = map(vec![histogram(vec![ended.clone()], 2)]);
    let points = mapped.batch.points.iter().filter(|point| point.value != 1.0);
    assert_eq!(points.clone().count(), 5);
    assert!(points.clone().all(|point| is_stale(point.value)));
    let mapped = map_with(nhcb(), &metrics(vec![histogram(vec![ended], 2)]));
    let custom = &mapped.batch.histograms[0].histogram;
    assert!(is_stale(custom.sum) && custom.positive.is_empty());
    let ended =
        ExponentialHistogramDataPoint { time_unix_nano: NOW_NS, flags: 1, ..Default::default() };
    assert!(is_stale(map(vec![exponential(ended, 2)]).batch.histograms[0].histogram.sum));
}

#[test]
fn exponential_histograms_keep_their_threshold_and_have_a_least_scale() {
    let point = |scale, zero_threshold| ExponentialHistogramDataPoint {
        time_unix_nano: NOW_NS,
        scale,
        zero_threshold,
        count: 2,
        positive: Some(Buckets { offset: 0, bucket_counts: vec![2] }),
        ..Default::default()
    };
    let native = |point| map(vec![exponential(point, 2)]).batch.histograms[0].histogram.clone();
    assert_eq!(native(point(0, 0.25)).zero_threshold, 0.25);
    assert_eq!(native(point(0, 0.0)).zero_threshold, 1e-128);
    assert_eq!((native(point(-4, 0.0)).schema, native(point(20, 0.0)).schema), (-4, 8));
    let mapped = map(vec![exponential(point(-5, 0.0), 2)]);
    assert_eq!(mapped.outcome.refused[0].reason, "bad_histogram");
    let odd = ExponentialHistogramDataPoint { count: 0, sum: Some(1.0), ..point(0, 0.0) };
    let mapped = map(vec![exponential(ExponentialHistogramDataPoint { positive: None, ..odd }, 2)]);
    assert_eq!(mapped.warnings, [("histogram_zero_count_non_zero_sum", 1)]);
    assert_eq!(mapped.outcome.accepted, 1);
}

#[test]
fn kinds_are_told_and_gauges_may_have_been_something_else() {
    let kind = |of: &str, metadata: Vec<_>| {
        let mut metric = gauge("g", vec![point(1)]);
        metric.metadata = metadata;
        let mapped = map(vec![metric]);
        let told = mapped.memory.metadata.lock();
        let (_, metadata) = told.iter().find(|(name, _)| name == "g").unwrap();
        assert_eq!(metadata.kind.as_str(), of);
    };
    kind("gauge", vec![]);
    for of in ["unknown", "info", "stateset", "gauge"] {
        kind(of, vec![text("other", "x"), text("prometheus.type", of)]);
    }
    let falling = sum_metric(vec![number(5, 0, 10)], 2, false);
    let mapped = map(vec![falling]);
    assert_eq!(mapped.memory.metadata.lock()[0].1.kind, MetricKind::Gauge);
}

#[test]
fn metrics_of_no_points_or_no_known_kind_are_warned_of() {
    let empty = gauge("g", Vec::new());
    let nothing = Metric { name: "n".to_owned(), ..Default::default() };
    let mapped = map(vec![empty.clone(), nothing, empty]);
    assert_eq!(mapped.warnings, [("empty_data_points", 2), ("unknown_data", 1)]);
    assert_eq!(mapped.outcome, Default::default());
}

fn number(value: i64, start_seconds: i64, seconds: i64) -> NumberDataPoint {
    let at = |seconds: i64| NOW_NS.wrapping_add_signed((seconds - 100) * 1_000_000_000);
    NumberDataPoint {
        start_time_unix_nano: at(start_seconds),
        time_unix_nano: at(seconds),
        value: Some(number_data_point::Value::AsInt(value)),
        ..Default::default()
    }
}

fn sum_metric(
    data_points: Vec<NumberDataPoint>,
    aggregation_temporality: i32,
    is_monotonic: bool,
) -> Metric {
    metric_of("c", metric::Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic }))
}

#[test]
fn deltas_are_kept_as_they_come_with_a_label_and_their_start_times() {
    let points = vec![number(4, 0, 10), number(3, 10, 20)];
    let mapped = map(vec![sum_metric(points, 1, true)]);
    assert_eq!(
        mapped.samples(),
        [r#"c_total{__temporality__="delta"} 4"#, r#"c_total{__temporality__="delta"} 3"#]
    );
    let starts: Vec<i64> =
        mapped.batch.points[..2].iter().map(|p| (p.at.0 - p.start.0) / 1000).collect();
    assert_eq!(starts, [10, 10]);
    assert_eq!(mapped.memory.metadata.lock()[0].1.kind, MetricKind::Unknown);
    let both = vec![
        sum_metric(vec![number(1, 0, 10)], 1, true),
        sum_metric(vec![number(1, 0, 10)], 2, true),
    ];
    assert_eq!(map(both).samples().len(), 2, "the same attributes, another series");
}

#[test]
fn histograms_of_deltas_are_kept_too() {
    let mapped = map(vec![histogram(vec![histogram_point()], 1)]);
    let delta = |name: &str, le: &str| match le {
        "" => format!("{name}{{{TEMPORALITY}=\"{DELTA}\"}}"),
        le => format!("{name}{{{TEMPORALITY}=\"{DELTA}\", le=\"{le}\"}}"),
    };
    let expected = [
        format!("{} 1", delta("h_bucket", "0.005")),
        format!("{} 1", delta("h_bucket", "10")),
        format!("{} 6", delta("h_bucket", "+Inf")),
        format!("{} 6", delta("h_count", "")),
        format!("{} 9.5", delta("h_sum", "")),
    ];
    assert_eq!(mapped.samples(), expected);
    let native = ExponentialHistogramDataPoint {
        time_unix_nano: NOW_NS,
        count: 2,
        zero_count: 2,
        ..Default::default()
    };
    let mapped = map(vec![exponential(native, 1)]);
    assert_eq!(mapped.batch.histograms[0].histogram.reset_hint, ResetHint::Gauge);
    let id = mapped.batch.histograms[0].series.0 as usize;
    assert_eq!(mapped.memory.series.lock()[id].get(TEMPORALITY), Some(DELTA));
}

fn cumulative() -> Translation {
    Translation {
        delta_temporality: DeltaTemporality::Cumulative,
        delta_max_stale: Duration::from_secs(60),
        ..Default::default()
    }
}

/// What a shelf makes of a sum of deltas: value and seconds since the start of each sample.
fn send(shelf: &Shelf, points: Vec<NumberDataPoint>) -> (Vec<(f64, i64)>, Vec<&'static str>) {
    let (batch, outcome, _) = shelf.map(&metrics(vec![sum_metric(points, 1, true)]));
    let known = shelf.memory.series.lock();
    let samples = batch
        .points
        .iter()
        .filter(|point| known[point.series.0 as usize].metric_name() == "c_total");
    let samples = samples.map(|p| (p.value, (p.at.0 - p.start.0) / 1000)).collect();
    (samples, outcome.refused.iter().map(|refusal| refusal.reason).collect())
}

#[test]
fn deltas_are_added_up_where_that_is_wanted() {
    let mut shelf = Shelf::new(cumulative());
    let first = send(&shelf, vec![number(4, 0, 10), number(3, 10, 20)]);
    assert_eq!(first, (vec![(4.0, 10), (7.0, 20)], vec![]));
    assert_eq!(send(&shelf, vec![number(1, 20, 30)]), (vec![(8.0, 30)], vec![]));
    assert_eq!(send(&shelf, vec![number(1, 20, 30)]), (vec![(8.0, 30)], vec![]), "sent again");
    assert_eq!(send(&shelf, vec![number(9, 5, 15)]), (vec![], vec!["out_of_order_delta"]));
    let labels = shelf.memory.series.lock()[0].clone();
    assert_eq!(labels.get(TEMPORALITY), None);
    assert_eq!(shelf.memory.metadata.lock()[0].1.kind, MetricKind::Counter);
    shelf.now = NOW.plus_ms(61_000);
    assert_eq!(send(&shelf, vec![number(2, 80, 90)]), (vec![(2.0, 10)], vec![]), "forgotten");
}

#[test]
fn histograms_of_deltas_are_added_up_as_well() {
    let shelf = Shelf::new(cumulative());
    let later = HistogramDataPoint {
        start_time_unix_nano: NOW_NS,
        time_unix_nano: NOW_NS + 10_000_000_000,
        ..histogram_point()
    };
    let request = metrics(vec![histogram(vec![histogram_point(), later], 1)]);
    let (batch, outcome, _) = shelf.map(&request);
    assert_eq!(outcome.accepted, 2);
    let values: Vec<f64> = batch.points[5..10].iter().map(|point| point.value).collect();
    assert_eq!(values, [2.0, 2.0, 12.0, 12.0, 19.0]);
    assert!(batch.points[5..10].iter().all(|point| point.start == NOW.plus_ms(-10_000)));
    let native = |at| ExponentialHistogramDataPoint {
        time_unix_nano: at,
        count: 2,
        sum: Some(3.0),
        positive: Some(Buckets { offset: 0, bucket_counts: vec![2] }),
        ..Default::default()
    };
    shelf.map(&metrics(vec![exponential(native(NOW_NS), 1)]));
    let (batch, ..) = shelf.map(&metrics(vec![exponential(native(NOW_NS + 5_000_000), 1)]));
    let sum = &batch.histograms[0].histogram;
    assert_eq!((sum.count, sum.sum, sum.reset_hint), (4.0, 6.0, ResetHint::Unknown));
    assert_eq!(sum.positive, [(1, 4.0)]);
}

#[tokio::test]
async fn points_whose_series_retention_dropped_are_looked_up_anew() {
    let bench = Bench::new(Limits::default());
    let request = metrics(vec![gauge("g", vec![point(1)])]);
    for expected in [1, 3] {
        let body = prost::Message::encode_to_vec(&request);
        let exported = bench.export_metrics(body).await;
        assert_eq!((exported.accepted, exported.refused_count()), (1, 0));
        // The second time all series are gone between the look-up and the append.
        *bench.memory.forgets.lock() = expected == 1;
        assert_eq!(bench.memory.batches.lock().len(), expected.min(2));
    }
    let batches = bench.memory.batches.lock();
    let series = bench.memory.series.lock();
    let last = batches.last().unwrap().points[0];
    assert_eq!(series[last.series.0 as usize].metric_name(), "g");
}
