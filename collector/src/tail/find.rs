//! Files by patterns.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

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
    let mut paths: Vec<PathBuf> = patterns.iter().flat_map(|pattern| expand(pattern)).collect();
    paths.sort();
    paths.dedup();
    paths.retain(|path| !exclude.iter().any(|pattern| path_matches(pattern, path)));
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

fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let text = component.as_os_str().to_string_lossy();
        if !text.contains(['*', '?']) || !matches!(component, Component::Normal(_)) {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        }
        found = found.iter().flat_map(|folder| matching(folder, &text)).collect();
    }
    found
}

fn matching(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(here) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name());
    names
        .filter(|name| matches(pattern, &name.to_string_lossy()))
        .map(|name| folder.join(name))
        .collect()
}

fn path_matches(pattern: &Path, path: &Path) -> bool {
    let (mut pattern, mut path) = (pattern.components(), path.components());
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(found)) => {
                let wanted = wanted.as_os_str().to_string_lossy();
                if !matches(&wanted, &found.as_os_str().to_string_lossy()) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

/// Whether `name` is `pattern`, in which `*` stands for any text and `?` for any character. In time
/// of the product of their lengths.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut in_name) = (0, 0);
    // Where to go on if the text after the last star does not match here.
    let mut retry: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some('*') => {
                at += 1;
                retry = Some((at, in_name));
            }
            Some(c) if *c == '?' || *c == name[in_name] => (at, in_name) = (at + 1, in_name + 1),
            _ => {
                let Some((after_star, tried)) = retry else { return false };
                retry = Some((after_star, tried + 1));
                (at, in_name) = (after_star, tried + 1);
            }
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_text_of_one_part_of_a_path() {
        for (pattern, name, expected) in [
            ("*.log", "a.log", true),
            ("*.log", "a.log.1", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("**", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

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
