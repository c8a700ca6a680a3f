//! Figures of a part of service logs: `SIGNALBOX_MEASURE=2000000 cargo test --release -p logstore
//! measure -- --nocapture`. Without the variable a few thousand rows are written and checked.
//!
//! The logs are those of two hundred pods of twenty services for an hour: 45 % JSON access lines,
//! 35 % application lines (half with a trace id in the text), 12 % structured events with seven
//! attributes, 3 % stack traces, 5 % lines of the platform; half of the records have trace and
//! span.

use std::ops::ControlFlow;
use std::sync::Arc;

use disk::files::RealFiles;
use model::clock::{Clock, SystemClock};
use model::log::{Field, LineCondition, LogCountRequest, Origin};
use model::read::LogRequest;
use model::{Labels, Matcher, QueryContext, TimestampNs};

use super::fixtures::{everything, open, read};
use crate::cursor::ScanPlan;
use crate::part::{Part, PartRow, PartWriter};

const PODS: usize = 200;
const SERVICES: [&str; 20] = [
    "cart",
    "checkout",
    "payment",
    "catalog",
    "search",
    "frontend",
    "auth",
    "email",
    "shipping",
    "inventory",
    "pricing",
    "reviews",
    "recommend",
    "ads",
    "currency",
    "gateway",
    "session",
    "quote",
    "ledger",
    "audit",
];
const PATHS: [&str; 12] = [
    "/api/v1/cart",
    "/api/v1/products/{}",
    "/api/v1/orders/{}",
    "/api/v1/checkout",
    "/healthz",
    "/api/v1/users/{}/profile",
    "/api/v1/search?q={}",
    "/metrics",
    "/api/v1/payments",
    "/api/v1/reviews/{}",
    "/static/app.js",
    "/api/v1/recommendations",
];
const AGENTS: [&str; 5] = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    "curl/8.4.0",
    "Go-http-client/2.0",
    "kube-probe/1.29",
    "okhttp/4.12.0",
];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn under(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }

    fn hex(&mut self, digits: usize) -> String {
        format!("{:016x}{:016x}", self.next(), self.next())[..digits].to_owned()
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.under(list.len() as u64) as usize]
    }
}

struct Generated {
    line: String,
    fields: Vec<(Origin, &'static str, String)>,
}

fn generate(random: &mut Random, service: &str, at: i64) -> Generated {
    let trace = random.hex(32);
    let mut fields = Vec::new();
    let mut level = "info";
    let number = random.under(100_000);
    let kind = random.under(100);
    let has_trace = random.under(2) == 0;
    let line = match kind {
        0..45 => {
            let status =
                [200, 200, 200, 200, 201, 204, 304, 404, 500, 503][random.under(10) as usize];
            level = if status >= 500 {
                "error"
            } else if status >= 400 {
                "warn"
            } else {
                "info"
            };
            let path = random.of(&PATHS).replace("{}", &number.to_string());
            format!(
                "{{\"ts\":\"{}\",\"level\":\"{level}\",\"method\":\"{}\",\"path\":\"{path}\",\
                 \"status\":{status},\"bytes\":{},\"duration_ms\":{}.{},\
                 \"client\":\"10.{}.{}.{}\",\"agent\":\"{}\",\"request_id\":\"{}\"}}",
                TimestampNs(at),
                random.of(&["GET", "GET", "GET", "POST", "PUT", "DELETE"]),
                random.under(50_000),
                random.under(900),
                random.under(1000),
                random.under(4),
                random.under(250),
                random.under(250),
                random.of(&AGENTS),
                random.hex(16),
            )
        }
        45..80 => {
            let with_trace = if has_trace { format!(" trace_id={trace}") } else { String::new() };
            match random.under(8) {
                0 => format!(
                    "processed order {number} for customer c-{} in {} ms{with_trace}",
                    random.under(5000),
                    random.under(400)
                ),
                1 => format!(
                    "cache miss for key {service}:{number}, loading from database shard {}\
                     {with_trace}",
                    random.under(16)
                ),
                2 => {
                    level = "error";
                    format!(
                        "payment gateway timeout after {} ms, retry {} of 3, connection pool \
                         exhausted{with_trace}",
                        random.under(9000),
                        random.under(3)
                    )
                }
                3 => format!(
                    "published event OrderCreated to topic orders partition {} offset {}\
                     {with_trace}",
                    random.under(32),
                    random.under(10_000_000)
                ),
                4 => {
                    level = "warn";
                    format!(
                        "slow query took {}.{}s: SELECT * FROM items WHERE id = {number} \
                         AND tenant = 't{}'{with_trace}",
                        random.under(9),
                        random.under(100),
                        random.under(50)
                    )
                }
                5 => format!(
                    "user {} logged in from 192.168.{}.{} using {}{with_trace}",
                    random.of(&[
                        "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan"
                    ]),
                    random.under(255),
                    random.under(255),
                    random.of(&["password", "oauth", "sso"])
                ),
                6 => format!(
                    "reconciled {} items of inventory batch {} for warehouse w{}{with_trace}",
                    random.under(500),
                    random.hex(8),
                    random.under(12)
                ),
                _ => {
                    level = "debug";
                    format!(
                        "evaluated feature flag checkout-v{} for tenant t{}: {}{with_trace}",
                        random.under(4),
                        random.under(50),
                        random.of(&["true", "false"])
                    )
                }
            }
        }
        80..92 => {
            for (name, value) in [
                ("event_name", "order.updated".to_owned()),
                ("order_id", number.to_string()),
                ("customer", format!("c-{}", random.under(5000))),
                ("amount", format!("{}.{:02}", random.under(500), random.under(100))),
                ("currency", random.of(&["EUR", "USD", "GBP"]).to_owned()),
                ("region", random.of(&["eu-west-1", "us-east-1"]).to_owned()),
                ("attempt", random.under(4).to_string()),
            ] {
                fields.push((Origin::Record, name, value));
            }
            format!(
                "order updated: state {} -> {}",
                random.of(&["created", "paid"]),
                random.of(&["paid", "shipped", "done"])
            )
        }
        92..95 => {
            level = "error";
            let mut line = format!(
                "java.lang.IllegalStateException: order {number} is in state {}",
                random.of(&["created", "paid"])
            );
            for _ in 0..8 + random.under(11) {
                line.push_str(&format!(
                    "\n\tat com.example.{service}.{}.{}({}.java:{})",
                    random.of(&["api", "core", "db", "http", "queue"]),
                    random.of(&["handle", "process", "execute", "run", "apply", "invoke"]),
                    random.of(&["Handler", "Worker", "Repository", "Client"]),
                    random.under(400)
                ));
            }
            line
        }
        _ => match random.under(3) {
            0 => format!(
                "I1122 10:{:02}:{:02}.{:06} 1 reflector.go:{}] Watch close - items total {} \
                 received",
                random.under(60),
                random.under(60),
                random.under(1_000_000),
                random.under(900),
                random.under(500)
            ),
            1 => "Liveness probe succeeded".to_owned(),
            _ => format!("container memory usage {} MiB of 512 MiB", random.under(512)),
        },
    };
    fields.push((Origin::Record, "severity_text", level.to_uppercase()));
    if has_trace {
        fields.push((Origin::Record, "trace_id", trace));
        fields.push((Origin::Record, "span_id", random.hex(16)));
        fields.push((Origin::Record, "flags", "1".to_owned()));
    }
    fields.push((Origin::Derived, "detected_level", level.to_owned()));
    Generated { line, fields }
}

fn streams() -> Vec<Labels> {
    (0..PODS)
        .map(|pod| {
            let service = SERVICES[pod % SERVICES.len()];
            Labels::from_pairs([
                ("service_name", service.to_owned()),
                ("k8s_namespace_name", "shop".to_owned()),
                ("k8s_pod_name", format!("{service}-7d9f8b6c5-{pod:05}")),
                ("deployment_environment", "production".to_owned()),
            ])
        })
        .collect()
}

fn part_of(rows: usize, print: bool) -> (tempfile::TempDir, Arc<Part>) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("p");
    let streams = streams();
    let clock = SystemClock::default();
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut writer = PartWriter::create(Arc::new(RealFiles), &dir, &streams).unwrap();
    let mut spent = std::time::Duration::ZERO;
    let mut batch = Vec::new();
    for pod in 0..PODS {
        let service = SERVICES[pod % SERVICES.len()];
        let uid = random.hex(32);
        let shared: Vec<(&str, String)> = vec![
            ("k8s_pod_uid", uid),
            ("k8s_node_name", format!("node-{}", pod % 12)),
            ("host_name", format!("node-{}", pod % 12)),
            ("service_version", format!("1.{}.0", pod % 7)),
            ("telemetry_sdk_language", "go".to_owned()),
        ];
        let shared: Vec<Field<'_>> = shared
            .iter()
            .map(|(name, value)| Field { name, value, origin: Origin::Resource })
            .collect();
        let count = rows / PODS;
        batch.clear();
        for i in 0..count {
            let step = 3_600_000_000_000 / count as i64;
            let at = 1_795_000_000_000_000_000 + i as i64 * step + random.under(step as u64) as i64;
            let at = at / 1000 * 1000;
            batch.push((at, generate(&mut random, service, at)));
        }
        let start = clock.monotonic();
        for (i, (at, generated)) in batch.iter().enumerate() {
            let fields: Vec<Field<'_>> = generated
                .fields
                .iter()
                .map(|(origin, name, value)| Field { name, value, origin: *origin })
                .collect();
            let row = PartRow {
                stream: pod as u32,
                at: TimestampNs(*at),
                arrival: (i * PODS + (pod * 7 + i * 13) % PODS) as u64,
                line: &generated.line,
                shared: &shared,
                fields: &fields,
            };
            writer.push(&row).unwrap();
        }
        spent += clock.monotonic() - start;
    }
    let start = clock.monotonic();
    let meta = writer.finish().unwrap();
    spent += clock.monotonic() - start;
    let part = open(&dir);
    if print {
        let per = |bytes: u64| bytes as f64 / meta.rows as f64;
        println!("{} rows, {:.1} B a line", meta.rows, per(meta.line_bytes));
        println!("sealed in {:.2} us a row", spent.as_secs_f64() * 1e6 / meta.rows as f64);
        println!(
            "{:.1} B a row on disk, templates {}, runs of cells {}",
            per(meta.disk_bytes),
            part.index().templates.len(),
            part.index().cells.len()
        );
        for (name, bytes) in part.figures() {
            println!("  {name}: {:.2}", per(bytes));
        }
    }
    (folder, part)
}

fn rows_of(part: &Arc<Part>, lines: Vec<LineCondition>, fields: Vec<Matcher>) -> u64 {
    let mut request = everything();
    (request.lines, request.fields) = (lines, fields);
    request.order = None;
    let plan = Arc::new(ScanPlan { request, hidden: Vec::new() });
    let context = QueryContext::unlimited();
    let mut cursor = part.cursor(&plan, &context).unwrap();
    let mut rows = 0;
    while cursor.peek().unwrap().is_some() {
        rows += 1;
        cursor.advance();
    }
    rows
}

fn counted(part: &Arc<Part>, lines: Vec<LineCondition>, by: &[&str], start: i64) -> u64 {
    counted_by(part, lines, by, start, false)
}

fn counted_by(
    part: &Arc<Part>,
    lines: Vec<LineCondition>,
    by: &[&str],
    start: i64,
    by_pattern: bool,
) -> u64 {
    let request = LogCountRequest {
        matchers: Vec::new(),
        lines,
        fields: Vec::new(),
        start: TimestampNs(1_794_999_960_000_000_000 + start),
        width_ns: 60_000_000_000,
        buckets: 62,
        by_fields: by.iter().map(|name| (*name).to_owned()).collect(),
        by_pattern,
    };
    let mut rows = 0;
    let flow = part.count(&request, &[], &QueryContext::unlimited(), &mut |count| {
        rows += count.records;
        ControlFlow::Continue(())
    });
    assert!(flow.unwrap().is_continue());
    rows
}

#[test]
fn measure() {
    let wanted = std::env::var("SIGNALBOX_MEASURE").ok().and_then(|rows| rows.parse().ok());
    let rows: usize = wanted.unwrap_or(4000);
    let (_folder, part) = part_of(rows, wanted.is_some());
    let clock = SystemClock::default();
    let time = |name: &str, run: &dyn Fn() -> u64| {
        let start = clock.monotonic();
        let cold = run();
        let middle = clock.monotonic();
        assert_eq!(run(), cold);
        let (first, second) = (middle - start, clock.monotonic() - middle);
        if wanted.is_some() {
            println!("{name}: {cold} rows, {first:.2?}, again {second:.2?}");
        }
        cold
    };
    let mut id = String::new();
    let plan = Arc::new(ScanPlan { request: everything(), hidden: Vec::new() });
    let context = QueryContext::unlimited();
    let mut cursor = part.cursor(&plan, &context).unwrap();
    while id.is_empty() && cursor.peek().unwrap().is_some() {
        let _flow = cursor
            .show(&mut |row| {
                if let Some((_, trace)) = row.line.split_once("trace_id=") {
                    id = trace.to_owned();
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        cursor.advance();
    }
    let has = |text: &str| vec![LineCondition::contains(text)];
    let regex = |text: &str| vec![LineCondition::Matches(vec![regex::Regex::new(text).unwrap()])];
    time("absent literal", &|| rows_of(&part, has("zebra crossing"), Vec::new()));
    time("absent digits", &|| rows_of(&part, has("99999999999999999999"), Vec::new()));
    time("substring of what stays", &|| rows_of(&part, has("xhauste"), Vec::new()));
    assert!(time("whole id", &|| rows_of(&part, has(&id), Vec::new())) >= 1);
    assert!(time("infix of an id", &|| rows_of(&part, has(&id[7..19]), Vec::new())) >= 1);
    time("text and value", &|| rows_of(&part, has("shard 7 "), Vec::new()));
    time("rare value", &|| rows_of(&part, has("order 4242 "), Vec::new()));
    time("regex with a literal", &|| rows_of(&part, regex("timeout after 1\\d+ ms"), Vec::new()));
    time("regex without", &|| rows_of(&part, regex("\\d\\d:\\d\\d:0[0-3].9"), Vec::new()));
    let trace = Matcher::equal("trace_id", id.as_str());
    assert!(time("field by id", &|| rows_of(&part, Vec::new(), vec![trace.clone()])) == 1);
    let level = Matcher::equal("detected_level", "error");
    time("field by level", &|| rows_of(&part, Vec::new(), vec![level.clone()]));
    let all = rows as u64 / PODS as u64 * PODS as u64;
    assert_eq!(time("count by level", &|| counted(&part, Vec::new(), &["detected_level"], 0)), all);
    assert_eq!(
        time("count by level, not aligned", &|| counted(&part, Vec::new(), &["detected_level"], 1)),
        all
    );
    let service = ["service_name"];
    assert_eq!(time("count by service", &|| counted(&part, Vec::new(), &service, 0)), all);
    assert_eq!(time("count by pattern", &|| counted_by(&part, Vec::new(), &[], 0, true)), all);
    let lacks = || vec![LineCondition::lacks("exhausted")];
    time("count of lines without a word", &|| counted(&part, lacks(), &[], 0));
    let folded = || regex("(?i)EXHAUSTED");
    time("regex that ignores case", &|| rows_of(&part, folded(), Vec::new()));
    time("count of a regex that ignores case", &|| counted(&part, folded(), &[], 0));
    time("count of a word, not aligned", &|| counted(&part, has("exhausted"), &[], 1));
    time("count of lines with a word", &|| counted(&part, has("exhausted"), &[], 0));
    time("scan of all", &|| rows_of(&part, Vec::new(), Vec::new()));
    time("every line in order", &|| {
        let plan = Arc::new(ScanPlan { request: everything(), hidden: Vec::new() });
        let context = QueryContext::unlimited();
        let mut cursor = part.cursor(&plan, &context).unwrap();
        let mut rows = 0;
        while cursor.peek().unwrap().is_some() {
            let shown = cursor.show(&mut |row| {
                rows += u64::from(!row.line.is_empty());
                ControlFlow::Continue(())
            });
            assert!(shown.unwrap().is_continue());
            cursor.advance();
        }
        rows
    });
    part.verify().unwrap();
}

/// Prints what the columns of a part would cost if it was written today: `SIGNALBOX_PART=FOLDER`.
#[test]
fn columns_of_a_part() {
    let (_folder, part) = match std::env::var_os("SIGNALBOX_PART") {
        Some(dir) => {
            let old = open(std::path::Path::new(&dir));
            let streams = old.streams().to_vec();
            let request = LogRequest { order: None, ..everything() };
            let plan = ScanPlan { request, hidden: Vec::new() };
            let mut rows = read(&old, &streams, plan);
            rows.sort_by_key(|row| (row.stream, row.at, row.arrival));
            let folder = tempfile::tempdir().unwrap();
            let dir = folder.path().join("p");
            let clock = SystemClock::default();
            let start = clock.monotonic();
            let mut writer = PartWriter::create(Arc::new(RealFiles), &dir, &streams).unwrap();
            for row in &rows {
                row.show(&streams, |shown| {
                    let (stream, shared, fields) = (row.stream as u32, &[], shown.metadata);
                    let (at, arrival, line) = (shown.at, shown.arrival, shown.line);
                    writer.push(&PartRow { stream, at, arrival, line, shared, fields }).unwrap();
                });
            }
            writer.finish().unwrap();
            println!("{} rows in {:.2?}", rows.len(), clock.monotonic() - start);
            (folder, open(&dir))
        }
        None => part_of(4000, false),
    };
    let columns = crate::part::block::breakdown::breakdown(&part).unwrap();
    let sum: f64 = columns.iter().map(|(_, bytes)| bytes).sum();
    let columns_bytes = part.figures()[0].1 as f64;
    assert!((sum - columns_bytes).abs() < columns_bytes / 1000.0, "{sum} {columns_bytes}");
    for (name, bytes) in part.figures() {
        println!("{:8.3} B a row: {name}", bytes as f64 / part.meta().rows as f64);
    }
    let mut kinds = std::collections::BTreeMap::<&str, f64>::new();
    for (name, bytes) in &columns {
        *kinds.entry(name.split(' ').next().unwrap()).or_default() += bytes;
    }
    for (name, bytes) in kinds {
        println!("{:8.3} B a row: all {name}", bytes / part.meta().rows as f64);
    }
    for (name, bytes) in columns.iter().take(40) {
        println!("{:8.3} B a row: {name}", bytes / part.meta().rows as f64);
    }
}
