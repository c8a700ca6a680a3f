//! Remote write to the real process on both of its ports, and deltas of OTLP: sent, asked for, and
//! still there after a kill.

use prost::Message;
use proto::generated::opentelemetry::proto::metrics::v1::{AggregationTemporality, Sum};
use proto::remote_write::messages::{BucketSpan, Count, Histogram, Sample, v1, v2};

use crate::support::otlp::{METRICS, Metric, Metrics, NumberDataPoint, metric, number_data_point};
use crate::support::otlp::{ResourceMetrics, ScopeMetrics, resource};
use crate::support::{Answer, Server, client, now_ms};

const PATH: &str = "/api/v1/write";
const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// A snappy block of literals: packed by nobody, but valid.
pub(crate) fn snappy(bytes: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    let mut length = bytes.len();
    while length >= 0x80 {
        block.push(length as u8 | 0x80);
        length >>= 7;
    }
    block.push(length as u8);
    for chunk in bytes.chunks(60) {
        block.push((chunk.len() as u8 - 1) << 2);
        block.extend_from_slice(chunk);
    }
    block
}

async fn send(server: &Server, content_type: &str, body: Vec<u8>) -> Answer {
    let headers = [("content-type", content_type), ("content-encoding", "snappy")];
    server.post(PATH, &headers, body).await
}

fn written(answer: &Answer) -> [&str; 3] {
    [
        answer.header("x-prometheus-remote-write-samples-written"),
        answer.header("x-prometheus-remote-write-histograms-written"),
        answer.header("x-prometheus-remote-write-exemplars-written"),
    ]
}

fn symbols(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A counter with a start time, a histogram, an exemplar, and a series that has no name.
fn request_v2(at: i64) -> v2::Request {
    let sample = |value, seconds: i64| Sample {
        value,
        timestamp: at + seconds * 1000,
        start_timestamp: at - 60_000,
    };
    let exemplar = v2::Exemplar { labels_refs: vec![5, 6], value: 1.0, timestamp: at };
    let metadata = v2::Metadata { r#type: 1, help_ref: 7, unit_ref: 0 };
    let counter = v2::TimeSeries {
        labels_refs: vec![1, 2, 3, 4],
        samples: vec![sample(1.0, -10), sample(4.0, 0)],
        exemplars: vec![exemplar],
        metadata: Some(metadata),
        ..Default::default()
    };
    let histogram = Histogram {
        count: Some(Count::CountInt(3)),
        sum: 1.25,
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
        positive_deltas: vec![1, 1],
        timestamp: at,
        ..Default::default()
    };
    let histogram = v2::TimeSeries {
        labels_refs: vec![1, 8],
        histograms: vec![histogram],
        ..Default::default()
    };
    let nameless = v2::TimeSeries {
        labels_refs: vec![3, 4],
        samples: vec![sample(1.0, 0)],
        ..Default::default()
    };
    let texts = ["", "__name__", "jobs_total", "who", "me", "trace_id", "abc", "Jobs.", "wait"];
    v2::Request { symbols: symbols(&texts), timeseries: vec![counter, histogram, nameless] }
}

#[tokio::test(flavor = "multi_thread")]
async fn version_2_is_kept_in_part_counted_and_outlives_a_kill() {
    let mut server = Server::start().await;
    let at = now_ms() as i64;
    let answer = send(&server, V2, snappy(&request_v2(at).encode_to_vec())).await;
    assert_eq!((answer.status, written(&answer)), (400, ["2", "1", "1"]), "{}", answer.text());
    assert!(answer.text().contains("1 refused (no_metric_name)"), "{}", answer.text());
    server.kill();
    server.restart().await;
    assert_eq!(server.number(r#"jobs_total{who="me"}"#).await, Some(4.0));
    let histogram = server.ask("/api/v1/query", &[("query", "wait")]).await.text();
    assert!(histogram.contains(r#""count":"3""#), "{histogram}");
    let exemplars = server
        .ask(
            "/api/v1/query_exemplars",
            &[
                ("query", "jobs_total"),
                ("start", &((at - 60_000) / 1000).to_string()),
                ("end", &((at + 60_000) / 1000).to_string()),
            ],
        )
        .await;
    assert!(exemplars.text().contains("abc"), "{}", exemplars.text());
    let metadata = server.get("/api/v1/metadata?metric=jobs_total").await;
    assert!(metadata.text().contains("Jobs."), "{}", metadata.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn version_1_is_taken_on_both_ports() {
    let server = Server::start().await;
    let label = |name: &str, value: &str| v1::Label { name: name.into(), value: value.into() };
    let request = |port: &str| v1::WriteRequest {
        timeseries: vec![v1::TimeSeries {
            labels: vec![label("port", port), label("__name__", "sent")],
            samples: vec![Sample { value: 7.0, timestamp: now_ms() as i64, start_timestamp: 0 }],
            ..Default::default()
        }],
        metadata: Vec::new(),
    };
    let body = snappy(&request("http").encode_to_vec());
    let answer = send(&server, "application/x-protobuf", body).await;
    assert_eq!((answer.status, answer.text().as_str()), (204, ""));
    let url = format!("http://{}/prometheus{PATH}", server.addresses.query);
    let sent = client()
        .post(url)
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy")
        .body(snappy(&request("query").encode_to_vec()));
    assert_eq!(sent.send().await.unwrap().status(), 204);
    assert_eq!(server.number("count(sent == 7)").await, Some(2.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_declares_gigabytes_costs_no_memory() {
    let server = Server::start().await;
    let before = server.rss_peak_bytes();
    for body in [vec![0xff, 0xff, 0xff, 0xff, 0x0f], vec![0xff, 0xff, 0xff, 0x0f, 0, 0]] {
        for _ in 0..20 {
            let answer = send(&server, V2, body.clone()).await;
            assert!([400, 413].contains(&answer.status), "{}", answer.text());
            assert_eq!(written(&answer), ["0", "0", "0"]);
        }
    }
    let grown = server.rss_peak_bytes() - before;
    assert!(grown < 16 << 20, "{grown} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_of_otlp_are_kept_and_rate_adds_them_up() {
    let server = Server::start().await;
    let now = crate::support::now_ns();
    let second = 1_000_000_000;
    let point = |value: i64, ago: u64| NumberDataPoint {
        start_time_unix_nano: now - (ago + 10) * second,
        time_unix_nano: now - ago * second,
        value: Some(number_data_point::Value::AsInt(value)),
        ..Default::default()
    };
    let sum = Sum {
        data_points: vec![point(5, 20), point(0, 10), point(7, 0)],
        aggregation_temporality: AggregationTemporality::Delta.into(),
        is_monotonic: true,
    };
    let metric = Metric {
        name: "done".to_owned(),
        data: Some(metric::Data::Sum(sum)),
        ..Default::default()
    };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..Default::default() }];
    let resource_metrics =
        vec![ResourceMetrics { resource: resource("d"), scope_metrics, ..Default::default() }];
    server.send(METRICS, &Metrics { resource_metrics }).await;
    let samples = server.promql("increase(done_total[1m])", None).await;
    assert_eq!((samples.len(), samples[0].value), (1, 12.0));
    assert!(!samples[0].labels.contains_key("__temporality__"), "{samples:?}");
    assert_eq!(server.number(r#"done_total{__temporality__="delta"}"#).await, Some(7.0));
    assert_eq!(server.number("irate(done_total[1m])").await, Some(0.7));
}
