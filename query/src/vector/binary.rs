//! Binary operators between scalars, and between the samples of vectors.

mod histograms;
mod remarks;

use model::{Labels, QueryContext};

use self::histograms::Sample;
pub(super) use self::remarks::StepRemarks;
use self::remarks::{Kind, Remark};
use super::{Column, Notes, absent, is_absent};
use crate::errors::{EvalError, Span};

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
    /// `</`: the observations of a histogram that are at most a number.
    TrimUpper,
    /// `>/`: the observations of a histogram that are more than a number.
    TrimLower,
    /// `and`
    And,
    /// `or`
    Or,
    /// `unless`
    Unless,
}

const SYMBOLS: [(BinaryOp, &str, u8); 18] = [
    (BinaryOp::Or, "or", 1),
    (BinaryOp::And, "and", 2),
    (BinaryOp::Unless, "unless", 2),
    (BinaryOp::Eq, "==", 3),
    (BinaryOp::Ne, "!=", 3),
    (BinaryOp::Gt, ">", 3),
    (BinaryOp::Lt, "<", 3),
    (BinaryOp::Ge, ">=", 3),
    (BinaryOp::Le, "<=", 3),
    (BinaryOp::TrimUpper, "</", 3),
    (BinaryOp::TrimLower, ">/", 3),
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
        self.precedence() == 3 && !self.is_trim()
    }

    /// Whether it trims a histogram.
    pub fn is_trim(self) -> bool {
        matches!(self, BinaryOp::TrimUpper | BinaryOp::TrimLower)
    }

    /// Whether results mean something else than the metric that went in.
    pub(super) fn makes_another_metric(self) -> bool {
        !self.is_comparison() && !self.is_trim() && !self.is_set()
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
            // Floats can not be trimmed.
            BinaryOp::TrimUpper | BinaryOp::TrimLower => (absent(), false),
            BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => (left, true),
        }
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

/// Two floats that are no use to the operator.
const FLOATS: Remark = Remark::Types(Kind::Float, Kind::Float);

/// Combines a vector with a scalar, which stands on the left if `scalar_left`.
pub fn vector_scalar(
    operator: Operator,
    columns: Vec<Column>,
    scalar: &[f64],
    scalar_left: bool,
    notes: &mut Notes,
    context: &QueryContext,
) -> Result<Vec<Column>, EvalError> {
    let Operator { op, return_bool, .. } = operator;
    let mut results = Vec::with_capacity(columns.len());
    let mut remarks = StepRemarks::default();
    for mut column in columns {
        context.check()?;
        if op.is_trim() {
            let floats = column.values.iter().enumerate().filter(|(_, cell)| !is_absent(**cell));
            floats.for_each(|(step, _)| remarks.set(step, FLOATS));
        }
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
        for (step, (cell, scalar)) in column.histograms.iter_mut().zip(scalar).enumerate() {
            let Some(histogram) = cell else { continue };
            if let Err(remark) = histograms::scale(op, histogram, *scalar, scalar_left) {
                remarks.set(step, remark);
                *cell = None;
            }
        }
        column.drop_name |= return_bool || op.makes_another_metric();
        if column.has_any() {
            results.push(column);
        }
    }
    remarks.note(operator, notes);
    Ok(results)
}

/// Combines two series that found each other. Answers also where both had samples that could be
/// combined. The result has no labels yet.
pub(super) fn combine(
    operator: Operator,
    many: &Column,
    one: &Column,
    swapped: bool,
    steps: usize,
    remarks: &mut StepRemarks,
) -> (Column, Vec<bool>) {
    let Operator { op, return_bool, .. } = operator;
    let (left, right) = if swapped { (one, many) } else { (many, one) };
    let mut column = Column::floats(Labels::empty(), false, vec![absent(); steps]);
    let mut matched = vec![false; steps];
    let is_trim = op.is_trim();
    let has_histograms = !(left.histograms.is_empty() && right.histograms.is_empty());
    let pairs = left.values.iter().zip(&right.values).zip(&mut matched).enumerate();
    for (step, ((left_value, right_value), matched)) in pairs {
        let (left_value, right_value) = (*left_value, *right_value);
        if is_absent(left_value) || is_absent(right_value) {
            if !has_histograms {
                continue;
            }
            let samples = (Sample::of(left, step), Sample::of(right, step));
            let (Some(left), Some(right)) = samples else { continue };
            let (result, remark) = histograms::combine(op, left, right);
            if let Some(remark) = remark {
                remarks.set(step, remark);
            }
            let Some((histogram, keep)) = result else { continue };
            *matched = true;
            if return_bool {
                column.values[step] = f64::from(u8::from(keep));
            } else if keep {
                column.histograms.resize(steps, None);
                column.histograms[step] = Some(histogram);
            }
            continue;
        }
        if is_trim {
            remarks.set(step, FLOATS);
            continue;
        }
        *matched = true;
        let (value, keep) = op.apply(left_value, right_value);
        if return_bool {
            column.values[step] = f64::from(u8::from(keep));
        } else if keep {
            column.values[step] = value;
        }
    }
    (column, matched)
}
