//! A record in an answer: unlike Loki's, with the origin of each field and the record's number.

use model::Labels;
use model::log::LogRow;
use query::logql::LogEntry;

use super::text::{Node, Place};
use crate::json::Json;

/// A record as it is answered.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) stream: Labels,
    pub(super) entry: LogEntry,
    /// Metadata with where it came from, the last of a name being that of the entry.
    metadata: Vec<(String, String, Place)>,
    highlights: Vec<(usize, usize)>,
}

impl Record {
    pub(super) fn new(row: &LogRow<'_>, stream: Labels, entry: LogEntry, text: &Node) -> Self {
        let metadata = metadata(row, &entry);
        let metadata = metadata.map(|(place, name, value)| (name.into(), value.into(), place));
        let (metadata, highlights) = (metadata.collect(), text.highlights(&entry.line));
        Record { stream, entry, metadata, highlights }
    }

    pub(super) fn write(&self, json: &mut Json) {
        let entry = &self.entry;
        // Both numbers are more than a reader of JSON can be trusted with.
        json.raw_fmt(format_args!(
            "{{\"timestamp\":\"{}\",\"arrival\":\"{}\",\"line\":",
            entry.at.0, entry.arrival
        ));
        json.string(&entry.line);
        json.raw(r#","labels":"#);
        json.labels(&self.stream);
        json.raw(r#","metadata":"#);
        json.array(&self.metadata, |json, (name, value, place)| {
            let pairs = [("name", name.as_str()), ("value", value), ("origin", place.name())];
            json.object(pairs);
        });
        json.raw(r#","parsed":"#);
        json.object(entry.parsed.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        json.raw(r#","highlights":"#);
        json.array(&self.highlights, |json, (start, end)| {
            json.raw_fmt(format_args!("[{start},{end}]"));
        });
        json.raw("}");
    }
}

/// What a line has of the metadata that the query left, with where it came from. A query knows one
/// value of a name; here are all that the record, its scope and its resource gave. A name that
/// clashed is another in the row.
fn metadata<'f>(
    row: &LogRow<'f>,
    entry: &'f LogEntry,
) -> impl Iterator<Item = (Place, &'f str, &'f str)> {
    let fields = row.metadata;
    entry.metadata.iter().flat_map(move |(name, _)| {
        let has = |wanted: &str| fields.iter().any(|field| field.name == wanted);
        let base = name.strip_suffix("_extracted").filter(|_| !has(name)).unwrap_or(name);
        let of_name = fields.iter().filter(move |field| field.name == base);
        of_name.map(move |field| (Place::Metadata(field.origin), name.as_str(), field.value))
    })
}

/// All fields of a line with where they came from.
pub(super) fn fields<'f>(
    row: &LogRow<'f>,
    stream: &'f Labels,
    entry: &'f LogEntry,
) -> Vec<(Place, &'f str, &'f str)> {
    let labels = stream.iter().map(|(name, value)| (Place::Stream, name, value));
    let metadata = metadata(row, entry);
    let parsed = entry.parsed.iter();
    let parsed = parsed.map(|(name, value)| (Place::Parsed, name.as_str(), value.as_str()));
    labels.chain(metadata).chain(parsed).collect()
}

/// The value of a field, as a query finds it.
pub(super) fn value<'f>(stream: &'f Labels, entry: &'f LogEntry, name: &str) -> Option<&'f str> {
    let of = |pairs: &'f [(String, String)]| {
        pairs.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    };
    stream.get(name).or_else(|| of(&entry.metadata)).or_else(|| of(&entry.parsed))
}
