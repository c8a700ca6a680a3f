//! The store against a naive twin: a list of records, filtered and sorted.

use std::time::Duration;

use model::log::Origin;
use model::read::Direction;
use model::write::{LogEntry, LogField, LogGroup};
use model::{ErrorKind, ManualClock, QueryLimits, TimestampMs};
use proptest::prelude::*;

use super::*;

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

/// Stream, time after `NOW` in nanoseconds, line.
type Record = (u8, i64, String);

fn open_with(dir: &Path, options: Options) -> (LogStore, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(NOW));
    (LogStore::open(dir, options, clock.clone()).unwrap(), clock)
}

fn open(dir: &Path) -> LogStore {
    open_with(dir, Options::default()).0
}

fn stream(number: u8) -> Labels {
    Labels::from_pairs([("service_name".to_owned(), format!("s{number}"))])
}

fn field<'a>(name: &'a str, value: &'a str, origin: Origin) -> LogField<'a> {
    LogField { name: name.into(), value: value.into(), origin }
}

/// One group for each record: the collector groups by stream, but need not.
fn write(store: &LogStore, records: &[Record]) -> WriteOutcome {
    let mut batch = LogBatch::default();
    batch.fields.push(field("pod", "p1", Origin::Resource));
    for (i, (number, at, line)) in records.iter().enumerate() {
        let i = i as u32;
        batch.fields.push(field("trace_id", line, Origin::Record));
        batch.records.push(LogEntry {
            at: NOW.to_ns().plus_ns(*at),
            line: line.as_str().into(),
            fields: i + 1..i + 2,
        });
        batch.groups.push(LogGroup { stream: stream(*number), shared: 0..1, records: i..i + 1 });
    }
    let (outcome, commit) = store.append(&batch).unwrap();
    commit.wait().unwrap();
    outcome
}

fn request(order: Option<Direction>) -> LogRequest {
    LogRequest { matchers: vec![], range: RangeNs::ALL, lines: vec![], order, metadata: true }
}

fn read(store: &LogStore, request: &LogRequest) -> Vec<Record> {
    let mut found = Vec::new();
    store
        .scan(request, &QueryContext::unlimited(), &mut |row| {
            let fields: Vec<_> = row.metadata.iter().map(|f| (f.name, f.value, f.origin)).collect();
            if request.metadata {
                assert_eq!(
                    fields,
                    [("pod", "p1", Origin::Resource), ("trace_id", row.line, Origin::Record)]
                );
            }
            let number = row.stream.get("service_name").unwrap()[1..].parse().unwrap();
            found.push((number, row.at.0 - NOW.to_ns().0, row.line.to_owned()));
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

fn record(number: u8, at: i64, line: &str) -> Record {
    (number, at, line.to_owned())
}

#[test]
fn equal_times_keep_their_order_of_arrival_in_both_directions() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let lines = [record(1, 5, "a"), record(2, 5, "b"), record(1, 5, "a"), record(1, 3, "c")];
    write(&store, &lines);
    let [a, b, a2, c] = lines;
    let expected = [c, a, b, a2];
    assert_eq!(read(&store, &request(Some(Direction::Forward))), expected);
    let mut backward = read(&store, &request(Some(Direction::Backward)));
    backward.reverse();
    assert_eq!(backward, expected);
}

#[test]
fn absurd_times_are_refused_and_named_and_the_rest_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), Options { retention_ms: 1000, ..Default::default() });
    let outcome = write(
        &store,
        &[record(1, -2_000_000_000, "old"), record(1, 0, "good"), record(1, 1 << 60, "future")],
    );
    assert_eq!(outcome.accepted, 1);
    let reasons: Vec<_> = outcome.refused.iter().map(|r| (r.reason, r.count)).collect();
    assert_eq!(reasons, [("too_old", 1), ("too_far_in_future", 1)]);
    assert_eq!(read(&store, &request(None)), [record(1, 0, "good")]);
}

#[test]
fn a_scan_over_its_budget_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let records: Vec<_> = (0..2000).map(|i| record(1, i, "line")).collect();
    write(&store, &records);
    let limits = QueryLimits { items_max: 500, ..Default::default() };
    let context = QueryContext::new(limits, Arc::new(ManualClock::default()));
    let mut seen = 0;
    let error = store
        .scan(&request(None), &context, &mut |_| {
            seen += 1;
            ControlFlow::Continue(())
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert!(seen < 1000, "{seen}");
}

#[test]
fn retention_by_size_forgets_the_oldest_segment_here_and_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let journal = JournalOptions { segment_bytes_max: 2000, ..Default::default() };
    let options = Options { memory_bytes_max: 10_000, journal, ..Default::default() };
    let (store, _) = open_with(dir.path(), options.clone());
    for i in 0..300 {
        write(&store, &[record((i % 3) as u8, i, "some line of a log")]);
        store.enforce_retention().unwrap();
    }
    assert!(store.stats().memory_bytes <= 10_000 + 2000);
    let kept = read(&store, &request(Some(Direction::Forward)));
    assert!(kept.len() > 10 && kept.len() < 290);
    assert_eq!(kept.last().unwrap().1, 299);
    drop(store);
    let (store, clock) = open_with(dir.path(), Options { retention_ms: 1, ..options });
    assert_eq!(read(&store, &request(Some(Direction::Forward))), kept);
    clock.advance(Duration::from_secs(10));
    store.enforce_retention().unwrap();
    assert!(read(&store, &request(None)).is_empty());
    assert_eq!(store.stats().streams, 0);
}

fn records() -> impl Strategy<Value = Vec<Vec<Record>>> {
    let line = prop::sample::select(vec!["", "error: a", "info b", "ERROR", "a error"]);
    let record = (0..3u8, 0..20i64, line).prop_map(|(n, at, line)| record(n, at, line));
    prop::collection::vec(prop::collection::vec(record, 1..8), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_batches_read_back_like_a_sorted_list(
        batches in records(),
        range in (0..20i64, 0..20i64),
        order in prop::option::of(any::<bool>()),
        filter in prop::option::of((prop::sample::select(vec!["error", "b", ""]), any::<bool>())),
        reopen: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        for batch in &batches {
            write(&store, batch);
        }
        if reopen {
            drop(store);
            store = open(dir.path());
        }
        let order = order.map(|b| if b { Direction::Forward } else { Direction::Backward });
        let matchers = vec![Matcher::new("service_name", model::MatchOp::NotEqual, "s2").unwrap()];
        let range = RangeNs {
            start: NOW.to_ns().plus_ns(range.0),
            end: NOW.to_ns().plus_ns(range.1),
        };
        let lines = filter.map(|(text, contains)| match contains {
            true => LineHint::Contains(text.to_owned()),
            false => LineHint::Lacks(text.to_owned()),
        });
        let request = LogRequest { matchers, range, lines: lines.into_iter().collect(), order, metadata: true };
        let mut expected: Vec<Record> = batches
            .concat()
            .into_iter()
            .filter(|(number, at, _)| *number != 2 && range.contains(NOW.to_ns().plus_ns(*at)))
            .filter(|(_, _, line)| filter.is_none_or(|(text, contains)| line.contains(text) == contains))
            .collect();
        expected.sort_by_key(|record| record.1);
        let mut found = read(&store, &request);
        match order {
            Some(Direction::Forward) => {}
            Some(Direction::Backward) => found.reverse(),
            None => {
                expected.sort();
                found.sort();
            }
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!(store.streams(&request.matchers, range, &QueryContext::unlimited()).unwrap().len(),
            (0..2u8).filter(|n| batches.concat().iter().any(|r| r.0 == *n && range.contains(NOW.to_ns().plus_ns(r.1)))).count());
    }
}
