//! The state of alerts on disk: one key an alert, written before the alert is handed out.
//!
//! Key: `<file;group> 0x00 <rule name> 0x00 <rule number> 0x00 <fingerprint of the alert>`. The rule
//! number tells rules of one name and equal labels apart; it counts among those only, so that other
//! rules can be added in front. Value: JSON, since it is small, rare, and read by people in trouble.

use model::kv::KvChange;
use model::{KeyValue, Labels, TimestampMs};
use serde::{Deserialize, Serialize};

use crate::alert::ActiveAlert;
use crate::status::AlertState;

/// The family of [`KeyValue`] that this crate owns.
pub const FAMILY: &str = "rules";

#[derive(Serialize, Deserialize)]
struct Stored {
    labels: Vec<(String, String)>,
    annotations: Vec<(String, String)>,
    state: String,
    active_at_ms: i64,
    fired_at_ms: Option<i64>,
    resolved_at_ms: Option<i64>,
    keep_firing_since_ms: Option<i64>,
    // JSON has no NaN, which a sample may be.
    value: String,
}

fn pairs(labels: &Labels) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The prefix of all keys of a group.
pub(crate) fn group_prefix(group_key: &str) -> Vec<u8> {
    let mut prefix = group_key.as_bytes().to_vec();
    prefix.push(0);
    prefix
}

/// The prefix of all keys of a rule.
pub(crate) fn rule_prefix(group_key: &str, name: &str, labels: &Labels, number: usize) -> Vec<u8> {
    let mut prefix = group_prefix(group_key);
    prefix.extend_from_slice(name.as_bytes());
    prefix.extend_from_slice(format!("\0{:016x}.{number}\0", labels.fingerprint()).as_bytes());
    prefix
}

fn key(rule_prefix: &[u8], alert: &ActiveAlert) -> Vec<u8> {
    let mut key = rule_prefix.to_vec();
    key.extend_from_slice(format!("{:016x}", alert.labels.fingerprint()).as_bytes());
    key
}

/// The change that keeps `alert`.
pub(crate) fn put(rule_prefix: &[u8], alert: &ActiveAlert) -> KvChange {
    let stored = Stored {
        labels: pairs(&alert.labels),
        annotations: pairs(&alert.annotations),
        state: alert.state.as_str().to_owned(),
        active_at_ms: alert.active_at.0,
        fired_at_ms: alert.fired_at.map(|at| at.0),
        resolved_at_ms: alert.resolved_at.map(|at| at.0),
        keep_firing_since_ms: alert.keep_firing_since.map(|at| at.0),
        value: alert.value.to_string(),
    };
    // Strings and numbers always serialize; an empty value would be skipped when it is read.
    KvChange::Put(key(rule_prefix, alert), serde_json::to_vec(&stored).unwrap_or_default())
}

/// The change that forgets `alert`.
pub(crate) fn delete(rule_prefix: &[u8], alert: &ActiveAlert) -> KvChange {
    KvChange::Delete(key(rule_prefix, alert))
}

/// Everything that is kept, in order of key.
pub(crate) struct Kept(Vec<(Vec<u8>, Vec<u8>)>);

impl Kept {
    /// Reads all of it at once, so that a disk that can not be read is found before anything is
    /// changed.
    pub(crate) fn read(kv: &dyn KeyValue) -> model::Result<Self> {
        Ok(Kept(kv.scan(FAMILY, b"")?))
    }

    /// The alerts of a rule. An entry that can not be decoded is left out: the alert will be found
    /// again by its expression.
    pub(crate) fn alerts(&self, rule_prefix: &[u8]) -> Vec<ActiveAlert> {
        let first = self.0.partition_point(|(key, _)| key.as_slice() < rule_prefix);
        let own = self.0[first..].iter().take_while(|(key, _)| key.starts_with(rule_prefix));
        own.filter_map(|(key, value)| decode(key, value)).collect()
    }

    /// Keys that `is_known` does not know.
    pub(crate) fn unknown(self, is_known: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        self.0.into_iter().map(|(key, _)| key).filter(|key| !is_known(key)).collect()
    }
}

fn decode(key: &[u8], value: &[u8]) -> Option<ActiveAlert> {
    let stored: Stored = match serde_json::from_slice(value) {
        Ok(stored) => stored,
        Err(error) => {
            let key = String::from_utf8_lossy(key).replace('\0', "/");
            tracing::warn!(%key, %error, "kept state of an alert can not be read");
            return None;
        }
    };
    let state = match stored.state.as_str() {
        "pending" => AlertState::Pending,
        "firing" => AlertState::Firing,
        _ => AlertState::Inactive,
    };
    Some(ActiveAlert {
        labels: Labels::from_pairs(stored.labels),
        annotations: Labels::from_pairs(stored.annotations),
        state,
        active_at: TimestampMs(stored.active_at_ms),
        fired_at: stored.fired_at_ms.map(TimestampMs),
        resolved_at: stored.resolved_at_ms.map(TimestampMs),
        keep_firing_since: stored.keep_firing_since_ms.map(TimestampMs),
        last_sent_at: None,
        value: stored.value.parse().unwrap_or(f64::NAN),
        is_seen: false,
    })
}
