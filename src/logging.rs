//! Where the process's own log lines go: to standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging at `level`; `RUST_LOG` wins.
pub(crate) fn start(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        // Colours are for people; a log file is not one.
        .with_ansi(std::io::stderr().is_terminal())
        .finish();
    // A second start (tests) keeps the first subscriber.
    tracing::subscriber::set_global_default(subscriber).ok();
}
