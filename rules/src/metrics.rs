//! What the rule engine says of itself, under Prometheus's names, so that existing mixins work.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GroupLabel {
    rule_group: String,
}

/// Counters and gauges of all groups. Clones share their values.
#[derive(Debug, Clone, Default)]
pub struct RuleMetrics {
    evaluations: Family<GroupLabel, Counter>,
    evaluation_failures: Family<GroupLabel, Counter>,
    iterations: Family<GroupLabel, Counter>,
    iterations_missed: Family<GroupLabel, Counter>,
    last_duration_seconds: Family<GroupLabel, Gauge<f64, AtomicU64>>,
    interval_seconds: Family<GroupLabel, Gauge<f64, AtomicU64>>,
    last_evaluation_seconds: Family<GroupLabel, Gauge<f64, AtomicU64>>,
    rules: Family<GroupLabel, Gauge>,
    last_samples: Family<GroupLabel, Gauge>,
}

/// The metrics of one group.
#[derive(Debug, Clone)]
pub(crate) struct GroupMetrics {
    pub(crate) evaluations: Counter,
    pub(crate) evaluation_failures: Counter,
    pub(crate) iterations: Counter,
    pub(crate) iterations_missed: Counter,
    pub(crate) last_duration_seconds: Gauge<f64, AtomicU64>,
    pub(crate) interval_seconds: Gauge<f64, AtomicU64>,
    pub(crate) last_evaluation_seconds: Gauge<f64, AtomicU64>,
    pub(crate) rules: Gauge,
    pub(crate) last_samples: Gauge,
}

impl RuleMetrics {
    /// Adds the metrics to a registry.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry;
        // The library adds `_total` to counters.
        r.register("prometheus_rule_evaluations", "Rule evaluations", self.evaluations.clone());
        r.register(
            "prometheus_rule_evaluation_failures",
            "Rule evaluations that failed",
            self.evaluation_failures.clone(),
        );
        r.register(
            "prometheus_rule_group_iterations",
            "Evaluations of rule groups that were due, missed ones too",
            self.iterations.clone(),
        );
        r.register(
            "prometheus_rule_group_iterations_missed",
            "Evaluations of rule groups that were missed since an earlier one was slow",
            self.iterations_missed.clone(),
        );
        r.register(
            "prometheus_rule_group_last_duration_seconds",
            "Duration of the last evaluation of a rule group",
            self.last_duration_seconds.clone(),
        );
        r.register(
            "prometheus_rule_group_interval_seconds",
            "Interval of a rule group",
            self.interval_seconds.clone(),
        );
        r.register(
            "prometheus_rule_group_last_evaluation_timestamp_seconds",
            "Time of the last evaluation of a rule group",
            self.last_evaluation_seconds.clone(),
        );
        r.register("prometheus_rule_group_rules", "Rules of a group", self.rules.clone());
        r.register(
            "prometheus_rule_group_last_evaluation_samples",
            "Samples that the last evaluation of a rule group made",
            self.last_samples.clone(),
        );
    }

    pub(crate) fn of_group(&self, group_key: &str) -> GroupMetrics {
        let label = GroupLabel { rule_group: group_key.to_owned() };
        GroupMetrics {
            evaluations: self.evaluations.get_or_create_owned(&label),
            evaluation_failures: self.evaluation_failures.get_or_create_owned(&label),
            iterations: self.iterations.get_or_create_owned(&label),
            iterations_missed: self.iterations_missed.get_or_create_owned(&label),
            last_duration_seconds: self.last_duration_seconds.get_or_create_owned(&label),
            interval_seconds: self.interval_seconds.get_or_create_owned(&label),
            last_evaluation_seconds: self.last_evaluation_seconds.get_or_create_owned(&label),
            rules: self.rules.get_or_create_owned(&label),
            last_samples: self.last_samples.get_or_create_owned(&label),
        }
    }

    pub(crate) fn forget_group(&self, group_key: &str) {
        let label = GroupLabel { rule_group: group_key.to_owned() };
        self.evaluations.remove(&label);
        self.evaluation_failures.remove(&label);
        self.iterations.remove(&label);
        self.iterations_missed.remove(&label);
        self.last_duration_seconds.remove(&label);
        self.interval_seconds.remove(&label);
        self.last_evaluation_seconds.remove(&label);
        self.rules.remove(&label);
        self.last_samples.remove(&label);
    }
}
