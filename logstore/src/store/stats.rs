//! Figures of the store.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use disk::journal::JournalStats;

use crate::store::LogStore;

/// What the store holds and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Streams with records.
    pub streams: u64,
    /// Records, those that are hidden among them.
    pub records: u64,
    /// Of them, those that no part has.
    pub head_records: u64,
    /// Estimated memory of records that no part has.
    pub memory_bytes: u64,
    /// Memory of pages of parts that queries read.
    pub cache_bytes: u64,
    /// Memory of headers of blocks that queries read, about.
    pub header_cache_bytes: u64,
    /// Parts on disk.
    pub parts: u64,
    /// Their size.
    pub part_bytes: u64,
    /// Records in them.
    pub part_records: u64,
    /// Bytes of the lines in them.
    pub part_line_bytes: u64,
    /// Parts that could not be read and were set aside, since the start.
    pub corrupt_parts: u64,
    /// Deletions whose records are hidden and still on disk.
    pub deletions: u64,
    /// Records taken since the start.
    pub records_written: u64,
    /// Bytes given to the journal since the start.
    pub journal_bytes_written: u64,
    /// Seals since the start.
    pub seals: u64,
    /// Bytes of parts sealed since the start.
    pub sealed_bytes_written: u64,
    /// Merges since the start.
    pub merges: u64,
    /// Bytes of parts merged since the start.
    pub merged_bytes_written: u64,
    /// Records refused since the start for being older than their retention.
    pub refused_too_old: u64,
    /// Records refused since the start for being too far in the future.
    pub refused_too_far_in_future: u64,
    /// Records refused since the start because their streams were too many.
    pub refused_too_many_streams: u64,
    /// Batches refused since the start because the store could take nothing.
    pub refused_batches: u64,
    /// The journal.
    pub journal: JournalStats,
}

impl LogStore {
    /// What the store holds and did.
    pub fn stats(&self) -> Stats {
        let (streams, head_records, memory_bytes, view) = {
            let live = self.live.read();
            let frozen = live.frozen.as_ref().map_or(0, |head| head.record_count());
            let records = live.active.record_count() + frozen;
            (live.streams.len(), records as u64, live.head_bytes(), live.view.clone())
        };
        let metas = view.parts.iter().map(|open| open.part.meta());
        let part_records = metas.clone().map(|meta| meta.rows).sum();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let written = &self.written;
        Stats {
            streams: streams as u64,
            records: head_records + part_records,
            head_records,
            memory_bytes: memory_bytes as u64,
            cache_bytes: self.caches.page_bytes(),
            header_cache_bytes: self.caches.header_bytes(),
            parts: view.parts.len() as u64,
            part_bytes: metas.clone().map(|meta| meta.disk_bytes).sum(),
            part_records,
            part_line_bytes: metas.map(|meta| meta.line_bytes).sum(),
            corrupt_parts: self.damage.lock().len() as u64,
            deletions: view.deleted.len() as u64,
            records_written: load(&written.records),
            journal_bytes_written: load(&written.journal_bytes),
            seals: load(&written.seals),
            sealed_bytes_written: load(&written.sealed_bytes),
            merges: load(&written.merges),
            merged_bytes_written: load(&written.merged_bytes),
            refused_too_old: load(&written.refused_too_old),
            refused_too_far_in_future: load(&written.refused_too_far_in_future),
            refused_too_many_streams: load(&written.refused_too_many_streams),
            refused_batches: load(&written.refused_batches),
            journal: self.journal.stats(),
        }
    }

    /// Bytes of all parts by what they are for.
    pub(super) fn section_bytes(&self) -> Vec<(String, u64)> {
        let view = self.live.read().view.clone();
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, bytes) in view.parts.iter().flat_map(|open| open.part.figures()) {
            *sums.entry(name).or_default() += bytes;
        }
        sums.into_iter().map(|(name, bytes)| (format!("part_{name}"), bytes)).collect()
    }
}
