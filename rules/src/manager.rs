//! All groups, and what is due.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::kv::KvChange;
use model::{Alert, Clock, KeyValue, Labels, SeriesSink, TimestampMs};
use parking_lot::{Mutex, RwLock};

use crate::error::{Error, Result};
use crate::file::{Language, RuleFile};
use crate::group::{Environment, Group, group_key};
use crate::metrics::RuleMetrics;
use crate::status::RuleGroupStatus;
use crate::store::{self, Kept};

/// Answers the expressions of rules.
pub trait RuleQuery: Send + Sync {
    /// The instant vector at `at`; a scalar is one sample without labels.
    fn instant(
        &self,
        language: Language,
        expr: &str,
        at: TimestampMs,
    ) -> model::Result<Vec<(Labels, f64)>>;
}

/// Takes alerts at an instant. `Ok` means that the receiver will not lose them; after an error they
/// are handed out again at the next evaluation.
pub type SendAlerts = Arc<dyn Fn(TimestampMs, Vec<Alert>) -> model::Result<()> + Send + Sync>;

/// What all groups have in common.
#[derive(Debug, Clone)]
pub struct ManagerConfig {
    /// Milliseconds between evaluations of a group that does not say.
    pub interval_ms: i64,
    /// How far back queries look in a group that does not say.
    pub query_offset_ms: i64,
    /// Milliseconds after which an alert is sent again.
    pub resend_delay_ms: i64,
    /// Milliseconds after a start during which alerts that were kept on disk do not end by the
    /// absence of their samples: after a downtime, senders need time to come back.
    pub restart_hold_ms: i64,
    /// Where people reach this Signalbox; no slash at the end.
    pub external_url: String,
    /// Labels of this Signalbox, added to alerts that are sent.
    pub external_labels: Labels,
}

impl Default for ManagerConfig {
    fn default() -> Self {
        ManagerConfig {
            interval_ms: 60_000,
            query_offset_ms: 0,
            resend_delay_ms: 60_000,
            restart_hold_ms: 120_000,
            external_url: String::new(),
            external_labels: Labels::empty(),
        }
    }
}

/// Owns all groups. It has no thread: the binary asks what is due and runs it where it likes.
pub struct Manager {
    environment: Arc<Environment>,
    /// In order of file and group.
    groups: RwLock<Vec<Arc<Group>>>,
    /// Held for the whole of a reload.
    reload: Mutex<()>,
}

/// A group whose tick has come, claimed for one evaluation.
pub struct DueGroup(Arc<Group>);

impl DueGroup {
    /// The group.
    pub fn group(&self) -> &Group {
        &self.0
    }

    /// Evaluates it on this thread.
    pub fn evaluate(self, now: TimestampMs) {
        self.0.evaluate(now);
    }
}

impl Drop for DueGroup {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Manager {
    /// A manager without groups.
    pub fn new(
        config: ManagerConfig,
        query: Arc<dyn RuleQuery>,
        sink: Arc<dyn SeriesSink>,
        kv: Arc<dyn KeyValue>,
        send: SendAlerts,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let metrics = RuleMetrics::default();
        let environment = Arc::new(Environment { config, query, sink, kv, send, clock, metrics });
        Manager { environment, groups: RwLock::default(), reload: Mutex::default() }
    }

    /// The metrics of all groups, to be registered.
    pub fn metrics(&self) -> &RuleMetrics {
        &self.environment.metrics
    }

    /// Replaces all groups. A group that did not change runs on; a changed one takes over the state
    /// of the rules that it still has; the first load takes it from disk. Waits for evaluations of
    /// groups that change. After an error the groups are those of before.
    pub fn load(&self, now: TimestampMs, files: &[RuleFile]) -> Result<()> {
        let _reload = self.reload.lock();
        let kept = Kept::read(self.environment.kv.as_ref()).map_err(Error::State)?;
        let mut before: BTreeMap<String, Arc<Group>> = self
            .groups
            .read()
            .iter()
            .map(|group| (group.key().to_owned(), group.clone()))
            .collect();
        let mut groups = Vec::new();
        for file in files {
            for spec in file.groups.iter().filter(|spec| !spec.rules.is_empty()) {
                let old = before.remove(&group_key(&file.name, &spec.name));
                let group = match old {
                    Some(old) if old.is_same(&file.name, spec) => old,
                    old => {
                        let environment = self.environment.clone();
                        let old = old.as_deref();
                        Arc::new(Group::open(environment, &file.name, spec, now, old, &kept))
                    }
                };
                groups.push(group);
            }
        }
        groups.sort_by(|a, b| a.key().cmp(b.key()));
        *self.groups.write() = groups.clone();
        for gone in before.into_values() {
            gone.end(now);
        }
        self.forget_others(&groups);
        Ok(())
    }

    /// Deletes the kept alerts of rules that are no more. What stays is deleted by the next load.
    fn forget_others(&self, groups: &[Arc<Group>]) {
        let kv = self.environment.kv.as_ref();
        let is_known = |key: &[u8]| {
            groups.iter().any(|group| group.prefixes().any(|prefix| key.starts_with(prefix)))
        };
        let outcome = Kept::read(kv).and_then(|kept| {
            let gone: Vec<KvChange> =
                kept.unknown(is_known).into_iter().map(KvChange::Delete).collect();
            if gone.is_empty() { Ok(()) } else { kv.write(store::FAMILY, &gone) }
        });
        if let Err(error) = outcome {
            tracing::warn!(%error, "kept alerts of removed rules were not deleted");
        }
    }

    /// All groups.
    pub fn groups(&self) -> Vec<Arc<Group>> {
        self.groups.read().clone()
    }

    /// Claims the groups whose tick has come and that are not being evaluated. Each is to be
    /// evaluated on any thread, or dropped.
    pub fn due(&self, now: TimestampMs) -> Vec<DueGroup> {
        let groups = self.groups.read();
        groups.iter().for_each(|group| group.follow_clock(now));
        let due = groups.iter().filter(|group| group.next_due() <= now && group.try_claim());
        due.map(|group| DueGroup(group.clone())).collect()
    }

    /// When [`Manager::due`] should be asked next; `None` without groups that wait.
    pub fn next_due(&self) -> Option<TimestampMs> {
        let groups = self.groups.read();
        groups.iter().filter(|group| !group.is_claimed()).map(|group| group.next_due()).min()
    }

    /// Evaluates all that is due, one group after the other: for tests and small setups.
    pub fn evaluate_due(&self, now: TimestampMs) -> usize {
        let due = self.due(now);
        let count = due.len();
        due.into_iter().for_each(|group| group.evaluate(now));
        count
    }

    /// The last published state of all groups; never waits for an evaluation.
    pub fn statuses(&self) -> Vec<Arc<RuleGroupStatus>> {
        self.groups.read().iter().map(|group| group.status()).collect()
    }
}

#[cfg(test)]
mod tests;
