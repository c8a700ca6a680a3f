//! What is sealed, as readers see it: the parts and what is hidden of them. A view never changes; a
//! new one takes its place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::labels::Labels;
use model::read::RangeNs;
use rustc_hash::FxHashMap;

use crate::cursor::Hidden;
use crate::error::Result;
use crate::manifest::{PartEntry, part_folder};
use crate::part::{Caches, Part};

/// A part and what the manifest says of it.
pub(crate) struct OpenPart {
    pub(crate) entry: PartEntry,
    pub(crate) part: Arc<Part>,
    pub(crate) folder: PathBuf,
}

impl OpenPart {
    pub(crate) fn open(dir: &Path, entry: PartEntry, caches: &Caches) -> Result<OpenPart> {
        let folder = dir.join(part_folder(entry.number));
        let part = Arc::new(Part::open(&folder, caches)?);
        Ok(OpenPart { entry, part, folder })
    }

    /// Whether it can have records with times in `range`.
    pub(crate) fn overlaps(&self, range: RangeNs) -> bool {
        let own = self.part.meta().range;
        own.start < range.end && range.start < own.end
    }

    /// Those of `hidden` that can hide records of it.
    pub(crate) fn hidden(&self, hidden: &[Hidden]) -> Vec<Hidden> {
        let meta = self.part.meta();
        let concerns = |hidden: &&Hidden| hidden.concerns(meta.range, meta.arrivals.start);
        hidden.iter().filter(concerns).cloned().collect()
    }

    /// Removes its files. Whoever reads it may go on.
    pub(crate) fn remove(&self) {
        // What can not be removed here is removed by the next start.
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// The sealed part of the store.
#[derive(Default, Clone)]
pub(crate) struct View {
    pub(crate) parts: Vec<Arc<OpenPart>>,
    /// What deletions hide, by their ids.
    pub(crate) deleted: Vec<(u64, Hidden)>,
}

/// How many heads and parts have each stream.
#[derive(Debug, Default)]
pub(crate) struct StreamCounts(FxHashMap<Labels, u32>);

impl StreamCounts {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn contains(&self, labels: &Labels) -> bool {
        self.0.contains_key(labels)
    }

    pub(crate) fn add(&mut self, labels: &Labels) {
        match self.0.get_mut(labels) {
            Some(count) => *count += 1,
            None => {
                self.0.insert(labels.clone(), 1);
            }
        }
    }

    pub(crate) fn remove(&mut self, labels: &Labels) {
        if let Some(count) = self.0.get_mut(labels) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(labels);
                if self.0.len() < self.0.capacity() / 4 {
                    self.0.shrink_to_fit();
                }
            }
        }
    }
}
