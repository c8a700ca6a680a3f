//! Silences: show, make, change, end.

use std::collections::BTreeMap;

use alertmanager::{NewSilence, Silence, SilenceState};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use model::{Labels, MatchOp, Matcher, TimestampMs};
use serde::{Deserialize, Serialize};

use super::{Answer, Failure, ask, json_response, matchers, read_json, read_time};
use crate::json::LabelMap;
use crate::parameters::Parameters;
use crate::state::App;

/// Keys in the order in which Alertmanager's generated code writes them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SilenceJson<'a> {
    id: &'a str,
    status: StateJson,
    updated_at: String,
    annotations: LabelMap<'a>,
    comment: &'a str,
    created_by: &'a str,
    ends_at: String,
    matchers: Vec<MatcherJson<'a>>,
    starts_at: String,
}

#[derive(Serialize)]
struct StateJson {
    state: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MatcherJson<'a> {
    is_equal: bool,
    is_regex: bool,
    name: &'a str,
    value: &'a str,
}

fn silence_json(silence: &Silence, now: TimestampMs) -> SilenceJson<'_> {
    let matchers = silence.matchers.iter().map(|matcher| MatcherJson {
        is_equal: matches!(matcher.op, MatchOp::Equal | MatchOp::Matches),
        is_regex: matches!(matcher.op, MatchOp::Matches | MatchOp::NotMatches),
        name: &matcher.name,
        value: &matcher.value,
    });
    SilenceJson {
        id: &silence.id,
        status: StateJson { state: silence.state(now).as_str() },
        updated_at: silence.updated_at.to_string(),
        annotations: LabelMap(&silence.annotations),
        comment: &silence.comment,
        created_by: &silence.created_by,
        ends_at: silence.ends_at.to_string(),
        matchers: matchers.collect(),
        starts_at: silence.starts_at.to_string(),
    }
}

/// GET `silences`. A filter is held against the names and values of a silence's own matchers.
pub(super) async fn list(State(app): App, parameters: Parameters) -> Answer {
    let filters = matchers::filters(&parameters)?;
    let (active, pending, expired) = (
        parameters.flag("active", true)?,
        parameters.flag("pending", true)?,
        parameters.flag("expired", true)?,
    );
    let (silences, now) = ask(&app, |engine, now| Ok((engine.silences(now), now))).await?;
    let is_wanted = |silence: &&Silence| {
        let state_fits = match silence.state(now) {
            SilenceState::Active => active,
            SilenceState::Pending => pending,
            SilenceState::Expired => expired,
        };
        let own = silence.matchers.iter().map(|m| (m.name.as_str(), m.value.as_str()));
        state_fits && Matcher::all_match(&filters, &Labels::from_pairs(own))
    };
    let shown = silences.iter().filter(is_wanted).map(|silence| silence_json(silence, now));
    json_response(&shown.collect::<Vec<_>>())
}

/// GET `silence/{id}`.
pub(super) async fn one(State(app): App, Path(id): Path<String>) -> Answer {
    let (silence, now) = ask(&app, move |engine, now| Ok((engine.silence(&id)?, now))).await?;
    json_response(&silence_json(&silence, now))
}

/// DELETE `silence/{id}`: ends it.
pub(super) async fn expire(State(app): App, Path(id): Path<String>) -> Result<Response, Failure> {
    ask(&app, move |engine, now| engine.expire_silence(now, &id)).await?;
    Ok(StatusCode::OK.into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostedJson {
    #[serde(default)]
    id: Option<String>,
    matchers: Vec<PostedMatcher>,
    starts_at: String,
    ends_at: String,
    created_by: String,
    comment: String,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostedMatcher {
    name: String,
    value: String,
    is_regex: bool,
    #[serde(default)]
    is_equal: Option<bool>,
}

impl PostedMatcher {
    fn to_matcher(&self) -> Result<Matcher, Failure> {
        let op = match (self.is_regex, self.is_equal.unwrap_or(true)) {
            (false, true) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Matches,
            (true, false) => MatchOp::NotMatches,
        };
        Matcher::new(self.name.as_str(), op, self.value.as_str()).map_err(|error| {
            Failure::bad_request(format!("invalid matcher for {:?}: {error}", self.name))
        })
    }
}

#[derive(Serialize)]
struct MadeJson {
    #[serde(rename = "silenceID")]
    silence_id: String,
}

/// POST `silences`: makes one, or changes the one that is named.
pub(super) async fn post(State(app): App, headers: HeaderMap, body: Bytes) -> Answer {
    let posted: PostedJson = read_json("silence", &headers, &body)?;
    let matchers = posted.matchers.iter().map(PostedMatcher::to_matcher);
    let now = app.state.clock.now_ms();
    let ends_at = read_time("endsAt", Some(&posted.ends_at))?;
    let new = NewSilence {
        id: posted.id.unwrap_or_default(),
        matchers: matchers.collect::<Result<_, _>>()?,
        starts_at: read_time("startsAt", Some(&posted.starts_at))?.unwrap_or(now),
        ends_at: ends_at.ok_or_else(|| Failure::bad_request("endsAt: no time is given"))?,
        created_by: posted.created_by,
        comment: posted.comment,
        annotations: Labels::from_pairs(posted.annotations.unwrap_or_default()),
    };
    let silence_id = ask(&app, move |engine, now| engine.set_silence(now, new)).await?;
    json_response(&MadeJson { silence_id })
}
