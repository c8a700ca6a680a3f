//! Binary operators where a sample is a native histogram.

use std::sync::Arc;

use model::{NativeHistogram, ResetHint};

use super::remarks::{Kind, Remark};
use super::{BinaryOp, Column, is_absent};
use crate::histogram::{self, Combined, MixedSchemas};

/// A sample of either kind.
#[derive(Clone, Copy)]
pub(super) enum Sample<'a> {
    Float(f64),
    Histogram(&'a Arc<NativeHistogram>),
}

impl<'a> Sample<'a> {
    pub(super) fn of(column: &'a Column, step: usize) -> Option<Self> {
        let value = column.values[step];
        if is_absent(value) {
            column.histogram(step).map(Sample::Histogram)
        } else {
            Some(Sample::Float(value))
        }
    }

    fn kind(self) -> Kind {
        match self {
            Sample::Float(_) => Kind::Float,
            Sample::Histogram(_) => Kind::Histogram,
        }
    }
}

/// A result, and whether a filtering comparison keeps it.
type Kept = (Arc<NativeHistogram>, bool);

/// Combines two samples, one of which is a histogram at least.
pub(super) fn combine(
    op: BinaryOp,
    left: Sample<'_>,
    right: Sample<'_>,
) -> (Option<Kept>, Option<Remark>) {
    match (left, right) {
        (Sample::Histogram(left), Sample::Histogram(right)) => match op {
            BinaryOp::Add | BinaryOp::Sub => return add(op, left, right),
            BinaryOp::Eq => return (Some((left.clone(), histogram::is_same(left, right))), None),
            BinaryOp::Ne => return (Some((left.clone(), !histogram::is_same(left, right))), None),
            _ => {}
        },
        (Sample::Histogram(found), Sample::Float(scalar))
        | (Sample::Float(scalar), Sample::Histogram(found)) => {
            let mut result = found.clone();
            return match scale(op, &mut result, scalar, left.kind() == Kind::Float) {
                Ok(()) => (Some((result, true)), None),
                Err(remark) => (None, Some(remark)),
            };
        }
        _ => {}
    }
    (None, Some(Remark::Types(left.kind(), right.kind())))
}

fn add(
    op: BinaryOp,
    left: &NativeHistogram,
    right: &NativeHistogram,
) -> (Option<Kept>, Option<Remark>) {
    let mut result = left.clone();
    let combined = if op == BinaryOp::Add {
        histogram::add(&mut result, right)
    } else {
        histogram::subtract(&mut result, right)
    };
    match combined {
        Err(MixedSchemas) => (None, Some(Remark::MixedSchemas)),
        // As in Prometheus 3.14, the warning comes in place of a result.
        Ok(Combined { resets_collide: true, .. }) => (None, Some(Remark::ResetsCollide)),
        Ok(Combined { bounds_reconciled, .. }) => {
            if op == BinaryOp::Sub {
                result.reset_hint = ResetHint::Gauge;
            }
            histogram::compact(&mut result);
            let remark = bounds_reconciled.then_some(Remark::Reconciled);
            (Some((Arc::new(result), true)), remark)
        }
    }
}

/// Combines a histogram with a number, which stands on the left if `scalar_left`.
pub(super) fn scale(
    op: BinaryOp,
    histogram: &mut Arc<NativeHistogram>,
    scalar: f64,
    scalar_left: bool,
) -> Result<(), Remark> {
    let change: fn(&mut NativeHistogram, f64) = match (op, scalar_left) {
        (BinaryOp::Mul, _) => histogram::multiply,
        (BinaryOp::Div, false) => histogram::divide,
        (BinaryOp::TrimUpper, false) => histogram::trim_upper,
        (BinaryOp::TrimLower, false) => histogram::trim_lower,
        (_, true) => return Err(Remark::Types(Kind::Float, Kind::Histogram)),
        (_, false) => return Err(Remark::Types(Kind::Histogram, Kind::Float)),
    };
    let histogram = Arc::make_mut(histogram);
    change(histogram, scalar);
    if !op.is_trim() {
        histogram::compact(histogram);
    }
    Ok(())
}
