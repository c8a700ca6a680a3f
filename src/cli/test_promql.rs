//! `signalbox test promql`: scripts of the language in which Prometheus tests PromQL, each against
//! a fresh store.

use std::process::ExitCode;

use query::promql::script;

use super::scripts::{self, ScriptArguments};

/// Runs the scripts.
pub(super) fn run(arguments: &ScriptArguments) -> anyhow::Result<ExitCode> {
    scripts::run(arguments, |text| Ok(script::run(text)))
}
