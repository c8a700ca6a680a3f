//! The store against a naive twin, over seals, merges, deletions, restarts and faults.

mod aging;
mod budgets;
mod cardinality;
mod faults;
mod fixtures;
mod loading;
mod model_based;
mod phases;
mod rollups;
mod snapshots;

use std::collections::BTreeMap;
use std::time::Duration;

use disk::JournalOptions;
use disk::faults::Faults;
use model::read::SeriesRequest;
use model::sample::{Exemplar, MetricKind, NativeHistogram};
use model::write::{FloatPoint, HistogramPoint, NO_START};
use model::{ErrorKind, ManualClock, MatchOp, Matcher, QueryContext, SeriesSource};
use proptest::prelude::*;

use super::*;
use crate::RetentionRule;

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

/// A second a window, so that little data makes many blocks.
fn small() -> Options {
    Options {
        window_ms: 1000,
        grace_ms: 100,
        idle_ms: 10_000,
        checkpoint_ms: 1000,
        ..Default::default()
    }
}

fn open_with(dir: &Path, options: Options) -> (Tsdb, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(NOW));
    (Tsdb::open(dir, options, clock.clone()).unwrap(), clock)
}

fn open(dir: &Path) -> Tsdb {
    open_with(dir, Options::default()).0
}

fn labels(name: &str, job: u8) -> Labels {
    Labels::from_pairs([("__name__", name.to_owned()), ("job", format!("j{job}"))])
}

fn point(store: &Tsdb, labels: &Labels, at: i64, value: f64) -> FloatPoint {
    let series = store.series(labels).unwrap();
    FloatPoint { series, at: NOW.plus_ms(at), start: NO_START, value }
}

fn write(store: &Tsdb, points: Vec<FloatPoint>) -> WriteOutcome {
    let (outcome, commit) = store.append(&SeriesBatch { points, ..Default::default() }).unwrap();
    commit.wait().unwrap();
    outcome
}

type Everything = BTreeMap<String, Vec<(i64, f64)>>;

fn read_range(store: &Tsdb, matchers: Vec<Matcher>, range: RangeMs) -> Everything {
    let context = QueryContext::unlimited();
    let mut found = Everything::new();
    for series in store.select(&SeriesRequest::samples(matchers, range), &context).unwrap() {
        let series = series.unwrap();
        let samples = series.times_ms.iter().map(|at| at - NOW.0).zip(series.values);
        let before = found.insert(series.labels.to_string(), samples.collect());
        assert!(before.is_none(), "{} came twice", series.labels);
    }
    found
}

fn read(store: &Tsdb, matchers: Vec<Matcher>) -> Everything {
    read_range(store, matchers, RangeMs::ALL)
}

fn names(store: &Tsdb) -> Vec<String> {
    store.label_values("__name__", &[], RangeMs::ALL, &QueryContext::unlimited()).unwrap()
}

#[test]
fn samples_histograms_exemplars_and_metadata_survive_seals_and_restarts() {
    for (closes, merges) in [(false, false), (true, false), (false, true), (true, true)] {
        let dir = tempfile::tempdir().unwrap();
        let histogram =
            NativeHistogram { count: 3.0, positive: vec![(1, 3.0)], ..Default::default() };
        let exemplar =
            Exemplar { labels: Labels::from_pairs([("trace_id", "abc")]), value: 1.0, at: NOW };
        let metadata = MetricMetadata { help: "h".into(), ..Default::default() };
        {
            let store = open(dir.path());
            let series = store.series(&labels("h", 1)).unwrap();
            store.describe("h", &metadata);
            let batch = SeriesBatch {
                points: vec![point(&store, &labels("a", 1), 0, 1.0)],
                histograms: vec![HistogramPoint {
                    series,
                    at: NOW,
                    start: NO_START,
                    histogram: histogram.clone(),
                }],
                exemplars: vec![(series, exemplar.clone())],
            };
            let (outcome, commit) = store.append(&batch).unwrap();
            commit.wait().unwrap();
            assert_eq!((outcome.accepted, outcome.histograms, outcome.exemplars), (2, 1, 1));
            assert_eq!(outcome.refused_count(), 0);
            if merges {
                store.merge_all().unwrap();
            }
            if closes {
                store.close();
            }
        }
        for _ in 0..2 {
            let store = open(dir.path());
            assert_eq!(store.damage(), Vec::<String>::new());
            assert_eq!(read(&store, vec![Matcher::equal("__name__", "a")]).len(), 1);
            let context = QueryContext::unlimited();
            let request =
                SeriesRequest::samples(vec![Matcher::equal("__name__", "h")], RangeMs::ALL);
            let found: Vec<_> = store.select(&request, &context).unwrap().collect();
            assert_eq!(*found[0].as_ref().unwrap().histograms[0].1, histogram);
            let exemplars = store.exemplars(&request.matchers, RangeMs::ALL, &context).unwrap();
            assert_eq!(exemplars[0].1, std::slice::from_ref(&exemplar));
            assert_eq!(store.metadata().unwrap(), [("h".to_owned(), metadata.clone())]);
            // A run that writes only to known series must be readable by the next.
            write(&store, vec![point(&store, &labels("a", 1), 5, 2.0)]);
            if closes {
                store.close();
            }
        }
    }
}

#[test]
fn absurd_times_are_refused_one_by_one_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { retention_ms: 1000, ..Default::default() };
    let (store, _) = open_with(dir.path(), options);
    let series = labels("a", 1);
    let outcome = write(
        &store,
        vec![
            point(&store, &series, -5000, 1.0),
            point(&store, &series, 0, 2.0),
            point(&store, &series, 86_400_000, 3.0),
            point(&store, &series, i64::MAX - NOW.0, 3.0),
        ],
    );
    assert_eq!(outcome.accepted, 1);
    let reasons: Vec<_> = outcome.refused.iter().map(|r| (r.reason, r.count)).collect();
    assert_eq!(reasons, [("too_old", 1), ("too_far_in_future", 2)]);
    assert!(outcome.refused[0].example.contains("retention"), "{outcome:?}");
}

#[test]
fn a_series_without_a_name_or_beyond_all_bounds_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { series_max: 1, folded_series_max: 1, ..Default::default() };
    let (store, _) = open_with(dir.path(), options);
    store.series(&labels("a", 1)).unwrap();
    store.series(&labels("a", 1)).unwrap();
    store.series(&labels("a", 2)).unwrap();
    let error = store.series(&labels("a", 3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert!(error.message().contains("series_max"), "{error}");
    let error = store.series(&Labels::from_pairs([("job", "x")])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadRequest);
}

#[test]
fn a_guess_is_answered_only_for_exactly_the_labels_of_the_series_that_came_next() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = open_with(dir.path(), small());
    let bytes = |labels: &Labels| -> Vec<(Vec<u8>, Vec<u8>)> {
        labels.iter().map(|(name, value)| (name.into(), value.into())).collect()
    };
    let guess = |previous: SeriesId, labels: &Labels| {
        let owned = bytes(labels);
        let refs: Vec<(&[u8], &[u8])> = owned.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        store.series_after(previous, &refs)
    };
    let [a, b, c] = [1, 2, 3].map(|job| labels("m", job));
    let ids = [&a, &b, &c].map(|labels| store.series(labels).unwrap());
    assert_eq!(guess(ids[0], &b), None, "nobody told yet");
    store.series_follow(&ids);
    assert_eq!(guess(ids[0], &b), Some(ids[1]));
    assert_eq!(guess(ids[1], &c), Some(ids[2]));
    assert_eq!(guess(ids[0], &c), None);
    assert_eq!(guess(ids[0], &b.with("more", "x")), None);
    assert_eq!(guess(SeriesId(u64::MAX), &b), None);
    // A series that left memory is not guessed, nor is the one that has its slot.
    write(&store, vec![point(&store, &b, 0, 1.0)]);
    for second in 1..12 {
        clock.advance(Duration::from_secs(1));
        write(&store, vec![point(&store, &a, second * 1000, 1.0)]);
        store.maintain().unwrap();
    }
    assert_eq!(guess(ids[0], &b), None);
}

#[test]
fn retention_by_time_drops_blocks_and_names_vanish_with_their_data() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = open_with(dir.path(), Options { retention_ms: 20_000, ..small() });
    write(&store, vec![point(&store, &labels("old", 1), 0, 1.0)]);
    clock.advance(Duration::from_secs(15));
    write(&store, vec![point(&store, &labels("new", 1), 15_000, 1.0)]);
    store.maintain().unwrap();
    assert_eq!(names(&store), ["new", "old"]);
    assert_eq!(store.stats().blocks, 1);
    clock.advance(Duration::from_secs(8));
    // The sample is too old for queries at once, and its block goes when the store looks.
    assert_eq!(names(&store), ["new"]);
    store.maintain().unwrap();
    assert_eq!(store.stats().blocks, 0);
    assert_eq!(read(&store, vec![]).len(), 1);
}

#[test]
fn retention_by_size_drops_the_oldest_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = open_with(dir.path(), Options { retention_bytes: 20_000, ..small() });
    for second in 0..400i64 {
        clock.advance(Duration::from_secs(1));
        let points = (0..20u8).map(|job| {
            point(&store, &labels("a", job), second * 1000, f64::from(job) / 7.0 + second as f64)
        });
        write(&store, points.collect());
        store.maintain().unwrap();
    }
    assert!(store.stats().block_bytes <= 25_000, "{:?}", store.stats());
    let found = read(&store, vec![Matcher::equal("job", "j1")]);
    let samples = found.values().next().unwrap();
    let ends = (samples[0].0, samples.last().unwrap().0);
    assert!(ends.0 > 50_000 && ends.1 == 399_000, "{ends:?} {:?}", store.stats());
}

#[test]
fn a_retention_rule_keeps_its_series_shorter_or_longer_than_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let rule = |name: &str, keep_ms| RetentionRule {
        name: name.to_owned(),
        matchers: vec![Matcher::equal("__name__", name)],
        keep_ms,
    };
    let options = Options {
        retention_ms: 10_000,
        retention_rules: vec![rule("short", 2_000), rule("long", 100_000)],
        ..small()
    };
    let (store, clock) = open_with(dir.path(), options);
    for name in ["short", "long", "plain"] {
        write(&store, vec![point(&store, &labels(name, 1), 0, 1.0)]);
    }
    clock.advance(Duration::from_secs(5));
    assert_eq!(names(&store), ["long", "plain"]);
    clock.advance(Duration::from_secs(10));
    store.maintain().unwrap();
    assert_eq!(names(&store), ["long"]);
    store.merge_all().unwrap();
    assert_eq!(store.stats().block_samples, 1, "only the long one is left on disk");
}

#[test]
fn series_that_are_no_longer_written_leave_memory_and_their_ids_become_void() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = open_with(dir.path(), small());
    let old = point(&store, &labels("old", 1), 0, 1.0);
    write(&store, vec![old]);
    for second in 1..12 {
        clock.advance(Duration::from_secs(1));
        write(&store, vec![point(&store, &labels("new", 1), second * 1000, 1.0)]);
        store.maintain().unwrap();
    }
    assert_eq!(store.stats().series, 1);
    assert_eq!(names(&store), ["new", "old"], "its samples are in a block");
    let outcome = write(&store, vec![FloatPoint { at: NOW.plus_ms(9000), ..old }]);
    assert_eq!(outcome.refused[0].reason, "unknown_series");
    // Its slot is given out again, under another id.
    let fresh = store.series(&labels("fresh", 1)).unwrap();
    assert_ne!(fresh, old.series);
    write(&store, vec![point(&store, &labels("fresh", 1), 11_000, 5.0)]);
    drop(store);
    let (store, _) = open_with(dir.path(), small());
    let found = read(&store, vec![Matcher::new("__name__", MatchOp::NotEqual, "new").unwrap()]);
    let expected = [(labels("fresh", 1), vec![(11_000, 5.0)]), (labels("old", 1), vec![(0, 1.0)])];
    let expected: Everything = expected.into_iter().map(|(l, s)| (l.to_string(), s)).collect();
    assert_eq!(found, expected);
}

#[test]
fn series_of_histograms_alone_and_series_without_samples_leave_memory_too() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = open_with(dir.path(), small());
    write(&store, vec![point(&store, &labels("new", 1), 0, 1.0)]);
    let series = store.series(&labels("histogram", 1)).unwrap();
    let histogram = NativeHistogram { count: 1.0, ..Default::default() };
    let histograms = vec![HistogramPoint { series, at: NOW, start: NO_START, histogram }];
    let batch = SeriesBatch { histograms, ..Default::default() };
    store.append(&batch).unwrap().1.wait().unwrap();
    let run = |store: &Tsdb, clock: &ManualClock, from: i64| {
        for second in from..from + 12 {
            clock.advance(Duration::from_secs(1));
            write(store, vec![point(store, &labels("new", 1), second * 1000, 1.0)]);
            if second == from + 3 {
                store.series(&labels("never_written", 1)).unwrap();
                // Late from the start, so it never has a sample in order.
                write(store, vec![point(store, &labels("late", 1), (from - 2) * 1000, 1.0)]);
            }
            store.maintain().unwrap();
        }
    };
    run(&store, &clock, 1);
    clock.advance(Duration::from_secs(20));
    run(&store, &clock, 33);
    clock.advance(Duration::from_secs(20));
    write(&store, vec![point(&store, &labels("new", 1), 65_000, 1.0)]);
    store.maintain().unwrap();
    assert_eq!(store.stats().series, 1);
    assert_eq!(names(&store), ["histogram", "late", "new"]);
}

#[test]
fn a_retention_rule_frees_the_room_of_its_series_in_blocks_that_are_not_merged_again() {
    let dir = tempfile::tempdir().unwrap();
    let rule = RetentionRule {
        name: "short".to_owned(),
        matchers: vec![Matcher::equal("__name__", "short")],
        keep_ms: 5_000,
    };
    let (store, clock) = open_with(dir.path(), Options { retention_rules: vec![rule], ..small() });
    for second in 0..4 {
        let points = ["short", "plain"].map(|name| point(&store, &labels(name, 1), second, 1.0));
        write(&store, points.to_vec());
    }
    store.merge_all().unwrap();
    assert_eq!(store.stats().block_samples, 8);
    clock.advance(Duration::from_secs(60));
    store.maintain().unwrap();
    assert_eq!(store.stats().block_samples, 4);
    let merges = store.stats().merges;
    store.maintain().unwrap();
    assert_eq!(store.stats().merges, merges, "once is enough");
}

#[test]
fn a_deletion_is_seen_at_once_taken_back_or_made_final() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = open_with(dir.path(), Options { undo_ms: 60_000, ..small() });
    for second in 0..10 {
        let points = ["a", "b"].map(|name| point(&store, &labels(name, 1), second * 1000, 1.0));
        write(&store, points.to_vec());
    }
    let range = RangeMs { start: NOW.plus_ms(3000), end: NOW.plus_ms(5000) };
    let id = store.delete(&[Matcher::equal("__name__", "a")], range).unwrap();
    let count = |store: &Tsdb, name: &str| {
        read(store, vec![Matcher::equal("__name__", name)]).values().map(Vec::len).sum::<usize>()
    };
    assert_eq!((count(&store, "a"), count(&store, "b")), (7, 10));
    // What comes afterwards stays.
    write(&store, vec![point(&store, &labels("a", 1), 4000, 9.0)]);
    assert_eq!(count(&store, "a"), 8);
    store.undelete(id).unwrap();
    assert_eq!(count(&store, "a"), 10);
    assert_eq!(store.undelete(id).unwrap_err().kind(), ErrorKind::NotFound);

    let whole = store.delete(&[Matcher::equal("__name__", "a")], RangeMs::ALL).unwrap();
    assert_eq!(names(&store), ["b"], "a name goes with its last sample");
    assert_eq!(store.deletions().len(), 1);
    drop(store);
    let (store, _) = open_with(dir.path(), Options { undo_ms: 60_000, ..small() });
    assert_eq!(names(&store), ["b"]);
    let samples_before = store.stats().block_samples;
    clock.advance(Duration::from_secs(1));
    store.clean_deletions().unwrap();
    assert_eq!(store.undelete(whole).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(names(&store), ["b"]);
    assert!(store.stats().block_samples < samples_before);
}

#[test]
fn series_in_parts_are_those_in_one_stream() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = open_with(dir.path(), small());
    for round in 0..4 {
        let points = (0..200)
            .map(|job| point(&store, &labels("m", job), i64::from(job % 7) + round, 1.0))
            .collect();
        write(&store, points);
        if round == 1 {
            clock.advance(Duration::from_secs(60));
            store.maintain().unwrap();
        }
    }
    let context = QueryContext::unlimited();
    let request = SeriesRequest::samples(vec![Matcher::equal("__name__", "m")], RangeMs::ALL);
    let sorted = |streams: Vec<model::read::SeriesStream<'_>>| {
        let series = streams.into_iter().flatten().map(|series| {
            let series = series.unwrap();
            (series.labels, series.times_ms, series.values)
        });
        let mut series: Vec<_> = series.collect();
        series.sort_by(|a, b| a.0.cmp(&b.0));
        series
    };
    let whole = sorted(vec![store.select(&request, &context).unwrap()]);
    assert_eq!(whole.len(), 200);
    for (asked, given) in [(1, 1), (2, 2), (3, 3), (9, 3)] {
        let parts = store.select_parts(&request, asked, &context).unwrap();
        assert_eq!(parts.len(), given);
        assert!(sorted(parts) == whole);
    }
}

#[test]
fn series_that_are_looked_up_together_get_the_ids_that_they_get_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), Options { series_max: 6, ..Default::default() });
    let known = [1, 2].map(|job| store.series(&labels("m_total", job)).unwrap());
    let jobs = [1, 2, 3, 2, 3, 4, 5, 6, 7, 8];
    let sets: Vec<Labels> = jobs.iter().map(|job| labels("m_total", *job)).collect();
    let look_up = |sets: &[Labels]| {
        let (mut flat, mut ends, mut found) = (Vec::new(), Vec::new(), Vec::new());
        for labels in sets {
            flat.extend(labels.iter());
            ends.push(flat.len());
        }
        store.series_of_each(&flat, &ends, &mut found);
        found
    };
    let nameless = Labels::from_pairs([("job", "x")]);
    let found = look_up(&[&sets[..], &[nameless]].concat());
    assert_eq!(found[10].as_ref().unwrap_err().kind(), ErrorKind::BadRequest);
    let ids: Vec<SeriesId> = found[..10].iter().map(|id| *id.as_ref().unwrap()).collect();
    assert_eq!((&ids[..2], ids[3], ids[4]), (&known[..], ids[1], ids[2]));
    assert!(budget::is_folded(ids[9]) && !budget::is_folded(ids[7]));
    // All of them are known by now, and so are parts of them.
    for some in [&sets[..], &sets[..3], &sets[..0]] {
        let again: Vec<SeriesId> = look_up(some).into_iter().map(model::Result::unwrap).collect();
        assert_eq!(again, ids[..some.len()]);
        let alone: Vec<SeriesId> = some.iter().map(|set| store.series(set).unwrap()).collect();
        assert_eq!(alone, again);
    }
}

#[test]
fn a_series_with_too_many_samples_for_one_block_is_merged_as_far_as_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = open_with(dir.path(), Options { merged_samples_max: 1000, ..small() });
    // A quarter of what a merged block may have in each window of a second.
    for second in 0..40i64 {
        clock.advance(Duration::from_secs(1));
        let points = (0..250).map(|i| {
            let at = second * 1000 + i * 4;
            point(&store, &labels("a", 1), at, (at as f64).sqrt())
        });
        write(&store, points.collect());
        store.maintain().unwrap();
    }
    let merged = store.stats();
    assert!((8..20).contains(&merged.blocks), "{merged:?}");
    for _ in 0..2 {
        store.merge_all().unwrap();
        let stats = store.stats();
        assert_eq!((stats.blocks, stats.block_samples), (10, 10_000));
    }
    let merges = store.stats().merges;
    store.maintain().unwrap();
    assert_eq!(store.stats().merges, merges, "nothing is left to do");
    let found = read(&store, vec![]);
    assert_eq!(found.values().next().unwrap().len(), 10_000);
}
