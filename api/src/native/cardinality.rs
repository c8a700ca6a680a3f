//! Where series come from: which metric, which label, since when, and who sends them.
//!
//! `metrics/cardinality` is about all series, `metrics/cardinality/{metric}` about those of one metric.
//! Both take `match[]` (series of any selector), `start` and `end` (the last day without them; of a
//! block that reaches over an end all series count) and `limit` (rows of each table, 10 without it, at
//! most 10000). Times in answers are milliseconds since 1970.
//!
//! ```text
//! {"series":N, "firstSeen":T|null, "lastSeen":T|null,
//!  "metricCount":N, "metrics":[{"name":..,"series":N,"share":0..1}],      not for one metric
//!  "labels":[{"name":..,"values":N,"series":N,"top":[{"value":..,"series":N,"share":0..1}]}],
//!  "senders":[{"label":..,"values":N,"top":[...]}],
//!  "growth":[{"start":T,"end":T,"inMemory":bool,"series":N,"newSeries":N}]}
//! ```
//!
//! Labels have those with the most values first. Senders are the labels that tell who sent a series, as
//! far as series have them. Growth is told by what is stored together: blocks, and the windows in
//! memory; `newSeries` are those that nothing older in the range has. `firstSeen` is the start of the
//! oldest stretch that has any.

use axum::extract::{Path, State};
use model::Matcher;
use model::cardinality::{Cardinality, CardinalityRequest, Counted, LabelCardinality};
use model::labels::METRIC_NAME;
use model::read::RangeMs;
use model::{ErrorKind, TimestampMs};

use crate::error::Error;
use crate::json::Json;
use crate::parameters::Parameters;
use crate::prometheus::{Answer, Remarks, json_response, selectors, write_success};
use crate::state::{App, Shared};

/// What is looked at without a `start`.
const RANGE_MS: i64 = 86_400_000;
/// Rows without a `limit`, and with the highest.
const ROWS_DEFAULT: usize = 10;
const ROWS_MAX: usize = 10_000;

/// Labels that tell who sends a series.
const SENDERS: [&str; 8] = [
    "job",
    "instance",
    "service",
    "service_name",
    "service_namespace",
    "otel_scope_name",
    "cluster",
    "namespace",
];

/// `metrics/cardinality`.
pub(super) async fn all(State(app): App, parameters: Parameters) -> Answer {
    answer(&app, None, &parameters).await
}

/// `metrics/cardinality/{metric}`.
pub(super) async fn of_metric(
    State(app): App,
    Path(metric): Path<String>,
    parameters: Parameters,
) -> Answer {
    answer(&app, Some(metric), &parameters).await
}

async fn answer(
    app: &std::sync::Arc<Shared>,
    metric: Option<String>,
    parameters: &Parameters,
) -> Answer {
    let rows = parameters.limit()?.unwrap_or(ROWS_DEFAULT);
    if rows > ROWS_MAX {
        let message = format!("limit must not exceed {ROWS_MAX}");
        return Err(Error::parameter("limit", message).into());
    }
    let now = app.state.clock.now_ms();
    let end = parameters.time("end")?.unwrap_or(now);
    let start = parameters.time("start")?.unwrap_or_else(|| end.plus_ms(-RANGE_MS));
    let mut selectors = selectors(parameters)?;
    if let Some(metric) = &metric {
        if selectors.is_empty() {
            selectors.push(Vec::new());
        }
        for matchers in &mut selectors {
            matchers.push(Matcher::equal(METRIC_NAME, metric.as_str()));
        }
    }
    let request = CardinalityRequest { selectors, range: RangeMs { start, end }, values_max: rows };
    let Some(admin) = app.state.series_admin.clone() else {
        return Err(model::Error::new(ErrorKind::NotFound, "this store can not be counted").into());
    };
    let body = app.runner.respond(None, move |context, _, json| {
        let counted = admin.cardinality(&request, context)?;
        write_success(json, &Remarks::default(), |json| {
            write(json, &counted, metric.as_deref(), rows);
        });
        Ok(())
    });
    Ok(json_response(body.await?))
}

fn write(json: &mut Json, counted: &Cardinality, metric: Option<&str>, rows: usize) {
    json.raw("{");
    if let Some(metric) = metric {
        json.raw("\"metric\":");
        json.string(metric);
        json.raw(",");
    }
    json.raw_fmt(format_args!("\"series\":{}", counted.series));
    let with_series = || counted.stretches.iter().filter(|stretch| stretch.series > 0);
    write_time(json, "firstSeen", with_series().map(|stretch| stretch.start).min());
    write_time(json, "lastSeen", with_series().map(|stretch| stretch.end).max());
    let label = |name: &str| counted.labels.iter().find(|label| label.name == name);
    if metric.is_none() {
        let (count, top) = label(METRIC_NAME).map_or((0, &[][..]), |l| (l.values, &l.top));
        json.raw_fmt(format_args!(",\"metricCount\":{count},\"metrics\":"));
        write_top(json, "name", top, counted.series);
    }
    json.raw(",\"labels\":");
    let labels = counted.labels.iter().filter(|label| label.name != METRIC_NAME).take(rows);
    json.array(labels, |json, label| {
        json.raw("{\"name\":");
        json.string(&label.name);
        json.raw_fmt(format_args!(
            ",\"values\":{},\"series\":{},\"top\":",
            label.values, label.series
        ));
        write_top(json, "value", &label.top, counted.series);
        json.raw("}");
    });
    json.raw(",\"senders\":");
    let senders = SENDERS.iter().filter_map(|name| label(name));
    json.array(senders, |json, label: &LabelCardinality| {
        json.raw("{\"label\":");
        json.string(&label.name);
        json.raw_fmt(format_args!(",\"values\":{},\"top\":", label.values));
        write_top(json, "value", &label.top, counted.series);
        json.raw("}");
    });
    json.raw(",\"growth\":");
    json.array(with_series(), |json, stretch| {
        json.raw_fmt(format_args!(
            "{{\"start\":{},\"end\":{},\"inMemory\":{},\"series\":{},\"newSeries\":{}}}",
            stretch.start.0,
            stretch.end.0,
            stretch.is_in_memory,
            stretch.series,
            stretch.new_series
        ));
    });
    json.raw("}");
}

fn write_time(json: &mut Json, name: &str, at: Option<TimestampMs>) {
    match at {
        Some(TimestampMs(at)) => json.raw_fmt(format_args!(",\"{name}\":{at}")),
        None => json.raw_fmt(format_args!(",\"{name}\":null")),
    }
}

fn write_top(json: &mut Json, key: &str, top: &[Counted], series: u64) {
    json.array(top, |json, Counted { name, count }| {
        json.raw_fmt(format_args!("{{\"{key}\":"));
        json.string(name);
        json.raw_fmt(format_args!(",\"series\":{count},\"share\":"));
        json.number(*count as f64 / series.max(1) as f64);
        json.raw("}");
    });
}
