//! Expected and found alerts and samples: when they are the same, and how they are shown.

use model::labels::is_plain_label_name;
use model::{Labels, NativeHistogram, ResetHint};
use query::text::{format_shortest, quote};

/// Pairs in order of name.
pub(super) type Pairs = Vec<(String, String)>;

/// Labels as pairs.
pub(super) fn pairs(labels: &Labels) -> Pairs {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A firing alert.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alert {
    pub(super) labels: Pairs,
    pub(super) annotations: Pairs,
}

/// Alerts as promtool lists them, indented below `exp:` and `got:`.
pub(super) fn list_alerts(alerts: &[Alert]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let alert = |(i, alert): (usize, &Alert)| {
        let (labels, annotations) = (braces(&alert.labels), braces(&alert.annotations));
        format!("{i}:\n  Labels:{labels}\n  Annotations:{annotations}")
    };
    let alerts: Vec<String> = alerts.iter().enumerate().map(alert).collect();
    indent(&format!("[\n{}\n]", alerts.join(",\n")), "            ")
}

/// What has to go and what has to come for `found` to be as `expected`: lines that begin with `-`
/// and `+`, coloured if wanted.
pub(super) fn difference(expected: &[Alert], found: &[Alert], has_colour: bool) -> String {
    let (old, new) = (lines(expected), lines(found));
    let mut text = String::new();
    for (mark, line) in line_difference(&old, &new) {
        let shown = format!("{mark} {line}");
        text.push('\n');
        match (has_colour, mark) {
            (true, '-') => text.push_str(&format!("\x1b[31m{shown}\x1b[0m")),
            (true, '+') => text.push_str(&format!("\x1b[32m{shown}\x1b[0m")),
            _ => text.push_str(&shown),
        }
    }
    indent(&text, "            ")
}

fn lines(alerts: &[Alert]) -> Vec<String> {
    let mut lines = Vec::new();
    for alert in alerts {
        for (title, pairs) in [("labels:", &alert.labels), ("annotations:", &alert.annotations)] {
            lines.push(title.to_owned());
            lines.extend(pairs.iter().map(|(name, value)| format!("  {name}: {}", quote(value))));
        }
    }
    lines
}

/// The longest common part stays; what is only in `old` comes before what is only in `new`.
fn line_difference<'a>(old: &'a [String], new: &'a [String]) -> Vec<(char, &'a str)> {
    let columns = new.len() + 1;
    // The length of the longest common part of what follows each pair of places.
    let mut common = vec![0_usize; (old.len() + 1) * columns];
    let at = |common: &[usize], i: usize, j: usize| common.get(i * columns + j).copied();
    for (i, old_line) in old.iter().enumerate().rev() {
        for (j, new_line) in new.iter().enumerate().rev() {
            let length = if old_line == new_line {
                at(&common, i + 1, j + 1).unwrap_or(0) + 1
            } else {
                at(&common, i + 1, j).max(at(&common, i, j + 1)).unwrap_or(0)
            };
            if let Some(cell) = common.get_mut(i * columns + j) {
                *cell = length;
            }
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut difference = Vec::new();
    loop {
        match (old.get(i), new.get(j)) {
            (None, None) => return difference,
            (Some(old_line), Some(new_line)) if old_line == new_line => {
                difference.push((' ', old_line.as_str()));
                (i, j) = (i + 1, j + 1);
            }
            (Some(old_line), new_line)
                if new_line.is_none() || at(&common, i + 1, j) >= at(&common, i, j + 1) =>
            {
                difference.push(('-', old_line.as_str()));
                i += 1;
            }
            (_, new_line) => {
                difference.extend(new_line.map(|line| ('+', line.as_str())));
                j += 1;
            }
        }
    }
}

fn indent(text: &str, blanks: &str) -> String {
    text.replace('\n', &format!("\n{blanks}"))
}

/// `{name="value", ...}`, the metric name among them, as Go's Prometheus prints labels.
pub(super) fn braces(pairs: &[(String, String)]) -> String {
    let label = |(name, value): &(String, String)| match is_plain_label_name(name) {
        true => format!("{name}={}", quote(value)),
        false => format!("{}={}", quote(name), quote(value)),
    };
    let labels: Vec<String> = pairs.iter().map(label).collect();
    format!("{{{}}}", labels.join(", "))
}

/// One sample of an answer.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) labels: Pairs,
    pub(super) value: f64,
    /// In the notation of input series; empty for a float.
    pub(super) histogram: String,
}

/// Whether two answers, sorted by labels, are the same. As in promtool, NaN is never the same.
pub(super) fn same_samples(expected: &[Sample], found: &[Sample], is_fuzzy: bool) -> bool {
    let same_value =
        |a: f64, b: f64| a == b || is_fuzzy && (a.next_up() == b || a.next_down() == b);
    expected.len() == found.len()
        && expected.iter().zip(found).all(|(a, b)| {
            a.labels == b.labels && a.histogram == b.histogram && same_value(a.value, b.value)
        })
}

/// Samples as promtool lists them.
pub(super) fn list_samples(samples: &[Sample]) -> String {
    let sample = |sample: &Sample| {
        let value = match sample.histogram.is_empty() {
            true => scientific(sample.value),
            false => sample.histogram.clone(),
        };
        format!("{} {value}", braces(&sample.labels))
    };
    match samples {
        [] => "nil".to_owned(),
        samples => samples.iter().map(sample).collect::<Vec<_>>().join(", "),
    }
}

/// Shortest digits with an exponent of two digits at least: `1E+00`.
fn scientific(value: f64) -> String {
    if !value.is_finite() {
        return query::text::format_float(value);
    }
    let text = format!("{value:E}");
    let (digits, exponent) = text.split_once('E').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}E{sign}{exponent:0>2}")
}

/// A histogram in the notation of input series, so that equal ones have equal texts (prometheus
/// `model/histogram`, `TestExpression`).
pub(super) fn notation(histogram: &NativeHistogram) -> String {
    let mut parts = Vec::new();
    if histogram.schema != 0 {
        parts.push(format!("schema:{}", histogram.schema));
    }
    for (name, value) in [
        ("count", histogram.count),
        ("sum", histogram.sum),
        ("z_bucket", histogram.zero_count),
        ("z_bucket_w", histogram.zero_threshold),
    ] {
        if value != 0.0 {
            parts.push(format!("{name}:{}", format_shortest(value)));
        }
    }
    if histogram.schema == CUSTOM_SCHEMA {
        parts.push(format!("custom_values:{}", list(&histogram.custom_bounds)));
    }
    match histogram.reset_hint {
        ResetHint::Unknown => {}
        ResetHint::Reset => parts.push("counter_reset_hint:reset".to_owned()),
        ResetHint::NotReset => parts.push("counter_reset_hint:not_reset".to_owned()),
        ResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
    }
    buckets(&mut parts, "", &histogram.positive);
    buckets(&mut parts, "n_", &histogram.negative);
    format!("{{{{{}}}}}", parts.join(" "))
}

/// The schema whose buckets have bounds of their own.
const CUSTOM_SCHEMA: i32 = -53;

/// From the first bucket that is not empty to the last one.
fn buckets(parts: &mut Vec<String>, prefix: &str, buckets: &[(i32, f64)]) {
    let mut filled = buckets.iter().filter(|(_, count)| *count != 0.0).map(|(index, _)| *index);
    let Some(first) = filled.next() else { return };
    let last = filled.next_back().unwrap_or(first);
    if first != 0 {
        parts.push(format!("{prefix}offset:{first}"));
    }
    let count = |index: i32| buckets.iter().find(|(i, _)| *i == index).map_or(0.0, |(_, n)| *n);
    parts.push(format!("{prefix}buckets:{}", list(&(first..=last).map(count).collect::<Vec<_>>())));
}

fn list(values: &[f64]) -> String {
    let values: Vec<String> = values.iter().map(|value| format_shortest(*value)).collect();
    format!("[{}]", values.join(" "))
}

/// A duration as Go prints it: `1h0m0s`, `1.5s`, `250ms`.
pub(super) fn go_duration(ms: i64) -> String {
    let mut text = String::from(if ms < 0 { "-" } else { "" });
    let ms = ms.unsigned_abs();
    let (seconds, rest) = (ms / 1000, ms % 1000);
    if seconds == 0 && rest > 0 {
        text.push_str(&format!("{rest}ms"));
        return text;
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    if hours > 0 {
        text.push_str(&format!("{hours}h"));
    }
    if hours > 0 || minutes > 0 {
        text.push_str(&format!("{minutes}m"));
    }
    let fraction = format!(".{rest:03}");
    let fraction = if rest == 0 { "" } else { fraction.trim_end_matches('0') };
    text.push_str(&format!("{}{fraction}s", seconds % 60));
    text
}

#[cfg(test)]
mod tests;
