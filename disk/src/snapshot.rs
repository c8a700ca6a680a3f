//! Snapshots: copies of a store that cost little room. One has its name when it is whole; until then,
//! and after a kill for ever, it has another, by which the next start removes it.

use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::files::sync_folder;

/// Snapshots for operators are made here, beside the files they link.
pub const FOLDER: &str = "snapshots";

/// What the name of a snapshot that is not whole ends with.
const UNFINISHED: &str = "unfinished";

/// Has `copy` fill a folder, which then gets the name `to`. Durable on return; after an error nothing
/// is left of it.
pub fn make<E: From<Error>>(to: &Path, copy: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let unfinished = to.with_extension(UNFINISHED);
    let made = copy(&unfinished).and_then(|()| {
        std::fs::rename(&unfinished, to).map_err(Error::io("rename", &unfinished))?;
        Ok(to.parent().map_or(Ok(()), sync_folder).map_err(Error::io("sync", to))?)
    });
    made.inspect_err(|_| {
        std::fs::remove_dir_all(&unfinished).ok();
    })
}

/// Gives a file that never changes a second name, or copies it where that can not be.
pub fn link(from: &Path, to: &Path) -> Result<()> {
    std::fs::hard_link(from, to)
        .or_else(|_| std::fs::copy(from, to).map(drop))
        .map_err(Error::io("link", from))
}

/// Removes what snapshots that were never finished have left in the store in `dir`.
pub fn remove_unfinished(dir: &Path) -> Result<()> {
    let folder = dir.join(FOLDER);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("list", &folder)(error)),
    };
    let paths: io::Result<Vec<_>> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    for path in paths.map_err(Error::io("list", &folder))? {
        if path.extension().is_some_and(|end| end == UNFINISHED) {
            std::fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}
