//! The rules of OTLP/JSON one by one, with the payloads on which decoders derived from the schema
//! are known to lose data, and the example files of the specification.

use std::path::PathBuf;

use super::*;
use crate::generated::opentelemetry::proto::common::v1::any_value::Value;
use crate::generated::opentelemetry::proto::common::v1::{
    AnyValue, ArrayValue, KeyValue, KeyValueList,
};
use crate::generated::opentelemetry::proto::logs::v1::LogRecord;
use crate::generated::opentelemetry::proto::metrics::v1::metric::Data;
use crate::generated::opentelemetry::proto::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, SummaryDataPoint,
    exemplar, number_data_point,
};
use crate::generated::opentelemetry::proto::trace::v1::Span;

fn metric(json: &str) -> Result<Metric, JsonError> {
    let body = format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{json}]}}]}}]}}"#);
    let mut request = decode_metrics(body.as_bytes())?;
    Ok(request.resource_metrics.remove(0).scope_metrics.remove(0).metrics.remove(0))
}

fn number_point(json: &str) -> Result<NumberDataPoint, JsonError> {
    match metric(&format!(r#"{{"gauge":{{"dataPoints":[{json}]}}}}"#))?.data {
        Some(Data::Gauge(mut gauge)) => Ok(gauge.data_points.remove(0)),
        other => panic!("not a gauge: {other:?}"),
    }
}

fn histogram_point(json: &str) -> Result<HistogramDataPoint, JsonError> {
    match metric(&format!(r#"{{"histogram":{{"dataPoints":[{json}]}}}}"#))?.data {
        Some(Data::Histogram(mut histogram)) => Ok(histogram.data_points.remove(0)),
        other => panic!("not a histogram: {other:?}"),
    }
}

fn exponential_point(json: &str) -> Result<ExponentialHistogramDataPoint, JsonError> {
    match metric(&format!(r#"{{"exponentialHistogram":{{"dataPoints":[{json}]}}}}"#))?.data {
        Some(Data::ExponentialHistogram(mut histogram)) => Ok(histogram.data_points.remove(0)),
        other => panic!("not an exponential histogram: {other:?}"),
    }
}

fn summary_point(json: &str) -> Result<SummaryDataPoint, JsonError> {
    match metric(&format!(r#"{{"summary":{{"dataPoints":[{json}]}}}}"#))?.data {
        Some(Data::Summary(mut summary)) => Ok(summary.data_points.remove(0)),
        other => panic!("not a summary: {other:?}"),
    }
}

fn span(json: &str) -> Result<Span, JsonError> {
    let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{json}]}}]}}]}}"#);
    let mut request = decode_traces(body.as_bytes())?;
    Ok(request.resource_spans.remove(0).scope_spans.remove(0).spans.remove(0))
}

fn record(json: &str) -> Result<LogRecord, JsonError> {
    let body = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{json}]}}]}}]}}"#);
    let mut request = decode_logs(body.as_bytes())?;
    Ok(request.resource_logs.remove(0).scope_logs.remove(0).log_records.remove(0))
}

/// The value of an attribute; the body of a log record goes the same way.
fn value(json: &str) -> Result<Option<Value>, JsonError> {
    let mut span = span(&format!(r#"{{"attributes":[{{"key":"k","value":{json}}}]}}"#))?;
    let KeyValue { key, value, .. } = span.attributes.remove(0);
    assert_eq!(key, "k");
    Ok(value.and_then(|value| value.value))
}

#[track_caller]
fn check_error<T: std::fmt::Debug>(result: Result<T, JsonError>, expected: &str) {
    let message = result.unwrap_err().to_string();
    assert!(message.contains(expected), "{message}");
}

#[test]
fn an_integer_point_may_be_a_string_or_a_number() {
    for json in [r#"{"asInt":"123"}"#, r#"{"asInt":123}"#, r#"{"asInt":1.23e2}"#] {
        assert_eq!(number_point(json).unwrap().value, Some(number_data_point::Value::AsInt(123)));
    }
    let point = number_point(r#"{"asInt":"-9223372036854775808"}"#).unwrap();
    assert_eq!(point.value, Some(number_data_point::Value::AsInt(i64::MIN)));
}

#[test]
fn a_double_point_may_be_nan_or_infinite() {
    let double = |json: &str| match number_point(json).unwrap().value {
        Some(number_data_point::Value::AsDouble(value)) => value,
        other => panic!("not a double: {other:?}"),
    };
    assert!(double(r#"{"asDouble":"NaN"}"#).is_nan());
    assert_eq!(double(r#"{"asDouble":"Infinity"}"#), f64::INFINITY);
    assert_eq!(double(r#"{"asDouble":"-Infinity"}"#), f64::NEG_INFINITY);
    assert_eq!(double(r#"{"asDouble":5}"#), 5.0);
    assert_eq!(double(r#"{"asDouble":"-1.5e3"}"#), -1500.0);
    assert_eq!(double(r#"{"asDouble":0}"#), 0.0);
}

#[test]
fn a_double_attribute_may_be_nan_or_infinite() {
    let Some(Value::DoubleValue(nan)) = value(r#"{"doubleValue":"NaN"}"#).unwrap() else {
        panic!("not a double");
    };
    assert!(nan.is_nan());
    let infinity = value(r#"{"doubleValue":"-Infinity"}"#).unwrap();
    assert_eq!(infinity, Some(Value::DoubleValue(f64::NEG_INFINITY)));
}

#[test]
fn an_exponential_histogram_point_needs_no_optional_field() {
    let point = exponential_point(
        r#"{"timeUnixNano":"7","count":"3","scale":-1,"positive":{"offset":1,"bucketCounts":["0",2]}}"#,
    )
    .unwrap();
    assert_eq!((point.time_unix_nano, point.count, point.scale), (7, 3, -1));
    let positive = point.positive.unwrap();
    assert_eq!((positive.offset, positive.bucket_counts), (1, vec![0, 2]));
    assert_eq!((point.negative, point.sum, point.min, point.max), (None, None, None, None));
    assert_eq!(exponential_point("{}").unwrap(), ExponentialHistogramDataPoint::default());
}

#[test]
fn a_histogram_point_may_carry_an_exemplar_with_a_double() {
    let point = histogram_point(
        r#"{"count":"2","sum":2,"bucketCounts":["1","1"],"explicitBounds":[1],
            "exemplars":[{"timeUnixNano":"9","asDouble":0.5,"spanId":"00f067aa0ba902b7"}]}"#,
    )
    .unwrap();
    assert_eq!((point.count, point.sum, point.bucket_counts), (2, Some(2.0), vec![1, 1]));
    assert_eq!(point.explicit_bounds, [1.0]);
    let exemplar = &point.exemplars[0];
    assert_eq!(exemplar.value, Some(exemplar::Value::AsDouble(0.5)));
    assert_eq!(exemplar.span_id, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
}

#[test]
fn a_quantile_without_a_value_is_zero() {
    let point = summary_point(
        r#"{"count":"1","sum":"2.5","quantileValues":[{"quantile":0.5},{"quantile":1,"value":2}]}"#,
    )
    .unwrap();
    assert_eq!((point.count, point.sum), (1, 2.5));
    let values: Vec<_> = point.quantile_values.iter().map(|q| (q.quantile, q.value)).collect();
    assert_eq!(values, [(0.5, 0.0), (1.0, 2.0)]);
}

#[test]
fn an_empty_object_is_an_empty_request() {
    assert_eq!(decode_traces(b"{}").unwrap(), ExportTraceServiceRequest::default());
    assert_eq!(decode_metrics(b" {} \n").unwrap(), ExportMetricsServiceRequest::default());
    assert_eq!(decode_logs(b"{}").unwrap(), ExportLogsServiceRequest::default());
}

#[test]
fn a_value_may_be_empty_or_an_empty_array_or_map() {
    assert_eq!(value("{}").unwrap(), None);
    let array = value(r#"{"arrayValue":{}}"#).unwrap();
    assert_eq!(array, Some(Value::ArrayValue(ArrayValue::default())));
    let map = value(r#"{"kvlistValue":{}}"#).unwrap();
    assert_eq!(map, Some(Value::KvlistValue(KeyValueList::default())));
    assert_eq!(record(r#"{"body":{}}"#).unwrap().body, Some(AnyValue::default()));
}

#[test]
fn null_is_the_same_as_a_missing_key() {
    for json in [
        r#"{"traceId":null,"name":null,"kind":null,"startTimeUnixNano":null,"attributes":null,
            "events":null,"links":null,"status":null,"flags":null}"#,
        r#"{"attributes":[null],"events":[null]}"#,
    ] {
        assert_eq!(span(json).unwrap(), Span::default());
    }
    let json = r#"{"asInt":null,"asDouble":1,"exemplars":null,"flags":null}"#;
    let point = number_point(json).unwrap();
    assert_eq!(point.value, Some(number_data_point::Value::AsDouble(1.0)));
    let json = r#"{"count":null,"sum":null,"bucketCounts":null,"min":null}"#;
    assert_eq!(histogram_point(json).unwrap(), HistogramDataPoint::default());
    assert_eq!(record(r#"{"body":null}"#).unwrap(), LogRecord::default());
    assert_eq!(metric(r#"{"gauge":null,"sum":null}"#).unwrap().data, None);
    assert_eq!(value("null").unwrap(), None);
    assert_eq!(value(r#"{"stringValue":null}"#).unwrap(), None);
    let body = br#"{"resourceLogs":[{"resource":null,"scopeLogs":[{"scope":null}]}]}"#;
    let request = decode_logs(body).unwrap();
    assert_eq!(request.resource_logs[0].resource, None);
    let empty = decode_logs(br#"{"resourceLogs":null}"#).unwrap();
    assert!(empty.resource_logs.is_empty());
}

#[test]
fn a_null_in_an_array_value_keeps_its_place() {
    let json = r#"{"arrayValue":{"values":[null,{"intValue":1}]}}"#;
    let Some(Value::ArrayValue(array)) = value(json).unwrap() else { panic!("not an array") };
    let one = AnyValue { value: Some(Value::IntValue(1)) };
    assert_eq!(array.values, [AnyValue::default(), one]);
}

#[test]
fn unknown_keys_are_ignored_and_snake_case_is_unknown() {
    let span = span(
        r#"{"name":"a","new":{"deep":[{"x":1},"2",null,true]},"trace_id":"nonsense","kind":3}"#,
    )
    .unwrap();
    assert_eq!((span.name.as_str(), span.kind, span.trace_id.len()), ("a", 3, 0));
}

#[test]
fn ids_are_hex_in_either_case() {
    let json = r#"{"traceId":"5B8EFFF798038103d269b633813fc60c","spanId":"eee19B7EC3C1B174",
        "parentSpanId":""}"#;
    let span = span(json).unwrap();
    let expected =
        [0x5b, 0x8e, 0xff, 0xf7, 0x98, 3, 0x81, 3, 0xd2, 0x69, 0xb6, 0x33, 0x81, 0x3f, 0xc6, 0x0c];
    assert_eq!(span.trace_id, expected);
    assert_eq!(span.span_id, [0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74]);
    assert!(span.parent_span_id.is_empty());
}

#[test]
fn an_id_that_is_not_hex_is_an_error_naming_the_key() {
    // The base64 that proto3's JSON mapping would use.
    check_error(span(r#"{"traceId":"W47/95gDgQPSabYzgT/GDA=="}"#), "hex digits for traceId");
    check_error(span(r#"{"spanId":"abc"}"#), "an even number of hex digits for spanId");
    check_error(record(r#"{"spanId":7}"#), "hex digits for spanId");
    check_error(span(r#"{"links":[{"traceId":"zz"}]}"#), "hex digits for traceId");
}

#[test]
fn enums_are_integers_and_names_are_refused() {
    assert_eq!(span(r#"{"kind":2,"status":{"code":2}}"#).unwrap().status.unwrap().code, 2);
    let name = r#"{"kind":"SPAN_KIND_SERVER"}"#;
    check_error(span(name), "expected an enum's integer (OTLP does not allow names) for kind");
    check_error(record(r#"{"severityNumber":"9"}"#), "for severityNumber");
    check_error(metric(r#"{"sum":{"aggregationTemporality":"x"}}"#), "for aggregationTemporality");
}

#[test]
fn an_integer_attribute_may_be_a_string_or_a_number() {
    assert_eq!(value(r#"{"intValue":"-5"}"#).unwrap(), Some(Value::IntValue(-5)));
    assert_eq!(value(r#"{"intValue":-5}"#).unwrap(), Some(Value::IntValue(-5)));
    let max = value(r#"{"intValue":"9223372036854775807"}"#).unwrap();
    assert_eq!(max, Some(Value::IntValue(i64::MAX)));
    check_error(value(r#"{"intValue":"9223372036854775808"}"#), "a 64-bit integer");
    check_error(value(r#"{"intValue":1.5}"#), "for intValue");
    check_error(value(r#"{"intValue":""}"#), "for intValue");
    check_error(value(r#"{"intValue":1e300}"#), "for intValue");
}

#[test]
fn times_are_unsigned() {
    let json =
        r#"{"timeUnixNano":"18446744073709551615","observedTimeUnixNano":1544712660300000000}"#;
    let record = record(json).unwrap();
    assert_eq!(record.time_unix_nano, u64::MAX);
    assert_eq!(record.observed_time_unix_nano, 1_544_712_660_300_000_000);
    check_error(super::tests::record(r#"{"timeUnixNano":"-1"}"#), "an unsigned 64-bit integer");
    check_error(super::tests::record(r#"{"timeUnixNano":-1}"#), "for timeUnixNano");
    check_error(span(r#"{"flags":4294967296}"#), "an unsigned 32-bit integer for flags");
}

#[test]
fn bytes_values_are_base64_in_both_alphabets() {
    let bytes = |text: &str| match value(&format!(r#"{{"bytesValue":"{text}"}}"#))? {
        Some(Value::BytesValue(bytes)) => Ok(bytes),
        other => panic!("not bytes: {other:?}"),
    };
    assert_eq!(bytes("").unwrap(), b"");
    assert_eq!(bytes("aGVsbG8=").unwrap(), b"hello");
    assert_eq!(bytes("aGVsbG8").unwrap(), b"hello");
    assert_eq!(bytes("aGVsbA==").unwrap(), b"hell");
    assert_eq!(bytes("aGVs").unwrap(), b"hel");
    assert_eq!(bytes("+/8=").unwrap(), [0xfb, 0xff]);
    assert_eq!(bytes("-_8").unwrap(), [0xfb, 0xff]);
    for wrong in ["a", "a===", "aGVs=", "a b=", "aGVsbG8==", "====", "=aaa"] {
        check_error(bytes(wrong), "base64 for bytesValue");
    }
}

#[test]
fn two_values_in_one_oneof_are_an_error() {
    let two = r#"{"stringValue":"a","intValue":"1"}"#;
    check_error(value(two), "intValue: another value is set already");
    check_error(number_point(r#"{"asInt":1,"asDouble":1}"#), "asDouble: another value");
    check_error(metric(r#"{"gauge":{},"sum":{}}"#), "sum: another value");
}

#[test]
fn keys_and_text_may_be_escaped() {
    let span = span(r#"{"na\u006de":"caf\u00e9 \ud83d\ude00 \"x\""}"#).unwrap();
    assert_eq!(span.name, "caf\u{e9} \u{1f600} \"x\"");
}

#[test]
fn doubles_are_read_exactly() {
    // The nearest double differs from what a truncating parser makes of these.
    for text in ["637.704", "9007199254740993.0", "2.2250738585072011e-308", "0.1"] {
        let expected: f64 = text.parse().unwrap();
        let value = value(&format!(r#"{{"doubleValue":{text}}}"#)).unwrap();
        assert_eq!(value, Some(Value::DoubleValue(expected)), "{text}");
    }
}

#[test]
fn errors_say_where_and_what() {
    let error = decode_traces(b"{\n  \"resourceSpans\": 5\n}").unwrap_err();
    assert_eq!((error.line, error.column), (2, 20));
    let expected = "invalid type: integer `5`, expected an array for resourceSpans";
    assert_eq!(error.message, expected);
    assert_eq!(error.to_string(), format!("line 2 column 20: {expected}"));

    check_error(decode_traces(b"[]"), "expected an object for the request");
    check_error(decode_traces(b"null"), "expected an object for the request");
    check_error(decode_traces(b"{} {}"), "line 1 column 4: trailing characters");
    check_error(decode_traces(b"{\"resourceSpans\":["), "EOF while parsing a list");
    check_error(span(r#"{"attributes":{}}"#), "expected an array for attributes");
    check_error(span(r#"{"status":1}"#), "expected an object for status");
    check_error(histogram_point(r#"{"bucketCounts":[null]}"#), "for bucketCounts");
    check_error(value(r#"{"boolValue":"true"}"#), "true or false for boolValue");
    check_error(value(r#"{"stringValue":5}"#), "a string for stringValue");
    check_error(value(r#"{"doubleValue":"inf"}"#), "for doubleValue");
}

#[test]
fn an_empty_body_is_an_error() {
    for body in [&b""[..], b" \n"] {
        check_error(decode_logs(body), "the body is empty, an empty request is {}");
    }
}

#[test]
fn nesting_has_a_limit_with_a_clear_message() {
    let nested = |levels: usize| {
        let open = r#"{"arrayValue":{"values":["#.repeat(levels);
        record(&format!(r#"{{"body":{open}{{}}{}}}"#, "]}}".repeat(levels)))
    };
    assert!(nested(30).is_ok());
    check_error(nested(1_000), "nested deeper than 128 levels");
    // What is ignored may nest as deep as it likes.
    let ignored = format!(r#"{{"x":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    assert!(decode_logs(ignored.as_bytes()).is_ok());
}

#[test]
fn what_a_browser_sdk_sends_is_read_whole() {
    // The JavaScript exporter writes doubles and integers as numbers and times as strings.
    let body = br#"{"resourceSpans":[{"resource":{"attributes":[
        {"key":"telemetry.sdk.language","value":{"stringValue":"webjs"}}],
        "droppedAttributesCount":0},"scopeSpans":[{"scope":{"name":"fetch","version":"0.57.1"},
        "spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174",
        "name":"GET","kind":3,"startTimeUnixNano":"1736928000000000000",
        "endTimeUnixNano":"1736928000250000000","attributes":[
        {"key":"http.response.status_code","value":{"intValue":200}},
        {"key":"ratio","value":{"doubleValue":0.25}},
        {"key":"tags","value":{"arrayValue":{"values":[{"stringValue":"a"},{"boolValue":true}]}}}],
        "droppedAttributesCount":0,"events":[{"attributes":[],"name":"fetchStart",
        "timeUnixNano":"1736928000000000000","droppedAttributesCount":0}],"droppedEventsCount":0,
        "status":{"code":0},"links":[],"droppedLinksCount":0,"flags":257}]}]}]}"#;
    let request = decode_traces(body).unwrap();
    let span = &request.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!((span.kind, span.flags, span.attributes.len()), (3, 257, 3));
    let status = span.attributes[0].value.as_ref().unwrap();
    assert_eq!(status.value, Some(Value::IntValue(200)));
    assert_eq!(span.events[0].time_unix_nano, 1_736_928_000_000_000_000);
}

#[test]
fn what_the_collector_sends_is_read_whole() {
    // The Collector's exporter writes every 64-bit integer as a string.
    let body = br#"{"resourceMetrics":[{"resource":{},"scopeMetrics":[{"scope":{},"metrics":[
        {"name":"requests","unit":"1","sum":{"dataPoints":[{"attributes":[
        {"key":"code","value":{"intValue":"200"}}],"startTimeUnixNano":"1","timeUnixNano":"2",
        "asInt":"42","exemplars":[{"timeUnixNano":"2","asInt":"7",
        "spanId":"00f067aa0ba902b7","traceId":"4bf92f3577b34da6a3ce929d0e0e4736"}]}],
        "aggregationTemporality":2,"isMonotonic":true},
        "metadata":[{"key":"prometheus.type","value":{"stringValue":"counter"}}]}]}]}]}"#;
    let request = decode_metrics(body).unwrap();
    let metric = &request.resource_metrics[0].scope_metrics[0].metrics[0];
    assert_eq!(metric.metadata[0].key, "prometheus.type");
    let Some(Data::Sum(sum)) = &metric.data else { panic!("not a sum") };
    assert_eq!((sum.aggregation_temporality, sum.is_monotonic), (2, true));
    let point = &sum.data_points[0];
    assert_eq!(point.value, Some(number_data_point::Value::AsInt(42)));
    assert_eq!(point.exemplars[0].value, Some(exemplar::Value::AsInt(7)));
}

/// One of the example files of the OTLP specification, or `None` where they are not at hand.
fn example(name: &str) -> Option<Vec<u8>> {
    let shared = std::env::var_os("SIGNALBOX_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        PathBuf::from,
    );
    let path = shared.join("conformance/otlp").join(name);
    match std::fs::read(&path) {
        Ok(body) => Some(body),
        Err(error) => {
            println!("NOT RUN: {}: {error}; set SIGNALBOX_SHARED", path.display());
            None
        }
    }
}

#[test]
fn the_example_trace_is_read() {
    let Some(body) = example("trace.json") else { return };
    let request = decode_traces(&body).unwrap();
    let span = &request.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!((span.name.as_str(), span.kind), ("I'm a server span", 2));
    assert_eq!(span.parent_span_id, [0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x73]);
    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 1_000_000_000);
}

#[test]
fn the_example_metrics_are_read() {
    let Some(body) = example("metrics.json") else { return };
    let request = decode_metrics(&body).unwrap();
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    let names: Vec<_> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    let expected = ["my.counter", "my.gauge", "my.histogram", "my.exponential.histogram"];
    assert_eq!(names, expected);
    let Some(Data::Sum(sum)) = &metrics[0].data else { panic!("not a sum") };
    let value = sum.data_points[0].value;
    assert_eq!(value, Some(number_data_point::Value::AsDouble(5.0)));
    let Some(Data::Histogram(histogram)) = &metrics[2].data else { panic!("not a histogram") };
    assert_eq!(histogram.data_points[0].max, Some(2.0));
    let Some(Data::ExponentialHistogram(histogram)) = &metrics[3].data else {
        panic!("not an exponential histogram");
    };
    let positive = histogram.data_points[0].positive.as_ref().unwrap();
    assert_eq!(positive.bucket_counts, [0, 2]);
}

#[test]
fn the_example_logs_are_read() {
    let Some(body) = example("logs.json") else { return };
    let request = decode_logs(&body).unwrap();
    let record = &request.resource_logs[0].scope_logs[0].log_records[0];
    assert_eq!((record.severity_number, record.attributes.len()), (10, 6));
    let body = record.body.as_ref().unwrap();
    assert_eq!(body.value, Some(Value::StringValue("Example log record".to_owned())));
    let double = record.attributes[3].value.as_ref().unwrap();
    assert_eq!(double.value, Some(Value::DoubleValue(637.704)));
}

#[test]
fn the_example_events_are_read() {
    let Some(body) = example("events.json") else { return };
    let request = decode_logs(&body).unwrap();
    let record = &request.resource_logs[0].scope_logs[0].log_records[0];
    assert_eq!(record.event_name, "browser.page_view");
    let Some(AnyValue { value: Some(Value::KvlistValue(map)) }) = &record.body else {
        panic!("not a map");
    };
    assert_eq!(map.values.len(), 4);
    assert_eq!(map.values[0].value.as_ref().unwrap().value, Some(Value::IntValue(0)));
}

#[test]
fn a_json_body_becomes_the_protobuf_of_the_same_request() {
    let body = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a"}]}]}]}"#;
    let bytes = to_protobuf(Signal::Traces, body).unwrap();
    assert_eq!(
        ExportTraceServiceRequest::decode(&bytes[..]).unwrap(),
        decode_traces(body).unwrap()
    );
}
