//! Crashes between steps, and reads and writes beside the work of the store.

use std::sync::atomic::AtomicBool;

use super::*;

/// The files of a store at one moment, as a crash would leave them.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

#[test]
fn a_journal_that_outlives_its_seal_shows_no_record_twice() {
    let (dir, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path());
    write(&store, &[record(1, 0, "a"), record(1, 1, "b")]);
    copy(&dir.path().join("journal"), &crashed.path().join("journal"));
    store.seal_all().unwrap();
    write(&store, &[record(1, 2, "c")]);
    drop(store);
    // The journal from before the seal, with all that came after it.
    copy(dir.path(), crashed.path());
    let store = open(crashed.path());
    let expected = [record(1, 0, "a"), record(1, 1, "b"), record(1, 2, "c")];
    assert_eq!(read(&store, &request(Some(Direction::Forward))), expected);
    write(&store, &[record(1, 2, "d")]);
    let last = read(&store, &request(Some(Direction::Forward))).pop().unwrap();
    assert_eq!(last.2, "d", "arrivals go on behind the old ones");
    store.seal_all().unwrap();
    eventually(|| {
        store.seal_due().unwrap();
        store.stats().journal.segments == 1
    });
}

#[test]
fn a_snapshot_is_the_store_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write(&store, &[record(1, 0, "a")]);
    store.seal_all().unwrap();
    write(&store, &[record(1, 1, "b")]);
    let name = store.snapshot_here().unwrap();
    write(&store, &[record(1, 2, "c")]);
    store.merge_all().unwrap();
    let copied = open(&dir.path().join("snapshots").join(name));
    let expected = [record(1, 0, "a"), record(1, 1, "b")];
    assert_eq!(read(&copied, &request(Some(Direction::Forward))), expected);
    write(&copied, &[record(1, 3, "d")]);
    copied.merge_all().unwrap();
    assert_eq!(read(&copied, &request(None)).len(), 3);
    assert_eq!(read(&store, &request(None)).len(), 3);
}

/// Everything at once, with sizes at which all of it happens often: no reader ever misses a record
/// that was acknowledged or sees one twice.
#[test]
fn readers_see_each_record_once_while_all_else_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { memory_bytes_max: 20_000, ..Default::default() };
    let (store, _) = open_with(dir.path(), options);
    let done = AtomicBool::new(false);
    let acknowledged = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                store.seal_due().unwrap();
                std::thread::yield_now();
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                store.maintain().unwrap();
                std::thread::yield_now();
            }
        });
        scope.spawn(|| {
            for number in 0..3000u64 {
                let records = [record((number % 5) as u8, number as i64, "some line")];
                while try_write(&store, &records).is_err() {
                    std::thread::yield_now();
                }
                acknowledged.store(number + 1, Ordering::SeqCst);
            }
            done.store(true, Ordering::SeqCst);
        });
        while !done.load(Ordering::SeqCst) {
            let least = acknowledged.load(Ordering::SeqCst);
            let found = read(&store, &request(Some(Direction::Forward)));
            let times: Vec<i64> = found.iter().map(|record| record.1).collect();
            let expected: Vec<i64> = (0..times.len() as i64).collect();
            assert!(times == expected && times.len() as u64 >= least, "{least}: {times:?}");
        }
    });
    let stats = store.stats();
    assert!(stats.seals > 2 && stats.merges > 0, "{stats:?}");
    assert_eq!(stats.records, 3000);
}
