//! `api/search`: traces that a query finds. Also the old search by tags, as a query.

use std::fmt::Write;
use std::sync::Arc;

use ::query::text::{parse_go_duration_ns, quote};
use ::query::traceql::{self, Query};
use axum::extract::State;
use model::read::RangeNs;
use proto::generated::tempopb;

use super::message::search_message;
use super::wire::{key_value, object};
use super::{Answer, json_response, language_error, time_range};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::parameters::Parameters;
use crate::state::{App, Shared};

/// Traces in an answer if the request does not say.
pub(super) const LIMIT_DEFAULT: usize = 20;

/// Spans of each spanset if the request does not say.
pub(super) const SPANS_DEFAULT: usize = 3;

/// A search that is ready to run.
pub(super) struct Search {
    pub(super) query: Query,
    pub(super) range: RangeNs,
    pub(super) limit: usize,
    /// Zero shows all of them.
    pub(super) spans_per_set: usize,
}

pub(super) fn parse(text: &str) -> Result<Query> {
    traceql::parse(text).map_err(language_error)
}

/// Runs a search within the limits of all queries.
pub(super) async fn run(app: &Arc<Shared>, search: Search) -> Result<tempopb::SearchResponse> {
    let spans = app.state.spans.clone();
    app.runner
        .run(None, move |context, _| {
            let spss = if search.spans_per_set == 0 { usize::MAX } else { search.spans_per_set };
            let (query, range, limit) = (&search.query, search.range, search.limit);
            let found = traceql::search(query, range, limit, spss, &*spans, context);
            let result = found.map_err(language_error)?;
            Ok(search_message(&result, context.bytes_used()))
        })
        .await
}

/// `api/search`.
pub(super) async fn search(State(app): App, parameters: Parameters) -> Answer {
    let text = match parameters.get("q") {
        Some(text) => text.to_owned(),
        None => legacy_query(&parameters)?,
    };
    let search = Search {
        query: parse(&text)?,
        range: time_range(&parameters)?,
        limit: parameters.limit()?.unwrap_or(LIMIT_DEFAULT),
        spans_per_set: spans_per_set(&parameters)?,
    };
    let response = run(&app, search).await?;
    let mut json = Json::new();
    write_response(&mut json, &response);
    Ok(json_response(json))
}

fn spans_per_set(parameters: &Parameters) -> Result<usize> {
    let Some(text) = parameters.get("spss") else { return Ok(SPANS_DEFAULT) };
    text.parse()
        .map_err(|_| Error::parameter("spss", format!("cannot parse {text:?} as a whole number")))
}

/// The search of Tempo 1: `tags` in logfmt, `minDuration`, `maxDuration`.
fn legacy_query(parameters: &Parameters) -> Result<String> {
    let mut conditions = Vec::new();
    for (name, value) in logfmt(parameters.get("tags").unwrap_or("")) {
        conditions.push(legacy_condition(&name, &value));
    }
    for (name, operator) in [("minDuration", ">="), ("maxDuration", "<=")] {
        let Some(text) = parameters.get(name) else { continue };
        let ns = parse_go_duration_ns(text)
            .ok_or_else(|| Error::parameter(name, format!("{text:?} is not a duration")))?;
        conditions.push(format!("trace:duration {operator} {ns}ns"));
    }
    Ok(format!("{{{}}}", conditions.join(" && ")))
}

fn legacy_condition(name: &str, value: &str) -> String {
    let quoted = quote(value);
    match name {
        "name" => format!("name = {quoted}"),
        "root.name" => format!("rootName = {quoted}"),
        "root.service.name" => format!("rootServiceName = {quoted}"),
        "error" if value == "true" => "status = error".into(),
        _ => {
            let name = name.replace('\\', "\\\\").replace('"', "\\\"");
            let mut condition = format!("(.\"{name}\" = {quoted}");
            // The old search compared texts, also with numbers and truths.
            if value.parse::<i64>().is_ok() || matches!(value, "true" | "false") {
                let _ok = write!(condition, " || .\"{name}\" = {value}").is_ok();
            }
            condition + ")"
        }
    }
}

/// `a=b c="d e"`.
fn logfmt(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(['=', ' ']).unwrap_or(rest.len());
        let name = rest[..end].to_owned();
        rest = &rest[end..];
        let mut value = String::new();
        if let Some(after) = rest.strip_prefix('=') {
            if let Some(quoted) = after.strip_prefix('"') {
                let mut chars = quoted.char_indices();
                let mut end = quoted.len();
                while let Some((i, c)) = chars.next() {
                    match c {
                        '\\' => value.extend(chars.next().map(|(_, c)| c)),
                        '"' => {
                            end = i + 1;
                            break;
                        }
                        c => value.push(c),
                    }
                }
                rest = &quoted[end..];
            } else {
                let end = after.find(' ').unwrap_or(after.len());
                value.push_str(&after[..end]);
                rest = &after[end..];
            }
        }
        if !name.is_empty() {
            pairs.push((name, value));
        }
        rest = rest.trim_start();
    }
    pairs
}

fn write_response(json: &mut Json, response: &tempopb::SearchResponse) {
    object(json, |o| {
        o.key("traces").array(&response.traces, write_trace);
        write_metrics(o.key("metrics"), response.metrics.unwrap_or_default());
    });
}

pub(super) fn write_metrics(json: &mut Json, metrics: tempopb::SearchMetrics) {
    object(json, |o| {
        o.small("inspectedTraces", metrics.inspected_traces);
        o.large("inspectedBytes", metrics.inspected_bytes);
        o.small("totalBlocks", metrics.total_blocks);
        o.small("completedJobs", metrics.completed_jobs);
        o.small("totalJobs", metrics.total_jobs);
        o.large("totalBlockBytes", metrics.total_block_bytes);
        o.large("inspectedSpans", metrics.inspected_spans);
    });
}

fn write_trace(json: &mut Json, trace: &tempopb::TraceSearchMetadata) {
    object(json, |o| {
        o.text("traceID", &trace.trace_id);
        o.text("rootServiceName", &trace.root_service_name);
        o.text("rootTraceName", &trace.root_trace_name);
        o.large("startTimeUnixNano", trace.start_time_unix_nano);
        o.small("durationMs", trace.duration_ms);
        if let Some(set) = &trace.span_set {
            write_set(o.key("spanSet"), set);
        }
        o.list("spanSets", &trace.span_sets, write_set);
        let mut services: Vec<_> = trace.service_stats.iter().collect();
        services.sort_by_key(|(service, _)| *service);
        object(o.key("serviceStats"), |o| {
            for (service, stats) in services {
                object(o.key(service), |o| {
                    o.small("spanCount", stats.span_count);
                    o.small("errorCount", stats.error_count);
                });
            }
        });
    });
}

fn write_set(json: &mut Json, set: &tempopb::SpanSet) {
    object(json, |o| {
        o.key("spans").array(&set.spans, |json, span| {
            object(json, |o| {
                o.text("spanID", &span.span_id);
                o.text("name", &span.name);
                o.large("startTimeUnixNano", span.start_time_unix_nano);
                o.large("durationNanos", span.duration_nanos);
                o.attributes(&span.attributes);
            });
        });
        o.small("matched", set.matched);
        o.list("attributes", &set.attributes, key_value);
    });
}
