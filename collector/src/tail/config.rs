//! What a job tails.

use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// As it is; its time is when it is read.
    Raw,
    /// Docker's json-file driver.
    Docker,
    /// The format of Kubernetes' container runtimes.
    Cri,
}

/// How lines are joined to one record.
#[derive(Debug, Clone)]
pub struct Multiline {
    /// Matches the first line of a record; other lines belong to the one before.
    pub start: Regex,
    /// A record has at most so many lines.
    pub lines_max: usize,
    /// A record is complete when so long nothing follows.
    pub wait: Duration,
}

/// Files that are tailed alike.
#[derive(Debug, Clone)]
pub struct Job {
    /// The label `job`.
    pub name: String,
    /// Patterns of absolute paths; `*` and `?` match within a part of a path.
    pub files: Vec<PathBuf>,
    /// Patterns of paths that are left out.
    pub exclude: Vec<PathBuf>,
    /// Labels of all streams, beside `job`, `filename` and, of containers, `stream`.
    pub labels: Vec<(String, String)>,
    /// How lines are written.
    pub format: FileFormat,
    /// How lines are joined.
    pub multiline: Option<Multiline>,
    /// A file that is there at the first start is read from its end; later ones always from their
    /// start.
    pub start_at_end: bool,
    /// How often files are looked at.
    pub poll_interval: Duration,
    /// More files are not opened, and counted.
    pub files_max: usize,
}
