//! What a store is asked, and what a query may hold.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use model::log::{LogCount, LogCountRequest, LogRow, Origin};
use model::read::{Direction, LogRequest, QueryLimits, RangeNs};
use model::{ErrorKind, Labels, LogSource, ManualClock, Matcher, QueryContext, TimestampNs};

use crate::logql::ast::Expr;
use crate::logql::memory::MemoryLogs;
use crate::logql::{InstantOptions, Value, evaluate_instant, evaluate_log, evaluate_range, parse};
use crate::promql;

/// Tells what it was asked.
#[derive(Default)]
struct Spy {
    scans: Mutex<Vec<LogRequest>>,
    counts: Mutex<Vec<LogCountRequest>>,
}

impl LogSource for Spy {
    fn scan(
        &self,
        request: &LogRequest,
        _: &QueryContext,
        _: &mut dyn FnMut(&LogRow<'_>) -> ControlFlow<()>,
    ) -> model::Result<()> {
        self.scans.lock().unwrap().push(request.clone());
        Ok(())
    }

    fn count(
        &self,
        request: &LogCountRequest,
        _: &QueryContext,
        _: &mut dyn FnMut(&LogCount<'_>) -> ControlFlow<()>,
    ) -> model::Result<()> {
        self.counts.lock().unwrap().push(request.clone());
        Ok(())
    }

    fn arrivals_end(&self) -> u64 {
        0
    }

    fn streams(&self, _: &[Matcher], _: RangeNs, _: &QueryContext) -> model::Result<Vec<Labels>> {
        Ok(Vec::new())
    }
}

const SECOND: i64 = 1_000_000_000;

fn ask(query: &str) -> Spy {
    let spy = Spy::default();
    let expr = parse(query).unwrap();
    let (start, end) = (TimestampNs(600 * SECOND), TimestampNs(1200 * SECOND));
    let context = QueryContext::unlimited();
    evaluate_range(&expr, start, end, 60 * SECOND, &spy, &context).unwrap();
    spy
}

#[test]
fn volumes_are_counted_and_no_line_is_read() {
    let volume = "sum by (level, detected_level) \
                  (count_over_time({a=\"b\"} |= \"x\" | drop __error__ [1m]))";
    for query in [
        volume.to_owned(),
        format!("topk(5, {volume}) / 2 > 1"),
        "sum by (x) (bytes_rate({a=\"b\"} | pod=\"p\" [5m])) / sum(rate({a=\"b\"}[5m]))".to_owned(),
        "max(count_over_time({a=\"b\"} | keep app [1m]))".to_owned(),
        "absent_over_time({a=\"b\"} |~ \"x\" [5m])".to_owned(),
    ] {
        let spy = ask(&query);
        assert!(spy.scans.lock().unwrap().is_empty(), "{query}");
        assert!(!spy.counts.lock().unwrap().is_empty(), "{query}");
    }
    let counts = ask(volume).counts.into_inner().unwrap();
    let request = &counts[0];
    assert_eq!((request.start.0, request.width_ns), (540 * SECOND, 60 * SECOND));
    assert_eq!(request.buckets, 11);
    assert_eq!(request.by_fields, ["detected_level", "level"]);
    assert_eq!(request.lines.len(), 1);
}

#[test]
fn lines_and_metadata_are_asked_for_where_they_are_needed() {
    for (query, line, metadata) in [
        ("count_over_time({a=\"b\"}[1m])", false, true),
        ("sum by (x_extracted) (count_over_time({a=\"b\"} | x > 5 [1m]))", false, true),
        ("count_over_time({a=\"b\"} |= \"x\" [1m])", true, true),
        ("bytes_over_time({a=\"b\"}[1m])", true, true),
        ("sum(count_over_time({a=\"b\"} |> \"<_>x\" [1m]))", true, false),
        ("sum_over_time({a=\"b\"} | unwrap x [1m])", false, true),
        ("sum_over_time({a=\"b\"} | json | unwrap x [1m])", true, true),
    ] {
        let scans = ask(query).scans.into_inner().unwrap();
        let columns = scans[0].columns;
        assert_eq!((columns.line, columns.metadata), (line, metadata), "{query}");
        let is_ordered = scans[0].order == Some(Direction::Forward);
        assert_eq!(is_ordered, query.contains("unwrap"), "{query}");
    }
}

fn limited(memory_bytes_max: u64) -> QueryContext {
    let limits = QueryLimits { memory_bytes_max, ..QueryLimits::default() };
    QueryContext::new(limits, Arc::new(ManualClock::default()))
}

#[test]
fn a_query_that_holds_too_much_is_refused_with_its_cost() {
    let mut logs = MemoryLogs::new();
    for i in 0..1000 {
        let line = format!("line {i} {}", "x".repeat(100));
        logs.push(&Labels::from_pairs([("app", "a")]), i, &line, &[("id", &i.to_string())]);
    }
    let Ok(Expr::Log(log)) = parse("{app=\"a\"}") else { panic!() };
    let range = RangeNs { start: TimestampNs(0), end: TimestampNs(2000) };
    let ask = |limit, context: &QueryContext| {
        evaluate_log(&log, range, limit, Direction::Backward, &logs, context)
    };
    assert_eq!(ask(10, &limited(10_000)).unwrap().stats.lines_matched, 10);
    let error = ask(1000, &limited(10_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert!(error.to_string().contains("bytes of memory"), "{error}");

    let options = InstantOptions::default();
    let series = |query: &str, context: &QueryContext| {
        evaluate_instant(&parse(query).unwrap(), TimestampNs(1000), &options, &logs, context)
    };
    assert!(series("sum(count_over_time({app=\"a\"}[1m]))", &limited(10_000)).is_ok());
    let error = series("count_over_time({app=\"a\"}[1m])", &limited(10_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
}

#[test]
fn what_a_store_counted_is_told_as_lines_and_bytes() {
    let mut logs = MemoryLogs::new();
    let stream = Labels::from_pairs([("a", "b")]);
    for (at, line) in [(1, "one"), (2, "three"), (3, "other")] {
        logs.push(&stream, at * SECOND, line, &[]);
    }
    let expr = parse(r#"sum(count_over_time({a="b"} |= "e" [1m])) + vector(1)"#).unwrap();
    let (at, options) = (TimestampNs(60 * SECOND), InstantOptions::default());
    let context = QueryContext::unlimited();
    let found = evaluate_instant(&expr, at, &options, &logs, &context).unwrap().stats;
    assert_eq!((found.lines_read, found.bytes_read, found.lines_matched), (3, 13, 3));
}

#[test]
fn of_fields_with_one_name_the_last_counts_however_a_query_is_answered() {
    let mut logs = MemoryLogs::new();
    let fields = [("region", "r", Origin::Resource), ("region", "own", Origin::Record)];
    logs.push_from(&Labels::from_pairs([("a", "b")]), SECOND, "x", &fields);
    let (at, options) = (TimestampNs(60 * SECOND), InstantOptions::default());
    for stages in
        ["", "| label_format other=`x`", "| region=\"own\"", "| region=\"own\" |> \"<_>\""]
    {
        let query = format!("sum by (region) (count_over_time({{a=\"b\"}} {stages} [1m]))");
        let expr = parse(&query).unwrap();
        let context = QueryContext::unlimited();
        let found = evaluate_instant(&expr, at, &options, &logs, &context).unwrap().value;
        let Value::Metric(promql::Value::Vector(vector)) = found else { panic!("{query}") };
        let labels: Vec<_> = vector.iter().map(|sample| sample.labels.to_string()).collect();
        assert_eq!(labels, ["{region=\"own\"}"], "{query}");
    }
}
