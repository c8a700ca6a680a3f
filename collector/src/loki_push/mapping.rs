//! A push as one batch: streams with a service name, lines with a level.

use std::borrow::Cow;

use model::log::{LEVEL, Origin};
use model::write::{LogBatch, LogEntry, LogField, LogGroup, WriteOutcome};
use model::{ErrorKind, Labels, TimestampNs, clock};
use proto::DecodeError;
use proto::loki_push::PushRef;

use super::{json, labels};
use crate::limits::Limits;
use crate::log_record::{SERVICE_NAME, cut, discover_service, level};
use crate::otlp::fields::{to_field_name, too_many_attributes};
use crate::rejection::Rejection;

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Memory of a field and of a record, without their text.
const FIELD_BYTES: usize = size_of::<LogField<'_>>();
const RECORD_BYTES: usize = size_of::<LogEntry<'_>>() + FIELD_BYTES;

/// Builds the batch of one request.
pub(super) struct Mapper<'a, 'l> {
    batch: LogBatch<'a>,
    outcome: WriteOutcome,
    limits: &'l Limits,
    /// Memory of the rows so far.
    rows_bytes: usize,
}

impl<'a, 'l> Mapper<'a, 'l> {
    pub(super) fn new(limits: &'l Limits) -> Self {
        let (batch, outcome) = (LogBatch::default(), WriteOutcome::default());
        Mapper { batch, outcome, limits, rows_bytes: 0 }
    }

    /// The batch, and what was refused on the way.
    pub(super) fn finish(self) -> (LogBatch<'a>, WriteOutcome) {
        (self.batch, self.outcome)
    }

    pub(super) fn protobuf(&mut self, push: PushRef<'a>) -> Result<(), Rejection> {
        for stream in push.streams() {
            let stream = stream.map_err(malformed)?;
            let Some(labels) = self.stream_of_text(stream.labels, stream.entries().count()) else {
                continue;
            };
            let start = self.batch.records.len();
            for entry in stream.entries() {
                let entry = entry.map_err(malformed)?;
                let at = entry.timestamp.unix_nanos().map(TimestampNs);
                let line = String::from_utf8_lossy(entry.line);
                let mut metadata = Vec::new();
                for pair in entry.metadata() {
                    let pair = pair.map_err(malformed)?;
                    metadata.push((Cow::Borrowed(pair.name), Cow::Borrowed(pair.value)));
                }
                self.entry(&labels, at, line, metadata)?;
            }
            self.group(labels, start);
        }
        Ok(())
    }

    pub(super) fn json(&mut self, push: json::Push<'a>) -> Result<(), Rejection> {
        for stream in push.streams {
            let json::Stream { stream, values, labels, entries } = stream;
            let count = values.len() + entries.len();
            let labels = match (stream, labels) {
                (Some(pairs), None) => self.stream(strings(pairs), count),
                (None, Some(text)) => self.stream_of_text(&text.0, count),
                _ => {
                    self.refuse_all(count, "bad_labels", || {
                        "a stream has either \"stream\" or, in the older form, \"labels\""
                            .to_owned()
                    });
                    None
                }
            };
            let Some(labels) = labels else { continue };
            let start = self.batch.records.len();
            for json::Value { unix_nanos, line, metadata } in values {
                let at = unix_nanos.0.parse().ok().map(TimestampNs);
                self.entry(&labels, at, line.0, strings(metadata))?;
            }
            for json::Entry { ts, line, metadata } in entries {
                let at = clock::parse_rfc3339(&ts.0);
                self.entry(&labels, at, line.0, strings(metadata))?;
            }
            self.group(labels, start);
        }
        Ok(())
    }

    fn group(&mut self, stream: Labels, start: usize) {
        let records = start as u32..self.batch.records.len() as u32;
        if !records.is_empty() {
            self.batch.groups.push(LogGroup { stream, shared: 0..0, records });
        }
    }

    fn stream_of_text(&mut self, text: &str, count: usize) -> Option<Labels> {
        match labels::parse(text) {
            Ok(pairs) => self.stream(pairs, count),
            Err(problem) => {
                let shown = &text[..text.floor_char_boundary(200)];
                self.refuse_all(count, "bad_labels", || format!("{shown:?}: {problem}"));
                None
            }
        }
    }

    /// The labels of a stream; `None` if its `count` entries were refused for them.
    fn stream(&mut self, pairs: Vec<Pair<'_>>, count: usize) -> Option<Labels> {
        if pairs.iter().all(|(_, value)| value.is_empty()) {
            self.refuse_all(count, "no_labels", || {
                "a stream needs at least one label with a value".to_owned()
            });
            return None;
        }
        let limit = self.limits.attributes_max;
        if pairs.len() > limit {
            let found = pairs.len();
            self.refuse_all(count, "too_many_attributes", || {
                too_many_attributes("a stream", found, limit)
            });
            return None;
        }
        let value_of = |wanted: &str| {
            let found = pairs.iter().find(|(name, value)| name == wanted && !value.is_empty());
            found.map(|(_, value)| Cow::Borrowed(&**value))
        };
        let service = match value_of(SERVICE_NAME) {
            Some(name) => name,
            None => discover_service(value_of),
        };
        let named = pairs.iter().map(|(name, value)| (to_field_name(name), Cow::from(&**value)));
        Some(Labels::from_pairs(named.chain([(Cow::Borrowed(SERVICE_NAME), service)])))
    }

    fn refuse_all(&mut self, count: usize, reason: &'static str, example: impl Fn() -> String) {
        (0..count).for_each(|_| self.outcome.refuse(reason, &example));
    }

    fn entry(
        &mut self,
        stream: &Labels,
        at: Option<TimestampNs>,
        mut line: Cow<'a, str>,
        metadata: Vec<Pair<'a>>,
    ) -> Result<(), Rejection> {
        let metadata_bytes = |(name, value): &Pair<'_>| FIELD_BYTES + name.len() + value.len();
        let bytes: usize = metadata.iter().map(metadata_bytes).sum();
        self.rows_bytes = self.rows_bytes.saturating_add(RECORD_BYTES + bytes);
        if self.rows_bytes > self.limits.rows_bytes_max() {
            return Err(Rejection::too_many_rows(self.limits.rows_bytes_max()));
        }
        let Some(at) = at else {
            self.outcome.refuse("timestamp_out_of_range", || {
                "a timestamp is a text of Unix nanoseconds between 1677 and 2262".to_owned()
            });
            return Ok(());
        };
        let limit = self.limits.attributes_max;
        if metadata.len() > limit {
            let found = metadata.len();
            let example = || too_many_attributes("a line", found, limit);
            self.outcome.refuse("too_many_attributes", example);
            return Ok(());
        }
        let start = self.batch.fields.len();
        for (name, value) in metadata {
            let name = match to_field_name(&name) {
                Cow::Borrowed(_) => name,
                Cow::Owned(clean) => Cow::Owned(clean),
            };
            self.batch.fields.push(LogField { name, value, origin: Origin::Record });
        }
        let fields = &self.batch.fields[start..];
        if !fields.iter().any(|field| field.name == LEVEL) {
            let level = level::detect(fields, stream, 0, &line);
            let (name, value) = (Cow::Borrowed(LEVEL), Cow::Borrowed(level));
            self.batch.fields.push(LogField { name, value, origin: Origin::Derived });
        }
        if let Some(length) = cut(&mut line, self.limits.log_line_bytes_max) {
            self.batch.fields.push(length);
            self.outcome.cut += 1;
        }
        let fields = start as u32..self.batch.fields.len() as u32;
        self.batch.records.push(LogEntry { at, line, fields });
        Ok(())
    }
}

fn strings(pairs: json::Pairs<'_>) -> Vec<Pair<'_>> {
    pairs.0.into_iter().map(|(name, value)| (name.0, value.0)).collect()
}

fn malformed(error: DecodeError) -> Rejection {
    let message = format!("the request is not a logproto.PushRequest: {error}");
    Rejection::permanent("bad_protobuf", ErrorKind::BadRequest, message)
}
