//! The log store.
//!
//! **What it is.** Log records in memory as the very bytes that the journal holds, found by stream
//! and time, and rebuilt from the journal at start.
//!
//! **What it is not.** It knows no LogQL and no OTLP. It does not yet seal parts to disk or index
//! words: what it holds is bounded by [`Options::memory_bytes_max`], and the oldest journal segment
//! makes room when that is reached; a line filter reads every line of the matching streams.
//!
//! ```text
//!  LogSink::append -> record.rs encodes -> journal queue --(fsync)--> Commit
//!                  \-> head.rs keeps the same bytes and, per stream, where each record is
//!  LogSource::scan: streams by matchers -> entries by time -> merge.rs orders -> rows decoded one by one
//! ```
//!
//! Invariants: entries of a stream are sorted by time, then arrival; equal records are all kept;
//! a row borrows from a snapshot, so a scan never blocks writers while it runs.

mod error;
mod head;
mod merge;
mod record;
mod store;

pub use error::{Error, Result};
pub use store::{LogStore, Options, Stats};
