//! The store on disks that fail, fill, or change bytes.

use super::*;

#[test]
fn a_failed_disk_refuses_writes_and_still_answers() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let journal = JournalOptions { files: faults.files(), ..Default::default() };
    let (store, _) = open_with(dir.path(), Options { journal, ..Default::default() });
    write(&store, vec![point(&store, &labels("a", 1), 0, 1.0)]);
    faults.fail_syncs();
    let points = vec![point(&store, &labels("a", 1), 1, 1.0)];
    let batch = SeriesBatch { points, ..Default::default() };
    assert!(store.append(&batch).unwrap().1.wait().is_err());
    assert_eq!(store.append(&batch).err().unwrap().kind(), ErrorKind::Unavailable);
    assert!(store.read_only_reason().is_some());
    assert_eq!(read(&store, vec![]).len(), 1);
    drop(store);
    let store = open(dir.path());
    assert_eq!(read(&store, vec![]).values().next().unwrap()[0], (0, 1.0));
}

#[test]
fn a_full_disk_refuses_writes_until_it_has_room_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let journal = JournalOptions { files: faults.files(), ..Default::default() };
    let (store, clock) = open_with(dir.path(), Options { journal, ..small() });
    for second in 0..5 {
        write(&store, vec![point(&store, &labels("a", 1), second * 1000, 1.0)]);
    }
    faults.disk_full_after(0);
    clock.advance(Duration::from_secs(30));
    let error = store.maintain().unwrap_err();
    assert!(error.to_string().contains("injected"), "{error}");
    let points = vec![point(&store, &labels("a", 1), 6000, 1.0)];
    let batch = SeriesBatch { points, ..Default::default() };
    let refused = store.append(&batch).and_then(|(_, commit)| commit.wait()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.message().contains("is full"), "{refused}");
    assert!(store.disk_full_reason().is_some() && store.read_only_reason().is_none());
    assert_eq!(read(&store, vec![]).values().next().unwrap().len(), 6, "reads go on");
    faults.free_disk();
    while store.append(&batch).and_then(|(_, commit)| commit.wait()).is_err() {
        std::thread::yield_now();
    }
    store.maintain().unwrap();
    drop(store);
    let (store, _) = open_with(dir.path(), small());
    assert_eq!(store.damage(), Vec::<String>::new());
    assert_eq!(read(&store, vec![]).values().next().unwrap().len(), 6);
}

#[test]
fn a_block_with_a_flipped_byte_is_set_aside_and_the_rest_is_served() {
    for eighth in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open_with(dir.path(), small());
        for second in 0..12 {
            write(&store, vec![point(&store, &labels("a", 1), second * 1000, second as f64 / 3.0)]);
            store.maintain().unwrap();
        }
        store.close();
        drop(store);
        let mut blocks: Vec<PathBuf> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "block"))
            .collect();
        blocks.sort();
        assert!(blocks.len() > 1);
        let mut bytes = std::fs::read(&blocks[0]).unwrap();
        let at = bytes.len() * eighth / 8;
        bytes[at] ^= 0x10;
        std::fs::write(&blocks[0], bytes).unwrap();
        let (store, _) = open_with(dir.path(), small());
        let context = QueryContext::unlimited();
        let request = SeriesRequest::samples(vec![], RangeMs::ALL);
        let first: model::Result<Vec<_>> =
            store.select(&request, &context).and_then(Iterator::collect);
        if let Err(error) = first {
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
        // Found at the start or by the query: the next one does without.
        let found = read(&store, vec![]);
        let samples = found.values().next().unwrap();
        assert!(samples.len() >= 8 && samples.last().unwrap().0 == 11_000, "{samples:?}");
        assert_eq!(store.damage().len(), 1, "{:?}", store.damage());
        let again = dir.path().join(blocks[0].with_extension("corrupt").file_name().unwrap());
        assert!(again.exists(), "what was set aside is kept");
    }
}

#[test]
fn a_checkpoint_cut_or_flipped_anywhere_never_panics_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), Options::default());
    for i in 0..50 {
        write(&store, vec![point(&store, &labels("a", i % 7), i64::from(i), 1.5)]);
    }
    store.close();
    drop(store);
    let head = |dir: &Path| {
        let mut files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.extension().is_some_and(|end| end == "head")).unwrap()
    };
    let path = head(dir.path());
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        for cuts in [true, false] {
            let mut bytes = whole.clone();
            if cuts {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1;
            }
            std::fs::write(&path, bytes).unwrap();
            let mut damage = Vec::new();
            let restored = crate::checkpoint::read(&path, Options::default().window_ms).unwrap();
            damage.extend(restored.damage);
            assert!(!damage.is_empty(), "byte {at}");
        }
    }
}

#[test]
fn a_damaged_section_of_label_pairs_costs_its_series_and_never_changes_the_labels_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), Options::default());
    let long = "x".repeat(400);
    for batch in 0..5u32 {
        let points = (0..5000u32).map(|i| {
            let number = batch * 5000 + i;
            let pairs = [("__name__", "a".to_owned()), ("long", format!("{number}{long}"))];
            point(&store, &Labels::from_pairs(pairs), 0, f64::from(number))
        });
        write(&store, points.collect());
    }
    store.close();
    drop(store);
    let mut files = model_based::walk(dir.path());
    files.retain(|path| path.extension().is_some_and(|end| end == "head"));
    let mut bytes = std::fs::read(&files[0]).unwrap();
    // The first of three sections has the pair that all series share.
    bytes[6 << 20] ^= 1;
    std::fs::write(&files[0], bytes).unwrap();
    let (store, _) = open_with(dir.path(), Options::default());
    assert!(store.damage().iter().any(|what| what.contains("checksum")), "{:?}", store.damage());
    let found = read(&store, vec![]);
    assert!(found.len() > 3000 && found.len() < 25_000, "{}", found.len());
    for (labels, samples) in found {
        let number = format!("{}{long}", samples[0].1);
        assert!(labels.contains(&number), "{} has {:?}", &labels[..60], samples[0]);
    }
}

#[test]
fn a_block_that_can_not_be_read_fails_the_end_of_a_deletion_once_and_nothing_comes_back() {
    let mut failed = 0;
    for sixteenth in 0..16 {
        let dir = tempfile::tempdir().unwrap();
        let (store, clock) = open_with(dir.path(), small());
        for second in 0..6 {
            // Enough that a block has several pages.
            for ms in second * 1000..second * 1000 + 900 {
                let value = ((ms * 7919) as f64).sqrt().sin();
                let points = ["a", "b"].map(|name| point(&store, &labels(name, 1), ms, value));
                write(&store, points.to_vec());
            }
            clock.advance(Duration::from_secs(1));
            store.maintain().unwrap();
        }
        store.delete(&[Matcher::equal("__name__", "a")], RangeMs::ALL).unwrap();
        drop(store);
        let mut blocks = model_based::walk(dir.path());
        blocks.retain(|path| path.extension().is_some_and(|end| end == "block"));
        blocks.sort();
        let mut bytes = std::fs::read(&blocks[0]).unwrap();
        let at = bytes.len() * sixteenth / 16;
        bytes[at] ^= 0x10;
        std::fs::write(&blocks[0], bytes).unwrap();
        let (store, _) = open_with(dir.path(), small());
        if let Err(error) = store.clean_deletions() {
            failed += 1;
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert_eq!(store.deletions().len(), 1, "it goes on hiding what it hides");
            assert_eq!(names(&store), ["b"]);
            store.clean_deletions().unwrap();
        }
        assert!(store.deletions().is_empty());
        assert_eq!(names(&store), ["b"]);
        assert!(store.damage().len() <= 1, "{:?}", store.damage());
        let found = read(&store, vec![]);
        assert!(found.values().next().unwrap().len() >= 2, "{found:?}");
    }
    assert!(failed > 2, "{failed} of 16 places were read");
}

/// A store whose oldest block retention takes, with series of a rule in a merged one.
fn with_old_blocks(dir: &Path, faults: &Faults) -> (Tsdb, Arc<ManualClock>) {
    let journal = JournalOptions { files: faults.files(), ..Default::default() };
    let rule = RetentionRule {
        name: "short".to_owned(),
        matchers: vec![Matcher::equal("__name__", "short")],
        keep_ms: 5_000,
    };
    let retention_rules = vec![rule];
    let options = Options { journal, retention_rules, retention_ms: 100_000, ..small() };
    let (store, clock) = open_with(dir, options);
    for second in [0, 60] {
        clock.advance(Duration::from_secs(second));
        for name in ["short", "plain"] {
            write(&store, vec![point(&store, &labels(name, 1), second as i64 * 1000, 1.0)]);
        }
        store.merge_all().unwrap();
    }
    clock.advance(Duration::from_secs(50));
    // The merge of the newer block took the older one's series of the rule out.
    assert_eq!((store.stats().blocks, store.stats().block_samples), (2, 3));
    (store, clock)
}

#[test]
fn a_retention_rule_that_finds_the_disk_full_loses_nothing_and_is_applied_later() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let (store, _) = with_old_blocks(dir.path(), &faults);
    faults.only(".block");
    faults.disk_full_after(0);
    for _ in 0..2 {
        let error = store.maintain().unwrap_err();
        assert!(error.to_string().contains("injected"), "{error}");
        let stats = store.stats();
        assert_eq!((stats.blocks, stats.block_samples), (1, 2), "what is too old went anyway");
        assert_eq!(names(&store), ["plain"]);
    }
    write(&store, vec![point(&store, &labels("plain", 1), 110_000, 2.0)]);
    faults.free_disk();
    store.maintain().unwrap();
    assert_eq!(store.stats().block_samples, 1);
    let samples = vec![(60_000, 1.0), (110_000, 2.0)];
    assert_eq!(read(&store, vec![]), Everything::from([(labels("plain", 1).to_string(), samples)]));
}

#[test]
fn retention_makes_room_before_a_seal_that_needs_it() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let (store, clock) = with_old_blocks(dir.path(), &faults);
    write(&store, vec![point(&store, &labels("plain", 1), 110_000, 2.0)]);
    clock.advance(Duration::from_secs(30));
    faults.only(".block");
    faults.disk_full_after(0);
    let seals = store.stats().seals;
    assert!(store.maintain().unwrap_err().to_string().contains("injected"));
    assert_eq!((store.stats().blocks, store.stats().seals), (1, seals));
    faults.free_disk();
    store.maintain().unwrap();
    assert_eq!(store.stats().seals, seals + 1);
    assert_eq!(read(&store, vec![]).values().next().unwrap().len(), 2);
}
