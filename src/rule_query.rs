//! Lets the rules ask PromQL and LogQL: the bridge between `rules`, `query` and the stores.

use std::path::PathBuf;
use std::sync::Arc;

use logstore::LogStore;
use model::{Clock, Labels, LogSource, QueryContext, QueryLimits, SeriesSource, TimestampMs};
use query::logql;
use query::promql::{self, EvalOptions, SampleValue, Value};
use rules::file;
use rules::{Language, RuleFile, UnknownKeys, Warning};
use tsdb::Tsdb;

/// Evaluates expressions of rules.
pub(crate) struct StoreQuery {
    pub(crate) store: Arc<Tsdb>,
    pub(crate) logs: Arc<LogStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: QueryLimits,
    pub(crate) options: EvalOptions,
}

/// Whether an expression is one of a rule.
pub(crate) fn check_expr(language: Language, expr: &str) -> Result<(), String> {
    match language {
        Language::Promql => promql::parse(expr).map(|_| ()).map_err(|e| e.to_string()),
        Language::Logql => parse_logql(expr).map(|_| ()),
    }
}

fn parse_logql(expr: &str) -> Result<logql::Expr, String> {
    match logql::parse(expr) {
        Ok(logql::Expr::Log(_)) => {
            Err("a rule needs numbers, such as count_over_time(...), not lines".to_owned())
        }
        Ok(expr) => Ok(expr),
        Err(error) => Err(error.to_string()),
    }
}

impl rules::RuleQuery for StoreQuery {
    fn instant(
        &self,
        language: Language,
        expr: &str,
        at: TimestampMs,
    ) -> model::Result<Vec<(Labels, f64)>> {
        // A store that takes nothing goes silent, and silence must not resolve an alert.
        let reason = match language {
            Language::Promql => {
                self.store.read_only_reason().or_else(|| self.store.disk_full_reason())
            }
            Language::Logql => {
                self.logs.read_only_reason().or_else(|| self.logs.disk_full_reason())
            }
        };
        if let Some(reason) = reason {
            return Err(model::Error::unavailable(reason));
        }
        let context = QueryContext::new(self.limits, self.clock.clone());
        match language {
            Language::Promql => instant_samples(&*self.store, expr, at, &self.options, &context),
            Language::Logql => instant_counts(&*self.logs, expr, at, &context),
        }
    }
}

/// What an expression of a rule on logs answers at `at`.
fn instant_counts(
    source: &dyn LogSource,
    expr: &str,
    at: TimestampMs,
    context: &QueryContext,
) -> model::Result<Vec<(Labels, f64)>> {
    let expr = parse_logql(expr).map_err(model::Error::bad_request)?;
    let options = logql::InstantOptions::default();
    let result = logql::evaluate_instant(&expr, at.to_ns(), &options, source, context)
        .map_err(|e| model::Error::new(e.kind(), e.to_string()))?;
    match result.value {
        logql::Value::Metric(value) => samples_of(value),
        logql::Value::Streams(_) => Err(model::Error::bad_request("a rule needs numbers")),
    }
}

/// What an expression of a rule answers at `at`; a scalar is one sample without labels.
pub(crate) fn instant_samples(
    source: &dyn SeriesSource,
    expr: &str,
    at: TimestampMs,
    options: &EvalOptions,
    context: &QueryContext,
) -> model::Result<Vec<(Labels, f64)>> {
    let bad = |message: String| model::Error::bad_request(message);
    let expr = promql::parse(expr).map_err(|e| bad(e.to_string()))?;
    let result = promql::evaluate_instant(&expr, at, source, options, context)
        .map_err(|e| model::Error::new(e.kind(), e.to_string()))?;
    samples_of(result.value)
}

fn samples_of(value: Value) -> model::Result<Vec<(Labels, f64)>> {
    let bad = |message: String| model::Error::bad_request(message);
    match value {
        Value::Scalar { value, .. } => Ok(vec![(Labels::empty(), value)]),
        Value::Vector(samples) => samples
            .into_iter()
            .map(|sample| match sample.value {
                SampleValue::Float(value) => Ok((sample.labels, value)),
                SampleValue::Histogram(_) => {
                    Err(bad(format!("{} is a native histogram, not a number", sample.labels)))
                }
            })
            .collect(),
        _ => Err(bad("a rule needs a vector or a scalar".to_owned())),
    }
}

/// Reads and checks rule files; all errors of all files are told together.
pub(crate) fn read_rule_files(
    paths: &[(PathBuf, Language)],
) -> anyhow::Result<(Vec<RuleFile>, Vec<Warning>)> {
    let (mut files, mut warnings, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    let unknown_keys = UnknownKeys::Refused;
    for (path, language) in paths {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Err(error) => errors.push(format!("{name}: {error}")),
            Ok(text) => {
                match file::parse_with(&name, &text, &check_expr, *language, unknown_keys) {
                    Ok((file, more)) => {
                        files.push(file);
                        warnings.extend(more);
                    }
                    Err(more) => errors.extend(more.iter().map(ToString::to_string)),
                }
            }
        }
    }
    if errors.is_empty() { Ok((files, warnings)) } else { anyhow::bail!(errors.join("\n")) }
}
