//! Snapshots: consistent copies of the store that cost little room. One has its name when it is
//! whole; until then, and after a kill for ever, it has another, by which the next start removes
//! it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk::files::{create_folders, sync_folder};
use model::write::LogBatch;

use crate::error::{Error, Result};
use crate::manifest::part_folder;
use crate::record;
use crate::store::{JOURNAL_FOLDER, LogStore};

/// Snapshots for operators are made here, beside the files they link.
const SNAPSHOT_FOLDER: &str = "snapshots";

/// What the name of a snapshot that is not whole ends with.
const UNFINISHED: &str = "unfinished";

impl LogStore {
    /// A consistent copy of the store in `to`, which must not exist, made of hard links to files
    /// that never change. The store goes on meanwhile; what is acknowledged before the call is in
    /// the copy. Opening the copy as a store restores it. Durable on return, and after an error
    /// nothing is left of it.
    pub fn snapshot(&self, to: &Path) -> Result<()> {
        // Nobody seals: no segment of the journal goes before it is linked.
        let _sealing = self.sealing.lock();
        let unfinished = to.with_extension(UNFINISHED);
        let made = self.copy_to(&unfinished).and_then(|()| {
            std::fs::rename(&unfinished, to).map_err(Error::io("rename", &unfinished))?;
            to.parent().map_or(Ok(()), sync_folder).map_err(Error::io("sync", to))
        });
        made.inspect_err(|_| {
            std::fs::remove_dir_all(&unfinished).ok();
        })
    }

    fn copy_to(&self, to: &Path) -> Result<()> {
        create_folders(&to.join(JOURNAL_FOLDER)).map_err(Error::io("create", to))?;
        // What is acknowledged stands in closed segments after this.
        self.journal.roll();
        self.append_nothing()?;
        for segment in self.journal.closed_segments() {
            let name = segment.path().file_name().unwrap_or_default();
            link(segment.path(), &to.join(JOURNAL_FOLDER).join(name))?;
        }
        sync_folder(&to.join(JOURNAL_FOLDER)).map_err(Error::io("sync", to))?;
        // Held, so that the parts it names stay.
        let manifest = self.manifest.lock();
        for entry in &manifest.parts {
            let name = part_folder(entry.number);
            link_folder(&self.dir.join(&name), &to.join(&name))?;
        }
        manifest.write(to, &**self.files())
    }

    /// Waits for the disk with a record that says nothing.
    fn append_nothing(&self) -> Result<()> {
        let commit = {
            let live = self.live.write();
            let (mut payload, _) = record::encode(&LogBatch::default(), |_| None, |_, _| false);
            record::set_first_arrival(&mut payload, live.next_arrival);
            self.journal.append(record::BATCH, Arc::new(payload), i64::MIN)?.1
        };
        Ok(commit.wait()?)
    }

    /// Makes a snapshot beside the store and answers its name.
    pub fn snapshot_here(&self) -> Result<String> {
        let name = format!("{:013}", self.clock.now_ms().0);
        self.snapshot(&self.dir.join(SNAPSHOT_FOLDER).join(&name))?;
        Ok(name)
    }
}

fn link(from: &Path, to: &Path) -> Result<()> {
    std::fs::hard_link(from, to)
        .or_else(|_| std::fs::copy(from, to).map(drop))
        .map_err(Error::io("link", from))
}

/// Links all files of a folder and of those in it.
fn link_folder(from: &Path, to: &Path) -> Result<()> {
    create_folders(to).map_err(Error::io("create", to))?;
    for entry in std::fs::read_dir(from).map_err(Error::io("list", from))? {
        let entry = entry.map_err(Error::io("list", from))?;
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            link_folder(&entry.path(), &to)?;
        } else {
            link(&entry.path(), &to)?;
        }
    }
    sync_folder(to).map_err(Error::io("sync", to))
}

/// Removes what snapshots that were never finished have left in the store in `dir`.
pub(super) fn remove_unfinished(dir: &Path) -> Result<()> {
    let folder = dir.join(SNAPSHOT_FOLDER);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("list", &folder)(error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let paths: std::io::Result<Vec<PathBuf>> = paths.collect();
    for path in paths.map_err(Error::io("list", &folder))? {
        if path.extension().is_some_and(|end| end == UNFINISHED) {
            std::fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}
