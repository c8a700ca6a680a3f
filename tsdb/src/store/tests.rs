//! The store against a naive twin, over restarts and under faults.

use std::collections::BTreeMap;
use std::time::Duration;

use disk::faults::Faults;
use model::sample::NativeHistogram;
use model::write::{FloatPoint, HistogramPoint, NO_START};
use model::{ErrorKind, ManualClock, MatchOp};
use proptest::prelude::*;

use super::*;

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

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

fn read(store: &Tsdb, matchers: Vec<Matcher>) -> Everything {
    let context = QueryContext::unlimited();
    store
        .select(&SeriesRequest::samples(matchers, RangeMs::ALL), &context)
        .unwrap()
        .map(|series| {
            let series = series.unwrap();
            let samples = series.times_ms.iter().map(|at| at - NOW.0).zip(series.values);
            (series.labels.to_string(), samples.collect())
        })
        .collect()
}

#[test]
fn samples_histograms_exemplars_and_metadata_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let histogram = NativeHistogram { count: 3.0, positive: vec![(1, 3.0)], ..Default::default() };
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
        assert_eq!((outcome.accepted, outcome.refused_count()), (2, 0));
    }
    for _ in 0..2 {
        let store = open(dir.path());
        assert_eq!(read(&store, vec![Matcher::equal("__name__", "a")]).len(), 1);
        let context = QueryContext::unlimited();
        let request = SeriesRequest::samples(vec![Matcher::equal("__name__", "h")], RangeMs::ALL);
        let found: Vec<_> = store.select(&request, &context).unwrap().collect();
        assert_eq!(*found[0].as_ref().unwrap().histograms[0].1, histogram);
        let exemplars = store.exemplars(&request.matchers, RangeMs::ALL, &context).unwrap();
        assert_eq!(exemplars[0].1, std::slice::from_ref(&exemplar));
        assert_eq!(store.metadata(), [("h".to_owned(), metadata.clone())]);
        // A run that writes only to known series must be readable by the next.
        write(&store, vec![point(&store, &labels("a", 1), 5, 2.0)]);
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
fn the_limit_of_series_is_an_error_that_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), Options { series_max: 1, ..Default::default() });
    store.series(&labels("a", 1)).unwrap();
    store.series(&labels("a", 1)).unwrap();
    let error = store.series(&labels("a", 2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert!(store.series(&Labels::from_pairs([("job", "x")])).is_err());
}

#[test]
fn retention_by_size_drops_whole_segments_and_keeps_the_labels_of_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let journal = JournalOptions { segment_bytes_max: 2000, ..Default::default() };
    let options = Options { memory_bytes_max: 10_000, journal, ..Default::default() };
    let (store, clock) = open_with(dir.path(), options.clone());
    for i in 0..400 {
        clock.advance(Duration::from_millis(1));
        write(
            &store,
            vec![point(&store, &labels("a", 1), i, 1.0), point(&store, &labels("b", 1), i, 1.0)],
        );
        store.enforce_retention().unwrap();
    }
    let found = read(&store, vec![]);
    assert!(found.values().all(|samples| samples.len() < 350), "{}", found.len());
    assert!(found.values().all(|samples| samples.last().unwrap().0 == 399));
    assert!(store.stats().journal.bytes < 30_000);
    drop(store);
    let (store, _) = open_with(dir.path(), options);
    let again = read(&store, vec![]);
    for (labels, samples) in &found {
        assert!(again[labels].ends_with(samples), "{labels}");
    }
}

#[test]
fn series_without_samples_vanish_and_their_ids_become_void() {
    let dir = tempfile::tempdir().unwrap();
    let journal = JournalOptions { segment_bytes_max: 50, ..Default::default() };
    let options = Options { retention_ms: 1000, journal, ..Default::default() };
    let (store, clock) = open_with(dir.path(), options);
    let old = point(&store, &labels("old", 1), 0, 1.0);
    write(&store, vec![old]);
    clock.advance(Duration::from_secs(5));
    write(&store, vec![point(&store, &labels("new", 1), 5000, 1.0)]);
    let generation = store.generation();
    store.enforce_retention().unwrap();
    assert_ne!(store.generation(), generation);
    let names = store.label_values("__name__", &[], RangeMs::ALL, &QueryContext::unlimited());
    assert_eq!(names.unwrap(), ["new"]);
    let outcome = write(&store, vec![FloatPoint { at: NOW.plus_ms(5000), ..old }]);
    assert_eq!(outcome.refused[0].reason, "unknown_series");
    drop(store);
    let store = open(dir.path());
    let fresh = store.series(&labels("fresh", 1)).unwrap();
    assert!(fresh > store.series(&labels("new", 1)).unwrap());
    assert!(fresh > old.series, "a dropped series' number is not used again");
}

#[test]
fn a_failed_disk_refuses_writes_and_still_answers() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let journal = JournalOptions { files: faults.files(), ..Default::default() };
    let (store, _) = open_with(dir.path(), Options { journal, ..Default::default() });
    write(&store, vec![point(&store, &labels("a", 1), 0, 1.0)]);
    faults.disk_full_after(3);
    let points = vec![point(&store, &labels("a", 1), 1, 1.0)];
    let batch = SeriesBatch { points, ..Default::default() };
    assert!(store.append(&batch).unwrap().1.wait().is_err());
    assert_eq!(store.append(&batch).err().unwrap().kind(), ErrorKind::Unavailable);
    assert!(store.read_only_reason().is_some());
    assert_eq!(read(&store, vec![]).len(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<(u8, u8, i64, i32)>),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = prop::collection::vec((0..3u8, 0..3u8, 0..50i64, any::<i32>()), 1..10);
    prop::collection::vec(
        prop_oneof![5 => write.prop_map(Step::Write), 1 => Just(Step::Restart)],
        1..12,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_writes_and_restarts_read_back_like_a_map(steps in steps(), job in 0..3u8) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        let mut naive: BTreeMap<(u8, u8), BTreeMap<i64, f64>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Restart => {
                    drop(store);
                    store = open(dir.path());
                }
                Step::Write(samples) => {
                    let mut points = Vec::new();
                    for (name, job, at, value) in samples {
                        let labels = labels(&format!("m{name}"), job);
                        points.push(point(&store, &labels, at, f64::from(value)));
                        naive.entry((name, job)).or_default().insert(at, f64::from(value));
                    }
                    write(&store, points);
                }
            }
        }
        let matchers = [
            vec![],
            vec![Matcher::equal("job", format!("j{job}"))],
            vec![Matcher::new("job", MatchOp::NotEqual, format!("j{job}")).unwrap()],
            vec![Matcher::new("__name__", MatchOp::Matches, "m[01]").unwrap()],
            vec![Matcher::new("job", MatchOp::NotMatches, "j[12]").unwrap(), Matcher::equal("x", "")],
        ];
        for matchers in matchers {
            let expected: Everything = naive
                .iter()
                .map(|((name, job), samples)| (labels(&format!("m{name}"), *job), samples))
                .filter(|(labels, _)| Matcher::all_match(&matchers, labels))
                .map(|(labels, samples)| (labels.to_string(), samples.iter().map(|(a, v)| (*a, *v)).collect()))
                .collect();
            prop_assert_eq!(read(&store, matchers), expected);
        }
    }
}
