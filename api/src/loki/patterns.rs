//! `patterns`: what lines look like, how often, and when.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use axum::extract::State;
use model::TimestampNs;
use model::log::LEVEL;
use model::read::RangeNs;

use super::range::{self, HOUR_NS, SECOND_NS};
use super::{Answer, index, json_response, matchers};
use crate::json::Json;
use crate::parameters::Parameters;
use crate::state::App;

/// Patterns in an answer if the request does not say.
const PATTERNS: usize = 300;
/// Stores count by ten seconds.
const STEP_NS_MIN: i64 = 10 * SECOND_NS;

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
    let matchers = matchers(parameters.get("query"))?;
    let shared = app.clone();
    let text = app.runner.run(None, move |context, _| {
        let mut request = index::counts(matchers, over, step_ns);
        (request.by_fields, request.by_pattern) = (vec![LEVEL.to_owned()], true);
        let mut found: BTreeMap<(String, String), BTreeMap<usize, u64>> = BTreeMap::new();
        shared.state.logs.count(&request, context, &mut |count| {
            let pattern = count.pattern.unwrap_or_default().to_owned();
            let level = count.fields.first().copied().unwrap_or_default().to_owned();
            let steps = found.entry((pattern, level)).or_default();
            *steps.entry(count.bucket).or_default() += count.records;
            ControlFlow::Continue(())
        })?;
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
