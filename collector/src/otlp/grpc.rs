//! OTLP over gRPC: the three unary `Export` calls.
//!
//! The framing is done here rather than by tonic's codec, for three reasons: requests are decoded
//! from borrowed bytes, not into prost types; tonic answers `OUT_OF_RANGE` (which OTLP clients
//! retry) to a message over the limit where OTLP wants `RESOURCE_EXHAUSTED`; and it answers
//! `INTERNAL` to broken gzip where OTLP wants `INVALID_ARGUMENT`. Codes, statuses and their headers
//! are tonic's.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::routing::any;
use bytes::{BufMut, Bytes, BytesMut};
use hyper::body::Frame;
use model::ErrorKind;
use proto::{Signal, response};
use tonic::{Code, Status};

use crate::body::{self, Encoding};
use crate::otlp::receiver::{Format, Receiver, partial_message};
use crate::rejection::Rejection;

const PATHS: [(&str, Signal); 3] = [
    ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", Signal::Traces),
    ("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", Signal::Metrics),
    ("/opentelemetry.proto.collector.logs.v1.LogsService/Export", Signal::Logs),
];

/// The compressed flag and a length of four bytes.
const PREFIX_BYTES: usize = 5;

/// The routes of the gRPC port. Every other path, profiles among them, is `UNIMPLEMENTED`.
pub fn router(receiver: Arc<Receiver>) -> Router {
    let mut router = Router::new();
    for (path, signal) in PATHS {
        let handler = move |State(receiver): State<Arc<Receiver>>, request: Request| async move {
            export(&receiver, signal, request).await
        };
        router = router.route(path, any(handler));
    }
    router.with_state(receiver).fallback(|request: Request| async move {
        let path = request.uri().path().to_owned();
        status_response(Status::unimplemented(format!(
            "{path} is not served here; traces, metrics and logs are"
        )))
    })
}

async fn export(receiver: &Receiver, signal: Signal, request: Request) -> Response<Body> {
    let (head, request_body) = request.into_parts();
    let is_grpc = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if head.method != Method::POST
        || !is_grpc.is_some_and(|value| value.starts_with("application/grpc"))
    {
        receiver.telemetry.request(signal, "grpc", "415");
        receiver.telemetry.refused(signal, "content_type");
        let mut response = Response::new(Body::from(
            "this port speaks gRPC; OTLP over HTTP is served on its own port\n",
        ));
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    match export_message(receiver, signal, &head.headers, request_body).await {
        Ok(message) => {
            receiver.telemetry.request(signal, "grpc", "Ok");
            message_response(message)
        }
        Err(status) => {
            receiver.telemetry.request(signal, "grpc", code_label(status.code()));
            status_response(status)
        }
    }
}

async fn export_message(
    receiver: &Receiver,
    signal: Signal,
    headers: &HeaderMap,
    request_body: Body,
) -> Result<Vec<u8>, Status> {
    let refuse = |rejection: Rejection| {
        receiver.count_refused(signal, &rejection);
        to_status(&rejection)
    };
    let limits = receiver.limits;
    let framed_max = limits.request_bytes_max + PREFIX_BYTES;
    let mut reservation = receiver.reservation();
    let framed = body::read(request_body, framed_max, limits.body_timeout, &mut reservation)
        .await
        .map_err(refuse)?;
    let (is_compressed, message) = unframe(framed).map_err(refuse)?;
    let encoding = match (is_compressed, headers.get("grpc-encoding")) {
        (false, _) => Encoding::Identity,
        (true, name) => match name.and_then(|name| name.to_str().ok()).and_then(Encoding::parse) {
            Some(encoding @ (Encoding::Gzip | Encoding::Zstd)) => encoding,
            _ => {
                receiver.telemetry.refused(signal, "content_encoding");
                let mut status = Status::unimplemented(
                    "the message is compressed in a way that is not supported; identity, gzip and \
                     zstd are",
                );
                let accepted = HeaderValue::from_static("identity,gzip,zstd");
                status.metadata_mut().insert(
                    "grpc-accept-encoding",
                    tonic::metadata::MetadataValue::try_from(accepted.as_bytes())
                        .map_err(|e| Status::internal(e.to_string()))?,
                );
                return Err(status);
            }
        },
    };
    let exported = receiver
        .export(signal, Format::Protobuf, encoding, message, reservation)
        .await
        .map_err(|rejection| to_status(&rejection))?;
    let rejected = i64::try_from(exported.outcome.refused_count()).unwrap_or(i64::MAX);
    Ok(response::partial_success_bytes(signal, rejected, &partial_message(&exported)))
}

/// The one message of a unary call.
fn unframe(framed: Bytes) -> Result<(bool, Bytes), Rejection> {
    let bad = |message: String| Rejection::permanent("bad_framing", ErrorKind::BadRequest, message);
    let Some(prefix) = framed.first_chunk::<PREFIX_BYTES>() else {
        return Err(bad(format!("a gRPC message is missing: the body has {} bytes", framed.len())));
    };
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    let compressed_flag = prefix[0];
    let message = framed.slice(PREFIX_BYTES..);
    if length != message.len() {
        return Err(bad(format!(
            "the gRPC prefix announces a message of {length} bytes, {} came",
            message.len()
        )));
    }
    match compressed_flag {
        0 => Ok((false, message)),
        1 => Ok((true, message)),
        flag => Err(bad(format!("the gRPC compressed flag is {flag}, 0 and 1 are valid"))),
    }
}

fn to_status(rejection: &Rejection) -> Status {
    let code = rejection.grpc_code();
    match rejection.retry_after {
        None => Status::new(code, rejection.message.clone()),
        Some(_) => {
            let details =
                response::status_bytes(code as i32, &rejection.message, rejection.retry_after);
            Status::with_details(code, rejection.message.clone(), details.into())
        }
    }
}

fn status_response(status: Status) -> Response<Body> {
    status.into_http()
}

fn message_response(message: Vec<u8>) -> Response<Body> {
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.extend_from_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Frame::data(framed.freeze()), Frame::trailers(trailers)];
    let frames = frames.into_iter().map(Ok::<_, Infallible>);
    let mut response =
        Response::new(Body::new(http_body_util::StreamBody::new(tokio_stream::iter(frames))));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, grpc);
    response
}

fn code_label(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument => "InvalidArgument",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::Unavailable => "Unavailable",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::Unimplemented => "Unimplemented",
        _ => "Internal",
    }
}
