//! Asks any of the stores, in the dialect that all of them have.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use serde_json::Value;

use super::questions::Question;
use super::store::Store;
use crate::sender::Connection;

/// A range query of 10,000 series and 360 steps answers 100 MiB.
const QUESTION_BYTES_MAX: usize = 1 << 30;

/// The single number that an instant query answers at `at_ms`; `None` when it answers nothing.
///
/// # Errors
///
/// When the server does not answer, refuses, or answers something else.
pub(super) async fn number(
    connection: &mut Connection,
    store: Store,
    expression: &str,
    at_ms: i64,
) -> anyhow::Result<Option<f64>> {
    let (query, seconds) = (percent_encode(expression), at_ms as f64 / 1_000.0);
    // VictoriaMetrics keeps answers, also wrong ones of a moment ago.
    let extra = if store == Store::VictoriaMetrics { "&nocache=1" } else { "" };
    let path = format!("/api/v1/query?query={query}&time={seconds:.3}{extra}");
    let (status, body) = connection.get(&path).await?;
    ensure!(status == 200, "HTTP {status}: {}", String::from_utf8_lossy(&body));
    parse_number(&body)
}

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Answered {
    /// Bytes of the body.
    pub(super) bytes: usize,
    /// How many series or values there are.
    pub(super) rows: usize,
}

/// Asks a question: the status and the body of the answer.
///
/// # Errors
///
/// When there is no answer.
pub(super) async fn get(
    connection: &mut Connection,
    question: &Question,
) -> anyhow::Result<(u16, Bytes)> {
    let mut path = question.path.clone();
    for (i, (name, value)) in question.parameters.iter().enumerate() {
        let separator = if i == 0 { '?' } else { '&' };
        path += &format!("{separator}{name}={}", percent_encode(value));
    }
    connection.get_up_to(&path, QUESTION_BYTES_MAX).await
}

/// Asks a question once.
///
/// # Errors
///
/// When the server does not answer, refuses, or answers nothing.
pub(super) async fn ask(
    connection: &mut Connection,
    store: Store,
    question: &Question,
) -> anyhow::Result<Answered> {
    let mut question = question.clone();
    if store == Store::VictoriaMetrics {
        // It keeps answers.
        question.parameters.push(("nocache", "1".to_owned()));
    }
    let (status, body) = get(connection, &question).await?;
    ensure!(status == 200, "HTTP {status}: {}", String::from_utf8_lossy(&body));
    let metric = b"\"metric\":";
    let series = body.windows(metric.len()).filter(|window| window == metric).count();
    let rows = if series > 0 { series } else { parse_names(&body).map_or(0, |names| names.len()) };
    ensure!(rows > 0, "{} answers nothing", question.name);
    Ok(Answered { bytes: body.len(), rows })
}

/// How many samples of all series there are in the hours before `at_ms`. Metric by metric, because
/// Prometheus refuses series that differ only in the name that `count_over_time` takes away.
///
/// # Errors
///
/// As [`number`].
pub(super) async fn count_samples(
    connection: &mut Connection,
    store: Store,
    hours: u32,
    at_ms: i64,
) -> anyhow::Result<f64> {
    let (end, hours_s) = (at_ms / 1_000, i64::from(hours) * 3_600);
    let path = format!("/api/v1/label/__name__/values?start={}&end={end}", end - hours_s);
    let (status, body) = connection.get(&path).await?;
    ensure!(status == 200, "HTTP {status}: {}", String::from_utf8_lossy(&body));
    let mut count = 0.0;
    for name in parse_names(&body)? {
        let expression = format!("sum(count_over_time({{__name__=\"{name}\"}}[{hours}h]))");
        count += number(connection, store, &expression, at_ms).await?.unwrap_or(0.0);
    }
    Ok(count)
}

fn parse_names(body: &[u8]) -> anyhow::Result<Vec<String>> {
    let answer: Value = serde_json::from_slice(body).context("the answer is not JSON")?;
    let names = answer.pointer("/data").and_then(Value::as_array).context("no data")?;
    Ok(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn parse_number(body: &[u8]) -> anyhow::Result<Option<f64>> {
    let answer: Value = serde_json::from_slice(body).context("the answer is not JSON")?;
    let result = answer.pointer("/data/result").and_then(Value::as_array);
    let result = result.context("the answer has no result")?;
    ensure!(result.len() <= 1, "the answer has {} series", result.len());
    let Some(series) = result.first() else { return Ok(None) };
    let value = series.pointer("/value/1").and_then(Value::as_str).context("no value")?;
    Ok(Some(value.parse().with_context(|| format!("the value {value}"))?))
}

pub(super) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            // Writing to a string can not fail.
            _ => write!(encoded, "%{byte:02X}").unwrap_or_default(),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_carry_only_safe_characters() {
        assert_eq!(percent_encode("count({a=\"b\"}[1h])"), "count%28%7Ba%3D%22b%22%7D%5B1h%5D%29");
    }

    #[test]
    fn names_are_read() {
        assert_eq!(parse_names(br#"{"data":["a","b"]}"#).unwrap(), ["a", "b"]);
        assert!(parse_names(b"{}").is_err());
    }

    #[test]
    fn an_answer_is_one_number_or_none() {
        let answer = |result: &str| {
            parse_number(format!("{{\"data\":{{\"result\":[{result}]}}}}").as_bytes())
        };
        assert_eq!(answer("").unwrap(), None);
        assert_eq!(answer(r#"{"metric":{},"value":[1.5,"72000"]}"#).unwrap(), Some(72_000.0));
        assert!(answer(r#"{"value":[1,"x"]}"#).is_err());
        assert!(answer(r#"{"value":[1,"1"]},{"value":[1,"1"]}"#).is_err());
        assert!(parse_number(b"{}").is_err());
    }
}
