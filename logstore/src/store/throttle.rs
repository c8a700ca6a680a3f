//! Slows senders down before they are refused: while the heads hold much more than they may, a
//! write is acknowledged only when sealing has made room. Senders that wait for their answers then
//! send as fast as the store seals.

use model::Commit;
use model::commit::CommitPromise;
use parking_lot::Mutex;

/// Writes that are taken and not acknowledged.
#[derive(Default)]
pub(super) struct Throttle(Mutex<Vec<(Commit, CommitPromise)>>);

impl Throttle {
    /// Puts a write off until [`Throttle::release`].
    pub(super) fn hold(&self, commit: Commit) -> Commit {
        let (promise, held) = Commit::pending();
        self.0.lock().push((commit, promise));
        held
    }

    /// Acknowledges what was put off, when it is on disk.
    pub(super) fn release(&self) {
        let held = std::mem::take(&mut *self.0.lock());
        for (commit, promise) in held {
            promise.resolve(commit.wait());
        }
    }
}
