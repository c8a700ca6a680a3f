//! The trace store.
//!
//! **What it is.** Spans in memory as the very bytes that the journal holds, found by trace id, and
//! rebuilt from the journal at start. Every field that OTLP carries comes back.
//!
//! **What it is not.** It knows no TraceQL and no OTLP. It does not yet seal blocks of columns to
//! disk: what it holds is bounded by [`Options::memory_bytes_max`], and the oldest journal segment
//! makes room when that is reached; a search decodes every trace of its time range.
//!
//! ```text
//!  SpanSink::append -> record.rs encodes -> journal queue --(fsync)--> Commit
//!                   \-> head.rs keeps the same bytes and, per trace, where each span is
//!  SpanSource::trace: id -> spans decoded, fragments merged, repeated spans dropped
//!  SpanSource::scan: traces by start, newest first -> decoded one by one
//! ```
//!
//! Invariants: a trace is always handed out whole, from all batches it came in; a span that came
//! twice (same trace, span id and kind) is handed out once.

mod error;
mod head;
mod record;
mod store;

pub use error::{Error, Result};
pub use store::{Options, Stats, TraceStore};
