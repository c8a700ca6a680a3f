//! Numbers of the text formats, as Go's `strconv.ParseFloat` reads them, and bounds of buckets as
//! Prometheus 3 writes them.

/// Prometheus's one NaN that is a value (`model/value/value.go`, `NormalNaN`); any other could be
/// taken for a staleness marker.
const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// A sample's value.
#[inline]
pub(crate) fn parse_value(text: &[u8]) -> Option<f64> {
    if let Some(value) = parse_short_integer(text) {
        return Some(value);
    }
    let text = std::str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok()?;
    if value.is_nan() {
        // Go knows no sign of NaN.
        let is_signed = text.starts_with(['+', '-']);
        return (!is_signed).then_some(f64::from_bits(NORMAL_NAN_BITS));
    }
    // Go refuses numbers that do not fit; infinity must be spelled out.
    let is_out_of_range = value.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit());
    (!is_out_of_range).then_some(value)
}

/// Most values are counts. Up to 15 digits fit exactly.
#[inline]
fn parse_short_integer(text: &[u8]) -> Option<f64> {
    if text.is_empty() || text.len() > 15 {
        return None;
    }
    let mut number = 0_u64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    Some(number as f64)
}

/// The text format's time: whole milliseconds.
#[inline]
pub(crate) fn parse_milliseconds(text: &[u8]) -> Option<i64> {
    if text.first() == Some(&b'+') {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// OpenMetrics' time: seconds with a fraction, of which milliseconds are kept.
#[inline]
pub(crate) fn parse_seconds(text: &[u8]) -> Option<i64> {
    let seconds = parse_value(text)?;
    to_milliseconds(seconds)
}

/// Seconds to whole milliseconds, rounded down; nothing if they do not fit.
pub(crate) fn to_milliseconds(seconds: f64) -> Option<i64> {
    // A thousandth of a millisecond more undoes the error of decimal fractions.
    let ms = (seconds * 1000.0 + 0.001).floor();
    (ms.abs() < 9.0e18).then_some(ms as i64)
}

/// How Prometheus 3 writes the bound of a bucket or a quantile, however the target wrote it (`1`,
/// `1.0`, `1e0`): `formatOpenMetricsFloat` of `model/textparse`. Nothing if it is no number.
pub(crate) fn normalize_bound(text: &str) -> Option<String> {
    let value = parse_value(text.as_bytes())?;
    if value.is_nan() {
        return Some("NaN".to_owned());
    }
    if value.is_infinite() {
        return Some(if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned());
    }
    // The shortest digits, then Go's format 'g', which writes an exponent below -4 or above 5.
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return Some(format!("{mantissa}e{sign}{:02}", exponent.abs()));
    }
    let plain = format!("{value}");
    Some(if plain.contains('.') { plain } else { format!("{plain}.0") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_go_reads_them() {
        let check = |text: &str, expected: Option<f64>| {
            assert_eq!(parse_value(text.as_bytes()), expected, "{text}");
        };
        check("0", Some(0.0));
        check("123456789012345", Some(123_456_789_012_345.0));
        check("1234567890123456789", Some(1_234_567_890_123_456_789.0));
        check("-1.5e-3", Some(-0.0015));
        check(".5", Some(0.5));
        check("5.", Some(5.0));
        check("+Inf", Some(f64::INFINITY));
        check("-infinity", Some(f64::NEG_INFINITY));
        for bad in ["", ".", "1_0", "0x1", "1e", "+NaN", "-nan", "1e999", " 1", "1 ", "1\r"] {
            check(bad, None);
        }
        let nan = parse_value(b"NaN").unwrap();
        assert_eq!(nan.to_bits(), NORMAL_NAN_BITS);
    }

    #[test]
    fn times_are_read_in_their_unit() {
        assert_eq!(parse_milliseconds(b"1700000000123"), Some(1_700_000_000_123));
        assert_eq!(parse_milliseconds(b"-1"), Some(-1));
        assert_eq!(parse_milliseconds(b"1.5"), None);
        for ms in [0, 1, 123, 999, 5_001] {
            let at = 1_600_000_000_000_i64 + ms;
            let text = format!("{}.{:03}", at / 1000, at % 1000);
            assert_eq!(parse_seconds(text.as_bytes()), Some(at), "{text}");
        }
        assert_eq!(parse_seconds(b"1.0009"), Some(1000));
        assert_eq!(parse_seconds(b"NaN"), None);
        assert_eq!(parse_seconds(b"1e300"), None);
    }

    #[test]
    fn bounds_are_written_as_prometheus_3_writes_them() {
        for (text, expected) in [
            ("1", "1.0"),
            ("0", "0.0"),
            ("-1", "-1.0"),
            ("0.5", "0.5"),
            ("1e0", "1.0"),
            ("0.005", "0.005"),
            ("1000000", "1e+06"),
            ("100000", "100000.0"),
            ("1.5e6", "1.5e+06"),
            ("1234567", "1.234567e+06"),
            ("0.00001", "1e-05"),
            ("+inf", "+Inf"),
            ("NaN", "NaN"),
        ] {
            assert_eq!(normalize_bound(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(normalize_bound("x"), None);
    }
}
