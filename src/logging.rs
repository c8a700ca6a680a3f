//! Where the process's own log lines go: to standard error.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

/// The levels that a configuration may name.
pub(crate) const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Starts logging at `level`; `RUST_LOG` wins.
pub(crate) fn start(level: &str) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) => EnvFilter::try_new(&text).with_context(|| format!("RUST_LOG: {text:?}"))?,
        Err(_) => EnvFilter::new(level),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        // Colours are for people; a log file is not one.
        .with_ansi(std::io::stderr().is_terminal())
        .finish();
    // A second start (tests) keeps the first subscriber.
    tracing::subscriber::set_global_default(subscriber).ok();
    Ok(())
}
