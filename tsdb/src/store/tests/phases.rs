//! Every phase of the store on a disk that fills or fails in each kind of file: nothing is lost,
//! nothing comes back, and the same work succeeds when the disk is well again.

use super::model_based::walk;
use super::*;

type Phase = (&'static str, fn(&Tsdb) -> Result<()>);

const PHASES: [Phase; 5] = [
    ("seal", |store| {
        let _maintenance = store.maintenance.lock();
        store.seal_all()
    }),
    ("merge", |store| store.merge_all()),
    ("checkpoint", |store| store.checkpoint(&mut store.maintenance.lock())),
    ("delete", |store| store.delete(&[Matcher::equal("job", "j1")], RangeMs::ALL).map(drop)),
    ("maintain", |store| store.maintain()),
];

const FILES: [&str; 3] = [".block", ".head", "manifest"];

type Fault = (&'static str, fn(&Faults));

const FAULTS: [Fault; 6] = [
    ("disk full", |faults| faults.disk_full_after(0)),
    ("disk full soon", |faults| faults.disk_full_after(150)),
    ("disk full later", |faults| faults.disk_full_after(900)),
    ("short write", |faults| faults.short_write_after(40)),
    ("failing fsync", |faults| faults.fail_syncs()),
    ("failing fsync of the folder", |faults| faults.fail_replaces()),
];

/// A store with merged blocks, sealed ones, a checkpoint, and samples in memory.
fn filled(dir: &Path, faults: &Faults) -> (Tsdb, Arc<ManualClock>) {
    let journal = JournalOptions { files: faults.files(), ..Default::default() };
    let (store, clock) = open_with(dir, Options { journal, ..small() });
    for second in 0..11 {
        clock.advance(Duration::from_secs(1));
        let points = (0..4u8).map(|job| {
            point(&store, &labels("a", job), second * 1000, f64::from(job) + second as f64 / 8.0)
        });
        write(&store, points.collect());
        if second < 9 {
            store.maintain().unwrap();
        }
    }
    assert!(store.stats().blocks > 1 && store.dense_blocks() > 0, "{:?}", store.stats());
    (store, clock)
}

/// What the disk holds if the process dies now.
pub(super) fn crash_image(dir: &Path) -> tempfile::TempDir {
    let image = tempfile::tempdir().unwrap();
    for file in walk(dir) {
        let to = image.path().join(file.strip_prefix(dir).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(&file, &to).unwrap();
    }
    image
}

/// Opens what is there and checks that nothing is damaged and no file is left over.
fn reopened(dir: &Path, when: &str) -> Everything {
    let (store, _) = open_with(dir, small());
    assert_eq!(store.damage(), Vec::<String>::new(), "{when}");
    let manifest = store.manifest.lock().clone();
    for file in walk(dir) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let is_known = name == "manifest" || name.ends_with(".journal");
        let is_named = manifest.blocks.iter().any(|b| manifest::block_file(b.number) == name)
            || manifest.checkpoint.is_some_and(|n| manifest::checkpoint_file(n) == name);
        assert!(is_known || is_named, "{when}: {name} is left over");
    }
    read(&store, vec![])
}

fn without_deleted(all: &Everything) -> Everything {
    all.iter()
        .filter(|(name, _)| !name.contains("j1"))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

fn check_phase((phase, work): Phase, file: &str, (fault, inject): Fault) -> bool {
    let when = format!("{phase}, {fault} in {file}");
    let (dir, faults) = (tempfile::tempdir().unwrap(), Faults::default());
    let (store, _clock) = filled(dir.path(), &faults);
    faults.only(file);
    inject(&faults);
    let before = read(&store, vec![]);
    let outcome = work(&store);
    let deletes = phase == "delete";
    let hidden = without_deleted(&before);
    let now = if deletes && outcome.is_ok() { &hidden } else { &before };
    assert_eq!(read(&store, vec![]), *now, "{when}: reads go on");
    // The journal's files are well.
    write(&store, vec![point(&store, &labels("b", 2), 10_000, 5.0)]);
    let with_b = |all: &Everything| {
        let mut all = all.clone();
        all.insert(labels("b", 2).to_string(), vec![(10_000, 5.0)]);
        all
    };
    assert_eq!(read(&store, vec![]), with_b(now), "{when}: writes go on");

    let image = crash_image(dir.path());
    let found = reopened(image.path(), &when);
    // Nobody was told whether the deletion took place.
    let either = deletes && outcome.is_err() && found == with_b(&hidden);
    assert!(found == with_b(now) || either, "{when}: {found:?} after a crash");

    faults.end();
    work(&store).unwrap_or_else(|error| panic!("{when}: {error} on a disk that is well"));
    let now = with_b(if deletes { &hidden } else { &before });
    assert_eq!(read(&store, vec![]), now, "{when}: afterwards");
    store.maintain().unwrap();
    assert_eq!(store.read_only_reason(), None, "{when}");
    drop(store);
    assert_eq!(reopened(dir.path(), &when), now, "{when}: after a restart");
    outcome.is_err()
}

#[test]
fn a_disk_that_fills_or_fails_in_any_phase_loses_nothing_and_work_goes_on_afterwards() {
    let mut failed = 0;
    for phase in PHASES {
        for file in FILES {
            for fault in FAULTS {
                failed += usize::from(check_phase(phase, file, fault));
            }
        }
    }
    // Not every phase makes every kind of file, and a small file may fit.
    assert!(failed > 40, "only {failed} faults were hit");
}

#[test]
fn a_folder_that_lost_its_manifest_is_refused_and_keeps_its_files() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), &Faults::default()));
    std::fs::remove_file(dir.path().join("manifest")).unwrap();
    let before = walk(dir.path());
    let clock = Arc::new(ManualClock::at(NOW));
    let error = Tsdb::open(dir.path(), small(), clock).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("manifest: is missing"), "{error}");
    assert_eq!(walk(dir.path()), before);
}

#[test]
fn a_corrupt_block_fails_one_merge_and_is_set_aside_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), small());
    for second in 0..3 {
        write(&store, vec![point(&store, &labels("a", 1), second * 1000, second as f64 / 3.0)]);
        let _maintenance = store.maintenance.lock();
        store.seal_all().unwrap();
    }
    let mut blocks: Vec<PathBuf> = walk(dir.path());
    blocks.retain(|path| path.extension().is_some_and(|end| end == "block"));
    blocks.sort();
    let mut bytes = std::fs::read(&blocks[1]).unwrap();
    bytes[4] ^= 1;
    std::fs::write(&blocks[1], bytes).unwrap();
    assert_eq!(store.merge_all().unwrap_err().kind(), ErrorKind::Corrupt);
    store.merge_all().unwrap();
    assert_eq!(store.stats().blocks, 1);
    assert_eq!(store.damage().len(), 1);
    let found = read(&store, vec![]);
    let times: Vec<i64> = found.values().next().unwrap().iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [0, 2000]);
}

#[test]
fn a_store_that_stops_gives_long_work_up_and_deletions_go_on_hiding() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = filled(dir.path(), &Faults::default());
    store.delete(&[Matcher::equal("job", "j1")], RangeMs::ALL).unwrap();
    let hidden = read(&store, vec![]);
    assert_eq!(hidden.len(), 3);
    store.stop_maintenance();
    store.clean_deletions().unwrap();
    store.merge_all().unwrap();
    assert_eq!(store.deletions().len(), 1);
    assert_eq!(read(&store, vec![]), hidden);
    store.close();
    drop(store);
    assert_eq!(reopened(dir.path(), "after a stop"), hidden);
}
