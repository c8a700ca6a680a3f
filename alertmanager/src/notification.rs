//! What a receiver gets.

use model::{Alert, Labels, TimestampMs};

/// One way in which a receiver is told: the log of what was sent is kept for each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Integration {
    /// The receiver's name.
    pub receiver: String,
    /// `webhook`, or the word of a deliverer that the binary adds.
    pub kind: String,
    /// Its number among those of the same kind.
    pub index: usize,
    /// Whether it is told that an alert is over.
    pub send_resolved: bool,
}

/// Why a notification is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The group was not told of before.
    First,
    /// An alert fires that was not told of.
    NewAlerts,
    /// An alert is over, others still fire.
    NewResolved,
    /// The last alert is over.
    AllResolved,
    /// Nothing changed for the repeat interval.
    Repeat,
}

impl Reason {
    /// The word of templates and of the webhook's `notification_reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::First => "first notification",
            Reason::NewAlerts => "new alerts added",
            Reason::NewResolved => "some alerts resolved",
            Reason::AllResolved => "all alerts resolved",
            Reason::Repeat => "repeat interval elapsed",
        }
    }
}

/// An alert of a notification.
#[derive(Debug, Clone, PartialEq)]
pub struct NotifiedAlert {
    /// The alert.
    pub alert: Alert,
    /// Whether it was over when the notification was made.
    pub is_resolved: bool,
    /// Of its labels.
    pub fingerprint: u64,
}

/// A message to one integration about one group, with all that its text may need.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// Whom.
    pub integration: Integration,
    /// Alertmanager's key of the group, `{}:{alertname="x"}`.
    pub group_key: String,
    /// The labels that make the group.
    pub group_labels: Labels,
    /// Why.
    pub reason: Reason,
    /// In Alertmanager's order: by `job`, `instance`, then all labels.
    pub alerts: Vec<NotifiedAlert>,
    /// When it was made.
    pub at: TimestampMs,
    /// Until when trying makes sense: shortly before the group is looked at again.
    pub try_until: TimestampMs,
    /// Where people reach this Signalbox.
    pub external_url: String,
}

impl Notification {
    /// Whether no alert fires any more.
    pub fn is_resolved(&self) -> bool {
        self.alerts.iter().all(|alert| alert.is_resolved)
    }

    /// Labels that all alerts have.
    pub fn common_labels(&self) -> Labels {
        common(self.alerts.iter().map(|alert| &alert.alert.labels))
    }

    /// Annotations that all alerts have.
    pub fn common_annotations(&self) -> Labels {
        common(self.alerts.iter().map(|alert| &alert.alert.annotations))
    }
}

fn common<'a>(mut sets: impl Iterator<Item = &'a Labels>) -> Labels {
    let Some(first) = sets.next() else { return Labels::empty() };
    sets.fold(first.clone(), |common, set| {
        common.iter().filter(|(name, value)| set.get(name) == Some(*value)).collect()
    })
}

/// Alertmanager's order of alerts in a message (alertmanager `types/types.go`, `AlertSlice`).
pub(crate) fn sort_alerts(alerts: &mut [NotifiedAlert]) {
    alerts.sort_by(|a, b| {
        let (a, b) = (&a.alert.labels, &b.alert.labels);
        let by = |name| a.get_or_empty(name).cmp(b.get_or_empty(name));
        by("job").then_with(|| by("instance")).then_with(|| a.cmp(b))
    });
}
