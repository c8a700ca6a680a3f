//! A sealed part: immutable columns of records, sorted by stream, then time, then arrival.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

use disk::codec::{Reader, put_i64, put_str, put_u64};
use disk::files::Files;
use disk::{PageCache, PagedFile, PagedWriter};
use model::log::{Field, LineCondition, LogCount, LogCountRequest, LogRow, Origin, field_of};
use model::read::{Direction, RangeNs};
use model::{Labels, Matcher, QueryContext, TimestampNs};

use crate::cursor::{Hidden, RowCursor, RowKey, ScanPlan, fields_match};
use crate::error::Result;

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

/// A pattern of lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartPattern {
    /// In LogQL's pattern syntax.
    pub(crate) text: String,
    /// The time of its first row.
    pub(crate) first: TimestampNs,
    pub(crate) rows: u64,
}

const FILE: &str = "part";

/// Writes a part.
pub(crate) struct PartWriter {
    file: PagedWriter,
    streams: Vec<Labels>,
    body: Vec<u8>,
    rows: u64,
}

impl PartWriter {
    /// Makes the folder `dir` and writes a part of rows of `streams` into it.
    pub(crate) fn create(files: Arc<dyn Files>, dir: &Path, streams: &[Labels]) -> Result<Self> {
        disk::files::create_folders(dir).map_err(crate::Error::io("create", dir))?;
        let file = PagedWriter::create(&*files, &dir.join(FILE))?;
        Ok(PartWriter { file, streams: streams.to_vec(), body: Vec::new(), rows: 0 })
    }

    /// Adds a row; rows come in order of stream, time and arrival.
    pub(crate) fn push(&mut self, row: &PartRow<'_>) -> Result<()> {
        let body = &mut self.body;
        put_u64(body, row.stream.into());
        put_i64(body, row.at.0);
        put_u64(body, row.arrival);
        put_str(body, row.line);
        put_u64(body, (row.shared.len() + row.fields.len()) as u64);
        for field in row.shared.iter().chain(row.fields) {
            body.push(field.origin as u8);
            put_str(body, field.name);
            put_str(body, field.value);
        }
        self.rows += 1;
        Ok(())
    }

    /// Everything is durable on return.
    pub(crate) fn finish(mut self) -> Result<PartMeta> {
        let mut bytes = Vec::new();
        put_u64(&mut bytes, self.streams.len() as u64);
        for stream in &self.streams {
            put_u64(&mut bytes, stream.len() as u64);
            for (name, value) in stream.iter() {
                put_str(&mut bytes, name);
                put_str(&mut bytes, value);
            }
        }
        put_u64(&mut bytes, self.rows);
        bytes.extend_from_slice(&self.body);
        self.file.write(&(bytes.len() as u64).to_le_bytes())?;
        let packed = zstd::bulk::compress(&bytes, 1)
            .map_err(crate::Error::io("compress", self.file.path()))?;
        self.file.write(&packed)?;
        let path = self.file.path().to_owned();
        let size = self.file.finish()?;
        if let Some(dir) = path.parent() {
            disk::files::sync_folder(dir).map_err(crate::Error::io("sync", dir))?;
        }
        let (_, rows) = decode(&bytes)?;
        Ok(meta(&rows, size))
    }
}

struct StoredRow {
    stream: u32,
    key: RowKey,
    line: String,
    fields: Vec<(Origin, String, String)>,
}

impl StoredRow {
    fn show<T>(&self, streams: &[Labels], see: impl FnOnce(&LogRow<'_>) -> T) -> T {
        let fields: Vec<Field<'_>> = self
            .fields
            .iter()
            .map(|(origin, name, value)| Field { origin: *origin, name, value })
            .collect();
        see(&LogRow {
            stream: &streams[self.stream as usize],
            at: self.key.at,
            arrival: self.key.arrival,
            line: &self.line,
            metadata: &fields,
        })
    }
}

fn decode(bytes: &[u8]) -> Result<(Vec<Labels>, Vec<StoredRow>)> {
    let mut reader = Reader::new(bytes);
    let mut streams = Vec::new();
    for _ in 0..reader.count()? {
        let mut pairs = Vec::new();
        for _ in 0..reader.count()? {
            pairs.push((reader.str()?, reader.str()?));
        }
        streams.push(Labels::from_pairs(pairs));
    }
    let mut rows = Vec::new();
    for _ in 0..reader.count()? {
        let stream = reader.u32()?;
        let key = RowKey { at: TimestampNs(reader.i64()?), arrival: reader.u64()? };
        let line = reader.str()?.to_owned();
        let mut fields = Vec::new();
        for _ in 0..reader.count()? {
            let origin = match reader.u8()? {
                0 => Origin::Resource,
                1 => Origin::Scope,
                2 => Origin::Record,
                _ => Origin::Derived,
            };
            fields.push((origin, reader.str()?.to_owned(), reader.str()?.to_owned()));
        }
        rows.push(StoredRow { stream, key, line, fields });
    }
    Ok((streams, rows))
}

fn meta(rows: &[StoredRow], disk_bytes: u64) -> PartMeta {
    let first = rows.iter().map(|row| row.key.at.0).min().unwrap_or(0);
    let last = rows.iter().map(|row| row.key.at.0).max().unwrap_or(-1);
    let low = rows.iter().map(|row| row.key.arrival).min().unwrap_or(0);
    let high = rows.iter().map(|row| row.key.arrival + 1).max().unwrap_or(0);
    PartMeta {
        rows: rows.len() as u64,
        line_bytes: rows.iter().map(|row| row.line.len() as u64).sum(),
        range: RangeNs { start: TimestampNs(first), end: TimestampNs(last.saturating_add(1)) },
        arrivals: low..high,
        disk_bytes,
    }
}

/// A part that is open for reading.
pub(crate) struct Part {
    file: PagedFile,
    streams: Vec<Labels>,
    rows: Vec<StoredRow>,
    meta: PartMeta,
}

impl Part {
    /// Opens the part in the folder `dir`.
    pub(crate) fn open(dir: &Path, cache: Arc<PageCache>) -> Result<Self> {
        let file = PagedFile::open(&dir.join(FILE), cache)?;
        let bytes = file.read(0, file.length() as usize)?;
        let (size, packed) = bytes.split_first_chunk().ok_or_else(|| file.corrupt(0, "no size"))?;
        let bytes = zstd::bulk::decompress(packed, u64::from_le_bytes(*size) as usize)
            .map_err(crate::Error::io("decompress", file.path()))?;
        let (streams, rows) = decode(&bytes)?;
        let meta = meta(&rows, file.size());
        Ok(Part { file, streams, rows, meta })
    }

    pub(crate) fn meta(&self) -> &PartMeta {
        &self.meta
    }

    pub(crate) fn streams(&self) -> &[Labels] {
        &self.streams
    }

    /// For each stream with rows: its index, the range of its times, its rows, bytes of its lines.
    pub(crate) fn stream_ranges(&self) -> impl Iterator<Item = (u32, RangeNs, u64, u64)> {
        let mut found: BTreeMap<u32, (RangeNs, u64, u64)> = BTreeMap::new();
        for row in &self.rows {
            let (at, end) = (row.key.at, row.key.at.plus_ns(1));
            let entry =
                found.entry(row.stream).or_insert((RangeNs { start: at, end }, 0, 0));
            entry.0.start = entry.0.start.min(at);
            entry.0.end = entry.0.end.max(end);
            entry.1 += 1;
            entry.2 += row.line.len() as u64;
        }
        found.into_iter().map(|(stream, (range, rows, bytes))| (stream, range, rows, bytes))
    }

    /// The rows that pass `plan`, exactly.
    pub(crate) fn cursor<'a>(
        self: &Arc<Self>,
        plan: &Arc<ScanPlan>,
        context: &'a QueryContext,
    ) -> Result<Box<dyn RowCursor + 'a>> {
        let request = &plan.request;
        let mut order: Vec<usize> = Vec::new();
        for (i, stored) in self.rows.iter().enumerate() {
            let passes = stored.show(&self.streams, |row| {
                request.range.contains(row.at)
                    && Matcher::all_match(&request.matchers, row.stream)
                    && fields_match(&request.fields, row)
                    && LineCondition::all_accept(&request.lines, row.line)
                    && !plan.hidden.iter().any(|hidden| hidden.hides(row))
            });
            if passes {
                order.push(i);
            }
        }
        match request.order {
            Some(Direction::Forward) => order.sort_by_key(|i| self.rows[*i].key),
            Some(Direction::Backward) => {
                order.sort_by_key(|i| std::cmp::Reverse(self.rows[*i].key));
            }
            None => {}
        }
        context.charge(self.rows.len() as u64, self.meta.line_bytes)?;
        Ok(Box::new(Rows { part: self.clone(), order, next: 0 }))
    }

    /// Counts rows, exactly.
    pub(crate) fn count(
        &self,
        request: &LogCountRequest,
        hidden: &[Hidden],
        context: &QueryContext,
        visit: &mut dyn FnMut(&LogCount<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let range = request.range()?;
        context.charge(self.rows.len() as u64, self.meta.line_bytes)?;
        for stored in &self.rows {
            let flow = stored.show(&self.streams, |row| {
                if !range.contains(row.at)
                    || !Matcher::all_match(&request.matchers, row.stream)
                    || !request.accepts(row)
                    || hidden.iter().any(|hidden| hidden.hides(row))
                {
                    return ControlFlow::Continue(());
                }
                let value = |name: &String| field_of(row.stream, row.metadata, name);
                let fields: Vec<&str> = request.by_fields.iter().map(value).collect();
                visit(&LogCount {
                    stream: row.stream,
                    fields: &fields,
                    pattern: request.by_pattern.then_some(row.line),
                    bucket: request.bucket_of(row.at),
                    records: 1,
                    bytes: row.line.len() as u64,
                })
            });
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The patterns of the lines.
    pub(crate) fn patterns(&self) -> Vec<PartPattern> {
        Vec::new()
    }

    /// Reads everything and checks it.
    pub(crate) fn verify(&self) -> Result<()> {
        self.file.read(0, self.file.length() as usize)?;
        Ok(())
    }
}

struct Rows {
    part: Arc<Part>,
    order: Vec<usize>,
    next: usize,
}

impl RowCursor for Rows {
    fn peek(&mut self) -> Result<Option<RowKey>> {
        Ok(self.order.get(self.next).map(|i| self.part.rows[*i].key))
    }

    fn show(
        &mut self,
        visit: &mut dyn FnMut(&LogRow<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let row = &self.part.rows[self.order[self.next]];
        Ok(row.show(&self.part.streams, visit))
    }

    fn advance(&mut self) {
        self.next += 1;
    }
}

/// Merges parts (all rows of the inputs but the hidden ones) into a new folder.
pub(crate) fn merge(
    files: Arc<dyn Files>,
    inputs: &[Arc<Part>],
    hidden: &[Hidden],
    dir: &Path,
) -> Result<PartMeta> {
    let mut streams: Vec<Labels> = inputs.iter().flat_map(|part| part.streams.clone()).collect();
    streams.sort();
    streams.dedup();
    let mut rows = Vec::new();
    for part in inputs {
        for row in &part.rows {
            let labels = &part.streams[row.stream as usize];
            if row.show(&part.streams, |row| !hidden.iter().any(|hidden| hidden.hides(row))) {
                let stream = streams.binary_search(labels).unwrap_or(0) as u32;
                rows.push((stream, row.key, row, &part.streams));
            }
        }
    }
    rows.sort_by_key(|(stream, key, ..)| (*stream, *key));
    let mut writer = PartWriter::create(files, dir, &streams)?;
    for (stream, key, row, owner) in rows {
        row.show(owner, |shown| {
            let RowKey { at, arrival } = key;
            let fields = shown.metadata;
            let row = PartRow { stream, at, arrival, line: shown.line, shared: &[], fields };
            writer.push(&row)
        })?;
    }
    writer.finish()
}
