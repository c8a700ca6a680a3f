//! Operators between two metric expressions: PromQL's, with what LogQL does otherwise.

use rustc_hash::FxHashMap;

use super::Result;
use super::metric::{Evaluator, without_empty};
use crate::errors::EvalError;
use crate::logql::ast::MetricExpr;
use crate::vector::{self, BinaryOp, Cardinality, Column, Grid, Matching, Operator};

impl Evaluator<'_> {
    #[inline(never)]
    pub(super) fn binary(
        &mut self,
        operator: Operator,
        matching: &Matching,
        left: &MetricExpr,
        right: &MetricExpr,
        grid: &Grid,
    ) -> Result<Vec<Column>> {
        let op = operator.op;
        if left.is_scalar() || right.is_scalar() {
            let scalar_left = left.is_scalar();
            let (scalar, columns) = if scalar_left { (left, right) } else { (right, left) };
            let mut scalar = self.scalar(scalar, grid)?;
            let mut columns = self.vector(columns, grid)?;
            if scalar_left {
                columns.iter_mut().for_each(|column| guard_divisor(op, &mut column.values));
            } else {
                guard_divisor(op, &mut scalar);
            }
            let (notes, context) = (&mut self.notes, self.context);
            return vector::vector_scalar(operator, columns, &scalar, scalar_left, notes, context);
        }
        let left = self.vector(left, grid)?;
        let mut right = self.vector(right, grid)?;
        let (steps, notes) = (grid.count, &mut self.notes);
        if op.is_set() {
            return vector::set_operator(op, left, right, matching, steps, self.context);
        }
        right.iter_mut().for_each(|column| guard_divisor(op, &mut column.values));
        let (left, right) = (without_empty(left), without_empty(right));
        let swapped = matching.cardinality == Cardinality::OneToMany;
        refuse_duplicates(if swapped { &left } else { &right }, matching, steps)?;
        vector::vector_vector(operator, left, right, matching, steps, notes, self.context)
    }
}

/// Fails where the side that must be unique has two series of one signature at a step, whatever the
/// other side has, in Loki's words.
fn refuse_duplicates(one: &[Column], matching: &Matching, steps: usize) -> Result<()> {
    let mut seen: FxHashMap<_, Vec<bool>> = FxHashMap::default();
    for column in one {
        let signature = matching.signature(&column.labels);
        let cells = seen.entry(signature).or_insert_with(|| vec![false; steps]);
        for (_, cell) in cells.iter_mut().enumerate().filter(|(step, _)| column.has(*step)) {
            if std::mem::replace(cell, true) {
                let side = match matching.cardinality {
                    Cardinality::OneToMany => "left",
                    _ => "right",
                };
                return Err(EvalError::BadArgument(format!(
                    "found duplicate series on the {side} hand-side;many-to-many matching not \
                     allowed: matching labels must be unique on one side"
                )));
            }
        }
    }
    Ok(())
}

/// A division by zero is no number in LogQL, not an infinite one.
pub(super) fn guard_divisor(op: BinaryOp, divisors: &mut [f64]) {
    if matches!(op, BinaryOp::Div | BinaryOp::Mod) {
        divisors.iter_mut().filter(|value| **value == 0.0).for_each(|value| *value = f64::NAN);
    }
}
