//! Pieces that the three mappings share: values, ids, times, names of fields.

use std::borrow::Cow;

use model::{ErrorKind, SpanId, TimestampNs, TraceId, Value};
use proto::DecodeError;
use proto::otlp::ValueRef;

use crate::rejection::Rejection;

impl From<DecodeError> for Rejection {
    fn from(error: DecodeError) -> Self {
        let message = format!("the request is not valid OTLP protobuf: {error}");
        Rejection::permanent("bad_protobuf", ErrorKind::BadRequest, message)
    }
}

/// An owned value; the depth of nesting is bounded by the walker.
pub(crate) fn to_value(value: ValueRef<'_>) -> Result<Value, DecodeError> {
    Ok(match value {
        ValueRef::Empty => Value::Empty,
        ValueRef::Str(text) => Value::Str(text.to_owned()),
        ValueRef::Bool(b) => Value::Bool(b),
        ValueRef::Int(i) => Value::Int(i),
        ValueRef::Double(d) => Value::Double(d),
        ValueRef::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
        ValueRef::Array(array) => {
            let items = array.values().map(|item| to_value(item?));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        ValueRef::Map(map) => {
            let entries = map.entries().map(|entry| {
                let entry = entry?;
                Ok((entry.key.to_owned(), to_value(entry.value)?))
            });
            Value::Map(entries.collect::<Result<_, DecodeError>>()?)
        }
    })
}

/// The value as a batch of `model` carries it.
#[inline]
pub(crate) fn to_value_ref(value: ValueRef<'_>) -> Result<model::value::ValueRef<'_>, DecodeError> {
    use model::value::ValueRef as Out;
    Ok(match value {
        ValueRef::Empty => Out::Empty,
        ValueRef::Str(text) => Out::Str(text),
        ValueRef::Bool(b) => Out::Bool(b),
        ValueRef::Int(i) => Out::Int(i),
        ValueRef::Double(d) => Out::Double(d),
        ValueRef::Bytes(bytes) => Out::Bytes(bytes),
        nested => Out::Nested(Box::new(to_value(nested)?)),
    })
}

/// The value as text: a label, a field, a line.
pub(crate) fn to_text(value: ValueRef<'_>) -> Result<Cow<'_, str>, DecodeError> {
    Ok(match value {
        ValueRef::Str(text) => Cow::Borrowed(text),
        ValueRef::Bool(true) => Cow::Borrowed("true"),
        ValueRef::Bool(false) => Cow::Borrowed("false"),
        ValueRef::Empty => Cow::Borrowed(""),
        other => Cow::Owned(to_value(other)?.to_string()),
    })
}

/// OTLP's unsigned nanoseconds; `None` if they are beyond the year 2262.
pub(crate) fn to_time(unix_nano: u64) -> Option<TimestampNs> {
    i64::try_from(unix_nano).ok().map(TimestampNs)
}

/// A trace id of 16 bytes that is not all zeros.
pub(crate) fn to_trace_id(bytes: &[u8]) -> Option<TraceId> {
    <[u8; 16]>::try_from(bytes).ok().map(TraceId).filter(|id| !id.is_zero())
}

/// A span id of 8 bytes that is not all zeros.
pub(crate) fn to_span_id(bytes: &[u8]) -> Option<SpanId> {
    <[u8; 8]>::try_from(bytes).ok().map(SpanId).filter(|id| !id.is_zero())
}

/// Lower-case hex digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        hex.push(char::from(DIGITS[usize::from(byte >> 4)]));
        hex.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    hex
}

/// A name of letters, digits and underscores: everything else and the name that is empty, which no
/// query could find, become an underscore, and a leading digit gets one in front (Loki `pkg/loghttp/push/otlp.go` by way of Prometheus's
/// `NormalizeLabel`).
pub(crate) fn to_field_name(name: &str) -> Cow<'_, str> {
    let is_clean = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let starts_with_digit = name.as_bytes().first().is_some_and(u8::is_ascii_digit);
    if name.is_empty() {
        return Cow::Owned("_".to_owned());
    }
    if !starts_with_digit && name.bytes().all(is_clean) {
        return Cow::Borrowed(name);
    }
    let mut clean = String::with_capacity(name.len() + 1);
    if starts_with_digit {
        clean.push_str("key_");
    }
    for c in name.chars() {
        clean.push(if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' });
    }
    Cow::Owned(clean)
}

/// Why an item with this many attributes is refused.
pub(crate) fn too_many_attributes(what: &str, count: usize, limit: usize) -> String {
    format!("{what} has {count} attributes, the limit is {limit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_names_are_cleaned_like_labels() {
        assert_eq!(to_field_name("http.status-code"), "http_status_code");
        assert_eq!(to_field_name("plain_1"), "plain_1");
        assert_eq!(to_field_name("1st"), "key_1st");
        assert_eq!(to_field_name(""), "_");
        assert_eq!(to_field_name("gr\u{f6}\u{df}e"), "gr__e");
    }
}
