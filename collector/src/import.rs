//! Files of Prometheus text or OpenMetrics to a running server, by remote write 1.0.
//!
//! A file is read piece by piece and sent in batches, so that it may be larger than memory. What
//! the server can not take now is sent again for a while; what it refuses is counted with its
//! reasons. A file that breaks off with an error has been sent up to the batch before it.
//!
//! `_created` lines become series of their own here: remote write 1.0 has no start times.

mod encode;
mod report;
mod send;

use model::sample::MetricKind;
use model::{Clock, TimestampMs};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::exposition::{Format, Item, Reader, Sample, read_labels, read_series};
use encode::Batch;
use send::Sender;

pub use report::{ImportReport, RefusedSamples};

/// Why a file could not be imported to its end.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ImportError {
    #[error("read: {0}")]
    Read(#[from] std::io::Error),
    #[error("{line}:{column}: {message}")]
    Syntax { line: u64, column: usize, message: String },
    #[error("{0}")]
    Send(String),
    #[error("{0}")]
    Client(String),
}

/// How much of a file is looked at in one piece.
const PIECE_BYTES: usize = 1 << 20;

/// No line may be longer.
const LINE_BYTES_MAX: usize = 16 << 20;

/// Sends files to one server.
pub struct Importer {
    sender: Sender,
    batch: Batch,
    at: TimestampMs,
}

/// What a file without a word about it is, by its first piece: OpenMetrics has an end, or words
/// that the text format has not.
pub fn detect(piece: &[u8]) -> Format {
    let is_open_metrics = piece.split(|byte| *byte == b'\n').any(|line| {
        line == b"# EOF"
            || line.starts_with(b"# UNIT ")
            || (line.starts_with(b"# TYPE ")
                && [" unknown", " info", " stateset", " gaugehistogram"]
                    .iter()
                    .any(|word| line.ends_with(word.as_bytes())))
    });
    if is_open_metrics { Format::OpenMetrics } else { Format::Text }
}

impl Importer {
    /// Sends to `url`, such as `http://127.0.0.1:4319`. Samples without a time get the present one.
    pub fn new(url: &str, clock: &dyn Clock) -> Result<Importer, ImportError> {
        Ok(Importer { sender: Sender::new(url)?, batch: Batch::default(), at: clock.now_ms() })
    }

    /// Sends all of a file. Without a `format` the first piece must tell it.
    pub async fn import(
        &mut self,
        mut file: impl AsyncRead + Unpin,
        format: Option<Format>,
    ) -> Result<(), ImportError> {
        let mut buffer: Vec<u8> = Vec::with_capacity(2 * PIECE_BYTES);
        let mut reader = None;
        loop {
            let read = (&mut file).take(PIECE_BYTES as u64).read_to_end(&mut buffer).await?;
            let is_last = read == 0;
            let reader = reader
                .get_or_insert_with(|| Reader::new(format.unwrap_or_else(|| detect(&buffer))));
            let whole = match is_last {
                true => buffer.len(),
                false => memchr::memrchr(b'\n', &buffer).map_or(0, |at| at + 1),
            };
            self.piece(reader, &buffer[..whole]).await?;
            buffer.drain(..whole);
            if buffer.len() > LINE_BYTES_MAX {
                let message = format!("a line is longer than {LINE_BYTES_MAX} bytes");
                return Err(ImportError::Syntax { line: reader.line() + 1, column: 1, message });
            }
            if is_last {
                break;
            }
        }
        if let Some(reader) = reader {
            reader.finish().map_err(syntax)?;
        }
        Ok(())
    }

    /// Sends what is left, and tells what became of everything.
    pub async fn finish(mut self) -> (ImportReport, Result<(), ImportError>) {
        let result = self.flush().await;
        (self.sender.report, result)
    }

    async fn piece(&mut self, reader: &mut Reader, piece: &[u8]) -> Result<(), ImportError> {
        let mut rest = std::str::from_utf8(piece).map_err(|error| {
            let before = &piece[..error.valid_up_to()];
            let lines = before.iter().filter(|byte| **byte == b'\n').count() as u64;
            let start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
            let message = "the text is not UTF-8".to_owned();
            let line = reader.line() + lines + 1;
            ImportError::Syntax { line, column: before.len() - start + 1, message }
        })?;
        let mut hint = "";
        let mut family = Described::default();
        loop {
            match reader.next(&mut rest, hint).map_err(syntax)? {
                None => break,
                Some(Item::Sample(sample)) => {
                    hint = sample.series;
                    self.sample(reader, &sample).map_err(|message| ImportError::Syntax {
                        line: reader.line(),
                        column: 1,
                        message,
                    })?;
                    if self.batch.is_full() {
                        self.flush().await?;
                    }
                }
                Some(Item::Help { family: name, text }) => {
                    family.of(&mut self.batch, &name, reader).help = text.into_owned();
                }
                Some(Item::Unit { family: name, unit }) => {
                    family.of(&mut self.batch, &name, reader).unit = unit.to_owned();
                }
                Some(Item::Kind { family: name, kind }) => {
                    family.of(&mut self.batch, &name, reader).kind = kind;
                }
            }
        }
        family.of(&mut self.batch, "", reader);
        self.batch.end_series();
        Ok(())
    }

    fn sample(&mut self, reader: &Reader, sample: &Sample<'_>) -> Result<(), String> {
        if !(sample.is_hinted && self.batch.has_series()) {
            let mut pairs = Vec::new();
            read_series(sample.series, reader.format(), reader.kind(), &mut pairs)?;
            pairs.retain(|(_, value)| !value.is_empty());
            pairs.sort();
            self.batch.begin_series(&pairs);
        }
        let at = sample.timestamp_ms.unwrap_or(self.at.0);
        self.batch.sample(sample.value, at);
        if let Some(exemplar) = sample.exemplar {
            let mut pairs = Vec::new();
            read_labels(exemplar.braces, Format::OpenMetrics, &mut pairs)?;
            let exemplar_at = exemplar.timestamp_ms.unwrap_or(at);
            self.batch.exemplar(&pairs, exemplar.value, exemplar_at);
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ImportError> {
        let Some((body, samples)) = self.batch.take() else { return Ok(()) };
        self.sender.send(body, samples).await
    }
}

fn syntax(error: crate::exposition::Error) -> ImportError {
    let (line, column, message) = (error.line, error.column, error.message.to_owned());
    ImportError::Syntax { line, column, message }
}

/// What the lines at hand say of their family.
#[derive(Debug, Default)]
struct Described {
    name: String,
    kind: MetricKind,
    help: String,
    unit: String,
}

impl Described {
    /// The family `name`; the one before, if it is another, goes to the batch.
    fn of(&mut self, batch: &mut Batch, name: &str, reader: &Reader) -> &mut Self {
        if self.name != name {
            let ended = std::mem::take(self);
            name.clone_into(&mut self.name);
            if !ended.name.is_empty() {
                let suffix = match (reader.format(), ended.kind) {
                    (Format::OpenMetrics, MetricKind::Counter) => "_total",
                    (Format::OpenMetrics, MetricKind::Info) => "_info",
                    _ => "",
                };
                batch.describe(&(ended.name + suffix), ended.kind, &ended.help, &ended.unit);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests;
