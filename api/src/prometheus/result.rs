//! Values of PromQL as JSON (`web/api/v1/json_codec.go`, `util/jsonutil/marshal.go`).

use std::time::Duration;

use model::{NativeHistogram, TimestampMs};
use query::promql::{MatrixSeries, SampleValue, Value, VectorSample};

use super::statistics::{Counts, Steps};
use crate::json::Json;

/// The cost of a query, for `stats`.
pub(super) struct Stats {
    pub(super) queued: Duration,
    pub(super) evaluated: Duration,
    pub(super) counts: Counts,
    pub(super) steps: Steps,
    /// Also step by step.
    pub(super) wants_steps: bool,
}

impl Stats {
    fn write(&self, json: &mut Json) {
        let (queued, evaluated) = (self.queued.as_secs_f64(), self.evaluated.as_secs_f64());
        json.raw("{\"timings\":{");
        for (i, (name, seconds)) in [
            ("evalTotalTime", evaluated),
            ("resultSortTime", 0.0),
            ("queryPreparationTime", 0.0),
            ("innerEvalTime", evaluated),
            ("execQueueTime", queued),
            ("execTotalTime", queued + evaluated),
        ]
        .into_iter()
        .enumerate()
        {
            json.raw(if i == 0 { "" } else { "," });
            json.raw_fmt(format_args!("\"{name}\":"));
            json.number(seconds);
        }
        json.raw("},\"samples\":{");
        for (name, counts) in
            [("totalQueryableSamples", &self.counts.total), ("samplesRead", &self.counts.read)]
        {
            if self.wants_steps {
                json.raw_fmt(format_args!("\"{name}PerStep\":"));
                json.array(self.steps.times().zip(counts), |json, (at, count)| {
                    json.raw("[");
                    json.number(at as f64 / 1000.0);
                    json.raw_fmt(format_args!(",{count}]"));
                });
                json.raw(",");
            }
            let total: u64 = counts.iter().sum();
            json.raw_fmt(format_args!("\"{name}\":{total},"));
        }
        json.raw_fmt(format_args!("\"peakSamples\":{}}}}}", self.counts.peak));
    }
}

/// RFC 3339 as Go prints it, without zeros at the end of the fraction; Go's zero time for never.
pub(super) fn write_time(json: &mut Json, at: Option<TimestampMs>) {
    match at {
        Some(at) => json.string(&go_time(at)),
        None => json.raw("\"0001-01-01T00:00:00Z\""),
    }
}

/// RFC 3339 as Go prints it.
pub(super) fn go_time(at: TimestampMs) -> String {
    let text = at.to_string();
    match text.strip_suffix('Z') {
        Some(text) if text.contains('.') => {
            format!("{}Z", text.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

/// The `data` of a query: `resultType` before `result`, since Grafana's parser streams.
pub(super) fn write_query_data(json: &mut Json, value: &Value, stats: Option<Stats>) {
    match value {
        Value::Scalar { at, value } => {
            json.raw(r#"{"resultType":"scalar","result":["#);
            json.short_timestamp(at.0);
            json.raw(",");
            json.decimal_float(*value);
            json.raw("]");
        }
        Value::String { at, value } => {
            json.raw(r#"{"resultType":"string","result":["#);
            json.short_timestamp(at.0);
            json.raw(",");
            json.web_string(value);
            json.raw("]");
        }
        Value::Vector(vector) => {
            json.raw(r#"{"resultType":"vector","result":"#);
            json.array(vector, write_vector_sample);
        }
        Value::Matrix(matrix) => {
            json.raw(r#"{"resultType":"matrix","result":"#);
            let mut times = TimeTexts::default();
            json.array(matrix, |json, series| write_matrix_series(json, series, &mut times));
        }
    }
    if let Some(stats) = stats {
        json.raw(r#","stats":"#);
        stats.write(json);
    }
    json.raw("}");
}

fn write_vector_sample(json: &mut Json, sample: &VectorSample) {
    json.raw(r#"{"metric":"#);
    json.labels(&sample.labels);
    match &sample.value {
        SampleValue::Float(value) => {
            json.raw(r#","value":"#);
            write_point(json, sample.at.0, *value);
        }
        SampleValue::Histogram(histogram) => {
            json.raw(r#","histogram":"#);
            write_histogram_point(json, sample.at.0, histogram);
        }
    }
    json.raw("}");
}

/// The times of points as text: nearly all series of a matrix have the same ones.
#[derive(Default)]
struct TimeTexts(Vec<(i64, String)>);

impl TimeTexts {
    /// The text of the time of the point at `index`.
    fn get(&mut self, index: usize, at_ms: i64) -> &str {
        while self.0.len() <= index {
            self.0.push((i64::MIN, String::new()));
        }
        let (known, text) = &mut self.0[index];
        if *known != at_ms || text.is_empty() {
            let mut json = Json::new();
            json.timestamp(at_ms);
            (*known, *text) = (at_ms, json.finish());
        }
        text
    }
}

fn write_matrix_series(json: &mut Json, series: &MatrixSeries, times: &mut TimeTexts) {
    json.raw(r#"{"metric":"#);
    json.labels(&series.labels);
    if !series.points.is_empty() {
        json.raw(r#","values":"#);
        json.array(series.points.iter().enumerate(), |json, (index, (at, value))| {
            json.raw("[");
            json.raw(times.get(index, at.0));
            json.raw(",");
            json.prometheus_float(*value);
            json.raw("]");
        });
    }
    if !series.histograms.is_empty() {
        json.raw(r#","histograms":"#);
        json.array(&series.histograms, |json, (at, histogram)| {
            write_histogram_point(json, at.0, histogram);
        });
    }
    json.raw("}");
}

fn write_point(json: &mut Json, at_ms: i64, value: f64) {
    json.raw("[");
    json.timestamp(at_ms);
    json.raw(",");
    json.prometheus_float(value);
    json.raw("]");
}

fn write_histogram_point(json: &mut Json, at_ms: i64, histogram: &NativeHistogram) {
    json.raw("[");
    json.timestamp(at_ms);
    json.raw(",{\"count\":");
    json.prometheus_float(histogram.count);
    json.raw(",\"sum\":");
    json.prometheus_float(histogram.sum);
    let buckets = buckets(histogram);
    if !buckets.is_empty() {
        json.raw(",\"buckets\":");
        json.array(&buckets, |json, bucket| {
            json.raw_fmt(format_args!("[{},", bucket.rule));
            json.prometheus_float(bucket.lower);
            json.raw(",");
            json.prometheus_float(bucket.upper);
            json.raw(",");
            json.prometheus_float(bucket.count);
            json.raw("]");
        });
    }
    json.raw("}]");
}

/// A bucket with its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    /// 0: upper included, 1: lower included, 2: none, 3: both.
    rule: u8,
    lower: f64,
    upper: f64,
    count: f64,
}

/// The schema of custom bounds.
const CUSTOM: i32 = -53;

/// All buckets that hold something, from the lowest (`model/histogram/float_histogram.go`,
/// `AllBucketIterator`).
fn buckets(histogram: &NativeHistogram) -> Vec<Bucket> {
    let zero = histogram.zero_threshold;
    let mut found = Vec::new();
    for (index, count) in histogram.negative.iter().rev() {
        let (lower, upper) = (-bound(histogram, *index), -bound(histogram, index - 1));
        let upper = if upper < 0.0 && upper > -zero { -zero } else { upper };
        found.push(Bucket { rule: 1, lower, upper, count: *count });
    }
    if histogram.zero_count > 0.0 {
        found.push(Bucket { rule: 3, lower: -zero, upper: zero, count: histogram.zero_count });
    }
    for (index, count) in &histogram.positive {
        let (lower, upper) = (bound(histogram, index - 1), bound(histogram, *index));
        let lower = if lower > 0.0 && lower < zero { zero } else { lower };
        let rule = if histogram.schema == CUSTOM && *index == 0 { 3 } else { 0 };
        found.push(Bucket { rule, lower, upper, count: *count });
    }
    found.retain(|bucket| bucket.count != 0.0);
    found
}

/// The upper bound of bucket `index` (`model/histogram/generic.go`, `getBound`).
fn bound(histogram: &NativeHistogram, index: i32) -> f64 {
    if histogram.schema == CUSTOM {
        return match usize::try_from(index) {
            Ok(index) => histogram.custom_bounds.get(index).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        };
    }
    let schema = histogram.schema.clamp(-4, 8);
    // 2 to the power of index / 2^schema. The division by a power of two is exact.
    let exponent = f64::from(index) * 2f64.powi(-schema);
    // The last bucket ends at the largest number, not at infinity.
    if exponent == 1024.0 { f64::MAX } else { exponent.exp2() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_have_the_bounds_and_rules_of_prometheus() {
        let histogram = NativeHistogram {
            schema: 0,
            zero_threshold: 0.25,
            zero_count: 3.0,
            count: 42.0,
            sum: 34593.34,
            positive: vec![(-2, 0.0), (-1, 12.0), (0, 21.0), (2, 6.0)],
            negative: vec![(0, 1.0), (1, 2.0)],
            ..Default::default()
        };
        let mut json = Json::new();
        write_histogram_point(&mut json, 1500, &histogram);
        assert_eq!(
            json.finish(),
            r#"[1.500,{"count":"42","sum":"34593.34","buckets":[[1,"-2","-1","2"],[1,"-1","-0.5","1"],[3,"-0.25","0.25","3"],[0,"0.25","0.5","12"],[0,"0.5","1","21"],[0,"2","4","6"]]}]"#
        );
    }

    #[test]
    fn custom_buckets_reach_to_both_infinities() {
        let histogram = NativeHistogram {
            schema: CUSTOM,
            custom_bounds: vec![5.0, 10.0],
            positive: vec![(0, 1.0), (1, 2.0), (2, 3.0)],
            count: 6.0,
            ..Default::default()
        };
        let bounds: Vec<_> =
            buckets(&histogram).iter().map(|b| (b.rule, b.lower, b.upper)).collect();
        let inf = f64::INFINITY;
        assert_eq!(bounds, [(3, -inf, 5.0), (0, 5.0, 10.0), (0, 10.0, inf)]);
    }

    #[test]
    fn fine_schemas_have_exact_powers_of_two() {
        let histogram = NativeHistogram { schema: 3, ..Default::default() };
        assert_eq!(bound(&histogram, 8), 2.0);
        assert_eq!(bound(&histogram, -16), 0.25);
        assert_eq!(bound(&histogram, 8 * 1024), f64::MAX);
        let coarse = NativeHistogram { schema: -2, ..Default::default() };
        assert_eq!(bound(&coarse, 1), 16.0);
    }
}
