//! The JSON of a push, today's form and the one from before Loki 1.0; text is borrowed where it has
//! no escapes.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// `{"streams": [...]}`.
#[derive(Debug, Deserialize)]
pub(super) struct Push<'a> {
    #[serde(borrow)]
    pub(super) streams: Vec<Stream<'a>>,
}

/// One stream: `stream` and `values`, or of old `labels` and `entries`.
#[derive(Debug, Deserialize)]
pub(super) struct Stream<'a> {
    #[serde(borrow)]
    pub(super) stream: Option<Pairs<'a>>,
    #[serde(borrow, default)]
    pub(super) values: Vec<Value<'a>>,
    #[serde(borrow)]
    pub(super) labels: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) entries: Vec<Entry<'a>>,
}

/// `{"ts": "2026-11-22T09:00:00Z", "line": "..."}`, the older form of a value.
#[derive(Debug, Deserialize)]
pub(super) struct Entry<'a> {
    #[serde(borrow)]
    pub(super) ts: Text<'a>,
    #[serde(borrow)]
    pub(super) line: Text<'a>,
    #[serde(borrow, default, rename = "structuredMetadata")]
    pub(super) metadata: Pairs<'a>,
}

/// A string. What is no text in it, bytes or halves of surrogate pairs, is replaced, as it is in
/// protobuf: agents send what programs have written.
#[derive(Debug, Clone)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

/// An object of strings, in order.
#[derive(Debug, Default)]
pub(super) struct Pairs<'a>(pub(super) Vec<(Text<'a>, Text<'a>)>);

/// `["<unix nanoseconds>", "<line>", {metadata}]`.
#[derive(Debug)]
pub(super) struct Value<'a> {
    pub(super) unix_nanos: Text<'a>,
    pub(super) line: Text<'a>,
    pub(super) metadata: Pairs<'a>,
}

/// Reads a body; the error says where it is wrong and what a push looks like.
pub(super) fn read(body: &[u8]) -> Result<Push<'_>, String> {
    serde_json::from_slice(body).map_err(|error| {
        format!(
            "the body is not a push: {error}; one looks like {{\"streams\": [{{\"stream\": \
             {{\"app\": \"shop\"}}, \"values\": [[\"<unix nanoseconds>\", \"<line>\"]]}}]}}"
        )
    })
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Text<'de>, E> {
                Ok(Text(String::from_utf8_lossy(bytes)))
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Text<'de>, E> {
                Ok(Text(String::from_utf8_lossy(bytes).into_owned().into()))
            }
        }
        deserializer.deserialize_bytes(TextVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object whose values are strings")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs<'de>, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }

            fn visit_unit<E: Error>(self) -> Result<Pairs<'de>, E> {
                Ok(Pairs::default())
            }
        }
        deserializer.deserialize_any(PairsVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = Value<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[\"<unix nanoseconds>\", \"<line>\"], with metadata or without")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Value<'de>, S::Error> {
                let short = |found| S::Error::invalid_length(found, &self);
                let unix_nanos = seq.next_element()?.ok_or_else(|| short(0))?;
                let line = seq.next_element()?.ok_or_else(|| short(1))?;
                let metadata = seq.next_element()?.unwrap_or_default();
                if seq.next_element::<IgnoredAny>()?.is_some() {
                    return Err(short(4));
                }
                Ok(Value { unix_nanos, line, metadata })
            }
        }
        deserializer.deserialize_seq(ValueVisitor)
    }
}
