//! Templates of rules: the labels and annotations of alerts (prometheus `template/template.go` and
//! `rules/alerting.go`, 3.14).

mod functions;

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::function::{Language, MissingKey, Sample, World};
use crate::limits::OUTPUT_BYTES_MAX;
use crate::program::Program;
use crate::value::{Labels, Texts, Value};

pub use functions::{RULE_FUNCTIONS, graph_link};

/// What templates of rules can call.
pub static RULES: Language = Language {
    functions: &[RULE_FUNCTIONS],
    variables: &["$labels", "$externalLabels", "$externalURL", "$value"],
    missing_key: MissingKey::Zero,
    output_bytes_max: OUTPUT_BYTES_MAX,
};

/// Answers a query at the time of the evaluation, or says why not.
pub type QueryFunction = Arc<dyn Fn(&str) -> Result<Vec<Sample>, String> + Send + Sync>;

/// What templates of rules can reach of the world.
#[derive(Clone)]
pub struct Functions {
    /// Answers `query`.
    pub query: QueryFunction,
    /// What `externalURL` answers; links of pages begin with it.
    pub external_url: String,
    /// What `now` answers, in milliseconds since the Unix epoch.
    pub now_ms: i64,
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Functions").field("external_url", &self.external_url).finish()
    }
}

impl Functions {
    /// Functions for a place without a store: `query` fails.
    pub fn without_query(external_url: impl Into<String>, now_ms: i64) -> Self {
        let query: QueryFunction = Arc::new(|_| Err("no query can be asked here".to_owned()));
        Functions { query, external_url: external_url.into(), now_ms }
    }
}

impl World for Functions {
    fn now_ns(&self) -> i64 {
        self.now_ms.saturating_mul(1_000_000)
    }

    fn external_url(&self) -> &str {
        &self.external_url
    }

    fn query(&self, expression: &str) -> Result<Vec<Sample>, String> {
        (self.query)(expression)
    }
}

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

/// A template of a rule that was found good. Rendering does not change it.
#[derive(Debug, Clone)]
pub struct Template {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// A text without actions is its own rendering.
    Literal(String),
    Program(Arc<Program>),
}

impl Template {
    /// Reads a template; refuses bad syntax, unknown functions, variables and templates, and texts
    /// over the limits.
    pub fn parse(text: &str) -> Result<Self> {
        let program = Program::parse(text, &RULES)?;
        let kind = match text.contains("{{") {
            true => Kind::Program(Arc::new(program)),
            false => Kind::Literal(text.to_owned()),
        };
        Ok(Template { kind })
    }

    /// Renders for one sample of a rule.
    pub fn render(&self, data: &Data<'_>, functions: &Functions) -> Result<String> {
        let program = match &self.kind {
            Kind::Literal(text) => return Ok(text.clone()),
            Kind::Program(program) => program,
        };
        let labels = Value::Texts(Texts::Borrowed(data.labels));
        let external_labels = Value::Texts(Texts::Borrowed(data.external_labels));
        let external_url = Value::text(functions.external_url.as_str());
        let value = Value::Float(data.value);
        let root = Value::structure(
            "struct",
            vec![
                ("Labels", labels.clone()),
                ("ExternalLabels", external_labels.clone()),
                ("ExternalURL", external_url.clone()),
                ("Value", value.clone()),
            ],
        );
        program.render(root, [labels, external_labels, external_url, value], functions)
    }
}

#[cfg(test)]
mod tests;
