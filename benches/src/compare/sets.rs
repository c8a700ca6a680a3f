//! Series that questions are about.
//!
//! All series of a set have the same times but for the phase and the jitter of their target, as
//! scraped series have. A set is sent in spans of time, each span to its end before the next begins:
//! Prometheus refuses samples that are much older than the newest one.

use super::remote_write::{EncodedLabels, Encoder};
use super::replay::{Body, Lanes, deal};
use super::synthetic::STEP_MS;
use crate::corpora::Random;

/// Samples of one request, about.
const SAMPLES_PER_REQUEST: u64 = 20_000;
/// Series of one target.
const TARGET_SERIES: usize = 100;
/// Classic buckets of one histogram.
const BUCKETS: [&str; 10] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];
const JITTER_MS: u64 = 3;

/// How the values of a series go on.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Values {
    /// Some thousand events each step, and a reset once in a while.
    Counter,
    /// The share of a bucket that holds `(place + 1) / 10` of all events.
    Bucket(usize),
    /// Two decimals.
    Gauge,
}

#[derive(Debug)]
struct Series {
    labels: EncodedLabels,
    values: Values,
    value: f64,
}

/// Series of one kind and what their next values depend on.
#[derive(Debug)]
pub(super) struct Set {
    series: Vec<Series>,
    random: Vec<Random>,
    phases_ms: Vec<i64>,
}

impl Set {
    /// `count` counters of 20 services, `requests_total`.
    pub(super) fn counters(seed: u64, count: usize) -> Self {
        let labels = |index: usize| {
            let mut labels = target_labels("requests_total", index / TARGET_SERIES);
            labels.push(("route", format!("/api/v1/resource-{:02}", index % TARGET_SERIES)));
            (labels, Values::Counter)
        };
        Set::new(seed, count, labels)
    }

    /// `count` buckets of classic histograms, `request_duration_seconds_bucket`.
    pub(super) fn buckets(seed: u64, count: usize) -> Self {
        let labels = |index: usize| {
            let mut labels =
                target_labels("request_duration_seconds_bucket", index / TARGET_SERIES);
            let (histogram, bucket) = (index % TARGET_SERIES / 10, index % 10);
            labels.push(("route", format!("/api/v1/resource-{histogram:02}")));
            labels.push(("le", BUCKETS[bucket].to_owned()));
            (labels, Values::Bucket(bucket))
        };
        Set::new(seed, count, labels)
    }

    /// `count` gauges, `queue_length`.
    pub(super) fn gauges(seed: u64, count: usize) -> Self {
        let labels = |index: usize| {
            let mut labels = target_labels("queue_length", index / TARGET_SERIES);
            labels.push(("queue", format!("queue-{:02}", index % TARGET_SERIES)));
            (labels, Values::Gauge)
        };
        Set::new(seed, count, labels)
    }

    fn new(
        seed: u64,
        count: usize,
        labels: impl Fn(usize) -> (Vec<(&'static str, String)>, Values),
    ) -> Self {
        let targets = count.div_ceil(TARGET_SERIES);
        let mut random: Vec<Random> =
            (0..targets).map(|target| Random::new(seed, target as u64)).collect();
        let phase = |random: &mut Random| random.between(0, STEP_MS as u64 - JITTER_MS) as i64;
        let phases_ms = random.iter_mut().map(phase).collect();
        let series = (0..count).map(|index| {
            let (labels, values) = labels(index);
            let labels = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
            Series { labels: EncodedLabels::new(labels), values, value: 0.0 }
        });
        Set { series: series.collect(), random, phases_ms }
    }

    /// The requests of the next `steps` steps of all series on `lanes` lanes; the first step begins
    /// at `start_ms`.
    ///
    /// # Errors
    ///
    /// When snappy fails.
    pub(super) fn span(
        &mut self,
        start_ms: i64,
        steps: usize,
        lanes: usize,
    ) -> anyhow::Result<Lanes> {
        let mut encoder = Encoder::default();
        let mut bodies = Vec::new();
        let mut samples = Vec::with_capacity(steps);
        for (target, series) in self.series.chunks_mut(TARGET_SERIES).enumerate() {
            let random = &mut self.random[target];
            let times: Vec<i64> = (0..steps as i64)
                .map(|step| {
                    let jitter = random.between(0, JITTER_MS) as i64;
                    start_ms + step * STEP_MS + self.phases_ms[target] + jitter
                })
                .collect();
            for one in series {
                samples.clear();
                for at_ms in &times {
                    one.advance(random);
                    samples.push((*at_ms, one.value));
                }
                encoder.add_all(&one.labels, &samples);
                if encoder.samples() >= SAMPLES_PER_REQUEST {
                    let (bytes, samples) = encoder.finish()?;
                    bodies.push((bodies.len(), Body { bytes, samples }));
                }
            }
        }
        if encoder.samples() > 0 {
            let (bytes, samples) = encoder.finish()?;
            bodies.push((bodies.len(), Body { bytes, samples }));
        }
        Ok(deal(bodies, lanes))
    }
}

impl Series {
    fn advance(&mut self, random: &mut Random) {
        self.value = match self.values {
            Values::Counter if random.between(0, 5_000) == 0 => 0.0,
            Values::Counter => self.value + random.between(0, 5_000) as f64,
            Values::Bucket(place) => {
                self.value + (random.between(90, 110) * (place as u64 + 1)) as f64
            }
            Values::Gauge => random.between(0, 1_000_000) as f64 / 100.0,
        };
    }
}

fn target_labels(metric: &str, target: usize) -> Vec<(&'static str, String)> {
    let address = format!("10.{}.{}.{}:8080", target / 65_536, target / 256 % 256, target % 256);
    vec![
        ("__name__", metric.to_owned()),
        ("instance", address),
        ("job", format!("shop/service-{:02}", target % 20)),
        ("namespace", format!("production-{}", target % 4)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_holds_every_series_with_every_step_and_goes_on_where_the_last_one_ended() {
        let mut set = Set::counters(1, 250);
        let samples = |lanes: Lanes| lanes.iter().flatten().map(|body| body.samples).sum::<u64>();
        assert_eq!(samples(set.span(0, 7, 2).unwrap()), 1_750);
        let before: Vec<f64> = set.series.iter().map(|series| series.value).collect();
        assert_eq!(samples(set.span(7 * STEP_MS, 1, 2).unwrap()), 250);
        let grown =
            set.series.iter().zip(before).filter(|(series, before)| series.value >= *before);
        assert!(grown.count() > 200);
    }
}
