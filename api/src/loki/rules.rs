//! `rules`: the groups of rules in LogQL as YAML, by file. They come from files and are only shown.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use query::text::{format_duration_ms, quote};
use rules::{Language, RuleGroupStatus, RuleKind, RuleStatus};

use crate::state::{App, Shared};

/// `rules`: all groups.
pub(super) async fn all(State(app): App) -> Response {
    by_file(&app, |_| true)
}

/// `rules/{namespace}`: the groups of a file.
pub(super) async fn of_namespace(State(app): App, Path(file): Path<String>) -> Response {
    by_file(&app, |group| group.file == file)
}

/// `rules/{namespace}/{group}`: one group.
pub(super) async fn one(State(app): App, Path((file, name)): Path<(String, String)>) -> Response {
    let groups = app.state.rules.groups();
    let is_it = |group: &RuleGroupStatus| group.file == file && group.name == name;
    let found = groups.iter().find(|group| group.language == Language::Logql && is_it(group));
    match found {
        Some(group) => {
            let mut yaml = String::new();
            write_group(&mut yaml, "", "", group);
            yaml_response(yaml)
        }
        // Grafana takes a missing page for a ruler that can not be written to.
        None => not_found("page not found: there is no such group, and rules come from files"),
    }
}

fn not_found(text: &'static str) -> Response {
    (StatusCode::NOT_FOUND, text).into_response()
}

fn yaml_response(yaml: String) -> Response {
    ([(CONTENT_TYPE, "application/yaml")], yaml).into_response()
}

fn by_file(app: &Shared, wants: impl Fn(&RuleGroupStatus) -> bool) -> Response {
    let groups = app.state.rules.groups();
    let mut groups: Vec<_> =
        groups.iter().filter(|group| group.language == Language::Logql && wants(group)).collect();
    if groups.is_empty() {
        return not_found("no rule groups found");
    }
    groups.sort_by(|a, b| a.file.cmp(&b.file));
    let mut yaml = String::new();
    let mut file = None;
    for group in groups {
        if file != Some(&group.file) {
            yaml.push_str(&format!("{}:\n", quote(&group.file)));
            file = Some(&group.file);
        }
        write_group(&mut yaml, "  - ", "    ", group);
    }
    yaml_response(yaml)
}

/// `first` stands in front of the first line, `indent` of the others. Texts are quoted as in JSON,
/// which YAML reads too.
fn write_group(yaml: &mut String, first: &str, indent: &str, group: &RuleGroupStatus) {
    yaml.push_str(&format!("{first}name: {}\n", quote(&group.name)));
    yaml.push_str(&format!("{indent}interval: {}\n", format_duration_ms(group.interval_ms)));
    if group.limit > 0 {
        yaml.push_str(&format!("{indent}limit: {}\n", group.limit));
    }
    yaml.push_str(&format!("{indent}rules:\n"));
    for rule in &group.rules {
        write_rule(yaml, indent, rule);
    }
}

fn write_rule(yaml: &mut String, indent: &str, rule: &RuleStatus) {
    let name = match rule.kind {
        RuleKind::Recording => "record",
        RuleKind::Alerting { .. } => "alert",
    };
    yaml.push_str(&format!("{indent}  - {name}: {}\n", quote(&rule.name)));
    yaml.push_str(&format!("{indent}    expr: {}\n", quote(&rule.query)));
    let labels = rule.labels.iter();
    if let RuleKind::Alerting { for_ms, keep_firing_for_ms, annotations, .. } = &rule.kind {
        for (key, ms) in [("for", *for_ms), ("keep_firing_for", *keep_firing_for_ms)] {
            if ms > 0 {
                yaml.push_str(&format!("{indent}    {key}: {}\n", format_duration_ms(ms)));
            }
        }
        write_map(yaml, indent, "labels", labels);
        let annotations = annotations.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        write_map(yaml, indent, "annotations", annotations);
    } else {
        write_map(yaml, indent, "labels", labels);
    }
}

fn write_map<'a>(
    yaml: &mut String,
    indent: &str,
    key: &str,
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) {
    let mut pairs = pairs.peekable();
    if pairs.peek().is_none() {
        return;
    }
    yaml.push_str(&format!("{indent}    {key}:\n"));
    for (name, value) in pairs {
        yaml.push_str(&format!("{indent}      {}: {}\n", quote(name), quote(value)));
    }
}
