//! What is computed on a clock: recording rules, alerting rules, and RED metrics from spans.
//!
//! **What it is.** A reader of Prometheus rule files ([`mod@file`]), groups of rules that are evaluated
//! tick by tick ([`Manager`], [`Group`]), and an observer of spans that counts rate, errors and
//! duration ([`RedMetrics`]).
//!
//! **What it is not.** No query language: expressions are asked of a [`RuleQuery`]. No delivery:
//! alerts go to a [`SendAlerts`] function. No threads and no clock of its own in an evaluation: the
//! caller says what time it is and on which thread a group runs.
//!
//! ```text
//!  rule file -> file::parse -> Manager::load -> Group --tick--> RuleQuery::instant
//!                                                 |                   |
//!                            KeyValue <-- 1. state of alerts <--------+
//!                          SendAlerts <-- 2. firing and resolved alerts
//!                          SeriesSink <-- 3. recorded series, ALERTS, ALERTS_FOR_STATE
//!
//!  SpanObserver::observe -> RedMetrics --flush--> SeriesSink
//! ```
//!
//! Invariants: the state of an alert is durable before the alert is handed out; an evaluation that
//! fails changes no state and resolves nothing, and what fires is still renewed; neither does the
//! absence of data right after a start; rules of a group
//! run in order, groups do not wait for each other; series that a good evaluation no longer has end
//! with a staleness marker, and a failed evaluation ends none.

pub mod file;
pub mod red;

#[cfg(test)]
mod testing;

mod alert;
mod error;
mod group;
mod manager;
mod metrics;
mod output;
mod status;
mod store;

pub use alert::template_functions;
pub use error::{Error, Result};
pub use file::{FileError, Language, RuleFile, UnknownKeys, Warning};
pub use group::Group;
pub use manager::{DueGroup, Manager, ManagerConfig, RuleQuery, SendAlerts};
pub use metrics::RuleMetrics;
pub use red::{RedConfig, RedMetrics};
pub use status::{AlertState, AlertStatus, Health, RuleGroupStatus, RuleKind, RuleStatus};
pub use store::FAMILY;
