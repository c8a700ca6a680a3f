//! `patterns`: what lines look like, how often, and what is new or comes at another rate than
//! before.

pub(super) mod compare;
mod families;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use axum::extract::State;
use model::log::{LogCount, LogCountRequest};
use model::read::RangeNs;
use model::{LogSource, QueryContext, TimestampNs};

use self::families::Families;
use super::{Asked, choice, duration_ns, hold_key, number};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::loki::range::{self, HOUR_NS, SECOND_NS};
use crate::parameters::Parameters;
use crate::prometheus::{Answer, Remarks, json_response, write_success};
use crate::state::App;

/// Patterns if the request does not say, and at most.
const PATTERNS: usize = 100;
const PATTERNS_MAX: usize = 5000;
/// Stores count by ten seconds.
const STEP_NS_MIN: i64 = 10 * SECOND_NS;
/// Memory of one count, about.
const STEP_BYTES: u64 = 32;
/// How far back a pattern is looked for before it counts as new.
const HISTORY_NS: i64 = 24 * HOUR_NS;

/// Records of a pattern by step.
type Steps = BTreeMap<usize, u64>;
/// Records by pattern and step.
type Counts = BTreeMap<String, Steps>;

fn sum(steps: &Steps) -> u64 {
    steps.values().sum()
}

/// Counts lines of `(start, end]` by pattern and step.
fn count(
    asked: &Asked,
    over: RangeNs,
    step_ns: i64,
    (source, context): (&dyn LogSource, &QueryContext),
) -> Result<Counts> {
    let Some(request) = asked.counts(over, step_ns) else { return Err(not_counted()) };
    let request = LogCountRequest { by_pattern: true, ..request };
    let mut counts = Counts::new();
    let mut held = Ok(());
    source.count(&request, context, &mut |count| {
        held = add(&mut counts, count, context);
        if held.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    held?;
    Ok(counts)
}

fn add(counts: &mut Counts, count: &LogCount<'_>, context: &QueryContext) -> Result<()> {
    let pattern = count.pattern.unwrap_or_default();
    let steps = match counts.get_mut(pattern) {
        Some(steps) => steps,
        None => {
            hold_key(context, pattern)?;
            counts.entry(pattern.to_owned()).or_default()
        }
    };
    if let Some(records) = steps.get_mut(&count.bucket) {
        *records += count.records;
    } else {
        context.hold(STEP_BYTES)?;
        steps.insert(count.bucket, count.records);
    }
    Ok(())
}

fn not_counted() -> Error {
    Error::parameter(
        "query",
        "patterns are counted of selectors with line filters (no patterns, no ip()) and \
         comparisons of labels with texts, and of a text without fields, fuzzy words and NOT in \
         front of parentheses with several terms",
    )
}

/// The range with the rest of its first and last step: whole steps are what stores have counts of.
fn whole_steps(over: RangeNs, step_ns: i64) -> RangeNs {
    let start = over.start.0.div_euclid(step_ns).saturating_mul(step_ns);
    let steps = over.end.0.saturating_sub(start).saturating_sub(1).div_euclid(step_ns);
    let length = steps.saturating_add(1).saturating_mul(step_ns);
    RangeNs { start: TimestampNs(start), end: TimestampNs(start).plus_ns(length) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Records,
    Change,
}

/// How much two rates differ, more than zero in both directions. One record more or less is not
/// much where there are few.
fn change(records: f64, before: f64) -> f64 {
    ((records + 0.5) / (before + 0.5)).ln().abs()
}

/// `patterns`.
pub(super) async fn patterns(State(app): App, parameters: Parameters) -> Answer {
    let mut asked = Asked::read(&parameters, app.state.clock.as_ref())?;
    let limit = number(&parameters, "limit", PATTERNS, 1..=PATTERNS_MAX)?;
    let sorts = [("records", Sort::Records), ("change", Sort::Change)];
    let sort = choice(&parameters, "sort", &sorts, Sort::Records)?;
    let new_since = parameters.time_ns("new_since")?;
    let history_ns = duration_ns(&parameters, "history", HISTORY_NS)?;
    if let Some(since) = new_since {
        asked.over.start = asked.over.start.max(since);
        if asked.over.end <= since {
            let message = "it must be before the end of the range";
            return Err(Error::parameter("new_since", message).into());
        }
    }
    let points_max = app.state.options.points_per_series_max;
    let step_ns = range::step_ns(&parameters, asked.over, points_max)?;
    let step_ns = (step_ns.max(STEP_NS_MIN) / STEP_NS_MIN).saturating_mul(STEP_NS_MIN);
    asked.over = whole_steps(asked.over, step_ns);
    if asked.counts(asked.over, step_ns).is_none() {
        return Err(not_counted().into());
    }
    let shared = app.clone();
    let body = app.runner.respond(None, move |context, _, json| {
        let source = (shared.state.logs.as_ref(), context);
        let over = asked.over;
        let found = count(&asked, over, step_ns, source)?;
        let length = over.end.0.saturating_sub(over.start.0);
        let before = RangeNs { start: over.start.plus_ns(-length), end: over.start };
        let before = count(&asked, before, i64::MAX, source)?;
        let mut known = Counts::new();
        if let Some(since) = new_since {
            let earlier = RangeNs { start: since.plus_ns(-history_ns), end: since };
            known = count(&asked, earlier, i64::MAX, source)?;
        }
        let families = Families::of(&[&found, &before, &known], context)?;
        let [found, before, known] = [found, before, known].map(|counts| families.gather(counts));
        let mut rows: Vec<Row> = found
            .into_iter()
            .map(|(pattern, steps)| {
                let previous = before.get(&pattern).map_or(0, sum);
                Row { records: sum(&steps), previous, pattern, steps }
            })
            .collect();
        rows.retain(|row| !known.contains_key(&row.pattern));
        let patterns = rows.len();
        match sort {
            Sort::Records => rows.sort_by_key(|row| std::cmp::Reverse(row.records)),
            Sort::Change => rows.sort_by(|a, b| b.change().total_cmp(&a.change())),
        }
        rows.truncate(limit);
        write_success(json, &Remarks::default(), |json| {
            json.raw_fmt(format_args!(
                "{{\"patterns\":{patterns},\"step\":{},\"rows\":",
                step_ns / SECOND_NS
            ));
            json.array(&rows, |json, row| row.write(json, over.start, step_ns));
            json.raw("}");
        });
        Ok(())
    });
    Ok(json_response(body.await?))
}

/// A pattern of an answer.
struct Row {
    pattern: String,
    records: u64,
    /// Records in the stretch of the same length before.
    previous: u64,
    steps: Steps,
}

impl Row {
    fn change(&self) -> f64 {
        change(self.records as f64, self.previous as f64)
    }

    fn write(&self, json: &mut Json, start: TimestampNs, step_ns: i64) {
        json.raw(r#"{"pattern":"#);
        json.string(&self.pattern);
        json.raw_fmt(format_args!(
            ",\"records\":{},\"previous\":{},\"factor\":",
            self.records, self.previous
        ));
        write_factor(json, self.records as f64, self.previous as f64);
        json.raw(r#","samples":"#);
        json.array(&self.steps, |json, (step, records)| {
            let at = start.plus_ns((*step as i64).saturating_mul(step_ns));
            json.raw_fmt(format_args!("[{},{records}]", at.0.div_euclid(SECOND_NS)));
        });
        json.raw("}");
    }
}

/// By how much there is more; nothing where there was nothing before.
fn write_factor(json: &mut Json, records: f64, before: f64) {
    if before > 0.0 { json.number(records / before) } else { json.raw("null") }
}
