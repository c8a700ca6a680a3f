//! All log records in memory: the encoded batches, and per stream where each record is.

use std::collections::VecDeque;
use std::sync::Arc;

use model::labels::Labels;
use model::read::RangeNs;
use model::{Matcher, TimestampNs};
use rustc_hash::FxHashMap;

use crate::record::Layout;

/// Where one record is. Sorts by time, then arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) at: TimestampNs,
    /// The number of its batch, modulo 2^32.
    pub(crate) chunk: u32,
    /// Line and fields.
    pub(crate) body: u32,
    /// The fields of its group.
    pub(crate) shared: u32,
}

impl Entry {
    /// Grows with arrival.
    pub(crate) fn arrival(&self) -> u64 {
        u64::from(self.chunk) << 32 | u64::from(self.body)
    }
}

#[derive(Debug)]
struct Stream {
    labels: Labels,
    entries: Vec<Entry>,
}

/// What a stream costs beside its entries.
const STREAM_BYTES: usize = 512;

/// The records of the store.
#[derive(Debug, Default)]
pub(crate) struct Head {
    by_labels: FxHashMap<Labels, usize>,
    streams: Vec<Stream>,
    /// Encoded batches, oldest first; the first has number `first_chunk`.
    chunks: VecDeque<Arc<Vec<u8>>>,
    first_chunk: u64,
    chunk_bytes: usize,
    entries: usize,
}

/// The part of the head that one scan reads.
pub(crate) struct Snapshot {
    pub(crate) streams: Vec<(Labels, Vec<Entry>)>,
    chunks: FxHashMap<u32, Arc<Vec<u8>>>,
}

impl Snapshot {
    /// The batch of an entry; empty if the entry is not of this snapshot.
    pub(crate) fn chunk(&self, entry: &Entry) -> &[u8] {
        self.chunks.get(&entry.chunk).map_or(&[], |chunk| chunk)
    }
}

impl Head {
    pub(crate) fn bytes(&self) -> usize {
        self.chunk_bytes + self.entries * size_of::<Entry>() + self.streams.len() * STREAM_BYTES
    }

    pub(crate) fn stream_count(&self) -> usize {
        self.streams.len()
    }

    pub(crate) fn record_count(&self) -> usize {
        self.entries
    }

    /// Keeps a batch under its journal number. Numbers grow by one.
    pub(crate) fn add(&mut self, number: u64, payload: Arc<Vec<u8>>, layout: Layout) {
        if self.chunks.is_empty() {
            self.first_chunk = number;
        }
        debug_assert_eq!(number, self.first_chunk + self.chunks.len() as u64);
        self.chunk_bytes += payload.len();
        self.chunks.push_back(payload);
        for group in layout.groups {
            self.entries += group.records.len();
            let entries = &mut self.stream(group.stream).entries;
            for (at, body) in group.records {
                let entry = Entry { at, chunk: number as u32, body, shared: group.shared };
                match entries.last() {
                    Some(last) if last.at > at => {
                        let after = entries.partition_point(|other| other.at <= at);
                        entries.insert(after, entry);
                    }
                    _ => entries.push(entry),
                }
            }
        }
    }

    fn stream(&mut self, labels: Labels) -> &mut Stream {
        let index = *self.by_labels.entry(labels).or_insert_with_key(|labels| {
            self.streams.push(Stream { labels: labels.clone(), entries: Vec::new() });
            self.streams.len() - 1
        });
        &mut self.streams[index]
    }

    /// Forgets the batches with numbers under `number`.
    pub(crate) fn forget_before(&mut self, number: u64) {
        let first_kept = number as u32;
        while self.first_chunk < number {
            let Some(chunk) = self.chunks.pop_front() else { break };
            self.chunk_bytes -= chunk.len();
            self.first_chunk += 1;
        }
        for stream in &mut self.streams {
            let before = stream.entries.len();
            // Kept and dropped numbers are less than half of 2^32 apart.
            stream.entries.retain(|entry| entry.chunk.wrapping_sub(first_kept) < u32::MAX / 2);
            stream.entries.shrink_to_fit();
            self.entries -= before - stream.entries.len();
        }
        self.streams.retain(|stream| !stream.entries.is_empty());
        let numbered = self.streams.iter().enumerate();
        self.by_labels = numbered.map(|(index, stream)| (stream.labels.clone(), index)).collect();
    }

    /// Labels of matching streams with records in `range`, sorted.
    pub(crate) fn labels(&self, matchers: &[Matcher], range: RangeNs) -> Vec<Labels> {
        let mut labels: Vec<Labels> =
            self.matching(matchers, range).map(|(stream, _)| stream.labels.clone()).collect();
        labels.sort();
        labels
    }

    /// What a scan of matching streams in `range` needs.
    pub(crate) fn snapshot(&self, matchers: &[Matcher], range: RangeNs) -> Snapshot {
        let mut snapshot = Snapshot { streams: Vec::new(), chunks: FxHashMap::default() };
        for (stream, entries) in self.matching(matchers, range) {
            let mut last = None;
            for entry in entries {
                if last == Some(entry.chunk) {
                    continue;
                }
                last = Some(entry.chunk);
                let index = entry.chunk.wrapping_sub(self.first_chunk as u32);
                if let Some(chunk) = self.chunks.get(index as usize) {
                    snapshot.chunks.entry(entry.chunk).or_insert_with(|| chunk.clone());
                }
            }
            snapshot.streams.push((stream.labels.clone(), entries.to_vec()));
        }
        snapshot
    }

    fn matching<'a>(
        &'a self,
        matchers: &'a [Matcher],
        range: RangeNs,
    ) -> impl Iterator<Item = (&'a Stream, &'a [Entry])> {
        self.streams.iter().filter_map(move |stream| {
            let first = stream.entries.partition_point(|entry| entry.at < range.start);
            let end = stream.entries.partition_point(|entry| entry.at < range.end);
            (first < end && Matcher::all_match(matchers, &stream.labels))
                .then(|| (stream, &stream.entries[first..end]))
        })
    }
}
