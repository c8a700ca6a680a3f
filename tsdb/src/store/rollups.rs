//! Rollups: written beside each block of a long stretch, read in its place.
//!
//! A rollup block has the series of its raw block in the same order, so that the index of a series
//! found in one holds in the other; a series that has none (native histograms, nothing but stale
//! markers) has an empty entry there. Buckets come from a rollup block only where its raw block is
//! all there is: no other block and no sample in memory touches the bucket, nothing in it is gone
//! by a deletion or retention. All other buckets are summed up from samples when they are asked for.

use std::sync::Arc;

use model::TimestampMs;
use model::labels::{DELTA, Labels, TEMPORALITY};
use model::read::RangeMs;
use model::rollup::{RESOLUTIONS_MS, Rollup, RollupRequest, Summary, bucket_end};

use super::query::{Reading, Sources};
use crate::block::{BlockWriter, Codec, ReadScratch, RollupWanted};
use crate::columns::{Columns, expand_starts, join};
use crate::delete::{Mask, cut};
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

    /// Writes a rollup block again whose samples are gone, without buckets that a deletion touches.
    pub(super) fn rewrite_rollup(&self, open: &Arc<OpenBlock>, mask: &Mask) -> Result<()> {
        let Some((resolution_ms, _)) = open.rollup() else { return Ok(()) };
        let number = self.manifest.lock().take_number();
        let path = self.dir.join(block_file(number));
        let mut writer = BlockWriter::create(&path, Codec::Dense, &*self.options.journal.files)?;
        let (start, end) = buckets_of(mask.range, resolution_ms);
        let (mut scratch, mut has_any) = (ReadScratch::default(), false);
        for index in 0..open.block.series_count() {
            let labels = open.block.labels(index, &mut scratch)?;
            let kept = if mask.hides(open.entry.newest_seal, &labels) {
                vec![inside((i64::MIN, start)), inside((end, i64::MAX))]
            } else {
                vec![RangeMs::ALL]
            };
            let mut all = Rollup { resolution_ms, ..Rollup::default() };
            for range in kept {
                let wanted = RollupWanted::All;
                let block = &open.block;
                let read = block.read_rollup(index, resolution_ms, range, wanted, &mut scratch)?;
                if let Some(rollup) = read {
                    all.append(rollup);
                }
            }
            if all.is_empty() {
                writer.add(&labels, &Columns::default())?;
            } else {
                has_any = true;
                writer.add_rollup(&labels, &all)?;
            }
        }
        let mut new = Vec::new();
        if has_any {
            let mut entry = BlockEntry { number, meta: writer.finish()?, ..open.entry.clone() };
            entry.applied_deletions.push(mask.id);
            new.push(Arc::new(OpenBlock::open(&self.dir, entry, &self.cache)?));
        }
        self.replace_blocks(&[open.entry.number], new)?;
        Ok(())
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
    let starts =
        if has_starts { expand_starts(&columns.starts, columns.values.len()) } else { Vec::new() };
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
pub(super) fn buckets_of(range: RangeMs, resolution_ms: i64) -> (i64, i64) {
    let first = bucket_end(range.start.0, resolution_ms);
    (first.saturating_sub(resolution_ms), bucket_end(range.end.0, resolution_ms))
}

/// `(start, end]` as a range with both ends included.
pub(super) fn inside((start, end): (i64, i64)) -> RangeMs {
    RangeMs { start: TimestampMs(start.saturating_add(1)), end: TimestampMs(end) }
}

/// Which raw blocks have a rollup that can stand in for them, and where.
#[derive(Clone)]
pub(super) struct RollupPlan {
    request: RollupRequest,
    /// In the order of the view's blocks: the place of the rollup block (its own, if samples are
    /// gone), and when there are no other samples than its own in any of its buckets.
    of_blocks: Vec<Option<(usize, Stretches)>>,
}

/// Which blocks are read as if they had samples: raw ones, and of those that are gone the rollup
/// of `resolution_ms` or else the finest.
pub(super) fn readable(view: &View, resolution_ms: Option<i64>) -> Vec<bool> {
    let is_there =
        |number: u64| view.blocks.iter().any(|open| open.is_raw() && open.entry.number == number);
    let rank = |found: i64| (Some(found) != resolution_ms, found);
    let is_best = |open: &OpenBlock| {
        let Some((own, of)) = open.rollup() else { return true };
        let kin = view.blocks.iter().filter_map(|other| other.rollup());
        !is_there(of) && kin.filter(|kin| kin.1 == of).all(|kin| rank(own) <= rank(kin.0))
    };
    view.blocks.iter().map(|open| is_best(open)).collect()
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
            let place = raw.unwrap_or(rollup_place);
            let open = &view.blocks[place];
            if open.block.series_count() != rollup.block.series_count() {
                continue;
            }
            let own = open.range();
            let mut stretches = Stretches::one(own.start.0.saturating_sub(1), own.end.0);
            // A bucket that two blocks share is put together from both, unless they mix.
            let others = view.blocks.iter().enumerate();
            for (_, other) in others.filter(|(at, other)| *at != place && other.is_raw()) {
                if other.overlaps(own) {
                    let (start, end) = buckets_of(other.range(), resolution_ms);
                    stretches.remove(start, end);
                }
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
        let mut is_last_resort = false;
        let shared = match request.summary {
            Summary::Current => self.shared_ends(sources, &head, request.resolution_ms)?,
            _ => Vec::new(),
        };
        for (place, index) in &sources.blocks {
            let Some((rollup_place, stretches)) = of_blocks(*place) else { continue };
            let mut stretches = self.untouched(stretches, *place, &labels, range, &head, &request);
            if *rollup_place != *place as usize {
                for end in &shared {
                    stretches.remove(end - request.resolution_ms, *end);
                }
            }
            let wanted = RollupWanted::For(request.summary);
            for stretch in stretches.0 {
                let found = self.read_buckets(*rollup_place, *index, stretch, wanted, &request)?;
                let Some(rollup) = found else { break };
                is_last_resort |= *rollup_place == *place as usize;
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
                let open = &self.view.blocks[*place as usize];
                let is_rollup = open.rollup().is_some_and(|(ms, _)| ms == request.resolution_ms);
                if open.overlaps(range) && !is_rollup {
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
        if all.last_starts_ms.iter().chain(&all.first_starts_ms).all(|start| *start == 0) {
            all.last_starts_ms.clear();
            all.first_starts_ms.clear();
        }
        let is_right = is_last_resort || all.is_exact(&request);
        Ok((!all.is_empty() && is_right).then_some((labels, all)))
    }

    /// Ends of buckets in which a block has the last sample of a series, and another one or the head
    /// a later one. That may be a stale marker alone, which is in no bucket: the bucket of the block
    /// does not know of it.
    fn shared_ends(
        &mut self,
        sources: &Sources,
        head: &[Columns],
        resolution_ms: i64,
    ) -> model::Result<Vec<i64>> {
        let (mut begins, mut lasts) = (Vec::new(), Vec::new());
        for (place, index) in &sources.blocks {
            let open = &self.view.blocks[*place as usize];
            let scratch = &mut self.scratches[*place as usize];
            let times = self.store.guard(open, open.block.series_times(*index, scratch))?;
            if let Some((first, last)) = times {
                begins.push(first);
                lasts.push(last);
            }
        }
        let goes_on = |last: &i64| {
            let end = bucket_end(*last, resolution_ms);
            let follows = |at: &i64| at > last && *at <= end;
            let in_head = |part: &Columns| {
                let from = part.times.partition_point(|at| at <= last);
                part.times.get(from).is_some_and(follows)
            };
            (begins.iter().any(follows) || head.iter().any(in_head)).then_some(end)
        };
        Ok(lasts.iter().filter_map(goes_on).collect())
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
        for mask in self.view.masks.iter().filter(|mask| mask.hides(open.entry.newest_seal, labels))
        {
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
