//! The messages of a metrics request.

use serde::de::MapAccess;

use super::message::{Field, Message};
use super::scalar::{Boolean, Double, Enumeration, Hex, Integer, Text};
use crate::generated::opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest;
use crate::generated::opentelemetry::proto::metrics::v1::exponential_histogram_data_point::Buckets;
use crate::generated::opentelemetry::proto::metrics::v1::metric::Data;
use crate::generated::opentelemetry::proto::metrics::v1::summary_data_point::ValueAtQuantile;
use crate::generated::opentelemetry::proto::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryDataPoint, exemplar, number_data_point,
};

impl Message for ExportMetricsServiceRequest {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "resourceMetrics" => field.messages(&mut self.resource_metrics),
            _ => field.ignore(),
        }
    }
}

impl Message for ResourceMetrics {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "resource" => field.message(&mut self.resource),
            "scopeMetrics" => field.messages(&mut self.scope_metrics),
            "schemaUrl" => field.scalar::<Text>(&mut self.schema_url),
            _ => field.ignore(),
        }
    }
}

impl Message for ScopeMetrics {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "scope" => field.message(&mut self.scope),
            "metrics" => field.messages(&mut self.metrics),
            "schemaUrl" => field.scalar::<Text>(&mut self.schema_url),
            _ => field.ignore(),
        }
    }
}

impl Message for Metric {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "name" => field.scalar::<Text>(&mut self.name),
            "description" => field.scalar::<Text>(&mut self.description),
            "unit" => field.scalar::<Text>(&mut self.unit),
            "gauge" => field.one_of_messages(&mut self.data, Data::Gauge),
            "sum" => field.one_of_messages(&mut self.data, Data::Sum),
            "histogram" => field.one_of_messages(&mut self.data, Data::Histogram),
            "exponentialHistogram" => {
                field.one_of_messages(&mut self.data, Data::ExponentialHistogram)
            }
            "summary" => field.one_of_messages(&mut self.data, Data::Summary),
            "metadata" => field.messages(&mut self.metadata),
            _ => field.ignore(),
        }
    }
}

impl Message for Gauge {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "dataPoints" => field.messages(&mut self.data_points),
            _ => field.ignore(),
        }
    }
}

impl Message for Sum {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "dataPoints" => field.messages(&mut self.data_points),
            "aggregationTemporality" => {
                field.scalar::<Enumeration>(&mut self.aggregation_temporality)
            }
            "isMonotonic" => field.scalar::<Boolean>(&mut self.is_monotonic),
            _ => field.ignore(),
        }
    }
}

impl Message for Histogram {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "dataPoints" => field.messages(&mut self.data_points),
            "aggregationTemporality" => {
                field.scalar::<Enumeration>(&mut self.aggregation_temporality)
            }
            _ => field.ignore(),
        }
    }
}

impl Message for ExponentialHistogram {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "dataPoints" => field.messages(&mut self.data_points),
            "aggregationTemporality" => {
                field.scalar::<Enumeration>(&mut self.aggregation_temporality)
            }
            _ => field.ignore(),
        }
    }
}

impl Message for Summary {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "dataPoints" => field.messages(&mut self.data_points),
            _ => field.ignore(),
        }
    }
}

impl Message for NumberDataPoint {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "attributes" => field.messages(&mut self.attributes),
            "startTimeUnixNano" => field.scalar::<Integer<u64>>(&mut self.start_time_unix_nano),
            "timeUnixNano" => field.scalar::<Integer<u64>>(&mut self.time_unix_nano),
            "asDouble" => {
                field.one_of::<Double, _>(&mut self.value, number_data_point::Value::AsDouble)
            }
            "asInt" => {
                field.one_of::<Integer<i64>, _>(&mut self.value, number_data_point::Value::AsInt)
            }
            "exemplars" => field.messages(&mut self.exemplars),
            "flags" => field.scalar::<Integer<u32>>(&mut self.flags),
            _ => field.ignore(),
        }
    }
}

impl Message for HistogramDataPoint {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "attributes" => field.messages(&mut self.attributes),
            "startTimeUnixNano" => field.scalar::<Integer<u64>>(&mut self.start_time_unix_nano),
            "timeUnixNano" => field.scalar::<Integer<u64>>(&mut self.time_unix_nano),
            "count" => field.scalar::<Integer<u64>>(&mut self.count),
            "sum" => field.optional::<Double>(&mut self.sum),
            "bucketCounts" => field.scalars::<Integer<u64>>(&mut self.bucket_counts),
            "explicitBounds" => field.scalars::<Double>(&mut self.explicit_bounds),
            "exemplars" => field.messages(&mut self.exemplars),
            "flags" => field.scalar::<Integer<u32>>(&mut self.flags),
            "min" => field.optional::<Double>(&mut self.min),
            "max" => field.optional::<Double>(&mut self.max),
            _ => field.ignore(),
        }
    }
}

impl Message for ExponentialHistogramDataPoint {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "attributes" => field.messages(&mut self.attributes),
            "startTimeUnixNano" => field.scalar::<Integer<u64>>(&mut self.start_time_unix_nano),
            "timeUnixNano" => field.scalar::<Integer<u64>>(&mut self.time_unix_nano),
            "count" => field.scalar::<Integer<u64>>(&mut self.count),
            "sum" => field.optional::<Double>(&mut self.sum),
            "scale" => field.scalar::<Integer<i32>>(&mut self.scale),
            "zeroCount" => field.scalar::<Integer<u64>>(&mut self.zero_count),
            "positive" => field.message(&mut self.positive),
            "negative" => field.message(&mut self.negative),
            "flags" => field.scalar::<Integer<u32>>(&mut self.flags),
            "exemplars" => field.messages(&mut self.exemplars),
            "min" => field.optional::<Double>(&mut self.min),
            "max" => field.optional::<Double>(&mut self.max),
            "zeroThreshold" => field.scalar::<Double>(&mut self.zero_threshold),
            _ => field.ignore(),
        }
    }
}

impl Message for Buckets {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "offset" => field.scalar::<Integer<i32>>(&mut self.offset),
            "bucketCounts" => field.scalars::<Integer<u64>>(&mut self.bucket_counts),
            _ => field.ignore(),
        }
    }
}

impl Message for SummaryDataPoint {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "attributes" => field.messages(&mut self.attributes),
            "startTimeUnixNano" => field.scalar::<Integer<u64>>(&mut self.start_time_unix_nano),
            "timeUnixNano" => field.scalar::<Integer<u64>>(&mut self.time_unix_nano),
            "count" => field.scalar::<Integer<u64>>(&mut self.count),
            "sum" => field.scalar::<Double>(&mut self.sum),
            "quantileValues" => field.messages(&mut self.quantile_values),
            "flags" => field.scalar::<Integer<u32>>(&mut self.flags),
            _ => field.ignore(),
        }
    }
}

impl Message for ValueAtQuantile {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "quantile" => field.scalar::<Double>(&mut self.quantile),
            "value" => field.scalar::<Double>(&mut self.value),
            _ => field.ignore(),
        }
    }
}

impl Message for Exemplar {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "filteredAttributes" => field.messages(&mut self.filtered_attributes),
            "timeUnixNano" => field.scalar::<Integer<u64>>(&mut self.time_unix_nano),
            "asDouble" => field.one_of::<Double, _>(&mut self.value, exemplar::Value::AsDouble),
            "asInt" => field.one_of::<Integer<i64>, _>(&mut self.value, exemplar::Value::AsInt),
            "spanId" => field.scalar::<Hex>(&mut self.span_id),
            "traceId" => field.scalar::<Hex>(&mut self.trace_id),
            _ => field.ignore(),
        }
    }
}
