//! The process under test: started on free ports with its own folder, killed when the test ends.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use super::PATIENCE;

/// The binary that cargo built for this test.
pub(crate) struct Binary;

impl Binary {
    /// A command that inherits nothing which could configure the server.
    pub(crate) fn command() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_signalbox"));
        command.env("NO_COLOR", "1").stdin(Stdio::null());
        for name in ["RUST_LOG", "SIGNALBOX_CONFIG", "SIGNALBOX_DATA"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs to the end; answers the status, standard output and standard error.
    pub(crate) async fn run(arguments: &[&str]) -> (ExitStatus, String, String) {
        let mut command = Binary::command();
        command.args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status, text(output.stdout), text(output.stderr))
    }
}

/// Where a server listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) query: SocketAddr,
}

impl Addresses {
    /// From the line that the server logs when its ports are open.
    fn parse(line: &str) -> Option<Addresses> {
        let (_, rest) = line.split_once(" ready ")?;
        let address = |name: &str| {
            rest.split_whitespace().find_map(|word| word.strip_prefix(name))?.parse().ok()
        };
        Some(Addresses {
            grpc: address("grpc=")?,
            http: address("http=")?,
            query: address("query=")?,
        })
    }
}

/// A file system of its own for one store.
#[derive(Debug, Clone, Copy)]
struct StoreDisk {
    store: &'static str,
    mib: u32,
}

/// What a test's server is configured with beside the ports.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    rules: Option<String>,
    alertmanager: Option<String>,
    more: String,
    disk: Option<StoreDisk>,
}

impl Setup {
    /// Rule groups, evaluated every second unless they say otherwise.
    pub(crate) fn with_rules(mut self, rules: impl Into<String>) -> Self {
        self.rules = Some(rules.into());
        self
    }

    /// An Alertmanager configuration.
    pub(crate) fn with_alertmanager(mut self, alertmanager: impl Into<String>) -> Self {
        self.alertmanager = Some(alertmanager.into());
        self
    }

    /// Further keys of the configuration.
    pub(crate) fn with_more(mut self, yaml: &str) -> Self {
        self.more.push_str(yaml);
        self
    }

    /// A store, named as its folder, lies on a file system of its own, of this size, in memory, which
    /// only the server sees and which goes with it. Ask [`can_mount`] before.
    pub(crate) fn with_disk(mut self, store: &'static str, mib: u32) -> Self {
        self.disk = Some(StoreDisk { store, mib });
        self
    }

    /// Writes the files and starts the server.
    pub(crate) async fn start(self) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let mut config =
            "listen: {grpc: '127.0.0.1:0', http: '127.0.0.1:0', query: '127.0.0.1:0'}\n\
                          red: {flush_interval: 1s}\n"
                .to_owned();
        if let Some(rules) = self.rules {
            std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
            config.push_str("rules: {files: [rules.yml], evaluation_interval: 1s}\n");
        }
        if let Some(alertmanager) = self.alertmanager {
            std::fs::write(folder.path().join("alertmanager.yml"), alertmanager).unwrap();
            config.push_str("alertmanager: {config_file: alertmanager.yml}\n");
        }
        config.push_str(&self.more);
        std::fs::write(folder.path().join("signalbox.yml"), config).unwrap();
        Server::in_folder(folder, true, self.disk).await
    }
}

/// Mounts in a namespace of users and mounts, where nobody needs rights for it, then runs the rest.
const MOUNT: &str = "mount -t tmpfs -o size=$0 tmpfs $1 && shift && exec \"$@\"";

fn mounting(mib: u32, folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", MOUNT]);
    command.arg(format!("{mib}m")).arg(folder).stdin(Stdio::null());
    command
}

/// Whether this machine lets a process mount what only it sees.
pub(crate) fn can_mount() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let tried = mounting(1, folder.path()).arg("true").stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// An HTTP client that knows no proxies.
pub(crate) fn client() -> reqwest::Client {
    builder().build().unwrap()
}

fn builder() -> reqwest::ClientBuilder {
    // `reqwest` wants a provider even for plain HTTP; the second test finds one there.
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only(std::iter::empty::<reqwest::Certificate>())
        .timeout(PATIENCE)
}

/// The end of a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) async fn of(response: reqwest::Response) -> reqwest::Result<Self> {
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await?.to_vec(),
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// The value of a header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A running server; it is killed when this is dropped.
pub(crate) struct Server {
    process: Child,
    /// What the process wrote to standard error, over all restarts.
    log: Arc<Mutex<String>>,
    pub(crate) addresses: Addresses,
    folder: tempfile::TempDir,
    is_configured: bool,
    disk: Option<StoreDisk>,
    client: reqwest::Client,
}

impl Server {
    /// A server with nothing configured but free ports.
    pub(crate) async fn start() -> Server {
        Setup::default().start().await
    }

    /// A server that is told nothing but where its data is; it uses the default ports.
    pub(crate) async fn without_configuration() -> Server {
        Server::in_folder(tempfile::tempdir().unwrap(), false, None).await
    }

    async fn in_folder(
        folder: tempfile::TempDir,
        is_configured: bool,
        disk: Option<StoreDisk>,
    ) -> Server {
        let (process, log, addresses) = spawn(folder.path(), is_configured, disk).await;
        let client = client();
        let server = Server { process, log, addresses, folder, is_configured, disk, client };
        server.wait_until_ready().await;
        server
    }

    /// Where the server keeps its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder or file as the server sees it, with what is mounted for it alone.
    pub(crate) fn as_seen(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.process.id()));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The configuration it was started with.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("signalbox.yml")
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) async fn wait_until_ready(&self) {
        super::eventually("the server is ready", async || {
            (self.get("/-/ready").await.status == 200).then_some(())
        })
        .await;
    }

    /// SIGKILL: the process gets no chance to write anything.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits for the end of the process.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        super::eventually("the process ends", async || self.process.try_wait().unwrap()).await
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.process.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// SIGTERM, and an exit with 0.
    pub(crate) async fn stop(&mut self) {
        self.signal("TERM");
        let status = self.wait().await;
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    /// Starts again on the same data, on new ports. The former process must have ended.
    pub(crate) async fn restart(&mut self) {
        self.restart_at_once().await;
        self.wait_until_ready().await;
    }

    /// The same, but returns as soon as the ports are open.
    pub(crate) async fn restart_at_once(&mut self) {
        let (process, log, addresses) =
            spawn(self.folder.path(), self.is_configured, self.disk).await;
        let before = std::mem::replace(&mut self.log, log);
        self.log.lock().unwrap().insert_str(0, &before.lock().unwrap());
        (self.process, self.addresses) = (process, addresses);
    }

    /// The most memory that the process ever held.
    pub(crate) fn rss_peak_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
    }

    /// GET of a path and query on the query port.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let url = format!("http://{}{path}", self.addresses.query);
        let response = self.client.get(&url).send().await;
        let response = response.unwrap_or_else(|e| panic!("GET {url}: {e:?}\n{}", self.log()));
        Answer::of(response).await.unwrap()
    }

    /// GET of a path with parameters on the query port.
    pub(crate) async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Answer {
        let url = format!("http://{}{path}", self.addresses.query);
        let url = reqwest::Url::parse_with_params(&url, parameters).unwrap();
        Answer::of(self.client.get(url).send().await.unwrap()).await.unwrap()
    }

    /// POST of an OTLP body to the HTTP port, with extra headers.
    pub(crate) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let url = format!("http://{}{path}", self.addresses.http);
        let mut request = self.client.post(url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.send().await.unwrap()).await.unwrap()
    }

    /// POST of protobuf that must be taken whole.
    pub(crate) async fn send(&self, path: &str, message: &impl prost::Message) {
        let protobuf = [("content-type", "application/x-protobuf")];
        let answer = self.post(path, &protobuf, message.encode_to_vec()).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    }

    /// A message to the gRPC port in its frame, as bytes that the test chooses.
    pub(crate) async fn call(
        &self,
        method: &str,
        headers: &[(&str, &str)],
        compressed: bool,
        message: &[u8],
    ) -> Answer {
        let client = builder().http2_prior_knowledge().build().unwrap();
        let mut body = vec![u8::from(compressed)];
        body.extend((message.len() as u32).to_be_bytes());
        body.extend(message);
        let url = format!("http://{}/{method}", self.addresses.grpc);
        let mut request =
            client.post(url).header("content-type", "application/grpc").header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.body(body).send().await.unwrap()).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.kill();
        }
        if std::thread::panicking() {
            eprintln!("--- log of the server\n{}---", self.log());
        }
    }
}

/// Starts the process in `folder` and waits for its ports.
async fn spawn(
    folder: &Path,
    is_configured: bool,
    disk: Option<StoreDisk>,
) -> (Child, Arc<Mutex<String>>, Addresses) {
    let mut command = Binary::command();
    if let Some(StoreDisk { store, mib }) = disk {
        let own = folder.join("data").join(store);
        std::fs::create_dir_all(&own).unwrap();
        let mut outer = mounting(mib, &own);
        outer.arg(command.get_program());
        command = outer;
    }
    if is_configured {
        command.arg("--config").arg(folder.join("signalbox.yml"));
    }
    command.arg("--data").arg(folder.join("data"));
    let mut process =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("start signalbox");
    let stderr = process.stderr.take().unwrap();
    let log = Arc::new(Mutex::new(String::new()));
    let (found, wanted) = tokio::sync::oneshot::channel();
    let written = log.clone();
    // Ends with the process. The pipe must be read, or the server would wait at its log.
    std::thread::spawn(move || collect_log(stderr, &written, found));
    match tokio::time::timeout(PATIENCE, wanted).await {
        Ok(Ok(addresses)) => (process, log, addresses),
        outcome => {
            process.kill().unwrap();
            process.wait().unwrap();
            panic!("no ready line ({outcome:?}); the log:\n{}", log.lock().unwrap());
        }
    }
}

fn collect_log(
    stderr: impl Read,
    log: &Mutex<String>,
    found: tokio::sync::oneshot::Sender<Addresses>,
) {
    let mut found = Some(found);
    for line in BufReader::new(stderr).lines() {
        let Ok(line) = line else { break };
        if let Some(addresses) = Addresses::parse(&line)
            && let Some(found) = found.take()
        {
            found.send(addresses).ok();
        }
        let mut log = log.lock().unwrap();
        log.push_str(&line);
        log.push('\n');
    }
}
