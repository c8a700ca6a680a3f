//! What is wrong with a text, and where.

use std::fmt;

/// A refusal of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error {
    /// Counted from 1.
    pub(crate) line: u64,
    /// In bytes, counted from 1.
    pub(crate) column: usize,
    /// Lowercase, without a full stop.
    pub(crate) message: &'static str,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// A refusal of a line: the byte in it, and why.
pub(super) type Fault = (usize, &'static str);
