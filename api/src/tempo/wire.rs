//! JSON as golang/protobuf's jsonpb writes messages: keys in the order of the message, fields with
//! default values left out, 64-bit numbers as strings.

use proto::generated::opentelemetry::proto::common::v1::any_value::Value;
use proto::generated::opentelemetry::proto::common::v1::{AnyValue, KeyValue};

use crate::json::Json;

/// A JSON object under construction.
pub(super) struct Object<'a> {
    json: &'a mut Json,
    is_first: bool,
}

/// Writes an object; `write` adds its fields.
pub(super) fn object(json: &mut Json, write: impl FnOnce(&mut Object<'_>)) {
    json.raw("{");
    write(&mut Object { json, is_first: true });
    json.raw("}");
}

impl Object<'_> {
    /// Starts a field; the caller writes its value.
    pub(super) fn key(&mut self, name: &str) -> &mut Json {
        if !std::mem::replace(&mut self.is_first, false) {
            self.json.raw(",");
        }
        self.json.string(name);
        self.json.raw(":");
        self.json
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.key(name).string(text);
        }
    }

    /// A number of at most 32 bits.
    pub(super) fn small(&mut self, name: &str, number: u32) {
        if number != 0 {
            self.key(name).raw_fmt(format_args!("{number}"));
        }
    }

    /// A number of 64 bits.
    pub(super) fn large(&mut self, name: &str, number: u64) {
        if number != 0 {
            self.key(name).raw_fmt(format_args!("\"{number}\""));
        }
    }

    pub(super) fn bytes(&mut self, name: &str, bytes: &[u8]) {
        if !bytes.is_empty() {
            base64(self.key(name), bytes);
        }
    }

    pub(super) fn list<T>(&mut self, name: &str, items: &[T], write: impl Fn(&mut Json, &T)) {
        if !items.is_empty() {
            self.key(name).array(items, write);
        }
    }

    pub(super) fn attributes(&mut self, attributes: &[KeyValue]) {
        self.list("attributes", attributes, key_value);
    }
}

fn base64(json: &mut Json, bytes: &[u8]) {
    // The text of bytes is base64 wherever OTLP has no better one.
    json.string(&model::Value::Bytes(bytes.to_vec()).to_string());
}

/// `{"key":..,"value":{"stringValue":..}}`.
pub(super) fn key_value(json: &mut Json, pair: &KeyValue) {
    object(json, |object| {
        object.key("key").string(&pair.key);
        let json = object.key("value");
        match &pair.value {
            Some(value) => any_value(json, value),
            None => json.raw("{}"),
        }
    });
}

/// A floating-point number; jsonpb quotes what JSON has no number for.
pub(super) fn double(json: &mut Json, value: f64) {
    if value.is_nan() {
        json.raw("\"NaN\"");
    } else if value.is_infinite() {
        json.raw(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    } else {
        json.raw_fmt(format_args!("{value}"));
    }
}

fn any_value(json: &mut Json, value: &AnyValue) {
    object(json, |object| match &value.value {
        None => {}
        Some(Value::StringValue(text)) => object.key("stringValue").string(text),
        Some(Value::BoolValue(b)) => object.key("boolValue").raw(if *b { "true" } else { "false" }),
        Some(Value::IntValue(i)) => object.key("intValue").raw_fmt(format_args!("\"{i}\"")),
        Some(Value::DoubleValue(d)) => double(object.key("doubleValue"), *d),
        Some(Value::BytesValue(bytes)) => base64(object.key("bytesValue"), bytes),
        Some(Value::ArrayValue(array)) => {
            self::object(object.key("arrayValue"), |o| o.list("values", &array.values, any_value));
        }
        Some(Value::KvlistValue(list)) => {
            self::object(object.key("kvlistValue"), |o| o.list("values", &list.values, key_value));
        }
        Some(Value::StringValueStrindex(i)) => {
            object.key("stringValueStrindex").raw_fmt(format_args!("{i}"));
        }
    });
}
