//! What a run says: the same figures as a table for people and as a JSON line for scripts.

use std::fmt::Write as _;

use proto::Signal;

use crate::json;
use crate::process::Memory;
use crate::sender::Tally;

/// One run of one signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What was sent.
    pub signal: Signal,
    /// How, for example `http identity`.
    pub transport: String,
    /// Over how many connections.
    pub connections: usize,
    /// What the server answered.
    pub tally: Tally,
    /// CPU that the sender itself took while it sent.
    pub sender_cpu_seconds: f64,
    /// What the server spent, if its process is known.
    pub server: Option<ServerCost>,
    /// What the data folder grew by, if it is known.
    pub disk_bytes: Option<u64>,
}

/// What the server spent on a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServerCost {
    /// User and system time while requests were sent.
    pub cpu_send_seconds: f64,
    /// The same, and what came after until the server was idle.
    pub cpu_seconds: f64,
    /// Whether it did become idle in the time it was given.
    pub became_idle: bool,
    /// Its memory then; the peak is that of the run if the kernel lets us reset it.
    pub memory: Memory,
}

/// The name of a signal, as in the paths of OTLP over HTTP.
pub fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => "metrics",
        Signal::Logs => "logs",
        Signal::Traces => "traces",
    }
}

enum Value {
    Text(String),
    Count(u64),
    /// With this many digits after the point.
    Number(f64, usize),
    Flag(bool),
    Unknown,
}

struct Figure {
    key: &'static str,
    label: &'static str,
    value: Value,
}

fn figure(key: &'static str, label: &'static str, value: Value) -> Figure {
    Figure { key, label, value }
}

/// `amount / of`, unless there is nothing to divide by.
fn ratio(amount: f64, of: f64, digits: usize) -> Value {
    if of > 0.0 { Value::Number(amount / of, digits) } else { Value::Unknown }
}

const MIB: f64 = (1 << 20) as f64;

impl Report {
    fn figures(&self) -> Vec<Figure> {
        let tally = &self.tally;
        let (accepted, wall) = (tally.accepted as f64, tally.wall.as_secs_f64());
        let latency = |quantile: f64| Value::Number(tally.latency_us(quantile) as f64 / 1_000.0, 2);
        let mut figures = vec![
            figure("signal", "signal", Value::Text(signal_name(self.signal).to_owned())),
            figure("transport", "transport", Value::Text(self.transport.clone())),
            figure("connections", "connections", Value::Count(self.connections as u64)),
            figure("requests", "requests", Value::Count(tally.requests)),
            figure("requests_failed", "requests failed", Value::Count(tally.requests_failed)),
            figure("accepted_items", "items accepted", Value::Count(tally.accepted)),
            figure("refused_items", "items refused", Value::Count(tally.refused)),
            figure("failed_items", "items failed", Value::Count(tally.failed)),
            figure("samples", "samples", Value::Count(tally.samples)),
            figure("sent_bytes", "bytes sent", Value::Count(tally.sent_bytes)),
            figure("wall_seconds", "wall s", Value::Number(wall, 3)),
            figure("items_per_second", "items/s", ratio(accepted, wall, 0)),
            figure("samples_per_second", "samples/s", ratio(tally.samples as f64, wall, 0)),
            figure("latency_p50_ms", "p50 ms", latency(0.5)),
            figure("latency_p95_ms", "p95 ms", latency(0.95)),
            figure("latency_p99_ms", "p99 ms", latency(0.99)),
            figure("sender_cpu_seconds", "sender CPU s", Value::Number(self.sender_cpu_seconds, 2)),
        ];
        if let Some(server) = &self.server {
            let (cpu, memory) = (server.cpu_seconds, server.memory);
            figures.extend([
                figure(
                    "server_cpu_send_seconds",
                    "server CPU s, sending",
                    Value::Number(server.cpu_send_seconds, 2),
                ),
                figure("server_cpu_seconds", "server CPU s, to idle", Value::Number(cpu, 2)),
                figure("became_idle", "became idle", Value::Flag(server.became_idle)),
                figure("items_per_cpu_second", "items/server CPU s", ratio(accepted, cpu, 0)),
                figure(
                    "samples_per_cpu_second",
                    "samples/server CPU s",
                    ratio(tally.samples as f64, cpu, 0),
                ),
                figure(
                    "cpu_seconds_per_million",
                    "server CPU s/1M items",
                    ratio(cpu * 1e6, accepted, 3),
                ),
                figure(
                    "resident_peak_bytes",
                    "peak RSS MiB",
                    Value::Number(memory.peak_bytes as f64 / MIB, 1),
                ),
                figure(
                    "resident_bytes",
                    "RSS after MiB",
                    Value::Number(memory.resident_bytes as f64 / MIB, 1),
                ),
            ]);
        }
        if let Some(bytes) = self.disk_bytes {
            figures.extend([
                figure("disk_bytes", "disk MiB", Value::Number(bytes as f64 / MIB, 1)),
                figure("disk_bytes_per_item", "disk B/item", ratio(bytes as f64, accepted, 2)),
            ]);
        }
        figures
    }

    /// One line of JSON. Sizes are in bytes, whatever the table shows.
    pub fn to_json(&self) -> String {
        let mut line = String::from("{");
        for Figure { key, value, .. } in self.figures() {
            let value = match (key, value) {
                (
                    "resident_peak_bytes" | "resident_bytes" | "disk_bytes",
                    Value::Number(mib, _),
                ) => {
                    format!("{:.0}", mib * MIB)
                }
                (_, Value::Text(text)) => json::quote(&text),
                (_, Value::Count(count)) => count.to_string(),
                (_, Value::Number(number, _)) if number.is_finite() => {
                    // Binary fractions of ticks and nanoseconds are noise.
                    format!("{}", (number * 1e6).round() / 1e6)
                }
                (_, Value::Flag(flag)) => flag.to_string(),
                _ => "null".to_owned(),
            };
            // Writing to a String cannot fail.
            write!(line, "{}{}:{value}", if line.len() > 1 { "," } else { "" }, json::quote(key))
                .ok();
        }
        if let Some(problem) = &self.tally.first_problem {
            write!(line, ",\"first_problem\":{}", json::quote(problem)).ok();
        }
        line.push('}');
        line
    }
}

/// One column for each report.
pub fn table(reports: &[Report]) -> String {
    let columns: Vec<Vec<Figure>> = reports.iter().map(Report::figures).collect();
    // What is known of one run is known of all: the server and its folder are the same.
    let rows = columns.first().map_or(0, Vec::len);
    let mut text = String::new();
    for row in 0..rows {
        let label = columns[0][row].label;
        // Writing to a String cannot fail.
        write!(text, "{label:<24}").ok();
        for column in &columns {
            let cell = match column.get(row).map(|figure| &figure.value) {
                Some(Value::Text(text)) => text.clone(),
                Some(Value::Count(count)) => grouped(&count.to_string()),
                Some(Value::Number(number, digits)) => grouped(&format!("{number:.digits$}")),
                Some(Value::Flag(flag)) => if *flag { "yes" } else { "no" }.to_owned(),
                Some(Value::Unknown) | None => "-".to_owned(),
            };
            write!(text, "{cell:>18}").ok();
        }
        text.push('\n');
    }
    for report in reports {
        let name = signal_name(report.signal);
        if let Some(problem) = &report.tally.first_problem {
            writeln!(text, "{name}: first problem: {problem}").ok();
        }
        if report.tally.ran_out {
            writeln!(text, "{name}: the requests ran out before the time did; raise --requests")
                .ok();
        }
    }
    text
}

/// Thousands apart: `1234567.5` becomes `1,234,567.5`.
fn grouped(number: &str) -> String {
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) => (whole, format!(".{fraction}")),
        None => (number, String::new()),
    };
    let mut text = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text + &fraction
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report() -> Report {
        Report {
            signal: Signal::Logs,
            transport: "http identity".to_owned(),
            connections: 2,
            tally: Tally {
                accepted: 2_000_000,
                refused: 3,
                requests: 1_000,
                samples: 2_000_000,
                wall: Duration::from_secs(4),
                latencies_us: (1..=1_000).collect(),
                first_problem: Some("refused 3 items: \"late\"".to_owned()),
                ..Tally::default()
            },
            sender_cpu_seconds: 0.25,
            server: Some(ServerCost {
                cpu_send_seconds: 4.5,
                cpu_seconds: 5.0,
                became_idle: true,
                memory: Memory {
                    resident_bytes: 100 << 20,
                    anonymous_bytes: 90 << 20,
                    peak_bytes: 300 << 20,
                },
            }),
            disk_bytes: Some(200 << 20),
        }
    }

    #[test]
    fn the_table_relates_items_to_wall_cpu_and_disk() {
        let table = table(&[report()]);
        let cell = |label: &str| {
            let line = table.lines().find(|line| line.starts_with(label)).unwrap();
            line[24..].trim().to_owned()
        };
        assert_eq!(cell("items/s"), "500,000");
        assert_eq!(cell("items/server CPU s"), "400,000");
        assert_eq!(cell("server CPU s/1M items"), "2.500");
        assert_eq!(cell("peak RSS MiB"), "300.0");
        assert_eq!(cell("disk B/item"), "104.86");
        assert_eq!((cell("p50 ms"), cell("p99 ms")), ("0.50".to_owned(), "0.99".to_owned()));
        assert!(table.ends_with("logs: first problem: refused 3 items: \"late\"\n"));
    }

    #[test]
    fn the_json_line_has_plain_numbers_and_bytes() {
        let line = report().to_json();
        assert!(line.starts_with(r#"{"signal":"logs","transport":"http identity","#), "{line}");
        assert!(line.contains(r#""items_per_second":500000,"#), "{line}");
        assert!(line.contains(r#""resident_peak_bytes":314572800,"#), "{line}");
        assert!(line.ends_with(r#""first_problem":"refused 3 items: \"late\""}"#), "{line}");
    }

    #[test]
    fn a_run_that_accepted_nothing_has_no_ratios() {
        let mut report = report();
        report.tally = Tally::default();
        assert!(report.to_json().contains(r#""disk_bytes_per_item":null"#));
        assert!(table(&[report]).contains("-\n"));
    }
}
