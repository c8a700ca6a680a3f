//! What is done to each store, and what is asked of it after.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use model::{Clock as _, SystemClock};
use proto::Signal;

use super::disk::Kind;
use super::meter::{Cost, Meter};
use super::query;
use super::recording::Recording;
use super::replay::{Body, Door, Lanes, Outcome, deal, replay};
use super::store::{Binaries, Running, Store};
use super::synthetic::{Fleet, MARKER, MARKER_PER_MILLE, STEP_MS};
use super::table::Run;
use super::translate::Translator;
use crate::corpora::{Corpus, Options};
use crate::process::Memory;
use crate::sender::Compression;

pub(super) const CONNECTIONS: usize = 2;
pub(super) const MIB: f64 = (1 << 20) as f64;
/// No workload reaches further back.
const COUNTED_HOURS: u32 = 48;
/// Between two questions to a server that starts.
const POLL: Duration = Duration::from_millis(5);
/// How long a restarted server may take to answer, and then to answer right.
const ANSWER_LIMIT: Duration = Duration::from_secs(300);
const RIGHT_LIMIT: Duration = Duration::from_secs(10);
const RIGHT_POLL: Duration = Duration::from_millis(250);

/// The stores to compare and where they run.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) binaries: Binaries,
    pub(super) stores: Vec<Store>,
    pub(super) folder: PathBuf,
    pub(super) seed: u64,
}

/// What sending and all that follows cost.
struct Phase {
    outcome: Outcome,
    /// Until the last answer.
    send: Cost,
    /// And until the server was idle.
    total: Cost,
    memory: Memory,
}

pub(super) fn now_ms() -> i64 {
    SystemClock::new().now().to_ms().0
}

impl Bench {
    /// Runs `work` against each store, one after the other, each fresh and idle.
    pub(super) async fn each(
        &self,
        case: &str,
        stores: impl Iterator<Item = Store>,
        work: impl AsyncFn(&mut Running, &mut Run, Memory) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<Run>> {
        let mut runs = Vec::new();
        for store in stores {
            let mut run = Run {
                case: case.to_owned(),
                store,
                version: self.binaries.version(store),
                at: SystemClock::new().now().to_ms().to_string(),
                figures: Vec::new(),
                problems: Vec::new(),
            };
            let folder = self.folder.join(format!("{}-{}", case.replace(' ', "-"), store.name()));
            let mut running = Running::start(&self.binaries, store, &folder)
                .await
                .with_context(|| format!("start {} for {case}", store.name()))?;
            // What starting costs is not part of the run.
            running.process().wait_until_idle(Duration::from_secs(30)).await?;
            let empty = running.process().memory()?;
            running.process().reset_peak();
            let worked = match work(&mut running, &mut run, empty).await {
                Ok(()) => running.stop().await,
                Err(error) => Err(error),
            };
            if let Err(error) = worked {
                run.complain(format_args!("{error:#}"));
            }
            runs.push(run);
        }
        Ok(runs)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Store> + '_ {
        self.stores.iter().copied().filter(|store| store.takes_metrics())
    }

    pub(super) fn log_stores(&self) -> impl Iterator<Item = Store> + '_ {
        self.stores.iter().copied().filter(|store| store.takes_logs())
    }

    /// Creation of series, then steady rounds of one sample each.
    pub(super) async fn remote_write(
        &self,
        series: usize,
        rounds: usize,
    ) -> anyhow::Result<Vec<Run>> {
        let mut fleet = Fleet::new(self.seed, series);
        let end_ms = now_ms();
        let start_ms = end_ms - (rounds as i64 + 1) * STEP_MS;
        let creation = fleet.rounds(start_ms, 1, CONNECTIONS)?;
        let steady = fleet.rounds(start_ms + STEP_MS, rounds, CONNECTIONS)?;
        let series = fleet.series();
        drop(fleet);
        let case = format!("remote-write, {series} series, 1 + {rounds} samples each");
        let work = async |running: &mut Running, run: &mut Run, empty: Memory| {
            let of_series =
                |bytes: u64, empty: u64| Some((bytes as f64 - empty as f64) / series as f64);
            let door = running.remote_write();
            let first = send(running, door, &creation, run).await?;
            let second = send(running, door, &steady, run).await?;
            let millions = series as f64 / 1e6;
            tell_machine(run, &first.total, "creation: ");
            tell_machine(run, &second.total, "steady: ");
            run.compare(
                "creation: CPU s / 1M series, sending",
                Some(first.send.cpu_seconds / millions),
                2,
            );
            run.compare(
                "creation: CPU s / 1M series, to idle",
                Some(first.total.cpu_seconds / millions),
                2,
            );
            let samples = second.outcome.samples as f64 / 1e6;
            run.compare(
                "steady: CPU s / 1M samples, sending",
                Some(second.send.cpu_seconds / samples),
                3,
            );
            run.compare(
                "steady: CPU s / 1M samples, to idle",
                Some(second.total.cpu_seconds / samples),
                3,
            );
            for (when, memory) in [("creation", first.memory), ("steady", second.memory)] {
                run.compare(
                    format!("{when}: RSS net of empty, B / series"),
                    of_series(memory.resident_bytes, empty.resident_bytes),
                    0,
                );
                run.compare(
                    format!("{when}: anonymous RSS net of empty, B / series"),
                    of_series(memory.anonymous_bytes, empty.anonymous_bytes),
                    0,
                );
            }
            run.tell("empty: RSS MiB", Some(empty.resident_bytes as f64 / MIB), 0);
            run.compare("peak RSS MiB", Some(second.memory.peak_bytes as f64 / MIB), 0);
            let sent = (first.outcome.samples + second.outcome.samples) as f64;
            run.compare("whole folder, B / sample", folder_per_sample(running, sent)?, 2);
            let expected = sent * MARKER_PER_MILLE as f64 / 1_000.0;
            let found = count_markers(running, end_ms).await?.unwrap_or(0.0);
            if found != expected {
                run.complain(format_args!("{found} samples of {MARKER}, not {expected}"));
            }
            Ok(())
        };
        self.each(&case, self.all(), work).await
    }

    /// The fleet over OTLP, to the stores that take it.
    pub(super) async fn otlp(
        &self,
        pods: usize,
        steps: usize,
        compression: Compression,
    ) -> anyhow::Result<Vec<Run>> {
        let corpus = corpus(self.seed, pods, steps, 3_400);
        let mut bodies = Vec::new();
        for request in corpus.requests {
            let (samples, lane) = (request.samples, request.lane);
            let bytes = compression.compress(request.bytes)?.into();
            bodies.push((lane, Body { bytes, samples }));
        }
        let lanes = deal(bodies, CONNECTIONS);
        let is_gzip = compression == Compression::Gzip;
        let case = format!("otlp {}, {pods} pods, {steps} steps", compression.name());
        let stores = self.all().filter(|store| store.takes_otlp());
        let work = async |running: &mut Running, run: &mut Run, _: Memory| {
            keep(running, running.otlp(is_gzip), &lanes, run).await
        };
        self.each(&case, stores, work).await
    }

    /// The same series by remote write.
    pub(super) async fn prw(&self, pods: usize, steps: usize) -> anyhow::Result<Vec<Run>> {
        // Ten pods of 64 points in a request.
        let corpus = corpus(self.seed, pods, steps, 640);
        let mut translator = Translator::default();
        let mut bodies = Vec::new();
        for request in corpus.requests {
            bodies.push((request.lane, translator.translate(&request.bytes)?));
        }
        let lanes = deal(bodies, CONNECTIONS);
        let case = format!("prw, {pods} pods, {steps} steps");
        let work = async |running: &mut Running, run: &mut Run, _: Memory| {
            keep(running, running.remote_write(), &lanes, run).await
        };
        self.each(&case, self.all(), work).await
    }

    /// Real counters, one scrape in each request.
    pub(super) async fn density(&self, recording: &Recording) -> anyhow::Result<Vec<Run>> {
        let lanes = recording.requests(now_ms())?;
        let (series, scrapes) = (recording.series(), recording.scrapes());
        let case = format!("density, {series} recorded series, {scrapes} scrapes");
        let work = async |running: &mut Running, run: &mut Run, _: Memory| {
            keep(running, running.remote_write(), &lanes, run).await
        };
        self.each(&case, self.all(), work).await
    }

    /// Killed some time after the last acknowledgement and started again.
    pub(super) async fn restart(
        &self,
        series: usize,
        rounds: usize,
        wait: Duration,
    ) -> anyhow::Result<Vec<Run>> {
        let mut fleet = Fleet::new(self.seed, series);
        let end_ms = now_ms();
        let lanes = fleet.rounds(end_ms - rounds as i64 * STEP_MS, rounds, CONNECTIONS)?;
        let series = fleet.series();
        let case = format!(
            "restart, {series} series, {rounds} samples each, killed after {} s",
            wait.as_secs_f64()
        );
        drop(fleet);
        let work = async |running: &mut Running, run: &mut Run, _: Memory| {
            let outcome = replay(running.remote_write(), &lanes).await?;
            note(run, &outcome);
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            running.kill_and_start()?;
            let clock = SystemClock::new();
            // The process is new, so all of its CPU is that of the restart.
            let (_, busy_before) = crate::process::machine_load()?;
            let (answered, wait) = first_answer(running, end_ms, &clock).await?;
            run.compare("until a query is answered, s", Some(answered.as_secs_f64()), 3);
            let cpu = running.process().cpu_seconds()?;
            run.compare("CPU s until a query is answered", Some(cpu), 2);
            let expected = outcome.samples as f64 * MARKER_PER_MILLE as f64 / 1_000.0;
            let mut found = count_markers(running, end_ms).await?.unwrap_or(0.0);
            let mut attempts = 1;
            while found < expected && clock.monotonic() < answered + RIGHT_LIMIT {
                tokio::time::sleep(RIGHT_POLL).await;
                found = count_markers(running, end_ms).await?.unwrap_or(0.0);
                attempts += 1;
            }
            let is_right = found == expected;
            let right = is_right.then(|| clock.monotonic().as_secs_f64());
            run.compare("until all is counted, s", right, 3);
            running.settle().await?;
            // What counting again and again took is no part of the restart.
            let cpu = (is_right && attempts == 1).then_some(running.process().cpu_seconds()?);
            run.compare("CPU s of restart and one count, to idle", cpu, 2);
            let memory = running.process().memory()?;
            run.compare("RSS MiB after", Some(memory.resident_bytes as f64 / MIB), 0);
            run.tell("acknowledged samples of the marker", Some(expected), 0);
            run.tell("missing of them", Some(expected - found), 0);
            run.tell("refused questions before the first answer", Some(wait as f64), 0);
            let (load, busy) = crate::process::machine_load()?;
            run.tell("load average after", Some(load), 2);
            let others = busy - busy_before - running.process().cpu_seconds()?;
            let wall = clock.monotonic().as_secs_f64();
            run.tell("cores busy with sender and others", Some(others / wall), 2);
            Ok(())
        };
        self.each(&case, self.all(), work).await
    }
}

fn corpus(seed: u64, pods: usize, steps: usize, points_per_request: usize) -> Corpus {
    let end_ns = SystemClock::new().now();
    let mut options = Options { seed, pods, points_per_request, ..Options::default() };
    options.start = end_ns.plus_ns(-(steps as i64) * options.step_ns);
    options.requests = 1;
    // As many requests as the steps take: one request tells how long a step is in requests.
    while options.span_ns(Signal::Metrics) < steps as i64 * options.step_ns {
        options.requests += 1;
    }
    // The last step is whole.
    while options.span_ns(Signal::Metrics) == steps as i64 * options.step_ns {
        options.requests += 1;
    }
    options.requests -= 1;
    Corpus::generate(Signal::Metrics, &options)
}

/// Sends, waits until the server is idle.
async fn send(
    running: &mut Running,
    door: Door,
    lanes: &Lanes,
    run: &mut Run,
) -> anyhow::Result<Phase> {
    let meter = Meter::start(running.process())?;
    let outcome = replay(door, lanes).await?;
    running.ensure_alive()?;
    let send = meter.read()?;
    if !running.settle().await? {
        run.complain("never idle");
    }
    let total = meter.read()?;
    note(run, &outcome);
    Ok(Phase { outcome, send, total, memory: running.process().memory()? })
}

pub(super) fn note(run: &mut Run, outcome: &Outcome) {
    if let Some(problem) = &outcome.first_problem {
        run.complain(format_args!("{} samples failed: {problem}", outcome.samples_failed));
    }
}

pub(super) fn tell_machine(run: &mut Run, cost: &Cost, prefix: &str) {
    run.tell(format!("{prefix}load average before"), Some(cost.load_average), 2);
    run.tell(format!("{prefix}cores busy with others"), Some(cost.other_cores), 2);
    run.tell(format!("{prefix}sender CPU s"), Some(cost.sender_cpu_seconds), 2);
}

fn folder_per_sample(running: &Running, samples: f64) -> anyhow::Result<Option<f64>> {
    Ok(Some(running.whole_folder_bytes()? as f64 / samples))
}

/// Sends, waits, merges, and says what all of it cost and what is on disk.
async fn keep(
    running: &mut Running,
    door: Door,
    lanes: &Lanes,
    run: &mut Run,
) -> anyhow::Result<()> {
    let phase = send(running, door, lanes, run).await?;
    let samples = phase.outcome.samples as f64;
    let before_merge = folder_per_sample(running, samples)?;
    let meter = Meter::start(running.process())?;
    let told = running.merge().await?;
    let merge = meter.read()?;
    tell_machine(run, &phase.total, "");
    run.tell("samples", Some(samples), 0);
    run.tell("body bytes / sample", Some(phase.outcome.bytes as f64 / samples), 1);
    run.tell("wall s, sending", Some(phase.send.wall.as_secs_f64()), 1);
    run.compare("CPU s, sending", Some(phase.send.cpu_seconds), 2);
    run.compare("CPU s, to idle", Some(phase.total.cpu_seconds), 2);
    let merge_cpu = told.is_some().then_some(merge.cpu_seconds);
    run.compare("CPU s, forced merge", merge_cpu, 2);
    run.compare("samples / CPU s, to idle", Some(samples / phase.total.cpu_seconds), 0);
    let all = merge_cpu.map(|merge| samples / (phase.total.cpu_seconds + merge));
    run.compare("samples / CPU s, with the merge", all, 0);
    let memory = running.process().memory()?;
    run.compare("peak RSS MiB", Some(memory.peak_bytes as f64 / MIB), 0);
    run.compare("RSS MiB, idle", Some(phase.memory.resident_bytes as f64 / MIB), 0);
    run.compare("anonymous RSS MiB, idle", Some(phase.memory.anonymous_bytes as f64 / MIB), 0);
    run.compare("whole folder before the merge, B / sample", before_merge, 3);
    run.compare("whole folder, B / sample", folder_per_sample(running, samples)?, 3);
    for (key, number) in told.iter().flatten() {
        run.tell(format!("merge says: {key}"), Some(*number), 0);
    }
    if told.is_some() {
        let stored = running.stored()?;
        let per_sample = |bytes: u64| Some(bytes as f64 / samples);
        run.compare(
            "stored, of samples, B / sample",
            per_sample(stored.bytes(Kind::is_of_samples)).filter(|bytes| *bytes > 0.0),
            3,
        );
        run.compare("stored, all, B / sample", per_sample(stored.bytes(|_| true)), 3);
        for (kind, bytes) in &stored.by_kind {
            run.tell(format!("stored: {}, B / sample", kind.name()), per_sample(*bytes), 3);
        }
    }
    // Asking comes last, because it costs what nothing above is to contain.
    let mut connection = running.connect().await?;
    match query::count_samples(&mut connection, running.store, COUNTED_HOURS, now_ms()).await {
        Ok(found) => {
            run.tell("samples found by queries", Some(found), 0);
            if found < samples {
                run.complain(format_args!("{found} samples were found of {samples}"));
            }
        }
        Err(error) => run.complain(format_args!("the samples can not be counted: {error:#}")),
    }
    Ok(())
}

async fn count_markers(running: &Running, at_ms: i64) -> anyhow::Result<Option<f64>> {
    let mut connection = running.connect().await?;
    let expression = format!("sum(count_over_time({MARKER}[1h]))");
    query::number(&mut connection, running.store, &expression, at_ms).await
}

/// When a cheap question was answered for the first time, and how often it was not before.
async fn first_answer(
    running: &mut Running,
    at_ms: i64,
    clock: &SystemClock,
) -> anyhow::Result<(Duration, u64)> {
    let question = format!("count({MARKER}{{instance=\"10.0.0.0:8080\"}})");
    let mut refused = 0;
    loop {
        running.ensure_alive()?;
        if let Ok(mut connection) = running.connect().await {
            let answer = query::number(&mut connection, running.store, &question, at_ms).await;
            match answer {
                Ok(_) => return Ok((clock.monotonic(), refused)),
                Err(error) if clock.monotonic() > ANSWER_LIMIT => {
                    return Err(error).context("no answer after the restart");
                }
                Err(_) => refused += 1,
            }
        }
        anyhow::ensure!(clock.monotonic() <= ANSWER_LIMIT, "nobody listens after the restart");
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corpus_has_whole_steps() {
        let corpus = corpus(1, 20, 6, 640);
        assert_eq!(corpus.samples(), 20 * 6 * 224);
        assert_eq!(corpus.requests.len(), 12);
    }
}
