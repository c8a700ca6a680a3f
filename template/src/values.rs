//! Values of labels as numbers, durations and sizes, read as Go reads them, with Go's words for
//! what can not be read: those words end up in `__error_details__`.

/// Go's `strconv.ParseFloat`.
pub fn float(text: &str) -> Result<f64, String> {
    let syntax = || format!("strconv.ParseFloat: parsing {text:?}: invalid syntax");
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let special = ["inf", "infinity", "nan"].iter().any(|word| body.eq_ignore_ascii_case(word));
    if special {
        // Go's NaN has no sign.
        let signed = if body.eq_ignore_ascii_case("nan") { body } else { text };
        return signed.to_ascii_lowercase().parse().map_err(|_| syntax());
    }
    if body.starts_with("0x") || body.starts_with("0X") {
        // A hexadecimal float needs an exponent.
        let has_exponent = body.contains(['p', 'P']);
        return hexadecimal(text).filter(|_| has_exponent).ok_or_else(syntax);
    }
    if !body.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err(syntax());
    }
    let value: f64 = text.parse().map_err(|_| syntax())?;
    if value.is_infinite() {
        return Err(format!("strconv.ParseFloat: parsing {text:?}: value out of range"));
    }
    Ok(value)
}

/// A hexadecimal float: `0x1.8p3`.
fn hexadecimal(text: &str) -> Option<f64> {
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = body.get(2..)?.split_once(['p', 'P'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0f64;
    for c in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?.checked_mul(4)?)?;
    let value = value * 2f64.powi(shift);
    Some(if negative { -value } else { value })
}

/// Units of Go's durations, in nanoseconds.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Go's `time.ParseDuration`, in nanoseconds. There is no day: `1d` is refused.
pub fn duration_ns(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let whole_length = digits(rest);
        let (whole, after) = rest.split_at(whole_length);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(digits(after)),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit_length =
            after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_length);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let factor =
            factor.ok_or_else(|| format!("time: unknown unit {unit:?} in duration {text:?}"))?;
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        let mut part = whole.checked_mul(factor).ok_or_else(invalid)?;
        if !fraction.is_empty() {
            let fraction: f64 = format!("0.{fraction}").parse().unwrap_or(0.0);
            part = part.checked_add((fraction * factor as f64) as u64).ok_or_else(invalid)?;
        }
        total = total.checked_add(part).ok_or_else(invalid)?;
        rest = after;
    }
    let total = i64::try_from(total).map_err(|_| invalid())?;
    Ok(if negative { -total } else { total })
}

/// Sizes by lower-case name.
const SIZES: [(&str, f64); 26] = [
    ("", 1.0),
    ("b", 1.0),
    ("k", 1e3),
    ("kb", 1e3),
    ("ki", 1024.0),
    ("kib", 1024.0),
    ("m", 1e6),
    ("mb", 1e6),
    ("mi", 1_048_576.0),
    ("mib", 1_048_576.0),
    ("g", 1e9),
    ("gb", 1e9),
    ("gi", 1_073_741_824.0),
    ("gib", 1_073_741_824.0),
    ("t", 1e12),
    ("tb", 1e12),
    ("ti", 1_099_511_627_776.0),
    ("tib", 1_099_511_627_776.0),
    ("p", 1e15),
    ("pb", 1e15),
    ("pi", 1_125_899_906_842_624.0),
    ("pib", 1_125_899_906_842_624.0),
    ("e", 1e18),
    ("eb", 1e18),
    ("ei", 1_152_921_504_606_846_976.0),
    ("eib", 1_152_921_504_606_846_976.0),
];

/// Sizes as go-humanize reads them (`ParseBytes`): `5KB`, `1.5 MiB`, `1,000`; whole bytes.
pub fn bytes(text: &str) -> Result<f64, String> {
    let length =
        text.bytes().take_while(|b| b.is_ascii_digit() || matches!(b, b'.' | b',')).count();
    let (number, unit) = text.split_at(length);
    let value = float(&number.replace(',', ""))?;
    let unit = unit.trim().to_lowercase();
    let factor = SIZES.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let size = value * factor.ok_or_else(|| format!("unhandled size name: {unit}"))?;
    if size >= 18_446_744_073_709_551_616.0 {
        return Err(format!("too large: {text}"));
    }
    Ok(size.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_go() {
        assert_eq!(float("1.5e3"), Ok(1500.0));
        assert_eq!(float("-Inf"), Ok(f64::NEG_INFINITY));
        assert_eq!(float("0x1p4"), Ok(16.0));
        assert!(float("NaN").unwrap().is_nan());
        for bad in ["", "abc", "1_000", "0x10", " 1", "1 ", "+-1", "1e400", "e5"] {
            assert!(float(bad).unwrap_err().contains("strconv.ParseFloat"), "{bad}");
        }
    }

    #[test]
    fn durations_are_those_of_go() {
        assert_eq!(duration_ns("1h30m"), Ok(5_400_000_000_000));
        assert_eq!(duration_ns("-1.5ms"), Ok(-1_500_000));
        assert_eq!(duration_ns("0"), Ok(0));
        assert_eq!(duration_ns(".5s"), Ok(500_000_000));
        for (bad, words) in [
            ("", "invalid duration \"\""),
            ("5", "missing unit in duration"),
            ("1d", "unknown unit \"d\""),
            ("s", "invalid duration"),
            ("99999999999h", "invalid duration"),
        ] {
            assert!(duration_ns(bad).unwrap_err().contains(words), "{bad}");
        }
    }

    #[test]
    fn sizes_are_those_of_go_humanize() {
        for (text, size) in
            [("42", 42.0), ("5KB", 5000.0), ("1.5 MiB", 1_572_864.0), ("1,000", 1000.0)]
        {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        assert_eq!(bytes("1.5"), Ok(1.0));
        assert_eq!(bytes("5 parsecs").unwrap_err(), "unhandled size name: parsecs");
        assert!(bytes("").is_err() && bytes("-5KB").is_err() && bytes("99EB").is_err());
    }
}
