//! A request that is refused whole: why, and what its sender may do.

use std::time::Duration;

use axum::http::StatusCode;
use http::header::{CONNECTION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use model::ErrorKind;
use tonic::Code;

/// Why a request was refused.
#[derive(Debug, Clone)]
pub struct Rejection {
    /// A short stable word: the `reason` label of the refusal counter.
    pub reason: &'static str,
    /// Decides the status.
    pub kind: ErrorKind,
    /// What is wrong, where, and what is accepted.
    pub message: String,
    /// How long to wait before the same request may be sent again; `None` says never.
    pub retry_after: Option<Duration>,
}

impl Rejection {
    /// What an HTTP answer says in its headers: when to try again, and that the connection ends.
    pub(crate) fn put_headers(&self, headers: &mut HeaderMap) {
        if let Some(delay) = self.retry_after {
            let seconds = delay.as_secs_f64().ceil() as u64;
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        // Whoever sent a body that is too slow or too large may go on sending it; close.
        if matches!(self.kind, ErrorKind::TooLarge | ErrorKind::Timeout) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// A refusal that a retry can not cure.
    pub fn permanent(reason: &'static str, kind: ErrorKind, message: impl Into<String>) -> Self {
        Rejection { reason, kind, message: message.into(), retry_after: None }
    }

    /// A request whose rows take far more memory than it is long.
    pub(crate) fn too_many_rows(limit: usize) -> Self {
        let message = format!(
            "the request decodes to more than {limit} bytes of rows and fields; send smaller batches"
        );
        Rejection::permanent("too_large", ErrorKind::TooLarge, message)
    }

    /// From the error of a store.
    pub fn from_store(error: &model::Error, retry_delay: Duration) -> Self {
        let kind = error.kind();
        let reason = match kind {
            ErrorKind::Exhausted => "store_limit",
            ErrorKind::Unavailable => "store_unavailable",
            ErrorKind::BadRequest => "bad_data",
            ErrorKind::TooLarge => "too_large",
            _ => "store_error",
        };
        let retry_after = kind.is_retryable().then_some(retry_delay);
        Rejection { reason, kind, message: error.to_string(), retry_after }
    }

    /// The gRPC code. `RESOURCE_EXHAUSTED` is retried by clients only with RetryInfo, which
    /// [`Rejection::retry_after`] becomes.
    pub fn grpc_code(&self) -> Code {
        match self.kind {
            ErrorKind::BadRequest => Code::InvalidArgument,
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::Conflict => Code::FailedPrecondition,
            ErrorKind::TooLarge | ErrorKind::Exhausted => Code::ResourceExhausted,
            ErrorKind::Unauthenticated => Code::Unauthenticated,
            ErrorKind::Timeout => Code::DeadlineExceeded,
            ErrorKind::Canceled => Code::Cancelled,
            ErrorKind::Unavailable => Code::Unavailable,
            ErrorKind::Corrupt | ErrorKind::Internal => Code::Internal,
        }
    }

    /// The HTTP status. Only 429, 502, 503 and 504 are retried by clients.
    pub fn http_status(&self) -> StatusCode {
        match self.kind {
            ErrorKind::BadRequest => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorKind::Exhausted => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::Timeout | ErrorKind::Canceled | ErrorKind::Unavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}
