//! curl with JSON, as people try a collector: hand-written bodies, and the example files of the
//! OTLP specification.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{run, shared};
use crate::support::otlp::{LOGS, METRICS, TRACES};
use crate::support::{Server, now_ns};

/// The `--data-binary` of a request: text, or `@` and a file.
async fn post(server: &Server, path: &str, data: &str) -> Option<(u16, Value)> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "30"]);
    command.args(["--header", "content-type: application/json", "--data-binary", data]);
    command.args(["--write-out", "\n%{http_code}"]);
    command.arg(format!("http://{}{path}", server.addresses.http));
    let Some(output) = run(command).await else {
        println!("not run: there is no curl");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    Some((status.parse().unwrap(), serde_json::from_str(body).unwrap()))
}

/// The example trace of the specification.
const TRACE_ID: u128 = 0x5b8e_fff7_9803_8103_d269_b633_813f_c60c;
const SPAN_ID: &str = "eee19b7ec3c1b174";

#[tokio::test(flavor = "multi_thread")]
async fn curl_sends_json_of_all_three_signals() {
    let server = Server::start().await;
    let at_ns = now_ns();
    let at = at_ns.to_string();
    let resource =
        json!({"attributes": [{"key": "service.name", "value": {"stringValue": "curl"}}]});
    let attributes = json!([{"key": "who", "value": {"stringValue": "me"}}]);

    let span = json!({
        "traceId": format!("{TRACE_ID:032x}"), "spanId": SPAN_ID, "name": "typed by hand", "kind": 2,
        "startTimeUnixNano": at, "endTimeUnixNano": (at_ns + 5).to_string(), "attributes": attributes,
    });
    let traces =
        json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]});
    let record = json!({
        "timeUnixNano": at, "severityNumber": 17, "severityText": "ERROR", "attributes": attributes,
        "traceId": format!("{TRACE_ID:032X}"), "spanId": SPAN_ID,
        "body": {"stringValue": "typed by hand"},
    });
    let logs =
        json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]});
    let point = json!({"timeUnixNano": at, "asInt": "12", "attributes": attributes});
    let sum = json!({"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [point]});
    let metric = json!({"name": "keys.pressed", "sum": sum});
    let metrics = json!(
        {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]}
    );
    for (path, body) in [(TRACES, traces), (LOGS, logs), (METRICS, metrics)] {
        let Some(answer) = post(&server, path, &body.to_string()).await else { return };
        assert_eq!(answer, (200, json!({})), "{path}");
    }

    let spans = server.trace(TRACE_ID).await;
    assert_eq!(spans.len(), 1, "{spans:?}");
    let (service, span) = &spans[0];
    assert_eq!((service.as_str(), span.name.as_str()), ("curl", "typed by hand"));
    assert_eq!(span.attributes, [crate::support::otlp::attribute("who", "me")]);
    assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (at_ns, at_ns + 5));

    let lines = server.lines(r#"{service_name="curl"} |= "by hand""#, at_ns, at_ns + 1).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    let labels = &lines[0].labels;
    assert_eq!(labels["trace_id"], format!("{TRACE_ID:032x}"));
    assert_eq!((labels["who"].as_str(), labels["detected_level"].as_str()), ("me", "error"));

    assert_eq!(server.number(r#"keys_pressed_total{job="curl", who="me"}"#).await, Some(12.0));
}

/// The float series of deltas; the exponential histogram is another one.
const DELTAS: &str = r#"{__temporality__="delta", __name__=~".+_(total|bucket|sum|count)"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn curl_sends_the_example_files_of_the_specification() {
    let Some(folder) = shared("conformance/otlp") else {
        return println!("not run: no conformance/otlp in $SIGNALBOX_SHARED or ../shared");
    };
    let server = Server::start().await;
    let send = async |path: &str, file: &str| {
        let data = format!("@{}", Path::new(&folder).join(file).display());
        post(&server, path, &data).await
    };
    for (path, file) in [(TRACES, "trace.json"), (LOGS, "logs.json"), (LOGS, "events.json")] {
        let Some(answer) = send(path, file).await else { return };
        assert_eq!(answer, (200, json!({})), "{file}");
    }
    // Three of the four metrics have delta temporality, and are kept as they are.
    let Some(answer) = send(METRICS, "metrics.json").await else { return };
    assert_eq!(answer, (200, json!({})), "metrics.json");

    let spans = server.trace(TRACE_ID).await;
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].1.name, "I'm a server span");
    assert_eq!(spans[0].0, "my.service");

    let at_ns = 1_544_712_660_300_000_000;
    let lines = server.lines(r#"{service_name="my.service"}"#, at_ns, at_ns + 1).await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    let line = lines.iter().find(|line| line.text == "Example log record").unwrap();
    assert_eq!(line.labels["trace_id"], format!("{TRACE_ID:032x}"));
    assert_eq!(line.labels["string_attribute"], "some string");
    let event = lines.iter().find(|line| line.text != "Example log record").unwrap();
    assert_eq!(event.labels["event_name"], "browser.page_view");

    let deltas = server.promql(DELTAS, Some(1_544_712_661.0)).await;
    assert!(deltas.len() > 3, "{deltas:?}");
    let gauge = server.promql("my_gauge_ratio", Some(1_544_712_661.0)).await;
    assert_eq!(gauge.len(), 1, "{gauge:?}");
    assert_eq!((gauge[0].value, gauge[0].labels["my_gauge_attr"].as_str()), (10.0, "some value"));
}
