//! Figures of a part of the records that `load compare` sends: `SIGNALBOX_MEASURE=2000000 cargo
//! test --release -p logstore shop -- --nocapture`. Without the variable a few thousand rows are
//! written, and each answer is compared with that of looking at each row. `SIGNALBOX_QUESTION` names
//! the only question, which is then asked a hundred times, with `SIGNALBOX_SHIFT` not aligned.
//!
//! The lines are those of `benches/src/corpora/logs.rs`: of ten pods at a time, 45 % JSON access
//! lines, 35 % application lines (half name a trace), 12 % structured events, 3 % stack traces, 5 %
//! lines of the platform.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;

use disk::files::RealFiles;
use model::clock::{Clock, SystemClock};
use model::log::{Field, LineCondition, LogCountRequest, Origin};
use model::read::Direction;
use model::{Labels, Matcher, QueryContext, TimestampNs};

use super::fixtures::{everything, open};
use crate::cursor::ScanPlan;
use crate::part::{Part, PartRow, PartWriter};

const SERVICES: [&str; 20] = [
    "frontend",
    "checkout",
    "cart",
    "catalog",
    "payment",
    "shipping",
    "currency",
    "email",
    "recommendation",
    "ads",
    "search",
    "inventory",
    "pricing",
    "accounts",
    "sessions",
    "reviews",
    "fraud",
    "invoices",
    "notifications",
    "gateway",
];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/141.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15",
    "okhttp/4.12.0",
    "kube-probe/1.34",
];
const PATHS: [&str; 6] = ["products", "cart/items", "orders", "users", "search", "sessions"];
const CLASSES: [&str; 5] =
    ["OrderService", "PaymentClient", "InventoryCache", "SessionStore", "PriceCalculator"];
const METHODS: [&str; 5] = ["handle", "invoke", "execute", "lambda$run$0", "doFilter"];
const EXCEPTIONS: [&str; 4] = [
    "java.net.SocketTimeoutException: Read timed out",
    "java.sql.SQLTransientConnectionException: connection is not available",
    "java.lang.IllegalStateException: cart is already checked out",
    "java.lang.NullPointerException: the price is null",
];

const PODS: usize = 200;
const PODS_PER_REQUEST: usize = 10;
/// Of a pod in a request.
const RECORDS: usize = 200;
/// What a request covers.
const WINDOW: i64 = 100_000_000;
const START: i64 = 29_916_667 * MINUTE;
const MINUTE: i64 = 60_000_000_000;
/// Questions are about the two hours before this.
const END: i64 = START + 10 * MINUTE;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.between(0, list.len() as u64) as usize]
    }
}

struct Pod {
    service: &'static str,
    name: String,
    node: String,
}

impl Pod {
    fn new(index: usize) -> Self {
        let service = SERVICES[index % SERVICES.len()];
        let mut random = Random(index as u64);
        let set = Random(index as u64 % SERVICES.len() as u64).next() as u32;
        let name = format!("{service}-{set:08x}-{:05x}", random.next() & 0xf_ffff);
        Pod { service, name, node: format!("ip-10-0-{}-10.internal", index / 10) }
    }

    fn labels(&self) -> Labels {
        let mut random = Random(self.name.len() as u64 ^ self.name.as_bytes()[9] as u64);
        let instance = format!("{:016x}-{:012x}", random.next(), random.next() & 0xffff_ffff_ffff);
        Labels::from_pairs([
            ("service_name", self.service.to_owned()),
            ("service_namespace", "shop".to_owned()),
            ("service_instance_id", instance),
            ("deployment_environment_name", "production".to_owned()),
            ("k8s_cluster_name", "eu-west-1a".to_owned()),
            ("k8s_namespace_name", "shop-production".to_owned()),
            ("k8s_pod_name", self.name.clone()),
        ])
    }
}

type Fields = Vec<(Origin, &'static str, String)>;

/// A record: level, stream of output, line, further fields.
struct Record(&'static str, &'static str, String, Fields);

fn record(random: &mut Random, pod: &Pod, at: TimestampNs) -> Record {
    match random.between(0, 100) {
        0..45 => access_line(random, at),
        45..80 => application_line(random, pod, at),
        80..92 => structured_event(random),
        92..95 => stack_trace(random, pod, at),
        _ => platform_line(random, pod),
    }
}

fn access_line(random: &mut Random, at: TimestampNs) -> Record {
    let status = match random.between(0, 100) {
        0..88 => 200,
        88..93 => 201,
        93..97 => 404,
        97..99 => 302,
        _ => 503,
    };
    let level = if status >= 500 { "error" } else { "info" };
    let method = random.of(&["GET", "GET", "GET", "POST", "PUT"]);
    let line = format!(
        "{{\"time\":\"{}\",\"level\":\"{level}\",\"method\":\"{method}\",\
         \"path\":\"/api/v1/{}/{}\",\"status\":{status},\"bytes\":{},\"duration_ms\":{}.{:03},\
         \"remote\":\"10.{}.{}.{}\",\"user_agent\":\"{}\",\"request_id\":\"{:016x}\"}}",
        at.to_ms(),
        random.of(&PATHS),
        random.between(1, 100_000),
        random.between(80, 60_000),
        random.between(0, 400),
        random.between(0, 1_000),
        random.between(0, 4),
        random.between(0, 256),
        random.between(1, 255),
        random.of(&AGENTS),
        random.next(),
    );
    Record(level, "stdout", line, Vec::new())
}

fn application_line(random: &mut Random, pod: &Pod, at: TimestampNs) -> Record {
    let (level, shown) = match random.between(0, 100) {
        0..80 => ("info", "INFO "),
        80..92 => ("debug", "DEBUG"),
        92..98 => ("warn", "WARN "),
        _ => ("error", "ERROR"),
    };
    let mut line = format!(
        "{} {shown} [worker-{}] com.example.{}.{} - ",
        at.to_ms(),
        random.between(1, 17),
        pod.service,
        random.of(&CLASSES),
    );
    let (number, taken) = (random.between(1, 1_000_000), random.between(1, 900));
    let message = match random.between(0, 4) {
        0 => format!("Processed order {number} in {taken} ms with {} items", number % 9 + 1),
        1 => format!("Cache miss for key product:{number}, loaded from the database in {taken} ms"),
        2 => format!("Retrying call to inventory (attempt {} of 5) after {taken} ms", number % 5),
        _ => format!("Session of user {number} renewed, expires in {taken} minutes"),
    };
    line.push_str(&message);
    if random.between(0, 2) == 0 {
        write!(line, " trace_id={:016x}{:016x}", random.next(), random.next()).unwrap();
    }
    Record(level, "stdout", line, Vec::new())
}

fn structured_event(random: &mut Random) -> Record {
    let (name, message) = [
        ("order.placed", "order placed"),
        ("payment.captured", "payment captured by the provider"),
        ("stock.low", "stock is below its threshold"),
        ("login.succeeded", "a customer logged in"),
    ][random.between(0, 4) as usize];
    let fields = vec![
        (Origin::Record, "order_id", random.between(1, 10_000_000).to_string()),
        (Origin::Record, "customer_id", format!("c-{:06}", random.between(0, 200_000))),
        (Origin::Record, "customer_tier", random.of(&["free", "plus", "business"]).to_owned()),
        (Origin::Record, "order_total", (random.between(100, 90_000) as f64 / 100.0).to_string()),
        (Origin::Record, "order_currency", random.of(&["EUR", "USD", "GBP", "CHF"]).to_owned()),
        (Origin::Record, "order_items", random.between(1, 12).to_string()),
        (Origin::Record, "order_express", (random.between(0, 1000) < 200).to_string()),
        (Origin::Record, "trace_id", format!("{:016x}{:016x}", random.next(), random.next())),
        (Origin::Record, "span_id", format!("{:016x}", random.next())),
        (Origin::Record, "flags", "1".to_owned()),
        (Origin::Record, "event_name", name.to_owned()),
    ];
    Record("info", "", message.to_owned(), fields)
}

fn stack_trace(random: &mut Random, pod: &Pod, at: TimestampNs) -> Record {
    let service = pod.service;
    let mut line = format!(
        "{} ERROR [worker-{}] com.example.{service}.{} - request failed\n{}",
        at.to_ms(),
        random.between(1, 17),
        random.of(&CLASSES),
        random.of(&EXCEPTIONS),
    );
    for _ in 0..random.between(8, 19) {
        let (class, method) = (random.of(&CLASSES), random.of(&METHODS));
        let number = random.between(20, 900);
        write!(line, "\n\tat com.example.{service}.{class}.{method}({class}.java:{number})")
            .unwrap();
    }
    Record("error", "stderr", line, Vec::new())
}

fn platform_line(random: &mut Random, pod: &Pod) -> Record {
    let (name, node, number) = (&pod.name, &pod.node, random.between(1, 64));
    let line = match random.between(0, 4) {
        0 => format!("Readiness probe succeeded for pod shop-production/{name} after {number} ms"),
        1 => {
            format!("Pulled image registry.example.com/shop/{}:2.{number}.0 on {node}", pod.service)
        }
        2 => format!("Successfully assigned shop-production/{name} to {node}"),
        _ => format!(
            "Scaled deployment {} to {number} replicas: cpu is above its target",
            pod.service
        ),
    };
    Record("info", "stderr", line, Vec::new())
}

/// The records of a pod with their times.
fn records(random: &mut Random, pod: &Pod, index: usize, rows: usize) -> Vec<(i64, Record)> {
    let requests = (rows / PODS_PER_REQUEST).div_ceil(RECORDS).max(PODS / PODS_PER_REQUEST);
    let every = PODS / PODS_PER_REQUEST;
    let mut records = Vec::new();
    for request in (index / PODS_PER_REQUEST..requests).step_by(every) {
        for position in 0..RECORDS.min(rows.div_ceil(PODS)) {
            let offset = WINDOW * position as i64 / RECORDS as i64;
            let at = START + request as i64 * WINDOW + offset + random.between(0, 10_000) as i64;
            records.push((at, record(random, pod, TimestampNs(at))));
        }
    }
    records
}

/// A part, and for a small one its lines with their times.
fn part_of(rows: usize, is_measured: bool) -> (tempfile::TempDir, Arc<Part>, Vec<(i64, String)>) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("p");
    let pods: Vec<Pod> = (0..PODS).map(Pod::new).collect();
    let streams: Vec<Labels> = pods.iter().map(Pod::labels).collect();
    let mut random = Random(1);
    let mut writer = PartWriter::create(Arc::new(RealFiles), &dir, &streams).unwrap();
    let clock = SystemClock::default();
    let mut spent = std::time::Duration::ZERO;
    let (mut arrival, mut lines) = (0, Vec::new());
    for (index, pod) in pods.iter().enumerate() {
        let records = records(&mut random, pod, index, rows);
        let shared = [
            (Origin::Resource, "service_version", format!("2.{}.{}", index % 14, index % 7)),
            (Origin::Resource, "k8s_node_name", pod.node.clone()),
            (Origin::Scope, "scope_name", "filelog".to_owned()),
            (Origin::Scope, "scope_version", "1.9.0".to_owned()),
        ];
        let shared: Vec<Field<'_>> = shared.iter().map(field).collect();
        let start = clock.monotonic();
        for (at, Record(level, output, line, more)) in &records {
            let number = match *level {
                "debug" => "5",
                "info" => "9",
                "warn" => "13",
                _ => "17",
            };
            let mut own = more.clone();
            if !output.is_empty() {
                own.push((Origin::Record, "log_iostream", (*output).to_owned()));
                own.push((Origin::Record, "log_file_name", "0.log".to_owned()));
            }
            let read = at + random.between(1_000_000, 9_000_000) as i64;
            own.push((Origin::Record, "observed_timestamp", read.to_string()));
            own.push((Origin::Record, "severity_number", number.to_owned()));
            own.push((Origin::Record, "severity_text", level.to_uppercase()));
            own.push((Origin::Derived, "detected_level", (*level).to_owned()));
            let fields: Vec<Field<'_>> = own.iter().map(field).collect();
            arrival += 1;
            let (stream, at) = (index as u32, TimestampNs(*at));
            let row = PartRow { stream, at, arrival, line, shared: &shared, fields: &fields };
            writer.push(&row).unwrap();
        }
        spent += clock.monotonic() - start;
        if !is_measured {
            lines.extend(records.into_iter().map(|(at, record)| (at, record.2)));
        }
    }
    let start = clock.monotonic();
    let meta = writer.finish().unwrap();
    spent += clock.monotonic() - start;
    let part = open(&dir);
    if is_measured {
        let per = |bytes: u64| bytes as f64 / meta.rows as f64;
        let (templates, runs) = (part.index().templates.len(), part.index().cells.len());
        println!("{} rows, {:.1} B a line", meta.rows, per(meta.line_bytes));
        println!("sealed in {:.2} us a row", spent.as_secs_f64() * 1e6 / meta.rows as f64);
        println!("{:.2} B a row, templates {templates}, runs {runs}", per(meta.disk_bytes));
        for (name, bytes) in part.figures() {
            println!("  {name}: {:.2}", per(bytes));
        }
    }
    (folder, part, lines)
}

fn field<'a>((origin, name, value): &'a (Origin, &'static str, String)) -> Field<'a> {
    Field { name, value, origin: *origin }
}

/// What is asked: conditions on lines, how long buckets are, what counts are told apart by.
struct Question {
    name: &'static str,
    lines: Vec<LineCondition>,
    width_ns: i64,
    by: &'static [&'static str],
    by_pattern: bool,
}

impl Question {
    fn count(&self, part: &Arc<Part>, shift: i64) -> u64 {
        let request = LogCountRequest {
            matchers: Vec::new(),
            lines: self.lines.clone(),
            fields: Vec::new(),
            start: TimestampNs(END - 120 * MINUTE + shift),
            width_ns: self.width_ns,
            buckets: (120 * MINUTE / self.width_ns) as usize,
            by_fields: self.by.iter().map(|name| (*name).to_owned()).collect(),
            by_pattern: self.by_pattern,
        };
        let mut records = 0;
        let flow = part.count(&request, &[], &QueryContext::unlimited(), &mut |count| {
            records += count.records;
            ControlFlow::Continue(())
        });
        assert!(flow.unwrap().is_continue());
        records
    }
}

fn questions(id: &str) -> Vec<Question> {
    let contains = |text: &str| vec![LineCondition::contains(text)];
    let matches = |text: &str| vec![LineCondition::Matches(vec![regex::Regex::new(text).unwrap()])];
    let of =
        |name, lines| Question { name, lines, width_ns: 120 * MINUTE, by: &[], by_pattern: false };
    vec![
        of("absent literal", contains("zqxjkvw")),
        of("a whole id", contains(id)),
        of("infix of an id", contains(&id[9..21])),
        of("substring of static text", contains("checked o")),
        of("substring across text and number", contains("order 42")),
        of("regex with a literal", matches("Retrying call to \\w+ .attempt [34]")),
        Question { by: &["detected_level"], width_ns: MINUTE, ..of("by level", Vec::new()) },
        Question { by: &["service_name"], width_ns: MINUTE, ..of("by service", Vec::new()) },
        Question { width_ns: MINUTE, ..of("word by minute", contains("inventory")) },
        Question { by_pattern: true, width_ns: MINUTE, ..of("by pattern", Vec::new()) },
        of("word of a frame", contains("SessionStore.doFilter")),
        of("frame with a number", contains("SessionStore.java:4")),
        of("text of two lines", contains("checked out\n\tat com.example.cart")),
        of("not a word", vec![LineCondition::lacks("inventory")]),
        of("status", contains("\"status\":503")),
        of("regex of a status", matches("\"status\":50\\d")),
        of("regex of two values", matches("attempt [34] of 5. after 8\\d\\d ms")),
        of("regex of a path", matches("/api/v1/orders/4\\d\\d\\d\"")),
        of("regex without case", matches("(?i)checked OUT")),
        of("regex without a literal", matches("1\\d\\d ms")),
    ]
}

#[test]
fn questions_of_the_comparison() {
    let wanted = std::env::var("SIGNALBOX_MEASURE").ok().and_then(|rows| rows.parse().ok());
    let rows: usize = wanted.unwrap_or(4000);
    let (_folder, part, lines) = part_of(rows, wanted.is_some());
    let clock = SystemClock::default();
    let id = newest(&part, "trace_id=", 1).pop().unwrap();
    let id = id.split_once("trace_id=").unwrap().1.to_owned();
    let only = std::env::var("SIGNALBOX_QUESTION").ok();
    for question in questions(&id) {
        if only.as_ref().is_some_and(|only| only != question.name) {
            continue;
        }
        for shift in [0, 1] {
            let found = question.count(&part, shift);
            if only.is_some() && shift == i64::from(std::env::var_os("SIGNALBOX_SHIFT").is_some()) {
                let start = spent_ns();
                (0..100).for_each(|_| assert_eq!(question.count(&part, shift), found));
                println!("on average {} us", (spent_ns() - start) / 100_000);
            }
            let spent = (0..if wanted.is_some() { 9 } else { 1 }).map(|_| {
                let start = spent_ns();
                assert_eq!(question.count(&part, shift), found);
                std::time::Duration::from_nanos(spent_ns() - start)
            });
            // Other work makes some slower.
            let spent = spent.min().unwrap_or_default();
            let name = question.name;
            if wanted.is_some() {
                let aligned = if shift == 0 { "" } else { ", not aligned" };
                println!("{name}{aligned}: {found} rows, {spent:.2?}");
                continue;
            }
            let passes = |(at, line): &&(i64, String)| {
                *at > END - 120 * MINUTE + shift && LineCondition::all_accept(&question.lines, line)
            };
            assert_eq!(found, lines.iter().filter(passes).count() as u64, "{name}");
        }
    }
    if only.is_some() {
        return;
    }
    for text in ["inventory", ""] {
        let start = clock.monotonic();
        let found = newest(&part, text, 100);
        assert!(found.len() == 100 && found.iter().all(|line| line.contains(text)));
        if wanted.is_some() {
            println!("newest 100 with {text:?}: {:.2?}", clock.monotonic() - start);
        }
    }
    part.verify().unwrap();
}

/// CPU time of this thread where the system tells it.
fn spent_ns() -> u64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The newest lines with a text in them.
fn newest(part: &Arc<Part>, text: &str, count: usize) -> Vec<String> {
    let mut request = everything();
    request.lines = vec![LineCondition::contains(text)];
    request.order = Some(Direction::Backward);
    request.matchers = vec![Matcher::equal("service_namespace", "shop")];
    let plan = Arc::new(ScanPlan { request, hidden: Vec::new() });
    let context = QueryContext::unlimited();
    let mut cursor = part.cursor(&plan, &context).unwrap();
    let mut lines = Vec::new();
    while lines.len() < count && cursor.peek().unwrap().is_some() {
        let flow = cursor.show(&mut |row| {
            lines.push(row.line.to_owned());
            ControlFlow::Continue(())
        });
        assert!(flow.unwrap().is_continue());
        cursor.advance();
    }
    lines
}
