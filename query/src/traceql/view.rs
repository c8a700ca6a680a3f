//! One trace as a query sees it: fields of its spans, and who is whose parent.

use std::borrow::Cow;
use std::cell::OnceCell;

use model::read::AttributeScope;
use model::span::Attributes;
use model::span::{Span, Trace};
use rustc_hash::FxHashMap;

use super::ast::{Field, Intrinsic};
use super::value::Cell;

/// Who is whose parent, by index.
pub(crate) struct Structure {
    pub(crate) parents: Vec<Option<usize>>,
    children_counts: Vec<i64>,
    /// Left, right and parent number of the nested set; zeros below a root that is missing.
    nested: Vec<(i64, i64, i64)>,
}

/// A trace and what was computed of it so far.
pub(crate) struct View<'a> {
    pub(crate) trace: &'a Trace,
    root: Option<&'a Span>,
    duration: OnceCell<i64>,
    structure: OnceCell<Structure>,
}

fn find<'a>(attributes: &'a Attributes, name: &str) -> Option<Cell<'a>> {
    let value = attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    value.map(Cell::from_value)
}

fn flat<'a>(cells: impl Iterator<Item = Cell<'a>>) -> Cell<'a> {
    let mut all = Vec::new();
    for cell in cells {
        match cell {
            Cell::Many(cells) => all.extend(cells),
            Cell::Nil => {}
            one => all.push(one),
        }
    }
    Cell::many(all)
}

impl<'a> View<'a> {
    pub(crate) fn new(trace: &'a Trace) -> Self {
        View { trace, root: trace.root(), duration: OnceCell::new(), structure: OnceCell::new() }
    }

    pub(crate) fn structure(&self) -> &Structure {
        self.structure.get_or_init(|| Structure::new(self.trace))
    }

    fn duration(&self) -> i64 {
        *self.duration.get_or_init(|| {
            let (start, end) = self.trace.bounds();
            end.0.saturating_sub(start.0)
        })
    }

    /// The value of `field` for the span at `index`.
    pub(crate) fn field(&self, index: usize, field: &Field) -> Cell<'a> {
        let span = &self.trace.spans[index];
        match field {
            Field::Intrinsic(intrinsic) => self.intrinsic(index, span, *intrinsic),
            Field::Attribute(scope, name) => match scope {
                AttributeScope::Span => find(&span.attributes, name).unwrap_or(Cell::Nil),
                AttributeScope::Resource => {
                    find(&span.resource.attributes, name).unwrap_or(Cell::Nil)
                }
                AttributeScope::Any => find(&span.attributes, name)
                    .or_else(|| find(&span.resource.attributes, name))
                    .unwrap_or(Cell::Nil),
                AttributeScope::Instrumentation => {
                    find(&span.scope.attributes, name).unwrap_or(Cell::Nil)
                }
                AttributeScope::Event => {
                    flat(span.events.iter().filter_map(|event| find(&event.attributes, name)))
                }
                AttributeScope::Link => {
                    flat(span.links.iter().filter_map(|link| find(&link.attributes, name)))
                }
            },
        }
    }

    fn intrinsic(&self, index: usize, span: &'a Span, intrinsic: Intrinsic) -> Cell<'a> {
        let text = |text: &'a str| Cell::Str(Cow::Borrowed(text));
        match intrinsic {
            Intrinsic::Name => text(&span.name),
            Intrinsic::Status => Cell::Status(span.status),
            Intrinsic::StatusMessage => text(&span.status_message),
            Intrinsic::Kind => Cell::Kind(span.kind),
            Intrinsic::Duration => Cell::Duration(span.duration_ns()),
            Intrinsic::SpanId => Cell::Str(Cow::Owned(span.span_id.to_string())),
            Intrinsic::ParentId if span.parent_span_id.is_zero() => text(""),
            Intrinsic::ParentId => Cell::Str(Cow::Owned(span.parent_span_id.to_string())),
            Intrinsic::ChildCount => Cell::Int(self.structure().children_counts[index]),
            Intrinsic::NestedSetLeft => Cell::Int(self.structure().nested[index].0),
            Intrinsic::NestedSetRight => Cell::Int(self.structure().nested[index].1),
            Intrinsic::NestedSetParent => Cell::Int(self.structure().nested[index].2),
            Intrinsic::TraceId => Cell::Str(Cow::Owned(self.trace.id.to_string())),
            Intrinsic::TraceDuration => Cell::Duration(self.duration()),
            Intrinsic::RootName => text(self.root.map_or("", |root| &root.name)),
            Intrinsic::RootService => {
                text(self.root.map_or("", |root| root.resource.service_name()))
            }
            Intrinsic::EventName => flat(span.events.iter().map(|event| text(&event.name))),
            Intrinsic::EventTimeSinceStart => flat(
                span.events
                    .iter()
                    .map(|event| Cell::Duration(event.at.0.saturating_sub(span.start.0))),
            ),
            Intrinsic::LinkTraceId => {
                flat(span.links.iter().map(|link| Cell::Str(Cow::Owned(link.trace_id.to_string()))))
            }
            Intrinsic::LinkSpanId => {
                flat(span.links.iter().map(|link| Cell::Str(Cow::Owned(link.span_id.to_string()))))
            }
            Intrinsic::InstrumentationName => text(&span.scope.name),
            Intrinsic::InstrumentationVersion => text(&span.scope.version),
        }
    }
}

impl Structure {
    fn new(trace: &Trace) -> Self {
        let spans = &trace.spans;
        let mut by_id = FxHashMap::default();
        for (i, span) in spans.iter().enumerate() {
            by_id.entry(span.span_id).or_insert(i);
        }
        let parents: Vec<Option<usize>> = spans
            .iter()
            .enumerate()
            .map(|(i, span)| {
                let parent = by_id.get(&span.parent_span_id).copied();
                parent.filter(|parent| !span.parent_span_id.is_zero() && *parent != i)
            })
            .collect();
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
        for (i, parent) in parents.iter().enumerate() {
            if let Some(parent) = parent {
                children[*parent].push(i);
            }
        }
        let mut nested = vec![(0, 0, 0); spans.len()];
        let mut next = 1;
        for (i, span) in spans.iter().enumerate() {
            if span.parent_span_id.is_zero() {
                number(i, &children, &mut nested, &mut next);
            }
        }
        let children_counts = children.iter().map(|c| i64::try_from(c.len()).unwrap_or(i64::MAX));
        Structure { children_counts: children_counts.collect(), parents, nested }
    }

    /// The indices above `index`, nearest first. Ends also if the parents form a circle.
    pub(crate) fn ancestors(&self, index: usize) -> impl Iterator<Item = usize> {
        let next = |i: &usize| self.parents[*i];
        std::iter::successors(self.parents[index], next).take(self.parents.len())
    }
}

/// Numbers the tree below `root` on the way down and up. A loop and not a recursion, because traces
/// can be as deep as they have spans.
fn number(root: usize, children: &[Vec<usize>], nested: &mut [(i64, i64, i64)], next: &mut i64) {
    let mut stack = vec![(root, 0)];
    nested[root] = (*next, 0, -1);
    *next += 1;
    while let Some((index, child)) = stack.pop() {
        match children[index].get(child) {
            Some(below) => {
                stack.push((index, child + 1));
                nested[*below] = (*next, 0, nested[index].0);
                *next += 1;
                stack.push((*below, 0));
            }
            None => {
                nested[index].1 = *next;
                *next += 1;
            }
        }
    }
}
