//! Requests, and the door they are sent to.

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use prost::Message;
use proto::remote_write::messages::{BucketSpan, Count, Histogram, Sample, ZeroCount, v1, v2};
use tower::ServiceExt;

use crate::otlp::tests::sinks::{Bench, NOW};
use crate::{Cors, http_router};

pub(super) const V1: &str = "application/x-protobuf";
pub(super) const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Samples, histograms and exemplars written, as the headers say.
    pub(super) fn written(&self) -> [&str; 3] {
        ["samples", "histograms", "exemplars"]
            .map(|kind| self.header(&format!("x-prometheus-remote-write-{kind}-written")))
    }
}

pub(super) async fn send(bench: &Bench, request: Request<Body>) -> Answer {
    let router = http_router(bench.receiver.clone(), &Cors::default());
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body).unwrap() }
}

pub(super) fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

pub(super) fn post(content_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post("/api/v1/write")
        .header("content-type", content_type)
        .header("content-encoding", "snappy")
        .header("x-prometheus-remote-write-version", "2.0.0")
        .body(body.into())
        .unwrap()
}

pub(super) async fn send_v1(bench: &Bench, request: &v1::WriteRequest) -> Answer {
    send(bench, post(V1, snappy(&request.encode_to_vec()))).await
}

pub(super) async fn send_v2(bench: &Bench, request: &v2::Request) -> Answer {
    send(bench, post(V2, snappy(&request.encode_to_vec()))).await
}

pub(super) fn sample(value: f64) -> Sample {
    Sample { value, timestamp: NOW.0, start_timestamp: 0 }
}

/// A 2.0 request that grows.
pub(super) struct Symbols(pub(super) v2::Request);

impl Symbols {
    pub(super) fn new() -> Self {
        Symbols(v2::Request { symbols: vec![String::new()], timeseries: Vec::new() })
    }

    pub(super) fn symbol(&mut self, text: &str) -> u32 {
        let symbols = &mut self.0.symbols;
        let known = symbols.iter().position(|known| known == text);
        let place = known.unwrap_or_else(|| {
            symbols.push(text.to_owned());
            symbols.len() - 1
        });
        place as u32
    }

    pub(super) fn refs(&mut self, labels: &[(&str, &str)]) -> Vec<u32> {
        labels.iter().flat_map(|(name, value)| [*name, *value]).map(|t| self.symbol(t)).collect()
    }

    /// A series without samples.
    pub(super) fn series(&mut self, labels: &[(&str, &str)]) -> &mut v2::TimeSeries {
        let labels_refs = self.refs(labels);
        let timeseries = &mut self.0.timeseries;
        timeseries.push(v2::TimeSeries { labels_refs, ..Default::default() });
        timeseries.last_mut().unwrap()
    }

    pub(super) fn sample(mut self, labels: &[(&str, &str)], value: f64) -> Self {
        self.series(labels).samples.push(sample(value));
        self
    }

    pub(super) fn histogram(mut self, labels: &[(&str, &str)], histogram: Histogram) -> Self {
        self.series(labels).histograms.push(histogram);
        self
    }

    /// Gives the last series an exemplar.
    pub(super) fn exemplar(mut self, labels: &[(&str, &str)], value: f64) -> Self {
        let labels_refs = self.refs(labels);
        let exemplar = v2::Exemplar { labels_refs, value, timestamp: NOW.0 };
        self.0.timeseries.last_mut().unwrap().exemplars.push(exemplar);
        self
    }

    /// Gives the last series metadata.
    pub(super) fn metadata(mut self, kind: i32, help: &str, unit: &str) -> Self {
        let (help_ref, unit_ref) = (self.symbol(help), self.symbol(unit));
        let metadata = v2::Metadata { r#type: kind, help_ref, unit_ref };
        self.0.timeseries.last_mut().unwrap().metadata = Some(metadata);
        self
    }
}

/// An integer histogram of six observations: two below zero, one at zero, three above.
pub(super) fn histogram() -> Histogram {
    Histogram {
        count: Some(Count::CountInt(6)),
        sum: 4.5,
        schema: 3,
        zero_threshold: 1e-128,
        zero_count: Some(ZeroCount::ZeroCountInt(1)),
        negative_spans: vec![BucketSpan { offset: 1, length: 1 }],
        negative_deltas: vec![2],
        positive_spans: vec![
            BucketSpan { offset: -2, length: 1 },
            BucketSpan { offset: 3, length: 2 },
        ],
        positive_deltas: vec![1, -1, 2],
        timestamp: NOW.0,
        ..Default::default()
    }
}

pub(super) fn label(name: &str, value: &str) -> v1::Label {
    v1::Label { name: name.to_owned(), value: value.to_owned() }
}

/// A 1.0 series with one sample.
pub(super) fn series_v1(labels: &[(&str, &str)], value: f64) -> v1::TimeSeries {
    v1::TimeSeries {
        labels: labels.iter().map(|(name, value)| label(name, value)).collect(),
        samples: vec![sample(value)],
        ..Default::default()
    }
}

pub(super) fn request_v1(timeseries: Vec<v1::TimeSeries>) -> v1::WriteRequest {
    v1::WriteRequest { timeseries, metadata: Vec::new() }
}

/// `labels value` of every float sample that was stored.
pub(super) fn stored(bench: &Bench) -> Vec<String> {
    let series = bench.memory.series.lock();
    let batches = bench.memory.batches.lock();
    let points = batches.iter().flat_map(|batch| &batch.points);
    points.map(|point| format!("{} {}", series[point.series.0 as usize], point.value)).collect()
}
