//! Everything that touches the disk, for all stores: the write-ahead journal, the key-value
//! database, the byte codec of their records, and the faults that tests inject.
//!
//! **What it is.** A [`Journal`] takes records from a store, gathers them into one write and one
//! fsync (group commit), and resolves each record's [`model::Commit`] after it. At start it replays
//! what it finds: a torn tail is cut, a corrupt record is reported with file and offset and skipped.
//! A [`Kv`] is RocksDB for small mutable facts; `kv.rs` is the only file that names it.
//!
//! **What it is not.** It knows no series, line or span: records are bytes with a kind. It is not
//! the store of samples: sealed blocks are files of their owners.
//!
//! ```text
//!  store: encode -> Journal::append -> queue -> [writer thread] write_all, fdatasync -> Commit
//!  start: Journal::open -> every record, in order of append -> store
//! ```
//!
//! Invariants: a commit resolves `Ok` only after the fsync that covers its record; after a failed
//! write or fsync the journal is poisoned (it refuses every append until a restart, because the
//! kernel may have dropped the dirty pages: see "Can Applications Recover from fsync Failures?",
//! USENIX ATC 2020). The byte layout is in `docs/formats/journal.md`.

pub mod codec;
mod error;
pub mod faults;
pub mod files;
pub mod journal;
pub mod kv;
pub mod manifest;
pub mod paged;
pub mod snapshot;

pub use error::{Error, Result};
pub use journal::{Journal, JournalOptions, Recovery};
pub use kv::Kv;
pub use paged::{PageCache, PagedFile, PagedWriter};
