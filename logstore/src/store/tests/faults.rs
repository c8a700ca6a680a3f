//! The store on disks that fail, fill, or change bytes.

use super::*;

fn with_faults(faults: &Faults) -> Options {
    let journal = JournalOptions { files: faults.files(), ..Default::default() };
    Options { journal, ..Default::default() }
}

#[test]
fn a_failed_disk_refuses_writes_and_still_answers() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let (store, _) = open_with(dir.path(), with_faults(&faults));
    write(&store, &[record(1, 0, "a")]);
    store.seal_all().unwrap();
    write(&store, &[record(1, 1, "b")]);
    faults.fail_syncs();
    assert!(try_write(&store, &[record(1, 2, "c")]).is_err());
    assert_eq!(try_write(&store, &[record(1, 3, "d")]).unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(store.read_only_reason().is_some());
    store.seal_due().unwrap();
    let found = read(&store, &request(Some(Direction::Forward)));
    assert_eq!(found[..2], [record(1, 0, "a"), record(1, 1, "b")]);
    drop(store);
    let found = read(&open(dir.path()), &request(Some(Direction::Forward)));
    assert_eq!(found[..2], [record(1, 0, "a"), record(1, 1, "b")]);
}

#[test]
fn a_full_disk_refuses_writes_until_it_has_room_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let (store, _) = open_with(dir.path(), with_faults(&faults));
    let mut sent = vec![record(1, 0, "a"), record(1, 1, "b")];
    write(&store, &sent[..1]);
    store.seal_all().unwrap();
    write(&store, &sent[1..]);
    faults.disk_full_after(0);
    let error = store.merge_all().unwrap_err();
    assert!(error.to_string().contains("injected"), "{error}");
    let late = record(1, 2, "c");
    let refused = try_write(&store, std::slice::from_ref(&late)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.message().contains("is full"), "{refused}");
    assert!(store.disk_full_reason().is_some() && store.read_only_reason().is_none());
    // What was refused is in memory and is written when there is room.
    sent.push(late.clone());
    assert_eq!(read(&store, &request(Some(Direction::Forward))), sent, "reads go on");
    faults.free_disk();
    eventually(|| try_write(&store, std::slice::from_ref(&late)).is_ok());
    sent.push(late);
    store.merge_all().unwrap();
    assert_eq!(read(&store, &request(Some(Direction::Forward))), sent);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.damage(), Vec::<String>::new());
    assert_eq!(read(&store, &request(Some(Direction::Forward))), sent);
    assert_eq!(folders(dir.path()).len(), 1);
}

#[test]
fn a_sync_that_fails_beside_the_journal_is_tried_again_with_new_files() {
    for (only, fails) in [("part", "sync"), ("manifest", "sync"), ("manifest", "replace")] {
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::default();
        let (store, _) = open_with(dir.path(), with_faults(&faults));
        let mut sent = Vec::new();
        for i in 0..3 {
            sent.push(record(1, i, "a"));
            write(&store, &sent[i as usize..]);
            faults.only(only);
            if fails == "sync" {
                faults.fail_syncs()
            } else {
                faults.fail_replaces()
            }
            assert!(store.merge_all().is_err(), "{only} {fails}");
            assert!(store.read_only_reason().is_none());
            assert_eq!(read(&store, &request(Some(Direction::Forward))), sent);
            faults.end();
            store.merge_all().unwrap();
            assert_eq!(read(&store, &request(Some(Direction::Forward))), sent);
        }
        drop(store);
        let store = open(dir.path());
        assert_eq!(read(&store, &request(Some(Direction::Forward))), sent);
        assert_eq!((folders(dir.path()).len(), store.damage().len()), (1, 0));
    }
}

/// A write that stops after any number of bytes, in any file, and a crash after it.
#[test]
fn work_that_fails_at_any_byte_loses_nothing_and_leaves_nothing() {
    let mut failed = 0;
    for bytes in (0..).map(|i| i * i * 11) {
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::default();
        let (store, clock) = open_with(dir.path(), with_faults(&faults));
        let mut sent = Vec::new();
        for i in 0..4 {
            let some = [record(1, i, "bad"), record(2, i, "good")];
            write(&store, &some);
            store.seal_all().unwrap();
            sent.push(some[1].clone());
        }
        let selection = LogSelection {
            matchers: vec![],
            lines: vec![LineCondition::contains("bad")],
            fields: vec![],
            range: RangeNs::ALL,
        };
        store.delete(&selection, "bad").unwrap();
        clock.advance(Duration::from_secs(25 * 3600));
        write(&store, &[record(3, 9, "last")]);
        sent.push(record(3, 9, "last"));
        faults.short_write_after(bytes);
        let worked = store.maintain().and_then(|()| store.merge_everything());
        failed += u64::from(worked.is_err());
        let check = |store: &LogStore| {
            assert_eq!(read(store, &request(Some(Direction::Forward))), sent, "{bytes}");
        };
        check(&store);
        drop(store);
        faults.end();
        let store = LogStore::open(dir.path(), Options::default(), clock).unwrap();
        check(&store);
        assert_eq!(store.damage(), Vec::<String>::new());
        assert_eq!(folders(dir.path()).len() as u64, store.stats().parts);
        store.maintain().unwrap();
        store.merge_all().unwrap();
        check(&store);
        assert_eq!(store.stats().records, 5);
        if worked.is_ok() {
            break;
        }
    }
    assert!(failed > 10, "{failed}");
}

#[test]
fn a_manifest_that_may_or_may_not_be_replaced_is_believed_as_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let (store, clock) = open_with(dir.path(), with_faults(&faults));
    let sent = [record(1, 0, "a"), record(2, 1, "b")];
    write(&store, &sent);
    faults.fail_replaces();
    assert!(store.merge_all().is_err());
    assert_eq!(read(&store, &request(Some(Direction::Forward))), sent);
    drop(store);
    let store = LogStore::open(dir.path(), Options::default(), clock.clone()).unwrap();
    assert_eq!(read(&store, &request(Some(Direction::Forward))), sent);
    drop(store);
    // The same, but the process goes on.
    let (store, _) = open_with(dir.path(), with_faults(&faults));
    faults.fail_replaces();
    let more = [record(1, 2, "c")];
    write(&store, &more);
    assert!(store.merge_all().is_err());
    faults.end();
    store.merge_all().unwrap();
    let all = [&sent[..], &more[..]].concat();
    assert_eq!(read(&store, &request(Some(Direction::Forward))), all);
    drop(store);
    let store = LogStore::open(dir.path(), Options::default(), clock).unwrap();
    assert_eq!(read(&store, &request(Some(Direction::Forward))), all);
    assert_eq!(folders(dir.path()).len() as u64, store.stats().parts);
}

#[test]
fn a_part_with_a_flipped_byte_is_set_aside_and_the_rest_is_served() {
    for eighth in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let day = 86_400_000_000_000;
        for number in 0..3i64 {
            let line = |i: i64| format!("line {i} of {}", i * 7919 % 1000);
            let records: Vec<Record> =
                (0..500).map(|i| record(1, i - number * day, &line(i))).collect();
            write(&store, &records);
            store.seal_all().unwrap();
        }
        drop(store);
        let folder = folders(dir.path())[1].clone();
        let mut files: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
        let path = files.pop().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() * eighth / 8;
        bytes[at] ^= 0x10;
        std::fs::write(&path, bytes).unwrap();
        let store = open(dir.path());
        if let Err(error) = try_read(&store, &request(None)) {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        }
        // What a query need not read may also be found by a merge.
        if store.damage().is_empty() {
            store.live.read().view.parts.iter().for_each(|open| {
                if let Err(error) = open.part.verify() {
                    store.set_aside(open.entry.number, &error.to_string());
                }
            });
        }
        let found = read(&store, &request(None));
        assert_eq!(store.damage().len(), 1, "{eighth}: {:?}", store.damage());
        assert_eq!(found.len(), 1000);
        assert!(folder.with_extension("corrupt").exists(), "what was set aside is kept");
        assert_eq!(figure(&store, "corrupt_parts"), 1);
        drop(store);
        let store = open(dir.path());
        assert_eq!((store.damage().len(), read(&store, &request(None)).len()), (0, 1000));
    }
}

#[test]
fn a_part_that_is_gone_is_told_and_the_rest_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for i in 0..2 {
        write(&store, &[record(1, i, "a")]);
        store.seal_all().unwrap();
    }
    drop(store);
    std::fs::remove_dir_all(&folders(dir.path())[0]).unwrap();
    let store = open(dir.path());
    assert_eq!(read(&store, &request(None)), [record(1, 1, "a")]);
    assert_eq!(store.damage().len(), 1);
}

#[test]
fn a_store_that_lost_its_manifest_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write(&store, &[record(1, 0, "a")]);
    store.seal_all().unwrap();
    drop(store);
    let manifest = dir.path().join("manifest");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::remove_file(&manifest).unwrap();
    let open = || LogStore::open(dir.path(), Options::default(), Arc::new(ManualClock::at(NOW)));
    assert!(open().err().unwrap().to_string().contains("backup"));
    std::fs::write(&manifest, text.replace("next_number", "next_numbre")).unwrap();
    assert!(open().err().unwrap().to_string().contains("checksum"));
    std::fs::write(&manifest, text).unwrap();
    assert_eq!(read(&open().unwrap(), &request(None)).len(), 1);
}
