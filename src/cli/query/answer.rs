//! The answers of Prometheus's query API.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::number;

/// What stands around every answer.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope {
    #[serde(default)]
    pub(super) data: Option<serde_json::Value>,
    #[serde(default)]
    pub(super) error: Option<String>,
    #[serde(default)]
    pub(super) warnings: Vec<String>,
    #[serde(default)]
    pub(super) infos: Vec<String>,
}

/// The result of a query.
#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
pub(super) enum Answer {
    Scalar((f64, String)),
    String((f64, String)),
    Vector(Vec<Element>),
    Matrix(Vec<Track>),
}

/// The name of a series and its other labels.
pub(super) type Metric = BTreeMap<String, String>;

/// One series of an instant vector.
#[derive(Debug, Deserialize)]
pub(super) struct Element {
    pub(super) metric: Metric,
    #[serde(default)]
    pub(super) value: Option<(f64, String)>,
    #[serde(default)]
    pub(super) histogram: Option<(f64, Histogram)>,
}

/// One series of a matrix. Times are seconds.
#[derive(Debug, Deserialize)]
pub(super) struct Track {
    pub(super) metric: Metric,
    #[serde(default)]
    values: Vec<(f64, String)>,
    #[serde(default)]
    pub(super) histograms: Vec<(f64, Histogram)>,
}

impl Track {
    /// Its points in order of time; a histogram counts as its number of observations.
    pub(super) fn points(&self) -> Vec<(f64, f64)> {
        let floats = self.values.iter().map(|(at, text)| (*at, text));
        let counts = self.histograms.iter().map(|(at, histogram)| (*at, &histogram.count));
        let mut points: Vec<(f64, f64)> = floats
            .chain(counts)
            .map(|(at, text)| (at, number::parse(text).unwrap_or(f64::NAN)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    }
}

/// A native histogram: buckets are boundaries, lower bound, upper bound, count.
#[derive(Debug, Deserialize)]
pub(super) struct Histogram {
    count: String,
    sum: String,
    #[serde(default)]
    buckets: Vec<(i32, String, String, String)>,
}

impl Histogram {
    /// In one line: how many observations, their average, where half and 99 % of them end.
    pub(super) fn summary(&self) -> String {
        let count = number::parse(&self.count).unwrap_or(f64::NAN);
        let sum = number::parse(&self.sum).unwrap_or(f64::NAN);
        let mut text = format!("count {}", number::show(count));
        if count > 0.0 {
            text.push_str(&format!("  avg {}", number::show(sum / count)));
        }
        for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
            if let Some(value) = self.quantile(part, count) {
                text.push_str(&format!("  {name} {}", number::show(value)));
            }
        }
        text
    }

    /// Between the bounds of the bucket that it falls into, as if its observations were even there.
    fn quantile(&self, part: f64, count: f64) -> Option<f64> {
        let wanted = part * count;
        let mut seen = 0.0;
        for (_, lower, upper, inside) in &self.buckets {
            let lower = number::parse(lower)?;
            let (upper, inside) = (number::parse(upper)?, number::parse(inside)?);
            if inside > 0.0 && seen + inside >= wanted {
                return match (lower.is_finite(), upper.is_finite()) {
                    (true, true) => Some(lower + (upper - lower) * (wanted - seen) / inside),
                    (true, false) => Some(lower),
                    (false, true) => Some(upper),
                    (false, false) => None,
                };
            }
            seen += inside;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_summarised() {
        let json = r#"{"count":"10","sum":"25","buckets":[[0,"1","2","5"],[0,"2","4","5"]]}"#;
        let histogram: Histogram = serde_json::from_str(json).unwrap();
        assert_eq!(histogram.summary(), "count 10  avg 2.5  p50 2  p99 3.96");
        let empty: Histogram = serde_json::from_str(r#"{"count":"0","sum":"0"}"#).unwrap();
        assert_eq!(empty.summary(), "count 0");
    }
}
