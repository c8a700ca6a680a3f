//! Headers of blocks that were read, kept in memory up to a bound for all parts of a store.
//!
//! Where there is no room one of those that are kept goes, whichever: queries read blocks in turns,
//! and whoever drops the oldest then drops each just before it is asked for again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::block::Header;
use crate::error::Result;

/// A part, as the cache numbers them, and a block of it.
type Key = (u64, usize);

/// Headers of blocks.
pub(crate) struct HeaderCache {
    bytes_max: usize,
    parts: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Where in the list each is.
    places: FxHashMap<Key, usize>,
    list: Vec<(Key, Arc<Header>)>,
    bytes: usize,
    random: u64,
}

impl HeaderCache {
    /// Keeps headers of at most so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(HeaderCache { bytes_max, parts: AtomicU64::new(0), kept: Mutex::default() })
    }

    /// A number that no other part has.
    pub(crate) fn number_part(&self) -> u64 {
        self.parts.fetch_add(1, Ordering::Relaxed)
    }

    /// Memory that is taken, about.
    pub(crate) fn bytes(&self) -> usize {
        self.kept.lock().bytes
    }

    /// The header of a block, which `read` reads if it is not kept.
    pub(crate) fn get(
        &self,
        part: u64,
        block: usize,
        read: impl FnOnce() -> Result<Header>,
    ) -> Result<Arc<Header>> {
        let key = (part, block);
        if let Some(header) = self.kept.lock().get(key) {
            return Ok(header);
        }
        let header = Arc::new(read()?);
        let mut kept = self.kept.lock();
        if header.bytes <= self.bytes_max && !kept.places.contains_key(&key) {
            while kept.bytes + header.bytes > self.bytes_max && !kept.list.is_empty() {
                kept.drop_one();
            }
            kept.insert(key, header.clone());
        }
        Ok(header)
    }

    /// Forgets the blocks of a part.
    pub(crate) fn forget(&self, part: u64, blocks: usize) {
        let mut kept = self.kept.lock();
        for block in 0..blocks {
            kept.remove((part, block));
        }
    }
}

impl Kept {
    fn get(&self, key: Key) -> Option<Arc<Header>> {
        let place = self.places.get(&key)?;
        self.list.get(*place).map(|(_, header)| header.clone())
    }

    fn insert(&mut self, key: Key, header: Arc<Header>) {
        self.bytes += header.bytes;
        self.places.insert(key, self.list.len());
        self.list.push((key, header));
    }

    fn remove(&mut self, key: Key) {
        let Some(place) = self.places.remove(&key) else { return };
        if place < self.list.len() {
            let (_, header) = self.list.swap_remove(place);
            self.bytes = self.bytes.saturating_sub(header.bytes);
        }
        if let Some((moved, _)) = self.list.get(place) {
            self.places.insert(*moved, place);
        }
    }

    fn drop_one(&mut self) {
        self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let place = (self.random >> 33) as usize % self.list.len().max(1);
        if let Some((key, _)) = self.list.get(place) {
            self.remove(*key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(bytes: usize) -> Header {
        Header {
            frames: Vec::new(),
            places: Default::default(),
            slots: Vec::new(),
            slot_starts: Vec::new(),
            fields: Vec::new(),
            shapes: Vec::new(),
            bytes,
        }
    }

    #[test]
    fn headers_are_kept_up_to_a_bound_and_forgotten_with_their_part() {
        let cache = HeaderCache::new(100);
        let parts = [cache.number_part(), cache.number_part()];
        for block in 0..50 {
            for part in parts {
                assert_eq!(cache.get(part, block, || Ok(header(9))).unwrap().bytes, 9);
                assert!(cache.bytes() <= 100);
            }
        }
        assert_eq!(cache.bytes(), 99);
        cache.get(parts[0], 99, || Ok(header(101))).unwrap();
        assert_eq!(cache.bytes(), 99);
        parts.iter().for_each(|part| cache.forget(*part, 50));
        assert_eq!(cache.bytes(), 0);
        cache.get(parts[0], 1, || Ok(header(8))).unwrap();
        assert_eq!(cache.get(parts[0], 1, || panic!("it is kept")).unwrap().bytes, 8);
    }
}
