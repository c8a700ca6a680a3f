//! What the store does by itself: seals, merges, checkpoints, retention, deletions.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use disk::files::{Files, create_folders, sync_folder};
use disk::journal::JournalStats;
use model::admin::Deleted;
use model::labels::Labels;
use model::read::RangeMs;
use model::{Matcher, TimestampMs};
use parking_lot::{Condvar, Mutex};

#[cfg(test)]
use crate::block::Codec;
use crate::checkpoint;
use crate::delete::{Deletion, Mask, WrittenMatcher};
use crate::error::{Error, Result};
use crate::manifest::{self, block_file, checkpoint_file};
use crate::options::RetentionRule;
use crate::store::merge::MergePlan;
use crate::store::{JOURNAL_FOLDER, Maintenance, Tsdb};
use crate::view::{OpenBlock, View};

/// What the store holds and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Series that are being written.
    pub series: u64,
    /// Estimated memory of the head.
    pub memory_bytes: u64,
    /// Memory of block pages that queries read.
    pub cache_bytes: u64,
    /// Block files with samples.
    pub blocks: u64,
    /// Their size.
    pub block_bytes: u64,
    /// Samples in them.
    pub block_samples: u64,
    /// Block files with rollups.
    pub rollup_blocks: u64,
    /// Their size.
    pub rollup_bytes: u64,
    /// Bytes of the last checkpoint.
    pub checkpoint_bytes: u64,
    /// Samples taken since the start.
    pub samples_written: u64,
    /// Bytes given to the journal since the start.
    pub journal_bytes_written: u64,
    /// Bytes of checkpoints written since the start.
    pub checkpoint_bytes_written: u64,
    /// Checkpoints written since the start.
    pub checkpoints: u64,
    /// Seals since the start.
    pub seals: u64,
    /// Bytes of blocks sealed since the start.
    pub sealed_bytes_written: u64,
    /// Merges since the start.
    pub merges: u64,
    /// Bytes of blocks merged since the start.
    pub merged_bytes_written: u64,
    /// The journal.
    pub journal: JournalStats,
}

impl Tsdb {
    /// What the store holds and did.
    pub fn stats(&self) -> Stats {
        let (series, memory_bytes) = {
            let live = self.live.read();
            (live.head.catalogue.len() as u64, live.head.bytes() as u64)
        };
        let view = self.view.read().clone();
        let metas = |is_raw: bool| {
            let some = view.blocks.iter().filter(move |open| open.is_raw() == is_raw);
            some.map(|open| &open.entry.meta)
        };
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let written = &self.written;
        Stats {
            series,
            memory_bytes,
            cache_bytes: self.cache.stats().bytes,
            blocks: metas(true).count() as u64,
            block_bytes: metas(true).map(|meta| meta.bytes).sum(),
            block_samples: metas(true)
                .map(|meta| meta.float_samples + meta.histogram_samples)
                .sum(),
            rollup_blocks: metas(false).count() as u64,
            rollup_bytes: metas(false).map(|meta| meta.bytes).sum(),
            checkpoint_bytes: self.maintenance.try_lock().map_or(0, |m| m.checkpoint_bytes),
            samples_written: load(&written.samples),
            journal_bytes_written: load(&written.journal_bytes),
            checkpoint_bytes_written: load(&written.checkpoint_bytes),
            checkpoints: load(&written.checkpoints),
            seals: load(&written.seals),
            sealed_bytes_written: load(&written.sealed_bytes),
            merges: load(&written.merges),
            merged_bytes_written: load(&written.merged_bytes),
            journal: self.journal.stats(),
        }
    }

    /// Bytes of all blocks of samples by section of the file.
    pub(super) fn section_bytes(&self) -> Vec<(String, u64)> {
        let view = self.view.read().clone();
        let mut sums: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
        for open in view.blocks.iter().filter(|open| open.is_raw()) {
            let sections = serde_json::to_value(open.entry.meta.sections).unwrap_or_default();
            for (name, bytes) in sections.as_object().into_iter().flatten() {
                let name = format!("block_{name}_bytes");
                *sums.entry(name).or_default() += bytes.as_u64().unwrap_or(0);
            }
        }
        sums.into_iter().collect()
    }

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
            let (view, through) = self.view_and_seal();
            if let Some(plan) = self.plan_merge(&view, through, false) {
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
            let (view, through) = self.view_and_seal();
            let Some(plan) = self.plan_merge(&view, through, true) else { break };
            drop(view);
            self.merge_or_set_aside(&plan, &[])?;
        }
        self.checkpoint(&mut maintenance)
    }

    fn view_and_seal(&self) -> (Arc<View>, i64) {
        (self.view.read().clone(), self.live.read().head.sealed_through)
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

    fn change_view(&self, change: impl FnOnce(&mut View)) -> Arc<View> {
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
    fn files(&self) -> &dyn Files {
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

    /// Drops blocks that are too old, or the oldest when all together are too large.
    fn enforce_retention(&self) -> Result<()> {
        let view = self.view.read().clone();
        let mut gone: Vec<u64> = Vec::new();
        if let Some(keep_ms) = self.keep_ms_max() {
            let now = self.clock.now_ms().0;
            let is_old = |open: &&Arc<OpenBlock>| {
                let own_ms = open.rollup().map_or(0, |(ms, _)| self.options.keep_rollup_ms(ms));
                open.entry.meta.max_time < now.saturating_sub(keep_ms.max(own_ms))
            };
            gone.extend(view.blocks.iter().filter(is_old).map(|open| open.entry.number));
        }
        if self.options.retention_bytes > 0 {
            let mut held: Vec<_> =
                view.blocks.iter().filter(|open| !gone.contains(&open.entry.number)).collect();
            held.sort_by_key(|open| open.entry.meta.max_time);
            let mut bytes: u64 = held.iter().map(|open| open.entry.meta.bytes).sum();
            for open in held {
                if bytes <= self.options.retention_bytes {
                    break;
                }
                bytes -= open.entry.meta.bytes;
                gone.push(open.entry.number);
            }
        }
        drop(view);
        if !gone.is_empty() {
            self.replace_blocks(&gone, Vec::new())?;
        }
        Ok(())
    }

    /// Rules by which nothing of their series is kept that is as old as `newest`.
    pub(super) fn rules_past(&self, newest: i64) -> impl Iterator<Item = &RetentionRule> {
        let now = self.clock.now_ms().0;
        let is_past = move |rule: &&RetentionRule| {
            rule.keep_ms > 0 && newest < now.saturating_sub(rule.keep_ms)
        };
        self.options.retention_rules.iter().filter(is_past)
    }

    /// Writes one block again that holds series of which a rule keeps nothing any more. Queries do
    /// not see them anyway; this frees their room. A block is written again once for each rule.
    fn apply_retention_rule(&self) -> Result<()> {
        let view = self.view.read().clone();
        for open in view.blocks.iter().filter(|open| open.is_raw() && open.entry.level > 0) {
            let applied = &open.entry.applied_rules;
            for rule in self.rules_past(open.entry.meta.max_time) {
                if !applied.contains(&rule.name) && self.has_any(open, &rule.matchers)? {
                    let plan = Tsdb::rewrite(open);
                    return self.merge_or_set_aside(&plan, &[]);
                }
            }
        }
        Ok(())
    }

    pub(super) fn has_retention_rules(&self) -> bool {
        !self.options.retention_rules.is_empty()
    }

    /// How long any sample is kept, or `None` for ever.
    pub(super) fn keep_ms_max(&self) -> Option<i64> {
        let own = Some(self.options.retention_ms).filter(|keep_ms| *keep_ms > 0)?;
        let rules = self.options.retention_rules.iter().map(|rule| rule.keep_ms);
        Some(rules.fold(own, i64::max))
    }

    /// How old anything is that queries see: samples, or rollups that outlive them. Samples stay
    /// visible until their block goes, so that there is no gap before the rollups take their place.
    pub(super) fn see_ms_max(&self) -> Option<i64> {
        let keep_ms = self.keep_ms_max()?;
        Some(self.options.rollup_retention_ms.into_iter().fold(keep_ms, i64::max))
    }

    /// The part of `range` that retention leaves of a series.
    pub(super) fn visible(&self, labels: &Labels, range: RangeMs) -> RangeMs {
        if !self.has_retention_rules() {
            return range;
        }
        let rule = self
            .options
            .retention_rules
            .iter()
            .find(|rule| Matcher::all_match(&rule.matchers, labels));
        let keep_ms = rule.map_or(self.options.retention_ms, |rule| rule.keep_ms);
        if keep_ms <= 0 {
            return range;
        }
        let keep_ms = match rule {
            Some(_) => keep_ms,
            None => self.options.rollup_retention_ms.into_iter().fold(keep_ms, i64::max),
        };
        let oldest = self.clock.now_ms().plus_ms(-keep_ms);
        RangeMs { start: range.start.max(oldest), end: range.end }
    }

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
    fn apply_expired_deletions(&self) -> Result<()> {
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
        self.drop_deletion(deletion.id)
    }

    fn has_any(&self, open: &Arc<OpenBlock>, matchers: &[Matcher]) -> Result<bool> {
        let found = open.block.select(matchers).map_err(Error::from);
        let found =
            found.inspect_err(|error| self.set_aside_if(std::slice::from_ref(open), error))?;
        Ok(!found.is_empty())
    }

    /// Merges; a block that turns out to be corrupt is set aside, so that the next attempt does
    /// without it.
    fn merge_or_set_aside(&self, plan: &MergePlan, expired: &[Mask]) -> Result<()> {
        self.merge(plan, expired).inspect_err(|error| self.set_aside_if(&plan.inputs, error))
    }

    fn set_aside_if(&self, blocks: &[Arc<OpenBlock>], error: &Error) {
        let Error::Disk(disk::Error::Corrupt { path, .. }) = error else { return };
        if let Some(open) = blocks.iter().find(|open| open.block.path() == path) {
            self.set_aside(open.entry.number, &error.to_string());
        }
    }

    /// A consistent copy of the store in `to`, which must not exist, made of hard links where files
    /// never change. The store goes on meanwhile; what is acknowledged before the call is in the
    /// copy. Opening the copy as a store restores it. Durable on return.
    pub fn snapshot(&self, to: &Path) -> Result<()> {
        self.check_loaded()?;
        let mut maintenance = self.maintenance.lock();
        self.checkpoint(&mut maintenance)?;
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

    /// How many blocks were merged into dense ones.
    #[cfg(test)]
    pub(super) fn dense_blocks(&self) -> usize {
        let view = self.view.read().clone();
        let is_dense = |open: &&Arc<OpenBlock>| open.entry.meta.codec == Codec::Dense;
        view.blocks.iter().filter(|open| open.is_raw()).filter(is_dense).count()
    }
}

/// Late samples of sealed windows that wait in memory at most.
const LATE_SAMPLES_MAX: usize = 1_000_000;
