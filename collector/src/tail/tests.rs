//! Files that grow, rotate and are truncated while the reader restarts and the store fails: every
//! line comes once.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;

use model::kv::MemoryKeyValue;
use model::log::{Field, LogRow};
use model::read::{LogRequest, RangeNs};
use model::write::{LogBatch, WriteOutcome};
use model::{
    Commit, Error, ErrorKind, Labels, ManualClock, Matcher, QueryContext, Result, TimestampMs,
    TimestampNs,
};
use parking_lot::Mutex;
use proptest::prelude::*;
use regex::Regex;

use super::*;

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

#[derive(Debug, Clone)]
struct Row {
    stream: Labels,
    at: TimestampNs,
    line: String,
    fields: Vec<(String, String, model::log::Origin)>,
}

/// How the store fails the next append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// It takes nothing.
    Refuses,
    /// It takes all, and the process dies before anybody hears of it.
    Dies,
}

#[derive(Default)]
struct Store {
    rows: Mutex<Vec<Row>>,
    failure: Mutex<Option<Failure>>,
}

impl LogSink for Store {
    fn append(&self, batch: &LogBatch<'_>) -> Result<(WriteOutcome, Commit)> {
        let failure = self.failure.lock().take();
        let failed = || Error::new(ErrorKind::Unavailable, "the store says no");
        if failure == Some(Failure::Refuses) {
            return Err(failed());
        }
        let mut outcome = WriteOutcome::default();
        for group in &batch.groups {
            for record in &batch.records[group.records.start as usize..group.records.end as usize] {
                let of = |range: &std::ops::Range<u32>| {
                    &batch.fields[range.start as usize..range.end as usize]
                };
                let fields = of(&group.shared).iter().chain(of(&record.fields));
                let fields = fields.map(|f| (f.name.to_string(), f.value.to_string(), f.origin));
                self.rows.lock().push(Row {
                    stream: group.stream.clone(),
                    at: record.at,
                    line: record.line.to_string(),
                    fields: fields.collect(),
                });
                outcome.accepted += 1;
            }
        }
        let (promise, commit) = Commit::pending();
        promise.resolve(if failure == Some(Failure::Dies) { Err(failed()) } else { Ok(()) });
        Ok((outcome, commit))
    }
}

impl LogSource for Store {
    fn scan(
        &self,
        request: &LogRequest,
        _: &QueryContext,
        visit: &mut dyn FnMut(&LogRow<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        for (arrival, row) in self.rows.lock().iter().enumerate() {
            let metadata: Vec<Field<'_>> = row
                .fields
                .iter()
                .map(|(name, value, origin)| Field { name, value, origin: *origin })
                .collect();
            let shown = LogRow {
                stream: &row.stream,
                at: row.at,
                arrival: arrival as u64,
                line: &row.line,
                metadata: &metadata,
            };
            let matches = Matcher::all_match(&request.matchers, &row.stream);
            if matches && request.range.contains(row.at) && visit(&shown).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn arrivals_end(&self) -> u64 {
        self.rows.lock().len() as u64
    }

    fn streams(&self, _: &[Matcher], _: RangeNs, _: &QueryContext) -> Result<Vec<Labels>> {
        Ok(self.rows.lock().iter().map(|row| row.stream.clone()).collect())
    }
}

/// A folder with `app.log`, a store, and a worker that can be started anew.
struct Bench {
    dir: tempfile::TempDir,
    store: Arc<Store>,
    clock: Arc<ManualClock>,
    kv: Arc<MemoryKeyValue>,
    job: Job,
    worker: Worker,
}

fn job(dir: &std::path::Path) -> Job {
    Job {
        name: "shop".to_owned(),
        files: vec![dir.join("*.log")],
        exclude: Vec::new(),
        labels: vec![("env".to_owned(), "test".to_owned())],
        format: FileFormat::Raw,
        multiline: None,
        start_at_end: false,
        poll_interval: Duration::from_millis(250),
        files_max: 100,
    }
}

impl Bench {
    fn new(change: impl FnOnce(&mut Job)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut job = job(dir.path());
        change(&mut job);
        let (store, kv) = (Arc::new(Store::default()), Arc::new(MemoryKeyValue::default()));
        let clock = Arc::new(ManualClock::at(NOW));
        let worker = worker(&job, &store, &kv, &clock);
        Bench { dir, store, clock, kv, job, worker }
    }

    /// As if the process had died and begun again.
    fn restart(&mut self) {
        self.worker = worker(&self.job, &self.store, &self.kv, &self.clock);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn append(&self, text: &str) {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).open(self.path("app.log")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Rounds until there is nothing more to read.
    fn settle(&mut self) {
        for _ in 0..1000 {
            if let Ok(false) = self.worker.poll() {
                return;
            }
        }
        panic!("the worker does not come to rest");
    }

    fn lines(&self) -> Vec<String> {
        self.store.rows.lock().iter().map(|row| row.line.clone()).collect()
    }
}

fn worker(
    job: &Job,
    store: &Arc<Store>,
    kv: &Arc<MemoryKeyValue>,
    clock: &Arc<ManualClock>,
) -> Worker {
    let doors = TailDoors {
        sink: store.clone(),
        source: store.clone(),
        kv: kv.clone(),
        clock: clock.clone(),
        telemetry: TailTelemetry::default(),
        line_bytes_max: 1000,
    };
    Worker::new(job.clone(), doors)
}

#[test]
fn lines_have_the_labels_of_their_job_and_file_and_their_place() {
    let mut bench = Bench::new(|_| {});
    bench.append("first\nan ERROR\n");
    bench.settle();
    let rows = bench.store.rows.lock().clone();
    let path = bench.path("app.log");
    let path = path.to_string_lossy();
    let labels = [("env", "test"), ("filename", &path), ("job", "shop"), ("service_name", "shop")];
    assert_eq!(rows[1].stream, Labels::from_pairs(labels));
    assert_eq!((rows[1].line.as_str(), rows[1].at), ("an ERROR", NOW.to_ns()));
    let fields: Vec<(&str, &str)> = rows[1].fields[1..].iter().map(|f| (&*f.0, &*f.1)).collect();
    assert_eq!(rows[1].fields[0].0, "__signalbox_tail_file");
    assert!(rows[1].fields[..2].iter().all(|field| model::log::is_bookkeeping(&field.0)));
    assert_eq!(fields, [("__signalbox_tail_offset", "6"), ("detected_level", "error")]);
}

#[test]
fn a_renamed_file_is_read_to_its_end_under_its_name_and_the_new_one_from_its_start() {
    let mut bench = Bench::new(|_| {});
    bench.append("1\n2\n");
    bench.settle();
    let mut old = OpenOptions::new().append(true).open(bench.path("app.log")).unwrap();
    std::fs::rename(bench.path("app.log"), bench.path("app.log.1")).unwrap();
    bench.append("new\n");
    bench.settle();
    old.write_all(b"late\n").unwrap();
    bench.settle();
    bench.restart();
    old.write_all(b"later\n").unwrap();
    bench.settle();
    assert_eq!(bench.lines(), ["1", "2", "new", "late", "later"]);
    let rows = bench.store.rows.lock().clone();
    assert!(rows.iter().all(|row| row.stream == rows[0].stream));
    // It is closed after a while, and known after a restart.
    bench.clock.advance(Duration::from_secs(6));
    bench.settle();
    bench.restart();
    bench.job.files = vec![bench.dir.path().join("*")];
    bench.restart();
    bench.settle();
    assert_eq!(bench.lines().len(), 5);
}

#[test]
fn a_truncated_file_is_read_from_its_start() {
    let mut bench = Bench::new(|_| {});
    bench.append("one\ntwo\n");
    bench.settle();
    File::create(bench.path("app.log")).unwrap();
    bench.append("three\n");
    bench.settle();
    // Longer than before, but it begins otherwise.
    std::fs::write(bench.path("app.log"), "four\nfive\nsix\n").unwrap();
    bench.settle();
    assert_eq!(bench.lines(), ["one", "two", "three", "four", "five", "six"]);
}

#[test]
fn a_first_start_may_begin_at_the_end_of_what_is_there() {
    let mut bench = Bench::new(|job| job.start_at_end = true);
    bench.append("old\n");
    bench.settle();
    bench.append("new\n");
    bench.restart();
    std::fs::write(bench.path("b.log"), "other\n").unwrap();
    bench.settle();
    assert_eq!(bench.lines(), ["new", "other"]);
}

#[test]
fn stack_traces_and_parts_of_container_lines_become_records() {
    let start = Regex::new("^[A-Z]").unwrap();
    let wait = Duration::from_secs(1);
    let multiline = Multiline { start, lines_max: 100, wait };
    let mut bench = Bench::new(|job| {
        job.format = FileFormat::Cri;
        job.multiline = Some(multiline);
    });
    let time = "2023-11-14T22:13:21Z";
    bench.append(&format!("{time} stderr F Error\n{time} stdout P He\n{time} stderr F  at a\n"));
    bench.settle();
    bench.restart();
    bench.append(&format!("{time} stdout F llo\n{time} stderr F  at b\nnot cri\n"));
    bench.settle();
    assert!(bench.lines().is_empty());
    bench.clock.advance(Duration::from_secs(2));
    bench.settle();
    let mut lines = bench.lines();
    lines.sort();
    assert_eq!(lines, ["Error\n at a\n at b", "Hello", "not cri"]);
    let rows = bench.store.rows.lock().clone();
    let stream = |row: &Row| row.stream.get_or_empty("stream").to_owned();
    assert!(rows.iter().any(|row| stream(row) == "stderr" && row.at == NOW.plus_ms(1000).to_ns()));
}

#[test]
fn a_line_without_an_end_waits_and_then_counts() {
    let mut bench = Bench::new(|_| {});
    bench.append("half");
    bench.settle();
    bench.append(" whole\nrest");
    bench.settle();
    assert_eq!(bench.lines(), ["half whole"]);
    bench.clock.advance(Duration::from_secs(11));
    bench.settle();
    assert_eq!(bench.lines(), ["half whole", "rest"]);
}

#[derive(Debug, Clone)]
enum Step {
    /// Lines, and whether the last one gets its end.
    Write(u8, bool),
    Rename,
    /// Read to the end, then made empty.
    Truncate,
    Poll,
    Restart,
    Fail(bool),
    Wait(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(
        prop_oneof![
            6 => (1..4u8, any::<bool>()).prop_map(|(lines, ends)| Step::Write(lines, ends)),
            1 => Just(Step::Rename),
            1 => Just(Step::Truncate),
            4 => Just(Step::Poll),
            3 => Just(Step::Restart),
            3 => any::<bool>().prop_map(Step::Fail),
            1 => (0..9u8).prop_map(Step::Wait),
        ],
        1..40,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..Default::default() })]

    #[test]
    fn every_line_comes_once_whatever_happens(steps in steps(), multiline: bool) {
        let mut bench = Bench::new(|job| {
            let start = Regex::new("^[0-9]*[05]").unwrap();
            let wait = Duration::from_secs(1);
            job.multiline = multiline.then_some(Multiline { start, lines_max: 3, wait });
        });
        let (mut count, mut renamed, mut is_open) = (0, 0, false);
        // A file that nobody saw before it lost its name was never tailed.
        let mut is_seen = false;
        let end_line = |bench: &Bench, is_open: &mut bool| {
            if std::mem::take(is_open) {
                bench.append("\n");
            }
        };
        for step in steps {
            match step {
                Step::Write(lines, ends) => {
                    end_line(&bench, &mut is_open);
                    is_seen &= bench.path("app.log").exists();
                    for _ in 0..lines {
                        count += 1;
                        bench.append(&format!("{count:04}\n"));
                    }
                    if !ends {
                        count += 1;
                        bench.append(&format!("{count:04}"));
                        is_open = true;
                    }
                }
                Step::Rename if bench.path("app.log").exists() => {
                    end_line(&bench, &mut is_open);
                    if !is_seen {
                        bench.settle();
                    }
                    renamed += 1;
                    let to = bench.path(&format!("app.log.{renamed}"));
                    std::fs::rename(bench.path("app.log"), to).unwrap();
                    is_seen = false;
                }
                Step::Truncate if bench.path("app.log").exists() => {
                    end_line(&bench, &mut is_open);
                    bench.settle();
                    bench.clock.advance(Duration::from_secs(2));
                    bench.settle();
                    File::create(bench.path("app.log")).unwrap();
                    bench.settle();
                }
                Step::Rename | Step::Truncate => {}
                // A failure ends the round; the next one goes on.
                Step::Poll => {
                    drop(bench.worker.poll());
                    is_seen = bench.path("app.log").exists();
                }
                Step::Restart => bench.restart(),
                Step::Fail(false) => *bench.store.failure.lock() = Some(Failure::Refuses),
                Step::Fail(true) => {
                    *bench.store.failure.lock() = Some(Failure::Dies);
                    if bench.worker.poll().is_err() {
                        bench.restart();
                    }
                    *bench.store.failure.lock() = None;
                }
                Step::Wait(seconds) => {
                    end_line(&bench, &mut is_open);
                    bench.settle();
                    bench.clock.advance(Duration::from_secs(u64::from(seconds)));
                    bench.settle();
                }
            }
        }
        end_line(&bench, &mut is_open);
        *bench.store.failure.lock() = None;
        bench.settle();
        bench.clock.advance(Duration::from_secs(20));
        bench.settle();
        let mut found: Vec<String> = Vec::new();
        for line in bench.lines() {
            found.extend(line.split('\n').map(str::to_owned));
        }
        found.sort();
        let expected: Vec<String> = (1..=count).map(|n| format!("{n:04}")).collect();
        prop_assert_eq!(found, expected);
    }
}
