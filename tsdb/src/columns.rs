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

/// Joined time columns, so that series that share their parts share the whole, and the order of
/// their samples is found once.
#[derive(Default)]
pub(crate) struct TimesPool(FxHashMap<Vec<usize>, JoinedTimes>);

struct JoinedTimes {
    /// The parts, so that no other column can come to lie at their addresses.
    _parts: Vec<Arc<Vec<i64>>>,
    whole: Arc<Vec<i64>>,
    /// Part and place in it of each sample, if the parts do not just follow one another.
    picks: Option<Box<[(u32, u32)]>>,
}

/// More joined columns than this are not remembered at once.
const POOLED_MAX: usize = 4096;

impl TimesPool {
    /// What the times of `parts` are together. Of equal times, that of the last part wins.
    fn join(&mut self, parts: &[Columns]) -> &JoinedTimes {
        let key: Vec<usize> = parts.iter().map(|part| Arc::as_ptr(&part.times) as usize).collect();
        if self.0.len() >= POOLED_MAX && !self.0.contains_key(&key) {
            self.0.clear();
        }
        self.0.entry(key).or_insert_with(|| {
            let times: Vec<Arc<Vec<i64>>> = parts.iter().map(|part| part.times.clone()).collect();
            let follow = times.windows(2).all(|pair| pair[0].last() < pair[1].first());
            let picks = (!follow).then(|| pick(&times));
            let whole = match &picks {
                None => times.iter().flat_map(|times| times.iter().copied()).collect(),
                Some(picks) => picks.iter().map(|(p, i)| times[*p as usize][*i as usize]).collect(),
            };
            JoinedTimes { _parts: times, whole: Arc::new(whole), picks }
        })
    }
}

/// The samples of several columns in order of time, each time once.
fn pick(times: &[Arc<Vec<i64>>]) -> Box<[(u32, u32)]> {
    let of_part = |(part, times): (u32, &Arc<Vec<i64>>)| -> Vec<(i64, u32, u32)> {
        (0u32..).zip(times.iter()).map(|(index, at)| (*at, part, index)).collect()
    };
    let mut samples: Vec<_> = (0u32..).zip(times).flat_map(of_part).collect();
    // Of a few sorted runs; a stable sort merges them.
    samples.sort_by_key(|(at, part, _)| (*at, *part));
    let is_last = |i: usize| samples.get(i + 1).is_none_or(|next| next.0 != samples[i].0);
    (0..samples.len()).filter(|i| is_last(*i)).map(|i| (samples[i].1, samples[i].2)).collect()
}

/// Joins parts of one series. Of samples of one kind at one time, that of the last part wins.
pub(crate) fn join(mut parts: Vec<Columns>, pool: &mut TimesPool) -> Columns {
    if parts.len() < 2 {
        let mut only = parts.pop().unwrap_or_default();
        only.starts = canonical(&only.starts, only.values.len());
        return only;
    }
    let mut joined = join_floats(&mut parts, pool);
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

/// Columns of at most so many samples of each kind, in order of time.
pub(crate) fn pieces(columns: Columns, samples_max: usize) -> Vec<Columns> {
    let Columns { times, values, starts, histograms, exemplars } = &columns;
    let samples_max = samples_max.max(1);
    let count = values.len().max(histograms.len()).max(exemplars.len());
    if count <= samples_max {
        return vec![columns];
    }
    let part = |from: usize, length: usize| {
        let from = from.min(length);
        from..length.min(from.saturating_add(samples_max))
    };
    let piece = |from: usize| {
        let floats = part(from, values.len());
        let mut runs = Runs::default();
        let before = starts.iter().rev().find(|run| run.first as usize <= floats.start);
        let inside = starts.iter().filter(|run| floats.contains(&(run.first as usize)));
        for run in before.into_iter().chain(inside).filter(|_| !floats.is_empty()) {
            runs.add((run.first as usize).saturating_sub(floats.start), run.start);
        }
        Columns {
            times: Arc::new(times[floats.clone()].to_vec()),
            values: values[floats].to_vec(),
            starts: runs.done(),
            histograms: histograms[part(from, histograms.len())].to_vec(),
            exemplars: exemplars[part(from, exemplars.len())].to_vec(),
        }
    };
    (0..count).step_by(samples_max).map(piece).collect()
}

fn canonical(runs: &[StartRun], count: usize) -> Vec<StartRun> {
    let mut canonical = Runs::default();
    canonical.add_all(0, count, runs);
    canonical.done()
}

/// Joins times, values and starts, and leaves the rest. Takes the values of the parts.
fn join_floats(parts: &mut [Columns], pool: &mut TimesPool) -> Columns {
    let take = |part: &mut Columns| {
        let (values, starts) = (std::mem::take(&mut part.values), std::mem::take(&mut part.starts));
        Columns { times: part.times.clone(), values, starts, ..Default::default() }
    };
    let filled = parts.iter_mut().filter(|part| !part.values.is_empty());
    let mut ordered: Vec<Columns> = filled.map(take).collect();
    if ordered.len() < 2 {
        let mut only = ordered.pop().unwrap_or_default();
        only.starts = canonical(&only.starts, only.values.len());
        return only;
    }
    let follows = |pair: &[Columns]| pair[0].times.last() < pair[1].times.first();
    if !ordered.windows(2).all(follows) {
        // Parts of blocks and of memory may come in any order; what matters is who wins.
        let mut by_time: Vec<usize> = (0..ordered.len()).collect();
        by_time.sort_by_key(|i| ordered[*i].times.first().copied());
        let is_apart = by_time
            .windows(2)
            .all(|pair| ordered[pair[0]].times.last() < ordered[pair[1]].times.first());
        if is_apart {
            ordered.sort_by_key(|part| part.times.first().copied());
        }
    }
    let joined = pool.join(&ordered);
    let mut starts = Runs::default();
    let mut values = Vec::with_capacity(joined.whole.len());
    match &joined.picks {
        None => {
            for part in &ordered {
                starts.add_all(values.len(), part.values.len(), &part.starts);
                values.extend_from_slice(&part.values);
            }
        }
        Some(picks) => {
            values.extend(picks.iter().map(|(p, i)| ordered[*p as usize].values[*i as usize]));
            if ordered.iter().any(|part| !part.starts.is_empty()) {
                let of_parts: Vec<Vec<i64>> = ordered
                    .iter()
                    .map(|part| expand_starts(&part.starts, part.values.len()))
                    .collect();
                for (index, (p, i)) in picks.iter().enumerate() {
                    starts.add(index, of_parts[*p as usize][*i as usize]);
                }
            }
        }
    }
    Columns { times: joined.whole.clone(), values, starts: starts.done(), ..Default::default() }
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
