//! Templates of log lines and their labels: `line_format` and `label_format` of LogQL.
//!
//! A template is made once and run for every line of a query, so its engine is made once too; what
//! changes from line to line is handed to its functions from the side. Lines of one template are
//! made one after the other.

mod functions;
mod texts;
mod times;

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gotmpl::parse::{Expr, ListNode, Node};
use gotmpl::{TemplateError as EngineError, Value};

use crate::error::{Result, TemplateError};
use crate::guard::guard_tree;
use crate::limits::{OUTPUT_BYTES_MAX, STEPS_MAX, TEXT_BYTES_MAX};
use crate::render::{Bounded, check_nesting};
use crate::scope::Scope;

const MAIN: &str = "line";

/// What the functions of a template know of the line that is being made.
#[derive(Debug, Default)]
pub(crate) struct Current {
    line: Mutex<Arc<str>>,
    at_ns: AtomicI64,
    now_ns: AtomicI64,
    steps: AtomicU64,
}

impl Current {
    fn line(&self) -> Arc<str> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A template of lines that was found good.
pub struct LineTemplate {
    kind: Kind,
}

enum Kind {
    /// A text without actions.
    Literal(String),
    /// `{{.name}}` alone: the value of a label.
    Label(String),
    /// Anything else.
    Engine { engine: Mutex<gotmpl::Template>, current: Arc<Current> },
}

impl fmt::Debug for LineTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Literal(text) => f.debug_tuple("Literal").field(text).finish(),
            Kind::Label(name) => f.debug_tuple("Label").field(name).finish(),
            Kind::Engine { .. } => f.write_str("Engine"),
        }
    }
}

impl LineTemplate {
    /// Reads a template; refuses bad syntax, unknown functions, variables and templates, and texts
    /// over the limits.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(TemplateError::TooLarge { what: "bytes of text", limit: TEXT_BYTES_MAX });
        }
        if !text.contains("{{") {
            return Ok(LineTemplate { kind: Kind::Literal(text.to_owned()) });
        }
        LineTemplate::parse_actions(text)
            .map(|kind| LineTemplate { kind })
            .map_err(|message| TemplateError::Parse { message })
    }

    fn parse_actions(text: &str) -> Result<Kind, String> {
        check_nesting(text)?;
        let parsed = gotmpl::Template::new(MAIN).parse(text).map_err(|error| match &error {
            EngineError::Parse { line, col, message, .. }
            | EngineError::Lex { line, col, message, .. } => format!("{line}:{col}: {message}"),
            other => other.to_string(),
        })?;
        if let Some(name) = parsed.lookup(MAIN).and_then(only_label) {
            return Ok(Kind::Label(name));
        }
        let current = Arc::new(Current::default());
        let mut engine = gotmpl::Template::new(MAIN).max_range_iters(STEPS_MAX);
        engine = functions::register(engine, &current);
        let names: Vec<String> = parsed.templates().into_iter().map(str::to_owned).collect();
        for name in &names {
            let Some(tree) = parsed.lookup(name) else { continue };
            let is_template = |wanted: &str| names.iter().any(|known| known == wanted);
            Scope::new(&functions::is_function, &is_template).check(tree)?;
            let mut tree = tree.clone();
            guard_tree(&mut tree, name != MAIN)?;
            engine = engine.add_parse_tree(name, tree);
        }
        Ok(Kind::Engine { engine: Mutex::new(engine), current })
    }

    /// Makes a text of a line: its labels are the fields of the template, `__line__`,
    /// `__timestamp__` and `now` answer what is given. An absent label is the empty string.
    pub fn render<'a>(
        &self,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        line: &str,
        at_ns: i64,
        now_ns: i64,
    ) -> Result<String> {
        let (engine, current) = match &self.kind {
            Kind::Literal(text) => return Ok(text.clone()),
            Kind::Label(wanted) => {
                let found = labels.into_iter().find(|(name, _)| name == wanted);
                return Ok(found.map_or_else(String::new, |(_, value)| value.to_owned()));
            }
            Kind::Engine { engine, current } => (engine, current),
        };
        let root = labels
            .into_iter()
            .map(|(name, value)| (Arc::<str>::from(name), Value::String(value.into())));
        let root = Value::Map(Arc::new(root.collect()));
        let engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
        *current.line.lock().unwrap_or_else(PoisonError::into_inner) = line.into();
        current.at_ns.store(at_ns, Ordering::Relaxed);
        current.now_ns.store(now_ns, Ordering::Relaxed);
        current.steps.store(0, Ordering::Relaxed);
        let mut output = Bounded(String::new());
        match engine.execute_template_fmt(&mut output, MAIN, &root) {
            Ok(()) => Ok(output.0),
            Err(EngineError::Write) => {
                Err(TemplateError::TooLarge { what: "bytes of output", limit: OUTPUT_BYTES_MAX })
            }
            Err(EngineError::Exec(message)) => Err(TemplateError::Render { message }),
            Err(other) => Err(TemplateError::Render { message: other.to_string() }),
        }
    }
}

/// The label of a template that is nothing but `{{.name}}`.
fn only_label(tree: &ListNode) -> Option<String> {
    let [Node::Action(action)] = tree.nodes.as_slice() else { return None };
    let [command] = action.pipe.commands.as_slice() else { return None };
    match command.args.as_slice() {
        [Expr::Field(_, names)] if action.pipe.decl.is_empty() && names.len() == 1 => {
            names.first().map(ToString::to_string)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
