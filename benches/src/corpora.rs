//! What is sent: requests that look like those of a fleet of services, made from a seed.
//!
//! The shapes are chosen so that the costs which matter show: attributes repeat between requests as
//! they do in life, series live for many steps, log bodies compress as logs do, and a trace spreads
//! over many services.

mod attributes;
mod fleet;
mod logs;
mod metrics;
mod moves;
mod random;
#[cfg(test)]
mod tests;
mod traces;

use model::TimestampNs;
use proto::Signal;

pub use moves::{Moves, NotOtlp};
pub(crate) use random::Random;

/// How many nanoseconds of log and span time one request covers.
const WINDOW_NS: i64 = 100_000_000;

/// Which metrics a pod has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// 10 histograms of 14 bounds, 28 counters, 26 gauges and up-down counters.
    Full,
    /// 64 gauges, so that a data point is a sample.
    Numbers,
}

/// What to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Everything random comes from it.
    pub seed: u64,
    /// Services of the fleet.
    pub services: usize,
    /// Pods of all services together.
    pub pods: usize,
    /// How many requests.
    pub requests: usize,
    /// Which metrics a pod has.
    pub shape: Shape,
    /// Whether a pod of [`Shape::Full`] also has 4 exponential histograms.
    pub exponential: bool,
    /// Data points in a request, at most. A request holds whole pods.
    pub points_per_request: usize,
    /// Log records in a request.
    pub records_per_request: usize,
    /// Spans in a request, about. A request holds whole traces.
    pub spans_per_request: usize,
    /// The number of lanes is a multiple of this.
    pub lanes: usize,
    /// Time between two points of a series.
    pub step_ns: i64,
    /// Time of the first item.
    pub start: TimestampNs,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            seed: 1,
            services: 20,
            pods: 200,
            requests: 400,
            shape: Shape::Full,
            exponential: false,
            points_per_request: 3_400,
            records_per_request: 2_000,
            spans_per_request: 2_000,
            lanes: 2,
            step_ns: 15_000_000_000,
            start: TimestampNs(1_700_000_000_000_000_000),
        }
    }
}

impl Options {
    /// How much time the requests of `signal` cover, from [`Options::start`] on.
    pub fn span_ns(&self, signal: Signal) -> i64 {
        match signal {
            Signal::Metrics => {
                let steps = self.requests.div_ceil(metrics::group_count(self));
                steps as i64 * self.step_ns
            }
            Signal::Logs | Signal::Traces => self.requests as i64 * WINDOW_NS,
        }
    }
}

/// One export request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The protobuf message.
    pub bytes: Vec<u8>,
    /// Data points, log records or spans in it.
    pub items: u64,
    /// Samples as Prometheus counts them: a histogram is its buckets, sum and count, and an
    /// exponential histogram is one. For logs and traces the same as `items`.
    pub samples: u64,
    /// Requests of one lane must be sent in order.
    pub lane: usize,
}

/// The requests of one signal, in order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Corpus {
    /// What they carry.
    pub signal: Signal,
    /// The requests.
    pub requests: Vec<Request>,
    /// How much time they cover; a second lap starts this much later.
    pub span_ns: i64,
}

impl Corpus {
    /// Makes all requests. The same options make the same bytes.
    pub fn generate(signal: Signal, options: &Options) -> Self {
        let requests = match signal {
            Signal::Metrics => metrics::generate(options),
            Signal::Logs => logs::generate(options),
            Signal::Traces => traces::generate(options),
        };
        Corpus { signal, requests, span_ns: options.span_ns(signal) }
    }

    /// Items of all requests.
    pub fn items(&self) -> u64 {
        self.requests.iter().map(|request| request.items).sum()
    }

    /// Samples of all requests.
    pub fn samples(&self) -> u64 {
        self.requests.iter().map(|request| request.samples).sum()
    }

    /// Bytes of all requests.
    pub fn bytes(&self) -> u64 {
        self.requests.iter().map(|request| request.bytes.len() as u64).sum()
    }
}
