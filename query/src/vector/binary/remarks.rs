//! What binary operators say about samples that they can not combine: at each step, only the last
//! remark counts, as in Prometheus.

use super::{BinaryOp, Operator};
use crate::vector::Notes;

/// The kind of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    Histogram,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Float => "float",
            Kind::Histogram => "histogram",
        }
    }
}

/// A remark about two samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remark {
    /// The operator is not for such kinds.
    Types(Kind, Kind),
    /// One histogram came with a counter reset, the other one without.
    ResetsCollide,
    /// Custom bounds were reconciled.
    Reconciled,
    /// Standard schemas and custom bounds met.
    MixedSchemas,
}

/// The last remark of each step.
#[derive(Debug, Default)]
pub(in crate::vector) struct StepRemarks(Vec<Option<Remark>>);

impl StepRemarks {
    pub(super) fn set(&mut self, step: usize, remark: Remark) {
        if self.0.len() <= step {
            self.0.resize(step + 1, None);
        }
        self.0[step] = Some(remark);
    }

    pub(in crate::vector) fn note(self, operator: Operator, notes: &mut Notes) {
        let mut last = None;
        for remark in self.0.into_iter().flatten() {
            // Steps mostly have the same to say.
            if last != Some(remark) {
                note(remark, operator, notes);
                last = Some(remark);
            }
        }
    }
}

fn note(remark: Remark, operator: Operator, notes: &mut Notes) {
    let Operator { op, span, .. } = operator;
    let symbol = op.as_str();
    let during = if op == BinaryOp::Sub { "subtraction" } else { "addition" };
    match remark {
        Remark::Types(left, right) => {
            let (left, right) = (left.as_str(), right.as_str());
            let text = format!(
                "incompatible sample types encountered for binary operator {symbol:?}: \
                 {left} {symbol} {right}"
            );
            notes.info(span, &text);
        }
        Remark::ResetsCollide => {
            notes.warn(span, &format!("conflicting counter resets during histogram {during}"));
        }
        Remark::Reconciled => {
            let text = format!("mismatched custom buckets were reconciled during {during}");
            notes.info(span, &text);
        }
        Remark::MixedSchemas => {
            let text =
                format!("incompatible bucket layout encountered for binary operator {symbol}");
            notes.warn(span, &text);
        }
    }
}
