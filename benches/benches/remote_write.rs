//! What remote write costs at the door: a request as its sender packed it, through the router to a
//! sink that knows series by a hash of their labels and forgets samples. So it is negotiation,
//! unpacking, the walk, the rules of labels, and a batch; what a store does with it is not in it.
//!
//! One request has the samples that a Prometheus sends at once, one for each series. Throughput is
//! in samples; one over it is time per sample.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot read its own input has no result")]

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex};

use collector::{Cors, Limits, Receiver, Sinks, Telemetry, Translation, http_router};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::read::{RangeMs, RangeNs};
use model::sample::{MetricMetadata, SeriesId};
use model::write::{LogBatch, SeriesBatch, SpanBatch, WriteOutcome};
use model::{Commit, LogSink, SeriesSink, SpanSink, SystemClock};
use prost::Message as _;
use proto::remote_write::messages::{Sample, v1, v2};
use rustc_hash::FxBuildHasher;
use tower::ServiceExt as _;

const SERIES: usize = 10_000;

/// Series by labels; everything else is taken and forgotten.
#[derive(Default)]
struct Forgetful(Mutex<HashMap<u64, u64, FxBuildHasher>>);

impl SeriesSink for Forgetful {
    fn series_of(&self, labels: &[(&str, &str)]) -> model::Result<SeriesId> {
        let hash = FxBuildHasher.hash_one(labels);
        let mut known = self.0.lock().unwrap();
        let next = known.len() as u64;
        Ok(SeriesId(*known.entry(hash).or_insert(next)))
    }

    fn generation(&self) -> u64 {
        0
    }

    fn accepted_times(&self) -> RangeMs {
        RangeMs::ALL
    }

    fn describe(&self, _metric: &str, _metadata: &MetricMetadata) {}

    fn append(&self, batch: &SeriesBatch) -> model::Result<(WriteOutcome, Commit)> {
        let accepted = batch.points.len() as u64;
        Ok((WriteOutcome { accepted, ..Default::default() }, Commit::done()))
    }
}

impl LogSink for Forgetful {
    fn append(&self, _batch: &LogBatch<'_>) -> model::Result<(WriteOutcome, Commit)> {
        Ok((WriteOutcome::default(), Commit::done()))
    }
}

impl SpanSink for Forgetful {
    fn accepted_starts(&self) -> RangeNs {
        RangeNs::ALL
    }

    fn append(&self, _batch: &SpanBatch<'_>) -> model::Result<(WriteOutcome, Commit)> {
        Ok((WriteOutcome::default(), Commit::done()))
    }
}

/// Ten labels, of which three differ between neighbours.
fn labels(i: usize) -> Vec<(String, String)> {
    let labels = [
        ("__name__", format!("http_requests_{}_total", i % 50)),
        ("cluster", "prod-eu-1".to_owned()),
        ("container", "app".to_owned()),
        ("endpoint", "metrics".to_owned()),
        ("instance", format!("10.0.{}.{}:8080", i / 250 % 250, i % 250)),
        ("job", "shop/checkout".to_owned()),
        ("method", ["GET", "POST", "PUT"][i % 3].to_owned()),
        ("namespace", "shop".to_owned()),
        ("pod", format!("checkout-7c9d8f6b5-{:05}", i)),
        ("status", ["200", "404", "500"][i / 3 % 3].to_owned()),
    ];
    labels.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

fn sample(i: usize) -> Sample {
    Sample { value: i as f64 * 1.5, timestamp: 1_700_000_000_000 + i as i64, start_timestamp: 0 }
}

fn request_v1() -> Vec<u8> {
    let timeseries = (0..SERIES).map(|i| v1::TimeSeries {
        labels: labels(i).into_iter().map(|(name, value)| v1::Label { name, value }).collect(),
        samples: vec![sample(i)],
        ..Default::default()
    });
    v1::WriteRequest { timeseries: timeseries.collect(), metadata: Vec::new() }.encode_to_vec()
}

fn request_v2() -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let mut places: HashMap<String, u32> = HashMap::new();
    let mut symbol = |text: String| {
        *places.entry(text).or_insert_with_key(|text| {
            symbols.push(text.clone());
            symbols.len() as u32 - 1
        })
    };
    let help_ref = symbol("How many requests were answered.".to_owned());
    let timeseries: Vec<v2::TimeSeries> = (0..SERIES)
        .map(|i| v2::TimeSeries {
            labels_refs: labels(i).into_iter().flat_map(|(n, v)| [n, v]).map(&mut symbol).collect(),
            samples: vec![sample(i)],
            metadata: Some(v2::Metadata { r#type: 1, help_ref, unit_ref: 0 }),
            ..Default::default()
        })
        .collect();
    v2::Request { symbols, timeseries }.encode_to_vec()
}

fn door(criterion: &mut Criterion) {
    let sink = Arc::new(Forgetful::default());
    let sinks =
        Sinks { series: sink.clone(), logs: sink.clone(), spans: sink, observer: Arc::new(()) };
    let telemetry = Telemetry::register(&mut Default::default());
    let (limits, translation) = (Limits::default(), Translation::default());
    let clock = Arc::new(SystemClock::new());
    let receiver = Arc::new(Receiver::new(sinks, limits, translation, telemetry, clock));
    let router = http_router(receiver, &Cors::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("remote_write");
    group.throughput(Throughput::Elements(SERIES as u64));
    for (name, proto, decoded) in [
        ("v1", "prometheus.WriteRequest", request_v1()),
        ("v2", "io.prometheus.write.v2.Request", request_v2()),
    ] {
        let body = bytes::Bytes::from(snap::raw::Encoder::new().compress_vec(&decoded).unwrap());
        let content_type = format!("application/x-protobuf;proto={proto}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let request = http::Request::post("/api/v1/write")
                    .header("content-type", &content_type)
                    .header("content-encoding", "snappy")
                    .body(axum::body::Body::from(body.clone()))
                    .unwrap();
                let answer = runtime.block_on(router.clone().oneshot(request)).unwrap();
                assert_eq!(answer.status(), 204);
            });
        });
    }
    group.finish();
}

criterion_group!(all, door);
criterion_main!(all);
