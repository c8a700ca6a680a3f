//! A block that is open for reading. Columns are read when they are first asked for.

#[cfg(test)]
pub(crate) mod breakdown;
mod header;
mod kinds;

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use disk::codec::CodecError;
use model::log::{Field, Origin};
use rustc_hash::FxHashMap;

use super::Part;
use super::bits::Bits;
use super::column::{Column, Entry, Spot, decode_numbers};
use super::frames::Place;
use super::index::BlockEntry;
use crate::error::{Error, Result};
pub(crate) use header::{Header, HeaderField};
use kinds::Kinds;

/// The column of a field, and the rows that have the field, if not all do.
#[derive(Default)]
struct FieldColumn {
    column: OnceCell<Column>,
    rows: OnceCell<Option<Vec<u32>>>,
}

/// A block that is open.
pub(crate) struct Block {
    part: Arc<Part>,
    at: usize,
    header: Arc<Header>,
    unpacked: RefCell<FxHashMap<u32, Rc<Vec<u8>>>>,
    /// Of all slots, template by template.
    slots: Vec<OnceCell<Box<Column>>>,
    fields: Vec<FieldColumn>,
    times: OnceCell<Vec<i64>>,
    arrivals: OnceCell<Vec<u64>>,
    lengths: OnceCell<Vec<u64>>,
    templates: OnceCell<Kinds>,
    shape_kinds: OnceCell<Kinds>,
    filter: OnceCell<Vec<u8>>,
    /// Where the rows of each stream end.
    stream_ends: OnceCell<Vec<u32>>,
}

/// Fills a cell that may fail.
fn fill<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = make()?;
    Ok(cell.get_or_init(|| value))
}

fn wrong(expected: &'static str) -> CodecError {
    CodecError { offset: 0, expected }
}

impl Block {
    /// Opens block `at` of a part: reads what tells of its columns, unless that is kept.
    pub(crate) fn open(part: &Arc<Part>, at: usize) -> Result<Self> {
        let header = part.header(at)?;
        let slots = header.slots.iter().map(Vec::len).sum();
        Ok(Block {
            part: part.clone(),
            at,
            unpacked: RefCell::default(),
            slots: (0..slots).map(|_| OnceCell::new()).collect(),
            fields: header.fields.iter().map(|_| FieldColumn::default()).collect(),
            header,
            times: OnceCell::new(),
            arrivals: OnceCell::new(),
            lengths: OnceCell::new(),
            templates: OnceCell::new(),
            shape_kinds: OnceCell::new(),
            filter: OnceCell::new(),
            stream_ends: OnceCell::new(),
        })
    }

    /// The fields that rows can have.
    pub(crate) fn fields(&self) -> &[HeaderField] {
        &self.header.fields
    }

    /// Fields in the order that rows have them.
    pub(crate) fn shapes(&self) -> &[Vec<u32>] {
        &self.header.shapes
    }

    pub(crate) fn entry(&self) -> &BlockEntry {
        // It was there when the block was opened.
        &self.part.index().blocks[self.at]
    }

    /// Which block of the part it is.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn part(&self) -> &Arc<Part> {
        &self.part
    }

    /// The labels of the stream of a row.
    pub(crate) fn stream_of(&self, row: usize) -> &model::Labels {
        let ends = self.stream_ends.get_or_init(|| {
            let mut end = 0;
            let rows = self.entry().streams.iter().map(|(_, rows)| rows);
            rows.map(|rows| {
                end += rows;
                end
            })
            .collect()
        });
        let run = ends.partition_point(|end| *end as usize <= row);
        let stream = self.entry().streams.get(run).map_or(0, |(stream, _)| *stream);
        // The index was checked to have the streams of its blocks.
        &self.part.index().streams[stream as usize]
    }

    fn frame(&self, number: u32) -> Result<Rc<Vec<u8>>> {
        if let Some(bytes) = self.unpacked.borrow().get(&number) {
            return Ok(bytes.clone());
        }
        let frame = self.header.frames.get(number as usize).ok_or(wrong("a frame"))?;
        let stored = self.part.read_body(self.entry(), frame.offset, frame.stored)?;
        let bytes = frame.unpack(stored).map_err(Error::io("unpack", self.part.path()))?;
        let bytes = Rc::new(bytes);
        self.unpacked.borrow_mut().insert(number, bytes.clone());
        Ok(bytes)
    }

    fn with_bytes<T>(
        &self,
        place: Place,
        read: impl FnOnce(&[u8]) -> Result<T, CodecError>,
    ) -> Result<T> {
        if let Some(frame) = self.header.frames.get(place.frame as usize)
            && !frame.is_packed()
        {
            let end = u64::from(place.offset) + u64::from(place.length);
            if end > frame.stored as u64 {
                return Err(wrong("bytes of a frame").into());
            }
            let offset = frame.offset.saturating_add(place.offset.into());
            let bytes = self.part.read_body(self.entry(), offset, place.length as usize)?;
            return Ok(read(&bytes)?);
        }
        let frame = self.frame(place.frame)?;
        let end = (place.offset as usize).saturating_add(place.length as usize);
        let bytes = frame.get(place.offset as usize..end).ok_or(wrong("bytes of a frame"))?;
        Ok(read(bytes)?)
    }

    /// Reads a column of `count` values, which are those of `rows` if not of all rows.
    fn column(&self, entry: &Entry, count: usize, rows: Option<&[u32]>) -> Result<Column> {
        let Some(place) = entry.place() else {
            return Ok(entry.decode(&[], &[], count, &|_| 0)?);
        };
        let times = if entry.needs_times() { self.times()? } else { &[] };
        let time = |at: usize| {
            let row = rows.map_or(at, |rows| rows.get(at).map_or(0, |row| *row as usize));
            times.get(row).copied().unwrap_or(0)
        };
        let numbers = match entry.numbers_place() {
            Some(numbers) => self.with_bytes(numbers, |bytes| Ok(bytes.to_vec()))?,
            None => Vec::new(),
        };
        self.with_bytes(place, |bytes| entry.decode(bytes, &numbers, count, &time))
    }

    fn numbers(&self, place: usize) -> Result<Vec<u64>> {
        let rows = self.entry().rows;
        self.with_bytes(self.header.places[place], |bytes| decode_numbers(bytes, rows))
    }

    fn kinds(&self, place: usize, kinds: usize) -> Result<Kinds> {
        let rows = self.entry().rows;
        if kinds <= 1 {
            return Ok(Kinds::new(Vec::new(), rows, 1));
        }
        self.with_bytes(self.header.places[place], |bytes| {
            let codes: Vec<u16> = if kinds <= 256 {
                bytes.iter().map(|code| u16::from(*code)).collect()
            } else {
                let pairs = bytes.as_chunks::<2>().0;
                pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect()
            };
            if codes.len() != rows || codes.iter().any(|code| usize::from(*code) >= kinds) {
                return Err(wrong("kinds of rows"));
            }
            Ok(Kinds::new(codes, rows, kinds))
        })
    }

    /// The time of each row.
    pub(crate) fn times(&self) -> Result<&[i64]> {
        let make = || {
            let numbers = self.numbers(0)?;
            Ok(numbers.into_iter().map(|number| (number ^ (1 << 63)) as i64).collect())
        };
        fill(&self.times, make).map(Vec::as_slice)
    }

    /// The arrival of each row.
    pub(crate) fn arrivals(&self) -> Result<&[u64]> {
        fill(&self.arrivals, || self.numbers(1)).map(Vec::as_slice)
    }

    /// Bytes of the line of each row without what stays in its template.
    pub(crate) fn lengths(&self) -> Result<&[u64]> {
        fill(&self.lengths, || {
            let columns = self.header.slots.iter();
            let shortest: Vec<u64> = columns
                .map(|columns| columns.iter().map(|entry| entry.length_min() as u64).sum())
                .collect();
            let templates = self.templates()?;
            let own = self.numbers(2)?.into_iter().enumerate();
            Ok(own.map(|(row, more)| more.saturating_add(shortest[templates.of(row)])).collect())
        })
        .map(Vec::as_slice)
    }

    /// The template of each row, as the block numbers them.
    pub(crate) fn templates(&self) -> Result<&Kinds> {
        fill(&self.templates, || {
            let kinds = self.kinds(3, self.header.slots.len())?;
            let told = self.entry().templates.iter().map(|(_, rows)| *rows);
            match told.eq(kinds.counts()) {
                true => Ok(kinds),
                false => Err(wrong("rows of templates").into()),
            }
        })
    }

    /// The shape of each row.
    pub(crate) fn shape_kinds(&self) -> Result<&Kinds> {
        fill(&self.shape_kinds, || self.kinds(4, self.shapes().len()))
    }

    /// The filter of ids.
    pub(crate) fn filter(&self) -> Result<&[u8]> {
        fill(&self.filter, || self.part.section(&self.entry().filter)).map(Vec::as_slice)
    }

    /// What tells of the column of a slot.
    pub(crate) fn slot_entry(&self, local: usize, slot: usize) -> Option<&Entry> {
        let entry = self.header.slots.get(local)?.get(slot)?;
        match entry.same_as() {
            Some(field) => self.fields().get(field).map(|field| &field.entry),
            None => Some(entry),
        }
    }

    /// The column of a slot of a template.
    pub(crate) fn slot(&self, local: usize, slot: usize) -> Result<&Column> {
        let entry = self.header.slots.get(local).and_then(|slots| slots.get(slot));
        let start = self.header.slot_starts.get(local).copied().unwrap_or(0);
        let column = self.slots.get(start + slot);
        let (Some(entry), Some(column)) = (entry, column) else {
            return Err(wrong("a slot").into());
        };
        let count = self.entry().templates.get(local).map_or(0, |(_, rows)| *rows as usize);
        let column = fill(column, || {
            if let Some(field) = entry.same_as() {
                let places = self.templates()?.rows(local).iter().map(|row| *row as usize);
                let ranks = places
                    .map(|row| self.field_rank(field, row)?.ok_or(wrong("a value").into()))
                    .collect::<Result<Vec<_>>>()?;
                return Ok(Box::new(self.field(field)?.gather(ranks.into_iter())));
            }
            let rows = if entry.needs_times() { Some(self.templates()?.rows(local)) } else { None };
            self.column(entry, count, rows).map(Box::new)
        })?;
        Ok(column)
    }

    /// Which values of a slot have the text there; with `fold` letters of ASCII are taken as lower
    /// case, which those of `text` are. What a slot has in common with a field is looked for in the
    /// field.
    pub(crate) fn find_in_slot(
        &self,
        local: usize,
        slot: usize,
        (spot, text, fold): (Spot, &[u8], bool),
    ) -> Result<Bits> {
        let find = |column: &Column| match fold {
            true => column.find_folded(spot, text),
            false => column.find(spot, text),
        };
        let count = self.entry().templates.get(local).map_or(0, |(_, rows)| *rows as usize);
        let entry = self.header.slots.get(local).and_then(|slots| slots.get(slot));
        let Some(field) = entry.and_then(Entry::same_as) else {
            if let Some(entry) = entry
                && let (Some(place), Some(_)) = (entry.place(), entry.numbers_place())
            {
                let found = self.with_bytes(place, |bytes| {
                    entry.find_without_numbers(bytes, count, (spot, text, fold))
                })?;
                if let Some(found) = found {
                    return Ok(found);
                }
            }
            return Ok(find(self.slot(local, slot)?));
        };
        let mut found = Bits::none(count);
        let hits = find(self.field(field)?);
        if !hits.is_empty() {
            let (kinds, having) = (self.templates()?, self.field_rows(field)?);
            for hit in hits.iter() {
                let row = having.map_or(hit, |rows| rows.get(hit).map_or(0, |row| *row as usize));
                if kinds.of(row) == local {
                    found.insert(kinds.rank(row));
                }
            }
        }
        Ok(found)
    }

    /// The rows that have a field, if not all do.
    pub(crate) fn field_rows(&self, field: usize) -> Result<Option<&[u32]>> {
        let found = self.fields.get(field).ok_or(wrong("a field"))?;
        let rows = fill(&found.rows, || {
            let has = |shape: &Vec<u32>| shape.contains(&(field as u32));
            if self.shapes().iter().all(has) {
                return Ok(None);
            }
            let kinds = self.shape_kinds()?;
            let having: Vec<bool> = self.shapes().iter().map(has).collect();
            let rows = 0..self.entry().rows;
            let has = |row: &usize| having.get(kinds.of(*row)).copied().unwrap_or(false);
            Ok(Some(rows.filter(has).map(|row| row as u32).collect()))
        })?;
        Ok(rows.as_deref())
    }

    /// The column of a field: a value for each row that has it.
    pub(crate) fn field(&self, field: usize) -> Result<&Column> {
        let found = self.fields.get(field).ok_or(wrong("a field"))?;
        let entry = self.fields().get(field).map(|field| &field.entry).ok_or(wrong("a field"))?;
        let rows = self.field_rows(field)?;
        let count = rows.map_or(self.entry().rows, <[u32]>::len);
        fill(&found.column, || {
            let Some((values, codes)) = entry.by_template() else {
                return self.column(entry, count, rows);
            };
            let templates = self.templates()?;
            let code = |row: usize| codes.get(templates.of(row)).copied().ok_or(wrong("a value"));
            let codes: Result<Vec<u8>, CodecError> = match rows {
                Some(rows) => rows.iter().map(|row| code(*row as usize)).collect(),
                None => (0..count).map(code).collect(),
            };
            Ok(Column::Few(values.clone(), codes?))
        })
    }

    /// The position of a row in the column of a field; `None` if the row does not have it.
    pub(crate) fn field_rank(&self, field: usize, row: usize) -> Result<Option<usize>> {
        Ok(match self.field_rows(field)? {
            None => Some(row),
            Some(rows) => rows.binary_search(&(row as u32)).ok(),
        })
    }

    /// Appends the line of a row.
    pub(crate) fn append_line(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let kinds = self.templates()?;
        let (local, rank) = (kinds.of(row), kinds.rank(row));
        let id = self.entry().templates.get(local).map_or(0, |(id, _)| *id);
        let template = &self.part.index().templates[id as usize];
        for (slot, piece) in template.pieces.iter().enumerate() {
            if slot > 0 {
                self.slot(local, slot - 1)?.append(rank, out);
            }
            out.extend_from_slice(piece);
        }
        Ok(())
    }

    /// Appends the values of the fields of a row to `out`, and tells for each where it ends.
    pub(crate) fn append_values(
        &self,
        row: usize,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<&[u32]> {
        let shape = self.shapes().get(self.shape_kinds()?.of(row)).map_or(&[][..], Vec::as_slice);
        for field in shape {
            let rank = self.field_rank(*field as usize, row)?.ok_or(wrong("a value"))?;
            self.field(*field as usize)?.append(rank, out);
            ends.push(out.len());
        }
        Ok(shape)
    }

    /// A field with a value.
    pub(crate) fn field_of<'a>(&'a self, field: u32, value: &'a str) -> Field<'a> {
        match self.fields().get(field as usize) {
            Some(found) => Field { name: &found.name, value, origin: found.origin },
            None => Field { name: "", value, origin: Origin::Derived },
        }
    }
}
