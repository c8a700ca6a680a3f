//! Small words of the tests.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::*;

pub(super) const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
pub(super) const HOUR_MS: i64 = 3_600_000;

/// Stream, time after `NOW` in nanoseconds, line.
pub(super) type Record = (u8, i64, String);

pub(super) fn record(number: u8, at: i64, line: &str) -> Record {
    (number, at, line.to_owned())
}

pub(super) fn open_with(dir: &Path, options: Options) -> (LogStore, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(NOW));
    (LogStore::open(dir, options, clock.clone()).unwrap(), clock)
}

pub(super) fn open(dir: &Path) -> LogStore {
    open_with(dir, Options::default()).0
}

fn stream(number: u8) -> Labels {
    Labels::from_pairs([("service_name".to_owned(), format!("s{number}"))])
}

fn field<'a>(name: &'a str, value: &'a str, origin: Origin) -> LogField<'a> {
    LogField { name: name.into(), value: value.into(), origin }
}

/// One group for each record: the collector groups by stream, but need not.
pub(super) fn try_append(
    store: &LogStore,
    records: &[Record],
) -> model::Result<(WriteOutcome, Commit)> {
    let mut batch = LogBatch::default();
    batch.fields.push(field("pod", "p1", Origin::Resource));
    for (i, (number, at, line)) in records.iter().enumerate() {
        let i = i as u32;
        batch.fields.push(field("trace_id", line, Origin::Record));
        batch.records.push(LogEntry {
            at: NOW.to_ns().plus_ns(*at),
            line: line.as_str().into(),
            fields: i + 1..i + 2,
        });
        batch.groups.push(LogGroup { stream: stream(*number), shared: 0..1, records: i..i + 1 });
    }
    store.append(&batch)
}

pub(super) fn try_write(store: &LogStore, records: &[Record]) -> model::Result<WriteOutcome> {
    let (outcome, commit) = try_append(store, records)?;
    commit.wait()?;
    Ok(outcome)
}

pub(super) fn write(store: &LogStore, records: &[Record]) -> WriteOutcome {
    try_write(store, records).unwrap()
}

pub(super) fn request(order: Option<Direction>) -> LogRequest {
    LogRequest {
        matchers: vec![],
        range: RangeNs::ALL,
        lines: vec![],
        fields: vec![],
        order,
        columns: LogColumns { line: true, metadata: true },
    }
}

pub(super) fn try_read(store: &LogStore, request: &LogRequest) -> model::Result<Vec<Record>> {
    let mut found = Vec::new();
    store.scan(request, &QueryContext::unlimited(), &mut |row| {
        let fields: Vec<_> = row.metadata.iter().map(|f| (f.name, f.value, f.origin)).collect();
        if request.columns.metadata {
            let expected =
                [("pod", "p1", Origin::Resource), ("trace_id", row.line, Origin::Record)];
            assert_eq!(fields, expected);
        }
        let number = row.stream.get("service_name").unwrap()[1..].parse().unwrap();
        found.push((number, row.at.0.wrapping_sub(NOW.to_ns().0), row.line.to_owned()));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

pub(super) fn read(store: &LogStore, request: &LogRequest) -> Vec<Record> {
    try_read(store, request).unwrap()
}

/// The services of all streams with records.
pub(super) fn streams(store: &LogStore) -> Vec<String> {
    let streams = store.streams(&[], RangeNs::ALL, &QueryContext::unlimited()).unwrap();
    streams.iter().map(|labels| labels.get("service_name").unwrap().to_owned()).collect()
}

pub(super) fn figure(store: &LogStore, name: &str) -> u64 {
    store.figures().into_iter().find(|(other, _)| other == name).unwrap().1
}

/// The folders of parts, sorted.
pub(super) fn folders(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "part")).collect();
    folders.sort();
    folders
}

/// Waits for what another thread does.
pub(super) fn eventually(mut is_so: impl FnMut() -> bool) {
    let clock = model::SystemClock::new();
    let begun = clock.monotonic();
    while !is_so() {
        assert!(clock.monotonic() - begun < Duration::from_secs(20), "it never was");
        std::thread::yield_now();
    }
}
