//! What can go wrong here.

use model::ErrorKind;

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something was refused or could not be done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The configuration is not YAML.
    #[error("parse alertmanager configuration: {message}")]
    Yaml {
        /// What is wrong, and where.
        message: String,
    },
    /// A key of the configuration is unknown, missing or has a wrong value.
    #[error("alertmanager configuration: {path}: {message}")]
    Config {
        /// The key, `route.group_by[0]`.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// Alertmanager knows this key but Signalbox does not yet.
    #[error("alertmanager configuration: {path}: not supported yet")]
    NotSupported {
        /// The key.
        path: String,
    },
    /// An alert can not be taken.
    #[error("bad alert {labels}: {message}")]
    BadAlert {
        /// The alert.
        labels: String,
        /// What is wrong.
        message: String,
    },
    /// A silence can not be taken.
    #[error("bad silence: {message}")]
    BadSilence {
        /// What is wrong.
        message: String,
    },
    /// No silence has this id.
    #[error("silence {id} not found")]
    SilenceNotFound {
        /// The id.
        id: String,
    },
    /// State could not be read or written; nothing was changed.
    #[error("{doing}: {source}")]
    State {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: model::Error,
    },
    /// The HTTP client could not be made.
    #[error("make the client of webhooks: {message}")]
    Client {
        /// Why.
        message: String,
    },
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Yaml { .. }
            | Error::Config { .. }
            | Error::NotSupported { .. }
            | Error::BadAlert { .. }
            | Error::BadSilence { .. } => ErrorKind::BadRequest,
            Error::SilenceNotFound { .. } => ErrorKind::NotFound,
            Error::State { source, .. } => source.kind(),
            Error::Client { .. } => ErrorKind::Internal,
        }
    }
}

/// At the trait boundary, where rules hand alerts out.
impl From<Error> for model::Error {
    fn from(error: Error) -> Self {
        model::Error::new(error.kind(), error.to_string())
    }
}
