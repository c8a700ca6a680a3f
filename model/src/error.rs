//! The closed list of error kinds, and the error that crosses the traits of this crate.
//!
//! Each crate has its own `Error` enum; it answers `kind()` with one of these, and the edges map a
//! kind to a gRPC code or an HTTP status in one place each. The list is short so that a client can
//! be told reliably whether a retry makes sense.

use std::fmt;

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong and will stay wrong.
    BadRequest,
    /// The thing that was named does not exist.
    NotFound,
    /// The request contradicts present state.
    Conflict,
    /// The request is over a size limit.
    TooLarge,
    /// Credentials are missing or wrong.
    Unauthenticated,
    /// A configured budget or rate is used up; the message names it. A write may be retried later.
    Exhausted,
    /// The time allowed has passed.
    Timeout,
    /// The caller went away or asked to stop.
    Canceled,
    /// The service can not do it now; a retry makes sense.
    Unavailable,
    /// Stored bytes fail their checksum or their format.
    Corrupt,
    /// A defect of Signalbox.
    Internal,
}

impl ErrorKind {
    /// Whether a sender should try the same request again later.
    pub fn is_retryable(self) -> bool {
        matches!(self, ErrorKind::Exhausted | ErrorKind::Timeout | ErrorKind::Unavailable)
    }
}

/// The error of the traits between crates: a kind, and a message that says what was being done and
/// with which value.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// The result of the traits between crates.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Makes an error of `kind`; `message` is lowercase and without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into() }
    }

    /// Shorthand for [`ErrorKind::BadRequest`].
    pub fn bad_request(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::BadRequest, message)
    }

    /// Shorthand for [`ErrorKind::Unavailable`].
    pub fn unavailable(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Unavailable, message)
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message without any prefix.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
