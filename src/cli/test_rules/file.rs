//! Files of unit tests as they are written (prometheus `docs/configuration/unit_testing_rules.md`).
//!
//! Reading is strict: a misspelt expectation would be a test that passes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::TimestampMs;
use query::text::{parse_duration_ms, parse_number};
use serde::{Deserialize, Deserializer};

/// A file of tests that was read.
#[derive(Debug)]
pub(super) struct TestFile {
    /// Each once, in the order in which they are named.
    pub(super) rule_files: Vec<PathBuf>,
    pub(super) evaluation_interval_ms: i64,
    /// Names of groups; those before others are evaluated before them.
    pub(super) group_eval_order: Vec<String>,
    /// Whether the last bit of a float may differ.
    pub(super) fuzzy_compare: bool,
    pub(super) tests: Vec<TestGroup>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    rule_files: Option<Vec<String>>,
    #[serde(default, deserialize_with = "duration")]
    evaluation_interval: i64,
    #[serde(default)]
    group_eval_order: Option<Vec<String>>,
    #[serde(default)]
    fuzzy_compare: Option<bool>,
    #[serde(default)]
    tests: Option<Vec<TestGroup>>,
}

/// Series and what is expected of them. Times are milliseconds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestGroup {
    #[serde(default)]
    pub(super) name: Option<String>,
    /// Between samples of the input; zero for the interval of evaluations.
    #[serde(default, deserialize_with = "duration")]
    pub(super) interval: i64,
    #[serde(default, deserialize_with = "timestamp")]
    pub(super) start_timestamp: TimestampMs,
    #[serde(default)]
    pub(super) input_series: Option<Vec<InputSeries>>,
    #[serde(default)]
    pub(super) alert_rule_test: Option<Vec<AlertTest>>,
    #[serde(default)]
    pub(super) promql_expr_test: Option<Vec<PromqlTest>>,
    #[serde(default)]
    pub(super) external_labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) external_url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InputSeries {
    #[serde(default)]
    pub(super) series: String,
    #[serde(default)]
    pub(super) values: Option<String>,
}

/// What fires at a time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertTest {
    #[serde(default, deserialize_with = "duration")]
    pub(super) eval_time: i64,
    #[serde(default)]
    pub(super) alertname: String,
    #[serde(default)]
    pub(super) exp_alerts: Option<Vec<ExpectedAlert>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedAlert {
    #[serde(default)]
    pub(super) exp_labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) exp_annotations: Option<BTreeMap<String, String>>,
}

/// What an expression answers at a time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PromqlTest {
    #[serde(default)]
    pub(super) expr: String,
    #[serde(default, deserialize_with = "duration")]
    pub(super) eval_time: i64,
    #[serde(default)]
    pub(super) exp_samples: Option<Vec<ExpectedSample>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedSample {
    #[serde(default)]
    pub(super) labels: Option<String>,
    #[serde(default)]
    pub(super) value: Option<f64>,
    #[serde(default)]
    pub(super) histogram: Option<String>,
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(0) };
    let ms = if text == "0" { Some(0) } else { parse_duration_ms(&text) };
    ms.ok_or_else(|| serde::de::Error::custom(format!("not a valid duration string: {text:?}")))
}

fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimestampMs, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(TimestampMs(0));
    };
    let seconds = parse_number(&text).filter(|seconds| seconds.is_finite());
    let at = match seconds {
        Some(seconds) => Some(TimestampMs((seconds * 1000.0).round() as i64)),
        None => model::clock::parse_rfc3339(&text).map(|at| at.to_ms()),
    };
    at.ok_or_else(|| {
        let message = format!("cannot parse {text:?} to a valid timestamp");
        serde::de::Error::custom(message)
    })
}

const EVALUATION_INTERVAL_MS: i64 = 60_000;

impl TestFile {
    /// Reads a file, and finds the rule files that it names; patterns without any are warned of.
    pub(super) fn read(path: &Path) -> Result<(TestFile, Vec<String>), String> {
        let name = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        let raw: RawFile = serde_saphyr::from_str(&text).map_err(|error| {
            let place = error.location().map(|at| format!(":{}:{}", at.line(), at.column()));
            let message = error.without_snippet().to_string();
            // The place is told once, where editors look for it.
            let message = message.split(" at line ").next().unwrap_or("").trim_end_matches(',');
            format!("{name}{}: {message}", place.unwrap_or_default())
        })?;
        let mut rule_files: Vec<PathBuf> = Vec::new();
        let mut warnings = Vec::new();
        let folder = path.parent().unwrap_or(Path::new(""));
        for pattern in raw.rule_files.unwrap_or_default() {
            let pattern = folder.join(pattern);
            let found = collector::glob::files(&pattern)
                .map_err(|error| format!("{name}: {}: {error}", pattern.display()))?;
            if found.is_empty() {
                warnings.push(format!("no file match pattern {}", pattern.display()));
            }
            for file in found {
                if !rule_files.contains(&file) {
                    rule_files.push(file);
                }
            }
        }
        let group_eval_order = raw.group_eval_order.unwrap_or_default();
        for (i, group) in group_eval_order.iter().enumerate() {
            if group_eval_order.iter().take(i).any(|before| before == group) {
                return Err(format!("group name repeated in evaluation order: {group}"));
            }
        }
        let file = TestFile {
            rule_files,
            evaluation_interval_ms: match raw.evaluation_interval {
                0 => EVALUATION_INTERVAL_MS,
                interval_ms => interval_ms,
            },
            group_eval_order,
            fuzzy_compare: raw.fuzzy_compare.unwrap_or(false),
            tests: raw.tests.unwrap_or_default(),
        };
        Ok((file, warnings))
    }
}
