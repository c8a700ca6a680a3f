//! The notation of series and values in scripts, and when two values are the same.

use model::labels::METRIC_NAME;
use model::sample::{is_stale, stale_nan};
use model::{Labels, MatchOp, NativeHistogram, ResetHint};

use crate::promql::parser::parse_series_selector;
use crate::text::{parse_duration_ms, parse_number};

type Check<T> = Result<T, String>;

/// One position of a list of values.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// No sample.
    Missing,
    /// A float, perhaps a staleness marker.
    Float(f64),
    /// A native histogram, and the reset hint if it is to be compared.
    Histogram(NativeHistogram, Option<ResetHint>),
}

/// Reads the labels at the start of a line, `name{label="value"}`; the rest follows.
///
/// Fails with words for the script's author.
pub fn series(line: &str) -> Check<(Labels, &str)> {
    // A bare `{{...}}` belongs to a series without labels only behind `{}`.
    let (selector, end) = parse_series_selector(line).map_err(|e| e.to_string())?;
    if selector.matchers.iter().any(|matcher| matcher.op != MatchOp::Equal) {
        return Err(format!("a series line needs exact labels: {line}"));
    }
    let name = selector.name.iter().map(|name| (METRIC_NAME, name.as_str()));
    let others = selector.matchers.iter().map(|m| (m.name.as_str(), m.value.as_str()));
    Ok((Labels::from_pairs(name.chain(others)), &line[end..]))
}

/// Reads a list of values: `1 _ stale`, `1+2x3`, `{{count:1 sum:2}}x4`.
///
/// Fails with words for the script's author.
pub fn values(text: &str) -> Check<Vec<Item>> {
    let mut items = Vec::new();
    for word in words(text) {
        let count =
            |text: &str| text.parse::<usize>().map_err(|_| format!("bad count in {word:?}"));
        if let Some(rest) = word.strip_prefix('_') {
            let repeat = if rest.is_empty() { 1 } else { count(rest.trim_start_matches('x'))? };
            items.extend(std::iter::repeat_n(Item::Missing, repeat));
        } else if let Some(rest) = word.strip_prefix("stale") {
            let repeat = if rest.is_empty() { 0 } else { count(rest.trim_start_matches('x'))? };
            items.extend(std::iter::repeat_n(Item::Float(stale_nan()), repeat + 1));
        } else if word.starts_with("{{") {
            histograms(word, &mut items)?;
        } else {
            floats(word, &mut items)?;
        }
    }
    Ok(items)
}

/// Splits at blanks outside of double braces.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = None;
    let mut depth = 0i32;
    for (i, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if c.is_whitespace() && depth == 0 {
            if let Some(start) = start.take() {
                words.push(&text[start..i]);
            }
        } else if start.is_none() {
            start = Some(i);
        }
    }
    words.extend(start.map(|start| &text[start..]));
    words
}

/// `A`, `AxN`, `A+BxN`, `A-BxN`.
fn floats(word: &str, items: &mut Vec<Item>) -> Check<()> {
    // `0x5` is five more zeros here, not a hexadecimal number.
    let zeros = word.strip_prefix("0x").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
    if let Some(value) = parse_number(word).filter(|_| !zeros) {
        items.push(Item::Float(value));
        return Ok(());
    }
    let bad = || format!("bad value {word:?}");
    let (body, count) = word.rsplit_once('x').ok_or_else(bad)?;
    let count: usize = count.parse().map_err(|_| bad())?;
    if let Some(value) = parse_number(body) {
        items.extend(std::iter::repeat_n(Item::Float(value), count + 1));
        return Ok(());
    }
    // The sign that splits is not the first one and not that of an exponent.
    let split = body
        .char_indices()
        .skip(1)
        .filter(|(_, c)| matches!(c, '+' | '-'))
        .find_map(|(i, _)| Some((parse_number(&body[..i])?, parse_number(&body[i..])?)));
    let (mut value, step) = split.ok_or_else(bad)?;
    for _ in 0..=count {
        items.push(Item::Float(value));
        value += step;
    }
    Ok(())
}

/// `{{..}}`, `{{..}}xN`, `{{..}}+{{..}}xN`, `{{..}}-{{..}}xN`.
fn histograms(word: &str, items: &mut Vec<Item>) -> Check<()> {
    let bad = || format!("bad histogram {word:?}");
    let end = word.find("}}").ok_or_else(bad)? + 2;
    let (mut value, hint) = histogram(&word[..end])?;
    let rest = &word[end..];
    if rest.is_empty() {
        items.push(Item::Histogram(value, hint));
        return Ok(());
    }
    let (body, count) = rest.rsplit_once('x').ok_or_else(bad)?;
    let count: usize = count.parse().map_err(|_| bad())?;
    let step = match body.split_at_checked(1) {
        None => {
            items.extend(std::iter::repeat_n(Item::Histogram(value, hint), count + 1));
            return Ok(());
        }
        Some(("+", step)) => (histogram(step)?, true),
        Some(("-", step)) => (histogram(step)?, false),
        Some(_) => return Err(bad()),
    };
    let ((step, hint), is_growing) = step;
    for i in 0..=count {
        items.push(Item::Histogram(value.clone(), hint));
        if i < count {
            let combine =
                if is_growing { crate::histogram::add } else { crate::histogram::subtract };
            combine(&mut value, &step).map_err(|_| bad())?;
        }
    }
    Ok(())
}

/// A histogram, and its reset hint if that is stated.
fn histogram(text: &str) -> Check<(NativeHistogram, Option<ResetHint>)> {
    let bad = || format!("bad histogram {text:?}");
    let body = text.strip_prefix("{{").and_then(|t| t.strip_suffix("}}")).ok_or_else(bad)?;
    let mut histogram = NativeHistogram::default();
    let mut hint = None;
    let (mut positive, mut negative) = (Vec::new(), Vec::new());
    let (mut offset, mut negative_offset) = (0, 0);
    let mut rest = body.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once(':').ok_or_else(bad)?;
        let (value, after) = if let Some(list) = after.strip_prefix('[') {
            list.split_once(']').ok_or_else(bad)?
        } else {
            after.split_once(char::is_whitespace).unwrap_or((after, ""))
        };
        rest = after.trim_start();
        let list = || -> Check<Vec<f64>> {
            value.split_whitespace().map(|word| parse_number(word).ok_or_else(bad)).collect()
        };
        let number = || parse_number(value).ok_or_else(bad);
        match key.trim() {
            "schema" => histogram.schema = number()? as i32,
            "sum" => histogram.sum = number()?,
            "count" => histogram.count = number()?,
            "z_bucket" => histogram.zero_count = number()?,
            "z_bucket_w" => histogram.zero_threshold = number()?,
            "buckets" => positive = list()?,
            "n_buckets" => negative = list()?,
            "offset" => offset = number()? as i32,
            "n_offset" => negative_offset = number()? as i32,
            "custom_values" => histogram.custom_bounds = list()?,
            "counter_reset_hint" => hint = Some(reset_hint(value).ok_or_else(bad)?),
            _ => return Err(bad()),
        }
    }
    let indexed = |counts: Vec<f64>, offset: i32| (offset..).zip(counts).collect();
    histogram.positive = indexed(positive, offset);
    histogram.negative = indexed(negative, negative_offset);
    histogram.reset_hint = hint.unwrap_or_default();
    Ok((histogram, hint))
}

fn reset_hint(text: &str) -> Option<ResetHint> {
    Some(match text {
        "unknown" => ResetHint::Unknown,
        "reset" => ResetHint::Reset,
        "not_reset" => ResetHint::NotReset,
        "gauge" => ResetHint::Gauge,
        _ => return None,
    })
}

/// Reads start times relative to their samples.
pub(super) fn starts(text: &str) -> Check<Vec<Option<i64>>> {
    let mut items = Vec::new();
    for word in text.split_whitespace() {
        let bad = || format!("bad start time {word:?}");
        if let Some(rest) = word.strip_prefix('_') {
            let count = if rest.is_empty() {
                1
            } else {
                rest.trim_start_matches('x').parse().map_err(|_| bad())?
            };
            items.extend(std::iter::repeat_n(None, count));
            continue;
        }
        let (body, count) = match word.rsplit_once('x') {
            Some((body, count)) => (body, count.parse::<usize>().map_err(|_| bad())?),
            None => (word, 0),
        };
        let signed = |text: &str| -> Option<i64> {
            let (sign, digits) = match text.as_bytes().first()? {
                b'-' => (-1, &text[1..]),
                b'+' => (1, &text[1..]),
                _ => (1, text),
            };
            let digits = if digits == "0" { "0s" } else { digits };
            Some(sign * parse_duration_ms(digits)?)
        };
        let split = body.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-'));
        let (start, step) = match split {
            Some((i, _)) => {
                (signed(&body[..i]).ok_or_else(bad)?, signed(&body[i..]).ok_or_else(bad)?)
            }
            None => (signed(body).ok_or_else(bad)?, 0),
        };
        for i in 0..=i64::try_from(count).map_err(|_| bad())? {
            items.push(Some(start + step * i));
        }
    }
    Ok(items)
}

/// Floats are the same within a millionth.
pub(super) fn same_float(a: f64, b: f64) -> bool {
    const EPSILON: f64 = 1e-6;
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

/// Histograms are the same if their buckets are, empty ones aside.
pub(super) fn same_histogram(a: &NativeHistogram, b: &NativeHistogram) -> bool {
    let same_buckets = |a: &[(i32, f64)], b: &[(i32, f64)]| {
        let full = |buckets: &[(i32, f64)]| -> Vec<(i32, f64)> {
            buckets.iter().filter(|(_, count)| *count != 0.0).copied().collect()
        };
        let (a, b) = (full(a), full(b));
        a.len() == b.len() && a.iter().zip(&b).all(|((i, x), (j, y))| i == j && same_float(*x, *y))
    };
    a.schema == b.schema
        && same_float(a.count, b.count)
        && same_float(a.sum, b.sum)
        && same_float(a.zero_count, b.zero_count)
        && a.zero_threshold == b.zero_threshold
        && a.custom_bounds == b.custom_bounds
        && same_buckets(&a.positive, &b.positive)
        && same_buckets(&a.negative, &b.negative)
}
