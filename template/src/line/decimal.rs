//! Sums and products of floats as decimals, so that `addf 0.1 0.2` is 0.3: sprig computes them with
//! the decimals that the floats print as. What does not fit 38 digits is computed with floats.

/// Digits behind the point of a quotient.
const QUOTIENT_DIGITS: i32 = 16;

/// `digits * 10^exponent`
#[derive(Debug, Clone, Copy)]
struct Decimal {
    digits: i128,
    exponent: i32,
}

impl Decimal {
    fn of(value: f64) -> Option<Self> {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e')?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent: i32 = exponent.parse().ok()?;
        let digits = format!("{whole}{fraction}").parse().ok()?;
        Some(Decimal { digits, exponent: exponent - i32::try_from(fraction.len()).ok()? })
    }

    fn float(self) -> Option<f64> {
        format!("{}e{}", self.digits, self.exponent).parse().ok()
    }

    /// The digits with a smaller exponent.
    fn scaled(self, exponent: i32) -> Option<i128> {
        let power = u32::try_from(self.exponent.checked_sub(exponent)?).ok()?;
        self.digits.checked_mul(10i128.checked_pow(power)?)
    }
}

fn exact(
    a: f64,
    b: f64,
    decimal: impl Fn(Decimal, Decimal) -> Option<Decimal>,
    float: impl Fn(f64, f64) -> f64,
) -> f64 {
    let made = || decimal(Decimal::of(a)?, Decimal::of(b)?)?.float();
    made().unwrap_or_else(|| float(a, b))
}

fn sum(a: Decimal, b: Decimal) -> Option<Decimal> {
    let exponent = a.exponent.min(b.exponent);
    let digits = a.scaled(exponent)?.checked_add(b.scaled(exponent)?)?;
    Some(Decimal { digits, exponent })
}

pub(super) fn add(a: f64, b: f64) -> Result<f64, String> {
    Ok(exact(a, b, sum, |a, b| a + b))
}

pub(super) fn subtract(a: f64, b: f64) -> Result<f64, String> {
    add(a, -b)
}

pub(super) fn multiply(a: f64, b: f64) -> Result<f64, String> {
    let product = |a: Decimal, b: Decimal| {
        let digits = a.digits.checked_mul(b.digits)?;
        Some(Decimal { digits, exponent: a.exponent + b.exponent })
    };
    Ok(exact(a, b, product, |a, b| a * b))
}

pub(super) fn divide(a: f64, b: f64) -> Result<f64, String> {
    if b == 0.0 {
        return Err("decimal division by 0".to_owned());
    }
    let quotient = |a: Decimal, b: Decimal| {
        let above = a.scaled(b.exponent.checked_sub(QUOTIENT_DIGITS)?)?;
        let (digits, rest) = (above / b.digits, above % b.digits);
        // Halves away from zero.
        let is_up = rest.unsigned_abs().checked_mul(2)? >= b.digits.unsigned_abs();
        let sign = if (above < 0) == (b.digits < 0) { 1 } else { -1 };
        let digits = digits + if is_up { sign } else { 0 };
        Some(Decimal { digits, exponent: -QUOTIENT_DIGITS })
    };
    Ok(exact(a, b, quotient, |a, b| a / b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_decimals() {
        assert_eq!(add(0.1, 0.2), Ok(0.3));
        assert_eq!(subtract(0.3, 0.1), Ok(0.2));
        assert_eq!(multiply(0.1, 3.0), Ok(0.3));
        assert_eq!(divide(0.3, 0.1), Ok(3.0));
        assert_eq!(divide(-2.0, 3.0), Ok(-0.666_666_666_666_666_7));
        assert!(divide(1.0, 0.0).is_err());
        assert_eq!(add(1e300, 1e-300), Ok(1e300));
        assert_eq!(multiply(1e200, 1e200), Ok(f64::INFINITY));
        assert!(add(f64::NAN, 1.0).unwrap().is_nan());
    }
}
