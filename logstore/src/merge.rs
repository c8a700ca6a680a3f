//! Rows of the head and of parts in one order.

use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use model::TimestampNs;
use model::log::LogRow;
use model::read::Direction;

use crate::cursor::{RowCursor, RowKey};
use crate::error::{Error, Result};

/// Rows that a scan reads, and that are not touched before it comes to them.
pub(crate) struct Source<'a> {
    /// Times of its rows, both ends included. It may have less.
    pub(crate) first: TimestampNs,
    pub(crate) last: TimestampNs,
    pub(crate) open: Box<dyn FnOnce() -> Result<Box<dyn RowCursor + 'a>> + 'a>,
    /// What the caller is told if it fails.
    pub(crate) number: usize,
}

/// Sorts keys so that the one that comes next is the greatest.
type Rank = (i64, u64);

fn rank(key: RowKey, order: Direction) -> Rank {
    match order {
        Direction::Forward => (!key.at.0, !key.arrival),
        Direction::Backward => (key.at.0, key.arrival),
    }
}

impl Source<'_> {
    /// No row of it comes before this.
    fn rank(&self, order: Direction) -> Rank {
        match order {
            Direction::Forward => (!self.first.0, u64::MAX),
            Direction::Backward => (self.last.0, u64::MAX),
        }
    }
}

/// Visits the rows of all sources in `order`, or source by source, until the visitor breaks. A
/// failure is told with the number of its source.
pub(crate) fn visit(
    sources: Vec<Source<'_>>,
    order: Option<Direction>,
    visit: &mut dyn FnMut(&LogRow<'_>) -> ControlFlow<()>,
) -> Result<(), (usize, Error)> {
    match order {
        None => visit_each(sources, visit),
        Some(order) => visit_in_order(sources, order, visit),
    }
}

fn visit_each(
    sources: Vec<Source<'_>>,
    visit: &mut dyn FnMut(&LogRow<'_>) -> ControlFlow<()>,
) -> Result<(), (usize, Error)> {
    for source in sources {
        let failed = |error| (source.number, error);
        let mut cursor = (source.open)().map_err(failed)?;
        while cursor.peek().map_err(failed)?.is_some() {
            if cursor.show(visit).map_err(failed)?.is_break() {
                return Ok(());
            }
            cursor.advance();
        }
    }
    Ok(())
}

fn visit_in_order(
    mut waiting: Vec<Source<'_>>,
    order: Direction,
    visit: &mut dyn FnMut(&LogRow<'_>) -> ControlFlow<()>,
) -> Result<(), (usize, Error)> {
    waiting.sort_by_key(|source| source.rank(order));
    let mut open: Vec<(usize, Option<Box<dyn RowCursor + '_>>)> = Vec::new();
    let mut next: BinaryHeap<(Rank, usize)> = BinaryHeap::new();
    loop {
        // Whatever may have a row before the one that would come next.
        while let Some(source) = waiting.pop() {
            let may_be_next = next.peek().is_none_or(|(rank, _)| source.rank(order) > *rank);
            if !may_be_next {
                waiting.push(source);
                break;
            }
            let number = source.number;
            let mut cursor = (source.open)().map_err(|error| (number, error))?;
            if let Some(key) = cursor.peek().map_err(|error| (number, error))? {
                next.push((rank(key, order), open.len()));
                open.push((number, Some(cursor)));
            }
        }
        let Some((_, index)) = next.pop() else { return Ok(()) };
        let Some((number, slot)) = open.get_mut(index) else { return Ok(()) };
        let failed = |error| (*number, error);
        let Some(cursor) = slot else { return Ok(()) };
        // Rows of one source often follow each other.
        let others = next.peek().map(|(rank, _)| *rank);
        let behind = others.max(waiting.last().map(|source| source.rank(order)));
        loop {
            if cursor.show(visit).map_err(failed)?.is_break() {
                return Ok(());
            }
            cursor.advance();
            let Some(key) = cursor.peek().map_err(failed)? else {
                *slot = None;
                break;
            };
            let rank = rank(key, order);
            if behind.is_some_and(|behind| rank < behind) {
                next.push((rank, index));
                break;
            }
        }
    }
}
