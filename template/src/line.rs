//! Templates of log lines and their labels: `line_format` and `label_format` of LogQL.
//!
//! A template is read once and run for every line of a query, by several threads at once. Labels,
//! lines and the template's own texts are borrowed: only what a function makes is copied.

mod decimal;
mod functions;
mod texts;
mod times;

use crate::error::Result;
use crate::function::{Language, MissingKey, World};
use crate::limits::LINE_BYTES_MAX;
use crate::program::Program;
use crate::value::{TextMap, Texts, Value};

use functions::LINE_FUNCTIONS;

/// What templates of lines can call: what Loki 3.8 registers (`pkg/logql/log/fmt.go`).
static LINES: Language = Language {
    functions: &[LINE_FUNCTIONS, texts::TEXT_FUNCTIONS, times::TIME_FUNCTIONS],
    variables: &[],
    missing_key: MissingKey::Zero,
    output_bytes_max: LINE_BYTES_MAX,
};

/// What the functions of a template know of the line that is being made.
struct Current<'l> {
    line: &'l str,
    at_ns: i64,
    now_ns: i64,
}

impl World for Current<'_> {
    fn now_ns(&self) -> i64 {
        self.now_ns
    }

    fn line(&self) -> &str {
        self.line
    }

    fn line_at_ns(&self) -> i64 {
        self.at_ns
    }
}

/// A template of lines that was found good.
#[derive(Debug)]
pub struct LineTemplate {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A text without actions.
    Literal(String),
    /// `{{.name}}` alone: the value of a label.
    Label(String),
    /// Anything else.
    Program(Box<Program>),
}

impl LineTemplate {
    /// Reads a template; refuses bad syntax, unknown functions, variables and templates, and texts
    /// over the limits.
    pub fn parse(text: &str) -> Result<Self> {
        let program = Program::parse(text, &LINES)?;
        let kind = match program.only_field() {
            Some(name) => Kind::Label(name.to_owned()),
            None if !text.contains("{{") => Kind::Literal(text.to_owned()),
            None => Kind::Program(Box::new(program)),
        };
        Ok(LineTemplate { kind })
    }

    /// Makes a text of a line: its labels are the fields of the template, `__line__`,
    /// `__timestamp__` and `now` answer what is given. An absent label is the empty string.
    pub fn render(
        &self,
        labels: &dyn TextMap,
        line: &str,
        at_ns: i64,
        now_ns: i64,
    ) -> Result<String> {
        match &self.kind {
            Kind::Literal(text) => Ok(text.clone()),
            Kind::Label(name) => Ok(labels.get(name).unwrap_or("").to_owned()),
            Kind::Program(program) => {
                let current = Current { line, at_ns, now_ns };
                program.render(Value::Texts(Texts::Borrowed(labels)), [], &current)
            }
        }
    }
}

#[cfg(test)]
mod tests;
