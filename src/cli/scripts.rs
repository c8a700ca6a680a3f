//! What the commands that run scripts have in common: files in, problems and a count out.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use query::promql::script::{CaseOutcome, Summary};

use super::{print_text, print_to_stderr};

/// Which scripts are run.
#[derive(Debug, Args)]
pub(super) struct ScriptArguments {
    /// The scripts.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs the scripts. The last line of the output is `N passed, N failed, N skipped`: evaluations
/// that were as expected, evaluations and other commands that were not and files that could not be
/// read, and evaluations that were not made, of which there are none.
pub(super) fn run(
    arguments: &ScriptArguments,
    mut run_script: impl FnMut(&str) -> anyhow::Result<Vec<CaseOutcome>>,
) -> anyhow::Result<ExitCode> {
    let (mut passed, mut failed) = (0, 0);
    for path in &arguments.files {
        let name = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                failed += 1;
                print_to_stderr(&format!("{name}: can not be read: {error}"));
                print_text(&format!("{name}: {}\n", line(0, 1)))?;
                continue;
            }
        };
        let outcomes = run_script(&text)?;
        for outcome in &outcomes {
            if let Some(problem) = &outcome.problem {
                print_to_stderr(&format!("{name}:{}: {problem}", outcome.line));
                print_to_stderr(&format!("    {}", outcome.command));
            }
        }
        let summary = Summary::of(&outcomes);
        let failed_here = summary.failed + summary.broken_commands;
        print_text(&format!("{name}: {}\n", line(summary.passed, failed_here)))?;
        passed += summary.passed;
        failed += failed_here;
    }
    print_text(&format!("{}\n", line(passed, failed)))?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(passed: usize, failed: usize) -> String {
    format!("{passed} passed, {failed} failed, 0 skipped")
}
