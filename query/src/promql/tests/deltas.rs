//! Series whose samples are deltas: what the counter functions make of them, against the most obvious
//! way to compute it.

use model::{Labels, NativeHistogram, QueryContext, ResetHint, TimestampMs};
use proptest::prelude::*;

use crate::promql::memory::MemorySeries;
use crate::promql::{EvalOptions, SampleValue, Value, evaluate_instant, parse};

fn delta_labels(x: &str) -> Labels {
    Labels::from_pairs([("__name__", "d_total"), ("__temporality__", "delta"), ("x", x)])
}

/// `labels value` of each sample of an instant vector.
fn eval(store: &MemorySeries, text: &str, at_ms: i64) -> Vec<String> {
    let expr = parse(text).unwrap();
    let context = QueryContext::unlimited();
    let options = EvalOptions::default();
    let value = evaluate_instant(&expr, TimestampMs(at_ms), store, &options, &context);
    let Value::Vector(samples) = value.unwrap().value else { panic!("{text} is no vector") };
    let samples = samples.into_iter().map(|sample| match sample.value {
        SampleValue::Float(value) => format!("{} {value}", sample.labels),
        SampleValue::Histogram(h) => {
            format!("{} {} {} {:?}", sample.labels, h.count, h.sum, h.positive)
        }
    });
    samples.collect()
}

#[track_caller]
fn check(store: &MemorySeries, text: &str, at_ms: i64, expected: &[&str]) {
    assert_eq!(eval(store, text, at_ms), expected, "{text}");
}

/// Deltas of 10 seconds each, the last one of 5.
fn store() -> MemorySeries {
    let mut store = MemorySeries::new();
    let labels = delta_labels("1");
    for (at, start, value) in
        [(10_000, 0, 4.0), (20_000, 10_000, 1.0), (30_000, 20_000, 0.0), (40_000, 35_000, 6.0)]
    {
        store.push(&labels, at, start, value);
    }
    store
}

#[test]
fn what_happened_in_a_window_is_the_sum_of_its_samples() {
    let store = store();
    check(&store, "increase(d_total[1m])", 40_000, &[r#"{x="1"} 11"#]);
    check(&store, "delta(d_total[1m])", 40_000, &[r#"{x="1"} 11"#]);
    check(&store, "rate(d_total[20s])", 40_000, &[r#"{x="1"} 0.3"#]);
    // The window is open at its left end.
    check(&store, "increase(d_total[30s])", 40_000, &[r#"{x="1"} 7"#]);
    check(&store, "increase(d_total[30s])", 39_999, &[r#"{x="1"} 5"#]);
    // One sample is enough.
    check(&store, "increase(d_total[5s])", 40_000, &[r#"{x="1"} 6"#]);
    check(&store, "increase(d_total[5s])", 100_000, &[]);
    check(&store, "sum(rate(d_total[20s]))", 40_000, &["{} 0.3"]);
}

#[test]
fn the_last_sample_is_per_second_of_its_own_time() {
    let store = store();
    check(&store, "irate(d_total[1m])", 40_000, &[r#"{x="1"} 1.2"#]);
    check(&store, "idelta(d_total[1m])", 40_000, &[r#"{x="1"} 6"#]);
    check(&store, "irate(d_total[5s])", 40_000, &[r#"{x="1"} 1.2"#]);
    // Without a start time it is that since the sample before.
    let mut store = MemorySeries::new();
    store.push(&delta_labels("1"), 10_000, 0, 4.0);
    check(&store, "irate(d_total[1m])", 10_000, &[]);
    store.push(&delta_labels("1"), 30_000, 0, 5.0);
    check(&store, "irate(d_total[1m])", 30_000, &[r#"{x="1"} 0.25"#]);
}

#[test]
fn deltas_that_fall_are_no_resets() {
    check(&store(), "resets(d_total[1m])", 40_000, &[r#"{x="1"} 0"#]);
}

#[test]
fn other_functions_and_selectors_see_the_samples_and_the_label() {
    let store = store();
    check(
        &store,
        "sum_over_time(d_total[1m])",
        40_000,
        &[r#"{__temporality__="delta", x="1"} 11"#],
    );
    check(&store, "d_total", 40_000, &[r#"d_total{__temporality__="delta", x="1"} 6"#]);
    check(&store, "increase(d_total{__temporality__=\"\"}[1m])", 40_000, &[]);
}

#[test]
fn series_of_another_temporality_are_counters_as_ever() {
    let mut store = MemorySeries::new();
    let labels = Labels::from_pairs([("__name__", "d_total"), ("__temporality__", "cumulative")]);
    for at in 1..=6 {
        store.push(&labels, at * 10_000, 0, at as f64);
    }
    check(&store, "increase(d_total[1m])", 60_000, &[r#"{__temporality__="cumulative"} 6"#]);
}

fn histogram(schema: i32, positive: &[(i32, f64)]) -> NativeHistogram {
    NativeHistogram {
        schema,
        count: positive.iter().map(|(_, count)| count).sum(),
        sum: 1.5,
        positive: positive.to_vec(),
        reset_hint: ResetHint::Gauge,
        ..Default::default()
    }
}

#[test]
fn native_histograms_add_up_at_the_coarsest_schema() {
    let mut store = MemorySeries::new();
    let labels = delta_labels("h");
    store.push_histogram(&labels, 10_000, histogram(1, &[(1, 1.0), (2, 2.0), (3, 4.0)]));
    store.push_histogram(&labels, 20_000, histogram(0, &[(1, 1.0), (9, 1.0)]));
    let both = r#"{x="h"} 9 3 [(1, 4.0), (2, 4.0), (9, 1.0)]"#;
    check(&store, "increase(d_total[1m])", 20_000, &[both]);
    let first = r#"{x="h"} 0.7 0.15 [(1, 0.1), (2, 0.2), (3, 0.4)]"#;
    check(&store, "rate(d_total[10s])", 10_000, &[first]);
    check(&store, "irate(d_total[1m])", 20_000, &[r#"{x="h"} 0.2 0.15 [(1, 0.1), (9, 0.1)]"#]);
    // Bounds that do not fit give no answer and a remark.
    store.push_histogram(
        &labels,
        30_000,
        NativeHistogram { schema: -53, ..histogram(0, &[(1, 1.0)]) },
    );
    check(&store, "increase(d_total[1m])", 30_000, &[]);
}

proptest! {
    #[test]
    fn increase_and_rate_are_what_a_loop_says(
        samples in prop::collection::btree_map(1_i64..200, 0_u32..1000, 1..40),
        at in 1_i64..220,
        range in 1_i64..100,
    ) {
        let mut store = MemorySeries::new();
        for (time, value) in &samples {
            store.push(&delta_labels("1"), time * 1000, (time - 1) * 1000, f64::from(*value));
        }
        let inside: Vec<f64> = samples
            .iter()
            .filter(|(time, _)| **time > at - range && **time <= at)
            .map(|(_, value)| f64::from(*value))
            .collect();
        let total: f64 = inside.iter().sum();
        let expected: Vec<String> = if inside.is_empty() {
            Vec::new()
        } else {
            vec![format!("{{x=\"1\"}} {total}")]
        };
        prop_assert_eq!(eval(&store, &format!("increase(d_total[{range}s])"), at * 1000), expected);
        let rate = eval(&store, &format!("rate(d_total[{range}s]) * {range}"), at * 1000);
        let rate: Vec<f64> =
            rate.iter().map(|text| text.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        prop_assert_eq!(rate.len(), usize::from(!inside.is_empty()));
        prop_assert!(rate.iter().all(|rate| (rate - total).abs() <= 1e-9 * total.max(1.0)));
    }
}
