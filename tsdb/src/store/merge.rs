//! Merging: several blocks become one, denser, without what was deleted or is too old.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use disk::PageCache;
use model::labels::Labels;
use model::read::RangeMs;

use crate::block::{Block, BlockWriter, Codec, ReadScratch, Wanted, series_order};
use crate::columns::{Columns, TimesPool, join};
use crate::delete::{Mask, cut};
use crate::error::Result;
use crate::manifest::{BlockEntry, BlockKind, block_file};
use crate::options::{LONG_WINDOWS, MIDDLE_WINDOWS};
use crate::store::Tsdb;
use crate::view::{OpenBlock, View};

/// Pages that a merge holds.
const MERGE_CACHE_BYTES: usize = 8 << 20;
/// Small blocks that wait beside a merged one before they are merged into it.
const WAITING_MAX: usize = 4;
/// Or how long the oldest of them waits, in milliseconds.
const WAITING_MS_MAX: i64 = 15 * 60_000;

/// Which stretches have what is to come in order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Complete {
    /// Through this window all of them.
    pub(super) through: i64,
    /// All that is stored, as far as one can tell: nothing came for some time.
    pub(super) is_quiet: bool,
}

/// A merge that is due.
pub(super) struct MergePlan {
    pub(super) inputs: Vec<Arc<OpenBlock>>,
    level: u32,
}

impl Tsdb {
    /// The first and last window that come into one merged block with `window`: a whole long
    /// stretch once all of it is sealed, a middle one before.
    pub(super) fn merge_windows(&self, window: i64, sealed_through: i64) -> (i64, i64) {
        let long = window.div_euclid(LONG_WINDOWS) * LONG_WINDOWS;
        if long + LONG_WINDOWS - 1 <= sealed_through {
            return (long, long + LONG_WINDOWS - 1);
        }
        let middle = window.div_euclid(MIDDLE_WINDOWS) * MIDDLE_WINDOWS;
        (middle, middle + MIDDLE_WINDOWS - 1)
    }

    /// The next merge that is worth its while; with `all`, any that leaves fewer blocks.
    pub(super) fn plan_merge(
        &self,
        view: &View,
        complete: Complete,
        all: bool,
    ) -> Option<MergePlan> {
        let window_ms = self.options.window_ms;
        let window_of = |at: i64| at.div_euclid(window_ms);
        let mut raw: Vec<&Arc<OpenBlock>> =
            view.blocks.iter().filter(|open| open.is_raw()).collect();
        raw.sort_by_key(|open| open.entry.meta.min_time);
        let stretch_of = |open: &OpenBlock, windows: i64| {
            window_of(open.entry.meta.min_time).div_euclid(windows)
        };
        for long in raw.chunk_by(|a, b| stretch_of(a, LONG_WINDOWS) == stretch_of(b, LONG_WINDOWS))
        {
            let last = (stretch_of(long[0], LONG_WINDOWS) + 1) * LONG_WINDOWS - 1;
            if last <= complete.through || all {
                // Rollups are made of whole days; a running one that is merged on demand has none.
                let level = if last <= complete.through { 2 } else { 1 };
                if let Some(plan) = self.plan_stretch(view, long, level, all) {
                    return Some(plan);
                }
                continue;
            }
            let is_same = |a: &&Arc<OpenBlock>, b: &&Arc<OpenBlock>| {
                stretch_of(a, MIDDLE_WINDOWS) == stretch_of(b, MIDDLE_WINDOWS)
            };
            for middle in long.chunk_by(is_same) {
                let last = (stretch_of(middle[0], MIDDLE_WINDOWS) + 1) * MIDDLE_WINDOWS - 1;
                if (last <= complete.through || complete.is_quiet)
                    && let Some(plan) = self.plan_stretch(view, middle, 1, all)
                {
                    return Some(plan);
                }
            }
        }
        None
    }

    /// Whether blocks of one stretch are to become one of `level`. If one would be too large, blocks
    /// that stand beside each other become one as far as they can. Those have no rollups, whose
    /// buckets they might share.
    fn plan_stretch(
        &self,
        view: &View,
        blocks: &[&Arc<OpenBlock>],
        level: u32,
        all: bool,
    ) -> Option<MergePlan> {
        let mut samples = 0;
        let mut ends = Vec::new();
        for (place, open) in blocks.iter().enumerate() {
            let own = open.entry.meta.series_samples_max;
            if samples > 0 && samples + own > self.options.merged_samples_max as u64 {
                ends.push(place);
                samples = 0;
            }
            samples += own;
        }
        if ends.is_empty() {
            return self.plan_blocks(view, blocks, level, all);
        }
        ends.push(blocks.len());
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let mut parts = starts.zip(&ends).map(|(start, end)| &blocks[start..*end]);
        parts.find_map(|part| self.plan_blocks(view, part, level.min(1), all))
    }

    /// Whether these blocks are to become one of `level`.
    fn plan_blocks(
        &self,
        view: &View,
        blocks: &[&Arc<OpenBlock>],
        level: u32,
        all: bool,
    ) -> Option<MergePlan> {
        let now = self.clock.now_ms().0;
        let waiting: Vec<_> = blocks.iter().filter(|open| open.entry.level < level).collect();
        let joins = all && blocks.len() > 1;
        if waiting.is_empty() && !joins {
            return None;
        }
        let oldest = waiting.iter().map(|open| open.entry.made_at).min().unwrap_or(i64::MIN);
        let has_merged = waiting.len() < blocks.len();
        // Late blocks wait for company before they make a large one be written again.
        let is_due = !has_merged
            || all
            || waiting.len() >= WAITING_MAX
            || now.saturating_sub(oldest) >= WAITING_MS_MAX;
        // Samples on both sides of a deletion that can be taken back stay apart.
        let is_split = view.masks.iter().any(|mask| {
            let before = |open: &&Arc<OpenBlock>| open.entry.newest_seal <= mask.newest_seal;
            blocks.iter().any(before) && !blocks.iter().all(before)
        });
        let inputs = || blocks.iter().map(|open| Arc::clone(open)).collect();
        (is_due && !is_split).then(|| MergePlan { inputs: inputs(), level })
    }

    /// Writes the merged block and puts it in the place of its inputs. Durable on return.
    pub(super) fn merge(&self, plan: &MergePlan, expired: &[Mask]) -> Result<()> {
        let number = self.manifest.lock().take_number();
        let path = self.dir.join(block_file(number));
        let mut writer = BlockWriter::create(&path, Codec::Dense, &*self.options.journal.files)?;
        let mut rollups = self.rollup_writers(plan.level)?;
        let mut inputs: Vec<Cursor> = Vec::new();
        let mut ordered: Vec<&Arc<OpenBlock>> = plan.inputs.iter().collect();
        ordered.sort_by_key(|open| open.entry.newest_seal);
        // A merge reads each page once: it must not push out what queries need.
        let cache = PageCache::new(MERGE_CACHE_BYTES);
        for open in &ordered {
            let mut cursor = Cursor {
                block: Block::open(open.block.path(), cache.clone())?,
                newest_seal: open.entry.newest_seal,
                next: 0,
                labels: None,
                scratch: ReadScratch::default(),
            };
            cursor.advance()?;
            inputs.push(cursor);
        }
        let mut pool = TimesPool::default();
        let mut series = 0u64;
        while let Some(labels) = next_labels(&inputs) {
            if self.stopping.load(Ordering::SeqCst) {
                // The writer takes its unfinished file away.
                return Ok(());
            }
            let mut parts = Vec::new();
            for input in &mut inputs {
                if input.labels.as_ref() == Some(&labels) {
                    parts.push(input.take(
                        &labels,
                        self.visible(&labels, RangeMs::ALL),
                        expired,
                    )?);
                }
            }
            let columns = join(parts, &mut pool);
            if columns != Columns::default() {
                writer.add(&labels, &columns)?;
                for rollup in &mut rollups {
                    rollup.add(&labels, &columns)?;
                }
                series += 1;
            }
        }
        let newest = ordered.iter().map(|open| open.entry.meta.max_time).max();
        let rules = self.rules_past(newest.unwrap_or(i64::MAX));
        let mut merged = Vec::new();
        if series > 0 {
            let meta = writer.finish()?;
            self.written.merged_bytes.fetch_add(meta.bytes, Ordering::Relaxed);
            let newest_seal = ordered.iter().map(|open| open.entry.newest_seal).max().unwrap_or(0);
            let entry = BlockEntry {
                number,
                kind: BlockKind::Raw,
                level: plan.level,
                newest_seal,
                applied_rules: rules.map(|rule| rule.name.clone()).collect(),
                applied_deletions: expired.iter().map(|mask| mask.id).collect(),
                made_at: self.clock.now_ms().0,
                meta,
            };
            for rollup in rollups {
                if let Some(entry) = rollup.finish(&entry)? {
                    self.written.merged_bytes.fetch_add(entry.meta.bytes, Ordering::Relaxed);
                    merged.push(Arc::new(OpenBlock::open(&self.dir, entry, &self.cache)?));
                }
            }
            merged.push(Arc::new(OpenBlock::open(&self.dir, entry, &self.cache)?));
        }
        self.written.merges.fetch_add(1, Ordering::Relaxed);
        let mut gone: Vec<u64> = ordered.iter().map(|open| open.entry.number).collect();
        gone.extend(self.rollups_of(&gone));
        self.replace_blocks(&gone, merged)?;
        Ok(())
    }

    /// A plan that writes one block again, without what was deleted from it.
    pub(super) fn rewrite(open: &Arc<OpenBlock>) -> MergePlan {
        MergePlan { inputs: vec![open.clone()], level: open.entry.level.max(1) }
    }
}

/// A block on its way through a merge.
struct Cursor {
    block: Block,
    newest_seal: u64,
    next: u32,
    labels: Option<Labels>,
    scratch: ReadScratch,
}

impl Cursor {
    fn advance(&mut self) -> Result<()> {
        self.labels = if self.next < self.block.series_count() {
            Some(self.block.labels(self.next, &mut self.scratch)?)
        } else {
            None
        };
        Ok(())
    }

    /// The samples of the series it stands at, and a step to the next.
    fn take(&mut self, labels: &Labels, visible: RangeMs, expired: &[Mask]) -> Result<Columns> {
        let read = self.block.read(self.next, visible, Wanted::ALL, &mut self.scratch);
        let mut columns = read?;
        for mask in expired {
            if mask.hides(self.newest_seal, labels) {
                cut(&mut columns, mask.range);
            }
        }
        self.next += 1;
        self.advance()?;
        Ok(columns)
    }
}

/// The least labels that any input stands at.
fn next_labels(inputs: &[Cursor]) -> Option<Labels> {
    let all = inputs.iter().filter_map(|input| input.labels.as_ref());
    all.min_by(|a, b| series_order(a, b)).cloned()
}
