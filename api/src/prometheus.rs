//! The HTTP API of Prometheus (`web/api/v1/api.go` of 3.x), under `/prometheus/api/v1` and
//! `/api/v1`.
//!
//! Every answer is the envelope `status, data, errorType, error, warnings, infos` in this order.

mod admin;
mod labels;
mod query;
mod result;
mod rules;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use model::ErrorKind;

use crate::error::Error;
use crate::json::Json;
use crate::state::Shared;

pub(crate) use admin::{check_origin, operate};

/// Routes below `/api/v1`.
pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/query", get(query::instant).post(query::instant))
        .route("/query_range", get(query::range).post(query::range))
        .route("/query_exemplars", get(query::exemplars).post(query::exemplars))
        .route("/format_query", get(query::format).post(query::format))
        .route("/series", get(labels::series).post(labels::series))
        .route("/labels", get(labels::names).post(labels::names))
        .route("/label/{name}/values", get(labels::values))
        .route("/metadata", get(labels::metadata))
        .route("/rules", get(rules::rules))
        .route("/alerts", get(rules::alerts))
        .route("/status/buildinfo", get(status::buildinfo))
        .route("/status/runtimeinfo", get(status::runtimeinfo))
        .route("/status/config", get(status::config))
        .route("/status/flags", get(status::flags))
        .route("/status/tsdb", get(status::tsdb))
        .route("/admin/tsdb/snapshot", post(admin::snapshot).put(admin::snapshot))
        .route("/admin/tsdb/delete_series", post(admin::delete_series).put(admin::delete_series))
        .route("/admin/tsdb/clean_tombstones", post(admin::clean).put(admin::clean))
}

/// A failure in the envelope of Prometheus.
pub(crate) struct Failure(pub(crate) Error);

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.into())
    }
}

pub(crate) type Answer = Result<Response, Failure>;

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, kind) = match (self.0.kind(), &self.0) {
            // The query was understood and can not be answered, as opposed to a bad parameter.
            (ErrorKind::BadRequest | ErrorKind::Exhausted, Error::Evaluation(_))
            | (ErrorKind::Exhausted, _) => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
            (ErrorKind::BadRequest | ErrorKind::Conflict | ErrorKind::Unauthenticated, _) => {
                (StatusCode::BAD_REQUEST, "bad_data")
            }
            (ErrorKind::TooLarge, _) => (StatusCode::BAD_REQUEST, "bad_data"),
            (ErrorKind::NotFound, _) => (StatusCode::NOT_FOUND, "not_found"),
            (ErrorKind::Timeout, _) => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
            (ErrorKind::Canceled, _) => (StatusCode::SERVICE_UNAVAILABLE, "canceled"),
            (ErrorKind::Unavailable, _) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            (ErrorKind::Corrupt | ErrorKind::Internal, _) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        };
        let mut json = Json::new();
        json.raw(r#"{"status":"error","errorType":"#);
        json.string(kind);
        json.raw(r#","error":"#);
        json.string(&self.0.to_string());
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
            json.strings(texts);
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
