//! Rules and alerts, for alert pages and the hints of query editors.

use std::sync::Arc;

use axum::extract::State;
use model::{Labels, Matcher};
use rules::{AlertStatus, RuleGroupStatus, RuleKind, RuleStatus};

use super::result::write_time;
use super::selectors::selectors;
use super::{Answer, success};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::parameters::{Parameters, parse_bool, parse_integer};
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
        let labels = selectors(parameters)?;
        let kind = parameters.get("type").map(str::to_ascii_lowercase);
        let (alerting, recording) = match kind.as_deref() {
            None => (true, true),
            Some("alert") => (true, false),
            Some("record") => (false, true),
            Some(other) => {
                return Err(Error::parameter("type", format!("not supported value {other:?}")));
            }
        };
        Ok(Filter {
            alerting,
            recording,
            names: parameters.list("rule_name"),
            groups: parameters.list("rule_group"),
            files: parameters.list("file"),
            labels,
            without_alerts: without_alerts(parameters)?,
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

fn without_alerts(parameters: &Parameters) -> Result<bool> {
    let Some(text) = parameters.get("exclude_alerts") else { return Ok(false) };
    let text = text.to_lowercase();
    parse_bool(&text).ok_or_else(|| {
        let why = format!("strconv.ParseBool: parsing {text:?}: invalid syntax");
        Error::parameter("exclude_alerts", format!("error converting exclude_alerts: {why}"))
    })
}

/// Where a page of groups goes on: a name that says nothing about the group.
fn token(group: &RuleGroupStatus) -> String {
    let key = Labels::from_pairs([("file", group.file.as_str()), ("group", group.name.as_str())]);
    format!("{:016x}", key.fingerprint())
}

/// How many groups a page has at most.
fn group_limit(parameters: &Parameters) -> Result<Option<usize>> {
    let Some(text) = parameters.get("group_limit") else { return Ok(None) };
    let bad = |why: String| Error::parameter("group_limit", why);
    let number = parse_integer(text).and_then(|number| match i32::try_from(number) {
        Ok(number) => Ok(number),
        Err(_) => Err(format!("parsing {text:?}: value out of range")),
    });
    let number = number.map_err(|why| {
        bad(format!("group_limit needs to be a valid number: strconv.ParseInt: {why}"))
    })?;
    let limit = usize::try_from(number).ok().filter(|limit| *limit > 0);
    limit.map(Some).ok_or_else(|| bad("group_limit needs to be greater than 0".to_owned()))
}

/// The groups of the page that is asked for, and where the next one begins.
fn page(
    parameters: &Parameters,
    groups: Vec<Arc<RuleGroupStatus>>,
) -> Result<(Vec<Arc<RuleGroupStatus>>, Option<String>)> {
    let limit = group_limit(parameters)?;
    let begin = match parameters.get("group_next_token") {
        None => 0,
        Some(_) if limit.is_none() => {
            return Err(Error::parameter(
                "group_next_token",
                "group_limit needs to be present in order to paginate over the groups",
            ));
        }
        Some(wanted) => {
            groups.iter().position(|group| token(group) == wanted).ok_or_else(|| {
                let why = format!("invalid group_next_token '{wanted}'. were rule groups changed?");
                Error::parameter("group_next_token", why)
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
    json.web_string(&group.name);
    json.raw(r#","file":"#);
    json.web_string(&group.file);
    json.raw(r#","rules":"#);
    let rules = group.rules.iter().filter(|rule| filter.takes_rule(rule));
    json.array(rules, |json, rule| write_rule(json, rule, filter.without_alerts));
    json.raw(",\"interval\":");
    json.number(group.interval_ms as f64 / 1000.0);
    json.raw_fmt(format_args!(",\"limit\":{},\"evaluationTime\":", group.limit));
    json.number(group.evaluation_seconds);
    json.raw(",\"lastEvaluation\":");
    write_time(json, group.last_evaluation);
    json.raw("}");
}

fn write_rule(json: &mut Json, rule: &RuleStatus, without_alerts: bool) {
    match &rule.kind {
        RuleKind::Recording => {
            json.raw(r#"{"name":"#);
            json.web_string(&rule.name);
            json.raw(r#","query":"#);
            json.web_string(&rule.query);
            json.raw(r#","labels":"#);
            json.labels(&rule.labels);
        }
        RuleKind::Alerting { state, for_ms, keep_firing_for_ms, annotations, alerts } => {
            json.raw(r#"{"state":"#);
            json.string(state.as_str());
            json.raw(r#","name":"#);
            json.web_string(&rule.name);
            json.raw(r#","query":"#);
            json.web_string(&rule.query);
            json.raw(",\"duration\":");
            json.number(*for_ms as f64 / 1000.0);
            json.raw(",\"keepFiringFor\":");
            json.number(*keep_firing_for_ms as f64 / 1000.0);
            json.raw(",\"labels\":");
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
        json.web_string(&rule.last_error);
    }
    json.raw(",\"evaluationTime\":");
    json.number(rule.evaluation_seconds);
    json.raw(",\"lastEvaluation\":");
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
