//! `topk` and `bottomk` of an instant, of one series after the other: only those that may be among
//! the first are kept, so that a hundred thousand series are not sorted for ten of them.

use std::cmp::Ordering;

use model::QueryContext;
use rustc_hash::FxHashMap;

use super::{AggregateCall, AggregateOp};
use crate::errors::EvalError;
use crate::vector::{Column, rank_order};

/// More than this are not picked one by one.
const K_MAX: f64 = 10_000.0;

/// The series that may be picked.
pub(crate) struct Finalists<'c, 'g> {
    call: &'c AggregateCall<'g>,
    descending: bool,
    k: usize,
    groups: FxHashMap<model::Labels, Group>,
    /// The first series with a histogram: a remark is due.
    histogram: Option<Column>,
}

#[derive(Default)]
struct Group {
    /// The first `k` of what came before the last cut, and what came since.
    columns: Vec<Column>,
    /// The value of the last one that stayed at the last cut.
    worst: Option<f64>,
}

impl<'c, 'g> Finalists<'c, 'g> {
    /// `None` if the operator, its parameter or the number of steps ask for the whole vector.
    pub(crate) fn of(call: &'c AggregateCall<'g>, steps: usize) -> Option<Self> {
        let descending = match call.op {
            AggregateOp::Topk => true,
            AggregateOp::Bottomk => false,
            _ => return None,
        };
        let k = call.numbers().first().copied().filter(|k| (1.0..=K_MAX).contains(k))? as usize;
        let (groups, histogram) = (FxHashMap::default(), None);
        (steps == 1).then_some(Finalists { call, descending, k, groups, histogram })
    }

    /// Keeps a series if it may be picked.
    ///
    /// # Errors
    ///
    /// When the query is canceled.
    pub(crate) fn add(&mut self, column: Column, context: &QueryContext) -> Result<(), EvalError> {
        let Some(value) = column.values.first().copied() else { return Ok(()) };
        if column.histogram(0).is_some() {
            self.histogram.get_or_insert(column);
            return Ok(());
        }
        let descending = self.descending;
        let group = self.groups.entry(self.call.grouping.group_of(&column.labels)).or_default();
        let is_worse = |worst: f64| rank_order(value, worst, descending) == Ordering::Greater;
        if group.worst.is_some_and(is_worse) {
            return Ok(());
        }
        group.columns.push(column);
        if group.columns.len() >= self.k * 2 {
            context.check()?;
            group.cut(self.k, descending);
        }
        Ok(())
    }

    /// What may be picked, sorted by labels.
    pub(crate) fn finish(self) -> Vec<Column> {
        let mut columns: Vec<Column> = self.histogram.into_iter().collect();
        for mut group in self.groups.into_values() {
            group.cut(self.k, self.descending);
            columns.append(&mut group.columns);
        }
        columns.sort_by(|a, b| a.labels.cmp(&b.labels));
        columns
    }
}

impl Group {
    /// Of equal values, the one whose labels come first is ahead, as if all had been sorted.
    fn cut(&mut self, k: usize, descending: bool) {
        if self.columns.len() <= k {
            return;
        }
        let (_, last, _) = self.columns.select_nth_unstable_by(k - 1, |a, b| {
            rank_order(a.values[0], b.values[0], descending).then_with(|| a.labels.cmp(&b.labels))
        });
        self.worst = Some(last.values[0]);
        self.columns.truncate(k);
    }
}

#[cfg(test)]
mod tests {
    use model::Labels;
    use proptest::prelude::*;

    use super::*;
    use crate::errors::Span;
    use crate::vector::{Grouping, Notes, Parameter, aggregate};

    proptest! {
        #[test]
        fn the_picked_are_those_of_all_series(
            values in prop::collection::vec(-4i8..5, 0..60),
            k in 1u8..9,
            by_group: bool,
            descending: bool,
        ) {
            let mut columns: Vec<Column> = values
                .iter()
                .enumerate()
                .map(|(i, value)| {
                    let value = if *value == 4 { f64::NAN } else { f64::from(*value) };
                    let pairs = [("g", format!("{}", i % 3)), ("n", format!("{}", i * 37 % 61))];
                    Column::floats(Labels::from_pairs(pairs), false, vec![value])
                })
                .collect();
            let op = if descending { AggregateOp::Topk } else { AggregateOp::Bottomk };
            let labels = if by_group { vec!["g".to_owned()] } else { Vec::new() };
            let grouping = Grouping { without: false, labels };
            let parameter = Parameter::Numbers(vec![f64::from(k)]);
            let spans = [Span::default(); 3];
            let call = AggregateCall { op, grouping: &grouping, parameter, spans };
            let context = QueryContext::unlimited();
            let mut finalists = Finalists::of(&call, 1).unwrap();
            for column in columns.clone() {
                finalists.add(column, &context).unwrap();
            }
            let finalists = finalists.finish();
            columns.sort_by(|a, b| a.labels.cmp(&b.labels));
            let picked = |columns| -> Vec<String> {
                let found = aggregate(&call, columns, 1, &mut Notes::default(), &context).unwrap();
                // Groups are in order of their first series, which may not be picked.
                let mut found: Vec<String> =
                    found.iter().map(|c| format!("{:?} {:?}", c.labels, c.values)).collect();
                if by_group {
                    found.sort();
                }
                found
            };
            prop_assert_eq!(picked(finalists), picked(columns));
        }
    }
}
