//! `signalbox test rules`: promtool's unit tests of rule files, in its format and with its words
//! and exit codes (promtool 3.5, with `start_timestamp` of 3.9).
//!
//! Rules are evaluated as the server evaluates them, by the same code, on series in memory.
//! What promtool does only when told is done without being told: experimental functions, and metric
//! names that are dropped at the end of a query.

mod case;
mod compare;
mod file;
mod junit;
mod store;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use model::{Clock, SystemClock};
use regex::Regex;
use rules::file::UnknownKeys;

use super::{missing_file, print_text, print_to_stderr};
use case::{Options, run_group};
use file::TestFile;
use junit::Suite;

/// What is tested, and how it is told.
#[derive(Debug, Args)]
pub(super) struct TestRulesArguments {
    /// The files of tests.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Run only tests whose names match; may be given several times.
    #[arg(long, value_name = "REGEX")]
    run: Vec<String>,
    /// Show expected and found alerts as their difference.
    #[arg(long)]
    diff: bool,
    /// Say when each test starts and ends, and show all series at its end.
    #[arg(long)]
    debug: bool,
    /// Skip keys of rule files that Prometheus does not know.
    #[arg(long)]
    ignore_unknown_fields: bool,
    /// Write the outcomes as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// Runs the tests: 0 if all passed, 1 if not.
pub(super) fn run(arguments: &TestRulesArguments) -> anyhow::Result<ExitCode> {
    if let Some(message) = missing_file(&arguments.files) {
        anyhow::bail!(message);
    }
    let only = match arguments.run.as_slice() {
        [] => None,
        patterns => Some(Regex::new(&patterns.join("|")).context("--run")?),
    };
    let unknown_keys = match arguments.ignore_unknown_fields {
        true => UnknownKeys::Ignored,
        false => UnknownKeys::Refused,
    };
    let options = Options { only, diff: arguments.diff, debug: arguments.debug, unknown_keys };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut suites = Vec::new();
    for path in &arguments.files {
        // With one file there is no doubt which one is meant.
        if arguments.files.len() > 1 {
            print_text(&format!("Testing {}\n", path.display()))?;
        }
        let mut suite = Suite::new(path.display().to_string(), clock.now_ms());
        let errors = run_file(path, &options, &clock, &mut suite);
        suites.push(suite);
        if errors.is_empty() {
            print_text("  SUCCESS\n\n")?;
            continue;
        }
        print_to_stderr("  FAILED:");
        for error in &errors {
            print_to_stderr(error);
            print_text("\n")?;
        }
        print_text("\n")?;
    }
    if let Some(path) = &arguments.junit {
        std::fs::write(path, junit::document(&suites))
            .with_context(|| format!("write {}", path.display()))?;
    }
    let has_failed = suites.iter().any(Suite::has_failed);
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs the tests of a file and answers what is wrong.
fn run_file(
    path: &Path,
    options: &Options,
    clock: &Arc<dyn Clock>,
    suite: &mut Suite,
) -> Vec<String> {
    let (file, warnings) = match TestFile::read(path) {
        Ok(read) => read,
        Err(error) => {
            suite.abort(&error);
            return vec![error];
        }
    };
    for warning in warnings {
        print_to_stderr(&format!("  WARNING: {warning}"));
    }
    let mut all = Vec::new();
    for (i, group) in file.tests.iter().enumerate() {
        let name = group.name.clone().unwrap_or_default();
        if options.only.as_ref().is_some_and(|only| !only.is_match(&name)) {
            continue;
        }
        let title = if name.is_empty() { format!("unnamed#{i}") } else { name };
        let started = clock.monotonic();
        if options.debug {
            print_to_stderr(&format!("DEBUG: Starting test {title}"));
        }
        let errors = run_group(&file, group, options);
        if options.debug {
            let took = clock.monotonic().saturating_sub(started);
            print_to_stderr(&format!("DEBUG: Test {title} finished, took {took:?}"));
        }
        suite.case(title, &errors);
        all.extend(errors);
    }
    all
}
