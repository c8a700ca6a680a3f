//! `signalbox restore`: a snapshot of the metrics store or of the log store becomes the store of a data
//! folder.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use disk::files::{create_folders, sync_folder};
use logstore::LogStore;
use model::SystemClock;
use tsdb::Tsdb;

use crate::cli::print_line;
use crate::config::Config;

/// What is restored.
#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    /// The folder of the snapshot: what POST /api/v1/admin/tsdb/snapshot made below
    /// DATA/metrics/snapshots or POST /native/v1/logs/snapshot below DATA/logs/snapshots, or a copy.
    snapshot: PathBuf,
}

/// Which store a snapshot is of.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Metrics,
    Logs,
}

impl Kind {
    /// By what the manifest lists: blocks or parts.
    fn of(snapshot: &Path) -> anyhow::Result<Self> {
        let Some(json) = disk::manifest::read(snapshot)? else {
            bail!("{} is no snapshot of a store: it has no manifest", snapshot.display());
        };
        let manifest: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
        match (manifest.get("blocks"), manifest.get("parts")) {
            (Some(_), _) => Ok(Kind::Metrics),
            (None, Some(_)) => Ok(Kind::Logs),
            _ => bail!("{}: the manifest is of no store that is known", snapshot.display()),
        }
    }

    /// The folder below the data folder, which is also the word for what is in it.
    fn name(self) -> &'static str {
        match self {
            Kind::Metrics => "metrics",
            Kind::Logs => "logs",
        }
    }
}

/// Copies the snapshot into the data folder of `config`, which must not hold such data yet, and opens
/// it once to say what is in it. Durable on return.
pub(crate) fn run(arguments: &RestoreArguments, config: Config) -> anyhow::Result<ExitCode> {
    let from = &arguments.snapshot;
    let kind = Kind::of(from)?;
    let to = config.data_dir.join(kind.name());
    if to.exists() && std::fs::read_dir(&to).with_context(|| to.display().to_string())?.count() > 0
    {
        let (path, name) = (to.display(), kind.name());
        bail!("{path} holds {name} already; restore into an empty data folder");
    }
    copy_folder(from, &to)?;
    let is_whole = match kind {
        Kind::Metrics => show_metrics(&to, config),
        Kind::Logs => show_logs(&to, config),
    };
    let is_whole = is_whole.with_context(|| format!("open the restored store {}", to.display()))?;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show_metrics(folder: &Path, config: Config) -> anyhow::Result<bool> {
    let store = Tsdb::open(folder, config.metrics, Arc::new(SystemClock::new()))?;
    let stats = store.stats();
    print_line(&format!(
        "{}: {} series are being written, {} blocks with {} samples",
        folder.display(),
        stats.series,
        stats.blocks,
        stats.block_samples
    ));
    let damage = store.damage();
    for what in &damage {
        print_line(&format!("damaged: {what}"));
    }
    store.close();
    Ok(damage.is_empty())
}

fn show_logs(folder: &Path, config: Config) -> anyhow::Result<bool> {
    let store = LogStore::open(folder, config.logs, Arc::new(SystemClock::new()))?;
    let stats = store.stats();
    print_line(&format!(
        "{}: {} records of {} streams, {} parts",
        folder.display(),
        stats.records,
        stats.streams,
        stats.parts
    ));
    if stats.corrupt_parts > 0 {
        print_line(&format!("damaged: {} parts were set aside", stats.corrupt_parts));
    }
    store.close();
    Ok(stats.corrupt_parts == 0)
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    create_folders(to).with_context(|| format!("create {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            std::fs::copy(&path, &target)
                .and_then(|_| std::fs::File::open(&target)?.sync_all())
                .with_context(|| format!("copy {} to {}", path.display(), target.display()))?;
        }
    }
    sync_folder(to).with_context(|| format!("sync {}", to.display()))
}
