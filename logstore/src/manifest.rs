//! The manifest: which parts make up the store, which arrivals they cover, and what is deleted. It
//! is replaced whole, and it alone says what counts: a part that it does not name is removed at
//! start. `docs/formats/log-manifest.md` describes it.

use std::path::Path;

use disk::files::Files;
use disk::manifest;
use serde::{Deserialize, Serialize};

use crate::deletion::Deletion;
use crate::error::{Error, Result};

const VERSION: u32 = 1;

/// One part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartEntry {
    /// Names the folder.
    pub(crate) number: u64,
    /// The day of its records, in days since the epoch (UTC), or `None` if it has some of several.
    pub(crate) day: Option<i64>,
    pub(crate) rows: u64,
    /// Deletions whose records are not in it any more.
    #[serde(default)]
    pub(crate) applied_deletions: Vec<u64>,
    /// On the wall clock, in milliseconds.
    pub(crate) made_at: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    version: u32,
    /// The next number of a part or a deletion.
    pub(crate) next_number: u64,
    /// Records of the journal that arrived before are in parts, or were dropped from them.
    pub(crate) sealed_arrivals: u64,
    /// No record that arrives after a start gets a number under this one.
    pub(crate) next_arrival: u64,
    pub(crate) parts: Vec<PartEntry>,
    pub(crate) deletions: Vec<Deletion>,
}

impl Default for Manifest {
    fn default() -> Self {
        Manifest {
            version: VERSION,
            next_number: 1,
            sealed_arrivals: 0,
            next_arrival: 0,
            parts: Vec::new(),
            deletions: Vec::new(),
        }
    }
}

impl Manifest {
    /// Reads the manifest in `dir`, or makes the first one of a new store. A folder that lost its
    /// manifest is refused: without one all its parts would be taken for what a crash left behind.
    pub(crate) fn open(dir: &Path, files: &dyn Files) -> Result<Manifest> {
        if let Some(manifest) = Manifest::read(dir)? {
            return Ok(manifest);
        }
        for name in names_in(dir)? {
            if name.ends_with(PART_END) {
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

    /// Replaces the manifest in `dir`. Durable on return. After an error either manifest may stand
    /// on the disk: before a part that only the new one names is removed, ask [`may_name`].
    pub(crate) fn write(&self, dir: &Path, files: &dyn Files) -> Result<()> {
        let json = serde_json::to_string_pretty(self).map_err(|error| {
            let path = dir.join(manifest::FILE);
            Error::Corrupt { path, what: error.to_string() }
        })?;
        Ok(manifest::write(dir, &json, files)?)
    }

    fn names(&self, folder: &str) -> bool {
        self.parts.iter().any(|part| part_folder(part.number) == folder)
    }

    pub(crate) fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }
}

const PART_END: &str = ".part";

/// The folder of a part.
pub(crate) fn part_folder(number: u64) -> String {
    format!("{number:012}{PART_END}")
}

/// Whether the manifest in `dir` names a part, or can not be read and so may name it.
pub(crate) fn may_name(dir: &Path, number: u64) -> bool {
    match Manifest::read(dir) {
        Ok(manifest) => manifest.is_some_and(|manifest| manifest.names(&part_folder(number))),
        Err(_) => true,
    }
}

fn names_in(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let name = entry.map_err(Error::io("list", dir))?.file_name();
        names.extend(name.into_string().ok());
    }
    Ok(names)
}

/// Removes parts in `dir` that the manifest does not name: what a crash left behind.
pub(crate) fn remove_strays(dir: &Path, manifest: &Manifest) -> Result<()> {
    for name in names_in(dir)? {
        let path = dir.join(&name);
        if name.ends_with(PART_END) && !manifest.names(&name) {
            std::fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
        } else if name.ends_with(".tmp") {
            std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}
