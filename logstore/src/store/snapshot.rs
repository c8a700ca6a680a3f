//! Snapshots: consistent copies of the store that cost little room. One has its name when it is
//! whole; until then, and after a kill for ever, it has another, by which the next start removes
//! it.

use std::path::Path;
use std::sync::Arc;

use disk::files::{create_folders, sync_folder};
use disk::snapshot::link;
use model::write::LogBatch;

use crate::error::{Error, Result};
use crate::manifest::part_folder;
use crate::record;
use crate::store::{JOURNAL_FOLDER, LogStore};

impl LogStore {
    /// A consistent copy of the store in `to`, which must not exist, made of hard links to files
    /// that never change. The store goes on meanwhile; what is acknowledged before the call is in
    /// the copy. Opening the copy as a store restores it. Durable on return, and after an error
    /// nothing is left of it.
    pub fn snapshot(&self, to: &Path) -> Result<()> {
        // Nobody seals: no segment of the journal goes before it is linked.
        let _sealing = self.sealing.lock();
        disk::snapshot::make(to, |unfinished| self.copy_to(unfinished))
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
        self.snapshot(&self.dir.join(disk::snapshot::FOLDER).join(&name))?;
        Ok(name)
    }
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
