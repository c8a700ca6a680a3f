//! Prometheus's durations (prometheus/common `model/time.go`): `1h30m`, `5m`, `90s`, `0`.
//!
//! They live here because the template function `parseDuration` reads them; rule files and
//! Alertmanager's configuration read the same notation.

const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Milliseconds of a duration; `None` if it is not one or does not fit. Units go from large to
/// small, each at most once; `0` needs no unit.
pub fn parse_ms(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total = 0_i64;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (_, unit_ms) = units.find(|(unit, _)| *unit == &rest[..letters])?;
        rest = &rest[letters..];
        total = total.checked_add(count.checked_mul(*unit_ms)?)?;
    }
    // Go keeps durations in nanoseconds, so that upstream refuses what is longer than 292 years.
    (!text.is_empty() && total <= i64::MAX / 1_000_000).then_some(total)
}

/// The shortest notation, as Prometheus prints it: `1h30m`, `0s`.
pub fn format_ms(duration_ms: i64) -> String {
    if duration_ms == 0 {
        return "0s".to_owned();
    }
    let mut rest = duration_ms.unsigned_abs();
    let mut text = String::from(if duration_ms < 0 { "-" } else { "" });
    for (unit, unit_ms) in UNITS {
        let unit_ms = unit_ms.unsigned_abs();
        // Years and weeks are used only when nothing is left over, as upstream does.
        let exact_only = matches!(unit, "y" | "w");
        if rest == 0 || (exact_only && !rest.is_multiple_of(unit_ms)) {
            continue;
        }
        let count = rest / unit_ms;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
            rest -= count * unit_ms;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_prometheus_reads_them() {
        for (text, expected) in [
            ("0", Some(0)),
            ("0w", Some(0)),
            ("324ms", Some(324)),
            ("5m", Some(300_000)),
            ("4d1h", Some(4 * 86_400_000 + 3_600_000)),
            ("3w2d1h", Some(23 * 86_400_000 + 3_600_000)),
            ("1y", Some(365 * 86_400_000)),
            ("", None),
            ("1", None),
            ("-1m", None),
            ("1.5h", None),
            ("1d1w", None),
            ("1h1h", None),
            ("d", None),
            ("300y", None),
            ("99999999999999999999m", None),
            ("1\u{e9}", None),
        ] {
            assert_eq!(parse_ms(text), expected, "{text}");
        }
    }

    #[test]
    fn printed_durations_are_read_back() {
        for (ms, text) in [
            (0, "0s"),
            (300_000, "5m"),
            (5_400_000, "1h30m"),
            (14 * 86_400_000, "2w"),
            (8 * 86_400_000, "8d"),
            (365 * 86_400_000, "1y"),
            (1500, "1s500ms"),
        ] {
            assert_eq!(format_ms(ms), text);
            assert_eq!(parse_ms(text), Some(ms));
        }
    }
}
