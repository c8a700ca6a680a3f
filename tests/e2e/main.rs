//! End to end: the real binary as a process, real clients on its ports, answers read as a user reads
//! them. One crate for all of it, because every test crate is linked anew.
//!
//! What one crate of the workspace promises is tested beside it; here is what only the whole can
//! break: wiring, transports, restarts, memory, time.

mod durability;
mod grafana;
mod hostile;
mod lifecycle;
mod senders;
mod story;
mod support;
