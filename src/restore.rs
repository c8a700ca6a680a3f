//! `signalbox restore`: a snapshot of the metrics store becomes the store of a data folder.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use disk::files::{create_folders, sync_folder};
use model::SystemClock;
use tsdb::Tsdb;

use crate::cli::print_line;
use crate::config::Config;

/// What is restored.
#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    /// The folder of the snapshot: what POST /api/v1/admin/tsdb/snapshot made below
    /// DATA/metrics/snapshots, or a copy of it.
    snapshot: PathBuf,
}

/// Copies the snapshot into the data folder of `config`, which must not hold metrics yet, and opens
/// it once to say what is in it. Durable on return.
pub(crate) fn run(arguments: &RestoreArguments, config: Config) -> anyhow::Result<ExitCode> {
    let from = &arguments.snapshot;
    if !from.join("manifest").is_file() {
        bail!("{} is no snapshot of a metrics store: it has no manifest", from.display());
    }
    let to = config.data_dir.join("metrics");
    if to.exists() && std::fs::read_dir(&to).with_context(|| to.display().to_string())?.count() > 0
    {
        bail!("{} holds metrics already; restore into an empty data folder", to.display());
    }
    copy_folder(from, &to)?;
    let store = Tsdb::open(&to, config.metrics, Arc::new(SystemClock::new()))
        .with_context(|| format!("open the restored store {}", to.display()))?;
    let stats = store.stats();
    print_line(&format!(
        "{}: {} series are being written, {} blocks with {} samples",
        to.display(),
        stats.series,
        stats.blocks,
        stats.block_samples
    ));
    let damage = store.damage();
    for what in &damage {
        print_line(&format!("damaged: {what}"));
    }
    store.close();
    Ok(if damage.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
