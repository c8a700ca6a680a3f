//! Pushes as agents send them, in both forms and packings, and what they are answered.

use std::io::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use prost::Message as _;
use proto::loki_push::messages::{
    EntryAdapter, LabelPairAdapter, PushRequest, StreamAdapter, Timestamp,
};
use tower::ServiceExt;

use crate::Limits;
use crate::otlp::tests::sinks::{Bench, LogSeen};

type Headers<'a> = &'a [(&'a str, &'a str)];

async fn send(bench: &Bench, path: &str, headers: Headers<'_>, body: Vec<u8>) -> (u16, String) {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let router = super::http::router(Arc::clone(&bench.receiver));
    let answer = router.oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn push_json(bench: &Bench, body: &str) -> (u16, String) {
    let headers = [("content-type", "application/json; charset=utf-8")];
    send(bench, "/loki/api/v1/push", &headers, body.as_bytes().to_vec()).await
}

fn seen(bench: &Bench) -> Vec<LogSeen> {
    bench.memory.logs.lock().clone()
}

fn line(stream: &str, line: &str, fields: &[(&str, &str)]) -> LogSeen {
    let fields = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    (stream.to_owned(), line.to_owned(), fields)
}

fn snappy(request: &PushRequest) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap()
}

fn request(labels: &str, lines: &[&[u8]]) -> PushRequest {
    let entries = lines.iter().enumerate().map(|(i, line)| EntryAdapter {
        timestamp: Some(Timestamp { seconds: 1_700_000_000, nanos: i as i32 }),
        line: line.to_vec(),
        structured_metadata: vec![LabelPairAdapter {
            name: "trace.id".to_owned(),
            value: "a1".to_owned(),
        }],
    });
    let stream = StreamAdapter { labels: labels.to_owned(), entries: entries.collect(), hash: 1 };
    PushRequest { streams: vec![stream] }
}

#[tokio::test]
async fn json_of_both_forms_becomes_lines_with_a_service_and_a_level() {
    let bench = Bench::new(Limits::default());
    let body = r#"{"streams": [
        {"stream": {"app": "shop", "level": "warn"}, "values": [
            ["1700000000000000000", "a \"quoted\" line"],
            ["1700000000000000001", "b", {"trace_id": "t1", "detected_level": "info"}]]},
        {"labels": "{service_name=\"old\"}", "entries": [
            {"ts": "2023-11-14T22:13:20.5Z", "line": "error: c"}]}]}"#;
    assert_eq!(push_json(&bench, body).await, (204, String::new()));
    let shop = r#"{app="shop", level="warn", service_name="shop"}"#;
    let expected = [
        line(shop, "a \"quoted\" line", &[("detected_level", "warn")]),
        line(shop, "b", &[("trace_id", "t1"), ("detected_level", "info")]),
        line(r#"{service_name="old"}"#, "error: c", &[("detected_level", "error")]),
    ];
    assert_eq!(seen(&bench), expected);
}

#[tokio::test]
async fn protobuf_is_taken_with_snappy_and_without_a_word_about_it() {
    let labels = r#"{job="varlogs", filename="/var/log/x.log"}"#;
    let body = snappy(&request(labels, &[b"x", b"\xff\xfe"]));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&body).unwrap();
    let gzip = gzip.finish().unwrap();
    let protobuf = ("content-type", "application/x-protobuf");
    let cases: [(Headers<'_>, Vec<u8>); 4] = [
        (&[protobuf], body.clone()),
        (&[protobuf, ("content-encoding", "snappy")], body.clone()),
        (&[], body),
        (&[protobuf, ("content-encoding", "gzip")], gzip),
    ];
    for (headers, body) in cases {
        let bench = Bench::new(Limits::default());
        let answer = send(&bench, "/api/prom/push", headers, body).await;
        assert_eq!(answer, (204, String::new()), "{headers:?}");
        let stream = r#"{filename="/var/log/x.log", job="varlogs", service_name="varlogs"}"#;
        let fields = [("trace_id", "a1"), ("detected_level", "unknown")];
        let lines = [line(stream, "x", &fields), line(stream, "\u{fffd}\u{fffd}", &fields)];
        assert_eq!(seen(&bench), lines, "{headers:?}");
    }
}

#[tokio::test]
async fn what_is_bad_is_refused_by_name_and_the_rest_is_kept() {
    let bench = Bench::new(Limits { attributes_max: 2, ..Limits::default() });
    let body = r#"{"streams": [
        {"stream": {}, "values": [["1", "a"], ["2", "b"]]},
        {"labels": "{app=shop}", "entries": [{"ts": "2023-11-14T22:13:20Z", "line": "c"}]},
        {"values": [["1", "d"]]},
        {"stream": {"a": "1", "b": "2", "c": "3"}, "values": [["1", "e"]]},
        {"stream": {"app": "shop"}, "values": [
            ["yesterday", "f"], ["9999999999999999999999", "g"],
            ["1", "h", {"x": "1", "y": "2", "z": "3"}], ["5", "kept"]]}]}"#;
    let (status, text) = push_json(&bench, body).await;
    assert_eq!(status, 400);
    for part in [
        "1 lines were kept",
        "2 refused (no_labels)",
        "2 refused (bad_labels): \"{app=shop}\": expected a quoted value at byte 5",
        "2 refused (timestamp_out_of_range)",
        "2 refused (too_many_attributes): a stream has 3 attributes, the limit is 2",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(seen(&bench).len(), 1);
    assert_eq!(seen(&bench)[0].1, "kept");
}

#[tokio::test]
async fn what_is_no_text_in_json_is_replaced() {
    let bench = Bench::new(Limits::default());
    let headers = [("content-type", "application/json")];
    let body = b"{\"streams\": [{\"stream\": {\"\": \"x\", \"app\": \"a\\ud800\"}, \"values\": [\
        [\"1\", \"b\xffc\", {\"\": \"d\xfe\"}], [\"2\", \"cut \\ud83d\"]]}]}";
    let answer = send(&bench, "/loki/api/v1/push", &headers, body.to_vec()).await;
    assert_eq!(answer, (204, String::new()));
    let lines: Vec<String> = seen(&bench).into_iter().map(|(_, line, _)| line).collect();
    assert_eq!(lines, ["b\u{fffd}c", "cut \u{fffd}\u{fffd}\u{fffd}"]);
    let (stream, _, fields) = seen(&bench).swap_remove(0);
    assert!(stream.starts_with("{_=\"x\", app=\"a\u{fffd}"), "{stream}");
    assert_eq!(fields[0], ("_".to_owned(), "d\u{fffd}".to_owned()));
}

#[tokio::test]
async fn a_long_line_is_cut_marked_and_counted() {
    let bench = Bench::new(Limits { log_line_bytes_max: 4, ..Limits::default() });
    let body =
        r#"{"streams": [{"stream": {"app": "a"}, "values": [["1", "123456"], ["2", "1234"]]}]}"#;
    assert_eq!(push_json(&bench, body).await.0, 204);
    let stream = r#"{app="a", service_name="a"}"#;
    let cut = [("detected_level", "unknown"), ("line_bytes", "6")];
    let expected = [line(stream, "1234", &cut), line(stream, "1234", &cut[..1])];
    assert_eq!(seen(&bench), expected);
    assert_eq!(bench.counter("signalbox_log_lines_cut_total"), 1);
}

#[tokio::test]
async fn requests_that_are_no_pushes_are_refused_whole_with_what_is_accepted() {
    let bench = Bench::new(Limits { request_bytes_max: 4096, ..Limits::default() });
    let json = ("content-type", "application/json");
    let cases: [(Headers<'_>, &[u8], u16, &str); 9] = [
        (&[json], b"{\"streams\": [{\"stream\": 1}]}", 400, "line 1 column 25"),
        (&[json], b"{\"streams\": [{\"values\": [[1, \"x\"]]}]}", 400, "expected a string"),
        (
            &[json],
            b"{\"streams\": [{\"values\": [[\"1\"]]}]}",
            400,
            "[\"<unix nanoseconds>\", \"<line>\"]",
        ),
        (&[json, ("content-encoding", "br")], b"{}", 415, "gzip, zstd, deflate"),
        (&[("content-type", "text/plain")], b"x", 415, "application/json"),
        (&[], b"not snappy", 400, "snappy"),
        (&[], &[0; 5000], 413, "4096"),
        (&[], b"\x03\x08\x0a\x05x", 400, "logproto.PushRequest"),
        (&[json], b"", 400, "not a push"),
    ];
    for (headers, body, status, part) in cases {
        let answer = send(&bench, "/loki/api/v1/push", headers, body.to_vec()).await;
        assert_eq!(answer.0, status, "{headers:?} {body:?}: {answer:?}");
        assert!(answer.1.contains(part), "{part}: {answer:?}");
    }
    let get = Request::get("/loki/api/v1/push").body(Body::empty()).unwrap();
    let router = super::http::router(Arc::clone(&bench.receiver));
    assert_eq!(router.oneshot(get).await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(seen(&bench).is_empty());
}

#[tokio::test]
async fn a_store_that_can_not_take_it_has_the_sender_try_again() {
    let bench = Bench::new(Limits::default());
    *bench.memory.failure.lock() = Some(model::ErrorKind::Unavailable);
    let body = r#"{"streams": [{"stream": {"app": "a"}, "values": [["1", "x"]]}]}"#;
    assert_eq!(push_json(&bench, body).await.0, 503);
}
