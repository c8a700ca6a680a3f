//! Parsing once, rendering often.

use crate::functions::Labels;
use gotmpl::parse::ListNode;
use gotmpl::{TemplateError as EngineError, Value};

use crate::error::{Result, TemplateError};
use crate::functions::{Functions, is_function, labels_value, register};
use crate::guard::guard_tree;
use crate::limits::{OUTPUT_BYTES_MAX, STEPS_MAX, TEXT_BYTES_MAX};
use crate::scope::Scope;

/// What Prometheus puts before every template of a rule (prometheus `rules/alerting.go`).
const VARIABLES: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
                         {{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// The name under which the text itself is kept among its defines.
const MAIN: &str = "main";

/// What a rule's template speaks about.
#[derive(Debug, Clone, Copy)]
pub struct Data<'a> {
    /// `$labels`: those of the sample.
    pub labels: &'a Labels,
    /// `$externalLabels`: those of this Signalbox.
    pub external_labels: &'a Labels,
    /// `$value`: that of the sample.
    pub value: f64,
}

/// A template that was found good. Rendering does not change it.
#[derive(Debug, Clone)]
pub struct Template {
    /// A text without actions is its own rendering.
    literal: Option<String>,
    trees: Vec<(String, ListNode)>,
}

impl Template {
    /// Reads a template; refuses bad syntax, unknown functions, variables and templates, and texts
    /// over the limits.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(TemplateError::TooLarge { what: "bytes of text", limit: TEXT_BYTES_MAX });
        }
        if !text.contains("{{") {
            return Ok(Template { literal: Some(text.to_owned()), trees: Vec::new() });
        }
        Self::parse_actions(&format!("{VARIABLES}{text}"))
            .map_err(|message| TemplateError::Parse { message })
    }

    fn parse_actions(text: &str) -> Result<Self, String> {
        check_nesting(text)?;
        let parsed = gotmpl::Template::new(MAIN).parse(text).map_err(|e| parse_message(&e))?;
        let names: Vec<String> = parsed.templates().into_iter().map(str::to_owned).collect();
        let mut trees = Vec::with_capacity(names.len());
        for name in &names {
            let Some(tree) = parsed.lookup(name) else { continue };
            let is_template = |wanted: &str| names.iter().any(|known| known == wanted);
            Scope::new(&is_function, &is_template).check(tree)?;
            let mut tree = tree.clone();
            guard_tree(&mut tree, name != MAIN)?;
            trees.push((name.clone(), tree));
        }
        Ok(Template { literal: None, trees })
    }

    /// Renders for one sample of a rule.
    pub fn render(&self, data: &Data<'_>, functions: &Functions) -> Result<String> {
        if let Some(literal) = &self.literal {
            return Ok(literal.clone());
        }
        let root = [
            ("Labels", labels_value(data.labels)),
            ("ExternalLabels", labels_value(data.external_labels)),
            ("ExternalURL", Value::String(functions.external_url.as_str().into())),
            ("Value", Value::Float(data.value)),
        ];
        let root = Value::from_entries(root.map(|(name, value)| (name.to_owned(), value)));
        self.render_value(&root, functions)
    }

    fn render_value(&self, root: &Value, functions: &Functions) -> Result<String> {
        let mut engine = gotmpl::Template::new(MAIN).max_range_iters(STEPS_MAX);
        engine = register(engine, functions);
        for (name, tree) in &self.trees {
            engine = engine.add_parse_tree(name, tree.clone());
        }
        let mut output = Bounded(String::new());
        match engine.execute_template_fmt(&mut output, MAIN, root) {
            Ok(()) => Ok(output.0),
            Err(EngineError::Write) => {
                Err(TemplateError::TooLarge { what: "bytes of output", limit: OUTPUT_BYTES_MAX })
            }
            Err(EngineError::Exec(message)) => Err(TemplateError::Render { message }),
            Err(other) => Err(TemplateError::Render { message: other.to_string() }),
        }
    }

    /// Renders any value, for the cases of upstream's own tests.
    #[cfg(test)]
    pub(crate) fn render_any(text: &str, root: &Value, functions: &Functions) -> Result<String> {
        Self::parse_actions(text)
            .map_err(|message| TemplateError::Parse { message })?
            .render_value(root, functions)
    }
}

/// Parentheses and dots are read recursively; what nests deeper than anyone writes is refused
/// before the parser's stack is spent.
pub(crate) fn check_nesting(text: &str) -> Result<(), String> {
    const PARENTHESES_MAX: usize = 32;
    let mut open = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'(' => open += 1,
            b')' => open = open.saturating_sub(1),
            // An action ends here, whether its parentheses were closed or not. Inside a string it
            // only makes the count smaller by what text outside of actions had added.
            b'}' => open = 0,
            _ => {}
        }
        if open > PARENTHESES_MAX {
            return Err(format!("more than {PARENTHESES_MAX} open parentheses"));
        }
    }
    Ok(())
}

/// The engine's message with columns that count from the text, not from the variables before it.
fn parse_message(error: &EngineError) -> String {
    let (EngineError::Parse { line, col, message, .. }
    | EngineError::Lex { line, col, message, .. }) = error
    else {
        return error.to_string();
    };
    let column = if *line == 1 { col.saturating_sub(VARIABLES.len()) } else { *col };
    format!("{line}:{column}: {message}")
}

/// A string that refuses to grow too long.
pub(crate) struct Bounded(pub(crate) String);

impl std::fmt::Write for Bounded {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        if self.0.len() + part.len() > OUTPUT_BYTES_MAX {
            return Err(std::fmt::Error);
        }
        self.0.push_str(part);
        Ok(())
    }
}
