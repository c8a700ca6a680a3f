//! What the tests share: a server process ([`Server`]), requests to send ([`otlp`]), random numbers
//! that a seed repeats ([`Random`]), and waiting that ends ([`eventually`]).

pub(crate) mod otlp;
mod questions;
mod server;

use std::time::Duration;

pub(crate) use server::{Addresses, Answer, Binary, Server, Setup, can_mount, client};

use model::{Clock, SystemClock};

/// How long the tests wait for what should happen at once. Generous: machines under test are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often [`eventually`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The time, in nanoseconds since the epoch.
pub(crate) fn now_ns() -> u64 {
    u64::try_from(SystemClock::new().now().0).unwrap()
}

/// The time, in milliseconds since the epoch.
pub(crate) fn now_ms() -> u64 {
    now_ns() / 1_000_000
}

/// Asks again and again until there is an answer; panics, naming `what`, if none comes within
/// [`PATIENCE`].
pub(crate) async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = attempt().await {
                return found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, search).await;
    found.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain: {what}"))
}

/// SplitMix64: small, and the same numbers for the same seed on every machine.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Starts at a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of `range`.
    pub(crate) fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }
}
