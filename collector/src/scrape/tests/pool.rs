//! Targets that are really asked, over HTTP.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use model::{Labels, ManualClock};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::job;
use crate::otlp::tests::sinks::{Memory, NOW};
use crate::scrape::config::{Auth, FileDiscovery, Job, Secret, SecretSource, TargetGroup};
use crate::scrape::{Health, ScrapeTargets, ScrapeTelemetry, scrape};

/// A target that answers what it is told and keeps what it was asked.
async fn serve(answer: Arc<Mutex<Vec<u8>>>) -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked: Arc<Mutex<String>> = Arc::default();
    let seen = asked.clone();
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap_or(0);
            *seen.lock() = String::from_utf8_lossy(&request[..read]).to_lowercase();
            let answer = answer.lock().clone();
            stream.write_all(&answer).await.ok();
            stream.shutdown().await.ok();
        }
    });
    (address, asked)
}

fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n");
    [head.as_bytes(), headers.as_bytes(), b"\r\n", body].concat()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn quick(address: &str) -> Job {
    let targets = vec![address.to_owned()];
    Job {
        interval: Duration::from_millis(100),
        timeout: Duration::from_millis(100),
        static_groups: vec![TargetGroup { targets, ..Default::default() }],
        ..job()
    }
}

struct Scraping {
    sink: Arc<Memory>,
    targets: Arc<ScrapeTargets>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Scraping {
    fn start(job: Job) -> Self {
        let (sink, targets) = (Arc::new(Memory::default()), Arc::new(ScrapeTargets::default()));
        let stop = CancellationToken::new();
        let task = tokio::spawn(scrape(
            vec![job],
            sink.clone(),
            Arc::new(ManualClock::at(NOW)),
            ScrapeTelemetry::default(),
            targets.clone(),
            stop.clone(),
        ));
        Scraping { sink, targets, stop, task }
    }

    /// Waits until the last sample of a series is `value`; NaN is the end of the series.
    async fn wait_for(&self, name: &str, value: f64) {
        for _ in 0..500 {
            if self.last(name).is_some_and(|last| last == value || last.is_nan() && value.is_nan())
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{name} is {:?}, not {value}: {:?}", self.last(name), self.targets.active());
    }

    fn last(&self, name: &str) -> Option<f64> {
        let series = self.sink.series.lock();
        let id = series.iter().position(|labels: &Labels| labels.metric_name() == name)?;
        let batches = self.sink.batches.lock();
        let points = batches.iter().rev().flat_map(|batch| &batch.points);
        points.filter(|point| point.series.0 == id as u64).map(|point| point.value).next()
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

const TEXT: &str = "content-type: text/plain; version=0.0.4\r\n";

#[tokio::test]
async fn a_target_is_scraped_until_it_fails_and_again() {
    let body = Arc::new(Mutex::new(answer(TEXT, b"a 1\n")));
    let (address, asked) = serve(body.clone()).await;
    let password = SecretSource::Inline(Secret::new("p"));
    let auth = Some(Auth::Basic { username: "u".to_owned(), password });
    let scraping = Scraping::start(Job { auth, ..quick(&address) });
    scraping.wait_for("a", 1.0).await;
    scraping.wait_for("up", 1.0).await;
    let request = asked.lock().clone();
    for part in [
        "get /metrics http/1.1",
        "authorization: basic dtpw",
        "accept-encoding: gzip",
        "accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6",
        "x-prometheus-scrape-timeout-seconds: 0.1",
    ] {
        assert!(request.contains(part), "{request}");
    }
    let active = scraping.targets.active();
    assert_eq!((active.len(), active[0].health), (1, Health::Up));
    for (bad, error) in [
        (b"HTTP/1.1 503 Away\r\ncontent-length: 0\r\n\r\n".to_vec(), "503"),
        (answer("content-type: text/html\r\n", b""), "text/html"),
        (answer(TEXT, &vec![b'a'; 2 << 20]), "body size limit exceeded"),
        (answer(&format!("{TEXT}content-encoding: gzip\r\n"), b"no"), "gzip"),
        (answer(TEXT, b"a b\n"), "1:3: a number is expected"),
    ] {
        *body.lock() = bad;
        scraping.wait_for("up", 0.0).await;
        scraping.wait_for("a", f64::NAN).await;
        let active = scraping.targets.active();
        assert_eq!(active[0].health, Health::Down);
        assert!(active[0].last_error.contains(error), "{}", active[0].last_error);
        let open_metrics = "content-type: application/openmetrics-text\r\n";
        let packed = gzip("a 2\n# EOF\n");
        *body.lock() = answer(&format!("{open_metrics}content-encoding: gzip\r\n"), &packed);
        scraping.wait_for("a", 2.0).await;
        scraping.wait_for("up", 1.0).await;
    }
    scraping.stop().await;
}

#[tokio::test]
async fn files_tell_targets_and_what_is_gone_is_ended() {
    let body = Arc::new(Mutex::new(answer(TEXT, b"a 1\n")));
    let (address, _) = serve(body).await;
    let folder = std::env::temp_dir().join(format!("signalbox-scrape-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("a.yml");
    let discovery = FileDiscovery {
        files: vec![folder.join("*.yml")],
        refresh_interval: Duration::from_millis(100),
    };
    let job = Job { static_groups: Vec::new(), file_discovery: vec![discovery], ..quick(&address) };
    let scraping = Scraping::start(job);
    let told = |labels: &str| format!("- targets: ['{address}']\n  labels: {labels}\n");
    std::fs::write(&file, told("{env: x}")).unwrap();
    scraping.wait_for("up", 1.0).await;
    let active = scraping.targets.active();
    assert_eq!(active[0].labels.get("env"), Some("x"));
    assert!(active[0].discovered_labels.get("__meta_filepath").unwrap().ends_with("a.yml"));
    // What can not be read leaves what was there.
    std::fs::write(&file, "- targets: [").unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(scraping.targets.active().len(), 1);
    std::fs::remove_file(&file).unwrap();
    scraping.wait_for("up", f64::NAN).await;
    scraping.wait_for("a", f64::NAN).await;
    assert!(scraping.targets.active().is_empty());
    scraping.stop().await;
    std::fs::remove_dir_all(&folder).unwrap();
}
