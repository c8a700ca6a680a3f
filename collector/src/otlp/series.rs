//! From the raw bytes of a data point to its series: labels are built and validated only for a
//! point that was not seen before.
//!
//! The key is XXH3-128 over the bytes of resource, scope, metric and attributes as they were sent.
//! A sender repeats itself byte for byte, so the steady state is one hash and one lookup.

use std::sync::Arc;

use model::sample::SeriesId;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_128;

/// The series of one data point: one, or those of a histogram or a summary in a fixed order.
#[derive(Debug, Clone)]
pub(crate) enum Ids {
    One(SeriesId),
    Many(Arc<[SeriesId]>),
}

/// A hash of raw bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key(u128);

impl Key {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Key(xxh3_128(bytes))
    }

    pub(crate) fn bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }
}

const SHARDS: usize = 16;

/// Remembered series, shared by all requests.
pub(crate) struct SeriesCache {
    /// Each answer with the generation of the store that gave it.
    shards: [Mutex<FxHashMap<u128, (u64, Ids)>>; SHARDS],
    /// When each resource's `target_info` was last written, in milliseconds.
    target_infos: Mutex<FxHashMap<u128, (u64, SeriesId, i64)>>,
    shard_entries_max: usize,
}

impl SeriesCache {
    pub(crate) fn new(entries_max: usize) -> Self {
        SeriesCache {
            shards: std::array::from_fn(|_| Mutex::default()),
            target_infos: Mutex::default(),
            shard_entries_max: entries_max / SHARDS + 1,
        }
    }

    fn shard(&self, key: Key) -> &Mutex<FxHashMap<u128, (u64, Ids)>> {
        &self.shards[(key.0 >> 64) as usize % SHARDS]
    }

    /// The series of a point, if the store of `generation` gave them.
    pub(crate) fn get(&self, key: Key, generation: u64) -> Option<Ids> {
        let shard = self.shard(key).lock();
        shard.get(&key.0).filter(|(given, _)| *given == generation).map(|(_, ids)| ids.clone())
    }

    pub(crate) fn put(&self, key: Key, generation: u64, ids: Ids) {
        let mut shard = self.shard(key).lock();
        if shard.len() >= self.shard_entries_max {
            shard.clear();
        }
        shard.insert(key.0, (generation, ids));
    }

    /// The `target_info` series of a resource and when it was last written.
    pub(crate) fn target_info(&self, key: Key, generation: u64) -> Option<(SeriesId, i64)> {
        let infos = self.target_infos.lock();
        let (given, id, at_ms) = infos.get(&key.0)?;
        (*given == generation).then_some((*id, *at_ms))
    }

    pub(crate) fn put_target_info(&self, key: Key, generation: u64, id: SeriesId, at_ms: i64) {
        let mut infos = self.target_infos.lock();
        if infos.len() >= self.shard_entries_max {
            infos.clear();
        }
        infos.insert(key.0, (generation, id, at_ms));
    }
}
