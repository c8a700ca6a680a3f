//! Health, metrics, and a page for people.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::prometheus;
use crate::state::{App, Shared};

/// Management routes at the root.
pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .route("/-/quit", lifecycle())
        .route("/-/reload", lifecycle())
        .route("/version", get(prometheus::version))
        .route("/federate", get(prometheus::federate))
        .route("/ready", get(ready))
        .route("/health/live", get(healthy))
        .route("/health/ready", get(ready))
        .route("/health/startup", get(startup))
}

/// Probes below a base, where clients of that dialect look for them.
pub(crate) fn probes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/healthy", get(healthy))
        .route("/ready", get(ready))
        .route("/quit", lifecycle())
        .route("/reload", lifecycle())
}

/// What Prometheus answers where stopping and reloading over HTTP is not enabled: here it never is.
fn lifecycle() -> MethodRouter<Arc<Shared>> {
    let refuse = async || (StatusCode::FORBIDDEN, "Lifecycle API is not enabled.");
    let other = async || (StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed");
    post(refuse).put(refuse).get(other)
}

/// Alive: the process answers. It never looks at anything else, so that a full disk does not make a
/// supervisor kill the process again and again.
pub(crate) async fn healthy() -> &'static str {
    "Signalbox is healthy.\n"
}

/// Ready to take requests, or why not.
pub(crate) async fn ready(State(app): App) -> Response {
    if !app.state.status.has_started() {
        return startup(State(app)).await;
    }
    let reasons = app.state.status.not_ready_reasons();
    if reasons.is_empty() {
        return "ready\n".into_response();
    }
    let text = format!("not ready: {}\n", reasons.join("; "));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn startup(State(app): App) -> Response {
    if app.state.status.has_started() {
        "started\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response()
    }
}

/// The registry as OpenMetrics text.
async fn metrics(State(app): App) -> Response {
    let mut text = String::new();
    let outcome = prometheus_client::encoding::text::encode(&mut text, &app.state.registry.lock());
    match outcome {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "metrics could not be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be written\n").into_response()
        }
    }
}

/// Base addresses and something to try under each.
const ADDRESSES: [(&str, &str, &str); 6] = [
    ("Prometheus", "/prometheus", "/prometheus/api/v1/query?query=count({__name__!=\"\"})"),
    ("Loki", "/", "/loki/api/v1/labels"),
    ("Tempo", "/tempo", "/tempo/api/echo"),
    ("Alertmanager", "/alertmanager", "/alertmanager/api/v2/alerts"),
    ("Rules and alerts", "/prometheus", "/prometheus/api/v1/rules"),
    ("Own metrics", "/metrics", "/metrics"),
];

async fn index(State(app): App) -> Html<String> {
    let mut rows = String::new();
    for (name, base, example) in ADDRESSES {
        let link = example.replace('"', "&quot;");
        // Writing into a `String` can not fail.
        let _ok = writeln!(
            rows,
            "<tr><td>{name}</td><td><code>{base}</code></td><td><a href=\"{link}\">{link}</a></td></tr>"
        )
        .is_ok();
    }
    let ready = if app.state.status.not_ready_reasons().is_empty() { "ready" } else { "not ready" };
    Html(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Signalbox</title>\n\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}\
         td,th{{text-align:left;padding:.2rem 1rem .2rem 0}}</style></head><body>\n\
         <h1>Signalbox {}</h1>\n<p>{ready}. Send OTLP to port 4317 (gRPC) or 4318 (HTTP); point Grafana's \
         data sources at these addresses of this port.</p>\n\
         <table><tr><th>API</th><th>Base</th><th>Try</th></tr>\n{rows}</table>\n</body></html>\n",
        app.state.build.version
    ))
}

/// Whatever no route knows.
pub(crate) async fn not_found(uri: http::Uri) -> Response {
    let text = format!(
        "404 page not found: {}\nThis port serves /prometheus/api/v1 (and /api/v1), \
         /loki/api/v1, /tempo/api, /alertmanager/api/v2, /metrics, /-/healthy and /-/ready.\n",
        uri.path()
    );
    (StatusCode::NOT_FOUND, text).into_response()
}
