//! Time: timestamps that carry their unit, and the clock that everything asks.
//!
//! Metrics count milliseconds, logs and spans count nanoseconds, all since the Unix epoch, all
//! signed. This is the only file that reads the machine's clock (a lint refuses it elsewhere), so a
//! test can move time for the whole process.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Milliseconds since the Unix epoch: the unit of metrics and alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimestampMs(pub i64);

/// Nanoseconds since the Unix epoch: the unit of logs and spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimestampNs(pub i64);

impl TimestampMs {
    /// The earliest time that can be expressed.
    pub const MIN: Self = TimestampMs(i64::MIN);
    /// The latest time that can be expressed.
    pub const MAX: Self = TimestampMs(i64::MAX);

    /// The same instant in nanoseconds, clamped to what fits.
    pub fn to_ns(self) -> TimestampNs {
        TimestampNs(self.0.saturating_mul(1_000_000))
    }

    /// Seconds since the epoch, with fractions.
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// This instant moved by `delta_ms`, clamped.
    pub fn plus_ms(self, delta_ms: i64) -> Self {
        TimestampMs(self.0.saturating_add(delta_ms))
    }
}

impl TimestampNs {
    /// The earliest time that can be expressed (the year 1677).
    pub const MIN: Self = TimestampNs(i64::MIN);
    /// The latest time that can be expressed (the year 2262).
    pub const MAX: Self = TimestampNs(i64::MAX);

    /// The same instant in milliseconds, rounded down.
    pub fn to_ms(self) -> TimestampMs {
        TimestampMs(self.0.div_euclid(1_000_000))
    }

    /// This instant moved by `delta_ns`, clamped.
    pub fn plus_ns(self, delta_ns: i64) -> Self {
        TimestampNs(self.0.saturating_add(delta_ns))
    }
}

/// RFC 3339 in UTC with milliseconds, for example `2026-11-22T03:00:00.000Z`.
impl fmt::Display for TimestampMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

/// RFC 3339 in UTC with nanoseconds.
impl fmt::Display for TimestampNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(at) => write!(f, "{at:.9}"),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

/// Reads an RFC 3339 time (with any offset) as nanoseconds; `None` if it is not one or does not fit.
pub fn parse_rfc3339(text: &str) -> Option<TimestampNs> {
    let at: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(at.as_nanosecond()).ok().map(TimestampNs)
}

/// Where every part of Signalbox gets the time from.
pub trait Clock: Send + Sync {
    /// The wall time.
    fn now(&self) -> TimestampNs;

    /// Time since an arbitrary start; never goes back. For durations and deadlines.
    fn monotonic(&self) -> Duration;

    /// The wall time in milliseconds.
    fn now_ms(&self) -> TimestampMs {
        self.now().to_ms()
    }
}

/// The machine's clock.
#[derive(Debug, Clone)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    /// Starts a clock whose monotonic time begins at zero.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn new() -> Self {
        SystemClock { started: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> TimestampNs {
        let now = std::time::SystemTime::now();
        match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => TimestampNs(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)),
            Err(before) => {
                TimestampNs(-i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX))
            }
        }
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that only a test moves.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_ns: AtomicI64,
    moved_ns: AtomicI64,
}

impl ManualClock {
    /// Starts at `now`.
    pub fn at(now: TimestampMs) -> Self {
        ManualClock { now_ns: AtomicI64::new(now.to_ns().0), moved_ns: AtomicI64::new(0) }
    }

    /// Moves wall and monotonic time forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
        self.now_ns.fetch_add(by, Ordering::SeqCst);
        self.moved_ns.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> TimestampNs {
        TimestampNs(self.now_ns.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.moved_ns.load(Ordering::SeqCst)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_print_as_rfc_3339_and_are_read_back() {
        assert_eq!(TimestampMs(1_700_000_000_123).to_string(), "2023-11-14T22:13:20.123Z");
        let ns = TimestampNs(1_700_000_000_123_456_789);
        assert_eq!(ns.to_string(), "2023-11-14T22:13:20.123456789Z");
        assert_eq!(parse_rfc3339("2023-11-14T23:13:20.123456789+01:00"), Some(ns));
        assert_eq!(parse_rfc3339("yesterday"), None);
    }

    #[test]
    fn nanoseconds_round_down_to_milliseconds_also_before_the_epoch() {
        assert_eq!(TimestampNs(-1).to_ms(), TimestampMs(-1));
        assert_eq!(TimestampNs(1_999_999).to_ms(), TimestampMs(1));
    }
}
