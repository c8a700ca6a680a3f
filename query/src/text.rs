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

/// Writes a number as Go's `%g` does: shortest digits that read back, an exponent from a million on.
pub fn format_shortest(value: f64) -> String {
    format_general(value, format!("{:e}", value.abs()), 6)
}

/// Writes a number as Go's `%.2g` does: two digits.
pub(crate) fn format_two_digits(value: f64) -> String {
    format_general(value, format!("{:.1e}", value.abs()), 2)
}

/// `scientific` is the absolute value; an exponent is written from `10^precision` on.
fn format_general(value: f64, scientific: String, precision: i32) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e').filter(|_| value.is_finite())
    else {
        return format_float(value);
    };
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = if digits.len() > 1 { digits.trim_end_matches('0') } else { &digits };
    let digits = if digits.is_empty() { "0" } else { digits };
    if exponent < -4 || exponent >= precision {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{first}{point}{rest}e{exponent_sign}{:02}", exponent.abs());
    }
    if exponent < 0 {
        let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
        return format!("{sign}0.{zeros}{digits}");
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}", "0".repeat(whole - digits.len()));
    }
    let (whole, rest) = digits.split_at(whole);
    format!("{sign}{whole}.{rest}")
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
    String::from_utf8(unquote_bytes(body, quote)?).map_err(|_| UnquoteError::NotUtf8)
}

/// Each byte from 0x80 on that is no part of UTF-8 is held as one of the last private characters.
const RAW_BYTES: u32 = 0x10_ff00;

/// As [`unquote`], but keeps bytes that are no UTF-8; [`quote`] writes them back.
pub(crate) fn unquote_any(body: &str, quote: u8) -> Result<String, UnquoteError> {
    let bytes = unquote_bytes(body, quote)?;
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        let raw = chunk.invalid().iter();
        text.extend(raw.filter_map(|byte| char::from_u32(RAW_BYTES + u32::from(*byte))));
    }
    Ok(text)
}

/// The byte that a character stands for after [`unquote_any`].
fn raw_byte(c: char) -> Option<u8> {
    u8::try_from(u32::from(c).checked_sub(RAW_BYTES)?).ok().filter(|byte| *byte >= 0x80)
}

/// Whether a text that [`unquote_any`] read is UTF-8.
pub(crate) fn is_utf8(text: &str) -> bool {
    !text.chars().any(|c| raw_byte(c).is_some())
}

fn unquote_bytes(body: &str, quote: u8) -> Result<Vec<u8>, UnquoteError> {
    if quote == b'`' || !body.contains('\\') {
        return Ok(body.as_bytes().to_vec());
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
            let is_number = digits.chars().all(|c| c.is_digit(radix));
            let code = u32::from_str_radix(digits, radix).ok().filter(|_| is_number).ok_or(bad)?;
            if length == 4 {
                out.push(u8::try_from(code).map_err(|_| bad)?);
            } else {
                let c = char::from_u32(code).ok_or(bad)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        i += length;
    }
    Ok(out)
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
            c => match raw_byte(c) {
                Some(byte) => push(&mut out, format_args!("\\x{byte:02x}")),
                None => out.push(c),
            },
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
    fn general_formats_are_those_of_go() {
        let shortest = [
            (0.0, "0"),
            (-1.5, "-1.5"),
            (100_000.0, "100000"),
            (1_000_000.0, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (0.0001, "0.0001"),
            (0.000_012, "1.2e-05"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
            (1e300, "1e+300"),
        ];
        for (value, expected) in shortest {
            assert_eq!(format_shortest(value), expected);
        }
        let two = [(10.0, "10"), (100.0, "1e+02"), (0.126, "0.13"), (1.0, "1"), (0.0, "0")];
        for (value, expected) in two {
            assert_eq!(format_two_digits(value), expected);
        }
    }

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
        assert_eq!(unquote(r"\x+1", b'"'), Err(UnquoteError::BadEscape(0)));
        let raw = unquote_any(r"a\xc5z\xff", b'"').unwrap();
        assert_eq!((quote(&raw).as_str(), is_utf8(&raw)), (r#""a\xc5z\xff""#, false));
        assert_eq!(unquote_any(r"\xc3\xa9", b'"').unwrap(), "\u{e9}");
        for text in ["", "a\"b\\c\n\u{1}\u{7f}", "\u{e9}\r\t"] {
            let quoted = quote(text);
            assert_eq!(unquote(&quoted[1..quoted.len() - 1], b'"').unwrap(), text);
        }
    }
}
