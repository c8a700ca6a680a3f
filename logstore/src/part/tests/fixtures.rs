//! Rows that own their texts, parts of them, and the naive answers.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use disk::files::RealFiles;
use model::log::{Field, LineCondition, LogCountRequest, LogRow, Origin, field_of};
use model::read::{Direction, LogColumns, LogRequest, RangeNs};
use model::{Labels, Matcher, QueryContext, TimestampNs};

use crate::cursor::{Hidden, RowKey, ScanPlan, fields_match};
use crate::part::block::Block;
use crate::part::{Caches, Part, PartRow, PartWriter};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) stream: usize,
    pub(super) at: i64,
    pub(super) arrival: u64,
    pub(super) line: String,
    pub(super) fields: Vec<(Origin, String, String)>,
}

impl Row {
    pub(super) fn show<T>(&self, streams: &[Labels], see: impl FnOnce(&LogRow<'_>) -> T) -> T {
        let fields: Vec<Field<'_>> = self
            .fields
            .iter()
            .map(|(origin, name, value)| Field { origin: *origin, name, value })
            .collect();
        see(&LogRow {
            stream: &streams[self.stream],
            at: TimestampNs(self.at),
            arrival: self.arrival,
            line: &self.line,
            metadata: &fields,
        })
    }

    fn of(row: &LogRow<'_>, streams: &[Labels]) -> Row {
        let fields = row.metadata.iter();
        Row {
            stream: streams.iter().position(|labels| labels == row.stream).unwrap(),
            at: row.at.0,
            arrival: row.arrival,
            line: row.line.to_owned(),
            fields: fields.map(|f| (f.origin, f.name.to_owned(), f.value.to_owned())).collect(),
        }
    }
}

/// Small, so that parts have several blocks.
const BLOCK_ROWS: usize = 37;

/// Writes rows, which are sorted first.
pub(super) fn write(dir: &Path, streams: &[Labels], rows: &[Row]) -> Arc<Part> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| (row.stream, row.at, row.arrival));
    let files = Arc::new(RealFiles);
    let mut writer = PartWriter::with_blocks(files, dir, streams, BLOCK_ROWS).unwrap();
    for row in &rows {
        row.show(streams, |shown| {
            let (shared, fields) = shown.metadata.split_at(shown.metadata.len() / 2);
            let (at, arrival, line) = (shown.at, shown.arrival, shown.line);
            let stream = row.stream as u32;
            writer.push(&PartRow { stream, at, arrival, line, shared, fields }).unwrap();
        });
    }
    let meta = writer.finish().unwrap();
    let part = open(dir);
    assert_eq!(*part.meta(), meta);
    assert_eq!(meta.rows, rows.len() as u64);
    part
}

pub(super) fn open(dir: &Path) -> Arc<Part> {
    Arc::new(Part::open(dir, &Caches::new(64 << 20)).unwrap())
}

/// A request for everything.
pub(super) fn everything() -> LogRequest {
    LogRequest {
        matchers: Vec::new(),
        range: RangeNs::ALL,
        lines: Vec::new(),
        fields: Vec::new(),
        order: Some(Direction::Forward),
        columns: LogColumns { line: true, metadata: true },
    }
}

pub(super) fn read(part: &Arc<Part>, streams: &[Labels], plan: ScanPlan) -> Vec<Row> {
    let context = QueryContext::unlimited();
    let mut cursor = part.cursor(&Arc::new(plan), &context).unwrap();
    let mut rows = Vec::new();
    while let Some(key) = cursor.peek().unwrap() {
        let flow = cursor.show(&mut |row| {
            assert_eq!(key, RowKey { at: row.at, arrival: row.arrival });
            rows.push(Row::of(row, streams));
            ControlFlow::Continue(())
        });
        assert!(flow.unwrap().is_continue());
        cursor.advance();
    }
    rows
}

fn passes(
    row: &LogRow<'_>,
    matchers: &[Matcher],
    lines: &[LineCondition],
    fields: &[Matcher],
) -> bool {
    Matcher::all_match(matchers, row.stream)
        && LineCondition::all_accept(lines, row.line)
        && fields_match(fields, row)
}

/// The answer by looking at each row.
pub(super) fn read_naively(rows: &[Row], streams: &[Labels], plan: &ScanPlan) -> Vec<Row> {
    let request = &plan.request;
    let is_wanted = |row: &&Row| {
        row.show(streams, |row| {
            request.range.contains(row.at)
                && passes(row, &request.matchers, &request.lines, &request.fields)
                && !plan.hidden.iter().any(|hidden| hidden.hides(row))
        })
    };
    let mut found: Vec<Row> = rows.iter().filter(is_wanted).cloned().collect();
    match request.order {
        Some(Direction::Backward) => found.sort_by_key(|r| std::cmp::Reverse((r.at, r.arrival))),
        _ => found.sort_by_key(|r| (r.at, r.arrival)),
    }
    found
}

/// Records and bytes by stream, values of fields, pattern, and bucket.
pub(super) type Counts = BTreeMap<(usize, Vec<String>, String, usize), (u64, u64)>;

/// The pattern of each row by its arrival.
pub(super) fn patterns_of(part: &Arc<Part>) -> BTreeMap<u64, String> {
    let mut patterns = BTreeMap::new();
    for at in 0..part.index().blocks.len() {
        let block = Block::open(part, at).unwrap();
        for (row, arrival) in block.arrivals().unwrap().iter().enumerate() {
            let id = block.entry().templates[block.templates().unwrap().of(row)].0;
            patterns.insert(*arrival, part.index().templates[id as usize].pattern());
        }
    }
    patterns
}

pub(super) fn count(
    part: &Arc<Part>,
    streams: &[Labels],
    request: &LogCountRequest,
    hidden: &[Hidden],
) -> Counts {
    let mut counts = Counts::new();
    let context = QueryContext::unlimited();
    let flow = part.count(request, hidden, &context, &mut |count| {
        let stream = streams.iter().position(|labels| labels == count.stream).unwrap();
        let fields = count.fields.iter().map(|value| (*value).to_owned()).collect();
        let pattern = count.pattern.unwrap_or_default().to_owned();
        let sum = counts.entry((stream, fields, pattern, count.bucket)).or_default();
        assert!(count.records > 0 && count.pattern.is_some() == request.by_pattern);
        sum.0 += count.records;
        sum.1 += count.bytes;
        ControlFlow::Continue(())
    });
    assert!(flow.unwrap().is_continue());
    counts
}

/// The answer by looking at each row; `patterns` tells theirs.
pub(super) fn count_naively(
    rows: &[Row],
    patterns: &BTreeMap<u64, String>,
    streams: &[Labels],
    request: &LogCountRequest,
    hidden: &[Hidden],
) -> Counts {
    let range = request.range().unwrap();
    let mut counts = Counts::new();
    for row in rows {
        row.show(streams, |shown| {
            if range.contains(shown.at)
                && passes(shown, &request.matchers, &request.lines, &request.fields)
                && !hidden.iter().any(|hidden| hidden.hides(shown))
            {
                let value = |name: &String| field_of(shown.stream, shown.metadata, name).to_owned();
                let fields = request.by_fields.iter().map(value).collect();
                let bucket = request.bucket_of(shown.at);
                let pattern = patterns.get(&row.arrival).filter(|_| request.by_pattern);
                let pattern = pattern.cloned().unwrap_or_default();
                let sum = counts.entry((row.stream, fields, pattern, bucket)).or_default();
                sum.0 += 1;
                sum.1 += shown.line.len() as u64;
            }
        });
    }
    counts
}
