//! The samples of one series as columns: what the head, the blocks and the merges hand each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::TimestampMs;
use model::sample::{Exemplar, NativeHistogram};
use model::write::NO_START;
use rustc_hash::FxHashMap;

/// From sample `first` on, samples have this start time, until the next run begins. Samples before
/// the first run have [`model::write::NO_START`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct StartRun {
    pub(crate) first: u32,
    pub(crate) start: i64,
}

/// One native histogram sample.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HistogramSample {
    pub(crate) at: TimestampMs,
    pub(crate) start: TimestampMs,
    pub(crate) histogram: Arc<NativeHistogram>,
}

/// Samples of one series; each kind in strictly increasing order of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Columns {
    /// Times of `values` in milliseconds. Series that were measured together share them.
    pub(crate) times: Arc<Vec<i64>>,
    pub(crate) values: Vec<f64>,
    /// Runs of start times of `values`, in order, neighbours different.
    pub(crate) starts: Vec<StartRun>,
    pub(crate) histograms: Vec<HistogramSample>,
    /// In order of time; times may repeat.
    pub(crate) exemplars: Vec<Exemplar>,
}

/// Puts runs of start times together.
#[derive(Default)]
pub(crate) struct Runs {
    runs: Vec<StartRun>,
    last: i64,
}

impl Runs {
    /// Sample `index` and those after it have this start time.
    pub(crate) fn add(&mut self, index: usize, start: i64) {
        if start != self.last {
            self.runs.push(StartRun { first: index as u32, start });
            self.last = start;
        }
    }

    /// Adds the runs of `count` samples whose first has index `offset`.
    fn add_all(&mut self, offset: usize, count: usize, runs: &[StartRun]) {
        if count == 0 {
            return;
        }
        if runs.first().is_none_or(|run| run.first > 0) {
            self.add(offset, NO_START.0);
        }
        for run in runs.iter().filter(|run| (run.first as usize) < count) {
            self.add(offset + run.first as usize, run.start);
        }
    }

    pub(crate) fn done(self) -> Vec<StartRun> {
        self.runs
    }
}

/// The start time of each of `count` samples.
pub(crate) fn expand_starts(runs: &[StartRun], count: usize) -> Vec<i64> {
    let mut starts = vec![NO_START.0; count];
    for (i, run) in runs.iter().enumerate() {
        let end = runs.get(i + 1).map_or(count, |next| next.first as usize).min(count);
        if let Some(part) = starts.get_mut(run.first as usize..end) {
            part.fill(run.start);
        }
    }
    starts
}

/// Joined time columns, so that series that share their parts share the whole.
#[derive(Default)]
pub(crate) struct TimesPool(FxHashMap<Vec<usize>, JoinedTimes>);

/// The parts, which are held, and the whole.
type JoinedTimes = (Vec<Arc<Vec<i64>>>, Arc<Vec<i64>>);

/// More joined columns than this are not remembered at once.
const POOLED_MAX: usize = 4096;

impl TimesPool {
    fn join(&mut self, parts: &[&Columns]) -> Arc<Vec<i64>> {
        // The parts are held, so that no other column can come to lie at their addresses.
        let key: Vec<usize> = parts.iter().map(|part| Arc::as_ptr(&part.times) as usize).collect();
        if let Some((_, joined)) = self.0.get(&key) {
            return joined.clone();
        }
        if self.0.len() >= POOLED_MAX {
            self.0.clear();
        }
        let joined: Vec<i64> = parts.iter().flat_map(|part| part.times.iter().copied()).collect();
        let joined = Arc::new(joined);
        let held = parts.iter().map(|part| part.times.clone()).collect();
        self.0.insert(key, (held, joined.clone()));
        joined
    }
}

/// Joins parts of one series. Of samples of one kind at one time, that of the last part wins.
pub(crate) fn join(mut parts: Vec<Columns>, pool: &mut TimesPool) -> Columns {
    if parts.len() < 2 {
        let mut only = parts.pop().unwrap_or_default();
        only.starts = canonical(&only.starts, only.values.len());
        return only;
    }
    let mut joined = join_floats(&parts, pool);
    let kinds = parts.iter().filter(|part| !part.histograms.is_empty()).count();
    if kinds == 1 {
        for part in &mut parts {
            joined.histograms.append(&mut part.histograms);
        }
    } else if kinds > 1 {
        let all = parts.iter_mut().flat_map(|part| part.histograms.drain(..));
        let by_time: BTreeMap<i64, HistogramSample> =
            all.map(|sample| (sample.at.0, sample)).collect();
        joined.histograms = by_time.into_values().collect();
    }
    for part in &mut parts {
        for exemplar in part.exemplars.drain(..) {
            if !joined.exemplars.contains(&exemplar) {
                joined.exemplars.push(exemplar);
            }
        }
    }
    joined.exemplars.sort_by_key(|exemplar| exemplar.at);
    joined
}

fn canonical(runs: &[StartRun], count: usize) -> Vec<StartRun> {
    let mut canonical = Runs::default();
    canonical.add_all(0, count, runs);
    canonical.done()
}

fn join_floats(parts: &[Columns], pool: &mut TimesPool) -> Columns {
    let mut ordered: Vec<&Columns> = parts.iter().filter(|part| !part.values.is_empty()).collect();
    if ordered.is_empty() {
        return Columns::default();
    }
    // Stable, so that later parts stay behind earlier ones with the same first time.
    ordered.sort_by_key(|part| part.times.first().copied());
    let overlap = ordered.windows(2).any(|pair| pair[0].times.last() >= pair[1].times.first());
    if overlap {
        return join_overlapping(parts);
    }
    let mut joined = Columns::default();
    let mut starts = Runs::default();
    joined.values.reserve_exact(ordered.iter().map(|part| part.values.len()).sum());
    for part in &ordered {
        starts.add_all(joined.values.len(), part.values.len(), &part.starts);
        joined.values.extend_from_slice(&part.values);
    }
    joined.starts = starts.done();
    joined.times = match ordered.as_slice() {
        [only] => only.times.clone(),
        several => pool.join(several),
    };
    joined
}

fn join_overlapping(parts: &[Columns]) -> Columns {
    let mut samples: Vec<(i64, usize, f64, i64)> = Vec::new();
    for (priority, part) in parts.iter().enumerate() {
        let starts = expand_starts(&part.starts, part.values.len());
        let columns = part.times.iter().zip(&part.values).zip(starts);
        samples.extend(columns.map(|((at, value), start)| (*at, priority, *value, start)));
    }
    // Of a few sorted runs; a stable sort merges them.
    samples.sort_by_key(|(at, priority, ..)| (*at, *priority));
    let (mut times, mut values, mut starts) = (Vec::new(), Vec::new(), Runs::default());
    for (i, (at, _, value, start)) in samples.iter().enumerate() {
        if samples.get(i + 1).is_some_and(|next| next.0 == *at) {
            continue;
        }
        starts.add(times.len(), *start);
        times.push(*at);
        values.push(*value);
    }
    Columns { times: Arc::new(times), values, starts: starts.done(), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn joined_parts_are_like_one_map(
            parts in prop::collection::vec(
                prop::collection::btree_map(0i64..30, (0i64..3, 0u32..100), 0..12), 0..5),
        ) {
            let mut naive = BTreeMap::new();
            let columns: Vec<Columns> = parts
                .iter()
                .map(|part| {
                    let mut starts = Runs::default();
                    for (i, (start, _)) in part.values().enumerate() {
                        starts.add(i, *start);
                    }
                    naive.extend(part.iter().map(|(at, sample)| (*at, *sample)));
                    Columns {
                        times: Arc::new(part.keys().copied().collect()),
                        values: part.values().map(|(_, value)| f64::from(*value)).collect(),
                        starts: starts.done(),
                        ..Default::default()
                    }
                })
                .collect();
            let joined = join(columns, &mut TimesPool::default());
            let starts = expand_starts(&joined.starts, joined.values.len());
            let found: Vec<_> = joined
                .times
                .iter()
                .zip(&joined.values)
                .zip(starts)
                .map(|((at, value), start)| (*at, (start, *value as u32)))
                .collect();
            prop_assert_eq!(found, naive.into_iter().collect::<Vec<_>>());
        }
    }
}
