//! What it costs to read an export request: our walkers, prost, JSON, and unpacking before either.
//!
//! Walkers and prost do the same work on the same bytes as far as they can: the walkers read every
//! field and attribute and check every text, prost makes its owned types. Throughput is in items,
//! so that criterion's `elem/s` are data points, log records or spans; one over it is time per
//! item.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot read its own input has no result")]

use std::hint::black_box;
use std::io::{Read as _, Write as _};

use benches::corpora::{Corpus, Options, Shape};
use benches::json;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message as _;
use proto::Signal;
use proto::generated::opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest;
use proto::generated::opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest;
use proto::generated::opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;
use proto::otlp::{Attributes, LogsRef, MetricDataRef, MetricsRef, TracesRef, ValueRef};

/// A request of one corpus, with its name in the results.
struct Case {
    name: &'static str,
    signal: Signal,
    bytes: Vec<u8>,
    items: u64,
}

fn cases() -> Vec<Case> {
    let full = Options { requests: 1, ..Options::default() };
    let numbers = Options { shape: Shape::Numbers, ..full.clone() };
    [
        ("metrics", Signal::Metrics, &full),
        ("numbers", Signal::Metrics, &numbers),
        ("logs", Signal::Logs, &full),
        ("traces", Signal::Traces, &full),
    ]
    .into_iter()
    .map(|(name, signal, options)| {
        let request = Corpus::generate(signal, options).requests.remove(0);
        Case { name, signal, bytes: request.bytes, items: request.items }
    })
    .collect()
}

fn group<'a>(criterion: &'a mut Criterion, name: &str, items: u64) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(items));
    group
}

/// Decoding protobuf.
fn protobuf(criterion: &mut Criterion) {
    for case in cases() {
        let mut group = group(criterion, &format!("decode/{}", case.name), case.items);
        let bytes = case.bytes.as_slice();
        group.bench_function("walker", |bencher| {
            bencher.iter(|| walk(case.signal, black_box(bytes)));
        });
        group.bench_function("prost", |bencher| match case.signal {
            Signal::Metrics => {
                bencher.iter(|| ExportMetricsServiceRequest::decode(black_box(bytes)).unwrap());
            }
            Signal::Logs => {
                bencher.iter(|| ExportLogsServiceRequest::decode(black_box(bytes)).unwrap());
            }
            Signal::Traces => {
                bencher.iter(|| ExportTraceServiceRequest::decode(black_box(bytes)).unwrap());
            }
        });
        group.finish();
    }
}

/// Decoding OTLP/JSON into prost's types, and on into protobuf for the walkers.
fn json(criterion: &mut Criterion) {
    for case in cases() {
        let bytes = case.bytes.as_slice();
        let text = match case.signal {
            Signal::Metrics => json::metrics(&ExportMetricsServiceRequest::decode(bytes).unwrap()),
            Signal::Logs => json::logs(&ExportLogsServiceRequest::decode(bytes).unwrap()),
            Signal::Traces => json::traces(&ExportTraceServiceRequest::decode(bytes).unwrap()),
        };
        let mut group = group(criterion, &format!("json/{}", case.name), case.items);
        let text = text.as_bytes();
        group.bench_function("decode", |bencher| match case.signal {
            Signal::Metrics => {
                bencher.iter(|| proto::json::decode_metrics(black_box(text)).unwrap());
            }
            Signal::Logs => bencher.iter(|| proto::json::decode_logs(black_box(text)).unwrap()),
            Signal::Traces => {
                bencher.iter(|| proto::json::decode_traces(black_box(text)).unwrap());
            }
        });
        group.bench_function("to_protobuf", |bencher| {
            bencher.iter(|| proto::json::to_protobuf(case.signal, black_box(text)).unwrap());
        });
        group.finish();
    }
}

/// Unpacking bodies at the levels that senders use, with the readers of the collector.
fn unpack(criterion: &mut Criterion) {
    for case in cases() {
        let bytes = case.bytes.as_slice();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        let gzip = encoder.finish().unwrap();
        let zstd = zstd::bulk::compress(bytes, 1).unwrap();
        let mut group = group(criterion, &format!("unpack/{}", case.name), case.items);
        group.bench_function("gzip", |bencher| {
            bencher.iter(|| {
                let mut unpacked = Vec::with_capacity(bytes.len());
                let decoder = flate2::read::MultiGzDecoder::new(black_box(&*gzip));
                decoder.take(bytes.len() as u64).read_to_end(&mut unpacked).unwrap();
                unpacked
            });
        });
        group.bench_function("zstd", |bencher| {
            bencher.iter(|| {
                let mut unpacked = Vec::with_capacity(bytes.len());
                let decoder = zstd::stream::read::Decoder::new(black_box(&*zstd)).unwrap();
                decoder.take(bytes.len() as u64).read_to_end(&mut unpacked).unwrap();
                unpacked
            });
        });
        group.finish();
    }
}

/// Reads everything; the sum keeps the compiler from leaving any of it out.
fn walk(signal: Signal, bytes: &[u8]) -> u64 {
    match signal {
        Signal::Metrics => walk_metrics(bytes),
        Signal::Logs => walk_logs(bytes),
        Signal::Traces => walk_traces(bytes),
    }
}

fn walk_metrics(bytes: &[u8]) -> u64 {
    let mut sum = 0_u64;
    for resource in MetricsRef::new(bytes).resource_metrics() {
        let resource = resource.unwrap();
        sum = sum.wrapping_add(walk_attributes(resource.resource.attributes()));
        for scope in resource.scope_metrics() {
            for metric in scope.unwrap().metrics() {
                let metric = metric.unwrap();
                sum = sum.wrapping_add((metric.name.len() + metric.unit.len()) as u64);
                match metric.data {
                    MetricDataRef::Gauge { points } | MetricDataRef::Sum { points, .. } => {
                        for point in points {
                            let point = point.unwrap();
                            black_box(point.value);
                            let times = point.time_unix_nano ^ point.start_time_unix_nano;
                            sum = sum.wrapping_add(times);
                            sum = sum.wrapping_add(walk_attributes(point.attributes()));
                        }
                    }
                    MetricDataRef::Histogram { points, .. } => {
                        for point in points {
                            let point = point.unwrap();
                            black_box((point.sum, point.min, point.max));
                            black_box(point.explicit_bounds().sum::<f64>());
                            sum = sum.wrapping_add(point.bucket_counts().sum());
                            sum = sum.wrapping_add(walk_attributes(point.attributes()));
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    sum
}

fn walk_logs(bytes: &[u8]) -> u64 {
    let mut sum = 0_u64;
    for resource in LogsRef::new(bytes).resource_logs() {
        let resource = resource.unwrap();
        sum = sum.wrapping_add(walk_attributes(resource.resource.attributes()));
        for scope in resource.scope_logs() {
            for record in scope.unwrap().log_records() {
                let record = record.unwrap();
                sum = sum.wrapping_add(record.time_unix_nano);
                sum = sum.wrapping_add(record.body.map_or(0, walk_value));
                sum = sum.wrapping_add(walk_attributes(record.attributes()));
            }
        }
    }
    sum
}

fn walk_traces(bytes: &[u8]) -> u64 {
    let mut sum = 0_u64;
    for resource in TracesRef::new(bytes).resource_spans() {
        let resource = resource.unwrap();
        sum = sum.wrapping_add(walk_attributes(resource.resource.attributes()));
        for scope in resource.scope_spans() {
            for span in scope.unwrap().spans() {
                let span = span.unwrap();
                sum = sum.wrapping_add(span.end_time_unix_nano ^ span.start_time_unix_nano);
                sum = sum.wrapping_add((span.name.len() + span.trace_id.len()) as u64);
                sum = sum.wrapping_add(walk_attributes(span.attributes()));
                for event in span.events() {
                    let event = event.unwrap();
                    sum = sum.wrapping_add(walk_attributes(event.attributes()));
                }
            }
        }
    }
    sum
}

fn walk_attributes(attributes: Attributes<'_>) -> u64 {
    let sizes = attributes.map(|pair| {
        let pair = pair.unwrap();
        (pair.key.len() as u64).wrapping_add(walk_value(pair.value))
    });
    sizes.fold(0, u64::wrapping_add)
}

/// Lists and maps are not walked: no corpus has them.
fn walk_value(value: ValueRef<'_>) -> u64 {
    match value {
        ValueRef::Str(text) => text.len() as u64,
        ValueRef::Int(value) => value as u64,
        ValueRef::Double(value) => value.to_bits(),
        ValueRef::Bool(value) => u64::from(value),
        _ => 0,
    }
}

criterion_group!(all, protobuf, json, unpack);
criterion_main!(all);
