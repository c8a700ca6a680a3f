//! `/federate`: the newest samples of selected series for another server (`web/federate.go`).
//!
//! Text unless the client asks for protobuf, or accepts OpenMetrics and no text, which Prometheus
//! does not serve here. Only protobuf can carry native histograms, so they are left out of texts; those
//! with custom bounds become classic histograms everywhere.

mod exposition;

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use model::read::{RangeMs, SeriesColumns, SeriesRequest};
use model::sample::is_stale;
use model::{Labels, Matcher, NativeHistogram, QueryContext};

use super::read::{plain_error, status_of};
use super::selectors::wide_selectors;
use crate::error::Result;
use crate::parameters::Parameters;
use crate::state::{App, Shared};
use exposition::Format;

/// One series with its newest sample.
struct Newest {
    labels: Labels,
    at: i64,
    value: Value,
}

enum Value {
    Float(f64),
    Histogram(Box<NativeHistogram>),
}

impl Newest {
    /// `None` if there is none, or if the series ended.
    fn of(series: SeriesColumns) -> Option<Newest> {
        let float = series.times_ms.last().copied().zip(series.values.last().copied());
        let histogram = series.histograms.last();
        match (float, histogram) {
            (Some((at, value)), other) if other.is_none_or(|(other, _)| other.0 < at) => {
                let labels = series.labels;
                (!is_stale(value)).then_some(Newest { labels, at, value: Value::Float(value) })
            }
            (_, Some((at, histogram))) => (!is_stale(histogram.sum)).then(|| {
                let value = Value::Histogram(Box::new((**histogram).clone()));
                Newest { labels: series.labels.clone(), at: at.0, value }
            }),
            _ => None,
        }
    }

    fn name(&self) -> &str {
        self.labels.metric_name()
    }
}

/// `/federate`.
pub(crate) async fn federate(
    State(app): App,
    headers: HeaderMap,
    parameters: Parameters,
) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    let format = Format::negotiate(accept);
    let selectors = match wide_selectors(&parameters) {
        Ok(selectors) => selectors,
        Err(error) => return plain_error(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let shared = app.clone();
    let body = app.runner.respond_bytes(None, move |context, out| {
        let all = newest(&shared, selectors, context)?;
        let external = &shared.state.options.external_labels;
        exposition::write(out, &all, external, format);
        Ok(())
    });
    match body.await {
        Ok(body) => ([(CONTENT_TYPE, format.content_type())], body).into_response(),
        Err(error) => plain_error(status_of(&error), &error.to_string()),
    }
}

/// The newest samples within the lookback, in order of metric name, then of labels.
fn newest(
    shared: &Shared,
    selectors: Vec<Vec<Matcher>>,
    context: &QueryContext,
) -> Result<Vec<Newest>> {
    let now = shared.state.clock.now_ms();
    let start = now.plus_ms(-shared.eval_options().lookback_ms);
    let mut all: BTreeMap<(String, Labels), Newest> = BTreeMap::new();
    for matchers in selectors {
        let request = SeriesRequest::samples(matchers, RangeMs { start, end: now });
        for series in shared.state.series.select(&request, context)? {
            if let Some(newest) = Newest::of(series?)
                && !newest.name().is_empty()
            {
                all.insert((newest.name().to_owned(), newest.labels.clone()), newest);
            }
        }
    }
    Ok(all.into_values().collect())
}
