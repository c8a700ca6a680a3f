//! The lines of a text, one item at a time.

use std::borrow::Cow;

use model::sample::MetricKind;

use super::error::{Error, Fault};
use super::number::{parse_milliseconds, parse_seconds, parse_value};
use super::series::{braces_end, name_end, part, quoted_end, series_end, skip_blanks, unescape};

/// Which of the two languages a text is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text, 0.0.4 or 1.0.0.
    Text,
    /// OpenMetrics, 0.0.1 or 1.0.0.
    OpenMetrics,
}

/// One line that says something.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item<'a> {
    Help { family: Cow<'a, str>, text: Cow<'a, str> },
    Kind { family: Cow<'a, str>, kind: MetricKind },
    Unit { family: Cow<'a, str>, unit: &'a str },
    Sample(Sample<'a>),
}

/// One sample; nothing of it is a copy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample<'a> {
    /// The text that names the series, for [`super::read_series`].
    pub(crate) series: &'a str,
    /// Whether that is the hint.
    pub(crate) is_hinted: bool,
    pub(crate) value: f64,
    pub(crate) timestamp_ms: Option<i64>,
    pub(crate) exemplar: Option<ExemplarText<'a>>,
}

/// The exemplar of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ExemplarText<'a> {
    /// The text with labels, value and time: whether it is the one from before.
    pub(crate) text: &'a str,
    /// The labels, for [`super::read_labels`].
    pub(crate) braces: &'a str,
    pub(crate) value: f64,
    pub(crate) timestamp_ms: Option<i64>,
}

/// The state of reading one text.
#[derive(Debug)]
pub(crate) struct Reader {
    format: Format,
    /// Lines that were read.
    lines: u64,
    /// What the last TYPE line said.
    kind: MetricKind,
    is_ended: bool,
}

/// A line's item, and where the line ends, after its line break.
type Line<'a> = Result<(Option<Item<'a>>, usize), Fault>;

impl Reader {
    pub(crate) fn new(format: Format) -> Self {
        Reader { format, lines: 0, kind: MetricKind::Unknown, is_ended: false }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// What the last TYPE line said the samples after it are.
    pub(crate) fn kind(&self) -> MetricKind {
        self.kind
    }

    /// The next item of `rest`, which moves on. `rest` must begin and end with whole lines, but the
    /// last line of a text may have no line break. `hint` is the text of the series that is likely
    /// next; if it is, it is not looked at again.
    #[inline]
    pub(crate) fn next<'a>(
        &mut self,
        rest: &mut &'a str,
        hint: &str,
    ) -> Result<Option<Item<'a>>, Error> {
        while !rest.is_empty() {
            let line: Line<'a> = match rest.as_bytes()[0] {
                _ if self.is_ended => Err((0, "there is text after # EOF")),
                b'#' => self.comment(rest),
                b' ' | b'\t' | b'\n' if self.format == Format::Text => self.indented(rest, hint),
                _ => self.sample(rest, 0, hint),
            };
            let (item, end) = line.map_err(|(at, message)| self.error(at, message))?;
            self.lines += 1;
            *rest = rest.get(end..).unwrap_or_default();
            if item.is_some() {
                return Ok(item);
            }
        }
        Ok(None)
    }

    /// Whether the text may end here.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        if self.format == Format::OpenMetrics && !self.is_ended {
            return Err(self.error(0, "the text does not end with # EOF"));
        }
        Ok(())
    }

    /// An error in the line that is next.
    pub(crate) fn error(&self, at: usize, message: &'static str) -> Error {
        Error { line: self.lines + 1, column: at + 1, message }
    }

    /// How many lines were read: the number of the last one.
    pub(crate) fn line(&self) -> u64 {
        self.lines
    }

    fn indented<'a>(&mut self, text: &'a str, hint: &str) -> Line<'a> {
        let at = skip_blanks(text.as_bytes(), 0);
        match text.as_bytes().get(at) {
            None => Ok((None, at)),
            Some(b'\n') => Ok((None, at + 1)),
            Some(b'#') => {
                let (item, end) = self.comment(part(text, at, text.len()))?;
                Ok((item, at + end))
            }
            Some(_) => self.sample(text, at, hint),
        }
    }

    #[inline]
    fn sample<'a>(&mut self, text: &'a str, from: usize, hint: &str) -> Line<'a> {
        let bytes = text.as_bytes();
        let is_text = self.format == Format::Text;
        let mut at = from + hint.len();
        let is_hinted = !hint.is_empty()
            && bytes.get(from..at) == Some(hint.as_bytes())
            && matches!(bytes.get(at), Some(b' ' | b'\t'))
            // The text format allows a blank before the brace.
            && bytes.get(skip_blanks(bytes, at)) != Some(&b'{');
        if !is_hinted {
            let rest = part(text, from, text.len());
            at = from + series_end(rest, self.format).map_err(|(at, why)| (from + at, why))?;
        }
        let series = part(text, from, at);
        at = if is_text { skip_blanks(bytes, at) } else { one_space(bytes, at)? };
        let end = token_end(bytes, at);
        let value = bytes.get(at..end).and_then(parse_value).ok_or((at, "a number is expected"))?;
        let mut sample = Sample { series, is_hinted, value, timestamp_ms: None, exemplar: None };
        if is_text {
            at = skip_blanks(bytes, end);
            let end = token_end(bytes, at);
            if end > at {
                let time = parse_milliseconds(&bytes[at..end]);
                sample.timestamp_ms = Some(time.ok_or((at, "milliseconds are expected"))?);
                at = skip_blanks(bytes, end);
            }
        } else {
            at = end;
            if bytes.get(at) == Some(&b' ') && bytes.get(at + 1) != Some(&b'#') {
                let end = token_end(bytes, at + 1);
                sample.timestamp_ms = Some(seconds(bytes, at + 1, end)?);
                at = end;
            }
            if bytes.get(at) == Some(&b' ') {
                let (exemplar, end) = exemplar(text, at)?;
                sample.exemplar = Some(exemplar);
                at = end;
            }
        }
        Ok((Some(Item::Sample(sample)), line_break(bytes, at)?))
    }

    fn comment<'a>(&mut self, text: &'a str) -> Line<'a> {
        let bytes = text.as_bytes();
        let length = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
        let line = part(text, 0, length);
        let end = (length + 1).min(bytes.len());
        let item = match self.format {
            Format::Text => self.text_comment(line)?,
            Format::OpenMetrics => self.open_metrics_comment(line)?,
        };
        Ok((item, end))
    }

    fn text_comment<'a>(&mut self, line: &'a str) -> Result<Option<Item<'a>>, Fault> {
        let bytes = line.as_bytes();
        let word = skip_blanks(bytes, 1);
        let is_help = bytes.get(word..word + 4) == Some(b"HELP");
        let is_type = bytes.get(word..word + 4) == Some(b"TYPE");
        let at = skip_blanks(bytes, word + 4);
        if word == 1 || !(is_help || is_type) || at == word + 4 {
            return Ok(None);
        }
        let (family, end) = family(line, at)?;
        let start = skip_blanks(bytes, end);
        if start == end && end < bytes.len() {
            return Err((end, "a blank is expected after the metric name"));
        }
        let text = part(line, start, bytes.len());
        if is_help {
            return Ok(Some(Item::Help { family, text: unescape_help(text) }));
        }
        let kind = match text.trim_end_matches([' ', '\t']) {
            "counter" => MetricKind::Counter,
            "gauge" => MetricKind::Gauge,
            "histogram" => MetricKind::Histogram,
            "summary" => MetricKind::Summary,
            "untyped" => MetricKind::Unknown,
            _ => return Err((start, "a type is expected, such as counter or gauge")),
        };
        self.kind = kind;
        Ok(Some(Item::Kind { family, kind }))
    }

    fn open_metrics_comment<'a>(&mut self, line: &'a str) -> Result<Option<Item<'a>>, Fault> {
        if line == "# EOF" {
            self.is_ended = true;
            return Ok(None);
        }
        let word = part(line, 0, 7);
        if !["# HELP ", "# TYPE ", "# UNIT "].contains(&word) {
            return Err((0, "HELP, TYPE, UNIT or EOF is expected after #"));
        }
        let (family, end) = family(line, 7)?;
        let text = match line.as_bytes().get(end) {
            Some(b' ') => part(line, end + 1, line.len()),
            _ => return Err((end, "a space is expected after the metric name")),
        };
        if word == "# HELP " {
            return Ok(Some(Item::Help { family, text: unescape(text) }));
        }
        if word == "# UNIT " {
            let stem = family.strip_suffix(text);
            if !text.is_empty() && !stem.is_some_and(|stem| stem.ends_with('_')) {
                return Err((end + 1, "the unit is not the last word of the metric name"));
            }
            return Ok(Some(Item::Unit { family, unit: text }));
        }
        let kind = match text {
            "counter" => MetricKind::Counter,
            "gauge" => MetricKind::Gauge,
            "histogram" => MetricKind::Histogram,
            "gaugehistogram" => MetricKind::GaugeHistogram,
            "summary" => MetricKind::Summary,
            "info" => MetricKind::Info,
            "stateset" => MetricKind::StateSet,
            "unknown" => MetricKind::Unknown,
            _ => return Err((end + 1, "a type is expected, such as counter or gauge")),
        };
        self.kind = kind;
        Ok(Some(Item::Kind { family, kind }))
    }
}

/// In a HELP line of the text format quotes stand for themselves.
fn unescape_help(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    // A quote after a backslash keeps it: hidden from the other rule by one more.
    Cow::Owned(unescape(&text.replace("\\\"", "\\\\\"")).into_owned())
}

/// The metric name of a comment, plain or quoted, and where it ends.
fn family(line: &str, at: usize) -> Result<(Cow<'_, str>, usize), Fault> {
    let bytes = line.as_bytes();
    if bytes.get(at) == Some(&b'"') {
        let end = quoted_end(bytes, at)?;
        return Ok((unescape(part(line, at + 1, end - 1)), end));
    }
    let end = name_end(bytes, at);
    if end == at {
        return Err((at, "a metric name is expected"));
    }
    Ok((Cow::Borrowed(part(line, at, end)), end))
}

#[inline]
fn token_end(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|byte| !matches!(byte, b' ' | b'\t' | b'\n')) {
        at += 1;
    }
    at
}

#[inline]
fn one_space(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    if bytes.get(at) == Some(&b' ') { Ok(at + 1) } else { Err((at, "a space is expected")) }
}

fn seconds(bytes: &[u8], at: usize, end: usize) -> Result<i64, Fault> {
    bytes.get(at..end).and_then(parse_seconds).ok_or((at, "seconds are expected"))
}

/// After the end of a line at `at`.
#[inline]
fn line_break(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    match bytes.get(at) {
        None => Ok(at),
        Some(b'\n') => Ok(at + 1),
        Some(_) => Err((at, "the end of the line is expected")),
    }
}

/// ` # {labels} value [seconds]`, with its first blank at `at`.
fn exemplar(text: &str, at: usize) -> Result<(ExemplarText<'_>, usize), Fault> {
    let bytes = text.as_bytes();
    if bytes.get(at..at + 4) != Some(b" # {") {
        return Err((at, "the end of the line or an exemplar is expected"));
    }
    let start = at + 3;
    let rest = part(text, start, text.len());
    let braces = braces_end(rest, Format::OpenMetrics).map_err(|(at, why)| (start + at, why))?;
    let number = one_space(bytes, start + braces)?;
    let mut end = token_end(bytes, number);
    let value = bytes.get(number..end).and_then(parse_value);
    let value = value.ok_or((number, "a number is expected"))?;
    let mut timestamp_ms = None;
    if bytes.get(end) == Some(&b' ') {
        let time = end + 1;
        end = token_end(bytes, time);
        timestamp_ms = Some(seconds(bytes, time, end)?);
    }
    let (text, braces) = (part(text, start, end), part(text, start, start + braces));
    Ok((ExemplarText { text, braces, value, timestamp_ms }, end))
}
