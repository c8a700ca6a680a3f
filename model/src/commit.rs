//! The promise of a write: it resolves when the data is on disk, or when it is known that it will
//! not be.
//!
//! A sink returns at once with a [`Commit`] while the journal gathers writes into one fsync. An edge
//! awaits it before it acknowledges anything. It is a plain `std` future, so that the stores need no
//! async runtime, and it can be waited for by a thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Default)]
struct State {
    outcome: Option<Result<()>>,
    waker: Option<Waker>,
}

/// Resolves to `Ok` when everything written before it is durable. Dropping it does not undo the
/// write.
#[must_use = "nothing is durable before the commit resolves"]
pub struct Commit(Option<Arc<Shared>>);

/// The journal's end of a [`Commit`]. Dropped without an outcome, it fails the commit.
pub struct CommitPromise(Arc<Shared>);

impl Commit {
    /// A commit and the promise that resolves it.
    pub fn pending() -> (CommitPromise, Commit) {
        let shared = Arc::new(Shared::default());
        (CommitPromise(shared.clone()), Commit(Some(shared)))
    }

    /// A commit of nothing, already resolved.
    pub fn done() -> Self {
        Commit(None)
    }

    /// Blocks the thread until the outcome is known.
    pub fn wait(self) -> Result<()> {
        let Some(shared) = self.0 else { return Ok(()) };
        let mut state = shared.state.lock();
        loop {
            if let Some(outcome) = &state.outcome {
                return outcome.clone();
            }
            shared.done.wait(&mut state);
        }
    }
}

impl Future for Commit {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(shared) = &self.0 else { return Poll::Ready(Ok(())) };
        let mut state = shared.state.lock();
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(outcome.clone());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl CommitPromise {
    /// Resolves the commit.
    pub fn resolve(self, outcome: Result<()>) {
        self.set(outcome);
    }

    fn set(&self, outcome: Result<()>) {
        let mut state = self.0.state.lock();
        if state.outcome.is_some() {
            return;
        }
        state.outcome = Some(outcome);
        let waker = state.waker.take();
        drop(state);
        self.0.done.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for CommitPromise {
    fn drop(&mut self) {
        self.set(Err(Error::unavailable("the journal stopped before the write was durable")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_waits_for_its_promise() {
        let (promise, commit) = Commit::pending();
        let waiter = std::thread::spawn(move || commit.wait());
        promise.resolve(Ok(()));
        assert!(waiter.join().unwrap().is_ok());
    }

    #[test]
    fn a_promise_that_is_dropped_fails_its_commit() {
        let (promise, commit) = Commit::pending();
        drop(promise);
        assert!(commit.wait().is_err());
    }
}
