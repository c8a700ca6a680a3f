//! Evaluation over one trace: expressions for spans, pipelines for spansets.
//!
//! A spanset is a list of indices into the spans of the trace, ascending, each once.

use std::collections::BTreeMap;

use super::ast::{
    AggregateOp, Field, FieldExpr, Pipeline, Relation, Returned, SpansetExpr, SpansetOp, Stage,
};
use super::value::{self, Cell};
use super::view::View;

/// Some spans of a trace, and values that belong to them together.
#[derive(Debug, Clone)]
pub(crate) struct Spanset<'a> {
    pub(crate) spans: Vec<usize>,
    /// Groups and aggregates by their text.
    pub(crate) attributes: Vec<(&'a str, Cell<'a>)>,
}

/// The value of `expr` for the span at `index`.
pub(crate) fn evaluate<'a>(expr: &'a FieldExpr, view: &View<'a>, index: usize) -> Cell<'a> {
    match expr {
        FieldExpr::Field(field) => view.field(index, field),
        FieldExpr::Literal(literal) => Cell::from_literal(literal),
        FieldExpr::Not(inner) => match evaluate(inner, view, index) {
            Cell::Bool(b) => Cell::Bool(!b),
            _ => Cell::Nil,
        },
        FieldExpr::Negate(inner) => match evaluate(inner, view, index) {
            Cell::Int(i) => Cell::Int(i.saturating_neg()),
            Cell::Duration(ns) => Cell::Duration(ns.saturating_neg()),
            Cell::Float(f) => Cell::Float(-f),
            _ => Cell::Nil,
        },
        FieldExpr::Logical { all, operands } => {
            let mut outcomes = operands.iter().map(|operand| is_true(operand, view, index));
            Cell::Bool(if *all { outcomes.all(|b| b) } else { outcomes.any(|b| b) })
        }
        FieldExpr::Compare { op, left, right } => {
            let (left, right) = (evaluate(left, view, index), evaluate(right, view, index));
            Cell::Bool(value::compare(*op, &left, &right))
        }
        FieldExpr::Exists { operand, exists } => {
            let is_nil = evaluate(operand, view, index) == Cell::Nil;
            Cell::Bool(is_nil != *exists)
        }
        FieldExpr::Match { negated, operand, regex } => {
            Cell::Bool(value::matches(*negated, regex, &evaluate(operand, view, index)))
        }
        FieldExpr::Arithmetic { op, left, right } => {
            let (left, right) = (evaluate(left, view, index), evaluate(right, view, index));
            match (left.number(), right.number()) {
                (Some(left), Some(right)) => Cell::Float(op.apply(left, right)),
                _ => Cell::Nil,
            }
        }
    }
}

pub(crate) fn is_true<'a>(expr: &'a FieldExpr, view: &View<'a>, index: usize) -> bool {
    evaluate(expr, view, index).is_true()
}

/// Whether the span at `index` passes `filter`.
pub(crate) fn passes<'a>(filter: &'a Option<FieldExpr>, view: &View<'a>, index: usize) -> bool {
    filter.as_ref().is_none_or(|expr| is_true(expr, view, index))
}

/// Runs all stages over the whole trace; no spanset in the answer is empty.
pub(crate) fn run<'a>(pipeline: &'a Pipeline, view: &View<'a>) -> Vec<Spanset<'a>> {
    let spans: Vec<usize> = (0..view.trace.spans.len()).collect();
    if spans.is_empty() {
        return Vec::new();
    }
    run_from(pipeline, view, Spanset { spans, attributes: Vec::new() })
}

fn run_from<'a>(pipeline: &'a Pipeline, view: &View<'a>, input: Spanset<'a>) -> Vec<Spanset<'a>> {
    let mut sets = vec![input];
    for stage in &pipeline.stages {
        sets = run_stage(stage, view, sets);
        if sets.is_empty() {
            break;
        }
    }
    sets
}

fn run_stage<'a>(stage: &'a Stage, view: &View<'a>, sets: Vec<Spanset<'a>>) -> Vec<Spanset<'a>> {
    match stage {
        Stage::Select => sets,
        Stage::Spanset(expr) => sets
            .into_iter()
            .map(|set| Spanset { spans: run_spanset(expr, view, &set.spans), ..set })
            .filter(|set| !set.spans.is_empty())
            .collect(),
        Stage::Aggregate { op, operand, text, comparison, value } => sets
            .into_iter()
            .filter_map(|mut set| {
                let found = aggregate(*op, operand.as_ref(), view, &set.spans)?;
                let holds = comparison.accepts(found.number()?.partial_cmp(value));
                set.attributes.push((text, found));
                holds.then_some(set)
            })
            .collect(),
        Stage::By { expr, text } => {
            sets.into_iter().flat_map(|set| split(expr, text, view, set)).collect()
        }
        Stage::Coalesce => {
            let spans = union(sets.into_iter().map(|set| set.spans));
            vec![Spanset { spans, attributes: Vec::new() }]
        }
    }
}

fn union(lists: impl IntoIterator<Item = Vec<usize>>) -> Vec<usize> {
    let mut all: Vec<usize> = lists.into_iter().flatten().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// One spanset for each value, in order of the values' first spans.
fn split<'a>(
    expr: &'a FieldExpr,
    text: &'a str,
    view: &View<'a>,
    set: Spanset<'a>,
) -> Vec<Spanset<'a>> {
    let mut groups: Vec<Spanset<'a>> = Vec::new();
    let mut by_text: BTreeMap<String, usize> = BTreeMap::new();
    for index in set.spans {
        let cell = evaluate(expr, view, index);
        let group = *by_text.entry(format!("{cell:?}")).or_insert_with(|| {
            let mut attributes = set.attributes.clone();
            attributes.push((text, cell));
            groups.push(Spanset { spans: Vec::new(), attributes });
            groups.len() - 1
        });
        groups[group].spans.push(index);
    }
    groups
}

/// `None` if no span has a number.
fn aggregate<'a>(
    op: AggregateOp,
    operand: Option<&'a FieldExpr>,
    view: &View<'a>,
    spans: &[usize],
) -> Option<Cell<'a>> {
    let Some(operand) = operand else {
        return Some(Cell::Int(i64::try_from(spans.len()).unwrap_or(i64::MAX)));
    };
    let mut is_duration = true;
    let mut numbers = Vec::with_capacity(spans.len());
    for index in spans {
        let cell = evaluate(operand, view, *index);
        if let Some(number) = cell.number() {
            is_duration &= matches!(cell, Cell::Duration(_));
            numbers.push(number);
        }
    }
    let value = match op {
        AggregateOp::Min => numbers.iter().copied().reduce(f64::min)?,
        AggregateOp::Max => numbers.iter().copied().reduce(f64::max)?,
        AggregateOp::Count => numbers.len() as f64,
        AggregateOp::Sum | AggregateOp::Avg => {
            let sum = numbers.iter().copied().reduce(|a, b| a + b)?;
            if op == AggregateOp::Sum { sum } else { sum / numbers.len() as f64 }
        }
    };
    Some(if is_duration { Cell::Duration(value as i64) } else { Cell::Float(value) })
}

/// The spans of `input` that `expr` selects.
fn run_spanset<'a>(expr: &'a SpansetExpr, view: &View<'a>, input: &[usize]) -> Vec<usize> {
    match expr {
        SpansetExpr::Filter(filter) => {
            input.iter().copied().filter(|index| passes(filter, view, *index)).collect()
        }
        SpansetExpr::Pipeline(pipeline) => {
            let set = Spanset { spans: input.to_vec(), attributes: Vec::new() };
            union(run_from(pipeline, view, set).into_iter().map(|set| set.spans))
        }
        SpansetExpr::Binary { op, left, right } => {
            let left = run_spanset(left, view, input);
            let right = run_spanset(right, view, input);
            match op {
                SpansetOp::And if left.is_empty() || right.is_empty() => Vec::new(),
                SpansetOp::And | SpansetOp::Or => union([left, right]),
                SpansetOp::Structural(relation, returned) => {
                    structural(*relation, *returned, view, &left, &right)
                }
            }
        }
    }
}

fn structural(
    relation: Relation,
    returned: Returned,
    view: &View<'_>,
    left: &[usize],
    right: &[usize],
) -> Vec<usize> {
    let related = related(relation, view, left, right);
    match returned {
        Returned::Right => pick(right, &related),
        Returned::Unrelated => right.iter().copied().filter(|index| !related[*index]).collect(),
        Returned::Both => {
            let mirrored = match relation {
                Relation::Child => Relation::Parent,
                Relation::Parent => Relation::Child,
                Relation::Descendant => Relation::Ancestor,
                Relation::Ancestor => Relation::Descendant,
                Relation::Sibling => Relation::Sibling,
            };
            let others = self::related(mirrored, view, right, left);
            union([pick(right, &related), pick(left, &others)])
        }
    }
}

fn pick(spans: &[usize], marks: &[bool]) -> Vec<usize> {
    spans.iter().copied().filter(|index| marks[*index]).collect()
}

/// Marks the spans that stand in `relation` to some span of `left`; marks outside `right` mean
/// nothing.
fn related(relation: Relation, view: &View<'_>, left: &[usize], right: &[usize]) -> Vec<bool> {
    let structure = view.structure();
    let count = structure.parents.len();
    let mut marks = vec![false; count];
    let mut in_left = vec![false; count];
    left.iter().for_each(|index| in_left[*index] = true);
    match relation {
        Relation::Child => {
            for index in right {
                marks[*index] = structure.parents[*index].is_some_and(|parent| in_left[parent]);
            }
        }
        Relation::Descendant => {
            // Each span is climbed over once: what is known of it holds for all below it.
            let mut known: Vec<Option<bool>> = vec![None; count];
            for index in right {
                let mut path = vec![*index];
                let mut is_below = false;
                for above in structure.ancestors(*index) {
                    if in_left[above] || known[above] == Some(true) {
                        is_below = true;
                    }
                    if is_below || known[above].is_some() {
                        break;
                    }
                    path.push(above);
                }
                path.into_iter().for_each(|i| known[i] = Some(is_below));
                marks[*index] = is_below;
            }
        }
        Relation::Parent => {
            for parent in left.iter().filter_map(|index| structure.parents[*index]) {
                marks[parent] = true;
            }
        }
        Relation::Ancestor => {
            for index in left {
                for above in structure.ancestors(*index) {
                    // Whoever marked it has marked everything above as well.
                    if std::mem::replace(&mut marks[above], true) {
                        break;
                    }
                }
            }
        }
        Relation::Sibling => {
            let spans = &view.trace.spans;
            let mut counts: BTreeMap<_, usize> = BTreeMap::new();
            for index in left.iter().filter(|index| !spans[**index].parent_span_id.is_zero()) {
                *counts.entry(spans[*index].parent_span_id).or_default() += 1;
            }
            for index in right {
                let siblings = counts.get(&spans[*index].parent_span_id).copied().unwrap_or(0);
                marks[*index] = siblings > usize::from(in_left[*index]);
            }
        }
    }
    marks
}

/// Adds what a result shows of a span: the fields that the query mentions.
pub(crate) fn shown<'a, 'f>(
    fields: &'f [Field],
    view: &View<'a>,
    index: usize,
) -> Vec<(&'f str, Cell<'a>)> {
    use super::ast::Intrinsic as I;
    let mut shown = Vec::new();
    for field in fields {
        // Results have these in places of their own.
        let is_elsewhere = matches!(
            field,
            Field::Intrinsic(
                I::Name
                    | I::Duration
                    | I::SpanId
                    | I::TraceId
                    | I::TraceDuration
                    | I::RootName
                    | I::RootService
            )
        );
        if !is_elsewhere {
            let cell = view.field(index, field);
            if cell != Cell::Nil {
                shown.push((field.key(), cell));
            }
        }
    }
    shown
}
