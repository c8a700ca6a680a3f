//! The error of this crate.

use model::ErrorKind;

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] disk::Error),
    /// No more series fit.
    #[error(
        "the store holds {limit} series, its limit; drop a label with many values or raise limits.series"
    )]
    SeriesLimit {
        /// How many may be held.
        limit: usize,
    },
    /// Old samples could not be dropped.
    #[error("dropping a journal segment: {0}")]
    Retention(String),
    /// A label set can not identify a series.
    #[error("labels {labels} have no metric name")]
    NoMetricName {
        /// As they came.
        labels: String,
    },
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Disk(error) => error.kind(),
            Error::SeriesLimit { .. } => ErrorKind::Exhausted,
            Error::NoMetricName { .. } => ErrorKind::BadRequest,
            Error::Retention(_) => ErrorKind::Unavailable,
        }
    }
}

impl From<Error> for model::Error {
    fn from(error: Error) -> Self {
        model::Error::new(error.kind(), error.to_string())
    }
}
