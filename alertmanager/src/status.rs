//! Snapshots for Alertmanager's API. Not serializable: JSON is the edge's.

use model::{Alert, Labels, TimestampMs};

/// The state of an alert in Alertmanager's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertRowState {
    /// It is told of.
    Active,
    /// A silence keeps it quiet.
    Suppressed,
}

impl AlertRowState {
    /// The word of the API. Its third, `unprocessed`, does not occur: an alert is processed before
    /// it is taken.
    pub fn as_str(self) -> &'static str {
        match self {
            AlertRowState::Active => "active",
            AlertRowState::Suppressed => "suppressed",
        }
    }
}

/// An alert that is not over.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRow {
    /// The alert.
    pub alert: Alert,
    /// Of its labels; the API shows 16 hex digits.
    pub fingerprint: u64,
    /// When it was heard of last.
    pub updated_at: TimestampMs,
    /// Who is told.
    pub receivers: Vec<String>,
    /// Active or suppressed.
    pub state: AlertRowState,
    /// Ids of silences that match it.
    pub silenced_by: Vec<String>,
}

/// A group with its alerts.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupRow {
    /// Alertmanager's key of the group.
    pub key: String,
    /// The labels that make it.
    pub labels: Labels,
    /// Who is told.
    pub receiver: String,
    /// Alerts that are not over.
    pub alerts: Vec<AlertRow>,
    /// When it is looked at next.
    pub next_flush: TimestampMs,
}
