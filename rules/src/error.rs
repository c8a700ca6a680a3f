//! What can go wrong with a rule.

use model::ErrorKind;

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a rule could not be evaluated, or its state not be kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The query failed.
    #[error("{0}")]
    Query(#[source] model::Error),
    /// Two samples became the same series or the same alert.
    #[error("vector contains metrics with the same labelset after applying rule labels: {labels}")]
    DuplicateLabels {
        /// The labels that two samples share.
        labels: String,
    },
    /// The group's `limit` was hit.
    #[error("exceeded limit of {limit} with {count} {what}")]
    Limit {
        /// The group's limit.
        limit: usize,
        /// What the rule made.
        count: usize,
        /// `alerts` or `series`.
        what: &'static str,
    },
    /// The state of alerts could not be written, so that nothing was sent.
    #[error("write alert state: {0}")]
    State(#[source] model::Error),
    /// The alerts were not taken; they are sent again at the next evaluation.
    #[error("hand out alerts: {0}")]
    Send(#[source] model::Error),
    /// The resulting series were not taken.
    #[error("write series: {0}")]
    Append(#[source] model::Error),
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Query(source)
            | Error::State(source)
            | Error::Send(source)
            | Error::Append(source) => source.kind(),
            Error::DuplicateLabels { .. } => ErrorKind::BadRequest,
            Error::Limit { .. } => ErrorKind::TooLarge,
        }
    }
}
