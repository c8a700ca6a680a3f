//! What no other dialect has, under `/native/v1`.
//!
//! `metrics/status`: numbers of the time-series store, and budgets that were reached.
//! `metrics/merge`: seals and merges everything now. `metrics/deletions`: deletions that can be taken
//! back; `DELETE metrics/deletions/{id}` takes one back. `metrics/cardinality` tells where series come
//! from (`native/cardinality.rs`). `logs/...` searches and counts log records (`native/logs.rs`).
//! `logs/status`, `logs/merge`, `logs/snapshot`: the same of the log store (`native/log_store.rs`).

mod cardinality;
mod log_store;
mod logs;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::{HeaderMap, StatusCode};
use model::admin::{Deleted, Overflow};

use crate::json::Json;
use crate::prometheus::{Answer, Failure, check_origin, operate, success};
use crate::state::{App, Shared};

/// Routes below `/native/v1`.
pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/metrics/status", get(status))
        .route("/metrics/merge", post(merge))
        .route("/logs/status", get(log_store::status))
        .route("/logs/merge", post(log_store::merge))
        .route("/logs/snapshot", post(log_store::snapshot))
        .route("/metrics/deletions", get(deletions))
        .route("/metrics/deletions/{id}", delete(undelete))
        .route("/metrics/cardinality", get(cardinality::all))
        .route("/metrics/cardinality/{metric}", get(cardinality::of_metric))
        .nest("/logs", logs::router())
}

async fn status(State(app): App) -> Answer {
    let answer = operate(&app, |admin| Ok((admin.figures(), admin.overflows()))).await?;
    Ok(success(|json| write_status(json, &answer.0, &answer.1)))
}

async fn merge(State(app): App, headers: HeaderMap) -> Answer {
    check_origin(&headers)?;
    let answer = operate(&app, |admin| {
        admin.merge_all()?;
        Ok((admin.figures(), admin.overflows()))
    })
    .await?;
    Ok(success(|json| write_status(json, &answer.0, &answer.1)))
}

fn write_figures(json: &mut Json, figures: &[(String, u64)]) {
    json.raw("{\"figures\":");
    write_numbers(json, figures);
    json.raw("}");
}

fn write_numbers(json: &mut Json, figures: &[(String, u64)]) {
    json.raw("{");
    for (i, (name, value)) in figures.iter().enumerate() {
        if i > 0 {
            json.raw(",");
        }
        json.string(name);
        json.raw_fmt(format_args!(":{value}"));
    }
    json.raw("}");
}

fn write_status(json: &mut Json, figures: &[(String, u64)], overflows: &[Overflow]) {
    json.raw("{\"figures\":");
    write_numbers(json, figures);
    json.raw(",\"overflows\":");
    json.array(overflows, |json, overflow| {
        json.raw("{\"budget\":");
        json.string(overflow.budget);
        json.raw(",\"metric\":");
        json.string(&overflow.metric);
        json.raw(",\"label\":");
        json.string(&overflow.label);
        json.raw_fmt(format_args!(
            ",\"values\":{},\"foldedSeries\":{},\"keptSeries\":{},\"since\":{}}}",
            overflow.values, overflow.folded_series, overflow.kept_series, overflow.since.0
        ));
    });
    json.raw("}");
}

async fn deletions(State(app): App) -> Answer {
    let deletions = operate(&app, |admin| Ok(admin.deletions())).await?;
    Ok(success(|json| {
        json.array(&deletions, |json, deleted: &Deleted| {
            json.raw_fmt(format_args!("{{\"id\":{},\"matchers\":", deleted.id));
            json.strings(deleted.matchers.iter().map(ToString::to_string));
            json.raw_fmt(format_args!(
                ",\"start\":{},\"end\":{},\"madeAt\":{}}}",
                deleted.range.start.0, deleted.range.end.0, deleted.made_at.0
            ));
        });
    }))
}

async fn undelete(
    State(app): App,
    headers: HeaderMap,
    Path(id): Path<u64>,
) -> Result<Response, Failure> {
    check_origin(&headers)?;
    operate(&app, move |admin| admin.undelete(id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
