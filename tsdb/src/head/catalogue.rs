//! Which series there are: their labels, their slots, and the index from label pairs to series.
//!
//! A label pair (name and value) is interned once; a series is a slot with the numbers of its pairs;
//! each pair has the slots of its series. All of it lies in flat vectors, so that a million series
//! cost their distinct texts and about sixty bytes each, and so that a checkpoint is a copy.
//!
//! Slots of removed series are used again when [`Catalogue::free_slots`] says so. Removing leaves
//! holes in the flat vectors; [`Catalogue::compact`] closes them.

mod count;

use std::sync::OnceLock;

use hashbrown::HashTable;
use model::labels::{Labels, METRIC_NAME};
use model::{MatchOp, Matcher};
use roaring::RoaringBitmap;
use rustc_hash::{FxHashMap, FxHashSet};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::postings::Postings;

/// Labels of a series or of nothing.
const NO_FINGERPRINT: u64 = 0;

#[derive(Default)]
pub(crate) struct Catalogue {
    names: Vec<Name>,
    name_numbers: FxHashMap<Box<str>, u32>,
    /// Values of all pairs, one after the other.
    values: String,
    pairs: Vec<Pair>,
    pair_table: HashTable<u32>,
    /// Pair numbers of all series, one after the other, in order of label name.
    series_pairs: Vec<u32>,
    series: Vec<Series>,
    series_table: HashTable<u32>,
    free: Vec<u32>,
    live: usize,
    /// Entries of `series_pairs` that belong to no series.
    dead_pairs: usize,
    postings_bytes: usize,
}

struct Name {
    text: Box<str>,
    /// Pairs with this name, in order of their making.
    pairs: Vec<u32>,
    /// How many of them some series has.
    live: u32,
    /// The pairs in order of value, until there is a new one.
    sorted: OnceLock<Box<[u32]>>,
}

/// A label value and who has it.
struct Pair {
    name: u32,
    value_start: u32,
    value_end: u32,
    postings: Postings,
}

#[derive(Clone, Copy, Default)]
struct Series {
    /// Of the labels; [`NO_FINGERPRINT`] for a free slot.
    fingerprint: u64,
    pairs_start: u32,
    pairs_len: u32,
}

/// Up to so many series, their labels are looked at one by one; above, those of all.
const FEW_SERIES: u64 = 100_000;

/// The series whose labels are asked for.
#[derive(Clone, Copy)]
pub(crate) enum Among<'a> {
    /// All but these.
    AllBut(&'a RoaringBitmap),
    /// Only these.
    Some(&'a RoaringBitmap),
}

/// Fingerprints in the table are never zero.
fn table_key(fingerprint: u64) -> u64 {
    if fingerprint == NO_FINGERPRINT { 1 } else { fingerprint }
}

impl Catalogue {
    /// Live series.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// One more than the highest slot ever used.
    pub(crate) fn slots(&self) -> u32 {
        self.series.len() as u32
    }

    /// What it holds in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.values.capacity()
            + self.pairs.capacity() * (size_of::<Pair>() + 4)
            + self.pair_table.capacity() * 5
            + self.series_pairs.capacity() * 4
            + self.series.capacity() * size_of::<Series>()
            + self.series_table.capacity() * 5
            + self.postings_bytes
    }

    fn value(&self, pair: &Pair) -> &str {
        self.values.get(pair.value_start as usize..pair.value_end as usize).unwrap_or("")
    }

    fn pairs_of(&self, series: Series) -> &[u32] {
        let start = series.pairs_start as usize;
        &self.series_pairs[start..start + series.pairs_len as usize]
    }

    fn equals(&self, slot: u32, labels: &[(&str, &str)]) -> bool {
        let pairs = self.pairs_of(self.series[slot as usize]);
        pairs.len() == labels.len()
            && pairs.iter().zip(labels).all(|(pair, (name, value))| {
                let pair = &self.pairs[*pair as usize];
                self.value(pair) == *value && *self.names[pair.name as usize].text == **name
            })
    }

    /// Whether the series in a slot has exactly these labels. A free or unknown slot has none.
    #[inline]
    pub(crate) fn has_labels(&self, slot: u32, labels: &[(&[u8], &[u8])]) -> bool {
        let Some(series) = self.series.get(slot as usize) else { return false };
        if series.fingerprint == NO_FINGERPRINT || series.pairs_len as usize != labels.len() {
            return false;
        }
        let values = self.values.as_bytes();
        self.pairs_of(*series).iter().zip(labels).all(|(pair, (name, value))| {
            let pair = &self.pairs[*pair as usize];
            let own = values.get(pair.value_start as usize..pair.value_end as usize);
            own == Some(*value) && self.names[pair.name as usize].text.as_bytes() == *name
        })
    }

    /// The slot of the series with these labels; they are compared in full.
    pub(crate) fn find(&self, fingerprint: u64, labels: &[(&str, &str)]) -> Option<u32> {
        let key = table_key(fingerprint);
        self.series_table
            .find(key, |slot| {
                self.series[*slot as usize].fingerprint == key && self.equals(*slot, labels)
            })
            .copied()
    }

    /// Whether the texts of one more series may go over what the flat vectors can hold.
    pub(crate) fn is_full(&self, labels: &[(&str, &str)]) -> bool {
        let text: usize = labels.iter().map(|(_, value)| value.len()).sum();
        self.values.len() + text > u32::MAX as usize
            || self.series_pairs.len() + labels.len() > u32::MAX as usize
    }

    /// Makes a series that is not there, in a free slot or a new one.
    pub(crate) fn insert(&mut self, fingerprint: u64, labels: &[(&str, &str)]) -> u32 {
        let slot = self.free.pop().unwrap_or(self.series.len() as u32);
        self.insert_at(slot, fingerprint, labels);
        slot
    }

    /// Makes a series in the slot that an earlier run gave it. The slot must be free.
    pub(crate) fn insert_at(&mut self, slot: u32, fingerprint: u64, labels: &[(&str, &str)]) {
        let pairs_start = self.series_pairs.len() as u32;
        for (name, value) in labels {
            let pair = self.intern(name, value);
            self.series_pairs.push(pair);
            self.post(pair, slot);
        }
        self.place(slot, table_key(fingerprint), pairs_start, labels.len() as u32);
    }

    fn place(&mut self, slot: u32, key: u64, pairs_start: u32, pairs_len: u32) {
        if self.series.len() <= slot as usize {
            self.series.resize(slot as usize + 1, Series::default());
        }
        self.series[slot as usize] = Series { fingerprint: key, pairs_start, pairs_len };
        let series = &self.series;
        self.series_table.insert_unique(key, slot, |slot| series[*slot as usize].fingerprint);
        self.live += 1;
    }

    fn post(&mut self, pair: u32, slot: u32) {
        let pair = &mut self.pairs[pair as usize];
        if pair.postings.is_empty() {
            self.names[pair.name as usize].live += 1;
        }
        pair.postings.insert(slot);
        // Two bytes a slot in a bitmap, four in a list.
        self.postings_bytes += 3;
    }

    fn intern(&mut self, name: &str, value: &str) -> u32 {
        let name_number = match self.name_numbers.get(name) {
            Some(number) => *number,
            None => {
                let number = self.names.len() as u32;
                let (pairs, sorted) = (Vec::new(), OnceLock::new());
                self.names.push(Name { text: name.into(), pairs, live: 0, sorted });
                self.name_numbers.insert(name.into(), number);
                number
            }
        };
        let key = pair_key(name_number, value);
        let found = self.pair_table.find(key, |pair| {
            let pair = &self.pairs[*pair as usize];
            pair.name == name_number && self.value(pair) == value
        });
        if let Some(pair) = found {
            return *pair;
        }
        let number = self.pairs.len() as u32;
        let value_start = self.values.len() as u32;
        self.values.push_str(value);
        let value_end = self.values.len() as u32;
        let postings = Postings::None;
        self.pairs.push(Pair { name: name_number, value_start, value_end, postings });
        let name = &mut self.names[name_number as usize];
        name.pairs.push(number);
        name.sorted = OnceLock::new();
        let (pairs, values) = (&self.pairs, &self.values);
        self.pair_table.insert_unique(key, number, |pair| {
            let pair = &pairs[*pair as usize];
            let value = values.get(pair.value_start as usize..pair.value_end as usize);
            pair_key(pair.name, value.unwrap_or(""))
        });
        number
    }

    /// Makes a series in `slot` of pairs that [`Catalogue::intern_pair`] numbered, for a checkpoint.
    /// `None` if the slot is taken or a number is unknown.
    pub(crate) fn restore(&mut self, slot: u32, fingerprint: u64, pairs: &[u32]) -> Option<()> {
        if self.contains(slot) || pairs.iter().any(|pair| *pair as usize >= self.pairs.len()) {
            return None;
        }
        let pairs_start = self.series_pairs.len() as u32;
        self.series_pairs.extend_from_slice(pairs);
        for pair in pairs {
            self.post(*pair, slot);
        }
        self.place(slot, table_key(fingerprint), pairs_start, pairs.len() as u32);
        Some(())
    }

    /// The number of a label pair, which is made if it is new.
    pub(crate) fn intern_pair(&mut self, name: &str, value: &str) -> u32 {
        self.intern(name, value)
    }

    /// All label pairs that live series have, with their numbers in order.
    pub(crate) fn live_pairs(&self) -> impl Iterator<Item = (u32, &str, &str)> {
        (0u32..)
            .zip(&self.pairs)
            .filter(|(_, pair)| !pair.postings.is_empty())
            .map(|(number, pair)| (number, &*self.names[pair.name as usize].text, self.value(pair)))
    }

    /// Slots, fingerprints and pair numbers of live series, in order of slot.
    pub(crate) fn live_series(&self) -> impl Iterator<Item = (u32, u64, &[u32])> {
        (0u32..)
            .zip(&self.series)
            .filter(|(_, series)| series.fingerprint != NO_FINGERPRINT)
            .map(|(slot, series)| (slot, series.fingerprint, self.pairs_of(*series)))
    }

    /// How many pairs were ever made.
    pub(crate) fn pair_count(&self) -> usize {
        self.pairs.len()
    }

    /// Removes series. Their slots are not used again before [`Catalogue::free_slots`].
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(series) = self.series.get(slot as usize).copied() else { return };
        if series.fingerprint == NO_FINGERPRINT {
            return;
        }
        if let Ok(entry) = self.series_table.find_entry(series.fingerprint, |other| *other == slot)
        {
            entry.remove();
        }
        let start = series.pairs_start as usize;
        for at in start..start + series.pairs_len as usize {
            let pair = &mut self.pairs[self.series_pairs[at] as usize];
            pair.postings.remove(slot);
            if pair.postings.is_empty() {
                self.names[pair.name as usize].live -= 1;
            }
            self.postings_bytes = self.postings_bytes.saturating_sub(3);
        }
        self.dead_pairs += series.pairs_len as usize;
        self.series[slot as usize] = Series::default();
        self.live -= 1;
    }

    /// Lets removed slots be used again: nothing on disk refers to them any more.
    pub(crate) fn free_slots(&mut self, slots: impl IntoIterator<Item = u32>) {
        self.free.extend(slots);
        // Low slots first, so that the vectors stay short.
        self.free.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Slots that hold no series and are not known to be reusable, for a start.
    pub(crate) fn free_all_empty(&mut self) {
        let empty = self.series.iter().enumerate();
        let slots = empty.filter(|(_, series)| series.fingerprint == NO_FINGERPRINT);
        self.free = slots.map(|(slot, _)| slot as u32).collect();
        self.free.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Rebuilds the flat vectors if half of them is holes. Slots stay.
    pub(crate) fn compact(&mut self) {
        let is_worth_it = self.dead_pairs > 10_000 && self.dead_pairs * 2 > self.series_pairs.len();
        if !is_worth_it {
            return;
        }
        let mut fresh = Catalogue::default();
        for slot in 0..self.series.len() as u32 {
            let series = self.series[slot as usize];
            if series.fingerprint == NO_FINGERPRINT {
                continue;
            }
            let labels: Vec<_> = self.label_refs(slot).collect();
            fresh.insert_at(slot, series.fingerprint, &labels);
        }
        fresh.series.resize(self.series.len(), Series::default());
        fresh.free = std::mem::take(&mut self.free);
        *self = fresh;
    }

    pub(crate) fn contains(&self, slot: u32) -> bool {
        self.series.get(slot as usize).is_some_and(|series| series.fingerprint != NO_FINGERPRINT)
    }

    pub(crate) fn fingerprint_of(&self, slot: u32) -> u64 {
        self.series[slot as usize].fingerprint
    }

    /// Names and values of a live series in order of name.
    pub(crate) fn label_refs(&self, slot: u32) -> impl Iterator<Item = (&str, &str)> + Clone {
        let series = self.series.get(slot as usize).copied().unwrap_or_default();
        self.pairs_of(series).iter().map(|pair| {
            let pair = &self.pairs[*pair as usize];
            (&*self.names[pair.name as usize].text, self.value(pair))
        })
    }

    /// The labels of a live series.
    pub(crate) fn labels(&self, slot: u32) -> Labels {
        Labels::from_sorted(self.label_refs(slot))
    }

    /// How many live series have this label value.
    pub(crate) fn series_with(&self, name: &str, value: &str) -> u64 {
        self.pair(name, value).map_or(0, |pair| pair.postings.len())
    }

    /// How many values of a label live series have.
    pub(crate) fn value_count(&self, name: &str) -> u32 {
        self.name_numbers.get(name).map_or(0, |name| self.names[*name as usize].live)
    }

    /// Names of labels that live series have, in no order.
    pub(crate) fn label_names(&self, among: Among<'_>) -> Vec<&str> {
        if let Among::Some(slots) = among
            && slots.len() <= FEW_SERIES
        {
            let mut numbers: FxHashSet<u32> = FxHashSet::default();
            for slot in slots {
                let pairs = self.pairs_of(self.series[slot as usize]).iter();
                numbers.extend(pairs.map(|pair| self.pairs[*pair as usize].name));
            }
            return numbers.into_iter().map(|name| &*self.names[name as usize].text).collect();
        }
        let names = self.names.iter().filter(|name| name.live > 0);
        names
            .filter(|name| name.pairs.iter().any(|pair| self.is_on(*pair, among)))
            .map(|name| &*name.text)
            .collect()
    }

    /// Values that a label has on live series, sorted.
    pub(crate) fn label_values(&self, name: &str, among: Among<'_>) -> Vec<&str> {
        let Some(number) = self.name_numbers.get(name) else { return Vec::new() };
        let name = &self.names[*number as usize];
        if let Among::Some(slots) = among
            && slots.len() <= FEW_SERIES.min(name.pairs.len() as u64 * 4)
        {
            let pairs = slots.iter().flat_map(|slot| self.pairs_of(self.series[slot as usize]));
            let own: FxHashSet<u32> =
                pairs.copied().filter(|pair| self.pairs[*pair as usize].name == *number).collect();
            let mut values: Vec<&str> =
                own.into_iter().map(|pair| self.value(&self.pairs[pair as usize])).collect();
            values.sort_unstable();
            return values;
        }
        let sorted = name.sorted.get_or_init(|| {
            let mut pairs = name.pairs.clone();
            pairs.sort_unstable_by_key(|pair| self.value(&self.pairs[*pair as usize]));
            pairs.into()
        });
        sorted
            .iter()
            .filter(|pair| self.is_on(**pair, among))
            .map(|pair| self.value(&self.pairs[*pair as usize]))
            .collect()
    }

    /// Whether any of these series has a pair.
    fn is_on(&self, pair: u32, among: Among<'_>) -> bool {
        let postings = &self.pairs[pair as usize].postings;
        match among {
            Among::AllBut(none) if none.is_empty() => !postings.is_empty(),
            Among::AllBut(others) => postings.has_others_than(others),
            Among::Some(slots) => postings.intersects(slots),
        }
    }

    /// The label with the most values on the series of a metric, and how many; labels that `skips`
    /// names are left out.
    pub(crate) fn hottest_label(
        &self,
        metric: &str,
        skips: impl Fn(&str) -> bool,
    ) -> Option<(String, u64)> {
        let mut slots = RoaringBitmap::new();
        self.pair(METRIC_NAME, metric)?.postings.add_to(&mut slots);
        let mut values: FxHashMap<u32, FxHashSet<u32>> = FxHashMap::default();
        for slot in slots {
            for pair in self.pairs_of(self.series[slot as usize]) {
                let name = self.pairs[*pair as usize].name;
                values.entry(name).or_default().insert(*pair);
            }
        }
        values
            .into_iter()
            .map(|(name, values)| (&*self.names[name as usize].text, values.len() as u64))
            .filter(|(name, _)| !skips(name))
            .max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(a.0)))
            .map(|(name, count)| (name.to_owned(), count))
    }

    fn pair(&self, name: &str, value: &str) -> Option<&Pair> {
        let name = *self.name_numbers.get(name)?;
        let found = self.pair_table.find(pair_key(name, value), |pair| {
            let pair = &self.pairs[*pair as usize];
            pair.name == name && self.value(pair) == value
        });
        found.map(|pair| &self.pairs[*pair as usize])
    }

    /// The series that satisfy all matchers. Exact.
    pub(crate) fn select(&self, matchers: &[Matcher]) -> RoaringBitmap {
        let mut found: Option<RoaringBitmap> = None;
        let (narrowing, widening): (Vec<_>, Vec<_>) =
            matchers.iter().partition(|matcher| !matcher.matches_empty());
        for matcher in narrowing {
            let having = self.having(matcher, true);
            found = Some(match found {
                None => having,
                Some(before) => before & having,
            });
            if found.as_ref().is_some_and(RoaringBitmap::is_empty) {
                return RoaringBitmap::new();
            }
        }
        let mut found = found.unwrap_or_else(|| self.all());
        for matcher in widening {
            found -= self.having(matcher, false);
        }
        found
    }

    /// The series that have the matcher's label with a value that matches, or does not.
    fn having(&self, matcher: &Matcher, wanted: bool) -> RoaringBitmap {
        let mut set = RoaringBitmap::new();
        let Some(name) = self.name_numbers.get(matcher.name.as_str()) else { return set };
        if wanted && matcher.op == MatchOp::Equal {
            if let Some(pair) = self.pair(&matcher.name, &matcher.value) {
                pair.postings.add_to(&mut set);
            }
            return set;
        }
        for pair in &self.names[*name as usize].pairs {
            let pair = &self.pairs[*pair as usize];
            if !pair.postings.is_empty() && matcher.matches(self.value(pair)) == wanted {
                pair.postings.add_to(&mut set);
            }
        }
        set
    }

    /// What is needed to sort series by their labels without holding the catalogue.
    pub(crate) fn copy_order(&self, slots: &[u32]) -> CopiedOrder {
        let mut series = Vec::with_capacity(slots.len());
        let mut series_pairs = Vec::new();
        for slot in slots {
            let start = series_pairs.len() as u32;
            let own = self.series.get(*slot as usize).copied().unwrap_or_default();
            series_pairs.extend_from_slice(self.pairs_of(own));
            series.push((*slot, start, series_pairs.len() as u32));
        }
        CopiedOrder {
            names: self.names.iter().map(|name| name.text.clone()).collect(),
            values: self.values.clone(),
            pairs: self.pairs.iter().map(|p| (p.name, p.value_start, p.value_end)).collect(),
            series,
            series_pairs,
        }
    }

    /// All live series.
    pub(crate) fn all(&self) -> RoaringBitmap {
        let live = self.series.iter().enumerate();
        live.filter(|(_, series)| series.fingerprint != NO_FINGERPRINT)
            .map(|(slot, _)| slot as u32)
            .collect()
    }

    /// Bytes that postings hold, counted anew.
    pub(crate) fn count_postings_bytes(&mut self) {
        self.postings_bytes = self.pairs.iter().map(|pair| pair.postings.heap_bytes()).sum();
    }
}

/// Labels of some series, copied to be sorted.
pub(crate) struct CopiedOrder {
    names: Vec<Box<str>>,
    values: String,
    /// Name, and where the value lies.
    pairs: Vec<(u32, u32, u32)>,
    /// Slot, and where its pairs lie.
    series: Vec<(u32, u32, u32)>,
    series_pairs: Vec<u32>,
}

impl CopiedOrder {
    /// The slots by metric name, then by labels: the order of series in a block.
    pub(crate) fn sorted(self) -> Vec<u32> {
        let CopiedOrder { names, values, pairs, mut series, series_pairs } = self;
        // Pairs are ranked once; then series compare as short lists of numbers.
        let text = |number: u32| {
            let (name, start, end) = pairs[number as usize];
            let value = values.get(start as usize..end as usize).unwrap_or("");
            (&*names[name as usize], value)
        };
        let mut used = series_pairs.clone();
        used.sort_unstable();
        used.dedup();
        used.sort_unstable_by(|a, b| text(*a).cmp(&text(*b)));
        let mut ranks = vec![0u32; pairs.len()];
        let mut metric_ranks = vec![0u32; pairs.len()];
        for (rank, pair) in (1u32..).zip(&used) {
            ranks[*pair as usize] = rank;
            if text(*pair).0 == METRIC_NAME {
                metric_ranks[*pair as usize] = rank;
            }
        }
        let own = |start: u32, end: u32| &series_pairs[start as usize..end as usize];
        series.sort_by_cached_key(|(_, start, end)| {
            let pairs = own(*start, *end);
            let metric = pairs.iter().map(|pair| metric_ranks[*pair as usize]).max().unwrap_or(0);
            let ranks: Box<[u32]> = pairs.iter().map(|pair| ranks[*pair as usize]).collect();
            (metric, ranks)
        });
        series.into_iter().map(|(slot, ..)| slot).collect()
    }
}

fn pair_key(name: u32, value: &str) -> u64 {
    xxh3_64_with_seed(value.as_bytes(), u64::from(name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::block::fingerprint;

    fn pairs(labels: &Labels) -> Vec<(&str, &str)> {
        labels.iter().collect()
    }

    fn a_labels() -> impl Strategy<Value = Labels> {
        prop::collection::btree_map("[ab]|__name__", "[xyz]{0,2}", 1..4)
            .prop_map(Labels::from_pairs)
    }

    fn a_matcher() -> impl Strategy<Value = Matcher> {
        let op = prop::sample::select(vec![
            MatchOp::Equal,
            MatchOp::NotEqual,
            MatchOp::Matches,
            MatchOp::NotMatches,
        ]);
        ("[abcd]", op, prop::sample::select(vec!["", "x", "xy", "x.*", ".*", ".+", "y|z", "[xy]"]))
            .prop_map(|(name, op, value)| Matcher::new(name, op, value).unwrap())
    }

    proptest! {
        #[test]
        fn selection_equals_a_scan_over_all_series_after_any_changes(
            added in prop::collection::vec(a_labels(), 1..60),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
            matchers in prop::collection::vec(a_matcher(), 0..4),
            compacts: bool,
        ) {
            let mut catalogue = Catalogue::default();
            let mut naive: Vec<(u32, Labels)> = Vec::new();
            for labels in added {
                let refs = pairs(&labels);
                let hash = fingerprint(refs.iter().copied());
                let known = naive.iter().find(|(_, other)| *other == labels).map(|(slot, _)| *slot);
                prop_assert_eq!(catalogue.find(hash, &refs), known);
                if known.is_none() {
                    let slot = catalogue.insert(hash, &refs);
                    naive.push((slot, labels.clone()));
                }
            }
            for index in removed {
                if naive.is_empty() { break; }
                let (slot, _) = naive.remove(index.index(naive.len()));
                catalogue.remove(slot);
                if slot % 2 == 0 {
                    catalogue.free_slots([slot]);
                }
            }
            if compacts {
                catalogue.dead_pairs += 1_000_000;
                catalogue.compact();
            }
            prop_assert_eq!(catalogue.len(), naive.len());
            for (slot, labels) in &naive {
                let refs = pairs(labels);
                prop_assert_eq!(catalogue.find(fingerprint(refs.iter().copied()), &refs), Some(*slot));
                prop_assert_eq!(&catalogue.labels(*slot), labels);
            }
            let mut expected: Vec<u32> = naive
                .iter()
                .filter(|(_, labels)| Matcher::all_match(&matchers, labels))
                .map(|(slot, _)| *slot)
                .collect();
            expected.sort_unstable();
            let selected = catalogue.select(&matchers);
            let matching = |(_, labels): &&(u32, Labels)| Matcher::all_match(&matchers, labels);
            for (among, wanted) in [(Among::AllBut(&selected), false), (Among::Some(&selected), true)] {
                let all = || naive.iter().filter(|one| matching(one) == wanted);
                let values = all().filter_map(|(_, labels)| labels.get("a"));
                let values: BTreeSet<&str> = values.collect();
                let told = catalogue.label_values("a", among);
                prop_assert_eq!(told, values.into_iter().collect::<Vec<_>>());
                let names = all().flat_map(|(_, labels)| labels.iter().map(|(name, _)| name));
                let names: BTreeSet<&str> = names.collect();
                let told: BTreeSet<&str> = catalogue.label_names(among).into_iter().collect();
                prop_assert_eq!(told, names);
            }
            let mut ordered = naive.clone();
            ordered.sort_by(|a, b| crate::block::series_order(&a.1, &b.1));
            let slots: Vec<u32> = naive.iter().map(|(slot, _)| *slot).collect();
            let ordered: Vec<u32> = ordered.into_iter().map(|(slot, _)| slot).collect();
            prop_assert_eq!(catalogue.copy_order(&slots).sorted(), ordered);
            prop_assert_eq!(catalogue.select(&matchers).iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn equal_fingerprints_do_not_make_equal_series() {
        let mut catalogue = Catalogue::default();
        let one = catalogue.insert(7, &[("a", "1")]);
        assert_eq!(catalogue.find(7, &[("a", "2")]), None);
        let two = catalogue.insert(7, &[("a", "2")]);
        assert_eq!(catalogue.find(7, &[("a", "1")]), Some(one));
        assert_eq!(catalogue.find(7, &[("a", "2")]), Some(two));
    }
}
