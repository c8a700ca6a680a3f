//! Alerts and their groups; alerts from outside.

use std::collections::BTreeMap;

use alertmanager::{AlertRow, AlertRowState, PostedAlert};
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use model::{Labels, MatchOp, Matcher};
use serde::{Deserialize, Serialize};

use super::{Answer, Failure, ask, json_response, matchers, read_json, read_time};
use crate::json::LabelMap;
use crate::parameters::Parameters;
use crate::state::App;

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

/// Keys in the order in which Alertmanager's generated code writes them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertJson<'a> {
    annotations: LabelMap<'a>,
    ends_at: String,
    fingerprint: String,
    receivers: Vec<Name<'a>>,
    starts_at: String,
    status: StatusJson<'a>,
    updated_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
    generator_url: &'a str,
    labels: LabelMap<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusJson<'a> {
    inhibited_by: [&'a str; 0],
    muted_by: [&'a str; 0],
    silenced_by: &'a [String],
    state: &'a str,
}

fn alert_json(row: &AlertRow) -> AlertJson<'_> {
    AlertJson {
        annotations: LabelMap(&row.alert.annotations),
        ends_at: row.alert.ends_at.to_string(),
        fingerprint: format!("{:016x}", row.fingerprint),
        receivers: row.receivers.iter().map(|name| Name { name }).collect(),
        starts_at: row.alert.starts_at.to_string(),
        status: StatusJson {
            inhibited_by: [],
            muted_by: [],
            silenced_by: &row.silenced_by,
            state: row.state.as_str(),
        },
        updated_at: row.updated_at.to_string(),
        generator_url: &row.alert.generator_url,
        labels: LabelMap(&row.alert.labels),
    }
}

/// Which alerts are asked for.
struct Filter {
    active: bool,
    silenced: bool,
    matchers: Vec<Matcher>,
    receiver: Option<Matcher>,
}

impl Filter {
    fn read(parameters: &Parameters) -> Result<Self, Failure> {
        // Nothing is inhibited or unprocessed here, but the switches must be readable.
        parameters.flag("inhibited", true)?;
        parameters.flag("unprocessed", true)?;
        let receiver = parameters.get("receiver").map(|pattern| {
            Matcher::new("receiver", MatchOp::Matches, pattern).map_err(|error| {
                Failure::bad_request(format!("failed to parse receiver param: {error}"))
            })
        });
        Ok(Filter {
            active: parameters.flag("active", true)?,
            silenced: parameters.flag("silenced", true)?,
            matchers: matchers::filters(parameters)?,
            receiver: receiver.transpose()?,
        })
    }

    fn takes(&self, row: &AlertRow) -> bool {
        let state_fits = match row.state {
            AlertRowState::Active => self.active,
            AlertRowState::Suppressed => self.silenced,
        };
        state_fits
            && Matcher::all_match(&self.matchers, &row.alert.labels)
            && row.receivers.iter().any(|receiver| self.takes_receiver(receiver))
    }

    fn takes_receiver(&self, receiver: &str) -> bool {
        self.receiver.as_ref().is_none_or(|matcher| matcher.matches(receiver))
    }
}

/// GET `alerts`.
pub(super) async fn list(State(app): App, parameters: Parameters) -> Answer {
    let filter = Filter::read(&parameters)?;
    let rows = ask(&app, |engine, now| Ok(engine.alerts(now))).await?;
    let shown: Vec<_> = rows.iter().filter(|row| filter.takes(row)).map(alert_json).collect();
    json_response(&shown)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupJson<'a> {
    alerts: Vec<AlertJson<'a>>,
    labels: LabelMap<'a>,
    receiver: Name<'a>,
    route_labels: LabelMap<'a>,
}

/// GET `alerts/groups`.
pub(super) async fn groups(State(app): App, parameters: Parameters) -> Answer {
    let filter = Filter::read(&parameters)?;
    let with_muted = parameters.flag("muted", true)?;
    let rows = ask(&app, |engine, now| Ok(engine.groups(now))).await?;
    let none = Labels::empty();
    let mut shown = Vec::new();
    for group in rows.iter().filter(|group| filter.takes_receiver(&group.receiver)) {
        let is_muted = group.alerts.iter().all(|row| row.state == AlertRowState::Suppressed);
        let alerts: Vec<_> =
            group.alerts.iter().filter(|row| filter.takes(row)).map(alert_json).collect();
        if alerts.is_empty() || (is_muted && !with_muted) {
            continue;
        }
        shown.push(GroupJson {
            alerts,
            labels: LabelMap(&group.labels),
            receiver: Name { name: &group.receiver },
            route_labels: LabelMap(&none),
        });
    }
    json_response(&shown)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostedJson {
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    starts_at: Option<String>,
    #[serde(default)]
    ends_at: Option<String>,
    #[serde(default, rename = "generatorURL")]
    generator_url: Option<String>,
}

/// POST `alerts`: all are taken, and on disk, or none.
pub(super) async fn post(
    State(app): App,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let posted: Vec<PostedJson> = read_json("alerts", &headers, &body)?;
    let mut alerts = Vec::with_capacity(posted.len());
    for alert in posted {
        if alert.labels.keys().any(String::is_empty) {
            return Err(Failure::bad_request("invalid label set: a label name is empty"));
        }
        alerts.push(PostedAlert {
            labels: Labels::from_pairs(alert.labels),
            annotations: Labels::from_pairs(alert.annotations.unwrap_or_default()),
            starts_at: read_time("startsAt", alert.starts_at.as_deref())?,
            ends_at: read_time("endsAt", alert.ends_at.as_deref())?,
            generator_url: alert.generator_url.unwrap_or_default(),
        });
    }
    ask(&app, move |engine, now| engine.post_alerts(now, alerts)).await?;
    Ok(StatusCode::OK.into_response())
}
