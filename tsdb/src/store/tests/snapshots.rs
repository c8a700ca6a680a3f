//! Copies of a store, and what is left of one that was never finished.

use model::admin::SeriesAdmin;

use super::model_based::walk;
use super::*;

#[test]
fn a_snapshot_is_a_store_of_its_own() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, _) = open_with(dir.path(), small());
    for second in 0..20 {
        write(&store, vec![point(&store, &labels("a", 1), second * 1000, second as f64)]);
        store.maintain().unwrap();
    }
    let to = copy.path().join("snapshot");
    store.snapshot(&to).unwrap();
    let before = read(&store, vec![]);
    write(&store, vec![point(&store, &labels("b", 1), 20_000, 1.0)]);
    store.merge_all().unwrap();
    drop(store);
    let (restored, _) = open_with(&to, small());
    assert_eq!(restored.damage(), Vec::<String>::new());
    assert_eq!(read(&restored, vec![]), before);
    write(&restored, vec![point(&restored, &labels("c", 1), 20_000, 1.0)]);
}

fn snapshots(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir.join("snapshots")) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_snapshot_has_its_name_when_it_is_whole_and_leftovers_go_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = open_with(dir.path(), small());
    for second in 0..3 {
        write(&store, vec![point(&store, &labels("a", 1), second * 1000, second as f64)]);
        store.maintain().unwrap();
    }
    let name = SeriesAdmin::snapshot(&store).unwrap();
    assert_eq!(snapshots(dir.path()), std::slice::from_ref(&name));
    // One that fails takes away what it has made.
    let block = walk(dir.path()).into_iter().find(|path| {
        path.parent() == Some(dir.path()) && path.extension().is_some_and(|end| end == "block")
    });
    let block = block.unwrap();
    std::fs::rename(&block, block.with_extension("hidden")).unwrap();
    clock.advance(Duration::from_secs(1));
    SeriesAdmin::snapshot(&store).unwrap_err();
    assert_eq!(snapshots(dir.path()), std::slice::from_ref(&name));
    std::fs::rename(block.with_extension("hidden"), &block).unwrap();
    drop(store);
    // What a kill leaves.
    let left = dir.path().join("snapshots/1700000009999.unfinished/journal");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("x"), "x").unwrap();
    let (store, _) = open_with(dir.path(), small());
    assert_eq!(snapshots(dir.path()), std::slice::from_ref(&name));
    let all = read(&store, vec![]);
    let (copy, _) = open_with(&dir.path().join("snapshots").join(name), small());
    assert_eq!(read(&copy, vec![]), all);
}

#[test]
fn a_snapshot_stands_under_another_name_while_it_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), small());
    write(&store, vec![point(&store, &labels("a", 1), 0, 1.0)]);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watches = scope.spawn(|| {
            while !is_done.load(Ordering::SeqCst) {
                for name in snapshots(dir.path()).iter().filter(|name| !name.contains('.')) {
                    assert!(dir.path().join("snapshots").join(name).join("manifest").is_file());
                }
            }
        });
        for number in 0..20 {
            store.snapshot(&dir.path().join("snapshots").join(number.to_string())).unwrap();
        }
        is_done.store(true, Ordering::SeqCst);
        watches.join().unwrap();
    });
    assert_eq!(snapshots(dir.path()).len(), 20);
}
