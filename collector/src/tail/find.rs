//! Files by patterns.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::glob;

/// What a file is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl FileId {
    pub(super) fn of(metadata: &Metadata) -> Self {
        FileId { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// The files that match one of `patterns` and none of `exclude`, in order of path, each file once.
pub(super) fn find(patterns: &[PathBuf], exclude: &[PathBuf]) -> Vec<(PathBuf, FileId)> {
    let found = patterns.iter().filter_map(|pattern| glob::files(pattern).ok());
    let mut paths: Vec<PathBuf> = found.flatten().collect();
    paths.sort();
    paths.dedup();
    paths.retain(|path| !exclude.iter().any(|pattern| glob::path_matches(pattern, path)));
    let mut found: Vec<(PathBuf, FileId)> = Vec::new();
    for path in paths {
        let Some(id) = file_id(&path) else { continue };
        // Another name of the same file: Kubernetes links container logs twice.
        if found.iter().all(|(_, known)| *known != id) {
            found.push((path, id));
        }
    }
    found
}

/// What stands under a path now; follows links, as readers do.
pub(super) fn file_id(path: &Path) -> Option<FileId> {
    let metadata = std::fs::metadata(path).ok()?;
    metadata.is_file().then(|| FileId::of(&metadata))
}

/// Where a file is that was called `path` and may have been renamed within its folder.
pub(super) fn find_renamed(path: &Path, id: FileId) -> Option<PathBuf> {
    if file_id(path) == Some(id) {
        return Some(path.to_owned());
    }
    let entries = std::fs::read_dir(path.parent()?).ok()?;
    entries.flatten().map(|entry| entry.path()).find(|path| file_id(path) == Some(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_once_without_those_that_are_excluded() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, name).unwrap();
            path
        };
        let (a, b, _) = (file("x/a.log"), file("y/b.log"), file("y/b.log.gz"));
        std::os::unix::fs::symlink(&a, dir.path().join("y/a-link.log")).unwrap();
        let patterns = [dir.path().join("*/*.log"), dir.path().join("x/a.log")];
        let paths = |exclude: &[PathBuf]| -> Vec<PathBuf> {
            find(&patterns, exclude).into_iter().map(|(path, _)| path).collect()
        };
        assert_eq!(paths(&[]), [a.clone(), b.clone()]);
        assert_eq!(paths(&[dir.path().join("*/b*")]), [a]);
        let id = file_id(&b).unwrap();
        let renamed = dir.path().join("y/b.log.1");
        std::fs::rename(&b, &renamed).unwrap();
        assert_eq!(find_renamed(&b, id), Some(renamed));
    }
}
