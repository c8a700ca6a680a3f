//! A template that was read, and libraries of defines that several templates share.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{Fault, Result, TemplateError};
use crate::eval;
use crate::function::{Language, Regexes, World};
use crate::limits::TEXT_BYTES_MAX;
use crate::parser::{Parsed, parse};
use crate::syntax::{Body, Node, OperandKind};
use crate::value::Value;

/// Defines of several files, for the templates of a configuration.
#[derive(Debug, Clone)]
pub struct Library {
    language: &'static Language,
    defines: BTreeMap<String, Arc<Body>>,
    calls: Vec<(String, Arc<str>, Range<usize>)>,
}

impl Library {
    /// No defines yet.
    pub fn new(language: &'static Language) -> Self {
        Library { language, defines: BTreeMap::new(), calls: Vec::new() }
    }

    /// Adds the defines of a file, which replace those of files before it. What it has outside of
    /// defines is checked and not kept.
    pub fn add(&mut self, text: &str) -> Result<()> {
        let text = checked(text)?;
        let parsed = parse(&text, self.language).map_err(|fault| fault.parse_error(&text))?;
        self.define(parsed.defines);
        let calls = parsed.calls.into_iter();
        self.calls.extend(calls.map(|(name, place)| (name, text.clone(), place)));
        Ok(())
    }

    /// Refuses calls of templates that no file has.
    pub fn check(&self) -> Result<()> {
        for (name, text, place) in &self.calls {
            if !self.defines.contains_key(name) {
                return Err(undefined(name, place.clone()).parse_error(text));
            }
        }
        Ok(())
    }

    fn define(&mut self, defines: BTreeMap<String, Arc<Body>>) {
        for (name, body) in defines {
            let keeps_other = body.is_blank() && self.defines.contains_key(&name);
            if !keeps_other {
                self.defines.insert(name, body);
            }
        }
    }
}

/// A template that was found good. Rendering does not change it, and can be done by several threads
/// at once.
#[derive(Debug)]
pub struct Program {
    pub(crate) language: &'static Language,
    pub(crate) main: Body,
    pub(crate) regexes: Regexes,
    defines: BTreeMap<String, Arc<Body>>,
}

impl Program {
    /// Reads a template; refuses bad syntax, unknown functions, variables and templates, and what
    /// is over the limits.
    pub fn parse(text: &str, language: &'static Language) -> Result<Self> {
        Program::parse_with(text, &Library::new(language))
    }

    /// Reads a template that can call the templates of a library. Its own defines replace them.
    pub fn parse_with(text: &str, library: &Library) -> Result<Self> {
        let text = checked(text)?;
        let language = library.language;
        let Parsed { main, defines, calls } =
            parse(&text, language).map_err(|fault| fault.parse_error(&text))?;
        let mut all = library.clone();
        all.define(defines);
        for (name, place) in calls {
            if !all.defines.contains_key(&name) {
                return Err(undefined(&name, place).parse_error(&text));
            }
        }
        Ok(Program { language, main, regexes: Regexes::default(), defines: all.defines })
    }

    /// Renders for a value, which `.` and `$` are. The variables are those of the language, in
    /// order.
    pub fn render<'v>(
        &'v self,
        root: Value<'v>,
        variables: impl IntoIterator<Item = Value<'v>>,
        world: &'v dyn World,
    ) -> Result<String> {
        eval::run(self, root, variables, world)
    }

    /// The names of all defines.
    pub fn templates(&self) -> impl Iterator<Item = &str> {
        self.defines.keys().map(String::as_str)
    }

    pub(crate) fn template(&self, name: &str) -> Option<&Body> {
        self.defines.get(name).map(|body| &**body)
    }

    /// The name in a template that is nothing but `{{.name}}`.
    pub(crate) fn only_field(&self) -> Option<&str> {
        let [Node::Action(pipe)] = self.main.nodes.as_slice() else { return None };
        let [command] = pipe.commands.as_slice() else { return None };
        match &command.first.kind {
            OperandKind::Field(names) if pipe.variables.is_empty() && command.args.is_empty() => {
                names.first().filter(|_| names.len() == 1).map(|name| &**name)
            }
            _ => None,
        }
    }
}

fn checked(text: &str) -> Result<Arc<str>> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(TemplateError::TooLarge { what: "bytes of text", limit: TEXT_BYTES_MAX });
    }
    Ok(text.into())
}

fn undefined(name: &str, place: Range<usize>) -> Fault {
    Fault::new(place, format!("template {name:?} not defined"))
}
