//! JSON written straight into a buffer.
//!
//! Grafana's parser streams, so the order of keys is part of the contract, and results can have
//! millions of numbers: both speak for writing by hand. Small answers use serde with structs, whose
//! order is fixed too.

use std::fmt::Write;
use std::time::Duration;

use axum::body::Bytes;
use model::Labels;
use serde::ser::{Serialize, SerializeMap, Serializer};
use tokio::sync::{mpsc, oneshot};

/// JSON text under construction. The caller keeps the brackets balanced.
#[derive(Debug, Default)]
pub(crate) struct Json(String, Option<Sink>);

/// Where a long text goes while it is written.
#[derive(Debug)]
pub(crate) struct Sink {
    runtime: tokio::runtime::Handle,
    /// Told that there is a first chunk.
    first: Option<oneshot::Sender<()>>,
    chunks: mpsc::Sender<Bytes>,
    is_gone: bool,
}

/// A text is handed over in pieces of about this size.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// A client that takes no chunk for so long has gone.
const STALL_MAX: Duration =
    if cfg!(test) { Duration::from_millis(100) } else { Duration::from_secs(60) };

impl Sink {
    /// Sends to `chunks`, and tells `first` of the first one.
    pub(crate) fn new(
        runtime: tokio::runtime::Handle,
        first: oneshot::Sender<()>,
        chunks: mpsc::Sender<Bytes>,
    ) -> Self {
        Sink { runtime, first: Some(first), chunks, is_gone: false }
    }

    /// Hands over bytes; waits while too much is not taken yet.
    pub(crate) fn send(&mut self, bytes: Bytes) {
        if let Some(first) = self.first.take() {
            self.is_gone |= first.send(()).is_err();
        }
        if !self.is_gone {
            let sent = tokio::time::timeout(STALL_MAX, self.chunks.send(bytes));
            self.is_gone = !matches!(self.runtime.block_on(sent), Ok(Ok(())));
        }
    }

    /// Whether nobody takes what is sent, of which some is lost by then.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone
    }
}

impl Json {
    /// An empty text.
    pub(crate) fn new() -> Self {
        Json(String::with_capacity(256), None)
    }

    /// An empty text that goes to `sink` whenever it is long.
    pub(crate) fn with_sink(sink: Sink) -> Self {
        Json(String::with_capacity(256), Some(sink))
    }

    /// Hands over what is written, if it is long and there is somebody to take it. Waits while too
    /// much is not taken yet.
    pub(crate) fn flush(&mut self) {
        if self.0.len() >= CHUNK_BYTES
            && let Some(sink) = &mut self.1
        {
            let rest = String::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
            sink.send(std::mem::replace(&mut self.0, rest).into());
        }
    }

    /// Whether nobody reads on, so that the rest need not be written.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.1.as_ref().is_some_and(Sink::is_gone)
    }

    /// Appends text that is JSON already.
    pub(crate) fn raw(&mut self, text: &str) {
        self.0.push_str(text);
    }

    /// Appends formatted text that is JSON already.
    pub(crate) fn raw_fmt(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing into a `String` can not fail.
        let _ok = self.0.write_fmt(arguments).is_ok();
    }

    /// Appends a string with its quotes.
    pub(crate) fn string(&mut self, text: &str) {
        self.0.push('"');
        let mut plain_from = 0;
        for (i, byte) in text.bytes().enumerate() {
            let escape = match byte {
                b'"' => "\\\"",
                b'\\' => "\\\\",
                b'\n' => "\\n",
                b'\r' => "\\r",
                b'\t' => "\\t",
                0..=0x1f => "",
                _ => continue,
            };
            self.0.push_str(&text[plain_from..i]);
            if escape.is_empty() {
                self.raw_fmt(format_args!("\\u{byte:04x}"));
            } else {
                self.0.push_str(escape);
            }
            plain_from = i + 1;
        }
        self.0.push_str(&text[plain_from..]);
        self.0.push('"');
    }

    /// Appends a string with its quotes as Go's encoder does: what means something in HTML is
    /// escaped.
    pub(crate) fn web_string(&mut self, text: &str) {
        const SPECIAL: [char; 5] = ['<', '>', '&', '\u{2028}', '\u{2029}'];
        if !text.contains(SPECIAL) {
            return self.string(text);
        }
        let from = self.0.len();
        self.string(text);
        let written = self.0.split_off(from);
        for c in written.chars() {
            if SPECIAL.contains(&c) {
                self.raw_fmt(format_args!("\\u{:04x}", u32::from(c)));
            } else {
                self.0.push(c);
            }
        }
    }

    /// Appends labels as an object.
    pub(crate) fn labels(&mut self, labels: &Labels) {
        self.object(labels.iter());
    }

    /// Appends names and texts as an object.
    pub(crate) fn object<'a>(&mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) {
        self.0.push('{');
        for (i, (name, value)) in pairs.into_iter().enumerate() {
            self.comma(i);
            self.string(name);
            self.0.push(':');
            self.string(value);
        }
        self.0.push('}');
    }

    /// Appends a list; `write` writes one item.
    pub(crate) fn array<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Json, T),
    ) {
        self.0.push('[');
        for (i, item) in items.into_iter().enumerate() {
            self.comma(i);
            write(self, item);
            self.flush();
            if self.is_abandoned() {
                break;
            }
        }
        self.0.push(']');
    }

    /// Appends a list of strings.
    pub(crate) fn strings<T: AsRef<str>>(&mut self, items: impl IntoIterator<Item = T>) {
        self.array(items, |json, item| json.string(item.as_ref()));
    }

    /// Appends a list of strings as Go's encoder does.
    pub(crate) fn web_strings<T: AsRef<str>>(&mut self, items: impl IntoIterator<Item = T>) {
        self.array(items, |json, item| json.web_string(item.as_ref()));
    }

    fn comma(&mut self, index: usize) {
        if index > 0 {
            self.0.push(',');
        }
    }

    /// Appends a sample value as Prometheus does (`util/jsonutil/marshal.go`, `MarshalFloat`):
    /// shortest digits that read back, an exponent only below 1e-6 and from 1e21 on.
    pub(crate) fn prometheus_float(&mut self, value: f64) {
        self.0.push('"');
        let magnitude = value.abs();
        if value.is_finite() && magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
            self.go_exponent(value);
        } else {
            self.plain_float(value);
        }
        self.0.push('"');
    }

    /// Appends a quoted value without any exponent, as scalars of Prometheus and all of Loki have.
    pub(crate) fn decimal_float(&mut self, value: f64) {
        self.0.push('"');
        self.plain_float(value);
        self.0.push('"');
    }

    /// Appends a quoted value that always has an exponent, as the value of an alert has.
    pub(crate) fn exponent_float(&mut self, value: f64) {
        self.0.push('"');
        if value.is_finite() {
            self.go_exponent(value);
        } else {
            self.plain_float(value);
        }
        self.0.push('"');
    }

    fn plain_float(&mut self, value: f64) {
        if value.is_nan() {
            self.raw("NaN");
        } else if value.is_infinite() {
            self.raw(if value > 0.0 { "+Inf" } else { "-Inf" });
        } else {
            self.finite_float(value);
        }
    }

    /// Shortest digits that read back, without an exponent.
    fn finite_float(&mut self, value: f64) {
        // Outside of these zmij writes an exponent.
        if value != 0.0 && !(1e-4..1e15).contains(&value.abs()) {
            return self.raw_fmt(format_args!("{value}"));
        }
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value);
        self.raw(text.strip_suffix(".0").unwrap_or(text));
    }

    /// Go's `strconv.FormatFloat(value, 'e', -1, 64)`: a sign and two digits at least.
    fn go_exponent(&mut self, value: f64) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        self.raw_fmt(format_args!("{mantissa}e{sign}{digits:0>2}"));
    }

    /// Appends a number without quotes, in the digits of [`Json::prometheus_float`].
    pub(crate) fn number(&mut self, value: f64) {
        let magnitude = value.abs();
        if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
            self.go_exponent(value);
        } else {
            self.plain_float(value);
        }
    }

    /// Appends milliseconds as seconds, as Prometheus does in samples: no fraction or exactly three
    /// digits (`util/jsonutil/marshal.go`, `MarshalTimestamp`).
    pub(crate) fn timestamp(&mut self, ms: i64) {
        if ms < 0 {
            self.0.push('-');
        }
        let magnitude = ms.unsigned_abs();
        self.whole_number(magnitude / 1000);
        let rest = (magnitude % 1000) as u16;
        if rest != 0 {
            self.0.push('.');
            for digit in [rest / 100, rest / 10 % 10, rest % 10] {
                self.0.push(char::from(b'0' + digit as u8));
            }
        }
    }

    /// Appends digits; `format_args` takes several times as long, and answers are full of times.
    fn whole_number(&mut self, mut number: u64) {
        let mut digits = [b'0'; 20];
        let mut at = digits.len();
        while at > 0 {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.0.extend(digits[at..].iter().map(|digit| char::from(*digit)));
    }

    /// Appends milliseconds as seconds without trailing zeros, as Go prints a float: in scalars of
    /// Prometheus and in all of Loki.
    pub(crate) fn short_timestamp(&mut self, ms: i64) {
        self.raw_fmt(format_args!("{}", ms as f64 / 1000.0));
    }

    /// The text, but for what was handed over.
    pub(crate) fn finish(self) -> String {
        self.0
    }
}

/// Labels as a JSON object in order of name.
pub(crate) struct LabelMap<'a>(pub(crate) &'a Labels);

impl Serialize for LabelMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Json)) -> String {
        let mut json = Json::new();
        write(&mut json);
        json.finish()
    }

    #[test]
    fn sample_values_are_those_of_prometheus() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (20.0, "20"),
            (0.1, "0.1"),
            (1e-6, "0.000001"),
            (1e-7, "1e-07"),
            (1.5e-10, "1.5e-10"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-2.5e300, "-2.5e+300"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(written(|json| json.prometheus_float(value)), format!("\"{text}\""));
        }
        assert_eq!(written(|json| json.decimal_float(1e21)), "\"1000000000000000000000\"");
        assert_eq!(written(|json| json.exponent_float(12.5)), "\"1.25e+01\"");
        assert_eq!(written(|json| json.exponent_float(0.0)), "\"0e+00\"");
    }

    #[test]
    fn texts_and_bare_numbers_are_those_of_the_encoder_of_go() {
        assert_eq!(
            written(|json| json.web_string("<a> & \"b\"\u{2028}\u{1}")),
            r#""\u003ca\u003e \u0026 \"b\"\u2028\u0001""#
        );
        for (value, text) in [(0.0, "0"), (0.25, "0.25"), (7.14e-7, "7.14e-07"), (1e21, "1e+21")] {
            assert_eq!(written(|json| json.number(value)), text);
        }
    }

    #[test]
    fn sample_times_are_those_of_prometheus() {
        // prometheus web/api/v1/json_codec_test.go.
        for (ms, text) in [
            (0, "0"),
            (1, "0.001"),
            (10, "0.010"),
            (100, "0.100"),
            (1001, "1.001"),
            (12_345_678_123_456_555, "12345678123456.555"),
            (-1, "-0.001"),
        ] {
            assert_eq!(written(|json| json.timestamp(ms)), text);
        }
        assert_eq!(written(|json| json.short_timestamp(1_435_781_451_780)), "1435781451.78");
    }

    #[test]
    fn strings_are_escaped_as_serde_escapes_them() {
        for text in ["", "plain", "a\"b\\c\n\r\t\u{1}\u{1f}\u{e9}\u{1f600}end", "\u{8}"] {
            let own = written(|json| json.string(text));
            assert_eq!(serde_json::from_str::<String>(&own).unwrap(), text);
        }
    }
}
