//! A day of a store with churn, on a clock that the program moves: what grows that should not?
//!
//! Targets of a thousand series each are written every fifteen virtual seconds; every hour a share
//! of them is replaced by new ones under another pod's name. The store seals, merges and writes
//! checkpoints as it does in the server. Per virtual hour the program tells memory, blocks and
//! bytes; in the end what the day cost. Not a criterion benchmark: one run is the measurement.
//!
//! `cargo bench -p signalbox -p tsdb --bench churn` with SERIES=100000, HOURS=24, CHURN_PERCENT=5,
//! RETENTION_HOURS=0 (none) and CHECKPOINT_SECONDS=45 in its environment, or others.

#![expect(clippy::unwrap_used, reason = "a measurement that can not go on says where")]
#![expect(clippy::print_stdout, reason = "the output is the result")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::sample::SeriesId;
use model::write::{FloatPoint, NO_START, SeriesBatch};
use model::{Clock, ManualClock, SeriesSink, SystemClock, TimestampMs};
use tsdb::{Options, Stats, Tsdb};

/// The allocator of the server: resident memory is its affair too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const START: TimestampMs = TimestampMs(1_700_006_400_000);
const INTERVAL_MS: i64 = 15_000;
const HOUR_MS: i64 = 3_600_000;
const SERIES_PER_TARGET: usize = 1000;
const METRICS_PER_TARGET: usize = 50;

/// A number from the environment, or what is usual.
fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

/// SplitMix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// One process that is measured. Its first series are counters, then gauges, then constants.
struct Target {
    /// Behind the full interval, as scrapes of many targets are spread.
    offset_ms: i64,
    ids: Vec<SeriesId>,
    values: Vec<f64>,
}

impl Target {
    fn new(store: &Tsdb, number: usize, pod: u64) -> Target {
        let mut ids = Vec::with_capacity(SERIES_PER_TARGET);
        let (pod, instance) = (format!("shop-{pod:08x}"), format!("10.0.{number}.7:9100"));
        let job = format!("job-{}", number % 10);
        for i in 0..SERIES_PER_TARGET {
            let metric = format!("metric_{:02}_total", i % METRICS_PER_TARGET);
            let path = format!("/api/{}", i / METRICS_PER_TARGET);
            let labels = [
                ("__name__", metric.as_str()),
                ("cluster", "main"),
                ("instance", &instance),
                ("job", &job),
                ("path", &path),
                ("pod", &pod),
            ];
            ids.push(store.series_of(&labels).unwrap());
        }
        let offset_ms = (number as i64 * 7919) % INTERVAL_MS;
        Target { offset_ms, ids, values: vec![0.0; SERIES_PER_TARGET] }
    }

    fn scrape(&mut self, at: TimestampMs, state: &mut u64) -> SeriesBatch {
        let at = at.plus_ms(self.offset_ms);
        for (i, value) in self.values.iter_mut().enumerate() {
            match i * 10 / SERIES_PER_TARGET {
                // Six of ten count, and half of these stand still mostly.
                0..3 => *value += (random(state) % 64) as f64,
                3..6 => *value += f64::from(u8::from(random(state).is_multiple_of(8))),
                // Two of ten are measured with two decimals.
                6..8 => *value = (random(state) % 10_000) as f64 / 100.0,
                _ => *value = i as f64,
            }
        }
        let points = self.ids.iter().zip(&self.values);
        let points = points.map(|(series, value)| FloatPoint {
            series: *series,
            at,
            start: NO_START,
            value: *value,
        });
        SeriesBatch { points: points.collect(), ..Default::default() }
    }
}

/// Resident bytes and seconds on a processor of this process.
fn process() -> (u64, f64) {
    let read =
        |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let pages = read("statm").split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0u64);
    let stat = read("stat");
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // User and system time, in hundredths of a second.
    let ticks: u64 = fields.skip(11).take(2).filter_map(|text| text.parse::<u64>().ok()).sum();
    (pages * 4096, ticks as f64 / 100.0)
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let sizes = entries.map(|entry| {
        let path = entry.path();
        if path.is_dir() { bytes_in(&path) } else { entry.metadata().map_or(0, |meta| meta.len()) }
    });
    sizes.sum()
}

fn written(stats: &Stats) -> u64 {
    stats.journal_bytes_written
        + stats.checkpoint_bytes_written
        + stats.sealed_bytes_written
        + stats.merged_bytes_written
}

fn tell_hour(hour: i64, store: &Tsdb, folder: &Path) {
    const MIB: f64 = 1_048_576.0;
    let (stats, (rss, cpu)) = (store.stats(), process());
    println!(
        "{hour:4} {:9} {:9.1} {:9.1} {:7} {:9.1} {:9.1} {:10.1} {:11} {cpu:8.1}",
        stats.series,
        stats.memory_bytes as f64 / MIB,
        rss as f64 / MIB,
        stats.blocks,
        stats.block_bytes as f64 / MIB,
        bytes_in(folder) as f64 / MIB,
        written(&stats) as f64 / MIB,
        stats.samples_written,
    );
}

fn tell_end(store: &Tsdb, folder: &Path, seconds: f64) {
    let (stats, (rss, cpu)) = (store.stats(), process());
    let (all, raw) = (written(&stats), stats.samples_written * 16);
    let disk = bytes_in(folder);
    println!("{} samples, {seconds:.1} s wall, {cpu:.1} s CPU", stats.samples_written);
    println!(
        "  {:.2} M samples per CPU second, rss {} MiB, {} blocks, {:.3} bytes a sample in blocks",
        stats.samples_written as f64 / cpu / 1e6,
        rss >> 20,
        stats.blocks,
        stats.block_bytes as f64 / stats.block_samples.max(1) as f64
    );
    println!(
        "  written MiB: journal {}, {} checkpoints {}, {} seals {}, {} merges {}",
        stats.journal_bytes_written >> 20,
        stats.checkpoints,
        stats.checkpoint_bytes_written >> 20,
        stats.seals,
        stats.sealed_bytes_written >> 20,
        stats.merges,
        stats.merged_bytes_written >> 20
    );
    println!(
        "  {:.2} times 16 bytes a sample, {:.2} times the {} MiB on disk",
        all as f64 / raw as f64,
        all as f64 / disk as f64,
        disk >> 20
    );
}

fn main() {
    let series = setting("SERIES", 100_000) as usize;
    let hours = setting("HOURS", 24) as i64;
    let churn_percent = setting("CHURN_PERCENT", 5);
    let retention_ms = setting("RETENTION_HOURS", 0) as i64 * HOUR_MS;
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(START));
    let checkpoint_ms = setting("CHECKPOINT_SECONDS", 45) as i64 * 1000;
    let options = Options { retention_ms, checkpoint_ms, ..Options::default() };
    let open = || Tsdb::open(folder.path(), options.clone(), clock.clone()).unwrap();
    let store = open();
    let (wall, mut state, mut pods) = (SystemClock::new(), 1, 0u64);
    let mut new_target = |number: usize| {
        pods += 1;
        Target::new(&store, number, pods)
    };
    let count = series.div_ceil(SERIES_PER_TARGET);
    let mut targets: Vec<Target> = (0..count).map(&mut new_target).collect();
    // So many targets are replaced in an hour, evenly.
    let replaced = (count as u64 * churn_percent).div_ceil(100) as i64;
    println!("{count} targets of {SERIES_PER_TARGET} series, {replaced} replaced an hour");
    println!(
        "hour    series  head MiB   rss MiB  blocks blocks MiB disk MiB written MiB   samples    CPU s"
    );
    let (mut next, started) = (0, wall.monotonic());
    for step in 0..hours * HOUR_MS / INTERVAL_MS {
        clock.advance(Duration::from_millis(INTERVAL_MS as u64));
        let at = START.plus_ms(step * INTERVAL_MS);
        let per_hour = HOUR_MS / INTERVAL_MS;
        if step % per_hour * replaced / per_hour != (step + 1) % per_hour * replaced / per_hour {
            let number = next % count;
            targets[number] = new_target(number);
            next += 1;
        }
        let mut last = None;
        for target in &mut targets {
            last = Some(store.append(&target.scrape(at, &mut state)).unwrap().1);
        }
        // The journal is in order: the last commit is that of all.
        last.unwrap().wait().unwrap();
        store.maintain().unwrap();
        if (step + 1) % per_hour == 0 {
            tell_hour((step + 1) / per_hour, &store, folder.path());
        }
    }
    let seconds = (wall.monotonic() - started).as_secs_f64();
    tell_end(&store, folder.path(), seconds);
    // As after a crash: what came since the last checkpoint is in the journal.
    drop(store);
    let before = wall.monotonic();
    let store = open();
    println!("opened again in {:.2} s", (wall.monotonic() - before).as_secs_f64());
    store.merge_all().unwrap();
    let stats = store.stats();
    println!(
        "after merging all: {} blocks, {:.3} bytes a sample",
        stats.blocks,
        stats.block_bytes as f64 / stats.block_samples.max(1) as f64
    );
}
