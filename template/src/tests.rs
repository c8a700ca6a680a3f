//! The language itself: what Go's own tests of `text/template` and its documentation say, hosts
//! with methods, and what nobody should write.

mod golang;
mod hostile;
mod hosts;

use std::collections::BTreeMap;

use crate::limits::OUTPUT_BYTES_MAX;
use crate::{Language, MissingKey, Program, Result, Value, World};

/// Only what every language has.
static PLAIN: Language = Language {
    functions: &[],
    variables: &[],
    missing_key: MissingKey::Invalid,
    output_bytes_max: OUTPUT_BYTES_MAX,
};

struct Nowhere;

impl World for Nowhere {
    fn now_ns(&self) -> i64 {
        0
    }
}

fn render_in(language: &'static Language, text: &str, root: &Value<'static>) -> Result<String> {
    Program::parse(text, language)?.render(root.clone(), [], &Nowhere)
}

fn map<const N: usize>(entries: [(&'static str, Value<'static>); N]) -> Value<'static> {
    let entries = entries.into_iter().map(|(key, value)| (key.into(), value));
    Value::map(entries.collect::<BTreeMap<_, _>>()).unwrap()
}

fn list<const N: usize>(items: [Value<'static>; N]) -> Value<'static> {
    Value::list(items.to_vec()).unwrap()
}
