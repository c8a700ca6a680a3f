//! Counts that are kept: records and bytes of lines of each level and stream in each stretch of ten
//! seconds, and the same told apart by template. A cell `k` has the records with times in
//! `(10 k s, 10 (k + 1) s]`, as windows of LogQL lie.
//!
//! The cells of a level, and those of a template and a level, lie together in *runs*, so that
//! those of templates that are not wanted are not read. While a part is written they are gathered
//! as varints, a few bytes a cell.

use std::ops::Range;

use disk::codec::{CodecError, Reader, put_bytes, put_i64, put_u64};
use rustc_hash::FxHashMap;

use super::column::{decode_numbers, put_numbers};
use super::index::Section;

/// The length of a cell.
pub(crate) const CELL_NS: i64 = 10_000_000_000;
/// No run has more cells.
const RUN_CELLS_MAX: usize = 32 << 10;

/// The cell of a time.
pub(crate) fn cell_of(at: i64) -> i64 {
    at.saturating_sub(1).div_euclid(CELL_NS)
}

/// The times of a cell: its first and its last.
pub(crate) fn times_of(cell: i64) -> (i64, i64) {
    let start = cell.saturating_mul(CELL_NS);
    (start.saturating_add(1), start.saturating_add(CELL_NS))
}

/// What the rows of a cell have in common beside the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CellKind {
    /// All templates if none is told.
    pub(crate) template: Option<u32>,
    /// An index into the levels of the part.
    pub(crate) level: u32,
}

/// What a stream has of one kind in one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub(crate) stream: u32,
    pub(crate) cell: i64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// What is told of a run: cells of one kind in order of stream and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CellRun {
    pub(crate) kind: CellKind,
    /// The first and the last stream.
    pub(crate) streams: (u32, u32),
    /// The first and the last cell.
    pub(crate) cells: (i64, i64),
    pub(crate) count: usize,
    pub(crate) section: Section,
}

impl CellRun {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_u64(out, self.kind.template.map_or(0, |template| u64::from(template) + 1));
        put_u64(out, self.kind.level.into());
        put_u64(out, self.streams.0.into());
        put_u64(out, self.streams.1.wrapping_sub(self.streams.0).into());
        put_i64(out, self.cells.0);
        put_u64(out, self.cells.1.wrapping_sub(self.cells.0) as u64);
        put_u64(out, self.count as u64);
        self.section.put(out);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let kind = CellKind { template: reader.u32()?.checked_sub(1), level: reader.u32()? };
        let first = reader.u32()?;
        let streams = (first, first.wrapping_add(reader.u32()?));
        let first = reader.i64()?;
        let cells = (first, first.wrapping_add(reader.u64()? as i64));
        let count = reader.u32()? as usize;
        let wrong = |expected| CodecError { offset: 0, expected };
        if count > RUN_CELLS_MAX {
            return Err(wrong("a run of cells that is not too long"));
        }
        Ok(CellRun { kind, streams, cells, count, section: Section::read(reader)? })
    }
}

/// Gathers cells.
#[derive(Debug, Default)]
pub(crate) struct CellWriter {
    pub(crate) levels: Vec<String>,
    level_numbers: FxHashMap<String, u32>,
    kinds: FxHashMap<CellKind, Gathered>,
}

/// Cells of one kind in the order they came in, all but the last one as varints of what differs
/// from the one before.
#[derive(Debug, Default)]
struct Gathered {
    bytes: Vec<u8>,
    before: (u32, i64),
    last: Option<Cell>,
}

impl Gathered {
    fn add(&mut self, cell: Cell) {
        match &mut self.last {
            Some(last) if last.stream == cell.stream && last.cell == cell.cell => {
                last.records += cell.records;
                last.bytes += cell.bytes;
            }
            _ => {
                self.put_last();
                self.last = Some(cell);
            }
        }
    }

    fn put_last(&mut self) {
        let Some(last) = self.last.take() else { return };
        put_i64(&mut self.bytes, i64::from(last.stream) - i64::from(self.before.0));
        put_i64(&mut self.bytes, last.cell.wrapping_sub(self.before.1));
        put_u64(&mut self.bytes, last.records);
        put_u64(&mut self.bytes, last.bytes);
        self.before = (last.stream, last.cell);
    }

    /// The cells in order of stream and time, each once.
    fn sorted(mut self) -> Result<Vec<Cell>, CodecError> {
        self.put_last();
        let reader = &mut Reader::new(&self.bytes);
        let mut cells: Vec<Cell> = Vec::new();
        let (mut stream, mut cell) = (0i64, 0i64);
        while reader.offset() < self.bytes.len() {
            stream += reader.i64()?;
            cell = cell.wrapping_add(reader.i64()?);
            let (records, bytes) = (reader.u64()?, reader.u64()?);
            cells.push(Cell { stream: stream as u32, cell, records, bytes });
        }
        cells.sort_unstable();
        cells.dedup_by(|next, known| {
            let is_same = (next.stream, next.cell) == (known.stream, known.cell);
            if is_same {
                known.records += next.records;
                known.bytes += next.bytes;
            }
            is_same
        });
        Ok(cells)
    }
}

impl CellWriter {
    /// The number of a level.
    pub(crate) fn level(&mut self, level: &str) -> u32 {
        if let Some(number) = self.level_numbers.get(level) {
            return *number;
        }
        let number = self.levels.len() as u32;
        self.levels.push(level.to_owned());
        self.level_numbers.insert(level.to_owned(), number);
        number
    }

    /// Adds what is in a cell, to the cells of the kind only.
    pub(crate) fn add(&mut self, kind: CellKind, cell: Cell) {
        self.kinds.entry(kind).or_default().add(cell);
    }

    /// Gives the bytes of each run to `write`, which tells where they lie. `fixed` tells the bytes
    /// that each line of a template has in any case.
    pub(crate) fn finish<E: From<CodecError>>(
        &mut self,
        fixed: impl Fn(Option<u32>) -> u64,
        mut write: impl FnMut(&[u8]) -> Result<Section, E>,
    ) -> Result<Vec<CellRun>, E> {
        let mut kinds: Vec<(CellKind, Gathered)> =
            std::mem::take(&mut self.kinds).into_iter().collect();
        kinds.sort_unstable_by_key(|(kind, _)| *kind);
        let mut runs = Vec::new();
        for (kind, gathered) in kinds {
            for cells in gathered.sorted()?.chunks(RUN_CELLS_MAX) {
                let (Some(first), Some(last)) = (cells.first(), cells.last()) else { continue };
                let least = cells.iter().map(|cell| cell.cell).min().unwrap_or(0);
                let most = cells.iter().map(|cell| cell.cell).max().unwrap_or(0);
                let section = write(&encode(cells, least, fixed(kind.template)))?;
                runs.push(CellRun {
                    kind,
                    streams: (first.stream, last.stream),
                    cells: (least, most),
                    count: cells.len(),
                    section,
                });
            }
        }
        Ok(runs)
    }
}

/// Cells of a run as bytes: the streams with how many cells each has, then steps from cell to cell,
/// records, and bytes without those of what stays in the template.
fn encode(cells: &[Cell], least: i64, fixed: u64) -> Vec<u8> {
    let streams: Vec<&[Cell]> = cells.chunk_by(|a, b| a.stream == b.stream).collect();
    let mut out = Vec::new();
    let mut columns = [const { Vec::new() }; 3];
    let mut stream = 0;
    put_u64(&mut out, streams.len() as u64);
    for own in streams {
        let next = own.first().map_or(0, |cell| cell.stream);
        put_u64(&mut out, (next - stream).into());
        put_u64(&mut out, own.len() as u64);
        stream = next;
        let mut before = least;
        for cell in own {
            columns[0].push(cell.cell.wrapping_sub(before) as u64);
            columns[1].push(cell.records);
            columns[2].push(cell.bytes.wrapping_sub(cell.records.wrapping_mul(fixed)));
            before = cell.cell;
        }
    }
    for column in columns {
        let mut numbers = Vec::new();
        put_numbers(&column, &mut numbers);
        put_bytes(&mut out, &numbers);
    }
    out
}

/// The cells of a run.
pub(crate) struct Cells {
    /// Streams with the places of their cells.
    pub(crate) streams: Vec<(u32, Range<usize>)>,
    pub(crate) cells: Vec<i64>,
    pub(crate) records: Vec<u64>,
    pub(crate) bytes: Vec<u64>,
}

/// Reads the bytes of a run of cells; `fixed` is the bytes of what stays in its template.
pub(crate) fn decode_cells(bytes: &[u8], run: &CellRun, fixed: u64) -> Result<Cells, CodecError> {
    let reader = &mut Reader::new(bytes);
    let mut streams = Vec::new();
    let (mut stream, mut end) = (0u32, 0usize);
    for _ in 0..reader.count()? {
        stream = stream.wrapping_add(reader.u32()?);
        let start = end;
        end = start.saturating_add(reader.u32()? as usize);
        streams.push((stream, start..end));
    }
    let is_told = |(stream, _): &(u32, _)| (run.streams.0..=run.streams.1).contains(stream);
    if end != run.count || !streams.iter().all(is_told) {
        return Err(CodecError { offset: reader.offset(), expected: "cells of a run" });
    }
    let mut steps = decode_numbers(reader.bytes()?, end)?.into_iter();
    let records = decode_numbers(reader.bytes()?, end)?;
    let mut bytes = decode_numbers(reader.bytes()?, end)?;
    for (bytes, records) in bytes.iter_mut().zip(&records) {
        *bytes = bytes.wrapping_add(records.wrapping_mul(fixed));
    }
    let mut cells = Vec::with_capacity(end);
    for (_, places) in &streams {
        let mut cell = run.cells.0;
        for step in steps.by_ref().take(places.len()) {
            cell = cell.wrapping_add(step as i64);
            cells.push(cell);
        }
    }
    Ok(Cells { streams, cells, records, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_come_back_in_order_and_once() {
        let mut writer = CellWriter::default();
        let kind = CellKind { template: Some(3), level: writer.level("warn") };
        let cell = |stream, cell, records| Cell { stream, cell, records, bytes: records * 50 };
        for added in [cell(1, -7, 2), cell(1, -7, 1), cell(4, 9, 1), cell(1, -7, 1), cell(1, 2, 5)]
        {
            writer.add(kind, added);
        }
        let mut stored = Vec::new();
        let runs = writer.finish(
            |_| 40,
            |bytes| {
                stored.push(bytes.to_vec());
                Ok::<_, CodecError>(Section::default())
            },
        );
        let runs = runs.unwrap();
        assert_eq!(runs.len(), 1);
        let mut told = Vec::new();
        runs[0].put(&mut told);
        assert_eq!(CellRun::read(&mut Reader::new(&told)).unwrap(), runs[0]);
        assert_eq!((runs[0].streams, runs[0].cells, runs[0].count), ((1, 4), (-7, 9), 3));
        let cells = decode_cells(&stored[0], &runs[0], 40).unwrap();
        assert_eq!(cells.streams, [(1, 0..2), (4, 2..3)]);
        assert_eq!(cells.cells, [-7, 2, 9]);
        assert_eq!(cells.records, [4, 5, 1]);
        assert_eq!(cells.bytes, [200, 250, 50]);
    }
}
