//! Deletions: gone from all answers at once, from the files when they can no longer be taken back.

use std::ops::ControlFlow;
use std::sync::Arc;

use model::admin::{LogDeletion, LogDeletionState};
use model::log::LogCountRequest;
use model::read::RangeNs;
use model::{LogSelection, QueryContext, QueryLimits, TimestampMs};

use crate::cursor::Hidden;
use crate::deletion::Deletion;
use crate::error::{Error, Result};
use crate::store::LogStore;
use crate::view::OpenPart;

impl LogStore {
    /// Deletes the selected records that are stored by now. Gone from all answers and durable on
    /// return.
    pub(super) fn delete_selected(&self, selection: &LogSelection, query: &str) -> Result<u64> {
        let mut manifest = self.manifest.lock();
        let mut next = manifest.clone();
        let id = next.take_number();
        let before_arrival = self.live.read().next_arrival;
        let made_at = self.clock.now_ms().0;
        let deletion = Deletion::new(id, made_at, selection, query, before_arrival);
        // What a start could not read is not written.
        let hidden = deletion.hidden()?;
        next.deletions.push(deletion);
        self.write_manifest(&mut manifest, next)?;
        let mut live = self.live.write();
        LogStore::change_view(&mut live, |view| view.deleted.push((id, hidden)));
        Ok(id)
    }

    /// Takes a deletion back, unless its records may be on their way out of the files. Durable on
    /// return.
    pub(super) fn take_back(&self, id: u64) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let mut next = manifest.clone();
        next.deletions.retain(|deletion| deletion.id != id || deletion.is_final);
        if next.deletions.len() == manifest.deletions.len() {
            return Err(Error::NoDeletion { id });
        }
        self.write_manifest(&mut manifest, next)?;
        let mut live = self.live.write();
        LogStore::change_view(&mut live, |view| view.deleted.retain(|(other, _)| *other != id));
        Ok(())
    }

    /// Deletions, oldest first.
    pub(super) fn all_deletions(&self) -> Vec<LogDeletion> {
        let manifest = self.manifest.lock();
        let told = manifest.deletions.iter().filter_map(|deletion| {
            Some(LogDeletion {
                id: deletion.id,
                made_at: TimestampMs(deletion.made_at),
                query: deletion.query.clone(),
                selection: deletion.selection().ok()?,
                state: match deletion.done_at {
                    Some(_) => LogDeletionState::Done,
                    None => LogDeletionState::Hidden,
                },
            })
        });
        told.collect()
    }

    fn is_past_undo(&self, deletion: &Deletion, now: i64) -> bool {
        deletion.made_at.saturating_add(self.options.undo_ms) <= now
    }

    /// Whether records in memory wait to be taken out by a deletion that can not be taken back.
    pub(super) fn has_final_deletion_in_memory(&self) -> bool {
        let manifest = self.manifest.lock();
        let unsealed_from = self.live.read().unsealed_from();
        let now = self.clock.now_ms().0;
        manifest.deletions.iter().any(|deletion| {
            deletion.done_at.is_none()
                && deletion.before_arrival > unsealed_from
                && self.is_past_undo(deletion, now)
        })
    }

    /// Takes records out of the files whose deletion can no longer be taken back, and forgets
    /// deletions that were done long ago. Runs under `maintenance`.
    pub(super) fn apply_deletions(&self) -> Result<()> {
        self.age_deletions()?;
        let waiting: Vec<Deletion> = {
            let manifest = self.manifest.lock();
            let waits = |d: &&Deletion| d.is_final && d.done_at.is_none();
            manifest.deletions.iter().filter(waits).cloned().collect()
        };
        let unsealed_from = self.live.read().unsealed_from();
        for deletion in waiting.iter().filter(|d| d.before_arrival <= unsealed_from) {
            let hidden = deletion.hidden().map_err(Error::Deletion)?;
            let view = self.live.read().view.clone();
            for open in &view.parts {
                if self.is_stopping() {
                    return Ok(());
                }
                let is_applied = open.entry.applied_deletions.contains(&deletion.id);
                if !is_applied && self.may_hide_any(open, &hidden)? {
                    self.merge_or_set_aside(std::slice::from_ref(open), open.entry.day)?;
                }
            }
            self.finish_deletion(deletion.id)?;
        }
        Ok(())
    }

    /// Makes deletions final whose time to be taken back is over, and forgets old ones.
    fn age_deletions(&self) -> Result<()> {
        let now = self.clock.now_ms().0;
        let mut manifest = self.manifest.lock();
        let mut next = manifest.clone();
        next.deletions.retain(|deletion| {
            let is_forgotten = |at: i64| at.saturating_add(self.options.undo_ms) < now;
            !deletion.done_at.is_some_and(is_forgotten)
        });
        for deletion in &mut next.deletions {
            deletion.is_final |= self.is_past_undo(deletion, now);
        }
        if next.deletions == manifest.deletions {
            return Ok(());
        }
        let is_known: Vec<u64> = next.deletions.iter().map(|deletion| deletion.id).collect();
        for entry in &mut next.parts {
            entry.applied_deletions.retain(|id| is_known.contains(id));
        }
        self.write_manifest(&mut manifest, next)
    }

    fn finish_deletion(&self, id: u64) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let mut next = manifest.clone();
        let now = self.clock.now_ms().0;
        for deletion in next.deletions.iter_mut().filter(|deletion| deletion.id == id) {
            deletion.done_at = Some(now);
        }
        self.write_manifest(&mut manifest, next)?;
        let mut live = self.live.write();
        LogStore::change_view(&mut live, |view| view.deleted.retain(|(other, _)| *other != id));
        Ok(())
    }

    /// Whether a part has records that are hidden. Answers yes where counting takes too much.
    fn may_hide_any(&self, open: &Arc<OpenPart>, hidden: &Hidden) -> Result<bool> {
        let meta = open.part.meta();
        if !hidden.concerns(meta.range, meta.arrivals.start) {
            return Ok(false);
        }
        let LogSelection { matchers, lines, fields, range } = &hidden.selection;
        let both = RangeNs {
            start: range.start.max(meta.range.start),
            end: range.end.min(meta.range.end),
        };
        let request = LogCountRequest {
            matchers: matchers.clone(),
            lines: lines.clone(),
            fields: fields.clone(),
            start: both.start.plus_ns(-1),
            width_ns: both.end.0.saturating_sub(both.start.0),
            buckets: 1,
            by_fields: Vec::new(),
            by_pattern: false,
        };
        let limits = QueryLimits { items_max: u64::MAX, bytes_max: u64::MAX, ..Default::default() };
        let context = QueryContext::new(limits, self.clock.clone());
        let mut has_any = false;
        let counted = open.part.count(&request, &[], &context, &mut |count| {
            has_any |= count.records > 0;
            if has_any { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match counted {
            Ok(_) => Ok(has_any),
            Err(error) if error.is_corrupt() => {
                self.set_aside(open.entry.number, &error.to_string());
                Ok(false)
            }
            // A range at the ends of time does not fit into buckets.
            Err(Error::Query(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }
}
