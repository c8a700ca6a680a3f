//! An alert as rules hand it to the alertmanager.

use crate::clock::TimestampMs;
use crate::labels::Labels;

/// One alert. Its labels are its identity.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Identity, `alertname` among them.
    pub labels: Labels,
    /// Words for people; an empty annotation is kept out.
    pub annotations: Labels,
    /// When it began to fire.
    pub starts_at: TimestampMs,
    /// When it is over; in the future while it fires (the sender promises to renew it).
    pub ends_at: TimestampMs,
    /// Where the expression can be looked at.
    pub generator_url: String,
}

impl Alert {
    /// Whether it is over at `now`.
    pub fn is_resolved_at(&self, now: TimestampMs) -> bool {
        self.ends_at <= now
    }

    /// Its `alertname`.
    pub fn name(&self) -> &str {
        self.labels.get_or_empty(ALERT_NAME)
    }
}

/// The label that holds an alert's name.
pub const ALERT_NAME: &str = "alertname";
