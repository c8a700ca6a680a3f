//! The HTTP edge: every row of the server contract.

use std::io::Write;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use model::ErrorKind;
use prost::Message;
use proto::generated::google::rpc::Status;
use proto::generated::opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceResponse;
use proto::generated::opentelemetry::proto::collector::trace::v1::ExportTraceServiceResponse;
use tower::ServiceExt;

use super::sinks::*;
use crate::{Cors, Limits, http_router};

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn send(bench: &Bench, request: Request<Body>) -> Answer {
    let cors = Cors { allowed_origins: vec!["https://*.shop".to_owned()], ..Default::default() };
    let response = http_router(bench.receiver.clone(), &cors).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

fn post(path: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("content-type", content_type).body(body.into()).unwrap()
}

const PROTOBUF: &str = "application/x-protobuf";

fn one_span() -> Vec<u8> {
    traces(vec![span(1)]).encode_to_vec()
}

#[tokio::test]
async fn protobuf_and_json_arrive_on_all_paths_and_are_answered_in_kind() {
    let bench = Bench::new(Limits::default());
    for path in ["/v1/traces", "/otlp/v1/traces"] {
        let answer = send(&bench, post(path, PROTOBUF, one_span())).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, PROTOBUF));
        assert!(answer.body.is_empty(), "nothing was refused, so nothing is said");
    }
    let json =
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"hi"}}]}]}]}"#;
    let answer = send(&bench, post("/v1/logs", "application/json; charset=utf-8", json)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.body, b"{}");
    for path in ["/v1/metrics", "/otlp/v1/metrics", "/api/v1/otlp/v1/metrics"] {
        let body = metrics(vec![gauge("g", vec![point(1)])]).encode_to_vec();
        assert_eq!(send(&bench, post(path, PROTOBUF, body)).await.status, StatusCode::OK);
    }
    assert_eq!(bench.memory.spans.lock().len(), 2);
    assert_eq!(*bench.memory.observed.lock(), 2);
    assert_eq!(bench.memory.logs.lock()[0].1, "hi");
    assert_eq!(bench.memory.batches.lock().len(), 3);
    assert_eq!(bench.counter(r#"signalbox_otlp_accepted_items_total{signal="traces"}"#), 2);
    assert_eq!(bench.counter(r#"signalbox_otlp_accepted_items_total{signal="metrics"}"#), 3);
}

#[tokio::test]
async fn oddities_are_told_though_nothing_was_refused() {
    let bench = Bench::new(Limits::default());
    let mut odd = point(1);
    odd.attributes = vec![text("a.b", "1"), text("a_b", "2")];
    let body = metrics(vec![gauge("g", vec![odd]), gauge("empty", vec![])]).encode_to_vec();
    let answer = send(&bench, post("/v1/metrics", PROTOBUF, body)).await;
    assert_eq!(answer.status, StatusCode::OK);
    let told = ExportMetricsServiceResponse::decode(answer.body.as_slice()).unwrap();
    let partial = told.partial_success.unwrap();
    assert_eq!(partial.rejected_data_points, 0);
    let message = partial.error_message;
    assert!(message.contains("1 warned of (label_name_collision)"), "{message}");
    assert!(message.contains("1 warned of (empty_data_points)"), "{message}");
    for category in ["label_name_collision", "empty_data_points"] {
        let name = "signalbox_otlp_translation_warnings_total";
        assert_eq!(bench.counter(&format!("{name}{{category=\"{category}\"}}")), 1);
    }
}

#[tokio::test]
async fn empty_requests_are_successes() {
    let bench = Bench::new(Limits::default());
    for path in ["/v1/traces", "/v1/metrics", "/v1/logs"] {
        let answer = send(&bench, post(path, PROTOBUF, "")).await;
        assert_eq!(answer.status, StatusCode::OK);
        let answer = send(&bench, post(path, "application/json", "{}")).await;
        assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, b"{}".as_slice()));
    }
}

#[tokio::test]
async fn wrong_methods_content_types_and_encodings_are_named() {
    let bench = Bench::new(Limits::default());
    let answer = send(&bench, Request::get("/v1/traces").body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status, answer.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
    for content_type in ["text/plain", "application/xml", ""] {
        let answer = send(&bench, post("/v1/traces", content_type, one_span())).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(answer.header("content-type").starts_with("text/plain"));
        assert!(String::from_utf8(answer.body).unwrap().contains("application/x-protobuf"));
    }
    let mut request = post("/v1/traces", PROTOBUF, one_span());
    request.headers_mut().insert("content-encoding", "br".parse().unwrap());
    let answer = send(&bench, request).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(answer.header("accept-encoding"), "gzip, zstd, deflate");
    let reason = r#"signalbox_otlp_refused_requests_total{signal="traces",reason="content_type"}"#;
    assert_eq!(bench.counter(reason), 3);
    let answer = send(&bench, post("/v1/profiles", PROTOBUF, "")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn compressed_bodies_arrive() {
    let bench = Bench::new(Limits::default());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&one_span()).unwrap();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(&one_span()).unwrap();
    let bodies = [
        ("gzip", gzip.finish().unwrap()),
        ("deflate", zlib.finish().unwrap()),
        ("zstd", zstd::encode_all(one_span().as_slice(), 1).unwrap()),
        ("identity", one_span()),
    ];
    for (encoding, body) in bodies {
        let mut request = post("/v1/traces", PROTOBUF, body);
        request.headers_mut().insert("content-encoding", encoding.parse().unwrap());
        assert_eq!(send(&bench, request).await.status, StatusCode::OK, "{encoding}");
    }
    assert_eq!(bench.memory.spans.lock().len(), 4);
}

#[tokio::test]
async fn bad_bodies_are_400_with_a_status_in_the_encoding_of_the_request() {
    let bench = Bench::new(Limits::default());
    let mut cut = one_span();
    cut.truncate(cut.len() - 3);
    let answer = send(&bench, post("/v1/traces", PROTOBUF, cut)).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::BAD_REQUEST, PROTOBUF));
    let status = Status::decode(answer.body.as_slice()).unwrap();
    assert_eq!(status.code, 3);
    assert!(status.message.contains("at byte"), "{}", status.message);

    let answer =
        send(&bench, post("/v1/traces", "application/json", "{\"resourceSpans\": 7}")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let status: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(status["message"].as_str().unwrap().contains("line 1"), "{status}");

    let mut request = post("/v1/traces", PROTOBUF, "not gzip at all");
    request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    assert_eq!(send(&bench, request).await.status, StatusCode::BAD_REQUEST);
    let refused = |reason: &str| {
        bench.counter(&format!(
            "signalbox_otlp_refused_requests_total{{signal=\"traces\",reason=\"{reason}\"}}"
        ))
    };
    assert_eq!(
        (refused("bad_protobuf"), refused("bad_json"), refused("bad_compression")),
        (1, 1, 1)
    );
    assert!(bench.memory.spans.lock().is_empty());
}

#[tokio::test]
async fn invalid_utf_8_and_values_nested_a_thousand_deep_are_400() {
    let bench = Bench::new(Limits::default());
    let mut named = span(1);
    named.name = "xyxyxyxy".to_owned();
    let mut body = traces(vec![named]).encode_to_vec();
    let at = body.windows(8).position(|window| window == b"xyxyxyxy").unwrap();
    body[at..at + 2].copy_from_slice(&[0xc3, 0x28]);
    let answer = send(&bench, post("/v1/traces", PROTOBUF, body)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);

    let mut value = Vec::new();
    for _ in 0..1000 {
        // AnyValue { array_value: ArrayValue { values: [value] } }
        let mut array = vec![0x0a];
        prost::encoding::encode_varint(value.len() as u64, &mut array);
        array.extend(&value);
        value = vec![0x2a];
        prost::encoding::encode_varint(array.len() as u64, &mut value);
        value.extend(array);
    }
    let mut body = Vec::new();
    // KeyValue, LogRecord.attributes, ScopeLogs.log_records, ResourceLogs.scope_logs, request.
    for (inner_tag, prefix) in
        [(0x12, &b"\x0a\x01k"[..]), (0x32, b""), (0x12, b""), (0x12, b""), (0x0a, b"")]
    {
        let inner =
            if inner_tag == 0x12 && !prefix.is_empty() { value.clone() } else { body.clone() };
        let mut message = prefix.to_vec();
        message.push(inner_tag);
        prost::encoding::encode_varint(inner.len() as u64, &mut message);
        message.extend(inner);
        body = message;
    }
    let answer = send(&bench, post("/v1/logs", PROTOBUF, body)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let status = Status::decode(answer.body.as_slice()).unwrap();
    assert!(status.message.contains("nests deeper"), "{}", status.message);

    let json = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{}{}}}]}}]}}]}}"#,
        r#"{"arrayValue":{"values":["#.repeat(1000),
        r#"]}}"#.repeat(1000)
    );
    let answer = send(&bench, post("/v1/logs", "application/json", json)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn sizes_are_limited_before_and_after_decompression() {
    let bench = Bench::new(Limits { request_bytes_max: 1000, ..Default::default() });
    let big = traces((0..50).map(span).collect()).encode_to_vec();
    let answer = send(&bench, post("/v1/traces", PROTOBUF, big)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let status = Status::decode(answer.body.as_slice()).unwrap();
    assert!(status.message.contains("1000 bytes"), "{}", status.message);
    assert_eq!(answer.header("retry-after"), "", "a retry can not help");

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&vec![0; 100_000]).unwrap();
    let mut request = post("/v1/traces", PROTOBUF, gzip.finish().unwrap());
    request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    assert_eq!(send(&bench, request).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn refused_items_are_a_partial_success_with_their_count() {
    let bench = Bench::new(Limits::default());
    let mut bad = span(2);
    bad.trace_id = vec![0; 16];
    let body = traces(vec![span(1), bad]).encode_to_vec();
    let answer = send(&bench, post("/v1/traces", PROTOBUF, body)).await;
    assert_eq!(answer.status, StatusCode::OK);
    let partial = ExportTraceServiceResponse::decode(answer.body.as_slice()).unwrap();
    let partial = partial.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert!(partial.error_message.contains("op2"), "{}", partial.error_message);
    let reason = r#"signalbox_otlp_refused_items_total{signal="traces",reason="invalid_trace_id"}"#;
    assert_eq!(bench.counter(reason), 1);
    assert_eq!(bench.memory.spans.lock().len(), 1);

    let json = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"x","traceId":"00"}]}]}]}"#;
    let answer = send(&bench, post("/v1/traces", "application/json", json)).await;
    let partial: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(partial["partialSuccess"]["rejectedSpans"], "1");
}

#[tokio::test]
async fn a_span_that_is_refused_is_not_observed() {
    let bench = Bench::new(Limits::default());
    let mut future = span(2);
    future.start_time_unix_nano = NOW_NS + 86_400_000_000_000;
    let body = traces(vec![span(1), future]).encode_to_vec();
    let answer = send(&bench, post("/v1/traces", PROTOBUF, body)).await;
    let partial = ExportTraceServiceResponse::decode(answer.body.as_slice()).unwrap();
    assert_eq!(partial.partial_success.unwrap().rejected_spans, 1);
    assert_eq!(*bench.memory.observed.lock(), 1);
}

#[tokio::test]
async fn overload_and_a_failing_disk_say_when_to_retry() {
    let bench = Bench::new(Limits::default());
    let cases = [
        (ErrorKind::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
        (ErrorKind::Exhausted, StatusCode::TOO_MANY_REQUESTS),
    ];
    for (kind, expected) in cases {
        *bench.memory.failure.lock() = Some(kind);
        let answer = send(&bench, post("/v1/traces", PROTOBUF, one_span())).await;
        assert_eq!((answer.status, answer.header("retry-after")), (expected, "1"));
        let status = Status::decode(answer.body.as_slice()).unwrap();
        assert!(status.details[0].type_url.ends_with("google.rpc.RetryInfo"));
    }
    *bench.memory.failure.lock() = None;
    *bench.memory.commit_failure.lock() = Some(ErrorKind::Unavailable);
    let answer = send(&bench, post("/v1/traces", PROTOBUF, one_span())).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(bench.counter(r#"signalbox_otlp_accepted_items_total{signal="traces"}"#), 0);
    assert_eq!(*bench.memory.observed.lock(), 0, "what is not durable is not observed");
}

#[tokio::test]
async fn browsers_of_allowed_origins_may_send() {
    let bench = Bench::new(Limits::default());
    let preflight = Request::options("/v1/traces")
        .header("origin", "https://www.shop")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .body(Body::empty())
        .unwrap();
    let answer = send(&bench, preflight).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("access-control-allow-origin"), "https://www.shop");
    let mut request = post("/v1/traces", PROTOBUF, one_span());
    request.headers_mut().insert("origin", "https://www.shop".parse().unwrap());
    let answer = send(&bench, request).await;
    assert_eq!(answer.header("access-control-allow-origin"), "https://www.shop");
    let mut request = post("/v1/traces", PROTOBUF, one_span());
    request.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    assert_eq!(send(&bench, request).await.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn requests_in_flight_are_bounded_while_they_arrive() {
    let bench = Bench::new(Limits { in_flight_bytes_max: 10, ..Default::default() });
    let answer = send(&bench, post("/v1/traces", PROTOBUF, one_span())).await;
    assert_eq!(answer.status, StatusCode::OK, "a request that is alone may always go on");
    let mut other = bench.receiver.reservation();
    other.grow(5).unwrap();
    let answer = send(&bench, post("/v1/traces", PROTOBUF, one_span())).await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, "1")
    );
    drop(other);
    assert_eq!(bench.counter("signalbox_otlp_in_flight_bytes"), 0);
}

#[tokio::test]
async fn small_requests_that_would_take_much_memory_are_refused() {
    let bench = Bench::new(Limits { request_bytes_max: 100_000, ..Default::default() });
    let records = vec![Default::default(); 20_000];
    let answer = send(&bench, post("/v1/logs", PROTOBUF, logs(records).encode_to_vec())).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let mut many = span(1);
    many.events = vec![Default::default(); 20_000];
    let answer =
        send(&bench, post("/v1/traces", PROTOBUF, traces(vec![many]).encode_to_vec())).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let json = format!(r#"{{"resourceSpans":[{}{{}}]}}"#, "{},".repeat(20_000));
    let answer = send(&bench, post("/v1/traces", "application/json", json)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}
