//! Tests of blocks: what goes in comes out, bit for bit, and damage is told.

mod generate;

use std::path::Path;
use std::sync::Arc;

use disk::PageCache;
use disk::faults::Faults;
use disk::files::RealFiles;
use generate::{range, series, with_labels};
use model::TimestampMs;
use model::labels::Labels;
use model::read::RangeMs;
use model::sample::STALE_NAN_BITS;
use model::{MatchOp, Matcher};
use proptest::prelude::*;

use super::*;
use crate::columns::{Columns, HistogramSample, StartRun};

type Series = Vec<(Labels, Columns)>;

fn write(path: &Path, codec: Codec, series: &Series) -> BlockMeta {
    let mut writer = BlockWriter::create(path, codec, &RealFiles).unwrap();
    for (labels, columns) in series {
        writer.add(labels, columns).unwrap();
    }
    writer.finish().unwrap()
}

fn open(path: &Path) -> Block {
    Block::open(path, PageCache::new(8 << 20)).unwrap()
}

/// Columns in a form that tells every bit and ignores who shares what.
fn bits(columns: &Columns) -> String {
    let values: Vec<u64> = columns.values.iter().map(|value| value.to_bits()).collect();
    let histograms: Vec<_> = columns
        .histograms
        .iter()
        .map(|HistogramSample { at, start, histogram: h }| {
            let buckets = |buckets: &[(i32, f64)]| {
                buckets.iter().map(|(index, count)| (*index, count.to_bits())).collect::<Vec<_>>()
            };
            let bounds: Vec<u64> = h.custom_bounds.iter().map(|bound| bound.to_bits()).collect();
            let numbers = [h.zero_threshold, h.zero_count, h.count, h.sum].map(f64::to_bits);
            let sides = (buckets(&h.positive), buckets(&h.negative));
            (at.0, start.0, h.schema, h.reset_hint, numbers, sides, bounds)
        })
        .collect();
    let exemplars: Vec<_> = columns
        .exemplars
        .iter()
        .map(|exemplar| (exemplar.at.0, exemplar.value.to_bits(), exemplar.labels.to_string()))
        .collect();
    let starts = &columns.starts;
    format!("{:?} {values:?} {starts:?} {histograms:?} {exemplars:?}", columns.times)
}

/// What a read of a range must give.
fn filter(columns: &Columns, range: RangeMs) -> Columns {
    let is_inside = |time: &i64| range.contains(TimestampMs(*time));
    let begin = columns.times.iter().take_while(|time| **time < range.start.0).count();
    let kept: Vec<usize> =
        (0..columns.times.len()).filter(|at| is_inside(&columns.times[*at])).collect();
    let start_of = |at: usize| {
        let run = columns.starts.iter().rev().find(|run| run.first as usize <= at);
        run.map_or(0, |run| run.start)
    };
    let mut starts: Vec<StartRun> = Vec::new();
    for at in &kept {
        let start = start_of(*at);
        let first = (at - begin) as u32;
        if starts.last().map_or(0, |run| run.start) != start {
            starts.push(StartRun { first, start });
        }
    }
    Columns {
        times: Arc::new(kept.iter().map(|at| columns.times[*at]).collect()),
        values: kept.iter().map(|at| columns.values[*at]).collect(),
        starts,
        histograms: columns.histograms.iter().filter(|h| is_inside(&h.at.0)).cloned().collect(),
        exemplars: columns.exemplars.iter().filter(|e| is_inside(&e.at.0)).cloned().collect(),
    }
}

fn codec() -> impl Strategy<Value = Codec> {
    prop_oneof![Just(Codec::Fast), Just(Codec::Dense)]
}

fn check_all(block: &Block, series: &Series, range: RangeMs) {
    let mut scratch = ReadScratch::default();
    for (index, (labels, columns)) in (0..).zip(series) {
        assert_eq!(block.labels(index, &mut scratch).unwrap(), *labels);
        let hash = fingerprint(labels.iter());
        assert_eq!(block.fingerprint(index).unwrap(), hash);
        let found = block.read(index, range, Wanted::ALL, &mut scratch).unwrap();
        assert_eq!(bits(&found), bits(&filter(columns, range)), "{labels}");
        let times = columns.times.iter().copied();
        let times = times.chain(columns.histograms.iter().map(|sample| sample.at.0));
        let mut times: Vec<i64> = times.collect();
        if times.is_empty() {
            times.extend(columns.exemplars.iter().map(|exemplar| exemplar.at.0));
        }
        let bounds = times.iter().min().copied().zip(times.iter().max().copied());
        assert_eq!(block.series_times(index, &mut scratch).unwrap(), bounds);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..Default::default() })]

    #[test]
    fn what_was_written_is_read_back(series in series(), codec in codec(), range in range()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("block");
        let meta = write(&path, codec, &series);
        let block = open(&path);
        prop_assert_eq!(block.meta(), &meta);
        prop_assert_eq!(meta.series, series.len() as u64);
        let floats: usize = series.iter().map(|(_, columns)| columns.values.len()).sum();
        prop_assert_eq!(meta.float_samples, floats as u64);
        check_all(&block, &series, RangeMs::ALL);
        check_all(&block, &series, range);
        for (found, (labels, columns)) in block.iter().zip(&series) {
            let found = found.unwrap();
            prop_assert_eq!(&found.labels, labels);
            prop_assert_eq!(bits(&found.columns), bits(columns));
        }
    }

    #[test]
    fn a_selection_equals_a_look_at_every_series(
        labels in prop::collection::vec(generate::labels(), 0..60),
        matchers in prop::collection::vec(generate::matcher(), 0..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("block");
        let series = with_labels(labels);
        write(&path, Codec::Fast, &series);
        let block = open(&path);
        let found: Vec<u32> = block.select(&matchers).unwrap().iter().collect();
        let matching = (0..).zip(&series).filter(|(_, (labels, _))| {
            Matcher::all_match(&matchers, labels)
        });
        prop_assert_eq!(found, matching.map(|(index, _)| index).collect::<Vec<u32>>());
    }

    #[test]
    fn label_names_and_values_are_those_of_the_series(
        labels in prop::collection::vec(generate::labels(), 0..60),
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("block");
        let series = with_labels(labels);
        write(&path, Codec::Fast, &series);
        let block = open(&path);
        let mut names: Vec<&str> =
            series.iter().flat_map(|(labels, _)| labels.iter().map(|(name, _)| name)).collect();
        names.sort_unstable();
        names.dedup();
        prop_assert_eq!(block.label_names().collect::<Vec<_>>(), names.clone());
        let chosen: roaring::RoaringBitmap = match series.len() {
            0 => Default::default(),
            count => chosen.iter().map(|at| at.index(count) as u32).collect(),
        };
        let of_chosen = |name: &str| {
            let mut values: Vec<&str> = chosen
                .iter()
                .filter_map(|index| series[index as usize].0.get(name))
                .collect();
            values.sort_unstable();
            values.dedup();
            values.into_iter().map(str::to_owned).collect::<Vec<String>>()
        };
        for name in &names {
            prop_assert_eq!(block.label_values_of(name, &chosen).unwrap(), of_chosen(name));
            for (value, count) in block.label_values(name).unwrap() {
                let has = series.iter().filter(|(labels, _)| labels.get(name) == Some(&value));
                prop_assert_eq!(has.count(), count as usize);
            }
        }
        names.retain(|name| !of_chosen(name).is_empty());
        prop_assert_eq!(block.label_names_of(&chosen).unwrap(), names);
    }

    #[test]
    fn a_damaged_block_is_told(
        series in series(),
        codec in codec(),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
        is_cut: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("block");
        write(&path, codec, &series);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        if is_cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        std::fs::write(&path, &bytes).unwrap();
        let cache = PageCache::new(1 << 20);
        let Ok(block) = Block::open(&path, cache) else { return Ok(()) };
        let mut failures = 0;
        for (found, (labels, columns)) in block.iter().zip(&series) {
            match found {
                Ok(found) => {
                    prop_assert_eq!(&found.labels, labels);
                    prop_assert_eq!(bits(&found.columns), bits(columns));
                }
                Err(error) => {
                    prop_assert_eq!(error.kind(), model::ErrorKind::Corrupt);
                    failures += 1;
                }
            }
        }
        // A page without anything that these reads need may be the one that is damaged.
        let whole = disk::PagedFile::open(&path, PageCache::new(0)).unwrap();
        prop_assert!(whole.read(0, whole.length() as usize).is_err());
        prop_assert!(series.is_empty() || failures > 0 || whole.length() > 16 << 10);
    }

    #[test]
    fn wrong_bytes_behind_right_checksums_never_panic(
        series in series(),
        codec in codec(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        matcher in generate::matcher(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("block");
        write(&path, codec, &series);
        let file = disk::PagedFile::open(&path, PageCache::new(0)).unwrap();
        let mut bytes = file.read(0, file.length() as usize).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let path = folder.path().join("changed");
        let mut writer = disk::PagedWriter::create(&RealFiles, &path).unwrap();
        writer.write(&bytes).unwrap();
        writer.finish().unwrap();
        use_whatever_opens(&path, matcher);
    }

    #[test]
    fn arbitrary_bytes_are_no_block(bytes: Vec<u8>, matcher in generate::matcher()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("block");
        let mut writer = disk::PagedWriter::create(&RealFiles, &path).unwrap();
        writer.write(&bytes).unwrap();
        writer.finish().unwrap();
        use_whatever_opens(&path, matcher);
    }
}

fn use_whatever_opens(path: &Path, matcher: Matcher) {
    let Ok(block) = Block::open(path, PageCache::new(1 << 20)) else { return };
    let count = block.series_count().min(200);
    let results = block.iter().take(count as usize).filter(Result::is_ok).count();
    assert!(results <= count as usize);
    block.select(&[matcher]).ok();
    let names: Vec<String> = block.label_names().map(str::to_owned).collect();
    for name in names {
        block.label_values(&name).ok();
    }
    let mut scratch = ReadScratch::default();
    for index in 0..count {
        block.series_times(index, &mut scratch).ok();
    }
}

fn labels(metric: &str, number: usize) -> Labels {
    Labels::from_pairs([("__name__", metric.to_owned()), ("n", format!("{number:05}"))])
}

/// Counters that were scraped together.
fn counters(count: usize, samples: usize) -> Series {
    let times: Vec<i64> = (0..samples as i64).map(|i| i * 15_000 + (i * 7919) % 13).collect();
    let times = Arc::new(times);
    let of = |number: usize| Columns {
        times: Arc::clone(&times),
        values: (0..samples).map(|i| (i * (number % 50) + i * i % 7) as f64 / 100.0).collect(),
        starts: vec![StartRun { first: 0, start: -5 }],
        ..Columns::default()
    };
    (0..count).map(|number| (labels("counter", number), of(number))).collect()
}

#[test]
fn series_that_were_measured_together_share_times_when_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("block");
    for codec in [Codec::Fast, Codec::Dense] {
        let meta = write(&path, codec, &counters(300, 500));
        assert!(meta.sections.times < 3000, "{meta:?}");
        assert!(meta.sections.starts < 100, "{meta:?}");
        let block = open(&path);
        let mut scratch = ReadScratch::default();
        let range = RangeMs { start: TimestampMs(30_000), end: TimestampMs(90_000) };
        let mut read = |index| block.read(index, range, Wanted::ALL, &mut scratch).unwrap();
        let (a, b) = (read(0), read(200));
        assert!(Arc::ptr_eq(&a.times, &b.times));
        assert_eq!(a.times.len(), 4);
    }
}

#[test]
fn a_series_that_began_later_points_into_the_times_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("block");
    let mut series = counters(3, 500);
    let late = &mut series[2].1;
    *late = filter(late, RangeMs { start: TimestampMs(3_000_000), end: TimestampMs(i64::MAX) });
    write(&path, Codec::Dense, &series);
    let block = open(&path);
    assert_eq!(block.footer.times.records, 1);
    check_all(&block, &series, RangeMs::ALL);
}

#[test]
fn long_series_are_cut_into_segments_and_read_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("block");
    let mut series = counters(4, 10_000);
    series[0].1.values.iter_mut().for_each(|value| *value = (*value + 1.0).sqrt());
    series[1].1.values[5000] = f64::from_bits(STALE_NAN_BITS);
    for codec in [Codec::Fast, Codec::Dense] {
        write(&path, codec, &series);
        let block = open(&path);
        for (from, to) in [(0, i64::MAX), (1000 * 15_000, 1050 * 15_000), (75_000_000, 75_000_100)]
        {
            check_all(&block, &series, RangeMs { start: TimestampMs(from), end: TimestampMs(to) });
        }
    }
}

#[test]
fn threads_share_a_block_and_its_cache() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("block");
    let series = counters(60, 300);
    write(&path, Codec::Dense, &series);
    // Room for a page or two a shard, so that pages come and go.
    let block = Block::open(&path, PageCache::new(512 << 10)).unwrap();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| check_all(&block, &series, RangeMs::ALL));
        }
    });
}

#[test]
fn what_breaks_the_order_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("block");
    let mut writer = BlockWriter::create(&path, Codec::Fast, &RealFiles).unwrap();
    let empty = Columns::default();
    writer.add(&labels("b", 1), &empty).unwrap();
    for refused in [labels("b", 1), labels("b", 0), labels("a", 2)] {
        let error = writer.add(&refused, &empty).unwrap_err();
        assert!(error.to_string().contains("out of order"), "{error}");
    }
    let times = Arc::new(vec![1, 1]);
    let twice = Columns { times, values: vec![0.0; 2], ..Columns::default() };
    assert!(writer.add(&labels("c", 0), &twice).is_err());
    drop(writer);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_full_disk_leaves_no_block() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("block");
    let faults = Faults::default();
    faults.disk_full_after(1000);
    let mut writer = BlockWriter::create(&path, Codec::Dense, &*faults.files()).unwrap();
    for (labels, columns) in counters(10, 500) {
        writer.add(&labels, &columns).unwrap();
    }
    assert!(writer.finish().is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn values_are_found_among_many() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("block");
    let series: Series = (0..5000).map(|n| (labels("m", n), Columns::default())).collect();
    write(&path, Codec::Fast, &series);
    let block = open(&path);
    for n in [0, 63, 64, 4095, 4999] {
        let found = block.select(&[Matcher::equal("n", format!("{n:05}"))]).unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), [n]);
    }
    let count = |op, value: &str| {
        let matcher = Matcher::new("n", op, value).unwrap();
        block.select(&[matcher]).unwrap().len()
    };
    assert_eq!(count(MatchOp::Equal, "5"), 0);
    assert_eq!(count(MatchOp::Matches, "00001|03000|x"), 2);
    assert_eq!(count(MatchOp::Matches, "041.*"), 100);
    assert_eq!(count(MatchOp::NotMatches, "041.*"), 4900);
    assert_eq!(count(MatchOp::NotEqual, "04100"), 4999);
    assert!(block.memory_bytes() < 2000);
}

#[test]
fn a_fingerprint_is_the_hash_of_the_labels_however_long_they_are() {
    for length in [0, 1, 200, 500, 507, 508, 509, 600, 5000] {
        let value = "v".repeat(length);
        let pairs = [("a", value.as_str()), ("b", "1")];
        let bytes = [b"a\xff", value.as_bytes(), b"\xff", b"b\xff1\xff"].concat();
        assert_eq!(fingerprint(pairs.into_iter()), xxh3_64(&bytes), "{length}");
    }
}

#[test]
fn series_that_share_stretches_share_their_bytes_and_are_read_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    let times: Arc<Vec<i64>> = Arc::new((0..3000).map(|i| i * 15_000).collect());
    // A counter that moves as if by chance, and others that follow it later or differ here and there.
    let (mut seed, mut count) = (7u64, 0);
    let walk: Vec<f64> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        count += if seed >> 63 == 0 { seed >> 52 } else { 0 };
        count as f64
    })
    .take(4000)
    .collect();
    let columns = |number: usize| Columns {
        times: times.clone(),
        values: (0..3000)
            .map(|i| walk[i + number * 10] + f64::from(u8::from(i > 97 * number)))
            .collect(),
        ..Default::default()
    };
    let series: Series = (0..40).map(|n| (labels("m", n), columns(n))).collect();
    let meta = write(&path, Codec::Dense, &series);
    let one = write(&dir.path().join("one"), Codec::Dense, &series[..1].to_vec());
    let (all, alone) = (meta.sections.values, one.sections.values * 40);
    assert!(all < alone / 4, "{all} bytes, {alone} without the others");
    let block = open(&path);
    check_all(&block, &series, RangeMs::ALL);
    let range = RangeMs { start: TimestampMs(1_100 * 15_000), end: TimestampMs(1_200 * 15_000) };
    check_all(&block, &series, range);
    let mut scratch = ReadScratch::default();
    for index in [39, 0, 20, 20, 1] {
        let found = block.read(index, range, Wanted::ALL, &mut scratch).unwrap();
        assert_eq!(bits(&found), bits(&filter(&series[index as usize].1, range)));
    }
}
