//! Any sequence of writes, seals, merges, deletions and restarts reads back like a map.

use std::collections::BTreeSet;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// Series, time, start, value.
    Write(Vec<(u8, i64, i64, u32)>),
    /// Series, time, count.
    WriteHistograms(Vec<(u8, i64, u32)>),
    /// The clock moves on and the store does what is due.
    Maintain(u64),
    MergeAll,
    Checkpoint,
    Delete(u8, i64, i64),
    Undelete,
    Clean,
    /// The process dies.
    Crash,
    /// The process stops.
    Stop,
    /// The process dies, and takes samples while it loads; then it dies again, or goes on.
    Load(Vec<(u8, i64, i64, u32)>, bool),
    Snapshot,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Times within half a minute: thirty windows, eight middle stretches, parts of two long ones.
    let at = || prop_oneof![3 => 0..30_000i64, 1 => (0..30i64).prop_map(|s| s * 1000)];
    let write = prop::collection::vec((0..6u8, at(), 0..3i64, 0..9u32), 1..30);
    let histograms = prop::collection::vec((0..6u8, at(), 0..9u32), 1..5);
    let loading = (write.clone(), any::<bool>());
    prop::collection::vec(
        prop_oneof![
            8 => write.prop_map(Step::Write),
            2 => histograms.prop_map(Step::WriteHistograms),
            4 => (0..20_000u64).prop_map(Step::Maintain),
            1 => Just(Step::MergeAll),
            1 => Just(Step::Checkpoint),
            1 => (0..6u8, at(), at()).prop_map(|(job, a, b)| Step::Delete(job, a.min(b), a.max(b))),
            1 => Just(Step::Undelete),
            1 => Just(Step::Clean),
            2 => Just(Step::Crash),
            1 => Just(Step::Stop),
            3 => loading.prop_map(|(samples, dies)| Step::Load(samples, dies)),
            1 => Just(Step::Snapshot),
        ],
        1..25,
    )
}

/// A sample of the twin.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Float { start: i64, value: u32 },
    Histogram(u32),
}

#[derive(Default)]
struct Naive {
    /// Series, whether a histogram, time: when it was written, and what.
    samples: BTreeMap<(u8, bool, i64), (usize, Value)>,
    /// Id, when, series, first and last time.
    deletions: Vec<(u64, usize, u8, i64, i64)>,
}

impl Naive {
    fn is_hidden(&self, job: u8, at: i64, written: usize) -> bool {
        self.deletions.iter().any(|(_, when, of, start, end)| {
            *of == job && written < *when && *start <= at && at <= *end
        })
    }

    fn visible(&self) -> BTreeMap<(u8, bool, i64), Value> {
        let all = self.samples.iter();
        all.filter(|((job, _, at), (written, _))| !self.is_hidden(*job, *at, *written))
            .map(|(key, (_, value))| (*key, value.clone()))
            .collect()
    }

    fn clean(&mut self) {
        let kept = self.visible();
        self.samples.retain(|key, _| kept.contains_key(key));
        self.deletions.clear();
    }
}

fn read_all(store: &Tsdb, range: RangeMs) -> BTreeMap<(u8, bool, i64), Value> {
    let context = QueryContext::unlimited();
    let mut request = SeriesRequest::samples(vec![], range);
    request.columns.starts = true;
    let mut found = BTreeMap::new();
    for series in store.select(&request, &context).unwrap() {
        let series = series.unwrap();
        let job: u8 = series.labels.get("job").unwrap()[1..].parse().unwrap();
        assert_eq!(series.times_ms.len(), series.values.len());
        // Empty where no sample has one.
        assert!([0, series.times_ms.len()].contains(&series.starts_ms.len()));
        assert!(series.times_ms.windows(2).all(|pair| pair[0] < pair[1]));
        for (i, at) in series.times_ms.iter().enumerate() {
            let start = series.starts_ms.get(i).copied().unwrap_or(NO_START.0);
            let value = Value::Float { start, value: series.values[i] as u32 };
            assert!(found.insert((job, false, at - NOW.0), value).is_none());
        }
        for (at, histogram) in series.histograms {
            let value = Value::Histogram(histogram.count as u32);
            assert!(found.insert((job, true, at.0 - NOW.0), value).is_none());
        }
    }
    found
}

fn check(store: &Tsdb, naive: &Naive, range: RangeMs) -> Result<(), TestCaseError> {
    let visible = naive.visible();
    prop_assert_eq!(&read_all(store, RangeMs::ALL), &visible);
    let inside: BTreeMap<_, _> = visible
        .iter()
        .filter(|((.., at), _)| range.contains(NOW.plus_ms(*at)))
        .map(|(key, value)| (*key, value.clone()))
        .collect();
    prop_assert_eq!(&read_all(store, range), &inside);
    let jobs = |of: &BTreeMap<(u8, bool, i64), Value>| -> BTreeSet<String> {
        of.keys().map(|(job, ..)| format!("j{job}")).collect()
    };
    let context = QueryContext::unlimited();
    let found = store.label_values("job", &[], RangeMs::ALL, &context).unwrap();
    prop_assert_eq!(found, jobs(&visible).into_iter().collect::<Vec<_>>());
    // Blocks are told whole.
    let found = store.label_values("job", &[], range, &context).unwrap();
    let found: BTreeSet<String> = found.into_iter().collect();
    prop_assert!(jobs(&inside).is_subset(&found) && found.is_subset(&jobs(&visible)));
    Ok(())
}

fn write_floats(store: &Tsdb, naive: &mut Naive, number: usize, samples: Vec<(u8, i64, i64, u32)>) {
    let mut points = Vec::new();
    for (job, at, start, value) in samples {
        let series = store.series(&labels("m", job)).unwrap();
        let (at_ms, start_at) = (NOW.plus_ms(at), TimestampMs(start));
        points.push(FloatPoint { series, at: at_ms, start: start_at, value: f64::from(value) });
        naive.samples.insert((job, false, at), (number, Value::Float { start, value }));
    }
    assert_eq!(write(store, points).refused_count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..Default::default() })]

    #[test]
    fn any_sequence_of_steps_reads_back_like_a_map(
        steps in steps(),
        a in 0..30_000i64,
        b in 0..30_000i64,
    ) {
        let range = RangeMs { start: NOW.plus_ms(a.min(b)), end: NOW.plus_ms(a.max(b)) };
        let dir = tempfile::tempdir().unwrap();
        let options = Options { idle_ms: 2000, ..small() };
        let (mut store, mut clock) = open_with(dir.path(), options.clone());
        clock.advance(Duration::from_secs(30));
        let mut now = 30_000u64;
        let mut naive = Naive::default();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Write(samples) => write_floats(&store, &mut naive, number, samples),
                Step::WriteHistograms(samples) => {
                    let mut histograms = Vec::new();
                    for (job, at, count) in samples {
                        let series = store.series(&labels("m", job)).unwrap();
                        let histogram = NativeHistogram {
                            count: f64::from(count),
                            positive: vec![(1, f64::from(count))],
                            ..Default::default()
                        };
                        let at_ms = NOW.plus_ms(at);
                        histograms.push(HistogramPoint { series, at: at_ms, start: NO_START, histogram });
                        naive.samples.insert((job, true, at), (number, Value::Histogram(count)));
                    }
                    let batch = SeriesBatch { histograms, ..Default::default() };
                    store.append(&batch).unwrap().1.wait().unwrap();
                }
                Step::Maintain(ms) => {
                    clock.advance(Duration::from_millis(ms));
                    now += ms;
                    store.maintain().unwrap();
                }
                Step::MergeAll => store.merge_all().unwrap(),
                Step::Checkpoint => store.checkpoint(&mut store.maintenance.lock()).unwrap(),
                Step::Delete(job, start, end) => {
                    let range = RangeMs { start: NOW.plus_ms(start), end: NOW.plus_ms(end) };
                    let matcher = Matcher::equal("job", format!("j{job}"));
                    let id = store.delete(&[matcher], range).unwrap();
                    naive.deletions.push((id, number, job, start, end));
                }
                Step::Undelete => {
                    if let Some((id, ..)) = naive.deletions.pop() {
                        store.undelete(id).unwrap();
                    }
                }
                Step::Clean => {
                    store.clean_deletions().unwrap();
                    naive.clean();
                }
                Step::Crash | Step::Stop => {
                    if matches!(step, Step::Stop) {
                        store.close();
                    }
                    drop(store);
                    (store, clock) = open_with(dir.path(), options.clone());
                    clock.advance(Duration::from_millis(now));
                    prop_assert_eq!(store.damage(), Vec::<String>::new());
                }
                Step::Load(samples, dies) => {
                    drop(store);
                    clock = Arc::new(ManualClock::at(NOW.plus_ms(now as i64)));
                    store = Tsdb::begin(dir.path(), options.clone(), clock.clone()).unwrap();
                    write_floats(&store, &mut naive, number, samples);
                    if dies {
                        drop(store);
                        store = Tsdb::begin(dir.path(), options.clone(), clock.clone()).unwrap();
                    }
                    store.load().unwrap();
                    prop_assert_eq!(store.damage(), Vec::<String>::new());
                }
                Step::Snapshot => {
                    let copy = tempfile::tempdir().unwrap();
                    store.snapshot(&copy.path().join("s")).unwrap();
                    let to = copy.path().join("s");
                    let (copied, _) = open_with(&to, options.clone());
                    check(&copied, &naive, range)?;
                    drop(copied);
                    drop(store);
                    std::fs::remove_dir_all(dir.path()).unwrap();
                    std::fs::create_dir_all(dir.path()).unwrap();
                    for entry in walk(&to) {
                        let target = dir.path().join(entry.strip_prefix(&to).unwrap());
                        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
                        std::fs::copy(&entry, &target).unwrap();
                    }
                    (store, clock) = open_with(dir.path(), options.clone());
                    clock.advance(Duration::from_millis(now));
                }
            }
            check(&store, &naive, range)?;
        }
        drop(store);
    }
}

/// All files below a folder.
pub(super) fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}
