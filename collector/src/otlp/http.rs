//! OTLP over HTTP: `POST /v1/{traces,metrics,logs}` and the aliases that exporters are configured
//! with, in protobuf and JSON.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue,
};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::routing::any;
use proto::{Signal, response};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer, ExposeHeaders};

use crate::body::{self, Encoding};
use crate::otlp::receiver::{Format, Receiver, partial_message};
use crate::rejection::Rejection;
use crate::{loki_push, remote_write};

/// Which browsers may send telemetry; the Collector's keys. Without origins, none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cors {
    /// Exact origins, or patterns with `*` for any run of characters.
    pub allowed_origins: Vec<String>,
    /// Request headers beside the usual ones.
    pub allowed_headers: Vec<String>,
    /// Response headers that scripts may read.
    pub exposed_headers: Vec<String>,
    /// How long a browser may remember the answer, in seconds.
    pub max_age_seconds: u64,
}

/// The paths of each signal: OTLP's own, and those that Loki, Prometheus and Mimir serve.
const PATHS: [(&str, Signal); 7] = [
    ("/v1/traces", Signal::Traces),
    ("/v1/metrics", Signal::Metrics),
    ("/v1/logs", Signal::Logs),
    ("/otlp/v1/traces", Signal::Traces),
    ("/otlp/v1/metrics", Signal::Metrics),
    ("/otlp/v1/logs", Signal::Logs),
    ("/api/v1/otlp/v1/metrics", Signal::Metrics),
];

/// The routes of OTLP, of remote write and of Loki push. Also served on the query port, where other senders expect
/// them.
pub fn router(receiver: Arc<Receiver>, cors: &Cors) -> Router {
    let mut router = Router::new();
    for (path, signal) in PATHS {
        let handler = move |State(receiver): State<Arc<Receiver>>, request: Request| async move {
            export(&receiver, signal, request).await
        };
        router = router.route(path, any(handler));
    }
    let router = router.with_state(receiver.clone());
    let router =
        if cors.allowed_origins.is_empty() { router } else { router.layer(cors_layer(cors)) };
    // No browser sends remote write, or pushes to Loki.
    router
        .merge(remote_write::http::router(receiver.clone()))
        .merge(loki_push::http::router(receiver))
}

fn cors_layer(cors: &Cors) -> CorsLayer {
    let origins = cors.allowed_origins.clone();
    let names = |names: &[String]| -> Vec<HeaderName> {
        names.iter().filter_map(|name| name.parse().ok()).collect()
    };
    let mut allowed = names(&cors.allowed_headers);
    allowed.extend([CONTENT_TYPE, CONTENT_ENCODING]);
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| {
            origin
                .to_str()
                .is_ok_and(|origin| origins.iter().any(|pattern| matches_wildcard(pattern, origin)))
        }))
        .allow_methods([Method::POST])
        .allow_headers(AllowHeaders::list(allowed))
        .expose_headers(ExposeHeaders::list(names(&cors.exposed_headers)))
        .allow_credentials(true)
        .max_age(std::time::Duration::from_secs(cors.max_age_seconds))
}

/// Whether `text` is `pattern` with each `*` replaced by some text.
fn matches_wildcard(pattern: &str, text: &str) -> bool {
    let Some((prefix, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(prefix) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    true
}

async fn export(receiver: &Receiver, signal: Signal, request: Request) -> Response<Body> {
    let (head, request_body) = request.into_parts();
    if head.method != Method::POST {
        receiver.telemetry.request(signal, "http", "405");
        let mut answer = plain(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("method {} is not allowed, only POST is", head.method),
        );
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return answer;
    }
    let Some(format) = format(&head.headers) else {
        receiver.telemetry.request(signal, "http", "415");
        receiver.telemetry.refused(signal, "content_type");
        return plain(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content type must be application/x-protobuf or application/json".to_owned(),
        );
    };
    let Some(encoding) = encoding(&head.headers) else {
        receiver.telemetry.request(signal, "http", "415");
        receiver.telemetry.refused(signal, "content_encoding");
        let mut answer = plain(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content encoding must be identity, gzip, zstd or deflate".to_owned(),
        );
        let accepted = HeaderValue::from_static("gzip, zstd, deflate");
        answer.headers_mut().insert(ACCEPT_ENCODING, accepted);
        return answer;
    };
    let limits = receiver.limits;
    let mut reservation = receiver.reservation();
    let (size_max, timeout) = (limits.request_bytes_max, limits.body_timeout);
    let read = body::read(request_body, size_max, timeout, &mut reservation).await;
    let result = match read {
        Ok(wire) => receiver.export(signal, format, encoding, wire, reservation).await,
        Err(rejection) => {
            receiver.count_refused(signal, &rejection);
            Err(rejection)
        }
    };
    match result {
        Ok(exported) => {
            receiver.telemetry.request(signal, "http", "200");
            let rejected = i64::try_from(exported.outcome.refused_count()).unwrap_or(i64::MAX);
            let message = partial_message(&exported);
            let body = match format {
                Format::Protobuf => response::partial_success_bytes(signal, rejected, &message),
                Format::Json => {
                    response::partial_success_json(signal, rejected, &message).into_bytes()
                }
            };
            answer(StatusCode::OK, format, body)
        }
        Err(rejection) => refuse(receiver, signal, format, &rejection),
    }
}

fn refuse(
    receiver: &Receiver,
    signal: Signal,
    format: Format,
    rejection: &Rejection,
) -> Response<Body> {
    let status = rejection.http_status();
    receiver.telemetry.request(signal, "http", status_label(status));
    let code = rejection.grpc_code() as i32;
    let body = match format {
        Format::Protobuf => response::status_bytes(code, &rejection.message, rejection.retry_after),
        Format::Json => response::status_json(code, &rejection.message).into_bytes(),
    };
    let mut answer = answer(status, format, body);
    rejection.put_headers(answer.headers_mut());
    answer
}

pub(crate) fn status_label(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200 => "200",
        204 => "204",
        400 => "400",
        413 => "413",
        429 => "429",
        405 => "405",
        415 => "415",
        503 => "503",
        _ => "500",
    }
}

/// Only the media type counts; parameters such as a charset are ignored.
fn format(headers: &HeaderMap) -> Option<Format> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/x-protobuf" | "application/protobuf" => Some(Format::Protobuf),
        "application/json" => Some(Format::Json),
        _ => None,
    }
}

pub(crate) fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    match headers.get(CONTENT_ENCODING) {
        None => Some(Encoding::Identity),
        Some(value) => Encoding::parse(value.to_str().ok()?),
    }
}

pub(crate) fn plain(status: StatusCode, message: String) -> Response<Body> {
    let mut response = Response::new(Body::from(message + "\n"));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

fn answer(status: StatusCode, format: Format, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = match format {
        Format::Protobuf => HeaderValue::from_static("application/x-protobuf"),
        Format::Json => HeaderValue::from_static("application/json"),
    };
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_match_with_wildcards() {
        assert!(matches_wildcard("https://*.shop.example", "https://a.b.shop.example"));
        assert!(matches_wildcard("*", "https://x"));
        assert!(matches_wildcard("http://localhost:*", "http://localhost:3000"));
        assert!(!matches_wildcard("https://*.shop.example", "https://shop.example.evil"));
        assert!(!matches_wildcard("https://shop.example", "https://shop.example.evil"));
    }
}
