//! The store against a naive twin: a map from trace to spans.

use std::collections::BTreeMap;

use model::span::{Event, Link, SpanKind, StatusCode};
use model::value::ValueRef;
use model::write::{EventRow, LinkRow, SpanOrigin, SpanRow};
use model::{ManualClock, SpanId, TimestampMs};
use proptest::prelude::*;

use super::*;

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

fn open_with(dir: &Path, options: Options) -> TraceStore {
    TraceStore::open(dir, options, Arc::new(ManualClock::at(NOW))).unwrap()
}

fn open(dir: &Path) -> TraceStore {
    open_with(dir, Options::default())
}

fn row(trace: u8, span: u8, start_ns: i64) -> SpanRow<'static> {
    SpanRow {
        resource: 0,
        scope: 0,
        trace_id: TraceId([trace; 16]),
        span_id: SpanId([span; 8]),
        parent_span_id: SpanId::default(),
        trace_state: "",
        flags: 1,
        name: "GET /",
        kind: SpanKind::Server,
        start: NOW.to_ns().plus_ns(start_ns),
        end: NOW.to_ns().plus_ns(start_ns + 5),
        attributes: 1..1,
        dropped_attributes_count: 0,
        events: 0..0,
        dropped_events_count: 0,
        links: 0..0,
        dropped_links_count: 0,
        status: StatusCode::Unset,
        status_message: "",
    }
}

fn batch(spans: Vec<SpanRow<'static>>) -> SpanBatch<'static> {
    SpanBatch {
        resources: vec![SpanOrigin { attributes: 0..1, ..Default::default() }],
        scopes: vec![SpanOrigin { name: "lib", attributes: 1..1, ..Default::default() }],
        spans,
        attributes: vec![("service.name", ValueRef::Str("shop"))],
        ..Default::default()
    }
}

fn write(store: &TraceStore, spans: Vec<SpanRow<'static>>) -> WriteOutcome {
    let (outcome, commit) = store.append(&batch(spans)).unwrap();
    commit.wait().unwrap();
    outcome
}

fn scan(store: &TraceStore, range: RangeNs) -> Vec<Trace> {
    let mut found = Vec::new();
    let request = SpanRequest { range, hints: vec![] };
    store
        .scan(&request, &QueryContext::unlimited(), &mut |trace| {
            found.push(trace);
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

#[test]
fn every_field_of_a_span_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let nested = Value::Map(vec![
        ("list".into(), Value::Array(vec![Value::Int(-1), Value::Empty, Value::Bool(true)])),
        ("bytes".into(), Value::Bytes(vec![0, 255])),
    ]);
    let mut batch = batch(vec![]);
    batch.attributes.extend([
        ("k", ValueRef::Nested(Box::new(nested.clone()))),
        ("d", ValueRef::Double(-0.5)),
        ("d", ValueRef::Empty),
        ("lib.attr", ValueRef::Bytes(b"x")),
    ]);
    batch.resources[0].dropped_attributes_count = 1;
    batch.resources[0].schema_url = "https://r";
    batch.scopes[0] = SpanOrigin {
        name: "lib",
        version: "2",
        attributes: 4..5,
        dropped_attributes_count: 2,
        schema_url: "https://s",
    };
    let (other, other_span) = (TraceId([9; 16]), SpanId([8; 8]));
    batch.events.push(EventRow {
        at: NOW.to_ns(),
        name: "exception",
        attributes: 1..2,
        dropped_attributes_count: 3,
    });
    batch.links.push(LinkRow {
        trace_id: other,
        span_id: other_span,
        trace_state: "l=1",
        flags: 7,
        attributes: 2..3,
        dropped_attributes_count: 4,
    });
    batch.spans.push(SpanRow {
        parent_span_id: SpanId([3; 8]),
        trace_state: "a=b",
        flags: 257,
        end: NOW.to_ns().plus_ns(-5),
        attributes: 1..4,
        dropped_attributes_count: 5,
        events: 0..1,
        dropped_events_count: 6,
        links: 0..1,
        dropped_links_count: 7,
        status: StatusCode::Error,
        status_message: "boom",
        ..row(1, 2, 0)
    });
    let expected = Span {
        resource: Arc::new(Resource {
            attributes: vec![("service.name".into(), Value::Str("shop".into()))],
            dropped_attributes_count: 1,
            schema_url: "https://r".into(),
        }),
        scope: Arc::new(Scope {
            name: "lib".into(),
            version: "2".into(),
            attributes: vec![("lib.attr".into(), Value::Bytes(b"x".to_vec()))],
            dropped_attributes_count: 2,
            schema_url: "https://s".into(),
        }),
        trace_id: TraceId([1; 16]),
        span_id: SpanId([2; 8]),
        parent_span_id: SpanId([3; 8]),
        trace_state: "a=b".into(),
        flags: 257,
        name: "GET /".into(),
        kind: SpanKind::Server,
        start: NOW.to_ns(),
        end: NOW.to_ns().plus_ns(-5),
        attributes: vec![
            ("k".into(), nested.clone()),
            ("d".into(), Value::Double(-0.5)),
            ("d".into(), Value::Empty),
        ],
        dropped_attributes_count: 5,
        events: vec![Event {
            at: NOW.to_ns(),
            name: "exception".into(),
            attributes: vec![("k".into(), nested)],
            dropped_attributes_count: 3,
        }],
        dropped_events_count: 6,
        links: vec![Link {
            trace_id: other,
            span_id: other_span,
            trace_state: "l=1".into(),
            flags: 7,
            attributes: vec![("d".into(), Value::Double(-0.5))],
            dropped_attributes_count: 4,
        }],
        dropped_links_count: 7,
        status: StatusCode::Error,
        status_message: "boom".into(),
    };
    let store = open(dir.path());
    store.append(&batch).unwrap().1.wait().unwrap();
    for store in [store, open(dir.path())] {
        let trace = store.trace(TraceId([1; 16]), &QueryContext::unlimited()).unwrap().unwrap();
        assert_eq!(trace.spans, std::slice::from_ref(&expected));
        let values = store
            .attribute_values(AttributeScope::Any, "d", RangeNs::ALL, 9, &QueryContext::unlimited())
            .unwrap();
        assert_eq!(values, [Value::Empty, Value::Double(-0.5)]);
    }
}

#[test]
fn fragments_of_a_trace_are_merged_and_repeated_spans_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write(&store, vec![row(1, 1, 10), row(2, 1, 0)]);
    write(&store, vec![row(1, 2, 5), row(1, 1, 10)]);
    let trace = store.trace(TraceId([1; 16]), &QueryContext::unlimited()).unwrap().unwrap();
    let ids: Vec<_> = trace.spans.iter().map(|span| span.span_id.0[0]).collect();
    assert_eq!(ids, [2, 1]);
    assert!(store.trace(TraceId([7; 16]), &QueryContext::unlimited()).unwrap().is_none());
}

#[test]
fn spans_at_absurd_times_are_refused_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), Options { retention_ms: 1000, ..Default::default() });
    let outcome = write(&store, vec![row(1, 1, -2_000_000_000), row(1, 2, 0), row(1, 3, 1 << 60)]);
    assert_eq!(outcome.accepted, 1);
    let reasons: Vec<_> = outcome.refused.iter().map(|r| (r.reason, r.count)).collect();
    assert_eq!(reasons, [("too_old", 1), ("too_far_in_future", 1)]);
}

#[test]
fn retention_by_size_forgets_the_oldest_segment_here_and_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let journal = JournalOptions { segment_bytes_max: 2000, ..Default::default() };
    let options = Options { memory_bytes_max: 10_000, journal, ..Default::default() };
    let store = open_with(dir.path(), options.clone());
    for i in 0..200 {
        write(&store, vec![row(i as u8, 1, i), row(0, i as u8, i)]);
        store.enforce_retention().unwrap();
    }
    assert!(store.stats().memory_bytes <= 10_000 + 2000);
    let kept = scan(&store, RangeNs::ALL);
    assert!(kept.len() > 5 && kept.len() < 190, "{}", kept.len());
    drop(store);
    assert_eq!(scan(&open_with(dir.path(), options), RangeNs::ALL), kept);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_batches_read_back_like_a_map(
        batches in prop::collection::vec(prop::collection::vec((0..4u8, 1..4u8, 0..20i64), 1..6), 1..6),
        range in (0..20i64, 0..20i64),
        reopen: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        let mut naive: BTreeMap<u8, Vec<(u8, i64)>> = BTreeMap::new();
        for batch in &batches {
            write(&store, batch.iter().map(|(t, s, at)| row(*t, *s, *at)).collect());
            for (trace, span, at) in batch {
                let spans = naive.entry(*trace).or_default();
                if !spans.iter().any(|(id, _)| id == span) {
                    spans.push((*span, *at));
                }
            }
        }
        if reopen {
            drop(store);
            store = open(dir.path());
        }
        let range = RangeNs { start: NOW.to_ns().plus_ns(range.0), end: NOW.to_ns().plus_ns(range.1) };
        let found: BTreeMap<u8, Vec<(u8, i64)>> = scan(&store, range)
            .into_iter()
            .map(|trace| {
                let spans = trace.spans.iter().map(|s| (s.span_id.0[0], s.start.0 - NOW.to_ns().0));
                (trace.id.0[0], spans.collect())
            })
            .collect();
        naive.retain(|_, spans| spans.iter().any(|(_, at)| range.contains(NOW.to_ns().plus_ns(*at))));
        for spans in naive.values_mut() {
            spans.sort_by_key(|(_, at)| *at);
        }
        prop_assert_eq!(found, naive);
    }
}
