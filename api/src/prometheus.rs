//! The HTTP API of Prometheus (`web/api/v1/api.go` of 3.x), under `/prometheus/api/v1` and
//! `/api/v1`.
//!
//! Every answer is the envelope `status, data, errorType, error, warnings, infos` in this order.

mod admin;
mod cors;
mod features;
mod federate;
mod labels;
mod openapi;
mod query;
mod read;
mod result;
mod routes;
mod rules;
mod search;
mod selectors;
mod statistics;
mod status;
mod targets;
mod tsdb;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use model::ErrorKind;

use crate::error::Error;
use crate::json::Json;
use crate::state::Shared;

pub(crate) use admin::{check_origin, operate};
pub(crate) use federate::federate;
pub(crate) use selectors::selectors;
pub(crate) use status::version;

/// Routes below `/api/v1`.
pub(crate) fn router() -> Router<Arc<Shared>> {
    let mut router = Router::new();
    for route in routes::ROUTES {
        if let Some(handlers) = route.handlers {
            router = router.route(route.path, handlers());
        }
    }
    router.layer(axum::middleware::from_fn(cors::answer))
}

/// A failure in the envelope of Prometheus.
pub(crate) struct Failure(pub(crate) Error);

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.into())
    }
}

impl Failure {
    /// The HTTP status, and Prometheus's word for the kind of failure.
    fn status_and_word(&self) -> (StatusCode, &'static str) {
        match (self.0.kind(), &self.0) {
            // The query was understood and can not be answered, as opposed to a bad parameter.
            (ErrorKind::BadRequest | ErrorKind::Exhausted, Error::Evaluation(_))
            | (ErrorKind::Exhausted, _) => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
            (ErrorKind::BadRequest | ErrorKind::Conflict | ErrorKind::Unauthenticated, _)
            | (ErrorKind::TooLarge, _) => (StatusCode::BAD_REQUEST, "bad_data"),
            (ErrorKind::NotFound, _) => (StatusCode::NOT_FOUND, "not_found"),
            (ErrorKind::Timeout, _) => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
            (ErrorKind::Canceled, _) => (client_closed_request(), "canceled"),
            (ErrorKind::Unavailable, _) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            (ErrorKind::Corrupt | ErrorKind::Internal, _) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        }
    }

    /// Prometheus's sentence, by which clients know an evaluation that was stopped, before our own.
    fn text(&self) -> String {
        let begin = match (self.0.kind(), &self.0) {
            (ErrorKind::Timeout, _) => "query timed out in expression evaluation: ",
            (ErrorKind::Canceled, _) => "query was canceled in expression evaluation: ",
            (ErrorKind::Exhausted, _) => {
                "query processing would load too many samples into memory in expression \
                 evaluation: "
            }
            _ => "",
        };
        format!("{begin}{}", self.0)
    }
}

/// What Prometheus answers to a client that has gone; nobody is there to read it.
fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}

pub(crate) type Answer = Result<Response, Failure>;

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, kind) = self.status_and_word();
        let mut json = Json::new();
        json.raw(r#"{"status":"error","errorType":"#);
        json.string(kind);
        json.raw(r#","error":"#);
        json.web_string(&self.text());
        json.raw("}");
        (status, [(CONTENT_TYPE, "application/json")], json.finish()).into_response()
    }
}

/// Remarks that go along with a result.
#[derive(Debug, Default)]
pub(crate) struct Remarks {
    warnings: Vec<String>,
    infos: Vec<String>,
}

impl Remarks {
    fn add_truncated(&mut self) {
        self.warnings.push("results truncated due to limit".into());
    }
}

/// Writes a good answer.
pub(crate) fn write_success(json: &mut Json, remarks: &Remarks, data: impl FnOnce(&mut Json)) {
    json.raw(r#"{"status":"success","data":"#);
    data(json);
    for (name, texts) in [("warnings", &remarks.warnings), ("infos", &remarks.infos)] {
        if !texts.is_empty() {
            json.raw_fmt(format_args!(",\"{name}\":"));
            json.web_strings(texts);
        }
    }
    json.raw("}");
}

/// A good answer.
pub(crate) fn json_response(body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body.into()).into_response()
}

/// A good answer that is made at once.
pub(crate) fn success(data: impl FnOnce(&mut Json)) -> Response {
    let mut json = Json::new();
    write_success(&mut json, &Remarks::default(), data);
    json_response(json.finish())
}

/// A good answer from a serializable value.
fn success_value(value: &impl serde::Serialize) -> Answer {
    let text = serde_json::to_string(value)
        .map_err(|e| model::Error::new(ErrorKind::Internal, format!("write JSON: {e}")))?;
    Ok(success(|json| json.raw(&text)))
}
