//! The protobuf exposition of metrics (`io.prometheus.client`, `metrics.proto` of
//! prometheus/client_model): the fields that a federation answer has.

/// The type of a family whose kind is not known.
pub const UNTYPED: i32 = 3;
/// The type of a family of histograms.
pub const HISTOGRAM: i32 = 4;
/// The type of a family of histograms that go up and down.
pub const GAUGE_HISTOGRAM: i32 = 5;

/// All series of one name.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricFamily {
    /// The metric name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// What it is.
    #[prost(int32, optional, tag = "3")]
    pub r#type: Option<i32>,
    /// The series.
    #[prost(message, repeated, tag = "4")]
    pub metric: Vec<Metric>,
}

/// One series with its sample.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metric {
    /// All labels but the name.
    #[prost(message, repeated, tag = "1")]
    pub label: Vec<LabelPair>,
    /// A float.
    #[prost(message, optional, tag = "5")]
    pub untyped: Option<Untyped>,
    /// When.
    #[prost(int64, optional, tag = "6")]
    pub timestamp_ms: Option<i64>,
    /// A histogram.
    #[prost(message, optional, tag = "7")]
    pub histogram: Option<Histogram>,
}

/// A label.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LabelPair {
    /// Its name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Its value.
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

/// A float.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Untyped {
    /// The number.
    #[prost(double, optional, tag = "1")]
    pub value: Option<f64>,
}

/// A histogram, classic by its buckets or native by its spans.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Histogram {
    /// The sum of all observations.
    #[prost(double, optional, tag = "2")]
    pub sample_sum: Option<f64>,
    /// Classic buckets.
    #[prost(message, repeated, tag = "3")]
    pub bucket: Vec<Bucket>,
    /// All observations.
    #[prost(double, optional, tag = "4")]
    pub sample_count_float: Option<f64>,
    /// -4 to 8.
    #[prost(sint32, optional, tag = "5")]
    pub schema: Option<i32>,
    /// The width of the zero bucket.
    #[prost(double, optional, tag = "6")]
    pub zero_threshold: Option<f64>,
    /// Observations in the zero bucket.
    #[prost(double, optional, tag = "8")]
    pub zero_count_float: Option<f64>,
    /// Which negative buckets there are.
    #[prost(message, repeated, tag = "9")]
    pub negative_span: Vec<BucketSpan>,
    /// What they hold.
    #[prost(double, repeated, packed = "false", tag = "11")]
    pub negative_count: Vec<f64>,
    /// Which positive buckets there are.
    #[prost(message, repeated, tag = "12")]
    pub positive_span: Vec<BucketSpan>,
    /// What they hold.
    #[prost(double, repeated, packed = "false", tag = "14")]
    pub positive_count: Vec<f64>,
}

/// A classic bucket.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Bucket {
    /// The upper bound.
    #[prost(double, optional, tag = "2")]
    pub upper_bound: Option<f64>,
    /// Observations up to it.
    #[prost(double, optional, tag = "4")]
    pub cumulative_count_float: Option<f64>,
}

/// A run of buckets.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct BucketSpan {
    /// The gap before it, or where the first run begins.
    #[prost(sint32, optional, tag = "1")]
    pub offset: Option<i32>,
    /// How many buckets.
    #[prost(uint32, optional, tag = "2")]
    pub length: Option<u32>,
}
