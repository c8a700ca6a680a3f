//! Spans and traces, owned: what a query sees.

use std::fmt;
use std::sync::Arc;

use crate::clock::TimestampNs;
use crate::value::Value;

/// 16 bytes that name a trace; prints as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TraceId(pub [u8; 16]);

/// 8 bytes that name a span within a trace; prints as 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SpanId(pub [u8; 8]);

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.is_empty() || text.len() > 2 * N || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let padded = format!("{text:0>width$}", width = 2 * N);
    let mut bytes = [0; N];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&padded[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(bytes)
}

impl TraceId {
    /// Reads 1 to 32 hex digits of any case; shorter ids are padded with zeros on the left, as
    /// Tempo does.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(TraceId)
    }

    /// All zeros, which OpenTelemetry calls invalid.
    pub fn is_zero(self) -> bool {
        self.0 == [0; 16]
    }
}

impl SpanId {
    /// Reads 1 to 16 hex digits of any case, padded on the left.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(SpanId)
    }

    /// All zeros: no span (the parent of a root).
    pub fn is_zero(self) -> bool {
        self.0 == [0; 8]
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

/// The role of a span in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum SpanKind {
    /// Not told.
    #[default]
    Unspecified,
    /// Work inside a process.
    Internal,
    /// Answers a call.
    Server,
    /// Makes a call.
    Client,
    /// Puts a message.
    Producer,
    /// Takes a message.
    Consumer,
}

impl SpanKind {
    /// All kinds in the order of their OTLP numbers.
    pub const ALL: [SpanKind; 6] = [
        SpanKind::Unspecified,
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
    ];

    /// From OTLP's number; unknown numbers are [`SpanKind::Unspecified`].
    pub fn from_otlp(number: i32) -> Self {
        usize::try_from(number).ok().and_then(|i| Self::ALL.get(i)).copied().unwrap_or_default()
    }

    /// OTLP's number.
    pub fn to_otlp(self) -> i32 {
        self as i32
    }

    /// TraceQL's word.
    pub fn as_str(self) -> &'static str {
        ["unspecified", "internal", "server", "client", "producer", "consumer"][self as usize]
    }

    /// OTLP's enum name, the label value that Tempo writes.
    pub fn as_otlp_str(self) -> &'static str {
        [
            "SPAN_KIND_UNSPECIFIED",
            "SPAN_KIND_INTERNAL",
            "SPAN_KIND_SERVER",
            "SPAN_KIND_CLIENT",
            "SPAN_KIND_PRODUCER",
            "SPAN_KIND_CONSUMER",
        ][self as usize]
    }
}

/// How a span ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum StatusCode {
    /// Not told.
    #[default]
    Unset,
    /// Explicitly good.
    Ok,
    /// Failed.
    Error,
}

impl StatusCode {
    /// All codes in the order of their OTLP numbers.
    pub const ALL: [StatusCode; 3] = [StatusCode::Unset, StatusCode::Ok, StatusCode::Error];

    /// From OTLP's number; unknown numbers are [`StatusCode::Unset`].
    pub fn from_otlp(number: i32) -> Self {
        usize::try_from(number).ok().and_then(|i| Self::ALL.get(i)).copied().unwrap_or_default()
    }

    /// OTLP's number.
    pub fn to_otlp(self) -> i32 {
        self as i32
    }

    /// TraceQL's word.
    pub fn as_str(self) -> &'static str {
        ["unset", "ok", "error"][self as usize]
    }

    /// OTLP's enum name, the label value that Tempo writes.
    pub fn as_otlp_str(self) -> &'static str {
        ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"][self as usize]
    }
}

/// Names and values in the sender's order.
pub type Attributes = Vec<(String, Value)>;

/// Who sent spans.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Resource {
    /// The resource's attributes.
    pub attributes: Attributes,
    /// How many the sender dropped.
    pub dropped_attributes_count: u32,
    /// The schema of the attributes.
    pub schema_url: String,
}

impl Resource {
    /// `service.name`, or the empty string.
    pub fn service_name(&self) -> &str {
        self.attributes
            .iter()
            .find_map(|(name, value)| match value {
                Value::Str(text) if name == "service.name" => Some(text.as_str()),
                _ => None,
            })
            .unwrap_or("")
    }
}

/// The library that made spans.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scope {
    /// The library.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its attributes.
    pub attributes: Attributes,
    /// How many the sender dropped.
    pub dropped_attributes_count: u32,
    /// The schema of the spans' attributes.
    pub schema_url: String,
}

/// Something that happened during a span.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Event {
    /// When.
    pub at: TimestampNs,
    /// What.
    pub name: String,
    /// Details.
    pub attributes: Attributes,
    /// How many the sender dropped.
    pub dropped_attributes_count: u32,
}

/// A reference from a span to another.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Link {
    /// The other trace.
    pub trace_id: TraceId,
    /// The other span.
    pub span_id: SpanId,
    /// W3C trace state.
    pub trace_state: String,
    /// W3C flags.
    pub flags: u32,
    /// Details.
    pub attributes: Attributes,
    /// How many the sender dropped.
    pub dropped_attributes_count: u32,
}

/// One span with all that OTLP said of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Span {
    /// Who sent it.
    pub resource: Arc<Resource>,
    /// The library that made it.
    pub scope: Arc<Scope>,
    /// Its trace.
    pub trace_id: TraceId,
    /// Its own name within the trace.
    pub span_id: SpanId,
    /// Zero for a root.
    pub parent_span_id: SpanId,
    /// W3C trace state.
    pub trace_state: String,
    /// W3C flags and OTLP's remote bits.
    pub flags: u32,
    /// The operation.
    pub name: String,
    /// The role in a call.
    pub kind: SpanKind,
    /// When it began.
    pub start: TimestampNs,
    /// When it ended.
    pub end: TimestampNs,
    /// Details.
    pub attributes: Attributes,
    /// How many the sender dropped.
    pub dropped_attributes_count: u32,
    /// What happened during it.
    pub events: Vec<Event>,
    /// How many events the sender dropped.
    pub dropped_events_count: u32,
    /// References to other spans.
    pub links: Vec<Link>,
    /// How many links the sender dropped.
    pub dropped_links_count: u32,
    /// How it ended.
    pub status: StatusCode,
    /// Why, in words.
    pub status_message: String,
}

impl Span {
    /// End minus start in nanoseconds; zero if the sender's clock went back.
    pub fn duration_ns(&self) -> i64 {
        self.end.0.saturating_sub(self.start.0).max(0)
    }
}

/// All known spans of one trace, each once, in order of start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trace {
    /// The trace.
    pub id: TraceId,
    /// Its spans.
    pub spans: Vec<Span>,
}

impl Trace {
    /// The root: the first span without a parent.
    pub fn root(&self) -> Option<&Span> {
        self.spans.iter().find(|span| span.parent_span_id.is_zero())
    }

    /// The earliest start and the latest end of any span.
    pub fn bounds(&self) -> (TimestampNs, TimestampNs) {
        let start = self.spans.iter().map(|span| span.start).min().unwrap_or_default();
        let end = self.spans.iter().map(|span| span.end).max().unwrap_or_default();
        (start, end.max(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_in_any_case_and_padded_on_the_left() {
        let id = TraceId::parse("ABc").unwrap();
        assert_eq!(id.to_string(), "00000000000000000000000000000abc");
        assert_eq!(TraceId::parse(""), None);
        assert_eq!(TraceId::parse("xyz"), None);
        assert_eq!(TraceId::parse(&"1".repeat(33)), None);
        assert_eq!(SpanId::parse("00000000000000ff"), Some(SpanId([0, 0, 0, 0, 0, 0, 0, 255])));
    }
}
