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
    /// A kept record does not decode.
    #[error("a log record in memory does not decode: {0}")]
    Record(#[from] disk::codec::CodecError),
    /// Nothing has this number.
    #[error("there is no deletion {id} that can be taken back")]
    NoDeletion {
        /// As it was asked for.
        id: u64,
    },
    /// A selection that was written down does not compile.
    #[error("a deletion on disk: {0}")]
    Deletion(model::Error),
    /// The query was refused, is over its budget, or its caller went away.
    #[error(transparent)]
    Query(#[from] model::Error),
    /// The store is being closed, and what was asked for was given up.
    #[error("the log store is stopping")]
    Stopping,
}

impl Error {
    /// Adds what was being done to an I/O error.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { action, path, source }
    }

    /// Whether bytes on disk are wrong or gone, so that trying again does not help.
    pub(crate) fn is_corrupt(&self) -> bool {
        let is_lost = |source: &std::io::Error| source.kind() == std::io::ErrorKind::NotFound;
        match self {
            Error::Disk(disk::Error::Io { source, .. }) => is_lost(source),
            Error::Disk(error) => error.kind() == ErrorKind::Corrupt,
            Error::Query(error) => error.kind() == ErrorKind::Corrupt,
            Error::Corrupt { .. } | Error::Record(_) => true,
            Error::Io { source, .. } => is_lost(source),
            Error::NoDeletion { .. } | Error::Deletion(_) | Error::Stopping => false,
        }
    }
}

impl From<Error> for model::Error {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::Disk(error) => return error.into(),
            Error::Query(error) => return error,
            Error::Io { .. } => ErrorKind::Internal,
            Error::Corrupt { .. } | Error::Record(_) | Error::Deletion(_) => ErrorKind::Corrupt,
            Error::NoDeletion { .. } => ErrorKind::NotFound,
            Error::Stopping => ErrorKind::Unavailable,
        };
        model::Error::new(kind, error.to_string())
    }
}
