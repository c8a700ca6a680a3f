//! The log store.
//!
//! **What it is.** Log records of any age, found by stream, time and text: in memory until they are
//! sealed, then in immutable parts on disk, one or a few for each day, that are merged when small.
//!
//! **What it is not.** It knows no LogQL and no OTLP. It has no database: streams are found in
//! memory and in the parts (`docs/decisions/0003-log-streams.md`).
//!
//! ```text
//!  LogSink::append -> record.rs encodes -> journal queue --(fsync)--> Commit
//!                  \-> head.rs keeps the same bytes and, per stream, where each record is
//!  seal_due: head full, old or idle -> frozen -> a part a day -> manifest -> journal dropped
//!  maintain: retention, deleted records out of files, small parts merged -> manifest
//!  LogSource::scan: head, frozen head and parts, one cursor each -> merge.rs -> rows in order
//! ```
//!
//! Invariants: every record has an arrival number, which goes up over restarts; the manifest says
//! up to which number parts have them, so that after a crash each is seen once; heads, parts and
//! what is hidden change for readers at one instant; a row borrows from what a query holds, so a
//! scan never blocks writers while it runs; equal records are all kept.

mod cursor;
mod deletion;
mod error;
mod head;
mod manifest;
mod merge;
mod options;
mod part;
mod record;
mod store;
mod template;
mod view;

pub use error::{Error, Result};
pub use options::{Options, RetentionRule};
pub use store::{LogStore, Stats};
