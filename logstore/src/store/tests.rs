//! The store against a naive twin: a list of records, filtered and sorted.

mod faults;
mod fixtures;
mod model_based;
mod phases;

use std::time::Duration;

use disk::JournalOptions;
use disk::faults::Faults;
use model::log::{LineCondition, LogCountRequest, Origin, count_by_scan};
use model::read::{Direction, LogColumns, LogRequest, RangeNs};
use model::write::{LogEntry, LogField, LogGroup};
use model::{
    ErrorKind, LogAdmin, LogSelection, LogSource, ManualClock, Matcher, QueryContext, QueryLimits,
    TimestampMs,
};
use proptest::prelude::*;

use super::*;
use crate::options::RetentionRule;
use fixtures::*;

#[test]
fn equal_times_keep_their_order_of_arrival_in_both_directions_wherever_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let lines = [record(1, 5, "a"), record(2, 5, "b"), record(1, 5, "a"), record(1, 3, "c")];
    write(&store, &lines);
    store.seal_all().unwrap();
    let more = [record(2, 5, "d"), record(1, 3, "e"), record(1, 5, "f")];
    write(&store, &more);
    let [a, b, a2, c] = lines;
    let [d, e, f] = more;
    let expected = [c, e, a, b, a2, d, f];
    for _ in 0..3 {
        assert_eq!(read(&store, &request(Some(Direction::Forward))), expected);
        let mut backward = read(&store, &request(Some(Direction::Backward)));
        backward.reverse();
        assert_eq!(backward, expected);
        store.merge_all().unwrap();
    }
    assert_eq!(store.stats().parts, 1);
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
    assert_eq!(figure(&store, "refused_too_old_records"), 1);
}

#[test]
fn times_at_the_ends_of_time_are_kept_in_few_parts() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { future_ms_max: i64::MAX, ..Default::default() };
    let (store, _) = open_with(dir.path(), options.clone());
    let year = 365 * 86_400 * 1_000_000_000i64;
    let ends = [i64::MIN, i64::MAX - 1].map(|at| at.saturating_sub(NOW.to_ns().0));
    let ends = [ends[0].max(i64::MIN + 1), ends[1]];
    let mut records: Vec<Record> = ends.iter().map(|at| record(1, *at, "end")).collect();
    records.extend((-50..230).map(|years| record(2, years * year, "year")));
    write(&store, &records);
    records.sort_by_key(|record| record.1);
    for _ in 0..2 {
        assert_eq!(read(&store, &request(Some(Direction::Forward))), records);
        store.seal_all().unwrap();
    }
    assert!(store.stats().parts <= 9, "{}", store.stats().parts);
    drop(store);
    let (store, _) = open_with(dir.path(), options);
    assert_eq!(read(&store, &request(Some(Direction::Forward))), records);
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
            std::ops::ControlFlow::Continue(())
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert!(seen < 1000, "{seen}");
}

#[test]
fn streams_over_the_limit_are_refused_by_name_and_known_ones_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { streams_max: 3, retention_ms: HOUR_MS, ..Default::default() };
    let (store, clock) = open_with(dir.path(), options.clone());
    let records: Vec<Record> = (0..5).map(|number| record(number, 0, "a")).collect();
    let outcome = write(&store, &records);
    assert_eq!(outcome.accepted, 3);
    let reasons: Vec<_> = outcome.refused.iter().map(|r| (r.reason, r.count)).collect();
    assert_eq!(reasons, [("too_many_streams", 2)]);
    assert!(outcome.refused[0].example.contains("streams_max"), "{:?}", outcome.refused);
    store.seal_all().unwrap();
    assert_eq!(write(&store, &records).accepted, 3, "those that a part has are known");
    drop(store);
    let store = LogStore::open(dir.path(), options, clock.clone()).unwrap();
    assert_eq!(write(&store, &records).accepted, 3);
    assert_eq!(store.stats().streams, 3);
    // When their records are gone, they make room.
    store.seal_all().unwrap();
    clock.advance(Duration::from_secs(3 * 3600));
    store.maintain().unwrap();
    assert_eq!(store.stats().streams, 0);
    let later = [record(4, 3 * HOUR_MS * 1_000_000, "b")];
    assert_eq!(write(&store, &later).accepted, 1);
    assert_eq!(figure(&store, "refused_too_many_streams_records"), 2);
}

#[test]
fn a_store_that_can_not_seal_lets_writers_wait_then_refuses_and_goes_on_when_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { memory_bytes_max: 10_000, ..Default::default() };
    let (store, _) = open_with(dir.path(), options);
    let mut commits = Vec::new();
    let error = loop {
        let sent = commits.len() as i64;
        match try_append(&store, &[record(1, sent, "some line of a log")]) {
            Ok((_, commit)) => commits.push(commit),
            Err(error) => break error,
        }
        assert!(sent < 10_000);
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(store.stats().memory_bytes < 21_000);
    assert!(figure(&store, "refused_batches") > 0);
    let sent = commits.len();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut is_waiting = |commit: &mut Commit| {
        std::future::Future::poll(std::pin::Pin::new(commit), &mut context).is_pending()
    };
    eventually(|| !is_waiting(&mut commits[0]));
    assert!(is_waiting(commits.last_mut().unwrap()), "it is told when there is room");
    store.seal_due().unwrap();
    assert!(!is_waiting(commits.last_mut().unwrap()));
    assert_eq!(store.stats().head_records, 0);
    write(&store, &[record(1, sent as i64, "some line of a log")]);
    assert_eq!(read(&store, &request(None)).len(), sent + 1);
}

#[test]
fn what_is_idle_or_old_is_sealed_and_its_journal_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = open_with(dir.path(), Options::default());
    write(&store, &[record(1, 0, "a")]);
    clock.advance(Duration::from_secs(299));
    store.seal_due().unwrap();
    assert_eq!(store.stats().parts, 0);
    clock.advance(Duration::from_secs(2));
    store.seal_due().unwrap();
    assert_eq!(store.stats().parts, 1);
    for minute in 0..16 {
        write(&store, &[record(1, minute, "b")]);
        clock.advance(Duration::from_secs(120));
        store.seal_due().unwrap();
    }
    assert_eq!(store.stats().parts, 2, "a head that goes on getting old records is sealed too");
    eventually(|| {
        store.seal_due().unwrap();
        store.stats().journal.bytes < 200
    });
}

#[test]
fn small_parts_of_a_day_are_merged_and_quiet_days_have_one() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = open_with(dir.path(), Options::default());
    let mut sent = Vec::new();
    for number in 0..20i64 {
        let records = [record(1, number, "a"), record(2, number - 86_400_000_000_000, "b")];
        write(&store, &records);
        sent.extend(records);
        store.seal_all().unwrap();
        store.maintain().unwrap();
        assert!(store.stats().parts <= 2 * 8, "{}", store.stats().parts);
    }
    clock.advance(Duration::from_secs(2 * 3600));
    store.maintain().unwrap();
    assert_eq!(store.stats().parts, 2);
    sent.sort_by_key(|record| record.1);
    assert_eq!(read(&store, &request(Some(Direction::Forward))), sent);
}

#[test]
fn retention_by_bytes_drops_the_oldest_parts() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), Options::default());
    let day = 86_400_000_000_000;
    for number in 0..6 {
        write(&store, &[record(1, -number * day, "some line of a log")]);
        store.seal_all().unwrap();
    }
    let bytes = store.stats().part_bytes;
    drop(store);
    let options = Options { retention_bytes: bytes / 2, ..Default::default() };
    let (store, _) = open_with(dir.path(), options);
    store.maintain().unwrap();
    assert!(store.stats().part_bytes <= bytes / 2);
    let kept: Vec<i64> = read(&store, &request(None)).iter().map(|r| -r.1 / day).collect();
    assert!(kept.contains(&0) && kept.contains(&1) && !kept.contains(&5), "{kept:?}");
    assert_eq!(folders(dir.path()).len() as u64, store.stats().parts);
}

#[test]
fn a_stream_with_a_retention_of_its_own_is_hidden_at_once_and_rewritten() {
    let dir = tempfile::tempdir().unwrap();
    let rule =
        RetentionRule { matchers: vec![Matcher::equal("service_name", "s1")], keep_ms: HOUR_MS };
    let options = Options { retention_rules: vec![rule], ..Default::default() };
    let (store, clock) = open_with(dir.path(), options);
    let records: Vec<Record> = (0..100).map(|i| record(1 + (i % 2) as u8, i, "a")).collect();
    write(&store, &records);
    store.seal_all().unwrap();
    clock.advance(Duration::from_secs(2 * 3600));
    let found = read(&store, &request(None));
    assert!(found.len() == 50 && found.iter().all(|record| record.0 == 2));
    assert_eq!(streams(&store), ["s2"]);
    assert_eq!(store.stats().records, 100);
    store.maintain().unwrap();
    assert_eq!(store.stats().records, 50);
    assert_eq!(read(&store, &request(None)), found);
}

#[test]
fn a_deletion_is_effective_at_once_comes_back_when_undone_and_is_final_later() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = open_with(dir.path(), Options::default());
    write(&store, &[record(1, 0, "good"), record(1, 1, "bad one")]);
    store.seal_all().unwrap();
    write(&store, &[record(2, 2, "bad two"), record(2, 3, "fine")]);
    let selection = LogSelection {
        matchers: vec![],
        lines: vec![LineCondition::contains("bad")],
        fields: vec![],
        range: RangeNs::ALL,
    };
    let texts = |store: &LogStore| -> Vec<String> {
        read(store, &request(Some(Direction::Forward))).into_iter().map(|r| r.2).collect()
    };
    let id = store.delete(&selection, "{a=\"b\"} |= \"bad\"").unwrap();
    write(&store, &[record(3, 4, "bad three")]);
    assert_eq!(texts(&store), ["good", "fine", "bad three"]);
    store.undelete(id).unwrap();
    assert_eq!(texts(&store), ["good", "bad one", "bad two", "fine", "bad three"]);
    assert_eq!(store.undelete(id).unwrap_err().kind(), ErrorKind::NotFound);
    let id = store.delete(&selection, "{a=\"b\"} |= \"bad\"").unwrap();
    drop(store);
    let store = LogStore::open(dir.path(), Options::default(), clock.clone()).unwrap();
    assert_eq!(texts(&store), ["good", "fine"]);
    let told = store.deletions();
    assert_eq!((told.len(), told[0].id, told[0].query.as_str()), (1, id, "{a=\"b\"} |= \"bad\""));
    store.maintain().unwrap();
    assert_eq!(store.stats().records, 5);
    clock.advance(Duration::from_secs(25 * 3600));
    store.maintain().unwrap();
    assert_eq!((store.stats().records, store.stats().head_records), (2, 0));
    assert_eq!(store.deletions()[0].state, model::admin::LogDeletionState::Done);
    assert_eq!(store.undelete(id).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(texts(&store), ["good", "fine"]);
    clock.advance(Duration::from_secs(25 * 3600));
    store.maintain().unwrap();
    assert!(store.deletions().is_empty());
    assert_eq!(texts(&store), ["good", "fine"]);
}

#[test]
fn the_newest_lines_are_found_without_opening_old_parts() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for day in 0..10i64 {
        write(&store, &[record(1, -day * 86_400_000_000_000, "a")]);
        store.seal_all().unwrap();
    }
    let context = QueryContext::unlimited();
    let mut seen = 0;
    store
        .scan(&request(Some(Direction::Backward)), &context, &mut |_| {
            seen += 1;
            if seen == 2 {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert_eq!(seen, 2);
    assert!(context.items_used() <= 3, "{}", context.items_used());
}

#[test]
fn patterns_are_counted_wherever_their_lines_are() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let request = LogCountRequest {
        matchers: vec![],
        lines: vec![],
        fields: vec![],
        start: NOW.to_ns().plus_ns(-1_000_000_000),
        width_ns: 10_000_000_000,
        buckets: 1,
        by_fields: vec![],
        by_pattern: true,
    };
    let line = |i: i64| format!("user {} logged in from 10.0.0.{} as admin", i * 7, i % 256);
    let mut expected = 0;
    for _ in 0..2 {
        let records: Vec<Record> = (0..300).map(|i| record(1, i, &line(i))).collect();
        write(&store, &records);
        expected += 300;
        for _ in 0..2 {
            let mut counts: Vec<(String, u64)> = Vec::new();
            let context = QueryContext::unlimited();
            store
                .count(&request, &context, &mut |count| {
                    counts.push((count.pattern.unwrap().to_owned(), count.records));
                    std::ops::ControlFlow::Continue(())
                })
                .unwrap();
            assert_eq!(counts.iter().map(|(_, records)| records).sum::<u64>(), expected);
            for (pattern, _) in &counts {
                assert_eq!(pattern, "user <_> logged in from <_> as admin");
            }
            store.seal_all().unwrap();
        }
    }
}
