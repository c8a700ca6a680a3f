//! `detected_fields`: which fields lines have, found by reading some of the newest ones.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use model::Labels;
use model::read::Direction;
use query::logql::ast::Stage;
use query::logql::{self, LogEntry};

use super::range::{self, HOUR_NS};
use super::{Answer, json_response, parse_log};
use crate::error::Result;
use crate::json::Json;
use crate::parameters::Parameters;
use crate::state::{App, Shared};

/// What is known of a field.
#[derive(Debug, Default)]
struct Detected {
    kind: Option<&'static str>,
    values: BTreeSet<String>,
    parsers: BTreeSet<&'static str>,
    /// The keys that lead to it in a JSON line.
    json_path: Vec<String>,
}

impl Detected {
    fn merge(&mut self, other: Detected) {
        self.kind = self.kind.or(other.kind);
        self.values.extend(other.values);
        self.parsers.extend(other.parsers);
        if !other.json_path.is_empty() {
            self.json_path = other.json_path;
        }
    }

    fn add(&mut self, value: &str) {
        if self.kind.is_none() {
            self.kind = Some(kind_of(value));
        }
        if !self.values.contains(value) {
            self.values.insert(value.to_owned());
        }
    }
}

/// Loki's words for the type of a value, by the first that fits.
fn kind_of(value: &str) -> &'static str {
    if value.parse::<i64>().is_ok() {
        "int"
    } else if value.parse::<f64>().is_ok() {
        "float"
    } else if matches!(value, "true" | "false" | "True" | "False" | "TRUE" | "FALSE") {
        "boolean"
    } else if query::text::parse_go_duration_ns(value).is_some() {
        "duration"
    } else if value.starts_with(|c: char| c.is_ascii_digit())
        && query::text::parse_bytes(value).is_some()
    {
        "bytes"
    } else {
        "string"
    }
}

/// Fields by name.
type Fields = BTreeMap<String, Detected>;

/// Lines that are read at most if the request does not say.
const LINES: usize = 100;

/// Fields in an answer if the request does not say.
const FIELDS: usize = 1000;

async fn detect(app: std::sync::Arc<Shared>, parameters: &Parameters) -> Result<Fields> {
    let over = range::read(parameters, app.state.clock.as_ref(), HOUR_NS)?;
    let log = parse_log(parameters)?;
    let lines = parameters.get("line_limit").and_then(|text| text.parse().ok());
    let lines = lines.unwrap_or(LINES).clamp(1, app.state.options.log_lines_max);
    let shared = app.clone();
    app.runner
        .run(None, move |context, _| {
            let source = shared.state.logs.as_ref();
            let over = range::including_end(over);
            let direction = Direction::Backward;
            let found = logql::evaluate_log(&log, over, lines, direction, source, context)?;
            let mut fields = Fields::new();
            let parser = log.stages.iter().find_map(parser_name);
            for stream in &found.streams {
                for entry in &stream.entries {
                    add_entry(&mut fields, &stream.labels, entry, parser);
                }
            }
            Ok(fields)
        })
        .await
}

/// Loki's name of a parser.
fn parser_name(stage: &Stage) -> Option<&'static str> {
    match stage {
        Stage::Json(_) | Stage::Unpack => Some("json"),
        Stage::Logfmt { .. } => Some("logfmt"),
        Stage::Regexp(_) => Some("regexp"),
        Stage::Pattern(_) => Some("pattern"),
        _ => None,
    }
}

/// Adds the fields of a line under the names by which a query finds them. `parser` is the first of
/// the query.
fn add_entry(fields: &mut Fields, stream: &Labels, entry: &LogEntry, parser: Option<&'static str>) {
    for (name, value) in &entry.metadata {
        fields.entry(name.clone()).or_default().add(value);
    }
    let mut in_line = Fields::new();
    add_line(&mut in_line, entry);
    for (name, found) in in_line {
        let has_name = |(other, _): &(String, String)| *other == name;
        let is_taken = stream.get(&name).is_some() || entry.metadata.iter().any(has_name);
        let name = if is_taken { format!("{name}_extracted") } else { name };
        fields.entry(name).or_default().merge(found);
    }
    for (name, value) in entry.parsed.iter().filter(|(name, _)| !name.starts_with("__")) {
        let field = fields.entry(name.clone()).or_default();
        if field.parsers.is_empty() {
            field.parsers.extend(parser);
        }
        field.add(value);
    }
}

/// Adds what the line itself has.
fn add_line(fields: &mut Fields, entry: &LogEntry) {
    let line = entry.line.trim();
    if line.starts_with('{')
        && let Ok(serde_json::Value::Object(object)) = serde_json::from_str(line)
    {
        add_object(fields, &mut Vec::new(), &object);
    } else {
        for (name, value) in logfmt_pairs(line) {
            let field = fields.entry(sanitize(name)).or_default();
            field.parsers.insert("logfmt");
            field.add(&value);
        }
    }
}

/// Adds the members of a JSON object; nested ones are named by the whole path, as `| json` does.
fn add_object(
    fields: &mut Fields,
    path: &mut Vec<String>,
    object: &serde_json::Map<String, serde_json::Value>,
) {
    for (name, value) in object {
        path.push(name.clone());
        let text = match value {
            serde_json::Value::Object(inner) => {
                add_object(fields, path, inner);
                None
            }
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            serde_json::Value::Bool(truth) => Some(truth.to_string()),
            serde_json::Value::Null | serde_json::Value::Array(_) => None,
        };
        if let Some(text) = text {
            let field = fields.entry(sanitize(&path.join("_"))).or_default();
            field.parsers.insert("json");
            field.json_path.clone_from(path);
            field.add(&text);
        }
        path.pop();
    }
}

/// A name as LogQL's parsers write it.
fn sanitize(name: &str) -> String {
    let starts_with_digit = name.starts_with(|c: char| c.is_ascii_digit());
    let clean = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    starts_with_digit.then_some('_').into_iter().chain(clean).collect()
}

/// The `name=value` pairs of a line.
fn logfmt_pairs(line: &str) -> Vec<(&str, String)> {
    let mut pairs = Vec::new();
    let mut rest = line;
    while let Some(equals) = rest.find('=') {
        let name = rest[..equals].rsplit(char::is_whitespace).next().unwrap_or("");
        rest = &rest[equals + 1..];
        let value = if let Some(quoted) = rest.strip_prefix('"') {
            let mut value = String::new();
            let mut escaped = false;
            let mut end = quoted.len();
            for (i, c) in quoted.char_indices() {
                match c {
                    _ if escaped => {
                        value.push(c);
                        escaped = false;
                    }
                    '\\' => escaped = true,
                    '"' => {
                        end = i + 1;
                        break;
                    }
                    c => value.push(c),
                }
            }
            rest = &quoted[end..];
            value
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let value = rest[..end].to_owned();
            rest = &rest[end..];
            value
        };
        let is_name = !name.is_empty()
            && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '/'));
        if is_name {
            pairs.push((name, value));
        }
    }
    pairs
}

/// `detected_fields`.
pub(super) async fn fields(State(app): App, parameters: Parameters) -> Answer {
    let limit = parameters.limit()?.unwrap_or(FIELDS);
    let fields = detect(app, &parameters).await?;
    let mut json = Json::new();
    json.raw(r#"{"fields":"#);
    json.array(fields.iter().take(limit), |json, (name, field)| {
        json.raw(r#"{"label":"#);
        json.string(name);
        json.raw(r#","type":"#);
        json.string(field.kind.unwrap_or("string"));
        json.raw_fmt(format_args!(",\"cardinality\":{},\"parsers\":", field.values.len()));
        if field.parsers.is_empty() {
            // No parser is needed for structured metadata.
            json.raw("null");
        } else {
            json.strings(&field.parsers);
        }
        if !field.json_path.is_empty() {
            json.raw(r#","jsonPath":"#);
            json.strings(&field.json_path);
        }
        json.raw("}");
    });
    json.raw_fmt(format_args!(",\"limit\":{limit}}}"));
    Ok(json_response(json.finish()))
}

/// `detected_field/{name}/values`.
pub(super) async fn values(
    State(app): App,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Answer {
    let limit = parameters.limit()?.unwrap_or(FIELDS);
    let fields = detect(app, &parameters).await?;
    let values = fields.get(&name).into_iter().flat_map(|field| &field.values);
    let mut json = Json::new();
    json.raw(r#"{"values":"#);
    json.strings(values.take(limit));
    json.raw_fmt(format_args!(",\"limit\":{limit}}}"));
    Ok(json_response(json.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_of_loki() {
        for (value, kind) in [
            ("12", "int"),
            ("1.5", "float"),
            ("true", "boolean"),
            ("15ms", "duration"),
            ("5KB", "bytes"),
            ("GET", "string"),
            ("", "string"),
        ] {
            assert_eq!(kind_of(value), kind, "{value}");
        }
    }

    #[test]
    fn pairs_of_a_line_are_found_between_words() {
        let found = logfmt_pairs(r#"level=info msg="a \"b\" c" took=5ms note a= "x=y""#);
        let found: Vec<_> = found.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let wanted = [("level", "info"), ("msg", "a \"b\" c"), ("took", "5ms"), ("a", "")];
        assert_eq!(found[..4], wanted);
    }
}
