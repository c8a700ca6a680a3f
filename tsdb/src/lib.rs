//! The time-series store.
//!
//! **What it is.** Series with their samples, from the moment they are acknowledged until retention
//! drops them: a journal, a head in memory, and immutable blocks that are merged into denser ones.
//!
//! **What it is not.** It knows no PromQL, no OTLP and no names of units.
//!
//! ```text
//!  SeriesSink::append -> record.rs -> journal --(fsync)--> Commit
//!                    \-> head.rs: chunk of each series, times shared by all of a batch
//!  every 30 minutes of data   store/seal.rs   head -> block (Codec::Fast)
//!  every 2 hours, every day   store/merge.rs  blocks -> block (Codec::Dense)
//!  every 45 seconds           checkpoint.rs   head -> file; the journal before it goes
//!  Tsdb::begin: manifest.rs says which files count; samples are taken from here on
//!  Tsdb::load: blocks, checkpoint, journal (store/replay.rs), what came meanwhile (store/load.rs)
//!  SeriesSource::select: catalogue and blocks find series; parts are joined one series at a time
//! ```
//!
//! Invariants: times of a series are strictly increasing in each part, and of two samples at one time
//! the one that came last wins; a series is in the journal before its first sample is; a block is in
//! the manifest before its samples leave the head, and they leave it only when nobody reads the view
//! from before; no query, seal or checkpoint sees a store before it is loaded. File layouts:
//! `docs/formats/`.

mod block;
mod budget;
mod checkpoint;
mod columns;
mod delete;
mod error;
mod head;
mod manifest;
mod options;
mod record;
mod store;
mod view;
mod xor;

pub use error::{Error, Result};
pub use options::{Options, RetentionRule};
pub use store::{Stats, Tsdb};
