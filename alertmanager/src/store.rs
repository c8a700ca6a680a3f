//! State on disk: one family, so that an alert and its group, or an attempt and its timer, change
//! together.
//!
//! | key | value |
//! | --- | --- |
//! | `a/<fingerprint>` | an alert |
//! | `g/<group key>` | when the group is looked at next |
//! | `n/<group key> 0x00 <receiver> 0x00 <kind> 0x00 <index>` | what was sent, what is being sent |
//! | `s/<id>` | a silence |
//!
//! Values are JSON: small, rare, and read by people in trouble.

use std::collections::BTreeSet;

use model::kv::KvChange;
use model::{Alert, KeyValue, Labels, MatchOp, Matcher, TimestampMs};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::notification::Integration;
use crate::silence::Silence;

/// The family of [`KeyValue`] that this crate owns.
pub const FAMILY: &str = "alertmanager";

/// An alert with what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredAlert {
    pub(crate) alert: Alert,
    pub(crate) updated_at: TimestampMs,
    /// Whether its end was made up here, since the sender gave none.
    pub(crate) is_timeout: bool,
}

/// When a group is looked at next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupTimer {
    pub(crate) next_flush: TimestampMs,
    pub(crate) has_flushed: bool,
}

/// What an integration was told about a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LogEntry {
    /// The last delivery that succeeded.
    pub(crate) sent: Option<Sent>,
    /// When a delivery was begun whose outcome is not known.
    pub(crate) attempt_at: Option<TimestampMs>,
    /// What that delivery was to tell as firing.
    pub(crate) attempt_firing: BTreeSet<u64>,
}

/// A delivery that succeeded: fingerprints of what it told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) at_ms: i64,
    pub(crate) firing: BTreeSet<u64>,
    pub(crate) resolved: BTreeSet<u64>,
}

pub(crate) type LogKey = (String, Integration);

type Pairs = Vec<(String, String)>;

#[derive(Serialize, Deserialize)]
struct AlertJson {
    labels: Pairs,
    annotations: Pairs,
    starts_at_ms: i64,
    ends_at_ms: i64,
    generator_url: String,
    updated_at_ms: i64,
    is_timeout: bool,
}

#[derive(Serialize, Deserialize)]
struct GroupJson {
    next_flush_ms: i64,
    has_flushed: bool,
}

#[derive(Serialize, Deserialize)]
struct LogJson {
    sent: Option<Sent>,
    attempt_at_ms: Option<i64>,
    #[serde(default)]
    attempt_firing: BTreeSet<u64>,
}

#[derive(Serialize, Deserialize)]
struct SilenceJson {
    matchers: Vec<(String, String, String)>,
    starts_at_ms: i64,
    ends_at_ms: i64,
    updated_at_ms: i64,
    created_by: String,
    comment: String,
    annotations: Pairs,
}

fn pairs(labels: &Labels) -> Pairs {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn put<T: Serialize>(key: Vec<u8>, value: &T) -> KvChange {
    // Texts and numbers always serialize; an empty value would be skipped when it is read.
    KvChange::Put(key, serde_json::to_vec(value).unwrap_or_default())
}

fn alert_key(fingerprint: u64) -> Vec<u8> {
    format!("a/{fingerprint:016x}").into_bytes()
}

fn group_key(key: &str) -> Vec<u8> {
    format!("g/{key}").into_bytes()
}

fn log_key((group, integration): &LogKey) -> Vec<u8> {
    let Integration { receiver, kind, index, .. } = integration;
    format!("n/{group}\0{receiver}\0{kind}\0{index}").into_bytes()
}

fn silence_key(id: &str) -> Vec<u8> {
    format!("s/{id}").into_bytes()
}

pub(crate) fn put_alert(fingerprint: u64, stored: &StoredAlert) -> KvChange {
    let alert = &stored.alert;
    let json = AlertJson {
        labels: pairs(&alert.labels),
        annotations: pairs(&alert.annotations),
        starts_at_ms: alert.starts_at.0,
        ends_at_ms: alert.ends_at.0,
        generator_url: alert.generator_url.clone(),
        updated_at_ms: stored.updated_at.0,
        is_timeout: stored.is_timeout,
    };
    put(alert_key(fingerprint), &json)
}

pub(crate) fn delete_alert(fingerprint: u64) -> KvChange {
    KvChange::Delete(alert_key(fingerprint))
}

pub(crate) fn put_group(key: &str, timer: GroupTimer) -> KvChange {
    let json = GroupJson { next_flush_ms: timer.next_flush.0, has_flushed: timer.has_flushed };
    put(group_key(key), &json)
}

pub(crate) fn delete_group(key: &str) -> KvChange {
    KvChange::Delete(group_key(key))
}

pub(crate) fn put_log(key: &LogKey, entry: &LogEntry) -> KvChange {
    let json = LogJson {
        sent: entry.sent.clone(),
        attempt_at_ms: entry.attempt_at.map(|at| at.0),
        attempt_firing: entry.attempt_firing.clone(),
    };
    put(log_key(key), &json)
}

pub(crate) fn delete_log(key: &LogKey) -> KvChange {
    KvChange::Delete(log_key(key))
}

pub(crate) fn put_silence(silence: &Silence) -> KvChange {
    let matcher = |m: &Matcher| (m.name.clone(), m.op.as_str().to_owned(), m.value.clone());
    let json = SilenceJson {
        matchers: silence.matchers.iter().map(matcher).collect(),
        starts_at_ms: silence.starts_at.0,
        ends_at_ms: silence.ends_at.0,
        updated_at_ms: silence.updated_at.0,
        created_by: silence.created_by.clone(),
        comment: silence.comment.clone(),
        annotations: pairs(&silence.annotations),
    };
    put(silence_key(&silence.id), &json)
}

pub(crate) fn delete_silence(id: &str) -> KvChange {
    KvChange::Delete(silence_key(id))
}

/// Writes changes, if there are any.
pub(crate) fn write(kv: &dyn KeyValue, doing: &'static str, changes: &[KvChange]) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    kv.write(FAMILY, changes).map_err(|source| Error::State { doing, source })
}

/// All entries under a prefix, with the rest of their key. What can not be read is left out with a
/// warning: one bad entry must not keep everybody from being paged.
fn read<T: DeserializeOwned>(kv: &dyn KeyValue, prefix: &str) -> Result<Vec<(String, T)>> {
    let entries = kv
        .scan(FAMILY, prefix.as_bytes())
        .map_err(|source| Error::State { doing: "read alertmanager state", source })?;
    let mut read = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let key = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
        match serde_json::from_slice(&value) {
            Ok(value) => read.push((key, value)),
            Err(error) => tracing::warn!(prefix, key, %error, "kept state can not be read"),
        }
    }
    Ok(read)
}

pub(crate) fn read_alerts(kv: &dyn KeyValue) -> Result<Vec<StoredAlert>> {
    let alerts = read::<AlertJson>(kv, "a/")?.into_iter().map(|(_, json)| StoredAlert {
        alert: Alert {
            labels: Labels::from_pairs(json.labels),
            annotations: Labels::from_pairs(json.annotations),
            starts_at: TimestampMs(json.starts_at_ms),
            ends_at: TimestampMs(json.ends_at_ms),
            generator_url: json.generator_url,
        },
        updated_at: TimestampMs(json.updated_at_ms),
        is_timeout: json.is_timeout,
    });
    Ok(alerts.collect())
}

pub(crate) fn read_groups(kv: &dyn KeyValue) -> Result<Vec<(String, GroupTimer)>> {
    let groups = read::<GroupJson>(kv, "g/")?.into_iter().map(|(key, json)| {
        let next_flush = TimestampMs(json.next_flush_ms);
        (key, GroupTimer { next_flush, has_flushed: json.has_flushed })
    });
    Ok(groups.collect())
}

pub(crate) fn read_log(kv: &dyn KeyValue) -> Result<Vec<(LogKey, LogEntry)>> {
    let entries = read::<LogJson>(kv, "n/")?.into_iter().filter_map(|(key, json)| {
        let mut parts = key.rsplitn(4, '\0');
        let index = parts.next()?.parse().ok()?;
        let (kind, receiver) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let group = parts.next()?.to_owned();
        // Which integration is told of resolved alerts is the configuration's to say.
        let integration = Integration { receiver, kind, index, send_resolved: false };
        let attempt_at = json.attempt_at_ms.map(TimestampMs);
        let attempt_firing = json.attempt_firing;
        Some(((group, integration), LogEntry { sent: json.sent, attempt_at, attempt_firing }))
    });
    Ok(entries.collect())
}

pub(crate) fn read_silences(kv: &dyn KeyValue) -> Result<Vec<Silence>> {
    let mut silences = Vec::new();
    for (id, json) in read::<SilenceJson>(kv, "s/")? {
        match read_matchers(&json.matchers) {
            Some(matchers) => silences.push(Silence {
                id,
                matchers,
                starts_at: TimestampMs(json.starts_at_ms),
                ends_at: TimestampMs(json.ends_at_ms),
                updated_at: TimestampMs(json.updated_at_ms),
                created_by: json.created_by,
                comment: json.comment,
                annotations: Labels::from_pairs(json.annotations),
            }),
            None => tracing::warn!(id, "matchers of a kept silence can not be read"),
        }
    }
    Ok(silences)
}

fn read_matchers(written: &[(String, String, String)]) -> Option<Vec<Matcher>> {
    let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Matches, MatchOp::NotMatches];
    let read = |(name, op, value): &(String, String, String)| {
        let op = ops.into_iter().find(|known| known.as_str() == op)?;
        Matcher::new(name, op, value).ok()
    };
    written.iter().map(read).collect()
}
