//! The manifest: which files make up the store, and the few facts that are no samples. It is
//! replaced whole, and it alone says what counts: a file that it does not name is removed at start.
//! `docs/formats/manifest.md` describes it.

use std::io::Write;
use std::path::Path;

use disk::files::sync_folder;
use serde::{Deserialize, Serialize};

use crate::block::BlockMeta;
use crate::delete::Deletion;
use crate::error::{Error, Result};

const FILE: &str = "manifest";
const TEMPORARY: &str = "manifest.tmp";
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
    pub(crate) deletions: Vec<Deletion>,
}

impl Default for Manifest {
    fn default() -> Self {
        Manifest {
            version: VERSION,
            next_number: 1,
            blocks: Vec::new(),
            checkpoint: None,
            deletions: Vec::new(),
        }
    }
}

impl Manifest {
    /// Reads the manifest in `dir`; a folder without one is a new store.
    pub(crate) fn read(dir: &Path) -> Result<Manifest> {
        let path = dir.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Manifest::default());
            }
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let wrong = |what: String| Error::Corrupt { path: path.clone(), what };
        let text = std::str::from_utf8(&bytes).map_err(|error| wrong(error.to_string()))?;
        let Some((json, checksum)) = text.trim_end().rsplit_once('\n') else {
            return Err(wrong("expected a line with the checksum".to_owned()));
        };
        let expected = format!("{:08x}", checksum_of(json));
        if checksum != expected {
            return Err(wrong(format!("the checksum is {checksum}, expected {expected}")));
        }
        let manifest: Manifest =
            serde_json::from_str(json).map_err(|error| wrong(error.to_string()))?;
        if manifest.version != VERSION {
            let version = manifest.version;
            return Err(wrong(format!("version {version} is not supported, {VERSION} is")));
        }
        Ok(manifest)
    }

    /// Replaces the manifest in `dir`. Durable on return.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        let temporary = dir.join(TEMPORARY);
        let json = serde_json::to_string_pretty(self)
            .map_err(|error| Error::Corrupt { path: temporary.clone(), what: error.to_string() })?;
        let text = format!("{json}\n{:08x}\n", checksum_of(&json));
        let mut file =
            std::fs::File::create(&temporary).map_err(Error::io("create", &temporary))?;
        file.write_all(text.as_bytes()).map_err(Error::io("write", &temporary))?;
        file.sync_all().map_err(Error::io("sync", &temporary))?;
        std::fs::rename(&temporary, dir.join(FILE)).map_err(Error::io("rename", &temporary))?;
        sync_folder(dir).map_err(Error::io("sync", dir))
    }

    pub(crate) fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }
}

fn checksum_of(json: &str) -> u32 {
    crc32c::crc32c(json.as_bytes())
}

/// The file of a block.
pub(crate) fn block_file(number: u64) -> String {
    format!("{number:012}.block")
}

/// The file of a checkpoint.
pub(crate) fn checkpoint_file(number: u64) -> String {
    format!("{number:012}.head")
}

/// Removes files of ours in `dir` that the manifest does not name: what a crash left behind. Answers
/// their names.
pub(crate) fn remove_strays(dir: &Path, manifest: &Manifest) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let entry = entry.map_err(Error::io("list", dir))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_ours = [".block", ".head", ".tmp"].iter().any(|end| name.ends_with(end));
        let is_named = manifest.blocks.iter().any(|block| block_file(block.number) == name)
            || manifest.checkpoint.is_some_and(|number| checkpoint_file(number) == name);
        if is_ours && !is_named {
            std::fs::remove_file(entry.path()).map_err(Error::io("remove", entry.path()))?;
            removed.push(name);
        }
    }
    Ok(removed)
}
