//! `tail:` of the configuration: files that are read as they grow.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use collector::tail::{FileFormat, Job, Multiline};
use regex::Regex;
use serde::Deserialize;

use super::one_of;
use super::raw::keys;
use super::units::Span;

keys! {
    /// One job.
    RawTail {
        job: String = String::new(),
        files: Vec<PathBuf> = Vec::new(),
        exclude: Vec<PathBuf> = Vec::new(),
        labels: BTreeMap<String, String> = BTreeMap::new(),
        format: String = "raw".to_owned(),
        multiline: Option<RawMultiline> = None,
        start_at_end: bool = false,
        poll_interval: Span = Span(Duration::from_millis(250)),
        files_max: usize = 1000,
    }
}

keys! {
    /// How lines are joined.
    RawMultiline {
        start: String = String::new(),
        lines_max: usize = 128,
        wait: Span = Span(Duration::from_secs(3)),
    }
}

/// The jobs; relative paths are relative to `folder`.
pub(super) fn jobs(raw: &[RawTail], folder: &Path) -> anyhow::Result<Vec<Job>> {
    let mut jobs: Vec<Job> = Vec::new();
    for (i, raw) in raw.iter().enumerate() {
        let job = job(raw, folder).with_context(|| format!("tail[{i}]"))?;
        if jobs.iter().any(|known| known.name == job.name) {
            bail!("tail[{i}].job: {:?} is there twice; checkpoints are kept by it", job.name);
        }
        jobs.push(job);
    }
    Ok(jobs)
}

fn job(raw: &RawTail, folder: &Path) -> anyhow::Result<Job> {
    ensure!(!raw.job.is_empty(), "job: a name is needed; it becomes the label job");
    ensure!(!raw.files.is_empty(), "files: at least one path or pattern is needed");
    ensure!(raw.files_max > 0, "files_max: 0 would let nothing through");
    ensure!(!raw.poll_interval.0.is_zero(), "poll_interval: it must be more than zero");
    for pattern in raw.files.iter().chain(&raw.exclude) {
        collector::glob::check(pattern).map_err(|error| anyhow!("files or exclude: {error}"))?;
    }
    let formats =
        [("raw", FileFormat::Raw), ("docker", FileFormat::Docker), ("cri", FileFormat::Cri)];
    let multiline = raw.multiline.as_ref().map(|raw| {
        ensure!(!raw.start.is_empty(), "multiline.start: an expression is needed");
        ensure!(raw.lines_max > 0, "multiline.lines_max: it must be more than zero");
        let start = Regex::new(&raw.start).context("multiline.start")?;
        Ok(Multiline { start, lines_max: raw.lines_max, wait: raw.wait.0 })
    });
    let resolve = |paths: &[PathBuf]| -> Vec<PathBuf> {
        paths.iter().map(|path| folder.join(path)).collect()
    };
    Ok(Job {
        name: raw.job.clone(),
        files: resolve(&raw.files),
        exclude: resolve(&raw.exclude),
        labels: raw.labels.clone().into_iter().collect(),
        format: one_of("format", &raw.format, &formats)?,
        multiline: multiline.transpose()?,
        start_at_end: raw.start_at_end,
        poll_interval: raw.poll_interval.0,
        files_max: raw.files_max,
    })
}
