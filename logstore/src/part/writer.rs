//! Writes a part: blocks as rows come, then what is kept beside them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk::PagedWriter;
use disk::files::Files;
use model::TimestampNs;
use model::labels::Labels;
use model::log::{LEVEL, field_of};
use model::read::RangeNs;

use super::build::{Builder, ROWS_MAX, Templates};
use super::cells::{Cell, CellKind, CellWriter};
use super::index::{BlockEntry, Index, Section, StreamStats, Template};
use super::{FILE, MAGIC, Part, PartMeta, PartRow, VERSION, words};
use crate::error::{Error, Result};

/// Writes a part.
pub(crate) struct PartWriter {
    file: PagedWriter,
    dir: PathBuf,
    index: Index,
    templates: Templates,
    builder: Builder,
    cells: CellWriter,
    /// The level of each stream, if its labels tell it.
    stream_levels: Vec<Option<u32>>,
    /// The level of the row before and its number.
    last_level: (String, u32),
    /// Trigrams by block.
    grams: Vec<Vec<u32>>,
}

impl PartWriter {
    /// Makes the folder `dir` and writes a part of rows of `streams` into it.
    pub(crate) fn create(files: Arc<dyn Files>, dir: &Path, streams: &[Labels]) -> Result<Self> {
        PartWriter::with_blocks(files, dir, streams, ROWS_MAX)
    }

    /// As [`PartWriter::create`], with blocks of at most so many rows.
    pub(super) fn with_blocks(
        files: Arc<dyn Files>,
        dir: &Path,
        streams: &[Labels],
        block_rows: usize,
    ) -> Result<Self> {
        disk::files::create_folders(dir).map_err(Error::io("create", dir))?;
        let file = PagedWriter::create(&*files, &dir.join(FILE))?;
        let mut cells = CellWriter::default();
        let stream_levels = streams
            .iter()
            .map(|labels| labels.get(LEVEL).map(|level| cells.level(level)))
            .collect();
        let last_level = (String::new(), cells.level(""));
        Ok(PartWriter {
            file,
            dir: dir.to_owned(),
            index: Index { streams: streams.to_vec(), ..Index::default() },
            templates: Templates::default(),
            builder: Builder::new(block_rows).map_err(Error::io("write", dir))?,
            cells,
            stream_levels,
            last_level,
            grams: Vec::new(),
        })
    }

    /// Adds a row; rows come in order of stream, time and arrival.
    pub(crate) fn push(&mut self, row: &PartRow<'_>) -> Result<()> {
        let level = match self.stream_levels.get(row.stream as usize) {
            Some(Some(level)) => *level,
            _ => {
                let none = &Labels::empty();
                let has_own = row.fields.iter().any(|field| field.name == LEVEL);
                let fields = if has_own { row.fields } else { row.shared };
                let value = field_of(none, fields, LEVEL);
                if value != self.last_level.0 {
                    self.last_level = (value.to_owned(), self.cells.level(value));
                }
                self.last_level.1
            }
        };
        let (at, bytes) = (row.at.0, row.line.len() as u64);
        self.count(StreamStats { stream: row.stream, first: at, last: at, rows: 1, bytes });
        self.builder.push(row, level, &mut self.templates);
        if self.builder.is_full() {
            self.end_block()?;
        }
        Ok(())
    }

    fn count(&mut self, stats: StreamStats) {
        let known = match self.index.stats.last_mut() {
            Some(last) if last.stream == stats.stream => Some(last),
            _ => self.index.stats.iter_mut().find(|known| known.stream == stats.stream),
        };
        match known {
            Some(known) => {
                known.first = known.first.min(stats.first);
                known.last = known.last.max(stats.last);
                known.rows += stats.rows;
                known.bytes += stats.bytes;
            }
            None => self.index.stats.push(stats),
        }
    }

    fn end_block(&mut self) -> Result<()> {
        if self.builder.is_empty() {
            return Ok(());
        }
        let block = self.builder.finish(&mut self.templates, &mut self.cells);
        let block = block.map_err(Error::io("write", &self.dir))?;
        self.write_block(&block.bytes, block.entry)?;
        self.grams.push(block.grams);
        Ok(())
    }

    /// Writes the bytes of a block whose entry counts from its first byte.
    fn write_block(&mut self, bytes: &[u8], mut entry: BlockEntry) -> Result<()> {
        let offset = self.file.position();
        for section in [&mut entry.body, &mut entry.header, &mut entry.filter] {
            section.offset += offset;
        }
        self.file.write(bytes)?;
        self.index.blocks.push(entry);
        Ok(())
    }

    fn write_section(&mut self, bytes: &[u8]) -> Result<Section> {
        let packed = zstd::bulk::compress(bytes, 3).map_err(Error::io("write", &self.dir))?;
        let is_smaller = packed.len() < bytes.len();
        let stored = if is_smaller { &packed } else { bytes };
        let offset = self.file.position();
        self.file.write(stored)?;
        Ok(Section { offset, stored: stored.len() as u64, length: bytes.len() as u64 })
    }

    /// Copies the blocks of a part byte for byte; `streams` tells the number of each of its streams
    /// in this part.
    pub(crate) fn copy(&mut self, part: &Part, streams: &[u32]) -> Result<()> {
        let index = part.index();
        let templates: Vec<u32> =
            index.templates.iter().map(|template| self.templates.adopt(template)).collect();
        let grams = part.grams_of_blocks()?;
        let known = |map: &[u32], id: u32| map.get(id as usize).copied().unwrap_or(0);
        for (entry, grams) in index.blocks.iter().zip(grams) {
            let mut entry = entry.clone();
            let start = entry.body.offset;
            let end = entry.filter.offset + entry.filter.stored;
            let bytes = part.read(start, end.saturating_sub(start) as usize)?;
            for section in [&mut entry.body, &mut entry.header, &mut entry.filter] {
                section.offset = section.offset.wrapping_sub(start);
            }
            entry.streams.iter_mut().for_each(|(id, _)| *id = known(streams, *id));
            entry.templates.iter_mut().for_each(|(id, _)| *id = known(&templates, *id));
            self.write_block(&bytes, entry)?;
            self.grams.push(grams);
        }
        for stats in &index.stats {
            self.count(StreamStats { stream: known(streams, stats.stream), ..*stats });
        }
        let levels: Vec<u32> = index.levels.iter().map(|level| self.cells.level(level)).collect();
        for run in &index.cells {
            let cells = part.cells(run)?;
            let template = run.kind.template.map(|template| known(&templates, template));
            let kind = CellKind { template, level: known(&levels, run.kind.level) };
            for (stream, places) in &cells.streams {
                let stream = known(streams, *stream);
                for at in places.clone() {
                    let (cell, bytes) = (cells.cells[at], cells.bytes[at]);
                    let records = cells.records[at];
                    self.cells.add(kind, Cell { stream, cell, records, bytes });
                }
            }
        }
        Ok(())
    }

    /// Everything is durable on return.
    pub(crate) fn finish(mut self) -> Result<PartMeta> {
        self.end_block()?;
        let (templates, file) = (&self.templates.list, &mut self.file);
        let fixed = |template: Option<u32>| fixed_bytes(templates, template);
        self.index.cells = self.cells.finish(fixed, |bytes| {
            let (offset, length) = (file.position(), bytes.len() as u64);
            file.write(bytes)?;
            Ok::<_, Error>(Section { offset, stored: length, length })
        })?;
        let words = words::build(&self.grams)
            .map_err(|error| Error::io("write", &self.dir)(std::io::Error::other(error)))?;
        let offset = self.file.position();
        self.file.write(&words)?;
        let length = words.len() as u64;
        self.index.grams = Section { offset, stored: length, length };
        self.index.levels = std::mem::take(&mut self.cells.levels);
        self.index.templates = std::mem::take(&mut self.templates.list);
        self.index.stats.sort_by_key(|stats| stats.stream);
        let bytes = self.index.encode();
        let section = self.write_section(&bytes)?;
        let mut trailer = Vec::new();
        for number in [section.offset, section.stored, section.length] {
            trailer.extend_from_slice(&number.to_le_bytes());
        }
        trailer.extend_from_slice(&VERSION.to_le_bytes());
        trailer.extend_from_slice(&MAGIC);
        self.file.write(&trailer)?;
        let disk_bytes = self.file.finish()?;
        disk::files::sync_folder(&self.dir).map_err(Error::io("sync", &self.dir))?;
        Ok(meta(&self.index, disk_bytes))
    }
}

/// The bytes that each line of a template has in any case.
pub(crate) fn fixed_bytes(templates: &[Template], template: Option<u32>) -> u64 {
    let template = template.and_then(|template| templates.get(template as usize));
    template.map_or(0, |template| template.fixed_bytes() as u64)
}

/// What a part holds, by its index.
pub(crate) fn meta(index: &Index, disk_bytes: u64) -> PartMeta {
    let blocks = &index.blocks;
    let first = blocks.iter().map(|block| block.first).min().unwrap_or(0);
    let last = blocks.iter().map(|block| block.last).max().unwrap_or(-1);
    let low = blocks.iter().map(|block| block.first_arrival).min().unwrap_or(0);
    let high = blocks.iter().map(|block| block.last_arrival.saturating_add(1)).max().unwrap_or(0);
    PartMeta {
        rows: blocks.iter().map(|block| block.rows as u64).sum(),
        line_bytes: blocks.iter().map(|block| block.line_bytes).sum(),
        range: RangeNs { start: TimestampNs(first), end: TimestampNs(last.saturating_add(1)) },
        arrivals: low..high,
        disk_bytes,
    }
}
