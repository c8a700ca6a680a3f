//! Replays requests over a few connections and checks every answer.
//!
//! Each connection has its own requests, so that the samples of a series stay in order. It sends
//! the next one when the answer to the last one is there (closed loop), or when its time has come
//! (`--rate`). With a rate, latency counts from the time at which the request was due: a server
//! that stalls must not look fast because nobody asked it anything meanwhile.
//!
//! One thread drives all connections. It needs a fraction of a core, and what it leaves alone is
//! the server's.

mod answer;
mod connection;
mod packed;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use model::{Clock, SystemClock};
use proto::Signal;
use tokio::task::JoinSet;

pub use answer::Answer;
pub use connection::Connection;
pub use packed::{Compression, Lane, pack};

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    /// Protobuf over HTTP/1.1.
    Http,
    /// gRPC over HTTP/2.
    Grpc,
}

impl Transport {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Http => "http",
            Transport::Grpc => "grpc",
        }
    }
}

/// Where to send to and how.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What the requests carry.
    pub signal: Signal,
    /// How they travel.
    pub transport: Transport,
    /// How they were packed.
    pub compression: Compression,
    /// The server.
    pub address: SocketAddr,
    /// Items per second of all connections together; `None` is a closed loop.
    pub rate: Option<f64>,
    /// Stop after this long.
    pub duration: Option<Duration>,
    /// Stop after this many requests of all connections together.
    pub requests: u64,
    /// How much later the second lap over the requests starts.
    pub lap_ns: i64,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Items that the server took.
    pub accepted: u64,
    /// Items that the server refused in a partial success.
    pub refused: u64,
    /// Items of requests that were refused whole or not answered.
    pub failed: u64,
    /// Samples of the requests that were answered with success.
    pub samples: u64,
    /// Requests sent.
    pub requests: u64,
    /// Of them, those that were refused whole or not answered.
    pub requests_failed: u64,
    /// Bytes of all bodies as sent.
    pub sent_bytes: u64,
    /// From the first request to the last answer.
    pub wall: Duration,
    /// Of every request, in microseconds; sorted.
    pub latencies_us: Vec<u64>,
    /// The first refusal or failure, in the server's words.
    pub first_problem: Option<String>,
    /// Whether a duration was asked for and the planned requests ended before it.
    pub ran_out: bool,
}

impl Tally {
    /// The latency that a share of `quantile` of the requests did not exceed.
    pub fn latency_us(&self, quantile: f64) -> u64 {
        let rank = (self.latencies_us.len() as f64 * quantile).ceil() as usize;
        self.latencies_us.get(rank.max(1) - 1).copied().unwrap_or(0)
    }

    fn add(&mut self, other: Tally) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.failed += other.failed;
        self.samples += other.samples;
        self.requests += other.requests;
        self.requests_failed += other.requests_failed;
        self.sent_bytes += other.sent_bytes;
        self.latencies_us.extend(other.latencies_us);
        self.first_problem = self.first_problem.take().or(other.first_problem);
        self.ran_out |= other.ran_out;
    }

    fn count(&mut self, answer: Answer, items: u64, samples: u64) {
        self.requests += 1;
        match answer {
            Answer::Success { rejected, message } => {
                let refused = rejected.min(items);
                self.accepted += items - refused;
                self.refused += refused;
                self.samples += samples;
                if refused > 0 && self.first_problem.is_none() {
                    self.first_problem = Some(format!("refused {refused} items: {message}"));
                }
            }
            Answer::Failure { message } => {
                self.failed += items;
                self.requests_failed += 1;
                self.first_problem.get_or_insert(message);
            }
        }
    }
}

/// Sends everything. Requests that fail are counted and not sent again.
///
/// # Errors
///
/// When the server cannot be connected to.
pub async fn send(plan: Plan, lanes: Vec<Lane>) -> anyhow::Result<Tally> {
    let count = lanes.len() as u64;
    let mut connections = Vec::new();
    for _ in &lanes {
        let connection = Connection::open(plan.transport, plan.address);
        connections.push(connection.await.with_context(|| format!("connect to {}", plan.address))?);
    }
    let clock = Arc::new(SystemClock::new());
    let mut senders = JoinSet::new();
    for (index, (lane, connection)) in lanes.into_iter().zip(connections).enumerate() {
        // The first connections take what does not divide evenly.
        let share = plan.requests / count + u64::from((index as u64) < plan.requests % count);
        let rate = plan.rate.map(|rate| rate / count as f64);
        let sender = Sender { plan, lane, share, rate, clock: clock.clone() };
        senders.spawn(sender.run(connection));
    }
    let mut tally = Tally::default();
    while let Some(one) = senders.join_next().await {
        tally.add(one.context("a sender panicked")?);
    }
    tally.wall = clock.monotonic();
    tally.latencies_us.sort_unstable();
    Ok(tally)
}

/// One connection and its requests.
struct Sender {
    plan: Plan,
    lane: Lane,
    share: u64,
    rate: Option<f64>,
    clock: Arc<SystemClock>,
}

impl Sender {
    async fn run(self, mut connection: Connection) -> Tally {
        let mut tally = Tally::default();
        let mut sent_items = 0;
        for number in 0..self.share {
            let due = match self.rate {
                Some(rate) => Duration::from_secs_f64(sent_items as f64 / rate),
                None => self.clock.monotonic(),
            };
            if self.plan.duration.is_some_and(|duration| due >= duration) {
                break;
            }
            if let Some(wait) = due.checked_sub(self.clock.monotonic()) {
                tokio::time::sleep(wait).await;
            }
            // An overloaded server makes requests late; the run still ends in time.
            if self.plan.duration.is_some_and(|duration| self.clock.monotonic() >= duration) {
                break;
            }
            let Some(request) = self.lane.request(number, self.plan.lap_ns) else { break };
            tally.sent_bytes += request.body.len() as u64;
            sent_items += request.items;
            let answer = connection.export(&self.plan, request.body).await;
            let latency = self.clock.monotonic().saturating_sub(due);
            tally.latencies_us.push(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
            tally.count(answer, request.items, request.samples);
        }
        let has_time = self.plan.duration.is_some_and(|limit| self.clock.monotonic() < limit);
        tally.ran_out = has_time && tally.requests >= self.share && self.rate.is_none();
        tally
    }
}
