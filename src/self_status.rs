//! What Signalbox tells of itself: readiness, and gauges of its stores on `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use disk::journal::JournalStats;
use model::{LogAdmin, SeriesAdmin};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::{MetricType, TypedMetric};

use crate::server::Stores;

/// The process as its probes see it.
pub(crate) struct Status {
    pub(crate) stores: Arc<Stores>,
    pub(crate) started: AtomicBool,
    pub(crate) stopping: AtomicBool,
    pub(crate) config_text: String,
    /// How long metrics are kept; 0 for ever.
    pub(crate) retention_ms: i64,
}

impl api::SelfStatus for Status {
    fn has_started(&self) -> bool {
        self.started.load(Ordering::SeqCst)
    }

    fn not_ready_reasons(&self) -> Vec<String> {
        let mut reasons = self.stores.read_only_reasons();
        if self.stores.series.is_loading() {
            reasons.push("the metrics store is loading".to_owned());
        }
        if !self.started.load(Ordering::SeqCst) {
            reasons.push("the server is starting".to_owned());
        }
        if self.stopping.load(Ordering::SeqCst) {
            reasons.push("the server is stopping".to_owned());
        }
        reasons
    }

    fn config_text(&self) -> String {
        self.config_text.clone()
    }

    fn runtime(&self) -> api::RuntimeFacts {
        // Only Linux tells these; elsewhere they stay empty.
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let status = read("/proc/self/status");
        let threads = status.lines().find_map(|line| line.strip_prefix("Threads:"));
        let stores = &self.stores;
        let corruptions = stores.series.corrupt_records().len()
            + stores.logs.corrupt_records().len()
            + stores.logs.damage().len()
            + stores.spans.corrupt_records().len();
        api::RuntimeFacts {
            folder: std::env::current_dir()
                .map(|dir| dir.display().to_string())
                .unwrap_or_default(),
            host: read("/proc/sys/kernel/hostname").trim().to_owned(),
            threads: threads.and_then(|text| text.trim().parse().ok()).unwrap_or(0),
            corruptions: corruptions as u64,
            retention: match self.retention_ms {
                0 => String::new(),
                ms => query::text::format_duration_ms(ms),
            },
        }
    }
}

/// Numbers of the stores, read when `/metrics` is asked.
#[derive(Clone)]
pub(crate) struct StoreCollector(pub(crate) Arc<Stores>);

impl std::fmt::Debug for StoreCollector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreCollector")
    }
}

/// A family whose values are made while it is encoded.
struct Values<M>(Vec<(&'static str, M)>);

impl<M: EncodeMetric + TypedMetric> EncodeMetric for Values<M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (store, metric) in &self.0 {
            metric.encode(encoder.encode_family(&[("store", *store)])?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}

impl Collector for StoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (series, logs, spans) =
            (self.0.series.stats(), self.0.logs.stats(), self.0.spans.stats());
        let journals =
            [("metrics", series.journal), ("logs", logs.journal), ("traces", spans.journal)];
        let mut gauge = |name: &str, help: &str, values: [u64; 3]| {
            let stores = ["metrics", "logs", "traces"].into_iter().zip(values);
            let values = Values(
                stores.map(|(store, value)| (store, ConstGauge::new(value as i64))).collect(),
            );
            values.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        gauge(
            "signalbox_store_items",
            "Series, log records and spans held",
            [series.series, logs.records, spans.spans],
        )?;
        gauge(
            "signalbox_store_memory_bytes",
            "Memory of what is held",
            [series.memory_bytes, logs.memory_bytes, spans.memory_bytes],
        )?;
        for (store, figures) in
            [("metrics", self.0.series.figures()), ("logs", self.0.logs.figures())]
        {
            for (name, value) in figures {
                let name = format!("signalbox_{store}_store_{name}");
                let help = format!("A number of the {store} store");
                let gauge = ConstGauge::new(value as i64);
                gauge.encode(encoder.encode_descriptor(
                    &name,
                    &help,
                    None,
                    MetricType::Gauge,
                )?)?;
            }
        }
        let mut gauge = |name: &str, help: &str, values: [u64; 3]| {
            let stores = ["metrics", "logs", "traces"].into_iter().zip(values);
            let values = Values(
                stores.map(|(store, value)| (store, ConstGauge::new(value as i64))).collect(),
            );
            values.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        let each = |value: fn(&JournalStats) -> u64| journals.map(|(_, stats)| value(&stats));
        gauge("signalbox_journal_bytes", "Bytes in journal segments", each(|s| s.bytes))?;
        gauge("signalbox_journal_segments", "Journal segments", each(|s| s.segments))?;
        gauge(
            "signalbox_journal_queue_bytes",
            "Bytes that wait to be written",
            each(|s| s.queued_bytes),
        )?;
        let mut counter = |name: &str, help: &str, value: fn(&JournalStats) -> f64| {
            let values = journals.map(|(store, stats)| (store, ConstCounter::new(value(&stats))));
            Values(values.into()).encode(encoder.encode_descriptor(
                name,
                help,
                None,
                MetricType::Counter,
            )?)
        };
        counter("signalbox_journal_syncs", "Fsyncs of the journal", |s| s.syncs as f64)?;
        counter("signalbox_journal_records", "Records written", |s| s.records as f64)?;
        counter("signalbox_journal_sync_seconds", "Time spent in fsync", |s| s.sync_ns as f64 / 1e9)
    }
}
