//! Series as a fleet of scraped targets has them, for creation, steady rounds and restarts.
//!
//! A target has 500 series of 20 metrics; all its samples of a round share their time, which is
//! off the grid by the target's phase and 0-2 ms of jitter. Values mix as they do in life: counters
//! that hardly move, counters that move all the time, gauges of two decimals, and constants.

use super::remote_write::{EncodedLabels, Encoder};
use super::replay::{Body, Lanes, deal};
use crate::corpora::Random;

/// Series of one target: [`METRICS`] metrics x 5 codes x 5 handlers.
pub(super) const SERIES_PER_TARGET: usize = METRICS * 25;
/// Series of one request.
pub(super) const SERIES_PER_REQUEST: usize = 5_000;
/// Milliseconds between two samples of a series.
pub(super) const STEP_MS: i64 = 15_000;
/// A metric that every target has with 25 series; restarts count its samples.
pub(super) const MARKER: &str = "app_slow_events_00_total";
/// How many of every 1,000 series are those of [`MARKER`].
pub(super) const MARKER_PER_MILLE: u64 = 50;

const METRICS: usize = 20;
const JITTER_MS: u64 = 3;
const CODES: [&str; 5] = ["200", "201", "404", "429", "500"];
const HANDLERS: [(&str, &str); 5] = [
    ("GET", "/api/v1/products/:id"),
    ("GET", "/api/v1/cart"),
    ("POST", "/api/v1/cart"),
    ("POST", "/api/v1/orders"),
    ("DELETE", "/api/v1/orders/:id"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One event in ten rounds or so.
    SlowCounter,
    /// Thousands each round.
    FastCounter,
    /// A walk with two decimals.
    Gauge,
    /// Always the same.
    Constant,
}

impl Kind {
    fn of_metric(metric: usize) -> Self {
        match metric {
            0..5 => Kind::SlowCounter,
            5..10 => Kind::FastCounter,
            10..14 => Kind::Gauge,
            _ => Kind::Constant,
        }
    }

    fn name(self, metric: usize) -> String {
        match self {
            Kind::SlowCounter => format!("app_slow_events_{metric:02}_total"),
            Kind::FastCounter => format!("app_requests_{metric:02}_total"),
            Kind::Gauge => format!("app_utilization_{metric:02}_percent"),
            Kind::Constant => format!("app_limit_{metric:02}"),
        }
    }

    fn first(self, random: &mut Random) -> f64 {
        match self {
            Kind::SlowCounter => random.between(0, 50) as f64,
            Kind::FastCounter => random.between(0, 50_000_000) as f64,
            Kind::Gauge => random.between(0, 10_000) as f64 / 100.0,
            Kind::Constant => [0.0, 1.0, 256.0, 65_536.0, 0.5][random.index(5)],
        }
    }

    fn next(self, value: f64, random: &mut Random) -> f64 {
        match self {
            Kind::SlowCounter => value + f64::from(u8::from(random.chance(100))),
            Kind::FastCounter => value + random.between(500, 5_000) as f64,
            Kind::Gauge => {
                let step = random.between(0, 201) as f64 - 100.0;
                ((value * 100.0 + step).round() / 100.0).max(0.0)
            }
            Kind::Constant => value,
        }
    }
}

/// All series with what their next values depend on.
#[derive(Debug)]
pub(super) struct Fleet {
    labels: Vec<EncodedLabels>,
    values: Vec<f64>,
    targets: Vec<Target>,
}

#[derive(Debug)]
struct Target {
    random: Random,
    phase_ms: i64,
}

/// The labels of the series at `place` of a target.
fn labels(target: usize, place: usize) -> Vec<(&'static str, String)> {
    let metric = place / 25;
    let (method, handler) = HANDLERS[place % 5];
    let address = format!("10.{}.{}.{}:8080", target / 65_536, target / 256 % 256, target % 256);
    vec![
        ("__name__", Kind::of_metric(metric).name(metric)),
        ("code", CODES[place / 5 % 5].to_owned()),
        ("handler", handler.to_owned()),
        ("instance", address),
        ("job", format!("shop/service-{:02}", target % 40)),
        ("method", method.to_owned()),
        ("namespace", format!("production-{}", target % 4)),
    ]
}

impl Fleet {
    /// At least `series` series, in whole targets.
    pub(super) fn new(seed: u64, series: usize) -> Self {
        let count = series.div_ceil(SERIES_PER_TARGET).max(1);
        let mut fleet = Fleet { labels: Vec::new(), values: Vec::new(), targets: Vec::new() };
        for target in 0..count {
            let mut random = Random::new(seed, target as u64);
            let phase_ms = random.between(0, STEP_MS as u64 - JITTER_MS) as i64;
            for place in 0..SERIES_PER_TARGET {
                let pairs = labels(target, place);
                let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
                fleet.labels.push(EncodedLabels::new(pairs));
                fleet.values.push(Kind::of_metric(place / 25).first(&mut random));
            }
            fleet.targets.push(Target { random, phase_ms });
        }
        fleet
    }

    /// How many series there are.
    pub(super) fn series(&self) -> usize {
        self.labels.len()
    }

    /// The requests of the next `rounds` rounds on two lanes. The first round begins at `start_ms`.
    ///
    /// # Errors
    ///
    /// When snappy fails.
    pub(super) fn rounds(
        &mut self,
        start_ms: i64,
        rounds: usize,
        lanes: usize,
    ) -> anyhow::Result<Lanes> {
        let mut encoder = Encoder::default();
        let mut bodies = Vec::new();
        for round in 0..rounds {
            let grid_ms = start_ms + round as i64 * STEP_MS;
            let mut chunk = 0;
            for (index, target) in self.targets.iter_mut().enumerate() {
                let jitter = target.random.between(0, JITTER_MS) as i64;
                let at_ms = grid_ms + target.phase_ms + jitter;
                for place in 0..SERIES_PER_TARGET {
                    let series = index * SERIES_PER_TARGET + place;
                    let kind = Kind::of_metric(place / 25);
                    let value = self.values[series];
                    encoder.add(&self.labels[series], value, at_ms);
                    self.values[series] = kind.next(value, &mut target.random);
                }
                if encoder.samples() as usize + SERIES_PER_TARGET > SERIES_PER_REQUEST {
                    let (bytes, samples) = encoder.finish()?;
                    bodies.push((chunk, Body { bytes, samples }));
                    chunk += 1;
                }
            }
            if encoder.samples() > 0 {
                let (bytes, samples) = encoder.finish()?;
                bodies.push((chunk, Body { bytes, samples }));
            }
        }
        Ok(deal(bodies, lanes))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_target_has_distinct_series_of_seven_labels_and_its_share_of_the_marker() {
        let all: HashSet<Vec<(&str, String)>> =
            (0..2 * SERIES_PER_TARGET).map(|i| labels(i / SERIES_PER_TARGET, i % 500)).collect();
        assert_eq!(all.len(), 1_000);
        assert!(all.iter().all(|labels| labels.len() == 7));
        let markers = all.iter().filter(|labels| labels[0].1 == MARKER).count();
        assert_eq!(markers as u64, MARKER_PER_MILLE);
    }

    #[test]
    fn rounds_are_the_same_each_time_and_hold_every_series_once() {
        let lanes = Fleet::new(1, 12_000).rounds(1_000_000, 3, 2).unwrap();
        let again = Fleet::new(1, 12_000).rounds(1_000_000, 3, 2).unwrap();
        let bytes = |lanes: &Lanes| -> Vec<_> {
            lanes.iter().flatten().map(|body| body.bytes.clone()).collect()
        };
        assert_eq!(bytes(&lanes), bytes(&again));
        let samples: u64 = lanes.iter().flatten().map(|body| body.samples).sum();
        assert_eq!(samples, 36_000);
        // Chunks 0 and 2 of each round, and chunk 1.
        assert_eq!((lanes[0].len(), lanes[1].len()), (6, 3));
    }
}
