//! What this server says about itself in Prometheus's words.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde::Serialize;

use super::result::go_time;
use super::{Answer, success, success_value};
use crate::json::Json;
use crate::state::{App, Shared};

fn write_build(json: &mut Json, app: &Shared) {
    let build = &app.state.build;
    json.object([
        ("version", build.version.as_str()),
        ("revision", build.revision.as_str()),
        ("branch", ""),
        ("buildUser", ""),
        ("buildDate", ""),
        ("goVersion", ""),
    ]);
}

/// `status/buildinfo`. It has no `features`: their absence tells Grafana that the rules can not be
/// edited here (`pkg/promlib/heuristics.go`).
pub(super) async fn buildinfo(State(app): App) -> Answer {
    Ok(success(|json| write_build(json, &app)))
}

/// `/version`: the same without the envelope.
pub(crate) async fn version(State(app): App) -> Response {
    let mut json = Json::new();
    write_build(&mut json, &app);
    json.raw("\n");
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], json.finish()).into_response()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeInfo {
    start_time: String,
    #[serde(rename = "CWD")]
    cwd: String,
    hostname: String,
    server_time: String,
    reload_config_success: bool,
    last_config_time: String,
    corruption_count: u64,
    goroutine_count: u64,
    #[serde(rename = "GOMAXPROCS")]
    gomaxprocs: usize,
    #[serde(rename = "GOMEMLIMIT")]
    gomemlimit: i64,
    #[serde(rename = "GOGC")]
    gogc: String,
    #[serde(rename = "GODEBUG")]
    godebug: String,
    storage_retention: String,
}

/// `status/runtimeinfo`. Threads stand for goroutines; what else only a Go process has is empty.
pub(super) async fn runtimeinfo(State(app): App) -> Answer {
    let parallelism = std::thread::available_parallelism().map_or(1, usize::from);
    let facts = app.state.status.runtime();
    success_value(&RuntimeInfo {
        start_time: go_time(app.started_at),
        cwd: facts.folder,
        hostname: facts.host,
        server_time: go_time(app.state.clock.now_ms()),
        reload_config_success: true,
        last_config_time: go_time(app.started_at),
        corruption_count: facts.corruptions,
        goroutine_count: facts.threads,
        gomaxprocs: parallelism,
        gomemlimit: 0,
        gogc: String::new(),
        godebug: String::new(),
        storage_retention: facts.retention,
    })
}

/// `status/config`.
pub(super) async fn config(State(app): App) -> Answer {
    let text = app.state.status.config_text();
    Ok(success(|json| json.object([("yaml", text.as_str())])))
}

/// `status/flags`: the limits of the read edge under Prometheus's names.
pub(super) async fn flags(State(app): App) -> Answer {
    let options = &app.state.options;
    let flags = BTreeMap::from([
        ("query.lookback-delta", format!("{}s", options.lookback.as_secs())),
        ("query.max-concurrency", options.queries_concurrent_max.to_string()),
        ("query.max-samples", options.limits.items_max.to_string()),
        ("query.timeout", format!("{}s", options.limits.timeout.as_secs())),
        ("web.enable-admin-api", "true".to_owned()),
        ("web.enable-lifecycle", "false".to_owned()),
        ("web.enable-otlp-receiver", "true".to_owned()),
        ("web.enable-remote-write-receiver", "true".to_owned()),
        ("web.external-url", app.state.external_url.clone()),
    ]);
    Ok(success(|json| json.object(flags.iter().map(|(name, value)| (*name, value.as_str())))))
}
