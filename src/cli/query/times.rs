//! Times as people write them on a command line, and as they read them.

use model::TimestampMs;
use query::text::{parse_duration_ms, parse_number};

/// `now`, RFC 3339, Unix seconds, or a duration before now such as `-15m`.
pub(super) fn parse_time(text: &str, now: TimestampMs) -> Option<TimestampMs> {
    if text == "now" {
        return Some(now);
    }
    if let Some(ago) = text.strip_prefix('-').and_then(parse_duration_ms) {
        return Some(now.plus_ms(-ago));
    }
    if let Some(at) = model::clock::parse_rfc3339(text) {
        return Some(at.to_ms());
    }
    let seconds = parse_number(text).filter(|seconds| seconds.is_finite())?;
    Some(TimestampMs((seconds * 1000.0).round() as i64))
}

/// A duration such as `5m`, or seconds, in milliseconds; above zero.
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    let seconds = || parse_number(text).filter(|seconds| seconds.is_finite());
    let ms = parse_duration_ms(text).or_else(|| Some((seconds()? * 1000.0).round() as i64))?;
    (ms > 0).then_some(ms)
}

/// A step of a round length, so that `range_ms` has at most `points_max` of them; a second at
/// least.
pub(super) fn round_step(range_ms: i64, points_max: i64) -> i64 {
    const SECONDS: [i64; 15] =
        [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600];
    const DAY_MS: i64 = 86_400_000;
    let wanted = range_ms / points_max.max(1);
    let round = SECONDS.iter().map(|seconds| seconds * 1000).find(|step| *step >= wanted);
    round.unwrap_or_else(|| (wanted + DAY_MS - 1) / DAY_MS * DAY_MS)
}

/// `2026-11-22 03:00:00`.
pub(super) fn show(at: TimestampMs) -> String {
    let text = at.to_string().replace('T', " ");
    text.split('.').next().unwrap_or(&text).to_owned()
}

/// What a mark on an axis says: as much of the time as tells its marks apart.
pub(super) fn show_mark(at_seconds: f64, range_seconds: f64) -> String {
    let text = show(TimestampMs((at_seconds * 1000.0).round() as i64));
    let part = match range_seconds {
        range if range < 600.0 => text.get(11..19),
        range if range <= 86_400.0 => text.get(11..16),
        range if range <= 7.0 * 86_400.0 => text.get(5..16),
        _ => text.get(..10),
    };
    part.unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_notation() {
        let now = TimestampMs(1_000_000);
        for (text, ms) in [
            ("now", Some(1_000_000)),
            ("-15m", Some(100_000)),
            ("1970-01-01T00:00:01.5Z", Some(1500)),
            ("12.25", Some(12_250)),
            ("-3", Some(-3000)),
            ("soon", None),
            ("1h", None),
        ] {
            assert_eq!(parse_time(text, now).map(|at| at.0), ms, "{text}");
        }
        assert_eq!(parse_duration("1m30s"), Some(90_000));
        assert_eq!(parse_duration("0.5"), Some(500));
        assert_eq!(parse_duration("0"), None);
    }

    #[test]
    fn steps_are_round() {
        let hour = 3_600_000;
        assert_eq!(round_step(hour, 180), 30_000);
        assert_eq!(round_step(1000, 180), 1000);
        assert_eq!(round_step(365 * 24 * hour, 180), 3 * 24 * hour);
    }

    #[test]
    fn marks_say_what_tells_them_apart() {
        let at = 1_700_000_000.0;
        assert_eq!(show(TimestampMs(1_700_000_000_000)), "2023-11-14 22:13:20");
        assert_eq!(show_mark(at, 60.0), "22:13:20");
        assert_eq!(show_mark(at, 3600.0), "22:13");
        assert_eq!(show_mark(at, 200_000.0), "11-14 22:13");
        assert_eq!(show_mark(at, 1e7), "2023-11-14");
    }
}
