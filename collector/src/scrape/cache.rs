//! What a target knows of its lines: the bytes that name a series, and what became of them. A
//! scrape mostly repeats the one before, so the line that came next then is tried first.

use hashbrown::HashTable;
use model::SeriesId;
use model::sample::MetricKind;
use xxhash_rust::xxh3::xxh3_64;

/// What a series' text stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A series, and the hash of what shares its start time; 0 for nothing.
    Series(SeriesId, u64),
    /// Relabelling dropped it.
    Dropped,
    /// The start time of the series with this hash.
    Created(u64),
}

/// A known line.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) raw: Box<str>,
    pub(super) meaning: Meaning,
    /// What TYPE said when the text was looked at; bounds of buckets depend on it.
    pub(super) kind: MetricKind,
    /// The sink's generation of ids.
    pub(super) generation: u64,
    /// The scrape that had it last.
    pub(super) seen: u32,
    /// Whether it had no time of its own, so that its end is marked.
    pub(super) is_tracked: bool,
    /// A hash of its last exemplar.
    pub(super) exemplar: u64,
    /// Its place in the scrape that had it last.
    place: u32,
}

/// Entries that no scrape had lately are let be up to this many.
const IDLE_ENTRIES: usize = 1000;

/// The lines of one target.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: Vec<Entry>,
    by_raw: HashTable<u32>,
    /// The last good scrape in order.
    previous: Vec<u32>,
    /// This scrape so far.
    current: Vec<u32>,
    /// The number of this scrape.
    pub(super) scrape: u32,
    /// Where in `previous` the next line likely is.
    expected: usize,
}

impl Cache {
    /// Begins a scrape.
    pub(super) fn begin(&mut self) {
        self.scrape = self.scrape.wrapping_add(1);
        self.current.clear();
        self.expected = 0;
    }

    /// The text that is likely next, or nothing.
    #[inline]
    pub(super) fn hint(&self) -> &str {
        match self.previous.get(self.expected) {
            Some(index) => &self.entries[*index as usize].raw,
            None => "",
        }
    }

    /// The entry of a text, if it is known and was looked at under these circumstances; `is_hinted`
    /// says that the text is [`Cache::hint`].
    #[inline]
    pub(super) fn find(
        &mut self,
        raw: &str,
        is_hinted: bool,
        kind: MetricKind,
        generation: u64,
    ) -> Option<&mut Entry> {
        let index = match self.previous.get(self.expected) {
            Some(index) if is_hinted => {
                self.expected += 1;
                *index
            }
            _ => {
                let index = self.look_up(raw)?;
                self.expected = self.entries[index as usize].place as usize + 1;
                index
            }
        };
        let entry = &mut self.entries[index as usize];
        if entry.kind != kind || entry.generation != generation {
            return None;
        }
        entry.place = self.current.len() as u32;
        self.current.push(index);
        Some(entry)
    }

    fn look_up(&self, raw: &str) -> Option<u32> {
        let entries = &self.entries;
        let is_same = |index: &u32| *entries[*index as usize].raw == *raw;
        self.by_raw.find(xxh3_64(raw.as_bytes()), is_same).copied()
    }

    /// Learns what a text means. The answer tells whether it is new.
    pub(super) fn learn(
        &mut self,
        raw: &str,
        kind: MetricKind,
        generation: u64,
        meaning: Meaning,
    ) -> (&mut Entry, bool) {
        let known = self.look_up(raw);
        let index = known.unwrap_or_else(|| {
            let index = self.entries.len() as u32;
            self.entries.push(Entry {
                raw: raw.into(),
                meaning,
                kind,
                generation,
                seen: self.scrape.wrapping_sub(1),
                is_tracked: false,
                exemplar: 0,
                place: 0,
            });
            let entries = &self.entries;
            let hash = |index: &u32| xxh3_64(entries[*index as usize].raw.as_bytes());
            self.by_raw.insert_unique(xxh3_64(raw.as_bytes()), index, hash);
            index
        });
        let entry = &mut self.entries[index as usize];
        (entry.meaning, entry.kind, entry.generation) = (meaning, kind, generation);
        entry.place = self.current.len() as u32;
        self.current.push(index);
        (entry, known.is_none())
    }

    /// All known lines, so that what they mean can be put right.
    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut()
    }

    /// Forgets what texts mean, but not that they were there.
    pub(super) fn forget_meanings(&mut self) {
        // No sink counts that far.
        self.entries.iter_mut().for_each(|entry| entry.generation = u64::MAX);
    }

    /// The series of the last good scrape whose end would be marked, and whether this scrape has
    /// them too.
    pub(super) fn tracked(&self) -> impl Iterator<Item = (SeriesId, bool)> {
        self.previous.iter().filter_map(|index| {
            let entry = &self.entries[*index as usize];
            match entry.meaning {
                Meaning::Series(id, _) if entry.is_tracked => Some((id, entry.seen == self.scrape)),
                _ => None,
            }
        })
    }

    /// The series of this scrape.
    pub(super) fn present(&self) -> impl Iterator<Item = SeriesId> {
        self.current.iter().filter_map(|index| match self.entries[*index as usize].meaning {
            Meaning::Series(id, _) => Some(id),
            _ => None,
        })
    }

    /// Ends a scrape: a good one is what the next is compared with.
    pub(super) fn end(&mut self, is_good: bool) {
        if !is_good {
            self.current.clear();
        }
        std::mem::swap(&mut self.previous, &mut self.current);
        self.current.clear();
        if self.entries.len() > 2 * self.previous.len() + IDLE_ENTRIES {
            self.drop_idle();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn drop_idle(&mut self) {
        let mut old: Vec<Option<Entry>> =
            std::mem::take(&mut self.entries).into_iter().map(Some).collect();
        self.by_raw.clear();
        let previous = std::mem::take(&mut self.previous);
        for index in previous {
            let Some(entry) = old[index as usize].take() else { continue };
            let index = self.entries.len() as u32;
            let hash = xxh3_64(entry.raw.as_bytes());
            self.entries.push(entry);
            let entries = &self.entries;
            let rehash = |index: &u32| xxh3_64(entries[*index as usize].raw.as_bytes());
            self.by_raw.insert_unique(hash, index, rehash);
            self.previous.push(index);
        }
    }
}
