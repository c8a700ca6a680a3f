//! A store of lines in memory: the naive twin of the real one, for tests and for scripts.

use std::ops::ControlFlow;

use model::log::{Field, LogRow, Origin};
use model::read::{Direction, LogRequest, RangeNs};
use model::{Labels, LogSource, Matcher, QueryContext, Result, TimestampNs};

/// Lines in order of arrival.
#[derive(Debug, Clone, Default)]
pub struct MemoryLogs {
    lines: Vec<StoredLine>,
}

#[derive(Debug, Clone)]
struct StoredLine {
    stream: Labels,
    at: TimestampNs,
    line: String,
    metadata: Vec<(String, String, Origin)>,
}

impl MemoryLogs {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line whose metadata is of the record.
    pub fn push(&mut self, stream: &Labels, at_ns: i64, line: &str, metadata: &[(&str, &str)]) {
        let metadata: Vec<_> =
            metadata.iter().map(|&(name, value)| (name, value, Origin::Record)).collect();
        self.push_from(stream, at_ns, line, &metadata);
    }

    /// Adds a line with metadata of any origin.
    pub fn push_from(
        &mut self,
        stream: &Labels,
        at_ns: i64,
        line: &str,
        metadata: &[(&str, &str, Origin)],
    ) {
        let own = |(name, value, origin): &(&str, &str, Origin)| {
            ((*name).to_owned(), (*value).to_owned(), *origin)
        };
        self.lines.push(StoredLine {
            stream: stream.clone(),
            at: TimestampNs(at_ns),
            line: line.to_owned(),
            metadata: metadata.iter().map(own).collect(),
        });
    }
}

impl LogSource for MemoryLogs {
    fn scan(
        &self,
        request: &LogRequest,
        context: &QueryContext,
        visit: &mut dyn FnMut(&LogRow<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut found: Vec<(usize, &StoredLine)> = self
            .lines
            .iter()
            .enumerate()
            .filter(|(_, line)| request.range.contains(line.at))
            .filter(|(_, line)| Matcher::all_match(&request.matchers, &line.stream))
            .collect();
        found.sort_by_key(|(arrival, line)| (line.at, *arrival));
        if request.order == Some(Direction::Backward) {
            found.reverse();
        }
        for (arrival, line) in found {
            context.charge(1, line.line.len() as u64)?;
            let metadata: Vec<Field<'_>> = line
                .metadata
                .iter()
                .map(|(name, value, origin)| Field { name, value, origin: *origin })
                .collect();
            let row = LogRow {
                stream: &line.stream,
                at: line.at,
                arrival: arrival as u64,
                line: &line.line,
                metadata: if request.columns.metadata { &metadata } else { &[] },
            };
            if visit(&row).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn arrivals_end(&self) -> u64 {
        self.lines.len() as u64
    }

    fn streams(
        &self,
        matchers: &[Matcher],
        range: RangeNs,
        _context: &QueryContext,
    ) -> Result<Vec<Labels>> {
        let mut streams: Vec<Labels> = self
            .lines
            .iter()
            .filter(|line| range.contains(line.at) && Matcher::all_match(matchers, &line.stream))
            .map(|line| line.stream.clone())
            .collect();
        streams.sort();
        streams.dedup();
        Ok(streams)
    }
}
