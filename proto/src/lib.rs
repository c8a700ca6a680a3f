//! The wire formats at Signalbox's edges: proto files, generated types, decoders.
//!
//! What it is: everything that knows how OTLP, Prometheus remote write, Loki push,
//! `google.rpc.Status` and Tempo's messages look as bytes. What it is not: it opens no socket, knows no store, judges no
//! telemetry. Whether a trace id has the right length or a metric name is acceptable is for the
//! collector to say.
//!
//! How an export request moves through:
//!
//! ```text
//! protobuf body --------------------------------+--> otlp::{TracesRef, MetricsRef, LogsRef}
//!                                               |      borrowed, lazy, no allocation
//! JSON body --> json::decode_* --> prost types -+
//!                                   encode to protobuf, so that one walk serves both encodings
//!
//! remote write ----> remote_write::{WriteRef, SymbolWriteRef}, borrowed and lazy too
//! Loki push -------> loki_push::PushRef, likewise
//!
//! outcome ----> response::* --> body in the encoding of the request
//! ```
//!
//! Invariants:
//! - no decoder panics, whatever the bytes; the property tests in `tests/props` hold it to that;
//! - a malformed request is an error that names the place, never a request with a part missing;
//! - nesting is bounded in both encodings ([`otlp::MAX_VALUE_DEPTH`], and 128 levels of JSON);
//! - the generated code is what the `.proto` files say (the test in `proto/generate`).

pub mod exposition;
pub mod generated;
pub mod json;
pub mod loki_push;
pub mod otlp;
pub mod remote_read;
pub mod remote_write;
pub mod response;
mod wire;

pub use json::JsonError;
pub use response::Signal;
pub use wire::{DecodeError, Messages, Problem};
