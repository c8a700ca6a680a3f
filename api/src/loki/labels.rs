//! Names and values of stream labels, and label sets.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use axum::response::Response;
use model::read::RangeNs;
use model::{Labels, Matcher};

use super::range::{self, HOUR_NS};
use super::{Answer, json, matchers, success};
use crate::error::Result;
use crate::parameters::Parameters;
use crate::state::{App, Shared};

/// How far back names are looked for by default.
const NAMES_NS: i64 = 6 * HOUR_NS;

/// The streams of any of the selectors.
async fn streams(
    app: std::sync::Arc<Shared>,
    selectors: Vec<Vec<Matcher>>,
    over: RangeNs,
) -> Result<BTreeSet<Labels>> {
    let shared = app.clone();
    app.runner
        .run(None, move |context, _| {
            let mut found = BTreeSet::new();
            for matchers in &selectors {
                found.extend(shared.state.logs.streams(matchers, over, context)?);
            }
            Ok(found)
        })
        .await
}

async fn streams_of_query(
    app: std::sync::Arc<Shared>,
    parameters: &Parameters,
) -> Result<BTreeSet<Labels>> {
    let over = range::read(parameters, app.state.clock.as_ref(), NAMES_NS)?;
    let selector = matchers(parameters.get("query"))?;
    streams(app, vec![selector], range::including_end(over)).await
}

fn strings(found: &BTreeSet<&str>) -> Response {
    success(|json| json.strings(found))
}

/// `labels`.
pub(super) async fn names(State(app): App, parameters: Parameters) -> Answer {
    let streams = streams_of_query(app, &parameters).await?;
    let names = streams.iter().flat_map(|labels| labels.iter().map(|(name, _)| name));
    Ok(strings(&names.collect()))
}

/// `label/{name}/values`.
pub(super) async fn values(
    State(app): App,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Answer {
    let streams = streams_of_query(app, &parameters).await?;
    Ok(strings(&streams.iter().filter_map(|labels| labels.get(&name)).collect()))
}

/// `series`.
pub(super) async fn series(State(app): App, parameters: Parameters) -> Answer {
    let over = range::read(&parameters, app.state.clock.as_ref(), NAMES_NS)?;
    let texts = parameters.list("match");
    let mut selectors = Vec::new();
    for text in &texts {
        selectors.push(matchers(Some(text))?);
    }
    if selectors.is_empty() {
        selectors.push(Vec::new());
    }
    let streams = streams(app, selectors, range::including_end(over)).await?;
    Ok(success(|json| json.array(&streams, |json, labels| json.labels(labels))))
}

/// Labels that are detected whatever their values are.
const KEPT: [&str; 4] = ["cluster", "namespace", "instance", "pod"];

/// Whether a value is a mere number or a UUID, which says nothing to people.
fn is_id(value: &str) -> bool {
    let is_uuid = value.len() == 36
        && value.bytes().enumerate().all(|(i, byte)| {
            if matches!(i, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() }
        });
    is_uuid || value.parse::<f64>().is_ok()
}

/// `detected_labels`: names with the number of their values, but for labels that hold only ids.
pub(super) async fn detected(State(app): App, parameters: Parameters) -> Answer {
    let streams = streams_of_query(app, &parameters).await?;
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in streams.iter().flat_map(Labels::iter) {
        values.entry(name).or_default().insert(value);
    }
    values.retain(|name, values| KEPT.contains(name) || !values.iter().all(|v| is_id(v)));
    Ok(json(|json| {
        json.raw(r#"{"detectedLabels":"#);
        json.array(&values, |json, (name, values)| {
            json.raw(r#"{"label":"#);
            json.string(name);
            json.raw_fmt(format_args!(",\"cardinality\":{}}}", values.len()));
        });
        json.raw("}");
    }))
}
