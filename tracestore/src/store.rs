//! The store: head and journal behind the traits of `model`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use disk::journal::{CorruptRecord, JournalStats};
use disk::{Journal, JournalOptions};
use model::read::{AttributeScope, RangeNs, SpanRequest};
use model::span::{Attributes, Resource, Scope, Span, Trace};
use model::write::{SpanBatch, WriteOutcome};
use model::{Clock, Commit, QueryContext, SpanSink, SpanSource, TimestampNs, TraceId, Value};
use parking_lot::RwLock;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::{Error, Result};
use crate::head::{Chunk, Head};
use crate::record;

/// How the store behaves.
#[derive(Clone)]
pub struct Options {
    /// Memory for spans; the oldest journal segment makes room when it is reached.
    pub memory_bytes_max: usize,
    /// Spans that started longer ago are refused and forgotten, in milliseconds; 0 keeps them while
    /// there is room.
    pub retention_ms: i64,
    /// Spans that start further in the future are refused, in milliseconds.
    pub future_ms_max: i64,
    /// The journal's part.
    pub journal: JournalOptions,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            memory_bytes_max: 2 << 30,
            retention_ms: 0,
            future_ms_max: 600_000,
            journal: JournalOptions::default(),
        }
    }
}

/// What the store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Traces.
    pub traces: u64,
    /// Spans.
    pub spans: u64,
    /// Memory of spans and their index.
    pub memory_bytes: u64,
    /// The journal.
    pub journal: JournalStats,
}

/// The trace store.
pub struct TraceStore {
    options: Options,
    clock: Arc<dyn Clock>,
    head: RwLock<Head>,
    journal: Journal,
    corrupt: Vec<CorruptRecord>,
}

/// A trace of any size charges its query at least this often.
const SPANS_PER_CHARGE: u64 = 256;

impl TraceStore {
    /// Opens the store in `dir` and rebuilds it from its journal.
    pub fn open(dir: &Path, options: Options, clock: Arc<dyn Clock>) -> Result<TraceStore> {
        let mut head = Head::default();
        let (journal, recovery) = Journal::open(dir, options.journal.clone(), &mut |replayed| {
            if replayed.kind != record::BATCH {
                return Err(format!("unknown kind {} of record", replayed.kind));
            }
            let layout = record::layout(replayed.payload).map_err(|e| e.to_string())?;
            let newest = newest(&layout);
            head.add(replayed.number, Arc::new(replayed.payload.to_vec()), layout);
            Ok(newest)
        })?;
        let corrupt = recovery.corrupt;
        Ok(TraceStore { options, clock, head: RwLock::new(head), journal, corrupt })
    }

    /// Why the store refuses writes, if it does.
    pub fn read_only_reason(&self) -> Option<String> {
        self.journal.poisoned()
    }

    /// Why the store refuses writes until the disk has room, if it does.
    pub fn disk_full_reason(&self) -> Option<String> {
        self.journal.disk_full()
    }

    /// Stretches of the journal that were skipped at start.
    pub fn corrupt_records(&self) -> &[CorruptRecord] {
        &self.corrupt
    }

    /// What the store holds.
    pub fn stats(&self) -> Stats {
        let head = self.head.read();
        Stats {
            traces: head.trace_count() as u64,
            spans: head.span_count() as u64,
            memory_bytes: head.bytes() as u64,
            journal: self.journal.stats(),
        }
    }

    /// Forgets what is over the memory limit or older than the retention. Called now and then.
    pub fn enforce_retention(&self) -> Result<()> {
        let cutoff = (self.options.retention_ms > 0)
            .then(|| self.clock.now_ms().plus_ms(-self.options.retention_ms).to_ns());
        loop {
            let Some(oldest) = self.journal.closed_segments().into_iter().next() else {
                return Ok(());
            };
            let is_full = self.head.read().bytes() > self.options.memory_bytes_max;
            let is_old = cutoff.is_some_and(|cutoff| oldest.newest < cutoff.0);
            if !is_full && !is_old {
                return Ok(());
            }
            self.head.write().forget_before(oldest.records_end);
            self.journal.drop_records_before(oldest.records_end)?;
        }
    }

    /// Writes what waits and stops. Reads still work.
    pub fn close(&self) {
        self.journal.close();
    }

    fn decode(
        &self,
        id: TraceId,
        origins: &mut Origins,
        context: &QueryContext,
    ) -> model::Result<Trace> {
        let places = self.head.read().places(id);
        let mut spans: Vec<Span> = Vec::with_capacity(places.len());
        let mut seen = FxHashSet::default();
        let (mut uncharged, mut bytes) = (0, 0);
        for (number, chunk, offset) in &places {
            if uncharged == SPANS_PER_CHARGE {
                context.charge(uncharged, bytes)?;
                (uncharged, bytes) = (0, 0);
            }
            uncharged += 1;
            let (mut span, resource, scope, encoded_bytes) =
                record::span(&chunk.payload, *offset).map_err(Error::from)?;
            bytes += encoded_bytes as u64;
            if !seen.insert((span.span_id, span.kind)) {
                continue;
            }
            (span.resource, span.scope) =
                origins.get(*number, chunk, resource, scope).map_err(Error::from)?;
            spans.push(span);
        }
        context.charge(uncharged, bytes)?;
        spans.sort_by_key(|span| span.start);
        Ok(Trace { id, spans })
    }
}

fn newest(layout: &record::Layout) -> i64 {
    layout.spans.iter().map(|span| span.start.0).max().unwrap_or(i64::MIN)
}

/// Resources and scopes that a read has decoded, so that spans share them.
#[derive(Default)]
struct Origins {
    resources: FxHashMap<(u32, usize), Arc<Resource>>,
    scopes: FxHashMap<(u32, usize), Arc<Scope>>,
}

/// A read keeps this many decoded resources; then it starts anew.
const ORIGINS_MAX: usize = 4096;

impl Origins {
    fn get(
        &mut self,
        number: u32,
        chunk: &Chunk,
        resource: usize,
        scope: usize,
    ) -> std::result::Result<(Arc<Resource>, Arc<Scope>), disk::codec::CodecError> {
        if self.resources.len() + self.scopes.len() > ORIGINS_MAX {
            *self = Origins::default();
        }
        let missing = disk::codec::CodecError { offset: 0, expected: "the index of a resource" };
        let found = match self.resources.get(&(number, resource)) {
            Some(found) => found.clone(),
            None => {
                let offset = chunk.resources.get(resource).ok_or(missing)?;
                let decoded = Arc::new(record::resource(&chunk.payload, *offset)?);
                self.resources.insert((number, resource), decoded.clone());
                decoded
            }
        };
        let found_scope = match self.scopes.get(&(number, scope)) {
            Some(found) => found.clone(),
            None => {
                let offset = chunk.scopes.get(scope).ok_or(missing)?;
                let decoded = Arc::new(record::scope(&chunk.payload, *offset)?);
                self.scopes.insert((number, scope), decoded.clone());
                decoded
            }
        };
        Ok((found, found_scope))
    }
}

impl SpanSink for TraceStore {
    fn accepted_starts(&self) -> RangeNs {
        let now = self.clock.now_ms();
        let Options { retention_ms, future_ms_max, .. } = self.options;
        let start = match retention_ms {
            0 => TimestampNs::MIN,
            retention_ms => now.plus_ms(-retention_ms).to_ns(),
        };
        RangeNs { start, end: now.plus_ms(future_ms_max).to_ns().plus_ns(1) }
    }

    fn append(&self, batch: &SpanBatch<'_>) -> model::Result<(WriteOutcome, Commit)> {
        let Options { retention_ms, future_ms_max, .. } = self.options;
        let accepted = self.accepted_starts();
        let mut outcome = WriteOutcome::default();
        let (payload, layout) = record::encode(batch, |span| {
            let start = span.start;
            if start < accepted.start {
                outcome.refuse("too_old", || {
                    format!(
                        "span started at {start}, before the retention of {} s",
                        retention_ms / 1000
                    )
                });
                return false;
            }
            if start >= accepted.end {
                outcome.refuse("too_far_in_future", || {
                    format!(
                        "span starts at {start}, more than {} s in the future",
                        future_ms_max / 1000
                    )
                });
                return false;
            }
            outcome.accepted += 1;
            true
        });
        if outcome.accepted == 0 {
            return Ok((outcome, Commit::done()));
        }
        let payload = Arc::new(payload);
        let newest = newest(&layout);
        // The lock covers both, so that journal numbers and batches in memory have one order.
        let mut head = self.head.write();
        self.journal.check_room(head.bytes(), self.options.memory_bytes_max)?;
        let (number, commit) = self.journal.append(record::BATCH, payload.clone(), newest)?;
        head.add(number, payload, layout);
        Ok((outcome, commit))
    }
}

impl SpanSource for TraceStore {
    fn scan(
        &self,
        request: &SpanRequest,
        context: &QueryContext,
        visit: &mut dyn FnMut(Trace) -> ControlFlow<()>,
    ) -> model::Result<()> {
        let candidates = self.head.read().candidates(request.range);
        let mut origins = Origins::default();
        for id in candidates {
            let trace = self.decode(id, &mut origins, context)?;
            if !trace.spans.iter().any(|span| request.range.contains(span.start)) {
                continue;
            }
            if visit(trace).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn trace(&self, id: TraceId, context: &QueryContext) -> model::Result<Option<Trace>> {
        let trace = self.decode(id, &mut Origins::default(), context)?;
        Ok((!trace.spans.is_empty()).then_some(trace))
    }

    fn attribute_names(
        &self,
        range: RangeNs,
        context: &QueryContext,
    ) -> model::Result<Vec<(AttributeScope, Vec<String>)>> {
        let mut names: BTreeMap<AttributeScope, BTreeSet<String>> = BTreeMap::new();
        let mut add = |scope, attributes: &Attributes| {
            let names: &mut BTreeSet<String> = names.entry(scope).or_default();
            for (name, _) in attributes {
                if !names.contains(name) {
                    names.insert(name.clone());
                }
            }
        };
        self.scan(&SpanRequest { range, hints: Vec::new() }, context, &mut |trace| {
            for span in &trace.spans {
                add(AttributeScope::Span, &span.attributes);
                add(AttributeScope::Resource, &span.resource.attributes);
                add(AttributeScope::Instrumentation, &span.scope.attributes);
                span.events.iter().for_each(|e| add(AttributeScope::Event, &e.attributes));
                span.links.iter().for_each(|l| add(AttributeScope::Link, &l.attributes));
            }
            ControlFlow::Continue(())
        })?;
        Ok(names.into_iter().map(|(scope, names)| (scope, names.into_iter().collect())).collect())
    }

    fn attribute_values(
        &self,
        scope: AttributeScope,
        name: &str,
        range: RangeNs,
        limit: usize,
        context: &QueryContext,
    ) -> model::Result<Vec<Value>> {
        // Values are compared by their kind and text: floats have no other order.
        let mut values: BTreeMap<(u8, String), Value> = BTreeMap::new();
        self.scan(&SpanRequest { range, hints: Vec::new() }, context, &mut |trace| {
            for span in &trace.spans {
                let mut add = |attributes: &Attributes| {
                    for (_, value) in attributes.iter().filter(|(key, _)| key == name) {
                        values
                            .entry((rank(value), value.to_string()))
                            .or_insert_with(|| value.clone());
                    }
                };
                match scope {
                    AttributeScope::Span => add(&span.attributes),
                    AttributeScope::Resource => add(&span.resource.attributes),
                    AttributeScope::Instrumentation => add(&span.scope.attributes),
                    AttributeScope::Event => span.events.iter().for_each(|e| add(&e.attributes)),
                    AttributeScope::Link => span.links.iter().for_each(|l| add(&l.attributes)),
                    AttributeScope::Any => {
                        add(&span.attributes);
                        add(&span.resource.attributes);
                    }
                }
            }
            if values.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(values.into_values().take(limit).collect())
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Empty => 0,
        Value::Str(_) => 1,
        Value::Bool(_) => 2,
        Value::Int(_) => 3,
        Value::Double(_) => 4,
        Value::Bytes(_) => 5,
        Value::Array(_) => 6,
        Value::Map(_) => 7,
    }
}

#[cfg(test)]
mod tests;
