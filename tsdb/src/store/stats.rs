//! Figures of the store.

use std::sync::atomic::Ordering;

use disk::journal::JournalStats;

use crate::store::Tsdb;

/// What the store holds and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Series that are being written.
    pub series: u64,
    /// Estimated memory of the head.
    pub memory_bytes: u64,
    /// Memory of block pages that queries read.
    pub cache_bytes: u64,
    /// Block files with samples.
    pub blocks: u64,
    /// Their size.
    pub block_bytes: u64,
    /// Samples in them.
    pub block_samples: u64,
    /// Block files with rollups.
    pub rollup_blocks: u64,
    /// Their size.
    pub rollup_bytes: u64,
    /// Bytes of the last checkpoint.
    pub checkpoint_bytes: u64,
    /// Samples taken since the start.
    pub samples_written: u64,
    /// Bytes given to the journal since the start.
    pub journal_bytes_written: u64,
    /// Bytes of checkpoints written since the start.
    pub checkpoint_bytes_written: u64,
    /// Checkpoints written since the start.
    pub checkpoints: u64,
    /// Seals since the start.
    pub seals: u64,
    /// Bytes of blocks sealed since the start.
    pub sealed_bytes_written: u64,
    /// Merges since the start.
    pub merges: u64,
    /// Bytes of blocks merged since the start.
    pub merged_bytes_written: u64,
    /// The journal.
    pub journal: JournalStats,
}

impl Tsdb {
    /// What the store holds and did.
    pub fn stats(&self) -> Stats {
        let (series, memory_bytes) = {
            let live = self.live.read();
            (live.head.catalogue.len() as u64, live.head.bytes() as u64)
        };
        let view = self.view.read().clone();
        let metas = |is_raw: bool| {
            let some = view.blocks.iter().filter(move |open| open.is_raw() == is_raw);
            some.map(|open| &open.entry.meta)
        };
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let written = &self.written;
        Stats {
            series,
            memory_bytes,
            cache_bytes: self.cache.stats().bytes,
            blocks: metas(true).count() as u64,
            block_bytes: metas(true).map(|meta| meta.bytes).sum(),
            block_samples: metas(true)
                .map(|meta| meta.float_samples + meta.histogram_samples)
                .sum(),
            rollup_blocks: metas(false).count() as u64,
            rollup_bytes: metas(false).map(|meta| meta.bytes).sum(),
            checkpoint_bytes: self.maintenance.try_lock().map_or(0, |m| m.checkpoint_bytes),
            samples_written: load(&written.samples),
            journal_bytes_written: load(&written.journal_bytes),
            checkpoint_bytes_written: load(&written.checkpoint_bytes),
            checkpoints: load(&written.checkpoints),
            seals: load(&written.seals),
            sealed_bytes_written: load(&written.sealed_bytes),
            merges: load(&written.merges),
            merged_bytes_written: load(&written.merged_bytes),
            journal: self.journal.stats(),
        }
    }

    /// Bytes of all blocks of samples by section of the file.
    pub(super) fn section_bytes(&self) -> Vec<(String, u64)> {
        let view = self.view.read().clone();
        let mut sums: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
        for open in view.blocks.iter().filter(|open| open.is_raw()) {
            let sections = serde_json::to_value(open.entry.meta.sections).unwrap_or_default();
            for (name, bytes) in sections.as_object().into_iter().flatten() {
                let name = format!("block_{name}_bytes");
                *sums.entry(name).or_default() += bytes.as_u64().unwrap_or(0);
            }
        }
        sums.into_iter().collect()
    }
}
