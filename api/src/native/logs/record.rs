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
    /// Of each of the entry's metadata.
    places: Vec<Place>,
    highlights: Vec<(usize, usize)>,
}

impl Record {
    pub(super) fn new(row: &LogRow<'_>, stream: Labels, entry: LogEntry, text: &Node) -> Self {
        let places = entry.metadata.iter().map(|(name, _)| place(row, name)).collect();
        let highlights = text.highlights(&entry.line);
        Record { stream, entry, places, highlights }
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
        json.array(entry.metadata.iter().zip(&self.places), |json, ((name, value), place)| {
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

/// Where a piece of metadata came from. One whose name clashed has another name in the row.
fn place(row: &LogRow<'_>, name: &str) -> Place {
    let stored = |name: &str| row.metadata.iter().find(|field| field.name == name);
    let field = stored(name).or_else(|| stored(name.strip_suffix("_extracted")?));
    field.map_or(Place::Parsed, |field| Place::Metadata(field.origin))
}

/// All fields of a line with where they came from.
pub(super) fn fields<'f>(
    row: &LogRow<'_>,
    stream: &'f Labels,
    entry: &'f LogEntry,
) -> Vec<(Place, &'f str, &'f str)> {
    let labels = stream.iter().map(|(name, value)| (Place::Stream, name, value));
    let metadata = entry.metadata.iter();
    let metadata = metadata.map(|(name, value)| (place(row, name), name.as_str(), value.as_str()));
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
