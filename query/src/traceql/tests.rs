//! Tests of the whole language, and the store they run on.

mod conformance;
mod language;
mod properties;
mod yaml;

use std::ops::ControlFlow;
use std::sync::Arc;

use model::read::{AttributeScope, RangeNs, SpanHint, SpanRequest};
use model::span::{Attributes, Event, Link, Resource, Scope, Span, SpanKind, StatusCode, Trace};
use model::{QueryContext, SpanId, SpanSource, TimestampNs, TraceId, Value};

use super::*;

/// Traces in a list. It leaves out all that the hints allow, so that wrong hints lose results.
#[derive(Default)]
struct MemorySource(Vec<Trace>);

impl SpanSource for MemorySource {
    fn scan(
        &self,
        request: &SpanRequest,
        context: &QueryContext,
        visit: &mut dyn FnMut(Trace) -> ControlFlow<()>,
    ) -> model::Result<()> {
        for trace in self.0.iter().rev() {
            context.charge(trace.spans.len() as u64, 1)?;
            if request.hints.iter().all(|hint| satisfies(trace, hint))
                && trace.spans.iter().any(|span| request.range.contains(span.start))
                && visit(trace.clone()).is_break()
            {
                break;
            }
        }
        Ok(())
    }

    fn trace(&self, id: TraceId, _context: &QueryContext) -> model::Result<Option<Trace>> {
        Ok(self.0.iter().find(|trace| trace.id == id).cloned())
    }

    fn attribute_names(
        &self,
        _range: RangeNs,
        _context: &QueryContext,
    ) -> model::Result<Vec<(AttributeScope, Vec<String>)>> {
        Ok(Vec::new())
    }

    fn attribute_values(
        &self,
        scope: AttributeScope,
        name: &str,
        _range: RangeNs,
        limit: usize,
        _context: &QueryContext,
    ) -> model::Result<Vec<Value>> {
        let spans = self.0.iter().flat_map(|trace| &trace.spans);
        let values = spans.flat_map(|span| match scope {
            AttributeScope::Resource => &span.resource.attributes,
            _ => &span.attributes,
        });
        let values = values.filter(|(key, _)| key == name).map(|(_, value)| value.clone());
        Ok(values.take(limit).collect())
    }
}

fn satisfies(trace: &Trace, hint: &SpanHint) -> bool {
    let lists = |span: &Span, scope: AttributeScope| match scope {
        AttributeScope::Span => vec![span.attributes.clone()],
        AttributeScope::Resource => vec![span.resource.attributes.clone()],
        AttributeScope::Any => vec![span.attributes.clone(), span.resource.attributes.clone()],
        AttributeScope::Instrumentation => vec![span.scope.attributes.clone()],
        AttributeScope::Event => span.events.iter().map(|e| e.attributes.clone()).collect(),
        AttributeScope::Link => span.links.iter().map(|l| l.attributes.clone()).collect(),
    };
    trace.spans.iter().any(|span| match hint {
        SpanHint::AttributeEquals(scope, name, value) => {
            lists(span, *scope).concat().iter().any(|(n, v)| n == name && v == value)
        }
        SpanHint::AttributeExists(scope, name) => {
            lists(span, *scope).concat().iter().any(|(n, _)| n == name)
        }
        SpanHint::NameEquals(name) => span.name == *name,
        SpanHint::StatusEquals(code) => span.status == *code,
        SpanHint::KindEquals(kind) => span.kind == *kind,
        SpanHint::DurationAtLeast(ns) => span.duration_ns() >= *ns,
    })
}

fn found(source: &MemorySource, query: &str) -> Result<SearchResult> {
    search(&parse(query)?, RangeNs::ALL, 100, 100, source, &QueryContext::unlimited())
}

/// The names of the spans in all spansets, sorted.
fn found_names(source: &MemorySource, query: &str) -> Vec<String> {
    let result = found(source, query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let sets = result.traces.iter().flat_map(|trace| &trace.sets);
    let mut names: Vec<String> =
        sets.flat_map(|set| set.spans.iter().map(|span| span.name.clone())).collect();
    names.sort();
    names
}

/// A span number `id` of trace 1; parent 0 makes it a root.
fn span(id: u8, parent: u8, name: &str, attributes: &[(&str, Value)]) -> Span {
    Span {
        trace_id: trace_id(1),
        span_id: span_id(id),
        parent_span_id: span_id(parent),
        name: name.into(),
        start: TimestampNs(i64::from(id) * 1_000_000),
        end: TimestampNs(i64::from(id) * 1_000_000 + 500_000),
        attributes: owned(attributes),
        ..Default::default()
    }
}

fn owned(attributes: &[(&str, Value)]) -> Attributes {
    attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn trace_id(id: u8) -> TraceId {
    TraceId::parse(&format!("{id:x}")).unwrap()
}

fn span_id(id: u8) -> SpanId {
    SpanId::parse(&format!("{id:x}")).unwrap()
}

fn trace(id: u8, spans: Vec<Span>) -> Trace {
    let id = trace_id(id);
    Trace { id, spans: spans.into_iter().map(|span| Span { trace_id: id, ..span }).collect() }
}
