//! Sealing: samples of the head become a block.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::labels::Labels;
use model::read::RangeMs;

use crate::block::{BlockWriter, Codec};
use crate::columns::{TimesPool, join, pieces};
use crate::error::Result;
use crate::head::series::Seen;
use crate::head::{RangeCache, Wanted};
use crate::manifest::{BlockEntry, BlockKind, block_file};
use crate::store::{Live, Tsdb};
use crate::view::OpenBlock;

/// Series that are copied out of the head under one lock.
const SERIES_AT_ONCE: usize = 256;
/// Series that are taken out of the head under one lock.
const FORGET_AT_ONCE: usize = 4096;
/// A series that has no samples in memory stays known for this many sealed windows.
const IDLE_WINDOWS: i64 = 2;

/// One series of a seal: its slot, and what of its lists the seal has seen.
type Sealed = (u32, Seen);

impl Tsdb {
    /// Seals what the head holds in `range`, whose ends are ends of windows up to the one that is
    /// sealed already or is to be sealed now. Durable on return. Runs under `maintenance`.
    pub(super) fn seal(&self, range: RangeMs) -> Result<()> {
        let sealed = self.seal_to_block(range);
        if sealed.is_err() {
            // What is late stays due.
            let mut live = self.live.write();
            let windows = live.head.window_of(range.start.0)..=live.head.window_of(range.end.0);
            live.head.late.extend(windows);
        }
        sealed
    }

    fn seal_to_block(&self, range: RangeMs) -> Result<()> {
        let slots = {
            let mut live = self.live.write();
            let (first, through) =
                (live.head.window_of(range.start.0), live.head.window_of(range.end.0));
            live.head.late.retain(|window| *window < first || *window > through);
            // From here on, the windows take no more samples in order: their chunks stand still.
            live.head.sealed_through = live.head.sealed_through.max(through);
            live.head.slots_in(range)
        };
        if slots.is_empty() {
            self.after_seal(range, &[]);
            return Ok(());
        }
        // More than one only if a series has more samples than a block is to have of it.
        let mut writers = vec![self.young_block()?];
        let mut cache = RangeCache::new(range);
        let mut pool = TimesPool::default();
        let samples_max = self.options.merged_samples_max;
        let mut sealed: Vec<Sealed> = Vec::with_capacity(slots.len());
        let mut copied: Vec<(Labels, _)> = Vec::new();
        for slots in self.in_series_order(slots).chunks(SERIES_AT_ONCE) {
            {
                let live = self.live.read();
                for slot in slots {
                    let mut parts = Vec::new();
                    let seen = live.head.read(*slot, &mut cache, Wanted::ALL, &mut parts);
                    copied.push((live.head.catalogue.labels(*slot), parts));
                    sealed.push((*slot, seen));
                }
            }
            for (labels, parts) in copied.drain(..) {
                let columns = join(parts, &mut pool);
                for (place, piece) in pieces(columns, samples_max).into_iter().enumerate() {
                    if place == writers.len() {
                        writers.push(self.young_block()?);
                    }
                    writers[place].1.add(&labels, &piece)?;
                }
            }
        }
        let mut blocks: Vec<Arc<OpenBlock>> = Vec::with_capacity(writers.len());
        for (number, writer) in writers {
            let finished = self.finish_young(number, writer);
            let finished = finished.inspect_err(|_| blocks.iter().for_each(|open| open.retire()));
            blocks.push(finished?);
        }
        self.written.seals.fetch_add(1, Ordering::Relaxed);
        let before = self.replace_blocks(&[], blocks)?;
        // Whoever holds the view from before reads these samples in the head.
        self.wait_for_readers(before);
        self.after_seal(range, &sealed);
        Ok(())
    }

    /// Begins a block of samples that come out of the head.
    fn young_block(&self) -> Result<(u64, BlockWriter)> {
        let number = self.manifest.lock().take_number();
        let path = self.dir.join(block_file(number));
        let files = &*self.options.journal.files;
        Ok((number, BlockWriter::create(&path, Codec::Fast, files)?))
    }

    fn finish_young(&self, number: u64, writer: BlockWriter) -> Result<Arc<OpenBlock>> {
        let meta = writer.finish()?;
        self.written.sealed_bytes.fetch_add(meta.bytes, Ordering::Relaxed);
        let entry = BlockEntry {
            number,
            kind: BlockKind::Raw,
            level: 0,
            newest_seal: number,
            applied_rules: Vec::new(),
            applied_deletions: Vec::new(),
            made_at: self.clock.now_ms().0,
            meta,
        };
        Ok(Arc::new(OpenBlock::open(&self.dir, entry, &self.cache)?))
    }

    /// Takes sealed samples out of the head, and series that have not been written for long.
    fn after_seal(&self, range: RangeMs, sealed: &[Sealed]) {
        for sealed in sealed.chunks(FORGET_AT_ONCE) {
            let mut live = self.live.write();
            for (slot, seen) in sealed {
                live.head.forget(*slot, range, *seen);
            }
        }
        let mut live = self.live.write();
        let Live { head, new_series, folds, .. } = &mut *live;
        let through = head.window_of(range.end.0);
        let first = head.window_of(range.start.0);
        head.drop_windows(first, through);
        let idle_before = head.sealed_through.saturating_sub(IDLE_WINDOWS);
        let mut idle: Vec<u32> = Vec::new();
        for slot in head.catalogue.all() {
            let series = &mut head.series[slot as usize];
            if !series.is_empty() {
                continue;
            }
            if series.chunk.window == i64::MIN {
                // Made and not written yet, or not since the start: it has as long as any other.
                series.chunk.window = head.sealed_through;
            } else if series.chunk.window < idle_before && !new_series.contains(slot) {
                // One that the journal has not heard of yet is about to be written.
                idle.push(slot);
            }
        }
        for slot in &idle {
            folds.forget(head.id(*slot));
            head.remove(*slot);
        }
        if !idle.is_empty() {
            head.catalogue.compact();
            self.generation.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Slots in the order of series in a block: by metric name, then by labels. The texts are copied
    /// under the lock and compared without it.
    fn in_series_order(&self, slots: Vec<u32>) -> Vec<u32> {
        let copied = self.live.read().head.catalogue.copy_order(&slots);
        copied.sorted()
    }

    /// Seals everything that is in memory.
    pub(super) fn seal_all(&self) -> Result<()> {
        loop {
            let range = {
                let live = self.live.read();
                let open = live.head.windows.keys().next().copied();
                let late = live.head.late.first().copied();
                match open.into_iter().chain(late).min() {
                    None => return Ok(()),
                    Some(window) => self.seal_range(&live, window),
                }
            };
            self.seal(range)?;
        }
    }

    /// The range of a seal that takes `window`: itself while it takes samples in order, with its
    /// neighbours that come into the same merged block if it is sealed already.
    pub(super) fn seal_range(&self, live: &Live, window: i64) -> RangeMs {
        let sealed_through = live.head.sealed_through;
        if window > sealed_through {
            return live.head.window_range(window);
        }
        let (first, last) = self.merge_windows(window, sealed_through);
        let start = live.head.window_range(first).start;
        let end = live.head.window_range(last.min(sealed_through)).end;
        RangeMs { start, end }
    }
}
