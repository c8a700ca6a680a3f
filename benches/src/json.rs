//! Writes OTLP/JSON, so that decoding it can be measured and sent.
//!
//! The server only reads this encoding; the writer here follows the same rules as its decoder:
//! 64-bit integers are strings, ids are hex, other bytes are base64. Fields with their default
//! value are left out, as senders do.

use std::fmt::Write as _;

use proto::generated::opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest;
use proto::generated::opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest;
use proto::generated::opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;
use proto::generated::opentelemetry::proto::common::v1::any_value::Value;
use proto::generated::opentelemetry::proto::common::v1::{
    AnyValue, InstrumentationScope, KeyValue,
};
use proto::generated::opentelemetry::proto::logs::v1::LogRecord;
use proto::generated::opentelemetry::proto::metrics::v1::metric::Data;
use proto::generated::opentelemetry::proto::metrics::v1::number_data_point::Value as Number;
use proto::generated::opentelemetry::proto::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint,
};
use proto::generated::opentelemetry::proto::resource::v1::Resource;
use proto::generated::opentelemetry::proto::trace::v1::{Span, span};

/// A metrics request as OTLP/JSON. Summaries, exemplars and metadata, which no corpus has, are left
/// out.
pub fn metrics(request: &ExportMetricsServiceRequest) -> String {
    let mut json = Json::default();
    json.object(|json| {
        json.list("resourceMetrics", &request.resource_metrics, |json, group| {
            json.resource(group.resource.as_ref());
            json.list("scopeMetrics", &group.scope_metrics, |json, scope| {
                json.scope(scope.scope.as_ref());
                json.list("metrics", &scope.metrics, metric);
            });
        });
    });
    json.text
}

/// A logs request as OTLP/JSON.
pub fn logs(request: &ExportLogsServiceRequest) -> String {
    let mut json = Json::default();
    json.object(|json| {
        json.list("resourceLogs", &request.resource_logs, |json, group| {
            json.resource(group.resource.as_ref());
            json.list("scopeLogs", &group.scope_logs, |json, scope| {
                json.scope(scope.scope.as_ref());
                json.list("logRecords", &scope.log_records, log_record);
            });
        });
    });
    json.text
}

/// A traces request as OTLP/JSON. Links, which no corpus has, are left out.
pub fn traces(request: &ExportTraceServiceRequest) -> String {
    let mut json = Json::default();
    json.object(|json| {
        json.list("resourceSpans", &request.resource_spans, |json, group| {
            json.resource(group.resource.as_ref());
            json.list("scopeSpans", &group.scope_spans, |json, scope| {
                json.scope(scope.scope.as_ref());
                json.list("spans", &scope.spans, write_span);
            });
        });
    });
    json.text
}

/// `text` as a JSON string.
pub(crate) fn quote(text: &str) -> String {
    let mut json = Json::default();
    json.escaped(text);
    json.text
}

fn metric(json: &mut Json, metric: &Metric) {
    json.string("name", &metric.name);
    json.string("description", &metric.description);
    json.string("unit", &metric.unit);
    match &metric.data {
        Some(Data::Gauge(gauge)) => json.member("gauge", |json| {
            json.object(|json| json.list("dataPoints", &gauge.data_points, number_point));
        }),
        Some(Data::Sum(sum)) => json.member("sum", |json| {
            json.object(|json| {
                json.list("dataPoints", &sum.data_points, number_point);
                json.number("aggregationTemporality", sum.aggregation_temporality);
                json.member("isMonotonic", |json| json.push(sum.is_monotonic));
            });
        }),
        Some(Data::Histogram(histogram)) => json.member("histogram", |json| {
            json.object(|json| {
                json.list("dataPoints", &histogram.data_points, histogram_point);
                json.number("aggregationTemporality", histogram.aggregation_temporality);
            });
        }),
        Some(Data::ExponentialHistogram(histogram)) => {
            json.member("exponentialHistogram", |json| {
                json.object(|json| {
                    json.list("dataPoints", &histogram.data_points, exponential_point);
                    json.number("aggregationTemporality", histogram.aggregation_temporality);
                });
            });
        }
        Some(Data::Summary(_)) | None => {}
    }
}

fn number_point(json: &mut Json, point: &NumberDataPoint) {
    json.attributes(&point.attributes);
    json.wide("startTimeUnixNano", point.start_time_unix_nano);
    json.wide("timeUnixNano", point.time_unix_nano);
    match point.value {
        Some(Number::AsInt(value)) => json.member("asInt", |json| json.quoted(value)),
        Some(Number::AsDouble(value)) => json.member("asDouble", |json| json.double(value)),
        None => {}
    }
    json.number("flags", point.flags);
}

fn histogram_point(json: &mut Json, point: &HistogramDataPoint) {
    json.attributes(&point.attributes);
    json.wide("startTimeUnixNano", point.start_time_unix_nano);
    json.wide("timeUnixNano", point.time_unix_nano);
    json.wide("count", point.count);
    json.optional("sum", point.sum);
    json.values("bucketCounts", &point.bucket_counts, |json, count| json.quoted(*count));
    json.values("explicitBounds", &point.explicit_bounds, |json, bound| json.double(*bound));
    json.number("flags", point.flags);
    json.optional("min", point.min);
    json.optional("max", point.max);
}

fn exponential_point(json: &mut Json, point: &ExponentialHistogramDataPoint) {
    json.attributes(&point.attributes);
    json.wide("startTimeUnixNano", point.start_time_unix_nano);
    json.wide("timeUnixNano", point.time_unix_nano);
    json.wide("count", point.count);
    json.optional("sum", point.sum);
    json.number("scale", point.scale);
    json.wide("zeroCount", point.zero_count);
    for (key, buckets) in [("positive", &point.positive), ("negative", &point.negative)] {
        let Some(buckets) = buckets else { continue };
        json.member(key, |json| {
            json.object(|json| {
                json.number("offset", buckets.offset);
                json.values("bucketCounts", &buckets.bucket_counts, |json, count| {
                    json.quoted(*count);
                });
            });
        });
    }
    json.number("flags", point.flags);
    json.optional("min", point.min);
    json.optional("max", point.max);
    json.member("zeroThreshold", |json| json.double(point.zero_threshold));
}

fn log_record(json: &mut Json, record: &LogRecord) {
    json.wide("timeUnixNano", record.time_unix_nano);
    json.wide("observedTimeUnixNano", record.observed_time_unix_nano);
    json.number("severityNumber", record.severity_number);
    json.string("severityText", &record.severity_text);
    if let Some(body) = &record.body {
        json.member("body", |json| json.any_value(body));
    }
    json.attributes(&record.attributes);
    json.number("droppedAttributesCount", record.dropped_attributes_count);
    json.number("flags", record.flags);
    json.id("traceId", &record.trace_id);
    json.id("spanId", &record.span_id);
    json.string("eventName", &record.event_name);
}

fn write_span(json: &mut Json, span: &Span) {
    json.id("traceId", &span.trace_id);
    json.id("spanId", &span.span_id);
    json.id("parentSpanId", &span.parent_span_id);
    json.string("traceState", &span.trace_state);
    json.number("flags", span.flags);
    json.string("name", &span.name);
    json.number("kind", span.kind);
    json.wide("startTimeUnixNano", span.start_time_unix_nano);
    json.wide("endTimeUnixNano", span.end_time_unix_nano);
    json.attributes(&span.attributes);
    json.list("events", &span.events, |json, event: &span::Event| {
        json.wide("timeUnixNano", event.time_unix_nano);
        json.string("name", &event.name);
        json.attributes(&event.attributes);
    });
    if let Some(status) = &span.status {
        json.member("status", |json| {
            json.object(|json| {
                json.string("message", &status.message);
                json.number("code", status.code);
            });
        });
    }
}

/// JSON text that grows.
#[derive(Default)]
struct Json {
    text: String,
}

impl Json {
    fn push(&mut self, value: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        write!(self.text, "{value}").ok();
    }

    fn quoted(&mut self, value: impl std::fmt::Display) {
        self.push(format_args!("\"{value}\""));
    }

    fn comma(&mut self) {
        if !self.text.ends_with(['{', '[', ':']) {
            self.text.push(',');
        }
    }

    fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.text.push('{');
        members(self);
        self.text.push('}');
    }

    fn member(&mut self, key: &str, value: impl FnOnce(&mut Self)) {
        self.comma();
        self.quoted(key);
        self.text.push(':');
        value(self);
    }

    fn values<T>(&mut self, key: &str, values: &[T], mut write: impl FnMut(&mut Self, &T)) {
        if values.is_empty() {
            return;
        }
        self.member(key, |json| {
            json.text.push('[');
            for value in values {
                json.comma();
                write(json, value);
            }
            json.text.push(']');
        });
    }

    fn list<T>(&mut self, key: &str, messages: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.values(key, messages, |json, message| json.object(|json| write(json, message)));
    }

    fn number<T: std::fmt::Display + Default + PartialEq>(&mut self, key: &str, value: T) {
        if value != T::default() {
            self.member(key, |json| json.push(value));
        }
    }

    fn wide(&mut self, key: &str, value: u64) {
        if value != 0 {
            self.member(key, |json| json.quoted(value));
        }
    }

    fn double(&mut self, value: f64) {
        if value.is_finite() {
            self.push(value);
        } else {
            let name = if value.is_nan() { "NaN" } else { "Infinity" };
            self.quoted(format_args!("{}{name}", if value < 0.0 { "-" } else { "" }));
        }
    }

    fn optional(&mut self, key: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.member(key, |json| json.double(value));
        }
    }

    fn string(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.member(key, |json| json.escaped(value));
        }
    }

    fn escaped(&mut self, value: &str) {
        self.text.push('"');
        for character in value.chars() {
            match character {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\t' => self.text.push_str("\\t"),
                control if control < ' ' => self.push(format_args!("\\u{:04x}", control as u32)),
                other => self.text.push(other),
            }
        }
        self.text.push('"');
    }

    fn id(&mut self, key: &str, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.member(key, |json| {
            json.text.push('"');
            bytes.iter().for_each(|byte| json.push(format_args!("{byte:02x}")));
            json.text.push('"');
        });
    }

    fn attributes(&mut self, attributes: &[KeyValue]) {
        self.list("attributes", attributes, |json, pair| {
            json.string("key", &pair.key);
            if let Some(value) = &pair.value {
                json.member("value", |json| json.any_value(value));
            }
        });
    }

    fn any_value(&mut self, value: &AnyValue) {
        self.object(|json| match &value.value {
            Some(Value::StringValue(text)) => json.member("stringValue", |json| json.escaped(text)),
            Some(Value::BoolValue(value)) => json.member("boolValue", |json| json.push(*value)),
            Some(Value::IntValue(value)) => json.member("intValue", |json| json.quoted(*value)),
            Some(Value::DoubleValue(value)) => {
                json.member("doubleValue", |json| json.double(*value));
            }
            // No corpus has lists, maps or bytes.
            _ => {}
        });
    }

    fn resource(&mut self, resource: Option<&Resource>) {
        if let Some(resource) = resource {
            self.member("resource", |json| {
                json.object(|json| json.attributes(&resource.attributes))
            });
        }
    }

    fn scope(&mut self, scope: Option<&InstrumentationScope>) {
        if let Some(scope) = scope {
            self.member("scope", |json| {
                json.object(|json| {
                    json.string("name", &scope.name);
                    json.string("version", &scope.version);
                    json.attributes(&scope.attributes);
                });
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use proto::Signal;

    use super::*;
    use crate::corpora::{Corpus, Options};

    fn request(signal: Signal) -> Vec<u8> {
        let options = Options { requests: 1, pods: 20, exponential: true, ..Options::default() };
        Corpus::generate(signal, &options).requests.remove(0).bytes
    }

    #[test]
    fn the_servers_decoder_reads_back_what_was_written() {
        let original = ExportMetricsServiceRequest::decode(&request(Signal::Metrics)[..]).unwrap();
        assert_eq!(proto::json::decode_metrics(metrics(&original).as_bytes()).unwrap(), original);
        let original = ExportLogsServiceRequest::decode(&request(Signal::Logs)[..]).unwrap();
        assert_eq!(proto::json::decode_logs(logs(&original).as_bytes()).unwrap(), original);
        let original = ExportTraceServiceRequest::decode(&request(Signal::Traces)[..]).unwrap();
        assert_eq!(proto::json::decode_traces(traces(&original).as_bytes()).unwrap(), original);
    }
}
