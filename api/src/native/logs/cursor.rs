//! Where a search goes on: behind one record, by its time and its number in the store. Both never
//! change, so that pages have no gaps and no doubles whatever arrives in between. The range of the
//! first page goes along, since that of a later request may end at another `now`.

use std::hash::{Hash, Hasher};

use model::TimestampNs;
use model::log::LogRow;
use model::read::{Direction, RangeNs};
use rustc_hash::FxHasher;

/// The place behind a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) direction: Direction,
    /// Of the whole search.
    pub(super) over: RangeNs,
    /// The last record that was shown.
    pub(super) at: TimestampNs,
    pub(super) arrival: u64,
    /// Tells that the search is the same.
    pub(super) search: u64,
}

impl Cursor {
    /// What tells one search from another.
    pub(super) fn hash_of(query: &str, text: &str) -> u64 {
        let mut hasher = FxHasher::default();
        (query, text).hash(&mut hasher);
        hasher.finish() & 0xffff_ffff
    }

    /// As a parameter that needs no escapes.
    pub(super) fn write(&self) -> String {
        let direction = if self.direction == Direction::Backward { 'b' } else { 'f' };
        format!(
            "{direction}_{}_{}_{}_{}_{:08x}",
            self.over.start.0, self.over.end.0, self.at.0, self.arrival, self.search
        )
    }

    /// What [`Cursor::write`] wrote.
    pub(super) fn parse(text: &str) -> Option<Cursor> {
        let mut parts = text.split('_');
        let mut next = || parts.next();
        let direction = match next()? {
            "b" => Direction::Backward,
            "f" => Direction::Forward,
            _ => return None,
        };
        let mut time = || next()?.parse().ok().map(TimestampNs);
        let (start, end, at) = (time()?, time()?, time()?);
        let arrival = next()?.parse().ok()?;
        let search = u64::from_str_radix(next()?, 16).ok()?;
        let over = RangeNs { start, end };
        (next().is_none() && over.contains(at)).then_some(Cursor {
            direction,
            over,
            at,
            arrival,
            search,
        })
    }

    /// Times that are left.
    pub(super) fn rest(&self) -> RangeNs {
        match self.direction {
            Direction::Backward => RangeNs { end: self.at.plus_ns(1), ..self.over },
            Direction::Forward => RangeNs { start: self.at, ..self.over },
        }
    }

    /// Whether a row of them was not shown.
    pub(super) fn is_before(&self, row: &LogRow<'_>) -> bool {
        let (shown, row) = ((self.at, self.arrival), (row.at, row.arrival));
        match self.direction {
            Direction::Backward => row < shown,
            Direction::Forward => row > shown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let over = RangeNs { start: TimestampNs(-5), end: TimestampNs(i64::MAX) };
        let (at, arrival) = (TimestampNs(-3), u64::MAX);
        for direction in [Direction::Backward, Direction::Forward] {
            let cursor = Cursor { direction, over, at, arrival, search: 7 };
            assert_eq!(Cursor::parse(&cursor.write()), Some(cursor));
        }
        for text in ["", "b", "x_1_9_5_3_0", "b_1_9_10_3_0", "b_1_9_5_3_0_1", "b_1_9_5_-3_0"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
