//! The manifest: which files make up the store, and the few facts that are no samples. It is
//! replaced whole, and it alone says what counts: a file that it does not name is removed at start.
//! `docs/formats/manifest.md` describes it.

use std::path::Path;

use disk::files::Files;
use disk::manifest;
use serde::{Deserialize, Serialize};

use crate::block::BlockMeta;
use crate::delete::Deletion;
use crate::error::{Error, Result};

const VERSION: u32 = 1;

/// Which samples a block file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BlockKind {
    /// Samples as they came.
    Raw,
    /// Summaries of the samples of a raw block. It has the series of that block, in the same order.
    Rollup {
        /// The length of a bucket.
        resolution_ms: i64,
        /// The number of the raw block.
        of: u64,
    },
}

/// One block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct BlockEntry {
    /// Names the file.
    pub(crate) number: u64,
    pub(crate) kind: BlockKind,
    /// How often its samples were merged: 0 as sealed.
    pub(crate) level: u32,
    /// The highest number of a sealed block whose samples are in it. Of two blocks with samples at
    /// one time the higher wins, and deletions go by it.
    pub(crate) newest_seal: u64,
    /// Retention rules that were applied to all of it.
    #[serde(default)]
    pub(crate) applied_rules: Vec<String>,
    /// Deletions whose samples are not in it any more.
    #[serde(default)]
    pub(crate) applied_deletions: Vec<u64>,
    /// On the wall clock.
    pub(crate) made_at: i64,
    pub(crate) meta: BlockMeta,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    version: u32,
    /// The next number for a file.
    pub(crate) next_number: u64,
    pub(crate) blocks: Vec<BlockEntry>,
    /// The number of the head's checkpoint.
    pub(crate) checkpoint: Option<u64>,
    /// Higher than that of any record whose samples the checkpoint has.
    #[serde(default)]
    pub(crate) next_sequence: u64,
    pub(crate) deletions: Vec<Deletion>,
}

impl Default for Manifest {
    fn default() -> Self {
        Manifest {
            version: VERSION,
            next_number: 1,
            blocks: Vec::new(),
            checkpoint: None,
            next_sequence: 0,
            deletions: Vec::new(),
        }
    }
}

impl Manifest {
    /// Reads the manifest in `dir`, or makes the first one of a new store. A folder that lost its
    /// manifest is refused: without one all its files would be taken for what a crash left behind.
    pub(crate) fn open(dir: &Path, files: &dyn Files) -> Result<Manifest> {
        if let Some(manifest) = Manifest::read(dir)? {
            return Ok(manifest);
        }
        for entry in std::fs::read_dir(dir).map_err(Error::io("list", dir))? {
            let name = entry.map_err(Error::io("list", dir))?.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(".block") || name.ends_with(".head") {
                let what = format!("is missing, but {name} is there; put it back from a backup");
                return Err(Error::Corrupt { path: dir.join(manifest::FILE), what });
            }
        }
        let manifest = Manifest::default();
        manifest.write(dir, files)?;
        Ok(manifest)
    }

    /// Reads the manifest in `dir`, if there is one.
    fn read(dir: &Path) -> Result<Option<Manifest>> {
        let Some(json) = manifest::read(dir)? else { return Ok(None) };
        let wrong = |what: String| Error::Corrupt { path: dir.join(manifest::FILE), what };
        let manifest: Manifest =
            serde_json::from_str(&json).map_err(|error| wrong(error.to_string()))?;
        if manifest.version != VERSION {
            let version = manifest.version;
            return Err(wrong(format!("version {version} is not supported, {VERSION} is")));
        }
        Ok(Some(manifest))
    }

    /// Replaces the manifest in `dir`. Durable on return. After an error either manifest may stand on
    /// the disk: before a file that only the new one names is removed, ask [`may_name`].
    pub(crate) fn write(&self, dir: &Path, files: &dyn Files) -> Result<()> {
        let json = serde_json::to_string_pretty(self).map_err(|error| {
            let path = dir.join(manifest::FILE);
            Error::Corrupt { path, what: error.to_string() }
        })?;
        Ok(manifest::write(dir, &json, files)?)
    }

    fn names(&self, file: &str) -> bool {
        self.blocks.iter().any(|block| block_file(block.number) == file)
            || self.checkpoint.is_some_and(|number| checkpoint_file(number) == file)
    }

    pub(crate) fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }
}

/// The file of a block.
pub(crate) fn block_file(number: u64) -> String {
    format!("{number:012}.block")
}

/// The file of a checkpoint.
pub(crate) fn checkpoint_file(number: u64) -> String {
    format!("{number:012}.head")
}

/// Whether the manifest in `dir` names a file, or can not be read and so may name it.
pub(crate) fn may_name(dir: &Path, file: &str) -> bool {
    match Manifest::read(dir) {
        Ok(manifest) => manifest.is_some_and(|manifest| manifest.names(file)),
        Err(_) => true,
    }
}

/// Removes files of ours in `dir` that the manifest does not name: what a crash left behind. Answers
/// their names.
pub(crate) fn remove_strays(dir: &Path, manifest: &Manifest) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let entry = entry.map_err(Error::io("list", dir))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_ours = [".block", ".head", ".tmp"].iter().any(|end| name.ends_with(end));
        if is_ours && !manifest.names(&name) {
            std::fs::remove_file(entry.path()).map_err(Error::io("remove", entry.path()))?;
            removed.push(name);
        }
    }
    Ok(removed)
}
