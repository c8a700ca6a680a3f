//! Why a request could not be answered, before a dialect gives it its shape.
//!
//! Each dialect maps the same [`Error`] to its own envelope and status: Prometheus to JSON, Loki to
//! plain text.

use std::time::Duration;

use model::ErrorKind;

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request could not be answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A parameter is missing or can not be read. The wording is that of Prometheus.
    #[error("invalid parameter {name:?}: {message}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The request is wrong in another way.
    #[error("{0}")]
    BadRequest(String),
    /// The request is over a size limit.
    #[error("the request body is larger than {bytes_max} bytes")]
    BodyTooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// The query parsed but has no result.
    #[error(transparent)]
    Evaluation(#[from] query::EvalError),
    /// The store or the budget refused.
    #[error(transparent)]
    Source(#[from] model::Error),
    /// No slot became free.
    #[error(
        "{concurrent_max} queries run already (queries_concurrent_max) and none ended within \
         {waited:?}; try again later"
    )]
    Busy {
        /// The limit.
        concurrent_max: usize,
        /// How long the query waited.
        waited: Duration,
    },
    /// A query ended in a panic.
    #[error("the query hit a defect of Signalbox; its log has the details")]
    Defect,
}

impl Error {
    /// A parameter that can not be read.
    pub(crate) fn parameter(name: &'static str, message: impl ToString) -> Self {
        Error::Parameter { name, message: message.to_string() }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Parameter { .. } | Error::BadRequest(_) => ErrorKind::BadRequest,
            Error::BodyTooLarge { .. } => ErrorKind::TooLarge,
            Error::Evaluation(error) => error.kind(),
            Error::Source(error) => error.kind(),
            Error::Busy { .. } => ErrorKind::Unavailable,
            Error::Defect => ErrorKind::Internal,
        }
    }
}
