//! Tailing: log files are read as they grow, through rotation and restarts, without loss or doubles.
//!
//! ```text
//!  find.rs        patterns -> paths -> files by device and inode
//!  file.rs        one file: new bytes -> lines; truncation
//!  formats.rs     a line as Docker or CRI wrote it -> time, stream, text
//!  joining.rs     parts of a line, lines of a stack trace -> records
//!  worker.rs      records -> LogBatch -> append; checkpoint.rs says how far a file is stored
//! ```
//!
//! A file is known by its device, inode and first bytes, not by its name: a renamed file is read to
//! its end under the name it had first, and the new file under that name is another. A file that
//! became shorter, or begins otherwise, was truncated and is read from its start.
//!
//! **No doubles.** A checkpoint is written before each batch: from where to where it goes, and the
//! times of its records. Each record carries its place as two fields that no answer shows
//! (`model::log::BOOKKEEPING`). After a crash the store is asked whether it has records of that batch,
//! which is one journal record: all of them or none.
//!
//! **No loss**, but for what a rotation takes away while nobody reads: a file that was compressed,
//! or removed, or truncated after a copy. What is refused for good is counted by reason.

mod checkpoint;
mod config;
mod file;
mod find;
mod formats;
mod joining;
mod telemetry;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use model::{Clock, KeyValue, LogSink, LogSource};
use tokio_util::sync::CancellationToken;

pub use checkpoint::FAMILY;
pub use config::{FileFormat, Job, Multiline};
pub use telemetry::TailTelemetry;

use worker::Worker;

/// What the workers of all jobs share.
#[derive(Clone)]
pub struct TailDoors {
    /// Takes the records.
    pub sink: Arc<dyn LogSink>,
    /// Asked after a crash what was taken.
    pub source: Arc<dyn LogSource>,
    /// Has the checkpoints, in family [`FAMILY`].
    pub kv: Arc<dyn KeyValue>,
    /// Tells the time of lines that have none.
    pub clock: Arc<dyn Clock>,
    /// Counts.
    pub telemetry: TailTelemetry,
    /// Bytes of a line; what is longer is cut, marked and counted.
    pub line_bytes_max: usize,
}

/// A store that refuses is asked again after this.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Tails the files of one job until `stop`.
pub async fn tail(job: Job, doors: TailDoors, stop: CancellationToken) {
    let interval = job.poll_interval;
    let mut worker = Worker::new(job, doors);
    while !stop.is_cancelled() {
        let round = tokio::task::spawn_blocking(move || {
            let outcome = worker.poll();
            if let Err(error) = &outcome {
                worker.failed(error);
            }
            (worker, outcome)
        });
        let Ok((same, outcome)) = round.await else {
            tracing::error!("tailing files panicked");
            return;
        };
        worker = same;
        let pause = match outcome {
            Ok(true) => continue,
            Ok(false) => interval,
            Err(_) => RETRY_DELAY,
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests;
