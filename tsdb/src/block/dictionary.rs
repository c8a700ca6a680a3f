//! Label names, their values in order, and which series have each: the inverted index of a block.
//!
//! A pair is a label name and a value; pairs are numbered in order of name, then value. Values are
//! front-coded in groups. Short postings stand beside their value, long ones in a stretch of their
//! own, as differences or as a roaring bitmap, whichever is smaller.

use std::ops::Range;

use disk::codec::{put_str, put_u64};
use disk::{PagedFile, PagedWriter, Result};
use hashbrown::HashTable;
use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::fields::{Fields, Record};
use super::table::{GROUP, TablePlace, TableWriter};

/// Postings of at most this many series stand beside their value.
const INLINE_MAX: u32 = 8;
/// Longer postings are roaring bitmaps unless differences are far smaller.
const VARINTS_MAX: u32 = 4096;

const INLINE: u64 = 0;
const VARINTS: u64 = 1;
const ROARING: u64 = 2;

/// Where the dictionary lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct DictionaryPlace {
    pub(super) pairs: TablePlace,
    /// Label names and how many values each has.
    pub(super) names: (u64, u64),
    /// Postings that do not stand beside their value.
    pub(super) postings: (u64, u64),
}

/// Gathers pairs and postings in memory.
#[derive(Default)]
pub(super) struct DictionaryWriter {
    names: Vec<Box<str>>,
    name_numbers: FxHashMap<Box<str>, u32>,
    /// All values, one behind the other.
    values: String,
    pairs: Vec<Pair>,
    places: HashTable<u32>,
}

struct Pair {
    name: u32,
    value: (usize, u32),
    count: u32,
    last: u32,
    /// The first series and the differences of the others; empty for a single series.
    differences: Vec<u8>,
}

impl DictionaryWriter {
    /// Notes that `series` has a label; series come in order. Returns the number of the pair, which
    /// is not yet its number in the file.
    pub(super) fn add(&mut self, name: &str, value: &str, series: u32) -> u32 {
        let name = match self.name_numbers.get(name) {
            Some(number) => *number,
            None => {
                let number = self.names.len() as u32;
                self.names.push(name.into());
                self.name_numbers.insert(name.into(), number);
                number
            }
        };
        let hash = |name: u32, value: &str| xxh3_64_with_seed(value.as_bytes(), u64::from(name));
        let DictionaryWriter { values, pairs, places, .. } = self;
        let found = places.find(hash(name, value), |number| {
            let pair = &pairs[*number as usize];
            pair.name == name && text(values, pair.value) == value
        });
        if let Some(&number) = found {
            let pair = &mut pairs[number as usize];
            if pair.count == 1 {
                put_u64(&mut pair.differences, u64::from(pair.last));
            }
            put_u64(&mut pair.differences, u64::from(series - pair.last));
            pair.last = series;
            pair.count += 1;
            return number;
        }
        let number = pairs.len() as u32;
        let place = (values.len(), value.len() as u32);
        values.push_str(value);
        pairs.push(Pair { name, value: place, count: 1, last: series, differences: Vec::new() });
        places.insert_unique(hash(name, value), number, |number| {
            let pair = &pairs[*number as usize];
            hash(pair.name, text(values, pair.value))
        });
        number
    }

    /// Writes everything; returns where, and for each pair its number in the file.
    pub(super) fn finish(self, file: &mut PagedWriter) -> Result<(DictionaryPlace, Vec<u32>)> {
        let mut order: Vec<u32> = (0..self.pairs.len() as u32).collect();
        order.sort_unstable_by_key(|number| {
            let pair = &self.pairs[*number as usize];
            (&self.names[pair.name as usize], text(&self.values, pair.value))
        });
        let mut numbers = vec![0; order.len()];
        let mut table = TableWriter::default();
        let mut names: Vec<(u32, u64)> = Vec::new();
        let postings = file.position();
        let mut last = "";
        for (rank, number) in order.iter().enumerate() {
            numbers[*number as usize] = rank as u32;
            let pair = &self.pairs[*number as usize];
            match names.last_mut() {
                Some((name, count)) if *name == pair.name => *count += 1,
                _ => names.push((pair.name, 1)),
            }
            let value = text(&self.values, pair.value);
            let offset = file.position() - postings;
            let (bytes, begins) = table.begin();
            let shared = if begins { 0 } else { shared_bytes(last, value) };
            put_u64(bytes, shared as u64);
            put_str(bytes, &value[shared..]);
            pair.put_postings(bytes, offset, file)?;
            last = value;
        }
        let postings = (postings, file.position() - postings);
        let pairs = table.finish(file)?;
        let mut bytes = Vec::new();
        put_u64(&mut bytes, names.len() as u64);
        for (name, count) in names {
            put_str(&mut bytes, &self.names[name as usize]);
            put_u64(&mut bytes, count);
        }
        let names = (file.position(), bytes.len() as u64);
        file.write(&bytes)?;
        Ok((DictionaryPlace { pairs, names, postings }, numbers))
    }
}

fn text(values: &str, (begin, length): (usize, u32)) -> &str {
    values.get(begin..begin + length as usize).unwrap_or_default()
}

/// How many bytes of whole characters two texts begin with alike.
fn shared_bytes(a: &str, b: &str) -> usize {
    let mut shared = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    while !b.is_char_boundary(shared) {
        shared -= 1;
    }
    shared
}

impl Pair {
    fn put_postings(&self, bytes: &mut Vec<u8>, offset: u64, file: &mut PagedWriter) -> Result<()> {
        let mut differences = self.differences.clone();
        if self.count == 1 {
            put_u64(&mut differences, u64::from(self.last));
        }
        let count = u64::from(self.count);
        if self.count <= INLINE_MAX {
            put_u64(bytes, count << 2 | INLINE);
            bytes.extend_from_slice(&differences);
            return Ok(());
        }
        let mut series = 0;
        let mut reader = disk::codec::Reader::new(&differences);
        let all = std::iter::from_fn(|| {
            series += reader.u32().ok()?;
            Some(series)
        });
        let mut bitmap = RoaringBitmap::from_sorted_iter(all).unwrap_or_default();
        bitmap.optimize();
        let mut packed = Vec::with_capacity(bitmap.serialized_size());
        let is_packed = bitmap.serialize_into(&mut packed).is_ok();
        let is_smaller = packed.len() <= differences.len() || self.count > VARINTS_MAX;
        let (kind, body) = match is_packed && is_smaller {
            true => (ROARING, packed),
            false => (VARINTS, differences),
        };
        put_u64(bytes, count << 2 | kind);
        put_u64(bytes, offset);
        put_u64(bytes, body.len() as u64);
        file.write(&body)
    }
}

/// A label name and the numbers of its pairs.
#[derive(Debug, Clone)]
pub(super) struct Name {
    pub(super) name: Box<str>,
    pub(super) pairs: Range<u32>,
}

/// Where postings stand, and of how many series.
#[derive(Debug, Clone)]
pub(super) struct Postings {
    pub(super) count: u32,
    place: PostingsPlace,
}

#[derive(Debug, Clone)]
enum PostingsPlace {
    Inline(Vec<u32>),
    File { is_roaring: bool, offset: u64, length: usize },
}

/// The dictionary of an open block: names are in memory, all else is read on demand.
#[derive(Debug)]
pub(super) struct Dictionary {
    place: DictionaryPlace,
    pub(super) names: Vec<Name>,
    series: u32,
}

impl Dictionary {
    pub(super) fn open(place: DictionaryPlace, series: u32, file: &PagedFile) -> Result<Self> {
        let (offset, length) = place.names;
        let length = usize::try_from(length)
            .map_err(|_| file.corrupt(offset, "expected label names of a sane length"))?;
        let record = Record { view: file.view(offset, length)?, offset };
        let mut fields = record.fields(file);
        let mut names: Vec<Name> = Vec::new();
        let mut first = 0u32;
        for _ in 0..fields.count()? {
            let name = fields.str()?.into();
            let end = first.checked_add(fields.u32()?);
            let end = end.filter(|end| u64::from(*end) <= place.pairs.records);
            let end = end.ok_or_else(|| fields.corrupt("expected a count of values"))?;
            if names.last().is_some_and(|last| last.name >= name) {
                return Err(fields.corrupt("expected names in order"));
            }
            names.push(Name { name, pairs: first..end });
            first = end;
        }
        Ok(Dictionary { place, names, series })
    }

    /// The pairs of a label name.
    pub(super) fn name(&self, name: &str) -> Option<&Name> {
        let at = self.names.binary_search_by(|other| (*other.name).cmp(name)).ok()?;
        self.names.get(at)
    }

    /// The label name of a pair.
    pub(super) fn name_of(&self, pair: u32) -> Option<&Name> {
        let at = self.names.partition_point(|name| name.pairs.end <= pair);
        self.names.get(at)
    }

    /// Values and postings of a group of pairs.
    pub(super) fn group(&self, group: u32, file: &PagedFile) -> Result<Vec<(String, Postings)>> {
        let record = self.place.pairs.group(group, file)?;
        let mut fields = record.fields(file);
        let left = self.place.pairs.records - u64::from(group) * u64::from(GROUP);
        let mut found: Vec<(String, Postings)> = Vec::new();
        for _ in 0..left.min(u64::from(GROUP)) {
            let last = found.last().map_or("", |(value, _)| value.as_str());
            let value = get_value(&mut fields, last)?;
            found.push((value, self.get_postings(&mut fields)?));
        }
        Ok(found)
    }

    fn get_postings(&self, fields: &mut Fields<'_>) -> Result<Postings> {
        let head = fields.u64()?;
        let count = u32::try_from(head >> 2).ok().filter(|count| *count <= self.series);
        let count = count.ok_or_else(|| fields.corrupt("expected a count of series"))?;
        let kind = head & 3;
        let place = if kind == INLINE {
            PostingsPlace::Inline(get_differences(fields, count.min(INLINE_MAX), self.series)?)
        } else {
            let offset = fields.u64()?.saturating_add(self.place.postings.0);
            let length = fields.u32()? as usize;
            PostingsPlace::File { is_roaring: kind == ROARING, offset, length }
        };
        Ok(Postings { count, place })
    }

    /// Calls `visit` with each value of `name` within `from`, in order, until it says no.
    pub(super) fn walk(
        &self,
        name: &Name,
        from: Option<&str>,
        file: &PagedFile,
        mut visit: impl FnMut(&str, &Postings) -> Result<bool>,
    ) -> Result<()> {
        let Range { start, end } = name.pairs;
        if start == end {
            return Ok(());
        }
        let mut group = start / GROUP;
        if let Some(from) = from {
            // The first value of each later group is of this name.
            let (mut low, mut high) = (group + 1, (end - 1) / GROUP + 1);
            while low < high {
                let middle = low + (high - low) / 2;
                let record = self.place.pairs.group(middle, file)?;
                let value = get_value(&mut record.fields(file), "")?;
                if *value <= *from { low = middle + 1 } else { high = middle }
            }
            group = low - 1;
        }
        for group in group..=(end - 1) / GROUP {
            for (pair, (value, postings)) in (group * GROUP..).zip(self.group(group, file)?) {
                let is_wanted =
                    (start..end).contains(&pair) && from.is_none_or(|from| value.as_str() >= from);
                if is_wanted && !visit(&value, &postings)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Postings of one pair.
    pub(super) fn find(
        &self,
        name: &Name,
        value: &str,
        file: &PagedFile,
    ) -> Result<Option<Postings>> {
        let mut found = None;
        self.walk(name, Some(value), file, |other, postings| {
            if other == value {
                found = Some(postings.clone());
            }
            Ok(false)
        })?;
        Ok(found)
    }

    /// The series of postings.
    pub(super) fn series(&self, postings: &Postings, file: &PagedFile) -> Result<RoaringBitmap> {
        let (is_roaring, offset, length) = match &postings.place {
            PostingsPlace::Inline(series) => return Ok(series.iter().copied().collect()),
            PostingsPlace::File { is_roaring, offset, length } => (*is_roaring, *offset, *length),
        };
        let wrong = || file.corrupt(offset, "expected postings");
        let record = Record { view: file.view(offset, length)?, offset };
        let found = if is_roaring {
            RoaringBitmap::deserialize_from(&*record.view).map_err(|_| wrong())?
        } else {
            let mut fields = record.fields(file);
            let series = get_differences(&mut fields, postings.count, self.series)?;
            RoaringBitmap::from_sorted_iter(series).map_err(|_| wrong())?
        };
        let is_known = found.max().is_none_or(|last| last < self.series);
        if found.len() == u64::from(postings.count) && is_known { Ok(found) } else { Err(wrong()) }
    }
}

fn get_value(fields: &mut Fields<'_>, last: &str) -> Result<String> {
    let shared = fields.u64()?;
    let shared = usize::try_from(shared).ok().and_then(|shared| last.get(..shared));
    let shared = shared.ok_or_else(|| fields.corrupt("expected a prefix of the value before"))?;
    let rest = fields.str()?;
    let mut value = String::with_capacity(shared.len() + rest.len());
    value.push_str(shared);
    value.push_str(rest);
    Ok(value)
}

fn get_differences(fields: &mut Fields<'_>, count: u32, series: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    let mut last = 0u32;
    for at in 0..count {
        let gap = fields.u32()?;
        let next = last.checked_add(gap).filter(|next| *next < series && (at == 0 || gap > 0));
        last = next.ok_or_else(|| fields.corrupt("expected series in order"))?;
        found.push(last);
    }
    Ok(found)
}

/// Appends the label references of a series: how many, which differ from those of the series
/// before, and how. `before` is empty at the beginning of a group.
pub(super) fn put_references(references: &[u32], before: &[u32], bytes: &mut Vec<u8>) {
    let differs = |at: usize| before.get(at) != references.get(at);
    let marked = references.len().min(64);
    let mask = (0..marked).filter(|at| differs(*at)).fold(0u64, |mask, at| mask | 1 << at);
    put_u64(bytes, references.len() as u64);
    put_u64(bytes, mask);
    for (at, reference) in references.iter().enumerate() {
        if at >= 64 || differs(at) {
            let base = before.get(at).copied().unwrap_or(0);
            disk::codec::put_i64(bytes, i64::from(*reference) - i64::from(base));
        }
    }
}

/// Appends the label references that [`put_references`] wrote.
pub(super) fn get_references(
    fields: &mut Fields<'_>,
    before: Range<usize>,
    references: &mut Vec<u32>,
) -> Result<()> {
    let count = fields.u64()?;
    let mask = fields.u64()?;
    for at in 0..count {
        let base = usize::try_from(at).ok().map(|at| before.start.saturating_add(at));
        let base = base.filter(|base| *base < before.end).and_then(|at| references.get(at));
        let base = base.copied();
        let reference = match base {
            Some(base) if at < 64 && mask >> at & 1 == 0 => base,
            _ => {
                let found = i64::from(base.unwrap_or(0)).saturating_add(fields.i64()?);
                u32::try_from(found).map_err(|_| fields.corrupt("expected a label reference"))?
            }
        };
        references.push(reference);
    }
    Ok(())
}
