//! The shared words of Signalbox: time, labels, samples, log records, spans, alerts, and the small
//! traits through which the crates meet.
//!
//! **What it is.** Plain data and narrow traits. A write goes `collector -> *Sink -> store`, a read
//! goes `query -> *Source -> store`; neither side knows the other's crate, only the words here.
//!
//! **What it is not.** No I/O, no threads, no wire format, no query language. Types are not
//! serializable on purpose: JSON and protobuf shapes belong to the edges (`collector`, `api`).
//!
//! ```text
//!  collector --(SeriesBatch, LogBatch, SpanBatch)--> SeriesSink / LogSink / SpanSink   write.rs
//!                                                        | returns Commit: resolves when durable
//!  query <--(columns, rows, traces)-- SeriesSource / LogSource / SpanSource             read.rs
//!                                                        | every read charges a QueryContext
//!  rules, alertmanager --(small mutable facts)--> KeyValue                              kv.rs
//! ```
//!
//! Invariants: labels are sorted by name and hold no empty value; timestamps carry their unit in
//! their type; nothing here reads a clock except [`clock::SystemClock`].

pub mod admin;
pub mod alert;
pub mod cardinality;
pub mod clock;
pub mod commit;
pub mod error;
pub mod go_regex;
pub mod kv;
pub mod labels;
pub mod log;
pub mod matcher;
pub mod read;
pub mod rollup;
pub mod sample;
pub mod span;
pub mod value;
pub mod write;

pub use admin::{LogAdmin, LogSelection, SeriesAdmin};
pub use alert::Alert;
pub use clock::{Clock, ManualClock, SystemClock, TimestampMs, TimestampNs};
pub use commit::Commit;
pub use error::{Error, ErrorKind, Result};
pub use kv::KeyValue;
pub use labels::Labels;
pub use matcher::{MatchOp, Matcher};
pub use read::{Cancel, LogSource, QueryContext, QueryLimits, SeriesSource, SpanSource};
pub use sample::{NativeHistogram, ResetHint, SeriesId};
pub use span::{SpanId, TraceId};
pub use value::Value;
pub use write::{LogSink, SeriesSink, SpanSink};
