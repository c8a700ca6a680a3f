//! Functions as data: name, number of arguments, implementation. A [`Language`] is a choice of
//! them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use regex::Regex;

use crate::limits::{REGEX_STEPS, REGEXES_MAX, STEPS_MAX};
use crate::value::{Labels, Text, Value};

/// What a function makes, or why it can not.
pub type Answer<'v> = Result<Value<'v>, String>;

/// One element of a query's answer.
pub type Sample = (Labels, f64);

/// What functions can reach of the world. Each language has a world of its own; what it does not
/// have answers nothing.
pub trait World: Sync {
    /// The time that `now` answers, in nanoseconds since the Unix epoch.
    fn now_ns(&self) -> i64;

    /// The log line.
    fn line(&self) -> &str {
        ""
    }

    /// The time of the log line, in nanoseconds since the Unix epoch.
    fn line_at_ns(&self) -> i64 {
        0
    }

    /// The address under which people reach this server.
    fn external_url(&self) -> &str {
        ""
    }

    /// Answers a query of PromQL or LogQL.
    fn query(&self, expression: &str) -> Result<Vec<Sample>, String> {
        let _unused = expression;
        Err("no query can be asked here".to_owned())
    }
}

/// A function of a language.
pub struct Function {
    /// As templates call it.
    pub name: &'static str,
    /// How many arguments it must have, the one before the pipe among them.
    pub least: usize,
    /// How many it can have; `None` for any number.
    pub most: Option<usize>,
    /// What it does.
    pub run: Run,
}

/// What a function does.
pub enum Run {
    /// Computes from its arguments.
    Call(for<'a, 'v> fn(&Call<'a, 'v>) -> Answer<'v>),
    /// Takes the first false argument; the rest is not computed.
    And,
    /// Takes the first true argument; the rest is not computed.
    Or,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Function {
    /// A function of that many arguments.
    pub const fn exact(
        name: &'static str,
        count: usize,
        run: for<'a, 'v> fn(&Call<'a, 'v>) -> Answer<'v>,
    ) -> Self {
        Function { name, least: count, most: Some(count), run: Run::Call(run) }
    }

    /// A function of at least that many arguments.
    pub const fn variadic(
        name: &'static str,
        least: usize,
        run: for<'a, 'v> fn(&Call<'a, 'v>) -> Answer<'v>,
    ) -> Self {
        Function { name, least, most: None, run: Run::Call(run) }
    }

    /// Refuses a wrong number of arguments in Go's words.
    pub(crate) fn check_count(&self, count: usize) -> Result<(), String> {
        let (name, least) = (self.name, self.least);
        match self.most {
            None if count < least => {
                Err(format!("wrong number of args for {name}: want at least {least} got {count}"))
            }
            Some(most) if count < least || count > most => {
                let wanted =
                    if least == most { least.to_string() } else { format!("{least} to {most}") };
                Err(format!("wrong number of args for {name}: want {wanted} got {count}"))
            }
            _ => Ok(()),
        }
    }
}

/// What a missing key of a map is (Go's `missingkey`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// Nothing, which prints as `<no value>`.
    #[default]
    Invalid,
    /// The zero of the map's type: the empty string in a map of strings.
    Zero,
    /// An error.
    Error,
}

/// What templates can call, and how they behave.
#[derive(Debug)]
pub struct Language {
    /// Functions besides [`crate::BUILTINS`].
    pub functions: &'static [&'static [Function]],
    /// Variables that the main text finds set, as written: `$labels`.
    pub variables: &'static [&'static str],
    /// What a missing key is.
    pub missing_key: MissingKey,
    /// The longest rendered text, and the longest that a function may make.
    pub output_bytes_max: usize,
}

impl Language {
    /// The function of a name.
    pub fn function(&self, name: &str) -> Option<&'static Function> {
        let own = self.functions.iter().flat_map(|table| table.iter());
        own.chain(crate::BUILTINS).find(|function| function.name == name)
    }
}

/// Compiled regular expressions of a template, by their text.
#[derive(Debug, Default)]
pub(crate) struct Regexes(Mutex<BTreeMap<String, Arc<Regex>>>);

impl Regexes {
    fn get(&self, pattern: &str) -> Option<Arc<Regex>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(pattern).cloned()
    }

    fn keep(&self, pattern: &str, regex: &Arc<Regex>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < REGEXES_MAX {
            kept.insert(pattern.to_owned(), regex.clone());
        }
    }
}

/// Counts what a rendering has done.
#[derive(Debug, Default)]
pub(crate) struct Steps(std::cell::Cell<u64>);

impl Steps {
    pub(crate) fn spend(&self, steps: u64) -> Result<(), String> {
        let spent = self.0.get().saturating_add(steps);
        self.0.set(spent);
        if spent > STEPS_MAX {
            return Err(format!("template takes more than {STEPS_MAX} steps"));
        }
        Ok(())
    }
}

/// A call of a function: its arguments and what it can reach.
pub struct Call<'a, 'v> {
    /// The arguments, the one before the pipe last.
    pub args: &'a [Value<'v>],
    /// The world.
    pub world: &'v dyn World,
    pub(crate) regexes: &'v Regexes,
    pub(crate) steps: &'a Steps,
    /// The longest text that it may make.
    pub(crate) bytes_max: usize,
}

impl<'a, 'v> Call<'a, 'v> {
    /// An argument; nil if there is none.
    pub fn value(&self, place: usize) -> &'a Value<'v> {
        self.args.get(place).unwrap_or(&Value::Nil)
    }

    /// Refuses to make a text of so many bytes.
    pub fn check_bytes(&self, bytes: usize) -> Result<(), String> {
        check_bytes(bytes, self.bytes_max)
    }

    /// A string argument.
    pub fn text(&self, place: usize) -> Result<&'a Text<'v>, String> {
        match self.value(place) {
            Value::Text(text) => Ok(text),
            other => Err(wrong_type("string", other)),
        }
    }

    /// An integer argument.
    pub fn int(&self, place: usize) -> Result<i64, String> {
        match self.value(place) {
            Value::Int(number) => Ok(*number),
            other => Err(wrong_type("int", other)),
        }
    }

    /// The regular expression in a string argument, compiled.
    pub fn regex(&self, place: usize) -> Result<Arc<Regex>, String> {
        let pattern = self.text(place)?;
        if let Some(found) = self.regexes.get(pattern) {
            return Ok(found);
        }
        self.steps.spend(REGEX_STEPS)?;
        let regex = regex::RegexBuilder::new(pattern)
            .size_limit(1 << 20)
            .build()
            .map_err(|e| format!("bad regular expression {:?}: {e}", &**pattern))?;
        let regex = Arc::new(regex);
        self.regexes.keep(pattern, &regex);
        Ok(regex)
    }
}

/// Go's words for an argument of another type.
pub(crate) fn wrong_type(expected: &str, value: &Value<'_>) -> String {
    match value {
        Value::Nil => format!("invalid value; expected {expected}"),
        other => format!("wrong type for value; expected {expected}; got {}", other.type_name()),
    }
}

/// Refuses a text that is longer than it may be.
pub(crate) fn check_bytes(bytes: usize, bytes_max: usize) -> Result<(), String> {
    if bytes > bytes_max {
        return Err(format!("a text has more than {bytes_max} bytes"));
    }
    Ok(())
}
