//! The head at start: the checkpoint, and what the journal holds since.

use std::path::Path;

use disk::{Journal, Recovery};
use rustc_hash::FxHashSet;

use crate::block::fingerprint;
use crate::budget::Folds;
use crate::checkpoint::{self, Resume};
use crate::columns::HistogramSample;
use crate::error::Result;
use crate::head::{Head, SLOT_MAX};
use crate::manifest::{Manifest, checkpoint_file};
use crate::options::Options;
use crate::record;
use crate::store::Live;

const JOURNAL_FOLDER: &str = "journal";

/// Rebuilds the head of the store in `dir`.
pub(super) fn open_head(
    dir: &Path,
    options: &Options,
    manifest: &Manifest,
    now: i64,
    damage: &mut Vec<String>,
) -> Result<(Live, Journal, Recovery)> {
    let mut replay = Replay {
        head: Head::new(options.window_ms),
        resume: Resume::default(),
        created: FxHashSet::default(),
        next_sequence: 0,
        now,
    };
    if let Some(number) = manifest.checkpoint {
        match checkpoint::read(&dir.join(checkpoint_file(number)), options.window_ms) {
            Ok(restored) => {
                damage.extend(restored.damage);
                replay.next_sequence = restored.resume.catalogue;
                let slices = restored.resume.slices.iter().copied();
                replay.next_sequence = slices.fold(replay.next_sequence, u64::max);
                (replay.head, replay.resume) = (restored.head, restored.resume);
            }
            Err(error) => damage.push(error.to_string()),
        }
    }
    let journal_dir = dir.join(JOURNAL_FOLDER);
    let (journal, recovery) =
        Journal::open(&journal_dir, options.journal.clone(), &mut |replayed| {
            replay.record(replayed.kind, replayed.payload)
        })?;
    let Replay { mut head, next_sequence, .. } = replay;
    head.catalogue.free_all_empty();
    head.removed.clear();
    let folds = Folds::new(now);
    let (new_series, new_metadata) = (record::NewSeries::default(), Vec::new());
    let live = Live { head, new_series, new_metadata, next_sequence, folds };
    Ok((live, journal, recovery))
}

struct Replay {
    head: Head,
    resume: Resume,
    /// Slots whose series was made by a replayed record: all later samples are its.
    created: FxHashSet<u32>,
    next_sequence: u64,
    now: i64,
}

impl Replay {
    fn record(&mut self, kind: u8, payload: &[u8]) -> std::result::Result<i64, String> {
        if kind != record::BATCH {
            return Err(format!("unknown kind {kind} of record"));
        }
        let decoded = record::decode(payload).map_err(|e| e.to_string())?;
        let sequence = decoded.sequence;
        self.next_sequence = self.next_sequence.max(sequence + 1);
        if sequence >= self.resume.catalogue {
            for (slot, labels) in decoded.series {
                if slot > SLOT_MAX {
                    return Err(format!("slot {slot} is higher than any that is given out"));
                }
                let pairs: Vec<_> = labels.iter().collect();
                let hash = fingerprint(pairs.iter().copied());
                // Retention may have dropped and made a series anew between two records.
                if let Some(other) = self.head.catalogue.find(hash, &pairs)
                    && other != slot
                {
                    self.head.remove(other);
                }
                self.head.create_at(slot, hash, &pairs);
                self.created.insert(slot);
            }
            self.head.metadata.extend(decoded.metadata);
        }
        for point in &decoded.batch.points {
            let slot = point.series.0 as u32;
            if self.applies(slot, sequence) {
                let bits = point.value.to_bits();
                self.head.push(slot, point.at.0, point.start.0, bits, self.now);
            }
        }
        let newest = record::newest(&decoded.batch);
        for point in decoded.batch.histograms {
            let slot = point.series.0 as u32;
            if self.applies(slot, sequence) {
                let histogram = std::sync::Arc::new(point.histogram);
                let sample = HistogramSample { at: point.at, start: point.start, histogram };
                self.head.push_histogram(slot, sample, self.now);
            }
        }
        for (id, exemplar) in decoded.batch.exemplars {
            let slot = id.0 as u32;
            if self.applies(slot, sequence) {
                self.head.push_exemplar(slot, exemplar);
            }
        }
        Ok(newest)
    }

    fn applies(&self, slot: u32, sequence: u64) -> bool {
        self.head.catalogue.contains(slot)
            && (sequence >= self.resume.of_slot(slot) || self.created.contains(&slot))
    }
}
