//! What the property tests do not reach: fields out of order, both forms of packed numbers, depth,
//! and the text of errors.

use prost::Message as _;

use super::*;
use crate::generated::opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest;
use crate::generated::opentelemetry::proto::common::v1::any_value::Value;
use crate::generated::opentelemetry::proto::common::v1::{
    AnyValue, ArrayValue, KeyValue, KeyValueList,
};
use crate::generated::opentelemetry::proto::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use crate::wire::{DecodeError, Problem, delimited};

/// A length-delimited field.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![delimited(u32::from(number)) as u8];
    assert!(value.len() < 0x4000);
    if value.len() < 0x80 {
        bytes.push(value.len() as u8);
    } else {
        bytes.extend([value.len() as u8 | 0x80, (value.len() >> 7) as u8]);
    }
    bytes.extend(value);
    bytes
}

/// A request with one message at its innermost level.
fn request(innermost: &[u8]) -> Vec<u8> {
    field(1, &field(2, &field(2, innermost)))
}

fn only_span(bytes: &[u8]) -> Result<SpanRef<'_>, DecodeError> {
    let resource = TracesRef::new(bytes).resource_spans().next().unwrap()?;
    let scope = resource.scope_spans().next().unwrap()?;
    scope.spans().next().unwrap()
}

fn only_metric(bytes: &[u8]) -> Result<MetricRef<'_>, DecodeError> {
    let resource = MetricsRef::new(bytes).resource_metrics().next().unwrap()?;
    let scope = resource.scope_metrics().next().unwrap()?;
    scope.metrics().next().unwrap()
}

#[test]
fn an_empty_request_has_no_items() {
    assert!(TracesRef::new(b"").resource_spans().next().is_none());
    assert!(MetricsRef::new(b"").resource_metrics().next().is_none());
    assert!(LogsRef::new(b"").resource_logs().next().is_none());
}

#[test]
fn fields_may_come_in_any_order_with_unknown_ones_between() {
    let attribute = |key: &[u8]| field(9, &[field(2, &field(1, b"v")), field(1, key)].concat());
    let span = [
        attribute(b"a"),
        field(5, b"first name"),
        vec![0xa0, 0x06, 0x01], // Field 100.
        attribute(b"b"),
        field(1, &[7; 16]),
        field(5, b"last name"),
        attribute(b"c"),
        vec![0x30, 0x02],
    ];
    let bytes = request(&span.concat());
    let span = only_span(&bytes).unwrap();
    assert_eq!((span.name, span.kind, span.trace_id), ("last name", 2, &[7; 16][..]));
    let keys: Vec<_> = span.attributes().map(|pair| pair.unwrap().key).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    assert!(span.attributes().all(|pair| matches!(pair.unwrap().value, ValueRef::Str("v"))));
    assert_eq!(span.attributes().size_hint(), (0, Some(3)));
}

#[test]
fn bucket_numbers_may_be_packed_or_not_or_both() {
    let packed = [1_u64, 2].map(u64::to_le_bytes).concat();
    let single = [vec![0x31], 3_u64.to_le_bytes().to_vec()].concat();
    let bounds = field(7, &0.5_f64.to_le_bytes());
    let point = [field(6, &packed), bounds, single, field(6, &[])].concat();
    let bytes = request(&field(9, &field(1, &point)));
    let MetricDataRef::Histogram { mut points, .. } = only_metric(&bytes).unwrap().data else {
        panic!("not a histogram");
    };
    let point = points.next().unwrap().unwrap();
    assert_eq!(point.bucket_counts().len(), 3);
    assert_eq!(point.bucket_counts().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(point.explicit_bounds().collect::<Vec<_>>(), [0.5]);

    let buckets = [vec![0x10, 0x05], field(2, &[0x80, 0x01, 0x00])].concat();
    let bytes = request(&field(10, &field(1, &field(8, &buckets))));
    let MetricDataRef::ExponentialHistogram { mut points, .. } = only_metric(&bytes).unwrap().data
    else {
        panic!("not an exponential histogram");
    };
    let point = points.next().unwrap().unwrap();
    assert_eq!(point.positive.bucket_counts().collect::<Vec<_>>(), [5, 128, 0]);
    assert_eq!(point.negative.bucket_counts().len(), 0);
}

#[test]
fn raw_attributes_are_the_bytes_of_each_pair() {
    let (a, b) = (field(1, b"a"), field(1, b"b"));
    let point = [field(7, &a), vec![0x40, 0x01], field(7, &b)].concat();
    let bytes = request(&field(5, &field(1, &point)));
    let MetricDataRef::Gauge { mut points } = only_metric(&bytes).unwrap().data else {
        panic!("not a gauge");
    };
    let mut raw = Vec::new();
    points.next().unwrap().unwrap().for_each_attribute_raw(|pair| raw.push(pair));
    assert_eq!(raw, [&a[..], &b[..]]);
}

#[track_caller]
fn check_span_error(span: &[u8], expected: &str) {
    let bytes = request(span);
    let error = only_span(&bytes).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn errors_name_message_field_and_byte() {
    // The span begins at byte 6.
    check_span_error(&field(5, &[0xff]), "span.name at byte 7: text is not UTF-8");
    check_span_error(
        &[0x2a, 200, 1, b'x'],
        "span.name at byte 7: length 200 runs past the end of the message",
    );
    check_span_error(
        &[0x28, 1],
        "span at byte 6: field 5 has wire type 0, which its type does not allow",
    );
    check_span_error(&field(15, &field(2, &[0xc0])), "status.message at byte 9: text is not UTF-8");
    check_span_error(
        &[field(15, b""), field(15, b"")].concat(),
        "span.status at byte 8: a field that may appear once appears again",
    );
}

#[test]
fn a_malformed_span_does_not_hide_the_next_one() {
    let scope = [field(2, &field(5, &[0xff])), field(2, &field(5, b"fine"))].concat();
    let bytes = field(1, &field(2, &scope));
    let resource = TracesRef::new(&bytes).resource_spans().next().unwrap().unwrap();
    let scope = resource.scope_spans().next().unwrap().unwrap();
    let names: Vec<_> = scope.spans().map(|span| span.map(|span| span.name)).collect();
    assert!(names[0].is_err());
    assert_eq!(names[1].as_ref().unwrap(), &"fine");
}

#[test]
fn a_malformed_request_ends_with_one_error() {
    let bytes = [field(1, b""), vec![0x0a, 9]].concat();
    let groups: Vec<_> = TracesRef::new(&bytes).resource_spans().collect();
    assert_eq!(groups.len(), 2);
    assert!(groups[0].is_ok());
    let expected = "resource_spans at byte 3: length 9 runs past the end of the message";
    assert_eq!(groups[1].as_ref().unwrap_err().to_string(), expected);
}

#[test]
fn metric_data_given_twice_is_refused() {
    let bytes = request(&[field(5, b""), field(7, b"")].concat());
    let error = only_metric(&bytes).unwrap_err();
    assert_eq!((error.problem(), error.field()), (Problem::Repeated, "data"));
}

#[test]
fn of_two_scalar_values_the_last_one_counts_and_an_array_must_be_alone() {
    let pair = |value: &[u8]| request(&field(9, &field(2, value)));
    let bytes = pair(&[field(1, b"text"), vec![0x18, 5]].concat());
    let first = only_span(&bytes).unwrap().attributes().next().unwrap().unwrap();
    assert!(matches!(first.value, ValueRef::Int(5)));

    let bytes = pair(&[field(5, b""), vec![0x18, 5]].concat());
    let error = only_span(&bytes).unwrap().attributes().next().unwrap().unwrap_err();
    assert_eq!(error.problem(), Problem::Repeated);
}

/// Walks a value to its leaves, as a careless consumer would.
fn walk(value: ValueRef<'_>) -> Result<usize, DecodeError> {
    let mut deepest = 0;
    match value {
        ValueRef::Array(array) => {
            for value in array.values() {
                deepest = deepest.max(walk(value?)?);
            }
        }
        ValueRef::Map(map) => {
            for pair in map.entries() {
                deepest = deepest.max(walk(pair?.value)?);
            }
        }
        _ => {}
    }
    Ok(deepest + 1)
}

fn nested_value(depth: usize) -> AnyValue {
    let mut value = AnyValue { value: Some(Value::IntValue(1)) };
    for level in 1..depth {
        let nested = if level % 2 == 0 {
            Value::ArrayValue(ArrayValue { values: vec![value] })
        } else {
            let pair = KeyValue { key: "k".to_owned(), value: Some(value), ..Default::default() };
            Value::KvlistValue(KeyValueList { values: vec![pair] })
        };
        value = AnyValue { value: Some(nested) };
    }
    value
}

fn walk_body(body: AnyValue) -> Result<usize, DecodeError> {
    let log_records = vec![LogRecord { body: Some(body), ..Default::default() }];
    let scope_logs = vec![ScopeLogs { log_records, ..Default::default() }];
    let resource_logs = vec![ResourceLogs { scope_logs, ..Default::default() }];
    let bytes = ExportLogsServiceRequest { resource_logs }.encode_to_vec();
    let resource = LogsRef::new(&bytes).resource_logs().next().unwrap()?;
    let scope = resource.scope_logs().next().unwrap()?;
    let record = scope.log_records().next().unwrap()?;
    walk(record.body.unwrap())
}

#[test]
fn values_nest_to_the_limit_and_a_thousand_levels_are_an_error() {
    assert_eq!(walk_body(nested_value(MAX_VALUE_DEPTH)), Ok(MAX_VALUE_DEPTH));
    for depth in [MAX_VALUE_DEPTH + 1, 1_000] {
        let error = walk_body(nested_value(depth)).unwrap_err();
        assert_eq!(error.problem(), Problem::ValueTooDeep);
        assert!(error.to_string().ends_with("the value nests deeper than 64 levels"), "{error}");
    }
}
