//! Stores side by side: ours, Prometheus, VictoriaMetrics, VictoriaLogs and Loki get the same bytes, one
//! after the other, and are asked the same questions.
//!
//! ```text
//!  synthetic, translate, recording    requests of remote write and OTLP, made beforehand
//!     |
//!  workloads    store: start -> replay -> settle -> merge -> stop, or kill and start
//!     |                `-- meter, disk, query: what it cost, what is kept, what is answered
//!  table        a column for each store, ours divided by each peer's
//! ```
//!
//! Every store runs alone, on free ports of loopback, in a folder that is new. CPU is that of its
//! process, so that what else runs on the machine distorts little; how much ran is told.

mod compliance;
mod demo;
mod disk;
mod logs;
mod meter;
mod query;
mod questions;
mod recording;
mod remote_write;
mod replay;
mod sets;
mod store;
mod synthetic;
mod table;
mod translate;
mod workloads;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};

pub use recording::Recording;
pub use store::Store;
pub use table::{Figure, Run, table};

use crate::run::parse_duration;
use crate::sender::Compression;
use store::Binaries;
use workloads::Bench;

/// What to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// Creation of series and steady rounds by remote write.
    RemoteWrite,
    /// A fleet over OTLP, uncompressed and with gzip.
    Otlp,
    /// The same fleet by remote write.
    Prw,
    /// Recorded counters of a machine.
    Density,
    /// Killed and started again.
    Restart,
    /// Queries over an hour and a half.
    Query,
    /// Label values over the largest number of `--series`.
    LabelValues,
    /// A month at 15 s, asked in steps of an hour.
    Month,
    /// Answers compared with those of Prometheus.
    Compliance,
    /// Log records, and questions about their lines.
    Logs,
}

/// Which stores, which workloads, how large.
#[derive(Debug, Clone, clap::Args)]
pub struct CompareArguments {
    /// The folder that `benches/peers.sh` filled; without it, only our server is measured.
    #[arg(long, value_name = "DIR")]
    pub peers: Option<PathBuf>,
    /// Our server.
    #[arg(long, value_name = "FILE", default_value = "target/release/signalbox")]
    pub server: PathBuf,
    /// Workloads, separated by commas; without it, all (`density` if there is a recording).
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Workload>,
    /// Stores, separated by commas; without it, all whose binaries are known.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub stores: Vec<Store>,
    /// Numbers of series for `remote-write` and `restart`, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "100000,1000000")]
    pub series: Vec<u32>,
    /// Steady rounds of `remote-write`.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub rounds: u16,
    /// Rounds of `restart`.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub restart_rounds: u16,
    /// How long after the last acknowledgement `restart` kills, separated by commas. A store that
    /// keeps a log has all at once; one that does not has it after some seconds.
    #[arg(long, value_name = "TIME", value_delimiter = ',', default_value = "0s,15s")]
    #[arg(value_parser = parse_duration)]
    pub kill_after: Vec<Duration>,
    /// Pods of `otlp` and `prw`.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..))]
    pub pods: u16,
    /// Steps of 15 s of `otlp` and `prw`.
    #[arg(long, default_value_t = 480, value_parser = clap::value_parser!(u16).range(1..))]
    pub steps: u16,
    /// What `load record` wrote, for `density`.
    #[arg(long, value_name = "FILE")]
    pub recording: Option<PathBuf>,
    /// Queries of prometheus/compliance (`promql/promql-test-queries.yml`), for `compliance`.
    #[arg(long, value_name = "FILE")]
    pub queries: Option<PathBuf>,
    /// Records of `logs`.
    #[arg(long, default_value_t = 2_000_000)]
    pub records: usize,
    /// Everything random comes from it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where configurations, logs and data go; it must not exist. What ends in order is removed.
    #[arg(long, value_name = "DIR")]
    pub work_dir: Option<PathBuf>,
    /// YAML that is added to our configuration.
    #[arg(long, value_name = "FILE")]
    pub extra_config: Option<PathBuf>,
    /// A file that gets a line of JSON for each run, added at its end.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl CompareArguments {
    fn workloads(&self) -> Vec<Workload> {
        use Workload::{Density, LabelValues, Month, Otlp, Prw, Query, RemoteWrite, Restart};
        let mut workloads = self.only.clone();
        if workloads.is_empty() {
            workloads = vec![RemoteWrite, Otlp, Prw, Density, Restart, Query, LabelValues, Month];
            workloads.retain(|workload| *workload != Density || self.recording.is_some());
        }
        workloads
    }

    fn stores(&self, binaries: &Binaries) -> anyhow::Result<Vec<Store>> {
        let mut stores = self.stores.clone();
        if stores.is_empty() {
            stores = Store::ALL.to_vec();
            stores.retain(|store| binaries.of(*store).is_some_and(|binary| binary.is_file()));
        }
        for store in &stores {
            let binary = binaries
                .of(*store)
                .with_context(|| format!("{}: --peers says where the peers are", store.name()))?;
            ensure!(binary.is_file(), "{}: there is no {}", store.name(), binary.display());
        }
        stores.sort_unstable();
        Ok(stores)
    }
}

/// Runs every workload and hands out the runs of each as soon as they are there. Says whether all
/// went well.
///
/// # Errors
///
/// When a store can not be started, or an argument is wrong. What goes wrong after that is in the
/// problems of the run.
pub async fn run(
    arguments: &CompareArguments,
    mut report: impl FnMut(&[Run]),
) -> anyhow::Result<bool> {
    let extra = arguments
        .extra_config
        .as_deref()
        .map(|file| fs::read_to_string(file).with_context(|| format!("read {}", file.display())));
    let binaries = Binaries {
        server: arguments.server.clone(),
        peers: arguments.peers.clone(),
        extra_config: extra.transpose()?.unwrap_or_default(),
    };
    let stores = arguments.stores(&binaries)?;
    let folder = arguments.work_dir.clone().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("signalbox-compare-{}", std::process::id()))
    });
    ensure!(!folder.exists(), "{} exists; name a new folder", folder.display());
    let bench = Bench { binaries, stores, folder: folder.clone(), seed: arguments.seed };
    let mut is_clean = true;
    let mut finish = |runs: Vec<Run>| -> anyhow::Result<()> {
        if let Some(path) = &arguments.json {
            let mut file = fs::File::options().create(true).append(true).open(path)?;
            for run in &runs {
                writeln!(file, "{}", run.to_json())?;
            }
        }
        is_clean &= runs.iter().all(|run| run.problems.is_empty());
        report(&runs);
        Ok(())
    };
    let series = || arguments.series.iter().map(|series| *series as usize);
    let (pods, steps) = (usize::from(arguments.pods), usize::from(arguments.steps));
    for workload in arguments.workloads() {
        match workload {
            Workload::RemoteWrite => {
                for series in series() {
                    finish(bench.remote_write(series, usize::from(arguments.rounds)).await?)?;
                }
            }
            Workload::Otlp => {
                for compression in [Compression::None, Compression::Gzip] {
                    finish(bench.otlp(pods, steps, compression).await?)?;
                }
            }
            Workload::Prw => finish(bench.prw(pods, steps).await?)?,
            Workload::Density => {
                let path = arguments.recording.as_ref().context("density needs --recording")?;
                let text =
                    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
                finish(bench.density(&Recording::parse(&text)?).await?)?;
            }
            Workload::Query => finish(bench.query().await?)?,
            Workload::LabelValues => {
                finish(bench.label_values(series().max().unwrap_or(1_000_000)).await?)?;
            }
            Workload::Compliance => {
                let path = arguments.queries.as_ref().context("compliance needs --queries")?;
                let text =
                    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
                finish(bench.compliance(&text).await?)?;
            }
            Workload::Logs => finish(bench.logs(arguments.records).await?)?,
            Workload::Month => finish(bench.month(1_000).await?)?,
            Workload::Restart => {
                let rounds = usize::from(arguments.restart_rounds);
                for series in series() {
                    for &wait in &arguments.kill_after {
                        finish(bench.restart(series, rounds, wait).await?)?;
                    }
                }
            }
        }
    }
    if is_clean && folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    Ok(is_clean)
}
