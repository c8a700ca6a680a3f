//! Starts a server of its own for each signal, so that one command gives all figures.
//!
//! Each signal has a fresh server and a fresh data folder: memory and disk are then those of that
//! signal alone.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use proto::Signal;

use crate::process::Process;
use crate::report::{Report, signal_name};
use crate::run::{LoadArguments, Target};
use crate::sender::{Connection, Transport};

/// How long the server may take to start and to stop.
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

/// Which server to start and where.
#[derive(Debug, Clone, clap::Args)]
pub struct SpawnArguments {
    /// The binary.
    #[arg(long, value_name = "FILE", default_value = "target/release/signalbox")]
    pub server: PathBuf,
    /// Where configuration, log and data go; it must not exist. Without it, a temporary folder that
    /// is removed if all goes well.
    #[arg(long, value_name = "DIR")]
    pub work_dir: Option<PathBuf>,
    /// YAML that is added to the configuration, for example limits of memory.
    #[arg(long, value_name = "FILE")]
    pub extra_config: Option<PathBuf>,
}

/// Runs each signal against a server of its own.
///
/// # Errors
///
/// When a server cannot be started, measured or stopped. The work folder is then kept, for its
/// logs.
pub async fn run(load: &LoadArguments, spawn: &SpawnArguments) -> anyhow::Result<Vec<Report>> {
    let folder = match &spawn.work_dir {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("signalbox-load-{}", std::process::id())),
    };
    ensure!(!folder.exists(), "{} exists; name a new folder", folder.display());
    let extra = spawn
        .extra_config
        .as_deref()
        .map(|file| fs::read_to_string(file).with_context(|| format!("read {}", file.display())));
    let extra = extra.transpose()?.unwrap_or_default();
    let mut reports = Vec::new();
    for &signal in load.signal.list() {
        let of_signal = folder.join(signal_name(signal));
        let report = run_signal(load, &spawn.server, &of_signal, &extra, signal).await;
        reports.push(report.with_context(|| {
            format!("{} (see {})", signal_name(signal), of_signal.join("server.log").display())
        })?);
    }
    if spawn.work_dir.is_none() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    Ok(reports)
}

async fn run_signal(
    load: &LoadArguments,
    binary: &Path,
    folder: &Path,
    extra_config: &str,
    signal: Signal,
) -> anyhow::Result<Report> {
    // Encoding takes a core for seconds; the server starts when that is over.
    let prepared = load.prepare(signal)?;
    let mut server = Server::start(binary, folder, extra_config)?;
    server.wait_until_ready().await?;
    // What starting costs is not part of the run.
    server.process().wait_until_idle(load.idle_limit).await?;
    let report = load.measure(prepared, &server.target()).await?;
    server.stop().await?;
    Ok(report)
}

/// A server that dies with us.
#[derive(Debug)]
struct Server {
    child: Child,
    grpc: SocketAddr,
    http: SocketAddr,
    query: SocketAddr,
    data: PathBuf,
}

impl Server {
    fn start(binary: &Path, folder: &Path, extra_config: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        let [grpc, http, query] = free_addresses()?;
        let config = folder.join("signalbox.yml");
        let text = format!(
            "listen: {{grpc: '{grpc}', http: '{http}', query: '{query}'}}\n{extra_config}\n"
        );
        fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
        let data = folder.join("data");
        // The server makes it as well, but we look at it before the server has.
        fs::create_dir_all(&data).with_context(|| format!("create {}", data.display()))?;
        let log = File::create(folder.join("server.log")).context("create the server's log")?;
        let child = Command::new(binary)
            .args(["--config".as_ref(), config.as_os_str()])
            .args(["--data".as_ref(), data.as_os_str()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the server's log")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        Ok(Server { child, grpc, http, query, data })
    }

    fn process(&self) -> Process {
        Process::new(self.child.id())
    }

    fn target(&self) -> Target {
        Target {
            http: self.http,
            grpc: self.grpc,
            process: Some(self.process()),
            data_folder: Some(self.data.clone()),
        }
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(status) = self.child.try_wait().context("wait for the server")? {
                bail!("the server ended while it started: {status}");
            }
            match is_ready(self.query).await {
                Ok(true) => return Ok(()),
                outcome if waited >= START_LIMIT => {
                    let last = outcome.err().map_or("not ready".to_owned(), |e| format!("{e:#}"));
                    bail!("the server is not ready after {START_LIMIT:?}: {last}");
                }
                _ => {}
            }
            tokio::time::sleep(POLL).await;
            waited += POLL;
        }
    }

    /// Asks the server to stop, and waits until it has.
    async fn stop(mut self) -> anyhow::Result<()> {
        // The signal is sent by a command because doing it ourselves takes unsafe code.
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status().context("run kill")?;
        ensure!(status.success(), "kill -TERM {id}: {status}");
        let mut waited = Duration::ZERO;
        while waited < STOP_LIMIT {
            if let Some(status) = self.child.try_wait().context("wait for the server")? {
                ensure!(status.success(), "the server ended with {status}");
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
            waited += POLL;
        }
        bail!("the server did not stop within {STOP_LIMIT:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After an orderly stop there is nothing left to kill, and both fail.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Whether Signalbox says that it is ready.
pub(crate) async fn is_ready(query: SocketAddr) -> anyhow::Result<bool> {
    let mut connection = Connection::open(Transport::Http, query).await?;
    let (status, _) = connection.get("/-/ready").await?;
    Ok(status == 200)
}

/// Three addresses that were free a moment ago. Another process can take one before the server
/// does; the server then ends, and so does the run.
pub(crate) fn free_addresses() -> anyhow::Result<[SocketAddr; 3]> {
    let bind = || TcpListener::bind(("127.0.0.1", 0)).context("find a free port");
    let listeners = [bind()?, bind()?, bind()?];
    let address = |listener: &TcpListener| listener.local_addr().context("find a free port");
    let [grpc, http, query] = &listeners;
    Ok([address(grpc)?, address(http)?, address(query)?])
}
