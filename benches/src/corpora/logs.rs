//! Logs: 45% JSON access lines, 35% application lines (half of them name a trace), 12% structured
//! events, 3% stack traces, 5% lines of the platform.

use std::fmt::Write as _;

use model::TimestampNs;
use prost::Message as _;
use proto::generated::opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest;
use proto::generated::opentelemetry::proto::logs::v1::{
    LogRecord, ResourceLogs, ScopeLogs, SeverityNumber,
};

use super::attributes::{any, boolean, double, int, scope, text};
use super::fleet::{Fleet, Pod};
use super::random::Random;
use super::{Options, Request, WINDOW_NS};

/// A request is what the agent of one node sends: the lines of its pods.
const PODS_PER_REQUEST: usize = 10;

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/141.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15",
    "okhttp/4.12.0",
    "kube-probe/1.34",
];

const PATHS: [&str; 6] = ["products", "cart/items", "orders", "users", "search", "sessions"];

const CLASSES: [&str; 5] =
    ["OrderService", "PaymentClient", "InventoryCache", "SessionStore", "PriceCalculator"];

const EXCEPTIONS: [&str; 4] = [
    "java.net.SocketTimeoutException: Read timed out",
    "java.sql.SQLTransientConnectionException: connection is not available",
    "java.lang.IllegalStateException: cart is already checked out",
    "java.lang.NullPointerException: the price is null",
];

pub(super) fn generate(options: &Options) -> Vec<Request> {
    let fleet = Fleet::new(options.seed, options.services, options.pods);
    (0..options.requests).map(|index| request(options, &fleet, index)).collect()
}

fn request(options: &Options, fleet: &Fleet, index: usize) -> Request {
    let mut random = Random::new(options.seed, 0x006c_6f67 << 32 | index as u64);
    let window_start = options.start.0 + index as i64 * WINDOW_NS;
    let records = options.records_per_request;
    let senders = PODS_PER_REQUEST.min(fleet.pods.len());
    let mut resource_logs = Vec::with_capacity(senders);
    for sender in 0..senders {
        let pod = &fleet.pods[(index * senders + sender) % fleet.pods.len()];
        let count = (sender + 1) * records / senders - sender * records / senders;
        let mut log_records = Vec::with_capacity(count);
        for position in 0..count {
            let offset = WINDOW_NS * position as i64 / count as i64;
            let at = TimestampNs(window_start + offset + random.between(0, 10_000) as i64);
            log_records.push(record(&mut random, pod, at));
        }
        let scope_logs = ScopeLogs { scope: scope("filelog"), log_records, ..Default::default() };
        resource_logs.push(ResourceLogs {
            resource: Some(pod.resource.clone()),
            scope_logs: vec![scope_logs],
            ..Default::default()
        });
    }
    let bytes = ExportLogsServiceRequest { resource_logs }.encode_to_vec();
    Request { bytes, items: records as u64, samples: records as u64, lane: index }
}

fn record(random: &mut Random, pod: &Pod, at: TimestampNs) -> LogRecord {
    let mut record = match random.between(0, 100) {
        0..45 => access_line(random, at),
        45..80 => application_line(random, pod, at),
        80..92 => structured_event(random),
        92..95 => stack_trace(random, pod, at),
        _ => platform_line(random, pod),
    };
    record.time_unix_nano = at.0 as u64;
    // An agent reads a line some milliseconds after it was written.
    record.observed_time_unix_nano = at.0 as u64 + random.between(1_000_000, 9_000_000);
    record
}

fn line(severity: SeverityNumber, body: String, stream: &str) -> LogRecord {
    let severity_text = match severity {
        SeverityNumber::Error => "ERROR",
        SeverityNumber::Warn => "WARN",
        SeverityNumber::Debug => "DEBUG",
        _ => "INFO",
    };
    LogRecord {
        severity_number: severity as i32,
        severity_text: severity_text.to_owned(),
        body: any(body),
        attributes: vec![text("log.iostream", stream), text("log.file.name", "0.log")],
        ..Default::default()
    }
}

fn access_line(random: &mut Random, at: TimestampNs) -> LogRecord {
    let status = match random.between(0, 100) {
        0..88 => 200,
        88..93 => 201,
        93..97 => 404,
        97..99 => 302,
        _ => 503,
    };
    let severity = if status >= 500 { SeverityNumber::Error } else { SeverityNumber::Info };
    let method = random.pick(&["GET", "GET", "GET", "POST", "PUT"]);
    let body = format!(
        "{{\"time\":\"{}\",\"level\":\"{}\",\"method\":\"{method}\",\
         \"path\":\"/api/v1/{}/{}\",\"status\":{status},\"bytes\":{},\"duration_ms\":{}.{:03},\
         \"remote\":\"10.{}.{}.{}\",\"user_agent\":\"{}\",\"request_id\":\"{:016x}\"}}",
        at.to_ms(),
        if status >= 500 { "error" } else { "info" },
        random.pick(&PATHS),
        random.between(1, 100_000),
        random.between(80, 60_000),
        random.between(0, 400),
        random.between(0, 1_000),
        random.between(0, 4),
        random.between(0, 256),
        random.between(1, 255),
        random.pick(&AGENTS),
        random.next(),
    );
    line(severity, body, "stdout")
}

fn application_line(random: &mut Random, pod: &Pod, at: TimestampNs) -> LogRecord {
    let (severity, level) = match random.between(0, 100) {
        0..80 => (SeverityNumber::Info, "INFO "),
        80..92 => (SeverityNumber::Debug, "DEBUG"),
        92..98 => (SeverityNumber::Warn, "WARN "),
        _ => (SeverityNumber::Error, "ERROR"),
    };
    let mut body = format!(
        "{} {level} [worker-{}] com.example.{}.{} - ",
        at.to_ms(),
        random.between(1, 17),
        pod.service,
        random.pick(&CLASSES),
    );
    let (number, taken) = (random.between(1, 1_000_000), random.between(1, 900));
    let message = match random.between(0, 4) {
        0 => format!("Processed order {number} in {taken} ms with {} items", number % 9 + 1),
        1 => format!("Cache miss for key product:{number}, loaded from the database in {taken} ms"),
        2 => format!("Retrying call to inventory (attempt {} of 5) after {taken} ms", number % 5),
        _ => format!("Session of user {number} renewed, expires in {taken} minutes"),
    };
    body.push_str(&message);
    if random.chance(500) {
        // Writing to a String cannot fail.
        write!(body, " trace_id={:016x}{:016x}", random.next(), random.next()).ok();
    }
    line(severity, body, "stdout")
}

fn structured_event(random: &mut Random) -> LogRecord {
    let (name, message) = *random.pick(&[
        ("order.placed", "order placed"),
        ("payment.captured", "payment captured by the provider"),
        ("stock.low", "stock is below its threshold"),
        ("login.succeeded", "a customer logged in"),
    ]);
    LogRecord {
        severity_number: SeverityNumber::Info as i32,
        severity_text: "INFO".to_owned(),
        body: any(message),
        attributes: vec![
            int("order.id", random.between(1, 10_000_000) as i64),
            text("customer.id", format!("c-{:06}", random.between(0, 200_000))),
            text("customer.tier", *random.pick(&["free", "plus", "business"])),
            double("order.total", random.between(100, 90_000) as f64 / 100.0),
            text("order.currency", *random.pick(&["EUR", "USD", "GBP", "CHF"])),
            int("order.items", random.between(1, 12) as i64),
            boolean("order.express", random.chance(200)),
        ],
        trace_id: random.trace_id(),
        span_id: random.span_id(),
        flags: 1,
        event_name: name.to_owned(),
        ..Default::default()
    }
}

fn stack_trace(random: &mut Random, pod: &Pod, at: TimestampNs) -> LogRecord {
    let exception = random.pick(&EXCEPTIONS);
    let mut body = format!(
        "{} ERROR [worker-{}] com.example.{}.{} - request failed\n{exception}",
        at.to_ms(),
        random.between(1, 17),
        pod.service,
        random.pick(&CLASSES),
    );
    for _ in 0..random.between(8, 19) {
        let class = random.pick(&CLASSES);
        let method = random.pick(&["handle", "invoke", "execute", "lambda$run$0", "doFilter"]);
        let number = random.between(20, 900);
        // Writing to a String cannot fail.
        write!(body, "\n\tat com.example.{}.{class}.{method}({class}.java:{number})", pod.service)
            .ok();
    }
    line(SeverityNumber::Error, body, "stderr")
}

fn platform_line(random: &mut Random, pod: &Pod) -> LogRecord {
    let (name, number) = (pod.name.as_str(), random.between(1, 64));
    let body = match random.between(0, 4) {
        0 => format!("Readiness probe succeeded for pod shop-production/{name} after {number} ms"),
        1 => format!(
            "Pulled image registry.example.com/shop/{}:2.{number}.0 on {}",
            pod.service, pod.node
        ),
        2 => format!("Successfully assigned shop-production/{name} to {}", pod.node),
        _ => format!(
            "Scaled deployment {} to {number} replicas: cpu is above its target",
            pod.service
        ),
    };
    line(SeverityNumber::Info, body, "stderr")
}
