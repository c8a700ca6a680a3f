//! The HTTP API v2 of Alertmanager (`api/v2/openapi.yaml`), under `/alertmanager/api/v2` only.
//!
//! Clients are generated from the OpenAPI file and strict: lists are never `null`, required keys are
//! there even if empty, errors are JSON strings.

mod alerts;
mod matchers;
mod silences;
mod status;

use std::sync::Arc;

use alertmanager::Engine;
use axum::Router;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use model::clock::parse_rfc3339;
use model::{ErrorKind, TimestampMs, TimestampNs};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::json::Json;
use crate::state::Shared;

/// Routes below `/alertmanager/api/v2`.
pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/status", get(status::status))
        .route("/receivers", get(status::receivers))
        .route("/alerts", get(alerts::list).post(alerts::post))
        .route("/alerts/groups", get(alerts::groups))
        .route("/silences", get(silences::list).post(silences::post))
        .route("/silence/{id}", get(silences::one).delete(silences::expire))
}

/// A failure in the words of Alertmanager: a JSON string.
pub(crate) struct Failure {
    kind: ErrorKind,
    /// Where the kind does not tell it.
    status: Option<StatusCode>,
    message: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure { kind: error.kind(), status: None, message: error.to_string() }
    }
}

impl From<alertmanager::Error> for Failure {
    fn from(error: alertmanager::Error) -> Self {
        Failure { kind: error.kind(), status: None, message: error.to_string() }
    }
}

impl Failure {
    fn bad_request(message: impl Into<String>) -> Self {
        Failure { kind: ErrorKind::BadRequest, status: None, message: message.into() }
    }
}

type Answer = Result<Response, Failure>;

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.status.unwrap_or(match self.kind {
            ErrorKind::BadRequest | ErrorKind::Conflict | ErrorKind::Unauthenticated => {
                StatusCode::BAD_REQUEST
            }
            ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Exhausted | ErrorKind::Timeout | ErrorKind::Unavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ErrorKind::Canceled | ErrorKind::Corrupt | ErrorKind::Internal => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        });
        let mut json = Json::new();
        json.string(&self.message);
        (status, [(CONTENT_TYPE, "application/json")], json.finish()).into_response()
    }
}

fn json_response(value: &impl Serialize) -> Answer {
    let text = serde_json::to_string(value).map_err(|error| Failure {
        kind: ErrorKind::Internal,
        status: None,
        message: format!("write JSON: {error}"),
    })?;
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}

/// Reads a JSON body. Another content type is refused, as Alertmanager does: a form on a foreign web
/// page can send anything but JSON to this port without the browser asking first.
fn read_json<T: DeserializeOwned>(
    what: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<T, Failure> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !kind
        .split(';')
        .next()
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    {
        return Err(Failure {
            status: Some(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            ..Failure::bad_request(format!(
                "unsupported media type {kind:?}, only [application/json] are allowed"
            ))
        });
    }
    serde_json::from_slice(body)
        .map_err(|error| Failure::bad_request(format!("parsing {what} body failed: {error}")))
}

/// Asks the engine on a blocking thread: it may wait for its lock while another call writes to disk.
async fn ask<T: Send + 'static>(
    app: &Shared,
    question: impl FnOnce(&Engine, TimestampMs) -> Result<T, alertmanager::Error> + Send + 'static,
) -> Result<T, Failure> {
    let (engine, now) = (app.state.alertmanager.clone(), app.state.clock.now_ms());
    let joined = tokio::task::spawn_blocking(move || question(&engine, now)).await;
    let outcome = joined.map_err(|error| {
        tracing::error!(%error, "a request to the alertmanager panicked");
        Failure::from(Error::Defect)
    })?;
    Ok(outcome?)
}

/// RFC 3339 times of the API. Go's zero time means that there is none; years that do not fit into
/// nanoseconds, which people write for `forever`, are clamped.
fn read_time(name: &str, text: Option<&str>) -> Result<Option<TimestampMs>, Failure> {
    let Some(text) =
        text.filter(|text| !text.is_empty() && !text.starts_with("0001-01-01T00:00:00"))
    else {
        return Ok(None);
    };
    if let Some(at) = parse_rfc3339(text) {
        return Ok(Some(at.to_ms()));
    }
    // Another year of the same shape tells whether only the year is out of reach.
    let is_far = text.get(..4).and_then(|year| year.parse::<u32>().ok()).is_some_and(|y| y > 2261);
    let reachable = text.get(4..).map(|rest| format!("2260{rest}"));
    if is_far && reachable.is_some_and(|text| parse_rfc3339(&text).is_some()) {
        return Ok(Some(TimestampNs::MAX.to_ms()));
    }
    Err(Failure::bad_request(format!("{name}: {text:?} is not an RFC 3339 time")))
}
