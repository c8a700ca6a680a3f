//! Aggregations of one series after the other: each is added to its group and forgotten, so that
//! memory is that of the groups. For the operators that need no more than a few numbers for each
//! group and step, and for floats; with native histograms the whole vector is needed.

use model::{Labels, QueryContext};
use rustc_hash::FxHashMap;

use super::fold::Cell;
use super::{AggregateCall, AggregateOp, Grouping};
use crate::errors::EvalError;
use crate::vector::{Column, absent, is_absent, kahan_add};

/// An aggregation under way.
pub(crate) struct Folder<'c> {
    op: AggregateOp,
    grouping: &'c Grouping,
    steps: usize,
    places: FxHashMap<String, usize>,
    groups: Vec<Group>,
    key: String,
    /// Columns as they came, from the first one that has histograms.
    rest: Vec<Column>,
}

/// How an aggregation ended.
pub(crate) enum Folded {
    /// One column for each group, in order of the groups' first series.
    Groups(Vec<Column>),
    /// There are histograms: nothing was aggregated, here is all that came.
    Histograms(Vec<Column>),
    /// There are histograms, and what came before them is gone.
    Mixed,
}

struct Group {
    labels: Labels,
    drop_name: bool,
    cells: Cells,
}

/// What a group knows at each step.
enum Cells {
    /// Sums, absent before the first sample, and what they lack.
    Sum(Vec<f64>, Vec<f64>),
    Min(Vec<f64>),
    Max(Vec<f64>),
    Count(Vec<f64>),
    Other(Vec<Cell>),
}

impl<'c> Folder<'c> {
    /// `None` for operators that need all of a vector at once.
    pub(crate) fn of(call: &AggregateCall<'c>, steps: usize) -> Option<Self> {
        let is_fold = matches!(
            call.op,
            AggregateOp::Sum
                | AggregateOp::Avg
                | AggregateOp::Min
                | AggregateOp::Max
                | AggregateOp::Count
                | AggregateOp::Group
                | AggregateOp::Stddev
                | AggregateOp::Stdvar
        );
        is_fold.then(|| Folder {
            op: call.op,
            grouping: call.grouping,
            steps,
            places: FxHashMap::default(),
            groups: Vec::new(),
            key: String::new(),
            rest: Vec::new(),
        })
    }

    /// Adds a series to its group.
    ///
    /// # Errors
    ///
    /// When the budget of the query does not allow another group.
    pub(crate) fn add(&mut self, column: Column, context: &QueryContext) -> Result<(), EvalError> {
        if !self.rest.is_empty() || !column.histograms.is_empty() {
            if self.groups.is_empty() || self.rest.is_empty() {
                self.rest.push(column);
            }
            return Ok(());
        }
        match self.place(&column.labels) {
            Some(place) => {
                let group = &mut self.groups[place];
                group.drop_name |= column.drop_name;
                group.cells.add(self.op, &column.values);
            }
            None => {
                let group = Group {
                    labels: self.grouping.group_of(&column.labels),
                    drop_name: column.drop_name,
                    cells: Cells::first(self.op, column.values, self.steps),
                };
                context.hold(group.cells.bytes())?;
                self.places.insert(self.key.clone(), self.groups.len());
                self.groups.push(group);
            }
        }
        Ok(())
    }

    /// The group of a series, if there is one; leaves its key behind.
    fn place(&mut self, labels: &Labels) -> Option<usize> {
        let grouping = self.grouping;
        let key = &mut self.key;
        key.clear();
        let mut add = |text: &str| {
            put_length(key, text.len());
            key.push_str(text);
        };
        if grouping.without {
            let is_kept = |name: &str| {
                name != model::labels::METRIC_NAME && !grouping.labels.iter().any(|l| l == name)
            };
            for (name, value) in labels.iter().filter(|(name, _)| is_kept(name)) {
                add(name);
                add(value);
            }
        } else {
            grouping.labels.iter().for_each(|name| add(labels.get_or_empty(name)));
        }
        self.places.get(key.as_str()).copied()
    }

    /// The groups, or why there are none.
    pub(crate) fn finish(self) -> Folded {
        if !self.rest.is_empty() {
            return match self.groups.is_empty() {
                true => Folded::Histograms(self.rest),
                false => Folded::Mixed,
            };
        }
        let op = self.op;
        let columns = self
            .groups
            .into_iter()
            .map(|group| Column::floats(group.labels, group.drop_name, group.cells.results(op)));
        Folded::Groups(columns.collect())
    }
}

impl Cells {
    fn first(op: AggregateOp, values: Vec<f64>, steps: usize) -> Self {
        match op {
            AggregateOp::Sum => Cells::Sum(values, vec![0.0; steps]),
            AggregateOp::Min => Cells::Min(values),
            AggregateOp::Max => Cells::Max(values),
            AggregateOp::Count | AggregateOp::Group => {
                let mut cells = Cells::Count(vec![0.0; steps]);
                cells.add(op, &values);
                cells
            }
            _ => {
                let mut cells = Cells::Other(vec![Cell::default(); steps]);
                cells.add(op, &values);
                cells
            }
        }
    }

    fn bytes(&self) -> u64 {
        let (cells, bytes) = match self {
            Cells::Sum(sums, _) => (sums.len(), 16),
            Cells::Min(cells) | Cells::Max(cells) | Cells::Count(cells) => (cells.len(), 8),
            Cells::Other(cells) => (cells.len(), size_of::<Cell>()),
        };
        (cells * bytes) as u64
    }

    fn add(&mut self, op: AggregateOp, values: &[f64]) {
        match self {
            Cells::Sum(sums, compensations) => {
                for ((sum, compensation), value) in sums.iter_mut().zip(compensations).zip(values) {
                    if is_absent(*sum) {
                        *sum = *value;
                    } else if !is_absent(*value) {
                        (*sum, *compensation) = kahan_add(*value, *sum, *compensation);
                    }
                }
            }
            Cells::Min(cells) => extremes(cells, values, |value, cell| cell > value),
            Cells::Max(cells) => extremes(cells, values, |value, cell| cell < value),
            Cells::Count(counts) => {
                for (count, value) in counts.iter_mut().zip(values) {
                    *count += f64::from(u8::from(!is_absent(*value)));
                }
            }
            Cells::Other(cells) => {
                for (cell, value) in cells.iter_mut().zip(values) {
                    if !is_absent(*value) {
                        cell.add(op, *value);
                    }
                }
            }
        }
    }

    fn results(self, op: AggregateOp) -> Vec<f64> {
        match self {
            Cells::Sum(mut sums, compensations) => {
                for (sum, compensation) in sums.iter_mut().zip(compensations) {
                    if !is_absent(*sum) {
                        *sum += compensation;
                    }
                }
                sums
            }
            Cells::Min(cells) | Cells::Max(cells) => cells,
            Cells::Count(counts) => {
                let result = |count: f64| match op {
                    _ if count == 0.0 => absent(),
                    AggregateOp::Group => 1.0,
                    _ => count,
                };
                counts.into_iter().map(result).collect()
            }
            Cells::Other(cells) => cells.iter().map(|cell| cell.result_or_absent(op)).collect(),
        }
    }
}

/// Keeps a text apart from what comes before it.
fn put_length(key: &mut String, mut length: usize) {
    while length >= 0x40 {
        key.push(char::from((length & 0x3f) as u8 | 0x40));
        length >>= 6;
    }
    key.push(char::from(length as u8));
}

/// Takes over what is better, anything where there is nothing or NaN.
fn extremes(cells: &mut [f64], values: &[f64], is_better: impl Fn(f64, f64) -> bool) {
    for (cell, value) in cells.iter_mut().zip(values) {
        // An absent cell is a NaN.
        if !is_absent(*value) && (cell.is_nan() || is_better(*value, *cell)) {
            *cell = *value;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::errors::Span;
    use crate::vector::{Notes, Parameter, aggregate};

    proptest! {
        #[test]
        fn one_series_after_the_other_gives_what_all_at_once_give(
            series in prop::collection::vec(
                (0u8..3, 0u8..4, prop::collection::vec(prop::option::of(-4i8..5), 3)), 0..20),
            op in prop::sample::select(vec![
                AggregateOp::Sum, AggregateOp::Avg, AggregateOp::Min, AggregateOp::Max,
                AggregateOp::Count, AggregateOp::Group, AggregateOp::Stddev, AggregateOp::Stdvar,
            ]),
            without: bool,
            names in prop::sample::subsequence(vec!["a", "b", "c"], 0..3),
        ) {
            let number = |value: Option<i8>| match value {
                None => absent(),
                Some(4) => f64::NAN,
                Some(value) => f64::from(value) * 1.1,
            };
            let columns: Vec<Column> = series
                .iter()
                .enumerate()
                .map(|(i, (a, b, values))| {
                    let texts = [("a", format!("{a}")), ("b", "x".repeat(usize::from(*b) * 40))];
                    let labels = Labels::from_pairs(texts);
                    Column::floats(labels, i % 2 == 0, values.iter().map(|v| number(*v)).collect())
                })
                .collect();
            let labels = names.into_iter().map(str::to_owned).collect();
            let grouping = Grouping { without, labels };
            let (parameter, spans) = (Parameter::None, [Span::default(); 3]);
            let call = AggregateCall { op, grouping: &grouping, parameter, spans };
            let context = QueryContext::unlimited();
            let mut folder = Folder::of(&call, 3).unwrap();
            for column in columns.clone() {
                folder.add(column, &context).unwrap();
            }
            let Folded::Groups(found) = folder.finish() else { panic!("no groups") };
            let all = aggregate(&call, columns, 3, &mut Notes::default(), &context).unwrap();
            let plain = |columns: &[Column]| -> Vec<String> {
                columns.iter().map(|c| format!("{:?} {} {:?}", c.labels, c.drop_name, c.values)).collect()
            };
            prop_assert_eq!(plain(&found), plain(&all));
        }
    }
}
