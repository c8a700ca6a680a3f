//! What the store does by itself: seals, merges, checkpoints, and in their files retention and
//! deletions.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use disk::files::Files;
use model::Matcher;
use model::read::RangeMs;
use parking_lot::{Condvar, Mutex};

#[cfg(test)]
use crate::block::Codec;
use crate::checkpoint;
use crate::delete::Mask;
use crate::error::{Error, Result};
use crate::manifest::{self, block_file, checkpoint_file};
use crate::options::Options;
use crate::store::merge::{Complete, MergePlan};
use crate::store::{Maintenance, Tsdb};
use crate::view::{OpenBlock, View};

/// Late samples of sealed windows that wait in memory at most.
const LATE_SAMPLES_MAX: usize = 1_000_000;
/// When the head was empty for this long, two hours that still run are merged as if they were over,
/// so that a folder is small though nobody writes to it any more.
const QUIET_MS: i64 = 10 * 60_000;

impl Tsdb {
    /// Does what is due: seals windows that are over, merges blocks, writes the head down, forgets
    /// what is too old. Called now and then by one thread; may take long.
    pub fn maintain(&self) -> Result<()> {
        if self.is_loading() {
            return Ok(());
        }
        let mut maintenance = self.maintenance.lock();
        // First of all, since it makes room on a disk that may be full.
        self.enforce_retention()?;
        while !self.stopping.load(Ordering::SeqCst) && self.journal.poisoned().is_none() {
            let Some(range) = self.due_seal() else { break };
            self.seal(range)?;
            maintenance.checkpoint_at = i64::MIN;
        }
        if self.is_checkpoint_due(&maintenance) {
            self.checkpoint(&mut maintenance)?;
        }
        self.apply_expired_deletions()?;
        self.apply_retention_rule()?;
        if !self.stopping.load(Ordering::SeqCst) {
            let (view, complete) = self.view_and_complete(&mut maintenance);
            if let Some(plan) = self.plan_merge(&view, complete, false) {
                drop(view);
                self.merge_or_set_aside(&plan, &[])?;
            }
        }
        Ok(())
    }

    /// Seals everything in memory and merges the blocks of each long stretch into one. For backups
    /// and measurements: samples that come for a window that is still running are late afterwards.
    pub fn merge_all(&self) -> Result<()> {
        self.check_loaded()?;
        let mut maintenance = self.maintenance.lock();
        self.seal_all()?;
        // A merge that is given up leaves its plan due.
        while !self.stopping.load(Ordering::SeqCst) {
            let (view, complete) = self.view_and_complete(&mut maintenance);
            let Some(plan) = self.plan_merge(&view, complete, true) else { break };
            drop(view);
            self.merge_or_set_aside(&plan, &[])?;
        }
        self.checkpoint(&mut maintenance)
    }

    /// The blocks, and what they have all of that is to come in order: windows that are sealed, and
    /// those that the clock has passed while the head holds nothing of them. Those take samples in
    /// order all the same, and whoever sends old ones makes blocks that are merged into the rest.
    fn view_and_complete(&self, maintenance: &mut Maintenance) -> (Arc<View>, Complete) {
        let view = self.view.read().clone();
        let Options { grace_ms, idle_ms, .. } = self.options;
        let now = self.clock.now_ms().0;
        let over = now.saturating_sub(grace_ms.saturating_add(idle_ms));
        let live = self.live.read();
        let head = &live.head;
        if head.windows.is_empty() && head.late_samples == 0 {
            maintenance.empty_since.get_or_insert(now);
        } else {
            maintenance.empty_since = None;
        }
        let is_quiet = maintenance.empty_since.is_some_and(|since| now - since >= QUIET_MS);
        let open = head.windows.keys().next().map_or(i64::MAX, |first| first - 1);
        let passed = (head.window_of(over) - 1).min(open);
        (view, Complete { through: head.sealed_through.max(passed), is_quiet })
    }

    /// The next range to be sealed: the oldest window that is over, or late samples of windows that
    /// were sealed before.
    fn due_seal(&self) -> Option<RangeMs> {
        let now = self.clock.now_ms().0;
        let live = self.live.read();
        let head = &live.head;
        let newest = head.windows.keys().next_back().copied();
        let is_full = head.bytes() > self.options.memory_bytes_max;
        if let Some((number, window)) = head.windows.iter().next() {
            let end = head.window_range(*number).end.0;
            // Data tells the time as well as the clock does: a replay of old data runs ahead of it.
            let is_over = newest.is_some_and(|newest| {
                let newest = &head.windows[&newest];
                newest.tree.newest() > end.saturating_add(self.options.grace_ms)
            });
            let is_idle = now > end.saturating_add(self.options.grace_ms)
                && now.saturating_sub(window.appended_at) > self.options.idle_ms;
            if is_over || is_idle || is_full {
                return Some(head.window_range(*number));
            }
        }
        let oldest = head.late.first().copied().filter(|window| *window <= head.sealed_through)?;
        let is_much = head.late_samples > LATE_SAMPLES_MAX;
        let waited = now.saturating_sub(self.late_sealed_at.load(Ordering::Relaxed));
        if !(is_much || is_full || waited > self.options.idle_ms) {
            return None;
        }
        let range = self.seal_range(&live, oldest);
        // All stretches with late samples are sealed in one go before the wait begins anew.
        let through = head.window_of(range.end.0);
        let waits = |window: &i64| *window > through && *window <= head.sealed_through;
        if !head.late.iter().any(waits) {
            self.late_sealed_at.store(now, Ordering::Relaxed);
        }
        Some(range)
    }

    /// Puts blocks in the place of others, in the manifest and then in the view. Answers the view
    /// from before. Durable on return.
    pub(super) fn replace_blocks(
        &self,
        gone: &[u64],
        new: Vec<Arc<OpenBlock>>,
    ) -> Result<Arc<View>> {
        let mut manifest = self.manifest.lock();
        let mut next = manifest.clone();
        next.blocks.retain(|entry| !gone.contains(&entry.number));
        next.blocks.extend(new.iter().map(|open| open.entry.clone()));
        if let Err(error) = next.write(&self.dir, self.files()) {
            // What the manifest does not name does not count; it may name them by now.
            let unnamed = |open: &&Arc<OpenBlock>| {
                !manifest::may_name(&self.dir, &block_file(open.entry.number))
            };
            new.iter().filter(unnamed).for_each(|open| open.retire());
            return Err(error);
        }
        *manifest = next;
        drop(manifest);
        Ok(self.change_view(|view| {
            view.blocks.retain(|open| {
                let goes = gone.contains(&open.entry.number);
                if goes {
                    open.retire();
                }
                !goes
            });
            view.blocks.extend(new);
            view.blocks.sort_by_key(|open| open.entry.newest_seal);
        }))
    }

    pub(super) fn change_view(&self, change: impl FnOnce(&mut View)) -> Arc<View> {
        let mut view = self.view.write();
        let mut next = View { blocks: view.blocks.clone(), masks: view.masks.clone() };
        change(&mut next);
        std::mem::replace(&mut *view, Arc::new(next))
    }

    /// Returns when nobody reads through `view` any more. Queries have a timeout, so it ends.
    pub(super) fn wait_for_readers(&self, view: Arc<View>) {
        let (lock, never) = (Mutex::new(()), Condvar::new());
        let mut guard = lock.lock();
        while Arc::strong_count(&view) > 1 && !self.stopping.load(Ordering::SeqCst) {
            never.wait_for(&mut guard, Duration::from_millis(5));
        }
    }

    /// Takes a block that can not be read out of the view and the manifest; its file stays under
    /// another name.
    pub(super) fn set_aside(&self, number: u64, why: &str) {
        let mut manifest = self.manifest.lock();
        if !manifest.blocks.iter().any(|entry| entry.number == number) {
            return;
        }
        self.damage.lock().push(why.to_owned());
        let mut next = manifest.clone();
        next.blocks.retain(|entry| entry.number != number);
        if next.write(&self.dir, self.files()).is_ok() {
            *manifest = next;
            let path = self.dir.join(block_file(number));
            std::fs::rename(&path, path.with_extension("corrupt")).ok();
        }
        drop(manifest);
        self.change_view(|view| view.blocks.retain(|open| open.entry.number != number));
    }

    /// What all files of the store are made with.
    pub(super) fn files(&self) -> &dyn Files {
        &*self.options.journal.files
    }

    fn is_checkpoint_due(&self, maintenance: &Maintenance) -> bool {
        if self.journal.poisoned().is_some() || self.journal.disk_full().is_some() {
            return false;
        }
        if self.journal.next_record() == maintenance.checkpoint_record
            && maintenance.checkpoint_at != i64::MIN
        {
            return false;
        }
        let now = self.clock.now_ms().0;
        let written = self.written.journal_bytes.load(Ordering::Relaxed);
        let grown = written.saturating_sub(maintenance.checkpoint_journal_bytes);
        now.saturating_sub(maintenance.checkpoint_at) >= self.options.checkpoint_ms
            || grown >= self.options.checkpoint_journal_bytes.max(maintenance.checkpoint_bytes / 2)
    }

    /// Writes the head down and drops the journal before it. Durable on return.
    pub(super) fn checkpoint(&self, maintenance: &mut Maintenance) -> Result<()> {
        let record = self.journal.next_record();
        let journal_bytes = self.written.journal_bytes.load(Ordering::Relaxed);
        self.journal.roll();
        let removed = std::mem::take(&mut self.live.write().head.removed);
        let number = self.manifest.lock().take_number();
        let path = self.dir.join(checkpoint_file(number));
        let written = checkpoint::write(&path, &self.live, self.files()).and_then(|bytes| {
            let mut manifest = self.manifest.lock();
            let mut next = manifest.clone();
            let old = next.checkpoint.replace(number);
            next.next_sequence = self.live.read().next_sequence;
            next.write(&self.dir, self.files())?;
            *manifest = next;
            Ok((bytes, old))
        });
        let (bytes, old) = match written {
            Ok(written) => written,
            Err(error) => {
                if !manifest::may_name(&self.dir, &checkpoint_file(number)) {
                    std::fs::remove_file(&path).ok();
                }
                self.live.write().head.removed.extend(removed);
                return Err(error);
            }
        };
        if let Some(old) = old {
            std::fs::remove_file(self.dir.join(checkpoint_file(old))).ok();
        }
        self.journal.drop_records_before(record)?;
        // Slots removed before the checkpoint: neither it nor what is left of the journal names them.
        maintenance.reusable.extend(removed);
        let reusable = std::mem::take(&mut maintenance.reusable);
        self.live.write().head.catalogue.free_slots(reusable);
        maintenance.checkpoint_at = self.clock.now_ms().0;
        maintenance.checkpoint_record = record;
        maintenance.checkpoint_journal_bytes = journal_bytes;
        maintenance.checkpoint_bytes = bytes;
        self.written.checkpoints.fetch_add(1, Ordering::Relaxed);
        self.written.checkpoint_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn has_any(&self, open: &Arc<OpenBlock>, matchers: &[Matcher]) -> Result<bool> {
        let found = open.block.select(matchers).map_err(Error::from);
        let found =
            found.inspect_err(|error| self.set_aside_if(std::slice::from_ref(open), error))?;
        Ok(!found.is_empty())
    }

    /// Merges; a block that turns out to be corrupt is set aside, so that the next attempt does
    /// without it.
    pub(super) fn merge_or_set_aside(&self, plan: &MergePlan, expired: &[Mask]) -> Result<()> {
        self.merge(plan, expired).inspect_err(|error| self.set_aside_if(&plan.inputs, error))
    }

    fn set_aside_if(&self, blocks: &[Arc<OpenBlock>], error: &Error) {
        let Error::Disk(disk::Error::Corrupt { path, .. }) = error else { return };
        if let Some(open) = blocks.iter().find(|open| open.block.path() == path) {
            self.set_aside(open.entry.number, &error.to_string());
        }
    }

    /// How many blocks were merged into dense ones.
    #[cfg(test)]
    pub(super) fn dense_blocks(&self) -> usize {
        let view = self.view.read().clone();
        let is_dense = |open: &&Arc<OpenBlock>| open.entry.meta.codec == Codec::Dense;
        view.blocks.iter().filter(|open| open.is_raw()).filter(is_dense).count()
    }
}
