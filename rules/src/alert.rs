//! The states of an alerting rule's alerts (prometheus `rules/alerting.go`).
//!
//! An evaluation does not change the states: it makes a [`Step`], which holds the next states and
//! what must be written before they may be believed. A failed evaluation makes none, and that is all
//! there is to freezing.

use std::collections::BTreeMap;

use model::kv::KvChange;
use model::{Alert, Labels, TimestampMs, alert::ALERT_NAME, labels::METRIC_NAME};
use template::{Data, Functions, Template};

use crate::error::{Error, Result};
use crate::file::{AlertSpec, RuleSpec};
use crate::status::{AlertState, AlertStatus};
use crate::store;

/// How long a resolved alert is kept and sent again, in case its receiver missed it.
pub(crate) const RESOLVED_RETENTION_MS: i64 = 15 * 60_000;

/// An alert that is active, or was until lately.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ActiveAlert {
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
    pub(crate) state: AlertState,
    pub(crate) active_at: TimestampMs,
    pub(crate) fired_at: Option<TimestampMs>,
    pub(crate) resolved_at: Option<TimestampMs>,
    pub(crate) keep_firing_since: Option<TimestampMs>,
    pub(crate) last_sent_at: Option<TimestampMs>,
    pub(crate) value: f64,
    /// Whether this run of the process has had its sample; not kept on disk.
    pub(crate) is_seen: bool,
}

impl ActiveAlert {
    /// Whether what is on disk is out of date. Words and values are not worth a write: the next
    /// evaluation makes them anew.
    fn differs_durably(&self, other: &Self) -> bool {
        (self.state, self.active_at, self.fired_at, self.resolved_at, self.keep_firing_since)
            != (
                other.state,
                other.active_at,
                other.fired_at,
                other.resolved_at,
                other.keep_firing_since,
            )
    }

    fn needs_sending(&self, now: TimestampMs, resend_delay_ms: i64) -> bool {
        if self.state == AlertState::Pending {
            return false;
        }
        match self.last_sent_at {
            None => true,
            Some(sent) => {
                self.resolved_at.is_some_and(|resolved| resolved > sent)
                    || sent.plus_ms(resend_delay_ms) <= now
            }
        }
    }
}

pub(crate) type Alerts = BTreeMap<Labels, ActiveAlert>;

/// The parsed templates and durations of an alerting rule.
pub(crate) struct AlertingRule {
    labels: Vec<(String, Template)>,
    annotations: Vec<(String, Template)>,
    for_ms: i64,
    keep_firing_for_ms: i64,
}

/// The outcome of a good evaluation.
pub(crate) struct Step {
    pub(crate) alerts: Alerts,
    pub(crate) changes: Vec<KvChange>,
}

/// What an evaluation knows besides the rule.
pub(crate) struct Surroundings<'a> {
    pub(crate) functions: &'a Functions,
    pub(crate) external_labels: &'a template::Labels,
    pub(crate) limit: usize,
    /// Whether the absence of a sample that was not seen since the start ends nothing: right after a
    /// start it may not have come yet.
    pub(crate) is_held: bool,
}

fn parse_all(texts: &[(String, String)]) -> Vec<(String, Template)> {
    texts
        .iter()
        .map(|(name, text)| {
            // The file was checked; a text that fails all the same is shown as it was written.
            let shown = || Template::parse(&text.replace("{{", "{ {"));
            (name.clone(), Template::parse(text).or_else(|_| shown()))
        })
        .filter_map(|(name, parsed)| Some((name, parsed.ok()?)))
        .collect()
}

impl AlertingRule {
    pub(crate) fn new(rule: &RuleSpec, alert: &AlertSpec) -> Self {
        AlertingRule {
            labels: parse_all(&rule.labels),
            annotations: parse_all(&alert.annotations),
            for_ms: alert.for_ms,
            keep_firing_for_ms: alert.keep_firing_for_ms,
        }
    }

    /// The states that follow from `active` when the expression answered `samples` at `now`.
    pub(crate) fn step(
        &self,
        name: &str,
        rule_prefix: &[u8],
        active: &Alerts,
        samples: &[(Labels, f64)],
        now: TimestampMs,
        surroundings: &Surroundings<'_>,
    ) -> Result<Step> {
        let mut found = self.render_all(name, samples, now, surroundings)?;
        let mut alerts = Alerts::new();
        let mut changes = Vec::new();
        for (labels, before) in active {
            let after = match found.remove(labels) {
                Some(fresh) if before.state == AlertState::Inactive => {
                    Some(self.fire_if_due(fresh, now))
                }
                Some(fresh) => Some(self.go_on(before, fresh, now)),
                None if surroundings.is_held && !before.is_seen => Some(before.clone()),
                None => self.go_without(before, now),
            };
            match after {
                None => changes.push(store::delete(rule_prefix, before)),
                Some(after) => {
                    if after.differs_durably(before) {
                        changes.push(store::put(rule_prefix, &after));
                    }
                    alerts.insert(labels.clone(), after);
                }
            }
        }
        for (labels, fresh) in found {
            let fresh = self.fire_if_due(fresh, now);
            changes.push(store::put(rule_prefix, &fresh));
            alerts.insert(labels, fresh);
        }
        let count = alerts.values().filter(|alert| alert.state != AlertState::Inactive).count();
        if surroundings.limit > 0 && count > surroundings.limit {
            return Err(Error::Limit { limit: surroundings.limit, count, what: "alerts" });
        }
        Ok(Step { alerts, changes })
    }

    /// One new alert for each sample.
    fn render_all(
        &self,
        name: &str,
        samples: &[(Labels, f64)],
        now: TimestampMs,
        surroundings: &Surroundings<'_>,
    ) -> Result<Alerts> {
        let mut found = Alerts::new();
        for (metric, value) in samples {
            let labels = template_labels(metric);
            let data = Data {
                labels: &labels,
                external_labels: surroundings.external_labels,
                value: *value,
            };
            let expand = |template: &Template| {
                template.render(&data, surroundings.functions).unwrap_or_else(|error| {
                    tracing::warn!(alert = name, %error, "template of an alert failed");
                    format!("<error expanding template: {error}>")
                })
            };
            let own = self.labels.iter().map(|(name, text)| (name.clone(), expand(text)));
            let from_metric = metric
                .iter()
                .filter(|(name, _)| *name != METRIC_NAME)
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
            let named = [(ALERT_NAME.to_owned(), name.to_owned())];
            let labels = Labels::from_pairs(from_metric.chain(own).chain(named));
            let annotations = Labels::from_pairs(
                self.annotations.iter().map(|(name, text)| (name.clone(), expand(text))),
            );
            let alert = ActiveAlert {
                labels: labels.clone(),
                annotations,
                state: AlertState::Pending,
                active_at: now,
                fired_at: None,
                resolved_at: None,
                keep_firing_since: None,
                last_sent_at: None,
                value: *value,
                is_seen: true,
            };
            if found.insert(labels.clone(), alert).is_some() {
                return Err(Error::DuplicateLabels { labels: labels.to_string() });
            }
        }
        Ok(found)
    }

    fn fire_if_due(&self, mut alert: ActiveAlert, now: TimestampMs) -> ActiveAlert {
        if alert.state == AlertState::Pending && now.0 - alert.active_at.0 >= self.for_ms {
            alert.state = AlertState::Firing;
            alert.fired_at = Some(now);
        }
        alert
    }

    fn go_on(&self, before: &ActiveAlert, fresh: ActiveAlert, now: TimestampMs) -> ActiveAlert {
        let mut alert = before.clone();
        alert.annotations = fresh.annotations;
        alert.value = fresh.value;
        alert.keep_firing_since = None;
        alert.is_seen = true;
        self.fire_if_due(alert, now)
    }

    /// What becomes of an alert whose sample is gone; `None` if it is to be forgotten.
    fn go_without(&self, before: &ActiveAlert, now: TimestampMs) -> Option<ActiveAlert> {
        let mut alert = before.clone();
        match alert.state {
            AlertState::Pending => return None,
            AlertState::Inactive => {
                let resolved = alert.resolved_at.unwrap_or(now);
                return (now.0 - resolved.0 <= RESOLVED_RETENTION_MS).then_some(alert);
            }
            AlertState::Firing => {}
        }
        if self.keep_firing_for_ms > 0 {
            let since = *alert.keep_firing_since.get_or_insert(now);
            if now.0 - since.0 < self.keep_firing_for_ms {
                return Some(alert);
            }
        }
        alert.state = AlertState::Inactive;
        alert.resolved_at = Some(now);
        Some(alert)
    }
}

/// Marks as sent, and returns, what the receiver must hear at `now`.
pub(crate) fn take_to_send(
    alerts: &mut Alerts,
    now: TimestampMs,
    interval_ms: i64,
    resend_delay_ms: i64,
    external_labels: &Labels,
    generator_url: &str,
) -> Vec<Alert> {
    let mut to_send = Vec::new();
    for alert in alerts.values_mut().filter(|alert| alert.needs_sending(now, resend_delay_ms)) {
        alert.last_sent_at = Some(now);
        // Two evaluations or deliveries may fail before the receiver believes it is over.
        let valid_until = now.plus_ms(4 * interval_ms.max(resend_delay_ms));
        let labels = external_labels.iter().chain(alert.labels.iter());
        to_send.push(Alert {
            labels: Labels::from_pairs(labels),
            annotations: alert.annotations.clone(),
            starts_at: alert.fired_at.unwrap_or(alert.active_at),
            ends_at: alert.resolved_at.unwrap_or(valid_until),
            generator_url: generator_url.to_owned(),
        });
    }
    to_send
}

/// `ALERTS` and `ALERTS_FOR_STATE` of what is pending or firing.
pub(crate) fn series(alerts: &Alerts) -> Vec<(Labels, f64)> {
    let active = alerts.values().filter(|alert| alert.state != AlertState::Inactive);
    active
        .flat_map(|alert| {
            let state =
                alert.labels.with(METRIC_NAME, "ALERTS").with("alertstate", alert.state.as_str());
            let since = alert.labels.with(METRIC_NAME, "ALERTS_FOR_STATE");
            [(state, 1.0), (since, alert.active_at.0.div_euclid(1000) as f64)]
        })
        .collect()
}

/// The pending and firing alerts for an API.
pub(crate) fn statuses(alerts: &Alerts) -> Vec<AlertStatus> {
    let active = alerts.values().filter(|alert| alert.state != AlertState::Inactive);
    active
        .map(|alert| AlertStatus {
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            state: alert.state,
            active_at: alert.active_at,
            keep_firing_since: alert.keep_firing_since,
            value: alert.value,
        })
        .collect()
}

/// The names of the functions that templates of rules have besides those of every Go template, in
/// order.
pub fn template_functions() -> impl Iterator<Item = &'static str> {
    template::RULE_FUNCTIONS.iter().map(|function| function.name)
}

/// Labels as a template sees them.
pub(crate) fn template_labels(labels: &Labels) -> template::Labels {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
