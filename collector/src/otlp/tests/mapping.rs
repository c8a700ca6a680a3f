//! What a store gets for what was sent.

use model::sample::{MetricKind, is_stale};
use proptest::prelude::*;
use prost::Message;
use proto::generated::opentelemetry::proto::logs::v1::LogRecord;
use proto::generated::opentelemetry::proto::metrics::v1::exponential_histogram_data_point::Buckets;
use proto::generated::opentelemetry::proto::metrics::v1::summary_data_point::ValueAtQuantile;
use proto::generated::opentelemetry::proto::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Histogram, HistogramDataPoint,
    Metric, Sum, Summary, SummaryDataPoint, exemplar, metric,
};
use proto::otlp::{LogsRef, MetricsRef, TracesRef};

use super::mapped::{Shelf, map};
use super::sinks::*;
use crate::Limits;

fn sum(name: &str, temporality: i32, is_monotonic: bool) -> Metric {
    let mut point = point(5);
    point.start_time_unix_nano = NOW_NS - 1_000_000_000;
    point.attributes = vec![text("http.route", "/"), text("job", "mine")];
    point.exemplars = vec![Exemplar {
        time_unix_nano: NOW_NS,
        trace_id: vec![0xab; 16],
        value: Some(exemplar::Value::AsDouble(2.0)),
        ..Default::default()
    }];
    let data = Sum { data_points: vec![point], aggregation_temporality: temporality, is_monotonic };
    Metric {
        name: name.to_owned(),
        unit: "By".to_owned(),
        description: "what it is".to_owned(),
        data: Some(metric::Data::Sum(data)),
        ..Default::default()
    }
}

#[test]
fn a_counter_gets_its_suffixes_start_time_exemplar_identity_and_metadata() {
    let mapped = map(vec![sum("net.io", 2, true)]);
    assert_eq!(mapped.samples(), [r#"net_io_bytes_total{http_route="/"} 5"#]);
    let series = mapped.memory.series.lock();
    let labels = &series[mapped.batch.points[0].series.0 as usize];
    assert_eq!(labels.get("job"), Some("eu/shop"), "the resource's job wins");
    assert_eq!(labels.get("instance"), Some("i1"));
    assert_eq!(labels.get("service_name"), Some("shop"));
    assert_eq!(mapped.batch.points[0].start, NOW.plus_ms(-1000));
    let exemplar = &mapped.batch.exemplars[0].1;
    assert_eq!(exemplar.labels.get("trace_id"), Some("ab".repeat(16).as_str()));
    let metadata = mapped.memory.metadata.lock();
    assert_eq!(metadata[0].0, "net_io_bytes_total");
    assert_eq!(metadata[0].1.kind, MetricKind::Counter);
    assert_eq!(metadata[0].1.help, "what it is");
    let info = series.iter().find(|labels| labels.metric_name() == "target_info").unwrap();
    assert_eq!(info.get("process_pid"), Some("7"));
    assert_eq!(info.get("service_name"), None);
}

#[test]
fn points_of_unknown_temporality_are_refused() {
    let mapped = map(vec![sum("b", 0, true), sum("c", 2, false), sum("d", 3, false)]);
    assert_eq!(mapped.samples(), [r#"c_bytes{http_route="/"} 5"#]);
    let reasons: Vec<_> = mapped.outcome.refused.iter().map(|r| (r.reason, r.count)).collect();
    assert_eq!(reasons, [("temporality_unspecified", 2)]);
    assert_eq!(mapped.outcome.accepted, 1);
}

#[test]
fn a_histogram_becomes_cumulative_buckets() {
    let point = HistogramDataPoint {
        time_unix_nano: NOW_NS,
        count: 6,
        sum: Some(9.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.005, 10.0],
        ..Default::default()
    };
    let without_sum = HistogramDataPoint { sum: None, ..point.clone() };
    let bad = HistogramDataPoint { bucket_counts: vec![1], ..point.clone() };
    let data = Histogram { data_points: vec![point, without_sum, bad], aggregation_temporality: 2 };
    let metric = Metric {
        name: "d".into(),
        unit: "s".into(),
        data: Some(metric::Data::Histogram(data)),
        ..Default::default()
    };
    let mapped = map(vec![metric]);
    let with_sum = [
        r#"d_seconds_bucket{le="0.005"} 1"#,
        r#"d_seconds_bucket{le="10"} 3"#,
        r#"d_seconds_bucket{le="+Inf"} 6"#,
        "d_seconds_count 6",
        "d_seconds_sum 9.5",
    ];
    assert_eq!(mapped.samples(), [&with_sum[..], &with_sum[..4]].concat());
    assert_eq!((mapped.outcome.accepted, mapped.outcome.refused_count()), (2, 1));
    assert_eq!(mapped.outcome.refused[0].reason, "bad_histogram");
}

#[test]
fn an_exponential_histogram_becomes_a_native_one() {
    let point = ExponentialHistogramDataPoint {
        time_unix_nano: NOW_NS,
        count: 10,
        sum: Some(3.0),
        scale: 9,
        zero_count: 1,
        positive: Some(Buckets { offset: -1, bucket_counts: vec![1, 2, 3, 0] }),
        negative: Some(Buckets { offset: 4, bucket_counts: vec![3] }),
        ..Default::default()
    };
    let data = ExponentialHistogram { data_points: vec![point], aggregation_temporality: 2 };
    let metric = Metric {
        name: "e".into(),
        data: Some(metric::Data::ExponentialHistogram(data)),
        ..Default::default()
    };
    let histogram = map(vec![metric]).batch.histograms[0].histogram.clone();
    assert_eq!(histogram.schema, 8);
    // Scale 9 holds -1, 0, 1; scale 8 holds -1 and 0 in native indexes 0 and 1.
    assert_eq!(histogram.positive, [(0, 1.0), (1, 5.0)]);
    assert_eq!(histogram.negative, [(3, 3.0)]);
    assert_eq!((histogram.count, histogram.zero_count, histogram.sum), (10.0, 1.0, 3.0));
}

#[test]
fn a_summary_becomes_quantiles_and_no_recorded_value_ends_series() {
    let point = SummaryDataPoint {
        time_unix_nano: NOW_NS,
        count: 4,
        sum: 2.0,
        quantile_values: vec![ValueAtQuantile { quantile: 0.5, value: 7.0 }],
        ..Default::default()
    };
    let ended = SummaryDataPoint { flags: 1, ..point.clone() };
    let metric = |point| Metric {
        name: "q".into(),
        data: Some(metric::Data::Summary(Summary { data_points: vec![point] })),
        ..Default::default()
    };
    let mapped = map(vec![metric(point)]);
    assert_eq!(mapped.samples(), [r#"q{quantile="0.5"} 7"#, "q_sum 2", "q_count 4"]);
    let mapped = map(vec![metric(ended)]);
    assert!(mapped.batch.points[..3].iter().all(|point| is_stale(point.value)));
}

#[test]
fn points_at_absurd_times_or_without_a_value_are_refused() {
    let mut far = point(1);
    far.time_unix_nano = NOW_NS + 86_400_000_000_000;
    let mut negative = point(1);
    negative.time_unix_nano = (-1i64) as u64;
    let mut empty = point(1);
    empty.value = None;
    let mapped =
        map(vec![gauge("g", vec![far, negative, empty, point(3)]), gauge("__", vec![point(1)])]);
    let reasons: Vec<_> = mapped.outcome.refused.iter().map(|r| r.reason).collect();
    assert_eq!(
        reasons,
        ["too_far_in_future", "timestamp_out_of_range", "no_value", "bad_metric_name"]
    );
    assert_eq!(mapped.samples(), ["g 3"]);
}

#[test]
fn a_log_record_is_mapped_as_loki_maps_it() {
    let record = LogRecord {
        time_unix_nano: NOW_NS,
        observed_time_unix_nano: NOW_NS + 1,
        severity_number: 17,
        severity_text: "ERROR".into(),
        body: text("", "boom").value,
        attributes: vec![text("http.route", "/")],
        trace_id: vec![0xab; 16],
        flags: 1,
        ..Default::default()
    };
    let bytes = logs(vec![record]).encode_to_vec();
    let limits = Limits::default();
    let (batch, _) = crate::otlp::logs::map(LogsRef::new(&bytes), &limits, NOW.to_ns()).unwrap();
    let memory = Memory::default();
    model::LogSink::append(&memory, &batch).unwrap().1.wait().unwrap();
    let (stream, line, fields) = memory.logs.lock().pop().unwrap();
    assert_eq!(
        stream,
        r#"{service_instance_id="i1", service_name="shop", service_namespace="eu"}"#
    );
    assert_eq!(line, "boom");
    let observed = (NOW_NS + 1).to_string();
    let trace = "ab".repeat(16);
    let expected = [
        ("process_pid", "7"),
        ("http_route", "/"),
        ("observed_timestamp", &observed),
        ("severity_number", "17"),
        ("severity_text", "ERROR"),
        ("flags", "1"),
        ("trace_id", &trace),
        ("detected_level", "error"),
    ];
    assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

proptest! {
    #[test]
    fn damaged_requests_never_panic(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
        let limits = Limits::default();
        let mut full = span(1);
        full.attributes = vec![text("a", "b")];
        let requests = [
            traces(vec![full]).encode_to_vec(),
            logs(vec![LogRecord { body: text("", "x").value, ..Default::default() }]).encode_to_vec(),
            metrics(vec![sum("a", 2, true), gauge("g", vec![point(1)])]).encode_to_vec(),
        ];
        for (i, mut bytes) in requests.into_iter().enumerate() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes.truncate(cut.index(bytes.len()) + 1);
            match i {
                0 => drop(crate::otlp::traces::map(TracesRef::new(&bytes), &limits, model::read::RangeNs::ALL).map(|_| ())),
                1 => drop(crate::otlp::logs::map(LogsRef::new(&bytes), &limits, NOW.to_ns()).map(|_| ())),
                _ => {
                    let shelf = Shelf::new(Default::default());
                    shelf.mapper().map(MetricsRef::new(&bytes)).ok();
                }
            }
        }
    }
}
