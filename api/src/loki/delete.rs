//! `delete`: records that must go, by query. Answers lack them at once; their bytes go later, and
//! until then a request can be taken back.

use std::sync::Arc;

use ::query::logql;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use model::admin::LogDeletionState;
use model::read::RangeNs;
use model::{ErrorKind, LogAdmin, LogSelection, TimestampNs};

use super::{Answer, json, parse_log};
use crate::error::{Error, Result};
use crate::parameters::Parameters;
use crate::state::{App, Shared};

fn admin(app: &Shared) -> Result<Arc<dyn LogAdmin>> {
    app.state.logs_admin.clone().ok_or_else(|| {
        model::Error::new(ErrorKind::NotFound, "this log store can not delete").into()
    })
}

/// `POST` and `PUT`: hides what the query selects from `start` to `end`, both included.
pub(super) async fn add(State(app): App, parameters: Parameters) -> Answer {
    let log = parse_log(&parameters)?;
    if log.matchers.iter().all(model::Matcher::matches_empty) {
        return Err(Error::BadRequest(
            "a deletion needs at least one label that must match".into(),
        )
        .into());
    }
    let Some(start) = parameters.time_ns("start")? else {
        return Err(Error::parameter("start", "a deletion needs the time from which on").into());
    };
    let now = app.state.clock.now();
    let end = parameters.time_ns("end")?.unwrap_or(now);
    if end < start {
        return Err(Error::BadRequest("the end of a deletion is before its start".into()).into());
    }
    let (lines, fields) = logql::selection(&log).map_err(Error::BadRequest)?;
    let range = RangeNs { start, end: TimestampNs(end.0.saturating_add(1)) };
    let selection = LogSelection { matchers: log.matchers.clone(), lines, fields, range };
    let (admin, query) = (admin(&app)?, log.to_string());
    app.runner.run(None, move |_, _| Ok(admin.delete(&selection, &query)?)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET`: deletions with how far they are.
pub(super) async fn list(State(app): App) -> Answer {
    let admin = admin(&app)?;
    let deletions = app.runner.run(None, move |_, _| Ok(admin.deletions())).await?;
    Ok(json(|json| {
        json.array(&deletions, |json, deletion| {
            let range = deletion.selection.range;
            json.raw_fmt(format_args!("{{\"request_id\":\"{}\",\"start_time\":", deletion.id));
            json.short_timestamp(range.start.to_ms().0);
            json.raw(r#","end_time":"#);
            json.short_timestamp(range.end.plus_ns(-1).to_ms().0);
            json.raw(r#","query":"#);
            json.string(&deletion.query);
            json.raw(match deletion.state {
                LogDeletionState::Hidden => r#","status":"received","created_at":"#,
                LogDeletionState::Done => r#","status":"processed","created_at":"#,
            });
            json.short_timestamp(deletion.made_at.0);
            json.raw("}");
        });
    }))
}

/// `DELETE`: takes a deletion back whose records are only hidden.
pub(super) async fn cancel(State(app): App, parameters: Parameters) -> Answer {
    let text = parameters.get("request_id").unwrap_or_default();
    let Ok(id) = text.parse() else {
        let message = format!("{text:?} is no id of a deletion");
        return Err(Error::parameter("request_id", message).into());
    };
    let admin = admin(&app)?;
    app.runner.run(None, move |_, _| Ok(admin.undelete(id)?)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
