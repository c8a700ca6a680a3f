//! Counts in equal counts out, for the senders people use: the OpenTelemetry SDKs of Rust and
//! Python over both transports, and curl.

mod curl;
mod python;
mod rust_sdk;

use std::path::PathBuf;
use std::process::Command;

use crate::support::{Server, eventually};

/// What a sender has sent, for a server that it had for itself.
struct Sent {
    service: String,
    /// All spans are of this trace.
    trace_id: u128,
    /// Spans, log records and additions of one to a counter, each.
    count: usize,
    /// When the first was sent.
    from_ns: u64,
    transport: &'static str,
}

/// Looks for everything that was sent: as many items, the attributes of one of each, and the
/// counters of the server itself.
async fn all_arrived(server: &Server, sent: &Sent) {
    let Sent { service, trace_id, count, from_ns, transport } = sent;
    let spans = server.trace(*trace_id).await;
    assert_eq!(spans.len(), *count, "spans");
    assert!(spans.iter().all(|(of, _)| of == service));
    let span = spans.iter().map(|(_, span)| span).find(|span| span.name == "step 7").unwrap();
    let attributes = &span.attributes;
    let text = |key: &str| attributes.iter().find(|a| a.key == key).unwrap().value.clone();
    assert_eq!(text("step.name"), crate::support::otlp::text("seven"), "{attributes:?}");
    let number = text("step.number").unwrap().value;
    assert_eq!(number, Some(crate::support::otlp::Value::IntValue(7)), "{attributes:?}");
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano);

    let selector = format!("{{service_name=\"{service}\"}}");
    let end_ns = crate::support::now_ns() + 1;
    let lines = server.lines(&selector, *from_ns, end_ns).await;
    assert_eq!(lines.len(), *count, "log records");
    let line = lines.iter().find(|line| line.text == "did step 7").unwrap();
    assert_eq!(line.labels["trace_id"], format!("{trace_id:032x}"), "{line:?}");
    assert_eq!(line.labels["step_name"], "seven", "{line:?}");
    assert_eq!(line.labels["detected_level"], "warn", "{line:?}");
    assert!(lines.iter().all(|line| line.labels.contains_key("span_id")));

    let query = format!("steps_total{{job=\"{service}\", step_name=\"seven\"}}");
    assert_eq!(server.number(&query).await, Some(*count as f64), "additions");

    // What the server says of itself agrees. The metric of one series is one data point.
    let accepted = |signal: &str| format!("signal=\"{signal}\"");
    for (signal, wanted) in [("traces", *count), ("logs", *count)] {
        let labels = [accepted(signal)];
        let found = server.own_metric("signalbox_otlp_accepted_items_total", &[&labels[0]]).await;
        assert_eq!(found, wanted as f64, "{signal}");
    }
    assert_eq!(server.own_metric("signalbox_otlp_refused_items_total", &[]).await, 0.0);
    let label = format!("transport=\"{transport}\"");
    let all = server.own_metric("signalbox_otlp_requests_total", &[]).await;
    let of_transport = server.own_metric("signalbox_otlp_requests_total", &[&label]).await;
    assert!(of_transport >= 3.0, "{of_transport} requests");
    assert_eq!(of_transport, all, "every request came by {transport}");
    // Spans become request metrics on the next flush.
    eventually("the spans are counted as calls", async || {
        let query = "sum(traces_spanmetrics_calls_total)";
        (server.number(query).await == Some(*count as f64)).then_some(())
    })
    .await;
}

/// Runs a command to its end; `None` says that there is no such program.
async fn run(mut command: Command) -> Option<std::process::Output> {
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    match output {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("{error}"),
    }
}

/// A folder of the material that is shared beside the workspace; `None` if it is absent.
fn shared(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SIGNALBOX_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")),
        PathBuf::from,
    );
    Some(root.join(folder)).filter(|path| path.is_dir())
}
