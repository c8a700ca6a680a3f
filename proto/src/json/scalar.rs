//! The scalars of OTLP/JSON: which JSON values each accepts, and what an error says was expected.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, Unexpected, Visitor};

/// How one protobuf scalar is written in JSON. Each method turns one kind of JSON value into the
/// scalar, `None` meaning that it is not one.
pub(super) trait Scalar {
    type Value: Default;

    /// What a value looks like, for errors.
    const EXPECTED: &'static str;

    fn from_text(_text: &str) -> Option<Self::Value> {
        None
    }

    fn from_integer(_integer: i128) -> Option<Self::Value> {
        None
    }

    fn from_float(_float: f64) -> Option<Self::Value> {
        None
    }

    fn from_bool(_boolean: bool) -> Option<Self::Value> {
        None
    }
}

/// `string`.
pub(super) struct Text;

impl Scalar for Text {
    type Value = String;
    const EXPECTED: &'static str = "a string";

    fn from_text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }
}

/// `bool`.
pub(super) struct Boolean;

impl Scalar for Boolean {
    type Value = bool;
    const EXPECTED: &'static str = "true or false";

    fn from_bool(boolean: bool) -> Option<bool> {
        Some(boolean)
    }
}

/// A trace or span id.
pub(super) struct Hex;

impl Scalar for Hex {
    type Value = Vec<u8>;
    const EXPECTED: &'static str = "an even number of hex digits";

    fn from_text(text: &str) -> Option<Vec<u8>> {
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let (pairs, odd) = text.as_bytes().as_chunks::<2>();
        if !odd.is_empty() {
            return None;
        }
        pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
    }
}

/// Other `bytes`: base64 in the standard or the URL-safe alphabet, padded or not, as proto3's JSON
/// mapping asks of readers.
pub(super) struct Base64;

impl Scalar for Base64 {
    type Value = Vec<u8>;
    const EXPECTED: &'static str = "base64";

    fn from_text(text: &str) -> Option<Vec<u8>> {
        let text = text.as_bytes();
        let padding = text.iter().rev().take_while(|&&byte| byte == b'=').count();
        if padding > 2 || (padding > 0 && !text.len().is_multiple_of(4)) {
            return None;
        }
        let digits = &text[..text.len() - padding];
        if digits.len() % 4 == 1 {
            return None;
        }
        let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
        for group in digits.chunks(4) {
            let mut bits = 0_u32;
            for &digit in group {
                bits = bits << 6 | base64_digit(digit)?;
            }
            // A last group of 2 or 3 digits holds 1 or 2 bytes; its spare low bits are dropped.
            bits <<= 6 * (4 - group.len());
            bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
        }
        Some(bytes)
    }
}

fn base64_digit(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

/// An integer of type `T`: a number, or a string that holds one.
pub(super) struct Integer<T>(PhantomData<T>);

/// What is particular to one integer type.
pub(super) trait IntegerType: Default + TryFrom<i128> + std::str::FromStr {
    const EXPECTED: &'static str;
}

impl IntegerType for u64 {
    const EXPECTED: &'static str = "an unsigned 64-bit integer, as a string or number";
}

impl IntegerType for i64 {
    const EXPECTED: &'static str = "a 64-bit integer, as a string or number";
}

impl IntegerType for u32 {
    const EXPECTED: &'static str = "an unsigned 32-bit integer";
}

impl IntegerType for i32 {
    const EXPECTED: &'static str = "a 32-bit integer";
}

impl<T: IntegerType> Scalar for Integer<T> {
    type Value = T;
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_text(text: &str) -> Option<T> {
        text.parse().ok()
    }

    fn from_integer(integer: i128) -> Option<T> {
        T::try_from(integer).ok()
    }

    /// proto3 allows 1e3 and 5.0 where an integer is meant.
    fn from_float(float: f64) -> Option<T> {
        // Beyond 2^64 no type fits; within it the conversion is exact.
        (float.trunc() == float && float.abs() <= 18_446_744_073_709_551_616.0)
            .then_some(float as i128)
            .and_then(Self::from_integer)
    }
}

/// An enum. OTLP, unlike proto3, does not allow the names.
pub(super) struct Enumeration;

impl Scalar for Enumeration {
    type Value = i32;
    const EXPECTED: &'static str = "an enum's integer (OTLP does not allow names)";

    fn from_integer(integer: i128) -> Option<i32> {
        i32::try_from(integer).ok()
    }
}

/// `double`.
pub(super) struct Double;

impl Scalar for Double {
    type Value = f64;
    const EXPECTED: &'static str = "a number, \"NaN\", \"Infinity\" or \"-Infinity\"";

    fn from_text(text: &str) -> Option<f64> {
        match text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            // Rust's own words for these, such as "inf", are no numbers here.
            _ => text.parse().ok().filter(|value: &f64| value.is_finite()),
        }
    }

    fn from_integer(integer: i128) -> Option<f64> {
        Some(integer as f64)
    }

    fn from_float(float: f64) -> Option<f64> {
        Some(float)
    }
}

/// Reads one scalar; errors name the key.
pub(super) struct Seed<'k, S> {
    pub(super) key: &'k str,
    scalar: PhantomData<S>,
}

impl<'k, S> Seed<'k, S> {
    pub(super) fn new(key: &'k str) -> Self {
        Self { key, scalar: PhantomData }
    }
}

impl<'de, S: Scalar> DeserializeSeed<'de> for Seed<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<S: Scalar> Visitor<'_> for Seed<'_, S> {
    type Value = S::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", S::EXPECTED, self.key)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<S::Value, E> {
        S::from_text(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_u64<E: Error>(self, integer: u64) -> Result<S::Value, E> {
        S::from_integer(i128::from(integer))
            .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(integer), &self))
    }

    fn visit_i64<E: Error>(self, integer: i64) -> Result<S::Value, E> {
        S::from_integer(i128::from(integer))
            .ok_or_else(|| E::invalid_value(Unexpected::Signed(integer), &self))
    }

    fn visit_f64<E: Error>(self, float: f64) -> Result<S::Value, E> {
        S::from_float(float).ok_or_else(|| E::invalid_value(Unexpected::Float(float), &self))
    }

    fn visit_bool<E: Error>(self, boolean: bool) -> Result<S::Value, E> {
        S::from_bool(boolean).ok_or_else(|| E::invalid_value(Unexpected::Bool(boolean), &self))
    }
}
