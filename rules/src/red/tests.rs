//! RED from spans, into a sink in memory.

use std::time::Duration;

use model::value::ValueRef;
use model::write::SpanOrigin;
use model::{ManualClock, TimestampNs};

use super::*;
use crate::testing::MemorySink;

const START: TimestampMs = TimestampMs(1_700_000_000_000);

fn span(name: &str, millis: i64, status: StatusCode) -> SpanRow<'_> {
    let start = START.to_ns();
    SpanRow {
        resource: 0,
        scope: 0,
        trace_id: TraceId([7; 16]),
        span_id: SpanId([9; 8]),
        parent_span_id: SpanId::default(),
        trace_state: "",
        flags: 0,
        name,
        kind: SpanKind::Server,
        start,
        end: TimestampNs(start.0 + millis * 1_000_000),
        attributes: 0..0,
        dropped_attributes_count: 0,
        events: 0..0,
        dropped_events_count: 0,
        links: 0..0,
        dropped_links_count: 0,
        status,
        status_message: "",
    }
}

fn batch<'a>(service: &'a str, spans: Vec<SpanRow<'a>>) -> SpanBatch<'a> {
    SpanBatch {
        resources: vec![SpanOrigin { attributes: 0..1, ..SpanOrigin::default() }],
        attributes: vec![("service.name", ValueRef::Str(service))],
        spans,
        ..SpanBatch::default()
    }
}

fn metrics(label_sets_max: usize) -> (RedMetrics, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(START));
    let config = RedConfig { label_sets_max, ..RedConfig::default() };
    (RedMetrics::new(config, clock.clone()), clock)
}

#[test]
fn bounds_are_inclusive_and_double() {
    for (ns, bucket) in [
        (0, 0),
        (2_000_000, 0),
        (2_000_001, 1),
        (4_000_000, 1),
        (4_000_001, 2),
        (16_384_000_000, 13),
        (16_384_000_001, 14),
        (u64::MAX, 14),
    ] {
        assert_eq!(bucket_of(ns), bucket, "{ns}");
    }
    let labels: Vec<String> = (0..=BOUNDS).map(bound_label).collect();
    assert_eq!(labels[..3], ["0.002", "0.004", "0.008"]);
    assert_eq!(labels[13..], ["16.384", "+Inf"]);
}

#[test]
fn spans_become_calls_and_latency_under_the_names_that_grafana_asks_for() {
    let (red, clock) = metrics(100);
    red.observe(&batch(
        "shop",
        vec![span("GET /", 3, StatusCode::Unset), span("GET /", 100, StatusCode::Unset)],
    ));
    red.observe(&batch("shop", vec![span("GET /", 1, StatusCode::Error)]));
    clock.advance(Duration::from_secs(15));
    let (sink, now) = (MemorySink::default(), START.plus_ms(15_000));
    assert_eq!(red.flush(now, &sink).unwrap(), 36);
    let lines = sink.at(now);
    let ok = r#"service="shop", span_kind="SPAN_KIND_SERVER", span_name="GET /", status_code="STATUS_CODE_UNSET"}"#;
    let error = ok.replace("UNSET", "ERROR");
    for line in [
        format!("traces_spanmetrics_calls_total{{{ok} 2"),
        format!("traces_spanmetrics_calls_total{{{error} 1"),
        format!("traces_spanmetrics_latency_count{{{ok} 2"),
        format!("traces_spanmetrics_latency_sum{{{ok} 0.103"),
        format!("traces_spanmetrics_latency_bucket{{le=\"0.002\", {ok} 0"),
        format!("traces_spanmetrics_latency_bucket{{le=\"0.004\", {ok} 1"),
        format!("traces_spanmetrics_latency_bucket{{le=\"0.128\", {ok} 2"),
        format!("traces_spanmetrics_latency_bucket{{le=\"+Inf\", {ok} 2"),
    ] {
        assert!(lines.contains(&line), "{line}\n{lines:#?}");
    }
    assert!(sink.starts().iter().all(|start| *start == START));
    let exemplars = sink.exemplars();
    assert_eq!(exemplars.len(), 2);
    assert_eq!(exemplars[0].1.labels.get("trace_id"), Some("07070707070707070707070707070707"));
    let bounds: Vec<&str> = exemplars.iter().filter_map(|(series, _)| series.get("le")).collect();
    assert!(bounds.contains(&"0.004") && bounds.contains(&"0.002"), "{bounds:?}");
    // Counts go on, and an exemplar is told once.
    red.observe(&batch("shop", vec![span("GET /", 1, StatusCode::Error)]));
    let later = now.plus_ms(15_000);
    red.flush(later, &sink).unwrap();
    assert!(sink.at(later).contains(&format!("traces_spanmetrics_calls_total{{{error} 2")));
    assert_eq!(sink.exemplars().len(), 3);
}

#[test]
fn over_the_limit_names_are_merged_and_sums_stay_right() {
    let (red, _) = metrics(2);
    for name in ["a", "b", "c", "d", "a"] {
        red.observe(&batch("shop", vec![span(name, 1, StatusCode::Unset)]));
    }
    let sink = MemorySink::default();
    red.flush(START, &sink).unwrap();
    let calls: Vec<String> =
        sink.at(START).into_iter().filter(|line| line.starts_with(CALLS)).collect();
    assert_eq!(calls.len(), 3);
    let total: f64 =
        calls.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
    assert_eq!(total, 5.0);
    assert!(calls.iter().any(|line| line.contains(OVERFLOW) && line.ends_with(" 2")));
    assert_eq!(red.overflowed(), 2);
    // Thousands of services end in one set as well.
    for i in 0..1000 {
        red.observe(&batch(&format!("s{i}"), vec![span("a", 1, StatusCode::Unset)]));
    }
    assert!(red.label_sets.load(Ordering::Relaxed) < 100);
}

#[test]
fn idle_series_end_with_a_marker_that_is_not_lost() {
    let (red, clock) = metrics(100);
    let sink = MemorySink::default();
    red.observe(&batch("shop", vec![span("a", 1, StatusCode::Unset)]));
    red.flush(START, &sink).unwrap();
    clock.advance(Duration::from_secs(900));
    let later = START.plus_ms(900_000);
    sink.is_broken.store(true, Ordering::SeqCst);
    assert!(red.flush(later, &sink).is_err());
    sink.is_broken.store(false, Ordering::SeqCst);
    assert_eq!(red.flush(later, &sink).unwrap(), 18);
    assert!(sink.at(later).iter().all(|line| line.ends_with(" stale")));
    assert_eq!(red.flush(later, &sink).unwrap(), 0);
}

#[test]
fn a_span_whose_clock_went_back_took_no_time() {
    let (red, _) = metrics(100);
    red.observe(&batch("", vec![span("a", -5, StatusCode::Ok)]));
    let sink = MemorySink::default();
    red.flush(START, &sink).unwrap();
    assert!(sink.at(START).iter().any(|line| line.contains("_sum") && line.ends_with(" 0")));
}

#[test]
fn a_flush_is_not_lost_when_the_store_gives_all_series_other_ids_meanwhile() {
    let (red, clock) = metrics(100);
    let sink = MemorySink::default();
    red.observe(&batch("shop", vec![span("idle", 1, StatusCode::Unset)]));
    red.flush(START, &sink).unwrap();
    clock.advance(Duration::from_secs(15 * 60));
    red.observe(&batch("shop", vec![span("live", 1, StatusCode::Unset)]));
    sink.forgets.store(true, Ordering::SeqCst);
    let later = START.plus_ms(15 * 60_000);
    assert_eq!(red.flush(later, &sink).unwrap(), 36);
    let lines = sink.at(later);
    let of = |name: &str, end: &str| {
        let is_of = |line: &&String| line.contains(name) && line.ends_with(end);
        lines.iter().filter(is_of).count()
    };
    assert_eq!(
        (of("\"live\"", "1"), of("\"idle\"", "stale"), lines.len()),
        (18, 18, 36),
        "{lines:?}"
    );
    // Also when they became others since the flush before.
    sink.forgets.store(true, Ordering::SeqCst);
    drop(sink.append(&SeriesBatch::default()).unwrap());
    let idle = START.plus_ms(30 * 60_000);
    assert_eq!(red.flush(idle, &sink).unwrap(), 18);
    assert!(sink.at(idle).iter().all(|line| line.ends_with("stale")), "{:?}", sink.at(idle));
}
