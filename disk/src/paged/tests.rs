//! Tests of paged files: round trips, damage, faults, the bound of the cache.

use proptest::prelude::*;

use super::*;
use crate::faults::Faults;
use crate::files::RealFiles;

fn write(path: &Path, bytes: &[u8], step: usize) -> u64 {
    let mut writer = PagedWriter::create(&RealFiles, path).unwrap();
    for part in bytes.chunks(step) {
        writer.write(part).unwrap();
    }
    assert_eq!(writer.position(), bytes.len() as u64);
    writer.finish().unwrap()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 % 251) as u8).collect()
}

#[test]
fn what_was_written_is_read_at_any_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for length in [0, 1, PAGE_BYTES - 1, PAGE_BYTES, PAGE_BYTES + 1, 70 * PAGE_BYTES + 5] {
        let bytes = pattern(length);
        let size = write(&path, &bytes, 10_007);
        assert_eq!(size, std::fs::metadata(&path).unwrap().len());
        let file = PagedFile::open(&path, PageCache::new(1 << 20)).unwrap();
        assert_eq!((file.length(), file.size()), (length as u64, size));
        assert_eq!(file.read(0, length).unwrap(), bytes);
        for offset in (0..length).step_by(9973) {
            let taken = (length - offset).min(3 * PAGE_BYTES / 2);
            assert_eq!(*file.view(offset as u64, taken).unwrap(), bytes[offset..offset + taken]);
        }
        assert!(file.read(length as u64, 1).is_err());
        assert!(file.read(u64::MAX, 2).is_err());
    }
}

#[test]
fn a_cut_file_is_found_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write(&path, &pattern(2 * PAGE_BYTES + 100), 4096);
    let whole = std::fs::read(&path).unwrap();
    for cut in (0..whole.len()).step_by(997).chain(whole.len() - 40..whole.len()) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let error = PagedFile::open(&path, PageCache::new(0)).unwrap_err();
        assert_eq!(error.kind(), model::ErrorKind::Corrupt, "cut at {cut}");
    }
}

#[test]
fn swapped_pages_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write(&path, &pattern(2 * PAGE_BYTES), 4096);
    let whole = std::fs::read(&path).unwrap();
    let stored = STORED_BYTES as usize;
    let swapped = [&whole[stored..2 * stored], &whole[..stored], &whole[2 * stored..]].concat();
    std::fs::write(&path, swapped).unwrap();
    let file = PagedFile::open(&path, PageCache::new(1 << 20)).unwrap();
    let error = file.read(PAGE_BYTES as u64, 1).unwrap_err().to_string();
    assert!(error.contains("wrong checksum at offset 16388"), "{error}");
}

#[test]
fn a_writer_that_fails_or_is_dropped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let is_empty = || std::fs::read_dir(folder.path()).unwrap().next().is_none();

    let faults = Faults::default();
    faults.disk_full_after(300 << 10);
    let mut writer = PagedWriter::create(&*faults.files(), &path).unwrap();
    let failed = (0..100).find_map(|_| writer.write(&pattern(10_000)).err()).unwrap();
    assert!(failed.to_string().contains("injected fault"), "{failed}");
    drop(writer);
    assert!(is_empty());

    let faults = Faults::default();
    faults.fail_syncs();
    let mut writer = PagedWriter::create(&*faults.files(), &path).unwrap();
    writer.write(b"bytes").unwrap();
    assert!(writer.finish().is_err());
    assert!(is_empty());

    drop(PagedWriter::create(&RealFiles, &path).unwrap());
    assert!(is_empty());
}

#[test]
fn the_rest_of_an_earlier_attempt_is_no_hindrance() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file.tmp"), "old").unwrap();
    let path = folder.path().join("file");
    write(&path, b"new", 1);
    let file = PagedFile::open(&path, PageCache::new(0)).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(file.read(0, 3).unwrap(), b"new");
}

#[test]
fn the_cache_keeps_its_bound_and_forgets_closed_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let bytes = pattern(200 * PAGE_BYTES);
    write(&path, &bytes, bytes.len());
    let limit = 64 * PAGE_BYTES;
    let cache = PageCache::new(limit);
    let file = PagedFile::open(&path, Arc::clone(&cache)).unwrap();
    for page in 0..200u64 {
        assert_eq!(file.view(page * PAGE_BYTES as u64, 10).unwrap().len(), 10);
        assert!(cache.stats().bytes <= limit as u64);
    }
    let before = cache.stats();
    assert_eq!((before.hits, before.misses), (0, 200));
    assert!(before.pages > 32, "{before:?}");
    file.view(199 * PAGE_BYTES as u64, 10).unwrap();
    assert_eq!(cache.stats().hits, 1);
    drop(file);
    assert_eq!((cache.stats().bytes, cache.stats().pages), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..Default::default() })]

    #[test]
    fn a_flipped_bit_is_never_read(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let bytes = pattern(PAGE_BYTES + 500);
        write(&path, &bytes, 4096);
        let mut stored = std::fs::read(&path).unwrap();
        let at = at.index(stored.len());
        stored[at] ^= 1 << bit;
        std::fs::write(&path, &stored).unwrap();
        let found = PagedFile::open(&path, PageCache::new(1 << 20))
            .and_then(|file| file.read(0, bytes.len()));
        prop_assert!(found.is_err());
    }

    #[test]
    fn arbitrary_bytes_are_no_file(bytes: Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, &bytes).unwrap();
        prop_assert!(PagedFile::open(&path, PageCache::new(0)).is_err());
    }
}
