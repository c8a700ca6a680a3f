//! Metrics of a small service, for questions whose answers are compared: counters with resets, a
//! histogram, gauges that go both ways, and a metric that comes and goes.
//!
//! Names and labels are those that the PromQL compliance set asks about (prometheus/compliance,
//! `promql/promql-test-queries.yml`); the values are ours.

use super::remote_write::{EncodedLabels, Encoder};
use super::replay::{Body, Lanes};
use crate::corpora::Random;

/// Milliseconds between two samples.
pub(super) const STEP_MS: i64 = 5_000;
/// What ends a series: `value.StaleNaN` of Prometheus.
const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);
const INSTANCES: usize = 3;
const BOUNDS: [f64; 8] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, f64::INFINITY];
const SAMPLES_PER_REQUEST: u64 = 20_000;

type Labels = Vec<(&'static str, String)>;

/// All series of one instance at one step, in the same order each time.
struct Instance {
    random: Random,
    address: String,
    phase_ms: i64,
    memory: [f64; 4],
    cpu: [f64; 3],
    requests: Vec<Requests>,
    last_batch: f64,
    disk: f64,
    was_there: bool,
}

struct Requests {
    labels: Labels,
    buckets: [f64; BOUNDS.len()],
    sum: f64,
}

impl Instance {
    fn new(seed: u64, number: usize) -> Self {
        let mut requests = Vec::new();
        for path in ["/api/foo", "/api/bar", "/api/nonexistent"] {
            for method in ["GET", "POST"] {
                for status in ["200", "404", "500"] {
                    let labels = vec![
                        ("method", method.to_owned()),
                        ("path", path.to_owned()),
                        ("status", status.to_owned()),
                    ];
                    requests.push(Requests { labels, buckets: [0.0; BOUNDS.len()], sum: 0.0 });
                }
            }
        }
        Instance {
            random: Random::new(seed, number as u64),
            address: format!("demo.promlabs.com:{}", 10_000 + number),
            phase_ms: 137 + 1_411 * number as i64,
            memory: [1.5e9, 2e9, 5e8, 4e9],
            cpu: [0.0; 3],
            requests,
            last_batch: 0.0,
            disk: 1e10,
            was_there: false,
        }
    }

    fn between(&mut self, low: i64, high: i64) -> f64 {
        (self.random.between(0, (high - low) as u64) as i64 + low) as f64
    }

    /// The samples of a step: name, labels beside `job` and `instance`, value.
    fn step(&mut self, number: i64, at_ms: i64) -> Vec<(String, Labels, f64)> {
        let mut samples = Vec::new();
        for (place, kind) in ["free", "cached", "buffers", "used"].into_iter().enumerate() {
            self.memory[place] =
                (self.memory[place] + self.between(-5_000_000, 5_000_001)).max(1e6);
            let labels = vec![("type", kind.to_owned())];
            samples.push(("demo_memory_usage_bytes".into(), labels, self.memory[place]));
        }
        let restarts = number % 700 == 350;
        for (place, mode) in ["user", "system", "idle"].into_iter().enumerate() {
            let more = self.between(0, 4_000) / 1_000.0;
            self.cpu[place] = if restarts { 0.0 } else { self.cpu[place] + more };
            let labels = vec![("mode", mode.to_owned())];
            samples.push(("demo_cpu_usage_seconds_total".into(), labels, self.cpu[place]));
        }
        for index in 0..self.requests.len() {
            let count = self.between(0, 30) as u64;
            let mut drawn = [0.0; BOUNDS.len()];
            let mut sum = 0.0;
            for _ in 0..count {
                let seconds = (self.between(0, 1_000) / 1_000.0).powi(3) * 1.5;
                sum += seconds;
                for (bucket, bound) in drawn.iter_mut().zip(BOUNDS) {
                    *bucket += f64::from(u8::from(seconds <= bound));
                }
            }
            let requests = &mut self.requests[index];
            requests.sum = if restarts { 0.0 } else { requests.sum + sum };
            for ((bucket, drawn), bound) in requests.buckets.iter_mut().zip(drawn).zip(BOUNDS) {
                *bucket = if restarts { 0.0 } else { *bucket + drawn };
                let mut labels = requests.labels.clone();
                let le = if bound.is_infinite() { "+Inf".to_owned() } else { bound.to_string() };
                labels.push(("le", le));
                samples.push(("demo_api_request_duration_seconds_bucket".into(), labels, *bucket));
            }
            let last = requests.buckets[BOUNDS.len() - 1];
            let labels = || requests.labels.clone();
            samples.push(("demo_api_request_duration_seconds_sum".into(), labels(), requests.sum));
            samples.push(("demo_api_request_duration_seconds_count".into(), labels(), last));
        }
        if number % 20 == 0 {
            self.last_batch = at_ms as f64 / 1_000.0;
        }
        let batch = "demo_batch_last_success_timestamp_seconds";
        samples.push((batch.into(), Vec::new(), self.last_batch));
        self.disk += self.between(0, 3_000_000);
        if self.disk > 1.3e10 {
            self.disk = 1e10;
        }
        samples.push(("demo_disk_usage_bytes".into(), Vec::new(), self.disk));
        samples.push(("demo_num_cpus".into(), Vec::new(), 4.0));
        let is_there = number / 24 % 3 != 1;
        if is_there || self.was_there {
            let value = if is_there { number as f64 } else { STALE };
            samples.push(("demo_intermittent_metric".into(), Vec::new(), value));
        }
        self.was_there = is_there;
        samples
    }
}

/// The requests of `steps` steps that end before `end_ms`, in order of time, on one lane.
///
/// # Errors
///
/// When snappy fails.
pub(super) fn requests(seed: u64, end_ms: i64, steps: i64) -> anyhow::Result<Lanes> {
    let mut instances: Vec<Instance> =
        (0..INSTANCES).map(|number| Instance::new(seed, number)).collect();
    let mut encoder = Encoder::default();
    let mut bodies = Vec::new();
    for number in 0..steps {
        for instance in &mut instances {
            let at_ms = end_ms - (steps - number) * STEP_MS + instance.phase_ms;
            for (name, mut labels, value) in instance.step(number, at_ms) {
                labels.push(("__name__", name));
                labels.push(("job", "demo".to_owned()));
                labels.push(("instance", instance.address.clone()));
                let labels = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
                encoder.add(&EncodedLabels::new(labels), value, at_ms);
            }
        }
        if encoder.samples() >= SAMPLES_PER_REQUEST || number + 1 == steps {
            let (bytes, samples) = encoder.finish()?;
            bodies.push(Body { bytes, samples });
        }
    }
    Ok(vec![bodies])
}
