//! Families of samples as text, OpenMetrics or protobuf (prometheus/common `expfmt`).

use std::fmt::Write;

use model::{Labels, NativeHistogram, ResetHint};
use prost::Message;
use proto::exposition as wire;

use super::super::read::spans;
use super::{Newest, Value};
use crate::run::Chunks;

/// The schema of custom bounds.
const CUSTOM: i32 = -53;

/// What becomes of names that older clients can not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escaping {
    /// They are written as they are, in quotes.
    AllowUtf8,
    /// What is not a letter, a digit or an underscore becomes an underscore.
    Underscores,
    /// As above, but `_dot_` for a dot and two underscores for one.
    Dots,
    /// `U__` and code points.
    Values,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Text,
    OpenMetrics,
    /// Messages with their lengths before them.
    Protobuf,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    encoding: Encoding,
    escaping: Escaping,
}

impl Format {
    /// The best of what a client accepts (`expfmt.Negotiate`). An escaping counts even if it stands
    /// with a type that is not served.
    pub(super) fn negotiate(accept: &str) -> Format {
        let mut format = Format { encoding: Encoding::Text, escaping: Escaping::Underscores };
        let mut accepts_open_metrics = false;
        for clause in clauses(accept) {
            format.escaping = match clause.parameter("escaping") {
                Some("allow-utf-8") => Escaping::AllowUtf8,
                Some("underscores") => Escaping::Underscores,
                Some("dots") => Escaping::Dots,
                Some("values") => Escaping::Values,
                _ => format.escaping,
            };
            match clause.kind {
                "application/vnd.google.protobuf"
                    if clause.parameter("proto") == Some("io.prometheus.client.MetricFamily")
                        && clause.parameter("encoding") == Some("delimited") =>
                {
                    return Format { encoding: Encoding::Protobuf, ..format };
                }
                "text/plain" if matches!(clause.parameter("version"), None | Some("0.0.4")) => {
                    return format;
                }
                "application/openmetrics-text" => accepts_open_metrics = true,
                "text/plain" | "text/*" | "*/*" => return format,
                _ => {}
            }
        }
        if accepts_open_metrics {
            format.encoding = Encoding::OpenMetrics;
        }
        format
    }

    pub(super) fn content_type(self) -> String {
        let kind = match self.encoding {
            Encoding::Text => "text/plain; version=0.0.4; charset=utf-8",
            Encoding::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Encoding::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited"
            }
        };
        let escaping = match self.escaping {
            Escaping::AllowUtf8 => "allow-utf-8",
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
        };
        format!("{kind}; escaping={escaping}")
    }

    fn takes(self, newest: &Newest) -> bool {
        match &newest.value {
            Value::Float(_) => true,
            Value::Histogram(histogram) => {
                histogram.schema == CUSTOM || self.encoding == Encoding::Protobuf
            }
        }
    }
}

/// One type of an `Accept` header.
struct Clause<'a> {
    kind: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl Clause<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
    }
}

/// Types, the most wanted first.
fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = accept
        .split(',')
        .map(|text| {
            let mut parts = text.split(';').map(str::trim);
            let kind = parts.next().unwrap_or("");
            let pairs = parts.filter_map(|part| part.split_once('='));
            let parameters =
                pairs.map(|(name, value)| (name.trim(), value.trim().trim_matches('"')));
            Clause { kind, parameters: parameters.collect() }
        })
        .collect();
    let quality = |clause: &Clause<'_>| -> f64 {
        clause.parameter("q").and_then(|q| q.parse().ok()).unwrap_or(1.0)
    };
    clauses.sort_by(|a, b| quality(b).total_cmp(&quality(a)));
    clauses
}

/// Names and values of labels; `None` for what is a float, else whether a histogram is a gauge.
type Family<'a> = (String, Option<bool>, Vec<(Vec<(String, &'a str)>, &'a Newest)>);

/// Writes samples that are in order of their names.
pub(super) fn write(out: &mut Chunks, all: &[Newest], external: &Labels, format: Format) {
    let mut family: Option<Family<'_>> = None;
    for newest in all.iter().filter(|newest| format.takes(newest)) {
        let kind = match &newest.value {
            Value::Float(_) => None,
            Value::Histogram(histogram) => Some(histogram.reset_hint == ResetHint::Gauge),
        };
        let name = newest.name();
        let is_same = family
            .as_ref()
            .is_some_and(|(other, other_kind, _)| *other == *name && *other_kind == kind);
        if !is_same && let Some(done) = family.replace((name.to_owned(), kind, Vec::new())) {
            write_family(out, done, format);
        }
        if let Some((_, _, samples)) = &mut family {
            samples.push((labels(&newest.labels, external, format.escaping), newest));
        }
    }
    if let Some(done) = family {
        write_family(out, done, format);
    }
    if format.encoding == Encoding::OpenMetrics {
        out.write(b"# EOF\n");
    }
}

/// The labels but the name, then external ones that are not there. Without an instance there is an
/// empty one, so that the reader does not put its own there.
fn labels<'a>(own: &'a Labels, external: &'a Labels, escaping: Escaping) -> Vec<(String, &'a str)> {
    let mut added: Vec<(&str, &str)> = external.iter().collect();
    if external.get("instance").is_none() {
        added.push(("instance", ""));
    }
    added.sort_unstable();
    let own_labels = own.iter().filter(|(name, _)| *name != "__name__");
    let added = added.into_iter().filter(|(name, _)| own.get(name).is_none());
    own_labels.chain(added).map(|(name, value)| (escape(name, escaping, false), value)).collect()
}

fn is_plain(name: &str, is_metric: bool) -> bool {
    let fits = |(i, c): (usize, char)| {
        c.is_ascii_alphabetic()
            || c == '_'
            || (i > 0 && c.is_ascii_digit())
            || (is_metric && c == ':')
    };
    !name.is_empty() && name.char_indices().all(fits)
}

/// A name as older clients read it (prometheus/common `model.EscapeName`).
fn escape(name: &str, escaping: Escaping, is_metric: bool) -> String {
    let plain = is_plain(name, is_metric);
    if name.is_empty() || escaping == Escaping::AllowUtf8 {
        return name.to_owned();
    }
    let fits = |i: usize, c: char| {
        c.is_ascii_alphabetic()
            || c == '_'
            || (c == ':' && is_metric)
            || (i > 0 && c.is_ascii_digit())
    };
    let mut out = String::new();
    match escaping {
        Escaping::Underscores | Escaping::Values if plain => return name.to_owned(),
        Escaping::Values => out.push_str("U__"),
        _ => {}
    }
    for (i, c) in name.chars().enumerate() {
        match (escaping, c) {
            (Escaping::Dots, '_') | (Escaping::Values, '_') => out.push_str("__"),
            (Escaping::Dots, '.') => out.push_str("_dot_"),
            (Escaping::Dots, c) if !fits(i, c) => out.push_str("__"),
            (Escaping::Values, c) if !fits(i, c) => {
                // Writing into a `String` can not fail.
                let _ok = write!(out, "_{:x}_", u32::from(c)).is_ok();
            }
            (_, c) if fits(i, c) => out.push(c),
            _ => out.push('_'),
        }
    }
    out
}

fn write_family(out: &mut Chunks, (name, kind, samples): Family<'_>, format: Format) {
    let name = escape(&name, format.escaping, true);
    if format.encoding == Encoding::Protobuf {
        let metric = samples.iter().map(|(labels, newest)| to_message(labels, newest)).collect();
        let r#type = match kind {
            None => wire::UNTYPED,
            Some(false) => wire::HISTOGRAM,
            Some(true) => wire::GAUGE_HISTOGRAM,
        };
        let family = wire::MetricFamily { name: Some(name), r#type: Some(r#type), metric };
        out.write(&family.encode_length_delimited_to_vec());
        return;
    }
    let word = match (kind, format.encoding) {
        (None, Encoding::OpenMetrics) => "unknown",
        (None, _) => "untyped",
        (Some(true), Encoding::OpenMetrics) => "gaugehistogram",
        (Some(_), _) => "histogram",
    };
    let mut text = String::new();
    let shown = if is_plain(&name, true) { name.clone() } else { quoted(&name) };
    let _ok = writeln!(text, "# TYPE {shown} {word}").is_ok();
    for (labels, newest) in &samples {
        let at = match format.encoding {
            Encoding::OpenMetrics => format!("{}", newest.at as f64 / 1000.0),
            _ => newest.at.to_string(),
        };
        match &newest.value {
            Value::Float(value) => write_line(&mut text, &name, labels, None, *value, &at),
            Value::Histogram(histogram) => {
                for (bound, count) in classic(histogram) {
                    let bound = go_float(bound);
                    let name = format!("{name}_bucket");
                    write_line(&mut text, &name, labels, Some(&bound), count, &at);
                }
                let sum = (format!("{name}_sum"), histogram.sum);
                for (name, value) in [sum, (format!("{name}_count"), histogram.count)] {
                    write_line(&mut text, &name, labels, None, value, &at);
                }
            }
        }
        if text.len() > 32 << 10 {
            out.write(text.as_bytes());
            text.clear();
        }
    }
    out.write(text.as_bytes());
}

fn write_line(
    text: &mut String,
    name: &str,
    labels: &[(String, &str)],
    bound: Option<&str>,
    value: f64,
    at: &str,
) {
    let is_plain_name = is_plain(name, true);
    if is_plain_name {
        text.push_str(name);
    }
    let named = (!is_plain_name).then(|| quoted(name));
    let pairs = labels.iter().map(|(name, value)| {
        let name = if is_plain(name, false) { name.clone() } else { quoted(name) };
        format!("{name}={}", quoted(value))
    });
    let bound = bound.map(|bound| format!("le=\"{bound}\""));
    let parts: Vec<String> = named.into_iter().chain(pairs).chain(bound).collect();
    if !parts.is_empty() {
        let _ok = write!(text, "{{{}}}", parts.join(",")).is_ok();
    }
    let _ok = writeln!(text, " {} {at}", go_float(value)).is_ok();
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// Upper bounds and what is up to them; the last is infinity.
fn classic(histogram: &NativeHistogram) -> Vec<(f64, f64)> {
    let mut buckets = histogram.positive.iter().peekable();
    let mut sum = 0.0;
    let mut found = Vec::new();
    for (index, bound) in (0_i32..).zip(&histogram.custom_bounds) {
        while let Some((_, count)) = buckets.next_if(|(at, _)| *at <= index) {
            sum += count;
        }
        found.push((*bound, sum));
    }
    if found.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
        found.push((f64::INFINITY, histogram.count));
    }
    found
}

/// A number as Go's `%g` prints it: shortest digits, an exponent below 1e-4 and from 1e6 on
/// (`expfmt.writeFloat`).
fn go_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

fn to_message(labels: &[(String, &str)], newest: &Newest) -> wire::Metric {
    let label = labels.iter().map(|(name, value)| wire::LabelPair {
        name: Some(name.clone()),
        value: Some((*value).to_owned()),
    });
    let (untyped, histogram) = match &newest.value {
        Value::Float(value) => (Some(wire::Untyped { value: Some(*value) }), None),
        Value::Histogram(histogram) => (None, Some(histogram_message(histogram))),
    };
    wire::Metric { label: label.collect(), untyped, timestamp_ms: Some(newest.at), histogram }
}

fn histogram_message(histogram: &NativeHistogram) -> wire::Histogram {
    let totals = wire::Histogram {
        sample_sum: Some(histogram.sum),
        sample_count_float: Some(histogram.count),
        ..Default::default()
    };
    if histogram.schema == CUSTOM {
        let bucket = classic(histogram).into_iter().map(|(bound, count)| wire::Bucket {
            upper_bound: Some(bound),
            cumulative_count_float: Some(count),
        });
        return wire::Histogram { bucket: bucket.collect(), ..totals };
    }
    let to_spans = |buckets: &[(i32, f64)]| {
        let span =
            |(offset, length)| wire::BucketSpan { offset: Some(offset), length: Some(length) };
        spans(buckets).into_iter().map(span).collect()
    };
    let to_counts = |buckets: &[(i32, f64)]| buckets.iter().map(|(_, count)| *count).collect();
    wire::Histogram {
        schema: Some(histogram.schema),
        zero_threshold: Some(histogram.zero_threshold),
        zero_count_float: Some(histogram.zero_count),
        negative_span: to_spans(&histogram.negative),
        negative_count: to_counts(&histogram.negative),
        positive_span: to_spans(&histogram.positive),
        positive_count: to_counts(&histogram.positive),
        ..totals
    }
}
