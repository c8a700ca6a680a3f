//! Rules and alerts, for alert pages and the hints of query editors.

use std::sync::Arc;

use axum::extract::State;
use model::{Labels, Matcher, TimestampMs};
use query::promql::{self, ExprKind};
use rules::{AlertStatus, RuleGroupStatus, RuleKind, RuleStatus};

use super::{Answer, success};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::parameters::Parameters;
use crate::state::App;

/// Which rules are asked for.
struct Filter<'a> {
    alerting: bool,
    recording: bool,
    names: Vec<&'a str>,
    groups: Vec<&'a str>,
    files: Vec<&'a str>,
    labels: Vec<Vec<Matcher>>,
    without_alerts: bool,
}

impl<'a> Filter<'a> {
    fn read(parameters: &'a Parameters) -> Result<Self> {
        let kind = parameters.get("type").map(str::to_ascii_lowercase);
        let (alerting, recording) = match kind.as_deref() {
            None => (true, true),
            Some("alert") => (true, false),
            Some("record") => (false, true),
            Some(other) => {
                return Err(Error::parameter("type", format!("not supported value {other:?}")));
            }
        };
        let labels = parameters.list("match").into_iter().map(|text| {
            let bad = |message: String| Error::parameter("match[]", message);
            let expr = promql::parse(text).map_err(|error| bad(error.to_string()))?;
            match &expr.kind {
                ExprKind::Selector(selector) => Ok(selector.all_matchers()),
                _ => Err(bad(format!("{text:?} is not a selector"))),
            }
        });
        Ok(Filter {
            alerting,
            recording,
            names: parameters.list("rule_name"),
            groups: parameters.list("rule_group"),
            files: parameters.list("file"),
            labels: labels.collect::<Result<_>>()?,
            without_alerts: parameters.flag("exclude_alerts", false)?,
        })
    }

    fn takes_group(&self, group: &RuleGroupStatus) -> bool {
        let is_in = |wanted: &[&str], name: &str| wanted.is_empty() || wanted.contains(&name);
        is_in(&self.groups, &group.name) && is_in(&self.files, &group.file)
    }

    fn takes_rule(&self, rule: &RuleStatus) -> bool {
        let kind_fits = match rule.kind {
            RuleKind::Recording => self.recording,
            RuleKind::Alerting { .. } => self.alerting,
        };
        let name_fits = self.names.is_empty() || self.names.contains(&rule.name.as_str());
        let labels_fit = self.labels.is_empty()
            || self.labels.iter().any(|matchers| Matcher::all_match(matchers, &rule.labels));
        kind_fits && name_fits && labels_fit
    }
}

/// Where a page of groups goes on: a name that says nothing about the group.
fn token(group: &RuleGroupStatus) -> String {
    let key = Labels::from_pairs([("file", group.file.as_str()), ("group", group.name.as_str())]);
    format!("{:016x}", key.fingerprint())
}

/// The groups of the page that is asked for, and where the next one begins.
fn page(
    parameters: &Parameters,
    groups: Vec<Arc<RuleGroupStatus>>,
) -> Result<(Vec<Arc<RuleGroupStatus>>, Option<String>)> {
    let limit = match parameters.get("group_limit") {
        None => None,
        Some(text) => {
            let limit = text.parse::<usize>().ok().filter(|limit| *limit > 0);
            Some(limit.ok_or_else(|| {
                Error::parameter("group_limit", format!("{text:?} is not a positive number"))
            })?)
        }
    };
    let begin = match parameters.get("group_next_token") {
        None => 0,
        Some(_) if limit.is_none() => {
            return Err(Error::parameter(
                "group_limit",
                "group_limit needs to be present in order to paginate over the groups",
            ));
        }
        Some(wanted) => {
            groups.iter().position(|group| token(group) == wanted).ok_or_else(|| {
                Error::parameter(
                    "group_next_token",
                    "invalid group_next_token, ask again from the beginning",
                )
            })?
        }
    };
    let limit = limit.unwrap_or(usize::MAX);
    let next = groups.get(begin.saturating_add(limit)).map(|group| token(group));
    Ok((groups.into_iter().skip(begin).take(limit).collect(), next))
}

/// `rules`.
pub(super) async fn rules(State(app): App, parameters: Parameters) -> Answer {
    let filter = Filter::read(&parameters)?;
    let groups = app.state.rules.groups();
    let takes = |group: &Arc<RuleGroupStatus>| {
        filter.takes_group(group) && group.rules.iter().any(|rule| filter.takes_rule(rule))
    };
    let (groups, next) = page(&parameters, groups.into_iter().filter(takes).collect())?;
    Ok(success(|json| {
        json.raw(r#"{"groups":"#);
        json.array(&groups, |json, group| write_group(json, group, &filter));
        if let Some(next) = next {
            json.raw(r#","groupNextToken":"#);
            json.string(&next);
        }
        json.raw("}");
    }))
}

fn write_group(json: &mut Json, group: &RuleGroupStatus, filter: &Filter<'_>) {
    json.raw(r#"{"name":"#);
    json.string(&group.name);
    json.raw(r#","file":"#);
    json.string(&group.file);
    json.raw(r#","rules":"#);
    let rules = group.rules.iter().filter(|rule| filter.takes_rule(rule));
    json.array(rules, |json, rule| write_rule(json, rule, filter.without_alerts));
    json.raw_fmt(format_args!(
        ",\"interval\":{},\"limit\":{},\"evaluationTime\":{},\"lastEvaluation\":",
        group.interval_ms as f64 / 1000.0,
        group.limit,
        group.evaluation_seconds
    ));
    write_time(json, group.last_evaluation);
    json.raw("}");
}

fn write_rule(json: &mut Json, rule: &RuleStatus, without_alerts: bool) {
    match &rule.kind {
        RuleKind::Recording => {
            json.raw(r#"{"name":"#);
            json.string(&rule.name);
            json.raw(r#","query":"#);
            json.string(&rule.query);
            if !rule.labels.is_empty() {
                json.raw(r#","labels":"#);
                json.labels(&rule.labels);
            }
        }
        RuleKind::Alerting { state, for_ms, keep_firing_for_ms, annotations, alerts } => {
            json.raw(r#"{"state":"#);
            json.string(state.as_str());
            json.raw(r#","name":"#);
            json.string(&rule.name);
            json.raw(r#","query":"#);
            json.string(&rule.query);
            json.raw_fmt(format_args!(
                ",\"duration\":{},\"keepFiringFor\":{},\"labels\":",
                *for_ms as f64 / 1000.0,
                *keep_firing_for_ms as f64 / 1000.0
            ));
            json.labels(&rule.labels);
            json.raw(r#","annotations":"#);
            json.object(annotations.iter().map(|(name, text)| (name.as_str(), text.as_str())));
            json.raw(r#","alerts":"#);
            let shown: &[AlertStatus] = if without_alerts { &[] } else { alerts };
            json.array(shown, write_alert);
        }
    }
    json.raw(r#","health":"#);
    json.string(rule.health.as_str());
    if !rule.last_error.is_empty() {
        json.raw(r#","lastError":"#);
        json.string(&rule.last_error);
    }
    json.raw_fmt(format_args!(
        ",\"evaluationTime\":{},\"lastEvaluation\":",
        rule.evaluation_seconds
    ));
    write_time(json, rule.last_evaluation);
    json.raw(match rule.kind {
        RuleKind::Recording => r#","type":"recording"}"#,
        RuleKind::Alerting { .. } => r#","type":"alerting"}"#,
    });
}

fn write_alert(json: &mut Json, alert: &AlertStatus) {
    json.raw(r#"{"labels":"#);
    json.labels(&alert.labels);
    json.raw(r#","annotations":"#);
    json.labels(&alert.annotations);
    json.raw(r#","state":"#);
    json.string(alert.state.as_str());
    json.raw(r#","activeAt":"#);
    write_time(json, Some(alert.active_at));
    if let Some(since) = alert.keep_firing_since {
        json.raw(r#","keepFiringSince":"#);
        write_time(json, Some(since));
    }
    json.raw(r#","value":"#);
    json.exponent_float(alert.value);
    json.raw("}");
}

/// RFC 3339; Go's zero time for never.
fn write_time(json: &mut Json, at: Option<TimestampMs>) {
    match at {
        Some(at) => json.string(&at.to_string()),
        None => json.raw("\"0001-01-01T00:00:00Z\""),
    }
}

/// `alerts`: pending and firing alerts of all rules.
pub(super) async fn alerts(State(app): App) -> Answer {
    let groups = app.state.rules.groups();
    let rules = groups.iter().flat_map(|group| &group.rules);
    let alerts = rules.flat_map(|rule| match &rule.kind {
        RuleKind::Alerting { alerts, .. } => alerts.as_slice(),
        RuleKind::Recording => &[],
    });
    Ok(success(|json| {
        json.raw(r#"{"alerts":"#);
        json.array(alerts, write_alert);
        json.raw("}");
    }))
}
