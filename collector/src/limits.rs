//! The bounds of the write edge, each with its default.

use std::time::Duration;

/// What one request may be, and all of them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request, as sent and again after decompression. OTLP 1.11 recommends 64 MiB.
    pub request_bytes_max: usize,
    /// Bytes of all requests being worked on; over it, requests are refused and may be retried.
    pub in_flight_bytes_max: usize,
    /// A body that takes longer to arrive is refused.
    pub body_timeout: Duration,
    /// Attributes of one span, log record, data point, resource or scope.
    pub attributes_max: usize,
    /// What a refused sender is told to wait.
    pub retry_delay: Duration,
    /// Bytes of a remote-write request, as sent and again after decompression.
    pub remote_write_bytes_max: usize,
    /// Bytes of a log line; what is longer is cut, marked and counted. Zero cuts nothing.
    pub log_line_bytes_max: usize,
    /// Bytes of the cache that knows series by the raw bytes of their points; over it, what was not
    /// asked for longest is forgotten.
    pub series_cache_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_bytes_max: 64 << 20,
            in_flight_bytes_max: 512 << 20,
            body_timeout: Duration::from_secs(60),
            attributes_max: 1000,
            retry_delay: Duration::from_secs(1),
            remote_write_bytes_max: 32 << 20,
            log_line_bytes_max: 256 << 10,
            series_cache_bytes_max: 512 << 20,
        }
    }
}

impl Limits {
    /// What the rows of a decoded request may take in memory. Real requests need about as much as
    /// they are long; only requests made of nothing but empty messages need many times that.
    pub(crate) fn rows_bytes_max(&self) -> usize {
        self.request_bytes_max.saturating_mul(4)
    }
}
