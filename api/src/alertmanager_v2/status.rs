//! What this Alertmanager is.

use axum::extract::State;
use serde::Serialize;

use super::{Answer, json_response};
use crate::state::App;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusJson<'a> {
    cluster: ClusterJson,
    config: ConfigJson,
    uptime: String,
    version_info: VersionJson<'a>,
}

/// There is no cluster, which the API has a word for.
#[derive(Serialize)]
struct ClusterJson {
    peers: [&'static str; 0],
    status: &'static str,
}

#[derive(Serialize)]
struct ConfigJson {
    original: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VersionJson<'a> {
    branch: &'a str,
    build_date: &'a str,
    build_user: &'a str,
    go_version: &'a str,
    revision: &'a str,
    version: &'a str,
}

/// GET `status`. The configuration is shown with its secrets masked, as Alertmanager shows it.
pub(super) async fn status(State(app): App) -> Answer {
    let engine = &app.state.alertmanager;
    let build = &app.state.build;
    json_response(&StatusJson {
        cluster: ClusterJson { peers: [], status: "disabled" },
        config: ConfigJson { original: engine.config().redacted() },
        uptime: engine.started_at().to_string(),
        version_info: VersionJson {
            branch: "",
            build_date: "",
            build_user: "",
            go_version: "",
            revision: &build.revision,
            version: &build.version,
        },
    })
}

#[derive(Serialize)]
struct ReceiverJson {
    name: String,
}

/// GET `receivers`.
pub(super) async fn receivers(State(app): App) -> Answer {
    let names = app.state.alertmanager.receivers();
    json_response(&names.into_iter().map(|name| ReceiverJson { name }).collect::<Vec<_>>())
}
