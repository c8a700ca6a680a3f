//! Counts that are kept: records and bytes of lines of each stream and level in each stretch of ten
//! seconds. A cell `k` has the records with times in `(10 k s, 10 (k + 1) s]`, as windows of LogQL
//! lie.

use disk::codec::{CodecError, Reader, put_i64, put_u64};

/// The length of a cell.
pub(crate) const CELL_NS: i64 = 10_000_000_000;

/// The cell of a time.
pub(crate) fn cell_of(at: i64) -> i64 {
    at.saturating_sub(1).div_euclid(CELL_NS)
}

/// What a stream has of one level in one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) stream: u32,
    pub(crate) cell: i64,
    /// An index into the levels of the part.
    pub(crate) level: u32,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// Gathers cells of rows that come in order of stream and time.
#[derive(Debug, Default)]
pub(crate) struct CellWriter {
    pub(crate) levels: Vec<String>,
    cells: Vec<Cell>,
    /// Where the cells of the current stream and stretch begin.
    current: usize,
}

impl CellWriter {
    /// The number of a level.
    pub(crate) fn level(&mut self, level: &str) -> u32 {
        match self.levels.iter().position(|known| known == level) {
            Some(known) => known as u32,
            None => {
                self.levels.push(level.to_owned());
                self.levels.len() as u32 - 1
            }
        }
    }

    /// Adds what is in a cell.
    pub(crate) fn add(&mut self, cell: Cell) {
        let is_current = |known: &Cell| known.stream == cell.stream && known.cell == cell.cell;
        if !self.cells.last().is_some_and(is_current) {
            self.current = self.cells.len();
        }
        let known = self.cells.iter_mut().skip(self.current).find(|k| k.level == cell.level);
        match known {
            Some(known) => {
                known.records += cell.records;
                known.bytes += cell.bytes;
            }
            None => self.cells.push(cell),
        }
    }

    /// All cells as bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u64(&mut out, self.cells.len() as u64);
        let (mut stream, mut cell) = (0u32, 0i64);
        for next in &self.cells {
            put_i64(&mut out, i64::from(next.stream) - i64::from(stream));
            put_i64(&mut out, next.cell.wrapping_sub(cell));
            put_u64(&mut out, next.level.into());
            put_u64(&mut out, next.records);
            put_u64(&mut out, next.bytes);
            (stream, cell) = (next.stream, next.cell);
        }
        out
    }
}

/// Reads what [`CellWriter::encode`] wrote.
pub(crate) fn decode_cells(bytes: &[u8]) -> Result<Vec<Cell>, CodecError> {
    let reader = &mut Reader::new(bytes);
    let count = reader.count()?;
    let mut cells = Vec::with_capacity(count.min(1 << 20));
    let (mut stream, mut cell) = (0i64, 0i64);
    for _ in 0..count {
        stream = stream.wrapping_add(reader.i64()?);
        cell = cell.wrapping_add(reader.i64()?);
        let number = u32::try_from(stream)
            .map_err(|_| CodecError { offset: reader.offset(), expected: "a stream" })?;
        cells.push(Cell {
            stream: number,
            cell,
            level: reader.u32()?,
            records: reader.u64()?,
            bytes: reader.u64()?,
        });
    }
    Ok(cells)
}
