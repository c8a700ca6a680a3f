//! What can go wrong: with the text of a query (a position each), and with its evaluation.
//!
//! Messages of evaluation errors are those of Prometheus where it has the same error, because users
//! search the web for them and the conformance scripts compare them.

use std::fmt;

use model::{ErrorKind, Labels};

/// A piece of a query's text. Line and column count from one and belong to the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// Byte offset of the first byte.
    pub start: usize,
    /// Byte offset after the last byte.
    pub end: usize,
    /// Line of the first byte.
    pub line: u32,
    /// Column of the first byte, in bytes, as Prometheus counts.
    pub column: u32,
}

impl Default for Span {
    fn default() -> Self {
        Span { start: 0, end: 0, line: 1, column: 1 }
    }
}

impl Span {
    /// From the start of `self` to the end of `last`.
    pub fn to(self, last: Span) -> Span {
        Span { end: last.end, ..self }
    }

    /// The place of `start..end` in `text`.
    pub fn in_text(text: &str, start: usize, end: usize) -> Span {
        let before = &text.as_bytes()[..start.min(text.len())];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span { start, end, line: small(line), column: small(column) }
    }
}

/// `line:column`, as in Prometheus's messages.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why a text is not a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{span}: parse error: {message}")]
pub struct ParseError {
    /// What the message is about.
    pub span: Span,
    /// What was found and what was expected.
    pub message: String,
}

impl ParseError {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        ParseError { span, message: message.into() }
    }

    /// Always [`ErrorKind::BadRequest`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::BadRequest
    }
}

/// Which side of a binary operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Before the operator.
    Left,
    /// After the operator.
    Right,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Left => "left",
            Side::Right => "right",
        })
    }
}

/// Why a query that parsed has no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EvalError {
    /// The store or the budget refused.
    #[error(transparent)]
    Source(#[from] model::Error),
    /// Two samples of a result have the same labels.
    #[error("vector cannot contain metrics with the same labelset")]
    SameLabelset,
    /// The side that must be unique is not.
    #[error(
        "found duplicate series for the match group {group} on the {side} hand-side of the \
         operation: [{first}, {second}];many-to-many matching not allowed: matching labels must \
         be unique on one side",
        group = Braces(group), first = Braces(first), second = Braces(second)
    )]
    ManyToMany {
        /// The labels matched on.
        group: Labels,
        /// Where the duplicates are.
        side: Side,
        /// One of them.
        first: Labels,
        /// Another one.
        second: Labels,
    },
    /// Several series of the many side without `group_left` or `group_right`.
    #[error(
        "multiple matches for labels: many-to-one matching must be explicit \
         (group_left/group_right)"
    )]
    ManyToOneNotExplicit,
    /// Results of a `group_left` or `group_right` collide.
    #[error("multiple matches for labels: grouping labels must ensure unique matches")]
    GroupingNotUnique,
    /// An argument has a value that can not be used.
    #[error("{0}")]
    BadArgument(String),
    /// Part of the language that is not built.
    #[error("{what} is not supported yet")]
    NotSupported {
        /// The part.
        what: String,
    },
    /// A LogQL stage failed on a line below a metric query.
    #[error(
        "pipeline error: '{error}' for series: '{stream}'.\n\
         Use a label filter to intentionally skip this error. (e.g | __error__!=\"{error}\").\n\
         To skip all potential errors you can match empty errors.(e.g __error__=\"\")\n\
         The label filter can also be specified after unwrap. \
         (e.g | unwrap latency | __error__=\"\" )\n"
    )]
    Pipeline {
        /// The value of `__error__`.
        error: String,
        /// The line's labels.
        stream: Labels,
    },
}

impl EvalError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            EvalError::Source(error) => error.kind(),
            _ => ErrorKind::BadRequest,
        }
    }
}

/// A label set with all its labels inside the braces, as Prometheus prints it in errors.
struct Braces<'a>(&'a Labels);

impl fmt::Display for Braces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.0.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            if model::labels::is_plain_label_name(name) {
                write!(f, "{comma}{name}={value:?}")?;
            } else {
                write!(f, "{comma}{name:?}={value:?}")?;
            }
        }
        f.write_str("}")
    }
}
