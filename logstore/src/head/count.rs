//! Counts the records of a snapshot of a head: by reading them, since a head keeps no counts.

use std::ops::ControlFlow;

use model::QueryContext;
use model::log::{LineCondition, LogCount, LogCountRequest, LogRow, field_of};
use rustc_hash::FxHashMap;

use crate::cursor::{Hidden, fields_match};
use crate::error::Result;
use crate::head::Snapshot;
use crate::head::cursor::hidden_by_stream;
use crate::head::patterns::Patterns;

/// Records that are charged at once.
const ROWS_PER_CHARGE: u64 = 256;

/// Values of fields, group of lines, bucket.
type Key = (Vec<String>, u32, usize);

/// Counts the records of a snapshot, which was taken for the matchers and the range of the request.
pub(crate) fn count(
    snapshot: &Snapshot,
    request: &LogCountRequest,
    hidden: &[Hidden],
    context: &QueryContext,
    visit: &mut dyn FnMut(&LogCount<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>> {
    let range = request.range()?;
    let hidden = hidden_by_stream(snapshot, hidden);
    let mut fields = Vec::new();
    let mut patterns = Patterns::default();
    let mut counts_of: Vec<FxHashMap<Key, (u64, u64)>> = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    for ((stream, entries), hidden) in snapshot.streams.iter().zip(&hidden) {
        let reads_fields =
            !(request.fields.is_empty() && request.by_fields.is_empty() && hidden.is_empty());
        let mut counts: FxHashMap<Key, (u64, u64)> = FxHashMap::default();
        for entry in entries.iter().filter(|entry| range.contains(entry.at)) {
            let line = snapshot.line(entry)?;
            (rows, bytes) = (rows + 1, bytes + line.len() as u64);
            if rows == ROWS_PER_CHARGE {
                context.charge(rows, bytes)?;
                (rows, bytes) = (0, 0);
            }
            if !LineCondition::all_accept(&request.lines, line) {
                continue;
            }
            let bucket = request.bucket_of(entry.at);
            fields.clear();
            if reads_fields {
                snapshot.fields(entry, &mut fields)?;
                let arrival = snapshot.arrival(entry);
                let row = LogRow { stream, at: entry.at, arrival, line, metadata: &fields };
                if !fields_match(&request.fields, &row)
                    || hidden.iter().any(|hidden| hidden.hides(&row))
                {
                    continue;
                }
            }
            let value = |name: &String| field_of(stream, &fields, name).to_owned();
            let values = request.by_fields.iter().map(value).collect();
            let group = if request.by_pattern { patterns.add(line) } else { 0 };
            let count = counts.entry((values, group, bucket)).or_default();
            count.0 += 1;
            count.1 += line.len() as u64;
        }
        counts_of.push(counts);
    }
    context.charge(rows, bytes)?;
    let mut texts: FxHashMap<u32, String> = FxHashMap::default();
    for ((stream, _), counts) in snapshot.streams.iter().zip(counts_of) {
        for ((values, group, bucket), (records, bytes)) in counts {
            let fields: Vec<&str> = values.iter().map(String::as_str).collect();
            let pattern = request.by_pattern.then(|| {
                let text = texts.entry(group).or_insert_with(|| patterns.text(group));
                text.as_str()
            });
            let fields = &fields[..];
            let count = LogCount { stream, fields, pattern, bucket, records, bytes };
            if visit(&count).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}
