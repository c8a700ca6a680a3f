//! Several parts become one: large ones by copying their blocks byte for byte, small ones and those
//! with hidden rows row by row.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;
use std::sync::Arc;

use disk::files::Files;
use model::labels::Labels;
use model::log::Field;

use super::block::Block;
use super::select::Filter;
use super::{Part, PartMeta, PartRow, PartWriter};
use crate::cursor::{Hidden, RowKey};
use crate::error::{Error, Result};

/// Parts with fewer rows than this are encoded again, so that their rows share blocks.
const SMALL_ROWS: u64 = 128 << 10;

/// Merges parts (all rows of the inputs but the hidden ones) into a new folder.
pub(crate) fn merge(
    files: Arc<dyn Files>,
    inputs: &[Arc<Part>],
    hidden: &[Hidden],
    dir: &Path,
) -> Result<PartMeta> {
    merge_small(files, inputs, hidden, dir, SMALL_ROWS)
}

/// As [`merge`]; parts with fewer rows than `small_rows` are encoded again.
pub(super) fn merge_small(
    files: Arc<dyn Files>,
    inputs: &[Arc<Part>],
    hidden: &[Hidden],
    dir: &Path,
    small_rows: u64,
) -> Result<PartMeta> {
    let mut streams: Vec<Labels> =
        inputs.iter().flat_map(|part| part.streams().iter().cloned()).collect();
    streams.sort();
    streams.dedup();
    let mut writer = PartWriter::create(files, dir, &streams)?;
    let number = |labels: &Labels| streams.binary_search(labels).unwrap_or(0) as u32;
    let maps: Vec<Vec<u32>> =
        inputs.iter().map(|part| part.streams().iter().map(number).collect()).collect();
    let is_concerned = |part: &Arc<Part>| {
        let meta = part.meta();
        hidden.iter().any(|hidden| hidden.concerns(meta.range, meta.arrivals.start))
    };
    let is_copied = |part: &Arc<Part>| part.meta().rows >= small_rows && !is_concerned(part);
    let mut again = Vec::new();
    for (part, map) in inputs.iter().zip(&maps) {
        if is_copied(part) {
            writer.copy(part, map)?;
        } else {
            again.push((part, map));
        }
    }
    let mut rows = Sources::new(&again, hidden)?;
    while rows.push_next(&mut writer)? {}
    writer.finish()
}

/// Rows of several parts in order of stream, time and arrival.
struct Sources<'a> {
    inputs: &'a [(&'a Arc<Part>, &'a Vec<u32>)],
    hidden: Vec<Vec<Filter>>,
    /// Input and block, the next one last, with the key that none of their rows comes before.
    waiting: Vec<((u32, RowKey), usize, usize)>,
    heap: BinaryHeap<Reverse<((u32, RowKey), usize)>>,
    open: Vec<Option<Open>>,
    line: Vec<u8>,
    values: Vec<u8>,
    ends: Vec<usize>,
}

struct Open {
    block: Block,
    /// The next one last.
    rows: Vec<((u32, RowKey), u32)>,
}

impl<'a> Sources<'a> {
    fn new(inputs: &'a [(&'a Arc<Part>, &'a Vec<u32>)], hidden: &[Hidden]) -> Result<Self> {
        let filters = |part: &Arc<Part>| {
            let filters = hidden.iter().map(|hidden| Filter::of_hidden(part, hidden));
            filters.collect::<Vec<_>>()
        };
        let mut waiting = Vec::new();
        for (input, (part, map)) in inputs.iter().enumerate() {
            for (at, entry) in part.index().blocks.iter().enumerate() {
                let streams = entry.streams.iter().filter_map(|(id, _)| map.get(*id as usize));
                let first = model::TimestampNs(entry.first);
                let key = (streams.min().copied().unwrap_or(0), RowKey { at: first, arrival: 0 });
                waiting.push((key, input, at));
            }
        }
        waiting.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Sources {
            inputs,
            hidden: inputs.iter().map(|(part, _)| filters(part)).collect(),
            waiting,
            heap: BinaryHeap::new(),
            open: Vec::new(),
            line: Vec::new(),
            values: Vec::new(),
            ends: Vec::new(),
        })
    }

    fn open_due(&mut self) -> Result<()> {
        while let Some((key, input, at)) = self.waiting.last().copied() {
            if self.heap.peek().is_some_and(|Reverse((next, _))| *next <= key) {
                break;
            }
            self.waiting.pop();
            let (part, map) = self.inputs[input];
            let block = Block::open(part, at)?;
            let mut rows = super::bits::Bits::all(block.entry().rows);
            for hidden in &self.hidden[input] {
                if hidden.may_pass(at)? {
                    rows.remove_all(&hidden.select(at, &block)?);
                }
            }
            let (times, arrivals) = (block.times()?, block.arrivals()?);
            let mut keys = Vec::with_capacity(rows.len());
            let mut start = 0;
            for (stream, count) in &block.entry().streams {
                let stream = map.get(*stream as usize).copied().unwrap_or(0);
                let end = start + *count as usize;
                for row in (start..end).filter(|row| rows.contains(*row)) {
                    let at = model::TimestampNs(times[row]);
                    keys.push(((stream, RowKey { at, arrival: arrivals[row] }), row as u32));
                }
                start = end;
            }
            keys.sort_unstable_by(|a, b| b.cmp(a));
            if let Some((key, _)) = keys.last() {
                let free = self.open.iter().position(Option::is_none).unwrap_or(self.open.len());
                self.heap.push(Reverse((*key, free)));
                let open = Some(Open { block, rows: keys });
                match self.open.get_mut(free) {
                    Some(place) => *place = open,
                    None => self.open.push(open),
                }
            }
        }
        Ok(())
    }

    /// Gives the next row to the writer; false if there is none.
    fn push_next(&mut self, writer: &mut PartWriter) -> Result<bool> {
        self.open_due()?;
        let Some(Reverse((_, slot))) = self.heap.pop() else { return Ok(false) };
        let Some(place) = self.open.get_mut(slot) else { return Ok(false) };
        let Some(open) = place else { return Ok(false) };
        let Some(((stream, key), row)) = open.rows.pop() else { return Ok(false) };
        let row = row as usize;
        self.line.clear();
        self.values.clear();
        self.ends.clear();
        open.block.append_line(row, &mut self.line)?;
        let shape = open.block.append_values(row, &mut self.values, &mut self.ends)?;
        let mut fields: Vec<Field<'_>> = Vec::with_capacity(shape.len());
        let mut start = 0;
        for (field, end) in shape.iter().zip(&self.ends) {
            fields.push(open.block.field_of(*field, text(&open.block, &self.values[start..*end])?));
            start = *end;
        }
        let line = text(&open.block, &self.line)?;
        let RowKey { at, arrival } = key;
        writer.push(&PartRow { stream, at, arrival, line, shared: &[], fields: &fields })?;
        match open.rows.last() {
            Some((key, _)) => self.heap.push(Reverse((*key, slot))),
            None => *place = None,
        }
        Ok(true)
    }
}

fn text<'a>(block: &Block, bytes: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|_| Error::Corrupt {
        path: block.part().path().to_owned(),
        what: "a text that is not UTF-8".to_owned(),
    })
}
