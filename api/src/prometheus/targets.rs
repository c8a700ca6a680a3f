//! Who is scraped, and who is told of alerts.
//!
//! The binary knows the targets ([`ScrapeStatus`]); the one Alertmanager is our own.

use std::collections::BTreeMap;

use axum::extract::State;
use http::{StatusCode, Uri};
use model::read::RangeMs;
use model::sample::MetricMetadata;
use model::{Labels, Matcher, QueryContext};
use query::text::format_duration_ms;

use super::labels::number;
use super::result::write_time;
use super::selectors::selector;
use super::{Answer, json_response, success, write_success};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::parameters::Parameters;
use crate::prometheus::Remarks;
use crate::state::{ActiveTarget, App, ScrapeStatus, Shared};

/// How far back the metrics of a target are looked for.
const METADATA_MS: i64 = 3_600_000;

impl Shared {
    /// What is scraped, if anything can be.
    fn targets(&self) -> Option<&dyn ScrapeStatus> {
        self.state.targets.as_deref()
    }
}

/// `targets`: `state` is `active`, `dropped` or `any`, `scrapePool` one job.
pub(super) async fn targets(State(app): App, parameters: Parameters) -> Answer {
    let state = parameters.get("state").unwrap_or("any").to_lowercase();
    let (wants_active, wants_dropped) =
        (matches!(&*state, "any" | "active"), matches!(&*state, "any" | "dropped"));
    let pool = parameters.get("scrapePool");
    let is_wanted = |name: &str| pool.is_none_or(|pool| pool == name);
    let (mut active, mut dropped, mut counts) = (Vec::new(), Vec::new(), BTreeMap::new());
    if let Some(targets) = app.targets() {
        if wants_active {
            active = targets.active();
            active.retain(|target| is_wanted(&target.pool));
        }
        if wants_dropped {
            dropped = targets.dropped();
            dropped.retain(|(pool, _)| is_wanted(pool));
            counts = targets.dropped_counts();
        }
    }
    let external_url = &app.state.external_url;
    Ok(success(|json| {
        json.raw(r#"{"activeTargets":"#);
        json.array(&active, |json, target| write_target(json, target, external_url));
        json.raw(r#","droppedTargets":"#);
        json.array(&dropped, |json, (pool, discovered)| {
            json.raw(r#"{"discoveredLabels":"#);
            json.labels(discovered);
            json.raw(r#","scrapePool":"#);
            json.web_string(pool);
            json.raw("}");
        });
        json.raw(r#","droppedTargetCounts":"#);
        if wants_dropped {
            json.raw("{");
            for (i, (pool, count)) in counts.iter().enumerate() {
                json.raw(if i > 0 { "," } else { "" });
                json.web_string(pool);
                json.raw_fmt(format_args!(":{count}"));
            }
            json.raw("}");
        } else {
            json.raw("null");
        }
        json.raw("}");
    }))
}

fn write_target(json: &mut Json, target: &ActiveTarget, external_url: &str) {
    json.raw(r#"{"discoveredLabels":"#);
    json.labels(&target.discovered_labels);
    json.raw(r#","labels":"#);
    json.labels(&target.labels);
    for (name, text) in [
        ("scrapePool", target.pool.as_str()),
        ("scrapeUrl", &target.scrape_url),
        ("globalUrl", &global_url(&target.scrape_url, external_url)),
        ("lastError", &target.last_error),
    ] {
        json.raw_fmt(format_args!(",\"{name}\":"));
        json.web_string(text);
    }
    json.raw(r#","lastScrape":"#);
    write_time(json, target.last_scrape);
    json.raw(r#","lastScrapeDuration":"#);
    json.number(target.last_duration.as_secs_f64());
    let ms = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(0);
    json.raw_fmt(format_args!(
        ",\"health\":\"{}\",\"scrapeInterval\":\"{}\",\"scrapeTimeout\":\"{}\"}}",
        target.health,
        format_duration_ms(ms(target.interval)),
        format_duration_ms(ms(target.timeout))
    ));
}

/// The URL of a target as others reach it: a target on this machine is named as this server is
/// (`getGlobalURL` of `web/api/v1/api.go`).
fn global_url(scrape_url: &str, external_url: &str) -> String {
    let (Ok(url), Ok(own)) = (scrape_url.parse::<Uri>(), external_url.parse::<Uri>()) else {
        return scrape_url.to_owned();
    };
    let (Some(scheme), Some(host), Some(own_host)) = (url.scheme_str(), url.host(), own.host())
    else {
        return scrape_url.to_owned();
    };
    if !matches!(host, "127.0.0.1" | "localhost" | "[::1]") {
        return scrape_url.to_owned();
    }
    let rest = url.path_and_query().map_or("/", |rest| rest.as_str());
    if url.port_u16().is_some() && url.port_u16() == own.port_u16() {
        return format!("{}://{}{rest}", own.scheme_str().unwrap_or(scheme), authority(&own));
    }
    match url.port_u16() {
        Some(port) => format!("{scheme}://{own_host}:{port}{rest}"),
        None => format!("{scheme}://{own_host}{rest}"),
    }
}

fn authority(uri: &Uri) -> &str {
    uri.authority().map_or("", |authority| authority.as_str())
}

/// `targets/metadata`: what the metrics of each target are. `match_target` selects targets, `metric`
/// one metric.
pub(super) async fn metadata(State(app): App, parameters: Parameters) -> Answer {
    let limit = number(&parameters, "limit")?;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let matchers = match parameters.get("match_target") {
        None => Vec::new(),
        Some(text) => selector(text).map_err(|why| Error::parameter("match_target", why))?,
    };
    let metric = parameters.get("metric").map(str::to_owned);
    let now = app.state.clock.now_ms();
    let shared = app.clone();
    let body = app.runner.respond(None, move |context, _, json| {
        let range = RangeMs { start: now.plus_ms(-METADATA_MS), end: now };
        let known = shared.state.series.metadata()?;
        let mut rows: Vec<(Labels, String, MetricMetadata)> = Vec::new();
        let active = shared.targets().map(ScrapeStatus::active).unwrap_or_default();
        for target in active {
            if rows.len() >= limit {
                break;
            }
            if !Matcher::all_match(&matchers, &target.labels) {
                continue;
            }
            for family in families(&shared, &target, range, context)? {
                let found = known.binary_search_by(|(name, _)| name.as_str().cmp(&family)).ok();
                if metric.as_ref().is_none_or(|metric| *metric == family)
                    && let Some((_, metadata)) = found.and_then(|at| known.get(at))
                {
                    rows.push((target.labels.clone(), family, metadata.clone()));
                }
            }
        }
        rows.truncate(limit);
        write_success(json, &Remarks::default(), |json| {
            json.array(&rows, |json, (labels, family, metadata)| {
                json.raw(r#"{"target":"#);
                json.labels(labels);
                if metric.is_none() {
                    json.raw(r#","metric":"#);
                    json.web_string(family);
                }
                json.raw_fmt(format_args!(",\"type\":\"{}\",\"help\":", metadata.kind.as_str()));
                json.web_string(&metadata.help);
                json.raw(r#","unit":"#);
                json.web_string(&metadata.unit);
                json.raw("}");
            });
        });
        Ok(())
    });
    Ok(json_response(body.await?))
}

/// Names of the families that a target may have sent: of its metrics, with and without the endings
/// that the parts of a family have.
fn families(
    shared: &Shared,
    target: &ActiveTarget,
    range: RangeMs,
    context: &QueryContext,
) -> Result<Vec<String>> {
    let own =
        ["job", "instance"].map(|name| Matcher::equal(name, target.labels.get_or_empty(name)));
    let names = shared.state.series.label_values("__name__", &own, range, context)?;
    let mut families = names.clone();
    for name in &names {
        let endings = ["_total", "_bucket", "_sum", "_count", "_info", "_created"];
        let ended = endings.iter().filter_map(|ending| name.strip_suffix(ending));
        families.extend(ended.map(str::to_owned));
    }
    families.sort_unstable();
    families.dedup();
    Ok(families)
}

/// `scrape_pools`: the names of the jobs.
pub(super) async fn pools(State(app): App) -> Answer {
    let mut pools = app.targets().map(ScrapeStatus::pools).unwrap_or_default();
    pools.sort_unstable();
    Ok(success(|json| {
        json.raw(r#"{"scrapePools":"#);
        json.web_strings(&pools);
        json.raw("}");
    }))
}

/// `scrape_pools/config`: one job as it is configured, secrets masked.
pub(super) async fn pool_config(State(app): App, parameters: Parameters) -> Answer {
    let Some(pool) = parameters.get("scrapePool") else {
        return Err(Error::BadRequest("no scrapePool parameter provided".to_owned()).into());
    };
    let Some(yaml) = app.targets().and_then(|targets| targets.pool_config(pool)) else {
        let message = format!("error retrieving scrape config: scrape pool {pool:?} not found");
        return Err(Error::BadRequest(message).into());
    };
    Ok(success(|json| {
        json.raw(r#"{"yaml":"#);
        json.web_string(&yaml);
        json.raw("}");
    }))
}

/// `alertmanagers`: the one in this process.
pub(super) async fn alertmanagers(State(app): App) -> Answer {
    let url = format!("{}/alertmanager/api/v2/alerts", app.state.external_url);
    Ok(success(|json| {
        json.raw(r#"{"activeAlertmanagers":[{"url":"#);
        json.web_string(&url);
        json.raw(r#"}],"droppedAlertmanagers":[]}"#);
    }))
}

/// `notifications`: this server has no notices of its own; its readiness says what is wrong.
pub(super) async fn notifications() -> Answer {
    Ok(success(|json| json.raw("[]")))
}

/// `notifications/live`: nothing will come, which tells an event source not to ask again.
pub(super) async fn live_notifications() -> StatusCode {
    StatusCode::NO_CONTENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_on_this_machine_are_named_as_others_reach_them() {
        let external = "https://box.example:4319";
        for (url, expected) in [
            ("http://127.0.0.1:9100/metrics?a=b", "http://box.example:9100/metrics?a=b"),
            ("http://localhost:4319/metrics", "https://box.example:4319/metrics"),
            ("http://localhost/metrics", "http://box.example/metrics"),
            ("http://other:9100/metrics", "http://other:9100/metrics"),
        ] {
            assert_eq!(global_url(url, external), expected);
        }
    }
}
