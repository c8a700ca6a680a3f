//! Why a text is not a query, or a query has no answer.

use model::ErrorKind;

use crate::errors::Span;

/// The result of this language.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The text does not follow the grammar.
    #[error("{span} (offset {offset}): syntax error: {message}", offset = span.start)]
    Syntax {
        /// Where.
        span: Span,
        /// What was found and what was expected.
        message: String,
    },
    /// An operator is given values it can not take.
    #[error("{span} (offset {offset}): type error: {message}", offset = span.start)]
    Type {
        /// Where.
        span: Span,
        /// What does not fit.
        message: String,
    },
    /// The language knows it, Signalbox does not.
    #[error("{span} (offset {offset}): {what} is not supported yet", offset = span.start)]
    NotSupported {
        /// Where.
        span: Span,
        /// The part.
        what: String,
    },
    /// The text is over the limit.
    #[error("the query has {bytes} bytes, over the limit of {bytes_max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A search was asked to evaluate metrics, or the other way round.
    #[error("the query is for {is}, and this endpoint answers {wanted}")]
    WrongEndpoint {
        /// What the query is for.
        is: &'static str,
        /// What the endpoint answers.
        wanted: &'static str,
    },
    /// The range and the step do not go together.
    #[error("{0}")]
    BadRange(String),
    /// A metrics query makes more series than may be held.
    #[error("the query makes more than {series_max} series; group by fewer attributes")]
    TooManySeries {
        /// The limit.
        series_max: usize,
    },
    /// The store or the budget refused.
    #[error(transparent)]
    Source(#[from] model::Error),
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Source(error) => error.kind(),
            Error::TooManySeries { .. } => ErrorKind::Exhausted,
            Error::Syntax { .. }
            | Error::Type { .. }
            | Error::NotSupported { .. }
            | Error::TooLong { .. }
            | Error::WrongEndpoint { .. }
            | Error::BadRange(_) => ErrorKind::BadRequest,
        }
    }
}
