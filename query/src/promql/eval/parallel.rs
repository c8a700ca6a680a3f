//! Series on several threads: each reads and computes its share, the thread of the query takes what
//! they have done in turns. So the result does not depend on how fast a thread is, and no more than
//! a few series of each wait.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use model::read::{SeriesColumns, SeriesStream};

use super::repeated::Repeated;
use super::{Evaluator, Result, Sink};
use crate::vector::{Column, Notes};

/// What becomes of one series after the other; nothing, if it has no values.
pub(in crate::promql) type Work<'w> =
    Box<dyn FnMut(&mut Evaluator<'_>, SeriesColumns) -> Result<Option<Column>> + 'w>;

/// Makes the work of one thread.
pub(in crate::promql) type MakeWork<'w> = dyn Fn() -> Work<'w> + Sync + 'w;

/// So many series are handed over at once.
const SERIES_PER_TURN: usize = 32;
/// So many turns of a thread wait.
const TURNS_MAX: usize = 4;
/// More threads than these would wait for the one that takes their results.
pub(super) const THREADS_MAX: usize = 16;

type Turn = Result<Vec<Column>>;

impl<'a> Evaluator<'a> {
    /// Does the work for all series of all streams, each on its own thread if there are several, and
    /// hands out what comes of it, in no order, but in the same each time.
    pub(super) fn map_streams(
        &mut self,
        mut streams: Vec<SeriesStream<'a>>,
        make: &MakeWork<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        if streams.len() <= 1 {
            let mut work = make();
            for series in streams.pop().into_iter().flatten() {
                if let Some(column) = work(self, series?)? {
                    sink(self, column)?;
                }
            }
            return Ok(());
        }
        std::thread::scope(|scope| {
            let (mut turns, mut threads) = (Vec::new(), Vec::new());
            for stream in streams {
                let (sender, receiver) = sync_channel(TURNS_MAX);
                let worker = self.worker();
                threads.push(scope.spawn(move || worker.run(stream, make(), &sender)));
                turns.push(receiver);
            }
            let outcome = self.take_turns(turns, sink);
            for thread in threads {
                match thread.join() {
                    Ok(notes) => self.notes.add(notes),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            outcome
        })
    }

    /// The same evaluation on another thread, with nothing noted yet.
    fn worker(&self) -> Evaluator<'a> {
        Evaluator { notes: Notes::default(), repeated: Repeated::default(), ..*self }
    }

    /// Takes until all threads are done or there is an error; then those that go on find nobody who
    /// takes what they have, and end.
    fn take_turns(&mut self, mut turns: Vec<Receiver<Turn>>, sink: &mut Sink<'_>) -> Result<()> {
        while !turns.is_empty() {
            let mut failed = None;
            turns.retain(|receiver| {
                let Ok(turn) = receiver.recv() else { return false };
                if failed.is_none() {
                    let taken = turn.and_then(|columns| {
                        columns.into_iter().try_for_each(|column| sink(self, column))
                    });
                    failed = taken.err();
                }
                true
            });
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }

    fn run(
        mut self,
        stream: SeriesStream<'a>,
        mut work: Work<'_>,
        turns: &SyncSender<Turn>,
    ) -> Notes {
        let mut done = Vec::with_capacity(SERIES_PER_TURN);
        for series in stream {
            let worked = series.map_err(Into::into).and_then(|series| work(&mut self, series));
            match worked {
                Ok(None) => {}
                Ok(Some(column)) => done.push(column),
                Err(error) => {
                    // Fails if another thread has failed before.
                    turns.send(Err(error)).ok();
                    return self.notes;
                }
            }
            if done.len() == SERIES_PER_TURN {
                let full = std::mem::replace(&mut done, Vec::with_capacity(SERIES_PER_TURN));
                if turns.send(Ok(full)).is_err() {
                    return self.notes;
                }
            }
        }
        turns.send(Ok(done)).ok();
        self.notes
    }
}
