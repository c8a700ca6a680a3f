//! Deletions: gone from all answers at once, from the files when they can no longer be taken back.

use std::sync::atomic::Ordering;

use model::admin::Deleted;
use model::read::RangeMs;
use model::{Matcher, TimestampMs};

use crate::delete::{Deletion, Mask, WrittenMatcher};
use crate::error::{Error, Result};
use crate::store::Tsdb;

impl Tsdb {
    /// Deletes the samples that matching series have in `range` by now. They are gone from all
    /// answers on return; [`Tsdb::undelete`] brings them back for as long as [`crate::Options::undo_ms`]
    /// says, then merges leave them out. Answers the deletion's id. Durable on return.
    pub fn delete(&self, matchers: &[Matcher], range: RangeMs) -> Result<u64> {
        self.check_loaded()?;
        let mut maintenance = self.maintenance.lock();
        // A deletion speaks of samples in blocks: what is there by now becomes one, and no journal
        // may bring it back into the head after a crash.
        self.seal_all()?;
        self.checkpoint(&mut maintenance)?;
        let mut manifest = self.manifest.lock();
        let mut next = manifest.clone();
        let id = next.take_number();
        let newest_seal = next.blocks.iter().map(|entry| entry.newest_seal).max().unwrap_or(0);
        let deletion = Deletion {
            id,
            matchers: matchers.iter().map(WrittenMatcher::of).collect(),
            start: range.start.0,
            end: range.end.0,
            made_at: self.clock.now_ms().0,
            newest_seal,
        };
        let mask = Mask::of(&deletion).map_err(Error::Deletion)?;
        next.deletions.push(deletion);
        next.write(&self.dir, self.files())?;
        *manifest = next;
        drop(manifest);
        self.change_view(|view| view.masks.push(mask));
        Ok(id)
    }

    /// Takes a deletion back. Durable on return.
    pub fn undelete(&self, id: u64) -> Result<()> {
        self.check_loaded()?;
        let _maintenance = self.maintenance.lock();
        self.drop_deletion(id)
    }

    fn drop_deletion(&self, id: u64) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let mut next = manifest.clone();
        next.deletions.retain(|deletion| deletion.id != id);
        if next.deletions.len() == manifest.deletions.len() {
            return Err(Error::NoDeletion { id });
        }
        next.write(&self.dir, self.files())?;
        *manifest = next;
        drop(manifest);
        self.change_view(|view| view.masks.retain(|mask| mask.id != id));
        Ok(())
    }

    /// Deletions that can be taken back, oldest first.
    pub fn deletions(&self) -> Vec<Deleted> {
        let manifest = self.manifest.lock();
        let masks = self.view.read().masks.clone();
        let made = |id: u64| manifest.deletions.iter().find(|deletion| deletion.id == id);
        masks
            .into_iter()
            .filter_map(|mask| {
                let made_at = TimestampMs(made(mask.id)?.made_at);
                Some(Deleted { id: mask.id, made_at, matchers: mask.matchers, range: mask.range })
            })
            .collect()
    }

    /// Writes blocks again without samples whose deletion can no longer be taken back.
    pub(super) fn apply_expired_deletions(&self) -> Result<()> {
        let now = self.clock.now_ms().0;
        let expired: Option<Deletion> = {
            let manifest = self.manifest.lock();
            let is_expired =
                |deletion: &&Deletion| deletion.made_at.saturating_add(self.options.undo_ms) <= now;
            manifest.deletions.iter().find(is_expired).cloned()
        };
        let Some(deletion) = expired else { return Ok(()) };
        self.finish_deletion(&deletion)
    }

    /// Frees the room of everything deleted, now; nothing of it can be taken back afterwards.
    pub fn clean_deletions(&self) -> Result<()> {
        self.check_loaded()?;
        let _maintenance = self.maintenance.lock();
        let all = self.manifest.lock().deletions.clone();
        all.iter().try_for_each(|deletion| self.finish_deletion(deletion))
    }

    fn finish_deletion(&self, deletion: &Deletion) -> Result<()> {
        let mask = Mask::of(deletion).map_err(Error::Deletion)?;
        loop {
            if self.stopping.load(Ordering::SeqCst) {
                // A merge that was given up took nothing out: the deletion must go on hiding it.
                return Ok(());
            }
            let view = self.view.read().clone();
            let mut touched = None;
            for open in &view.blocks {
                let raw = open.rollup().map(|(_, of)| of);
                let is_alone = || !view.blocks.iter().any(|other| raw == Some(other.entry.number));
                // A rollup beside its raw block is written again with it.
                let may_hold = (open.is_raw() || is_alone())
                    && open.entry.newest_seal <= mask.newest_seal
                    && open.overlaps(mask.range)
                    && !open.entry.applied_deletions.contains(&deletion.id);
                // A block that can not be read now may be read later, with what was deleted.
                if may_hold && self.has_any(open, &mask.matchers)? {
                    touched = Some(open.clone());
                    break;
                }
            }
            let Some(touched) = touched else { break };
            drop(view);
            if !touched.is_raw() {
                self.rewrite_rollup(&touched, &mask)?;
                continue;
            }
            let plan = Tsdb::rewrite(&touched);
            drop(touched);
            self.merge_or_set_aside(&plan, std::slice::from_ref(&mask))?;
        }
        self.forget_metadata();
        self.drop_deletion(deletion.id)
    }
}
