//! The binary `signalbox`: command line, configuration, wiring and lifecycle. The only place that
//! sees every crate; no domain logic lives here.

mod cli;
mod config;
mod demo;
mod import;
mod jobs;
mod logging;
mod restore;
mod rule_query;
mod scrape_status;
mod self_status;
mod server;

use std::process::ExitCode;

use clap::Parser;

/// The system allocator of glibc fragments under many small batches of different threads; mimalloc
/// returns memory and is faster on the ingest path.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::run(cli::Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            cli::print_error(&error);
            ExitCode::FAILURE
        }
    }
}
