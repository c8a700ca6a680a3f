//! Numbers as Go and Prometheus print them.

use crate::gotime::GoTime;

/// Splits a finite, non-zero number into a sign, decimal digits and the exponent of the first
/// digit; `precision` digits, or as many as tell the number from its neighbours.
fn digits(value: f64, precision: Option<usize>) -> (bool, String, i32) {
    let text = match precision {
        Some(precision) => format!("{:.*e}", precision.saturating_sub(1), value.abs()),
        None => format!("{:e}", value.abs()),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mut digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let kept = digits.trim_end_matches('0').len().max(1);
    digits.truncate(kept);
    (value.is_sign_negative(), digits, exponent.parse().unwrap_or(0))
}

/// Go's `%f` of a finite number.
pub(crate) fn format_f(value: f64, precision: usize) -> String {
    format!("{value:.precision$}")
}

/// Go's `%e` of a finite number: the exponent has a sign and two digits.
pub(crate) fn format_e(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// Go's `%g`: `%v` and `%g` with `None`, `%.4g` with `Some(4)`.
pub(crate) fn format_g(value: f64, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let precision = precision.map(|precision| precision.max(1));
    let (negative, digits, exponent) = digits(value, precision);
    let sign = if negative { "-" } else { "" };
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    // Go's strconv/ftoa.go, case 'g': the shortest form decides as if its precision was 6, and a
    // precision above the number of digits shrinks to it when the digits reach the point.
    let threshold = match precision {
        None => 6,
        Some(precision) => {
            let precision = i32::try_from(precision).unwrap_or(i32::MAX);
            if precision > count && count > exponent { count } else { precision }
        }
    };
    if exponent < -4 || exponent >= threshold {
        let fraction = if digits.len() > 1 { format!(".{}", &digits[1..]) } else { String::new() };
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{}{fraction}e{exponent_sign}{:02}", &digits[..1], exponent.abs());
    }
    if exponent < 0 {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
        return format!("{sign}0.{zeros}{digits}");
    }
    let whole = usize::try_from(exponent).unwrap_or(0) + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}

/// A number as `{{ $value }}` prints it.
pub fn format_float(value: f64) -> String {
    format_g(value, None)
}

fn four(value: f64) -> String {
    format_g(value, Some(4))
}

const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

fn shrink(mut value: f64, base: f64, prefixes: [&'static str; 8]) -> (f64, &'static str) {
    let mut prefix = "";
    for next in prefixes {
        if value.abs() < base {
            break;
        }
        prefix = next;
        value /= base;
    }
    (value, prefix)
}

fn grow(mut value: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in SMALL {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = next;
        value *= 1000.0;
    }
    (value, prefix)
}

/// Prometheus's `humanize`: four significant digits and a metric prefix, `1.235M`.
pub fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return four(value);
    }
    let (value, prefix) = if value.abs() >= 1.0 {
        shrink(value, 1000.0, ["k", "M", "G", "T", "P", "E", "Z", "Y"])
    } else {
        grow(value)
    };
    format!("{}{prefix}", four(value))
}

/// Prometheus's `humanize1024`: `1.177Mi`.
pub(crate) fn humanize_1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return four(value);
    }
    let (value, prefix) = shrink(value, 1024.0, ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"]);
    format!("{}{prefix}", four(value))
}

/// Prometheus's `humanizeDuration` of seconds: `1d 2h 3m 4s`, `12.35ms`.
pub fn humanize_duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return four(seconds);
    }
    if seconds == 0.0 {
        return format!("{}s", four(seconds));
    }
    if seconds.abs() < 1.0 {
        let (value, prefix) = grow(seconds);
        return format!("{}{prefix}s", four(value));
    }
    let sign = if seconds < 0.0 { "-" } else { "" };
    let seconds = seconds.abs();
    // The cast saturates where Go's is undefined.
    let whole = seconds as i64;
    let (s, m) = (whole % 60, whole / 60 % 60);
    let (h, d) = (whole / 3600 % 24, whole / 86_400);
    match (d, h, m) {
        (0, 0, 0) => format!("{sign}{}s", four(seconds)),
        (0, 0, _) => format!("{sign}{m}m {s}s"),
        (0, _, _) => format!("{sign}{h}h {m}m {s}s"),
        _ => format!("{sign}{d}d {h}h {m}m {s}s"),
    }
}

/// Prometheus's `humanizePercentage` of a ratio: `12.35%`.
pub(crate) fn humanize_percentage(ratio: f64) -> String {
    format!("{}%", four(ratio * 100.0))
}

/// Prometheus's `humanizeTimestamp` of Unix seconds: `1970-01-15 06:56:07 +0000 UTC`.
pub(crate) fn humanize_timestamp(seconds: f64) -> Result<String, String> {
    if !seconds.is_finite() {
        return Ok(four(seconds));
    }
    Ok(timestamp(seconds)?.print())
}

/// The time of Unix seconds, to the millisecond, as Prometheus keeps times.
pub(crate) fn timestamp(seconds: f64) -> Result<GoTime, String> {
    if !seconds.is_finite() {
        return Err("value is NaN or Inf".to_owned());
    }
    let nanos = seconds * 1e9;
    // Both bounds are powers of two, so that the comparison is exact.
    if !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&nanos) {
        return Err(format!(
            "{} cannot be represented as a nanoseconds timestamp since it overflows int64",
            format_float(seconds)
        ));
    }
    Ok(GoTime::of_ns(nanos as i64 / 1_000_000 * 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_go_prints_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (100_000.0, "100000"),
            (1e6, "1e+06"),
            (1_353_755_652.0, "1.353755652e+09"),
            (1.5e-5, "1.5e-05"),
            (0.000_15, "0.00015"),
            (-12.5, "-12.5"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(format_float(value), expected);
        }
    }

    #[test]
    fn four_significant_digits_are_exact() {
        for (value, expected) in [
            (999.95, "1000"),
            (999.949, "999.9"),
            (9999.5, "1e+04"),
            (1234.5, "1234"),
            (1235.5, "1236"),
            (123_456.0, "1.235e+05"),
            (0.000_012_345, "1.234e-05"),
            (10_000.0, "1e+04"),
            (1000.0, "1000"),
            (100.0, "100"),
        ] {
            assert_eq!(four(value), expected, "{value}");
        }
    }
}
