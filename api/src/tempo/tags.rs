//! Names and values of attributes, for completion in editors.
//!
//! A filter (`q`) arrives while somebody is still typing it. What can be read of it narrows the
//! answer, what can not is ignored; it is never an error.

use std::collections::{BTreeMap, BTreeSet};

use ::query::traceql::{self, Intrinsic, TagValue};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::read::AttributeScope;

use super::wire::object;
use super::{Answer, json_response, language_error, time_range};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::parameters::{Parameters, decode};
use crate::state::{App, Shared};

/// Values in an answer if the request does not say.
const VALUES_MAX: usize = 5000;

/// The scopes in the order of the answer.
const SCOPES: [(&str, Option<AttributeScope>); 6] = [
    ("resource", Some(AttributeScope::Resource)),
    ("span", Some(AttributeScope::Span)),
    ("intrinsic", None),
    ("event", Some(AttributeScope::Event)),
    ("link", Some(AttributeScope::Link)),
    ("instrumentation", Some(AttributeScope::Instrumentation)),
];

/// The names of each scope that is asked for.
async fn names(app: &Shared, parameters: &Parameters) -> Result<Vec<(&'static str, Vec<String>)>> {
    let wanted = parameters.get("scope").filter(|scope| !matches!(*scope, "none" | "all"));
    if let Some(scope) = wanted
        && !SCOPES.iter().any(|(name, _)| *name == scope)
    {
        return Err(Error::parameter("scope", format!("unknown scope {scope:?}")));
    }
    let range = time_range(parameters)?;
    let limit = parameters.limit()?.unwrap_or(usize::MAX);
    let spans = app.state.spans.clone();
    let stored: BTreeMap<AttributeScope, Vec<String>> = if wanted == Some("intrinsic") {
        BTreeMap::new()
    } else {
        let run =
            app.runner.run(None, move |context, _| Ok(spans.attribute_names(range, context)?));
        run.await?.into_iter().collect()
    };
    let scopes = SCOPES.iter().filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name));
    let names = scopes.map(|(name, scope)| {
        let mut names = match scope {
            Some(scope) => stored.get(scope).cloned().unwrap_or_default(),
            None => {
                let names: BTreeSet<&str> = Intrinsic::names().collect();
                names.into_iter().map(str::to_owned).collect()
            }
        };
        names.truncate(limit);
        (*name, names)
    });
    Ok(names.filter(|(_, names)| !names.is_empty()).collect())
}

/// `api/search/tags`.
pub(super) async fn names_v1(State(app): App, parameters: Parameters) -> Answer {
    let asks_intrinsics = parameters.get("scope") == Some("intrinsic");
    let scopes = names(&app, &parameters).await?;
    let scopes = scopes.into_iter().filter(|(name, _)| *name != "intrinsic" || asks_intrinsics);
    let names: BTreeSet<String> = scopes.flat_map(|(_, names)| names).collect();
    let mut json = Json::new();
    object(&mut json, |o| o.key("tagNames").strings(&names));
    Ok(json_response(json))
}

/// `api/v2/search/tags`.
pub(super) async fn names_v2(State(app): App, parameters: Parameters) -> Answer {
    let scopes = names(&app, &parameters).await?;
    let mut json = Json::new();
    object(&mut json, |o| {
        o.key("scopes").array(&scopes, |json, (name, names)| {
            object(json, |o| {
                o.text("name", name);
                o.key("tags").strings(names);
            });
        });
    });
    Ok(json_response(json))
}

/// The name in `<name>/values`; old versions of Grafana escape it twice.
fn tag_of(path: &str) -> Option<String> {
    let name = path.strip_suffix("/values").filter(|name| !name.is_empty())?;
    Some(if name.contains('%') { decode(&name.replace('+', "%2B")) } else { name.to_owned() })
}

async fn values(app: &Shared, tag: &str, parameters: &Parameters) -> Result<Vec<TagValue>> {
    let field = traceql::parse_field(tag)
        .ok_or_else(|| Error::BadRequest(format!("{tag:?} is not the name of a tag")))?;
    let filter = parameters.get("q").and_then(traceql::parse_lenient);
    let range = time_range(parameters)?;
    let limit = parameters.limit()?.unwrap_or(VALUES_MAX);
    let spans = app.state.spans.clone();
    app.runner
        .run(None, move |context, _| {
            let found =
                traceql::tag_values(&field, filter.as_ref(), range, limit, &*spans, context);
            found.map_err(language_error)
        })
        .await
}

fn no_such_route() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found: expected /values after the name of a tag")
        .into_response()
}

/// `api/search/tag/{name}/values`.
pub(super) async fn values_v1(
    State(app): App,
    Path(path): Path<String>,
    parameters: Parameters,
) -> Answer {
    let Some(tag) = tag_of(&path) else { return Ok(no_such_route()) };
    let values = values(&app, &tag, &parameters).await?;
    let mut json = Json::new();
    object(&mut json, |o| {
        o.key("tagValues").strings(values.iter().map(|value| &value.value));
    });
    Ok(json_response(json))
}

/// `api/v2/search/tag/{name}/values`.
pub(super) async fn values_v2(
    State(app): App,
    Path(path): Path<String>,
    parameters: Parameters,
) -> Answer {
    let Some(tag) = tag_of(&path) else { return Ok(no_such_route()) };
    let values = values(&app, &tag, &parameters).await?;
    let mut json = Json::new();
    object(&mut json, |o| {
        o.key("tagValues").array(&values, |json, value| {
            json.object([("type", value.kind), ("value", value.value.as_str())]);
        });
    });
    Ok(json_response(json))
}
