//! Names: series, labels, values, metadata.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use model::read::{RangeMs, SeriesRequest};
use model::sample::MetricMetadata;
use model::{Labels, Matcher, QueryContext, SeriesSource};

use super::query::cut;
use super::selectors::selectors;
use super::{Answer, Remarks, json_response, success, write_success};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::parameters::{Parameters, parse_integer};
use crate::state::App;

pub(crate) fn range(parameters: &Parameters) -> Result<RangeMs> {
    let start = parameters.time("start")?.unwrap_or(RangeMs::ALL.start);
    let end = parameters.time("end")?.unwrap_or(RangeMs::ALL.end);
    if end < start {
        // Prometheus finds nothing in a range that is upside down, and does not complain.
        return Ok(RangeMs { start: RangeMs::ALL.end, end: RangeMs::ALL.end });
    }
    Ok(RangeMs { start, end })
}

fn write_strings(json: &mut Json, mut found: Vec<String>, limit: Option<usize>) {
    let mut remarks = Remarks::default();
    if limit.is_some_and(|limit| cut(&mut found, limit)) {
        remarks.add_truncated();
    }
    write_success(json, &remarks, |json| json.web_strings(&found));
}

/// The union over all selectors, or over all series without one.
fn union(
    selectors: &[Vec<Matcher>],
    mut read: impl FnMut(&[Matcher]) -> model::Result<Vec<String>>,
) -> Result<Vec<String>> {
    match selectors {
        [] => Ok(read(&[])?),
        [one] => Ok(read(one)?),
        many => {
            let mut all = BTreeSet::new();
            for matchers in many {
                all.extend(read(matchers)?);
            }
            Ok(all.into_iter().collect())
        }
    }
}

/// `labels`: names of labels.
pub(super) async fn names(State(app): App, parameters: Parameters) -> Answer {
    let (limit, range) = (parameters.limit()?, range(&parameters)?);
    let selectors = selectors(&parameters)?;
    let shared = app.clone();
    let body = app.runner.respond(None, move |context, _, json| {
        let series = &shared.state.series;
        let found = union(&selectors, |matchers| series.label_names(matchers, range, context))?;
        write_strings(json, found, limit);
        Ok(())
    });
    Ok(json_response(body.await?))
}

/// `label/{name}/values`.
pub(super) async fn values(
    State(app): App,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Answer {
    let name = unescape_name(&name);
    if name.is_empty() {
        return Err(Error::BadRequest("invalid label name: \"\"".into()).into());
    }
    let (limit, range) = (parameters.limit()?, range(&parameters)?);
    let selectors = selectors(&parameters)?;
    let shared = app.clone();
    let body = app.runner.respond(None, move |context, _, json| {
        let series = &shared.state.series;
        let found =
            union(&selectors, |matchers| series.label_values(&name, matchers, range, context))?;
        write_strings(json, found, limit);
        Ok(())
    });
    Ok(json_response(body.await?))
}

/// Reads a name that was escaped for a path, `U__http_2e_route` (prometheus/common
/// `model/metric.go`, `UnescapeName`). One that is not escaped well is taken as it is.
fn unescape_name(name: &str) -> String {
    let unescape = || {
        let mut rest = name.strip_prefix("U__")?;
        let mut out = String::new();
        while let Some(at) = rest.find('_') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('_') {
                out.push('_');
                rest = after;
            } else {
                let end = rest.find('_').filter(|end| (1..=6).contains(end))?;
                out.push(u32::from_str_radix(&rest[..end], 16).ok().and_then(char::from_u32)?);
                rest = &rest[end + 1..];
            }
        }
        out.push_str(rest);
        Some(out)
    };
    unescape().unwrap_or_else(|| name.to_owned())
}

/// `series`: label sets.
pub(super) async fn series(State(app): App, parameters: Parameters) -> Answer {
    if parameters.all("match[]").next().is_none() {
        return Err(Error::BadRequest("no match[] parameter provided".into()).into());
    }
    let (limit, range) = (parameters.limit()?, range(&parameters)?);
    let selectors = selectors(&parameters).map_err(|why| Error::parameter("match[]", why))?;
    let shared = app.clone();
    let body = app.runner.respond(None, move |context, _, json| {
        // One more than asked for shows whether there are more.
        let wanted = limit.map(|limit| limit.saturating_add(1));
        let mut found = BTreeSet::new();
        for matchers in selectors {
            found.extend(label_sets(&*shared.state.series, matchers, range, wanted, context)?);
        }
        let mut found: Vec<Labels> = found.into_iter().collect();
        let mut remarks = Remarks::default();
        if limit.is_some_and(|limit| cut(&mut found, limit)) {
            remarks.add_truncated();
        }
        write_success(json, &remarks, |json| json.array(&found, |json, one| json.labels(one)));
        Ok(())
    });
    Ok(json_response(body.await?))
}

/// Label sets of matching series.
pub(super) fn label_sets(
    source: &dyn SeriesSource,
    matchers: Vec<Matcher>,
    range: RangeMs,
    limit: Option<usize>,
    context: &QueryContext,
) -> Result<Vec<Labels>> {
    let request = SeriesRequest::labels(matchers, range, limit);
    let stream = source.select(&request, context)?;
    let mut found = Vec::new();
    for series in stream {
        found.push(series?.labels);
        if found.len().is_multiple_of(1024) {
            context.check()?;
        }
    }
    Ok(found)
}

/// A whole number, of which metadata's endpoints say no more than that it is none.
pub(super) fn number(parameters: &Parameters, name: &str) -> Result<Option<i64>> {
    let Some(text) = parameters.get(name) else { return Ok(None) };
    let bad = |_| Error::BadRequest(format!("{name} must be a number"));
    parse_integer(text).map(Some).map_err(bad)
}

/// `metadata`: type, unit and help by metric.
pub(super) async fn metadata(State(app): App, parameters: Parameters) -> Answer {
    let limit = number(&parameters, "limit")?;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let per_metric = number(&parameters, "limit_per_metric")?.filter(|limit| *limit > 0);
    let per_metric = per_metric.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let metric = parameters.get("metric");
    let mut families: BTreeMap<String, Vec<MetricMetadata>> = BTreeMap::new();
    for (name, metadata) in app.state.series.metadata()? {
        if metric.is_some_and(|metric| metric != name) {
            continue;
        }
        if families.len() >= limit && !families.contains_key(&name) {
            continue;
        }
        let entries = families.entry(name).or_default();
        if entries.len() < per_metric && !entries.contains(&metadata) {
            entries.push(metadata);
        }
    }
    Ok(success(|json| {
        json.raw("{");
        for (i, (name, entries)) in families.iter().enumerate() {
            if i > 0 {
                json.raw(",");
            }
            json.web_string(name);
            json.raw(":");
            json.array(entries, |json, entry| {
                json.raw(r#"{"type":"#);
                json.string(entry.kind.as_str());
                json.raw(r#","unit":"#);
                json.web_string(&entry.unit);
                json.raw(r#","help":"#);
                json.web_string(&entry.help);
                json.raw("}");
            });
        }
        json.raw("}");
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_read_as_prometheus_reads_them() {
        for (escaped, name) in [
            ("U__http_2e_route", "http.route"),
            ("U__a__b", "a_b"),
            ("U__", ""),
            ("U__bad_zz_", "U__bad_zz_"),
            ("U__open_2e", "U__open_2e"),
            ("plain", "plain"),
            ("U__snow_2603_man", "snow\u{2603}man"),
        ] {
            assert_eq!(unescape_name(escaped), name);
        }
    }
}
