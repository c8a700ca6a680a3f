//! The HTTP API of Tempo 3 (`docs/sources/tempo/api_docs`), under `/tempo`, and its gRPC search.
//!
//! Answers are shaped as golang/protobuf's jsonpb shapes Tempo's messages, because Grafana reads them
//! with that library and refuses unknown keys: 64-bit numbers are strings, enums are names, bytes
//! are base64. The latter also holds for the ids inside a trace (grafana/tempo issue 5437), while
//! ids in search results are hex texts. Errors are plain text.

mod message;
mod metrics;
mod search;
mod streaming;
mod tags;
#[cfg(test)]
mod tests;
mod trace;
mod wire;

use std::sync::Arc;

use ::query::traceql;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use model::read::RangeNs;
use model::{ErrorKind, TimestampNs};

use crate::error::{Error, Result};
use crate::json::Json;
use crate::management;
use crate::parameters::Parameters;
use crate::state::{App, Shared};

/// Routes below `/tempo`, and the path at which gRPC clients call, whatever the base.
pub(crate) fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let querier = streaming::streaming_querier(shared.clone());
    Router::new()
        .nest("/tempo", http_router())
        .route_service("/tempopb.StreamingQuerier/{method}", querier)
}

fn http_router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/ready", get(management::ready))
        .route("/api/echo", get(echo))
        .route("/api/status/buildinfo", get(buildinfo))
        .route("/api/traces/{id}", get(trace::v1))
        .route("/api/v2/traces/{id}", get(trace::v2))
        .route("/api/search", get(search::search))
        .route("/api/search/tags", get(tags::names_v1))
        .route("/api/v2/search/tags", get(tags::names_v2))
        // The name of a tag may contain slashes, and only the last part of a path may be of any
        // length; the handlers look for `/values` themselves.
        .route("/api/search/tag/{*name}", get(tags::values_v1))
        .route("/api/v2/search/tag/{*name}", get(tags::values_v2))
        .route("/api/metrics/query_range", get(metrics::range_query))
        .route("/api/metrics/query", get(metrics::instant))
}

/// A failure in the words of Tempo: a status and a text.
pub(crate) struct Failure(Error);

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.into())
    }
}

type Answer = Result<Response, Failure>;

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.0.kind() {
            ErrorKind::BadRequest | ErrorKind::Conflict | ErrorKind::Unauthenticated => {
                StatusCode::BAD_REQUEST
            }
            // Asking again would cost as much again, so it is the request that must change.
            ErrorKind::TooLarge | ErrorKind::Exhausted => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::Canceled | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, self.0.to_string()).into_response()
    }
}

/// An error of the language in the terms of this crate.
fn language_error(error: traceql::Error) -> Error {
    match error {
        traceql::Error::Source(error) => Error::Source(error),
        other if other.kind() == ErrorKind::BadRequest => Error::BadRequest(other.to_string()),
        other => Error::Source(model::Error::new(other.kind(), other.to_string())),
    }
}

fn json_response(json: Json) -> Response {
    ([(CONTENT_TYPE, "application/json")], json.finish()).into_response()
}

/// `start` and `end`, where they are given; the end is included.
fn time_range(parameters: &Parameters) -> Result<RangeNs> {
    let start = parameters.time_ns("start")?.unwrap_or(TimestampNs::MIN);
    let end = parameters.time_ns("end")?.map_or(TimestampNs::MAX, |end| end.plus_ns(1));
    if start >= end {
        return Err(Error::BadRequest("invalid range: start must be before end".into()));
    }
    Ok(RangeNs { start, end })
}

/// `api/echo`: Grafana's health check.
async fn echo() -> &'static str {
    "echo"
}

/// `api/status/buildinfo`.
async fn buildinfo(State(app): App) -> Response {
    let build = &app.state.build;
    let mut json = Json::new();
    json.object([
        ("version", build.version.as_str()),
        ("revision", build.revision.as_str()),
        ("branch", ""),
        ("buildUser", ""),
        ("buildDate", ""),
        ("goVersion", ""),
    ]);
    json_response(json)
}
