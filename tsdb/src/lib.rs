//! The time-series store.
//!
//! **What it is.** Series in memory, each with columns of times, values and start times, an inverted
//! index from labels to series, and a journal from which all of it is rebuilt at start.
//!
//! **What it is not.** It knows no PromQL, no OTLP and no names of units. It does not yet seal blocks
//! to disk: what it holds is bounded by [`Options::memory_bytes_max`], and the oldest journal segment
//! makes room when that is reached.
//!
//! ```text
//!  SeriesSink::append -> record.rs encodes -> journal queue --(fsync)--> Commit
//!                     \-> head.rs: columns of each series, searchable at once
//!  Tsdb::open: journal -> record.rs decodes -> head.rs
//!  SeriesSource::select: index.rs finds series -> columns copied out one series at a time
//! ```
//!
//! Invariants: times of a series are strictly increasing; a series is in the journal before its
//! first sample is (one lock covers both); lock order is `head`, then `pending`, then one series.

mod columns;
mod error;
mod head;
mod index;
mod record;
mod series;
mod store;
mod xor;

pub use error::{Error, Result};
pub use store::{Options, Stats, Tsdb};
