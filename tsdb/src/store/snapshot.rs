//! Snapshots: consistent copies of the store that cost little room. One has its name when it is
//! whole; until then, and after a kill for ever, it has another, by which the next start removes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk::files::{create_folders, sync_folder};

use crate::error::{Error, Result};
use crate::manifest::{block_file, checkpoint_file};
use crate::store::{JOURNAL_FOLDER, Maintenance, Tsdb};

/// Snapshots for operators are made here, beside the files they link.
pub(super) const SNAPSHOT_FOLDER: &str = "snapshots";

/// What the name of a snapshot that is not whole ends with.
const UNFINISHED: &str = "unfinished";

impl Tsdb {
    /// A consistent copy of the store in `to`, which must not exist, made of hard links where files
    /// never change. The store goes on meanwhile; what is acknowledged before the call is in the
    /// copy. Opening the copy as a store restores it. Durable on return, and after an error nothing
    /// is left of it.
    pub fn snapshot(&self, to: &Path) -> Result<()> {
        self.check_loaded()?;
        let mut maintenance = self.maintenance.lock();
        let unfinished = to.with_extension(UNFINISHED);
        let made = self.copy_to(&unfinished, &mut maintenance).and_then(|()| {
            std::fs::rename(&unfinished, to).map_err(Error::io("rename", &unfinished))?;
            to.parent().map_or(Ok(()), sync_folder).map_err(Error::io("sync", to))
        });
        made.inspect_err(|_| {
            std::fs::remove_dir_all(&unfinished).ok();
        })
    }

    fn copy_to(&self, to: &Path, maintenance: &mut Maintenance) -> Result<()> {
        self.checkpoint(maintenance)?;
        create_folders(&to.join(JOURNAL_FOLDER)).map_err(Error::io("create", to))?;
        let manifest = self.manifest.lock().clone();
        let link = |name: &str| {
            let (from, to) = (self.dir.join(name), to.join(name));
            std::fs::hard_link(&from, &to)
                .or_else(|_| std::fs::copy(&from, &to).map(drop))
                .map_err(Error::io("link", from))
        };
        for entry in &manifest.blocks {
            link(&block_file(entry.number))?;
        }
        if let Some(number) = manifest.checkpoint {
            link(&checkpoint_file(number))?;
        }
        // What came while the checkpoint was written stands in closed segments after this.
        self.journal.roll();
        let (_, commit) =
            self.journal.append(crate::record::BATCH, self.empty_record(), i64::MIN)?;
        commit
            .wait()
            .map_err(|error| Error::Corrupt { path: self.dir.clone(), what: error.to_string() })?;
        for segment in self.journal.closed_segments() {
            let name = segment.path().file_name().unwrap_or_default().to_string_lossy();
            link(&format!("{JOURNAL_FOLDER}/{name}"))?;
        }
        manifest.write(to, self.files())?;
        sync_folder(&to.join(JOURNAL_FOLDER)).map_err(Error::io("sync", to))
    }

    /// A record that says nothing.
    fn empty_record(&self) -> Arc<Vec<u8>> {
        let mut live = self.live.write();
        let sequence = live.next_sequence;
        live.next_sequence += 1;
        let batch = crate::record::encode_batch(&model::write::SeriesBatch::default());
        Arc::new(crate::record::with_news(sequence, &Default::default(), &[], batch))
    }
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
