//! A reader of answers to log queries that minds the order of keys, as Grafana's streaming reader does:
//! it does not go back for what comes too late.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// What a reader makes of an answer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) kind: String,
    pub(crate) series: Vec<Series>,
}

/// Labels with lines, or with points.
#[derive(Debug, PartialEq)]
pub(crate) struct Series {
    pub(crate) labels: Vec<(String, String)>,
    /// Time, line or number, and labels by kind.
    pub(crate) values: Vec<(String, String, serde_json::Value)>,
}

/// Reads an answer, or panics with what a streaming reader trips over.
pub(crate) fn read(text: &str) -> Answer {
    let entries = Object::parse(text).0;
    assert_eq!(entries[0].0, "status", "{text}");
    assert_eq!(entries[0].1, "\"success\"", "{text}");
    let data = entries.iter().find(|(key, _)| key == "data").unwrap();
    let mut answer = Answer::default();
    let mut has_flags = false;
    let mut has_result = false;
    for (key, value) in Object::parse(&data.1).0 {
        match key.as_str() {
            "resultType" => {
                assert!(!has_result, "resultType behind result: {text}");
                answer.kind = serde_json::from_str(&value).unwrap();
            }
            "encodingFlags" => {
                assert!(!has_result, "encodingFlags behind result: {text}");
                has_flags = value == r#"["categorize-labels"]"#;
            }
            "result" => {
                has_result = true;
                let list: List = serde_json::from_str(&value).unwrap();
                answer.series =
                    list.0.iter().map(|item| series(item, &answer.kind, has_flags)).collect();
            }
            _ => {}
        }
    }
    assert!(has_result, "{text}");
    answer
}

fn series(text: &str, kind: &str, has_flags: bool) -> Series {
    let entries = Object::parse(text).0;
    let (labels, values) =
        if kind == "streams" { ("stream", "values") } else { ("metric", "value") };
    assert_eq!(entries[0].0, labels, "labels come first: {text}");
    assert!(entries[1].0.starts_with(values), "{text}");
    let labels = Object::parse(&entries[0].1).0;
    let labels =
        labels.into_iter().map(|(name, value)| (name, serde_json::from_str(&value).unwrap()));
    let is_list = entries[1].0 == "values";
    let rows: Vec<Vec<serde_json::Value>> = if is_list {
        serde_json::from_str(&entries[1].1).unwrap()
    } else {
        vec![serde_json::from_str(&entries[1].1).unwrap()]
    };
    let arity = if kind == "streams" && has_flags { 3 } else { 2 };
    let plain = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let values = rows.iter().map(|row| {
        assert_eq!(row.len(), arity, "{text}");
        let categories = row.get(2).cloned().unwrap_or_default();
        assert!(arity == 2 || categories.is_object(), "{text}");
        (plain(&row[0]), plain(&row[1]), categories)
    });
    Series { values: values.collect(), labels: labels.collect() }
}

/// Keys with their values as text, in the order in which they came.
struct Object(Vec<(String, String)>);

/// Values as text.
struct List(Vec<String>);

impl Object {
    fn parse(text: &str) -> Object {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Object;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object, M::Error> {
                let mut found = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    found.push((key, map.next_value::<Ordered>()?.0));
                }
                Ok(Object(found))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Ordered>::deserialize(deserializer)
            .map(|items| List(items.into_iter().map(|item| item.0).collect()))
    }
}

/// Any value, written again with its keys in the order in which they came.
struct Ordered(String);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Ordered;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a value")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Ordered, M::Error> {
                let mut parts = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    let value = map.next_value::<Ordered>()?.0;
                    parts.push(format!("{}:{value}", serde_json::Value::from(key)));
                }
                Ok(Ordered(format!("{{{}}}", parts.join(","))))
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Ordered, S::Error> {
                let mut parts = Vec::new();
                while let Some(item) = list.next_element::<Ordered>()? {
                    parts.push(item.0);
                }
                Ok(Ordered(format!("[{}]", parts.join(","))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Ordered, E> {
                Ok(Ordered(serde_json::Value::from(text).to_string()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Ordered, E> {
                Ok(Ordered(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Ordered, E> {
                Ok(Ordered(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Ordered, E> {
                Ok(Ordered(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Ordered, E> {
                Ok(Ordered(value.to_string()))
            }

            fn visit_unit<E>(self) -> Result<Ordered, E> {
                Ok(Ordered("null".to_owned()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
