//! Every query of our dashboards and data sources parses with our own engines, runs, and is shown in
//! the README beside them.

use std::path::PathBuf;

use serde_json::Value;

use crate::fixture::{Fixture, NOW, encode};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../dashboards")
}

/// What Grafana puts in place of its variables.
fn filled(query: &str) -> String {
    query
        .replace("$__rate_interval", "4m")
        .replace("$__interval", "1m")
        .replace("$__range", "1h")
        .replace("$service", ".+")
        .replace("$$__tags", "service=\"shop\"")
}

struct Query {
    is_logql: bool,
    is_instant: bool,
    text: String,
}

/// The queries of all panels, with the titles of the panels.
fn queries(dashboard: &Value) -> Vec<(String, Query)> {
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let kind = target["datasource"]["type"].as_str().unwrap();
            assert_eq!(
                target["datasource"]["uid"],
                if kind == "loki" { "logs" } else { "metrics" }
            );
            let query = Query {
                is_logql: kind == "loki",
                is_instant: target["instant"] == true,
                text: target["expr"].as_str().unwrap().to_owned(),
            };
            found.push((panel["title"].as_str().unwrap().to_owned(), query));
        }
    }
    found
}

#[tokio::test]
async fn every_query_of_every_dashboard_runs_and_is_documented() {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let fixture = Fixture::new();
    let range = format!("start={}&end={NOW}&step=60", NOW - 600);
    let mut count = 0;
    for file in std::fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let dashboard: Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for (title, query) in queries(&dashboard) {
            assert!(readme.contains(&query.text), "README lacks {}", query.text);
            assert!(readme.contains(&format!("### {title}\n")), "README lacks {title}");
            let text = encode(&filled(&query.text));
            let path = match (query.is_logql, query.is_instant) {
                (true, _) => format!("/loki/api/v1/query_range?query={text}&{range}"),
                (false, true) => format!("/prometheus/api/v1/query?query={text}"),
                (false, false) => format!("/prometheus/api/v1/query_range?query={text}&{range}"),
            };
            let reply = fixture.get(&path).await;
            assert_eq!(reply.status, 200, "{title}: {}", reply.text());
            count += 1;
        }
    }
    assert!(count >= 10, "{count}");
}

#[test]
fn the_queries_that_traces_link_to_parse() {
    let path = folder().join("provisioning/datasources/signalbox.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let queries: Vec<&str> =
        text.lines().filter_map(|line| line.trim().strip_prefix("query: ")).collect();
    assert_eq!(queries.len(), 4);
    for query in queries {
        match query.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
            Some(logql) => {
                let filled = logql
                    .replace("$${__tags}", "service_name=\"shop\"")
                    .replace("$${__trace.traceId}", "abcd");
                query::logql::parse(&filled).unwrap();
            }
            None => {
                query::promql::parse(&filled(query)).unwrap();
            }
        }
    }
}
