//! One batch to the server, again and again while it is only busy.

use std::time::Duration;

use super::ImportError;
use super::report::ImportReport;
use crate::scrape::fetch::{describe, plain_client};

const PATH: &str = "/api/v1/write";

/// How often a batch is tried, and the pauses between: about two minutes in all.
const TRIES: u32 = 12;
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(15);

const TIMEOUT: Duration = Duration::from_secs(60);

/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 8 << 10;

/// The connection to a server, and what it answered.
pub(super) struct Sender {
    client: reqwest::Client,
    url: reqwest::Url,
    pub(super) report: ImportReport,
}

/// What an answer means for its batch.
enum Answer {
    Kept,
    /// With how many samples are kept, and the message.
    Refused(u64, String),
    /// With the pause that the server asks for.
    Busy(String, Option<Duration>),
    Wrong(String),
}

impl Sender {
    pub(super) fn new(url: &str) -> Result<Sender, ImportError> {
        let bad = |why: &dyn std::fmt::Display| {
            ImportError::Client(format!("{url:?} is not the URL of a server: {why}"))
        };
        let parsed = reqwest::Url::parse(url.trim_end_matches('/')).map_err(|e| bad(&e))?;
        if !["http", "https"].contains(&parsed.scheme()) {
            return Err(bad(&"http://host:port would be one"));
        }
        let mut target = parsed.clone();
        target.set_path(&format!("{}{PATH}", parsed.path().trim_end_matches('/')));
        let client = plain_client().map_err(ImportError::Client)?;
        Ok(Sender { client, url: target, report: ImportReport::default() })
    }

    pub(super) async fn send(&mut self, body: Vec<u8>, samples: u64) -> Result<(), ImportError> {
        let packed = snap::raw::Encoder::new().compress_vec(&body);
        let packed: bytes::Bytes = packed.map_err(|e| ImportError::Client(e.to_string()))?.into();
        let mut pause = PAUSE_FIRST;
        for tried in 1.. {
            let (message, asked) = match self.post(packed.clone()).await {
                Answer::Kept => {
                    self.report.kept += samples;
                    break;
                }
                Answer::Refused(kept, message) => {
                    self.report.refuse(samples, kept, &message);
                    break;
                }
                Answer::Wrong(message) => return Err(ImportError::Send(message)),
                Answer::Busy(message, asked) => (message, asked),
            };
            if tried >= TRIES {
                return Err(ImportError::Send(format!("gave up after {TRIES} tries: {message}")));
            }
            self.report.retries += 1;
            tokio::time::sleep(asked.unwrap_or(pause).min(PAUSE_MAX)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        self.report.requests += 1;
        self.report.sent += samples;
        Ok(())
    }

    async fn post(&self, body: bytes::Bytes) -> Answer {
        let request = self
            .client
            .post(self.url.clone())
            .timeout(TIMEOUT)
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "snappy")
            .header("x-prometheus-remote-write-version", "0.1.0")
            .body(body);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Answer::Busy(describe(&error), None),
        };
        let status = answer.status();
        let number = |name: &str| answer.headers().get(name)?.to_str().ok()?.parse::<u64>().ok();
        if status.is_success() {
            return Answer::Kept;
        }
        let kept = number("x-prometheus-remote-write-samples-written");
        let pause = number("retry-after").map(Duration::from_secs);
        let text = read_text(answer).await;
        let message = format!("the server answered {status}: {text}");
        match status.as_u16() {
            429 => Answer::Busy(message, pause),
            _ if status.is_server_error() => Answer::Busy(message, pause),
            400 => Answer::Refused(kept.unwrap_or(0), text),
            _ => Answer::Wrong(message),
        }
    }
}

/// The begin of an answer's text.
async fn read_text(mut answer: reqwest::Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    bytes.truncate(ANSWER_BYTES_MAX);
    String::from_utf8_lossy(&bytes).into_owned()
}
