//! Records the counters of this machine as a node exporter names them, for the density comparison.
//!
//! Real counters are what compression is judged by: most stand still, some move together, and the
//! times jitter as they do under load. [`crate::compare`] says what the format is.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use model::{Clock as _, SystemClock};

use crate::run::parse_duration;

/// How often, how long and where to.
#[derive(Debug, Clone, clap::Args)]
pub struct RecordArguments {
    /// Time between two samples.
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    pub every: Duration,
    /// How long to record.
    #[arg(long = "for", default_value = "15m", value_parser = parse_duration)]
    pub duration: Duration,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Series in the order in which they were first seen, with their values as text.
type Sample = Vec<(String, String)>;

/// Records until the time is over.
///
/// # Errors
///
/// When the file can not be written or the kernel tells nothing.
pub async fn run(arguments: &RecordArguments) -> anyhow::Result<()> {
    let path = arguments.out.display();
    let mut file = fs::File::create(&arguments.out).with_context(|| format!("create {path}"))?;
    let clock = SystemClock::new();
    let proc = Path::new("/proc");
    let first = sample(proc);
    anyhow::ensure!(!first.is_empty(), "/proc tells nothing");
    let names: Vec<String> = first.into_iter().map(|(name, _)| name).collect();
    writeln!(file, "{}", names.join("\t")).with_context(|| format!("write {path}"))?;
    let mut due = Duration::ZERO;
    while due < arguments.duration {
        if let Some(wait) = due.checked_sub(clock.monotonic()) {
            tokio::time::sleep(wait).await;
        }
        let values: HashMap<String, String> = sample(proc).into_iter().collect();
        let at = clock.now().to_ms();
        file.write_all(line(at.0, &names, &values).as_bytes())
            .with_context(|| format!("write {path}"))?;
        due += arguments.every;
    }
    Ok(())
}

fn line(at_ms: i64, names: &[String], values: &HashMap<String, String>) -> String {
    let mut line = at_ms.to_string();
    for name in names {
        line.push('\t');
        line.push_str(values.get(name).map_or("", String::as_str));
    }
    line.push('\n');
    line
}

/// All series of one moment. What a kernel does not have is left out.
fn sample(proc: &Path) -> Sample {
    let read = |name: &str| fs::read_to_string(proc.join(name)).unwrap_or_default();
    let mut sample = Sample::new();
    vmstat(&mut sample, &read("vmstat"));
    meminfo(&mut sample, &read("meminfo"));
    stat(&mut sample, &read("stat"));
    by_cpu(&mut sample, &read("softirqs"), "node_softirqs_total");
    by_cpu(&mut sample, &read("interrupts"), "node_interrupts_total");
    diskstats(&mut sample, &read("diskstats"));
    net_dev(&mut sample, &read("net/dev"));
    for resource in ["cpu", "io", "memory"] {
        pressure(&mut sample, &read(&format!("pressure/{resource}")), resource);
    }
    for (name, load) in ["1", "5", "15"].into_iter().zip(read("loadavg").split(' ')) {
        put(&mut sample, format!("node_load{name}"), load);
    }
    netstat(&mut sample, &read("net/netstat"));
    netstat(&mut sample, &read("net/snmp"));
    sample
}

fn put(sample: &mut Sample, name: String, value: &str) {
    if value.parse::<f64>().is_ok_and(f64::is_finite) {
        sample.push((name, value.to_owned()));
    }
}

fn vmstat(sample: &mut Sample, text: &str) {
    for (name, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        put(sample, format!("node_vmstat_{name}"), value);
    }
}

fn meminfo(sample: &mut Sample, text: &str) {
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let name = name.replace(['(', ')'], "_");
        let name = name.trim_matches('_');
        let mut words = value.split_ascii_whitespace();
        let number = words.next().unwrap_or("");
        match (number.parse::<u64>(), words.next()) {
            (Ok(kilobytes), Some("kB")) => {
                let bytes = (kilobytes * 1024).to_string();
                put(sample, format!("node_memory_{name}_bytes"), &bytes);
            }
            _ => put(sample, format!("node_memory_{name}"), number),
        }
    }
}

fn stat(sample: &mut Sample, text: &str) {
    const MODES: [&str; 8] =
        ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
    for (key, values) in text.lines().filter_map(|line| line.split_once(' ')) {
        let first = values.split_ascii_whitespace().next().unwrap_or("");
        match (key, key.strip_prefix("cpu")) {
            (_, Some(cpu)) if !cpu.is_empty() => {
                for (mode, ticks) in MODES.iter().zip(values.split_ascii_whitespace()) {
                    let Ok(ticks) = ticks.parse::<u64>() else { continue };
                    let name = format!("node_cpu_seconds_total{{cpu=\"{cpu}\",mode=\"{mode}\"}}");
                    put(sample, name, &format!("{}", ticks as f64 / 100.0));
                }
            }
            ("ctxt" | "processes" | "procs_running" | "procs_blocked", _) => {
                put(sample, format!("node_{key}"), first);
            }
            ("intr", _) => put(sample, "node_intr_total".to_owned(), first),
            _ => {}
        }
    }
}

/// A table with a column for each CPU and a line for each type.
fn by_cpu(sample: &mut Sample, text: &str, name: &str) {
    let mut lines = text.lines();
    let cpus = lines.next().unwrap_or("").split_ascii_whitespace().count();
    for (kind, values) in lines.filter_map(|line| line.split_once(':')) {
        for (cpu, value) in values.split_ascii_whitespace().take(cpus).enumerate() {
            put(sample, format!("{name}{{cpu=\"{cpu}\",type=\"{}\"}}", kind.trim()), value);
        }
    }
}

fn diskstats(sample: &mut Sample, text: &str) {
    const FIELDS: [&str; 11] = [
        "reads_completed_total",
        "reads_merged_total",
        "sectors_read_total",
        "read_time_ms_total",
        "writes_completed_total",
        "writes_merged_total",
        "sectors_written_total",
        "write_time_ms_total",
        "io_now",
        "io_time_ms_total",
        "io_time_weighted_ms_total",
    ];
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace().skip(2);
        let Some(device) = words.next() else { continue };
        for (field, value) in FIELDS.iter().zip(words) {
            put(sample, format!("node_disk_{field}{{device=\"{device}\"}}"), value);
        }
    }
}

fn net_dev(sample: &mut Sample, text: &str) {
    const FIELDS: [&str; 16] = [
        "receive_bytes",
        "receive_packets",
        "receive_errs",
        "receive_drop",
        "receive_fifo",
        "receive_frame",
        "receive_compressed",
        "receive_multicast",
        "transmit_bytes",
        "transmit_packets",
        "transmit_errs",
        "transmit_drop",
        "transmit_fifo",
        "transmit_colls",
        "transmit_carrier",
        "transmit_compressed",
    ];
    for (device, values) in text.lines().filter_map(|line| line.split_once(':')) {
        for (field, value) in FIELDS.iter().zip(values.split_ascii_whitespace()) {
            let device = device.trim();
            put(sample, format!("node_network_{field}_total{{device=\"{device}\"}}"), value);
        }
    }
}

fn pressure(sample: &mut Sample, text: &str, resource: &str) {
    for line in text.lines() {
        let Some((who, rest)) = line.split_once(' ') else { continue };
        let Some((_, total)) = rest.rsplit_once("total=") else { continue };
        let Ok(microseconds) = total.parse::<u64>() else { continue };
        let seconds = format!("{}", microseconds as f64 / 1e6);
        put(sample, format!("node_pressure_{resource}_{who}_seconds_total"), &seconds);
    }
}

/// Pairs of lines: names, then values.
fn netstat(sample: &mut Sample, text: &str) {
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.chunks_exact(2) {
        let (Some((group, names)), Some((_, values))) =
            (pair[0].split_once(": "), pair[1].split_once(": "))
        else {
            continue;
        };
        if !["TcpExt", "Tcp", "Ip", "Udp"].contains(&group) {
            continue;
        }
        for (name, value) in names.split(' ').zip(values.split(' ')) {
            let mut series = String::new();
            // Writing to a string can not fail.
            write!(series, "node_netstat_{group}_{name}").unwrap_or_default();
            put(sample, series, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Recording;

    #[test]
    fn files_of_the_kernel_become_series() {
        let mut sample = Sample::new();
        meminfo(&mut sample, "MemTotal:  2 kB\nActive(anon): 1 kB\nHugePages_Total: 3\n");
        stat(&mut sample, "cpu 1 2\ncpu0 150 2 3\nintr 7 1 2\nbtime 5\n");
        by_cpu(&mut sample, "  CPU0 CPU1\n NET_RX: 4 5\n", "node_softirqs_total");
        diskstats(&mut sample, "254 0 vda 1 2\n");
        net_dev(&mut sample, "a|b\n  lo: 8 9\n");
        pressure(&mut sample, "some avg10=0.00 total=2500000\n", "io");
        netstat(&mut sample, "Tcp: In Out\nTcp: 6 -1\nIcmp: X\nIcmp: 1\n");
        let text: Vec<_> = sample.iter().map(|(name, value)| format!("{name} {value}")).collect();
        assert_eq!(
            text,
            [
                "node_memory_MemTotal_bytes 2048",
                "node_memory_Active_anon_bytes 1024",
                "node_memory_HugePages_Total 3",
                "node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 1.5",
                "node_cpu_seconds_total{cpu=\"0\",mode=\"nice\"} 0.02",
                "node_cpu_seconds_total{cpu=\"0\",mode=\"system\"} 0.03",
                "node_intr_total 7",
                "node_softirqs_total{cpu=\"0\",type=\"NET_RX\"} 4",
                "node_softirqs_total{cpu=\"1\",type=\"NET_RX\"} 5",
                "node_disk_reads_completed_total{device=\"vda\"} 1",
                "node_disk_reads_merged_total{device=\"vda\"} 2",
                "node_network_receive_bytes_total{device=\"lo\"} 8",
                "node_network_receive_packets_total{device=\"lo\"} 9",
                "node_pressure_io_some_seconds_total 2.5",
                "node_netstat_Tcp_In 6",
                "node_netstat_Tcp_Out -1",
            ]
        );
    }

    #[test]
    fn what_is_written_can_be_read() {
        let names = vec!["a".to_owned(), "b{c=\"d\"}".to_owned()];
        let values = HashMap::from([("b{c=\"d\"}".to_owned(), "1.5".to_owned())]);
        let text = format!("{}\n{}", names.join("\t"), line(7, &names, &values));
        assert_eq!(text, "a\tb{c=\"d\"}\n7\t\t1.5\n");
        let recording = Recording::parse(&text).unwrap();
        assert_eq!((recording.series(), recording.scrapes()), (2, 1));
    }
}
