//! What an operator asks of the time-series store beside reading and writing.

use crate::cardinality::{Cardinality, CardinalityRequest, HeadCardinality, StoredBlock};
use crate::clock::TimestampMs;
use crate::error::Result;
use crate::log::LineCondition;
use crate::matcher::Matcher;
use crate::read::{QueryContext, RangeMs, RangeNs};

/// A deletion that can be taken back.
#[derive(Debug, Clone)]
pub struct Deleted {
    /// Names it.
    pub id: u64,
    /// When it was made.
    pub made_at: TimestampMs,
    /// Which series.
    pub matchers: Vec<Matcher>,
    /// Which samples of them.
    pub range: RangeMs,
}

/// A metric or the whole store over its budget of series: the values of one label are folded when
/// one more series comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overflow {
    /// Which budget: `metric`, `label` or `total`.
    pub budget: &'static str,
    /// The metric whose series are folded.
    pub metric: String,
    /// The label whose values are folded: the one with the most. Empty before the first is folded.
    pub label: String,
    /// How many values it had when the budget was reached.
    pub values: u64,
    /// Since when.
    pub since: TimestampMs,
    /// Series that were folded since, as far as they are told apart.
    pub folded_series: u64,
    /// Series over the budget that are kept: they came before the store knew what it held.
    pub kept_series: u64,
}

/// Operates the time-series store. Calls may take long and block the thread.
pub trait SeriesAdmin: Send + Sync {
    /// Seals everything in memory and merges all blocks of a day into one. Durable on return.
    fn merge_all(&self) -> Result<()>;

    /// Numbers of the store by name: sizes by section, work done. Names end in their unit.
    fn figures(&self) -> Vec<(String, u64)>;

    /// Deletes the samples that matching series have in `range` by now, and answers the id with which
    /// the deletion can be taken back for a while. Gone from answers and durable on return.
    fn delete(&self, matchers: &[Matcher], range: RangeMs) -> Result<u64>;

    /// Takes a deletion back; `NotFound` if there is none that can be.
    fn undelete(&self, id: u64) -> Result<()>;

    /// Makes all deletions final and frees their room.
    fn clean_deletions(&self) -> Result<()>;

    /// Deletions that can be taken back, oldest first.
    fn deletions(&self) -> Vec<Deleted>;

    /// Makes a consistent copy of the store beside it, by hard links, and answers its name.
    fn snapshot(&self) -> Result<String>;

    /// Budgets that were reached, and what was folded.
    fn overflows(&self) -> Vec<Overflow>;

    /// Counts the series in memory; each table has `rows` at most.
    fn head_cardinality(&self, rows: usize) -> Result<HeadCardinality>;

    /// Counts the series of a selection in memory and on disk.
    fn cardinality(
        &self,
        request: &CardinalityRequest,
        context: &QueryContext,
    ) -> Result<Cardinality>;

    /// The blocks on disk, in order of their first times.
    fn blocks(&self) -> Vec<StoredBlock>;
}

/// Records that a deletion is about. All conditions hold together.
#[derive(Debug, Clone)]
pub struct LogSelection {
    /// On stream labels.
    pub matchers: Vec<Matcher>,
    /// On lines.
    pub lines: Vec<LineCondition>,
    /// On what [`crate::log::field_of`] tells for a name.
    pub fields: Vec<Matcher>,
    /// Times.
    pub range: RangeNs,
}

/// How far a deletion of log records is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogDeletionState {
    /// Answers lack the records; their bytes are still on disk, and it can be taken back.
    Hidden,
    /// The bytes are gone too.
    Done,
}

/// A deletion of log records.
#[derive(Debug, Clone)]
pub struct LogDeletion {
    /// Names it.
    pub id: u64,
    /// When it was made. Records that arrive later are not deleted.
    pub made_at: TimestampMs,
    /// What the caller wrote, to be shown again.
    pub query: String,
    /// Which records.
    pub selection: LogSelection,
    /// How far it is.
    pub state: LogDeletionState,
}

/// Operates the log store. Calls may take long and block the thread.
pub trait LogAdmin: Send + Sync {
    /// Seals everything in memory and merges what can be merged. Durable on return.
    fn merge_all(&self) -> Result<()>;

    /// Numbers of the store by name: sizes by section, work done. Names end in their unit.
    fn figures(&self) -> Vec<(String, u64)>;

    /// Copies the store, as it is, beside itself while it goes on, and answers the name of the copy.
    fn snapshot(&self) -> Result<String>;

    /// Deletes the selected records that are stored by now and answers the id of the deletion. Gone
    /// from answers and durable on return; `query` is kept to be shown.
    fn delete(&self, selection: &LogSelection, query: &str) -> Result<u64>;

    /// Takes a deletion back whose records are only hidden; `NotFound` if there is none.
    fn undelete(&self, id: u64) -> Result<()>;

    /// Deletions, oldest first. Those that are done are forgotten after a while.
    fn deletions(&self) -> Vec<LogDeletion>;
}
