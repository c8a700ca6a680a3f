//! A sealed part: immutable columns of records, sorted by stream, then time, then arrival.
//!
//! A part is one paged file in a folder of its own: blocks of some thousand rows, counts, trigrams,
//! an index. `docs/formats/part.md` tells every byte.
//!
//! ```text
//!  rows -> build.rs: templates, columns (column.rs) in frames (frames.rs) -> a block
//!  query -> select.rs: index, templates (needle.rs), columns -> rows of a block
//!        -> rows.rs: in order, lines put together / count.rs: counted
//! ```
//!
//! Invariants: what was pushed comes back byte for byte, fields in their order; a part can be read
//! after its file was unlinked; bytes that are not what was written are an error, never a panic.

mod bits;
mod block;
mod build;
mod cells;
mod column;
mod count;
mod fields;
mod frames;
mod grams;
mod headers;
mod index;
mod literals;
mod merge;
mod needle;
mod rows;
mod select;
mod words;
mod writer;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use disk::codec::Reader;
use disk::{PageCache, PagedFile};
use model::log::Field;
use model::read::RangeNs;
use model::{Labels, QueryContext, TimestampNs};

use crate::cursor::{RowCursor, ScanPlan};
use crate::error::{Error, Result};
use block::{Block, Header};
use cells::{CellRun, Cells, decode_cells};
use headers::HeaderCache;
pub(crate) use index::Template;
use index::{BlockEntry, Index, Section};
pub(crate) use merge::merge;
pub(crate) use writer::PartWriter;

/// One record on its way into a part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartRow<'a> {
    /// An index into the streams that the writer was made with.
    pub(crate) stream: u32,
    pub(crate) at: TimestampNs,
    pub(crate) arrival: u64,
    pub(crate) line: &'a str,
    /// Metadata is these, then `fields`; order and repeated names are kept.
    pub(crate) shared: &'a [Field<'a>],
    pub(crate) fields: &'a [Field<'a>],
}

/// What a part holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartMeta {
    pub(crate) rows: u64,
    pub(crate) line_bytes: u64,
    /// Times of the rows; empty if there are none.
    pub(crate) range: RangeNs,
    /// Arrivals of the rows.
    pub(crate) arrivals: Range<u64>,
    pub(crate) disk_bytes: u64,
}

/// What parts that are open keep in memory of what was read.
#[derive(Clone)]
pub(crate) struct Caches {
    pages: Arc<PageCache>,
    headers: Arc<HeaderCache>,
}

impl Caches {
    /// For `bytes_max` together, half of them for headers of blocks.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let headers_max = bytes_max / 2;
        let headers = HeaderCache::new(headers_max);
        Caches { pages: PageCache::new(bytes_max - headers_max), headers }
    }

    /// Memory of pages of files.
    pub(crate) fn page_bytes(&self) -> u64 {
        self.pages.stats().bytes
    }

    /// Memory of headers of blocks, about.
    pub(crate) fn header_bytes(&self) -> u64 {
        self.headers.bytes() as u64
    }
}

/// The name of the file in the folder of a part.
const FILE: &str = "part";
const MAGIC: [u8; 8] = *b"SBXLOGP\n";
const VERSION: u32 = 1;
/// The section of the index, version, magic.
const TRAILER_BYTES: u64 = 3 * 8 + 4 + 8;
/// No section unpacks to more.
const SECTION_BYTES_MAX: u64 = 1 << 31;

/// A part that is open for reading.
pub(crate) struct Part {
    file: Arc<PagedFile>,
    index: Index,
    meta: PartMeta,
    words: words::Words,
    headers: Arc<HeaderCache>,
    /// Which part it is to the cache of headers.
    number: u64,
}

impl Part {
    /// Opens the part in the folder `dir`. Reads the index only.
    pub(crate) fn open(dir: &Path, caches: &Caches) -> Result<Self> {
        let file = Arc::new(PagedFile::open(&dir.join(FILE), caches.pages.clone())?);
        let corrupt = |what: &str| file.corrupt(file.length(), what);
        let start = file.length().checked_sub(TRAILER_BYTES);
        let start = start.ok_or_else(|| corrupt("a part shorter than its trailer"))?;
        let trailer = file.read(start, TRAILER_BYTES as usize)?;
        let reader = &mut Reader::new(&trailer);
        let mut numbers = [0u64; 3];
        for number in &mut numbers {
            *number = u64::from_le_bytes(reader.array()?);
        }
        let version = u32::from_le_bytes(reader.array()?);
        if reader.array::<8>()? != MAGIC || version != VERSION {
            return Err(corrupt("the trailer of an unknown kind of part").into());
        }
        let [offset, stored, length] = numbers;
        let index = read_section(&file, &Section { offset, stored, length })?;
        let index = Index::decode(&index)?;
        let meta = writer::meta(&index, file.size());
        let headers = caches.headers.clone();
        let number = headers.number_part();
        Ok(Part { file, index, meta, words: words::Words::default(), headers, number })
    }

    pub(crate) fn meta(&self) -> &PartMeta {
        &self.meta
    }

    pub(crate) fn streams(&self) -> &[Labels] {
        &self.index.streams
    }

    /// For each stream with rows: its index, the range of its times, its rows, bytes of its lines.
    pub(crate) fn stream_ranges(&self) -> impl Iterator<Item = (u32, RangeNs, u64, u64)> {
        self.index.stats.iter().map(|stats| {
            let end = TimestampNs(stats.last.saturating_add(1));
            let range = RangeNs { start: TimestampNs(stats.first), end };
            (stats.stream, range, stats.rows, stats.bytes)
        })
    }

    /// The rows that pass `plan`, exactly, in its order.
    pub(crate) fn cursor<'a>(
        self: &Arc<Self>,
        plan: &Arc<ScanPlan>,
        context: &'a QueryContext,
    ) -> Result<Box<dyn RowCursor + 'a>> {
        Ok(Box::new(rows::Rows::new(self, plan, context)?))
    }

    /// Bytes of the file by what they are for.
    pub(crate) fn figures(&self) -> Vec<(&'static str, u64)> {
        let sum = |bytes: fn(&BlockEntry) -> u64| self.index.blocks.iter().map(bytes).sum();
        let blocks: [(&str, u64); 3] = [
            ("columns_bytes", sum(|block| block.body.stored)),
            ("column_headers_bytes", sum(|block| block.header.stored)),
            ("id_filters_bytes", sum(|block| block.filter.stored)),
        ];
        let kept: u64 = blocks.iter().map(|(_, bytes)| bytes).sum();
        let counts: u64 = self.index.cells.iter().map(|run| run.section.stored).sum();
        let grams = self.index.grams.stored;
        let rest = self.file.size().saturating_sub(kept + counts + grams);
        let others = [("counts_bytes", counts), ("trigrams_bytes", grams), ("index_bytes", rest)];
        blocks.into_iter().chain(others).collect()
    }

    /// Reads everything and checks it.
    pub(crate) fn verify(self: &Arc<Self>) -> Result<()> {
        let mut offset = 0;
        while offset < self.file.length() {
            let length = (self.file.length() - offset).min(1 << 20);
            self.file.read(offset, length as usize)?;
            offset += length;
        }
        for run in &self.index.cells {
            self.cells(run)?;
        }
        self.grams_of_blocks()?;
        let (mut line, mut values, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for at in 0..self.index.blocks.len() {
            let block = Block::open(self, at)?;
            block.times()?;
            block.arrivals()?;
            let lengths = block.lengths()?;
            for (row, length) in lengths.iter().enumerate() {
                line.clear();
                values.clear();
                ends.clear();
                block.append_line(row, &mut line)?;
                block.append_values(row, &mut values, &mut ends)?;
                let id = block.entry().templates[block.templates()?.of(row)].0;
                let fixed = self.index.templates[id as usize].fixed_bytes();
                if fixed as u64 + length != line.len() as u64 {
                    return Err(self.file.corrupt(block.entry().body.offset, "a length").into());
                }
            }
        }
        Ok(())
    }

    fn path(&self) -> &Path {
        self.file.path()
    }

    fn index(&self) -> &Index {
        &self.index
    }

    fn block(&self, at: usize) -> Result<&BlockEntry> {
        let block = self.index.blocks.get(at);
        Ok(block.ok_or_else(|| self.file.corrupt(0, "a block that is not there"))?)
    }

    /// What tells of the columns of a block.
    fn header(&self, at: usize) -> Result<Arc<Header>> {
        self.headers.get(self.number, at, || {
            let entry = self.block(at)?;
            Ok(Header::read(&self.section(&entry.header)?, entry, &self.index.templates)?)
        })
    }

    fn section(&self, section: &Section) -> Result<Vec<u8>> {
        read_section(&self.file, section)
    }

    fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        Ok(self.file.read(offset, length)?)
    }

    /// The counts of a run.
    fn cells(&self, run: &CellRun) -> Result<Cells> {
        let fixed = writer::fixed_bytes(&self.index.templates, run.kind.template);
        Ok(decode_cells(&self.section(&run.section)?, run, fixed)?)
    }

    /// Bytes of the body of a block.
    fn read_body(&self, block: &BlockEntry, offset: u64, length: usize) -> Result<Vec<u8>> {
        if offset.checked_add(length as u64).is_none_or(|end| end > block.body.stored) {
            return Err(self
                .file
                .corrupt(block.body.offset, "a frame outside of its block")
                .into());
        }
        self.read(block.body.offset.saturating_add(offset), length)
    }

    /// The blocks whose indexed columns have all trigrams of a text; `None` if nothing is known.
    fn blocks_with(&self, text: &[u8]) -> Result<Option<bits::Bits>> {
        self.words.blocks_with(&self.file, &self.index.grams, self.index.blocks.len(), text)
    }

    /// The trigrams of each block.
    fn grams_of_blocks(&self) -> Result<Vec<Vec<u32>>> {
        self.words.by_block(&self.file, &self.index.grams, self.index.blocks.len())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.headers.forget(self.number, self.index.blocks.len());
    }
}

fn read_section(file: &PagedFile, section: &Section) -> Result<Vec<u8>> {
    if section.stored > file.length() || section.length > SECTION_BYTES_MAX {
        return Err(file.corrupt(section.offset, "a section that does not fit the file").into());
    }
    let stored = file.read(section.offset, section.stored as usize)?;
    if section.stored == section.length {
        return Ok(stored);
    }
    frames::unpack(&stored, section.length as usize).map_err(Error::io("unpack", file.path()))
}

#[cfg(test)]
mod tests;
