//! Log records: a stream, an instant, a line, and structured metadata.

mod condition;
mod count;

pub use condition::{LineCondition, Needle};
pub use count::{LEVEL, LogCount, LogCountRequest, count_by_scan, field_of};

use crate::clock::TimestampNs;
use crate::labels::Labels;

/// Where a piece of structured metadata came from; Loki's flat names hide this, we keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// An attribute of the resource.
    Resource,
    /// The instrumentation scope or one of its attributes.
    Scope,
    /// An attribute or a field of the record.
    Record,
    /// Derived by Signalbox, such as `detected_level`.
    Derived,
}

/// Metadata whose name begins so is what a collector notes for itself, such as the place of a line in its
/// file. Stores keep it and show it to scans like any other; languages and answers leave it out, since it
/// would make a stream of each line.
pub const BOOKKEEPING: &str = "__signalbox_";

/// Whether a field is the note of a collector ([`BOOKKEEPING`]).
pub fn is_bookkeeping(name: &str) -> bool {
    name.starts_with(BOOKKEEPING)
}

/// One piece of structured metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as LogQL sees it (dots are underscores).
    pub name: &'a str,
    /// The value as text.
    pub value: &'a str,
    /// Where it came from.
    pub origin: Origin,
}

/// A log record as a store shows it to a query; borrows from the store for one visit.
#[derive(Debug, Clone, Copy)]
pub struct LogRow<'a> {
    /// The stream that the record belongs to.
    pub stream: &'a Labels,
    /// When it happened.
    pub at: TimestampNs,
    /// Grows with arrival; orders records of one stream with equal times.
    pub arrival: u64,
    /// The line.
    pub line: &'a str,
    /// Structured metadata, without the stream's labels.
    pub metadata: &'a [Field<'a>],
}
