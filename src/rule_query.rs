//! Lets the rules ask PromQL: the bridge between `rules`, `query` and the time-series store.

use std::path::PathBuf;
use std::sync::Arc;

use model::{Clock, Labels, QueryContext, QueryLimits, SeriesSource, TimestampMs};
use query::promql::{self, EvalOptions, SampleValue, Value};
use rules::file;
use rules::{RuleFile, Warning};
use tsdb::Tsdb;

/// Evaluates expressions of rules.
pub(crate) struct StoreQuery {
    pub(crate) store: Arc<Tsdb>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: QueryLimits,
    pub(crate) options: EvalOptions,
}

/// Whether PromQL accepts an expression.
pub(crate) fn check_expr(expr: &str) -> Result<(), String> {
    promql::parse(expr).map(|_| ()).map_err(|e| e.to_string())
}

impl rules::RuleQuery for StoreQuery {
    fn check(&self, expr: &str) -> Result<(), String> {
        check_expr(expr)
    }

    fn instant(&self, expr: &str, at: TimestampMs) -> model::Result<Vec<(Labels, f64)>> {
        // A store that takes no samples goes silent after the lookback, and silence must not resolve
        // an alert.
        let reason = self.store.read_only_reason().or_else(|| self.store.disk_full_reason());
        if let Some(reason) = reason {
            return Err(model::Error::unavailable(reason));
        }
        let context = QueryContext::new(self.limits, self.clock.clone());
        instant_samples(&*self.store, expr, at, &self.options, &context)
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
    match result.value {
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
pub(crate) fn read_rule_files(paths: &[PathBuf]) -> anyhow::Result<(Vec<RuleFile>, Vec<Warning>)> {
    let (mut files, mut warnings, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for path in paths {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Err(error) => errors.push(format!("{name}: {error}")),
            Ok(text) => match file::parse(&name, &text, &check_expr) {
                Ok((file, more)) => {
                    files.push(file);
                    warnings.extend(more);
                }
                Err(more) => errors.extend(more.iter().map(ToString::to_string)),
            },
        }
    }
    if errors.is_empty() { Ok((files, warnings)) } else { anyhow::bail!(errors.join("\n")) }
}
