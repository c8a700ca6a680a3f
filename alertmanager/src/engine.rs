//! The synchronous core: alerts in, notifications out, time as an argument.
//!
//! Every public method takes the one lock, plans on copies, writes the plan to disk, and only then
//! believes it. So a failed write changes nothing, and what is in memory is never ahead of the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::kv::KvChange;
use model::{Alert, KeyValue, Labels, TimestampMs};
use parking_lot::Mutex;

use crate::config::{Config, GroupBy};
use crate::error::{Error, Result};
use crate::metrics::EngineMetrics;
use crate::notification::{Integration, Notification, NotifiedAlert, Reason, sort_alerts};
use crate::silence::{self, NewSilence, Silence, SilenceState};
use crate::status::{AlertRow, AlertRowState, GroupRow};
use crate::store::{self, GroupTimer, LogEntry, LogKey, Sent, StoredAlert};

/// How long the log remembers what was sent, as Alertmanager's `data.retention`.
const LOG_RETENTION_MS: i64 = 120 * 3_600_000;

/// How often old entries are looked for.
const MAINTENANCE_MS: i64 = 15 * 60_000;

/// What an engine is made of.
pub struct EngineOptions {
    /// Routes and receivers.
    pub config: Config,
    /// Where people reach this Signalbox.
    pub external_url: String,
    /// Integrations of the route's receiver besides those of the configuration.
    pub integrations: Vec<Integration>,
}

/// An alert as the API takes it, with what its sender left out.
#[derive(Debug, Clone, PartialEq)]
pub struct PostedAlert {
    /// Its identity.
    pub labels: Labels,
    /// Words for people.
    pub annotations: Labels,
    /// When it began; now if absent.
    pub starts_at: Option<TimestampMs>,
    /// When it is over; after the resolve timeout if absent.
    pub ends_at: Option<TimestampMs>,
    /// Where it comes from.
    pub generator_url: String,
}

#[derive(Debug, Clone)]
struct Group {
    labels: Labels,
    alerts: BTreeSet<u64>,
    timer: GroupTimer,
    /// Deliveries of the last flush that are under way, and whether one of that flush failed.
    in_flight: BTreeSet<Integration>,
    has_failed: bool,
    /// What the last flush saw of resolved alerts: fingerprint and time of update.
    resolved_at_flush: Vec<(u64, TimestampMs)>,
}

#[derive(Default)]
struct State {
    alerts: BTreeMap<u64, StoredAlert>,
    groups: BTreeMap<String, Group>,
    log: BTreeMap<LogKey, LogEntry>,
    silences: BTreeMap<String, Silence>,
    next_maintenance: TimestampMs,
}

type OnChange = Box<dyn Fn() + Send + Sync>;

/// Merges, groups, silences and deduplicates alerts.
pub struct Engine {
    config: Config,
    external_url: String,
    integrations: Vec<Integration>,
    kv: Arc<dyn KeyValue>,
    metrics: EngineMetrics,
    started_at: TimestampMs,
    state: Mutex<State>,
    on_change: Mutex<Option<OnChange>>,
}

impl Engine {
    /// Opens what is kept. Deliveries whose outcome is not known are made again; alerts whose sender
    /// was silent only because this process was down get time to be renewed.
    pub fn open(options: EngineOptions, kv: Arc<dyn KeyValue>, now: TimestampMs) -> Result<Self> {
        let mut integrations = options.config.integrations();
        integrations.extend(options.integrations);
        let mut state = State { next_maintenance: now.plus_ms(MAINTENANCE_MS), ..State::default() };
        let send_resolved: BTreeMap<_, _> =
            integrations.iter().map(|known| (identity(known), known.clone())).collect();
        for ((group, integration), entry) in store::read_log(kv.as_ref())? {
            let integration =
                send_resolved.get(&identity(&integration)).cloned().unwrap_or(integration);
            state.log.insert((group, integration), entry);
        }
        for silence in store::read_silences(kv.as_ref())? {
            state.silences.insert(silence.id.clone(), silence);
        }
        let engine = Engine {
            config: options.config,
            external_url: options.external_url,
            integrations,
            kv,
            metrics: EngineMetrics::default(),
            started_at: now,
            state: Mutex::new(State::default()),
            on_change: Mutex::new(None),
        };
        engine.restore_alerts(&mut state, now)?;
        engine.update_metrics(&state, now);
        *engine.state.lock() = state;
        Ok(engine)
    }

    fn restore_alerts(&self, state: &mut State, now: TimestampMs) -> Result<()> {
        let timers: BTreeMap<String, GroupTimer> =
            store::read_groups(self.kv.as_ref())?.into_iter().collect();
        let grace = now.plus_ms(self.config.resolve_timeout_ms);
        for mut stored in store::read_alerts(self.kv.as_ref())? {
            // An end that lay in the future when it was told was a promise to renew, which could
            // not be kept while nobody listened.
            let was_promise = stored.alert.ends_at > stored.updated_at;
            if was_promise && stored.alert.ends_at < grace {
                stored.alert.ends_at = grace;
            }
            let fingerprint = stored.alert.labels.fingerprint();
            let labels = self.group_labels(&stored.alert.labels);
            let key = group_key(&labels);
            let group = state.groups.entry(key.clone()).or_insert_with(|| {
                let new = GroupTimer {
                    next_flush: now.plus_ms(self.config.route.group_wait_ms),
                    has_flushed: false,
                };
                Group::new(labels, timers.get(&key).copied().unwrap_or(new))
            });
            group.alerts.insert(fingerprint);
            state.alerts.insert(fingerprint, stored);
        }
        let mut changes: Vec<KvChange> = timers
            .keys()
            .filter(|key| !state.groups.contains_key(*key))
            .map(|key| store::delete_group(key))
            .collect();
        for ((group, _), entry) in &mut state.log {
            if entry.attempt_at.is_none() {
                continue;
            }
            if let Some(group) = state.groups.get_mut(group) {
                group.timer.next_flush = group.timer.next_flush.min(now);
            }
        }
        for (key, group) in &state.groups {
            if timers.get(key) != Some(&group.timer) {
                changes.push(store::put_group(key, group.timer));
            }
        }
        store::write(self.kv.as_ref(), "restore groups", &changes)
    }

    /// Calls `f` whenever something may be due earlier than was told before.
    pub fn on_change(&self, f: impl Fn() + Send + Sync + 'static) {
        *self.on_change.lock() = Some(Box::new(f));
    }

    fn changed(&self) {
        if let Some(f) = self.on_change.lock().as_ref() {
            f();
        }
    }

    /// Takes alerts; when it answers, they are on disk. All are taken or none.
    pub fn put_alerts(&self, now: TimestampMs, alerts: Vec<Alert>) -> Result<()> {
        let stored = alerts.into_iter().map(|alert| StoredAlert {
            alert,
            updated_at: now,
            is_timeout: false,
        });
        self.put_stored(now, stored.collect())
    }

    /// Takes alerts from outside, filling in what their sender left out.
    pub fn post_alerts(&self, now: TimestampMs, alerts: Vec<PostedAlert>) -> Result<()> {
        let fill = |posted: PostedAlert| {
            let starts_at =
                posted.starts_at.unwrap_or_else(|| posted.ends_at.unwrap_or(now).min(now));
            let timeout = now.plus_ms(self.config.resolve_timeout_ms);
            StoredAlert {
                alert: Alert {
                    labels: posted.labels,
                    annotations: posted.annotations,
                    starts_at,
                    ends_at: posted.ends_at.unwrap_or(timeout),
                    generator_url: posted.generator_url,
                },
                updated_at: now,
                is_timeout: posted.ends_at.is_none(),
            }
        };
        self.put_stored(now, alerts.into_iter().map(fill).collect())
    }

    fn put_stored(&self, now: TimestampMs, alerts: Vec<StoredAlert>) -> Result<()> {
        for stored in &alerts {
            check_alert(&stored.alert)?;
        }
        let mut state = self.state.lock();
        let mut merged: BTreeMap<u64, StoredAlert> = BTreeMap::new();
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for stored in alerts {
            self.metrics.count_received(stored.alert.is_resolved_at(now));
            let fingerprint = stored.alert.labels.fingerprint();
            let before = merged.get(&fingerprint).or_else(|| state.alerts.get(&fingerprint));
            // What was never heard of and is over is nobody's business.
            if before.is_none() && stored.alert.is_resolved_at(now) {
                continue;
            }
            let was_firing = before.is_some_and(|before| !before.alert.is_resolved_at(now));
            let stored = match before {
                Some(before) => merge(before, stored, now),
                None => stored,
            };
            // Whoever has no receiver yet reads the log.
            match (was_firing, stored.alert.is_resolved_at(now)) {
                (false, false) => tracing::info!(labels = %stored.alert.labels, "alert fires"),
                (true, true) => tracing::info!(labels = %stored.alert.labels, "alert is resolved"),
                _ => {}
            }
            self.plan_group(&state, &mut groups, fingerprint, &stored, now);
            merged.insert(fingerprint, stored);
        }
        let mut changes: Vec<KvChange> = merged
            .iter()
            .map(|(fingerprint, stored)| store::put_alert(*fingerprint, stored))
            .collect();
        for (key, group) in &groups {
            if state.groups.get(key).is_none_or(|before| before.timer != group.timer) {
                changes.push(store::put_group(key, group.timer));
            }
        }
        store::write(self.kv.as_ref(), "write alerts", &changes)?;
        state.alerts.extend(merged);
        state.groups.extend(groups);
        self.update_metrics(&state, now);
        drop(state);
        self.changed();
        Ok(())
    }

    fn plan_group(
        &self,
        state: &State,
        planned: &mut BTreeMap<String, Group>,
        fingerprint: u64,
        stored: &StoredAlert,
        now: TimestampMs,
    ) {
        let route = &self.config.route;
        let labels = self.group_labels(&stored.alert.labels);
        let key = group_key(&labels);
        let group = planned.entry(key.clone()).or_insert_with(|| {
            state.groups.get(&key).cloned().unwrap_or_else(|| {
                let next_flush = now.plus_ms(route.group_wait_ms);
                Group::new(labels, GroupTimer { next_flush, has_flushed: false })
            })
        });
        group.alerts.insert(fingerprint);
        // An alert that is older than the wait has waited elsewhere.
        if !group.timer.has_flushed && stored.alert.starts_at.plus_ms(route.group_wait_ms) < now {
            group.timer.next_flush = now;
        }
    }

    fn group_labels(&self, labels: &Labels) -> Labels {
        match &self.config.route.group_by {
            GroupBy::All => labels.clone(),
            GroupBy::Labels(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                labels.only(&names)
            }
        }
    }

    /// When [`Engine::due`] should be asked next.
    pub fn next_due(&self) -> TimestampMs {
        let state = self.state.lock();
        let groups = state.groups.values().map(|group| group.timer.next_flush);
        groups.min().unwrap_or(TimestampMs::MAX).min(state.next_maintenance)
    }

    /// Looks at every group whose time has come. What is returned must be delivered and its outcome
    /// told with [`Engine::finish`]; the attempts are on disk. After an error nothing has changed,
    /// and asking again makes sense.
    pub fn due(&self, now: TimestampMs) -> Result<Vec<Notification>> {
        let mut state = self.state.lock();
        self.maintain(&mut state, now)?;
        // A time far ahead was planned while the clock was wrong.
        let route = &self.config.route;
        let latest = now.plus_ms(route.group_wait_ms.max(route.group_interval_ms));
        for group in state.groups.values_mut() {
            group.timer.next_flush = group.timer.next_flush.min(latest);
        }
        let due: Vec<String> = state
            .groups
            .iter()
            .filter(|(_, group)| group.timer.next_flush <= now)
            .map(|(key, _)| key.clone())
            .collect();
        let mut notifications = Vec::new();
        for key in due {
            match self.flush_group(&mut state, &key, now) {
                Ok(made) => notifications.extend(made),
                Err(error) if notifications.is_empty() => return Err(error),
                // What was made must go out; the failure is told when it occurs alone.
                Err(_) => break,
            }
        }
        self.update_metrics(&state, now);
        Ok(notifications)
    }

    fn flush_group(
        &self,
        state: &mut State,
        key: &str,
        now: TimestampMs,
    ) -> Result<Vec<Notification>> {
        let Some(before) = state.groups.get(key) else { return Ok(Vec::new()) };
        let mut group = before.clone();
        // A restart, which is late or repeats a delivery, does not move the looks that come after it.
        let interval_ms = self.config.route.group_interval_ms.max(1);
        let planned = self.begun_at(state, key, &group).unwrap_or(group.timer.next_flush);
        let late_ms = now.0.saturating_sub(planned.0).max(0);
        let next_flush = planned.plus_ms((late_ms / interval_ms + 1).saturating_mul(interval_ms));
        group.timer = GroupTimer { next_flush, has_flushed: true };
        if group.in_flight.is_empty() {
            group.has_failed = false;
        }
        let (told, quiet) = self.split_silenced(state, &group, now);
        let lost = self.lost_pages(state, key, &group);
        group.resolved_at_flush = told
            .iter()
            .chain(&quiet)
            .filter(|alert| alert.is_resolved)
            .filter(|alert| !lost.values().any(|lost| lost.contains(&alert.fingerprint)))
            .filter_map(|alert| {
                Some((alert.fingerprint, state.alerts.get(&alert.fingerprint)?.updated_at))
            })
            .collect();
        let (mut notifications, mut changes, mut log) = (Vec::new(), Vec::new(), Vec::new());
        for integration in &self.integrations {
            // The last delivery is still under way; the next flush looks again.
            if group.in_flight.contains(integration) {
                group.has_failed = true;
                continue;
            }
            let log_key = (key.to_owned(), integration.clone());
            let entry = state.log.get(&log_key).cloned().unwrap_or_default();
            let mut told = told.clone();
            if let Some(lost) = lost.get(integration) {
                // The next look tells that it is over.
                let is_lost = |alert: &&mut NotifiedAlert| lost.contains(&alert.fingerprint);
                told.iter_mut().filter(is_lost).for_each(|alert| alert.is_resolved = false);
            }
            let Some(reason) = self.reason(&entry, lost.get(integration), integration, &told, now)
            else {
                continue;
            };
            let alerts: Vec<NotifiedAlert> = told
                .iter()
                .filter(|alert| integration.send_resolved || !alert.is_resolved)
                .cloned()
                .collect();
            if alerts.is_empty() {
                // Nobody is told, but the log must know that nothing fires any more.
                let sent = Some(sent_of(&told, now));
                let entry = LogEntry { sent, ..LogEntry::default() };
                changes.push(store::put_log(&log_key, &entry));
                log.push((log_key, entry));
                continue;
            }
            let attempt_firing = sent_of(&alerts, now).firing;
            let entry = LogEntry { attempt_at: Some(now), attempt_firing, ..entry };
            changes.push(store::put_log(&log_key, &entry));
            log.push((log_key, entry));
            group.in_flight.insert(integration.clone());
            notifications.push(Notification {
                integration: integration.clone(),
                group_key: key.to_owned(),
                group_labels: group.labels.clone(),
                reason,
                alerts,
                at: now,
                // A little before the next look, which must find the outcome.
                try_until: next_flush
                    .plus_ms(-(self.config.route.group_interval_ms / 20).min(1000)),
                external_url: self.external_url.clone(),
            });
        }
        // A timer that only moves on is not worth a write: a restart looks at the group at once and
        // finds nothing to tell.
        if !changes.is_empty() {
            changes.push(store::put_group(key, group.timer));
            store::write(self.kv.as_ref(), "write attempts", &changes)?;
        }
        state.log.extend(log);
        state.groups.insert(key.to_owned(), group);
        self.forget_resolved(state, key);
        Ok(notifications)
    }

    /// When a delivery was begun whose outcome a restart has lost.
    fn begun_at(&self, state: &State, key: &str, group: &Group) -> Option<TimestampMs> {
        let begun = self.integrations.iter().filter(|one| !group.in_flight.contains(*one));
        begun
            .filter_map(|integration| {
                state.log.get(&(key.to_owned(), integration.clone()))?.attempt_at
            })
            .min()
    }

    /// By integration: alerts that a delivery was to tell as firing when the process ended, so that
    /// perhaps nobody knows of them. They are told though they may be over by now.
    fn lost_pages(
        &self,
        state: &State,
        key: &str,
        group: &Group,
    ) -> BTreeMap<Integration, BTreeSet<u64>> {
        let begun = self.integrations.iter().filter(|one| !group.in_flight.contains(*one));
        begun
            .filter_map(|integration| {
                let entry = state.log.get(&(key.to_owned(), integration.clone()))?;
                entry.attempt_at?;
                Some((integration.clone(), entry.attempt_firing.clone()))
            })
            .collect()
    }

    /// The alerts of a group in order, and those of them that a silence keeps quiet.
    fn split_silenced(
        &self,
        state: &State,
        group: &Group,
        now: TimestampMs,
    ) -> (Vec<NotifiedAlert>, Vec<NotifiedAlert>) {
        let mut alerts: Vec<NotifiedAlert> = group
            .alerts
            .iter()
            .filter_map(|fingerprint| {
                let alert = state.alerts.get(fingerprint)?.alert.clone();
                let is_resolved = alert.is_resolved_at(now);
                Some(NotifiedAlert { alert, is_resolved, fingerprint: *fingerprint })
            })
            .collect();
        sort_alerts(&mut alerts);
        alerts.into_iter().partition(|alert| {
            !state.silences.values().any(|silence| silence.mutes(&alert.alert.labels, now))
        })
    }

    /// Whether an integration is to be told, and why (alertmanager `notify/notify.go`, `DedupStage`).
    fn reason(
        &self,
        entry: &LogEntry,
        lost: Option<&BTreeSet<u64>>,
        integration: &Integration,
        told: &[NotifiedAlert],
        now: TimestampMs,
    ) -> Option<Reason> {
        if told.is_empty() {
            return None;
        }
        let firing: BTreeSet<u64> =
            told.iter().filter(|alert| !alert.is_resolved).map(|alert| alert.fingerprint).collect();
        let resolved: BTreeSet<u64> =
            told.iter().filter(|alert| alert.is_resolved).map(|alert| alert.fingerprint).collect();
        let Some(sent) = &entry.sent else {
            return (!firing.is_empty()).then_some(Reason::First);
        };
        // What a delivery in doubt was not to tell as firing, it may have told as over.
        let is_known =
            |one: &u64| sent.firing.contains(one) && lost.is_none_or(|lost| lost.contains(one));
        if !firing.iter().all(is_known) {
            return Some(Reason::NewAlerts);
        }
        if firing.is_empty() {
            // Also without send_resolved, so that the log forgets what fired.
            return (!sent.firing.is_empty()).then_some(Reason::AllResolved);
        }
        if integration.send_resolved && !resolved.is_subset(&sent.resolved) {
            return Some(Reason::NewResolved);
        }
        let repeat_ms = self.config.route.repeat_interval_ms.min(LOG_RETENTION_MS);
        (sent.at_ms + repeat_ms <= now.0).then_some(Reason::Repeat)
    }

    /// Tells the outcome of a delivery. A success is on disk before the group is looked at again; a
    /// failure makes the next flush of the group try again.
    pub fn finish(&self, notification: &Notification, outcome: Result<(), &str>) {
        let integration = &notification.integration;
        self.metrics.count_outcome(&integration.kind, outcome.is_ok());
        let mut state = self.state.lock();
        let log_key = (notification.group_key.clone(), integration.clone());
        let mut entry = state.log.get(&log_key).cloned().unwrap_or_default();
        entry.attempt_at = None;
        entry.attempt_firing.clear();
        match outcome {
            Ok(()) => entry.sent = Some(sent_of(&notification.alerts, notification.at)),
            Err(message) => tracing::error!(
                receiver = integration.receiver,
                integration = integration.kind,
                group = notification.group_key,
                message,
                "notification failed"
            ),
        }
        if let Err(error) =
            store::write(self.kv.as_ref(), "write outcome", &[store::put_log(&log_key, &entry)])
        {
            // It was sent all the same. Only a restart would send it again.
            tracing::error!(%error, "outcome of a notification was not kept");
        }
        state.log.insert(log_key, entry);
        if let Some(group) = state.groups.get_mut(&notification.group_key) {
            group.in_flight.remove(integration);
            group.has_failed |= outcome.is_err();
        }
        self.forget_resolved(&mut state, &notification.group_key);
    }

    /// Drops alerts that were over at the last flush and that everybody was told of.
    fn forget_resolved(&self, state: &mut State, key: &str) {
        let Some(group) = state.groups.get(key) else { return };
        if !group.in_flight.is_empty() || group.has_failed {
            return;
        }
        let gone: Vec<u64> = group
            .resolved_at_flush
            .iter()
            .filter(|(fingerprint, updated_at)| {
                // One that fires again, or ended again, must be told of again.
                state.alerts.get(fingerprint).is_some_and(|stored| stored.updated_at == *updated_at)
            })
            .map(|(fingerprint, _)| *fingerprint)
            .collect();
        let mut changes: Vec<KvChange> = gone.iter().map(|fp| store::delete_alert(*fp)).collect();
        let is_empty = group.alerts.iter().all(|fingerprint| gone.contains(fingerprint));
        if is_empty {
            changes.push(store::delete_group(key));
        }
        if let Err(error) = store::write(self.kv.as_ref(), "forget resolved alerts", &changes) {
            tracing::warn!(%error, "resolved alerts stay until the next flush");
            return;
        }
        for fingerprint in &gone {
            state.alerts.remove(fingerprint);
        }
        if is_empty {
            state.groups.remove(key);
        } else if let Some(group) = state.groups.get_mut(key) {
            group.alerts.retain(|fingerprint| !gone.contains(fingerprint));
            group.resolved_at_flush.clear();
        }
    }

    /// Drops old entries of the log and silences that ended long ago.
    fn maintain(&self, state: &mut State, now: TimestampMs) -> Result<()> {
        if now < state.next_maintenance {
            return Ok(());
        }
        let old_silences: Vec<String> = state
            .silences
            .values()
            .filter(|silence| silence.ends_at.plus_ms(silence::RETENTION_MS) <= now)
            .map(|silence| silence.id.clone())
            .collect();
        let old_entries: Vec<LogKey> = state
            .log
            .iter()
            .filter(|((group, _), entry)| {
                let sent_at = entry.sent.as_ref().map_or(i64::MIN, |sent| sent.at_ms);
                let is_old = sent_at.saturating_add(LOG_RETENTION_MS) <= now.0;
                is_old && entry.attempt_at.is_none() && !state.groups.contains_key(group)
            })
            .map(|(key, _)| key.clone())
            .collect();
        let mut changes: Vec<KvChange> =
            old_silences.iter().map(|id| store::delete_silence(id)).collect();
        changes.extend(old_entries.iter().map(store::delete_log));
        store::write(self.kv.as_ref(), "drop old entries", &changes)?;
        old_silences.iter().for_each(|id| drop(state.silences.remove(id)));
        old_entries.iter().for_each(|key| drop(state.log.remove(key)));
        state.next_maintenance = now.plus_ms(MAINTENANCE_MS);
        Ok(())
    }

    /// Creates or changes a silence; it is on disk when its id is returned.
    pub fn set_silence(&self, now: TimestampMs, new: NewSilence) -> Result<String> {
        let mut state = self.state.lock();
        let change = silence::plan(new.clone(), state.silences.get(&new.id), now)?;
        let id = change.silences.last().map(|silence| silence.id.clone()).unwrap_or_default();
        self.keep_silences(&mut state, change.silences, now)?;
        Ok(id)
    }

    /// Ends a silence. One that is over stays as it is.
    pub fn expire_silence(&self, now: TimestampMs, id: &str) -> Result<()> {
        let mut state = self.state.lock();
        let silence = state.silences.get(id);
        let silence = silence.ok_or_else(|| Error::SilenceNotFound { id: id.to_owned() })?;
        match silence::plan_expire(silence, now) {
            Some(ended) => self.keep_silences(&mut state, vec![ended], now),
            None => Ok(()),
        }
    }

    fn keep_silences(
        &self,
        state: &mut State,
        silences: Vec<Silence>,
        now: TimestampMs,
    ) -> Result<()> {
        let changes: Vec<KvChange> = silences.iter().map(store::put_silence).collect();
        store::write(self.kv.as_ref(), "write silence", &changes)?;
        state.silences.extend(silences.into_iter().map(|silence| (silence.id.clone(), silence)));
        self.update_metrics(state, now);
        Ok(())
    }

    /// A silence by its id.
    pub fn silence(&self, id: &str) -> Result<Silence> {
        let state = self.state.lock();
        let found = state.silences.get(id).cloned();
        found.ok_or_else(|| Error::SilenceNotFound { id: id.to_owned() })
    }

    /// All silences in Alertmanager's order: active by end, pending by start, expired by end from
    /// the latest.
    pub fn silences(&self, now: TimestampMs) -> Vec<Silence> {
        let mut silences: Vec<Silence> = self.state.lock().silences.values().cloned().collect();
        silences.sort_by_key(|silence| match silence.state(now) {
            SilenceState::Active => (0, silence.ends_at.0),
            SilenceState::Pending => (1, silence.starts_at.0),
            SilenceState::Expired => (2, -silence.ends_at.0),
        });
        silences
    }

    /// All alerts that are not over, in order of fingerprint.
    pub fn alerts(&self, now: TimestampMs) -> Vec<AlertRow> {
        let state = self.state.lock();
        state.alerts.keys().filter_map(|fingerprint| self.row(&state, *fingerprint, now)).collect()
    }

    /// All groups with alerts that are not over.
    pub fn groups(&self, now: TimestampMs) -> Vec<GroupRow> {
        let state = self.state.lock();
        let rows = state.groups.iter().map(|(key, group)| GroupRow {
            key: key.clone(),
            labels: group.labels.clone(),
            receiver: self.config.route.receiver.clone(),
            alerts: group.alerts.iter().filter_map(|fp| self.row(&state, *fp, now)).collect(),
            next_flush: group.timer.next_flush,
        });
        rows.filter(|row| !row.alerts.is_empty()).collect()
    }

    fn row(&self, state: &State, fingerprint: u64, now: TimestampMs) -> Option<AlertRow> {
        let stored = state.alerts.get(&fingerprint)?;
        if stored.alert.is_resolved_at(now) {
            return None;
        }
        let mutes = |silence: &&Silence| silence.mutes(&stored.alert.labels, now);
        let silenced_by: Vec<String> =
            state.silences.values().filter(mutes).map(|silence| silence.id.clone()).collect();
        let is_active = silenced_by.is_empty();
        Some(AlertRow {
            alert: stored.alert.clone(),
            fingerprint,
            updated_at: stored.updated_at,
            receivers: vec![self.config.route.receiver.clone()],
            state: if is_active { AlertRowState::Active } else { AlertRowState::Suppressed },
            silenced_by,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Names of all receivers.
    pub fn receivers(&self) -> Vec<String> {
        self.config.receivers.iter().map(|receiver| receiver.name.clone()).collect()
    }

    /// When this engine was opened: the API's `uptime`.
    pub fn started_at(&self) -> TimestampMs {
        self.started_at
    }

    /// Its metrics, to be registered.
    pub fn metrics(&self) -> &EngineMetrics {
        &self.metrics
    }

    fn update_metrics(&self, state: &State, now: TimestampMs) {
        let rows = state.alerts.values().filter(|stored| !stored.alert.is_resolved_at(now));
        let (quiet, active): (Vec<_>, Vec<_>) = rows.partition(|stored| {
            state.silences.values().any(|silence| silence.mutes(&stored.alert.labels, now))
        });
        self.metrics.set_alerts(active.len(), quiet.len());
        let states = [SilenceState::Active, SilenceState::Pending, SilenceState::Expired];
        self.metrics.set_silences(states.map(|wanted| {
            let count =
                state.silences.values().filter(|silence| silence.state(now) == wanted).count();
            (wanted.as_str(), count)
        }));
    }
}

impl Group {
    fn new(labels: Labels, timer: GroupTimer) -> Self {
        Group {
            labels,
            alerts: BTreeSet::new(),
            timer,
            in_flight: BTreeSet::new(),
            has_failed: false,
            resolved_at_flush: Vec::new(),
        }
    }
}

/// Alertmanager's key of a group under the root route.
fn group_key(labels: &Labels) -> String {
    format!("{{}}:{labels}")
}

/// What of an integration its log is kept under.
fn identity(integration: &Integration) -> (String, String, usize) {
    (integration.receiver.clone(), integration.kind.clone(), integration.index)
}

fn check_alert(alert: &Alert) -> Result<()> {
    let refuse = |message: &str| {
        Err(Error::BadAlert { labels: alert.labels.to_string(), message: message.to_owned() })
    };
    if alert.labels.is_empty() {
        return refuse("at least one label pair required");
    }
    if alert.ends_at < alert.starts_at {
        return refuse("start time must be before end time");
    }
    Ok(())
}

fn sent_of(alerts: &[NotifiedAlert], at: TimestampMs) -> Sent {
    let of = |is_resolved: bool| {
        let wanted = alerts.iter().filter(move |alert| alert.is_resolved == is_resolved);
        wanted.map(|alert| alert.fingerprint).collect()
    };
    Sent { at_ms: at.0, firing: of(false), resolved: of(true) }
}

/// What two reports of one alert say together (alertmanager `types/types.go`, `Alert.Merge`; the
/// overlap test is that of `provider/mem/mem.go`).
fn merge(old: &StoredAlert, new: StoredAlert, now: TimestampMs) -> StoredAlert {
    let (before, after) = (&old.alert, &new.alert);
    let overlaps = (after.ends_at > before.starts_at && after.ends_at < before.ends_at)
        || (after.starts_at > before.starts_at && after.starts_at < before.ends_at);
    if !overlaps {
        return new;
    }
    let mut merged = new.clone();
    merged.alert.starts_at = before.starts_at.min(after.starts_at);
    if after.is_resolved_at(now) {
        if before.is_resolved_at(now) {
            merged.alert.ends_at = before.ends_at.max(after.ends_at);
        }
    } else if before.ends_at > after.ends_at && !old.is_timeout {
        merged.alert.ends_at = before.ends_at;
        merged.is_timeout = false;
    }
    merged
}

#[cfg(test)]
mod tests;
