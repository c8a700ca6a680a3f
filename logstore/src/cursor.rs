//! What a scan reads from: rows of one part or of the head, one after the other, in the order of
//! the scan. `merge.rs` puts several cursors together.

use std::ops::ControlFlow;

use model::log::{LineCondition, LogRow, field_of};
use model::read::{LogRequest, RangeNs};
use model::{LogSelection, Matcher, TimestampNs};

use crate::error::Result;

/// Where a row stands in the order of a scan: by time, then arrival. Arrivals are unique in a
/// store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowKey {
    pub(crate) at: TimestampNs,
    pub(crate) arrival: u64,
}

/// Records that are stored but must not be seen: deleted, or past the retention of their stream.
#[derive(Debug, Clone)]
pub(crate) struct Hidden {
    pub(crate) selection: LogSelection,
    /// Only records that arrived before this one.
    pub(crate) before_arrival: u64,
}

impl Hidden {
    /// Whether it hides a record, whose line and metadata must be there.
    pub(crate) fn hides(&self, row: &LogRow<'_>) -> bool {
        let Hidden { selection, before_arrival } = self;
        row.arrival < *before_arrival
            && selection.range.contains(row.at)
            && Matcher::all_match(&selection.matchers, row.stream)
            && fields_match(&selection.fields, row)
            && LineCondition::all_accept(&selection.lines, row.line)
    }

    /// Whether it can hide records with times in `range` that arrived at `first_arrival` or later.
    pub(crate) fn concerns(&self, range: RangeNs, first_arrival: u64) -> bool {
        let own = self.selection.range;
        first_arrival < self.before_arrival && own.start < range.end && range.start < own.end
    }
}

/// Whether conditions on what [`field_of`] tells all hold.
pub(crate) fn fields_match(fields: &[Matcher], row: &LogRow<'_>) -> bool {
    let passes = |m: &Matcher| m.matches(field_of(row.stream, row.metadata, &m.name));
    fields.iter().all(passes)
}

/// What one scan wants of every part and of the head.
#[derive(Debug)]
pub(crate) struct ScanPlan {
    pub(crate) request: LogRequest,
    /// A record that one of these selects is left out. Exact.
    pub(crate) hidden: Vec<Hidden>,
}

/// Rows in the order of a scan.
pub(crate) trait RowCursor {
    /// The row that comes next, or `None` at the end. Charges the query for what it reads.
    fn peek(&mut self) -> Result<Option<RowKey>>;

    /// Shows the row that [`RowCursor::peek`] told. Only after it answered with one.
    fn show(
        &mut self,
        visit: &mut dyn FnMut(&LogRow<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>>;

    /// Goes on to the next row.
    fn advance(&mut self);
}
