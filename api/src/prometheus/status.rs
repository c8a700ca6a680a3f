//! What this server says about itself in Prometheus's words.

use std::collections::BTreeMap;

use axum::extract::State;
use model::read::RangeMs;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;

use super::labels::label_sets;
use super::{Answer, Remarks, json_response, success, success_value, write_success};
use crate::error::Error;
use crate::json::Json;
use crate::parameters::Parameters;
use crate::state::App;

/// `status/buildinfo`. It has no `features`: their absence tells Grafana that the rules can not be
/// edited here (`pkg/promlib/heuristics.go`).
pub(super) async fn buildinfo(State(app): App) -> Answer {
    let build = &app.state.build;
    Ok(success(|json| {
        json.object([
            ("version", build.version.as_str()),
            ("revision", build.revision.as_str()),
            ("branch", ""),
            ("buildUser", ""),
            ("buildDate", ""),
            ("goVersion", ""),
        ]);
    }))
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

/// `status/runtimeinfo`. What only a Go process has is empty.
pub(super) async fn runtimeinfo(State(app): App) -> Answer {
    let parallelism = std::thread::available_parallelism().map_or(1, usize::from);
    success_value(&RuntimeInfo {
        start_time: app.started_at.to_string(),
        cwd: String::new(),
        hostname: String::new(),
        server_time: app.state.clock.now_ms().to_string(),
        reload_config_success: true,
        last_config_time: app.started_at.to_string(),
        corruption_count: 0,
        goroutine_count: 0,
        gomaxprocs: parallelism,
        gomemlimit: 0,
        gogc: String::new(),
        godebug: String::new(),
        storage_retention: String::new(),
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
    ]);
    Ok(success(|json| json.object(flags.iter().map(|(name, value)| (*name, value.as_str())))))
}

/// How many rows each table of `status/tsdb` has at most.
const ROWS_MAX: usize = 10_000;

/// How far back `status/tsdb` looks, as the head of Prometheus does.
const HEAD_MS: i64 = 2 * 3_600_000;

/// `status/tsdb`: where the cardinality of the last two hours comes from.
pub(super) async fn tsdb(State(app): App, parameters: Parameters) -> Answer {
    let rows = parameters.limit()?.unwrap_or(10);
    if rows > ROWS_MAX {
        let message = format!("limit must not be over {ROWS_MAX}");
        return Err(Error::parameter("limit", message).into());
    }
    let now = app.state.clock.now_ms();
    let range = RangeMs { start: now.plus_ms(-HEAD_MS), end: now };
    let shared = app.clone();
    let body = app.runner.respond(None, move |context, _, json| {
        let series = label_sets(&*shared.state.series, Vec::new(), range, None, context)?;
        let mut by_metric: FxHashMap<&str, u64> = FxHashMap::default();
        let mut values: FxHashMap<&str, FxHashSet<&str>> = FxHashMap::default();
        let mut by_pair: FxHashMap<(&str, &str), u64> = FxHashMap::default();
        for labels in &series {
            *by_metric.entry(labels.metric_name()).or_default() += 1;
            for (name, value) in labels.iter() {
                values.entry(name).or_default().insert(value);
                *by_pair.entry((name, value)).or_default() += 1;
            }
        }
        let bytes = values.iter().map(|(name, values)| {
            let bytes: usize = values.iter().map(|value| value.len()).sum();
            ((*name).to_owned(), bytes as u64)
        });
        let pair_count: usize = by_pair.len();
        write_success(json, &Remarks::default(), |json| {
            json.raw_fmt(format_args!(
                "{{\"headStats\":{{\"numSeries\":{},\"numLabelPairs\":{pair_count},\
                 \"chunkCount\":0,\"minTime\":{},\"maxTime\":{}}}",
                series.len(),
                range.start.0,
                range.end.0
            ));
            let metrics = by_metric.iter().map(|(name, count)| ((*name).to_owned(), *count));
            write_table(json, "seriesCountByMetricName", metrics.collect(), rows);
            let counts = values.iter().map(|(name, v)| ((*name).to_owned(), v.len() as u64));
            write_table(json, "labelValueCountByLabelName", counts.collect(), rows);
            write_table(json, "memoryInBytesByLabelName", bytes.collect(), rows);
            let pairs = by_pair.iter().map(|((n, v), count)| (format!("{n}={v}"), *count));
            write_table(json, "seriesCountByLabelValuePair", pairs.collect(), rows);
            json.raw("}");
        });
        Ok(())
    });
    Ok(json_response(body.await?))
}

fn write_table(json: &mut Json, name: &str, mut table: Vec<(String, u64)>, rows: usize) {
    table.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    table.truncate(rows);
    json.raw_fmt(format_args!(",\"{name}\":"));
    json.array(&table, |json, (name, value)| {
        json.raw(r#"{"name":"#);
        json.string(name);
        json.raw_fmt(format_args!(",\"value\":{value}}}"));
    });
}
