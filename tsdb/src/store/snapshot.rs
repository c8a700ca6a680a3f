//! Snapshots: consistent copies of the store that cost little room. One has its name when it is
//! whole; until then, and after a kill for ever, it has another, by which the next start removes it.

use std::path::Path;
use std::sync::Arc;

use disk::files::{create_folders, sync_folder};

use crate::error::{Error, Result};
use crate::manifest::{block_file, checkpoint_file};
use crate::store::{JOURNAL_FOLDER, Maintenance, Tsdb};

impl Tsdb {
    /// A consistent copy of the store in `to`, which must not exist, made of hard links where files
    /// never change. The store goes on meanwhile; what is acknowledged before the call is in the
    /// copy. Opening the copy as a store restores it. Durable on return, and after an error nothing
    /// is left of it.
    pub fn snapshot(&self, to: &Path) -> Result<()> {
        self.check_loaded()?;
        let mut maintenance = self.maintenance.lock();
        disk::snapshot::make(to, |unfinished| self.copy_to(unfinished, &mut maintenance))
    }

    fn copy_to(&self, to: &Path, maintenance: &mut Maintenance) -> Result<()> {
        self.checkpoint(maintenance)?;
        create_folders(&to.join(JOURNAL_FOLDER)).map_err(Error::io("create", to))?;
        let manifest = self.manifest.lock().clone();
        let link = |name: &str| disk::snapshot::link(&self.dir.join(name), &to.join(name));
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
