//! Rollups: written beside each block of a long stretch, read in its place.
//!
//! A rollup block has the series of its raw block in the same order, so that the index of a series
//! found in one holds in the other; a series that has none (native histograms, nothing but stale
//! markers) has an empty entry there. Buckets come from a rollup block only where its raw block is
//! all there is: no other block and no sample in memory touches the bucket, nothing of it is deleted
//! or cut off by retention. All other buckets are summed up from samples when they are asked for.

use std::sync::Arc;

use model::labels::{DELTA, Labels, TEMPORALITY};
use model::read::RangeMs;
use model::rollup::{RESOLUTIONS_MS, Rollup, RollupRequest, Summary, bucket_end};
use model::TimestampMs;

use super::query::{Reading, Sources};
use crate::block::{BlockWriter, Codec, RollupWanted};
use crate::columns::{Columns, expand_starts, join};
use crate::delete::cut;
use crate::error::Result;
use crate::head::Wanted;
use crate::manifest::{BlockEntry, BlockKind, block_file};
use crate::store::Tsdb;
use crate::view::{OpenBlock, View};

/// Blocks of this level have rollups.
const ROLLED_LEVEL: u32 = 2;

/// Writes the rollup block of one resolution beside a raw block.
pub(super) struct RollupWriter {
    number: u64,
    resolution_ms: i64,
    writer: BlockWriter,
    has_any: bool,
}

impl Tsdb {
    /// The writers for what goes beside a merged block of `level`.
    pub(super) fn rollup_writers(&self, level: u32) -> Result<Vec<RollupWriter>> {
        if level < ROLLED_LEVEL {
            return Ok(Vec::new());
        }
        let writers = RESOLUTIONS_MS.iter().map(|resolution_ms| {
            let number = self.manifest.lock().take_number();
            let path = self.dir.join(block_file(number));
            let files = &*self.options.journal.files;
            let writer = BlockWriter::create(&path, Codec::Dense, files)?;
            Ok(RollupWriter { number, resolution_ms: *resolution_ms, writer, has_any: false })
        });
        writers.collect()
    }

    /// Rollup blocks that were made with any of these raw blocks.
    pub(super) fn rollups_of(&self, raw: &[u64]) -> Vec<u64> {
        let view = self.view.read();
        let is_of = |open: &&Arc<OpenBlock>| open.rollup().is_some_and(|(_, of)| raw.contains(&of));
        view.blocks.iter().filter(is_of).map(|open| open.entry.number).collect()
    }
}

impl RollupWriter {
    /// Adds the next series of the raw block.
    pub(super) fn add(&mut self, labels: &Labels, columns: &Columns) -> Result<()> {
        let rollup = roll_up(labels, columns, self.resolution_ms);
        match rollup.filter(|rollup| !rollup.is_empty()) {
            Some(rollup) => {
                self.has_any = true;
                self.writer.add_rollup(labels, &rollup)?;
            }
            None => self.writer.add(labels, &Columns::default())?,
        }
        Ok(())
    }

    /// Makes the file durable and answers its entry, unless there is nothing in it.
    pub(super) fn finish(self, raw: &BlockEntry) -> Result<Option<BlockEntry>> {
        if !self.has_any {
            return Ok(None);
        }
        let meta = self.writer.finish()?;
        let kind = BlockKind::Rollup { resolution_ms: self.resolution_ms, of: raw.number };
        Ok(Some(BlockEntry { number: self.number, kind, meta, ..raw.clone() }))
    }
}

/// Sums samples up, unless native histograms are among them.
fn roll_up(labels: &Labels, columns: &Columns, resolution_ms: i64) -> Option<Rollup> {
    if !columns.histograms.is_empty() {
        return None;
    }
    // Increases of delta series need their samples: their start times would only take room.
    let has_starts = !columns.starts.is_empty() && !is_delta(labels);
    let starts = if has_starts {
        expand_starts(&columns.starts, columns.values.len())
    } else {
        Vec::new()
    };
    Some(Rollup::of(&columns.times, &columns.values, &starts, resolution_ms))
}

fn is_delta(labels: &Labels) -> bool {
    labels.get(TEMPORALITY) == Some(DELTA)
}

/// Stretches of time `(start, end]` in order, apart from each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Stretches(Vec<(i64, i64)>);

impl Stretches {
    fn one(start: i64, end: i64) -> Self {
        Stretches(if start < end { vec![(start, end)] } else { Vec::new() })
    }

    fn remove(&mut self, start: i64, end: i64) {
        if start >= end || !self.0.iter().any(|own| own.0 < end && start < own.1) {
            return;
        }
        let parts = self.0.iter().flat_map(|own| {
            [(own.0, own.1.min(start.max(own.0))), (own.0.max(end.min(own.1)), own.1)]
        });
        self.0 = parts.filter(|part| part.0 < part.1).collect();
    }
}

/// The buckets that have times of `range` in them.
fn buckets_of(range: RangeMs, resolution_ms: i64) -> (i64, i64) {
    let first = bucket_end(range.start.0, resolution_ms);
    (first.saturating_sub(resolution_ms), bucket_end(range.end.0, resolution_ms))
}

/// `(start, end]` as a range with both ends included.
fn inside((start, end): (i64, i64)) -> RangeMs {
    RangeMs { start: TimestampMs(start.saturating_add(1)), end: TimestampMs(end) }
}

/// Which raw blocks have a rollup that can stand in for them, and where.
pub(super) struct RollupPlan {
    request: RollupRequest,
    /// In the order of the view's blocks: the place of the rollup block and its buckets.
    of_blocks: Vec<Option<(usize, Stretches)>>,
}

impl RollupPlan {
    /// `None` if no rollup is of use.
    pub(super) fn of(request: RollupRequest, view: &View, range: RangeMs) -> Option<RollupPlan> {
        let resolution_ms = request.resolution_ms;
        let mut of_blocks: Vec<Option<(usize, Stretches)>> = vec![None; view.blocks.len()];
        for (rollup_place, rollup) in view.blocks.iter().enumerate() {
            let Some((found, of)) = rollup.rollup() else { continue };
            if found != resolution_ms || !rollup.overlaps(range) {
                continue;
            }
            let raw = view.blocks.iter().position(|open| open.is_raw() && open.entry.number == of);
            let Some(place) = raw else { continue };
            let open = &view.blocks[place];
            if open.block.series_count() != rollup.block.series_count() {
                continue;
            }
            let (start, end) = buckets_of(open.range(), resolution_ms);
            let mut stretches = Stretches::one(start, end);
            for (_, other) in
                view.blocks.iter().enumerate().filter(|(at, other)| *at != place && other.is_raw())
            {
                let (start, end) = buckets_of(other.range(), resolution_ms);
                stretches.remove(start, end);
            }
            of_blocks[place] = Some((rollup_place, stretches));
        }
        let is_some = of_blocks.iter().flatten().any(|(_, stretches)| !stretches.0.is_empty());
        is_some.then_some(RollupPlan { request, of_blocks })
    }
}

impl Reading<'_> {
    /// The rollup of one series over the whole range, if it gives what its samples give.
    pub(super) fn read_rollup(
        &mut self,
        sources: &Sources,
    ) -> model::Result<Option<(Labels, Rollup)>> {
        let Some(plan) = self.rollups.take() else { return Ok(None) };
        let found = self.read_planned(sources, &plan);
        self.rollups = Some(plan);
        found
    }

    fn read_planned(
        &mut self,
        sources: &Sources,
        plan: &RollupPlan,
    ) -> model::Result<Option<(Labels, Rollup)>> {
        let request = plan.request;
        let of_blocks = |place: u32| plan.of_blocks.get(place as usize).and_then(Option::as_ref);
        if !sources.blocks.iter().any(|(place, _)| of_blocks(*place).is_some()) {
            return Ok(None);
        }
        let Some(labels) = self.labels_of(sources)? else { return Ok(None) };
        if is_delta(&labels) && matches!(request.summary, Summary::Delta | Summary::Increase) {
            return Ok(None);
        }
        let wanted = Wanted { values: true, starts: true, exemplars: false };
        let head = self.read_head(sources, wanted);
        if head.iter().any(|part| !part.histograms.is_empty()) {
            return Ok(None);
        }
        let range = self.visible(&labels);
        let whole = (range.start.0.saturating_sub(1), range.end.0);
        let mut rest = Stretches::one(whole.0, whole.1);
        let mut pieces: Vec<(i64, Rollup)> = Vec::new();
        for (place, index) in &sources.blocks {
            let Some((rollup_place, stretches)) = of_blocks(*place) else { continue };
            let stretches = self.untouched(stretches, *place, &labels, range, &head, &request);
            let wanted = RollupWanted::For(request.summary);
            for stretch in stretches.0 {
                let found = self.read_buckets(*rollup_place, *index, stretch, wanted, &request)?;
                let Some(rollup) = found else { break };
                pieces.push((stretch.0, rollup));
                rest.remove(stretch.0, stretch.1);
            }
        }
        if pieces.is_empty() {
            return Ok(None);
        }
        for stretch in rest.0 {
            let mut parts = Vec::new();
            for (place, index) in &sources.blocks {
                let range = inside(stretch);
                if self.view.blocks[*place as usize].overlaps(range) {
                    parts.push(self.read_block(*place, *index, &labels, range, wanted)?);
                }
            }
            for part in &head {
                let mut part = part.clone();
                let RangeMs { start, end } = inside(stretch);
                cut(&mut part, RangeMs { start: TimestampMs::MIN, end: start.plus_ms(-1) });
                cut(&mut part, RangeMs { start: end.plus_ms(1), end: TimestampMs::MAX });
                parts.push(part);
            }
            let columns = join(parts, &mut self.pool);
            let Some(mut rollup) = roll_up(&labels, &columns, request.resolution_ms) else {
                return Ok(None);
            };
            rollup.narrow(request.summary);
            pieces.push((stretch.0, rollup));
        }
        pieces.sort_by_key(|(start, _)| *start);
        let mut all = Rollup { resolution_ms: request.resolution_ms, ..Rollup::default() };
        for (_, piece) in pieces {
            all.append(piece);
        }
        Ok((!all.is_empty() && all.is_exact(&request)).then_some((labels, all)))
    }

    /// The buckets of a block in which a series has all of its samples in that block.
    fn untouched(
        &self,
        stretches: &Stretches,
        place: u32,
        labels: &Labels,
        range: RangeMs,
        head: &[Columns],
        request: &RollupRequest,
    ) -> Stretches {
        let resolution_ms = request.resolution_ms;
        let mut stretches = stretches.clone();
        // Buckets that are cut by the range are not whole.
        let first = bucket_end(range.start.0.saturating_sub(1), resolution_ms);
        let last = range.end.0.div_euclid(resolution_ms).saturating_mul(resolution_ms);
        stretches.remove(i64::MIN, first);
        stretches.remove(last, i64::MAX);
        let open = &self.view.blocks[place as usize];
        for mask in self.view.masks.iter().filter(|mask| mask.hides(open.entry.newest_seal, labels)) {
            let (start, end) = buckets_of(mask.range, resolution_ms);
            stretches.remove(start, end);
        }
        let (Some(begin), Some(end)) = (stretches.0.first(), stretches.0.last()) else {
            return stretches;
        };
        let (begin, end) = (begin.0, end.1);
        for part in head {
            let from = part.times.partition_point(|at| *at <= begin);
            let times = part.times.iter().skip(from).take_while(|at| **at <= end);
            let mut removed = i64::MIN;
            for at in times {
                let bucket = bucket_end(*at, resolution_ms);
                if bucket > removed {
                    stretches.remove(bucket - resolution_ms, bucket);
                    removed = bucket;
                }
            }
        }
        stretches
    }

    /// Buckets of a rollup block; `None` if the series has no rollup there.
    fn read_buckets(
        &mut self,
        place: usize,
        index: u32,
        stretch: (i64, i64),
        wanted: RollupWanted,
        request: &RollupRequest,
    ) -> model::Result<Option<Rollup>> {
        let open = &self.view.blocks[place];
        let scratch = &mut self.scratches[place];
        let resolution_ms = request.resolution_ms;
        let read = open.block.read_rollup(index, resolution_ms, inside(stretch), wanted, scratch);
        self.store.guard(open, read)
    }
}
