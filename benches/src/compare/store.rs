//! The stores, each started alone on loopback with a folder of its own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use serde_json::Value;

use super::disk::Usage;
use super::remote_write;
use super::replay::Door;
use crate::process::Process;
use crate::sender::{Connection, Transport};
use crate::spawn::free_addresses;

const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(120);
const MERGE_LIMIT: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(20);

/// Longer than VictoriaMetrics waits (5 s) before it writes what it holds in memory.
const SETTLE_AT_LEAST: Duration = Duration::from_secs(7);
const SETTLE_AT_MOST: Duration = Duration::from_secs(180);

const OTLP_HEADERS: [(&str, &str); 1] = [("content-type", "application/x-protobuf")];
const OTLP_GZIP_HEADERS: [(&str, &str); 2] =
    [("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];

/// A store of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Store {
    /// Signalbox.
    Ours,
    /// Prometheus.
    Prometheus,
    /// VictoriaMetrics, the single node.
    #[value(name = "victoriametrics")]
    VictoriaMetrics,
    /// VictoriaLogs, the single node.
    #[value(name = "victorialogs")]
    VictoriaLogs,
    /// Loki, all of it in one process.
    Loki,
}

impl Store {
    /// All of them, in the order of a table.
    pub const ALL: [Store; 5] =
        [Store::Ours, Store::Prometheus, Store::VictoriaMetrics, Store::VictoriaLogs, Store::Loki];

    /// Whether it is one of metrics.
    pub fn takes_metrics(self) -> bool {
        self == Store::Ours || !self.takes_logs()
    }

    /// Whether it is one of logs.
    pub fn takes_logs(self) -> bool {
        matches!(self, Store::Ours | Store::VictoriaLogs | Store::Loki)
    }

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Store::Ours => "signalbox",
            Store::Prometheus => "prometheus",
            Store::VictoriaMetrics => "victoriametrics",
            Store::VictoriaLogs => "victorialogs",
            Store::Loki => "loki",
        }
    }

    /// Whether it takes OTLP; Debian builds Prometheus without.
    pub fn takes_otlp(self) -> bool {
        matches!(self, Store::Ours | Store::VictoriaMetrics)
    }
}

/// Where the binaries are.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    /// Ours.
    pub(super) server: PathBuf,
    /// What `peers.sh` unpacked.
    pub(super) peers: Option<PathBuf>,
    /// YAML that is added to our configuration.
    pub(super) extra_config: String,
}

impl Binaries {
    /// The binary of a store, if we know of one.
    pub(super) fn of(&self, store: Store) -> Option<PathBuf> {
        let peer = |name: &str| self.peers.as_ref().map(|peers| peers.join("usr/bin").join(name));
        match store {
            Store::Ours => Some(self.server.clone()),
            Store::Prometheus => peer("prometheus"),
            Store::VictoriaMetrics => peer("victoria-metrics"),
            Store::VictoriaLogs => peer("victoria-logs"),
            Store::Loki => peer("loki"),
        }
    }

    /// The version of a store, as its package or our workspace has it.
    pub(super) fn version(&self, store: Store) -> String {
        let package = match store {
            Store::Ours => return env!("CARGO_PKG_VERSION").to_owned(),
            Store::Prometheus => "prometheus ",
            Store::VictoriaMetrics => "victoria-metrics ",
            Store::VictoriaLogs => "victoria-logs ",
            Store::Loki => "loki ",
        };
        let path = self.peers.as_ref().map(|peers| peers.join("VERSIONS"));
        let text = path.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        let version = text.lines().find_map(|line| line.strip_prefix(package));
        version.unwrap_or("unknown").to_owned()
    }
}

/// A store that runs. It dies with us.
#[derive(Debug)]
pub(super) struct Running {
    /// Which one.
    pub(super) store: Store,
    child: Child,
    binary: PathBuf,
    folder: PathBuf,
    /// Our doors for gRPC, HTTP and queries; the others use only the last.
    addresses: [SocketAddr; 3],
}

impl Running {
    /// Starts a store in a new folder and waits until it answers.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub(super) async fn start(
        binaries: &Binaries,
        store: Store,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let binary = binaries.of(store).context("--peers says where the peers are")?;
        fs::create_dir_all(folder.join("data"))
            .with_context(|| format!("create {}", folder.display()))?;
        let addresses = free_addresses()?;
        let config = match store {
            Store::Ours => {
                let [grpc, http, query] = addresses;
                let extra = &binaries.extra_config;
                format!("listen: {{grpc: '{grpc}', http: '{http}', query: '{query}'}}\n{extra}\n")
            }
            // Nothing is scraped.
            Store::Prometheus => "global: {scrape_interval: 15s}\n".to_owned(),
            Store::VictoriaMetrics | Store::VictoriaLogs => String::new(),
            Store::Loki => loki_config(addresses),
        };
        fs::write(folder.join("config.yml"), config).context("write a configuration")?;
        let child = spawn(store, &binary, folder, addresses)?;
        let folder = folder.to_owned();
        let mut running = Running { store, child, binary, folder, addresses };
        running.wait_until_ready().await?;
        Ok(running)
    }

    /// Kills it without warning and starts it again on the same data; returns at once.
    ///
    /// # Errors
    ///
    /// When it can not be killed or started.
    pub(super) fn kill_and_start(&mut self) -> anyhow::Result<()> {
        self.child.kill().context("kill the server")?;
        self.child.wait().context("wait for the server")?;
        self.child = spawn(self.store, &self.binary, &self.folder, self.addresses)?;
        Ok(())
    }

    /// Its process.
    pub(super) fn process(&self) -> Process {
        Process::new(self.child.id())
    }

    /// Where it is asked.
    pub(super) fn query_address(&self) -> SocketAddr {
        self.addresses[2]
    }

    /// Where it takes remote write.
    pub(super) fn remote_write(&self) -> Door {
        Door {
            address: self.query_address(),
            path: "/api/v1/write",
            headers: &remote_write::HEADERS,
        }
    }

    /// Where it takes OTLP over HTTP.
    pub(super) fn otlp(&self, is_gzip: bool) -> Door {
        let headers: &[_] = if is_gzip { &OTLP_GZIP_HEADERS } else { &OTLP_HEADERS };
        match self.store {
            Store::Ours => Door { address: self.addresses[1], path: "/v1/metrics", headers },
            Store::Prometheus => {
                Door { address: self.query_address(), path: "/api/v1/otlp/v1/metrics", headers }
            }
            Store::VictoriaMetrics | Store::VictoriaLogs | Store::Loki => {
                Door { address: self.query_address(), path: "/opentelemetry/v1/metrics", headers }
            }
        }
    }

    /// Where it takes log records over OTLP/HTTP, packed with gzip.
    pub(super) fn otlp_logs(&self) -> Door {
        let headers = &OTLP_GZIP_HEADERS;
        match self.store {
            Store::VictoriaLogs => {
                let path = "/insert/opentelemetry/v1/logs";
                Door { address: self.query_address(), path, headers }
            }
            Store::Loki => Door { address: self.query_address(), path: "/otlp/v1/logs", headers },
            _ => Door { address: self.addresses[1], path: "/v1/logs", headers },
        }
    }

    /// Puts all log records into the form in which they are kept for long.
    ///
    /// # Errors
    ///
    /// When the store says that it failed.
    pub(super) async fn merge_logs(&self) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        if self.store == Store::VictoriaLogs {
            for path in ["/internal/force_flush", "/internal/force_merge"] {
                let (status, _) = connection.get(path).await?;
                ensure!(status == 200, "{path}: {status}");
            }
            return Ok(());
        }
        // Loki is told to write out what it has in memory.
        let path = if self.store == Store::Loki { "/flush" } else { "/native/v1/logs/merge" };
        let (status, body) = connection.post(path, &[], Bytes::new()).await?;
        ensure!(status / 100 == 2, "merge: {status} {}", String::from_utf8_lossy(&body));
        Ok(())
    }

    /// A connection to ask over.
    ///
    /// # Errors
    ///
    /// When nobody listens.
    pub(super) async fn connect(&self) -> anyhow::Result<Connection> {
        Connection::open(Transport::Http, self.query_address()).await
    }

    /// Whether the process still runs.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub(super) fn ensure_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().context("wait for the server")? {
            None => Ok(()),
            Some(status) => bail!("the server ended: {status}; see {}", self.log().display()),
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let is_victoria = matches!(self.store, Store::VictoriaMetrics | Store::VictoriaLogs);
        let path = match self.store {
            Store::Loki => "/ready",
            _ if is_victoria => "/health",
            _ => "/-/ready",
        };
        let mut waited = Duration::ZERO;
        while waited < START_LIMIT {
            self.ensure_alive()?;
            if let Ok(mut connection) = self.connect().await
                && let Ok((200, _)) = connection.get(path).await
            {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
            waited += POLL;
        }
        bail!("the server is not ready after {START_LIMIT:?}; see {}", self.log().display());
    }

    /// Waits until the store has done all that follows from what it was sent.
    ///
    /// # Errors
    ///
    /// When the process ends.
    pub(super) async fn settle(&self) -> anyhow::Result<bool> {
        tokio::time::sleep(SETTLE_AT_LEAST).await;
        self.process().wait_until_idle(SETTLE_AT_MOST).await
    }

    /// Puts everything into the form in which it is kept for long: what the store says of it in
    /// numbers, or `None` if it can not be told to.
    ///
    /// # Errors
    ///
    /// When the store says that it failed.
    pub(super) async fn merge(&self) -> anyhow::Result<Option<Vec<(String, f64)>>> {
        let mut connection = self.connect().await?;
        let mut told = Vec::new();
        match self.store {
            Store::Ours => {
                let path = "/native/v1/metrics/merge";
                let (status, body) = connection.post(path, &[], Bytes::new()).await?;
                if status == 404 || status == 405 {
                    return Ok(None);
                }
                ensure!(status / 100 == 2, "merge: {status} {}", String::from_utf8_lossy(&body));
                if let Ok(answer) = serde_json::from_slice(&body) {
                    collect_numbers("", &answer, &mut told);
                }
            }
            Store::Prometheus => {
                let path = "/api/v1/admin/tsdb/snapshot";
                let (status, body) = connection.post(path, &[], Bytes::new()).await?;
                ensure!(status == 200, "snapshot: {status} {}", String::from_utf8_lossy(&body));
            }
            Store::VictoriaLogs | Store::Loki => self.merge_logs().await?,
            Store::VictoriaMetrics => {
                for path in ["/internal/force_flush", "/internal/force_merge"] {
                    let (status, _) = connection.get(path).await?;
                    ensure!(status == 200, "{path}: {status}");
                }
                let mut waited = Duration::ZERO;
                while active_merges(&mut connection).await? > 0 {
                    ensure!(waited < MERGE_LIMIT, "the merge takes more than {MERGE_LIMIT:?}");
                    tokio::time::sleep(POLL * 5).await;
                    waited += POLL * 5;
                }
            }
        }
        self.settle().await?;
        Ok(Some(told))
    }

    /// What is kept for long: for Prometheus the blocks of the last snapshot, for the others all.
    ///
    /// # Errors
    ///
    /// When the folder can not be read.
    pub(super) fn stored(&self) -> anyhow::Result<Usage> {
        let data = self.folder.join("data");
        Usage::read(
            self.store,
            &if self.store == Store::Prometheus { data.join("snapshots") } else { data },
        )
    }

    /// All that is in the data folder, but for snapshots: they are copies.
    ///
    /// # Errors
    ///
    /// When the folder can not be read.
    pub(super) fn whole_folder_bytes(&self) -> anyhow::Result<u64> {
        let data = self.folder.join("data");
        let all = Usage::read(self.store, &data)?.on_disk;
        let snapshots = Usage::read(self.store, &data.join("snapshots"));
        Ok(all - snapshots.map_or(0, |usage| usage.on_disk))
    }

    /// Ends it in order and removes its folder.
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        // The signal is sent by a command because doing it ourselves takes unsafe code.
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status().context("run kill")?;
        ensure!(status.success(), "kill -TERM {id}: {status}");
        let mut waited = Duration::ZERO;
        while self.child.try_wait().context("wait for the server")?.is_none() {
            ensure!(waited < STOP_LIMIT, "the server did not stop within {STOP_LIMIT:?}");
            tokio::time::sleep(POLL).await;
            waited += POLL;
        }
        fs::remove_dir_all(&self.folder)
            .with_context(|| format!("remove {}", self.folder.display()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After an orderly stop there is nothing left to kill, and both fail.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn spawn(
    store: Store,
    binary: &Path,
    folder: &Path,
    addresses: [SocketAddr; 3],
) -> anyhow::Result<Child> {
    let (config, data) = (folder.join("config.yml"), folder.join("data"));
    let (config, data) = (config.display(), data.display());
    let address = addresses[2];
    let arguments = match store {
        Store::Ours => vec![format!("--config={config}"), format!("--data={data}")],
        Store::Prometheus => vec![
            format!("--config.file={config}"),
            format!("--storage.tsdb.path={data}"),
            format!("--web.listen-address={address}"),
            "--web.enable-remote-write-receiver".to_owned(),
            "--web.enable-admin-api".to_owned(),
            "--storage.tsdb.retention.time=10y".to_owned(),
            // A million series of a few samples each are counted.
            "--query.max-samples=500000000".to_owned(),
        ],
        Store::VictoriaMetrics => vec![
            format!("-storageDataPath={data}"),
            format!("-httpListenAddr={address}"),
            "-retentionPeriod=10y".to_owned(),
            "-search.latencyOffset=0s".to_owned(),
            "-search.maxUniqueTimeseries=5000000".to_owned(),
            "-search.maxSamplesPerQuery=2000000000".to_owned(),
        ],
        Store::VictoriaLogs => vec![
            format!("-storageDataPath={data}"),
            format!("-httpListenAddr={address}"),
            "-retentionPeriod=10y".to_owned(),
        ],
        // It takes a comma in the name of the file for two files.
        Store::Loki => vec!["-config.file=config.yml".to_owned()],
    };
    let log = File::options().create(true).append(true).open(folder.join("server.log"));
    let log = log.context("create the server's log")?;
    let mut command = Command::new(binary);
    if store == Store::Loki {
        command.current_dir(folder);
    }
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("share the server's log")?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("start {}", binary.display()))
}

/// Loki in one process on files below the folder that it runs in, with limits and caches out of the
/// way.
fn loki_config(addresses: [SocketAddr; 3]) -> String {
    let [grpc, _, http] = addresses.map(|address| address.port());
    format!(
        "auth_enabled: false
server:
  {{http_listen_address: 127.0.0.1, http_listen_port: {http}, grpc_listen_address: 127.0.0.1,
   grpc_listen_port: {grpc}, grpc_server_max_recv_msg_size: 104857600,
   grpc_server_max_send_msg_size: 104857600, log_level: warn}}
common:
  instance_addr: 127.0.0.1
  path_prefix: data
  replication_factor: 1
  storage: {{filesystem: {{chunks_directory: data/chunks, rules_directory: data/rules}}}}
  ring: {{kvstore: {{store: inmemory}}}}
schema_config:
  configs:
    - {{from: 2020-01-01, store: tsdb, object_store: filesystem, schema: v13,
       index: {{prefix: index_, period: 24h}}}}
ingester: {{lifecycler: {{min_ready_duration: 0s}}}}
query_range: {{cache_results: false}}
limits_config:
  {{ingestion_rate_mb: 10000, ingestion_burst_size_mb: 10000, per_stream_rate_limit: 10GB,
   per_stream_rate_limit_burst: 10GB, reject_old_samples: false, max_global_streams_per_user: 0,
   max_query_series: 100000}}
analytics: {{reporting_enabled: false}}
"
    )
}

async fn active_merges(connection: &mut Connection) -> anyhow::Result<u64> {
    let (_, body) = connection.get("/metrics").await?;
    let text = String::from_utf8_lossy(&body);
    let line = text.lines().find_map(|line| line.strip_prefix("vm_active_force_merges "));
    let number = line.context("VictoriaMetrics does not tell of its merges")?;
    // A number of JSON, as the exposition format's are when they are counts.
    let number: Value = serde_json::from_str(number.trim()).context("vm_active_force_merges")?;
    number.as_u64().context("vm_active_force_merges is no count")
}

/// All numbers in an answer, each with the keys that lead to it.
fn collect_numbers(at: &str, value: &Value, numbers: &mut Vec<(String, f64)>) {
    match value {
        Value::Number(number) => {
            numbers.extend(number.as_f64().map(|number| (at.to_owned(), number)));
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                collect_numbers(&at, value, numbers);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_an_answer_are_named_by_their_keys() {
        let mut numbers = Vec::new();
        let answer = serde_json::json!({"status": "success", "data": {"bytes": 7, "parts": [1]}});
        collect_numbers("", &answer, &mut numbers);
        assert_eq!(numbers, [("data.bytes".to_owned(), 7.0)]);
    }

    #[test]
    fn versions_are_those_of_the_packages() {
        let folder = std::env::temp_dir().join(format!("benches-peers-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let text = "prometheus-alertmanager 0.33\nprometheus 3.5.3-6\n";
        fs::write(folder.join("VERSIONS"), text).unwrap();
        let binaries = Binaries {
            server: PathBuf::new(),
            peers: Some(folder.clone()),
            extra_config: String::new(),
        };
        assert_eq!(binaries.version(Store::Prometheus), "3.5.3-6");
        assert_eq!(binaries.version(Store::VictoriaMetrics), "unknown");
        fs::remove_dir_all(&folder).unwrap();
    }
}
