//! Samples that come while what the store held before is loaded: acknowledged, then there, whatever
//! happens in between.

use std::sync::atomic::AtomicU32;

use model::admin::SeriesAdmin;

use super::model_based::walk;
use super::phases::crash_image;
use super::*;

pub(super) fn begin_with(dir: &Path, options: Options) -> Tsdb {
    Tsdb::begin(dir, options, Arc::new(ManualClock::at(NOW))).unwrap()
}

/// Samples by series and time; the name of the metric is always `a`.
fn everything(samples: &[(u8, i64, f64)]) -> Everything {
    let mut all: BTreeMap<String, BTreeMap<i64, f64>> = BTreeMap::new();
    for (job, at, value) in samples {
        all.entry(labels("a", *job).to_string()).or_default().insert(*at, *value);
    }
    all.into_iter().map(|(labels, samples)| (labels, samples.into_iter().collect())).collect()
}

fn write_all(store: &Tsdb, samples: &[(u8, i64, f64)]) {
    let points =
        samples.iter().map(|(job, at, value)| point(store, &labels("a", *job), *at, *value));
    let outcome = write(store, points.collect());
    assert_eq!((outcome.accepted, outcome.refused_count()), (samples.len() as u64, 0));
}

#[test]
fn a_store_that_loads_takes_samples_and_refuses_everything_else() {
    let dir = tempfile::tempdir().unwrap();
    write_all(&open(dir.path()), &[(1, 0, 1.0)]);
    let store = begin_with(dir.path(), Options::default());
    assert!(store.is_loading());
    let known = point(&store, &labels("a", 1), 1, 2.0);
    write(&store, vec![known]);
    store.describe("a", &MetricMetadata { help: "told".into(), ..Default::default() });
    let context = QueryContext::unlimited();
    let request = SeriesRequest::samples(vec![], RangeMs::ALL);
    let refusals = [
        store.select(&request, &context).err(),
        store.label_names(&[], RangeMs::ALL, &context).err(),
        store.label_values("job", &[], RangeMs::ALL, &context).err(),
        store.exemplars(&[], RangeMs::ALL, &context).err(),
        store.metadata().err(),
        store.merge_all().err().map(Into::into),
        store.delete(&[], RangeMs::ALL).err().map(Into::into),
        store.undelete(1).err().map(Into::into),
        store.clean_deletions().err().map(Into::into),
        store.snapshot(&dir.path().join("s")).err().map(Into::into),
    ];
    for refused in refusals {
        let refused = refused.unwrap();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        assert!(refused.message().contains("is loading"), "{refused}");
    }
    store.maintain().unwrap();
    let before = store.generation();
    store.load().unwrap();
    assert!(!store.is_loading() && store.generation() != before);
    assert_eq!(read(&store, vec![]), everything(&[(1, 0, 1.0), (1, 1, 2.0)]));
    assert_eq!(store.metadata().unwrap()[0].1.help, "told");
    let outcome = write(&store, vec![FloatPoint { at: NOW.plus_ms(2), ..known }]);
    assert_eq!(outcome.refused[0].reason, "unknown_series");
    store.load().unwrap();
    write_all(&store, &[(1, 2, 3.0)]);
    store.maintain().unwrap();
    assert_eq!(store.stats().checkpoints, 1, "soon after such a start");
    drop(store);
    let all = everything(&[(1, 0, 1.0), (1, 1, 2.0), (1, 2, 3.0)]);
    assert_eq!(read(&open(dir.path()), vec![]), all);
}

#[test]
fn what_was_acknowledged_while_one_start_after_the_other_loaded_is_there_in_order() {
    for (checkpoints, loads) in [(false, 0), (false, 1), (true, 0), (true, 1), (true, 2)] {
        let dir = tempfile::tempdir().unwrap();
        let mut samples = vec![(1, 0, 1.0), (2, 0, 1.0), (3, 0, 1.0)];
        let store = open(dir.path());
        write_all(&store, &samples);
        if checkpoints {
            store.checkpoint(&mut store.maintenance.lock()).unwrap();
        }
        drop(store);
        for start in 1..5u8 {
            let store = begin_with(dir.path(), Options::default());
            // One that was there, one that every start writes and one of its own; and of two samples
            // at one time the last one counts.
            let number = f64::from(start);
            let own = [(2, 0, number), (9, i64::from(start), number), (10 + start, 0, number)];
            write_all(&store, &own);
            samples.extend(own);
            if loads > 0 {
                store.load().unwrap();
                assert_eq!(read(&store, vec![]), everything(&samples), "{checkpoints} {loads}");
                let own = [(9, 100, number), (20 + start, 0, number), (10 + start, 1, number)];
                write_all(&store, &own);
                samples.extend(own);
            }
            if loads > 1 {
                store.maintain().unwrap();
            }
        }
        let store = open(dir.path());
        assert_eq!(store.damage(), Vec::<String>::new());
        assert_eq!(read(&store, vec![]), everything(&samples), "{checkpoints} {loads}");
        store.maintain().unwrap();
        drop(store);
        assert_eq!(read(&open(dir.path()), vec![]), everything(&samples), "{checkpoints} {loads}");
    }
}

#[test]
fn a_stop_while_the_store_loads_keeps_what_is_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write_all(&store, &[(1, 0, 1.0)]);
    store.close();
    let store = begin_with(dir.path(), Options::default());
    write_all(&store, &[(2, 0, 2.0)]);
    store.close();
    drop(store);
    assert_eq!(read(&open(dir.path()), vec![]), everything(&[(1, 0, 1.0), (2, 0, 2.0)]));
}

#[test]
fn a_crash_at_any_moment_of_a_load_under_writes_loses_nothing_acknowledged() {
    const SERIES: u32 = 20_000;
    const WRITERS: u32 = 2;
    let dir = tempfile::tempdir().unwrap();
    let of = |writer: u32, i: u32| {
        Labels::from_pairs([("__name__", "a".to_owned()), ("n", format!("{writer}_{i}"))])
    };
    let store = open(dir.path());
    for some in (0..SERIES).collect::<Vec<_>>().chunks(1000) {
        write(&store, some.iter().map(|i| point(&store, &of(9, *i), 0, f64::from(*i))).collect());
    }
    drop(store);
    let store = begin_with(dir.path(), Options::default());
    let acknowledged = [AtomicU32::new(0), AtomicU32::new(0)];
    let images: Vec<(tempfile::TempDir, [u32; 2])> = std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, acknowledged) = (&store, &acknowledged);
            scope.spawn(move || {
                for i in 0..400 {
                    // A known series and one of its own, and again if the heads were swapped.
                    loop {
                        let points = vec![
                            point(store, &of(9, i), 1 + i64::from(writer), f64::from(i)),
                            point(store, &of(writer, i), 0, f64::from(i)),
                        ];
                        if write(store, points).refused_count() == 0 {
                            break;
                        }
                    }
                    acknowledged[writer as usize].store(i + 1, Ordering::SeqCst);
                }
            });
        }
        let loads = scope.spawn(|| store.load().unwrap());
        let mut images = Vec::new();
        while images.len() < 5 || !loads.is_finished() {
            let counts = [0, 1].map(|writer: usize| acknowledged[writer].load(Ordering::SeqCst));
            images.push((crash_image(dir.path()), counts));
        }
        images
    });
    let check = |store: &Tsdb, counts: [u32; 2], exactly: bool| {
        assert_eq!(store.damage(), Vec::<String>::new());
        assert!(store.corrupt_records().is_empty(), "{:?}", store.corrupt_records());
        let found = read(store, vec![]);
        for i in 0..SERIES {
            let samples = &found[&of(9, i).to_string()];
            assert_eq!(samples[0], (0, f64::from(i)));
            for (writer, at) in [(0, 1), (1, 2)] {
                let is_there = samples.contains(&(at, f64::from(i)));
                assert!(is_there || i >= counts[writer], "{i} of {writer}");
            }
            for writer in 0..WRITERS {
                let own = found.get(&of(writer, i).to_string());
                assert!(i >= counts[writer as usize] || own.unwrap() == &[(0, f64::from(i))]);
            }
        }
        if exactly {
            assert_eq!(found.len() as u32, SERIES + WRITERS * 400);
        }
    };
    check(&store, [400, 400], true);
    drop(store);
    check(&open(dir.path()), [400, 400], true);
    let step = images.len().div_ceil(6);
    for (image, counts) in images.into_iter().step_by(step) {
        check(&open(image.path()), counts, false);
    }
}

#[test]
fn memory_of_what_waits_is_bounded_and_a_budget_is_not_judged_before_all_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { memory_bytes_max: 64 << 10, series_max: 50, ..Default::default() };
    let store = begin_with(dir.path(), options);
    let mut refused = None;
    for round in 0..10_000 {
        let points = (0..20).map(|job| point(&store, &labels("a", job), round, 1.0)).collect();
        if let Err(error) = store.append(&SeriesBatch { points, ..Default::default() }) {
            refused = Some((round, error));
            break;
        }
    }
    let (round, error) = refused.unwrap();
    assert!((5..1000).contains(&round), "after {round} rounds");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let many = (0..60).map(|job| store.series(&labels("b", job)));
    let error = many.filter_map(std::result::Result::err).next().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    store.load().unwrap();
    write_all(&store, &[(1, round, 1.0)]);
}

#[test]
fn series_over_a_budget_that_came_while_the_store_loaded_are_kept_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { series_per_metric_max: 10, ..Default::default() };
    let (store, _) = open_with(dir.path(), options.clone());
    write_all(&store, &(0..8).map(|job| (job, 0, 1.0)).collect::<Vec<_>>());
    drop(store);
    let store = begin_with(dir.path(), options);
    // Two fit, three are over; four of another metric fit.
    write_all(&store, &(6..13).map(|job| (job, 1, 2.0)).collect::<Vec<_>>());
    write(&store, (0..4).map(|job| point(&store, &labels("b", job), 1, 3.0)).collect());
    store.load().unwrap();
    let overflows = store.overflows();
    assert_eq!(overflows.len(), 1, "{overflows:?}");
    let told = &overflows[0];
    assert_eq!((told.budget, &*told.metric, told.kept_series), ("metric", "a", 3));
    assert_eq!(told.folded_series, 0);
    let figure = |store: &Tsdb, name: &str| {
        SeriesAdmin::figures(store).into_iter().find(|(own, _)| own == name).unwrap().1
    };
    assert_eq!(figure(&store, "kept_series_over_budget"), 3);
    assert_eq!(read(&store, vec![Matcher::equal("__name__", "a")]).len(), 13);
    // From here on the budget is judged with all of them.
    write_all(&store, &[(12, 2, 1.0), (20, 2, 1.0)]);
    let told = &store.overflows()[0];
    assert_eq!((told.kept_series, told.folded_series, &*told.label), (3, 1, "job"));
}

/// The sections of a checkpoint may be lost between two starts; then a slot is not what it was.
#[test]
fn damage_never_gives_samples_to_another_series() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write_all(&store, &[(1, 0, 1.0), (2, 0, 2.0), (3, 0, 3.0)]);
    store.close();
    drop(store);
    let store = begin_with(dir.path(), Options::default());
    write_all(&store, &[(4, 0, 4.0), (5, 0, 5.0)]);
    store.load().unwrap();
    write_all(&store, &[(4, 1, 4.0), (5, 1, 5.0), (2, 1, 2.0)]);
    drop(store);
    let mut heads = walk(dir.path());
    heads.retain(|path| path.extension().is_some_and(|end| end == "head"));
    std::fs::write(&heads[0], b"gone").unwrap();
    let store = open(dir.path());
    assert_eq!(store.damage().len(), 1);
    // What the checkpoint held is lost unless a segment that it replaced is still there.
    let old = [(1, 0, 1.0), (2, 0, 2.0), (3, 0, 3.0), (2, 1, 2.0)];
    let new = [(4, 0, 4.0), (4, 1, 4.0), (5, 0, 5.0), (5, 1, 5.0)];
    let found = read(&store, vec![]);
    let expected = everything(&[old, new].concat());
    assert!(found.iter().all(|(name, own)| own.iter().all(|one| expected[name].contains(one))));
    assert!(found.values().map(Vec::len).sum::<usize>() >= 2, "{found:?}");
}

#[test]
fn a_sample_whose_series_went_is_not_in_the_journal_for_the_next_in_its_slot() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = open_with(dir.path(), small());
    let old = point(&store, &labels("old", 1), 0, 1.0);
    write(&store, vec![old]);
    for second in 1..12 {
        clock.advance(Duration::from_secs(1));
        write(&store, vec![point(&store, &labels("new", 1), second * 1000, 1.0)]);
        store.maintain().unwrap();
    }
    let fresh = point(&store, &labels("fresh", 1), 11_000, 5.0);
    assert_eq!(fresh.series.0 as u32, old.series.0 as u32, "the slot is given out again");
    write(&store, vec![fresh]);
    let stale = FloatPoint { at: NOW.plus_ms(11_500), value: 7.0, ..old };
    let outcome = write(&store, vec![stale, FloatPoint { at: NOW.plus_ms(11_600), ..fresh }]);
    assert_eq!((outcome.accepted, outcome.refused[0].reason), (1, "unknown_series"));
    let before = read(&store, vec![]);
    drop(store);
    let (store, _) = open_with(dir.path(), small());
    assert_eq!(read(&store, vec![]), before);
}
