//! Rollups from blocks are what the samples would give, whatever happened to the samples.

use model::rollup::{RESOLUTIONS_MS, Rollup, RollupRequest, Summary};
use model::sample::stale_nan;

use super::*;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// The beginning of a day.
const MIDNIGHT: i64 = NOW.0 / DAY * DAY;

const SUMMARIES: [Summary; 9] = [
    Summary::Count,
    Summary::Sum,
    Summary::Min,
    Summary::Max,
    Summary::First,
    Summary::Last,
    Summary::Current,
    Summary::Delta,
    Summary::Increase,
];

fn request(range: RangeMs, rollup: Option<RollupRequest>) -> SeriesRequest {
    let mut request = SeriesRequest::samples(vec![], range);
    request.columns.starts = true;
    request.rollup = rollup;
    request
}

fn select(
    store: &Tsdb,
    request: &SeriesRequest,
) -> (BTreeMap<String, model::read::SeriesColumns>, u64) {
    let context = QueryContext::unlimited();
    let found = store.select(request, &context).unwrap().map(|series| {
        let series = series.unwrap();
        (series.labels.to_string(), series)
    });
    (found.collect(), context.items_used())
}

/// `(first, last]` as hours after midnight.
fn hours(first: i64, last: i64) -> RangeMs {
    let at = |hour: i64| TimestampMs(MIDNIGHT + hour * HOUR);
    RangeMs { start: at(first).plus_ms(1), end: at(last) }
}

/// Compares what all summaries and resolutions answer with the samples. Answers how many series
/// came as rollups.
fn check_rollups(store: &Tsdb, range: RangeMs) -> Result<usize, TestCaseError> {
    let (samples, _) = select(store, &request(range, None));
    let mut rolled_up = 0;
    for resolution_ms in RESOLUTIONS_MS {
        for summary in SUMMARIES {
            let wanted = RollupRequest { resolution_ms, window_ms: resolution_ms, summary };
            let (found, _) = select(store, &request(range, Some(wanted)));
            let names = |all: &BTreeMap<String, _>| all.keys().cloned().collect::<Vec<_>>();
            prop_assert_eq!(names(&found), names(&samples));
            for (name, series) in found {
                let raw = &samples[&name];
                let Some(rollup) = series.rollup else {
                    prop_assert_eq!(&series.times_ms, &raw.times_ms);
                    prop_assert_eq!(series.histograms.len(), raw.histograms.len());
                    continue;
                };
                rolled_up += 1;
                prop_assert!(series.values.is_empty() && raw.histograms.is_empty());
                let (times, values) = (&raw.times_ms, &raw.values);
                let mut naive = Rollup::of(times, values, &raw.starts_ms, resolution_ms);
                prop_assert!(naive.is_exact(&wanted));
                naive.narrow(summary);
                prop_assert_eq!(
                    format!("{:?}", rollup),
                    format!("{:?}", naive),
                    "{} {:?}",
                    name,
                    wanted
                );
            }
        }
    }
    Ok(rolled_up)
}

#[derive(Debug, Clone)]
enum Step {
    /// Series, hour, samples of a few minutes' distance, start, values.
    Write(u8, i64, i64, i64, Vec<u8>),
    WriteHistogram(u8, i64),
    Maintain,
    MergeAll,
    Delete(u8, i64, i64),
    Undelete,
    Clean,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let hour = || 0..72i64;
    let gap = prop_oneof![Just(60_000i64), Just(15_000), 1..2_000_000i64];
    let values = prop::collection::vec(0..40u8, 1..200);
    prop::collection::vec(
        prop_oneof![
            10 => (0..4u8, hour(), gap, 0..3i64, values)
                .prop_map(|(job, hour, gap, start, values)| {
                    Step::Write(job, hour, gap, start, values)
                }),
            1 => (0..4u8, hour()).prop_map(|(job, hour)| Step::WriteHistogram(job, hour)),
            2 => Just(Step::Maintain),
            5 => Just(Step::MergeAll),
            1 => (0..4u8, 0..72 * HOUR, 0..HOUR).prop_map(|(job, at, long)| {
                Step::Delete(job, at, at + long)
            }),
            1 => Just(Step::Undelete),
            1 => Just(Step::Clean),
            1 => Just(Step::Crash),
        ],
        1..20,
    )
}

fn value_of(job: u8, code: u8) -> f64 {
    match code {
        0 => stale_nan(),
        1 if job == 2 => f64::NAN,
        2 if job == 2 => -0.0,
        _ if job == 1 => f64::from(code) / 7.0,
        _ if job == 3 => 7.0,
        _ => f64::from(code),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..Default::default() })]

    #[test]
    fn rollups_are_what_the_samples_give(
        steps in steps(),
        a in 0..72i64,
        b in 0..72i64,
        retention in prop_oneof![3 => Just(0i64), 1 => 1..72 * HOUR],
        rule in prop_oneof![3 => Just(None), 1 => (1..72 * HOUR).prop_map(Some)],
    ) {
        let dir = tempfile::tempdir().unwrap();
        let rule = rule.map(|keep_ms| RetentionRule {
            name: "one".into(),
            matchers: vec![Matcher::equal("job", "j0")],
            keep_ms,
        });
        let options = Options {
            retention_ms: retention,
            retention_rules: rule.into_iter().collect(),
            ..Default::default()
        };
        let now = TimestampMs(MIDNIGHT + 73 * HOUR);
        let reopen = || {
            let clock = Arc::new(ManualClock::at(now));
            Tsdb::open(dir.path(), options.clone(), clock).unwrap()
        };
        let mut store = reopen();
        let mut deletions = Vec::new();
        let range = hours(a.min(b), a.max(b));
        for step in steps {
            match step {
                Step::Write(job, hour, gap, start, values) => {
                    let series = store.series(&labels("m", job)).unwrap();
                    let begin = MIDNIGHT + hour * HOUR;
                    let points = (1..).zip(values).map(|(number, code)| FloatPoint {
                        series,
                        at: TimestampMs((begin + number * gap).min(now.0)),
                        start: TimestampMs(if start == 0 { 0 } else { begin - start * gap }),
                        value: value_of(job, code),
                    });
                    write(&store, points.collect());
                }
                Step::WriteHistogram(job, hour) => {
                    let series = store.series(&labels("m", job)).unwrap();
                    let at = TimestampMs(MIDNIGHT + hour * HOUR + 7);
                    let histogram = NativeHistogram { count: 1.0, ..Default::default() };
                    let point = HistogramPoint { series, at, start: NO_START, histogram };
                    let batch = SeriesBatch { histograms: vec![point], ..Default::default() };
                    store.append(&batch).unwrap().1.wait().unwrap();
                }
                Step::Maintain => store.maintain().unwrap(),
                Step::MergeAll => store.merge_all().unwrap(),
                Step::Delete(job, from, to) => {
                    let at = |ms: i64| TimestampMs(MIDNIGHT + ms);
                    let range = RangeMs { start: at(from), end: at(to) };
                    let matcher = Matcher::equal("job", format!("j{job}"));
                    deletions.push(store.delete(&[matcher], range).unwrap());
                }
                Step::Undelete => {
                    if let Some(id) = deletions.pop() {
                        store.undelete(id).unwrap();
                    }
                }
                Step::Clean => {
                    store.clean_deletions().unwrap();
                    deletions.clear();
                }
                Step::Crash => {
                    drop(store);
                    store = reopen();
                    prop_assert_eq!(store.damage(), Vec::<String>::new());
                }
            }
            check_rollups(&store, hours(0, 73))?;
            check_rollups(&store, range)?;
        }
    }
}

/// A marker in the bucket of the last sample of a block, in the head or in a block of its own.
#[test]
fn a_marker_behind_the_last_sample_of_a_block_ends_its_bucket_wherever_it_lies() {
    for at in [24 * HOUR, 23 * HOUR + 57 * 60_000] {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(TimestampMs(MIDNIGHT + 73 * HOUR)));
        let store = Tsdb::open(dir.path(), Options::default(), clock).unwrap();
        let series = store.series(&labels("m", 0)).unwrap();
        let point = |at: i64, value: f64| FloatPoint {
            series,
            at: TimestampMs(MIDNIGHT + at),
            start: TimestampMs(0),
            value,
        };
        write(&store, (0..56).map(|n| point(23 * HOUR + n * 60_000, 1.0)).collect());
        write(&store, vec![point(50 * HOUR, 1.0)]);
        store.merge_all().unwrap();
        assert!(check_rollups(&store, hours(0, 73)).unwrap() > 0);
        write(&store, vec![point(at, stale_nan())]);
        assert!(check_rollups(&store, hours(0, 73)).unwrap() > 0);
        store.maintain().unwrap();
        check_rollups(&store, hours(0, 73)).unwrap();
    }
}

/// Three days of a counter and a gauge, merged; then an hour of the fourth in memory.
fn filled(dir: &Path, options: Options) -> (Tsdb, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(TimestampMs(MIDNIGHT + DAY)));
    let store = Tsdb::open(dir, options, clock.clone()).unwrap();
    for day in 0..3 {
        fill(&store, day * DAY, 2 * 24 * 60);
        clock.advance(Duration::from_millis(DAY as u64));
    }
    store.merge_all().unwrap();
    fill(&store, 3 * DAY, 120);
    (store, clock)
}

/// Samples every 30 s.
fn fill(store: &Tsdb, from: i64, count: i64) {
    let ids = [labels("c_total", 1), labels("g", 1)].map(|labels| store.series(&labels).unwrap());
    for number in 1..=count {
        let at = MIDNIGHT + from + number * 30_000;
        let values = [(at - MIDNIGHT) as f64 / 1000.0, (number % 7) as f64 + 0.5];
        let points = ids.into_iter().zip(values).map(|(series, value)| FloatPoint {
            series,
            at: TimestampMs(at),
            start: NO_START,
            value,
        });
        write(store, points.collect());
    }
}

fn wanted(resolution_ms: i64, summary: Summary) -> Option<RollupRequest> {
    Some(RollupRequest { resolution_ms, window_ms: resolution_ms, summary })
}

#[test]
fn a_long_query_reads_buckets_and_not_samples() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = filled(dir.path(), Options::default());
    let stats = store.stats();
    // The sample at the last midnight lies in a block of its own, of a day that is not over.
    assert_eq!((stats.blocks, stats.rollup_blocks), (4, 6));
    assert!(stats.rollup_bytes > 0);
    let days = hours(0, 72);
    let (raw, looked_at_raw) = select(&store, &request(days, None));
    assert_eq!((raw.len(), looked_at_raw), (2, 2 * 3 * 2880));
    let (rolled, looked_at) = select(&store, &request(days, wanted(HOUR, Summary::Max)));
    assert!(rolled.values().all(|series| series.rollup.is_some()));
    assert_eq!(looked_at, 2 * 72);
    assert!(check_rollups(&store, hours(0, 73)).unwrap() > 0);
    // A sum of values that are no integers depends on their order: the gauge comes as samples.
    let (sums, _) = select(&store, &request(days, wanted(HOUR, Summary::Sum)));
    let is_rollup: Vec<bool> = sums.values().map(|series| series.rollup.is_some()).collect();
    assert_eq!(is_rollup, [true, false]);
    // One late sample makes one bucket be summed up anew, in memory and in a block of its own.
    let late = FloatPoint {
        series: store.series(&labels("c_total", 1)).unwrap(),
        at: TimestampMs(MIDNIGHT + 30 * HOUR + 7),
        start: NO_START,
        value: 1.0,
    };
    write(&store, vec![late]);
    let greatest = request(days, wanted(HOUR, Summary::Max));
    assert_eq!(select(&store, &greatest).1, 2 * 72);
    assert!(check_rollups(&store, days).unwrap() > 0);
    store.seal_all().unwrap();
    assert!(check_rollups(&store, days).unwrap() > 0);
    assert_eq!(select(&store, &greatest).1, 2 * 72);
    store.merge_all().unwrap();
    assert_eq!(store.stats().rollup_blocks, 6);
    let (_, looked_at) = select(&store, &greatest);
    assert_eq!(looked_at, 2 * 72);
    assert!(check_rollups(&store, days).unwrap() > 0);
}

#[test]
fn where_samples_are_gone_rollups_answer() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        retention_ms: 2 * DAY,
        rollup_retention_ms: [4 * DAY, 30 * DAY],
        ..Default::default()
    };
    let (store, clock) = filled(dir.path(), options.clone());
    let days = hours(0, 72);
    let sums = |from: i64, to: i64, resolution_ms: i64| {
        let found = select(&store, &request(hours(from, to), wanted(resolution_ms, Summary::Sum)));
        found.0.into_iter().map(|(name, series)| (name, series.rollup)).collect::<Vec<_>>()
    };
    let before = sums(0, 24, HOUR);
    // The first day's samples go; it is seen through five minutes, then through hours.
    clock.advance(Duration::from_millis(DAY as u64 / 2));
    store.maintain().unwrap();
    let (samples, _) = select(&store, &request(hours(0, 24), None));
    assert_eq!(samples.len(), 2);
    let last_times: Vec<i64> = (1..288).map(|bucket| MIDNIGHT + bucket * 300_000).collect();
    let counter = &samples[&labels("c_total", 1).to_string()];
    assert_eq!(counter.times_ms[..287], last_times);
    assert_eq!(counter.values[0], 300.0);
    assert_eq!(sums(0, 24, HOUR)[0], before[0]);
    let found = sums(0, 24, HOUR);
    let rollup = found[1].1.as_ref().unwrap();
    assert_eq!(rollup.counts.iter().sum::<f64>(), 2880.0, "a sum of floats, for want of samples");
    assert_eq!(names(&store), ["c_total", "g"]);

    clock.advance(Duration::from_millis(DAY as u64));
    store.maintain().unwrap();
    let (samples, _) = select(&store, &request(hours(0, 24), None));
    // The sample at midnight is the first of its block and the last of its bucket.
    assert_eq!(samples[&labels("g", 1).to_string()].times_ms.len(), 25);
    assert_eq!(sums(0, 24, HOUR)[0], before[0]);

    // What is deleted goes with its whole bucket, at once and for good.
    let minute = RangeMs {
        start: TimestampMs(MIDNIGHT + HOUR / 2),
        end: TimestampMs(MIDNIGHT + HOUR / 2 + 60_000),
    };
    let matcher = || vec![Matcher::equal("__name__", "g")];
    let id = store.delete(&matcher(), minute).unwrap();
    let count = || {
        let (samples, _) = select(&store, &request(hours(0, 24), None));
        (
            samples[&labels("c_total", 1).to_string()].values.len(),
            samples[&labels("g", 1).to_string()].values.len(),
        )
    };
    assert_eq!(count(), (25, 24));
    store.undelete(id).unwrap();
    assert_eq!(count(), (25, 25));
    store.delete(&matcher(), minute).unwrap();
    store.clean_deletions().unwrap();
    assert_eq!(count(), (25, 24));
    drop(store);
    let store = Tsdb::open(dir.path(), options, clock.clone()).unwrap();
    assert_eq!(store.damage(), Vec::<String>::new());
    let (samples, _) = select(&store, &request(days, None));
    assert_eq!(samples.len(), 2);
    clock.advance(Duration::from_millis(40 * DAY as u64));
    store.maintain().unwrap();
    assert_eq!(store.stats().rollup_blocks, 0);
    assert_eq!(names(&store), Vec::<String>::new());
}
