//! `prometheus.WriteRequest` as bytes, written in one go: no message is built. Numbers of fields
//! are those of `prometheus/prompb`.

use std::borrow::Cow;

use model::sample::MetricKind;

/// A batch is sent when it has this many bytes or samples; the receiver's default limit is 32 MiB.
const BYTES_MAX: usize = 2 << 20;
const SAMPLES_MAX: u64 = 20_000;

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;

/// A request that grows.
#[derive(Debug, Default)]
pub(super) struct Batch {
    request: Vec<u8>,
    /// The series at hand: labels, then samples and exemplars.
    series: Vec<u8>,
    labels_length: usize,
    samples: u64,
    scratch: Vec<u8>,
}

fn put_varint(buffer: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        buffer.push(number as u8 | 0x80);
        number >>= 7;
    }
    buffer.push(number as u8);
}

fn put_bytes(buffer: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    buffer.push(field << 3 | BYTES);
    put_varint(buffer, bytes.len() as u64);
    buffer.extend_from_slice(bytes);
}

fn put_double(buffer: &mut Vec<u8>, field: u8, value: f64) {
    buffer.push(field << 3 | FIXED64);
    buffer.extend_from_slice(&value.to_le_bytes());
}

fn put_int64(buffer: &mut Vec<u8>, field: u8, value: i64) {
    buffer.push(field << 3 | VARINT);
    put_varint(buffer, value as u64);
}

impl Batch {
    pub(super) fn is_full(&self) -> bool {
        self.samples >= SAMPLES_MAX || self.request.len() + self.series.len() >= BYTES_MAX
    }

    /// Whether there is a series that further samples belong to.
    pub(super) fn has_series(&self) -> bool {
        !self.series.is_empty()
    }

    /// Begins a series; `labels` are sorted.
    pub(super) fn begin_series(&mut self, labels: &[(Cow<'_, str>, Cow<'_, str>)]) {
        self.end_series();
        put_labels(&mut self.series, &mut self.scratch, labels);
        self.labels_length = self.series.len();
    }

    pub(super) fn end_series(&mut self) {
        if self.series.len() > self.labels_length {
            put_bytes(&mut self.request, 1, &self.series);
        }
        self.series.clear();
        self.labels_length = 0;
    }

    pub(super) fn sample(&mut self, value: f64, at_ms: i64) {
        self.samples += 1;
        self.scratch.clear();
        put_double(&mut self.scratch, 1, value);
        put_int64(&mut self.scratch, 2, at_ms);
        put_bytes(&mut self.series, 2, &self.scratch);
    }

    pub(super) fn exemplar(
        &mut self,
        labels: &[(Cow<'_, str>, Cow<'_, str>)],
        value: f64,
        at_ms: i64,
    ) {
        let mut exemplar = Vec::new();
        put_labels(&mut exemplar, &mut self.scratch, labels);
        put_double(&mut exemplar, 2, value);
        put_int64(&mut exemplar, 3, at_ms);
        put_bytes(&mut self.series, 3, &exemplar);
    }

    pub(super) fn describe(&mut self, family: &str, kind: MetricKind, help: &str, unit: &str) {
        let number = match kind {
            MetricKind::Unknown => 0,
            MetricKind::Counter => 1,
            MetricKind::Gauge => 2,
            MetricKind::Histogram => 3,
            MetricKind::GaugeHistogram => 4,
            MetricKind::Summary => 5,
            MetricKind::Info => 6,
            MetricKind::StateSet => 7,
        };
        let mut metadata = Vec::new();
        put_int64(&mut metadata, 1, number);
        for (field, text) in [(2, family), (4, help), (5, unit)] {
            put_bytes(&mut metadata, field, text.as_bytes());
        }
        put_bytes(&mut self.request, 3, &metadata);
    }

    /// The request so far and how many samples it has; nothing if it is empty. A series at hand
    /// goes on with its labels in the next request.
    pub(super) fn take(&mut self) -> Option<(Vec<u8>, u64)> {
        let labels = self.series.get(..self.labels_length).unwrap_or_default().to_vec();
        self.end_series();
        self.labels_length = labels.len();
        self.series = labels;
        let samples = std::mem::take(&mut self.samples);
        let request = std::mem::take(&mut self.request);
        (!request.is_empty()).then_some((request, samples))
    }
}

fn put_labels(
    buffer: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
    labels: &[(Cow<'_, str>, Cow<'_, str>)],
) {
    for (name, value) in labels {
        scratch.clear();
        put_bytes(scratch, 1, name.as_bytes());
        put_bytes(scratch, 2, value.as_bytes());
        put_bytes(buffer, 1, scratch);
    }
}
