//! Walks an `ExportMetricsServiceRequest`: resources, scopes, metrics and the five kinds of points.

mod points;

pub use points::{
    BucketsRef, ExemplarRef, ExponentialPointRef, HistogramPointRef, NumberPointRef, NumberValue,
    QuantileRef, SummaryPointRef,
};

use crate::otlp::value::{Attributes, ResourceRef, ScopeRef};
use crate::wire::{
    DecodeError, Message, Messages, Occurrences, Problem, Reader, delimited, known, varint,
};

/// The bytes of an `ExportMetricsServiceRequest`.
#[derive(Debug, Clone, Copy)]
pub struct MetricsRef<'a> {
    request: Reader<'a>,
}

impl<'a> MetricsRef<'a> {
    /// Wraps the bytes; nothing is read yet.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { request: Reader::new(bytes) }
    }

    /// The groups of metrics that share a resource.
    pub fn resource_metrics(&self) -> Messages<'a, ResourceMetricsRef<'a>> {
        Messages::unchecked(self.request, 1)
    }
}

/// `ResourceMetrics`: metrics of one resource.
#[derive(Debug, Clone, Copy)]
pub struct ResourceMetricsRef<'a> {
    /// What sent the metrics.
    pub resource: ResourceRef<'a>,
    /// Schema of the resource.
    pub schema_url: &'a str,
    scope_metrics: Messages<'a, ScopeMetricsRef<'a>>,
}

impl<'a> ResourceMetricsRef<'a> {
    /// The groups of metrics that share a scope.
    pub fn scope_metrics(&self) -> Messages<'a, ScopeMetricsRef<'a>> {
        self.scope_metrics
    }
}

impl<'a> Message<'a> for ResourceMetricsRef<'a> {
    const NAME: &'static str = "resource_metrics";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const RESOURCE: u32 = delimited(1);
        const SCOPE_METRICS: u32 = delimited(2);
        const SCHEMA_URL: u32 = delimited(3);
        const KNOWN: u64 = known(&[1, 2, 3]);

        let mut reader = message;
        let (mut resource, mut schema_url) = (None, "");
        let mut scope_metrics = Occurrences::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                RESOURCE => {
                    ResourceRef::fill(&mut resource, field.start, reader.message("resource")?)?;
                }
                SCOPE_METRICS => scope_metrics.pass(field, &mut reader, "scope_metrics")?,
                SCHEMA_URL => schema_url = reader.text("schema_url")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(Self {
            resource: resource.unwrap_or_else(ResourceRef::empty),
            schema_url,
            scope_metrics: Messages::new(message, 2, scope_metrics),
        })
    }
}

/// `ScopeMetrics`: metrics of one instrumentation scope.
#[derive(Debug, Clone, Copy)]
pub struct ScopeMetricsRef<'a> {
    /// The library that made the metrics.
    pub scope: ScopeRef<'a>,
    /// Schema of the metrics.
    pub schema_url: &'a str,
    metrics: Messages<'a, MetricRef<'a>>,
}

impl<'a> ScopeMetricsRef<'a> {
    /// The metrics in order.
    pub fn metrics(&self) -> Messages<'a, MetricRef<'a>> {
        self.metrics
    }
}

impl<'a> Message<'a> for ScopeMetricsRef<'a> {
    const NAME: &'static str = "scope_metrics";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const SCOPE: u32 = delimited(1);
        const METRICS: u32 = delimited(2);
        const SCHEMA_URL: u32 = delimited(3);
        const KNOWN: u64 = known(&[1, 2, 3]);

        let mut reader = message;
        let (mut scope, mut schema_url) = (None, "");
        let mut metrics = Occurrences::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                SCOPE => ScopeRef::fill(&mut scope, field.start, reader.message("scope")?)?,
                METRICS => metrics.pass(field, &mut reader, "metrics")?,
                SCHEMA_URL => schema_url = reader.text("schema_url")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(Self {
            scope: scope.unwrap_or_else(ScopeRef::empty),
            schema_url,
            metrics: Messages::new(message, 2, metrics),
        })
    }
}

/// `Metric`: a name, a unit and points of one kind.
#[derive(Debug, Clone, Copy)]
pub struct MetricRef<'a> {
    /// The bytes of the message, points included.
    pub raw: &'a [u8],
    /// Name as the instrument was given it.
    pub name: &'a str,
    /// Help text.
    pub description: &'a str,
    /// UCUM unit, for example `ms` or `By`.
    pub unit: &'a str,
    /// The points.
    pub data: MetricDataRef<'a>,
    metadata: Attributes<'a>,
}

impl<'a> MetricRef<'a> {
    /// What a translation from another format noted about the metric.
    pub fn metadata(&self) -> Attributes<'a> {
        self.metadata
    }
}

/// The points of a metric, with what all of them share.
///
/// `temporality` is an `AggregationTemporality`, unchecked: 1 is delta, 2 is cumulative.
#[derive(Debug, Clone, Copy, Default)]
pub enum MetricDataRef<'a> {
    /// No data, or data of a kind newer than this schema.
    #[default]
    Empty,
    /// The latest value.
    Gauge {
        /// The points in order.
        points: Messages<'a, NumberPointRef<'a>>,
    },
    /// A sum over time.
    Sum {
        /// The points in order.
        points: Messages<'a, NumberPointRef<'a>>,
        /// Delta or cumulative.
        temporality: i32,
        /// Whether the sum only grows: a counter.
        is_monotonic: bool,
    },
    /// Explicit-bounds histograms.
    Histogram {
        /// The points in order.
        points: Messages<'a, HistogramPointRef<'a>>,
        /// Delta or cumulative.
        temporality: i32,
    },
    /// Base-2 exponential histograms.
    ExponentialHistogram {
        /// The points in order.
        points: Messages<'a, ExponentialPointRef<'a>>,
        /// Delta or cumulative.
        temporality: i32,
    },
    /// Quantiles computed by the sender.
    Summary {
        /// The points in order.
        points: Messages<'a, SummaryPointRef<'a>>,
    },
}

impl<'a> Message<'a> for MetricRef<'a> {
    const NAME: &'static str = "metric";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const METRIC_NAME: u32 = delimited(1);
        const DESCRIPTION: u32 = delimited(2);
        const UNIT: u32 = delimited(3);
        const GAUGE: u32 = delimited(5);
        const SUM: u32 = delimited(7);
        const HISTOGRAM: u32 = delimited(9);
        const EXPONENTIAL_HISTOGRAM: u32 = delimited(10);
        const SUMMARY: u32 = delimited(11);
        const METADATA: u32 = delimited(12);
        const KNOWN: u64 = known(&[1, 2, 3, 5, 7, 9, 10, 11, 12]);

        let mut reader = message;
        let (mut name, mut description, mut unit) = ("", "", "");
        let mut data = MetricDataRef::Empty;
        let mut metadata = Occurrences::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                METRIC_NAME => name = reader.text("name")?,
                DESCRIPTION => description = reader.text("description")?,
                UNIT => unit = reader.text("unit")?,
                GAUGE | SUM | HISTOGRAM | EXPONENTIAL_HISTOGRAM | SUMMARY => {
                    if !matches!(data, MetricDataRef::Empty) {
                        return Err(DecodeError::new(field.start, "data", Problem::Repeated));
                    }
                    let found = Data::read(reader.message("data")?, field.key)
                        .map_err(|error| error.within("metric data"))?;
                    data = match field.key {
                        GAUGE => MetricDataRef::Gauge { points: found.points() },
                        SUM => MetricDataRef::Sum {
                            points: found.points(),
                            temporality: found.temporality,
                            is_monotonic: found.is_monotonic,
                        },
                        HISTOGRAM => MetricDataRef::Histogram {
                            points: found.points(),
                            temporality: found.temporality,
                        },
                        EXPONENTIAL_HISTOGRAM => MetricDataRef::ExponentialHistogram {
                            points: found.points(),
                            temporality: found.temporality,
                        },
                        _ => MetricDataRef::Summary { points: found.points() },
                    };
                }
                METADATA => metadata.pass(field, &mut reader, "metadata")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        let metadata = Messages::new(message, 12, metadata);
        Ok(Self { raw: message.rest(), name, description, unit, data, metadata })
    }
}

/// `Gauge`, `Sum`, `Histogram`, `ExponentialHistogram` and `Summary` have the same three fields
/// under the same numbers, each kind a subset of them.
struct Data<'a> {
    message: Reader<'a>,
    points: Occurrences,
    temporality: i32,
    is_monotonic: bool,
}

impl<'a> Data<'a> {
    fn read(message: Reader<'a>, kind: u32) -> Result<Self, DecodeError> {
        const DATA_POINTS: u32 = delimited(1);
        const TEMPORALITY: u32 = varint(2);
        const IS_MONOTONIC: u32 = varint(3);
        const SUM: u32 = delimited(7);
        const HISTOGRAM: u32 = delimited(9);
        const EXPONENTIAL_HISTOGRAM: u32 = delimited(10);

        let known = match kind {
            SUM => known(&[1, 2, 3]),
            HISTOGRAM | EXPONENTIAL_HISTOGRAM => known(&[1, 2]),
            _ => known(&[1]),
        };
        let mut reader = message;
        let mut points = Occurrences::default();
        let (mut temporality, mut is_monotonic) = (0, false);
        while let Some(field) = reader.next_field()? {
            match field.key {
                DATA_POINTS => points.pass(field, &mut reader, "data_points")?,
                TEMPORALITY if known & 1 << 2 != 0 => {
                    temporality = reader.int32("aggregation_temporality")?;
                }
                IS_MONOTONIC if known & 1 << 3 != 0 => {
                    is_monotonic = reader.boolean("is_monotonic")?;
                }
                _ => reader.skip(field, known)?,
            }
        }
        Ok(Self { message, points, temporality, is_monotonic })
    }

    fn points<T>(&self) -> Messages<'a, T> {
        Messages::new(self.message, 1, self.points)
    }
}
