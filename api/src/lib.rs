//! The read edge: the HTTP APIs of Prometheus, Loki and Alertmanager on one port, and the probes.
//!
//! **What it is.** Wire shapes only: it reads parameters, lets `query` evaluate, and writes the bytes
//! that Grafana's data sources, promtool, logcli and amtool expect. Real clients parse strictly, so
//! key order, number formats, status codes and texts are the contract, and tests compare bytes.
//!
//! **What it is not.** It evaluates nothing, stores nothing and knows no store: data comes through
//! the read traits of `model`, rules through [`RulesStatus`], alerts through `alertmanager::Engine`.
//! It does not listen; the binary serves the [`router`].
//!
//! ```text
//!  request -> parameters.rs (query string, form) -> dialect handler (prometheus, loki, ...)
//!                                                       |
//!             run.rs: wait for a slot, blocking thread, QueryContext, cancel if the client leaves
//!                                                       |
//!             query::{promql, logql} over SeriesSource / LogSource
//!                                                       |
//!  response <- error.rs -> the dialect's envelope   <- json.rs: bytes written in fixed key order
//! ```
//!
//! Invariants: no input makes a panic or a status of the 500s; evaluation never runs on an async
//! thread, and at most [`ApiOptions::queries_concurrent_max`] evaluations run at once; JSON objects
//! are written in a fixed order, never from hash maps; in Grafana's streams `resultType` and
//! `encodingFlags` precede `result`, `seriesLabels` precedes `exemplars`, `stream` precedes `values`;
//! lists are never `null`.

mod router;
mod state;

mod alertmanager_v2;
mod loki;
mod management;
mod native;
mod prometheus;
mod tempo;

mod error;
mod json;
mod parameters;
mod run;
mod telemetry;

pub use error::{Error, Result};
pub use router::router;
pub use state::{
    ActiveTarget, ApiOptions, ApiState, BuildInfo, RulesStatus, RuntimeFacts, ScrapeStatus,
    SelfStatus,
};
