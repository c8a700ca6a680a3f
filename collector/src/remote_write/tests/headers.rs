//! What the headers mean, and bodies that are not what they say.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use model::ErrorKind;
use proptest::prelude::*;
use prost::Message;

use super::requests::*;
use crate::Limits;
use crate::otlp::tests::sinks::Bench;

fn one() -> Vec<u8> {
    snappy(&request_v1(vec![series_v1(&[("__name__", "up")], 1.0)]).encode_to_vec())
}

fn one_v2() -> Vec<u8> {
    snappy(&Symbols::new().sample(&[("__name__", "up")], 1.0).0.encode_to_vec())
}

#[tokio::test]
async fn both_messages_are_told_apart_by_their_content_type_alone() {
    for (content_type, body) in [
        ("application/x-protobuf", one()),
        ("application/x-protobuf; charset=utf-8", one()),
        ("application/x-protobuf;proto=prometheus.WriteRequest", one()),
        ("Application/X-Protobuf; Proto=\"prometheus.WriteRequest\"", one()),
        ("application/x-protobuf;proto=io.prometheus.write.v2.Request", one_v2()),
        ("application/x-protobuf; proto=io.prometheus.write.v2.Request", one_v2()),
    ] {
        let bench = Bench::new(Limits::default());
        let answer = send(&bench, post(content_type, body)).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::NO_CONTENT, ""));
        assert_eq!(answer.written(), ["1", "0", "0"]);
        assert_eq!(stored(&bench), ["up 1"], "{content_type}");
    }
}

#[tokio::test]
async fn both_paths_are_served_and_headers_of_early_senders_may_be_missing() {
    let bench = Bench::new(Limits::default());
    for path in ["/api/v1/write", "/prometheus/api/v1/write"] {
        let request = Request::post(path).body(Body::from(one())).unwrap();
        assert_eq!(send(&bench, request).await.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(stored(&bench).len(), 2);
    let counter = r#"signalbox_remote_write_accepted_items_total{version="1.0",kind="sample"}"#;
    assert_eq!(bench.counter(counter), 2);
}

#[tokio::test]
async fn other_content_types_are_415_with_what_is_accepted() {
    for content_type in [
        "application/json",
        "image/png",
        "text/plain",
        "application/x-protobuf;proto=io.prometheus.write.v3.Request",
        "application/x-protobuf;proto=",
    ] {
        let bench = Bench::new(Limits::default());
        let answer = send(&bench, post(content_type, one())).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
        assert!(answer.body.contains("io.prometheus.write.v2.Request"), "{}", answer.body);
    }
}

#[tokio::test]
async fn other_encodings_are_415_with_what_is_accepted() {
    let bench = Bench::new(Limits::default());
    for encoding in ["gzip", "deflate", "zstd", "identity", "snappy, gzip"] {
        let mut request = post(V2, one_v2());
        request.headers_mut().insert("content-encoding", encoding.parse().unwrap());
        let answer = send(&bench, request).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{encoding}");
        assert_eq!(answer.header("accept-encoding"), "snappy");
        assert_eq!(answer.written(), ["0", "0", "0"]);
    }
    let counter = r#"signalbox_remote_write_requests_total{version="2.0",code="415"}"#;
    assert_eq!(bench.counter(counter), 5);
}

#[tokio::test]
async fn other_methods_are_405() {
    let bench = Bench::new(Limits::default());
    for method in ["GET", "PUT", "DELETE"] {
        let request =
            Request::builder().method(method).uri("/api/v1/write").body(Body::empty()).unwrap();
        let answer = send(&bench, request).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.header("allow"), "POST");
    }
}

#[tokio::test]
async fn any_version_header_is_tolerated() {
    let bench = Bench::new(Limits::default());
    for version in ["0.1.0", "1.0.0", "2.0.0", "20.5", "x"] {
        let mut request = post(V1, one());
        let header = "x-prometheus-remote-write-version";
        request.headers_mut().insert(header, version.parse().unwrap());
        assert_eq!(send(&bench, request).await.status, StatusCode::NO_CONTENT, "{version}");
    }
}

#[tokio::test]
async fn damaged_bodies_are_400_and_nothing_is_stored() {
    let mut framed = b"\xff\x06\x00\x00sNaPpY".to_vec();
    framed.extend_from_slice(&one());
    let mut flipped = one_v2();
    flipped[0] = b'0';
    let cut = request_v1(vec![series_v1(&[("__name__", "up")], 1.0)]).encode_to_vec();
    for (body, reason) in [
        (Vec::new(), "bad_compression"),
        (b"not snappy at all".to_vec(), "bad_compression"),
        (framed, "bad_compression"),
        (flipped, "bad_compression"),
        (snappy(&cut[..cut.len() - 3]), "bad_protobuf"),
        (snappy(b"\x0a\xff\xff"), "bad_protobuf"),
        // A label value that is not UTF-8.
        (snappy(b"\x0a\x06\x0a\x04\x12\x02\xff\xff"), "bad_protobuf"),
    ] {
        let bench = Bench::new(Limits::default());
        let answer = send(&bench, post(V1, body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{reason}: {}", answer.body);
        let counter = format!(
            "signalbox_remote_write_refused_requests_total{{version=\"1.0\",reason=\"{reason}\"}}"
        );
        assert_eq!(bench.counter(&counter), 1, "{counter}: {}", answer.body);
        assert!(bench.memory.batches.lock().is_empty());
        assert_eq!(answer.header("retry-after"), "");
    }
}

#[tokio::test]
async fn a_message_of_the_other_version_is_not_mistaken() {
    let bench = Bench::new(Limits::default());
    // The field numbers do not overlap: it is a request of nothing.
    let answer = send(&bench, post(V2, one())).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.written(), ["0", "0", "0"]);
    let answer = send(&bench, post(V1, one_v2())).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(stored(&bench).is_empty());
}

#[tokio::test]
async fn a_bomb_is_refused_by_the_length_it_declares() {
    let limits = Limits { remote_write_bytes_max: 1 << 20, ..Default::default() };
    let bench = Bench::new(limits);
    let honest = snappy(&vec![0; (1 << 20) + 1]);
    let answer = send(&bench, post(V1, honest)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.header("connection"), "close");
    assert!(answer.body.contains("1048577"), "{}", answer.body);
    // Four gibibytes, in five bytes.
    let answer = send(&bench, post(V1, vec![0xff, 0xff, 0xff, 0xff, 0x0f])).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    // Within the limit, but more than so few bytes can become.
    let answer = send(&bench, post(V1, vec![0xff, 0xff, 0x3f, 0, 0])).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
    assert!(answer.body.contains("can not unpack"), "{}", answer.body);
}

#[tokio::test]
async fn small_messages_of_nothing_are_stopped_before_they_fill_the_memory() {
    let limits = Limits { remote_write_bytes_max: 1 << 16, ..Default::default() };
    let bench = Bench::new(limits);
    let mut request = request_v1(vec![series_v1(&[("__name__", "up")], 1.0)]);
    request.timeseries[0].samples = vec![Default::default(); 30_000];
    let answer = send_v1(&bench, &request).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.body);
    let mut request = Symbols::new().0;
    request.symbols = vec![String::new(); 30_000];
    let answer = send_v2(&bench, &request).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.body);
    assert!(bench.memory.batches.lock().is_empty());
}

#[tokio::test]
async fn a_store_that_pushes_back_is_429_or_503_with_a_delay() {
    for (kind, status) in [
        (ErrorKind::Exhausted, StatusCode::TOO_MANY_REQUESTS),
        (ErrorKind::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let bench = Bench::new(Limits::default());
        *bench.memory.failure.lock() = Some(kind);
        let answer = send(&bench, post(V2, one_v2())).await;
        assert_eq!((answer.status, answer.header("retry-after")), (status, "1"));
        assert_eq!(answer.written(), ["0", "0", "0"]);
        *bench.memory.failure.lock() = None;
        *bench.memory.commit_failure.lock() = Some(kind);
        let answer = send(&bench, post(V2, one_v2())).await;
        assert_eq!((answer.status, answer.written()), (status, ["0", "0", "0"]));
    }
    let bench = Bench::new(Limits::default());
    *bench.memory.commit_failure.lock() = Some(ErrorKind::Internal);
    let answer = send(&bench, post(V2, one_v2())).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
}

proptest! {
    #[test]
    fn arbitrary_bodies_are_answered_and_never_panic(bytes: Vec<u8>, is_packed: bool, two: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bench = Bench::new(Limits::default());
        let body = if is_packed { snappy(&bytes) } else { bytes };
        let request = post(if two { V2 } else { V1 }, body);
        let status = runtime.block_on(send(&bench, request)).status;
        prop_assert!(status == 204 || status == 400 || status == 413, "{status}");
    }
}
