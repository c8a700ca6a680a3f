//! What one reader sees of a head: entries of some streams, and the batches that hold them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use model::labels::Labels;
use model::log::Field;
use model::read::{Direction, RangeNs};
use model::{Matcher, TimestampNs};

use crate::error::Result;
use crate::head::{Chunk, Entry, Head};
use crate::record;

/// A part of a head that does not change any more.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Streams and their entries in order.
    pub(crate) streams: Vec<(Labels, Vec<Entry>)>,
    /// The batches of the head; those without entries here are left out.
    chunks: Vec<Option<Chunk>>,
}

impl Head {
    /// The records of matching streams in `range`.
    pub(crate) fn snapshot(&self, matchers: &[Matcher], range: RangeNs) -> Snapshot {
        self.snapshot_since(matchers, range, 0)
    }

    /// The same without the batches that end before an arrival.
    pub(crate) fn snapshot_since(
        &self,
        matchers: &[Matcher],
        range: RangeNs,
        first_arrival: u64,
    ) -> Snapshot {
        if self.arrivals_end <= first_arrival {
            return Snapshot::default();
        }
        let before = self.chunks.partition_point(|chunk| chunk.first_arrival <= first_arrival);
        let first_chunk = before.saturating_sub(1) as u32;
        let mut snapshot = Snapshot { streams: Vec::new(), chunks: vec![None; self.chunks.len()] };
        for stream in &self.streams {
            if stream.last_chunk < first_chunk
                || !stream.has_any(range)
                || !Matcher::all_match(matchers, &stream.labels)
            {
                continue;
            }
            let entries = match first_chunk {
                0 => stream.ordered(range),
                first => stream.ordered_since(range, first),
            };
            for entry in &entries {
                let index = entry.chunk as usize;
                if let (Some(kept @ None), Some(chunk)) =
                    (snapshot.chunks.get_mut(index), self.chunks.get(index))
                {
                    *kept = Some(chunk.clone());
                }
            }
            snapshot.streams.push((stream.labels.clone(), entries));
        }
        snapshot
    }
}

impl Snapshot {
    fn chunk(&self, entry: &Entry) -> Option<&Chunk> {
        self.chunks.get(entry.chunk as usize).and_then(Option::as_ref)
    }

    /// The bytes of an entry's batch; empty if the entry is not of this snapshot.
    fn bytes(&self, entry: &Entry) -> &[u8] {
        self.chunk(entry).map_or(&[], |chunk: &Chunk| Arc::as_ref(&chunk.bytes).as_slice())
    }

    /// The first and the last time, or `None` without entries.
    pub(crate) fn times(&self) -> Option<(TimestampNs, TimestampNs)> {
        let entries = self.streams.iter().map(|(_, entries)| entries);
        let first = entries.clone().filter_map(|entries| entries.first()).map(|e| e.at).min();
        let last = entries.filter_map(|entries| entries.last()).map(|e| e.at).max();
        first.zip(last)
    }

    pub(crate) fn arrival(&self, entry: &Entry) -> u64 {
        self.chunk(entry).map_or(0, |chunk| chunk.first_arrival) + u64::from(entry.index)
    }

    pub(crate) fn line(&self, entry: &Entry) -> Result<&str> {
        Ok(record::line(self.bytes(entry), entry.body)?)
    }

    /// Appends the fields of a record, those of its group first. Answers how many those are.
    pub(crate) fn fields<'a>(
        &'a self,
        entry: &Entry,
        fields: &mut Vec<Field<'a>>,
    ) -> Result<usize> {
        let bytes = self.bytes(entry);
        let before = fields.len();
        record::shared_fields(bytes, entry.shared, fields)?;
        let shared = fields.len() - before;
        record::own_fields(bytes, entry.body, fields)?;
        Ok(shared)
    }

    /// All entries with the index of their stream, in `order` or stream by stream.
    pub(crate) fn entries(
        &self,
        order: Option<Direction>,
    ) -> Box<dyn Iterator<Item = (usize, Entry)> + '_> {
        let streams = self.streams.iter().map(|(_, entries)| entries.as_slice()).enumerate();
        match order {
            None => Box::new(
                streams.flat_map(|(i, entries)| entries.iter().map(move |entry| (i, *entry))),
            ),
            Some(Direction::Forward) => {
                let mut merge = Merge { heads: BinaryHeap::new(), rests: Vec::new() };
                for (i, entries) in streams {
                    merge.rests.push(entries);
                    merge.advance(i, <[Entry]>::split_first, Reverse);
                }
                Box::new(std::iter::from_fn(move || {
                    let (Reverse(entry), i) = merge.heads.pop()?;
                    merge.advance(i, <[Entry]>::split_first, Reverse);
                    Some((i, entry))
                }))
            }
            Some(Direction::Backward) => {
                let mut merge = Merge { heads: BinaryHeap::new(), rests: Vec::new() };
                for (i, entries) in streams {
                    merge.rests.push(entries);
                    merge.advance(i, <[Entry]>::split_last, |entry| entry);
                }
                Box::new(std::iter::from_fn(move || {
                    let (entry, i) = merge.heads.pop()?;
                    merge.advance(i, <[Entry]>::split_last, |entry| entry);
                    Some((i, entry))
                }))
            }
        }
    }
}

/// The next entry of each stream in a heap, and what is behind it. Entries of a head are all
/// different.
struct Merge<'a, K> {
    heads: BinaryHeap<(K, usize)>,
    rests: Vec<&'a [Entry]>,
}

impl<'a, K: Ord> Merge<'a, K> {
    fn advance(
        &mut self,
        i: usize,
        split: impl Fn(&'a [Entry]) -> Option<(&'a Entry, &'a [Entry])>,
        key: impl Fn(Entry) -> K,
    ) {
        if let Some((next, rest)) = split(self.rests[i]) {
            self.rests[i] = rest;
            self.heads.push((key(*next), i));
        }
    }
}
