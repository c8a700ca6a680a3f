//! The command line. It stays small: everything that is not a command is configuration.

mod check_rules;
mod query;
mod scripts;
mod test_logql;
mod test_promql;
mod test_rules;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::server::Server;
use crate::{demo, import, logging, restore, rule_query};

/// One process for metrics, logs, traces and the pages they cause.
#[derive(Debug, Parser)]
#[command(name = "signalbox", version, about)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArguments,
}

#[derive(Debug, Args)]
struct ServeArguments {
    /// The configuration, YAML. Without it, the defaults.
    #[arg(long, value_name = "FILE", env = "SIGNALBOX_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// Where everything is kept; wins over the configuration.
    #[arg(long, value_name = "DIR", env = "SIGNALBOX_DATA", global = true)]
    data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default).
    Serve,
    /// Start a server, play a shop of five services into it, and show the page of its outage.
    Demo(demo::DemoArguments),
    /// Send files of Prometheus text or OpenMetrics to a running server.
    Import(import::ImportArguments),
    /// Put a snapshot of the metrics or of the log store into an empty data folder.
    Restore(restore::RestoreArguments),
    /// Ask a running server and show the answer.
    #[command(subcommand)]
    Query(query::QueryCommand),
    /// Check a file and say what is wrong with it.
    Check {
        #[command(subcommand)]
        what: Check,
    },
    /// Run tests that are written in files.
    #[command(subcommand)]
    Test(Test),
}

#[derive(Debug, Subcommand)]
enum Check {
    /// A configuration of Signalbox.
    Config {
        /// The file.
        file: PathBuf,
    },
    /// Files of Prometheus alerting and recording rules, as promtool checks them.
    Rules(check_rules::CheckRulesArguments),
}

#[derive(Debug, Subcommand)]
enum Test {
    /// Unit tests of rules in promtool's format.
    Rules(test_rules::TestRulesArguments),
    /// Scripts in the language of Prometheus's own tests of PromQL.
    Promql(scripts::ScriptArguments),
    /// Scripts that test LogQL, over the searchable head and over sealed parts of a store.
    Logql(scripts::ScriptArguments),
}

/// Runs what the arguments ask for.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => {
            let config = Config::load(arguments.serve.config.as_deref(), arguments.serve.data)?;
            logging::start(&config.log_level)?;
            serve(config)
        }
        Command::Demo(demo) => {
            if arguments.serve.config.is_some() {
                anyhow::bail!("demo brings its own configuration; --config is for serve");
            }
            demo::run(demo, arguments.serve.data)
        }
        Command::Import(arguments) => import::run(&arguments),
        Command::Restore(restore) => {
            let config = Config::load(arguments.serve.config.as_deref(), arguments.serve.data)?;
            restore::run(&restore, config)
        }
        Command::Check { what: Check::Config { file } } => {
            let config = Config::load(Some(&file), None)?;
            let (rules, warnings) = rule_query::read_rule_files(&config.rule_files)?;
            print_line(&format!(
                "{}: OK, {} rule files with {} groups",
                file.display(),
                rules.len(),
                rules.iter().map(|file| file.groups.len()).sum::<usize>()
            ));
            print_warnings(&warnings);
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { what: Check::Rules(arguments) } => check_rules::run(&arguments),
        Command::Query(command) => query::run(&command),
        Command::Test(Test::Rules(arguments)) => test_rules::run(&arguments),
        Command::Test(Test::Promql(arguments)) => test_promql::run(&arguments),
        Command::Test(Test::Logql(arguments)) => test_logql::run(&arguments),
    }
}

fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let result = runtime.block_on(async {
        let stop = stop_on_signal()?;
        let mut server = Server::start(config, Vec::new()).await?;
        let outcome = tokio::select! {
            () = stop.cancelled() => Ok(ExitCode::SUCCESS),
            Err(error) = server.loaded() => Err(error),
        };
        tracing::info!("stopping: no new requests, open ones finish, then the stores are closed");
        server.stop().await;
        tracing::info!("stopped");
        outcome
    });
    // The stores are closed; a query that still runs has nobody to answer to.
    runtime.shutdown_timeout(LAST_GRACE);
    result
}

/// How long threads that still run may hold up the end of the process.
pub(crate) const LAST_GRACE: Duration = Duration::from_secs(1);

/// Cancelled at the first SIGTERM or SIGINT; a second one ends the process at once.
pub(crate) fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        for is_first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if !is_first {
                std::process::exit(1);
            }
            stopped.cancel();
        }
    });
    Ok(stop)
}

fn print_warnings(warnings: &[rules::Warning]) {
    for warning in warnings {
        print_line(&format!("warning: {warning}"));
    }
}

/// Prints for the person at the terminal.
#[expect(clippy::print_stdout, reason = "the command line's output")]
pub(crate) fn print_line(line: &str) {
    println!("{line}");
}

/// Prints text as it is. A reader that went away, such as `head`, has seen enough: the process ends
/// as if all was printed.
fn print_text(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        outcome => outcome.context("print"),
    }
}

/// Prints a line beside the output.
#[expect(clippy::print_stderr, reason = "the command line's remarks")]
fn print_to_stderr(line: &str) {
    eprintln!("{line}");
}

/// What is wrong if one of the files is not there.
fn missing_file(files: &[PathBuf]) -> Option<String> {
    let missing = files.iter().find(|file| !file.exists())?;
    Some(format!("path '{}' does not exist", missing.display()))
}

/// Prints an error and its causes.
#[expect(clippy::print_stderr, reason = "the command line's errors")]
pub(crate) fn print_error(error: &anyhow::Error) {
    eprintln!("signalbox: {error:#}");
}
