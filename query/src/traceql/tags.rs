//! Values of a field, for completion in editors.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use model::read::{AttributeScope, RangeNs, SpanRequest};
use model::span::{SpanKind, StatusCode};
use model::{QueryContext, SpanSource, Value};

use super::ast::{Field, Intrinsic, Query, Root};
use super::error::Result;
use super::eval;
use super::hints::hints;
use super::value::{Cell, go_duration};
use super::view::View;

/// A value with the word that TraceQL has for its type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TagValue {
    /// `string`, `int`, `float`, `bool`, `duration` or `keyword`.
    pub kind: &'static str,
    /// As text.
    pub value: String,
}

fn of_value(value: &Value) -> Option<TagValue> {
    let kind = match value {
        Value::Empty | Value::Array(_) | Value::Map(_) => return None,
        Value::Str(_) | Value::Bytes(_) => "string",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Double(_) => "float",
    };
    Some(TagValue { kind, value: value.to_string() })
}

fn keyword(value: &str) -> TagValue {
    TagValue { kind: "keyword", value: value.to_owned() }
}

fn add(found: &mut BTreeMap<TagValue, ()>, cell: &Cell<'_>) {
    let value = match cell {
        Cell::Nil => return,
        Cell::Many(cells) => return cells.iter().for_each(|cell| add(found, cell)),
        Cell::Duration(ns) => TagValue { kind: "duration", value: go_duration(*ns) },
        Cell::Status(code) => keyword(code.as_str()),
        Cell::Kind(kind) => keyword(kind.as_str()),
        other => match of_value(&other.to_value()) {
            Some(value) => value,
            None => return,
        },
    };
    found.insert(value, ());
}

/// At most `limit` values of `field` on spans that `filter` selects, sorted. The keywords of status
/// and kind are listed whether a span has them or not.
pub fn tag_values(
    field: &Field,
    filter: Option<&Query>,
    range: RangeNs,
    limit: usize,
    source: &dyn SpanSource,
    context: &QueryContext,
) -> Result<Vec<TagValue>> {
    match field {
        Field::Intrinsic(Intrinsic::Status) => {
            return Ok(StatusCode::ALL.iter().map(|code| keyword(code.as_str())).collect());
        }
        Field::Intrinsic(Intrinsic::Kind) => {
            return Ok(SpanKind::ALL.iter().map(|kind| keyword(kind.as_str())).collect());
        }
        // Numbers of spans and of trees, and ids, are no help in an editor.
        Field::Intrinsic(
            Intrinsic::Duration
            | Intrinsic::TraceDuration
            | Intrinsic::EventTimeSinceStart
            | Intrinsic::NestedSetLeft
            | Intrinsic::NestedSetRight
            | Intrinsic::NestedSetParent
            | Intrinsic::ChildCount
            | Intrinsic::SpanId
            | Intrinsic::ParentId
            | Intrinsic::TraceId
            | Intrinsic::LinkTraceId
            | Intrinsic::LinkSpanId,
        ) => return Ok(Vec::new()),
        _ => {}
    }
    let pipeline = filter.and_then(|query| match &query.root {
        Root::Search(pipeline) => Some(pipeline),
        Root::Metrics(_) => None,
    });
    if let (None, Field::Attribute(scope, name)) = (pipeline, field)
        && *scope != AttributeScope::Any
    {
        let values = source.attribute_values(*scope, name, range, limit, context)?;
        let mut found: Vec<TagValue> = values.iter().filter_map(of_value).collect();
        found.sort();
        found.dedup();
        return Ok(found);
    }
    let mut found = BTreeMap::new();
    let mut refused = None;
    let request = SpanRequest { range, hints: pipeline.map(hints).unwrap_or_default() };
    source.scan(&request, context, &mut |trace| {
        if let Err(error) = context.check() {
            refused = Some(error);
            return ControlFlow::Break(());
        }
        let view = View::new(&trace);
        match pipeline {
            None => (0..trace.spans.len()).for_each(|i| add(&mut found, &view.field(i, field))),
            Some(pipeline) => {
                for index in eval::run(pipeline, &view).iter().flat_map(|set| &set.spans) {
                    add(&mut found, &view.field(*index, field));
                }
            }
        }
        if found.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if let Some(error) = refused {
        return Err(error.into());
    }
    Ok(found.into_keys().filter(|found| !found.value.is_empty()).take(limit).collect())
}
