//! The configuration: what was written ([`raw`]) becomes what it means ([`Config`]), or an error that
//! names the key.

mod raw;
mod scrape;
mod tail;
mod units;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use collector::{ConnectionOptions, Cors, DeltaTemporality, Strategy, Translation};
use model::labels::Labels;
use model::{Matcher, QueryLimits};

use crate::logging;

/// The configuration, validated.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen_grpc: SocketAddr,
    pub(crate) listen_http: SocketAddr,
    pub(crate) listen_query: SocketAddr,
    /// Without one, the query port's real address is taken.
    pub(crate) external_url: Option<String>,
    pub(crate) log_level: String,
    pub(crate) otlp: collector::Limits,
    pub(crate) translation: Translation,
    pub(crate) scrape: Vec<collector::scrape::Job>,
    pub(crate) tail: Vec<collector::tail::Job>,
    pub(crate) connections: ConnectionOptions,
    pub(crate) cors: Cors,
    pub(crate) metrics: tsdb::Options,
    pub(crate) logs: logstore::Options,
    pub(crate) traces: tracestore::Options,
    pub(crate) query: QueryLimits,
    pub(crate) queries_concurrent_max: usize,
    pub(crate) query_threads: usize,
    pub(crate) lookback: Duration,
    pub(crate) rule_files: Vec<(PathBuf, rules::Language)>,
    pub(crate) evaluation_interval: Duration,
    pub(crate) resend_delay: Duration,
    pub(crate) external_labels: Labels,
    pub(crate) alertmanager: alertmanager::Config,
    pub(crate) red: rules::RedConfig,
    pub(crate) red_flush_interval: Duration,
    /// The file as it was written but for its secrets, or the words that say there is none; shown by the API.
    pub(crate) text: String,
}

impl Config {
    /// Reads a file, or takes the defaults; `data` wins over the file.
    pub(crate) fn load(file: Option<&Path>, data: Option<PathBuf>) -> anyhow::Result<Config> {
        let text = match file {
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("read configuration {}", file.display()))?,
            None => String::new(),
        };
        let name = || file.map_or("defaults".to_owned(), |file| file.display().to_string());
        let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
        let mut config = Config::parse(&text, folder).with_context(name)?;
        if let Some(data) = data {
            config.data_dir = data;
        }
        Ok(config)
    }

    /// `folder` is what relative rule and Alertmanager files are relative to.
    pub(crate) fn parse(text: &str, folder: &Path) -> anyhow::Result<Config> {
        let raw = parse_raw(text)?;
        let listen = |key: &str, text: &str| -> anyhow::Result<SocketAddr> {
            text.parse().with_context(|| {
                format!("{key}: {text:?} is not an address; 127.0.0.1:4317 would be one")
            })
        };
        let journal = disk::JournalOptions {
            segment_bytes_max: raw.stores.journal.segment_bytes_max.0,
            queue_bytes_max: raw.stores.journal.queue_bytes_max.0 as usize,
            ..Default::default()
        };
        let future_ms_max = raw.stores.future_max.0.as_millis() as i64;
        let stores = &raw.stores;
        let memory = |written: units::ByteSize| match written.0 {
            0 => (machine_memory() / 8) as usize,
            bytes => bytes as usize,
        };
        let alertmanager = match &raw.alertmanager.config_file {
            None => alertmanager::Config::default(),
            Some(file) => {
                let path = folder.join(file);
                let text = std::fs::read_to_string(&path).with_context(|| {
                    format!("alertmanager.config_file: read {}", path.display())
                })?;
                alertmanager::Config::parse(&text)
                    .with_context(|| format!("alertmanager.config_file: {}", path.display()))?
            }
        };
        check_values(&raw)?;
        let translation = translation(&raw)?;
        let scrape = scrape::jobs(&raw.scrape, folder)?;
        let masked = scrape::masked(text, &scrape);
        let tail = tail::jobs(&raw.tail, folder)?;
        Ok(Config {
            data_dir: raw.data_dir,
            listen_grpc: listen("listen.grpc", &raw.listen.grpc)?,
            listen_http: listen("listen.http", &raw.listen.http)?,
            listen_query: listen("listen.query", &raw.listen.query)?,
            external_url: raw.external_url.map(|url| url.trim_end_matches('/').to_owned()),
            log_level: raw.log.level,
            otlp: collector::Limits {
                request_bytes_max: raw.otlp.request_bytes_max.0 as usize,
                in_flight_bytes_max: raw.otlp.in_flight_bytes_max.0 as usize,
                body_timeout: raw.otlp.body_timeout.0,
                attributes_max: raw.otlp.attributes_max,
                retry_delay: raw.otlp.retry_delay.0,
                remote_write_bytes_max: raw.remote_write.request_bytes_max.0 as usize,
                log_line_bytes_max: raw.otlp.log_line_bytes_max.0 as usize,
                series_cache_bytes_max: raw.otlp.series_cache_bytes_max.0 as usize,
            },
            translation,
            scrape,
            tail,
            connections: ConnectionOptions {
                connections_max: raw.connections.connections_max,
                age_max: raw.connections.max_connection_age.map(|age| age.0),
                age_grace: raw.connections.max_connection_age_grace.0,
                keepalive_interval: raw.connections.keepalive_time.0,
                keepalive_timeout: raw.connections.keepalive_timeout.0,
                header_timeout: raw.connections.read_header_timeout.0,
            },
            cors: Cors {
                allowed_origins: raw.otlp.cors.allowed_origins,
                allowed_headers: raw.otlp.cors.allowed_headers,
                exposed_headers: raw.otlp.cors.exposed_headers,
                max_age_seconds: raw.otlp.cors.max_age,
            },
            metrics: tsdb::Options {
                series_max: stores.metrics.series_max,
                series_per_metric_max: stores.metrics.series_per_metric_max,
                values_per_label_max: stores.metrics.values_per_label_max,
                folded_series_max: stores.metrics.folded_series_max,
                memory_bytes_max: memory(stores.metrics.memory_bytes_max),
                cache_bytes_max: stores.metrics.cache_bytes_max.0 as usize,
                retention_ms: stores.metrics.retention.0.as_millis() as i64,
                retention_bytes: stores.metrics.retention_bytes_max.0,
                retention_rules: retention_rules(&stores.metrics.retention_rules)?,
                rollup_retention_ms: [
                    stores.metrics.rollup_5m_retention.0.as_millis() as i64,
                    stores.metrics.rollup_1h_retention.0.as_millis() as i64,
                ],
                undo_ms: stores.metrics.undo_window.0.as_millis() as i64,
                window_ms: stores.metrics.window.0.as_millis() as i64,
                grace_ms: stores.metrics.grace.0.as_millis() as i64,
                idle_ms: stores.metrics.idle_seal.0.as_millis() as i64,
                checkpoint_ms: stores.metrics.checkpoint_interval.0.as_millis() as i64,
                future_ms_max,
                journal: journal.clone(),
                ..Default::default()
            },
            logs: logstore::Options {
                memory_bytes_max: stores.logs.memory_bytes_max.0 as usize,
                cache_bytes_max: stores.logs.cache_bytes_max.0 as usize,
                streams_max: stores.logs.streams_max,
                retention_ms: stores.logs.retention.0.as_millis() as i64,
                retention_bytes: stores.logs.retention_bytes_max.0,
                retention_rules: stream_retention_rules(&stores.logs.retention_rules)?,
                undo_ms: stores.logs.undo_window.0.as_millis() as i64,
                idle_ms: stores.logs.idle_seal.0.as_millis() as i64,
                head_age_ms_max: stores.logs.head_age_max.0.as_millis() as i64,
                future_ms_max,
                journal: journal.clone(),
            },
            traces: tracestore::Options {
                memory_bytes_max: memory(stores.traces.memory_bytes_max),
                retention_ms: stores.traces.retention.0.as_millis() as i64,
                future_ms_max,
                journal,
            },
            query: QueryLimits {
                items_max: raw.query.items_max,
                bytes_max: raw.query.bytes_max.0,
                memory_bytes_max: raw.query.memory_bytes_max.0,
                timeout: raw.query.timeout.0,
            },
            queries_concurrent_max: raw.query.concurrent_max,
            query_threads: match raw.query.threads {
                0 => std::thread::available_parallelism().map_or(0, |cores| cores.get() - 1),
                threads => threads,
            },
            lookback: raw.query.lookback_delta.0,
            rule_files: [
                (&raw.rules.files, rules::Language::Promql),
                (&raw.rules.logql_files, rules::Language::Logql),
            ]
            .into_iter()
            .flat_map(|(files, language)| {
                files.iter().map(move |file| (folder.join(file), language))
            })
            .collect(),
            evaluation_interval: raw.rules.evaluation_interval.0,
            resend_delay: raw.rules.resend_delay.0,
            external_labels: raw.rules.external_labels.into_iter().collect(),
            alertmanager,
            red: rules::RedConfig { label_sets_max: raw.red.label_sets_max, ..Default::default() },
            red_flush_interval: raw.red.flush_interval.0,
            text: masked,
        })
    }
}

/// How OTLP metrics become series.
fn translation(raw: &raw::RawConfig) -> anyhow::Result<Translation> {
    let otlp = &raw.otlp;
    if otlp.promote_all_resource_attributes {
        let default = Translation::default().promote_resource_attributes;
        let promoted = &otlp.promote_resource_attributes;
        if !promoted.is_empty() && *promoted != default {
            bail!(
                "otlp.promote_resource_attributes: all attributes are promoted already \
                 (otlp.promote_all_resource_attributes); one of both is accepted"
            );
        }
    } else if !otlp.ignore_resource_attributes.is_empty() {
        bail!(
            "otlp.ignore_resource_attributes: needs otlp.promote_all_resource_attributes, without \
             which only named attributes are promoted"
        );
    }
    Ok(Translation {
        strategy: one_of("otlp.translation_strategy", &otlp.translation_strategy, &Strategy::ALL)?,
        promote_resource_attributes: otlp.promote_resource_attributes.clone(),
        promote_all_resource_attributes: otlp.promote_all_resource_attributes,
        ignore_resource_attributes: otlp.ignore_resource_attributes.clone(),
        keep_identifying_resource_attributes: otlp.keep_identifying_resource_attributes,
        promote_scope_metadata: otlp.promote_scope_metadata,
        convert_histograms_to_nhcb: otlp.convert_histograms_to_nhcb,
        label_name_underscore_sanitization: otlp.label_name_underscore_sanitization,
        label_name_preserve_multiple_underscores: otlp.label_name_preserve_multiple_underscores,
        delta_temporality: one_of(
            "otlp.delta_temporality",
            &otlp.delta_temporality,
            &DeltaTemporality::ALL,
        )?,
        delta_max_stale: otlp.delta_max_stale.0,
        delta_max_streams: otlp.delta_max_streams,
        lookback: raw.query.lookback_delta.0,
    })
}

/// What a word of the configuration stands for.
fn one_of<T: Copy>(key: &str, word: &str, words: &[(&str, T)]) -> anyhow::Result<T> {
    let found = words.iter().find(|(known, _)| *known == word);
    found.map(|(_, value)| *value).with_context(|| {
        let accepted: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
        format!("{key}: {word:?} is unknown; {accepted:?} are accepted")
    })
}

/// Retention rules of metrics.
fn retention_rules(raw: &[raw::RawRetentionRule]) -> anyhow::Result<Vec<tsdb::RetentionRule>> {
    let rule = |(i, raw): (usize, &raw::RawRetentionRule)| {
        let key = format!("stores.metrics.retention_rules[{i}].selector");
        let matchers = selector_matchers(&key, &raw.selector)?;
        let keep_ms = raw.keep.0.as_millis() as i64;
        Ok(tsdb::RetentionRule { name: raw.selector.clone(), matchers, keep_ms })
    };
    raw.iter().enumerate().map(rule).collect()
}

/// No more rules of log streams: what one of them keeps is told from the others matcher by matcher.
const STREAM_RETENTION_RULES_MAX: usize = 32;

/// Retention rules of logs. A selector of streams is written as one of series.
fn stream_retention_rules(
    raw: &[raw::RawRetentionRule],
) -> anyhow::Result<Vec<logstore::RetentionRule>> {
    let rule = |(i, raw): (usize, &raw::RawRetentionRule)| {
        let key = format!("stores.logs.retention_rules[{i}].selector");
        let matchers = selector_matchers(&key, &raw.selector)?;
        Ok(logstore::RetentionRule { matchers, keep_ms: raw.keep.0.as_millis() as i64 })
    };
    let rules: Vec<_> = raw.iter().enumerate().map(rule).collect::<anyhow::Result<_>>()?;
    let ways = rules.iter().try_fold(1usize, |ways, rule| ways.checked_mul(rule.matchers.len()));
    if rules.len() > STREAM_RETENTION_RULES_MAX
        || ways.is_none_or(|ways| ways > STREAM_RETENTION_WAYS_MAX)
    {
        bail!(
            "stores.logs.retention_rules: {} rules are too many; up to \
             {STREAM_RETENTION_RULES_MAX} are accepted, and a product of their numbers of matchers \
             up to {STREAM_RETENTION_WAYS_MAX}",
            rules.len()
        );
    }
    Ok(rules)
}

/// In how many ways a stream may fail all rules.
const STREAM_RETENTION_WAYS_MAX: usize = 256;

/// A selector in PromQL's notation to matchers.
fn selector_matchers(key: &str, selector: &str) -> anyhow::Result<Vec<Matcher>> {
    let parsed = query::promql::parse(selector).with_context(|| key.to_owned())?;
    let query::promql::ExprKind::Selector(parsed) = parsed.kind else {
        bail!("{key}: {selector:?} is not a selector; {{env=\"test\"}} would be one");
    };
    Ok(parsed.all_matchers())
}

/// Refuses values with which the server could not work.
fn check_values(raw: &raw::RawConfig) -> anyhow::Result<()> {
    if !logging::LEVELS.contains(&raw.log.level.as_str()) {
        bail!("log.level: {:?} is not a level; {:?} are accepted", raw.log.level, logging::LEVELS);
    }
    if raw.external_url.as_ref().is_some_and(|url| !url.contains("://")) {
        bail!("external_url: {:?} is not a URL; http://host:port is one", raw.external_url);
    }
    let counts = [
        ("query.concurrent_max", raw.query.concurrent_max as u64),
        ("query.items_max", raw.query.items_max),
        ("query.bytes_max", raw.query.bytes_max.0),
        ("query.memory_bytes_max", raw.query.memory_bytes_max.0),
        ("connections.connections_max", raw.connections.connections_max as u64),
        ("otlp.request_bytes_max", raw.otlp.request_bytes_max.0),
        ("otlp.delta_max_streams", raw.otlp.delta_max_streams as u64),
        ("remote_write.request_bytes_max", raw.remote_write.request_bytes_max.0),
        ("otlp.attributes_max", raw.otlp.attributes_max as u64),
        ("stores.metrics.series_max", raw.stores.metrics.series_max as u64),
        ("stores.logs.streams_max", raw.stores.logs.streams_max as u64),
        ("red.label_sets_max", raw.red.label_sets_max as u64),
        ("scrape.targets_max", raw.scrape.targets_max as u64),
    ];
    if let Some((key, _)) = counts.into_iter().find(|(_, value)| *value == 0) {
        bail!("{key}: 0 would let nothing through; 1 or more is accepted");
    }
    let durations = [
        ("query.timeout", raw.query.timeout),
        ("stores.metrics.window", raw.stores.metrics.window),
        ("query.lookback_delta", raw.query.lookback_delta),
        ("rules.evaluation_interval", raw.rules.evaluation_interval),
        ("red.flush_interval", raw.red.flush_interval),
        ("otlp.delta_max_stale", raw.otlp.delta_max_stale),
        ("otlp.body_timeout", raw.otlp.body_timeout),
        ("connections.keepalive_time", raw.connections.keepalive_time),
        ("connections.read_header_timeout", raw.connections.read_header_timeout),
    ];
    if let Some((key, _)) = durations.into_iter().find(|(_, value)| value.0.is_zero()) {
        bail!("{key}: 0 is no time at all; 1s or more is sensible");
    }
    let journal = &raw.stores.journal;
    for (key, value) in [
        ("stores.journal.segment_bytes_max", journal.segment_bytes_max.0),
        ("stores.journal.queue_bytes_max", journal.queue_bytes_max.0),
        ("stores.logs.memory_bytes_max", raw.stores.logs.memory_bytes_max.0),
    ] {
        if value < MEBIBYTE {
            bail!("{key}: {value} bytes is too little; 1MiB or more is accepted");
        }
    }
    for (key, value) in [
        ("stores.metrics.memory_bytes_max", raw.stores.metrics.memory_bytes_max.0),
        ("stores.traces.memory_bytes_max", raw.stores.traces.memory_bytes_max.0),
    ] {
        if value != 0 && value < 2 * journal.segment_bytes_max.0 {
            bail!(
                "{key}: {value} bytes would hold less than two journal segments \
                 (stores.journal.segment_bytes_max is {}); 0 or more than that is accepted",
                journal.segment_bytes_max.0
            );
        }
    }
    let ports = [&raw.listen.grpc, &raw.listen.http, &raw.listen.query];
    for (i, port) in ports.iter().enumerate() {
        if !port.ends_with(":0") && ports[..i].contains(port) {
            bail!("listen: {port} is given twice; each of grpc, http and query needs its own");
        }
    }
    Ok(())
}

const MEBIBYTE: u64 = 1 << 20;

/// What a machine has that does not say.
const MEMORY_BYTES_UNKNOWN: u64 = 4 << 30;

/// The memory that this process may use: the machine's, or its control group's if that is less.
fn machine_memory() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let total = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
    });
    let group = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok());
    total.into_iter().chain(group).min().unwrap_or(MEMORY_BYTES_UNKNOWN)
}

/// What was written; unknown keys are refused with their path.
fn parse_raw(text: &str) -> anyhow::Result<raw::RawConfig> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(raw::RawConfig::default());
    }
    let mut path = None;
    let parsed = serde_saphyr::with_deserializer_from_str(text, |deserializer| {
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            path = Some(error.path().to_string());
            error.into_inner()
        })
    });
    parsed.map_err(|error| {
        // With its snippet an error would show the lines around it, which may hold secrets.
        let error = error.without_snippet();
        match path {
            Some(path) if path != "." => anyhow::anyhow!("{path}: {error}"),
            _ => anyhow::anyhow!("{error}"),
        }
    })
}

#[cfg(test)]
mod tests;
