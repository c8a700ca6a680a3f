//! Routing, grouping and notification of alerts.
//!
//! **What it is.** Alertmanager's pipeline in one process: alerts are merged, grouped, silenced,
//! deduplicated against a log of what was sent, and delivered to receivers. Configuration, timers,
//! API semantics and the webhook's JSON are Alertmanager's (0.34), so that people and tools find
//! what they know.
//!
//! **What it is not.** It does not know rules: whoever calls [`Engine::put_alerts`] makes alerts. It
//! has no cluster. One route and webhooks are all that its configuration can say so far; what
//! Alertmanager knows besides is refused by name, never ignored.
//!
//! ```text
//!  put_alerts -> [alert on disk] -> group --group_wait, group_interval--> due
//!                                                                          |
//!     finish <- [outcome on disk] <- deliver (notify, async) <- [attempt on disk]
//! ```
//!
//! Invariants:
//! - Everything is on disk before it is believed: an alert before `put_alerts` answers, an attempt
//!   before its notification is handed out, an outcome before the next one is decided. A kill at any
//!   point loses no page, and repeats at most the delivery that was in flight.
//! - Time is an argument. Only [`notify`] awaits and only it touches the network.
//! - An alert whose sender went away with this process does not resolve by the downtime.

pub mod config;
pub mod notify;

mod engine;
mod error;
mod metrics;
mod notification;
mod silence;
mod status;
mod store;

pub use config::Config;
pub use engine::{Engine, EngineOptions, PostedAlert};
pub use error::{Error, Result};
pub use metrics::EngineMetrics;
pub use notification::{Integration, Notification, NotifiedAlert, Reason};
pub use notify::{BoxFuture, Deliver, Deliverers, DeliveryError, RunOptions, run};
pub use silence::{NewSilence, Silence, SilenceState};
pub use status::{AlertRow, AlertRowState, GroupRow};
pub use store::FAMILY;
