//! The configuration as it is written: every key with its default. `signalbox.example.yml` shows all
//! of them, and a test holds the two together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::scrape::RawScrapeConfig;
use super::tail::RawTail;
use super::units::{ByteSize, Span};

/// Makes a struct of keys with defaults that refuses unknown keys.
macro_rules! keys {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $key:ident: $type:ty = $default:expr,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $name { $($(#[$doc])* pub(crate) $key: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                $name { $($key: $default,)* }
            }
        }
    };
}
pub(super) use keys;

fn seconds(seconds: u64) -> Span {
    Span(Duration::from_secs(seconds))
}

fn mebibytes(count: u64) -> ByteSize {
    ByteSize(count << 20)
}

keys! {
    /// The whole file.
    RawConfig {
        data_dir: PathBuf = PathBuf::from("./data"),
        external_url: Option<String> = None,
        log: RawLog = RawLog::default(),
        listen: RawListen = RawListen::default(),
        connections: RawConnections = RawConnections::default(),
        otlp: RawOtlp = RawOtlp::default(),
        remote_write: RawRemoteWrite = RawRemoteWrite::default(),
        scrape: RawScrape = RawScrape::default(),
        tail: Vec<RawTail> = Vec::new(),
        stores: RawStores = RawStores::default(),
        query: RawQuery = RawQuery::default(),
        rules: RawRules = RawRules::default(),
        alertmanager: RawAlertmanager = RawAlertmanager::default(),
        red: RawRed = RawRed::default(),
    }
}

keys! {
    /// The process's own log.
    RawLog {
        level: String = "info".to_owned(),
    }
}

keys! {
    /// Addresses.
    RawListen {
        grpc: String = "127.0.0.1:4317".to_owned(),
        http: String = "127.0.0.1:4318".to_owned(),
        query: String = "127.0.0.1:4319".to_owned(),
    }
}

keys! {
    /// Connections of all three ports.
    RawConnections {
        connections_max: usize = 10_000,
        max_connection_age: Option<Span> = None,
        max_connection_age_grace: Span = seconds(30),
        keepalive_time: Span = seconds(60),
        keepalive_timeout: Span = seconds(20),
        read_header_timeout: Span = seconds(60),
    }
}

keys! {
    /// The OTLP receiver.
    RawOtlp {
        request_bytes_max: ByteSize = mebibytes(64),
        in_flight_bytes_max: ByteSize = mebibytes(512),
        body_timeout: Span = seconds(60),
        attributes_max: usize = 1000,
        retry_delay: Span = seconds(1),
        log_line_bytes_max: ByteSize = ByteSize(256 << 10),
        series_cache_bytes_max: ByteSize = mebibytes(512),
        translation_strategy: String = "UnderscoreEscapingWithSuffixes".to_owned(),
        promote_resource_attributes: Vec<String> =
            collector::Translation::default().promote_resource_attributes,
        promote_all_resource_attributes: bool = false,
        ignore_resource_attributes: Vec<String> = Vec::new(),
        keep_identifying_resource_attributes: bool = false,
        promote_scope_metadata: bool = false,
        convert_histograms_to_nhcb: bool = false,
        label_name_underscore_sanitization: bool = true,
        label_name_preserve_multiple_underscores: bool = true,
        delta_temporality: String = "keep".to_owned(),
        delta_max_stale: Span = seconds(300),
        delta_max_streams: usize = 1_000_000,
        cors: RawCors = RawCors::default(),
    }
}

keys! {
    /// The remote-write receiver.
    RawRemoteWrite {
        request_bytes_max: ByteSize = mebibytes(32),
    }
}

keys! {
    /// What is scraped; the jobs are in `scrape.rs`.
    RawScrape {
        scrape_interval: Span = seconds(60),
        scrape_timeout: Span = seconds(10),
        body_size_limit: ByteSize = mebibytes(64),
        targets_max: usize = 10_000,
        scrape_configs: Vec<RawScrapeConfig> = Vec::new(),
    }
}

keys! {
    /// Browsers that send OTLP; the Collector's keys.
    RawCors {
        allowed_origins: Vec<String> = Vec::new(),
        allowed_headers: Vec<String> = Vec::new(),
        exposed_headers: Vec<String> = Vec::new(),
        max_age: u64 = 7200,
    }
}

keys! {
    /// The stores.
    RawStores {
        future_max: Span = seconds(600),
        journal: RawJournal = RawJournal::default(),
        metrics: RawMetricsStore = RawMetricsStore::default(),
        logs: RawLogStore = RawLogStore::default(),
        traces: RawStore = RawStore::default(),
    }
}

keys! {
    /// The journal of each store.
    RawJournal {
        segment_bytes_max: ByteSize = mebibytes(64),
        queue_bytes_max: ByteSize = mebibytes(64),
    }
}

keys! {
    /// The time-series store.
    RawMetricsStore {
        series_max: usize = 2_000_000,
        series_per_metric_max: usize = 1_000_000,
        values_per_label_max: usize = 1_000_000,
        folded_series_max: usize = 1_000_000,
        memory_bytes_max: ByteSize = mebibytes(0),
        cache_bytes_max: ByteSize = mebibytes(128),
        retention: Span = seconds(0),
        retention_bytes_max: ByteSize = mebibytes(0),
        retention_rules: Vec<RawRetentionRule> = Vec::new(),
        rollup_5m_retention: Span = seconds(0),
        rollup_1h_retention: Span = seconds(0),
        undo_window: Span = seconds(24 * 3600),
        window: Span = seconds(1800),
        grace: Span = seconds(300),
        idle_seal: Span = seconds(300),
        checkpoint_interval: Span = seconds(45),
    }
}

/// A retention for the series or streams that one selector matches.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRetentionRule {
    pub(crate) selector: String,
    pub(crate) keep: Span,
}

keys! {
    /// The log store.
    RawLogStore {
        memory_bytes_max: ByteSize = mebibytes(64),
        cache_bytes_max: ByteSize = mebibytes(64),
        streams_max: usize = 200_000,
        retention: Span = seconds(0),
        retention_bytes_max: ByteSize = mebibytes(0),
        retention_rules: Vec<RawRetentionRule> = Vec::new(),
        undo_window: Span = seconds(24 * 3600),
        idle_seal: Span = seconds(300),
        head_age_max: Span = seconds(1800),
    }
}

keys! {
    /// The trace store.
    RawStore {
        memory_bytes_max: ByteSize = mebibytes(0),
        retention: Span = seconds(0),
    }
}

keys! {
    /// Queries.
    RawQuery {
        timeout: Span = seconds(120),
        items_max: u64 = 500_000_000,
        bytes_max: ByteSize = mebibytes(4096),
        memory_bytes_max: ByteSize = mebibytes(1024),
        concurrent_max: usize = 20,
        threads: usize = 0,
        lookback_delta: Span = seconds(300),
    }
}

keys! {
    /// Recording and alerting rules.
    RawRules {
        files: Vec<PathBuf> = Vec::new(),
        logql_files: Vec<PathBuf> = Vec::new(),
        evaluation_interval: Span = seconds(60),
        resend_delay: Span = seconds(60),
        external_labels: BTreeMap<String, String> = BTreeMap::new(),
    }
}

keys! {
    /// Routing and receivers.
    RawAlertmanager {
        config_file: Option<PathBuf> = None,
    }
}

keys! {
    /// RED metrics from spans.
    RawRed {
        flush_interval: Span = seconds(15),
        label_sets_max: usize = 10_000,
    }
}
