//! What a template computes with: a small part of Go's types, each behaving as Go's does.
//!
//! Values borrow for `'v`, the time of one rendering: constants from the template, labels and lines
//! from whoever asks. They clone cheaply.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::gotime::GoTime;
use crate::limits::{DEPTH_MAX, STEP_BYTES, VALUES_MAX};

/// Names and values. This crate depends on no other of ours, so labels are a plain map here.
pub type Labels = BTreeMap<String, String>;

/// A value of a template.
#[derive(Debug, Clone, Default)]
pub enum Value<'v> {
    /// Go's nil, and what a missing thing is.
    #[default]
    Nil,
    /// `bool`
    Bool(bool),
    /// `int`; there are no other sizes, and none without a sign.
    Int(i64),
    /// `float64`
    Float(f64),
    /// `string`
    Text(Text<'v>),
    /// `[]any`
    List(Arc<List<'v>>),
    /// `map[string]any`: what is missing is nil.
    Map(Arc<Map<'v>>),
    /// `map[string]string`: what is missing can be the empty string.
    Texts(Texts<'v>),
    /// A struct without methods.
    Struct(Arc<Struct<'v>>),
    /// `time.Time`
    Time(Arc<GoTime>),
    /// `time.Duration`, in nanoseconds.
    Duration(i64),
    /// A thing with fields and methods of its own.
    Object(Arc<dyn Object>),
}

/// A thing that whoever renders brings along: Go's structs, and its named types with methods.
pub trait Object: fmt::Debug + Send + Sync {
    /// As Go's `%T` prints the type.
    fn type_name(&self) -> &str;

    /// What it is under its methods: a struct, or what a named type is made of.
    fn plain(&self) -> Value<'static>;

    /// A field of a struct; `None` if there is no such.
    fn field(&self, name: &str) -> Option<Value<'static>> {
        match self.plain() {
            Value::Struct(plain) => plain.field(name).cloned(),
            _ => None,
        }
    }

    /// Calls a method; `None` if there is no such. Methods are looked for before fields.
    fn call(&self, name: &str, args: &[Value<'_>]) -> Option<Result<Value<'static>, String>> {
        let _unused = (name, args);
        None
    }

    /// Steps that looking into it costs, about one for every ten values in it.
    fn steps(&self) -> u64 {
        1
    }

    /// Go's `String()`: how it prints, if not by its shape.
    fn string(&self) -> Option<String> {
        None
    }
}

/// A string, borrowed where that is possible.
#[derive(Clone)]
pub enum Text<'v> {
    /// From the template, or from what it is about.
    Borrowed(&'v str),
    /// Made while rendering.
    Shared(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text<'_> {}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        self
    }
}

impl<'v> From<&'v str> for Text<'v> {
    fn from(text: &'v str) -> Self {
        Text::Borrowed(text)
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Text::Shared(text.into())
    }
}

/// A map from texts to texts that someone else owns.
pub trait TextMap: fmt::Debug + Sync {
    /// The value under a key.
    fn get(&self, key: &str) -> Option<&str>;

    /// All entries, in the order of their keys.
    fn pairs(&self) -> Vec<(&str, &str)>;
}

impl TextMap for Labels {
    fn get(&self, key: &str) -> Option<&str> {
        BTreeMap::get(self, key).map(String::as_str)
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        self.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }
}

impl<N, T> TextMap for Vec<(N, T)>
where
    N: AsRef<str> + fmt::Debug + Sync,
    T: AsRef<str> + fmt::Debug + Sync,
{
    fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(name, _)| name.as_ref() == key).map(|(_, text)| text.as_ref())
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        let mut pairs: Vec<_> =
            self.iter().map(|(name, text)| (name.as_ref(), text.as_ref())).collect();
        pairs.sort_unstable();
        pairs
    }
}

/// A map from texts to texts.
#[derive(Debug, Clone)]
pub enum Texts<'v> {
    /// Someone else's.
    Borrowed(&'v dyn TextMap),
    /// Our own.
    Shared(Arc<Labels>),
}

impl<'v> Texts<'v> {
    /// The value under a key.
    pub fn get(&self, key: &str) -> Option<Text<'v>> {
        match self {
            Texts::Borrowed(map) => map.get(key).map(Text::Borrowed),
            Texts::Shared(map) => map.get(key).map(|text| Text::from(text.clone())),
        }
    }

    /// All entries, in the order of their keys.
    pub fn pairs(&self) -> Vec<(Text<'v>, Text<'v>)> {
        match self {
            Texts::Borrowed(map) => {
                map.pairs().into_iter().map(|(key, text)| (key.into(), text.into())).collect()
            }
            Texts::Shared(map) => map
                .iter()
                .map(|(key, text)| (Text::from(key.clone()), Text::from(text.clone())))
                .collect(),
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        match self {
            Texts::Borrowed(map) => map.pairs().len(),
            Texts::Shared(map) => map.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How much is inside of a value.
#[derive(Debug, Clone, Copy)]
struct Weight {
    depth: usize,
    values: usize,
}

impl Weight {
    fn of(value: &Value<'_>) -> Self {
        match value {
            Value::List(list) => list.weight,
            Value::Map(map) => map.weight,
            Value::Texts(texts) => Weight { depth: 1, values: 1 + texts.len() },
            Value::Struct(plain) => plain.weight,
            _ => Weight { depth: 0, values: 1 },
        }
    }

    fn sum<'a, 'v: 'a>(values: impl Iterator<Item = &'a Value<'v>>) -> Self {
        let mut weight = Weight { depth: 0, values: 1 };
        for inner in values.map(Weight::of) {
            weight.depth = weight.depth.max(inner.depth);
            weight.values = weight.values.saturating_add(inner.values);
        }
        Weight { depth: weight.depth + 1, ..weight }
    }

    /// The weight of a thing with these in it; refuses what is too deep or too large.
    fn around<'a, 'v: 'a>(values: impl Iterator<Item = &'a Value<'v>>) -> Result<Self, String> {
        let weight = Weight::sum(values);
        if weight.values > VALUES_MAX {
            return Err(format!("more than {VALUES_MAX} values in a list or map"));
        }
        if weight.depth > DEPTH_MAX {
            return Err(format!("values nest deeper than {DEPTH_MAX}"));
        }
        Ok(weight)
    }
}

/// A list that is not too large.
#[derive(Debug)]
pub struct List<'v> {
    items: Vec<Value<'v>>,
    weight: Weight,
}

impl<'v> List<'v> {
    /// The items in order.
    pub fn items(&self) -> &[Value<'v>] {
        &self.items
    }
}

/// A map in the order of its keys that is not too large.
#[derive(Debug)]
pub struct Map<'v> {
    entries: BTreeMap<Text<'v>, Value<'v>>,
    weight: Weight,
}

impl<'v> Map<'v> {
    /// The entries by key.
    pub fn entries(&self) -> &BTreeMap<Text<'v>, Value<'v>> {
        &self.entries
    }
}

/// A struct: fields in order.
#[derive(Debug)]
pub struct Struct<'v> {
    type_name: &'static str,
    fields: Vec<(&'static str, Value<'v>)>,
    weight: Weight,
}

impl<'v> Struct<'v> {
    /// A field.
    pub fn field(&self, name: &str) -> Option<&Value<'v>> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// All fields in order.
    pub fn fields(&self) -> &[(&'static str, Value<'v>)] {
        &self.fields
    }
}

impl<'v> Value<'v> {
    /// A text.
    pub fn text(text: impl Into<Text<'v>>) -> Self {
        Value::Text(text.into())
    }

    /// A list; refuses what is too large or too deep.
    pub fn list(items: Vec<Value<'v>>) -> Result<Self, String> {
        let weight = Weight::around(items.iter())?;
        Ok(Value::List(Arc::new(List { items, weight })))
    }

    /// A map; refuses what is too large or too deep.
    pub fn map(entries: BTreeMap<Text<'v>, Value<'v>>) -> Result<Self, String> {
        let weight = Weight::around(entries.values())?;
        Ok(Value::Map(Arc::new(Map { entries, weight })))
    }

    /// A map from texts to texts.
    pub fn labels(labels: Labels) -> Self {
        Value::Texts(Texts::Shared(Arc::new(labels)))
    }

    /// A struct, with its type as Go's `%T` prints it.
    pub fn structure(type_name: &'static str, fields: Vec<(&'static str, Value<'v>)>) -> Self {
        let weight = Weight::sum(fields.iter().map(|(_, value)| value));
        Value::Struct(Arc::new(Struct { type_name, fields, weight }))
    }

    /// An object.
    pub fn object(object: impl Object + 'static) -> Self {
        Value::Object(Arc::new(object))
    }

    /// What an object is under its methods; other values are themselves.
    pub fn plain(&self) -> Value<'v> {
        match self {
            Value::Object(object) => object.plain(),
            other => other.clone(),
        }
    }

    /// As Go's `%T` prints the type.
    pub fn type_name(&self) -> &str {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::List(_) => "[]interface {}",
            Value::Map(_) => "map[string]interface {}",
            Value::Texts(_) => "map[string]string",
            Value::Struct(plain) => plain.type_name,
            Value::Time(_) => "time.Time",
            Value::Duration(_) => "time.Duration",
            Value::Object(object) => object.type_name(),
        }
    }

    /// Go's truth: nil, zero and what is empty are false; structs are true.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(truth) => *truth,
            Value::Int(number) | Value::Duration(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::List(list) => !list.items.is_empty(),
            Value::Map(map) => !map.entries.is_empty(),
            Value::Texts(texts) => !texts.is_empty(),
            Value::Struct(_) | Value::Time(_) => true,
            Value::Object(object) => object.plain().is_true(),
        }
    }

    /// Steps that a call spends on reading or making it.
    pub(crate) fn steps(&self) -> u64 {
        const STEP_VALUES: usize = 10;
        match self {
            Value::Text(text) => (text.len() / STEP_BYTES) as u64,
            Value::List(list) => (list.weight.values / STEP_VALUES) as u64,
            Value::Map(map) => (map.weight.values / STEP_VALUES) as u64,
            Value::Object(object) => object.steps(),
            _ => 0,
        }
    }
}
