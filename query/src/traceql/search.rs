//! Search: which traces, and which of their spans.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use model::read::{RangeNs, SpanRequest};
use model::span::{StatusCode, Trace};
use model::{QueryContext, SpanId, SpanSource, TimestampNs, TraceId, Value};

use super::ast::{Query, Root};
use super::error::{Error, Result};
use super::eval::{self, Spanset};
use super::hints::hints;
use super::view::View;

/// The name of a root that is not there, as Tempo shows it.
pub const ROOT_MISSING: &str = "<root span not yet received>";

/// The traces that a query found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SearchResult {
    /// Newest first as far as the store knows.
    pub traces: Vec<TraceMatch>,
    /// Traces looked at.
    pub inspected_traces: u64,
    /// Spans looked at.
    pub inspected_spans: u64,
}

/// A trace with matching spans.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceMatch {
    /// Which.
    pub id: TraceId,
    /// The service of the root, or [`ROOT_MISSING`].
    pub root_service: String,
    /// The name of the root, empty if there is none.
    pub root_name: String,
    /// The earliest start.
    pub start: TimestampNs,
    /// From the earliest start to the latest end, in nanoseconds.
    pub duration_ns: i64,
    /// At least one.
    pub sets: Vec<SpanSetMatch>,
    /// Of all its spans, by service.
    pub services: BTreeMap<String, ServiceStats>,
}

/// What one service contributes to a trace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServiceStats {
    /// Spans.
    pub spans: u32,
    /// Spans with an error.
    pub errors: u32,
}

/// Spans that match together.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanSetMatch {
    /// How many.
    pub matched: usize,
    /// The first of them.
    pub spans: Vec<SpanMatch>,
    /// Groups and aggregates.
    pub attributes: Vec<(String, Value)>,
}

/// A matching span.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanMatch {
    /// Which.
    pub id: SpanId,
    /// Its name.
    pub name: String,
    /// When it began.
    pub start: TimestampNs,
    /// How long it took, in nanoseconds.
    pub duration_ns: i64,
    /// The attributes that the query mentions, without their scopes.
    pub attributes: Vec<(String, Value)>,
}

/// Finds at most `limit` traces with a span that starts in `range`, and shows at most `spss` spans of
/// each spanset.
///
/// Any traces that match are returned, unless the query asks for the most recent ones.
pub fn search(
    query: &Query,
    range: RangeNs,
    limit: usize,
    spss: usize,
    source: &dyn SpanSource,
    context: &QueryContext,
) -> Result<SearchResult> {
    let Root::Search(pipeline) = &query.root else {
        return Err(Error::WrongEndpoint { is: "metrics", wanted: "searches" });
    };
    let mut result = SearchResult::default();
    if limit == 0 {
        return Ok(result);
    }
    let request = SpanRequest { range, hints: hints(pipeline) };
    let most_recent = query.is_most_recent();
    let mut refused = None;
    source.scan(&request, context, &mut |trace| {
        result.inspected_traces += 1;
        result.inspected_spans += trace.spans.len() as u64;
        if let Err(error) = context.check() {
            refused = Some(error);
            return ControlFlow::Break(());
        }
        let view = View::new(&trace);
        let sets = eval::run(pipeline, &view);
        if sets.is_empty() {
            return ControlFlow::Continue(());
        }
        result.traces.push(trace_match(query, &trace, &view, &sets, spss));
        if most_recent {
            // The order of the store is a guess, so all traces compete.
            if result.traces.len() >= limit.saturating_mul(2) {
                keep_newest(&mut result.traces, limit);
            }
            ControlFlow::Continue(())
        } else if result.traces.len() >= limit {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    if let Some(error) = refused {
        return Err(error.into());
    }
    keep_newest(&mut result.traces, limit);
    Ok(result)
}

fn keep_newest(traces: &mut Vec<TraceMatch>, limit: usize) {
    traces.sort_by_key(|found| std::cmp::Reverse(found.start));
    traces.truncate(limit);
}

fn trace_match(
    query: &Query,
    trace: &Trace,
    view: &View<'_>,
    sets: &[Spanset<'_>],
    spss: usize,
) -> TraceMatch {
    let (start, end) = trace.bounds();
    let mut services: BTreeMap<String, ServiceStats> = BTreeMap::new();
    for span in &trace.spans {
        let service = span.resource.service_name();
        if !services.contains_key(service) {
            services.insert(service.to_owned(), ServiceStats::default());
        }
        if let Some(stats) = services.get_mut(service) {
            stats.spans += 1;
            stats.errors += u32::from(span.status == StatusCode::Error);
        }
    }
    let root = trace.root();
    let root_service = root.map_or(ROOT_MISSING, |root| root.resource.service_name());
    TraceMatch {
        id: trace.id,
        root_service: root_service.to_owned(),
        root_name: root.map_or("", |root| &root.name).to_owned(),
        start,
        duration_ns: end.0.saturating_sub(start.0),
        sets: sets.iter().map(|set| set_match(query, trace, view, set, spss)).collect(),
        services,
    }
}

fn set_match(
    query: &Query,
    trace: &Trace,
    view: &View<'_>,
    set: &Spanset<'_>,
    spss: usize,
) -> SpanSetMatch {
    let span_match = |index: &usize| {
        let span = &trace.spans[*index];
        let shown = eval::shown(&query.fields, view, *index);
        SpanMatch {
            id: span.span_id,
            name: span.name.clone(),
            start: span.start,
            duration_ns: span.duration_ns(),
            attributes: shown
                .into_iter()
                .map(|(key, cell)| (key.to_owned(), cell.to_value()))
                .collect(),
        }
    };
    let attributes = set.attributes.iter();
    SpanSetMatch {
        matched: set.spans.len(),
        spans: set.spans.iter().take(spss).map(span_match).collect(),
        attributes: attributes.map(|(key, cell)| ((*key).to_owned(), cell.to_value())).collect(),
    }
}
