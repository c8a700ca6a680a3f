//! The part of a line that names a series: `name{label="value"}` or `{"name","label"="value"}`.

use std::borrow::Cow;

use model::labels::METRIC_NAME;
use model::sample::MetricKind;

use super::error::Fault;
use super::number::normalize_bound;
use super::reader::Format;

/// A piece of a series' text, still escaped.
enum Part<'a> {
    Name(&'a str),
    Label(&'a str, &'a str),
}

/// Names and values of labels, unescaped.
pub(crate) type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

#[inline]
fn is_label_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

#[inline]
fn is_name_start(byte: u8) -> bool {
    is_label_start(byte) || byte == b':'
}

#[inline]
fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where a plain metric name that begins at `at` ends; `at` itself if there is none.
#[inline]
pub(super) fn name_end(bytes: &[u8], at: usize) -> usize {
    if !bytes.get(at).is_some_and(|byte| is_name_start(*byte)) {
        return at;
    }
    let is_inside = |byte: &u8| is_label_byte(*byte) || *byte == b':';
    at + bytes[at..].iter().take_while(|byte| is_inside(byte)).count()
}

#[inline]
pub(super) fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    at
}

/// Where the quoted string whose quote is at `at` ends, after its closing quote.
#[inline]
pub(super) fn quoted_end(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let mut end = at + 1;
    loop {
        let rest = bytes.get(end..).unwrap_or_default();
        let Some(found) = memchr::memchr3(b'"', b'\\', b'\n', rest) else {
            return Err((at, "a quoted string has no end"));
        };
        match rest[found] {
            b'"' => return Ok(end + found + 1),
            b'\n' => return Err((end + found, "a quoted string goes over the end of the line")),
            // What is escaped must be on the same line too.
            _ if rest.get(found + 1) == Some(&b'\n') => end += found + 1,
            _ => end += found + 2,
        }
    }
}

/// The text between two places, which are at ASCII bytes and therefore at characters.
#[inline]
pub(super) fn part(text: &str, from: usize, to: usize) -> &str {
    text.get(from..to).unwrap_or_default()
}

/// The end of the series at the begin of `text`, and its parts to `on`.
fn walk<'a>(text: &'a str, format: Format, mut on: impl FnMut(Part<'a>)) -> Result<usize, Fault> {
    let bytes = text.as_bytes();
    let name = name_end(bytes, 0);
    if name > 0 {
        on(Part::Name(part(text, 0, name)));
    }
    // Only the text format lets blanks stand between tokens.
    let skip = |at| if format == Format::Text { skip_blanks(bytes, at) } else { at };
    let open = skip(name);
    if bytes.get(open) != Some(&b'{') {
        return if name > 0 { Ok(name) } else { Err((0, "a metric name is expected")) };
    }
    let mut has_name = name > 0;
    let end = walk_labels(
        text,
        open,
        format,
        |part| {
            has_name |= matches!(part, Part::Name(_));
            on(part);
        },
        name == 0,
    )?;
    if !has_name {
        return Err((0, "a sample has no metric name"));
    }
    Ok(end)
}

/// The labels in braces, which open at `at`; answers where they end.
fn walk_labels<'a>(
    text: &'a str,
    at: usize,
    format: Format,
    mut on: impl FnMut(Part<'a>),
    mut may_name: bool,
) -> Result<usize, Fault> {
    let bytes = text.as_bytes();
    let skip = |at| if format == Format::Text { skip_blanks(bytes, at) } else { at };
    let mut at = skip(at + 1);
    loop {
        let is_quoted = bytes.get(at) == Some(&b'"');
        let label = match bytes.get(at) {
            Some(b'}') => return Ok(at + 1),
            Some(b'"') => {
                let end = quoted_end(bytes, at)?;
                let label = part(text, at + 1, end - 1);
                at = skip(end);
                label
            }
            Some(byte) if is_label_start(*byte) => {
                let end = at + bytes[at..].iter().take_while(|byte| is_label_byte(**byte)).count();
                let label = part(text, at, end);
                at = skip(end);
                label
            }
            _ => return Err((at, "a label name or } is expected")),
        };
        match bytes.get(at) {
            Some(b'=') => {
                at = skip(at + 1);
                if bytes.get(at) != Some(&b'"') {
                    return Err((at, "a quoted label value is expected"));
                }
                let end = quoted_end(bytes, at)?;
                on(Part::Label(label, part(text, at + 1, end - 1)));
                at = skip(end);
            }
            // A quoted string alone is the metric name.
            Some(b',' | b'}') if is_quoted => {
                if !may_name {
                    return Err((at, "the metric name is given twice"));
                }
                may_name = false;
                on(Part::Name(label));
            }
            _ => return Err((at, "= is expected after a label name")),
        }
        match bytes.get(at) {
            Some(b',') => at = skip(at + 1),
            Some(b'}') => {}
            _ => return Err((at, "a comma or } is expected")),
        }
    }
}

/// Where the series at the begin of `text` ends.
#[inline]
pub(super) fn series_end(text: &str, format: Format) -> Result<usize, Fault> {
    walk(text, format, |_| {})
}

/// Where the braces at the begin of `text`, those of an exemplar, end.
pub(super) fn braces_end(text: &str, format: Format) -> Result<usize, Fault> {
    walk_labels(text, 0, format, |_| {}, false)
}

/// Undoes `\\`, `\"` and `\n`; other backslashes stand for themselves.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let (c, skipped) = match after.as_bytes().first() {
            Some(b'n') => ('\n', 1),
            Some(b'"') => ('"', 1),
            Some(b'\\') => ('\\', 1),
            _ => ('\\', 0),
        };
        plain.push(c);
        rest = &after[skipped..];
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// Reads a series that a [`super::Reader`] has found, name first as `__name__`. Bounds of buckets
/// and quantiles are written in Prometheus's one way. Fails if a name is repeated or empty.
pub(crate) fn read_series<'a>(
    series: &'a str,
    format: Format,
    kind: MetricKind,
    pairs: &mut Pairs<'a>,
) -> Result<(), String> {
    pairs.clear();
    let walked = walk(series, format, |part| {
        pairs.push(match part {
            Part::Name(name) => (Cow::Borrowed(METRIC_NAME), unescape(name)),
            Part::Label(name, value) => (unescape(name), unescape(value)),
        });
    });
    walked.map_err(|(_, message)| message.to_owned())?;
    let bound = match kind {
        MetricKind::Histogram | MetricKind::GaugeHistogram => "le",
        MetricKind::Summary => "quantile",
        _ => "",
    };
    if let Some((_, value)) = pairs.iter_mut().find(|(name, _)| name == bound)
        && let Some(normal) = normalize_bound(value)
        && *normal != **value
    {
        *value = Cow::Owned(normal);
    }
    check_names(pairs)
}

/// Reads the labels of an exemplar.
pub(crate) fn read_labels<'a>(
    braces: &'a str,
    format: Format,
    pairs: &mut Pairs<'a>,
) -> Result<(), String> {
    pairs.clear();
    let walked = walk_labels(
        braces,
        0,
        format,
        |part| {
            if let Part::Label(name, value) = part {
                pairs.push((unescape(name), unescape(value)));
            }
        },
        false,
    );
    walked.map_err(|(_, message)| message.to_owned())?;
    check_names(pairs)
}

fn check_names(pairs: &Pairs<'_>) -> Result<(), String> {
    for (i, (name, value)) in pairs.iter().enumerate() {
        if name.is_empty() || (name == METRIC_NAME && value.is_empty()) {
            return Err("a name is empty".to_owned());
        }
        if pairs[..i].iter().any(|(other, _)| other == name) {
            return Err(format!("the label name {name:?} is not unique"));
        }
    }
    Ok(())
}

/// The family of an OpenMetrics sample's name, and whether the sample tells when its series began.
pub(crate) fn base_of(name: &str, kind: MetricKind) -> Option<(&str, bool)> {
    let suffixes: &[&str] = match kind {
        MetricKind::Counter => &["_total"],
        MetricKind::Histogram => &["_bucket", "_sum", "_count"],
        MetricKind::Summary => &["_sum", "_count", ""],
        _ => return None,
    };
    if let Some(base) = name.strip_suffix("_created") {
        return Some((base, true));
    }
    suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).map(|base| (base, false))
}
