//! Computing with times. What leaves the years that a time can have stays where it was.

use jiff::Timestamp;
use jiff::civil::Date;

use super::GoTime;

/// From Go's zero time to the epoch, in nanoseconds.
const ZERO_TO_EPOCH_NS: i128 = 62_135_596_800 * 1_000_000_000;

impl GoTime {
    /// Another instant on the same clock.
    fn moved(&self, ns: i128) -> Self {
        let at = Timestamp::from_nanosecond(ns).unwrap_or(self.at);
        GoTime { at, offset: self.offset, zone: self.zone.clone() }
    }

    /// So many nanoseconds later.
    pub(crate) fn add_ns(&self, ns: i64) -> Self {
        self.moved(self.unix_ns() + i128::from(ns))
    }

    /// Nanoseconds since another time, at most what a duration can hold.
    pub(crate) fn since_ns(&self, other: &GoTime) -> i64 {
        let ns = self.unix_ns() - other.unix_ns();
        i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
    }

    /// Go's `AddDate`: days over the end of a month run into the next one.
    pub(crate) fn add_date(&self, years: i64, months: i64, days: i64) -> Option<Self> {
        let civil = self.civil();
        let months =
            i64::from(civil.year()).checked_add(years)?.checked_mul(12)?.checked_add(months)?;
        let months = months.checked_add(i64::from(civil.month()) - 1)?;
        let year = i16::try_from(months.div_euclid(12)).ok()?;
        let first = Date::new(year, i8::try_from(months.rem_euclid(12) + 1).ok()?, 1).ok()?;
        let days = i32::try_from(days.checked_add(i64::from(civil.day()) - 1)?).ok()?;
        let span = jiff::Span::new().try_days(days).ok()?;
        let date = first.checked_add(span).ok()?;
        let at = self.offset.to_timestamp(date.to_datetime(civil.time())).ok()?;
        Some(self.moved(at.as_nanosecond()))
    }

    /// Go's `Truncate`: down to a multiple of a duration since the zero time.
    pub(crate) fn truncate(&self, ns: i64) -> Self {
        if ns <= 0 {
            return self.clone();
        }
        let rest = (self.unix_ns() + ZERO_TO_EPOCH_NS).rem_euclid(i128::from(ns));
        self.moved(self.unix_ns() - rest)
    }

    /// Go's `Round`: to the nearest multiple of a duration since the zero time, halves up.
    pub(crate) fn round(&self, ns: i64) -> Self {
        if ns <= 0 {
            return self.clone();
        }
        let down = self.truncate(ns);
        let rest = self.unix_ns() - down.unix_ns();
        if rest * 2 < i128::from(ns) { down } else { down.add_ns(ns) }
    }
}
