//! Search as one types: `search/metric_names`, `search/label_names`, `search/label_values` of
//! Prometheus 3.13 (`web/api/v1/search.go`).
//!
//! An answer is lines of JSON: batches of results, then a line that says whether there are more. What
//! goes wrong before the first line is an ordinary error.

mod filters;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;
use model::read::RangeMs;
use model::sample::MetricMetadata;
use model::{ErrorKind, Matcher, QueryContext, TimestampMs};

use super::Answer;
use super::selectors::selectors;
use crate::error::{Error, Result};
use crate::json::Json;
use crate::parameters::{Parameters, bad_optional_time, parse_bool, parse_integer, parse_time};
use crate::state::{App, Shared};
use filters::Filter;

/// Results without a `limit`, and results in a line without a `batch_size`.
const COUNT_DEFAULT: usize = 100;
/// The highest `limit`.
const LIMIT_MAX: usize = 10_000;
/// Each value is compared with each term.
const TERMS_MAX: usize = 32;
/// How far back is looked without a `start`.
const RANGE_MS: i64 = 3_600_000;

/// The order of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
    /// Best first, then ascending.
    Score,
}

/// What the three searches have in common.
struct Asked {
    selectors: Vec<Vec<Matcher>>,
    range: RangeMs,
    filter: Option<Filter>,
    order: Order,
    includes_score: bool,
    limit: usize,
    batch_size: usize,
}

fn bad(message: String) -> Error {
    Error::BadRequest(message)
}

/// A whole number above zero.
fn count(parameters: &Parameters, name: &str) -> Result<Option<usize>> {
    let Some(text) = parameters.get(name) else { return Ok(None) };
    let number = parse_integer(text).ok().and_then(|number| usize::try_from(number).ok());
    let number = number.filter(|number| *number > 0);
    let refused = || bad(format!("invalid {name} {text:?}: must be a positive integer"));
    number.map(Some).ok_or_else(refused)
}

fn switch(parameters: &Parameters, name: &str, default: bool) -> Result<bool> {
    let Some(text) = parameters.get(name) else { return Ok(default) };
    parse_bool(text).ok_or_else(|| bad(format!("invalid {name} {text:?}: must be boolean")))
}

fn time(parameters: &Parameters, name: &str, default: TimestampMs) -> Result<TimestampMs> {
    let Some(text) = parameters.get(name) else { return Ok(default) };
    parse_time(text).ok_or_else(|| bad(bad_optional_time(name, text)))
}

impl Asked {
    /// Reads parameters in Prometheus's order, which decides what is complained of first.
    fn read(parameters: &Parameters, now: TimestampMs, endpoint: &str) -> Result<Self> {
        let start = time(parameters, "start", now.plus_ms(-RANGE_MS))?;
        let end = time(parameters, "end", now)?;
        if end < start {
            return Err(bad("end timestamp must not be before start timestamp".to_owned()));
        }
        let selectors = selectors(parameters)?;
        let terms: Vec<&str> = parameters.all("search[]").collect();
        if terms.len() > TERMS_MAX {
            let got = terms.len();
            let message = format!("too many search[] terms: got {got}, maximum is {TERMS_MAX}");
            return Err(bad(message));
        }
        let filter = read_filter(parameters, &terms)?;
        let includes_score = switch(parameters, "include_score", false)?;
        let order = read_order(parameters, !terms.is_empty(), endpoint);
        // The name of the order is looked at after the limits.
        let order = match order {
            Err((error, true)) => return Err(error),
            other => other.map_err(|(error, _)| error),
        };
        let limit = count(parameters, "limit")?.unwrap_or(COUNT_DEFAULT);
        if limit > LIMIT_MAX {
            return Err(bad(format!(
                "limit {limit} exceeds the configured maximum ({LIMIT_MAX}, see \
                 --web.search.max-limit)"
            )));
        }
        let batch_size = count(parameters, "batch_size")?.unwrap_or(COUNT_DEFAULT);
        let range = RangeMs { start, end };
        let order = order?;
        Ok(Asked { selectors, range, filter, order, includes_score, limit, batch_size })
    }

    /// What is accepted, in order, one more than asked for at most.
    fn select(&self, names: Vec<String>) -> Vec<(String, f64)> {
        let mut found: Vec<(String, f64)> = match &self.filter {
            None => names.into_iter().map(|name| (name, 1.0)).collect(),
            Some(filter) => {
                let scored = names.into_iter().map(|name| (filter.score(&name), name));
                scored.filter_map(|(score, name)| Some((name, score?))).collect()
            }
        };
        match self.order {
            Order::Ascending => {}
            Order::Descending => found.reverse(),
            Order::Score => {
                found.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal));
            }
        }
        found.truncate(self.limit.saturating_add(1));
        found
    }
}

fn read_filter(parameters: &Parameters, terms: &[&str]) -> Result<Option<Filter>> {
    let threshold = match parameters.get("fuzz_threshold") {
        None => 0,
        Some(text) => {
            let number = parse_integer(text).ok().filter(|number| (0..=100).contains(number));
            let refused = || bad(format!("invalid fuzz_threshold {text:?}: must be 0-100"));
            number.ok_or_else(refused)?
        }
    };
    let is_jaro_winkler = match parameters.get("fuzz_alg") {
        None | Some("subsequence") => false,
        Some("jarowinkler") => true,
        Some(other) => {
            return Err(bad(format!(
                "unsupported fuzz_alg {other:?}: must be one of [subsequence jarowinkler]"
            )));
        }
    };
    let is_exact_case = switch(parameters, "case_sensitive", true)?;
    Ok(Filter::new(terms, threshold as f64 / 100.0, is_jaro_winkler, is_exact_case))
}

/// The order, or what is wrong with it and whether that is said before all about limits.
fn read_order(
    parameters: &Parameters,
    has_terms: bool,
    endpoint: &str,
) -> Result<Order, (Error, bool)> {
    let (by, direction) = (parameters.get("sort_by"), parameters.get("sort_dir"));
    let refuse = |message: String| Err((bad(message), true));
    match (by, direction) {
        (None, Some(_)) => return refuse("sort_dir is only valid when sort_by is set".to_owned()),
        (Some("score"), Some(_)) => {
            return refuse("sort_dir is not supported for sort_by=score".to_owned());
        }
        (_, None | Some("asc" | "dsc")) => {}
        (_, Some(other)) => {
            return refuse(format!("invalid sort_dir {other:?}: must be \"asc\" or \"dsc\""));
        }
    }
    match by {
        None => Ok(Order::Ascending),
        Some("alpha") if direction == Some("dsc") => Ok(Order::Descending),
        Some("alpha") => Ok(Order::Ascending),
        Some("score") if has_terms => Ok(Order::Score),
        Some("score") => refuse("sort_by=score requires search[] to be set".to_owned()),
        Some(other) => {
            let message =
                format!("invalid sort_by {other:?} for {endpoint}: must be \"alpha\" or \"score\"");
            Err((bad(message), false))
        }
    }
}

/// Answers a search over the names that `read` finds for each selector.
async fn search(
    app: &Shared,
    asked: Asked,
    key: &'static str,
    described: Option<BTreeMap<String, MetricMetadata>>,
    read: impl Fn(&[Matcher], RangeMs, &QueryContext) -> model::Result<Vec<String>> + Send + 'static,
) -> Answer {
    let body = app.runner.respond(None, move |context, _, json| {
        let mut names = match asked.selectors.as_slice() {
            [] => read(&[], asked.range, context)?,
            [one] => read(one, asked.range, context)?,
            many => {
                let mut all = BTreeSet::new();
                for matchers in many {
                    all.extend(read(matchers, asked.range, context)?);
                }
                all.into_iter().collect()
            }
        };
        names.retain(|name| !name.is_empty());
        let mut found = asked.select(names);
        let has_more = found.len() > asked.limit;
        found.truncate(asked.limit);
        let write = |json: &mut Json, (name, score): &(String, f64)| {
            json.raw_fmt(format_args!("{{\"{key}\":"));
            json.web_string(name);
            if asked.includes_score {
                json.raw(r#","score":"#);
                json.number(*score);
            }
            if let Some(metadata) = described.as_ref().and_then(|all| all.get(name)) {
                write_metadata(json, metadata);
            }
            json.raw("}");
        };
        // There is always a first line, so that clients see an empty result.
        let batches = found.chunks(asked.batch_size);
        let batches: Vec<&[(String, f64)]> =
            if found.is_empty() { vec![&[]] } else { batches.collect() };
        for batch in batches {
            json.raw(r#"{"results":"#);
            json.array(batch, write);
            json.raw("}\n");
            json.flush();
        }
        json.raw_fmt(format_args!("{{\"status\":\"success\",\"has_more\":{has_more}}}\n"));
        Ok(())
    });
    let kind = "application/x-ndjson; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], body.await?).into_response())
}

fn write_metadata(json: &mut Json, metadata: &MetricMetadata) {
    json.raw_fmt(format_args!(",\"type\":\"{}\"", metadata.kind.as_str()));
    for (name, text) in [("help", &metadata.help), ("unit", &metadata.unit)] {
        if !text.is_empty() {
            json.raw_fmt(format_args!(",\"{name}\":"));
            json.web_string(text);
        }
    }
}

/// `search/metric_names`; with `include_metadata` also what the metrics are.
pub(super) async fn metric_names(State(app): App, parameters: Parameters) -> Answer {
    let asked = Asked::read(&parameters, app.state.clock.now_ms(), "metric_names")?;
    let described = if switch(&parameters, "include_metadata", false)? {
        Some(app.state.series.metadata()?.into_iter().collect())
    } else {
        None
    };
    let source = app.state.series.clone();
    search(&app, asked, "name", described, move |matchers, range, context| {
        source.label_values("__name__", matchers, range, context)
    })
    .await
}

/// `search/label_names`.
pub(super) async fn label_names(State(app): App, parameters: Parameters) -> Answer {
    let asked = Asked::read(&parameters, app.state.clock.now_ms(), "label_names")?;
    let source = app.state.series.clone();
    search(&app, asked, "name", None, move |matchers, range, context| {
        source.label_names(matchers, range, context)
    })
    .await
}

/// `search/label_values`: values of `label`.
pub(super) async fn label_values(State(app): App, parameters: Parameters) -> Answer {
    let asked = Asked::read(&parameters, app.state.clock.now_ms(), "label_values")?;
    let Some(label) = parameters.get("label").map(str::to_owned) else {
        let message = "missing required parameter \"label\"";
        return Err(model::Error::new(ErrorKind::BadRequest, message).into());
    };
    let source = app.state.series.clone();
    search(&app, asked, "value", None, move |matchers, range, context| {
        source.label_values(&label, matchers, range, context)
    })
    .await
}
