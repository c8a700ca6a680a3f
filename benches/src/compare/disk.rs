//! What a store has on disk, by what it is for.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path};

use anyhow::Context as _;

use super::store::Store;

/// What the bytes of a file are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Values of samples alone.
    Values,
    /// Times of samples alone.
    Times,
    /// Values and times in one stream.
    Samples,
    /// All of what is stored in one file.
    Block,
    /// Where the blocks of samples are.
    BlockIndex,
    /// Labels and what finds series by them.
    LabelIndex,
    /// Only read after a crash.
    Recovery,
    /// All else.
    Other,
}

impl Kind {
    /// The name in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Values => "values",
            Kind::Times => "times",
            Kind::Samples => "values and times",
            Kind::Block => "blocks with their labels",
            Kind::BlockIndex => "block index",
            Kind::LabelIndex => "label index",
            Kind::Recovery => "recovery",
            Kind::Other => "other",
        }
    }

    /// Whether it grows with samples, not with series.
    pub(super) fn is_of_samples(self) -> bool {
        matches!(self, Kind::Values | Kind::Times | Kind::Samples | Kind::BlockIndex)
    }
}

/// Bytes of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Lengths of files.
    pub(super) by_kind: BTreeMap<Kind, u64>,
    /// What all files take on disk, in whole blocks of the file system.
    pub(super) on_disk: u64,
}

impl Usage {
    /// Lengths of all files of these kinds.
    pub(super) fn bytes(&self, of: impl Fn(Kind) -> bool) -> u64 {
        self.by_kind.iter().filter(|(kind, _)| of(**kind)).map(|(_, bytes)| bytes).sum()
    }

    /// Reads the folder of a store. A file that goes while we look is not counted.
    ///
    /// # Errors
    ///
    /// When the folder can not be read.
    pub(super) fn read(store: Store, folder: &Path) -> anyhow::Result<Self> {
        let mut usage = Usage::default();
        usage.add_folder(store, folder, folder)?;
        Ok(usage)
    }

    fn add_folder(&mut self, store: Store, root: &Path, folder: &Path) -> anyhow::Result<()> {
        let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
        for entry in entries.flatten() {
            let (path, Ok(metadata)) = (entry.path(), entry.metadata()) else { continue };
            if metadata.is_dir() {
                // It may go as well.
                self.add_folder(store, root, &path).ok();
                continue;
            }
            // Blocks are of 512 bytes here whatever those of the file system are.
            self.on_disk += metadata.blocks() * 512;
            let kind = kind(store, path.strip_prefix(root).unwrap_or(&path));
            *self.by_kind.entry(kind).or_default() += metadata.len();
        }
        Ok(())
    }
}

/// What the file at `path` below the data folder of `store` is for.
fn kind(store: Store, path: &Path) -> Kind {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
    let is_under =
        |folder: &str| path.components().any(|part| part == Component::Normal(folder.as_ref()));
    match store {
        Store::Prometheus => match name {
            _ if is_under("wal") || is_under("wbl") || is_under("chunks_head") => Kind::Recovery,
            _ if is_under("chunks") => Kind::Samples,
            "index" => Kind::LabelIndex,
            _ => Kind::Other,
        },
        Store::VictoriaMetrics => match name {
            _ if is_under("cache") => Kind::Other,
            _ if is_under("indexdb") => Kind::LabelIndex,
            "values.bin" => Kind::Values,
            "timestamps.bin" => Kind::Times,
            "index.bin" | "metaindex.bin" => Kind::BlockIndex,
            _ => Kind::Other,
        },
        Store::Loki if is_under("wal") => Kind::Recovery,
        Store::VictoriaLogs | Store::Loki => Kind::Block,
        // A part of logs is a folder.
        Store::Ours if path.to_string_lossy().contains(".part") => Kind::Block,
        // What is in a block is told apart only by what the merge answers.
        Store::Ours => match path.extension().and_then(|extension| extension.to_str()) {
            Some("block") => Kind::Block,
            // A checkpoint of the head and the journal.
            Some("head" | "journal") => Kind::Recovery,
            _ => Kind::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_where_they_are() {
        let kind = |store, path: &str| kind(store, Path::new(path));
        let (prometheus, victoria) = (Store::Prometheus, Store::VictoriaMetrics);
        assert_eq!(kind(prometheus, "wal/00000001"), Kind::Recovery);
        assert_eq!(kind(prometheus, "chunks_head/000001"), Kind::Recovery);
        assert_eq!(kind(prometheus, "01K/chunks/000001"), Kind::Samples);
        assert_eq!(kind(prometheus, "01K/index"), Kind::LabelIndex);
        assert_eq!(kind(prometheus, "01K/meta.json"), Kind::Other);
        assert_eq!(kind(Store::Ours, "metrics/000000000001.block"), Kind::Block);
        assert_eq!(kind(Store::Ours, "metrics/journal/000000000001.journal"), Kind::Recovery);
        assert_eq!(kind(victoria, "data/small/2026_11/1/values.bin"), Kind::Values);
        assert_eq!(kind(victoria, "data/big/2026_11/1/timestamps.bin"), Kind::Times);
        assert_eq!(kind(victoria, "data/small/2026_11/1/index.bin"), Kind::BlockIndex);
        assert_eq!(kind(victoria, "data/indexdb/2026_11/1/index.bin"), Kind::LabelIndex);
        assert_eq!(kind(victoria, "cache/metricID_tsid/data.0.bin"), Kind::Other);
    }

    #[test]
    fn a_folder_is_added_up() {
        let folder = std::env::temp_dir().join(format!("benches-usage-{}", std::process::id()));
        let part = folder.join("data/small/2026_11/1");
        fs::create_dir_all(&part).unwrap();
        fs::write(part.join("values.bin"), [1; 700]).unwrap();
        fs::write(part.join("index.bin"), [1; 30]).unwrap();
        fs::write(folder.join("flock.lock"), "").unwrap();
        let usage = Usage::read(Store::VictoriaMetrics, &folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(usage.bytes(|kind| kind == Kind::Values), 700);
        assert_eq!(usage.bytes(Kind::is_of_samples), 730);
        assert!(usage.on_disk >= 730);
    }
}
