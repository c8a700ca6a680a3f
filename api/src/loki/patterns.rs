//! `patterns`: what lines look like, how often, and when.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use axum::extract::State;
use model::log::{LEVEL, LineCondition};
use model::read::RangeNs;
use model::{Matcher, TimestampNs};
use query::logql::{self, Expr};

use super::range::{self, HOUR_NS, SECOND_NS};
use super::{Answer, index, json_response, matchers, parse_text};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::parameters::Parameters;
use crate::state::App;

/// Patterns in an answer if the request does not say.
const PATTERNS: usize = 300;
/// Stores count by ten seconds.
const STEP_NS_MIN: i64 = 10 * SECOND_NS;

/// Memory of a pattern beside its text, and of one of its counts, about.
const PATTERN_BYTES: u64 = 160;
const POINT_BYTES: u64 = 32;

/// `patterns`: the most frequent first, each with its level and its counts by step.
pub(super) async fn patterns(State(app): App, parameters: Parameters) -> Answer {
    let over = range::read_positive(&parameters, app.state.clock.as_ref(), HOUR_NS)?;
    let points_max = app.state.options.points_per_series_max;
    let step_ns = range::step_ns(&parameters, over, points_max)?;
    let step_ns = (step_ns.max(STEP_NS_MIN) / STEP_NS_MIN).saturating_mul(STEP_NS_MIN);
    // Whole steps are what stores have counts of.
    let start = over.start.0.div_euclid(step_ns).saturating_mul(step_ns);
    let over = RangeNs { start: TimestampNs(start), end: over.end };
    let limit = parameters.limit()?.unwrap_or(PATTERNS);
    let (matchers, lines, fields) = selected(parameters.get("query"))?;
    let shared = app.clone();
    let text = app.runner.run(None, move |context, _| {
        let mut request = index::counts(matchers, over, step_ns);
        (request.lines, request.fields) = (lines, fields);
        (request.by_fields, request.by_pattern) = (vec![LEVEL.to_owned()], true);
        let mut found: BTreeMap<(String, String), BTreeMap<usize, u64>> = BTreeMap::new();
        let mut held = Ok(());
        shared.state.logs.count(&request, context, &mut |count| {
            let pattern = count.pattern.unwrap_or_default().to_owned();
            let level = count.fields.first().copied().unwrap_or_default().to_owned();
            let bytes = (pattern.len() + level.len()) as u64 + PATTERN_BYTES;
            let patterns = found.len();
            let steps = found.entry((pattern, level)).or_default();
            let points = steps.len();
            *steps.entry(count.bucket).or_default() += count.records;
            let new_points = (steps.len() - points) as u64;
            let new_patterns = (found.len() - patterns) as u64;
            held = context.hold(new_patterns * bytes + new_points * POINT_BYTES);
            if held.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        held?;
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by_cached_key(|(_, steps)| std::cmp::Reverse(steps.values().sum::<u64>()));
        found.truncate(limit);
        let mut json = Json::new();
        json.raw(r#"{"status":"success","data":"#);
        json.array(&found, |json, ((pattern, level), steps)| {
            json.raw(r#"{"pattern":"#);
            json.string(pattern);
            json.raw(r#","level":"#);
            json.string(level);
            json.raw(r#","samples":"#);
            json.array(steps, |json, (step, count)| {
                let at = over.start.plus_ns((*step as i64).saturating_mul(step_ns));
                json.raw_fmt(format_args!("[{},{count}]", at.0.div_euclid(SECOND_NS)));
            });
            json.raw("}");
        });
        json.raw("}");
        Ok(json.finish())
    });
    Ok(json_response(text.await?))
}

/// What a query selects: stream labels, lines and fields.
fn selected(text: Option<&str>) -> Result<(Vec<Matcher>, Vec<LineCondition>, Vec<Matcher>)> {
    let stages = text.is_some_and(|text| !text.trim_end().ends_with('}'));
    if !stages {
        return Ok((matchers(text)?, Vec::new(), Vec::new()));
    }
    match parse_text(text.unwrap_or_default())? {
        Expr::Log(log) => {
            let (lines, fields) = logql::selection(&log).map_err(|_| {
                Error::BadRequest(
                    "patterns are counted of line filters with texts or expressions and of \
                     comparisons of labels with texts; other stages are not supported"
                        .into(),
                )
            })?;
            Ok((log.matchers, lines, fields))
        }
        // Of numbers, the streams that they are counted from.
        Expr::Metric(_) => Ok((matchers(text)?, Vec::new(), Vec::new())),
    }
}
