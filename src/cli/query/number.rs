//! Numbers for people: six digits that count, never a whole number cut.

/// `value` with at most six significant digits, whole numbers up to 15 digits as they are.
pub(super) fn show(value: f64) -> String {
    if value.is_nan() || value.is_infinite() {
        return query::text::format_float(value);
    }
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e15).contains(&size) {
        return trim_exponent(&format!("{value:.5e}"));
    }
    if value.fract() == 0.0 || size >= 1e6 {
        return format!("{value:.0}");
    }
    let whole_digits = if size < 1.0 { 0 } else { size.log10().floor() as usize + 1 };
    // Zeros behind the point of a small number do not count.
    let leading_zeros = if size < 1.0 { (-size.log10()).floor() as usize } else { 0 };
    trim_zeros(&format!("{value:.*}", 6usize.saturating_sub(whole_digits) + leading_zeros))
}

/// Four digits that count, whole numbers below a million as they are, for scales and figures:
/// `12.5`, `34567`, `1.4G`. Prefixes are powers of 1000, from a million on.
pub(super) fn short(value: f64) -> String {
    const PREFIXES: [(f64, &str); 3] = [(1e12, "T"), (1e9, "G"), (1e6, "M")];
    let size = value.abs();
    if value == 0.0 || !size.is_finite() {
        return show(value);
    }
    if !(1e-3..1e15).contains(&size) {
        return trim_exponent(&format!("{value:.1e}"));
    }
    let found = PREFIXES.iter().find(|(factor, _)| size >= *factor);
    let (factor, prefix) = found.copied().unwrap_or((1.0, ""));
    let scaled = value / factor;
    // The exponent of the first digit, so that three follow it.
    let exponent = scaled.abs().log10().floor() as i32;
    let decimals = usize::try_from(3 - exponent).unwrap_or(0);
    format!("{}{prefix}", trim_zeros(&format!("{scaled:.decimals$}")))
}

/// [`show`] of a number as the server writes it; other text as it is.
pub(super) fn show_text(text: &str) -> String {
    parse(text).map_or_else(|| text.to_owned(), show)
}

/// A number as the server writes it.
pub(super) fn parse(text: &str) -> Option<f64> {
    query::text::parse_number(text)
}

fn trim_zeros(text: &str) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    }
}

fn trim_exponent(text: &str) -> String {
    match text.split_once('e') {
        Some((digits, exponent)) => format!("{}e{exponent}", trim_zeros(digits)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_digits_count_and_whole_numbers_stay_whole() {
        for (value, shown) in [
            (0.0, "0"),
            (1.0 / 3.0, "0.333333"),
            (0.012_345_678, "0.0123457"),
            (-12.5, "-12.5"),
            (123.456_789, "123.457"),
            (99_999.99, "100000"),
            (1_234_567.8, "1234568"),
            (123_456_789_012.0, "123456789012"),
            (1.5e18, "1.5e18"),
            (0.000_001_5, "1.5e-6"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(show(value), shown);
        }
        assert_eq!(show_text("+Inf"), "+Inf");
    }

    #[test]
    fn scales_have_four_digits_and_a_prefix() {
        for (value, shown) in [
            (0.0, "0"),
            (24.2042, "24.2"),
            (0.012_346, "0.01235"),
            (1234.56, "1235"),
            (12_345.6, "12346"),
            (-1_399_986_669.0, "-1.4G"),
            (2.5e-7, "2.5e-7"),
        ] {
            assert_eq!(short(value), shown);
        }
    }
}
