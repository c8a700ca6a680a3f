//! A group of rules: when it is due, and its evaluation, rule by rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use model::labels::METRIC_NAME;
use model::{Clock, KeyValue, Labels, SeriesSink, TimestampMs};
use parking_lot::{Mutex, RwLock};
use template::{Functions, graph_link};

use crate::alert::{self, AlertingRule, Alerts, Surroundings, template_labels};
use crate::error::{Error, Result};
use crate::file::{GroupSpec, RuleSpec};
use crate::manager::{ManagerConfig, RuleQuery, SendAlerts};
use crate::metrics::{GroupMetrics, RuleMetrics};
use crate::output;
use crate::status::{AlertState, Health, RuleGroupStatus, RuleKind, RuleStatus};
use crate::store::{self, Kept};

/// What all groups share.
pub(crate) struct Environment {
    pub(crate) config: ManagerConfig,
    pub(crate) query: Arc<dyn RuleQuery>,
    pub(crate) sink: Arc<dyn SeriesSink>,
    pub(crate) kv: Arc<dyn KeyValue>,
    pub(crate) send: SendAlerts,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: RuleMetrics,
}

struct Rule {
    spec: RuleSpec,
    /// What its keys begin with; also what tells a reload that it is the same rule.
    prefix: Vec<u8>,
    alerting: Option<AlertingRule>,
}

#[derive(Default)]
struct RuleState {
    alerts: Alerts,
    series: BTreeSet<Labels>,
    health: Health,
    last_error: String,
    seconds: f64,
    last_evaluation: Option<TimestampMs>,
    /// Until when alerts that were read from disk do not end by absence.
    hold_until: Option<TimestampMs>,
}

#[derive(Default)]
struct GroupState {
    rules: Vec<RuleState>,
    seconds: f64,
    last_evaluation: Option<TimestampMs>,
    is_retired: bool,
}

/// A group of rules with the state of its alerts.
pub struct Group {
    file: String,
    key: String,
    spec: GroupSpec,
    interval_ms: i64,
    rules: Vec<Rule>,
    environment: Arc<Environment>,
    metrics: GroupMetrics,
    /// Held for the whole of an evaluation.
    state: Mutex<GroupState>,
    /// Never held for long, so that an API does not wait for an evaluation.
    status: RwLock<Arc<RuleGroupStatus>>,
    next_due_ms: AtomicI64,
    is_claimed: AtomicBool,
}

/// `file;group`, the value of the label `rule_group`.
pub(crate) fn group_key(file: &str, name: &str) -> String {
    format!("{file};{name}")
}

impl Group {
    /// Makes a group whose first evaluation is at its first slot from `now` on. Its alerts are those
    /// of `old`, or those that were kept on disk. Stops `old`.
    pub(crate) fn open(
        environment: Arc<Environment>,
        file: &str,
        spec: &GroupSpec,
        now: TimestampMs,
        old: Option<&Group>,
        kept: &Kept,
    ) -> Self {
        let key = group_key(file, &spec.name);
        let interval_ms = spec.interval_ms.unwrap_or(environment.config.interval_ms).max(1);
        let mut numbers: BTreeMap<(String, Labels), usize> = BTreeMap::new();
        let rules: Vec<Rule> = spec
            .rules
            .iter()
            .map(|rule| {
                let number = numbers.entry((rule.name.clone(), rule.label_set())).or_default();
                *number += 1;
                let prefix = store::rule_prefix(&key, &rule.name, &rule.label_set(), *number);
                let alerting = rule.alert.as_ref().map(|alert| AlertingRule::new(rule, alert));
                Rule { spec: rule.clone(), prefix, alerting }
            })
            .collect();
        let mut state = GroupState::default();
        let hold_until = now.plus_ms(environment.config.restart_hold_ms);
        let mut inherited = old.map(Group::retire).unwrap_or_default();
        for rule in &rules {
            let inherited = inherited.remove(&rule.prefix);
            state.rules.push(inherited.unwrap_or_else(|| restore(kept, rule, hold_until)).0);
        }
        let metrics = environment.metrics.of_group(&key);
        metrics.interval_seconds.set(interval_ms as f64 / 1000.0);
        metrics.rules.set(i64::try_from(rules.len()).unwrap_or(i64::MAX));
        let next = next_slot(&key, interval_ms, now);
        let status = RwLock::new(Arc::new(RuleGroupStatus {
            name: spec.name.clone(),
            file: file.to_owned(),
            language: spec.language,
            interval_ms,
            limit: spec.limit,
            evaluation_seconds: 0.0,
            last_evaluation: None,
            rules: Vec::new(),
        }));
        let group = Group {
            file: file.to_owned(),
            key,
            spec: spec.clone(),
            interval_ms,
            rules,
            environment,
            metrics,
            state: Mutex::new(state),
            status,
            next_due_ms: AtomicI64::new(next.0),
            is_claimed: AtomicBool::new(false),
        };
        // What a changed group no longer has is ended by a rule that makes nothing.
        for (_, mut gone) in inherited {
            group.end_series(&mut gone, now);
        }
        group.publish(&group.state.lock());
        group
    }

    /// Whether it is what `spec` says.
    pub(crate) fn is_same(&self, file: &str, spec: &GroupSpec) -> bool {
        self.file == file && self.spec == *spec
    }

    /// `file;group`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The tick at which it is to be evaluated next.
    pub fn next_due(&self) -> TimestampMs {
        TimestampMs(self.next_due_ms.load(Ordering::Acquire))
    }

    /// The last published state; never waits for an evaluation.
    pub fn status(&self) -> Arc<RuleGroupStatus> {
        self.status.read().clone()
    }

    pub(crate) fn prefixes(&self) -> impl Iterator<Item = &[u8]> {
        self.rules.iter().map(|rule| rule.prefix.as_slice())
    }

    pub(crate) fn try_claim(&self) -> bool {
        !self.is_claimed.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn release(&self) {
        self.is_claimed.store(false, Ordering::Release);
    }

    pub(crate) fn is_claimed(&self) -> bool {
        self.is_claimed.load(Ordering::Acquire)
    }

    /// Stops the group and hands its state to its successor. Waits for a running evaluation.
    pub(crate) fn retire(&self) -> BTreeMap<Vec<u8>, RuleStateOf> {
        let mut state = self.state.lock();
        state.is_retired = true;
        let states = std::mem::take(&mut state.rules);
        self.rules
            .iter()
            .map(|rule| rule.prefix.clone())
            .zip(states.into_iter().map(RuleStateOf))
            .collect()
    }

    /// Ends all series of a group that is gone.
    pub(crate) fn end(&self, now: TimestampMs) {
        for (_, mut gone) in self.retire() {
            self.end_series(&mut gone, now);
        }
        self.environment.metrics.forget_group(&self.key);
    }

    fn end_series(&self, gone: &mut RuleStateOf, now: TimestampMs) {
        let sink = self.environment.sink.as_ref();
        if let Err(error) = output::write(sink, &[], now, &mut gone.0.series) {
            tracing::warn!(group = self.key, %error, "series of a removed rule were not ended");
        }
    }

    /// Takes back ticks that lie far ahead: the clock was wrong when they were planned, and was put
    /// right since.
    pub(crate) fn follow_clock(&self, now: TimestampMs) {
        let due = self.next_due().0;
        let whole_intervals = due.saturating_sub(now.0) / self.interval_ms;
        if whole_intervals > 1 {
            let due = due - whole_intervals * self.interval_ms;
            self.next_due_ms.store(due, Ordering::Release);
        }
    }

    /// Evaluates the last tick up to `now`, if it was not yet; ticks before it count as missed.
    /// Returns whether there was one. Runs on the caller's thread for as long as its queries take.
    pub fn evaluate(&self, now: TimestampMs) -> bool {
        let mut state = self.state.lock();
        let due = self.next_due().0;
        if now.0 < due || state.is_retired {
            return false;
        }
        let missed = (now.0 - due) / self.interval_ms;
        let tick = TimestampMs(due + missed * self.interval_ms);
        self.next_due_ms.store(tick.0 + self.interval_ms, Ordering::Release);
        self.metrics.iterations.inc_by(1 + missed.unsigned_abs());
        self.metrics.iterations_missed.inc_by(missed.unsigned_abs());
        self.evaluate_at(&mut state, tick);
        true
    }

    /// Evaluates at `tick`, due or not: for callers who make the time themselves, such as unit tests
    /// of rules. Runs on the caller's thread for as long as its queries take.
    pub fn evaluate_now(&self, tick: TimestampMs) {
        self.evaluate_at(&mut self.state.lock(), tick);
    }

    fn evaluate_at(&self, state: &mut GroupState, tick: TimestampMs) {
        let clock = self.environment.clock.as_ref();
        let started = clock.monotonic();
        let mut samples = 0;
        for (rule, rule_state) in self.rules.iter().zip(&mut state.rules) {
            let rule_started = clock.monotonic();
            let outcome = self.evaluate_rule(rule, rule_state, tick);
            rule_state.seconds = clock.monotonic().saturating_sub(rule_started).as_secs_f64();
            rule_state.last_evaluation = Some(tick);
            self.metrics.evaluations.inc();
            match outcome {
                Ok(made) => {
                    samples += made;
                    rule_state.health = Health::Ok;
                    rule_state.last_error.clear();
                }
                Err(error) => {
                    self.metrics.evaluation_failures.inc();
                    tracing::warn!(group = self.key, rule = rule.spec.name, %error, "rule failed");
                    rule_state.health = Health::Err;
                    rule_state.last_error = error.to_string();
                }
            }
        }
        state.seconds = clock.monotonic().saturating_sub(started).as_secs_f64();
        state.last_evaluation = Some(tick);
        self.metrics.last_duration_seconds.set(state.seconds);
        self.metrics.last_evaluation_seconds.set(tick.as_seconds());
        self.metrics.last_samples.set(i64::try_from(samples).unwrap_or(i64::MAX));
        self.publish(state);
    }

    fn evaluate_rule(
        &self,
        rule: &Rule,
        state: &mut RuleState,
        tick: TimestampMs,
    ) -> Result<usize> {
        let offset_ms =
            self.spec.query_offset_ms.unwrap_or(self.environment.config.query_offset_ms);
        let at = tick.plus_ms(-offset_ms);
        match &rule.alerting {
            None => self.record(rule, state, at),
            Some(alerting) => {
                let stepped = self.step_alerts(rule, alerting, state, tick, at);
                // Also after a failure: what fires must not end because it could not be looked at.
                let sent = self.send_alerts(rule, state, tick);
                stepped.and(sent)?;
                let series = alert::series(&state.alerts);
                output::write(self.environment.sink.as_ref(), &series, at, &mut state.series)?;
                Ok(series.len())
            }
        }
    }

    fn record(&self, rule: &Rule, state: &mut RuleState, at: TimestampMs) -> Result<usize> {
        let answer = self.query(&rule.spec.expr, at)?;
        let mut series: BTreeMap<Labels, f64> = BTreeMap::new();
        for (labels, value) in answer {
            let own = rule.spec.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let named = [(METRIC_NAME, rule.spec.name.as_str())];
            let labels = Labels::from_pairs(labels.iter().chain(named).chain(own));
            if series.insert(labels.clone(), value).is_some() {
                return Err(Error::DuplicateLabels { labels: labels.to_string() });
            }
        }
        let (limit, count) = (self.spec.limit, series.len());
        if limit > 0 && count > limit {
            return Err(Error::Limit { limit, count, what: "series" });
        }
        let series: Vec<(Labels, f64)> = series.into_iter().collect();
        output::write(self.environment.sink.as_ref(), &series, at, &mut state.series)?;
        Ok(series.len())
    }

    fn query(&self, expr: &str, at: TimestampMs) -> Result<Vec<(Labels, f64)>> {
        let query = &self.environment.query;
        query.instant(self.spec.language, expr, at).map_err(Error::Query)
    }

    fn step_alerts(
        &self,
        rule: &Rule,
        alerting: &AlertingRule,
        state: &mut RuleState,
        tick: TimestampMs,
        at: TimestampMs,
    ) -> Result<()> {
        let environment = &self.environment;
        let samples = self.query(&rule.spec.expr, at)?;
        let (query, language) = (environment.query.clone(), self.spec.language);
        let functions = Functions {
            query: Arc::new(move |expr| {
                let samples = query.instant(language, expr, at).map_err(|e| e.to_string())?;
                Ok(samples
                    .iter()
                    .map(|(labels, value)| (template_labels(labels), *value))
                    .collect())
            }),
            external_url: environment.config.external_url.clone(),
            now_ms: tick.0,
        };
        let external_labels = template_labels(&environment.config.external_labels);
        let surroundings = Surroundings {
            functions: &functions,
            external_labels: &external_labels,
            limit: self.spec.limit,
            is_held: state.hold_until.is_some_and(|until| tick < until),
        };
        let name = &rule.spec.name;
        let step =
            alerting.step(name, &rule.prefix, &state.alerts, &samples, tick, &surroundings)?;
        if !step.changes.is_empty() {
            environment.kv.write(store::FAMILY, &step.changes).map_err(Error::State)?;
        }
        state.alerts = step.alerts;
        Ok(())
    }

    fn send_alerts(&self, rule: &Rule, state: &mut RuleState, tick: TimestampMs) -> Result<()> {
        let config = &self.environment.config;
        let url = format!("{}{}", config.external_url, graph_link(&rule.spec.expr, 1));
        let mut alerts = state.alerts.clone();
        let to_send = alert::take_to_send(
            &mut alerts,
            tick,
            self.interval_ms,
            config.resend_delay_ms,
            &config.external_labels,
            &url,
        );
        if !to_send.is_empty() {
            (self.environment.send)(tick, to_send).map_err(Error::Send)?;
            state.alerts = alerts;
        }
        Ok(())
    }

    fn publish(&self, state: &GroupState) {
        let rules =
            self.rules.iter().zip(&state.rules).map(|(rule, state)| rule_status(rule, state));
        let status = RuleGroupStatus {
            name: self.spec.name.clone(),
            file: self.file.clone(),
            language: self.spec.language,
            interval_ms: self.interval_ms,
            limit: self.spec.limit,
            evaluation_seconds: state.seconds,
            last_evaluation: state.last_evaluation,
            rules: rules.collect(),
        };
        *self.status.write() = Arc::new(status);
    }
}

/// The state of one rule on its way to the rule's successor.
pub(crate) struct RuleStateOf(RuleState);

fn restore(kept: &Kept, rule: &Rule, hold_until: TimestampMs) -> RuleStateOf {
    let mut state = RuleState::default();
    if rule.alerting.is_some() {
        let alerts = kept.alerts(&rule.prefix).into_iter();
        state.alerts = alerts.map(|alert| (alert.labels.clone(), alert)).collect();
        state.hold_until = (!state.alerts.is_empty()).then_some(hold_until);
        // Written by the process before this one, so that they can be ended by this one.
        state.series = alert::series(&state.alerts).into_iter().map(|(labels, _)| labels).collect();
    }
    RuleStateOf(state)
}

fn rule_status(rule: &Rule, state: &RuleState) -> RuleStatus {
    let kind = match &rule.spec.alert {
        None => RuleKind::Recording,
        Some(alert) => {
            let highest = state.alerts.values().map(|alert| alert.state).max();
            RuleKind::Alerting {
                state: highest.unwrap_or(AlertState::Inactive),
                for_ms: alert.for_ms,
                keep_firing_for_ms: alert.keep_firing_for_ms,
                annotations: alert.annotations.clone(),
                alerts: alert::statuses(&state.alerts),
            }
        }
    };
    RuleStatus {
        name: rule.spec.name.clone(),
        query: rule.spec.expr.clone(),
        labels: rule.spec.label_set(),
        kind,
        health: state.health,
        last_error: state.last_error.clone(),
        evaluation_seconds: state.seconds,
        last_evaluation: state.last_evaluation,
    }
}

/// The first tick from `now` on. Groups of one interval are spread over it by a hash of their name,
/// so that they do not all ask at once, and always at the same instants, so that a restart does not
/// move them.
fn next_slot(key: &str, interval_ms: i64, now: TimestampMs) -> TimestampMs {
    let hash = Labels::from_pairs([("group", key)]).fingerprint();
    let offset = i64::try_from(hash % interval_ms.unsigned_abs()).unwrap_or(0);
    let since = (now.0 - offset).rem_euclid(interval_ms);
    if since == 0 { now } else { now.plus_ms(interval_ms - since) }
}
