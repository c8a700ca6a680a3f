//! The routes of remote write, and what its headers mean.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use axum::routing::any;
use model::write::WriteOutcome;

use super::Version;
use crate::body;
use crate::otlp::http::{plain, status_label};
use crate::otlp::receiver::{Receiver, refusals_message};
use crate::rejection::Rejection;

/// The paths: Prometheus's own, and under the prefix that the query port has for Grafana.
const PATHS: [&str; 2] = ["/api/v1/write", "/prometheus/api/v1/write"];

const SAMPLES_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-histograms-written");
const EXEMPLARS_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

/// The routes. Served on the ports of OTLP/HTTP and of queries.
pub(crate) fn router(receiver: Arc<Receiver>) -> Router {
    let mut router = Router::new();
    for path in PATHS {
        let handler = async |State(receiver): State<Arc<Receiver>>, request: Request| {
            write(&receiver, request).await
        };
        router = router.route(path, any(handler));
    }
    router.with_state(receiver)
}

async fn write(receiver: &Receiver, request: Request) -> Response<Body> {
    let (head, request_body) = request.into_parts();
    let telemetry = &receiver.telemetry.remote_write;
    let (version, answer) = match negotiate(&head.method, &head.headers) {
        Err(refusal) => {
            telemetry.request(refusal.version, refusal.code);
            (refusal.version, refusal.answer)
        }
        Ok(version) => {
            let mut reservation = receiver.reservation();
            let limits = receiver.limits;
            let (size_max, timeout) = (limits.remote_write_bytes_max, limits.body_timeout);
            let read = body::read(request_body, size_max, timeout, &mut reservation).await;
            let result = match read {
                Ok(wire) => receiver.remote_write(version, wire, reservation).await,
                Err(rejection) => {
                    telemetry.refused(version, &rejection);
                    Err(rejection)
                }
            };
            let answer = match result {
                Ok(outcome) => written(&outcome),
                Err(rejection) => refuse(&rejection),
            };
            telemetry.request(version, status_label(answer.status()));
            (version, answer)
        }
    };
    with_counts(version, answer)
}

/// A request that is refused for its headers.
struct HeaderRefusal {
    version: Version,
    code: &'static str,
    answer: Response<Body>,
}

/// Which message the request has, by its method, type and encoding. Both headers may be missing, as
/// early senders of 1.0 left them out; version headers say nothing that the type does not.
fn negotiate(method: &Method, headers: &HeaderMap) -> Result<Version, Box<HeaderRefusal>> {
    let refuse = |version, code, answer| Err(Box::new(HeaderRefusal { version, code, answer }));
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    let version = content_type.map_or(Some(Version::V1), parse_content_type);
    if method != Method::POST {
        let message = format!("method {method} is not allowed, only POST is");
        let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, message);
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return refuse(version.unwrap_or(Version::V1), "405", answer);
    }
    let Some(version) = version else {
        let message = "content type must be application/x-protobuf, with \
                       proto=prometheus.WriteRequest (the default) or \
                       proto=io.prometheus.write.v2.Request";
        let answer = plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, message.to_owned());
        return refuse(Version::V1, "415", answer);
    };
    let encoding = headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim());
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("snappy")) {
        let message = "content encoding must be snappy, in the block format".to_owned();
        let mut answer = plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
        answer.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("snappy"));
        return refuse(version, "415", answer);
    }
    Ok(version)
}

/// The message that a content type names; `None` if it is not one of remote write.
fn parse_content_type(value: &str) -> Option<Version> {
    let mut parts = value.split(';').map(str::trim);
    if !parts.next().unwrap_or_default().eq_ignore_ascii_case("application/x-protobuf") {
        return None;
    }
    let proto = parts.filter_map(|part| part.split_once('=')).find_map(|(name, value)| {
        name.trim().eq_ignore_ascii_case("proto").then(|| value.trim().trim_matches('"'))
    });
    match proto {
        None | Some("prometheus.WriteRequest") => Some(Version::V1),
        Some("io.prometheus.write.v2.Request") => Some(Version::V2),
        Some(_) => None,
    }
}

/// The answer to a request that was kept, whole or in part.
fn written(outcome: &WriteOutcome) -> Response<Body> {
    let mut answer = if outcome.refused.is_empty() {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        answer
    } else {
        let message = format!(
            "{} samples and histograms and {} exemplars were kept; {}",
            outcome.accepted,
            outcome.exemplars,
            refusals_message(outcome)
        );
        plain(StatusCode::BAD_REQUEST, message)
    };
    let headers = answer.headers_mut();
    let samples = outcome.accepted.saturating_sub(outcome.histograms);
    headers.insert(SAMPLES_WRITTEN, HeaderValue::from(samples));
    headers.insert(HISTOGRAMS_WRITTEN, HeaderValue::from(outcome.histograms));
    headers.insert(EXEMPLARS_WRITTEN, HeaderValue::from(outcome.exemplars));
    answer
}

/// Every answer to 2.0 says what was written, also when it was nothing.
fn with_counts(version: Version, mut answer: Response<Body>) -> Response<Body> {
    if version == Version::V2 {
        for name in [SAMPLES_WRITTEN, HISTOGRAMS_WRITTEN, EXEMPLARS_WRITTEN] {
            answer.headers_mut().entry(name).or_insert(HeaderValue::from_static("0"));
        }
    }
    answer
}

fn refuse(rejection: &Rejection) -> Response<Body> {
    let mut answer = plain(rejection.http_status(), rejection.message.clone());
    rejection.put_headers(answer.headers_mut());
    answer
}
