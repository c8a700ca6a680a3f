//! All spans in memory: the encoded batches, and per trace where each span is.

use std::collections::VecDeque;
use std::sync::Arc;

use model::read::RangeNs;
use model::{TimestampNs, TraceId};
use rustc_hash::FxHashMap;

use crate::record::Layout;

/// An encoded batch and where its resources and scopes are.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) payload: Arc<Vec<u8>>,
    pub(crate) resources: Vec<u32>,
    pub(crate) scopes: Vec<u32>,
}

/// Where one span is.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The number of its batch, modulo 2^32.
    chunk: u32,
    offset: u32,
}

#[derive(Debug)]
struct Entry {
    first_start: TimestampNs,
    last_start: TimestampNs,
    places: Vec<Place>,
}

/// What a trace costs beside its spans' places.
const TRACE_BYTES: usize = 80;

/// The spans of the store.
#[derive(Debug, Default)]
pub(crate) struct Head {
    traces: FxHashMap<TraceId, Entry>,
    /// Encoded batches, oldest first; the first has number `first_chunk`.
    chunks: VecDeque<Arc<Chunk>>,
    first_chunk: u64,
    chunk_bytes: usize,
    spans: usize,
}

impl Head {
    pub(crate) fn bytes(&self) -> usize {
        self.chunk_bytes + self.spans * size_of::<Place>() + self.traces.len() * TRACE_BYTES
    }

    pub(crate) fn trace_count(&self) -> usize {
        self.traces.len()
    }

    pub(crate) fn span_count(&self) -> usize {
        self.spans
    }

    /// Keeps a batch under its journal number. Numbers grow by one.
    pub(crate) fn add(&mut self, number: u64, payload: Arc<Vec<u8>>, layout: Layout) {
        if self.chunks.is_empty() {
            self.first_chunk = number;
        }
        debug_assert_eq!(number, self.first_chunk + self.chunks.len() as u64);
        self.chunk_bytes += payload.len();
        self.spans += layout.spans.len();
        let chunk = Chunk { payload, resources: layout.resources, scopes: layout.scopes };
        self.chunks.push_back(Arc::new(chunk));
        for span in layout.spans {
            let entry = self.traces.entry(span.trace_id).or_insert_with(|| Entry {
                first_start: span.start,
                last_start: span.start,
                places: Vec::with_capacity(4),
            });
            entry.first_start = entry.first_start.min(span.start);
            entry.last_start = entry.last_start.max(span.start);
            entry.places.push(Place { chunk: number as u32, offset: span.offset });
        }
    }

    /// Forgets the batches with numbers under `number`.
    pub(crate) fn forget_before(&mut self, number: u64) {
        let first_kept = number as u32;
        while self.first_chunk < number {
            let Some(chunk) = self.chunks.pop_front() else { break };
            self.chunk_bytes -= chunk.payload.len();
            self.first_chunk += 1;
        }
        let mut spans = 0;
        self.traces.retain(|_, entry| {
            // Kept and dropped numbers are less than half of 2^32 apart.
            entry.places.retain(|place| place.chunk.wrapping_sub(first_kept) < u32::MAX / 2);
            spans += entry.places.len();
            !entry.places.is_empty()
        });
        self.spans = spans;
    }

    /// Where the spans of a trace are, in order of arrival.
    pub(crate) fn places(&self, id: TraceId) -> Vec<(u32, Arc<Chunk>, u32)> {
        let Some(entry) = self.traces.get(&id) else { return Vec::new() };
        let place = |place: &Place| {
            let index = place.chunk.wrapping_sub(self.first_chunk as u32);
            let chunk = self.chunks.get(index as usize)?;
            Some((place.chunk, chunk.clone(), place.offset))
        };
        entry.places.iter().filter_map(place).collect()
    }

    /// Traces that may have a span that starts in `range`, newest first start first.
    pub(crate) fn candidates(&self, range: RangeNs) -> Vec<TraceId> {
        let mut found: Vec<_> = self
            .traces
            .iter()
            .filter(|(_, entry)| entry.first_start < range.end && entry.last_start >= range.start)
            .map(|(id, entry)| (entry.first_start, *id))
            .collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.into_iter().map(|(_, id)| id).collect()
    }
}
