//! Queries: at an instant, over a range, of exemplars; and pretty printing.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use model::read::RangeMs;
use model::sample::Exemplar;
use model::{Labels, QueryContext, SeriesSource, TimestampMs};
use query::promql::{self, EvalOptions, Evaluation, Expr, ExprKind};

use super::result::{Stats, write_query_data};
use super::statistics::{Counting, Steps};
use super::{Answer, Remarks, json_response, success, write_success};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::parameters::{Parameters, bad_duration_text, parse_duration_ms};
use crate::run::Timing;
use crate::state::{App, Shared};

fn parse(parameters: &Parameters) -> Result<Expr> {
    let text = parameters.get("query").unwrap_or("");
    promql::parse(text).map_err(|error| Error::parameter("query", parse_error(&error)))
}

/// An empty text has no position that could be told.
fn parse_error(error: &query::ParseError) -> String {
    match error.message.as_str() {
        "no expression found in input" => {
            format!("unknown position: parse error: {}", error.message)
        }
        _ => error.to_string(),
    }
}

/// What `query` and `query_range` have in common.
struct Asked {
    timeout: Option<Duration>,
    options: EvalOptions,
    wants_stats: bool,
    /// Also step by step.
    wants_steps: bool,
    /// About a parameter.
    warning: Option<String>,
}

impl Asked {
    fn read(parameters: &Parameters, app: &Shared) -> Result<Self> {
        let timeout = parameters.duration_ms("timeout")?;
        let mut options = app.eval_options();
        if let Some(text) = parameters.get("lookback_delta") {
            let lookback_ms = parse_duration_ms(text).ok_or_else(|| {
                let why = bad_duration_text(text);
                Error::BadRequest(format!("error parsing lookback delta duration: {why}"))
            })?;
            if lookback_ms > 0 {
                options.lookback_ms = lookback_ms;
            }
        }
        if timeout.is_some_and(|ms| ms <= 0) {
            return Err(Error::parameter("query", "context deadline exceeded"));
        }
        let stats = parameters.get("stats");
        Ok(Asked {
            timeout: timeout.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))),
            options,
            wants_stats: stats.is_some(),
            wants_steps: stats == Some("all"),
            warning: stats.filter(|word| !matches!(*word, "true" | "all")).map(|word| {
                format!(
                    "value {word:?} for parameter \"stats\" is deprecated and will be rejected in \
                     the next major release, use \"true\" or \"all\""
                )
            }),
        })
    }
}

impl Asked {
    /// The statistics, if the query was counted.
    fn count(
        &self,
        shared: &Shared,
        expr: &Expr,
        steps: Steps,
        counted: Option<Counting<'_>>,
        timing: Timing,
        context: &QueryContext,
    ) -> Result<Option<Stats>> {
        let Some(counting) = counted else { return Ok(None) };
        let evaluated = shared.runner.monotonic().saturating_sub(timing.began);
        let counts = counting.count(expr, steps, &self.options, context)?;
        Ok(Some(Stats {
            queued: timing.queued,
            evaluated,
            counts,
            steps,
            wants_steps: self.wants_steps,
        }))
    }
}

/// `query`: at one instant.
pub(super) async fn instant(State(app): App, parameters: Parameters) -> Answer {
    let limit = parameters.limit()?;
    let at = parameters.time("time")?.unwrap_or_else(|| app.state.clock.now_ms());
    let asked = Asked::read(&parameters, &app)?;
    let expr = parse(&parameters)?;
    let shared = app.clone();
    let body = app.runner.respond(asked.timeout, move |context, timing, json| {
        let counted = asked.wants_stats.then(|| Counting::new(shared.state.series.as_ref()));
        let source: &dyn SeriesSource = match &counted {
            Some(counting) => counting,
            None => shared.state.series.as_ref(),
        };
        let mut evaluation = promql::evaluate_instant(&expr, at, source, &asked.options, context)?;
        if let promql::Value::Vector(vector) = &mut evaluation.value
            && !has_own_order(&expr)
        {
            vector.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        let steps = Steps { start: at.0, end: at.0, step_ms: 1 };
        let stats = asked.count(&shared, &expr, steps, counted, timing, context)?;
        write_answer(json, evaluation, limit, asked.warning, stats);
        Ok(())
    });
    Ok(json_response(body.await?))
}

/// `query_range`: over a range in steps.
pub(super) async fn range(State(app): App, parameters: Parameters) -> Answer {
    let limit = parameters.limit()?;
    let start = parameters.required_time("start")?;
    let end = parameters.required_time("end")?;
    if end < start {
        return Err(Error::parameter("end", "end timestamp must not be before start time").into());
    }
    let step_ms = parameters.duration_ms("step")?;
    let step_ms = step_ms.ok_or_else(|| crate::parameters::bad_duration("step", ""))?;
    check_step(start.0, end.0, step_ms, app.state.options.points_per_series_max)?;
    let asked = Asked::read(&parameters, &app)?;
    let expr = parse(&parameters)?;
    let kind = expr.value_type();
    if !matches!(kind, promql::ValueType::Scalar | promql::ValueType::Vector) {
        let message = format!(
            "invalid expression type {:?} for range query, must be Scalar or instant Vector",
            type_words(kind)
        );
        return Err(Error::parameter("query", message).into());
    }
    let shared = app.clone();
    let body = app.runner.respond(asked.timeout, move |context, timing, json| {
        let counted = asked.wants_stats.then(|| Counting::new(shared.state.series.as_ref()));
        let source: &dyn SeriesSource = match &counted {
            Some(counting) => counting,
            None => shared.state.series.as_ref(),
        };
        let evaluation =
            promql::evaluate_range(&expr, start, end, step_ms, source, &asked.options, context)?;
        let steps = Steps { start: start.0, end: end.0, step_ms };
        let stats = asked.count(&shared, &expr, steps, counted, timing, context)?;
        write_answer(json, evaluation, limit, asked.warning, stats);
        Ok(())
    });
    Ok(json_response(body.await?))
}

/// Prometheus's words for a type in messages.
fn type_words(kind: promql::ValueType) -> &'static str {
    match kind {
        promql::ValueType::Matrix => "range vector",
        promql::ValueType::Vector => "instant vector",
        other => other.as_str(),
    }
}

/// Refuses steps that are not positive and ranges with too many of them.
fn check_step(start_ms: i64, end_ms: i64, step_ms: i64, points_max: i64) -> Result<()> {
    if step_ms <= 0 {
        return Err(Error::parameter(
            "step",
            "zero or negative query resolution step widths are not accepted. Try a positive \
             integer",
        ));
    }
    if end_ms.saturating_sub(start_ms) / step_ms > points_max {
        return Err(Error::BadRequest(format!(
            "exceeded maximum resolution of {} points per timeseries. Try decreasing the query \
             resolution (?step=XX)",
            with_thousands(points_max)
        )));
    }
    Ok(())
}

/// `11,000`, as in the message of Prometheus.
fn with_thousands(number: i64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Whether the order of the result means something.
fn has_own_order(expr: &Expr) -> bool {
    let own = match &expr.kind {
        ExprKind::Aggregate(aggregate) => matches!(aggregate.op.as_str(), "topk" | "bottomk"),
        ExprKind::Call(call) => call.function.name.starts_with("sort"),
        _ => false,
    };
    let mut found = own;
    expr.for_each_child(&mut |child| found = found || has_own_order(child));
    found
}

fn write_answer(
    json: &mut Json,
    mut evaluation: Evaluation,
    limit: Option<usize>,
    warning: Option<String>,
    stats: Option<Stats>,
) {
    let mut remarks = Remarks { warnings: evaluation.warnings, infos: evaluation.infos };
    let was_cut = match (&mut evaluation.value, limit) {
        (promql::Value::Vector(vector), Some(limit)) => cut(vector, limit),
        (promql::Value::Matrix(matrix), Some(limit)) => cut(matrix, limit),
        _ => false,
    };
    if was_cut {
        remarks.add_truncated();
    }
    remarks.warnings.extend(warning);
    write_success(json, &remarks, |json| write_query_data(json, &evaluation.value, stats));
}

/// Cuts a list to a limit; whether it was longer.
pub(super) fn cut<T>(items: &mut Vec<T>, limit: usize) -> bool {
    let was_longer = items.len() > limit;
    items.truncate(limit);
    was_longer
}

/// `query_exemplars`: exemplars of all series that the selectors of a query match.
pub(super) async fn exemplars(State(app): App, parameters: Parameters) -> Answer {
    // Grafana probes with milliseconds where seconds belong: a far future, not an error.
    let start = parameters.time("start")?.unwrap_or(RangeMs::ALL.start);
    let end = parameters.time("end")?.unwrap_or(RangeMs::ALL.end);
    if end < start {
        return Err(
            Error::BadRequest("end timestamp must not be before start timestamp".into()).into()
        );
    }
    let expr = promql::parse(parameters.get("query").unwrap_or(""));
    let expr = expr.map_err(|error| Error::BadRequest(parse_error(&error)))?;
    if promql::selectors(&expr).is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let shared = app.clone();
    let body = app.runner.respond(None, move |context, _, json| {
        let mut found: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
        for selector in promql::selectors(&expr) {
            let matchers = selector.all_matchers();
            let range = RangeMs { start, end };
            for (labels, exemplars) in shared.state.series.exemplars(&matchers, range, context)? {
                found.insert(labels, exemplars);
            }
        }
        write_success(json, &Remarks::default(), |json| {
            json.array(
                found.iter().filter(|(_, exemplars)| !exemplars.is_empty()),
                |json, (labels, exemplars)| {
                    json.raw(r#"{"seriesLabels":"#);
                    json.labels(labels);
                    json.raw(r#","exemplars":"#);
                    json.array(exemplars, |json, exemplar| {
                        json.raw(r#"{"labels":"#);
                        json.labels(&exemplar.labels);
                        json.raw(r#","value":"#);
                        json.prometheus_float(exemplar.value);
                        json.raw(r#","timestamp":"#);
                        let TimestampMs(at) = exemplar.at;
                        json.timestamp(at);
                        json.raw("}");
                    });
                    json.raw("}");
                },
            );
        });
        Ok(())
    });
    Ok(json_response(body.await?))
}

/// `format_query`: the query laid out for reading.
pub(super) async fn format(parameters: Parameters) -> Answer {
    let text = promql::pretty(&parse(&parameters)?);
    Ok(success(|json| json.web_string(&text)))
}

/// `parse_query`: the syntax tree of the query.
pub(super) async fn tree(parameters: Parameters) -> Answer {
    let tree = promql::syntax_json(&parse(&parameters)?).to_string();
    Ok(success(|json| json.raw(&tree)))
}
