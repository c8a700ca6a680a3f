//! Attribute values: OTLP's `AnyValue`, owned and borrowed.

use std::fmt;

/// An attribute value, owned.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// No value was set.
    #[default]
    Empty,
    /// Text.
    Str(String),
    /// Truth.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// A list, possibly of mixed types.
    Array(Vec<Value>),
    /// Names and values in the sender's order; names may repeat.
    Map(Vec<(String, Value)>),
}

/// An attribute value on its way into a store; borrows from the request.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueRef<'a> {
    /// No value was set.
    Empty,
    /// Text.
    Str(&'a str),
    /// Truth.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// Raw bytes.
    Bytes(&'a [u8]),
    /// An array or a map: rare, so owned.
    Nested(Box<Value>),
}

impl ValueRef<'_> {
    /// Copies into an owned value.
    pub fn to_value(&self) -> Value {
        match self {
            ValueRef::Empty => Value::Empty,
            ValueRef::Str(text) => Value::Str((*text).to_owned()),
            ValueRef::Bool(b) => Value::Bool(*b),
            ValueRef::Int(i) => Value::Int(*i),
            ValueRef::Double(d) => Value::Double(*d),
            ValueRef::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            ValueRef::Nested(value) => (**value).clone(),
        }
    }
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Empty => ValueRef::Empty,
            Value::Str(text) => ValueRef::Str(text),
            Value::Bool(b) => ValueRef::Bool(*b),
            Value::Int(i) => ValueRef::Int(*i),
            Value::Double(d) => ValueRef::Double(*d),
            Value::Bytes(bytes) => ValueRef::Bytes(bytes),
            nested => ValueRef::Nested(Box::new(nested.clone())),
        }
    }
}

/// The text of a value as a label or as structured metadata: strings as they are, bytes as base64,
/// arrays and maps as JSON (OpenTelemetry specification, common/README "AnyValue for non-OTLP").
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Str(text) => f.write_str(text),
            Value::Bytes(bytes) => write_base64(bytes, f),
            other => write_json(other, f),
        }
    }
}

impl fmt::Display for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueRef::Str(text) => f.write_str(text),
            ValueRef::Bytes(bytes) => write_base64(bytes, f),
            ValueRef::Empty => Ok(()),
            ValueRef::Bool(b) => write!(f, "{b}"),
            ValueRef::Int(i) => write!(f, "{i}"),
            ValueRef::Double(d) => write_double(*d, f),
            ValueRef::Nested(value) => write_json(value, f),
        }
    }
}

fn write_double(value: f64, f: &mut impl fmt::Write) -> fmt::Result {
    if value.is_nan() {
        f.write_str("NaN")
    } else if value.is_infinite() {
        f.write_str(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        write!(f, "{value}")
    }
}

fn write_json(value: &Value, f: &mut impl fmt::Write) -> fmt::Result {
    match value {
        Value::Empty => Ok(()),
        Value::Str(text) => write_json_string(text, f),
        Value::Bool(b) => write!(f, "{b}"),
        Value::Int(i) => write!(f, "{i}"),
        Value::Double(d) if d.is_finite() => write_double(*d, f),
        Value::Double(d) => {
            f.write_char('"')?;
            write_double(*d, f)?;
            f.write_char('"')
        }
        Value::Bytes(bytes) => {
            f.write_char('"')?;
            write_base64(bytes, f)?;
            f.write_char('"')
        }
        Value::Array(items) => {
            f.write_char('[')?;
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    f.write_char(',')?;
                }
                write_json_member(item, f)?;
            }
            f.write_char(']')
        }
        Value::Map(entries) => {
            f.write_char('{')?;
            for (i, (name, item)) in entries.iter().enumerate() {
                if i > 0 {
                    f.write_char(',')?;
                }
                write_json_string(name, f)?;
                f.write_char(':')?;
                write_json_member(item, f)?;
            }
            f.write_char('}')
        }
    }
}

fn write_json_member(value: &Value, f: &mut impl fmt::Write) -> fmt::Result {
    if *value == Value::Empty { f.write_str("null") } else { write_json(value, f) }
}

fn write_json_string(text: &str, f: &mut impl fmt::Write) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if u32::from(c) < 0x20 => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

fn write_base64(bytes: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, b| word << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let c = if i <= chunk.len() {
                char::from(ALPHABET[(word >> (18 - 6 * i) & 63) as usize])
            } else {
                '='
            };
            f.write_char(c)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_as_the_specification_says() {
        assert_eq!(Value::Str("a\"b".into()).to_string(), "a\"b");
        assert_eq!(Value::Bytes(b"hell".to_vec()).to_string(), "aGVsbA==");
        assert_eq!(Value::Bytes(b"hello!".to_vec()).to_string(), "aGVsbG8h");
        let nested = Value::Map(vec![
            ("a".into(), Value::Array(vec![Value::Int(1), Value::Empty, Value::Str("x\n".into())])),
            ("b".into(), Value::Double(f64::NAN)),
        ]);
        assert_eq!(nested.to_string(), r#"{"a":[1,null,"x\n"],"b":"NaN"}"#);
        assert_eq!(Value::Empty.to_string(), "");
        assert_eq!(Value::Double(1.5).to_string(), "1.5");
    }
}
