//! Evaluation beside the scripts: limits, annotations, native histograms, and that all steps of a
//! range query are what instant queries answer.

use std::sync::Arc;

use model::read::{QueryLimits, Threads};
use model::{ErrorKind, Labels, ManualClock, NativeHistogram, QueryContext, TimestampMs};
use proptest::prelude::*;

use crate::promql::memory::MemorySeries;
use crate::promql::{
    EvalOptions, Evaluation, SampleValue, Value, evaluate_instant, evaluate_range, parse,
};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn instant(store: &MemorySeries, text: &str, at: i64) -> Evaluation {
    let expr = parse(text).unwrap();
    let context = QueryContext::unlimited();
    evaluate_instant(&expr, TimestampMs(at), store, &EvalOptions::default(), &context).unwrap()
}

#[test]
fn a_range_query_over_its_budget_is_refused_before_it_allocates() {
    let limits = QueryLimits { items_max: 1000, ..Default::default() };
    let context = QueryContext::new(limits, Arc::new(ManualClock::default()));
    let store = MemorySeries::new();
    for text in ["1", "up", "sum_over_time(up[1h:1ms])"] {
        let expr = parse(text).unwrap();
        let (start, end) = (TimestampMs(0), TimestampMs(i64::MAX / 4));
        let error = evaluate_range(&expr, start, end, 1, &store, &EvalOptions::default(), &context)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exhausted, "{text}: {error}");
    }
}

#[test]
fn what_a_query_holds_is_bounded_and_what_passes_through_is_not() {
    let mut store = MemorySeries::new();
    for series in 0..200 {
        let labels = labels(&[("__name__", "a_total"), ("n", &series.to_string())]);
        (0..60).for_each(|minute| store.push(&labels, minute * 60_000, 0, minute as f64));
    }
    let limits = QueryLimits { memory_bytes_max: 100_000, ..Default::default() };
    let evaluate = |text: &str| {
        let context = QueryContext::new(limits, Arc::new(ManualClock::default()));
        let (start, end) = (TimestampMs(0), TimestampMs(3_600_000));
        let options = EvalOptions::default();
        evaluate_range(&parse(text).unwrap(), start, end, 30_000, &store, &options, &context)
    };
    for text in ["sum(a_total)", "max(rate(a_total[5m]))", "count(a_total) + 1"] {
        assert!(evaluate(text).is_ok(), "{text}");
    }
    let subquery = "sum(sum_over_time(a_total[1h:1ms]))";
    for text in ["a_total", "rate(a_total[5m])", "a_total + a_total", "abs(a_total)", subquery] {
        let error = evaluate(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exhausted, "{text}: {error}");
        assert!(error.to_string().contains("memory"), "{text}: {error}");
    }
}

#[test]
fn more_threads_give_the_same_and_fail_alike() {
    let mut store = MemorySeries::new();
    for series in 0..300 {
        let labels = labels(&[("__name__", "a"), ("n", &series.to_string())]);
        (0..60)
            .for_each(|minute| store.push(&labels, minute * 60_000, 0, (minute * series) as f64));
    }
    let evaluate = |text: &str, threads: &Threads, items_max: u64| {
        let limits = QueryLimits { items_max, ..Default::default() };
        let context = QueryContext::new(limits, Arc::new(ManualClock::default()))
            .with_threads(threads.clone());
        let (start, end) = (TimestampMs(0), TimestampMs(3_600_000));
        let options = EvalOptions::default();
        evaluate_range(&parse(text).unwrap(), start, end, 30_000, &store, &options, &context)
    };
    for text in ["a", "rate(a[5m])", "sum(a)", "topk(3, a)", "count(rate(a[5m])) / count(a)"] {
        let alone = evaluate(text, &Threads::default(), u64::MAX).unwrap();
        let threads = Threads::new(5);
        assert_eq!(evaluate(text, &threads, u64::MAX).unwrap(), alone, "{text}");
        for threads in [Threads::default(), threads.clone()] {
            let error = evaluate(text, &threads, 20_000).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Exhausted, "{text}: {error}");
        }
        let context = QueryContext::unlimited().with_threads(threads);
        assert_eq!(context.borrow_threads(9).count(), 5, "all were given back");
    }
    // A smoothing factor is refused by whoever sees it first.
    let text = "double_exponential_smoothing(a[5m], 2, 0.5)";
    let [one, many] = [Threads::default(), Threads::new(5)]
        .map(|threads| evaluate(text, &threads, u64::MAX).unwrap_err().to_string());
    assert_eq!(one, many);
}

#[test]
fn parts_that_come_again_are_evaluated_once() {
    let mut store = MemorySeries::new();
    for (name, value) in [("a_total", 3.0), ("b_total", 5.0)] {
        let labels = labels(&[("__name__", name), ("n", "1")]);
        (0..60).for_each(|minute| store.push(&labels, minute * 60_000, 0, minute as f64 * value));
    }
    let cost = |text: &str| {
        let context = QueryContext::unlimited();
        let (start, end) = (TimestampMs(0), TimestampMs(3_600_000));
        let options = EvalOptions::default();
        let expr = parse(text).unwrap();
        let found = evaluate_range(&expr, start, end, 60_000, &store, &options, &context);
        let Value::Matrix(matrix) = found.unwrap().value else { panic!("no matrix") };
        (context.items_used(), matrix[0].points.last().unwrap().1)
    };
    let (a, _) = cost("sum(rate(a_total[5m]))");
    let (b, _) = cost("sum(rate(b_total[5m]))");
    let ratio = "sum(rate(a_total[5m])) / (sum(rate(a_total[5m])) + sum(rate(b_total[5m])))";
    let (both, value) = cost(ratio);
    assert!((value - 0.375).abs() < 1e-9, "{value}");
    // The grid of the query is charged once for each of them.
    assert!(both < a + b, "{both} {a} {b}");
    // What differs in its needs or its times does not share.
    assert_eq!(cost("sum(a_total) + sum(a_total offset 1m)").1, 3.0 * (59.0 + 59.0));
}

#[test]
fn a_canceled_query_stops() {
    let context = QueryContext::unlimited();
    context.cancel_handle().cancel();
    let expr = parse("up").unwrap();
    let store = MemorySeries::new();
    let error = evaluate_instant(&expr, TimestampMs(0), &store, &EvalOptions::default(), &context)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Canceled);
}

#[test]
fn native_histograms_are_values_and_never_dropped_in_silence() {
    let mut store = MemorySeries::new();
    let histogram = NativeHistogram { count: 3.0, sum: 5.0, ..Default::default() };
    store.push_histogram(&labels(&[("__name__", "h")]), 0, histogram.clone());
    let Value::Vector(samples) = instant(&store, "h", 1000).value else { panic!() };
    assert_eq!(samples[0].value, SampleValue::Histogram(Arc::new(histogram)));
    for (text, count) in
        [("sum(h)", 3.0), ("-h", -3.0), ("sum_over_time(h[5m])", 3.0), ("h * 2", 6.0)]
    {
        let Value::Vector(samples) = instant(&store, text, 1000).value else { panic!() };
        let SampleValue::Histogram(found) = &samples[0].value else { panic!("{text}") };
        assert_eq!(found.count, count, "{text}");
    }
    for text in ["max(h)", "h + 1", "1 </ h"] {
        let evaluation = instant(&store, text, 1000);
        assert_eq!(evaluation.value, Value::Vector(Vec::new()), "{text}");
        assert_eq!(evaluation.infos.len(), 1, "{text}");
    }
}

#[test]
fn the_deepest_query_that_parses_can_be_evaluated() {
    let store = MemorySeries::new();
    for (open, inner, close) in [
        ("abs(", "up", ")"),
        ("(", "up", ")"),
        ("-", "up", ""),
        ("sum(", "up", ")"),
        ("1 + ", "up", ""),
        ("up ^ ", "up", ""),
        ("", "up", " or up"),
        ("", "up", " + on () up"),
        ("max_over_time(", "up", "[5m:1m])"),
        ("label_replace(", "up", ", \"a\", \"b\", \"c\", \"d\")"),
    ] {
        let mut deepest = None;
        for depth in [20, 45, 60, 95, 98, 120, 190, 245] {
            let text = format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
            deepest = parse(&text).ok().map(|expr| (depth, expr)).or(deepest);
        }
        let (depth, expr) = deepest.unwrap();
        assert!(depth >= 20, "{open} nests only {depth} times");
        let context = QueryContext::unlimited();
        let options = EvalOptions::default();
        evaluate_instant(&expr, TimestampMs(0), &store, &options, &context).unwrap();
    }
}

#[test]
fn errors_have_the_words_of_prometheus() {
    let mut store = MemorySeries::new();
    for name in ["a", "b"] {
        for x in ["1", "2"] {
            store.push(&labels(&[("__name__", name), ("x", x)]), 0, 0, 1.0);
        }
    }
    let fails = |text: &str| {
        let expr = parse(text).unwrap();
        let context = QueryContext::unlimited();
        let options = EvalOptions::default();
        evaluate_instant(&expr, TimestampMs(0), &store, &options, &context).unwrap_err().to_string()
    };
    assert_eq!(
        fails("a + on() b"),
        "found duplicate series for the match group {} on the right hand-side of the operation: \
         [{__name__=\"b\", x=\"1\"}, {__name__=\"b\", x=\"2\"}];many-to-many matching not allowed: \
         matching labels must be unique on one side"
    );
    assert_eq!(
        fails("a + on() sum(b)"),
        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
    );
    assert_eq!(
        fails("label_replace(a, \"x\", \"\", \"\", \"\")"),
        "vector cannot contain metrics with the same labelset"
    );
    assert_eq!(fails("abs({x=\"1\"})"), "vector cannot contain metrics with the same labelset");
}

/// Series with gaps, resets and staleness markers.
fn store() -> impl Strategy<Value = MemorySeries> {
    let sample = prop_oneof![
        6 => (0u8..20).prop_map(|v| Some(f64::from(v))),
        2 => Just(None),
        1 => Just(Some(model::sample::stale_nan())),
        1 => Just(Some(f64::NAN)),
    ];
    prop::collection::vec(prop::collection::vec(sample, 30), 4).prop_map(|series| {
        let mut store = MemorySeries::new();
        for (i, values) in series.iter().enumerate() {
            let name = ["a_total", "b_total"][i % 2];
            let x = (i / 2).to_string();
            let labels = labels(&[("__name__", name), ("x", &x)]);
            for (step, value) in values.iter().enumerate() {
                if let Some(value) = value {
                    store.push(&labels, step as i64 * 15_000, 0, *value);
                }
            }
        }
        store
    })
}

const QUERIES: [&str; 24] = [
    "a_total",
    "rate(a_total[1m])",
    "sum by (x) (increase(a_total[45s])) / on (x) group_left () b_total",
    "a_total > b_total or b_total offset 30s",
    "max_over_time(rate(a_total[1m])[2m:20s])",
    "topk(1, a_total)",
    "quantile(0.3, {x=~\".*\", __name__=~\"a_total|b_total\"})",
    "count_values(\"v\", a_total)",
    "avg_over_time(a_total[1m]) unless b_total",
    "a_total @ 100 + ignoring (y) b_total",
    "absent(a_total > 15)",
    "stddev(a_total) + stdvar_over_time(b_total[1m])",
    "label_replace(a_total, \"y\", \"$1\", \"x\", \"(.*)\")",
    "deriv(a_total[2m]) * scalar(b_total{x=\"0\"})",
    "last_over_time(a_total[20s])",
    "changes(a_total[1m]) + resets(a_total[1m]) + time() - timestamp(a_total)",
    "rate(a_total[1m] anchored) + changes(a_total[45s] anchored)",
    "increase(a_total[1m] smoothed) / delta(a_total[2m] smoothed offset 10s)",
    "a_total smoothed",
    "resets(a_total[2m] anchored)",
    "a_total + on (x) fill (7) b_total",
    "a_total > bool fill_left (3) (b_total @ 60)",
    "limit_ratio(0.5, a_total) or limitk(1, b_total)",
    "max_over_time(a_total[2 * 30s]) - sum_over_time(b_total[1h / 60:min_of(15s, 1m)])",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn each_step_of_a_range_query_is_an_instant_query(store in store(), step in 1i64..60) {
        let step = step * 1000;
        let context = QueryContext::unlimited();
        let options = EvalOptions { lookback_ms: 60_000, ..EvalOptions::default() };
        for text in QUERIES {
            let expr = parse(text).unwrap();
            let (start, end) = (TimestampMs(0), TimestampMs(480_000));
            let range = evaluate_range(&expr, start, end, step, &store, &options, &context);
            let range = range.unwrap().value;
            let Value::Matrix(matrix) = range else { panic!() };
            for at in (0..=480_000).step_by(step as usize) {
                let at = TimestampMs(at);
                let once = evaluate_instant(&expr, at, &store, &options, &context).unwrap();
                let Value::Vector(samples) = once.value else { panic!() };
                let mut wanted: Vec<(Labels, u64)> = samples
                    .into_iter()
                    .map(|sample| match sample.value {
                        SampleValue::Float(value) => (sample.labels, value.to_bits()),
                        SampleValue::Histogram(_) => panic!(),
                    })
                    .collect();
                wanted.sort();
                let mut found: Vec<(Labels, u64)> = matrix
                    .iter()
                    .filter_map(|series| {
                        let point = series.points.iter().find(|(time, _)| *time == at)?;
                        Some((series.labels.clone(), point.1.to_bits()))
                    })
                    .collect();
                found.sort();
                // NaN may differ in its bits.
                let canonical = |bits: u64| {
                    if f64::from_bits(bits).is_nan() { f64::NAN.to_bits() } else { bits }
                };
                let canonical =
                    |v: Vec<(Labels, u64)>| v.into_iter().map(|(l, b)| (l, canonical(b))).collect::<Vec<_>>();
                prop_assert_eq!(canonical(found), canonical(wanted), "{} at {}", text, at);
            }
        }
    }
}
