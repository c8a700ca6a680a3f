//! Counts of records: what histograms of logs, volumes and patterns need, so that a store can answer
//! them from figures it keeps and read no line.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::{Field, LineCondition, LogRow};
use crate::clock::TimestampNs;
use crate::error::{Error, Result};
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::read::{LogColumns, LogRequest, LogSource, QueryContext, RangeNs};

/// The metadata field that tells how bad a record is. Stores keep counts by it.
pub const LEVEL: &str = "detected_level";

/// Asks how many records there are in each of equal stretches of time.
#[derive(Debug, Clone)]
pub struct LogCountRequest {
    /// On stream labels; all must match. Exact.
    pub matchers: Vec<Matcher>,
    /// On lines; all must hold. Exact.
    pub lines: Vec<LineCondition>,
    /// On the value that [`field_of`] tells for a name. Exact.
    pub fields: Vec<Matcher>,
    /// Bucket `i` has the records with times in `(start + i * width, start + (i + 1) * width]`,
    /// which is how windows of LogQL lie.
    pub start: TimestampNs,
    /// The length of a bucket, more than zero.
    pub width_ns: i64,
    /// How many buckets, more than zero.
    pub buckets: usize,
    /// Counts are told apart by the values that [`field_of`] tells for these names.
    pub by_fields: Vec<String>,
    /// Counts are told apart by the pattern of the line.
    pub by_pattern: bool,
}

/// Records of one stream in one bucket that are alike in what the request tells apart.
#[derive(Debug, Clone, Copy)]
pub struct LogCount<'a> {
    /// The stream.
    pub stream: &'a Labels,
    /// Values of [`LogCountRequest::by_fields`], empty where there is none.
    pub fields: &'a [&'a str],
    /// The pattern in LogQL's pattern syntax (`<_>` for what varies), if it was asked for.
    pub pattern: Option<&'a str>,
    /// Which bucket.
    pub bucket: usize,
    /// How many.
    pub records: u64,
    /// Bytes of their lines.
    pub bytes: u64,
}

/// What LogQL finds under `name` before any parser: the label of the stream, else the metadata of
/// the record, else nothing. Of fields with one name the last counts, as what a record says comes
/// behind what its scope and its resource say.
pub fn field_of<'a>(stream: &'a Labels, metadata: &'a [Field<'a>], name: &str) -> &'a str {
    if let Some(value) = stream.get(name) {
        return value;
    }
    metadata.iter().rfind(|field| field.name == name).map_or("", |field| field.value)
}

impl LogCountRequest {
    /// The range of all buckets, of which the last ends with time at the latest; fails if another
    /// does.
    pub fn range(&self) -> Result<RangeNs> {
        let others = i64::try_from(self.buckets).ok().map(|n| n.saturating_sub(1));
        let length = others.and_then(|n| n.checked_mul(self.width_ns));
        let last = length.and_then(|length| self.start.0.checked_add(length));
        match last {
            Some(last) if self.width_ns > 0 && self.buckets > 0 && last < i64::MAX => {
                let end = last.saturating_add(self.width_ns).saturating_add(1);
                Ok(RangeNs { start: self.start.plus_ns(1), end: TimestampNs(end) })
            }
            _ => Err(Error::bad_request(format!(
                "{} buckets of {} ns from {} on do not fit into time",
                self.buckets, self.width_ns, self.start.0
            ))),
        }
    }

    /// The bucket of a time within [`LogCountRequest::range`].
    pub fn bucket_of(&self, at: TimestampNs) -> usize {
        let after = at.0.saturating_sub(self.start.0).saturating_sub(1).max(0);
        (after / self.width_ns.max(1)) as usize
    }

    /// Whether a record in the range is counted.
    pub fn accepts(&self, row: &LogRow<'_>) -> bool {
        let passes =
            |matcher: &Matcher| matcher.matches(field_of(row.stream, row.metadata, &matcher.name));
        self.fields.iter().all(passes) && LineCondition::all_accept(&self.lines, row.line)
    }
}

/// Counts by reading every record: what a store does that keeps no counts, and the naive twin of one
/// that does. `pattern` tells the pattern of a line.
pub fn count_by_scan<S: LogSource + ?Sized>(
    source: &S,
    request: &LogCountRequest,
    pattern: &dyn Fn(&str) -> String,
    context: &QueryContext,
    visit: &mut dyn FnMut(&LogCount<'_>) -> ControlFlow<()>,
) -> Result<()> {
    let scan = LogRequest {
        matchers: request.matchers.clone(),
        range: request.range()?,
        lines: request.lines.clone(),
        fields: request.fields.clone(),
        order: None,
        columns: LogColumns { line: true, metadata: true },
    };
    type Key = (Labels, Vec<String>, Option<String>, usize);
    let mut counts: BTreeMap<Key, (u64, u64)> = BTreeMap::new();
    source.scan(&scan, context, &mut |row| {
        if request.accepts(row) {
            let value = |name: &String| field_of(row.stream, row.metadata, name).to_owned();
            let key = (
                row.stream.clone(),
                request.by_fields.iter().map(value).collect(),
                request.by_pattern.then(|| pattern(row.line)),
                request.bucket_of(row.at),
            );
            let count = counts.entry(key).or_default();
            count.0 += 1;
            count.1 += row.line.len() as u64;
        }
        ControlFlow::Continue(())
    })?;
    for ((stream, fields, pattern, bucket), (records, bytes)) in &counts {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let (pattern, bucket) = (pattern.as_deref(), *bucket);
        let (records, bytes) = (*records, *bytes);
        let count = LogCount { stream, fields: &fields, pattern, bucket, records, bytes };
        if visit(&count).is_break() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_its_end_and_not_its_start() {
        let request = LogCountRequest {
            matchers: Vec::new(),
            lines: Vec::new(),
            fields: Vec::new(),
            start: TimestampNs(100),
            width_ns: 10,
            buckets: 3,
            by_fields: Vec::new(),
            by_pattern: false,
        };
        let range = request.range().unwrap();
        assert_eq!((range.start.0, range.end.0), (101, 131));
        let buckets = [101, 110, 111, 130].map(|at| request.bucket_of(TimestampNs(at)));
        assert_eq!(buckets, [0, 0, 1, 2]);
        // The last one may end behind time.
        let long = LogCountRequest { width_ns: i64::MAX / 2 - 100, ..request.clone() };
        assert_eq!(long.range().unwrap().end.0, i64::MAX);
        assert_eq!(long.bucket_of(TimestampNs(i64::MAX - 1)), 2);
        let endless = LogCountRequest { width_ns: i64::MAX, ..request };
        assert!(endless.range().unwrap_err().to_string().contains("do not fit into time"));
    }
}
