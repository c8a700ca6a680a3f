//! Reads the records of a snapshot of a head one by one.

use std::ops::ControlFlow;

use model::QueryContext;
use model::log::{Field, LineCondition, LogRow};

use crate::cursor::{Hidden, RowCursor, RowKey, ScanPlan, fields_match};
use crate::error::Result;
use crate::head::{Entry, Snapshot};

/// A scan charges its query at least this often.
const ROWS_PER_CHARGE: u64 = 256;

/// The rows of a snapshot that pass a plan, in its order.
pub(crate) struct HeadCursor<'a> {
    snapshot: &'a Snapshot,
    plan: &'a ScanPlan,
    context: &'a QueryContext,
    entries: Box<dyn Iterator<Item = (usize, Entry)> + 'a>,
    /// For each stream what may hide records of it.
    hidden: Vec<Vec<&'a Hidden>>,
    current: Option<Current<'a>>,
    fields: Vec<Field<'a>>,
    rows: u64,
    bytes: u64,
}

struct Current<'a> {
    stream: usize,
    entry: Entry,
    key: RowKey,
    line: &'a str,
    has_fields: bool,
}

impl<'a> HeadCursor<'a> {
    pub(crate) fn new(
        snapshot: &'a Snapshot,
        plan: &'a ScanPlan,
        context: &'a QueryContext,
    ) -> Self {
        let entries = snapshot.entries(plan.request.order);
        let hidden = hidden_by_stream(snapshot, &plan.hidden);
        let (current, fields) = (None, Vec::new());
        HeadCursor { snapshot, plan, context, entries, hidden, current, fields, rows: 0, bytes: 0 }
    }

    /// Whether the row passes. Reads its fields if that takes them.
    fn passes(&mut self, current: &mut Current<'a>) -> Result<bool> {
        let request = &self.plan.request;
        if !LineCondition::all_accept(&request.lines, current.line) {
            return Ok(false);
        }
        let hidden = &self.hidden[current.stream];
        if request.fields.is_empty() && hidden.is_empty() {
            return Ok(true);
        }
        self.fields.clear();
        self.snapshot.fields(&current.entry, &mut self.fields)?;
        current.has_fields = true;
        let row = LogRow {
            stream: &self.snapshot.streams[current.stream].0,
            at: current.key.at,
            arrival: current.key.arrival,
            line: current.line,
            metadata: &self.fields,
        };
        Ok(fields_match(&request.fields, &row) && !hidden.iter().any(|hidden| hidden.hides(&row)))
    }
}

/// For each stream of a snapshot what may hide records of it.
pub(super) fn hidden_by_stream<'a>(
    snapshot: &Snapshot,
    hidden: &'a [Hidden],
) -> Vec<Vec<&'a Hidden>> {
    let streams = snapshot.streams.iter().map(|(labels, _)| labels);
    streams
        .map(|labels| {
            let may_hide =
                |hidden: &&Hidden| model::Matcher::all_match(&hidden.selection.matchers, labels);
            hidden.iter().filter(may_hide).collect()
        })
        .collect()
}

impl RowCursor for HeadCursor<'_> {
    fn peek(&mut self) -> Result<Option<RowKey>> {
        loop {
            if let Some(current) = &self.current {
                return Ok(Some(current.key));
            }
            let Some((stream, entry)) = self.entries.next() else {
                let (rows, bytes) =
                    (std::mem::take(&mut self.rows), std::mem::take(&mut self.bytes));
                self.context.charge(rows, bytes)?;
                return Ok(None);
            };
            let line = self.snapshot.line(&entry)?;
            self.rows += 1;
            self.bytes += line.len() as u64;
            if self.rows == ROWS_PER_CHARGE {
                self.context.charge(self.rows, self.bytes)?;
                (self.rows, self.bytes) = (0, 0);
            }
            let key = RowKey { at: entry.at, arrival: self.snapshot.arrival(&entry) };
            let mut current = Current { stream, entry, key, line, has_fields: false };
            if self.passes(&mut current)? {
                self.current = Some(current);
            }
        }
    }

    fn show(
        &mut self,
        visit: &mut dyn FnMut(&LogRow<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let Some(current) = &mut self.current else { return Ok(ControlFlow::Continue(())) };
        if !self.plan.request.columns.metadata {
            self.fields.clear();
        } else if !current.has_fields {
            self.fields.clear();
            self.snapshot.fields(&current.entry, &mut self.fields)?;
            current.has_fields = true;
        }
        Ok(visit(&LogRow {
            stream: &self.snapshot.streams[current.stream].0,
            at: current.key.at,
            arrival: current.key.arrival,
            line: current.line,
            metadata: &self.fields,
        }))
    }

    fn advance(&mut self) {
        self.current = None;
    }
}
