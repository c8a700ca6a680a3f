//! The routes of Loki push, and what its headers mean.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::routing::any;

use crate::body::{self, Encoding};
use crate::otlp::http::{plain, status_label};
use crate::otlp::receiver::{Format, Receiver, refusals_message};
use crate::rejection::Rejection;

/// The paths: today's, and the one from before Loki 1.0 that agents still know.
const PATHS: [&str; 2] = ["/loki/api/v1/push", "/api/prom/push"];

/// The routes. Served on the ports of OTLP/HTTP and of queries.
pub(crate) fn router(receiver: Arc<Receiver>) -> Router {
    let mut router = Router::new();
    for path in PATHS {
        let handler = async |State(receiver): State<Arc<Receiver>>, request: Request| {
            push(&receiver, request).await
        };
        router = router.route(path, any(handler));
    }
    router.with_state(receiver)
}

async fn push(receiver: &Receiver, request: Request) -> Response<Body> {
    let (head, request_body) = request.into_parts();
    let answer = match negotiate(&head.method, &head.headers) {
        Err(refusal) => *refusal,
        Ok((format, encoding)) => {
            let mut reservation = receiver.reservation();
            let (size_max, timeout) =
                (receiver.limits.request_bytes_max, receiver.limits.body_timeout);
            let read = body::read(request_body, size_max, timeout, &mut reservation).await;
            let result = match read {
                Ok(wire) => receiver.loki_push(format, encoding, wire, reservation).await,
                Err(rejection) => {
                    receiver.telemetry.loki_push.refused(&rejection);
                    Err(rejection)
                }
            };
            match result {
                Ok(outcome) if outcome.refused.is_empty() => {
                    let mut answer = Response::new(Body::empty());
                    *answer.status_mut() = StatusCode::NO_CONTENT;
                    answer
                }
                Ok(outcome) => {
                    let (kept, refused) = (outcome.accepted, refusals_message(&outcome));
                    plain(StatusCode::BAD_REQUEST, format!("{kept} lines were kept; {refused}"))
                }
                Err(rejection) => refuse(&rejection),
            }
        }
    };
    receiver.telemetry.loki_push.request(status_label(answer.status()));
    answer
}

fn refuse(rejection: &Rejection) -> Response<Body> {
    let mut answer = plain(rejection.http_status(), rejection.message.clone());
    rejection.put_headers(answer.headers_mut());
    answer
}

/// How the body is written and packed, by method, type and encoding. Protobuf is packed with snappy
/// whether a header says so or not; a missing type means it.
fn negotiate(
    method: &Method,
    headers: &HeaderMap,
) -> Result<(Format, Encoding), Box<Response<Body>>> {
    if method != Method::POST {
        let message = format!("method {method} is not allowed, only POST is");
        let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, message);
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Err(Box::new(answer));
    }
    let media_type = match headers.get(CONTENT_TYPE).map(|value| value.to_str()) {
        None => "",
        Some(Err(_)) => "?",
        Some(Ok(value)) => value.split(';').next().unwrap_or_default().trim(),
    };
    let format = match media_type.to_ascii_lowercase().as_str() {
        "" | "application/x-protobuf" | "application/protobuf" => Format::Protobuf,
        "application/json" => Format::Json,
        _ => {
            let message = format!(
                "content type {media_type:?} is not known: it must be application/json, or \
                 application/x-protobuf with a snappy block"
            );
            return Err(Box::new(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)));
        }
    };
    let encoding = match headers.get(CONTENT_ENCODING).map(|value| value.to_str()) {
        None => Some(Encoding::Identity),
        Some(Ok(name)) if format == Format::Protobuf && name.eq_ignore_ascii_case("snappy") => {
            Some(Encoding::Identity)
        }
        Some(name) => name.ok().and_then(Encoding::parse),
    };
    encoding.map(|encoding| (format, encoding)).ok_or_else(|| {
        let accepted = match format {
            Format::Protobuf => "snappy, gzip, zstd, deflate",
            Format::Json => "gzip, zstd, deflate",
        };
        let message = format!("content encoding must be one of {accepted}, or none");
        let mut answer = plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
        answer.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(accepted));
        Box::new(answer)
    })
}
