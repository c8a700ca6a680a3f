//! Files of each version of the formats, kept in `tsdb/testdata`: today's code must read them, and
//! must still write the same bytes, or their version has to change.
//!
//! `WRITE_FIXTURES=1` writes the folder anew. That is right only for a version that was never
//! released, or for a new one in a new folder.

use model::ResetHint;

use super::model_based::walk;
use super::*;

const V1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/v1");

/// Seconds of samples in a merged block, in young blocks, in the checkpoint, in the journal.
const MERGED: i64 = 8;
const SEALED: i64 = 14;
const CHECKPOINTED: i64 = 18;
const JOURNALED: i64 = 22;
/// Of `temperature`, both ends included.
const DELETED: [i64; 2] = [2, 9];

const NAMES: [&str; 4] = ["requests_total", "temperature", "odd", "root"];

/// Start time and value: counts, decimals, what is no number, and what does not pack.
fn sample(series: usize, second: i64) -> (i64, f64) {
    let none = NO_START.0;
    match series {
        0 if second < 10 => (NOW.0 - 60_000, second as f64 * 3.0),
        0 => (NOW.0 + 9500, second as f64),
        1 => (none, (second * 7 % 11) as f64 / 10.0),
        2 => {
            let odd = [0x7ff0_0000_0000_0002, 0x7ff8_0000_0000_0001, 1 << 63, 0x7ff << 52];
            (none, f64::from_bits(odd[second as usize % 4]))
        }
        _ => (none, (second as f64).sqrt()),
    }
}

fn wait_histogram(second: i64) -> NativeHistogram {
    NativeHistogram {
        schema: 2,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: second as f64 + 4.0,
        sum: second as f64 / 2.0,
        positive: vec![(-1, 1.0), (0, 2.0), (5, second as f64)],
        ..Default::default()
    }
}

fn custom_histogram(second: i64) -> NativeHistogram {
    NativeHistogram {
        schema: -53,
        reset_hint: ResetHint::from_byte((second % 2) as u8),
        count: 2.5,
        sum: -1.0,
        positive: vec![(0, 2.5)],
        custom_bounds: vec![0.1, 2.5],
        ..Default::default()
    }
}

fn exemplar(second: i64) -> Exemplar {
    let labels = Labels::from_pairs([("trace_id", format!("{second:04x}"))]);
    Exemplar { labels, value: second as f64 / 4.0, at: NOW.plus_ms(second * 1000 + 250) }
}

fn metadata() -> MetricMetadata {
    MetricMetadata { kind: MetricKind::Counter, help: "Requests.".into(), unit: "1".into() }
}

fn write_second(store: &Tsdb, second: i64) {
    let at = NOW.plus_ms(second * 1000);
    let of = |name: &str, job: u8| store.series(&labels(name, job)).unwrap();
    let float = |(number, name): (usize, &&str)| {
        let (start, value) = sample(number, second);
        FloatPoint { series: of(name, number as u8), at, start: TimestampMs(start), value }
    };
    let mut batch =
        SeriesBatch { points: NAMES.iter().enumerate().map(float).collect(), ..Default::default() };
    for (name, histogram) in [("wait", wait_histogram(second)), ("size", custom_histogram(second))]
    {
        let series = of(name, 9);
        batch.histograms.push(HistogramPoint { series, at, start: NO_START, histogram });
    }
    if second % 4 == 1 {
        batch.exemplars.push((of(NAMES[0], 0), exemplar(second)));
    }
    store.append(&batch).unwrap().1.wait().unwrap();
}

/// A sample for a time that other samples of its series have passed.
fn write_late(store: &Tsdb, ms: i64) {
    write(store, vec![point(store, &labels("root", 3), ms, ms as f64)]);
}

/// Waits until all records stand in closed segments, so that a checkpoint always drops the same.
fn close_segment(store: &Tsdb) {
    store.journal.roll();
    let ends = || store.journal.closed_segments().last().map(|segment| segment.records_end);
    while ends() != Some(store.journal.next_record()) {
        std::thread::yield_now();
    }
}

/// The store of version 1: nothing in it depends on the time or the machine.
fn build(dir: &Path) -> Tsdb {
    let (store, clock) = open_with(dir, small());
    let tick = || clock.advance(Duration::from_secs(1));
    store.describe(NAMES[0], &metadata());
    for second in 0..MERGED {
        tick();
        write_second(&store, second);
    }
    close_segment(&store);
    store.merge_all().unwrap();
    for second in MERGED..SEALED {
        tick();
        write_second(&store, second);
    }
    close_segment(&store);
    let [start, end] = DELETED.map(|second| NOW.plus_ms(second * 1000));
    store.delete(&[Matcher::equal("__name__", NAMES[1])], RangeMs { start, end }).unwrap();
    for second in SEALED..CHECKPOINTED {
        tick();
        write_second(&store, second);
    }
    write_late(&store, 3500);
    close_segment(&store);
    store.checkpoint(&mut store.maintenance.lock()).unwrap();
    for second in CHECKPOINTED..JOURNALED {
        tick();
        write_second(&store, second);
    }
    write_late(&store, 4500);
    write(&store, vec![point(&store, &labels("new", 1), 21_000, 1.0)]);
    store
}

/// All files of a folder by their names.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let name = |path: &PathBuf| path.strip_prefix(dir).unwrap().to_owned();
    walk(dir).iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
}

type Floats = Vec<(i64, i64, u64)>;

fn expected_floats() -> BTreeMap<String, Floats> {
    let mut all = BTreeMap::new();
    for (number, name) in NAMES.iter().enumerate() {
        let seconds = (0..JOURNALED)
            .filter(|second| number != 1 || !(DELETED[0]..=DELETED[1]).contains(second));
        let mut floats: Floats = seconds
            .map(|second| {
                let (start, value) = sample(number, second);
                (second * 1000, start, value.to_bits())
            })
            .collect();
        if number == 3 {
            floats.extend([3500, 4500].map(|ms| (ms, NO_START.0, (ms as f64).to_bits())));
            floats.sort_unstable();
        }
        all.insert(labels(name, number as u8).to_string(), floats);
    }
    all.insert(labels("new", 1).to_string(), vec![(21_000, NO_START.0, 1f64.to_bits())]);
    all
}

fn check(store: &Tsdb) {
    assert_eq!(store.damage(), Vec::<String>::new());
    assert!(store.corrupt_records().is_empty());
    let context = QueryContext::unlimited();
    let mut request = SeriesRequest::samples(vec![], RangeMs::ALL);
    request.columns.starts = true;
    let (mut floats, mut histograms) = (BTreeMap::new(), BTreeMap::new());
    for series in store.select(&request, &context).unwrap() {
        let series = series.unwrap();
        let name = series.labels.to_string();
        // Empty where no sample has one.
        let start = |i: usize| series.starts_ms.get(i).copied().unwrap_or(NO_START.0);
        let rows = series.times_ms.iter().zip(&series.values).enumerate();
        let rows: Floats = rows.map(|(i, (at, v))| (at - NOW.0, start(i), v.to_bits())).collect();
        if rows.is_empty() {
            let own = series.histograms.into_iter();
            histograms.insert(name, own.map(|(at, h)| (at.0 - NOW.0, (*h).clone())).collect());
        } else {
            floats.insert(name, rows);
        }
    }
    assert_eq!(floats, expected_floats());
    let all = |histogram: fn(i64) -> NativeHistogram| -> Vec<(i64, NativeHistogram)> {
        (0..JOURNALED).map(|second| (second * 1000, histogram(second))).collect()
    };
    let expected = [("wait", all(wait_histogram)), ("size", all(custom_histogram))];
    let expected = expected.map(|(name, all)| (labels(name, 9).to_string(), all));
    assert_eq!(histograms, BTreeMap::from(expected));
    let exemplars = store.exemplars(&[], RangeMs::ALL, &context).unwrap();
    let expected: Vec<_> = (0..JOURNALED).filter(|s| s % 4 == 1).map(exemplar).collect();
    assert_eq!(exemplars, [(labels(NAMES[0], 0), expected)]);
    assert_eq!(store.metadata().unwrap(), [(NAMES[0].to_owned(), metadata())]);
    assert_eq!(store.deletions().len(), 1);
    // Samples came in order but for two, and nothing was sealed since the deletion.
    assert!(store.dense_blocks() > 0 && store.stats().blocks > 1, "{:?}", store.stats());
}

/// `WRITE_FIXTURES`, the only way in which these tests depend on their surroundings.
fn writes_fixtures() -> bool {
    std::env::var_os("WRITE_FIXTURES").is_some()
}

#[test]
fn a_store_of_version_1_is_read_exactly_and_goes_on() {
    if writes_fixtures() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files(Path::new(V1)) {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let open = || {
        let (store, clock) = open_with(dir.path(), small());
        clock.advance(Duration::from_secs(JOURNALED as u64));
        store
    };
    let store = open();
    check(&store);
    store.merge_all().unwrap();
    check_after_merge(&store);
    drop(store);
    check_after_merge(&open());
}

/// Everything is as before, but for the time of the deletion: it can still be taken back.
fn check_after_merge(store: &Tsdb) {
    check(store);
    let id = store.deletions()[0].id;
    assert!(id > 0);
}

#[test]
fn todays_code_writes_the_bytes_of_version_1() {
    let dir = tempfile::tempdir().unwrap();
    let store = build(dir.path());
    check(&store);
    let (written, kept) = (files(dir.path()), files(Path::new(V1)));
    if writes_fixtures() {
        for name in kept.keys() {
            std::fs::remove_file(Path::new(V1).join(name)).unwrap();
        }
        for (name, bytes) in written {
            let path = Path::new(V1).join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        return;
    }
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&written), names(&kept));
    for (name, bytes) in &written {
        assert!(kept[name] == *bytes, "{}: other bytes need another version", name.display());
    }
    let size: usize = kept.values().map(Vec::len).sum();
    assert!(size < 200_000, "{size} bytes of fixtures");
}
