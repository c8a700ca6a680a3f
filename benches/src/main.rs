//! The binary `load`: sends OTLP to a server that runs, or starts one, and prints what it cost.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use benches::compare::{self, CompareArguments};
use benches::process::Process;
use benches::record::{self, RecordArguments};
use benches::report::{self, Report};
use benches::run::{LoadArguments, Target};
use benches::spawn::{self, SpawnArguments};
use clap::{Args, Parser, Subcommand};

/// Send OTLP to a server and say how much it took and what it spent.
#[derive(Debug, Parser)]
#[command(name = "load", version, about, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    load: LoadArguments,
    #[command(flatten)]
    target: TargetArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a fresh server for each signal, send, wait until it is idle, stop it.
    Spawn {
        #[command(flatten)]
        spawn: SpawnArguments,
        #[command(flatten)]
        load: Box<LoadArguments>,
    },
    /// Send the same to our server and to other metric stores, and print their figures side by
    /// side.
    Compare(Box<CompareArguments>),
    /// Record the counters of this machine, for the density of `compare`.
    Record(RecordArguments),
}

#[derive(Debug, Args)]
struct TargetArguments {
    /// Where the server takes OTLP over HTTP.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4318")]
    http: SocketAddr,
    /// Where the server takes OTLP over gRPC.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4317")]
    grpc: SocketAddr,
    /// The server's process, to report its CPU and memory.
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// The server's data folder, to report what is on disk.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl TargetArguments {
    fn target(self) -> Target {
        Target {
            http: self.http,
            grpc: self.grpc,
            process: self.server_pid.map(Process::new),
            data_folder: self.data_dir,
        }
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(is_clean) if is_clean => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Says whether the server took everything.
fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let Arguments { command, load, target } = arguments;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let (is_json, reports) = match command {
        Some(Command::Compare(arguments)) => {
            return runtime.block_on(compare::run(&arguments, print_runs));
        }
        Some(Command::Record(arguments)) => {
            runtime.block_on(record::run(&arguments))?;
            return Ok(true);
        }
        Some(Command::Spawn { spawn, load }) => {
            (load.json, runtime.block_on(spawn::run(&load, &spawn))?)
        }
        None => (load.json, runtime.block_on(run_against(&load, &target.target()))?),
    };
    print(is_json, &reports);
    Ok(reports.iter().all(|report| report.tally.refused + report.tally.failed == 0))
}

async fn run_against(load: &LoadArguments, target: &Target) -> anyhow::Result<Vec<Report>> {
    let mut reports = Vec::new();
    for &signal in load.signal.list() {
        let prepared = load.prepare(signal)?;
        reports.push(load.measure(prepared, target).await?);
    }
    Ok(reports)
}

#[expect(clippy::print_stdout, reason = "the report is the output of this command")]
fn print(is_json: bool, reports: &[Report]) {
    if is_json {
        reports.iter().for_each(|report| println!("{}", report.to_json()));
    } else {
        print!("{}", report::table(reports));
    }
}

#[expect(clippy::print_stdout, reason = "the report is the output of this command")]
fn print_runs(runs: &[compare::Run]) {
    println!("{}", compare::table(runs));
}

#[expect(clippy::print_stderr, reason = "the errors of this command")]
fn print_error(error: &anyhow::Error) {
    eprintln!("load: {error:#}");
}
