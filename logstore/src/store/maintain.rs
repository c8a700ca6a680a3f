//! What the store does by itself beside sealing: drops what is too old, takes deleted records out
//! of files, and merges small parts.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::cursor::Hidden;
use crate::error::Result;
use crate::manifest::{PartEntry, part_folder};
use crate::part::{self, Part};
use crate::store::{LogStore, add};
use crate::view::{OpenPart, View};

/// What maintenance remembers.
#[derive(Debug)]
pub(super) struct Maintenance {
    /// When retention rules were last applied, on the wall clock.
    pub(super) rules_applied_at: i64,
}

impl Default for Maintenance {
    fn default() -> Self {
        Maintenance { rules_applied_at: i64::MIN }
    }
}

/// Parts with fewer records are of the class with this index; those with more are never merged.
const CLASS_ROWS: [u64; 4] = [16 << 10, 128 << 10, 1 << 20, 8 << 20];

/// So many parts of a day and a class are merged into one.
const CLASS_PARTS: usize = 8;

/// No merge takes more parts.
const MERGED_PARTS_MAX: usize = 32;

/// The parts of a day that no seal has added to for this long are merged into one.
const QUIET_MS: i64 = 3_600_000;

/// Parts of this class and those above have few blocks that are not full: a quiet day leaves them.
const LARGE_CLASS: usize = 3;

fn class_of(open: &OpenPart) -> usize {
    CLASS_ROWS.partition_point(|rows| *rows <= open.entry.rows)
}

/// Parts that become one.
struct MergePlan {
    day: Option<i64>,
    parts: Vec<Arc<OpenPart>>,
}

/// What is merged next: the smallest class that is full, else the small parts of a day that is
/// quiet (or of any, if `quiet_ms` is 0).
fn plan_merge(view: &View, now: i64, quiet_ms: i64) -> Option<MergePlan> {
    let mut days: FxHashMap<Option<i64>, Vec<&Arc<OpenPart>>> = FxHashMap::default();
    for open in &view.parts {
        days.entry(open.entry.day).or_default().push(open);
    }
    let plan = |day: Option<i64>, parts: Vec<&Arc<OpenPart>>| {
        let mut parts: Vec<_> = parts.into_iter().cloned().collect();
        parts.sort_by_key(|open| open.entry.number);
        parts.truncate(MERGED_PARTS_MAX);
        MergePlan { day, parts }
    };
    for class in 0..CLASS_ROWS.len() {
        for (day, parts) in &days {
            let some = parts.iter().copied().filter(|open| class_of(open) == class);
            let some: Vec<_> = some.collect();
            if some.len() >= CLASS_PARTS {
                return Some(plan(*day, some));
            }
        }
    }
    for (day, parts) in &days {
        let is_young = |open: &&Arc<OpenPart>| now.saturating_sub(open.entry.made_at) < quiet_ms;
        let small = parts.iter().copied().filter(|open| class_of(open) < LARGE_CLASS);
        let small: Vec<_> = small.collect();
        if small.len() > 1 && !small.iter().any(is_young) {
            return Some(plan(*day, small));
        }
    }
    None
}

impl LogStore {
    /// Does what is due: forgets what is too old, takes deleted records out of files, merges small
    /// parts. Called now and then by one thread; may take long.
    pub fn maintain(&self) -> Result<()> {
        let can_seal = !self.is_stopping() && self.journal.poisoned().is_none();
        if can_seal && self.has_final_deletion_in_memory() {
            self.seal_all()?;
        }
        let mut maintenance = self.maintenance.lock();
        // First of all, since it makes room on a disk that may be full.
        self.enforce_retention(&mut maintenance)?;
        self.apply_deletions()?;
        self.merge_while_due(QUIET_MS)
    }

    /// Seals everything in memory and merges the small parts of each day. Durable on return.
    pub(super) fn merge_everything(&self) -> Result<()> {
        self.seal_all()?;
        let _maintenance = self.maintenance.lock();
        self.merge_while_due(0)
    }

    fn merge_while_due(&self, quiet_ms: i64) -> Result<()> {
        while !self.is_stopping() {
            let view = self.live.read().view.clone();
            let Some(plan) = plan_merge(&view, self.clock.now_ms().0, quiet_ms) else { break };
            drop(view);
            self.merge_or_set_aside(&plan.parts, plan.day)?;
        }
        Ok(())
    }

    /// Merges parts into one of `day`, or writes one again; of what can not be seen any more, only
    /// that is kept which can be brought back. A part that turns out to be corrupt is set aside, so
    /// that the next attempt does without it. Runs under `maintenance`.
    pub(super) fn merge_or_set_aside(
        &self,
        parts: &[Arc<OpenPart>],
        day: Option<i64>,
    ) -> Result<()> {
        let merged = self.merge(parts, day);
        if let Err(error) = &merged
            && error.is_corrupt()
        {
            for open in parts {
                if let Err(error) = open.part.verify() {
                    self.set_aside(open.entry.number, &error.to_string());
                }
            }
        }
        merged
    }

    fn merge(&self, parts: &[Arc<OpenPart>], day: Option<i64>) -> Result<()> {
        let (number, applied_deletions, mut hidden) = {
            let mut manifest = self.manifest.lock();
            let number = manifest.take_number();
            let is_final = |id: &u64| manifest.deletions.iter().any(|d| d.id == *id && d.is_final);
            let view = self.live.read().view.clone();
            let gone = view.deleted.iter().filter(|(id, _)| is_final(id));
            let (ids, hidden): (Vec<u64>, Vec<Hidden>) = gone.cloned().unzip();
            (number, ids, hidden)
        };
        hidden.extend(self.retention.hidden(self.clock.now_ms()));
        hidden.retain(|hidden| {
            let concerns =
                |open: &Arc<OpenPart>| !open.hidden(std::slice::from_ref(hidden)).is_empty();
            parts.iter().any(concerns)
        });
        let folder = self.dir.join(part_folder(number));
        let inputs: Vec<Arc<Part>> = parts.iter().map(|open| open.part.clone()).collect();
        let merged = part::merge(self.files().clone(), &inputs, &hidden, &folder);
        let remove = || {
            std::fs::remove_dir_all(&folder).ok();
        };
        let meta = merged.inspect_err(|_| remove())?;
        let mut new = Vec::new();
        if meta.rows == 0 {
            remove();
        } else {
            let made_at = parts.iter().map(|open| open.entry.made_at).max().unwrap_or_default();
            let rows = meta.rows;
            new.push(self.open_new(PartEntry { number, day, rows, applied_deletions, made_at })?);
        }
        let gone: Vec<u64> = parts.iter().map(|open| open.entry.number).collect();
        self.replace_parts(&gone, new, |_| {}, |_| {})?;
        add(&self.written.merges, 1);
        add(&self.written.merged_bytes, meta.disk_bytes);
        Ok(())
    }
}
