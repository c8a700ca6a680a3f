//! Reads a recording of a machine's counters, and makes a scrape of each of its lines.
//!
//! The format is text: a line with the names of the series, `name` or `name{label="value",...}`,
//! separated by tabs; then a line for each time: milliseconds since the epoch and a value for each
//! series, empty where there was none. A last line without an end is still being written and is
//! left out.

use anyhow::{Context as _, bail, ensure};

use super::remote_write::{EncodedLabels, Encoder};
use super::replay::{Body, Lanes, deal};

/// Seconds between two scrapes as they are sent.
const STEP_MS: i64 = 15_000;

/// Values of series at times.
#[derive(Debug)]
pub struct Recording {
    series: Vec<EncodedLabels>,
    scrapes: Vec<Scrape>,
}

#[derive(Debug)]
struct Scrape {
    at_ms: i64,
    values: Vec<Option<f64>>,
}

impl Recording {
    /// Reads the text of a recording.
    ///
    /// # Errors
    ///
    /// With the line that is not of the format.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
        let mut lines = complete.lines();
        let header = lines.next().context("the recording is empty")?;
        let series: Vec<_> = header
            .split('\t')
            .map(|name| labels(name).with_context(|| format!("the series {name}")))
            .collect::<anyhow::Result<_>>()?;
        let mut scrapes: Vec<Scrape> = Vec::new();
        for (index, line) in lines.enumerate() {
            let scrape = Scrape::parse(line).with_context(|| format!("line {}", index + 2))?;
            ensure!(scrape.values.len() == series.len(), "line {} has another length", index + 2);
            let last = scrapes.last().map_or(i64::MIN, |last| last.at_ms);
            ensure!(scrape.at_ms > last, "line {} is not later than the one before", index + 2);
            scrapes.push(scrape);
        }
        Ok(Recording { series, scrapes })
    }

    /// How many series it has.
    pub fn series(&self) -> usize {
        self.series.len()
    }

    /// How many scrapes it has.
    pub fn scrapes(&self) -> usize {
        self.scrapes.len()
    }

    /// The times at which the scrapes are sent: one every 15 s, each off that grid by as much as
    /// the recording is off its own, the last one before `end_ms`.
    pub fn grid(&self, end_ms: i64) -> Vec<i64> {
        let first = self.scrapes.first().map_or(0, |scrape| scrape.at_ms);
        let every_ms = self.interval_ms();
        let mut times: Vec<i64> = Vec::with_capacity(self.scrapes.len());
        let mut last_tick = -1;
        for scrape in &self.scrapes {
            let since = scrape.at_ms - first;
            // The nearest tick of the recorder; after a stall, ticks that nobody recorded are left
            // out as a scraper would leave them out.
            let tick = ((since + every_ms / 2) / every_ms).max(last_tick + 1);
            let jitter = (since - tick * every_ms).clamp(-STEP_MS / 3, STEP_MS / 3);
            times.push(tick * STEP_MS + jitter);
            last_tick = tick;
        }
        let shift = end_ms - last_tick * STEP_MS - STEP_MS;
        times.iter_mut().for_each(|time| *time += shift);
        times
    }

    /// What the recorder meant to wait between two scrapes: the median, to a tenth of a second.
    fn interval_ms(&self) -> i64 {
        let pairs = self.scrapes.windows(2);
        let mut waits: Vec<i64> = pairs.map(|pair| pair[1].at_ms - pair[0].at_ms).collect();
        waits.sort_unstable();
        let median = waits.get(waits.len() / 2).copied().unwrap_or(0);
        ((median + 50) / 100 * 100).max(100)
    }

    /// One request for each scrape, in order.
    ///
    /// # Errors
    ///
    /// When snappy fails.
    pub(super) fn requests(&self, end_ms: i64) -> anyhow::Result<Lanes> {
        let mut encoder = Encoder::default();
        let mut bodies = Vec::new();
        for (scrape, at_ms) in self.scrapes.iter().zip(self.grid(end_ms)) {
            for (labels, value) in self.series.iter().zip(&scrape.values) {
                if let Some(value) = value {
                    encoder.add(labels, *value, at_ms);
                }
            }
            let (bytes, samples) = encoder.finish()?;
            bodies.push((0, Body { bytes, samples }));
        }
        Ok(deal(bodies, 1))
    }
}

impl Scrape {
    fn parse(line: &str) -> anyhow::Result<Self> {
        let mut fields = line.split('\t');
        let at = fields.next().unwrap_or("");
        let at_ms = at.parse().with_context(|| format!("the time {at}"))?;
        let values = fields.map(|field| match field {
            "" => Ok(None),
            _ => field.parse().map(Some).with_context(|| format!("the value {field}")),
        });
        Ok(Scrape { at_ms, values: values.collect::<anyhow::Result<_>>()? })
    }
}

/// The labels of `name{label="value",...}`, with those of the scrape.
fn labels(text: &str) -> anyhow::Result<EncodedLabels> {
    let (name, mut rest) = match text.split_once('{') {
        Some((name, rest)) => (name, rest.strip_suffix('}').context("no closing brace")?),
        None => (text, ""),
    };
    ensure!(!name.is_empty(), "no name");
    let mut labels = vec![("__name__", name), ("job", "node"), ("instance", "machine:9100")];
    while !rest.is_empty() {
        let (key, after) = rest.split_once("=\"").context("a label has no value")?;
        let Some((value, after)) = after.split_once('"') else { bail!("a value has no end") };
        labels.push((key, value));
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Ok(EncodedLabels::new(labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a\tb{x=\"1\",y=\"e f\"}\n\
                        1000\t1\t2.5\n\
                        2003\t\t2.5\n\
                        4998\t2\t-0\n\
                        5001\t3";

    #[test]
    fn a_recording_is_read_up_to_its_last_whole_line() {
        let recording = Recording::parse(TEXT).unwrap();
        assert_eq!((recording.series(), recording.scrapes()), (2, 3));
        assert_eq!(recording.series[1], labels("b{x=\"1\",y=\"e f\"}").unwrap());
        assert_eq!(recording.scrapes[1].values, [None, Some(2.5)]);
        let lanes = recording.requests(1_000_000).unwrap();
        let samples: Vec<_> = lanes[0].iter().map(|body| body.samples).collect();
        assert_eq!((lanes.len(), samples), (1, vec![2, 1, 2]));
    }

    #[test]
    fn times_keep_their_jitter_on_a_wider_grid() {
        let mut text = "a\n".to_owned();
        for (tick, jitter) in [(0, 0), (1, 3), (2, -2), (5, 400), (6, 1), (7, 0), (8, 0)] {
            text.push_str(&format!("{}\t1\n", 50_000 + tick * 1_000 + jitter));
        }
        let times = Recording::parse(&text).unwrap().grid(1_000_000);
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
        let last = times[6];
        let offsets: Vec<_> = times.iter().map(|time| time - last).collect();
        assert_eq!(offsets, [-120_000, -104_997, -90_002, -44_600, -29_999, -15_000, 0]);
        assert!(last < 1_000_000);
    }

    #[test]
    fn what_is_not_of_the_format_is_named() {
        for (text, word) in [
            ("", "empty"),
            ("a\n1\t2\t3\n", "line 2"),
            ("a\nx\t2\n", "the time x"),
            ("a\n1\ty\n", "the value y"),
            ("a{b}\n", "a{b}"),
            ("a\n2\t1\n2\t1\n", "line 3"),
        ] {
            let error = format!("{:#}", Recording::parse(text).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
    }
}
