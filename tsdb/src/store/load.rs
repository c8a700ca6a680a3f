//! A start: samples are taken at once, while what the store held before is loaded.
//!
//! Until then `live` has a head of its own that only numbers series. Batches go to the journal with
//! these numbers, as records of a kind of their own, and wait in memory, encoded. The loader rebuilds
//! the old head without any lock, from checkpoint and journal, puts what waits on top of it, record
//! by record as a replay after a crash would, and takes the lock only for the last of it, when it
//! swaps the heads. Ids that were given out meanwhile are void from there on; who holds some is told
//! `unknown_series` and resolves them again.
//!
//! A record of that kind finds its series by labels, and makes those that are new in the next slot.
//! Before any other record may name such a slot, the loader tells the journal whose it is: what a
//! later start finds damaged must not give samples to another series.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use disk::journal::{CorruptRecord, Earlier};
use parking_lot::Mutex;

use crate::budget::Folds;
use crate::error::{Error, Result};
use crate::head::Head;
use crate::manifest::checkpoint_file;
use crate::record::{self, NewSeries};
use crate::store::replay::Replay;
use crate::store::{Live, Tsdb};

/// What a store that is being loaded has yet to read.
pub(super) struct Loading {
    earlier: Mutex<Option<Earlier>>,
    corrupt: OnceLock<Vec<CorruptRecord>>,
}

impl Loading {
    pub(super) fn of(earlier: Earlier) -> Loading {
        Loading { earlier: Mutex::new(Some(earlier)), corrupt: OnceLock::new() }
    }

    pub(super) fn corrupt(&self) -> &[CorruptRecord] {
        self.corrupt.get().map_or(&[], |corrupt| &corrupt[..])
    }
}

/// Records that were written while the store is being loaded, in the order of the journal.
#[derive(Default)]
pub(crate) struct Waiting {
    records: Vec<Arc<Vec<u8>>>,
    bytes: usize,
}

impl Waiting {
    pub(super) fn push(&mut self, record: Arc<Vec<u8>>) {
        self.bytes += record.len();
        self.records.push(record);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn take(&mut self) -> Vec<Arc<Vec<u8>>> {
        self.bytes = 0;
        std::mem::take(&mut self.records)
    }
}

/// So few records that wait are put into the head under the lock.
const LAST_RECORDS: usize = 8;
/// So often the loader tries to come that near before it takes the lock for what there is.
const ROUNDS_MAX: usize = 50;
/// Series that one record announces.
const ANNOUNCED_AT_ONCE: usize = 4096;

impl Live {
    /// The head of a store that is being loaded.
    pub(super) fn while_loading(window_ms: i64, next_sequence: u64, now: i64) -> Live {
        Live {
            head: Head::while_loading(window_ms),
            new_series: NewSeries::default(),
            new_metadata: Vec::new(),
            next_sequence,
            folds: Folds::new(now),
            waiting: Some(Waiting::default()),
        }
    }

    fn take_waiting(&mut self) -> Vec<Arc<Vec<u8>>> {
        self.waiting.as_mut().map(Waiting::take).unwrap_or_default()
    }
}

impl Tsdb {
    /// Whether what the store held before can not be asked for yet.
    pub fn is_loading(&self) -> bool {
        !self.is_loaded.load(Ordering::SeqCst)
    }

    /// Refuses what needs all of the store.
    pub(super) fn check_loaded(&self) -> Result<()> {
        if self.is_loading() { Err(Error::Loading) } else { Ok(()) }
    }

    /// Reads what the store held before [`Tsdb::begin`], which may take seconds, and returns when
    /// everything can be asked for. What can not be read is left out and told by [`Tsdb::damage`].
    ///
    /// Fails if the journal has a record of an unknown kind, and if the store is being closed; then
    /// what was acknowledged meanwhile is in the journal, for the next start.
    pub fn load(&self) -> Result<()> {
        let mut maintenance = self.maintenance.lock();
        let Some(earlier) = self.loading.earlier.lock().take() else { return Ok(()) };
        let mut damage = Vec::new();
        let view = self.open_blocks(&mut damage)?;
        *self.view.write() = Arc::new(view);
        let number = self.manifest.lock().checkpoint;
        let path = number.map(|number| self.dir.join(checkpoint_file(number)));
        let now = self.clock.now_ms().0;
        let mut replay = Replay::of_checkpoint(path.as_deref(), &self.options, now, &mut damage);
        self.damage.lock().append(&mut damage);
        let recovery = self.journal.replay(earlier, &mut |replayed| {
            if self.stopping.load(Ordering::SeqCst) {
                return Err("the store is being closed".to_owned());
            }
            replay.record(replayed.kind, replayed.payload)
        })?;
        self.loading.corrupt.set(recovery.corrupt).ok();
        replay.forget_checkpoint();
        for _ in 0..ROUNDS_MAX {
            let waiting = self.live.write().take_waiting();
            self.put_waiting(&mut replay, &waiting)?;
            if waiting.len() <= LAST_RECORDS {
                break;
            }
        }
        self.announce(&mut replay);
        if self.swap_heads(replay)? {
            // A checkpoint soon: the next start has no numbers of this one to translate.
            maintenance.checkpoint_at = i64::MIN;
        }
        Ok(())
    }

    fn put_waiting(&self, replay: &mut Replay<'_>, waiting: &[Arc<Vec<u8>>]) -> Result<()> {
        for payload in waiting {
            replay.record(record::BATCH_WHILE_LOADING, payload).map_err(|what| Error::Corrupt {
                path: self.dir.clone(),
                what: format!("a record that was written while it was loaded: {what}"),
            })?;
        }
        Ok(())
    }

    /// Tells the journal which series records of starts that loaded have made, and where. What it
    /// does not take now goes before the next samples.
    fn announce(&self, replay: &mut Replay<'_>) {
        while !replay.unannounced.is_empty() {
            let rest = replay.unannounced.len().saturating_sub(ANNOUNCED_AT_ONCE);
            let news = news_of(&replay.head, &replay.unannounced[rest..]);
            let appended = {
                let mut live = self.live.write();
                let payload = record::with_news(
                    live.next_sequence,
                    &news,
                    &[],
                    record::encode_batch(&Default::default()),
                );
                let appended = self.journal.append(record::BATCH, Arc::new(payload), i64::MIN);
                live.next_sequence += u64::from(appended.is_ok());
                appended
            };
            match appended.map(|(_, commit)| commit.wait()) {
                Ok(Ok(())) => replay.unannounced.truncate(rest),
                _ => return,
            }
        }
    }

    /// Answers whether the journal has records of starts that loaded.
    fn swap_heads(&self, mut replay: Replay<'_>) -> Result<bool> {
        let mut live = self.live.write();
        let waiting = live.take_waiting();
        self.put_waiting(&mut replay, &waiting)?;
        let has_translated = replay.has_translated();
        live.new_series = news_of(&replay.head, &replay.unannounced);
        let mut head = replay.head;
        head.catalogue.free_all_empty();
        head.removed.clear();
        head.metadata.extend(live.new_metadata.iter().cloned());
        let now = self.clock.now_ms().0;
        let mut folds = Folds::new(now);
        for (metric, (budget, count)) in &replay.over_budget {
            folds.note_kept(metric, budget, *count, now);
        }
        let gone =
            (std::mem::replace(&mut live.head, head), std::mem::replace(&mut live.folds, folds));
        live.waiting = None;
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.is_loaded.store(true, Ordering::SeqCst);
        drop(live);
        // A million series take a while to free, and nobody has to wait for it.
        drop(gone);
        Ok(has_translated)
    }
}

fn news_of(head: &Head, slots: &[u32]) -> NewSeries {
    let mut news = NewSeries::default();
    for slot in slots.iter().filter(|slot| head.catalogue.contains(**slot)) {
        news.push(*slot, &head.catalogue.label_refs(*slot).collect::<Vec<_>>());
    }
    news
}
