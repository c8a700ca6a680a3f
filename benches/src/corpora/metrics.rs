//! Metrics: every pod reports the same instruments every step, all sums cumulative.
//!
//! One pod in eight is replaced halfway, as a rollout would: its series end and others begin.

use prost::Message as _;
use proto::generated::opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest;
use proto::generated::opentelemetry::proto::common::v1::KeyValue;
use proto::generated::opentelemetry::proto::metrics::v1::exponential_histogram_data_point::Buckets;
use proto::generated::opentelemetry::proto::metrics::v1::metric::Data;
use proto::generated::opentelemetry::proto::metrics::v1::number_data_point::Value;
use proto::generated::opentelemetry::proto::metrics::v1::{
    AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};

use super::attributes::{int, scope, text};
use super::fleet::Pod;
use super::random::Random;
use super::{Options, Request, Shape};

const BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Buckets of an exponential histogram, at scale 3 from about 1 ms to 32 ms.
const EXPONENTIAL_BUCKETS: usize = 40;
const EXPONENTIAL_OFFSET: i32 = -80;

/// Points come up to this much after their step.
const JITTER_NS: u64 = 2_000_000;

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// How many requests one step of the whole fleet takes.
pub(super) fn group_count(options: &Options) -> usize {
    let pods = options.pods.max(1);
    let points = instruments(options).iter().map(|one| one.attributes.len()).sum::<usize>();
    let pods_per_request = (options.points_per_request / points).clamp(1, pods);
    let lanes = options.lanes.clamp(1, pods);
    let groups = pods.div_ceil(pods_per_request).next_multiple_of(lanes);
    // With few pods, whole lanes count for more than the size of a request.
    if groups > pods { pods / lanes * lanes } else { groups }
}

pub(super) fn generate(options: &Options) -> Vec<Request> {
    let instruments = instruments(options);
    let pods = options.pods.max(1);
    let groups = group_count(options);
    let steps = options.requests.div_ceil(groups);
    let mut states: Vec<State> = (0..pods)
        .map(|index| State::new(options, index, 0, options.start.0, &instruments))
        .collect();

    let mut requests = Vec::with_capacity(options.requests);
    for step in 0..steps {
        let at = options.start.0 + step as i64 * options.step_ns;
        for group in 0..groups {
            if requests.len() == options.requests {
                return requests;
            }
            // Groups differ by one pod at most.
            let members = group * pods / groups..(group + 1) * pods / groups;
            let mut request = ExportMetricsServiceRequest::default();
            for index in members {
                if index % 8 == 0 && step > 0 && step == steps / 2 {
                    states[index] = State::new(options, index, 1, at, &instruments);
                }
                request.resource_metrics.push(states[index].report(at, &instruments));
            }
            requests.push(encode(&request, group));
        }
    }
    requests
}

fn encode(request: &ExportMetricsServiceRequest, lane: usize) -> Request {
    let (mut items, mut samples) = (0, 0);
    let metrics = request.resource_metrics.iter().flat_map(|group| &group.scope_metrics);
    for metric in metrics.flat_map(|scope| &scope.metrics) {
        let (points, samples_each) = match &metric.data {
            Some(Data::Gauge(gauge)) => (gauge.data_points.len(), 1),
            Some(Data::Sum(sum)) => (sum.data_points.len(), 1),
            Some(Data::Histogram(histogram)) => {
                (histogram.data_points.len(), BOUNDS.len() as u64 + 3)
            }
            Some(Data::ExponentialHistogram(histogram)) => (histogram.data_points.len(), 1),
            Some(Data::Summary(_)) | None => (0, 0),
        };
        items += points as u64;
        samples += points as u64 * samples_each;
    }
    Request { bytes: request.encode_to_vec(), items, samples, lane }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Histogram,
    Exponential,
    Counter { is_integer: bool },
    UpDown,
    Gauge,
}

/// A metric of every pod, with the attributes of each of its points.
#[derive(Debug)]
struct Instrument {
    name: &'static str,
    unit: &'static str,
    kind: Kind,
    attributes: Vec<Vec<KeyValue>>,
}

/// Names and attributes are those of OpenTelemetry's semantic conventions where they exist.
fn instruments(options: &Options) -> Vec<Instrument> {
    let mut instruments: Vec<_> = match options.shape {
        Shape::Full => histograms().into_iter().chain(counters()).chain(gauges()).collect(),
        Shape::Numbers => numbers(),
    };
    if options.exponential && options.shape == Shape::Full {
        instruments.extend(exponential_histograms());
    }
    instruments
}

fn instrument(
    name: &'static str,
    unit: &'static str,
    kind: Kind,
    attributes: Vec<Vec<KeyValue>>,
) -> Instrument {
    Instrument { name, unit, kind, attributes }
}

/// One point for each value of one attribute.
fn by(key: &str, values: &[&str]) -> Vec<Vec<KeyValue>> {
    values.iter().map(|value| vec![text(key, *value)]).collect()
}

/// One point for each pair of values.
fn by_both(first: (&str, &[&str]), second: (&str, &[&str])) -> Vec<Vec<KeyValue>> {
    let pairs = first.1.iter().flat_map(|one| second.1.iter().map(move |two| (*one, *two)));
    pairs.map(|(one, two)| vec![text(first.0, one), text(second.0, two)]).collect()
}

fn histograms() -> Vec<Instrument> {
    let route = |method: &str, route: &str, status: i64| {
        vec![
            text("http.request.method", method),
            text("http.route", route),
            int("http.response.status_code", status),
            text("url.scheme", "https"),
        ]
    };
    let call = |address: &str| {
        vec![
            text("http.request.method", "POST"),
            text("server.address", address),
            int("http.response.status_code", 200),
        ]
    };
    let query = |operation: &str| {
        vec![
            text("db.system.name", "postgresql"),
            text("db.operation.name", operation),
            text("db.collection.name", "orders"),
        ]
    };
    vec![
        instrument(
            "http.server.request.duration",
            "s",
            Kind::Histogram,
            vec![
                route("GET", "/api/v1/products/{id}", 200),
                route("GET", "/api/v1/products/{id}", 404),
                route("GET", "/api/v1/cart", 200),
                route("POST", "/api/v1/cart", 201),
                route("POST", "/api/v1/orders", 201),
                route("POST", "/api/v1/orders", 500),
            ],
        ),
        instrument(
            "http.client.request.duration",
            "s",
            Kind::Histogram,
            vec![call("payment.shop.svc"), call("inventory.shop.svc")],
        ),
        instrument(
            "db.client.operation.duration",
            "s",
            Kind::Histogram,
            vec![query("SELECT"), query("INSERT")],
        ),
    ]
}

fn exponential_histograms() -> Vec<Instrument> {
    vec![
        instrument(
            "rpc.server.duration",
            "ms",
            Kind::Exponential,
            by("rpc.method", &["GetQuote", "PlaceOrder"]),
        ),
        instrument(
            "messaging.process.duration",
            "s",
            Kind::Exponential,
            by("messaging.destination.name", &["orders", "invoices"]),
        ),
    ]
}

fn counters() -> Vec<Instrument> {
    const INTEGER: Kind = Kind::Counter { is_integer: true };
    const DOUBLE: Kind = Kind::Counter { is_integer: false };
    let directions = ("network.io.direction", &["transmit", "receive"][..]);
    let interfaces = ("network.interface.name", &["eth0", "lo"][..]);
    let disk = ("disk.io.direction", &["read", "write"][..]);
    let devices = ("system.device", &["nvme0n1", "nvme1n1"][..]);
    let caches = ("cache.name", &["products", "prices", "sessions"][..]);
    let results = ("cache.result", &["hit", "miss"][..]);
    let states = ["created", "paid", "shipped", "cancelled"];
    let errors = ["timeout", "connection_refused", "invalid_argument", "internal"];
    let queues = ["orders", "invoices", "emails"];
    vec![
        instrument("process.cpu.time", "s", DOUBLE, by("cpu.mode", &["user", "system", "wait"])),
        instrument("system.network.io", "By", INTEGER, by_both(directions, interfaces)),
        instrument("system.disk.io", "By", INTEGER, by_both(disk, devices)),
        instrument("shop.orders", "{order}", INTEGER, by("order.state", &states)),
        instrument("cache.requests", "{request}", INTEGER, by_both(caches, results)),
        instrument(
            "messaging.client.sent.messages",
            "{message}",
            INTEGER,
            by("messaging.destination.name", &queues),
        ),
        instrument("shop.errors", "{error}", INTEGER, by("error.type", &errors)),
    ]
}

fn gauges() -> Vec<Instrument> {
    let pools = [
        "G1 Eden Space",
        "G1 Survivor Space",
        "G1 Old Gen",
        "Metaspace",
        "CodeCache",
        "Compressed Class Space",
    ];
    let connections = ("db.client.connection.pool.name", &["orders", "accounts"][..]);
    let states = ("db.client.connection.state", &["idle", "used"][..]);
    let threads = ["runnable", "blocked", "waiting", "timed_waiting"];
    vec![
        instrument("process.memory.usage", "By", Kind::UpDown, vec![Vec::new()]),
        instrument("process.memory.virtual", "By", Kind::UpDown, vec![Vec::new()]),
        instrument("jvm.memory.used", "By", Kind::UpDown, by("jvm.memory.pool.name", &pools)),
        instrument("jvm.memory.committed", "By", Kind::UpDown, by("jvm.memory.pool.name", &pools)),
        instrument(
            "db.client.connection.count",
            "{connection}",
            Kind::UpDown,
            by_both(connections, states),
        ),
        instrument("jvm.thread.count", "{thread}", Kind::UpDown, by("jvm.thread.state", &threads)),
        instrument("queue.depth", "{message}", Kind::Gauge, by("queue.name", &["orders", "mail"])),
        instrument("process.open_file_descriptor.count", "{count}", Kind::Gauge, vec![Vec::new()]),
        instrument("jvm.cpu.recent_utilization", "1", Kind::Gauge, vec![Vec::new()]),
    ]
}

fn numbers() -> Vec<Instrument> {
    let shards = ("shard", &["0", "1", "2", "3", "4", "5", "6", "7"][..]);
    let sides = ("side", &["left", "right"][..]);
    ["queue.depth", "queue.age", "pool.used", "pool.free"]
        .map(|name| instrument(name, "1", Kind::Gauge, by_both(shards, sides)))
        .into()
}

/// The values of one pod, in the order of its points.
struct State {
    random: Random,
    pod: Pod,
    started_ns: u64,
    /// When in its step the pod reports.
    phase_ns: i64,
    points: Vec<PointState>,
}

#[derive(Default)]
struct PointState {
    value: f64,
    sum: f64,
    counts: Vec<u64>,
}

impl State {
    fn new(
        options: &Options,
        index: usize,
        generation: u64,
        started_ns: i64,
        instruments: &[Instrument],
    ) -> Self {
        let part = (index as u64) << 1 | generation;
        let mut random = Random::new(options.seed, part);
        let phase_end = u64::try_from(options.step_ns).unwrap_or(0).saturating_sub(JITTER_NS);
        let phase_ns = random.between(0, phase_end) as i64;
        let mut points = Vec::new();
        for instrument in instruments {
            for _ in &instrument.attributes {
                let (value, buckets) = match instrument.kind {
                    Kind::Histogram => (0.0, BOUNDS.len() + 1),
                    Kind::Exponential => (0.0, EXPONENTIAL_BUCKETS),
                    Kind::Counter { .. } => (0.0, 0),
                    Kind::UpDown | Kind::Gauge => (random.between(10, 5_000) as f64, 0),
                };
                points.push(PointState { value, sum: 0.0, counts: vec![0; buckets] });
            }
        }
        let pod = Pod::new(options.seed, options.services.max(1), index, generation);
        State { random, pod, started_ns: started_ns as u64, phase_ns, points }
    }

    /// What the pod reports at the step that begins at `step_ns`.
    fn report(&mut self, step_ns: i64, instruments: &[Instrument]) -> ResourceMetrics {
        let jitter = self.random.between(0, JITTER_NS) as i64;
        let at = (step_ns + self.phase_ns + jitter) as u64;
        let mut states = self.points.iter_mut();
        let mut metrics = Vec::with_capacity(instruments.len());
        for instrument in instruments {
            let states = states.by_ref().take(instrument.attributes.len());
            let points = instrument.attributes.iter().zip(states);
            let (random, started) = (&mut self.random, self.started_ns);
            let data = match instrument.kind {
                Kind::Histogram => Data::Histogram(Histogram {
                    data_points: points
                        .map(|(pairs, state)| histogram_point(pairs, state, random, started, at))
                        .collect(),
                    aggregation_temporality: CUMULATIVE,
                }),
                Kind::Exponential => Data::ExponentialHistogram(ExponentialHistogram {
                    data_points: points
                        .map(|(pairs, state)| exponential_point(pairs, state, random, started, at))
                        .collect(),
                    aggregation_temporality: CUMULATIVE,
                }),
                kind => {
                    let data_points = points
                        .map(|(pairs, state)| number_point(kind, pairs, state, random, started, at))
                        .collect();
                    if kind == Kind::Gauge {
                        Data::Gauge(Gauge { data_points })
                    } else {
                        Data::Sum(Sum {
                            data_points,
                            aggregation_temporality: CUMULATIVE,
                            is_monotonic: kind != Kind::UpDown,
                        })
                    }
                }
            };
            metrics.push(Metric {
                name: instrument.name.to_owned(),
                description: format!("What {} counts in a pod.", instrument.name),
                unit: instrument.unit.to_owned(),
                data: Some(data),
                ..Default::default()
            });
        }
        let scope = ScopeMetrics {
            scope: scope("io.opentelemetry.runtime"),
            metrics,
            ..Default::default()
        };
        let resource = Some(self.pod.resource.clone());
        ResourceMetrics { resource, scope_metrics: vec![scope], ..Default::default() }
    }
}

fn number_point(
    kind: Kind,
    attributes: &[KeyValue],
    state: &mut PointState,
    random: &mut Random,
    started_ns: u64,
    at: u64,
) -> NumberDataPoint {
    let value = match kind {
        Kind::Counter { is_integer: true } => {
            // Many counters of a real pod stand still most of the time.
            if random.chance(700) {
                state.value += random.between(1, 400) as f64;
            }
            Value::AsInt(state.value as i64)
        }
        Kind::Counter { is_integer: false } => {
            state.value += random.between(0, 15_000) as f64 / 1_000.0;
            Value::AsDouble(state.value)
        }
        Kind::UpDown => {
            state.value = (state.value + random.between(0, 41) as f64 - 20.0).max(0.0);
            Value::AsInt(state.value as i64)
        }
        _ => {
            state.value = (state.value + (random.fraction() - 0.5) * 10.0).max(0.0);
            Value::AsDouble((state.value * 100.0).round() / 100.0)
        }
    };
    NumberDataPoint {
        attributes: attributes.to_vec(),
        start_time_unix_nano: if kind == Kind::Gauge { 0 } else { started_ns },
        time_unix_nano: at,
        value: Some(value),
        ..Default::default()
    }
}

fn histogram_point(
    attributes: &[KeyValue],
    state: &mut PointState,
    random: &mut Random,
    started_ns: u64,
    at: u64,
) -> HistogramDataPoint {
    observe(state, random, 0.06);
    HistogramDataPoint {
        attributes: attributes.to_vec(),
        start_time_unix_nano: started_ns,
        time_unix_nano: at,
        count: state.counts.iter().sum(),
        sum: Some(state.sum),
        bucket_counts: state.counts.clone(),
        explicit_bounds: BOUNDS.to_vec(),
        min: Some(0.000_4),
        max: Some(4.2),
        ..Default::default()
    }
}

fn exponential_point(
    attributes: &[KeyValue],
    state: &mut PointState,
    random: &mut Random,
    started_ns: u64,
    at: u64,
) -> ExponentialHistogramDataPoint {
    observe(state, random, 0.01);
    let bucket_counts = state.counts.clone();
    ExponentialHistogramDataPoint {
        attributes: attributes.to_vec(),
        start_time_unix_nano: started_ns,
        time_unix_nano: at,
        count: bucket_counts.iter().sum(),
        sum: Some(state.sum),
        scale: 3,
        positive: Some(Buckets { offset: EXPONENTIAL_OFFSET, bucket_counts }),
        min: Some(0.001),
        max: Some(0.031),
        ..Default::default()
    }
}

/// Adds the observations of one step to a few neighbouring buckets.
fn observe(state: &mut PointState, random: &mut Random, mean_s: f64) {
    let center = random.index(state.counts.len());
    for distance in 0..4 {
        let observed = random.between(0, 60);
        let bucket = (center + distance).min(state.counts.len() - 1);
        state.counts[bucket] += observed;
        state.sum += observed as f64 * mean_s * (0.5 + random.fraction());
    }
}
