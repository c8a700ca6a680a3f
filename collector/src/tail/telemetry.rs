//! What tailing tells of itself on `/metrics`.

use model::write::WriteOutcome;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The label `job`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct JobLabel {
    job: String,
}

/// The labels `job` and `reason`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    job: String,
    reason: &'static str,
}

/// Counters of tailing. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct TailTelemetry {
    accepted_items: Family<JobLabel, Counter>,
    refused_items: Family<RefusedLabels, Counter>,
    cut: Family<JobLabel, Counter>,
    malformed: Family<JobLabel, Counter>,
    truncations: Family<JobLabel, Counter>,
    lost_files: Family<JobLabel, Counter>,
    failures: Family<JobLabel, Counter>,
    files: Family<JobLabel, Gauge>,
}

impl TailTelemetry {
    /// Makes the counters and registers them.
    pub fn register(r: &mut Registry) -> Self {
        let t = TailTelemetry::default();
        r.register(
            "signalbox_tail_accepted_items",
            "Records of files that are durable",
            t.accepted_items.clone(),
        );
        r.register(
            "signalbox_tail_refused_items",
            "Records of files that the store refused for good, by reason",
            t.refused_items.clone(),
        );
        r.register("signalbox_tail_cut_items", "Records that were too long", t.cut.clone());
        r.register(
            "signalbox_tail_malformed_lines",
            "Lines that are not of the job's format and were kept as they are",
            t.malformed.clone(),
        );
        r.register(
            "signalbox_tail_truncations",
            "Files that became shorter or begin otherwise and were read from their start",
            t.truncations.clone(),
        );
        r.register(
            "signalbox_tail_lost_files",
            "Files that were gone before they were seen to be read to their end",
            t.lost_files.clone(),
        );
        r.register(
            "signalbox_tail_failures",
            "Rounds that ended with an error and were made again",
            t.failures.clone(),
        );
        r.register("signalbox_tail_files", "Open files", t.files.clone());
        t
    }

    pub(super) fn stored(&self, job: &str, outcome: &WriteOutcome) {
        self.accepted_items.get_or_create(&label(job)).inc_by(outcome.accepted);
        self.cut.get_or_create(&label(job)).inc_by(outcome.cut);
        for refusal in &outcome.refused {
            self.refused(job, refusal.reason, refusal.count);
        }
    }

    pub(super) fn refused(&self, job: &str, reason: &'static str, count: u64) {
        let labels = RefusedLabels { job: job.to_owned(), reason };
        self.refused_items.get_or_create(&labels).inc_by(count);
    }

    pub(super) fn malformed(&self, job: &str) {
        self.malformed.get_or_create(&label(job)).inc();
    }

    pub(super) fn truncated(&self, job: &str) {
        self.truncations.get_or_create(&label(job)).inc();
    }

    pub(super) fn lost(&self, job: &str) {
        self.lost_files.get_or_create(&label(job)).inc();
    }

    pub(super) fn failed(&self, job: &str) {
        self.failures.get_or_create(&label(job)).inc();
    }

    pub(super) fn open(&self, job: &str, files: usize) {
        self.files.get_or_create(&label(job)).set(files as i64);
    }
}

fn label(job: &str) -> JobLabel {
    JobLabel { job: job.to_owned() }
}
