//! Flags, padding, integers and floats of directives.

use super::{Bounded, Full};
use crate::number::{format_e, format_f, format_g};

/// The flags of a directive.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    pub(crate) plus: bool,
    pub(crate) minus: bool,
    pub(crate) sharp: bool,
    pub(crate) space: bool,
    pub(crate) zero: bool,
    pub(crate) width: Option<usize>,
    pub(crate) precision: Option<usize>,
}

/// Writes a text in its width, counted in characters.
pub(crate) fn pad(out: &mut Bounded<'_>, style: &Style, text: &str) -> Result<(), Full> {
    let missing = match style.width {
        Some(width) => width.saturating_sub(text.chars().count()),
        None => 0,
    };
    if !style.minus {
        out.fill(if style.zero { '0' } else { ' ' }, missing)?;
    }
    out.push(text)?;
    if style.minus {
        out.fill(' ', missing)?;
    }
    Ok(())
}

/// Writes an integer in a base; `mark` is `0x` and such, for `#` and `%O`.
pub(super) fn integer(
    out: &mut Bounded<'_>,
    style: &Style,
    value: i64,
    verb: char,
) -> Result<(), Full> {
    let size = value.unsigned_abs();
    let (mut digits, mark) = match verb {
        'b' => (format!("{size:b}"), "0b"),
        'o' | 'O' => (format!("{size:o}"), if verb == 'O' { "0o" } else { "0" }),
        'x' => (format!("{size:x}"), "0x"),
        'X' => (format!("{size:X}"), "0X"),
        _ => (size.to_string(), ""),
    };
    let sign = match value {
        ..0 => "-",
        _ if style.plus => "+",
        _ if style.space => " ",
        _ => "",
    };
    let least = match (style.precision, style.width) {
        (Some(0), _) if value == 0 => {
            return pad(out, &Style { zero: false, ..*style }, "");
        }
        (Some(precision), _) => precision,
        (None, Some(width)) if style.zero => width.saturating_sub(sign.len()),
        _ => 0,
    };
    let zeros = least.saturating_sub(digits.len());
    let mark = match verb {
        'O' => mark,
        'o' if style.sharp && (zeros > 0 || digits.starts_with('0')) => "",
        _ if style.sharp => mark,
        _ => "",
    };
    if zeros > 0 {
        let mut zero = String::new();
        Bounded::new(&mut zero, out.bytes_max).fill('0', zeros)?;
        digits.insert_str(0, &zero);
    }
    pad(out, &Style { zero: false, ..*style }, &format!("{sign}{mark}{digits}"))
}

/// Digits behind the point of a float. The standard library panics when it is asked for more: it
/// counts the digits of `e` with the one before the point in 16 bits.
const FLOAT_DIGITS_MAX: usize = u16::MAX as usize - 1;

/// Writes a float; `v` is `g` with as many digits as are needed.
pub(super) fn float(
    out: &mut Bounded<'_>,
    style: &Style,
    value: f64,
    verb: char,
) -> Result<(), Full> {
    // Nothing that is longer than an output can be printed; the digits are made before that shows.
    let precision = style.precision;
    if precision.is_some_and(|precision| precision > out.bytes_max.min(FLOAT_DIGITS_MAX)) {
        return Err(Full);
    }
    let text = match verb {
        _ if !value.is_finite() => format_g(value, None),
        'e' => format_e(value, precision.unwrap_or(6)),
        'E' => format_e(value, precision.unwrap_or(6)).replace('e', "E"),
        'f' | 'F' => format_f(value, precision.unwrap_or(6)),
        'G' => format_g(value, precision).replace('e', "E"),
        'b' => binary(value),
        'x' => hexadecimal(value, precision),
        'X' => hexadecimal(value, precision).to_uppercase(),
        _ => format_g(value, precision),
    };
    let (sign, digits) = match text.split_at_checked(1) {
        Some((sign @ ("-" | "+"), digits)) => (sign, digits),
        _ => ("", text.as_str()),
    };
    let sign = match sign {
        "" | "+" if style.plus => "+",
        "" | "+" if style.space => " ",
        // Go always shows the sign of an infinity.
        sign => sign,
    };
    if value.is_nan() || value.is_infinite() {
        return pad(out, &Style { zero: false, ..*style }, &format!("{sign}{digits}"));
    }
    match style.width {
        Some(width) if style.zero && !sign.is_empty() => {
            out.push(sign)?;
            out.fill('0', width.saturating_sub(sign.len() + digits.len()))?;
            out.push(digits)
        }
        _ => pad(out, style, &format!("{sign}{digits}")),
    }
}

/// Sign, mantissa and exponent of two.
fn parts(value: f64) -> (&'static str, u64, i64) {
    let bits = value.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let exponent = ((bits >> 52) & 0x7ff) as i64;
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if exponent == 0 {
        return (sign, fraction, -1074);
    }
    (sign, fraction | 1 << 52, exponent - 1075)
}

fn binary(value: f64) -> String {
    let (sign, mantissa, exponent) = parts(value);
    let plus = if exponent < 0 { "" } else { "+" };
    format!("{sign}{mantissa}p{plus}{exponent}")
}

fn hexadecimal(value: f64, precision: Option<usize>) -> String {
    let (sign, mut mantissa, mut exponent) = parts(value);
    if mantissa == 0 {
        exponent = 0;
    } else {
        // One digit before the point: bit 52 is the first.
        while mantissa & (1 << 52) == 0 {
            mantissa <<= 1;
            exponent -= 1;
        }
        exponent += 52;
    }
    let mut digits = 13;
    if let Some(precision) = precision.filter(|precision| *precision < 13) {
        let shift = 4 * (13 - precision) as u32;
        let rest = mantissa & ((1 << shift) - 1);
        mantissa >>= shift;
        let half = 1 << (shift - 1);
        if rest > half || rest == half && mantissa & 1 == 1 {
            mantissa += 1;
        }
        if mantissa >> (4 * precision) > 1 {
            mantissa >>= 1;
            exponent += 1;
        }
        digits = precision;
    }
    let whole = mantissa >> (4 * digits);
    let mut fraction = match digits {
        0 => String::new(),
        digits => format!("{:0digits$x}", mantissa & ((1 << (4 * digits)) - 1)),
    };
    match precision {
        None => fraction.truncate(fraction.trim_end_matches('0').len()),
        Some(precision) => fraction.extend(std::iter::repeat_n('0', precision.saturating_sub(13))),
    }
    let point = if fraction.is_empty() { "" } else { "." };
    let plus = if exponent < 0 { '-' } else { '+' };
    format!("{sign}0x{whole}{point}{fraction}p{plus}{:02}", exponent.abs())
}
