//! What can be wrong with a template.

use std::ops::Range;

/// The result of this crate.
pub type Result<T, E = TemplateError> = std::result::Result<T, E>;

/// Every one of these is the fault of the template's author: a bad request to whoever asks what a
/// caller can do about it. Why a template was refused or could not be rendered.
///
/// Messages begin with the place, `line:column:`, as Go writes it: lines count from one, columns
/// are bytes and count from zero.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is not a template.
    #[error("error parsing template: {message}")]
    Parse {
        /// Where, and what is wrong.
        message: String,
    },
    /// The template is right but rendering failed.
    #[error("error executing template: {message}")]
    Render {
        /// Where, in which words of the template, and what went wrong.
        message: String,
    },
    /// A bound of [`crate::limits`] was hit.
    #[error("template is over the limit of {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
    },
}

/// Something wrong at a place of a text.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) range: Range<usize>,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(range: Range<usize>, message: impl Into<String>) -> Self {
        Fault { range, message: message.into() }
    }

    /// The message with its place.
    pub(crate) fn parse_error(&self, text: &str) -> TemplateError {
        let message = format!("{}: {}", place(text, self.range.start), self.message);
        TemplateError::Parse { message }
    }

    /// The message with its place and the words that stand there.
    pub(crate) fn render_error(&self, text: &str) -> TemplateError {
        const SHOWN_MAX: usize = 40;
        let words = text.get(self.range.clone()).unwrap_or("").trim();
        let mut shown: String = words.chars().take(SHOWN_MAX).collect();
        if shown.len() < words.len() {
            shown.push_str("...");
        }
        let place = place(text, self.range.start);
        TemplateError::Render { message: format!("{place}: at <{shown}>: {}", self.message) }
    }
}

/// `line:column` of a byte.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rfind('\n').map_or(before.len(), |newline| before.len() - newline - 1);
    format!("{line}:{column}")
}
