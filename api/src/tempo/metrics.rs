//! `api/metrics/query_range` and `api/metrics/query`: series made of spans.

use std::time::Duration;

use ::query::text::parse_go_duration_ns;
use ::query::traceql::{self, MetricsRange, Query, Sample, Series};
use axum::extract::State;
use model::TimestampNs;
use model::read::RangeNs;

use super::message::{key_values, search_metrics};
use super::search::{parse, write_metrics};
use super::wire::{double, key_value, object};
use super::{Answer, json_response, language_error};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::parameters::Parameters;
use crate::state::{App, Shared};

/// How far back a query looks if it does not say.
const SINCE_DEFAULT: Duration = Duration::from_secs(3600);

/// A duration: with units, or seconds.
fn duration_ns(parameters: &Parameters, name: &'static str) -> Result<Option<i64>> {
    let Some(text) = parameters.get(name) else { return Ok(None) };
    let seconds = || text.parse::<f64>().ok().filter(|s| s.is_finite() && s.abs() < 9e9);
    let ns = parse_go_duration_ns(text).or_else(|| seconds().map(|s| (s * 1e9) as i64));
    let bad = || Error::parameter(name, format!("cannot parse {text:?} to a valid duration"));
    ns.map(Some).ok_or_else(bad)
}

fn metrics_query(parameters: &Parameters) -> Result<Query> {
    let query = parse(parameters.get("q").or(parameters.get("query")).unwrap_or(""))?;
    if query.is_metrics() {
        return Ok(query);
    }
    Err(Error::BadRequest("the query is a search; metrics need a function such as rate()".into()))
}

fn range(app: &Shared, parameters: &Parameters) -> Result<RangeNs> {
    let now = app.state.clock.now();
    let end = parameters.time_ns("end")?.unwrap_or(now);
    let since = match duration_ns(parameters, "since")? {
        Some(since) => since,
        None => i64::try_from(SINCE_DEFAULT.as_nanos()).unwrap_or(i64::MAX),
    };
    let start = parameters.time_ns("start")?.unwrap_or(end.plus_ns(-since));
    if start >= end {
        return Err(Error::BadRequest("invalid range: start must be before end".into()));
    }
    Ok(RangeNs { start, end })
}

/// Series with the spans and bytes that were read for them.
type Found = (Vec<Series>, u64, u64);

async fn run(
    app: &Shared,
    work: impl FnOnce(&dyn model::SpanSource, &model::QueryContext) -> traceql::Result<Vec<Series>>
    + Send
    + 'static,
) -> Result<Found> {
    let spans = app.state.spans.clone();
    app.runner
        .run(None, move |context, _| {
            let series = work(&*spans, context).map_err(language_error)?;
            Ok((series, context.items_used(), context.bytes_used()))
        })
        .await
}

fn write(found: &Found, value: impl Fn(&mut super::wire::Object<'_>, &Series)) -> Json {
    let (series, spans, bytes) = found;
    let mut json = Json::new();
    object(&mut json, |o| {
        o.key("series").array(series, |json, series| {
            object(json, |o| {
                o.key("labels").array(&key_values(&series.labels), key_value);
                value(o, series);
            });
        });
        write_metrics(o.key("metrics"), search_metrics(0, *spans, *bytes));
    });
    json
}

/// `api/metrics/query_range`.
pub(super) async fn range_query(State(app): App, parameters: Parameters) -> Answer {
    let query = metrics_query(&parameters)?;
    let range = range(&app, &parameters)?;
    let step_ns = match duration_ns(&parameters, "step")? {
        Some(step) => step,
        None => MetricsRange::default_step_ns(range),
    };
    let range = MetricsRange { range, step_ns };
    let found =
        run(&app, move |spans, context| traceql::query_range(&query, range, spans, context));
    let json = write(&found.await?, |o, series| {
        o.key("samples").array(&series.samples, |json, sample: &Sample| {
            object(json, |o| {
                o.key("timestampMs").raw_fmt(format_args!("\"{}\"", ms(sample.at)));
                double(o.key("value"), sample.value);
            });
        });
    });
    Ok(json_response(json))
}

fn ms(at: TimestampNs) -> i64 {
    at.to_ms().0
}

/// `api/metrics/query`.
pub(super) async fn instant(State(app): App, parameters: Parameters) -> Answer {
    let query = metrics_query(&parameters)?;
    let range = range(&app, &parameters)?;
    let found =
        run(&app, move |spans, context| traceql::query_instant(&query, range, spans, context));
    let json = write(&found.await?, |o, series| {
        if let Some(sample) = series.samples.last() {
            double(o.key("value"), sample.value);
        }
    });
    Ok(json_response(json))
}
