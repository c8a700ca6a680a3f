//! Pieces of text that the languages share: strings with escapes, durations, numbers.

use std::fmt::Write;

/// Units of a PromQL duration in the order in which they may follow each other.
const DURATION_UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Reads a PromQL duration such as `1h30m` as milliseconds: units at most once each, from large to
/// small. `None` if it is not one or does not fit.
pub fn parse_duration_ms(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0i64;
    let mut next_unit = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = &rest[digits..digits + letters];
        let index = DURATION_UNITS.iter().position(|(name, _)| *name == unit)?;
        if digits == 0 || index < next_unit {
            return None;
        }
        let value: i64 = rest[..digits].parse().ok()?;
        total = total.checked_add(value.checked_mul(DURATION_UNITS[index].1)?)?;
        next_unit = index + 1;
        rest = &rest[digits + letters..];
    }
    Some(total)
}

/// Writes milliseconds as a PromQL duration; `0s` for zero.
pub fn format_duration_ms(ms: i64) -> String {
    let mut out = String::new();
    if ms == 0 {
        return "0s".into();
    }
    let mut rest = ms.unsigned_abs();
    if ms < 0 {
        out.push('-');
    }
    for (name, factor) in DURATION_UNITS {
        let factor = factor.unsigned_abs();
        let count = rest / factor;
        // Years and weeks only where nothing remains, as Prometheus prints them.
        if count == 0 || (matches!(name, "y" | "w") && !rest.is_multiple_of(factor)) {
            continue;
        }
        rest -= count * factor;
        push(&mut out, format_args!("{count}{name}"));
    }
    out
}

/// Units of a Go duration in nanoseconds.
const GO_UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("\u{b5}s", 1e3),
    ("\u{3bc}s", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 6e10),
    ("h", 3.6e12),
];

/// Reads a Go duration such as `1.5h` or `-250ms` (also with the units `d`, `w`, `y` of LogQL) as
/// nanoseconds.
pub fn parse_go_duration_ns(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let unit_len = rest[digits..]
            .char_indices()
            .find(|(_, c)| c.is_ascii_digit() || *c == '.')
            .map_or(rest.len() - digits, |(i, _)| i);
        let unit = &rest[digits..digits + unit_len];
        let factor =
            GO_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, f)| *f).or(match unit {
                "d" => Some(8.64e13),
                "w" => Some(6.048e14),
                "y" => Some(3.1536e16),
                _ => None,
            })?;
        total += rest[..digits].parse::<f64>().ok()? * factor;
        rest = &rest[digits + unit_len..];
    }
    if total >= 9.2e18 {
        return None;
    }
    let total = total.round() as i64;
    Some(if negative { -total } else { total })
}

/// Reads a size such as `5KB` or `1.5MiB` as bytes.
pub fn parse_bytes(text: &str) -> Option<f64> {
    let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let value: f64 = text[..digits].parse().ok()?;
    let factor = match text[digits..].trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" | "k" => 1e3,
        "mb" | "m" => 1e6,
        "gb" | "g" => 1e9,
        "tb" | "t" => 1e12,
        "pb" | "p" => 1e15,
        "kib" | "ki" => 1024.0,
        "mib" | "mi" => 1_048_576.0,
        "gib" | "gi" => 1_073_741_824.0,
        "tib" | "ti" => 1_099_511_627_776.0,
        "pib" | "pi" => 1_125_899_906_842_624.0,
        _ => return None,
    };
    Some(value * factor)
}

/// Reads a number as Prometheus does: decimal, exponents, hexadecimal, octal with a leading zero,
/// underscores between digits, `Inf` and `NaN` in any case.
pub fn parse_number(text: &str) -> Option<f64> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let value = parse_unsigned(body)?;
    Some(if negative { -value } else { value })
}

fn parse_unsigned(body: &str) -> Option<f64> {
    if body.eq_ignore_ascii_case("inf") || body.eq_ignore_ascii_case("infinity") {
        return Some(f64::INFINITY);
    }
    if body.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    if !body.as_bytes().first().is_some_and(|b| b.is_ascii_digit() || *b == b'.') {
        return None;
    }
    let underscored = body.contains('_');
    if underscored && (body.contains("__") || body.ends_with('_')) {
        return None;
    }
    let plain: String = body.chars().filter(|c| *c != '_').collect();
    if let Some(hex) = plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X")) {
        return parse_hex(hex);
    }
    // Go reads integers with base 0, where a leading zero means octal.
    if plain.len() > 1
        && plain.starts_with('0')
        && plain.bytes().all(|b| (b'0'..=b'7').contains(&b))
        && let Ok(octal) = i64::from_str_radix(&plain, 8)
    {
        return Some(octal as f64);
    }
    if underscored && !plain.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    plain.parse().ok()
}

fn parse_hex(hex: &str) -> Option<f64> {
    let (mantissa, exponent) = match hex.split_once(['p', 'P']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (hex, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0f64;
    for c in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    let shift = exponent - 4 * i32::try_from(fraction.len()).ok()?;
    Some(value * 2f64.powi(shift))
}

/// Writes a sample value as Prometheus's API does: shortest digits that read back, no exponent.
pub fn format_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else {
        format!("{value}")
    }
}

/// Why a quoted string can not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnquoteError {
    /// An escape that Go does not know.
    BadEscape(usize),
    /// The bytes are not UTF-8.
    NotUtf8,
}

/// Reads the inside of a quoted string. Backquotes keep everything; the other quotes know Go's
/// escapes.
pub(crate) fn unquote(body: &str, quote: u8) -> Result<String, UnquoteError> {
    if quote == b'`' || !body.contains('\\') {
        return Ok(body.to_owned());
    }
    let bytes = body.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] != b'\\' {
            out.push(bytes[i]);
            i += 1;
            continue;
        }
        let bad = UnquoteError::BadEscape(i);
        let escape = *bytes.get(i + 1).ok_or(bad)?;
        let (length, simple) = match escape {
            b'a' => (2, Some(7)),
            b'b' => (2, Some(8)),
            b'f' => (2, Some(12)),
            b'n' => (2, Some(b'\n')),
            b'r' => (2, Some(b'\r')),
            b't' => (2, Some(b'\t')),
            b'v' => (2, Some(11)),
            b'\\' => (2, Some(b'\\')),
            b'"' | b'\'' if escape == quote => (2, Some(escape)),
            b'x' => (4, None),
            b'u' => (6, None),
            b'U' => (10, None),
            b'0'..=b'7' => (4, None),
            _ => return Err(bad),
        };
        if let Some(byte) = simple {
            out.push(byte);
        } else {
            let (from, radix) = if escape.is_ascii_digit() { (i + 1, 8) } else { (i + 2, 16) };
            let digits = body.get(from..i + length).ok_or(bad)?;
            let code = u32::from_str_radix(digits, radix).map_err(|_| bad)?;
            if length == 4 {
                out.push(u8::try_from(code).map_err(|_| bad)?);
            } else {
                let c = char::from_u32(code).ok_or(bad)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        i += length;
    }
    String::from_utf8(out).map_err(|_| UnquoteError::NotUtf8)
}

/// Writes `text` in double quotes such that the parsers read it back.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 || u32::from(c) == 0x7f => {
                push(&mut out, format_args!("\\x{:02x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Appends formatted text. Writing into a `String` can not fail.
pub(crate) fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ok = out.write_fmt(arguments).is_ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_prometheus_does() {
        assert_eq!(parse_duration_ms("1h30m"), Some(5_400_000));
        assert_eq!(parse_duration_ms("1m500ms"), Some(60_500));
        assert_eq!(parse_duration_ms("1y2w3d"), Some((365 + 14 + 3) * 86_400_000));
        for bad in ["", "5", "m", "1m1h", "1m1m", "1x", "99999999999999999y"] {
            assert_eq!(parse_duration_ms(bad), None, "{bad}");
        }
        for ms in [0, 1, 1000, 5_400_000, 86_400_000 * 7, 86_400_000 * 8, -61_001] {
            let text = format_duration_ms(ms);
            let parsed = parse_duration_ms(text.trim_start_matches('-')).unwrap();
            assert_eq!(parsed * ms.signum(), ms.abs() * ms.signum() * ms.signum().abs(), "{text}");
        }
    }

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (text, value) in [
            ("1", 1.0),
            (".5", 0.5),
            ("1e+3", 1000.0),
            ("0x10", 16.0),
            ("010", 8.0),
            ("08", 8.0),
            ("1_000", 1000.0),
            ("-Inf", f64::NEG_INFINITY),
        ] {
            assert_eq!(parse_number(text), Some(value), "{text}");
        }
        assert!(parse_number("nan").unwrap().is_nan());
        assert_eq!(parse_number("abc"), None);
    }

    #[test]
    fn go_durations_and_sizes_are_read() {
        assert_eq!(parse_go_duration_ns("1.5h"), Some(5_400_000_000_000));
        assert_eq!(parse_go_duration_ns("-250ms"), Some(-250_000_000));
        assert_eq!(parse_go_duration_ns("5"), None);
        assert_eq!(parse_bytes("1.5KiB"), Some(1536.0));
        assert_eq!(parse_bytes("2MB"), Some(2e6));
    }

    #[test]
    fn strings_are_unquoted_with_the_escapes_of_go() {
        assert_eq!(unquote(r"a\n\x41\u00e9\101", b'"').unwrap(), "a\nA\u{e9}A");
        assert_eq!(unquote(r"a\n", b'`').unwrap(), r"a\n");
        assert_eq!(unquote(r"\'", b'"'), Err(UnquoteError::BadEscape(0)));
        assert_eq!(unquote(r"\xff", b'"'), Err(UnquoteError::NotUtf8));
        for text in ["", "a\"b\\c\n\u{1}\u{7f}", "\u{e9}\r\t"] {
            let quoted = quote(text);
            assert_eq!(unquote(&quoted[1..quoted.len() - 1], b'"').unwrap(), text);
        }
    }
}
