//! A run against a server: plan, encode, send, wait until the server is idle, report.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use model::{Clock as _, SystemClock, TimestampNs};
use proto::Signal;

use crate::corpora::{Corpus, Options, Shape};
use crate::process::{Process, disk_bytes};
use crate::report::{Report, ServerCost};
use crate::sender::{self, Compression, Lane, Plan, Transport};

/// A closed loop with a duration but no count of requests plans for this many items per second; no
/// server we know takes more of them from two cores.
const ITEMS_PER_SECOND_MAX: f64 = 2_000_000.0;

/// Which signals to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Signals {
    /// Data points.
    Metrics,
    /// Log records.
    Logs,
    /// Spans.
    Traces,
    /// One after the other.
    All,
}

impl Signals {
    /// The signals, in the order of a run.
    pub fn list(self) -> &'static [Signal] {
        match self {
            Signals::Metrics => &[Signal::Metrics],
            Signals::Logs => &[Signal::Logs],
            Signals::Traces => &[Signal::Traces],
            Signals::All => &[Signal::Metrics, Signal::Logs, Signal::Traces],
        }
    }
}

/// What to send and how, from the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct LoadArguments {
    /// What to send.
    #[arg(long, value_enum, default_value = "all")]
    pub signal: Signals,
    /// How to send it.
    #[arg(long, value_enum, default_value = "http")]
    pub transport: Transport,
    /// How to compress it.
    #[arg(long, value_enum, default_value = "none")]
    pub compression: Compression,
    /// Connections; each has one request under way.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub connections: u16,
    /// Items per second, all connections together; without it, as fast as the server answers.
    #[arg(long, value_name = "ITEMS")]
    pub rate: Option<f64>,
    /// Stop after this long, for example 30s or 2m.
    #[arg(long, value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Stop after this many requests of each signal [default: --distinct, or what --duration
    /// takes].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub requests: Option<u64>,
    /// Requests that are encoded before the clock starts; when more are sent they are repeated with
    /// other times and ids. Compressed requests are never repeated.
    #[arg(long, value_name = "N", default_value_t = 400)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub distinct: u64,
    /// Everything random comes from it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Services of the fleet.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub services: u32,
    /// Pods of the fleet. A pod is 64 data points, or 224 series as Prometheus counts them.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub pods: u32,
    /// Which metrics a pod has.
    #[arg(long, value_enum, default_value = "full")]
    pub shape: Shape,
    /// Add 4 exponential histograms to each pod.
    #[arg(long)]
    pub exponential: bool,
    /// Data points in a request, at most; a request holds whole pods.
    #[arg(long, default_value_t = 3_400, value_parser = clap::value_parser!(u32).range(1..))]
    pub points_per_request: u32,
    /// Log records in a request.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub records_per_request: u32,
    /// Spans in a request, about; a request holds whole traces.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub spans_per_request: u32,
    /// Time between two points of a series. The last point is at the present, the first as many
    /// steps ago as the run has.
    #[arg(long, default_value = "15s", value_parser = parse_duration)]
    pub step: Duration,
    /// How long the server may take to become idle after the last answer.
    #[arg(long, default_value = "60s", value_parser = parse_duration)]
    pub idle_limit: Duration,
    /// Print one line of JSON for each signal instead of the table.
    #[arg(long)]
    pub json: bool,
}

/// A number with `ms`, `s`, `m` or `h`; without a unit, seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, seconds) = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)]
        .into_iter()
        .find_map(|(unit, seconds)| text.strip_suffix(unit).map(|number| (number, seconds)))
        .unwrap_or((text, 1.0));
    let number: f64 = number.parse().map_err(|_| "a duration is, for example, 30s or 2m")?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

/// The server of a run.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it takes OTLP over HTTP.
    pub http: SocketAddr,
    /// Where it takes OTLP over gRPC.
    pub grpc: SocketAddr,
    /// Its process, to measure.
    pub process: Option<Process>,
    /// Its data, to measure.
    pub data_folder: Option<PathBuf>,
}

/// A run that can start: all requests are encoded.
#[derive(Debug)]
pub struct Prepared {
    signal: Signal,
    lanes: Vec<Lane>,
    requests: u64,
    lap_ns: i64,
}

/// How many requests a run sends, how many of them are encoded, and from which time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Amount {
    requests: u64,
    distinct: u64,
    laps: u64,
}

impl LoadArguments {
    fn options(&self) -> Options {
        Options {
            seed: self.seed,
            services: self.services as usize,
            pods: self.pods as usize,
            requests: 0,
            shape: self.shape,
            exponential: self.exponential,
            points_per_request: self.points_per_request as usize,
            records_per_request: self.records_per_request as usize,
            spans_per_request: self.spans_per_request as usize,
            lanes: usize::from(self.connections),
            step_ns: i64::try_from(self.step.as_nanos()).unwrap_or(i64::MAX).max(1),
            start: TimestampNs(0),
        }
    }

    fn amount(&self, signal: Signal) -> anyhow::Result<Amount> {
        if let Some(rate) = self.rate {
            ensure!(rate.is_finite() && rate > 0.0, "--rate is {rate}, it must be above 0");
        }
        let items_per_request = match signal {
            Signal::Metrics => self.points_per_request,
            Signal::Logs => self.records_per_request,
            Signal::Traces => self.spans_per_request,
        };
        let requests = match (self.requests, self.duration) {
            (Some(requests), _) => requests,
            (None, None) => self.distinct,
            (None, Some(duration)) => {
                ensure!(
                    self.compression == Compression::None,
                    "compressed requests cannot be repeated: give --requests with --duration"
                );
                let rate = self.rate.unwrap_or(ITEMS_PER_SECOND_MAX);
                // Requests of metrics hold whole pods and may have half the points asked for.
                let items = rate * duration.as_secs_f64() * 2.0;
                (items / f64::from(items_per_request)).ceil() as u64 + u64::from(self.connections)
            }
        };
        let distinct = match self.compression {
            Compression::None => self.distinct.min(requests),
            Compression::Gzip | Compression::Zstd => requests,
        };
        Ok(Amount { requests, distinct, laps: requests.div_ceil(distinct) })
    }

    /// Encodes all requests of a signal, the last of them at the present.
    ///
    /// # Errors
    ///
    /// When the arguments contradict each other.
    pub fn prepare(&self, signal: Signal) -> anyhow::Result<Prepared> {
        let amount = self.amount(signal)?;
        let mut options = self.options();
        options.requests = usize::try_from(amount.distinct).context("too many requests")?;
        let lap_ns = options.span_ns(signal);
        let laps = i64::try_from(amount.laps).unwrap_or(i64::MAX);
        options.start =
            SystemClock::new().now().plus_ns(lap_ns.saturating_mul(laps).saturating_neg());
        ensure!(
            options.start.0 > 0,
            "the run would begin {laps} laps of {} s ago, before 1970: give --requests or a \
             smaller --step",
            lap_ns / 1_000_000_000
        );
        let corpus = Corpus::generate(signal, &options);
        let connections = usize::from(self.connections);
        let lanes = sender::pack(corpus, self.transport, self.compression, connections)?;
        Ok(Prepared { signal, lanes, requests: amount.requests, lap_ns })
    }

    /// Sends what was prepared and measures the server meanwhile.
    ///
    /// # Errors
    ///
    /// When the server cannot be connected to or measured. Requests that it refuses are no error,
    /// they are in the report.
    pub async fn measure(&self, prepared: Prepared, target: &Target) -> anyhow::Result<Report> {
        let Prepared { signal, lanes, requests, lap_ns } = prepared;
        let connections = lanes.len();
        let plan = Plan {
            signal,
            transport: self.transport,
            compression: self.compression,
            address: match self.transport {
                Transport::Http => target.http,
                Transport::Grpc => target.grpc,
            },
            rate: self.rate,
            duration: self.duration,
            requests,
            lap_ns,
        };
        let this = Process::this();
        let folder = target.data_folder.as_deref();
        let disk_before = folder.map(disk_bytes).transpose()?;
        if let Some(process) = target.process {
            // Where the kernel refuses, the peak is that of the whole life of the server.
            process.reset_peak();
        }
        let server_before = target.process.map(Process::cpu_seconds).transpose()?;
        let this_before = this.cpu_seconds()?;

        let tally = sender::send(plan, lanes).await?;

        let sender_cpu_seconds = this.cpu_seconds()? - this_before;
        let mut server = None;
        if let (Some(process), Some(before)) = (target.process, server_before) {
            let cpu_send_seconds = process.cpu_seconds()? - before;
            let became_idle = process.wait_until_idle(self.idle_limit).await?;
            let cpu_seconds = process.cpu_seconds()? - before;
            let memory = process.memory()?;
            server = Some(ServerCost { cpu_send_seconds, cpu_seconds, became_idle, memory });
        }
        let disk_bytes = match (folder, disk_before) {
            (Some(folder), Some(before)) => Some(disk_bytes(folder)?.saturating_sub(before)),
            _ => None,
        };
        let transport = format!("{} {}", self.transport.name(), self.compression.name());
        Ok(Report { signal, transport, connections, tally, sender_cpu_seconds, server, disk_bytes })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        load: LoadArguments,
    }

    fn arguments(text: &str) -> LoadArguments {
        Command::parse_from(["load"].into_iter().chain(text.split_ascii_whitespace())).load
    }

    fn amount(text: &str) -> Amount {
        arguments(text).amount(Signal::Logs).unwrap()
    }

    #[test]
    fn durations_have_units() {
        for (text, milliseconds) in
            [("250ms", 250), ("30s", 30_000), ("1.5m", 90_000), ("2", 2_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)));
        }
        assert!(parse_duration("soon").is_err());
        assert!(parse_duration("-1s").is_err());
    }

    #[test]
    fn plain_requests_are_repeated_and_compressed_ones_are_not() {
        assert_eq!(amount(""), Amount { requests: 400, distinct: 400, laps: 1 });
        assert_eq!(amount("--requests 1000"), Amount { requests: 1000, distinct: 400, laps: 3 });
        let compressed = amount("--requests 1000 --compression gzip");
        assert_eq!(compressed, Amount { requests: 1000, distinct: 1000, laps: 1 });
        let paced = amount("--duration 10s --rate 2000 --distinct 5");
        assert_eq!(paced, Amount { requests: 22, distinct: 5, laps: 5 });
        let arguments = arguments("--duration 10s --compression zstd");
        assert!(arguments.amount(Signal::Logs).is_err());
    }
}
