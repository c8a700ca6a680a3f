//! The shop: frontend, cart, checkout, payment, inventory, and the calls between them.
//!
//! An order is planned as a tree of calls with durations, then sent as spans, logs and measurements
//! with the times of the plan. A page view has 8 spans and more, a checkout up to 40.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::TimestampNs;
use opentelemetry::KeyValue;
use opentelemetry::logs::Severity;
use opentelemetry::trace::{SpanContext, SpanKind};
use parking_lot::Mutex;

use super::random::Random;
use super::services::{Service, SpanSpec};

const NAMES: [&str; 5] = ["frontend", "cart", "checkout", "payment", "inventory"];
const FRONTEND: usize = 0;
const CART: usize = 1;
const CHECKOUT: usize = 2;
const PAYMENT: usize = 3;
const INVENTORY: usize = 4;

const PRODUCTS: [&str; 8] =
    ["teapot", "lantern", "signal lamp", "whistle", "timetable", "ticket punch", "cap", "flag"];

/// One call in the plan of an order.
struct Call {
    service: usize,
    name: String,
    kind: SpanKind,
    /// Time of its own, before and after its children.
    own: Duration,
    attributes: Vec<KeyValue>,
    error: Option<&'static str>,
    log: Option<(Severity, String)>,
    children: Vec<Call>,
}

impl Call {
    fn new(service: usize, name: impl Into<String>, kind: SpanKind, own_us: u64) -> Self {
        Call {
            service,
            name: name.into(),
            kind,
            own: Duration::from_micros(own_us),
            attributes: Vec::new(),
            error: None,
            log: None,
            children: Vec::new(),
        }
    }

    fn attribute(mut self, key: &'static str, value: impl Into<opentelemetry::Value>) -> Self {
        self.attributes.push(KeyValue::new(key, value));
        self
    }

    fn log(mut self, severity: Severity, line: String) -> Self {
        self.log = Some((severity, line));
        self
    }

    fn duration(&self) -> Duration {
        self.own + self.children.iter().map(Call::duration).sum::<Duration>()
    }
}

/// The five services and what they have done.
pub(super) struct Shop {
    services: Vec<Arc<Service>>,
    random: Mutex<Random>,
    orders: AtomicU64,
    failures: AtomicU64,
}

impl Shop {
    /// Opens all services towards the collector.
    pub(super) fn open(collector: SocketAddr, pace: Duration) -> anyhow::Result<Self> {
        let services = NAMES.iter().map(|name| Ok(Arc::new(Service::open(name, collector, pace)?)));
        Ok(Shop {
            services: services.collect::<anyhow::Result<_>>()?,
            random: Mutex::new(Random::new(7)),
            orders: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        })
    }

    pub(super) fn orders(&self) -> u64 {
        self.orders.load(Ordering::Relaxed)
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Plays one customer whose request ends at `now`.
    pub(super) fn order(&self, now: TimestampNs, payment_fails: bool) {
        let mut random = self.random.lock();
        let number = self.orders.fetch_add(1, Ordering::Relaxed) + 1;
        let plan = if random.chance(60) {
            browse(&mut random)
        } else {
            let fails = payment_fails && random.chance(34);
            self.failures.fetch_add(u64::from(fails), Ordering::Relaxed);
            checkout(&mut random, number, fails)
        };
        drop(random);
        let duration_ns = i64::try_from(plan.duration().as_nanos()).unwrap_or(0);
        self.send(&plan, now.plus_ns(-duration_ns), None);
    }

    /// Sends a call and its children; answers when it ended.
    fn send(&self, call: &Call, start: TimestampNs, parent: Option<&SpanContext>) -> TimestampNs {
        let service = &self.services[call.service];
        let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(0);
        let end = start.plus_ns(nanos(call.duration()));
        let spec = SpanSpec {
            name: call.name.clone(),
            kind: call.kind.clone(),
            start,
            end,
            attributes: call.attributes.clone(),
            error: call.error,
        };
        let context = service.span(spec, parent);
        if let Some((severity, line)) = &call.log {
            let attributes = vec![("shop.operation", call.name.clone().into())];
            service.log(end, *severity, line.clone(), attributes, &context);
        }
        if call.kind == SpanKind::Server {
            let attributes = [
                KeyValue::new("http.route", call.name.clone()),
                KeyValue::new("error", call.error.is_some()),
            ];
            service.requests.add(1, &attributes);
            service.request_seconds.record(call.duration().as_secs_f64(), &attributes[..1]);
            service.level.record(call.children.len() as u64, &[]);
        }
        let mut at = start.plus_ns(nanos(call.own / 2));
        for child in &call.children {
            at = self.send(child, at, Some(&context));
        }
        end
    }

    /// Sends what is left in the SDKs.
    pub(super) async fn close(&self) {
        let stops = self
            .services
            .iter()
            .cloned()
            .map(|service| tokio::task::spawn_blocking(move || service.close()));
        for stop in stops.collect::<Vec<_>>() {
            if stop.await.is_err() {
                tracing::warn!("a service of the shop panicked while it stopped");
            }
        }
    }
}

/// A client span with the server span that answers it.
fn remote(from: usize, to: usize, name: &str, server: Call, random: &mut Random) -> Call {
    let error = server.error;
    let mut client = Call::new(from, name, SpanKind::Client, random.between(300, 1500))
        .attribute("rpc.system", "grpc")
        .attribute("server.address", NAMES[to]);
    client.error = error;
    client.children.push(server);
    client
}

fn server(service: usize, name: &str, random: &mut Random) -> Call {
    Call::new(service, name, SpanKind::Server, random.between(500, 4000))
        .attribute("rpc.method", name.to_owned())
}

fn database(service: usize, system: &'static str, statement: &str, random: &mut Random) -> Call {
    Call::new(
        service,
        statement.split(' ').next().unwrap_or("query"),
        SpanKind::Client,
        random.between(400, 6000),
    )
    .attribute("db.system.name", system)
    .attribute("db.query.text", statement.to_owned())
    .attribute("server.address", system)
}

fn internal(service: usize, name: &str, random: &mut Random) -> Call {
    Call::new(service, name, SpanKind::Internal, random.between(100, 900))
}

fn browse(random: &mut Random) -> Call {
    let product = *random.pick(&PRODUCTS);
    let mut list = server(INVENTORY, "ListProducts", random);
    for i in 0..random.between(2, 6) {
        list.children.push(database(INVENTORY, "postgresql", &format!("SELECT page {i}"), random));
    }
    let mut cart = server(CART, "GetCart", random);
    cart.children.push(database(CART, "redis", "HGETALL cart", random));
    let mut page =
        Call::new(FRONTEND, "GET /products", SpanKind::Server, random.between(2000, 9000))
            .attribute("http.request.method", "GET")
            .attribute("http.route", "/products")
            .attribute("http.response.status_code", 200)
            .attribute("url.path", format!("/products/{product}"))
            .log(Severity::Info, format!("GET /products/{product} 200"));
    page.children.push(internal(FRONTEND, "authenticate", random));
    page.children.push(remote(FRONTEND, INVENTORY, "ListProducts", list, random));
    page.children.push(remote(FRONTEND, CART, "GetCart", cart, random));
    page.children.push(internal(FRONTEND, "render", random));
    page
}

const DECLINED: &str = "card gateway declined: issuer unavailable";

fn checkout(random: &mut Random, order: u64, fails: bool) -> Call {
    let mut cart = server(CART, "GetCart", random);
    cart.children.push(database(CART, "redis", "HGETALL cart", random));

    let mut place =
        server(CHECKOUT, "PlaceOrder", random).attribute("shop.order.id", format!("order-{order}"));
    place.children.push(internal(CHECKOUT, "validate", random));
    for _ in 0..random.between(1, 4) {
        let product = *random.pick(&PRODUCTS);
        let mut reserve = server(INVENTORY, "Reserve", random).attribute("shop.product", product);
        reserve.children.push(database(INVENTORY, "postgresql", "SELECT stock", random));
        reserve.children.push(database(INVENTORY, "postgresql", "UPDATE stock", random));
        reserve = reserve.log(Severity::Debug, format!("reserved one {product} for order-{order}"));
        place.children.push(remote(CHECKOUT, INVENTORY, "Reserve", reserve, random));
    }
    let cents = random.between(500, 20_000);
    let mut charge = server(PAYMENT, "Charge", random)
        .attribute("shop.order.id", format!("order-{order}"))
        .attribute("shop.amount.cents", i64::try_from(cents).unwrap_or(0));
    charge.children.push(internal(PAYMENT, "check fraud", random));
    charge.children.push(database(PAYMENT, "postgresql", "INSERT charge", random));
    let gateway_us =
        if fails { random.between(400_000, 900_000) } else { random.between(9_000, 60_000) };
    let mut gateway = Call::new(PAYMENT, "POST /v1/charges", SpanKind::Client, gateway_us)
        .attribute("http.request.method", "POST")
        .attribute("server.address", "gateway.cards.example")
        .attribute("http.response.status_code", if fails { 503 } else { 200 });
    if fails {
        gateway.error = Some(DECLINED);
        charge.error = Some(DECLINED);
        charge = charge
            .log(Severity::Error, format!("charge of order-{order} declined: issuer unavailable"));
    } else {
        charge = charge.log(Severity::Info, format!("charged order-{order}: {cents} cents"));
    }
    charge.children.push(gateway);
    place.children.push(remote(CHECKOUT, PAYMENT, "Charge", charge, random));
    let mut publish =
        Call::new(CHECKOUT, "orders publish", SpanKind::Producer, random.between(200, 900))
            .attribute("messaging.system", "kafka")
            .attribute("messaging.destination.name", "orders");
    publish.children.push(
        Call::new(INVENTORY, "orders process", SpanKind::Consumer, random.between(500, 3000))
            .attribute("messaging.system", "kafka"),
    );
    place.children.push(publish);
    // Checkout keeps an order whose charge failed and asks the customer again: its own answer is
    // good, so that only payment is red.
    place = match fails {
        true => place.log(Severity::Warn, format!("order-{order} waits for payment")),
        false => place.log(Severity::Info, format!("order-{order} placed")),
    };

    let mut page =
        Call::new(FRONTEND, "POST /checkout", SpanKind::Server, random.between(3000, 9000))
            .attribute("http.request.method", "POST")
            .attribute("http.route", "/checkout")
            .attribute("http.response.status_code", if fails { 202 } else { 200 })
            .log(
                Severity::Info,
                format!("POST /checkout order-{order} {}", if fails { 202 } else { 200 }),
            );
    page.children.push(internal(FRONTEND, "authenticate", random));
    page.children.push(remote(FRONTEND, CART, "GetCart", cart, random));
    page.children.push(remote(FRONTEND, CHECKOUT, "PlaceOrder", place, random));
    page.children.push(internal(FRONTEND, "render", random));
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(call: &Call) -> usize {
        1 + call.children.iter().map(count).sum::<usize>()
    }

    #[test]
    fn traces_have_eight_to_forty_spans() {
        let mut random = Random::new(1);
        for order in 0..500 {
            for plan in [browse(&mut random), checkout(&mut random, order, order % 2 == 0)] {
                assert!((8..=40).contains(&count(&plan)), "{}", count(&plan));
            }
        }
    }
}
