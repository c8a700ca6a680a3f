//! How many series there are and why, from the catalogue of the head and the indexes of blocks alone.
//!
//! A series is known by its fingerprint while it is counted, and a label value by a hash of its text:
//! a million of either cost some twenty bytes each, and only values that are told become texts. The
//! hashes of texts go over all sources twice, the second time for those texts.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::cardinality::{
    Cardinality, CardinalityRequest, Counted, HeadCardinality, LabelCardinality, StoredBlock,
    Stretch,
};
use model::read::RangeMs;
use model::{Matcher, QueryContext, TimestampMs};
use roaring::RoaringBitmap;
use rustc_hash::{FxHashMap, FxHashSet};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::Result;
use crate::head::Head;
use crate::store::{Tsdb, rollups};
use crate::view::OpenBlock;

/// What is known of the values of one label.
#[derive(Default)]
struct Values {
    /// Series by hash of the value.
    counts: FxHashMap<u64, u64>,
    series: u64,
}

/// What was counted so far.
#[derive(Default)]
struct Tally {
    /// Fingerprints of series.
    seen: FxHashSet<u64>,
    labels: BTreeMap<String, Values>,
    stretches: Vec<Stretch>,
}

impl Tally {
    fn add(&mut self, name: &str, value: &str, count: u64) {
        if !self.labels.contains_key(name) {
            self.labels.insert(name.to_owned(), Values::default());
        }
        if let Some(values) = self.labels.get_mut(name) {
            *values.counts.entry(xxh3_64(value.as_bytes())).or_default() += count;
            values.series += count;
        }
    }

    /// The hashes of the values of most series, by label.
    fn winners(&self, values_max: usize) -> BTreeMap<String, FxHashMap<u64, (u64, String)>> {
        let of_label = |(name, values): (&String, &Values)| {
            let mut all: Vec<(u64, u64)> =
                values.counts.iter().map(|(hash, count)| (*count, *hash)).collect();
            if values_max < all.len() {
                // Of equal counts any may be cut off.
                all.select_nth_unstable_by(values_max, |a, b| b.cmp(a));
                all.truncate(values_max);
            }
            let texts = all.into_iter().map(|(count, hash)| (hash, (count, String::new())));
            (name.clone(), texts.collect())
        };
        self.labels.iter().map(of_label).collect()
    }
}

fn put_text(
    winners: &mut BTreeMap<String, FxHashMap<u64, (u64, String)>>,
    name: &str,
    value: &str,
) {
    let Some(values) = winners.get_mut(name) else { return };
    if let Some((_, text)) = values.get_mut(&xxh3_64(value.as_bytes()))
        && text.is_empty()
    {
        value.clone_into(text);
    }
}

/// The union over all selectors, or everything without one.
fn selected(
    selectors: &[Vec<Matcher>],
    mut select: impl FnMut(&[Matcher]) -> model::Result<RoaringBitmap>,
) -> model::Result<RoaringBitmap> {
    if selectors.is_empty() {
        return select(&[]);
    }
    let mut all = RoaringBitmap::new();
    for matchers in selectors {
        all |= select(matchers)?;
    }
    Ok(all)
}

impl Tsdb {
    /// The tables of `status/tsdb`.
    pub(super) fn count_head(&self, rows: usize) -> Result<HeadCardinality> {
        self.check_loaded()?;
        let live = self.live.read();
        let head = &live.head;
        let tables = head.catalogue.tables(rows);
        let chunks: usize = head.series.iter().map(|series| series.chunk.chain().count()).sum();
        let windows = || head.windows.iter().filter(|(_, window)| !window.tree.is_empty());
        Ok(HeadCardinality {
            series: head.catalogue.len() as u64,
            label_pairs: tables.pairs,
            chunks: chunks as u64,
            start: windows()
                .next()
                .map_or(TimestampMs::MAX, |(number, _)| head.window_range(*number).start),
            end: windows()
                .map(|(_, window)| TimestampMs(window.tree.newest()))
                .max()
                .unwrap_or(TimestampMs::MIN),
            series_by_metric: tables.series_by_metric,
            values_by_label: tables.values_by_label,
            bytes_by_label: tables.bytes_by_label,
            series_by_pair: tables.series_by_pair,
        })
    }

    /// All blocks, in order of their first times.
    pub(super) fn stored_blocks(&self) -> Vec<StoredBlock> {
        let view = self.view.read().clone();
        let mut blocks: Vec<StoredBlock> = view
            .blocks
            .iter()
            .map(|open| StoredBlock {
                number: open.entry.number,
                start: open.range().start,
                end: open.range().end,
                series: open.entry.meta.series,
                float_samples: open.entry.meta.float_samples,
                histogram_samples: open.entry.meta.histogram_samples,
                level: open.entry.level,
                rollup_ms: open.rollup().map(|(resolution_ms, _)| resolution_ms),
                bytes: open.entry.meta.bytes,
            })
            .collect();
        blocks.sort_by_key(|block| (block.start, block.number));
        blocks
    }

    /// Counts the series of a selection. Holds back writes while it counts those in memory.
    pub(super) fn count_series(
        &self,
        request: &CardinalityRequest,
        context: &QueryContext,
    ) -> model::Result<Cardinality> {
        self.check_loaded()?;
        let view = self.view.read().clone();
        let readable = rollups::readable(&view, None);
        let mut blocks: Vec<&Arc<OpenBlock>> = view
            .blocks
            .iter()
            .zip(readable)
            .filter(|(open, readable)| *readable && open.overlaps(request.range))
            .map(|(open, _)| open)
            .collect();
        blocks.sort_by_key(|open| (open.range().start, open.entry.number));
        let mut tally = Tally::default();
        for open in &blocks {
            context.check()?;
            self.count_block(open, &request.selectors, &mut tally, context)?;
        }
        {
            let live = self.live.read();
            count_live(&live.head, request, &mut tally, context)?;
        }
        let mut winners = tally.winners(request.values_max);
        for open in &blocks {
            context.check()?;
            let visited = open.block.walk_pairs(|name, value| put_text(&mut winners, name, value));
            self.guard(open, visited)?;
        }
        for (_, name, value) in self.live.read().head.catalogue.live_pairs() {
            put_text(&mut winners, name, value);
        }
        Ok(finish(tally, winners))
    }

    fn count_block(
        &self,
        open: &OpenBlock,
        selectors: &[Vec<Matcher>],
        tally: &mut Tally,
        context: &QueryContext,
    ) -> model::Result<()> {
        let found = selected(selectors, |matchers| self.guard(open, open.block.select(matchers)))?;
        context.charge(found.len(), 0)?;
        let mut fresh = RoaringBitmap::new();
        for index in &found {
            if tally.seen.insert(self.guard(open, open.block.fingerprint(index))?.max(1)) {
                fresh.insert(index);
            }
        }
        let counted =
            open.block.count_pairs(&fresh, |name, value, count| tally.add(name, value, count));
        self.guard(open, counted)?;
        let RangeMs { start, end } = open.range();
        let (series, new_series) = (found.len(), fresh.len());
        tally.stretches.push(Stretch { start, end, is_in_memory: false, series, new_series });
        Ok(())
    }
}

/// Counts what the head has in windows of the range.
fn count_live(
    head: &Head,
    request: &CardinalityRequest,
    tally: &mut Tally,
    context: &QueryContext,
) -> model::Result<()> {
    let found = selected(&request.selectors, |matchers| Ok(head.catalogue.select(matchers)))?;
    context.charge(found.len(), 0)?;
    let mut windows: Vec<i64> = head.windows.keys().chain(&head.late).copied().collect();
    windows.sort_unstable();
    windows.dedup();
    let mut fresh = RoaringBitmap::new();
    for number in windows {
        let whole = head.window_range(number);
        let tree = head.windows.get(&number).map(|window| &window.tree);
        // What came late has no times of its own here.
        let known = tree.filter(|tree| !tree.is_empty() && !head.late.contains(&number));
        let (first, last) = known.map_or((whole.start, whole.end), |tree| {
            let oldest = tree.entries().map(|(at, _)| at).min();
            (oldest.map_or(whole.start, TimestampMs), TimestampMs(tree.newest()))
        });
        // Histograms have their own times, which may lie outside of those of floats.
        let (start, end) = (whole.start.max(request.range.start), whole.end.min(request.range.end));
        if start > end {
            continue;
        }
        context.check()?;
        let (mut series, mut new_series) = (0, 0);
        for slot in found.iter().filter(|slot| head.has_samples(*slot, RangeMs { start, end })) {
            series += 1;
            if tally.seen.insert(head.catalogue.fingerprint_of(slot)) {
                new_series += 1;
                fresh.insert(slot);
            }
        }
        if series > 0 {
            let (start, end) = (first.max(start), last.min(end).max(first.max(start)));
            tally.stretches.push(Stretch { start, end, is_in_memory: true, series, new_series });
        }
    }
    head.catalogue.count_pairs(&fresh, |name, value, count| tally.add(name, value, count));
    Ok(())
}

fn finish(
    tally: Tally,
    mut winners: BTreeMap<String, FxHashMap<u64, (u64, String)>>,
) -> Cardinality {
    let of_label = |(name, values): (String, Values)| {
        let top = winners.remove(&name).unwrap_or_default().into_values();
        let mut top: Vec<Counted> = top.map(|(count, name)| Counted { name, count }).collect();
        top.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
        let (values, series) = (values.counts.len() as u64, values.series);
        LabelCardinality { name, values, series, top }
    };
    let mut labels: Vec<LabelCardinality> = tally.labels.into_iter().map(of_label).collect();
    labels.sort_by(|a, b| b.values.cmp(&a.values).then_with(|| a.name.cmp(&b.name)));
    let mut stretches = tally.stretches;
    stretches.sort_by_key(|stretch| (stretch.start, stretch.end));
    Cardinality { series: tally.seen.len() as u64, labels, stretches }
}
