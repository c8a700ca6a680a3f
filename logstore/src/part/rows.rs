//! Rows of a part that a query wants, in its order.
//!
//! Blocks are opened when the scan comes to the first of their times; what is wanted of a block is
//! found for all its rows at once, and lines are put together row by row.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use model::log::{Field, LogRow};
use model::read::{Direction, LogColumns};
use model::{QueryContext, TimestampNs};

use super::Part;
use super::block::Block;
use super::select::Filter;
use crate::cursor::{RowCursor, RowKey, ScanPlan};
use crate::error::{Error, Result};

/// So many open blocks keep the columns of their lines in memory. Where more overlap in time, the
/// one that was read first lets go of them, and puts the rows together before that come next from
/// it: more of them each time, so that a scan of everything reads no block often and one of few
/// rows none twice.
const LOADED_MAX: usize = if cfg!(test) { 3 } else { 48 };
/// Rows that a block puts together the first time.
const READY_ROWS: usize = 8;
/// Bytes of them at most, but for the last one.
const READY_BYTES_MAX: usize = 64 << 10;

/// A query is charged once it has read so many bytes of lines.
const CHARGE_BYTES: u64 = 64 << 10;

/// Rows of blocks that are open, and blocks that are not.
pub(crate) struct Rows<'a> {
    filter: Filter,
    hidden: Vec<Filter>,
    columns: LogColumns,
    order: Option<Direction>,
    context: &'a QueryContext,
    /// Blocks not yet open, the next one last, with the key that none of their rows comes before.
    waiting: Vec<(RowKey, usize)>,
    /// Open blocks by their next rows, in the order of the scan.
    heap: BinaryHeap<(Place, Reverse<usize>)>,
    open: Vec<Option<Open>>,
    /// Open blocks with columns of lines, the one that was read first in front.
    loaded: VecDeque<usize>,
    /// Bytes of lines that the query was not yet charged for.
    uncharged: u64,
    texts: Texts,
}

/// The texts of a row that was put together.
#[derive(Default)]
struct Texts {
    line: Vec<u8>,
    /// The values of its fields, one behind the other, and where each ends.
    values: Vec<u8>,
    ends: Vec<usize>,
    /// Which fields they are.
    shape: Vec<u32>,
}

impl Texts {
    /// Puts a row of a block together, in the place of the one before.
    fn read(&mut self, block: &Block, row: usize, columns: LogColumns) -> Result<()> {
        self.line.clear();
        self.values.clear();
        self.ends.clear();
        self.shape.clear();
        if columns.line {
            block.append_line(row, &mut self.line)?;
        }
        if columns.metadata {
            let shape = block.append_values(row, &mut self.values, &mut self.ends)?;
            self.shape.extend_from_slice(shape);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.line.len() + self.values.len() + self.shape.len() * 12
    }
}

/// Where a row stands in the order of the scan; the greatest comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Forward(Reverse<RowKey>),
    Backward(RowKey),
    /// In any order; the key is told, but does not count.
    Any(Unordered),
}

#[derive(Debug, Clone, Copy)]
struct Unordered(RowKey);

impl PartialEq for Unordered {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Unordered {}

impl PartialOrd for Unordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Unordered {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl Place {
    fn new(order: Option<Direction>, key: RowKey) -> Self {
        match order {
            Some(Direction::Forward) => Place::Forward(Reverse(key)),
            Some(Direction::Backward) => Place::Backward(key),
            None => Place::Any(Unordered(key)),
        }
    }

    fn key(self) -> RowKey {
        match self {
            Place::Forward(Reverse(key)) | Place::Backward(key) | Place::Any(Unordered(key)) => key,
        }
    }
}

struct Open {
    block: Block,
    /// Whether columns of its lines were read.
    is_loaded: bool,
    /// Rows that are wanted, the next one last.
    rows: Vec<(RowKey, u32)>,
    /// The next ones of them that were put together.
    ready: VecDeque<Texts>,
    /// How many were, the last time.
    ready_rows: usize,
}

impl Open {
    /// Lets go of the columns, which the next rows do not need.
    fn unload(&mut self, part: &Arc<Part>, columns: LogColumns) -> Result<()> {
        self.ready_rows = (self.ready_rows * 2).max(READY_ROWS);
        let mut bytes = 0;
        for (_, row) in self.rows.iter().rev().take(self.ready_rows) {
            let mut texts = Texts::default();
            texts.read(&self.block, *row as usize, columns)?;
            bytes += texts.bytes();
            self.ready.push_back(texts);
            if bytes >= READY_BYTES_MAX {
                break;
            }
        }
        self.block = Block::open(part, self.block.at())?;
        self.is_loaded = false;
        Ok(())
    }
}

impl<'a> Rows<'a> {
    pub(crate) fn new(
        part: &Arc<Part>,
        plan: &ScanPlan,
        context: &'a QueryContext,
    ) -> Result<Self> {
        let request = &plan.request;
        let filter =
            Filter::new(part, &request.matchers, request.range, &request.lines, &request.fields);
        let concerned = plan
            .hidden
            .iter()
            .filter(|hidden| hidden.concerns(part.meta().range, part.meta().arrivals.start));
        let hidden = concerned.map(|hidden| Filter::of_hidden(part, hidden)).collect();
        let mut waiting = Vec::new();
        for (at, entry) in part.index().blocks.iter().enumerate() {
            if filter.may_pass(at)? {
                let key = match request.order {
                    Some(Direction::Backward) => {
                        let last = entry.last.min(request.range.end.0);
                        RowKey { at: TimestampNs(last), arrival: u64::MAX }
                    }
                    _ => RowKey {
                        at: TimestampNs(entry.first.max(request.range.start.0)),
                        arrival: 0,
                    },
                };
                waiting.push((key, at));
            }
        }
        match request.order {
            Some(Direction::Forward) => waiting.sort_unstable_by(|a, b| b.cmp(a)),
            Some(Direction::Backward) => waiting.sort_unstable(),
            None => waiting.reverse(),
        }
        Ok(Rows {
            filter,
            hidden,
            columns: request.columns,
            order: request.order,
            context,
            waiting,
            heap: BinaryHeap::new(),
            open: Vec::new(),
            loaded: VecDeque::new(),
            uncharged: 0,
            texts: Texts::default(),
        })
    }

    /// Opens blocks until the next row of the open ones is the next of all.
    fn open_due(&mut self) -> Result<()> {
        while let Some((key, at)) = self.waiting.last().copied() {
            let is_next = match self.heap.peek() {
                Some((place, _)) => Place::new(self.order, key) <= *place,
                None => false,
            };
            if is_next {
                break;
            }
            self.waiting.pop();
            self.open_block(at)?;
        }
        Ok(())
    }

    /// Keeps the number of blocks with columns of lines small, of which `slot` is one from here on.
    fn note_loaded(&mut self, slot: usize) -> Result<()> {
        match self.open.get_mut(slot) {
            Some(Some(open)) if !open.is_loaded => open.is_loaded = true,
            _ => return Ok(()),
        }
        self.loaded.push_back(slot);
        if self.loaded.len() > LOADED_MAX
            && let Some(oldest) = self.loaded.pop_front()
            && let Some(Some(open)) = self.open.get_mut(oldest)
        {
            open.unload(self.filter.part(), self.columns)?;
        }
        Ok(())
    }

    fn open_block(&mut self, at: usize) -> Result<()> {
        let block = Block::open(self.filter.part(), at)?;
        let entry = block.entry();
        self.context.charge(entry.rows as u64, 0)?;
        let mut selected = self.filter.select(at, &block)?;
        for hidden in &self.hidden {
            if !selected.is_empty() && hidden.may_pass(at)? {
                selected.remove_all(&hidden.select(at, &block)?);
            }
        }
        if selected.is_empty() {
            return Ok(());
        }
        let (times, arrivals) = (block.times()?, block.arrivals()?);
        let key = |row: usize| RowKey { at: TimestampNs(times[row]), arrival: arrivals[row] };
        let mut rows: Vec<(RowKey, u32)> =
            selected.iter().map(|row| (key(row), row as u32)).collect();
        match self.order {
            Some(Direction::Forward) => rows.sort_unstable_by(|a, b| b.cmp(a)),
            Some(Direction::Backward) => rows.sort_unstable(),
            None => rows.reverse(),
        }
        if let Some((key, _)) = rows.last() {
            let slot = self.open.iter().position(Option::is_none).unwrap_or(self.open.len());
            self.heap.push((Place::new(self.order, *key), Reverse(slot)));
            let (ready, ready_rows) = (VecDeque::new(), 0);
            let open = Some(Open { block, is_loaded: false, rows, ready, ready_rows });
            match self.open.get_mut(slot) {
                Some(free) => *free = open,
                None => self.open.push(open),
            }
        }
        Ok(())
    }
}

impl RowCursor for Rows<'_> {
    fn peek(&mut self) -> Result<Option<RowKey>> {
        self.open_due()?;
        Ok(self.heap.peek().map(|(place, _)| place.key()))
    }

    fn show(
        &mut self,
        visit: &mut dyn FnMut(&LogRow<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let Some((_, Reverse(slot))) = self.heap.peek().copied() else {
            return Ok(ControlFlow::Continue(()));
        };
        let is_ready = matches!(self.open.get(slot), Some(Some(open)) if !open.ready.is_empty());
        if !is_ready {
            self.note_loaded(slot)?;
        }
        let Some(Some(open)) = self.open.get(slot) else { return Ok(ControlFlow::Continue(())) };
        let Some((key, row)) = open.rows.last().copied() else {
            return Ok(ControlFlow::Continue(()));
        };
        let block = &open.block;
        let row = row as usize;
        let texts = match open.ready.front() {
            Some(ready) => ready,
            None => {
                self.texts.read(block, row, self.columns)?;
                &self.texts
            }
        };
        self.uncharged += texts.line.len() as u64;
        if self.uncharged >= CHARGE_BYTES {
            self.context.charge(0, std::mem::take(&mut self.uncharged))?;
        }
        let mut fields: Vec<Field<'_>> = Vec::with_capacity(texts.shape.len());
        let mut start = 0;
        for (field, end) in texts.shape.iter().zip(&texts.ends) {
            fields.push(block.field_of(*field, text(block, &texts.values[start..*end])?));
            start = *end;
        }
        let stream = block.stream_of(row);
        let (line, metadata) = (text(block, &texts.line)?, &fields[..]);
        Ok(visit(&LogRow { stream, at: key.at, arrival: key.arrival, line, metadata }))
    }

    fn advance(&mut self) {
        let Some((_, Reverse(slot))) = self.heap.pop() else { return };
        let Some(place) = self.open.get_mut(slot) else { return };
        let Some(open) = place else { return };
        open.rows.pop();
        open.ready.pop_front();
        match open.rows.last() {
            Some((key, _)) => self.heap.push((Place::new(self.order, *key), Reverse(slot))),
            None => {
                *place = None;
                self.loaded.retain(|loaded| *loaded != slot);
            }
        }
    }
}

fn text<'a>(block: &Block, bytes: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|_| Error::Corrupt {
        path: block.part().path().to_owned(),
        what: "a text that is not UTF-8".to_owned(),
    })
}
