//! The HTTP API of Loki 3 (`docs/sources/reference/loki-http-api.md`), under `/loki/api/v1`.
//!
//! Errors are plain text, as Loki's are. Answers about volume and patterns come from counts that the
//! store keeps; fields are found by reading some lines.

mod delete;
mod fields;
pub(crate) mod index;
mod labels;
mod patterns;
mod query;
pub(crate) mod range;
mod result;
mod rules;
mod tail;

use std::sync::Arc;

use ::query::logql::{self, Expr, LogExpr};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use model::{ErrorKind, Matcher};

use crate::error::{Error, Result};
use crate::json::Json;
use crate::parameters::Parameters;
use crate::state::{App, Shared};

/// Routes below `/loki/api/v1`.
pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/query", get(query::instant).post(query::instant))
        .route("/query_range", get(query::range).post(query::range))
        .route("/format_query", get(query::format).post(query::format))
        .route("/tail", get(tail::tail))
        .route("/labels", get(labels::names).post(labels::names))
        .route("/label", get(labels::names).post(labels::names))
        .route("/label/{name}/values", get(labels::values).post(labels::values))
        .route("/series", get(labels::series).post(labels::series))
        .route("/index/stats", get(index::stats).post(index::stats))
        .route("/index/volume", get(index::volume).post(index::volume))
        .route("/index/volume_range", get(index::volume_range).post(index::volume_range))
        .route("/detected_labels", get(labels::detected).post(labels::detected))
        .route("/detected_fields", get(fields::fields).post(fields::fields))
        .route("/detected_field/{name}/values", get(fields::values).post(fields::values))
        .route("/patterns", get(patterns::patterns).post(patterns::patterns))
        .route(
            "/delete",
            get(delete::list).post(delete::add).put(delete::add).delete(delete::cancel),
        )
        .route("/drilldown-limits", get(drilldown_limits))
        .route("/rules", get(rules::all))
        .route("/rules/{namespace}", get(rules::of_namespace))
        .route("/rules/{namespace}/{group}", get(rules::one))
        .route("/status/buildinfo", get(buildinfo))
}

/// Old paths, below `/api/prom`; answers are those of the paths of today.
pub(crate) fn legacy_router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/query", get(query::range).post(query::range))
        .route("/tail", get(tail::tail))
        .route("/label", get(labels::names).post(labels::names))
        .route("/label/{name}/values", get(labels::values).post(labels::values))
        .route("/series", get(labels::series).post(labels::series))
        .route("/rules", get(rules::all))
        .route("/rules/{namespace}", get(rules::of_namespace))
        .route("/rules/{namespace}/{group}", get(rules::one))
}

/// What Loki tells operators at its root, as far as it means something here.
pub(crate) fn operator_router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/config", get(config))
        .route("/services", get(services))
        .route("/log_level", get(log_level))
}

/// `config`: the configuration as YAML, secrets masked.
async fn config(State(app): App) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], app.state.status.config_text()).into_response()
}

/// `services`: there is one.
async fn services(State(app): App) -> String {
    let state = if app.state.status.has_started() { "Running" } else { "Starting" };
    format!("signalbox => {state}\n")
}

/// `log_level`: how much this process logs.
async fn log_level() -> Response {
    let level = tracing::level_filters::LevelFilter::current();
    json(|json| json.object([("message", format!("Current log level is {level}").as_str())]))
}

/// A failure in the words of Loki.
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
            ErrorKind::BadRequest
            | ErrorKind::TooLarge
            | ErrorKind::Conflict
            | ErrorKind::Unauthenticated
            // Asking again would cost as much again, so it is the request that must change.
            | ErrorKind::Exhausted => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::Canceled | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, self.0.to_string()).into_response()
    }
}

fn json_response(body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, "application/json; charset=UTF-8")], body.into()).into_response()
}

/// A JSON answer that is made at once.
fn json(write: impl FnOnce(&mut Json)) -> Response {
    let mut json = Json::new();
    write(&mut json);
    json_response(json.finish())
}

/// `{"status":"success","data":...}`.
fn success(data: impl FnOnce(&mut Json)) -> Response {
    json(|json| {
        json.raw(r#"{"status":"success","data":"#);
        data(json);
        json.raw("}");
    })
}

fn parse_text(text: &str) -> Result<Expr> {
    logql::parse(text).map_err(|error| {
        Error::BadRequest(format!(
            "parse error at line {}, col {}: {}",
            error.span.line, error.span.column, error.message
        ))
    })
}

/// The query.
fn parse(parameters: &Parameters) -> Result<Expr> {
    parse_text(parameters.get("query").unwrap_or(""))
}

/// The query, which must be one for lines.
fn parse_log(parameters: &Parameters) -> Result<LogExpr> {
    match parse(parameters)? {
        Expr::Log(log) => Ok(log),
        Expr::Metric(_) => {
            Err(Error::BadRequest("only log selector is supported, not a metric query".into()))
        }
    }
}

/// The stream matchers of a selector. None, and `{}`, mean all streams.
fn matchers(text: Option<&str>) -> Result<Vec<Matcher>> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let inside = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    if inside.is_some_and(|inside| inside.trim().is_empty()) {
        return Ok(Vec::new());
    }
    let expr = parse_text(text)?;
    let matchers = expr.log_exprs().first().map(|log| log.matchers.clone());
    Ok(matchers.unwrap_or_default())
}

/// `drilldown-limits`: what Grafana's Logs Drilldown asks about the server.
async fn drilldown_limits(State(app): App) -> Response {
    let options = &app.state.options;
    json(|json| {
        json.raw_fmt(format_args!(
            "{{\"limits\":{{\"discover_log_levels\":true,\"discover_service_name\":[\"service_name\"],\
             \"log_level_fields\":[\"severity_text\"],\"max_entries_limit_per_query\":{},\
             \"max_line_size_truncate\":false,\"max_query_bytes_read\":\"{}B\",\
             \"pattern_persistence_enabled\":true,\"query_timeout\":\"{}s\",\"volume_enabled\":true,\"volume_max_series\":1000}},\
             \"pattern_ingester_enabled\":true,\"version\":",
            options.log_lines_max,
            options.limits.bytes_max,
            options.limits.timeout.as_secs()
        ));
        json.string(&app.state.build.version);
        json.raw(",\"maxDetectedFields\":1000,\"maxDetectedValues\":1000,\"maxLabelValues\":1000,\"maxLines\":");
        json.raw_fmt(format_args!("{}}}", options.log_lines_max));
    })
}

/// `status/buildinfo`, without an envelope.
async fn buildinfo(State(app): App) -> Response {
    let build = &app.state.build;
    json(|json| {
        json.object([
            ("version", build.version.as_str()),
            ("revision", build.revision.as_str()),
            ("branch", ""),
            ("buildUser", ""),
            ("buildDate", ""),
            ("goVersion", ""),
        ]);
    })
}
