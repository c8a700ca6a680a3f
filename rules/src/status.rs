//! Snapshots of groups, rules and alerts, for an API to show. Not serializable: JSON is the edge's.

use model::{Labels, TimestampMs};

use crate::file::Language;

/// Whether a rule's last evaluation was good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// Not evaluated yet.
    #[default]
    Unknown,
    /// Good.
    Ok,
    /// Failed; the state of its alerts is frozen.
    Err,
}

impl Health {
    /// The word of Prometheus's API.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Ok => "ok",
            Health::Err => "err",
        }
    }
}

/// Where an alert, or an alerting rule with all its alerts, stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum AlertState {
    /// Not active, or resolved.
    #[default]
    Inactive,
    /// Active, but for less than `for`.
    Pending,
    /// Active for long enough.
    Firing,
}

impl AlertState {
    /// The word of Prometheus's API and of the label `alertstate`.
    pub fn as_str(self) -> &'static str {
        match self {
            AlertState::Inactive => "inactive",
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
        }
    }
}

/// A pending or firing alert.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertStatus {
    /// Its identity, `alertname` among them.
    pub labels: Labels,
    /// Rendered words.
    pub annotations: Labels,
    /// Pending or firing.
    pub state: AlertState,
    /// Since when the expression holds.
    pub active_at: TimestampMs,
    /// Since when it fires only because of `keep_firing_for`.
    pub keep_firing_since: Option<TimestampMs>,
    /// The value at the last good evaluation.
    pub value: f64,
}

/// What only an alerting rule has.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleKind {
    /// Writes series.
    Recording,
    /// Makes alerts.
    Alerting {
        /// The highest state of its alerts.
        state: AlertState,
        /// `for`.
        for_ms: i64,
        /// `keep_firing_for`.
        keep_firing_for_ms: i64,
        /// Templates as written.
        annotations: Vec<(String, String)>,
        /// Pending and firing alerts.
        alerts: Vec<AlertStatus>,
    },
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleStatus {
    /// The alert's or the recorded series' name.
    pub name: String,
    /// The expression.
    pub query: String,
    /// Labels as written.
    pub labels: Labels,
    /// Alerting or recording.
    pub kind: RuleKind,
    /// Of the last evaluation.
    pub health: Health,
    /// Why the last evaluation failed; empty if it did not.
    pub last_error: String,
    /// How long the last evaluation took, in seconds.
    pub evaluation_seconds: f64,
    /// When it was evaluated last.
    pub last_evaluation: Option<TimestampMs>,
}

/// One group.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleGroupStatus {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// The language of its expressions.
    pub language: Language,
    /// Milliseconds between evaluations.
    pub interval_ms: i64,
    /// The most alerts or series of one rule; 0 is no limit.
    pub limit: usize,
    /// How long the last evaluation took, in seconds.
    pub evaluation_seconds: f64,
    /// When it was evaluated last.
    pub last_evaluation: Option<TimestampMs>,
    /// In order of evaluation.
    pub rules: Vec<RuleStatus>,
}
