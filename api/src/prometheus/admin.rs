//! The administration endpoints of Prometheus: snapshot, deletion, cleaning.
//!
//! They change data, so a page in some browser must not reach them: a request that tells an origin
//! is refused unless the origin is this very server.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, StatusCode};
use model::SeriesAdmin;

use super::labels::range;
use super::selectors::selectors;
use super::{Answer, Failure, success};
use crate::error::Error;
use crate::parameters::{Parameters, parse_bool};
use crate::state::{App, Shared};

/// Refuses a request from a page of another server.
pub(crate) fn check_origin(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or("");
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    let own = origin.split_once("://").is_some_and(|(_, name)| !host.is_empty() && name == host);
    if own {
        return Ok(());
    }
    let message = format!("requests from pages of {origin:?} may not change anything here");
    Err(Failure(Error::parameter("Origin", message)))
}

/// Does long work on the store on a blocking thread.
pub(crate) async fn operate<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&dyn SeriesAdmin) -> model::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let Some(admin) = shared.state.series_admin.clone() else {
        let message = "this store can not be operated";
        return Err(model::Error::new(model::ErrorKind::NotFound, message).into());
    };
    let done = tokio::task::spawn_blocking(move || work(&*admin)).await;
    let failed = |_| model::Error::new(model::ErrorKind::Internal, "the operation panicked");
    Ok(done.map_err(failed)??)
}

/// `admin/tsdb/snapshot`: copies the store beside itself and tells the name of the copy. `skip_head`
/// is read and changes nothing: the head is a file like all others, and costs no time.
pub(super) async fn snapshot(
    State(app): App,
    headers: HeaderMap,
    parameters: Parameters,
) -> Answer {
    check_origin(&headers)?;
    if let Some(text) = parameters.get("skip_head")
        && parse_bool(text).is_none()
    {
        let why = format!("strconv.ParseBool: parsing {text:?}: invalid syntax");
        return Err(Error::parameter("skip_head", format!("unable to parse boolean: {why}")).into());
    }
    let name = operate(&app, |admin| admin.snapshot()).await?;
    Ok(success(|json| json.object([("name", name.as_str())])))
}

/// `admin/tsdb/delete_series`: deletes samples of the series that `match[]` selects.
pub(super) async fn delete_series(
    State(app): App,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Failure> {
    check_origin(&headers)?;
    if parameters.all("match[]").next().is_none() {
        return Err(Error::BadRequest("no match[] parameter provided".into()).into());
    }
    let range = range(&parameters)?;
    let selectors = selectors(&parameters).map_err(|why| Error::parameter("match[]", why))?;
    operate(&app, move |admin| {
        selectors.iter().try_for_each(|matchers| admin.delete(matchers, range).map(drop))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `admin/tsdb/clean_tombstones`: makes deletions final.
pub(super) async fn clean(State(app): App, headers: HeaderMap) -> Result<Response, Failure> {
    check_origin(&headers)?;
    operate(&app, |admin| admin.clean_deletions()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
