//! Sizes and durations as people write them.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A number of bytes: `1048576`, `64MiB`, `2GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteSize(pub(crate) u64);

/// A duration in Prometheus's notation: `15s`, `1h30m`, `500ms`, `7d`; `0` is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// Number or text; YAML tells a plain number apart.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

const SIZES: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) =
        SIZES.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)))?;
    number.trim().parse::<u64>().ok()?.checked_mul(unit)
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Number(bytes) => Ok(ByteSize(bytes)),
            Written::Text(text) => parse_size(&text).map(ByteSize).ok_or_else(|| {
                D::Error::custom(format!("{text:?} is not a size; 64MiB and 1048576 are accepted"))
            }),
        }
    }
}

const UNITS: [(&str, u64); 7] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
    ("y", 31_536_000_000),
];

fn parse_span(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut total_ms) = (text, 0u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (_, unit_ms) = UNITS.iter().find(|(unit, _)| *unit == &rest[..end])?;
        total_ms = total_ms.checked_add(number.checked_mul(*unit_ms)?)?;
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(Duration::from_millis(total_ms))
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Written::deserialize(deserializer)? {
            Written::Number(0) => return Ok(Span(Duration::ZERO)),
            Written::Number(number) => number.to_string(),
            Written::Text(text) => text,
        };
        parse_span(&text).map(Span).ok_or_else(|| {
            D::Error::custom(format!("{text:?} is not a duration; 15s, 1h30m and 7d are accepted"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_read_as_people_write_them() {
        assert_eq!(parse_size("64MiB"), Some(64 << 20));
        assert_eq!(parse_size("2 GB"), Some(2_000_000_000));
        assert_eq!(parse_size("12B"), Some(12));
        assert_eq!(parse_size("x"), None);
        assert_eq!(parse_size("99999999999TiB"), None);
        assert_eq!(parse_span("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse_span("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_span("0"), Some(Duration::ZERO));
        assert_eq!(parse_span("5"), None);
        assert_eq!(parse_span(""), None);
        assert_eq!(parse_span("5 s"), None);
    }
}
