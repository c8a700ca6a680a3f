//! The error of this crate.

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] disk::Error),
    /// A kept span does not decode.
    #[error("a span in memory does not decode: {0}")]
    Record(#[from] disk::codec::CodecError),
}

impl From<Error> for model::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Disk(error) => error.into(),
            Error::Record(_) => model::Error::new(model::ErrorKind::Corrupt, error.to_string()),
        }
    }
}
