//! What a phase costs a server, and how much else ran on the machine meanwhile.

use std::time::Duration;

use model::{Clock as _, SystemClock};

use crate::process::{Process, machine_load};

/// Runs from its start until it is read.
#[derive(Debug)]
pub(super) struct Meter {
    server: Process,
    clock: SystemClock,
    server_cpu: f64,
    sender_cpu: f64,
    load_average: f64,
    machine_cpu: f64,
}

/// A reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cost {
    /// User and system time of the server.
    pub(super) cpu_seconds: f64,
    /// The same of the sender.
    pub(super) sender_cpu_seconds: f64,
    /// Time that passed.
    pub(super) wall: Duration,
    /// The load average of a minute when the meter started.
    pub(super) load_average: f64,
    /// Cores that neither server nor sender kept busy, on average.
    pub(super) other_cores: f64,
}

impl Meter {
    /// Starts to measure.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub(super) fn start(server: Process) -> anyhow::Result<Self> {
        let (load_average, machine_cpu) = machine_load()?;
        Ok(Meter {
            server,
            clock: SystemClock::new(),
            server_cpu: server.cpu_seconds()?,
            sender_cpu: Process::this().cpu_seconds()?,
            load_average,
            machine_cpu,
        })
    }

    /// What it cost until now; measuring goes on.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub(super) fn read(&self) -> anyhow::Result<Cost> {
        let wall = self.clock.monotonic();
        let cpu_seconds = self.server.cpu_seconds()? - self.server_cpu;
        let sender_cpu_seconds = Process::this().cpu_seconds()? - self.sender_cpu;
        let (_, machine_cpu) = machine_load()?;
        let others = machine_cpu - self.machine_cpu - cpu_seconds - sender_cpu_seconds;
        let other_cores = (others / wall.as_secs_f64().max(0.001)).max(0.0);
        let load_average = self.load_average;
        Ok(Cost { cpu_seconds, sender_cpu_seconds, wall, load_average, other_cores })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_does_not_run_backwards() {
        let meter = Meter::start(Process::this()).unwrap();
        let (first, second) = (meter.read().unwrap(), meter.read().unwrap());
        assert!(second.cpu_seconds >= first.cpu_seconds && second.wall >= first.wall);
        assert!(first.other_cores >= 0.0);
    }
}
