//! Parameters of a request: from the query string, and from a form in the body of a POST.
//!
//! Both are read everywhere, because Grafana sends either. A parameter of the body comes before one
//! of the query string, as in Go's `Request.FormValue`. Unknown ones are ignored.

use std::num::IntErrorKind;

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use model::{TimestampMs, TimestampNs};

use crate::error::{Error, Result};

/// Times farther from the epoch than this (in ms) are clamped to it, so that no sum of a time, an
/// offset and a step can overflow.
pub(crate) const TIME_MS_MAX: i64 = i64::MAX / 1000;

/// A form may not be larger than this.
pub(crate) const FORM_BYTES_MAX: usize = 4 << 20;

/// Names and values in the order of their precedence.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads `a=b&c=d`; what is not valid is kept as it is written.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Parameters(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name), decode(value))
                })
                .collect(),
        )
    }

    /// The first value of `name`; an empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        found.filter(|value| !value.is_empty())
    }

    /// All values of `name`, in order.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All values of `name` and of `name[]`; Grafana sends both.
    pub(crate) fn list<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        let values = self.0.iter().filter(|(n, _)| n.strip_suffix("[]").unwrap_or(n) == name);
        values.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty()).collect()
    }

    /// A switch, with Go's spellings.
    pub(crate) fn flag(&self, name: &'static str, default: bool) -> Result<bool> {
        let Some(text) = self.get(name) else { return Ok(default) };
        parse_bool(text)
            .ok_or_else(|| Error::parameter(name, format!("{text:?} is neither true nor false")))
    }

    /// The whole number `limit`; zero and absent mean that there is none.
    pub(crate) fn limit(&self) -> Result<Option<usize>> {
        let Some(text) = self.get("limit") else { return Ok(None) };
        let number = parse_integer(text)
            .map_err(|why| Error::parameter("limit", format!("strconv.Atoi: {why}")))?;
        let limit = usize::try_from(number)
            .map_err(|_| Error::parameter("limit", "limit must be non-negative"))?;
        Ok((limit > 0).then_some(limit))
    }

    /// A time of Prometheus: seconds with a fraction, or RFC 3339.
    pub(crate) fn time(&self, name: &'static str) -> Result<Option<TimestampMs>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        parse_time(text).map(Some).ok_or_else(|| {
            // Prometheus says it twice for a time that may be left out.
            Error::parameter(name, bad_optional_time(name, text))
        })
    }

    /// A time that has to be there.
    pub(crate) fn required_time(&self, name: &'static str) -> Result<TimestampMs> {
        let text = self.get(name).unwrap_or("");
        parse_time(text).ok_or_else(|| bad_time(name, text))
    }

    /// A duration of Prometheus in milliseconds: seconds with a fraction, or `1h30m`.
    pub(crate) fn duration_ms(&self, name: &'static str) -> Result<Option<i64>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        parse_duration_ms(text).map(Some).ok_or_else(|| bad_duration(name, text))
    }

    /// A time of Loki: nanoseconds, seconds (with a point, or of at most ten digits), or RFC 3339.
    pub(crate) fn time_ns(&self, name: &'static str) -> Result<Option<TimestampNs>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        parse_time_ns(text).map(Some).ok_or_else(|| bad_time(name, text))
    }
}

/// What is wrong with a time that may be left out.
pub(crate) fn bad_optional_time(name: &str, text: &str) -> String {
    format!("invalid time value for '{name}': cannot parse {text:?} to a valid timestamp")
}

/// Go's spellings of a truth value.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A whole number, or Go's words for what is wrong with it (`strconv.NumError`, without the name of
/// the function).
pub(crate) fn parse_integer(text: &str) -> Result<i64, String> {
    text.parse::<i64>().map_err(|error| match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => {
            format!("parsing {text:?}: value out of range")
        }
        _ => format!("parsing {text:?}: invalid syntax"),
    })
}

fn bad_time(name: &'static str, text: &str) -> Error {
    Error::parameter(name, format!("cannot parse {text:?} to a valid timestamp"))
}

pub(crate) fn bad_duration(name: &'static str, text: &str) -> Error {
    Error::parameter(name, bad_duration_text(text))
}

/// What is wrong with a duration.
pub(crate) fn bad_duration_text(text: &str) -> String {
    let overflows = parse_float(text).is_some_and(|seconds| !seconds.is_nan());
    let why = if overflows { ". It overflows int64" } else { "" };
    format!("cannot parse {text:?} to a valid duration{why}")
}

/// A number as Go reads it: one too large to be a number is none.
fn parse_float(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    let is_word = text.to_ascii_lowercase().contains("inf");
    (number.is_finite() || number.is_nan() || is_word).then_some(number)
}

/// The bounds of time as Prometheus writes them, which have years of more than four digits
/// (`web/api/v1/api.go`, `MinTime` and `MaxTime`).
const TIME_BOUNDS: [(&str, i64); 2] = [
    ("-292273086-05-16T16:47:06Z", -TIME_MS_MAX),
    ("292277025-08-18T07:12:54.999999999Z", TIME_MS_MAX),
];

pub(crate) fn parse_time(text: &str) -> Option<TimestampMs> {
    if let Some((_, bound)) = TIME_BOUNDS.iter().find(|(written, _)| *written == text) {
        return Some(TimestampMs(*bound));
    }
    if let Some(seconds) = parse_float(text) {
        if seconds.is_nan() {
            return None;
        }
        let ms = (seconds * 1000.0).round();
        return Some(TimestampMs((ms as i64).clamp(-TIME_MS_MAX, TIME_MS_MAX)));
    }
    model::clock::parse_rfc3339(text).map(TimestampNs::to_ms)
}

/// Milliseconds, rounded down, of a number of seconds or of a duration with units.
pub(crate) fn parse_duration_ms(text: &str) -> Option<i64> {
    let ms = match parse_float(text) {
        Some(seconds) if seconds.is_nan() => return None,
        Some(seconds) => {
            let ms = (seconds * 1000.0).trunc();
            // Of what Go's nanoseconds can hold.
            (ms.abs() < 9.2e12).then_some(ms as i64)?
        }
        None => query::text::parse_duration_ms(text)?,
    };
    Some(ms.clamp(-TIME_MS_MAX, TIME_MS_MAX))
}

fn parse_time_ns(text: &str) -> Option<TimestampNs> {
    if text.contains('.')
        && let Ok(seconds) = text.parse::<f64>()
    {
        return (!seconds.is_nan()).then_some(TimestampNs((seconds * 1e9).round() as i64));
    }
    match text.parse::<i64>() {
        // Loki's rule (loki `pkg/util/time.go`, `ParseTimestamp`).
        Ok(number) if text.len() <= 10 => Some(TimestampNs(number.saturating_mul(1_000_000_000))),
        Ok(number) => Some(TimestampNs(number)),
        Err(_) => model::clock::parse_rfc3339(text),
    }
}

/// Decodes `%xx` and `+`.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match bytes[i] {
            b'+' => out.push(b' '),
            b'%' => match (hex(i + 1), hex(i + 2)) {
                (Some(high), Some(low)) => {
                    out.push((high * 16 + low) as u8);
                    i += 2;
                }
                _ => out.push(b'%'),
            },
            byte => out.push(byte),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl<S: Send + Sync> FromRequest<S> for Parameters {
    type Rejection = Response;

    async fn from_request(request: Request, _state: &S) -> std::result::Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_form = content_type.is_some_and(|kind| {
            let kind = kind.split(';').next().unwrap_or(kind).trim();
            kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
        let mut parameters = Parameters::default();
        if is_form {
            let bytes = to_bytes(body, FORM_BYTES_MAX).await.map_err(|_| {
                let error = Error::BodyTooLarge { bytes_max: FORM_BYTES_MAX };
                (StatusCode::PAYLOAD_TOO_LARGE, error.to_string()).into_response()
            })?;
            parameters = Parameters::parse(&String::from_utf8_lossy(&bytes));
        }
        parameters.0.extend(Parameters::parse(parts.uri.query().unwrap_or("")).0);
        Ok(parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_prometheus_are_seconds_or_rfc_3339() {
        assert_eq!(parse_time("1435781451.781"), Some(TimestampMs(1_435_781_451_781)));
        assert_eq!(parse_time("2015-07-01T20:10:51.781Z"), Some(TimestampMs(1_435_781_451_781)));
        assert_eq!(parse_time("1e300"), Some(TimestampMs(TIME_MS_MAX)));
        for bad in ["NaN", "", "yesterday"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_of_loki_are_nanoseconds_unless_they_are_short() {
        assert_eq!(
            parse_time_ns("1700000000123456789"),
            Some(TimestampNs(1_700_000_000_123_456_789))
        );
        assert_eq!(parse_time_ns("1700000000"), Some(TimestampNs(1_700_000_000_000_000_000)));
        assert_eq!(parse_time_ns("1700000000.5"), Some(TimestampNs(1_700_000_000_500_000_000)));
        assert_eq!(parse_time_ns("1970-01-01T00:00:04Z"), Some(TimestampNs(4_000_000_000)));
    }

    #[test]
    fn durations_are_seconds_or_have_units() {
        assert_eq!(parse_duration_ms("15"), Some(15_000));
        assert_eq!(parse_duration_ms("0.25"), Some(250));
        assert_eq!(parse_duration_ms("1h30m"), Some(5_400_000));
        for bad in ["", "x", "NaN", "1e40"] {
            assert_eq!(parse_duration_ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn forms_are_decoded() {
        let parameters = Parameters::parse("a=b+c%2B&match[]=x&match%5B%5D=y&bad=%zz&empty=");
        assert_eq!(parameters.get("a"), Some("b c+"));
        assert_eq!(parameters.list("match"), ["x", "y"]);
        assert_eq!(parameters.get("bad"), Some("%zz"));
        assert_eq!(parameters.get("empty"), None);
    }
}
