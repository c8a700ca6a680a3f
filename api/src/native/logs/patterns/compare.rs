//! `patterns/compare`: the patterns that differ between two stretches of time, those that differ
//! most first.

use std::collections::BTreeSet;

use axum::extract::State;
use model::TimestampNs;
use model::read::RangeNs;

use super::families::Families;
use super::{Asked, PATTERNS, PATTERNS_MAX, change, count, not_counted, number, sum, write_factor};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::parameters::Parameters;
use crate::prometheus::{Answer, Remarks, json_response, write_success};
use crate::state::App;

/// Patterns that change by less are the same.
const FACTOR: f64 = 2.0;

/// A pattern in both stretches.
struct Difference {
    pattern: String,
    records: u64,
    base_records: u64,
    /// Records that there would be if the base were as long.
    expected: f64,
}

impl Difference {
    fn kind(&self) -> &'static str {
        match (self.records, self.base_records) {
            (_, 0) => "appeared",
            (0, _) => "vanished",
            _ if self.records as f64 > self.expected => "more",
            _ => "less",
        }
    }

    fn is_at_least(&self, factor: f64) -> bool {
        let found = self.records as f64;
        self.records == 0
            || self.base_records == 0
            || found >= self.expected * factor
            || found * factor <= self.expected
    }

    fn write(&self, json: &mut Json) {
        json.raw(r#"{"pattern":"#);
        json.string(&self.pattern);
        json.raw_fmt(format_args!(
            ",\"change\":\"{}\",\"records\":{},\"baseRecords\":{},\"factor\":",
            self.kind(),
            self.records,
            self.base_records
        ));
        write_factor(json, self.records as f64, self.expected);
        json.raw("}");
    }
}

fn length(range: RangeNs) -> f64 {
    range.end.0.saturating_sub(range.start.0).max(1) as f64
}

/// `base_start` and `base_end`; without them as much as the range, right before it.
fn base(parameters: &Parameters, over: RangeNs) -> Result<RangeNs> {
    let end = parameters.time_ns("base_end")?.unwrap_or(over.start);
    let span = over.end.0.saturating_sub(over.start.0);
    let start: TimestampNs =
        parameters.time_ns("base_start")?.unwrap_or_else(|| end.plus_ns(-span));
    if end <= start {
        return Err(Error::parameter("base_end", "it must be after base_start"));
    }
    Ok(RangeNs { start, end })
}

fn factor(parameters: &Parameters) -> Result<f64> {
    let Some(text) = parameters.get("factor") else { return Ok(FACTOR) };
    let factor = text.parse().ok().filter(|factor: &f64| factor.is_finite() && *factor >= 1.0);
    factor.ok_or_else(|| Error::parameter("factor", format!("{text:?} is no number from 1 on")))
}

/// `patterns/compare`.
pub(in crate::native::logs) async fn compare(State(app): App, parameters: Parameters) -> Answer {
    let asked = Asked::read(&parameters, app.state.clock.as_ref())?;
    let limit = number(&parameters, "limit", PATTERNS, 1..=PATTERNS_MAX)?;
    let (base, factor) = (base(&parameters, asked.over)?, factor(&parameters)?);
    if asked.counts(asked.over, i64::MAX).is_none() {
        return Err(not_counted().into());
    }
    let shared = app.clone();
    let body = app.runner.respond(None, move |context, _, json| {
        let source = (shared.state.logs.as_ref(), context);
        let found = count(&asked, asked.over, i64::MAX, source)?;
        let before = count(&asked, base, i64::MAX, source)?;
        let families = Families::of(&[&found, &before], context)?;
        let [found, before] = [found, before].map(|counts| families.gather(counts));
        let scale = length(asked.over) / length(base);
        let patterns: BTreeSet<&String> = found.keys().chain(before.keys()).collect();
        let mut differences: Vec<Difference> = patterns
            .into_iter()
            .map(|pattern| {
                let records = found.get(pattern).map_or(0, sum);
                let base_records = before.get(pattern).map_or(0, sum);
                let expected = base_records as f64 * scale;
                Difference { pattern: pattern.clone(), records, base_records, expected }
            })
            .filter(|difference| difference.is_at_least(factor))
            .collect();
        let changed = differences.len();
        let weight = |d: &Difference| change(d.records as f64, d.expected);
        differences.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        differences.truncate(limit);
        write_success(json, &Remarks::default(), |json| {
            json.raw_fmt(format_args!("{{\"changed\":{changed},\"patterns\":"));
            json.array(&differences, |json, difference| difference.write(json));
            json.raw("}");
        });
        Ok(())
    });
    Ok(json_response(body.await?))
}
