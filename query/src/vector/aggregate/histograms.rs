//! `sum` and `avg` of groups in which there are native histograms.

use std::sync::Arc;

use model::{Labels, NativeHistogram, QueryContext, ResetHint};

use super::fold::Cell;
use super::{AggregateCall, AggregateOp};
use crate::errors::EvalError;
use crate::histogram::{Mean, MixedSchemas, Sum, compact};
use crate::vector::{Column, Notes, absent, is_absent};

/// Histograms while they are added up.
#[derive(Clone)]
enum Total {
    Sum(Box<Sum>),
    Mean(Box<Mean>),
}

impl Total {
    fn of(op: AggregateOp, histogram: &NativeHistogram) -> Self {
        if op == AggregateOp::Avg {
            Total::Mean(Box::new(Mean::of(histogram)))
        } else {
            Total::Sum(Box::new(Sum::of(histogram)))
        }
    }

    fn add(&mut self, histogram: &NativeHistogram) -> Result<bool, MixedSchemas> {
        match self {
            Total::Sum(sum) => sum.add(histogram),
            Total::Mean(mean) => mean.add(histogram),
        }
    }

    fn finish(self) -> NativeHistogram {
        let mut histogram = match self {
            Total::Sum(sum) => sum.total(),
            Total::Mean(mean) => mean.mean(),
        };
        compact(&mut histogram);
        histogram
    }
}

/// What one group knows at one step.
#[derive(Clone, Default)]
struct MixedCell {
    floats: Cell,
    has_floats: bool,
    has_histograms: bool,
    /// Of the histograms, if the first sample is one.
    total: Option<Total>,
    is_incompatible: bool,
    saw_reset: bool,
    saw_no_reset: bool,
}

/// Aggregates the members of one group; the labels are left to the caller.
pub(super) fn fold<'a>(
    call: &AggregateCall<'_>,
    members: impl Iterator<Item = &'a Column>,
    steps: usize,
    notes: &mut Notes,
    context: &QueryContext,
) -> Result<Column, EvalError> {
    let mut cells = vec![MixedCell::default(); steps];
    for column in members {
        context.check()?;
        for (step, cell) in cells.iter_mut().enumerate() {
            if cell.is_incompatible {
                continue;
            }
            if let Some(histogram) = column.histogram(step) {
                cell.add(call, histogram, &column.labels, notes);
            } else if !is_absent(column.values[step]) {
                cell.has_floats = true;
                cell.floats.add(call.op, column.values[step]);
            }
        }
    }
    let mut column = Column::floats(Labels::empty(), false, vec![absent(); steps]);
    for (step, cell) in cells.into_iter().enumerate() {
        if cell.has_floats && cell.has_histograms {
            let text = "encountered a mix of histograms and floats for aggregation";
            notes.warn(call.spans[1], text);
        } else if cell.has_floats {
            column.values[step] = cell.floats.result(call.op);
        } else if let (Some(total), false) = (cell.total, cell.is_incompatible) {
            if cell.saw_reset && cell.saw_no_reset {
                let text = "conflicting counter resets during histogram aggregation";
                notes.warn(call.spans[1], text);
            }
            column.histograms.resize(steps, None);
            column.histograms[step] = Some(Arc::new(total.finish()));
        }
    }
    Ok(column)
}

impl MixedCell {
    fn add(
        &mut self,
        call: &AggregateCall<'_>,
        histogram: &NativeHistogram,
        labels: &Labels,
        notes: &mut Notes,
    ) {
        self.has_histograms = true;
        if self.has_floats && self.total.is_none() {
            // There will be no result.
            return;
        }
        self.saw_reset |= histogram.reset_hint == ResetHint::Reset;
        self.saw_no_reset |= histogram.reset_hint == ResetHint::NotReset;
        let Some(total) = &mut self.total else {
            self.total = Some(Total::of(call.op, histogram));
            return;
        };
        match total.add(histogram) {
            Ok(false) => {}
            Ok(true) => {
                let text = "mismatched custom buckets were reconciled during aggregation";
                notes.info(call.spans[1], text);
            }
            Err(MixedSchemas) => {
                self.is_incompatible = true;
                notes.warn_mixed_schemas(call.spans[1], labels.metric_name());
            }
        }
    }
}
