//! What a process costs, read from `/proc`, and what a folder holds.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

/// Clock ticks of `/proc/PID/stat` per second. Linux reports them in `USER_HZ`, which is 100 on all
/// architectures that Signalbox runs on, whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

/// How long a process must do nothing to be idle, and how often it is looked at.
const QUIET: Duration = Duration::from_millis(1_000);

/// CPU that an idle server may spend in [`QUIET`]: timers, and the evaluation of no rules.
const QUIET_CPU_SECONDS: f64 = 0.02;

/// A process, by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    id: u32,
}

/// Memory of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident memory.
    pub resident_bytes: u64,
    /// Of it, what is not backed by a file: page cache that is mapped does not count.
    pub anonymous_bytes: u64,
    /// Its peak since the start, or since [`Process::reset_peak`].
    pub peak_bytes: u64,
}

impl Process {
    /// The process with this id.
    pub fn new(id: u32) -> Self {
        Process { id }
    }

    /// This process.
    pub fn this() -> Self {
        Process { id: std::process::id() }
    }

    /// User and system time of all its threads since it started, in seconds.
    ///
    /// # Errors
    ///
    /// When there is no such process.
    pub fn cpu_seconds(self) -> anyhow::Result<f64> {
        let path = format!("/proc/{}/stat", self.id);
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        parse_stat(&text).with_context(|| format!("{path} has an unknown format"))
    }

    /// Its memory.
    ///
    /// # Errors
    ///
    /// When there is no such process.
    pub fn memory(self) -> anyhow::Result<Memory> {
        let path = format!("/proc/{}/status", self.id);
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        parse_status(&text).with_context(|| format!("{path} has an unknown format"))
    }

    /// Starts the peak of memory anew; says whether the kernel let us.
    pub fn reset_peak(self) -> bool {
        // proc_pid_clear_refs(5): 5 resets the peak of resident memory.
        fs::write(format!("/proc/{}/clear_refs", self.id), "5").is_ok()
    }

    /// Waits until the process has done nothing for a second; says whether it did within `limit`.
    ///
    /// # Errors
    ///
    /// When the process ends.
    pub async fn wait_until_idle(self, limit: Duration) -> anyhow::Result<bool> {
        let mut before = self.cpu_seconds()?;
        let mut waited = Duration::ZERO;
        while waited < limit {
            tokio::time::sleep(QUIET).await;
            waited += QUIET;
            let after = self.cpu_seconds()?;
            if after - before <= QUIET_CPU_SECONDS {
                return Ok(true);
            }
            before = after;
        }
        Ok(false)
    }
}

/// The load average of the last minute, and the seconds that all CPUs were busy since the boot.
///
/// # Errors
///
/// When the kernel does not say.
pub fn machine_load() -> anyhow::Result<(f64, f64)> {
    let load = fs::read_to_string("/proc/loadavg").context("read /proc/loadavg")?;
    let stat = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    parse_load(&load, &stat).context("/proc/loadavg or /proc/stat has an unknown format")
}

fn parse_load(load: &str, stat: &str) -> Option<(f64, f64)> {
    let average = load.split_ascii_whitespace().next()?.parse().ok()?;
    let cpu = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> =
        cpu.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
    let busy = ticks.iter().take(8).sum::<u64>() - ticks.get(3)? - ticks.get(4)?;
    Some((average, busy as f64 / TICKS_PER_SECOND))
}

fn parse_stat(text: &str) -> Option<f64> {
    // The name in parentheses may hold spaces and parentheses, so fields count from the last one.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

fn parse_status(text: &str) -> Option<Memory> {
    let kilobytes = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|size| size * 1024)
    };
    Some(Memory {
        resident_bytes: kilobytes("VmRSS:")?,
        anonymous_bytes: kilobytes("RssAnon:")?,
        peak_bytes: kilobytes("VmHWM:")?,
    })
}

/// Bytes that the files under `folder` take on disk. A file that goes while we look is not counted:
/// the server deletes files at any time.
///
/// # Errors
///
/// When the folder itself cannot be read.
pub fn disk_bytes(folder: &Path) -> anyhow::Result<u64> {
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut bytes = 0;
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            bytes += disk_bytes(&entry.path()).unwrap_or(0);
        } else {
            // Blocks are of 512 bytes here whatever those of the file system are.
            bytes += metadata.blocks() * 512;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_may_hold_anything() {
        let text = "17 (a) b (c)) S 1 17 17 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 9 1 2";
        assert_eq!(parse_stat(text), Some(3.0));
        assert_eq!(parse_stat("17"), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        let text = "Name:\tx\nVmHWM:\t 2048 kB\nVmRSS:\t 1024 kB\nRssAnon:\t 512 kB\n";
        let expected =
            Memory { resident_bytes: 1 << 20, anonymous_bytes: 1 << 19, peak_bytes: 2 << 20 };
        assert_eq!(parse_status(text), Some(expected));
        assert_eq!(parse_status("Name:\tx\n"), None);
    }

    #[test]
    fn busy_time_leaves_out_idle_and_waiting() {
        let stat = "cpu  100 10 40 5000 60 1 2 3 7 0\ncpu0 1 2 3\n";
        assert_eq!(parse_load("0.25 0.5 1.0 1/85 7", stat), Some((0.25, 1.56)));
        assert_eq!(parse_load("", stat), None);
        assert!(machine_load().is_ok());
    }

    #[test]
    fn this_process_has_memory_and_spends_time() {
        let this = Process::this();
        assert!(this.cpu_seconds().unwrap() >= 0.0);
        let memory = this.memory().unwrap();
        assert!(memory.peak_bytes >= memory.resident_bytes && memory.resident_bytes > 0);
    }
}
