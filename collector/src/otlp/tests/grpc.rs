//! The gRPC edge: codes, details, framing.

use std::io::Write;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use base64_decode as decode;
use http_body_util::BodyExt;
use model::ErrorKind;
use prost::Message;
use proto::generated::opentelemetry::proto::collector::logs::v1::ExportLogsServiceResponse;
use tower::ServiceExt;

use super::sinks::*;
use crate::{Limits, grpc_router};

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

struct Answer {
    status: StatusCode,
    code: String,
    message: String,
    details: Vec<u8>,
    body: Vec<u8>,
}

async fn call(bench: &Bench, path: &str, encoding: Option<&str>, framed: Vec<u8>) -> Answer {
    let mut request = Request::post(path).header("content-type", "application/grpc");
    if let Some(encoding) = encoding {
        request = request.header("grpc-encoding", encoding);
    }
    let request = request.body(Body::from(framed)).unwrap();
    let response = grpc_router(bench.receiver.clone()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let find = |name: &str| {
        let in_map = |map: &HeaderMap| map.get(name).map(|v| v.to_str().unwrap().to_owned());
        in_map(&trailers).or_else(|| in_map(&parts.headers)).unwrap_or_default()
    };
    Answer {
        status: parts.status,
        code: find("grpc-status"),
        message: find("grpc-message"),
        details: decode(&find("grpc-status-details-bin")),
        body: body.to_bytes().to_vec(),
    }
}

/// Standard base64 without padding, as gRPC writes binary headers.
fn base64_decode(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut bytes) = (0u32, 0, Vec::new());
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let value = ALPHABET.iter().position(|c| *c == byte).unwrap() as u32;
        (bits, count) = (bits << 6 | value, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut framed = vec![flag];
    framed.extend((message.len() as u32).to_be_bytes());
    framed.extend(message);
    framed
}

fn one_span() -> Vec<u8> {
    traces(vec![span(1)]).encode_to_vec()
}

#[tokio::test]
async fn plain_and_compressed_messages_arrive() {
    let bench = Bench::new(Limits::default());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&one_span()).unwrap();
    let zstd = zstd::encode_all(one_span().as_slice(), 1).unwrap();
    for (encoding, framed) in [
        (None, frame(0, &one_span())),
        (Some("gzip"), frame(1, &gzip.finish().unwrap())),
        (Some("zstd"), frame(1, &zstd)),
        (Some("gzip"), frame(0, &one_span())),
        (None, frame(0, b"")),
    ] {
        let answer = call(&bench, TRACES, encoding, framed).await;
        assert_eq!((answer.status, answer.code.as_str()), (StatusCode::OK, "0"));
        assert_eq!(answer.body, frame(0, b""));
    }
    assert_eq!(bench.memory.spans.lock().len(), 4);
}

#[tokio::test]
async fn bad_data_is_invalid_argument_and_never_retryable() {
    let bench = Bench::new(Limits::default());
    let mut cut = one_span();
    cut.truncate(cut.len() - 1);
    for framed in [
        frame(0, &cut),
        frame(1, b"not gzip"),
        frame(7, b""),
        frame(0, b"")[..3].to_vec(),
        [frame(0, b""), vec![1, 2]].concat(),
    ] {
        let answer = call(&bench, TRACES, Some("gzip"), framed).await;
        assert_eq!(answer.code, "3", "{}", answer.message);
        assert!(answer.details.is_empty());
    }
    let answer = call(&bench, TRACES, Some("snappy"), frame(1, b"x")).await;
    assert_eq!(answer.code, "12");
}

#[tokio::test]
async fn a_message_over_the_limit_is_resource_exhausted_without_retry_info() {
    let bench = Bench::new(Limits { request_bytes_max: 500, ..Default::default() });
    let big = traces((0..50).map(span).collect()).encode_to_vec();
    let bomb = zstd::encode_all(vec![0; 100_000].as_slice(), 1).unwrap();
    for framed in [frame(0, &big), frame(1, &bomb)] {
        let answer = call(&bench, TRACES, Some("zstd"), framed).await;
        assert_eq!((answer.code.as_str(), answer.details.len()), ("8", 0), "{}", answer.message);
    }
}

#[tokio::test]
async fn overload_carries_retry_info() {
    let bench = Bench::new(Limits::default());
    for (kind, code) in [(ErrorKind::Unavailable, "14"), (ErrorKind::Exhausted, "8")] {
        *bench.memory.failure.lock() = Some(kind);
        let answer = call(&bench, TRACES, None, frame(0, &one_span())).await;
        assert_eq!(answer.code, code);
        let status =
            proto::generated::google::rpc::Status::decode(answer.details.as_slice()).unwrap();
        assert_eq!(status.details[0].type_url, "type.googleapis.com/google.rpc.RetryInfo");
    }
}

#[tokio::test]
async fn refused_items_are_counted_in_partial_success() {
    let bench = Bench::new(Limits { attributes_max: 10, ..Default::default() });
    let many = (0..10_000).map(|i| text(&format!("k{i}"), "v")).collect();
    let records = vec![
        proto::generated::opentelemetry::proto::logs::v1::LogRecord {
            attributes: many,
            ..Default::default()
        },
        proto::generated::opentelemetry::proto::logs::v1::LogRecord {
            time_unix_nano: u64::MAX,
            ..Default::default()
        },
        Default::default(),
    ];
    let answer = call(&bench, LOGS, None, frame(0, &logs(records).encode_to_vec())).await;
    assert_eq!(answer.code, "0");
    let response = ExportLogsServiceResponse::decode(&answer.body[5..]).unwrap();
    let partial = response.partial_success.unwrap();
    assert_eq!(partial.rejected_log_records, 2);
    assert!(partial.error_message.contains("10000 attributes, the limit is 10"));
    assert!(partial.error_message.contains("2262"));
    assert_eq!(bench.memory.logs.lock().len(), 1);
}

#[tokio::test]
async fn what_is_not_served_is_unimplemented() {
    let bench = Bench::new(Limits::default());
    let path = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";
    assert_eq!(call(&bench, path, None, frame(0, b"")).await.code, "12");
    let request = Request::post(TRACES).header("content-type", "application/json");
    let request = request.body(Body::empty()).unwrap();
    let response = grpc_router(bench.receiver.clone()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}
