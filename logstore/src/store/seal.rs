//! Sealing: records in memory become parts, one for each day of theirs.

use std::cmp::Reverse;
use std::sync::Arc;

use model::log::Field;
use model::read::RangeNs;
use rustc_hash::FxHashSet;

use crate::error::{Error, Result};
use crate::head::{Entry, Head, Snapshot, day_of};
use crate::manifest::{PartEntry, part_folder};
use crate::part::{PartRow, PartWriter};
use crate::store::{LogStore, add};
use crate::view::OpenPart;

/// So many days, those with most records, have parts of their own in one seal; records of all
/// others share one, or a sender of random times would make a part for each day since 1677.
const OWN_DAYS_MAX: usize = 8;

/// What sealing goes by.
#[derive(Debug, Default)]
pub(super) struct Sealing {
    /// Records of the journal up to this number are in parts.
    pub(super) sealed_records: u64,
}

/// How much is to be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Due,
    All,
}

impl LogStore {
    /// Seals what is in memory if it is much, old, or nothing comes any more. Called often by one
    /// thread. Reads and writes go on meanwhile.
    pub fn seal_due(&self) -> Result<()> {
        let sealed = self.seal(Wanted::Due);
        // Also after a failure: they are in the journal, and memory has its own limit.
        self.throttle.release();
        sealed
    }

    /// Seals all that is in memory by now. Durable on return; fails if the store stops or its
    /// journal has failed.
    pub(super) fn seal_all(&self) -> Result<()> {
        self.seal(Wanted::All)
    }

    fn seal(&self, wanted: Wanted) -> Result<()> {
        let mut sealing = self.sealing.lock();
        let through = match wanted {
            Wanted::All => self.live.read().next_arrival,
            Wanted::Due => 0,
        };
        // What a failed journal holds is not acknowledged.
        while !self.is_stopping() && self.journal.poisoned().is_none() {
            // One may be left from an attempt that failed.
            let frozen = self.live.read().frozen.clone();
            let Some(frozen) = frozen.or_else(|| self.freeze(through)) else { break };
            self.seal_head(&frozen)?;
            sealing.sealed_records = sealing.sealed_records.max(frozen.journal_end);
        }
        // Also what was still being written when the seal before was done.
        self.journal.drop_records_before(sealing.sealed_records)?;
        if self.live.read().unsealed_from() >= through {
            return Ok(());
        }
        match self.journal.poisoned() {
            Some(cause) => Err(disk::Error::Poisoned { dir: self.dir.clone(), cause }.into()),
            None => Err(Error::Stopping),
        }
    }

    /// Takes no more records into the active head if it is due or has some before `through`.
    fn freeze(&self, through: u64) -> Option<Arc<Head>> {
        let now = self.clock.now_ms().0;
        let is_due = |head: &Head| {
            let options = &self.options;
            let Some((first, last)) = head.appended else { return false };
            head.bytes() > options.memory_bytes_max
                || now.saturating_sub(last) > options.idle_ms
                || now.saturating_sub(first) > options.head_age_ms_max
        };
        let mut live = self.live.write();
        let first = live.active.first_arrival()?;
        if first >= through && !is_due(&live.active) {
            return None;
        }
        let frozen = Arc::new(std::mem::take(&mut live.active));
        live.frozen = Some(frozen.clone());
        drop(live);
        self.journal.roll();
        Some(frozen)
    }

    /// Writes a head that stands still as parts, and lets go of it.
    fn seal_head(&self, frozen: &Arc<Head>) -> Result<()> {
        let rows = frozen.rows_by_day();
        let mut days: Vec<i64> = rows.keys().copied().collect();
        days.sort_by_key(|day| (Reverse(rows.get(day).copied()), *day));
        let own = days.len().min(OWN_DAYS_MAX);
        let (own, others) = days.split_at(own);
        let own: FxHashSet<i64> = own.iter().copied().collect();
        let all = frozen.snapshot(&[], RangeNs::ALL);
        let mut new: Vec<Arc<OpenPart>> = Vec::new();
        let stretches =
            own.iter().map(|day| Some(*day)).chain((!others.is_empty()).then_some(None));
        for day in stretches {
            let belongs = |entry: &Entry| match day {
                Some(day) => day_of(entry.at) == day,
                None => !own.contains(&day_of(entry.at)),
            };
            match self.write_part(&all, day, &belongs) {
                Ok(open) => new.push(open),
                Err(error) => {
                    new.iter().for_each(|open| open.remove());
                    return Err(error);
                }
            }
        }
        drop(all);
        let bytes: u64 = new.iter().map(|open| open.part.meta().disk_bytes).sum();
        self.replace_parts(
            &[],
            new,
            |manifest| manifest.sealed_arrivals = frozen.arrivals_end,
            |live| {
                live.frozen = None;
                frozen.streams().for_each(|labels| live.streams.remove(labels));
            },
        )?;
        add(&self.written.seals, 1);
        add(&self.written.sealed_bytes, bytes);
        Ok(())
    }

    /// Writes the records of a head that belong to `day`.
    fn write_part(
        &self,
        all: &Snapshot,
        day: Option<i64>,
        belongs: &dyn Fn(&Entry) -> bool,
    ) -> Result<Arc<OpenPart>> {
        let number = self.manifest.lock().take_number();
        let folder = self.dir.join(part_folder(number));
        let written = self.write_rows(all, &folder, belongs);
        let rows = written.inspect_err(|_| {
            std::fs::remove_dir_all(&folder).ok();
        })?;
        let made_at = self.clock.now_ms().0;
        self.open_new(PartEntry { number, day, rows, applied_deletions: Vec::new(), made_at })
    }

    fn write_rows(
        &self,
        all: &Snapshot,
        folder: &std::path::Path,
        belongs: &dyn Fn(&Entry) -> bool,
    ) -> Result<u64> {
        let mut streams: Vec<_> = all
            .streams
            .iter()
            .filter(|(_, entries)| entries.iter().any(belongs))
            .map(|(labels, entries)| (labels.clone(), entries))
            .collect();
        streams.sort_by(|(a, _), (b, _)| a.cmp(b));
        let labels: Vec<_> = streams.iter().map(|(labels, _)| labels.clone()).collect();
        let mut writer = PartWriter::create(self.files().clone(), folder, &labels)?;
        let mut fields: Vec<Field<'_>> = Vec::new();
        for (stream, (_, entries)) in (0u32..).zip(&streams) {
            for entry in entries.iter().filter(|entry| belongs(entry)) {
                fields.clear();
                let shared = all.fields(entry, &mut fields)?;
                let (shared, own) = fields.split_at(shared);
                writer.push(&PartRow {
                    stream,
                    at: entry.at,
                    arrival: all.arrival(entry),
                    line: all.line(entry)?,
                    shared,
                    fields: own,
                })?;
            }
        }
        Ok(writer.finish()?.rows)
    }
}
