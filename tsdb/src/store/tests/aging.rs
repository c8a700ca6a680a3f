//! What becomes of data with time: days end by the clock, metadata goes with its series, windows too
//! dense for one block are split.

use super::*;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn advance(store: &Tsdb, clock: &ManualClock, ms: i64) {
    for _ in 0..ms / HOUR {
        clock.advance(Duration::from_millis(HOUR as u64));
        store.maintain().unwrap();
    }
}

#[test]
fn a_day_that_is_over_by_the_clock_gets_rollups_though_nothing_comes_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        retention_ms: 3 * DAY,
        rollup_retention_ms: [100 * DAY, 100 * DAY],
        ..Default::default()
    };
    let (store, clock) = open_with(dir.path(), options.clone());
    for minute in 0..70 {
        write(&store, vec![point(&store, &labels("a", 1), minute * 60_000, minute as f64)]);
        clock.advance(Duration::from_secs(60));
        store.maintain().unwrap();
    }
    assert_eq!(store.stats().rollup_blocks, 0, "the day is not over");
    drop(store);
    // A start in between makes no difference.
    let clock = Arc::new(ManualClock::at(NOW.plus_ms(2 * HOUR)));
    let store = Tsdb::open(dir.path(), options, clock.clone()).unwrap();
    advance(&store, &clock, DAY);
    let stats = store.stats();
    assert_eq!((stats.rollup_blocks, stats.blocks, stats.block_samples), (2, 1, 70), "{stats:?}");
    let merges = stats.merges;
    advance(&store, &clock, DAY);
    assert_eq!(store.stats().merges, merges, "it is done");
    advance(&store, &clock, 5 * DAY);
    let stats = store.stats();
    assert_eq!((stats.rollup_blocks, stats.block_samples), (2, 0), "{stats:?}");
    assert_eq!(names(&store), ["a"], "seen in its rollups");
}

#[test]
fn two_hours_that_still_run_are_merged_when_nothing_came_for_some_time() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = open_with(dir.path(), Options::default());
    let write_minutes = |minutes: std::ops::Range<i64>| {
        for minute in minutes {
            let at = minute * 60_000;
            write(&store, vec![point(&store, &labels("a", 1), at, minute as f64)]);
            clock.advance(Duration::from_secs(60));
            store.maintain().unwrap();
        }
    };
    let rest = |minutes: i64| {
        for _ in 0..minutes {
            clock.advance(Duration::from_secs(60));
            store.maintain().unwrap();
        }
    };
    // Whether NOW is early or late in its two hours, some blocks stand in a stretch that runs.
    write_minutes(0..35);
    let stretch = |at: i64| (NOW.0 + at).div_euclid(2 * HOUR);
    let end = (stretch(34 * 60_000) + 1) * 2 * HOUR - NOW.0;
    assert!(end > 95 * 60_000, "the stretch is over before the store is quiet");
    rest(55);
    let stats = store.stats();
    assert_eq!(store.dense_blocks() as u64, stats.blocks, "{stats:?}");
    let merges = stats.merges;
    rest(10);
    assert_eq!(store.stats().merges, merges, "once is enough");
    write_minutes(100..110);
    rest(55);
    assert_eq!(store.stats().block_samples, 45);
    assert_eq!(store.dense_blocks() as u64, store.stats().blocks, "{:?}", store.stats());
}

#[test]
fn a_replay_of_old_days_is_merged_once_a_day() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = open_with(dir.path(), Options::default());
    let start = -10 * DAY;
    for hour in 0..72 {
        for half in 0..2 {
            let at = start + hour * HOUR + half * HOUR / 2;
            write(&store, vec![point(&store, &labels("a", 1), at, 1.0)]);
            clock.advance(Duration::from_secs(1));
            store.maintain().unwrap();
        }
    }
    let merges = store.stats().merges;
    // Twelve stretches of two hours a day, then the day.
    assert!(merges <= 3 * 13 + 2, "{merges} merges");
}

#[test]
fn what_a_metric_is_is_forgotten_with_the_last_of_its_series() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { retention_ms: 2 * DAY, ..Default::default() };
    let (store, clock) = open_with(dir.path(), options.clone());
    let describe = |family: &str| {
        let help = format!("What {family} is.");
        store.describe(family, &MetricMetadata { help, ..Default::default() });
    };
    ["gone", "wait", "kept"].iter().for_each(|family| describe(family));
    let sets = [labels("gone", 1), labels("wait_bucket", 1), labels("kept", 1)];
    write(&store, sets.iter().map(|labels| point(&store, labels, 0, 1.0)).collect());
    let families = |store: &Tsdb| -> Vec<String> {
        store.metadata().unwrap().into_iter().map(|(family, _)| family).collect()
    };
    for day in 1..3 {
        advance(&store, &clock, DAY);
        let points = sets[1..].iter().map(|labels| point(&store, labels, day * DAY, 1.0));
        write(&store, points.collect());
        assert_eq!(families(&store), ["gone", "kept", "wait"], "after {day} days");
    }
    let before = store.generation();
    advance(&store, &clock, 2 * DAY);
    assert_eq!(families(&store), ["kept", "wait"]);
    assert_ne!(store.generation(), before, "who told it must tell it again");
    describe("gone");
    write(&store, vec![point(&store, &sets[0], 4 * DAY, 1.0)]);
    advance(&store, &clock, HOUR);
    drop(store);
    let clock = Arc::new(ManualClock::at(NOW.plus_ms(4 * DAY)));
    let store = Tsdb::open(dir.path(), options, clock).unwrap();
    assert_eq!(families(&store), ["gone", "kept", "wait"]);
}

#[test]
fn a_window_with_more_samples_of_a_series_than_a_block_takes_becomes_several_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { merged_samples_max: 100, ..Default::default() };
    let (store, clock) = open_with(dir.path(), options.clone());
    let mut batch = SeriesBatch::default();
    let series = ["dense", "sparse", "wide"].map(|name| store.series(&labels(name, 1)).unwrap());
    for ms in 0..1050i64 {
        let (at, start) = (NOW.plus_ms(ms), NOW.plus_ms(ms / 300 * 300));
        batch.points.push(FloatPoint { series: series[0], at, start, value: ms as f64 });
        if ms % 50 == 0 {
            batch.points.push(FloatPoint { series: series[1], at, start, value: 1.0 });
        }
        if ms < 250 {
            let histogram = NativeHistogram { count: ms as f64, ..Default::default() };
            batch.histograms.push(HistogramPoint { series: series[2], at, start, histogram });
        }
    }
    store.append(&batch).unwrap().1.wait().unwrap();
    let all = |store: &Tsdb| {
        let mut request = SeriesRequest::samples(vec![], RangeMs::ALL);
        request.columns.starts = true;
        let context = QueryContext::unlimited();
        let found = store.select(&request, &context).unwrap();
        let mut found: Vec<_> = found.map(std::result::Result::unwrap).collect();
        found.sort_by_key(|series| series.labels.to_string());
        let columns = found.into_iter().map(|series| {
            (series.labels, series.times_ms, series.values, series.starts_ms, series.histograms)
        });
        columns.collect::<Vec<_>>()
    };
    let before = all(&store);
    clock.advance(Duration::from_millis(2 * HOUR as u64));
    store.maintain().unwrap();
    assert_eq!(store.stats().seals, 1);
    assert_eq!(store.stats().blocks, 11);
    assert!(all(&store) == before);
    store.merge_all().unwrap();
    let view = store.view.read().clone();
    assert!(view.blocks.iter().all(|open| open.entry.meta.series_samples_max <= 100));
    drop(view);
    assert!(all(&store) == before);
    drop(store);
    let (store, _) = open_with(dir.path(), options);
    assert_eq!(store.damage(), Vec::<String>::new());
    assert!(all(&store) == before);
}
