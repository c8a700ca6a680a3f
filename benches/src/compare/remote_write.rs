//! Writes requests of Prometheus remote write 1.0: protobuf in one block of snappy.
//!
//! Written by hand because the labels of a series are the same in every request: they are encoded
//! once and copied after that. The tests decode what is written with derived types.

use anyhow::Context as _;
use bytes::Bytes;

/// The headers of a request.
pub(super) const HEADERS: [(&str, &str); 3] = [
    ("content-type", "application/x-protobuf"),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", "0.1.0"),
];

/// The labels of a series as fields of a `TimeSeries`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct EncodedLabels(Box<[u8]>);

impl EncodedLabels {
    /// Encodes labels; they are put in the order of their names, as the protocol asks.
    pub(super) fn new(mut labels: Vec<(&str, &str)>) -> Self {
        labels.sort_unstable();
        let mut bytes = Vec::new();
        for (name, value) in labels {
            let length = field_length(name.len()) + field_length(value.len());
            bytes.push(0x0a);
            put_varint(&mut bytes, length as u64);
            put_text(&mut bytes, 0x0a, name);
            put_text(&mut bytes, 0x12, value);
        }
        EncodedLabels(bytes.into())
    }
}

/// Builds one `WriteRequest` after the other.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    message: Vec<u8>,
    /// The samples of a series, which come after their length.
    fields: Vec<u8>,
    samples: u64,
}

impl Encoder {
    /// Adds a series with one sample.
    pub(super) fn add(&mut self, labels: &EncodedLabels, value: f64, at_ms: i64) {
        self.add_all(labels, &[(at_ms, value)]);
    }

    /// Adds a series with samples in order of time.
    pub(super) fn add_all(&mut self, labels: &EncodedLabels, samples: &[(i64, f64)]) {
        self.fields.clear();
        for (at_ms, value) in samples {
            put_sample(&mut self.fields, *value, *at_ms);
        }
        let labels = &labels.0;
        self.message.push(0x0a);
        put_varint(&mut self.message, (labels.len() + self.fields.len()) as u64);
        self.message.extend_from_slice(labels);
        self.message.extend_from_slice(&self.fields);
        self.samples += samples.len() as u64;
    }

    /// How many samples the request has so far.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// The compressed request and its number of samples; the next one begins empty.
    ///
    /// # Errors
    ///
    /// When the message is larger than snappy allows, which is 4 GiB.
    pub(super) fn finish(&mut self) -> anyhow::Result<(Bytes, u64)> {
        let packed = snap::raw::Encoder::new()
            .compress_vec(&self.message)
            .context("compress with snappy")?;
        self.message.clear();
        Ok((packed.into(), std::mem::take(&mut self.samples)))
    }
}

fn put_sample(bytes: &mut Vec<u8>, value: f64, at_ms: i64) {
    // A sample is 20 bytes at most, so its length is one byte.
    let start = bytes.len();
    bytes.extend_from_slice(&[0x12, 0]);
    // Zero is the default and left out, as every sender does. Minus zero is not zero.
    if value.to_bits() != 0 {
        bytes.push(0x09);
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    if at_ms != 0 {
        bytes.push(0x10);
        put_varint(bytes, at_ms as u64);
    }
    bytes[start + 1] = (bytes.len() - start - 2) as u8;
}

fn put_text(bytes: &mut Vec<u8>, tag: u8, text: &str) {
    bytes.push(tag);
    put_varint(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

fn field_length(length: usize) -> usize {
    1 + varint_length(length as u64) + length
}

fn varint_length(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct WriteRequest {
        #[prost(message, repeated, tag = "1")]
        timeseries: Vec<TimeSeries>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct TimeSeries {
        #[prost(message, repeated, tag = "1")]
        labels: Vec<Label>,
        #[prost(message, repeated, tag = "2")]
        samples: Vec<Sample>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Label {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        value: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Sample {
        #[prost(double, tag = "1")]
        value: f64,
        #[prost(int64, tag = "2")]
        timestamp: i64,
    }

    fn check(values: &[(f64, i64)]) -> (Vec<u8>, WriteRequest) {
        let long = "x".repeat(300);
        let mut encoder = Encoder::default();
        let mut expected = WriteRequest::default();
        for &(value, timestamp) in values {
            let labels = vec![("job", "a/b"), ("__name__", "up"), ("long", long.as_str())];
            encoder.add(&EncodedLabels::new(labels), value, timestamp);
            let label =
                |name: &str, value: &str| Label { name: name.to_owned(), value: value.to_owned() };
            expected.timeseries.push(TimeSeries {
                labels: vec![label("__name__", "up"), label("job", "a/b"), label("long", &long)],
                samples: vec![Sample { value, timestamp }],
            });
        }
        assert_eq!(encoder.samples(), values.len() as u64);
        let (packed, samples) = encoder.finish().unwrap();
        assert_eq!(samples, values.len() as u64);
        assert_eq!((encoder.samples(), encoder.message.len()), (0, 0));
        (snap::raw::Decoder::new().decompress_vec(&packed).unwrap(), expected)
    }

    #[test]
    fn requests_are_what_derived_types_write() {
        let values = [(0.0, 0), (1.5, 1_763_000_000_123), (-2e300, -5), (7.0, i64::MAX)];
        let (message, expected) = check(&values);
        assert!(message == expected.encode_to_vec());
    }

    #[test]
    fn every_bit_of_a_value_arrives() {
        // Derived types leave out minus zero, so their bytes differ, but not what they read.
        for value in [-0.0, f64::NAN, f64::from_bits(0x7ff0_0000_0000_0002), f64::MIN_POSITIVE] {
            let (message, expected) = check(&[(value, 1)]);
            let read = WriteRequest::decode(message.as_slice()).unwrap();
            let sample = &read.timeseries[0].samples[0];
            assert_eq!((sample.value.to_bits(), sample.timestamp), (value.to_bits(), 1));
            assert_eq!(read.timeseries[0].labels, expected.timeseries[0].labels);
        }
    }
}
