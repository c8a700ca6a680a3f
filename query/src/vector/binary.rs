//! Binary operators between scalars and vectors, and how series of two vectors find each other.
//!
//! Matching is done once per pair of series: signatures are label sets, and only where one
//! signature has several series does presence by step matter.

use model::labels::METRIC_NAME;
use model::{Labels, QueryContext};
use rustc_hash::FxHashMap;

use super::{Column, METADATA_LABELS, Notes, absent, is_absent, merge_same_labels};
use crate::errors::{EvalError, Side, Span};

/// A binary operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `atan2`
    Atan2,
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `>`
    Gt,
    /// `<`
    Lt,
    /// `>=`
    Ge,
    /// `<=`
    Le,
    /// `and`
    And,
    /// `or`
    Or,
    /// `unless`
    Unless,
}

const SYMBOLS: [(BinaryOp, &str, u8); 16] = [
    (BinaryOp::Or, "or", 1),
    (BinaryOp::And, "and", 2),
    (BinaryOp::Unless, "unless", 2),
    (BinaryOp::Eq, "==", 3),
    (BinaryOp::Ne, "!=", 3),
    (BinaryOp::Gt, ">", 3),
    (BinaryOp::Lt, "<", 3),
    (BinaryOp::Ge, ">=", 3),
    (BinaryOp::Le, "<=", 3),
    (BinaryOp::Add, "+", 4),
    (BinaryOp::Sub, "-", 4),
    (BinaryOp::Mul, "*", 5),
    (BinaryOp::Div, "/", 5),
    (BinaryOp::Mod, "%", 5),
    (BinaryOp::Atan2, "atan2", 5),
    (BinaryOp::Pow, "^", 6),
];

impl BinaryOp {
    /// Finds an operator by its symbol or lower-case keyword.
    pub fn from_symbol(symbol: &str) -> Option<Self> {
        SYMBOLS.iter().find(|(_, known, _)| *known == symbol).map(|(op, _, _)| *op)
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        SYMBOLS.iter().find(|(op, _, _)| *op == self).map_or("", |(_, symbol, _)| symbol)
    }

    /// How tightly it binds; higher is tighter.
    pub fn precedence(self) -> u8 {
        SYMBOLS.iter().find(|(op, _, _)| *op == self).map_or(0, |(_, _, precedence)| *precedence)
    }

    /// Whether it compares.
    pub fn is_comparison(self) -> bool {
        self.precedence() == 3
    }

    /// Whether it works on sets of series instead of values.
    pub fn is_set(self) -> bool {
        self.precedence() < 3
    }

    /// The value of two samples and whether a filtering comparison keeps it.
    fn apply(self, left: f64, right: f64) -> (f64, bool) {
        match self {
            BinaryOp::Add => (left + right, true),
            BinaryOp::Sub => (left - right, true),
            BinaryOp::Mul => (left * right, true),
            BinaryOp::Div => (left / right, true),
            BinaryOp::Mod => (left % right, true),
            BinaryOp::Pow => (left.powf(right), true),
            BinaryOp::Atan2 => (left.atan2(right), true),
            BinaryOp::Eq => (left, left == right),
            BinaryOp::Ne => (left, left != right),
            BinaryOp::Gt => (left, left > right),
            BinaryOp::Lt => (left, left < right),
            BinaryOp::Ge => (left, left >= right),
            BinaryOp::Le => (left, left <= right),
            BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => (left, true),
        }
    }
}

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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matching {
    /// Only by the listed labels (`on`), instead of by all others (`ignoring`).
    pub on: bool,
    /// The listed labels.
    pub labels: Vec<String>,
    /// Which side may have several.
    pub cardinality: Cardinality,
    /// Labels that are taken over from the other side.
    pub include: Vec<String>,
}

impl Matching {
    fn signature(&self, labels: &Labels) -> Labels {
        let mut names: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        if self.on {
            return labels.only(&names);
        }
        names.push(METRIC_NAME);
        labels.without(&names)
    }

    /// The labels that an error names as the match group.
    fn group(&self, labels: &Labels) -> Labels {
        self.signature(labels)
    }

    fn result_labels(&self, op: BinaryOp, many: &Labels, one: &Labels) -> Labels {
        let mut labels = many.clone();
        if !op.is_comparison() {
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

/// Combines two scalars step by step.
pub fn scalars(op: BinaryOp, left: &[f64], right: &[f64]) -> Vec<f64> {
    left.iter()
        .zip(right)
        .map(|(left, right)| {
            let (value, keep) = op.apply(*left, *right);
            if op.is_comparison() { f64::from(u8::from(keep)) } else { value }
        })
        .collect()
}

/// What an operator with a vector is about.
#[derive(Debug, Clone, Copy)]
pub struct Operator {
    /// The operator.
    pub op: BinaryOp,
    /// Whether a comparison answers 0 or 1.
    pub return_bool: bool,
    /// Where remarks point to.
    pub span: Span,
}

/// Combines a vector with a scalar, which stands on the left if `scalar_left`.
pub fn vector_scalar(
    operator: Operator,
    columns: Vec<Column>,
    scalar: &[f64],
    scalar_left: bool,
    notes: &mut Notes,
    context: &QueryContext,
) -> Result<Vec<Column>, EvalError> {
    let Operator { op, return_bool, span } = operator;
    let mut results = Vec::with_capacity(columns.len());
    for mut column in columns {
        context.check()?;
        for (cell, scalar) in column.values.iter_mut().zip(scalar) {
            if is_absent(*cell) {
                continue;
            }
            let (left, right) = if scalar_left { (*scalar, *cell) } else { (*cell, *scalar) };
            let (value, keep) = op.apply(left, right);
            *cell = match (op.is_comparison(), return_bool, keep) {
                (false, _, _) => value,
                (true, true, _) => f64::from(u8::from(keep)),
                // A comparison keeps the vector's value on whichever side it stands.
                (true, false, true) => *cell,
                (true, false, false) => absent(),
            };
        }
        if column.histograms.iter().any(Option::is_some) {
            let (left, right) =
                if scalar_left { ("float", "histogram") } else { ("histogram", "float") };
            note_types(notes, span, op, left, right);
        }
        column.histograms = Vec::new();
        column.drop_name |= return_bool || !op.is_comparison();
        if column.has_any() {
            results.push(column);
        }
    }
    Ok(results)
}

fn note_types(notes: &mut Notes, span: Span, op: BinaryOp, left: &str, right: &str) {
    let symbol = op.as_str();
    let scales = matches!(op, BinaryOp::Mul) || (op == BinaryOp::Div && right == "float");
    let both = left == right && matches!(op, BinaryOp::Add | BinaryOp::Sub);
    if scales && left != right || both {
        let text = format!(
            "operator {symbol:?} on native histograms is not supported yet: {left} {symbol} {right}"
        );
        notes.warn(span, &text);
    } else {
        let text = format!(
            "incompatible sample types encountered for binary operator {symbol:?}: \
             {left} {symbol} {right}"
        );
        notes.info(span, &text);
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

    let mut outputs: Vec<Output> = Vec::new();
    let mut places: FxHashMap<(Labels, Labels), usize> = FxHashMap::default();
    let mut matched_once: FxHashMap<Labels, Vec<bool>> = FxHashMap::default();
    let one_to_one = matching.cardinality == Cardinality::OneToOne;
    for many_column in &many {
        context.check()?;
        let signature = matching.signature(&many_column.labels);
        let Some(partners) = one_by_signature.get(&signature) else { continue };
        for partner in partners {
            let one_column = &one[*partner];
            let (mut column, matched) =
                combine(operator, many_column, one_column, swapped, steps, notes);
            if one_to_one {
                let seen =
                    matched_once.entry(signature.clone()).or_insert_with(|| vec![false; steps]);
                mark(seen, &matched).map_err(|()| EvalError::ManyToOneNotExplicit)?;
            }
            column.labels =
                matching.result_labels(operator.op, &many_column.labels, &one_column.labels);
            column.drop_name =
                operator.return_bool || (operator.op.is_comparison() && many_column.drop_name);
            let key = (signature.clone(), column.labels.clone());
            match places.get(&key) {
                None => {
                    places.insert(key, outputs.len());
                    outputs.push(Output { column, matched });
                }
                Some(place) => {
                    let output = &mut outputs[*place];
                    mark(&mut output.matched, &matched)
                        .map_err(|()| EvalError::GroupingNotUnique)?;
                    output.column.merge(column)?;
                }
            }
        }
    }
    let columns = outputs.into_iter().map(|output| output.column).filter(Column::has_any);
    merge_same_labels(columns.collect())
}

/// Adds `matched` to `seen`; fails where both are set.
fn mark(seen: &mut [bool], matched: &[bool]) -> Result<(), ()> {
    for (seen, matched) in seen.iter_mut().zip(matched) {
        if *seen && *matched {
            return Err(());
        }
        *seen |= *matched;
    }
    Ok(())
}

fn combine(
    operator: Operator,
    many: &Column,
    one: &Column,
    swapped: bool,
    steps: usize,
    notes: &mut Notes,
) -> (Column, Vec<bool>) {
    let Operator { op, return_bool, span } = operator;
    let mut values = vec![absent(); steps];
    let mut matched = vec![false; steps];
    let mut histograms = Vec::new();
    for step in 0..steps {
        let (many_value, one_value) = (many.values[step], one.values[step]);
        if is_absent(many_value) || is_absent(one_value) {
            if let (Some(many), Some(one)) = (many.histogram(step), one.histogram(step))
                && matches!(op, BinaryOp::Eq | BinaryOp::Ne)
            {
                matched[step] = true;
                let keep = (many == one) == (op == BinaryOp::Eq);
                if return_bool {
                    values[step] = f64::from(u8::from(keep));
                } else if keep {
                    histograms.resize(steps, None);
                    histograms[step] = Some(if swapped { one.clone() } else { many.clone() });
                }
                continue;
            }
            if many.has(step) && one.has(step) {
                let kind = |value| if is_absent(value) { "histogram" } else { "float" };
                let (mut left, mut right) = (kind(many_value), kind(one_value));
                if swapped {
                    std::mem::swap(&mut left, &mut right);
                }
                note_types(notes, span, op, left, right);
            }
            continue;
        }
        matched[step] = true;
        let (left, right) = if swapped { (one_value, many_value) } else { (many_value, one_value) };
        let (value, keep) = op.apply(left, right);
        if return_bool {
            values[step] = f64::from(u8::from(keep));
        } else if keep {
            values[step] = value;
        }
    }
    let column = Column { labels: Labels::empty(), drop_name: false, values, histograms };
    (column, matched)
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
            if !many.iter().any(|column| column.has(step)) {
                continue;
            }
            let (first, second) = (&one[*first].labels, &one[*second].labels);
            let (first, second) = if first.to_string() > second.to_string() {
                (second, first)
            } else {
                (first, second)
            };
            return Err(EvalError::ManyToMany {
                group: matching.group(first),
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
