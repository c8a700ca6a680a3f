//! A block that is open for reading. Columns are read when they are first asked for.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use disk::codec::{CodecError, Reader};
use model::log::{Field, Origin};
use rustc_hash::FxHashMap;

use super::Part;
use super::bits::Bits;
use super::column::{Column, Entry, decode_numbers};
use super::frames::{Frame, Place};
use super::index::BlockEntry;
use crate::error::{Error, Result};

/// Which rows of a block have which of several kinds: templates, shapes of metadata.
pub(crate) struct Kinds {
    /// The kind of each row; empty if all have kind 0.
    of_rows: Vec<u16>,
    rows: usize,
    kinds: usize,
    sorted: OnceCell<Sorted>,
}

/// Rows by kind.
struct Sorted {
    /// Which of the rows of its kind each row is; empty if all have kind 0.
    ranks: Vec<u32>,
    rows: Vec<u32>,
    /// Where each kind begins.
    starts: Vec<u32>,
}

impl Kinds {
    fn new(of_rows: Vec<u16>, rows: usize, kinds: usize) -> Self {
        Kinds { of_rows, rows, kinds, sorted: OnceCell::new() }
    }

    fn sorted(&self) -> &Sorted {
        self.sorted.get_or_init(|| {
            let mut starts = vec![0u32; self.kinds + 1];
            if self.of_rows.is_empty() {
                starts.iter_mut().skip(1).for_each(|start| *start = self.rows as u32);
                return Sorted { ranks: Vec::new(), rows: (0..self.rows as u32).collect(), starts };
            }
            let mut ranks = Vec::with_capacity(self.rows);
            for kind in &self.of_rows {
                let count = &mut starts[usize::from(*kind) + 1];
                ranks.push(*count);
                *count += 1;
            }
            for kind in 0..self.kinds {
                starts[kind + 1] += starts[kind];
            }
            let mut rows = vec![0; self.rows];
            for (row, (kind, rank)) in self.of_rows.iter().zip(&ranks).enumerate() {
                rows[(starts[usize::from(*kind)] + rank) as usize] = row as u32;
            }
            Sorted { ranks, rows, starts }
        })
    }

    pub(crate) fn of(&self, row: usize) -> usize {
        self.of_rows.get(row).copied().unwrap_or(0).into()
    }

    pub(crate) fn rank(&self, row: usize) -> usize {
        self.sorted().ranks.get(row).map_or(row, |rank| *rank as usize)
    }

    /// The rows of a kind, in order.
    pub(crate) fn rows(&self, kind: usize) -> &[u32] {
        let Sorted { rows, starts, .. } = self.sorted();
        match (starts.get(kind), starts.get(kind + 1)) {
            (Some(start), Some(end)) => {
                rows.get(*start as usize..*end as usize).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// The rows of the kinds that are wanted.
    pub(crate) fn rows_of(&self, wanted: &[bool]) -> Bits {
        let is_wanted = |kind: u16| wanted.get(usize::from(kind)).copied().unwrap_or(false);
        if self.of_rows.is_empty() {
            return if is_wanted(0) { Bits::all(self.rows) } else { Bits::none(self.rows) };
        }
        let mut rows = Bits::none(self.rows);
        for (row, kind) in self.of_rows.iter().enumerate() {
            if is_wanted(*kind) {
                rows.insert(row);
            }
        }
        rows
    }

    /// How many rows each kind has.
    fn counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.kinds];
        if self.of_rows.is_empty() {
            counts.iter_mut().take(1).for_each(|count| *count = self.rows as u32);
        }
        for kind in &self.of_rows {
            if let Some(count) = counts.get_mut(usize::from(*kind)) {
                *count += 1;
            }
        }
        counts
    }
}

/// A field that rows of a block can have.
pub(crate) struct BlockField {
    pub(crate) name: String,
    origin: Origin,
    pub(crate) entry: Entry,
    column: OnceCell<Column>,
    /// The rows that have it, if not all do.
    rows: OnceCell<Option<Vec<u32>>>,
}

/// A block that is open.
pub(crate) struct Block {
    part: Arc<Part>,
    at: usize,
    frames: Vec<Frame>,
    unpacked: RefCell<FxHashMap<u32, Rc<Vec<u8>>>>,
    places: [Place; 5],
    slots: Vec<Vec<(Entry, OnceCell<Column>)>>,
    pub(crate) fields: Vec<BlockField>,
    /// Fields in the order that rows have them.
    pub(crate) shapes: Vec<Vec<u32>>,
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
    /// Opens block `at` of a part: reads what tells of its columns.
    pub(crate) fn open(part: &Arc<Part>, at: usize) -> Result<Self> {
        let entry = part.block(at)?;
        let bytes = part.section(&entry.header)?;
        let reader = &mut Reader::new(&bytes);
        let mut frames = Vec::new();
        for _ in 0..reader.count()? {
            frames.push(Frame::read(reader)?);
        }
        let mut places = [Place::default(); 5];
        for place in &mut places {
            *place = Place::read(reader)?;
        }
        let mut slots = Vec::new();
        for _ in 0..reader.count()? {
            let mut columns = Vec::new();
            for _ in 0..reader.count()? {
                columns.push((Entry::read(reader)?, OnceCell::new()));
            }
            slots.push(columns);
        }
        let mut fields = Vec::new();
        for _ in 0..reader.count()? {
            let origin = match reader.u8()? {
                0 => Origin::Resource,
                1 => Origin::Scope,
                2 => Origin::Record,
                _ => Origin::Derived,
            };
            let name = reader.str()?.to_owned();
            let entry = Entry::read(reader)?;
            let (column, rows) = (OnceCell::new(), OnceCell::new());
            fields.push(BlockField { name, origin, entry, column, rows });
        }
        let mut shapes = Vec::new();
        for _ in 0..reader.count()? {
            let columns = (0..reader.count()?).map(|_| reader.u32()).collect::<Result<_, _>>()?;
            shapes.push(columns);
        }
        let is_field = |field: &u32| (*field as usize) < fields.len();
        let fits = |(columns, (id, _)): (&Vec<_>, &(u32, u32))| {
            part.index().templates.get(*id as usize).is_some_and(|t| t.slots() == columns.len())
        };
        if shapes.is_empty()
            || !shapes.iter().flatten().all(is_field)
            || slots.len() != entry.templates.len()
            || !slots.iter().zip(&entry.templates).all(fits)
        {
            return Err(wrong("columns of a block").into());
        }
        Ok(Block {
            part: part.clone(),
            at,
            frames,
            unpacked: RefCell::default(),
            places,
            slots,
            fields,
            shapes,
            times: OnceCell::new(),
            arrivals: OnceCell::new(),
            lengths: OnceCell::new(),
            templates: OnceCell::new(),
            shape_kinds: OnceCell::new(),
            filter: OnceCell::new(),
            stream_ends: OnceCell::new(),
        })
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
        let frame = self.frames.get(number as usize).ok_or(wrong("a frame"))?;
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
        if let Some(frame) = self.frames.get(place.frame as usize)
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
            return Ok(entry.decode(&[], count, &|_| 0)?);
        };
        let times = if entry.needs_times() { self.times()? } else { &[] };
        let time = |at: usize| {
            let row = rows.map_or(at, |rows| rows.get(at).map_or(0, |row| *row as usize));
            times.get(row).copied().unwrap_or(0)
        };
        self.with_bytes(place, |bytes| entry.decode(bytes, count, &time))
    }

    fn numbers(&self, place: usize) -> Result<Vec<u64>> {
        let rows = self.entry().rows;
        self.with_bytes(self.places[place], |bytes| decode_numbers(bytes, rows))
    }

    fn kinds(&self, place: usize, kinds: usize) -> Result<Kinds> {
        let rows = self.entry().rows;
        if kinds <= 1 {
            return Ok(Kinds::new(Vec::new(), rows, 1));
        }
        self.with_bytes(self.places[place], |bytes| {
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
        fill(&self.lengths, || self.numbers(2)).map(Vec::as_slice)
    }

    /// The template of each row, as the block numbers them.
    pub(crate) fn templates(&self) -> Result<&Kinds> {
        fill(&self.templates, || {
            let kinds = self.kinds(3, self.slots.len())?;
            let told = self.entry().templates.iter().map(|(_, rows)| *rows);
            match told.eq(kinds.counts()) {
                true => Ok(kinds),
                false => Err(wrong("rows of templates").into()),
            }
        })
    }

    /// The shape of each row.
    pub(crate) fn shape_kinds(&self) -> Result<&Kinds> {
        fill(&self.shape_kinds, || self.kinds(4, self.shapes.len()))
    }

    /// The filter of ids.
    pub(crate) fn filter(&self) -> Result<&[u8]> {
        fill(&self.filter, || self.part.section(&self.entry().filter)).map(Vec::as_slice)
    }

    /// What tells of the column of a slot.
    pub(crate) fn slot_entry(&self, local: usize, slot: usize) -> Option<&Entry> {
        let entry = self.slots.get(local)?.get(slot).map(|slot| &slot.0)?;
        match entry.same_as() {
            Some(field) => self.fields.get(field).map(|field| &field.entry),
            None => Some(entry),
        }
    }

    /// The column of a slot of a template.
    pub(crate) fn slot(&self, local: usize, slot: usize) -> Result<&Column> {
        let found = self.slots.get(local).and_then(|slots| slots.get(slot));
        let (entry, column) = found.ok_or(wrong("a slot"))?;
        let count = self.entry().templates.get(local).map_or(0, |(_, rows)| *rows as usize);
        fill(column, || {
            if let Some(field) = entry.same_as() {
                let places = self.templates()?.rows(local).iter().map(|row| *row as usize);
                let ranks = places
                    .map(|row| self.field_rank(field, row)?.ok_or(wrong("a value").into()))
                    .collect::<Result<Vec<_>>>()?;
                return Ok(self.field(field)?.gather(ranks.into_iter()));
            }
            let rows = if entry.needs_times() { Some(self.templates()?.rows(local)) } else { None };
            self.column(entry, count, rows)
        })
    }

    /// Which values of a slot are found by `find`. What a slot has in common with a field is looked
    /// for in the field.
    pub(crate) fn find_in_slot(
        &self,
        local: usize,
        slot: usize,
        find: impl FnOnce(&Column) -> Bits,
    ) -> Result<Bits> {
        let entry = self.slots.get(local).and_then(|slots| slots.get(slot));
        let Some(field) = entry.and_then(|(entry, _)| entry.same_as()) else {
            return Ok(find(self.slot(local, slot)?));
        };
        let count = self.entry().templates.get(local).map_or(0, |(_, rows)| *rows as usize);
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
            if self.shapes.iter().all(has) {
                return Ok(None);
            }
            let kinds = self.shape_kinds()?;
            let having: Vec<bool> = self.shapes.iter().map(has).collect();
            let rows = 0..self.entry().rows;
            let has = |row: &usize| having.get(kinds.of(*row)).copied().unwrap_or(false);
            Ok(Some(rows.filter(has).map(|row| row as u32).collect()))
        })?;
        Ok(rows.as_deref())
    }

    /// The column of a field: a value for each row that has it.
    pub(crate) fn field(&self, field: usize) -> Result<&Column> {
        let found = self.fields.get(field).ok_or(wrong("a field"))?;
        let rows = self.field_rows(field)?;
        let count = rows.map_or(self.entry().rows, <[u32]>::len);
        fill(&found.column, || self.column(&found.entry, count, rows))
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
        let shape = self.shapes.get(self.shape_kinds()?.of(row)).map_or(&[][..], Vec::as_slice);
        for field in shape {
            let rank = self.field_rank(*field as usize, row)?.ok_or(wrong("a value"))?;
            self.field(*field as usize)?.append(rank, out);
            ends.push(out.len());
        }
        Ok(shape)
    }

    /// A field with a value.
    pub(crate) fn field_of<'a>(&'a self, field: u32, value: &'a str) -> Field<'a> {
        match self.fields.get(field as usize) {
            Some(found) => Field { name: &found.name, value, origin: found.origin },
            None => Field { name: "", value, origin: Origin::Derived },
        }
    }
}
