//! How series of two vectors find each other, and the operators on sets of series.
//!
//! Matching is done once per pair of series: signatures are label sets, and only where one
//! signature has several series does presence by step matter.

use model::labels::METRIC_NAME;
use model::{Labels, QueryContext};
use rustc_hash::FxHashMap;

use super::binary::{StepRemarks, combine};
use super::{BinaryOp, Column, METADATA_LABELS, Notes, Operator, absent, merge_same_labels};
use crate::errors::{EvalError, Side};

/// How many series of each side share a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Cardinality {
    /// One and one.
    #[default]
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
}

/// How series of two vectors find each other. The default is by all labels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matching {
    /// Only by the listed labels (`on`), instead of by all others (`ignoring`).
    pub on: bool,
    /// The listed labels.
    pub labels: Vec<String>,
    /// Which side may have several.
    pub cardinality: Cardinality,
    /// Labels that are taken over from the other side.
    pub include: Vec<String>,
    /// The value of a series that is missing on the left.
    pub fill_left: Option<f64>,
    /// The value of a series that is missing on the right.
    pub fill_right: Option<f64>,
}

impl Matching {
    /// The labels by which a series is found; empty ones say nothing.
    pub(crate) fn signature(&self, labels: &Labels) -> Labels {
        if labels.iter().any(|(_, value)| value.is_empty()) {
            return self.signature(&Labels::from_pairs(labels.iter()));
        }
        let mut names: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        if self.on {
            return labels.only(&names);
        }
        names.push(METRIC_NAME);
        labels.without(&names)
    }

    fn fills(&self) -> bool {
        self.fill_left.is_some() || self.fill_right.is_some()
    }

    fn result_labels(&self, op: BinaryOp, many: &Labels, one: &Labels) -> Labels {
        let mut labels = many.clone();
        if op.makes_another_metric() {
            labels = labels.without(&METADATA_LABELS);
        }
        let names: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        if self.cardinality == Cardinality::OneToOne {
            labels = if self.on { labels.only(&names) } else { labels.without(&names) };
        }
        for name in &self.include {
            labels = labels.with(name, one.get_or_empty(name));
        }
        labels
    }
}

/// One result of [`vector_vector`] while it is built.
struct Output {
    column: Column,
    matched: Vec<bool>,
}

/// Combines two vectors with an operator other than a set operator.
pub fn vector_vector(
    operator: Operator,
    left: Vec<Column>,
    right: Vec<Column>,
    matching: &Matching,
    steps: usize,
    notes: &mut Notes,
    context: &QueryContext,
) -> Result<Vec<Column>, EvalError> {
    let swapped = matching.cardinality == Cardinality::OneToMany;
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    let mut one_by_signature: FxHashMap<Labels, Vec<usize>> = FxHashMap::default();
    for (index, column) in one.iter().enumerate() {
        one_by_signature.entry(matching.signature(&column.labels)).or_default().push(index);
    }
    refuse_many_to_many(&many, &one, &one_by_signature, matching, swapped, steps)?;

    let mut results = Results {
        operator,
        matching,
        steps,
        outputs: Vec::new(),
        places: FxHashMap::default(),
        matched: FxHashMap::default(),
        remarks: StepRemarks::default(),
    };
    for many_column in &many {
        context.check()?;
        let signature = matching.signature(&many_column.labels);
        let partners = one_by_signature.get(&signature).map_or(&[][..], Vec::as_slice);
        for partner in partners {
            results.add(&signature, many_column, &one[*partner])?;
        }
        // A filled side is the one that it is after `group_right` swapped them, as in Prometheus
        // 3.14 (pinned by its `fill-modifier.test`).
        if let Some(fill) = matching.fill_right {
            let is_missing =
                |step| many_column.has(step) && !partners.iter().any(|i| one[*i].has(step));
            if let Some(filled) = filled(&signature, fill, steps, is_missing) {
                results.add(&signature, many_column, &filled)?;
            }
        }
    }
    if let Some(fill) = matching.fill_left {
        for one_column in &one {
            context.check()?;
            let signature = matching.signature(&one_column.labels);
            let matched = results.matched.get(&signature);
            let is_missing = |step| {
                one_column.has(step) && matched.is_none_or(|matched: &Vec<bool>| !matched[step])
            };
            if let Some(filled) = filled(&signature, fill, steps, is_missing) {
                results.add(&signature, &filled, one_column)?;
            }
        }
    }
    results.remarks.note(operator, notes);
    let columns = results.outputs.into_iter().map(|output| output.column).filter(Column::has_any);
    merge_same_labels(columns.collect())
}

/// A series in place of a missing one; `None` if it is never missing.
fn filled(
    signature: &Labels,
    fill: f64,
    steps: usize,
    is_missing: impl Fn(usize) -> bool,
) -> Option<Column> {
    let cell = |step| if is_missing(step) { fill } else { absent() };
    let column = Column::floats(signature.clone(), false, (0..steps).map(cell).collect());
    column.has_any().then_some(column)
}

struct Results<'a> {
    operator: Operator,
    matching: &'a Matching,
    steps: usize,
    outputs: Vec<Output>,
    /// Outputs by signature and labels.
    places: FxHashMap<(Labels, Labels), usize>,
    /// Where a signature has found a match.
    matched: FxHashMap<Labels, Vec<bool>>,
    remarks: StepRemarks,
}

impl Results<'_> {
    fn add(&mut self, signature: &Labels, many: &Column, one: &Column) -> Result<(), EvalError> {
        let Results { operator, matching, steps, .. } = *self;
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (mut column, matched) = combine(operator, many, one, swapped, steps, &mut self.remarks);
        let one_to_one = matching.cardinality == Cardinality::OneToOne;
        if one_to_one || matching.fill_left.is_some() {
            let seen = self.matched.entry(signature.clone()).or_insert_with(|| vec![false; steps]);
            if mark(seen, &matched).is_err() && one_to_one {
                return Err(EvalError::ManyToOneNotExplicit);
            }
        }
        column.labels = matching.result_labels(operator.op, &many.labels, &one.labels);
        column.drop_name =
            operator.return_bool || (!operator.op.makes_another_metric() && many.drop_name);
        let key = (signature.clone(), column.labels.clone());
        match self.places.get(&key) {
            None => {
                self.places.insert(key, self.outputs.len());
                self.outputs.push(Output { column, matched });
            }
            Some(place) => {
                let output = &mut self.outputs[*place];
                mark(&mut output.matched, &matched).map_err(|()| EvalError::GroupingNotUnique)?;
                output.column.merge(column)?;
            }
        }
        Ok(())
    }
}

/// Adds `matched` to `seen`; fails where both are set, but adds all of them.
fn mark(seen: &mut [bool], matched: &[bool]) -> Result<(), ()> {
    let mut result = Ok(());
    for (seen, matched) in seen.iter_mut().zip(matched) {
        if *seen && *matched {
            result = Err(());
        }
        *seen |= *matched;
    }
    result
}

/// Fails where the side that must be unique has two series of one signature at a step at which
/// the other side has anything at all.
fn refuse_many_to_many(
    many: &[Column],
    one: &[Column],
    one_by_signature: &FxHashMap<Labels, Vec<usize>>,
    matching: &Matching,
    swapped: bool,
    steps: usize,
) -> Result<(), EvalError> {
    for indexes in one_by_signature.values().filter(|indexes| indexes.len() > 1) {
        for step in 0..steps {
            let mut present = indexes.iter().filter(|index| one[**index].has(step));
            let (Some(first), Some(second)) = (present.next(), present.next()) else { continue };
            if !matching.fills() && !many.iter().any(|column| column.has(step)) {
                continue;
            }
            let (first, second) = (&one[*first].labels, &one[*second].labels);
            let (first, second) = if first.to_string() > second.to_string() {
                (second, first)
            } else {
                (first, second)
            };
            return Err(EvalError::ManyToMany {
                group: matching.signature(first),
                side: if swapped { Side::Left } else { Side::Right },
                first: first.clone(),
                second: second.clone(),
            });
        }
    }
    Ok(())
}

/// `and`, `or`, `unless`.
pub fn set_operator(
    op: BinaryOp,
    mut left: Vec<Column>,
    mut right: Vec<Column>,
    matching: &Matching,
    steps: usize,
    context: &QueryContext,
) -> Result<Vec<Column>, EvalError> {
    let by = if op == BinaryOp::Or { &left } else { &right };
    let mut present: FxHashMap<Labels, Vec<bool>> = FxHashMap::default();
    for column in by {
        context.check()?;
        let cells =
            present.entry(matching.signature(&column.labels)).or_insert_with(|| vec![false; steps]);
        for (step, cell) in cells.iter_mut().enumerate() {
            *cell |= column.has(step);
        }
    }
    let filtered = if op == BinaryOp::Or { &mut right } else { &mut left };
    for column in filtered.iter_mut() {
        context.check()?;
        let cells = present.get(&matching.signature(&column.labels));
        for step in 0..steps {
            let matched = cells.is_some_and(|cells| cells[step]);
            if matched != (op == BinaryOp::And) {
                column.clear(step);
            }
        }
    }
    filtered.retain(Column::has_any);
    if op != BinaryOp::Or {
        return Ok(left);
    }
    left.extend(right);
    merge_same_labels(left)
}
