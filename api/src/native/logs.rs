//! What users of logs miss elsewhere, under `/native/v1/logs` (`docs/native-logs.md` has every
//! route with its parameters and an example).
//!
//! All routes take `query` (a log query of LogQL, all streams without it), and most take `text`
//! (the language of `logs/text.rs`) and a range (`start`, `end`, `since`, as Loki's API). Counts
//! come from what the store keeps where it can count, else from reading lines; both are within the
//! budget of a query.

mod context;
mod cursor;
mod distinct;
mod facets;
mod fields;
mod patterns;
mod record;
mod search;
mod text;

use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;

use ::query::logql::{self, Expr, LogEntry, LogExpr, LogStats, LogVisit};
use ::query::{EvalError, Span};
use axum::Router;
use axum::routing::{MethodRouter, get};
use model::log::{LogCountRequest, LogRow};
use model::read::{Direction, RangeNs};
use model::{Clock, Labels, LogSource, QueryContext};

use self::text::{Node, Subject};
use crate::error::{Error, Result};
use crate::loki::{index, range};
use crate::parameters::Parameters;
use crate::state::Shared;

/// Routes below `/native/v1/logs`.
pub(super) fn router() -> Router<Arc<Shared>> {
    fn both<H, T>(handler: H) -> MethodRouter<Arc<Shared>>
    where
        H: axum::handler::Handler<T, Arc<Shared>>,
        T: 'static,
    {
        get(handler.clone()).post(handler)
    }
    Router::new()
        .route("/search", both(search::search))
        .route("/context", both(context::context))
        .route("/facets", both(facets::facets))
        .route("/distinct", both(distinct::distinct))
        .route("/fields", both(fields::fields))
        .route("/patterns", both(patterns::patterns))
        .route("/patterns/compare", both(patterns::compare::compare))
}

/// Which lines a request is about.
struct Asked {
    log: LogExpr,
    text: Node,
    over: RangeNs,
}

impl Asked {
    fn read(parameters: &Parameters, clock: &dyn Clock) -> Result<Self> {
        let over = range::read_positive(parameters, clock, range::HOUR_NS)?;
        let text = parameters.get("text").unwrap_or("");
        let text = text::parse(text).map_err(|why| Error::parameter("text", why))?;
        Ok(Asked { log: log_query(parameters)?, text, over })
    }

    /// Shows the lines of `range` that are wanted, one by one.
    fn visit(
        &self,
        range: RangeNs,
        direction: Direction,
        wants: &dyn Fn(&LogRow<'_>) -> bool,
        (source, context): (&dyn LogSource, &QueryContext),
        each: &mut logql::VisitLine<'_>,
    ) -> Result<LogStats> {
        let lines = self.text.conditions().0;
        let visit = LogVisit { log: &self.log, range, direction, lines, wants, arrivals: None };
        let stats = logql::visit_log(&visit, source, context, &mut |row, stream, entry| {
            if self.accepts(row, &stream, &entry) {
                each(row, stream, entry)
            } else {
                Ok(ControlFlow::Continue(()))
            }
        })?;
        Ok(stats)
    }

    fn accepts(&self, row: &LogRow<'_>, stream: &Labels, entry: &LogEntry) -> bool {
        let fields =
            if self.text.uses_fields() { record::fields(row, stream, entry) } else { Vec::new() };
        self.text.accepts(&Subject { line: &entry.line, fields: &fields })
    }

    /// The lines of `(start, end]` in steps as a request that a store can count, if it can.
    fn counts(&self, over: RangeNs, step_ns: i64) -> Option<LogCountRequest> {
        let (mut lines, fields) = logql::selection(&self.log).ok()?;
        let (conditions, is_exact) = self.text.conditions();
        lines.extend(conditions);
        let request = index::counts(self.log.matchers.clone(), over, step_ns);
        is_exact.then_some(LogCountRequest { lines, fields, ..request })
    }
}

/// The query; all streams if there is none.
fn log_query(parameters: &Parameters) -> Result<LogExpr> {
    let text = parameters.get("query").map(str::trim).filter(|text| !text.is_empty());
    let Some(text) = text else {
        return Ok(LogExpr { span: Span::default(), matchers: Vec::new(), stages: Vec::new() });
    };
    match logql::parse(text) {
        Ok(Expr::Log(log)) => Ok(log),
        Ok(Expr::Metric(_)) => {
            Err(Error::parameter("query", "it must select lines, and this one makes numbers"))
        }
        Err(error) => Err(Error::parameter(
            "query",
            format!("line {}, col {}: {}", error.span.line, error.span.column, error.message),
        )),
    }
}

/// A whole number within bounds.
fn number(
    parameters: &Parameters,
    name: &'static str,
    default: usize,
    accepted: RangeInclusive<usize>,
) -> Result<usize> {
    let Some(text) = parameters.get(name) else { return Ok(default.min(*accepted.end())) };
    text.parse().ok().filter(|number| accepted.contains(number)).ok_or_else(|| {
        let (first, last) = (accepted.start(), accepted.end());
        let message = format!("{text:?} is not a whole number from {first} to {last}");
        Error::parameter(name, message)
    })
}

/// One of some words.
fn choice<T: Copy>(
    parameters: &Parameters,
    name: &'static str,
    accepted: &[(&str, T)],
    default: T,
) -> Result<T> {
    let Some(text) = parameters.get(name) else { return Ok(default) };
    let found = accepted.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = accepted.iter().map(|(word, _)| *word).collect();
        Error::parameter(name, format!("{text:?} is none of {}", words.join(", ")))
    })
}

/// A duration of more than nothing.
fn duration_ns(parameters: &Parameters, name: &'static str, default_ns: i64) -> Result<i64> {
    let Some(text) = parameters.get(name) else { return Ok(default_ns) };
    range::parse_duration_ns(text).filter(|length| *length > 0).ok_or_else(|| {
        let message =
            format!("{text:?} is no duration above zero, such as 90s or 24h, or in seconds");
        Error::parameter(name, message)
    })
}

/// `(start, end]` as a range that has its start and not its end.
fn half_open(over: RangeNs) -> RangeNs {
    RangeNs { start: over.start.plus_ns(1), end: over.end.plus_ns(1) }
}

/// Holds the memory of a key that is kept with some numbers.
fn hold_key(context: &QueryContext, key: &str) -> Result<(), EvalError> {
    Ok(context.hold(key.len() as u64 + 160)?)
}

/// Wants every row.
fn every(_: &LogRow<'_>) -> bool {
    true
}
