//! `signalbox test logql`: scripts that test LogQL. Each runs against fresh stores in a temporary
//! folder, and every query is asked twice: of lines that are still in the searchable head, and of
//! the same lines in sealed parts.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use logstore::{LogStore, Options};
use model::log::Origin;
use model::write::{LogBatch, LogEntry, LogField, LogGroup};
use model::{LogAdmin, LogSink, ManualClock, TimestampMs};
use query::logql::script::{self, Form, LoadedLine, Store};
use tempfile::TempDir;

use super::scripts::{self, ScriptArguments};

/// Runs the scripts.
pub(super) fn run(arguments: &ScriptArguments) -> anyhow::Result<ExitCode> {
    scripts::run(arguments, |text| Ok(script::run(text, &mut Stores::new()?)))
}

/// The same lines twice.
struct Stores {
    head: LogStore,
    sealed: LogStore,
    /// Holds both, and goes after them.
    _folder: TempDir,
}

impl Stores {
    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("make a folder for the stores")?;
        let open = |name: &str| {
            // Scripts count from the epoch, and all of it is past.
            const LATE_MS: i64 = 4_102_444_800_000;
            let clock = Arc::new(ManualClock::at(TimestampMs(LATE_MS)));
            let options = Options { retention_ms: 0, ..Options::default() };
            LogStore::open(&folder.path().join(name), options, clock)
                .with_context(|| format!("open the store {name}"))
        };
        Ok(Stores { head: open("head")?, sealed: open("sealed")?, _folder: folder })
    }
}

impl Store for Stores {
    fn clear(&mut self) -> Result<(), String> {
        *self = Stores::new().map_err(|error| format!("{error:#}"))?;
        Ok(())
    }

    fn load(&mut self, lines: &[LoadedLine]) -> Result<(), String> {
        let mut batch = LogBatch::default();
        let length = |items: usize| u32::try_from(items).map_err(|_| "too many lines".to_owned());
        for LoadedLine { stream, at_ns, line, metadata } in lines {
            let (first_field, first_record) =
                (length(batch.fields.len())?, length(batch.records.len())?);
            batch.fields.extend(metadata.iter().map(|(name, value)| LogField {
                name: name.as_str().into(),
                value: value.as_str().into(),
                origin: Origin::Record,
            }));
            batch.records.push(LogEntry {
                at: model::TimestampNs(*at_ns),
                line: line.as_str().into(),
                fields: first_field..length(batch.fields.len())?,
            });
            batch.groups.push(LogGroup {
                stream: stream.clone(),
                shared: 0..0,
                records: first_record..first_record + 1,
            });
        }
        for store in [&self.head, &self.sealed] {
            let (outcome, commit) = store.append(&batch).map_err(|error| error.to_string())?;
            commit.wait().map_err(|error| error.to_string())?;
            if let Some(refusal) = outcome.refused.first() {
                return Err(format!("the store refused {}: {}", refusal.reason, refusal.example));
            }
        }
        self.sealed.merge_all().map_err(|error| error.to_string())
    }

    fn forms(&self) -> Vec<Form<'_>> {
        vec![("head", &self.head), ("sealed parts", &self.sealed)]
    }
}
