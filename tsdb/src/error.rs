//! The error of this crate.

use std::path::PathBuf;

use model::ErrorKind;

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] disk::Error),
    /// An operation on a file failed.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// No more series fit.
    #[error(
        "the store holds {limit} series, its limit; drop a label with many values or raise \
         stores.metrics.series_max"
    )]
    SeriesLimit {
        /// How many may be held.
        limit: usize,
    },
    /// A label set can not identify a series.
    #[error("labels {labels} have no metric name")]
    NoMetricName {
        /// As they came.
        labels: String,
    },
    /// Nothing has this number.
    #[error("there is no deletion {id} that can be taken back")]
    NoDeletion {
        /// As it was asked for.
        id: u64,
    },
    /// What the store held before its start is not read yet.
    #[error("the metrics store is loading; retry soon")]
    Loading,
    /// Matchers that were written down do not compile.
    #[error("a deletion on disk: {0}")]
    Deletion(model::Error),
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Disk(error) => error.kind(),
            Error::Io { .. } => ErrorKind::Internal,
            Error::Loading => ErrorKind::Unavailable,
            Error::Corrupt { .. } | Error::Deletion(_) => ErrorKind::Corrupt,
            Error::SeriesLimit { .. } => ErrorKind::Exhausted,
            Error::NoMetricName { .. } => ErrorKind::BadRequest,
            Error::NoDeletion { .. } => ErrorKind::NotFound,
        }
    }

    /// Adds what was being done to an I/O error.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { action, path, source }
    }
}

impl From<Error> for model::Error {
    fn from(error: Error) -> Self {
        model::Error::new(error.kind(), error.to_string())
    }
}
