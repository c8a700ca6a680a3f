//! The write edge: OTLP over gRPC and HTTP for metrics, logs and traces, Prometheus remote
//! write, and Loki push.
//!
//! **What it is.** Requests come in, are bounded before and after decompression, decoded from
//! borrowed bytes, mapped to the batches of `model::write`, handed to the stores, and acknowledged
//! when the stores' commits resolve. Every refused item is counted by reason and told to the
//! sender.
//!
//! **What it is not.** It keeps nothing (but a cache of series ids, and running sums of deltas where
//! they are wanted), evaluates nothing, and knows no store: only the sinks of `model`.
//!
//! ```text
//!  grpc.rs  http.rs        one framing each; body.rs reads and decompresses within limits
//!       \    /
//!     receiver.rs          JSON becomes protobuf; decode, append, await the commit, count, answer
//!    /     |     \
//!  traces logs metrics     borrowed walkers of `proto` -> SpanBatch, LogBatch, SeriesBatch
//!                |         translation.rs says how, delta.rs adds deltas up
//!                \
//!          series.rs       raw bytes of a point -> series id, labels built only for new series
//!          naming.rs       OTLP names and units -> Prometheus names
//! ```
//!
//! Remote write is a door of its own (`remote_write.rs`): headers, unpacking, labels and samples to
//! a SeriesBatch, with the limits and the in-flight budget of the receiver.
//!
//! So is Loki push (`loki_push.rs`): streams by label text, lines and metadata to a LogBatch.
//! `log_record.rs` has what both doors of logs do to a record.
//!
//! Two doors bring samples that nobody sends: `scrape.rs` asks Prometheus targets, and `import.rs`
//! reads files and is a client of remote write; `exposition.rs` reads their text. `tail.rs` follows log
//! files; `glob.rs` finds all of these by pattern.
//!
//! Invariants: nothing is acknowledged before its commit; a request is either refused whole with a
//! status that says whether to retry, or answered with the exact count of refused items; the memory
//! of requests in flight is bounded by [`Limits::in_flight_bytes_max`].

mod body;
mod exposition;
pub mod glob;
pub mod import;
mod limits;
mod log_record;
mod loki_push;
mod otlp;
mod rejection;
mod remote_write;
pub mod scrape;
mod serve;
pub mod tail;
mod telemetry;

pub use limits::Limits;
pub use otlp::grpc::router as grpc_router;
pub use otlp::http::{Cors, router as http_router};
pub use otlp::receiver::{Receiver, Sinks};
pub use otlp::translation::{DeltaTemporality, Strategy, Translation};
pub use rejection::Rejection;
pub use serve::{ConnectionOptions, serve};
pub use telemetry::Telemetry;
