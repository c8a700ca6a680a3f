//! The messages of Prometheus's remote read, field by field as `prompb/{remote,types}.proto` of
//! prometheus/prometheus number them.

pub use crate::remote_write::messages::v1::{Label, TimeSeries};
pub use crate::remote_write::messages::{Histogram, Sample};

/// The response type of samples in one message.
pub const SAMPLES: i32 = 0;
/// The response type of a stream of encoded chunks.
pub const STREAMED_XOR_CHUNKS: i32 = 1;

/// What is asked for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadRequest {
    /// Answered in this order.
    #[prost(message, repeated, tag = "1")]
    pub queries: Vec<Query>,
    /// The first that the server knows is taken; samples if there is none.
    #[prost(int32, repeated, tag = "2")]
    pub accepted_response_types: Vec<i32>,
}

/// One selection.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Query {
    /// The first time, included.
    #[prost(int64, tag = "1")]
    pub start_timestamp_ms: i64,
    /// The last time, included.
    #[prost(int64, tag = "2")]
    pub end_timestamp_ms: i64,
    /// All must match.
    #[prost(message, repeated, tag = "3")]
    pub matchers: Vec<LabelMatcher>,
}

/// A condition on a label.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LabelMatcher {
    /// 0 equal, 1 not equal, 2 matches, 3 does not match.
    #[prost(int32, tag = "1")]
    pub r#type: i32,
    /// The label.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The value or the pattern.
    #[prost(string, tag = "3")]
    pub value: String,
}

/// The answer in samples.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadResponse {
    /// One for each query.
    #[prost(message, repeated, tag = "1")]
    pub results: Vec<QueryResult>,
}

/// What one query selected.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryResult {
    /// Samples in order of time.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// One frame of the answer in chunks.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChunkedReadResponse {
    /// A series, or a part of one.
    #[prost(message, repeated, tag = "1")]
    pub chunked_series: Vec<ChunkedSeries>,
    /// Which query it answers.
    #[prost(int64, tag = "2")]
    pub query_index: i64,
}

/// A series in chunks.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChunkedSeries {
    /// Sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// In order of their first times.
    #[prost(message, repeated, tag = "2")]
    pub chunks: Vec<Chunk>,
}

/// Encoded samples.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Chunk {
    /// The first time.
    #[prost(int64, tag = "1")]
    pub min_time_ms: i64,
    /// The last time.
    #[prost(int64, tag = "2")]
    pub max_time_ms: i64,
    /// 1 for XOR, 2 and 3 for histograms of integers and of floats.
    #[prost(int32, tag = "3")]
    pub r#type: i32,
    /// As the encoding says.
    #[prost(bytes = "vec", tag = "4")]
    pub data: Vec<u8>,
}
