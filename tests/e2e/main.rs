//! End to end: the real binary as a process, real clients on its ports, answers read as a user
//! reads them. One crate for all of it, because every test crate is linked anew.
//!
//! What one crate of the workspace promises is tested beside it; here is what only the whole can
//! break: wiring, transports, restarts, memory, time.

#![expect(clippy::unwrap_used, reason = "a test that can not go on says where")]
#![expect(clippy::print_stdout, reason = "tests tell what they did not run and what they counted")]
#![expect(clippy::print_stderr, reason = "a failed test shows the log of its server")]

mod commands;
mod durability;
mod grafana;
mod hostile;
mod lifecycle;
mod logs_crash;
mod logs_disk_full;
mod logs_doors;
mod logs_rules;
mod metrics_crash;
mod metrics_disk_full;
mod metrics_loading;
mod metrics_restore;
mod promtool;
mod remote_write;
mod scrape;
mod senders;
mod story;
mod support;
mod tail;
