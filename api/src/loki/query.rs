//! `query`, `query_range` and `format_query`.

use std::ops::ControlFlow;

use axum::extract::State;
use http::HeaderMap;
use model::read::RangeNs;
use model::{Labels, LogSource, QueryContext, TimestampNs};
use query::logql::{self, Expr, LogResult, LogVisit, StreamGroups, Value};
use rustc_hash::FxHashMap;

use super::result::{Cost, wants_categories, write_answer};
use super::{Answer, json_response, parse, range, success};
use crate::error::{Error, Result};
use crate::parameters::Parameters;
use crate::run::Timing;
use crate::state::{App, Shared};

fn cost(app: &Shared, stats: logql::LogStats, timing: Timing) -> Cost {
    let evaluated = app.runner.monotonic().saturating_sub(timing.began);
    Cost { stats, queued: timing.queued, evaluated }
}

/// `query`: numbers at one instant.
pub(super) async fn instant(State(app): App, headers: HeaderMap, parameters: Parameters) -> Answer {
    let at = parameters.time_ns("time")?.unwrap_or_else(|| app.state.clock.now());
    // Numbers have no lines, whatever their limit.
    range::lines(&parameters, usize::MAX)?;
    range::direction(&parameters)?;
    let expr = parse(&parameters)?;
    if matches!(expr, Expr::Log(_)) {
        return Err(Error::BadRequest(
            "log queries are not supported as an instant query type, please change your query to \
             a range query type"
                .into(),
        )
        .into());
    }
    let (shared, categorized) = (app.clone(), wants_categories(&headers));
    let body = app.runner.respond(None, move |context, timing, json| {
        let source = shared.state.logs.as_ref();
        let options = logql::InstantOptions::default();
        let evaluation = logql::evaluate_instant(&expr, at, &options, source, context)?;
        let cost = cost(&shared, evaluation.stats, timing);
        write_answer(json, evaluation.value, categorized, &cost, &evaluation.warnings);
        Ok(())
    });
    Ok(json_response(body.await?))
}

/// `query_range`: lines of a range, or numbers in steps.
pub(super) async fn range(State(app): App, headers: HeaderMap, parameters: Parameters) -> Answer {
    let options = &app.state.options;
    let over = range::read_positive(&parameters, app.state.clock.as_ref(), range::HOUR_NS)?;
    let expr = parse(&parameters)?;
    // Numbers have no lines, whatever their limit.
    let is_log = matches!(expr, Expr::Log(_));
    let limit = range::lines(&parameters, if is_log { options.log_lines_max } else { usize::MAX })?;
    let direction = range::direction(&parameters)?;
    let step_ns = range::step_ns(&parameters, over, options.points_per_series_max)?;
    let interval_ns = range::interval_ns(&parameters)?;
    let (shared, categorized) = (app.clone(), wants_categories(&headers));
    let body = app.runner.respond(None, move |context, timing, json| {
        let source = shared.state.logs.as_ref();
        let (value, stats, warnings) = match &expr {
            Expr::Log(log) => {
                let result = if interval_ns > 0 {
                    let lines = LogVisit {
                        log,
                        range: over,
                        direction,
                        lines: Vec::new(),
                        wants: &|_| true,
                        arrivals: None,
                    };
                    sparse(&lines, limit, interval_ns, source, context)?
                } else {
                    logql::evaluate_log(log, over, limit, direction, source, context)?
                };
                let stats = result.stats;
                (Value::Streams(result), stats, Vec::new())
            }
            Expr::Metric(_) => metric_range(&expr, over, step_ns, &shared, context)?,
        };
        let cost = cost(&shared, stats, timing);
        write_answer(json, value, categorized, &cost, &warnings);
        Ok(())
    });
    Ok(json_response(body.await?))
}

/// Lines with at least `interval_ns` between two of a stream.
fn sparse(
    lines: &LogVisit<'_>,
    limit: usize,
    interval_ns: i64,
    source: &dyn LogSource,
    context: &QueryContext,
) -> Result<LogResult> {
    let mut groups = StreamGroups::default();
    let mut last: FxHashMap<Labels, TimestampNs> = FxHashMap::default();
    let mut kept = 0;
    let stats = logql::visit_log(lines, source, context, &mut |_, stream, entry| {
        let is_near = |shown: &TimestampNs| shown.0.abs_diff(entry.at.0) < interval_ns as u64;
        if last.get(&stream).is_some_and(is_near) {
            return Ok(ControlFlow::Continue(()));
        }
        last.insert(stream.clone(), entry.at);
        context.hold(entry.held_bytes())?;
        groups.push(stream, entry);
        kept += 1;
        Ok(if kept < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(LogResult { streams: groups.streams, stats })
}

fn metric_range(
    expr: &Expr,
    over: RangeNs,
    step_ns: i64,
    app: &Shared,
    context: &QueryContext,
) -> Result<(Value, logql::LogStats, Vec<String>)> {
    let source = app.state.logs.as_ref();
    let evaluation = logql::evaluate_range(expr, over.start, over.end, step_ns, source, context)?;
    Ok((evaluation.value, evaluation.stats, evaluation.warnings))
}

/// `format_query`: the query as the printer writes it.
pub(super) async fn format(parameters: Parameters) -> Answer {
    let text = parse(&parameters)?.pretty();
    Ok(success(|json| json.string(&text)))
}
