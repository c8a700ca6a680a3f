//! What the journal says, put into a head: at start on top of the checkpoint, and while a start
//! loads, record by record behind it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::labels::Labels;
use model::sample::SeriesId;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::block::fingerprint;
use crate::budget;
use crate::checkpoint::{self, Resume};
use crate::columns::HistogramSample;
use crate::head::{Head, SLOT_MAX};
use crate::options::Options;
use crate::record;

/// A head that is being rebuilt.
pub(super) struct Replay<'a> {
    options: &'a Options,
    pub(super) head: Head,
    resume: Resume,
    /// Slots whose series was made by a replayed record: all later samples are its.
    created: FxHashSet<u32>,
    /// The start whose records while it loaded are being replayed, and the slots of the series that
    /// it numbered.
    start: u64,
    slots_of_start: FxHashMap<u32, u32>,
    /// Slots that records of starts that loaded have made series in: no record names them yet.
    pub(super) unannounced: Vec<u32>,
    /// Of those, the ones over a budget, by metric: which, and how many.
    pub(super) over_budget: BTreeMap<String, (&'static str, u64)>,
    now: i64,
}

/// Whose series the numbers in a record are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbers {
    Slots,
    OfStart,
}

impl<'a> Replay<'a> {
    /// Begins with a checkpoint, if there is one; what it lost is told in `damage`.
    pub(super) fn of_checkpoint(
        path: Option<&Path>,
        options: &'a Options,
        now: i64,
        damage: &mut Vec<String>,
    ) -> Replay<'a> {
        let mut replay = Replay {
            options,
            head: Head::new(options.window_ms),
            resume: Resume::default(),
            created: FxHashSet::default(),
            start: 0,
            slots_of_start: FxHashMap::default(),
            unannounced: Vec::new(),
            over_budget: BTreeMap::new(),
            now,
        };
        match path.map(|path| checkpoint::read(path, options.window_ms)) {
            None => {}
            Some(Ok(restored)) => {
                damage.extend(restored.damage);
                (replay.head, replay.resume) = (restored.head, restored.resume);
            }
            Some(Err(error)) => damage.push(error.to_string()),
        }
        replay
    }

    /// From here on all records count: the checkpoint is older than they are.
    pub(super) fn forget_checkpoint(&mut self) {
        self.resume = Resume::default();
    }

    /// Whether there was a record of a start that loaded.
    pub(super) fn has_translated(&self) -> bool {
        self.start != 0
    }

    /// Puts a record into the head. Answers the newest time in it.
    pub(super) fn record(&mut self, kind: u8, payload: &[u8]) -> Result<i64, String> {
        let numbers = match kind {
            record::BATCH => Numbers::Slots,
            record::BATCH_WHILE_LOADING => Numbers::OfStart,
            _ => return Err(format!("unknown kind {kind} of record")),
        };
        let decoded = record::decode(payload).map_err(|e| e.to_string())?;
        let sequence = decoded.sequence;
        if numbers == Numbers::OfStart && self.start != record::start_of(sequence) {
            self.start = record::start_of(sequence);
            self.slots_of_start.clear();
        }
        if sequence >= self.resume.catalogue {
            for (number, labels) in decoded.series {
                match numbers {
                    Numbers::Slots => self.place(number, &labels)?,
                    Numbers::OfStart => self.find_or_make(number, &labels),
                }
            }
            self.head.metadata.extend(decoded.metadata);
        }
        for point in &decoded.batch.points {
            if let Some(slot) = self.slot(numbers, point.series, sequence) {
                let bits = point.value.to_bits();
                self.head.push(slot, point.at.0, point.start.0, bits, self.now);
            }
        }
        let newest = record::newest(&decoded.batch);
        for point in decoded.batch.histograms {
            if let Some(slot) = self.slot(numbers, point.series, sequence) {
                let histogram = Arc::new(point.histogram);
                let sample = HistogramSample { at: point.at, start: point.start, histogram };
                self.head.push_histogram(slot, sample, self.now);
            }
        }
        for (id, exemplar) in decoded.batch.exemplars {
            if let Some(slot) = self.slot(numbers, id, sequence) {
                self.head.push_exemplar(slot, exemplar);
            }
        }
        Ok(newest)
    }

    /// A series in the slot that a record names.
    fn place(&mut self, slot: u32, labels: &Labels) -> Result<(), String> {
        if slot > SLOT_MAX {
            return Err(format!("slot {slot} is higher than any that is given out"));
        }
        let pairs: Vec<_> = labels.iter().collect();
        let hash = fingerprint(pairs.iter().copied());
        match self.head.catalogue.find(hash, &pairs) {
            // Made while a start loaded, and told once more.
            Some(known) if known == slot => {}
            known => {
                // Retention may have dropped and made a series anew between two records.
                known.into_iter().for_each(|other| self.head.remove(other));
                self.head.create_at(slot, hash, &pairs);
            }
        }
        self.created.insert(slot);
        Ok(())
    }

    /// A series that a start numbered which did not know yet what there was.
    fn find_or_make(&mut self, number: u32, labels: &Labels) {
        let pairs: Vec<_> = labels.iter().collect();
        let hash = fingerprint(pairs.iter().copied());
        let slot = self.head.catalogue.find(hash, &pairs).unwrap_or_else(|| {
            if let Some(budget) = budget::reached(self.options, &self.head.catalogue, &pairs) {
                let metric = budget::metric_of(&pairs).to_owned();
                self.over_budget.entry(metric).or_insert((budget, 0)).1 += 1;
            }
            let slot = self.head.create(hash, &pairs);
            self.unannounced.push(slot);
            slot
        });
        self.created.insert(slot);
        self.slots_of_start.insert(number, slot);
    }

    /// The slot that a sample of a record goes to, if it counts.
    fn slot(&self, numbers: Numbers, id: SeriesId, sequence: u64) -> Option<u32> {
        let number = id.0 as u32;
        if numbers == Numbers::OfStart {
            return self.slots_of_start.get(&number).copied();
        }
        let counts = self.head.catalogue.contains(number)
            && (sequence >= self.resume.of_slot(number) || self.created.contains(&number));
        counts.then_some(number)
    }
}
