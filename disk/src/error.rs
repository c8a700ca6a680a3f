//! The error of this crate.

use std::io;
use std::path::PathBuf;

use model::ErrorKind;

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong on the way to the disk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An operation on a file failed.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done, such as "create".
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The journal takes nothing until a restart.
    #[error("the journal {} takes no more writes since a write to it failed: {cause}", dir.display())]
    Poisoned {
        /// The journal's folder.
        dir: PathBuf,
        /// The first failure.
        cause: String,
    },
    /// There is no room on the disk. Writing goes on by itself when there is.
    #[error("the disk of {} is full ({cause}); retry when there is room", dir.display())]
    DiskFull {
        /// The journal's folder.
        dir: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// Too much is waiting to be written.
    #[error(
        "the journal has {queued_bytes} bytes waiting, its limit is {limit_bytes}; retry later"
    )]
    QueueFull {
        /// What waits now.
        queued_bytes: usize,
        /// What may wait.
        limit_bytes: usize,
    },
    /// A store holds far more than it may, and is making room.
    #[error(
        "the store holds {held_bytes} bytes, its limit is {limit_bytes}; it is making room, retry later"
    )]
    MakingRoom {
        /// What it holds.
        held_bytes: usize,
        /// What it may hold.
        limit_bytes: usize,
    },
    /// One record is larger than a journal can hold.
    #[error("a journal record of {bytes} bytes is over the limit of {limit_bytes}")]
    RecordTooLarge {
        /// Its size.
        bytes: usize,
        /// What is allowed.
        limit_bytes: usize,
    },
    /// Bytes on disk are not what they should be.
    #[error("{}: {what} at offset {offset}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// A manifest is not what it should be.
    #[error("{}: {what}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// What was handed over can not stand in a file of this kind.
    #[error("writing {}: {what}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The key-value database failed.
    #[error("key-value database: {0}")]
    Kv(String),
    /// A store could not use a record that its checksum vouches for.
    #[error("replay of {}: {cause}", path.display())]
    Replay {
        /// The journal file.
        path: PathBuf,
        /// What the store said.
        cause: String,
    },
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::QueueFull { .. }
            | Error::DiskFull { .. }
            | Error::Poisoned { .. }
            | Error::MakingRoom { .. } => ErrorKind::Unavailable,
            Error::RecordTooLarge { .. } => ErrorKind::TooLarge,
            Error::Corrupt { .. } | Error::Manifest { .. } | Error::Replay { .. } => {
                ErrorKind::Corrupt
            }
            Error::Io { .. } | Error::Kv(_) | Error::Unwritable { .. } => ErrorKind::Internal,
        }
    }

    /// Adds what was being done to an I/O error.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { action, path, source }
    }
}

impl From<Error> for model::Error {
    fn from(error: Error) -> Self {
        model::Error::new(error.kind(), error.to_string())
    }
}
