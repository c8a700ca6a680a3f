//! The pages that all open files share: bounded by bytes, the ones not used of late leave first.
//!
//! CLOCK, in shards: a hit sets a bit under a short lock and moves nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

const SHARDS: usize = 16;

/// Pages of files, up to a number of bytes.
#[derive(Debug)]
pub struct PageCache {
    shards: [Mutex<Shard>; SHARDS],
    shard_bytes_max: usize,
    files: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What a cache did and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStats {
    /// Pages that were asked for and there.
    pub hits: u64,
    /// Pages that had to be read.
    pub misses: u64,
    /// Bytes of the pages held.
    pub bytes: u64,
    /// Pages held.
    pub pages: u64,
}

type Key = (u64, u64);

#[derive(Debug, Default)]
struct Shard {
    places: HashMap<Key, usize>,
    slots: Vec<Slot>,
    /// The slot that is looked at next when room is needed.
    hand: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Slot {
    key: Key,
    page: Arc<Vec<u8>>,
    was_used: bool,
}

impl PageCache {
    /// A cache that holds up to `bytes_max` bytes of pages, in shards of a sixteenth each; less
    /// than a page a shard keeps none.
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(PageCache {
            shards: Default::default(),
            shard_bytes_max: bytes_max / SHARDS,
            files: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        })
    }

    /// What it did and holds.
    pub fn stats(&self) -> CacheStats {
        let mut stats = CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            ..Default::default()
        };
        for shard in &self.shards {
            let shard = shard.lock();
            stats.bytes += shard.bytes as u64;
            stats.pages += shard.slots.len() as u64;
        }
        stats
    }

    /// A number for a file that was opened.
    pub(super) fn next_file(&self) -> u64 {
        self.files.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn get(&self, file: u64, page: u64) -> Option<Arc<Vec<u8>>> {
        let key = (file, page);
        let mut shard = self.shard(key).lock();
        let Some(&at) = shard.places.get(&key) else {
            drop(shard);
            self.misses.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let slot = &mut shard.slots[at];
        slot.was_used = true;
        let page = Arc::clone(&slot.page);
        drop(shard);
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(page)
    }

    pub(super) fn insert(&self, file: u64, page: u64, bytes: Arc<Vec<u8>>) {
        let key = (file, page);
        let mut shard = self.shard(key).lock();
        // Two readers may have missed the same page.
        if bytes.len() > self.shard_bytes_max || shard.places.contains_key(&key) {
            return;
        }
        while shard.bytes + bytes.len() > self.shard_bytes_max {
            shard.evict();
        }
        shard.bytes += bytes.len();
        let at = shard.slots.len();
        shard.places.insert(key, at);
        shard.slots.push(Slot { key, page: bytes, was_used: false });
    }

    /// Drops all pages of a file.
    pub(super) fn forget(&self, file: u64) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let mut at = 0;
            while at < shard.slots.len() {
                if shard.slots[at].key.0 == file { shard.remove(at) } else { at += 1 }
            }
        }
    }

    fn shard(&self, (file, page): Key) -> &Mutex<Shard> {
        let mixed = (page ^ file.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &self.shards[(mixed >> 60) as usize % SHARDS]
    }
}

impl Shard {
    /// Removes the next page that was not used since the hand last passed it.
    fn evict(&mut self) {
        loop {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            let Some(slot) = self.slots.get_mut(self.hand) else { return };
            if !slot.was_used {
                self.remove(self.hand);
                return;
            }
            slot.was_used = false;
            self.hand += 1;
        }
    }

    fn remove(&mut self, at: usize) {
        let slot = self.slots.swap_remove(at);
        self.places.remove(&slot.key);
        self.bytes -= slot.page.len();
        if let Some(moved) = self.slots.get(at) {
            self.places.insert(moved.key, at);
        }
    }
}
