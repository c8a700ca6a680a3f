//! Operating the log store: `logs/status`, `logs/merge`, `logs/snapshot`.

use axum::extract::State;
use http::HeaderMap;
use model::{Error, ErrorKind, LogAdmin, Result};

use super::write_figures;
use crate::prometheus::{Answer, check_origin, success};
use crate::state::{App, Shared};

async fn operate<T: Send + 'static>(
    shared: &Shared,
    work: impl FnOnce(&dyn LogAdmin) -> Result<T> + Send + 'static,
) -> Result<T> {
    let Some(admin) = shared.state.logs_admin.clone() else {
        return Err(Error::new(ErrorKind::NotFound, "this log store can not be operated"));
    };
    let done = tokio::task::spawn_blocking(move || work(&*admin)).await;
    done.map_err(|_| Error::new(ErrorKind::Internal, "the operation panicked"))?
}

/// Numbers of the store.
pub(super) async fn status(State(app): App) -> Answer {
    let figures = operate(&app, |admin| Ok(admin.figures())).await?;
    Ok(success(|json| write_figures(json, &figures)))
}

/// Seals and merges everything now.
pub(super) async fn merge(State(app): App, headers: HeaderMap) -> Answer {
    check_origin(&headers)?;
    let work = |admin: &dyn LogAdmin| {
        admin.merge_all()?;
        Ok(admin.figures())
    };
    let figures = operate(&app, work).await?;
    Ok(success(|json| write_figures(json, &figures)))
}

/// Copies the store beside itself and tells the name of the copy.
pub(super) async fn snapshot(State(app): App, headers: HeaderMap) -> Answer {
    check_origin(&headers)?;
    let name = operate(&app, |admin| admin.snapshot()).await?;
    Ok(success(|json| json.object([("name", name.as_str())])))
}
