//! `openapi.yaml`: the routes below `/api/v1` for tools, written from the table that the router is
//! made from.

use std::fmt::{self, Write};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::routes::{Answer, Parameter, ROUTES, Route};
use crate::parameters::Parameters;
use crate::state::App;

/// Tags, in the order of the document.
const TAGS: &[(&str, &str, &str)] = &[
    ("query", "Query", "Evaluate PromQL, and look at its text."),
    ("labels", "Labels", "Which label names and values there are."),
    ("series", "Series", "Which series there are."),
    ("metadata", "Metadata", "What metrics are."),
    ("targets", "Targets", "What is scraped."),
    ("rules", "Rules", "What is computed on a clock."),
    ("alerts", "Alerts", "What is wrong, and who is told."),
    ("status", "Status", "How this server is."),
    ("admin", "Admin", "Operate the metrics store."),
    ("features", "Features", "What this server can do."),
    ("remote", "Remote storage", "Read and write from other servers."),
    ("otlp", "OTLP", "Write from OpenTelemetry."),
    ("notifications", "Notifications", "Notices of this server."),
];

/// The shapes that answers have.
const COMPONENTS: &str = "\
components:
  schemas:
    Success:
      type: object
      required: [status, data]
      properties:
        status: {type: string, enum: [success]}
        data: {description: What was asked for.}
        warnings: {type: array, items: {type: string}}
        infos: {type: array, items: {type: string}}
    Error:
      type: object
      required: [status, errorType, error]
      properties:
        status: {type: string, enum: [error]}
        errorType:
          type: string
          enum: [timeout, canceled, execution, bad_data, internal, unavailable, not_found]
        error: {type: string}
  responses:
    Failure:
      description: It could not be answered.
      content:
        application/json:
          schema: {$ref: '#/components/schemas/Error'}
";

/// Which form of the specification is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    V31,
    V32,
}

/// `openapi.yaml`, in the form of `openapi_version`.
pub(super) async fn openapi(State(app): App, parameters: Parameters) -> Response {
    let form = match parameters.get("openapi_version") {
        Some("3.2" | "3.2.0") => Form::V32,
        _ => Form::V31,
    };
    let mut text = String::new();
    // Writing into a `String` can not fail.
    let _ok =
        write_document(&mut text, form, &app.state.build.version, &app.state.external_url).is_ok();
    let headers = [
        (CONTENT_TYPE, "application/yaml; charset=utf-8"),
        (CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
    ];
    (headers, text).into_response()
}

/// A text in single quotes, which YAML reads as it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn write_document(out: &mut String, form: Form, version: &str, external_url: &str) -> fmt::Result {
    let number = if form == Form::V31 { "3.1.0" } else { "3.2.0" };
    writeln!(out, "openapi: {number}")?;
    writeln!(out, "info:\n  title: Signalbox, the API of Prometheus")?;
    writeln!(out, "  description: Metrics, rules and alerts as Prometheus serves them.")?;
    writeln!(out, "  version: {}", quoted(version))?;
    writeln!(out, "servers:\n  - url: {}", quoted(&format!("{external_url}/api/v1")))?;
    writeln!(out, "tags:")?;
    for (name, summary, description) in TAGS {
        writeln!(out, "  - name: {name}")?;
        if form == Form::V32 {
            writeln!(out, "    summary: {summary}")?;
        }
        writeln!(out, "    description: {}", quoted(description))?;
    }
    writeln!(out, "paths:")?;
    for route in ROUTES {
        // A stream of events can be described since 3.2.
        if route.answer == Answer::Events && form == Form::V31 {
            continue;
        }
        writeln!(out, "  {}:", route.path)?;
        for method in route.methods {
            write_operation(out, route, method)?;
        }
    }
    out.push_str(COMPONENTS);
    Ok(())
}

fn write_operation(out: &mut String, route: &Route, method: &str) -> fmt::Result {
    writeln!(out, "    {method}:")?;
    writeln!(out, "      operationId: {}", operation_id(route.path, method))?;
    writeln!(out, "      tags: [{}]", route.tag)?;
    writeln!(out, "      summary: {}", quoted(route.summary))?;
    let in_path = route.path.split('{').skip(1).filter_map(|part| part.split('}').next());
    let in_path: Vec<&str> = in_path.collect();
    let is_form = matches!(method, "post" | "put");
    if !in_path.is_empty() || (!is_form && !route.parameters.is_empty()) {
        writeln!(out, "      parameters:")?;
    }
    for name in in_path {
        writeln!(
            out,
            "        - {{name: {name}, in: path, required: true, schema: {{type: string}}}}"
        )?;
    }
    if is_form {
        write_form(out, route)?;
    } else {
        for parameter in route.parameters {
            writeln!(out, "        - name: {}", quoted(parameter.name))?;
            writeln!(out, "          in: query")?;
            writeln!(out, "          required: {}", parameter.is_required)?;
            writeln!(out, "          description: {}", quoted(parameter.meaning))?;
            writeln!(out, "          schema: {}", schema(parameter))?;
        }
    }
    writeln!(out, "      responses:")?;
    let (status, content) = match route.answer {
        Answer::Envelope => {
            ("'200'", "application/json: {schema: {$ref: '#/components/schemas/Success'}}")
        }
        Answer::Nothing => ("'204'", ""),
        Answer::Lines => ("'200'", "application/x-ndjson: {schema: {type: string}}"),
        Answer::Binary => {
            ("'200'", "application/x-protobuf: {schema: {type: string, format: binary}}")
        }
        Answer::Yaml => ("'200'", "application/yaml: {schema: {type: string}}"),
        Answer::Events => ("'200'", "text/event-stream: {itemSchema: {type: object}}"),
    };
    writeln!(out, "        {status}:\n          description: It went well.")?;
    if !content.is_empty() {
        writeln!(out, "          content:\n            {content}")?;
    }
    writeln!(out, "        default: {{$ref: '#/components/responses/Failure'}}")
}

fn write_form(out: &mut String, route: &Route) -> fmt::Result {
    let kind = match (route.answer, route.parameters) {
        (_, [_, ..]) => "application/x-www-form-urlencoded",
        (Answer::Envelope, []) => return Ok(()),
        _ if route.tag == "admin" => return Ok(()),
        _ => {
            writeln!(out, "      requestBody:\n        required: true\n        content:")?;
            writeln!(out, "          application/x-protobuf:")?;
            return writeln!(out, "            schema: {{type: string, format: binary}}");
        }
    };
    writeln!(out, "      requestBody:\n        content:\n          {kind}:")?;
    writeln!(out, "            schema:\n              type: object")?;
    let required = route.parameters.iter().filter(|parameter| parameter.is_required);
    let required: Vec<String> = required.map(|parameter| quoted(parameter.name)).collect();
    if !required.is_empty() {
        writeln!(out, "              required: [{}]", required.join(", "))?;
    }
    writeln!(out, "              properties:")?;
    for parameter in route.parameters {
        writeln!(out, "                {}:", quoted(parameter.name))?;
        writeln!(out, "                  description: {}", quoted(parameter.meaning))?;
        if parameter.is_repeated {
            writeln!(
                out,
                "                  type: array\n                  items: {{type: string}}"
            )?;
        } else {
            writeln!(out, "                  type: string")?;
        }
    }
    Ok(())
}

fn schema(parameter: &Parameter) -> &'static str {
    if parameter.is_repeated { "{type: array, items: {type: string}}" } else { "{type: string}" }
}

/// `get_query_range`: names the operation among all.
fn operation_id(path: &str, method: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(method).chain(words).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(form: Form) -> String {
        let mut out = String::new();
        write_document(&mut out, form, "1.2.3", "http://box").unwrap();
        out
    }

    #[test]
    fn every_route_is_in_the_document_with_its_methods_and_parameters() {
        let text = document(Form::V32);
        for route in ROUTES {
            let begin = format!("\n  {}:\n", route.path);
            let (_, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{}", route.path));
            let end = rest.find("\n  /").or_else(|| rest.find("\ncomponents:")).unwrap();
            let own = &rest[..end];
            for method in route.methods {
                assert!(own.contains(&format!("    {method}:\n")), "{} {method}", route.path);
            }
            for parameter in route.parameters {
                assert!(own.contains(&quoted(parameter.name)), "{} {}", route.path, parameter.name);
            }
            assert!(TAGS.iter().any(|(name, ..)| *name == route.tag), "{}", route.tag);
        }
        let ids: Vec<_> = text.lines().filter(|line| line.contains("operationId")).collect();
        let mut unique = ids.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(ids.len(), unique.len());
    }

    #[test]
    fn the_older_form_has_no_stream_of_events_and_no_summaries_of_tags() {
        let text = document(Form::V31);
        assert!(text.starts_with("openapi: 3.1.0\n"));
        assert!(!text.contains("/notifications/live") && !text.contains("itemSchema"));
        assert!(document(Form::V32).starts_with("openapi: 3.2.0\n"));
        assert!(document(Form::V32).contains("itemSchema"));
    }
}
