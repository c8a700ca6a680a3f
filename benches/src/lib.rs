//! The load generator and what the micro-benchmarks share with it.
//!
//! **What it is.** Deterministic OTLP requests that look like those of a fleet of services, a
//! sender that replays them over HTTP or gRPC and checks every answer, and a report that relates
//! what was accepted to what the server spent on it.
//!
//! **What it is not.** No client library: it retries nothing, because a retry would hide what the
//! server refused. No judge either: it prints numbers, and `README.md` says how to read them.
//!
//! ```text
//!  corpora   seed -> requests of metrics, logs, traces, encoded before the clock starts
//!     |        `-- moves: where times and ids are, so that a second lap sends new data
//!  sender    N connections, closed loop or paced, each answer counted
//!     |
//!  process   CPU, memory and disk of the server from /proc and its data folder
//!     |
//!  report    one table, one JSON line for each signal
//!
//!  spawn     starts a server, runs all of the above, stops the server
//!
//!  compare   the same bytes to our server and to other metric stores, figures side by side
//!  record    counters of this machine, for compare to judge density by
//! ```
//!
//! Invariants: the same options make the same bytes (but for the start time that they name); within
//! a connection the samples of a series are sent in the order of their times.

pub mod compare;
pub mod corpora;
pub mod json;
pub mod process;
pub mod record;
pub mod report;
pub mod run;
pub mod sender;
pub mod spawn;
