//! From the raw bytes of a data point to its series: labels are built and validated only for a
//! point that was not seen before.
//!
//! A sender repeats itself byte for byte, so the steady state is a hash, a lookup and a comparison
//! of the bytes themselves: two points whose hashes collide never become one series. What points
//! share is remembered once: a resource, a scope and a metric are entries of their own whose value
//! is a number, and the key of what is below them begins with that number. So a point costs its own
//! attributes and some 65 bytes.
//!
//! Each shard has two generations. What is asked for is moved to the younger one; when that is as
//! large as half the shard's part of the limit, the older one is dropped whole and the younger one
//! becomes the older. So the cache forgets what was not asked for longest, and never all at once.

use std::sync::atomic::{AtomicU64, Ordering};

use model::sample::SeriesId;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use xxhash_rust::xxh3::xxh3_64;

/// Locks are held for one lookup each; so many of them that two requests rarely meet.
const SHARDS: usize = 64;

/// Remembered series, shared by all requests.
pub(crate) struct SeriesCache {
    shards: Vec<Shard>,
    shard_bytes_max: usize,
    /// The number of the next resource, scope or metric. Numbers are not used again.
    next_number: AtomicU64,
    hash: fn(&[u8]) -> u64,
    evictions: Counter,
}

/// A cache line of its own, so that the locks of neighbours do not slow each other down.
#[repr(align(64))]
#[derive(Default)]
struct Shard(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    /// The store's generation, which voids all that older ones gave out.
    store: u64,
    young: Table,
    old: Table,
}

impl SeriesCache {
    /// A cache of at most so many bytes; `evictions` counts the generations that were dropped.
    pub(crate) fn new(bytes_max: usize, evictions: Counter) -> Self {
        Self::with_hash(bytes_max, evictions, xxh3_64)
    }

    fn with_hash(bytes_max: usize, evictions: Counter, hash: fn(&[u8]) -> u64) -> Self {
        SeriesCache {
            shards: std::iter::repeat_with(Shard::default).take(SHARDS).collect(),
            shard_bytes_max: bytes_max / SHARDS,
            next_number: AtomicU64::new(1),
            hash,
            evictions,
        }
    }

    /// Calls `act` with the shard of a key, emptied if the store voided what it holds; not if the
    /// key is of an older generation than the shard.
    fn with_shard<T>(
        &self,
        key: &[u8],
        store: u64,
        act: impl FnOnce(&mut Generations, u32) -> T,
    ) -> Option<T> {
        let hash = (self.hash)(key);
        let mut shard = self.shards[hash as usize % SHARDS].0.lock();
        if shard.store != store {
            if shard.store > store {
                return None;
            }
            *shard = Generations { store, ..Default::default() };
        }
        Some(act(&mut shard, (hash >> 32) as u32))
    }

    /// Puts the series of a point into `out`, if the store of this generation gave them.
    pub(crate) fn get(&self, key: &[u8], store: u64, out: &mut Vec<SeriesId>) -> bool {
        out.clear();
        self.with_shard(key, store, |shard, tag| {
            if shard.young.get(key, tag, out) {
                return true;
            }
            if !shard.old.get(key, tag, out) {
                return false;
            }
            self.insert(shard, key, tag, out);
            true
        })
        .unwrap_or_default()
    }

    /// Remembers the series of a point.
    pub(crate) fn put(&self, key: &[u8], store: u64, ids: &[SeriesId]) {
        self.with_shard(key, store, |shard, tag| self.insert(shard, key, tag, ids));
    }

    fn insert(&self, shard: &mut Generations, key: &[u8], tag: u32, ids: &[SeriesId]) {
        let needed = Table::entry_bytes(key, ids);
        let generation_bytes_max = self.shard_bytes_max / 2;
        if needed > generation_bytes_max {
            return;
        }
        if shard.young.bytes() + needed > generation_bytes_max {
            if shard.old.used > 0 {
                self.evictions.inc();
            }
            shard.old = std::mem::take(&mut shard.young);
        }
        shard.young.put(key, tag, ids);
    }

    /// The number of a resource, a scope or a metric: the same for the same bytes, for as long as
    /// they are remembered.
    pub(crate) fn number(&self, key: &[u8], store: u64, scratch: &mut Vec<SeriesId>) -> u64 {
        if self.get(key, store, scratch)
            && let [SeriesId(number)] = scratch[..]
        {
            return number;
        }
        // Two requests may give one key two numbers. The later one stays, the other is forgotten
        // with its points.
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        self.put(key, store, &[SeriesId(number)]);
        number
    }

    /// What it holds, in bytes.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        let bytes = |shard: &Shard| {
            let shard = shard.0.lock();
            shard.young.bytes() + shard.old.bytes()
        };
        self.shards.iter().map(bytes).sum()
    }
}

/// Entries in chunks, found by an open-addressed table of tag and place.
#[derive(Default)]
struct Table {
    /// The tag in the high half; in the low half the place plus one, or 0 for a free slot.
    slots: Vec<u64>,
    used: usize,
    chunks: Vec<Vec<u8>>,
    chunk_bytes: usize,
}

/// Places count in such steps.
const ALIGN: usize = 8;
/// Lengths of key and of ids.
const HEADER_BYTES: usize = 8;
const CHUNK_BYTES_MIN: usize = 2 << 10;
const CHUNK_BYTES_MAX: usize = 256 << 10;
/// The low bits of a place count steps in a chunk, the others chunks.
const PLACE_BITS: u32 = (CHUNK_BYTES_MAX / ALIGN).trailing_zeros();

impl Table {
    fn bytes(&self) -> usize {
        self.slots.len() * size_of::<u64>() + self.chunk_bytes
    }

    /// What one more entry may cost.
    fn entry_bytes(key: &[u8], ids: &[SeriesId]) -> usize {
        (HEADER_BYTES + ids.len() * 8 + key.len()).next_multiple_of(ALIGN) + 2 * size_of::<u64>()
    }

    /// The key and the ids at a place.
    fn entry(&self, place: u32) -> Option<(&[u8], &[u8])> {
        let chunk = self.chunks.get((place >> PLACE_BITS) as usize)?;
        let entry = chunk.get((place as usize % (1 << PLACE_BITS)) * ALIGN..)?;
        let (header, rest) = entry.split_first_chunk::<HEADER_BYTES>()?;
        let [a, b, c, d, e, f, g, h] = *header;
        let key_length = u32::from_le_bytes([a, b, c, d]) as usize;
        let ids_length = u32::from_le_bytes([e, f, g, h]) as usize;
        let (ids, rest) = rest.split_at_checked(ids_length)?;
        Some((rest.get(..key_length)?, ids))
    }

    /// The slot of a key, or the free one where it would be.
    fn find(&self, key: &[u8], tag: u32) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = tag as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return at;
            }
            let is_same = (slot >> 32) as u32 == tag
                && self.entry(slot as u32 - 1).is_some_and(|(known, _)| known == key);
            if is_same {
                return at;
            }
            at = (at + 1) & mask;
        }
    }

    fn get(&self, key: &[u8], tag: u32, out: &mut Vec<SeriesId>) -> bool {
        if self.used == 0 {
            return false;
        }
        let slot = self.slots[self.find(key, tag)];
        let Some((_, ids)) = (slot as u32).checked_sub(1).and_then(|place| self.entry(place))
        else {
            return false;
        };
        let (ids, _) = ids.as_chunks::<8>();
        out.extend(ids.iter().map(|id| SeriesId(u64::from_le_bytes(*id))));
        true
    }

    fn put(&mut self, key: &[u8], tag: u32, ids: &[SeriesId]) {
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let Some(place) = self.write(key, ids) else { return };
        let at = self.find(key, tag);
        self.used += usize::from(self.slots[at] == 0);
        self.slots[at] = u64::from(tag) << 32 | u64::from(place + 1);
    }

    fn grow(&mut self) {
        let slots = vec![0; (self.slots.len() * 2).max(16)];
        let mask = slots.len() - 1;
        for slot in std::mem::replace(&mut self.slots, slots) {
            if slot != 0 {
                let mut at = (slot >> 32) as usize & mask;
                while self.slots[at] != 0 {
                    at = (at + 1) & mask;
                }
                self.slots[at] = slot;
            }
        }
    }

    /// Appends an entry; `None` if there are no places left.
    fn write(&mut self, key: &[u8], ids: &[SeriesId]) -> Option<u32> {
        let length = (HEADER_BYTES + ids.len() * 8 + key.len()).next_multiple_of(ALIGN);
        let has_room =
            self.chunks.last().is_some_and(|chunk| chunk.capacity() - chunk.len() >= length);
        if !has_room {
            // Chunks grow with the table, so that a small cache is small.
            let capacity = self.chunk_bytes.clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX).max(length);
            self.chunks.push(Vec::with_capacity(capacity));
            self.chunk_bytes += capacity;
        }
        let number = u32::try_from(self.chunks.len() - 1).ok()?;
        let chunk = self.chunks.last_mut()?;
        let step = u32::try_from(chunk.len() / ALIGN).ok()?;
        // The last chunk of all is left out, so that a place plus one is a number too.
        if number >= (u32::MAX >> PLACE_BITS) || step >= 1 << PLACE_BITS {
            return None;
        }
        let end = chunk.len() + length;
        chunk.extend_from_slice(&(key.len() as u32).to_le_bytes());
        chunk.extend_from_slice(&(ids.len() as u32 * 8).to_le_bytes());
        ids.iter().for_each(|id| chunk.extend_from_slice(&id.0.to_le_bytes()));
        chunk.extend_from_slice(key);
        chunk.resize(end, 0);
        Some(number << PLACE_BITS | step)
    }
}

/// Makes keys: what kind of thing they name, the number of what is above it, and its own bytes.
#[derive(Default)]
pub(crate) struct KeyBuffer(Vec<u8>);

impl KeyBuffer {
    /// Starts a key.
    #[inline]
    pub(crate) fn start(&mut self, kind: u8, above: u64) -> &mut Self {
        self.0.clear();
        self.0.push(kind);
        self.0.extend_from_slice(&above.to_le_bytes());
        self
    }

    /// A length and the bytes, so that no two sequences of parts look the same. Most lengths are
    /// one byte.
    #[inline]
    pub(crate) fn part(&mut self, part: &[u8]) -> &mut Self {
        let mut length = part.len();
        while length >= 0x80 {
            self.0.push(length as u8 | 0x80);
            length >>= 7;
        }
        self.0.push(length as u8);
        self.0.extend_from_slice(part);
        self
    }

    /// The key.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cache(bytes_max: usize) -> SeriesCache {
        SeriesCache::new(bytes_max, Counter::default())
    }

    fn get(cache: &SeriesCache, key: &[u8], store: u64) -> Option<Vec<u64>> {
        let mut out = vec![SeriesId(99)];
        let found = cache.get(key, store, &mut out);
        found.then(|| out.iter().map(|id| id.0).collect())
    }

    #[test]
    fn keys_whose_hashes_collide_are_told_apart() {
        let cache = SeriesCache::with_hash(1 << 20, Counter::default(), |_| 7);
        for i in 0..100_u64 {
            assert_eq!(get(&cache, &i.to_le_bytes(), 0), None);
            cache.put(&i.to_le_bytes(), 0, &[SeriesId(i)]);
        }
        for i in 0..100_u64 {
            assert_eq!(get(&cache, &i.to_le_bytes(), 0), Some(vec![i]));
        }
        let mut scratch = Vec::new();
        let numbers: Vec<u64> =
            [b"a", b"b", b"a"].map(|key| cache.number(key, 0, &mut scratch)).to_vec();
        assert_eq!(numbers[0], numbers[2]);
        assert_ne!(numbers[0], numbers[1]);
    }

    #[test]
    fn a_new_generation_of_the_store_voids_what_older_ones_gave() {
        let cache = cache(1 << 20);
        cache.put(b"a", 1, &[SeriesId(1)]);
        assert_eq!(get(&cache, b"a", 1), Some(vec![1]));
        assert_eq!(get(&cache, b"a", 2), None);
        cache.put(b"a", 2, &[SeriesId(2), SeriesId(3)]);
        // A request that began before must neither see nor change it.
        assert_eq!(get(&cache, b"a", 1), None);
        cache.put(b"a", 1, &[SeriesId(1)]);
        assert_eq!(get(&cache, b"a", 2), Some(vec![2, 3]));
        cache.put(b"a", 2, &[SeriesId(4)]);
        assert_eq!(get(&cache, b"a", 2), Some(vec![4]));
    }

    #[test]
    fn what_is_asked_for_stays_while_others_come_and_go_within_the_limit() {
        let evictions = Counter::default();
        let cache = SeriesCache::new(4 << 20, evictions.clone());
        cache.put(b"kept", 0, &[SeriesId(1)]);
        for i in 0..200_000_u64 {
            cache.put(&[&i.to_le_bytes()[..], &[0; 40]].concat(), 0, &[SeriesId(i)]);
            if i % 50 == 0 {
                assert_eq!(get(&cache, b"kept", 0), Some(vec![1]), "after {i}");
            }
            if i % 10_000 == 0 {
                assert!(cache.bytes() <= 5 << 20, "{} bytes after {i}", cache.bytes());
            }
        }
        assert!(evictions.get() > 0);
        assert_eq!(get(&cache, &[&0_u64.to_le_bytes()[..], &[0; 40]].concat(), 0), None);
        // What would not fit is not kept, and nothing else is lost for it.
        cache.put(&vec![0; 1 << 20], 0, &[SeriesId(1)]);
        assert_eq!(get(&cache, &vec![0; 1 << 20], 0), None);
    }

    #[test]
    fn an_entry_costs_less_than_a_hundred_bytes_beside_its_attributes() {
        let cache = cache(1 << 30);
        let (count, attributes) = (300_000, 60);
        let mut key = KeyBuffer::default();
        for i in 0..count {
            let raw = [&(i as u64).to_le_bytes()[..], &[0; 52]].concat();
            key.start(b'P', 7).part(&raw);
            cache.put(key.bytes(), 0, &[SeriesId(i as u64)]);
        }
        let each = cache.bytes() / count - attributes;
        assert!((20..=70).contains(&each), "{each} bytes beside the attributes");
    }

    proptest! {
        #[test]
        fn it_answers_as_a_map_does(
            steps in prop::collection::vec(
                (prop::collection::vec(0_u8..4, 0..5), 0_u64..9),
                1..300,
            ),
        ) {
            // Few hashes, so that entries collide.
            let hash = |key: &[u8]| key.iter().map(|b| u64::from(*b)).sum::<u64>() << 32;
            let cache = SeriesCache::with_hash(1 << 28, Counter::default(), hash);
            let mut map = std::collections::HashMap::new();
            for (key, value) in steps {
                prop_assert_eq!(get(&cache, &key, 0), map.get(&key).cloned());
                let ids: Vec<u64> = (0..value % 4).map(|i| value + i).collect();
                let given: Vec<SeriesId> = ids.iter().map(|id| SeriesId(*id)).collect();
                cache.put(&key, 0, &given);
                map.insert(key, ids);
            }
        }
    }
}
