//! What is stored of what is sent: samples, labels, exemplars, metadata, and partial writes.

use axum::http::StatusCode;
use model::sample::{MetricKind, STALE_NAN_BITS};
use proto::remote_write::messages::{Sample, v1};

use super::requests::*;
use crate::Limits;
use crate::otlp::tests::sinks::{Bench, NOW};

const UP: [(&str, &str); 1] = [("__name__", "up")];

#[tokio::test]
async fn every_float_arrives_bit_by_bit() {
    let ordinary_nan = 0x7ff8_0000_0000_0001;
    let one = 1.0_f64.to_bits();
    let infinite = [f64::INFINITY, f64::NEG_INFINITY].map(f64::to_bits);
    for bits in [STALE_NAN_BITS, ordinary_nan, one, infinite[0], infinite[1]] {
        let bench = Bench::new(Limits::default());
        let value = f64::from_bits(bits);
        let answer = send_v2(&bench, &Symbols::new().sample(&UP, value).0).await;
        assert_eq!((answer.status, answer.written()), (StatusCode::NO_CONTENT, ["1", "0", "0"]));
        let answer = send_v1(&bench, &request_v1(vec![series_v1(&UP, value)])).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        for batch in bench.memory.batches.lock().iter() {
            assert_eq!(batch.points[0].value.to_bits(), bits);
            assert_eq!(batch.points[0].at, NOW);
        }
    }
}

/// One series of these labels in both versions: kept as `expected`, or refused for it.
async fn check(labels: &[(&str, &str)], expected: Result<&str, &str>) {
    let bench = Bench::new(Limits::default());
    let answers = [
        send_v1(&bench, &request_v1(vec![series_v1(labels, 1.0)])).await,
        send_v2(&bench, &Symbols::new().sample(labels, 1.0).0).await,
    ];
    for answer in answers {
        match expected {
            Ok(_) => assert_eq!(answer.status, StatusCode::NO_CONTENT, "{labels:?}"),
            Err(reason) => {
                assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{labels:?}");
                assert!(answer.body.contains(reason), "{}", answer.body);
                assert_eq!(answer.written()[0], "0");
            }
        }
    }
    match expected {
        Ok(series) => {
            assert_eq!(stored(&bench), vec![format!("{series} 1"); 2]);
            assert_eq!(bench.memory.series.lock().len(), 1, "both versions are one series");
        }
        Err(_) => assert!(stored(&bench).is_empty()),
    }
}

#[tokio::test]
async fn labels_of_any_text_are_kept_and_bad_ones_refused() {
    check(&[("__name__", "up"), ("job", "a")], Ok(r#"up{job="a"}"#)).await;
    check(&[("__name__", "up"), ("a", "x\ny")], Ok("up{a=\"x\\ny\"}")).await;
    check(&[("__name__", "cpu.usage"), ("a.b", "1")], Ok(r#"{__name__="cpu.usage", "a.b"="1"}"#))
        .await;
    check(&[("__name__", "cpu usage"), ("a b", "1")], Ok(r#"{__name__="cpu usage", "a b"="1"}"#))
        .await;
    check(&[("job", "a"), ("__name__", "up")], Ok(r#"up{job="a"}"#)).await;
    check(&[("__name__", "up"), ("gone", "")], Ok("up")).await;
    check(&[], Err("no_metric_name")).await;
    check(&[("job", "a")], Err("no_metric_name")).await;
    check(&[("__name__", ""), ("job", "a")], Err("no_metric_name")).await;
    check(&[("__name__", "up"), ("", "a")], Err("bad_labels")).await;
    check(&[("__name__", "up"), ("a", "1"), ("a", "2")], Err("duplicate_labels")).await;
    check(&[("__name__", "up"), ("__name__", "up")], Err("duplicate_labels")).await;
}

#[tokio::test]
async fn series_and_exemplars_of_too_many_labels_are_refused_alone() {
    let limits = Limits { attributes_max: 3, ..Default::default() };
    let many = [("__name__", "up"), ("a", "1"), ("b", "1"), ("c", "1")];
    let request = Symbols::new().sample(&many, 1.0).sample(&UP, 2.0).exemplar(&many, 1.0);
    let bench = Bench::new(limits);
    let answer = send_v2(&bench, &request.0).await;
    assert_eq!((answer.status, answer.written()), (StatusCode::BAD_REQUEST, ["1", "0", "0"]));
    assert!(answer.body.contains("1 refused (too_many_labels)"), "{}", answer.body);
    assert!(answer.body.contains("1 refused (bad_exemplar)"), "{}", answer.body);
    let request = request_v1(vec![series_v1(&many, 1.0), series_v1(&UP, 2.0)]);
    let answer = send_v1(&bench, &request).await;
    assert_eq!((answer.status, answer.written()[0]), (StatusCode::BAD_REQUEST, "1"));
}

#[tokio::test]
async fn a_request_of_many_series_and_samples_is_kept_whole() {
    let mut request = Symbols::new();
    for i in 0..1000 {
        let value = i.to_string();
        let series = request.series(&[("__name__", "many"), ("i", &value)]);
        for step in 0..10 {
            let timestamp = NOW.0 - 1000 * (10 - step);
            series.samples.push(Sample { value: step as f64, timestamp, start_timestamp: 0 });
        }
    }
    let bench = Bench::new(Limits::default());
    let answer = send_v2(&bench, &request.0).await;
    assert_eq!((answer.status, answer.written()), (StatusCode::NO_CONTENT, ["10000", "0", "0"]));
}

#[tokio::test]
async fn one_bad_series_does_not_cost_the_others() {
    let request = Symbols::new()
        .sample(&[("job", "nameless")], 1.0)
        .sample(&[("__name__", "a")], 2.0)
        .sample(&[("__name__", "b")], 3.0);
    let bench = Bench::new(Limits::default());
    let answer = send_v2(&bench, &request.0).await;
    assert_eq!((answer.status, answer.written()), (StatusCode::BAD_REQUEST, ["2", "0", "0"]));
    assert!(answer.body.starts_with("2 samples and histograms and 0 exemplars were kept; 1"));
    assert_eq!(stored(&bench), ["a 2", "b 3"]);
    let refused =
        r#"signalbox_remote_write_refused_items_total{version="2.0",reason="no_metric_name"}"#;
    assert_eq!(bench.counter(refused), 1);
    let request = request_v1(vec![series_v1(&[("job", "x")], 1.0), series_v1(&UP, 2.0)]);
    let answer = send_v1(&bench, &request).await;
    assert_eq!((answer.status, answer.written()[0]), (StatusCode::BAD_REQUEST, "1"));
}

#[tokio::test]
async fn samples_at_refused_times_are_400_and_the_others_kept() {
    let mut request = Symbols::new().sample(&UP, 1.0);
    request.0.timeseries[0].samples.insert(0, Sample { timestamp: -5, ..sample(0.0) });
    let bench = Bench::new(Limits::default());
    let answer = send_v2(&bench, &request.0).await;
    assert_eq!((answer.status, answer.written()[0]), (StatusCode::BAD_REQUEST, "1"));
    assert!(answer.body.contains("too_old"), "{}", answer.body);
    assert_eq!(stored(&bench), ["up 1"]);
}

#[tokio::test]
async fn start_times_are_kept_for_each_sample() {
    let mut request = Symbols::new().sample(&[("__name__", "c_total")], 1.0).sample(&UP, 2.0);
    request.0.timeseries[0].samples[0].start_timestamp = NOW.0 - 3_600_000;
    let bench = Bench::new(Limits::default());
    assert_eq!(send_v2(&bench, &request.0).await.status, StatusCode::NO_CONTENT);
    let starts: Vec<i64> =
        bench.memory.batches.lock()[0].points.iter().map(|point| point.start.0).collect();
    assert_eq!(starts, [NOW.0 - 3_600_000, 0]);
}

#[tokio::test]
async fn symbols_must_start_with_an_empty_one_and_references_be_in_range() {
    let bench = Bench::new(Limits::default());
    let mut request = Symbols::new().sample(&UP, 1.0).0;
    request.symbols[0] = "x".to_owned();
    let answer = send_v2(&bench, &request).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.body.contains("must start with an empty one"), "{}", answer.body);
    for refs in [vec![1, 9], vec![9, 1], vec![1, 2, 1], vec![u32::MAX, u32::MAX]] {
        let mut request = Symbols::new().sample(&UP, 1.0).sample(&[("__name__", "ok")], 1.0).0;
        request.timeseries[0].labels_refs = refs;
        let answer = send_v2(&bench, &request).await;
        assert_eq!((answer.status, answer.written()[0]), (StatusCode::BAD_REQUEST, "1"));
        assert!(answer.body.contains("bad_symbol_reference"), "{}", answer.body);
    }
    let mut request = Symbols::new().sample(&UP, 1.0).metadata(1, "help", "unit").0;
    request.timeseries[0].metadata.as_mut().unwrap().help_ref = 99;
    let answer = send_v2(&bench, &request).await;
    assert!(answer.body.contains("metadata refers to symbol 99"), "{}", answer.body);
}

#[tokio::test]
async fn a_series_of_samples_and_histograms_is_refused() {
    let mut request = Symbols::new().sample(&UP, 1.0);
    request.0.timeseries[0].histograms.push(histogram());
    let bench = Bench::new(Limits::default());
    let answer = send_v2(&bench, &request.0).await;
    assert_eq!((answer.status, answer.written()), (StatusCode::BAD_REQUEST, ["0", "0", "0"]));
    assert!(answer.body.contains("2 refused (samples_and_histograms)"), "{}", answer.body);
}

#[tokio::test]
async fn exemplars_of_any_labels_and_values_are_kept_with_their_series() {
    let long = "a".repeat(90);
    for labels in [
        &[("trace_id", "abc")][..],
        &[("trace_id", "abc"), ("span_id", "def")],
        &[("request_id", "r-1")],
        &[("b", "2"), ("a", "1"), ("c", "3")],
        &[],
        &[("path", "/a?b=\"c\"&d=\\n")],
        &[("who", "\u{65e5}\u{672c}")],
        &[("a", &long)],
    ] {
        for value in [42.0, f64::NAN, f64::INFINITY, 0.0] {
            let request = Symbols::new().sample(&UP, 1.0).exemplar(labels, value);
            let bench = Bench::new(Limits::default());
            let answer = send_v2(&bench, &request.0).await;
            assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
            assert_eq!(answer.written(), ["1", "0", "1"]);
            let batch = bench.memory.batches.lock()[0].clone();
            let (series, exemplar) = &batch.exemplars[0];
            assert_eq!((*series, exemplar.at), (batch.points[0].series, NOW));
            assert_eq!(exemplar.value.to_bits(), value.to_bits());
            assert_eq!(exemplar.labels.len(), labels.len());
        }
    }
}

#[tokio::test]
async fn exemplars_alone_are_kept_as_real_senders_write_them() {
    let mut request = Symbols::new();
    request.series(&UP);
    let request = request.exemplar(&[("trace_id", "a")], 1.0).exemplar(&[("trace_id", "b")], 2.0);
    let bench = Bench::new(Limits::default());
    let answer = send_v2(&bench, &request.0).await;
    assert_eq!((answer.status, answer.written()), (StatusCode::NO_CONTENT, ["0", "0", "2"]));
    let mut series = series_v1(&UP, 0.0);
    series.samples.clear();
    let labels = vec![label("trace_id", "c")];
    series.exemplars = vec![v1::Exemplar { labels, value: 3.0, timestamp: NOW.0 }];
    let answer = send_v1(&bench, &request_v1(vec![series])).await;
    assert_eq!((answer.status, answer.written()[2]), (StatusCode::NO_CONTENT, "1"));
}

#[tokio::test]
async fn bad_exemplars_are_refused_and_their_samples_kept() {
    let long = "a".repeat(130);
    for labels in [&[("trace_id", long.as_str())][..], &[("", "x")]] {
        let bench = Bench::new(Limits::default());
        let request = Symbols::new().sample(&UP, 1.0).exemplar(labels, 1.0);
        let answer = send_v2(&bench, &request.0).await;
        assert_eq!((answer.status, answer.written()), (StatusCode::BAD_REQUEST, ["1", "0", "0"]));
        assert!(answer.body.contains("bad_exemplar"), "{}", answer.body);
    }
    // A series without a name is refused with its exemplars.
    let bench = Bench::new(Limits::default());
    let request = Symbols::new().sample(&[("a", "b")], 1.0).exemplar(&[("trace_id", "x")], 1.0);
    let answer = send_v2(&bench, &request.0).await;
    assert_eq!((answer.status, answer.written()), (StatusCode::BAD_REQUEST, ["0", "0", "0"]));
}

#[tokio::test]
async fn metadata_of_every_kind_is_kept_once_for_each_family() {
    let kinds = [
        (1, "c_total", "c_total", MetricKind::Counter),
        (2, "g", "g", MetricKind::Gauge),
        (3, "h_bucket", "h", MetricKind::Histogram),
        (3, "h_sum", "h", MetricKind::Histogram),
        (4, "gh_gcount", "gh", MetricKind::GaugeHistogram),
        (5, "s_count", "s", MetricKind::Summary),
        (6, "i_info", "i_info", MetricKind::Info),
        (7, "st", "st", MetricKind::StateSet),
        (0, "plain", "plain", MetricKind::Unknown),
    ];
    let mut request = Symbols::new();
    for (kind, name, ..) in kinds {
        request = request.sample(&[("__name__", name)], 1.0);
        request = request.metadata(kind, "what \"it\" is\n", "s");
    }
    let bench = Bench::new(Limits::default());
    for _ in 0..3 {
        assert_eq!(send_v2(&bench, &request.0).await.status, StatusCode::NO_CONTENT);
    }
    let metadata = bench.memory.metadata.lock();
    let told: Vec<_> = metadata.iter().map(|(name, m)| (name.as_str(), m.kind)).collect();
    let mut expected: Vec<_> = kinds.iter().map(|(_, _, name, kind)| (*name, *kind)).collect();
    expected.dedup();
    assert_eq!(told, expected);
    assert!(metadata.iter().all(|(_, m)| m.help == "what \"it\" is\n" && m.unit == "s"));
}

#[tokio::test]
async fn metadata_without_texts_without_samples_or_changed_is_understood() {
    let bench = Bench::new(Limits::default());
    let request = Symbols::new().sample(&UP, 1.0).metadata(2, "", "");
    assert_eq!(send_v2(&bench, &request.0).await.status, StatusCode::NO_CONTENT);
    let mut request = Symbols::new();
    request.series(&[("__name__", "orphan_total")]);
    let answer = send_v2(&bench, &request.metadata(1, "orphan", "").0).await;
    assert_eq!((answer.status, answer.written()), (StatusCode::NO_CONTENT, ["0", "0", "0"]));
    let request = Symbols::new().sample(&UP, 1.0).metadata(2, "is it up", "");
    assert_eq!(send_v2(&bench, &request.0).await.status, StatusCode::NO_CONTENT);
    let metadata = bench.memory.metadata.lock();
    let told: Vec<_> = metadata.iter().map(|(name, m)| (name.as_str(), m.help.as_str())).collect();
    assert_eq!(told, [("up", ""), ("orphan_total", "orphan"), ("up", "is it up")]);
}

#[tokio::test]
async fn metadata_of_1_0_is_kept_by_family() {
    let mut request = request_v1(vec![series_v1(&UP, 1.0)]);
    request.metadata.push(v1::MetricMetadata {
        r#type: 1,
        metric_family_name: "http_requests".to_owned(),
        help: "how many".to_owned(),
        unit: String::new(),
    });
    let bench = Bench::new(Limits::default());
    assert_eq!(send_v1(&bench, &request).await.status, StatusCode::NO_CONTENT);
    let metadata = bench.memory.metadata.lock();
    assert_eq!(metadata[0].0, "http_requests");
    assert_eq!(
        (metadata[0].1.kind, metadata[0].1.help.as_str()),
        (MetricKind::Counter, "how many")
    );
}

#[tokio::test]
async fn samples_exemplars_and_metadata_of_one_request_are_counted_apart() {
    let request = Symbols::new()
        .sample(&[("__name__", "http_requests_total"), ("code", "200")], 10.0)
        .exemplar(&[("trace_id", "a")], 1.0)
        .metadata(1, "requests", "")
        .histogram(&[("__name__", "latency_seconds")], histogram())
        .exemplar(&[("trace_id", "b")], 0.2)
        .metadata(3, "latency", "seconds");
    let bench = Bench::new(Limits::default());
    let answer = send_v2(&bench, &request.0).await;
    assert_eq!((answer.status, answer.written()), (StatusCode::NO_CONTENT, ["1", "1", "2"]));
    let counter = |kind| {
        let name = "signalbox_remote_write_accepted_items_total";
        bench.counter(&format!("{name}{{version=\"2.0\",kind=\"{kind}\"}}"))
    };
    assert_eq!([counter("sample"), counter("histogram"), counter("exemplar")], [1, 1, 2]);
}

#[tokio::test]
async fn an_empty_request_is_a_success() {
    let bench = Bench::new(Limits::default());
    assert_eq!(send_v1(&bench, &request_v1(vec![])).await.status, StatusCode::NO_CONTENT);
    let answer = send_v2(&bench, &Default::default()).await;
    assert_eq!((answer.status, answer.written()), (StatusCode::NO_CONTENT, ["0", "0", "0"]));
}

#[tokio::test]
async fn series_that_retention_dropped_meanwhile_are_looked_up_anew() {
    let bench = Bench::new(Limits::default());
    *bench.memory.forgets.lock() = true;
    let answer = send_v2(&bench, &Symbols::new().sample(&UP, 7.0).0).await;
    assert_eq!((answer.status, answer.written()), (StatusCode::NO_CONTENT, ["1", "0", "0"]));
    assert_eq!(stored(&bench), ["up 7"]);
}
