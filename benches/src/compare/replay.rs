//! Sends bodies that are in memory already to any server, in a closed loop.
//!
//! Unlike [`crate::sender`], which also paces and repeats requests and reads the answers of OTLP,
//! this knows nothing of what it sends: every store of a comparison gets the same bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use model::{Clock as _, SystemClock};
use prost::Message as _;
use proto::generated::opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceResponse;
use tokio::task::JoinSet;

use crate::sender::{Connection, Transport};

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Body {
    /// What is sent.
    pub(super) bytes: Bytes,
    /// How many samples are in it.
    pub(super) samples: u64,
}

/// The requests of each connection, in order: a series stays on its connection.
pub(super) type Lanes = Vec<Vec<Body>>;

/// Where requests go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Door {
    /// The server.
    pub(super) address: SocketAddr,
    /// Its path.
    pub(super) path: &'static str,
    /// What is sent with each.
    pub(super) headers: &'static [(&'static str, &'static str)],
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Outcome {
    /// Samples of requests that were answered with success.
    pub(super) samples: u64,
    /// Samples of those that were not.
    pub(super) samples_failed: u64,
    /// Requests sent.
    pub(super) requests: u64,
    /// Bytes of all bodies.
    pub(super) bytes: u64,
    /// From the first request to the last answer.
    pub(super) wall: Duration,
    /// The first failure, in the server's words.
    pub(super) first_problem: Option<String>,
}

impl Outcome {
    fn add(&mut self, other: Outcome) {
        self.samples += other.samples;
        self.samples_failed += other.samples_failed;
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.first_problem = self.first_problem.take().or(other.first_problem);
    }
}

/// Sends everything, each lane over a connection of its own. A request that fails is counted and
/// not sent again.
///
/// # Errors
///
/// When the server can not be connected to.
pub(super) async fn replay(door: Door, lanes: &Lanes) -> anyhow::Result<Outcome> {
    let mut connections = Vec::new();
    for _ in lanes {
        let connection = Connection::open(Transport::Http, door.address).await;
        connections.push(connection.with_context(|| format!("connect to {}", door.address))?);
    }
    let clock = Arc::new(SystemClock::new());
    let mut senders = JoinSet::new();
    for (lane, connection) in lanes.iter().zip(connections) {
        // Cloning a body counts a reference.
        senders.spawn(send_lane(door, lane.clone(), connection));
    }
    let mut outcome = Outcome::default();
    while let Some(one) = senders.join_next().await {
        outcome.add(one.context("a sender ended early")?);
    }
    outcome.wall = clock.monotonic();
    Ok(outcome)
}

async fn send_lane(door: Door, lane: Vec<Body>, mut connection: Connection) -> Outcome {
    let mut outcome = Outcome::default();
    for body in lane {
        outcome.requests += 1;
        outcome.bytes += body.bytes.len() as u64;
        let problem = match connection.post(door.path, door.headers, body.bytes).await {
            Ok((status, answer)) if (200..300).contains(&status) => refusal(&answer),
            Ok((status, answer)) => {
                Some(format!("HTTP {status}: {}", String::from_utf8_lossy(&answer)))
            }
            Err(error) => Some(format!("{error:#}")),
        };
        match problem {
            None => outcome.samples += body.samples,
            Some(problem) => {
                outcome.samples_failed += body.samples;
                outcome.first_problem.get_or_insert(problem);
            }
        }
    }
    outcome
}

/// OTLP tells in a successful answer that a part was refused; the other answers are empty.
fn refusal(answer: &[u8]) -> Option<String> {
    let partial = ExportMetricsServiceResponse::decode(answer).ok()?.partial_success?;
    (partial.rejected_data_points > 0)
        .then(|| format!("refused {}: {}", partial.rejected_data_points, partial.error_message))
}

/// Deals bodies out to `count` lanes: chunk `n` of every round goes to lane `n % count`.
pub(super) fn deal(bodies: impl IntoIterator<Item = (usize, Body)>, count: usize) -> Lanes {
    let mut lanes = vec![Vec::new(); count.max(1)];
    for (chunk, body) in bodies {
        let lane = chunk % lanes.len();
        lanes[lane].push(body);
    }
    lanes.retain(|lane| !lane.is_empty());
    lanes
}

#[cfg(test)]
mod tests {
    use proto::generated::opentelemetry::proto::collector::metrics::v1::ExportMetricsPartialSuccess;

    use super::*;

    #[test]
    fn a_chunk_stays_on_its_lane() {
        let body = |samples| Body { bytes: Bytes::new(), samples };
        let lanes = deal([(0, body(1)), (1, body(2)), (2, body(3)), (0, body(4))], 2);
        let samples: Vec<Vec<u64>> =
            lanes.iter().map(|lane| lane.iter().map(|body| body.samples).collect()).collect();
        assert_eq!(samples, [vec![1, 3, 4], vec![2]]);
        assert_eq!(deal([(0, body(1))], 2).len(), 1);
    }

    #[test]
    fn a_partial_success_is_a_refusal() {
        assert_eq!(refusal(b""), None);
        let response = ExportMetricsServiceResponse {
            partial_success: Some(ExportMetricsPartialSuccess {
                rejected_data_points: 3,
                error_message: "no".to_owned(),
            }),
        };
        assert_eq!(refusal(&response.encode_to_vec()).unwrap(), "refused 3: no");
    }
}
