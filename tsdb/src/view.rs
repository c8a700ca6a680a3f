//! What queries see beside the head: the open blocks and the deletions, at one instant.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use disk::PageCache;
use model::TimestampMs;
use model::read::RangeMs;

use crate::block::Block;
use crate::delete::Mask;
use crate::error::Result;
use crate::manifest::{BlockEntry, BlockKind, block_file};

/// One block, open.
pub(crate) struct OpenBlock {
    pub(crate) entry: BlockEntry,
    pub(crate) block: Block,
    /// Whether the file goes when nobody reads it any more.
    is_obsolete: AtomicBool,
}

impl OpenBlock {
    pub(crate) fn open(dir: &Path, entry: BlockEntry, cache: &Arc<PageCache>) -> Result<Self> {
        let block = Block::open(&dir.join(block_file(entry.number)), cache.clone())?;
        Ok(OpenBlock { entry, block, is_obsolete: AtomicBool::new(false) })
    }

    /// Its times, both ends included.
    pub(crate) fn range(&self) -> RangeMs {
        let meta = &self.entry.meta;
        RangeMs { start: TimestampMs(meta.min_time), end: TimestampMs(meta.max_time) }
    }

    pub(crate) fn overlaps(&self, range: RangeMs) -> bool {
        let own = self.range();
        own.start <= range.end && range.start <= own.end
    }

    pub(crate) fn is_raw(&self) -> bool {
        self.entry.kind == BlockKind::Raw
    }

    /// The resolution of a rollup and the number of the raw block that it was made with.
    pub(crate) fn rollup(&self) -> Option<(i64, u64)> {
        match self.entry.kind {
            BlockKind::Raw => None,
            BlockKind::Rollup { resolution_ms, of } => Some((resolution_ms, of)),
        }
    }

    /// The manifest no longer names it: the file goes with its last reader.
    pub(crate) fn retire(&self) {
        self.is_obsolete.store(true, Ordering::SeqCst);
    }
}

impl Drop for OpenBlock {
    fn drop(&mut self) {
        if self.is_obsolete.load(Ordering::SeqCst) {
            // A file that stays is removed at the next start.
            std::fs::remove_file(self.block.path()).ok();
        }
    }
}

/// Blocks in order of their newest seal (of two samples at one time the later block's wins), and
/// deletions. Never changes; a new one takes its place.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) blocks: Vec<Arc<OpenBlock>>,
    pub(crate) masks: Vec<Mask>,
}
