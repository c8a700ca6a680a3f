//! Traces: call trees of 8 to 41 spans through the services of a shop, spans grouped by pod.
//!
//! 3% of the traces fail: one span throws, and the error climbs to the root. 1.5% are slow.

use std::collections::BTreeMap;

use prost::Message as _;
use proto::generated::opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;
use proto::generated::opentelemetry::proto::common::v1::KeyValue;
use proto::generated::opentelemetry::proto::trace::v1::span::{Event, SpanKind};
use proto::generated::opentelemetry::proto::trace::v1::status::StatusCode;
use proto::generated::opentelemetry::proto::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::attributes::{boolean, int, scope, text};
use super::fleet::Fleet;
use super::random::Random;
use super::{Options, Request, WINDOW_NS};

const SPANS_MIN: usize = 8;
const SPANS_MAX: usize = 41;

const ROUTES: [(&str, &str); 6] = [
    ("GET", "/api/v1/products/{id}"),
    ("GET", "/api/v1/cart"),
    ("POST", "/api/v1/cart/items"),
    ("POST", "/api/v1/orders"),
    ("GET", "/api/v1/search"),
    ("PUT", "/api/v1/users/{id}/address"),
];

const QUERIES: [(&str, &str, &str); 4] = [
    ("SELECT", "orders", "SELECT id, state, total FROM orders WHERE customer_id = $1 LIMIT 50"),
    ("INSERT", "orders", "INSERT INTO orders (customer_id, total, currency) VALUES ($1, $2, $3)"),
    ("SELECT", "products", "SELECT * FROM products WHERE id = ANY($1)"),
    ("UPDATE", "stock", "UPDATE stock SET reserved = reserved + $1 WHERE product_id = $2"),
];

const METHODS: [(&str, &str); 3] =
    [("shop.Currency", "Convert"), ("shop.Shipping", "GetQuote"), ("shop.Payment", "Charge")];

pub(super) fn generate(options: &Options) -> Vec<Request> {
    let fleet = Fleet::new(options.seed, options.services, options.pods);
    (0..options.requests).map(|index| request(options, &fleet, index)).collect()
}

fn request(options: &Options, fleet: &Fleet, index: usize) -> Request {
    let mut random = Random::new(options.seed, 0x0073_7061 << 32 | index as u64);
    let window_start = options.start.0 + index as i64 * WINDOW_NS;
    let mut by_pod: BTreeMap<usize, Vec<Span>> = BTreeMap::new();
    let mut items = 0;
    // Whole traces, so that the request ends within half a trace of what was asked for.
    while items == 0 || items + SPANS_MAX / 4 < options.spans_per_request {
        let start_ns = window_start + random.between(0, WINDOW_NS as u64) as i64;
        let tree = Tree::grow(&mut random, fleet);
        items += tree.drafts.len();
        for (pod, span) in tree.spans(&mut random, start_ns as u64) {
            by_pod.entry(pod).or_default().push(span);
        }
    }
    let resource_spans = by_pod.into_iter().map(|(pod, spans)| ResourceSpans {
        resource: Some(fleet.pods[pod].resource.clone()),
        scope_spans: vec![ScopeSpans {
            scope: scope("io.opentelemetry.instrumentation"),
            spans,
            ..Default::default()
        }],
        ..Default::default()
    });
    let request = ExportTraceServiceRequest { resource_spans: resource_spans.collect() };
    let items = items as u64;
    Request { bytes: request.encode_to_vec(), items, samples: items, lane: index }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    HttpServer,
    HttpClient,
    RpcServer,
    RpcClient,
    Database,
    Producer,
    Consumer,
    Internal,
}

impl Operation {
    fn kind(self) -> SpanKind {
        match self {
            Operation::HttpServer | Operation::RpcServer => SpanKind::Server,
            Operation::HttpClient | Operation::RpcClient | Operation::Database => SpanKind::Client,
            Operation::Producer => SpanKind::Producer,
            Operation::Consumer => SpanKind::Consumer,
            Operation::Internal => SpanKind::Internal,
        }
    }

    /// What the call arrives as on the other side, for operations that leave the process.
    fn other_side(self) -> Option<Self> {
        match self {
            Operation::HttpClient => Some(Operation::HttpServer),
            Operation::RpcClient => Some(Operation::RpcServer),
            Operation::Producer => Some(Operation::Consumer),
            _ => None,
        }
    }

    /// Whether other spans happen inside of it, in its process.
    fn is_host(self) -> bool {
        !matches!(self.kind(), SpanKind::Client | SpanKind::Producer)
    }
}

/// A span before its text is made.
#[derive(Debug, Clone, Copy)]
struct Draft {
    operation: Operation,
    parent: Option<usize>,
    pod: usize,
    /// Which route, query or method; both sides of a call have the same.
    choice: usize,
    start_ns: u64,
    duration_ns: u64,
    has_failed: bool,
}

/// The spans of one trace, parents before children.
#[derive(Debug)]
struct Tree {
    drafts: Vec<Draft>,
    /// The span that threw.
    thrower: Option<usize>,
}

impl Tree {
    fn grow(random: &mut Random, fleet: &Fleet) -> Self {
        let range = (SPANS_MAX - SPANS_MIN + 1) as f64;
        // Most trees are small: the mean is near 21.
        let count = SPANS_MIN + (range * random.fraction().powf(1.6)) as usize;
        let slow = if random.chance(15) { 20 } else { 1 };
        let mut drafts = vec![Draft {
            operation: Operation::HttpServer,
            parent: None,
            pod: random.index(fleet.pods.len()),
            choice: random.index(60),
            start_ns: 0,
            duration_ns: random.between(20_000_000, 400_000_000) * slow,
            has_failed: false,
        }];
        while drafts.len() < count {
            let hosts = drafts.iter().filter(|draft| draft.operation.is_host()).count();
            let host = random.index(hosts);
            let host = (0..drafts.len()).filter(|i| drafts[*i].operation.is_host()).nth(host);
            let parent = host.unwrap_or(0);
            let operation = match random.between(0, 100) {
                _ if drafts.len() + 1 == count => Operation::Database,
                0..35 => Operation::Database,
                35..60 => Operation::HttpClient,
                60..75 => Operation::RpcClient,
                75..82 => Operation::Producer,
                _ => Operation::Internal,
            };
            let child = inside(random, parent, &drafts[parent], operation);
            drafts.push(child);
            if let Some(other_side) = operation.other_side() {
                let mut other = child;
                other.parent = Some(drafts.len() - 1);
                other.operation = other_side;
                other.pod = random.index(fleet.pods.len());
                other.start_ns += child.duration_ns / 20;
                other.duration_ns = child.duration_ns / 10 * 9;
                drafts.push(other);
            }
        }
        let thrower = random.chance(30).then(|| random.index(drafts.len()));
        let mut climbing = thrower;
        while let Some(index) = climbing {
            drafts[index].has_failed = true;
            climbing = drafts[index].parent;
        }
        Tree { drafts, thrower }
    }

    /// The spans with the pod of each.
    fn spans(&self, random: &mut Random, root_start_ns: u64) -> Vec<(usize, Span)> {
        let trace_id = random.trace_id();
        let ids: Vec<_> = self.drafts.iter().map(|_| random.span_id()).collect();
        let mut spans = Vec::with_capacity(self.drafts.len());
        for (index, draft) in self.drafts.iter().enumerate() {
            let start = root_start_ns + draft.start_ns;
            let (name, attributes) = describe(random, draft);
            let (mut events, mut status) = (Vec::new(), None);
            if draft.has_failed {
                let message = "the upstream call failed".to_owned();
                status = Some(Status { message, code: StatusCode::Error as i32 });
            }
            if self.thrower == Some(index) {
                events.push(exception(start + draft.duration_ns));
            } else if random.chance(50) {
                events.push(Event {
                    time_unix_nano: start + draft.duration_ns / 2,
                    name: "cache.miss".to_owned(),
                    attributes: vec![text("cache.name", "products")],
                    ..Default::default()
                });
            }
            let span = Span {
                trace_id: trace_id.clone(),
                span_id: ids[index].clone(),
                parent_span_id: draft.parent.map(|at| ids[at].clone()).unwrap_or_default(),
                flags: 0x101,
                name,
                kind: draft.operation.kind() as i32,
                start_time_unix_nano: start,
                end_time_unix_nano: start + draft.duration_ns,
                attributes,
                events,
                status,
                ..Default::default()
            };
            spans.push((draft.pod, span));
        }
        spans
    }
}

/// A child that begins in the first half of its parent and ends before it.
fn inside(random: &mut Random, index: usize, parent: &Draft, operation: Operation) -> Draft {
    let duration = parent.duration_ns as f64;
    Draft {
        operation,
        parent: Some(index),
        pod: parent.pod,
        choice: random.index(60),
        start_ns: parent.start_ns + (duration * 0.5 * random.fraction()) as u64,
        duration_ns: (duration * (0.1 + 0.35 * random.fraction())) as u64,
        has_failed: false,
    }
}

fn exception(at: u64) -> Event {
    let frames = "\n\tat com.example.shop.PaymentClient.charge(PaymentClient.java:118)".repeat(6);
    Event {
        time_unix_nano: at,
        name: "exception".to_owned(),
        attributes: vec![
            text("exception.type", "java.net.SocketTimeoutException"),
            text("exception.message", "Read timed out"),
            text(
                "exception.stacktrace",
                format!("java.net.SocketTimeoutException: Read timed out{frames}"),
            ),
            boolean("exception.escaped", true),
        ],
        ..Default::default()
    }
}

/// Name and attributes, after the semantic conventions.
fn describe(random: &mut Random, draft: &Draft) -> (String, Vec<KeyValue>) {
    let status = if draft.has_failed { 500 } else { 200 };
    match draft.operation {
        Operation::HttpServer => {
            let (method, route) = ROUTES[draft.choice % ROUTES.len()];
            let path = route.replace("{id}", &random.between(1, 100_000).to_string());
            let attributes = vec![
                text("http.request.method", method),
                text("http.route", route),
                text("url.path", path),
                text("url.scheme", "https"),
                text("server.address", "shop.example.com"),
                int("http.response.status_code", status),
                text("client.address", format!("10.0.{}.7", random.between(0, 256))),
                text("user_agent.original", "okhttp/4.12.0"),
                text("network.protocol.version", "2"),
            ];
            (format!("{method} {route}"), attributes)
        }
        Operation::HttpClient => {
            let (method, route) = ROUTES[draft.choice % ROUTES.len()];
            let attributes = vec![
                text("http.request.method", method),
                text("url.full", format!("https://shop.shop.svc:8443{route}")),
                text("server.address", "shop.shop.svc"),
                int("server.port", 8443),
                int("http.response.status_code", status),
                text("network.protocol.version", "2"),
            ];
            (method.to_owned(), attributes)
        }
        Operation::RpcServer | Operation::RpcClient => {
            let (service, method) = METHODS[draft.choice % METHODS.len()];
            let attributes = vec![
                text("rpc.system", "grpc"),
                text("rpc.service", service),
                text("rpc.method", method),
                int("rpc.grpc.status_code", if draft.has_failed { 13 } else { 0 }),
                text("server.address", "rpc.shop.svc"),
                int("server.port", 9090),
            ];
            (format!("{service}/{method}"), attributes)
        }
        Operation::Database => {
            let (operation, table, query) = QUERIES[draft.choice % QUERIES.len()];
            let attributes = vec![
                text("db.system.name", "postgresql"),
                text("db.namespace", "shop"),
                text("db.operation.name", operation),
                text("db.collection.name", table),
                text("db.query.text", query),
                text("server.address", "orders-db.shop.svc"),
                int("server.port", 5432),
            ];
            (format!("{operation} {table}"), attributes)
        }
        Operation::Producer | Operation::Consumer => {
            let is_producer = draft.operation == Operation::Producer;
            let verb = if is_producer { "send" } else { "process" };
            let attributes = vec![
                text("messaging.system", "kafka"),
                text("messaging.destination.name", "orders"),
                text("messaging.operation.type", verb),
                text("messaging.message.id", format!("{:016x}", random.next())),
                int("messaging.kafka.offset", random.between(0, 90_000_000) as i64),
                text("messaging.destination.partition.id", (draft.choice % 12).to_string()),
            ];
            (format!("{verb} orders"), attributes)
        }
        Operation::Internal => {
            let attributes = vec![
                int("thread.id", random.between(1, 200) as i64),
                text("thread.name", "worker"),
                text("code.function.name", "com.example.shop.PriceCalculator.total"),
            ];
            ("PriceCalculator.total".to_owned(), attributes)
        }
    }
}
