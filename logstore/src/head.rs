//! Records in memory that no part has: the encoded batches, and per stream where each record is.
//!
//! One head takes records; one more may stand still while it is being sealed. Records of a stream
//! that come out of order wait behind the sorted ones and are sorted in now and then, so that a
//! late batch into a large stream costs no more than any other.

mod count;
mod cursor;
mod patterns;
mod snapshot;

use std::sync::Arc;

use model::labels::Labels;
use model::read::RangeNs;
use model::{Matcher, TimestampNs};
use rustc_hash::FxHashMap;

use crate::record::Layout;

pub(crate) use count::count;
pub(crate) use cursor::HeadCursor;
pub(crate) use snapshot::Snapshot;

/// Where one record is. Sorts by time, then arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) at: TimestampNs,
    /// The number of its batch in the head.
    pub(crate) chunk: u32,
    /// Which record of the batch.
    pub(crate) index: u32,
    /// Where line and fields are.
    pub(crate) body: u32,
    /// Where the fields of its group are.
    pub(crate) shared: u32,
}

/// An encoded batch.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) first_arrival: u64,
    pub(crate) bytes: Arc<Vec<u8>>,
}

#[derive(Debug)]
struct Stream {
    labels: Labels,
    /// Sorted up to `sorted`; behind it in order of arrival.
    entries: Vec<Entry>,
    sorted: usize,
    /// The last batch that has records of it.
    last_chunk: u32,
}

/// So many entries of a stream may wait to be sorted in, beside a quarter of those that are.
const UNSORTED_MAX: usize = 256;

/// What a stream costs beside its entries.
const STREAM_BYTES: usize = 512;

impl Stream {
    fn push(&mut self, entry: Entry) {
        let is_next = self.sorted == self.entries.len()
            && self.entries.last().is_none_or(|last| *last < entry);
        self.last_chunk = entry.chunk;
        self.entries.push(entry);
        if is_next {
            self.sorted += 1;
        } else if self.entries.len() - self.sorted > UNSORTED_MAX + self.sorted / 4 {
            // A stable sort finds the sorted run and costs little more than the rest.
            self.entries.sort();
            self.sorted = self.entries.len();
        }
    }

    /// Entries in `range`: those that are sorted, and the others.
    fn within(&self, range: RangeNs) -> (&[Entry], impl Iterator<Item = &Entry>) {
        let (sorted, rest) = self.entries.split_at(self.sorted);
        let first = sorted.partition_point(|entry| entry.at < range.start);
        let end = sorted.partition_point(|entry| entry.at < range.end).max(first);
        (&sorted[first..end], rest.iter().filter(move |entry| range.contains(entry.at)))
    }

    fn has_any(&self, range: RangeNs) -> bool {
        let (sorted, mut rest) = self.within(range);
        !sorted.is_empty() || rest.next().is_some()
    }

    /// Those of batches from `first_chunk` on, in order.
    fn ordered_since(&self, range: RangeNs, first_chunk: u32) -> Vec<Entry> {
        let (sorted, rest) = self.within(range);
        let is_new = |entry: &&Entry| entry.chunk >= first_chunk;
        let mut entries: Vec<Entry> = sorted.iter().chain(rest).filter(is_new).copied().collect();
        entries.sort_unstable();
        entries
    }

    fn ordered(&self, range: RangeNs) -> Vec<Entry> {
        let (sorted, rest) = self.within(range);
        let mut entries = sorted.to_vec();
        entries.extend(rest);
        if entries.len() > sorted.len() {
            entries.sort();
        }
        entries
    }
}

/// Records of consecutive arrivals.
#[derive(Debug, Default)]
pub(crate) struct Head {
    by_labels: FxHashMap<Labels, usize>,
    streams: Vec<Stream>,
    chunks: Vec<Chunk>,
    chunk_bytes: usize,
    entries: usize,
    /// The number after that of the last record of the journal that is in it.
    pub(crate) journal_end: u64,
    /// The number after that of its last arrival.
    pub(crate) arrivals_end: u64,
    /// When the first and the last batch came, on the wall clock in milliseconds.
    pub(crate) appended: Option<(i64, i64)>,
}

impl Head {
    /// Estimated memory.
    pub(crate) fn bytes(&self) -> usize {
        self.chunk_bytes
            + self.chunks.len() * size_of::<Chunk>()
            + self.entries * size_of::<Entry>()
            + self.streams.len() * STREAM_BYTES
    }

    pub(crate) fn record_count(&self) -> usize {
        self.entries
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The number of its first arrival, or `None` without records.
    pub(crate) fn first_arrival(&self) -> Option<u64> {
        self.chunks.first().map(|chunk| chunk.first_arrival)
    }

    /// Labels of all streams.
    pub(crate) fn streams(&self) -> impl Iterator<Item = &Labels> {
        self.streams.iter().map(|stream| &stream.labels)
    }

    /// Keeps a batch whose records are numbered from `first_arrival` on. Calls `is_new` for each
    /// stream that was not in the head before.
    pub(crate) fn add(
        &mut self,
        first_arrival: u64,
        bytes: Arc<Vec<u8>>,
        layout: &Layout,
        now_ms: i64,
        mut is_new: impl FnMut(&Labels),
    ) {
        let chunk = self.chunks.len() as u32;
        self.chunk_bytes += bytes.len();
        self.chunks.push(Chunk { first_arrival, bytes });
        self.arrivals_end = first_arrival + layout.records.len() as u64;
        self.entries += layout.records.len();
        self.appended = Some((self.appended.map_or(now_ms, |(first, _)| first), now_ms));
        for group in &layout.groups {
            let stream = self.stream(&group.stream, &mut is_new);
            let records = group.records.start as usize..group.records.end as usize;
            let records = layout.records.get(records).unwrap_or_default();
            stream.entries.reserve(records.len());
            for (index, (at, body)) in (group.records.start..).zip(records) {
                let (at, body, shared) = (*at, *body, group.shared);
                stream.push(Entry { at, chunk, index, body, shared });
            }
        }
    }

    fn stream(&mut self, labels: &Labels, is_new: &mut dyn FnMut(&Labels)) -> &mut Stream {
        let index = match self.by_labels.get(labels) {
            Some(index) => *index,
            None => {
                is_new(labels);
                let labels = labels.clone();
                self.by_labels.insert(labels.clone(), self.streams.len());
                self.streams.push(Stream { labels, entries: Vec::new(), sorted: 0, last_chunk: 0 });
                self.streams.len() - 1
            }
        };
        &mut self.streams[index]
    }

    /// Labels of matching streams with records in `range`.
    pub(crate) fn labels(&self, matchers: &[Matcher], range: RangeNs) -> Vec<Labels> {
        let matching = self
            .streams
            .iter()
            .filter(|stream| stream.has_any(range) && Matcher::all_match(matchers, &stream.labels));
        matching.map(|stream| stream.labels.clone()).collect()
    }

    /// How many records there are of each day since the epoch, UTC.
    pub(crate) fn rows_by_day(&self) -> FxHashMap<i64, u64> {
        let mut rows = FxHashMap::default();
        for entry in self.streams.iter().flat_map(|stream| &stream.entries) {
            *rows.entry(day_of(entry.at)).or_default() += 1;
        }
        rows
    }
}

const DAY_NS: i64 = 86_400 * 1_000_000_000;

/// Days since the epoch, UTC.
pub(crate) fn day_of(at: TimestampNs) -> i64 {
    at.0.div_euclid(DAY_NS)
}

#[cfg(test)]
mod tests;
