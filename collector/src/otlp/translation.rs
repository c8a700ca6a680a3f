//! How OTLP metrics become series: the keys that Prometheus has for it, and what is done with
//! deltas.

use std::time::Duration;

use model::labels::{DELTA, TEMPORALITY};

/// How names are translated; Prometheus's `translation_strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Plain names with unit and type at their end.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Plain names.
    UnderscoreEscapingWithoutSuffixes,
    /// Names as they are with unit and type at their end.
    NoUtf8EscapingWithSuffixes,
    /// Names as they are.
    NoTranslation,
}

impl Strategy {
    /// All strategies with the words of Prometheus's configuration.
    pub const ALL: [(&'static str, Strategy); 4] = [
        ("UnderscoreEscapingWithSuffixes", Strategy::UnderscoreEscapingWithSuffixes),
        ("UnderscoreEscapingWithoutSuffixes", Strategy::UnderscoreEscapingWithoutSuffixes),
        ("NoUTF8EscapingWithSuffixes", Strategy::NoUtf8EscapingWithSuffixes),
        ("NoTranslation", Strategy::NoTranslation),
    ];

    pub(crate) fn escapes(self) -> bool {
        use Strategy::{UnderscoreEscapingWithSuffixes, UnderscoreEscapingWithoutSuffixes};
        matches!(self, UnderscoreEscapingWithSuffixes | UnderscoreEscapingWithoutSuffixes)
    }

    pub(crate) fn adds_suffixes(self) -> bool {
        use Strategy::{NoUtf8EscapingWithSuffixes, UnderscoreEscapingWithSuffixes};
        matches!(self, UnderscoreEscapingWithSuffixes | NoUtf8EscapingWithSuffixes)
    }
}

/// What is done with points that tell only what happened since the point before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeltaTemporality {
    /// They are stored as they come, with a label that says so.
    #[default]
    Keep,
    /// They are added up per series. The sums start anew with the process.
    Cumulative,
}

impl DeltaTemporality {
    /// All ways with their words in the configuration.
    pub const ALL: [(&'static str, DeltaTemporality); 2] =
        [("keep", DeltaTemporality::Keep), ("cumulative", DeltaTemporality::Cumulative)];

    /// The label of a series of deltas that are stored as they come.
    pub(crate) const LABEL: (&'static str, &'static str) = (TEMPORALITY, DELTA);
}

/// How OTLP metrics become series. The names are those of Prometheus's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translation {
    /// How names are translated.
    pub strategy: Strategy,
    /// Resource attributes that become labels of every series.
    pub promote_resource_attributes: Vec<String>,
    /// All of them do, but those to ignore.
    pub promote_all_resource_attributes: bool,
    /// Resource attributes that do not, where all others do.
    pub ignore_resource_attributes: Vec<String>,
    /// `target_info` also has what `job` and `instance` are made of.
    pub keep_identifying_resource_attributes: bool,
    /// Name, version, schema and attributes of the scope become labels `otel_scope_...`.
    pub promote_scope_metadata: bool,
    /// Histograms with explicit bounds become native ones with custom buckets.
    pub convert_histograms_to_nhcb: bool,
    /// A label name that starts with one underscore gets `key` in front.
    pub label_name_underscore_sanitization: bool,
    /// Runs of underscores stay in label names.
    pub label_name_preserve_multiple_underscores: bool,
    /// What is done with deltas.
    pub delta_temporality: DeltaTemporality,
    /// Sums of deltas are forgotten when nothing came for so long.
    pub delta_max_stale: Duration,
    /// Sums of deltas kept at once; more series than that are refused.
    pub delta_max_streams: usize,
    /// How far back an instant query looks: `target_info` is written twice in such a time.
    pub lookback: Duration,
}

/// The list that Grafana's LGTM image ships, so that users need no join with `target_info`.
const PROMOTED: [&str; 22] = [
    "service.name",
    "service.namespace",
    "service.instance.id",
    "service.version",
    "cloud.availability_zone",
    "cloud.region",
    "container.name",
    "deployment.environment",
    "deployment.environment.name",
    "host.name",
    "k8s.cluster.name",
    "k8s.container.name",
    "k8s.cronjob.name",
    "k8s.daemonset.name",
    "k8s.deployment.name",
    "k8s.job.name",
    "k8s.namespace.name",
    "k8s.node.name",
    "k8s.pod.name",
    "k8s.pod.uid",
    "k8s.replicaset.name",
    "k8s.statefulset.name",
];

impl Default for Translation {
    fn default() -> Self {
        Translation {
            strategy: Strategy::default(),
            promote_resource_attributes: PROMOTED.map(str::to_owned).to_vec(),
            promote_all_resource_attributes: false,
            ignore_resource_attributes: Vec::new(),
            keep_identifying_resource_attributes: false,
            promote_scope_metadata: false,
            convert_histograms_to_nhcb: false,
            label_name_underscore_sanitization: true,
            label_name_preserve_multiple_underscores: true,
            delta_temporality: DeltaTemporality::default(),
            delta_max_stale: Duration::from_secs(300),
            delta_max_streams: 1_000_000,
            lookback: Duration::from_secs(300),
        }
    }
}

impl Translation {
    /// Whether a resource attribute becomes a label of every series.
    pub(crate) fn promotes(&self, attribute: &str) -> bool {
        let is_in = |list: &[String]| list.iter().any(|name| name == attribute);
        if self.promote_all_resource_attributes {
            !is_in(&self.ignore_resource_attributes)
        } else {
            is_in(&self.promote_resource_attributes)
        }
    }
}
