//! Functions over rollups answer bit for bit what they answer over samples.

use model::read::{RangeMs, SeriesRequest, SeriesStream};
use model::rollup::bucket_end;
use model::sample::{Exemplar, MetricMetadata, stale_nan};
use model::{Labels, Matcher, QueryContext, SeriesSource, TimestampMs};
use proptest::prelude::*;

use crate::promql::memory::MemorySeries;
use crate::promql::{EvalOptions, Evaluation, Value, evaluate_range, parse};

/// A source that has samples only.
struct Raw<'a>(&'a MemorySeries);

impl SeriesSource for Raw<'_> {
    fn select<'a>(
        &'a self,
        request: &SeriesRequest,
        context: &'a QueryContext,
    ) -> model::Result<SeriesStream<'a>> {
        self.0.select(&SeriesRequest { rollup: None, ..request.clone() }, context)
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: RangeMs,
        context: &QueryContext,
    ) -> model::Result<Vec<String>> {
        self.0.label_names(matchers, range, context)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: RangeMs,
        context: &QueryContext,
    ) -> model::Result<Vec<String>> {
        self.0.label_values(name, matchers, range, context)
    }

    fn exemplars(
        &self,
        matchers: &[Matcher],
        range: RangeMs,
        context: &QueryContext,
    ) -> model::Result<Vec<(Labels, Vec<Exemplar>)>> {
        self.0.exemplars(matchers, range, context)
    }

    fn metadata(&self) -> model::Result<Vec<(String, MetricMetadata)>> {
        self.0.metadata()
    }
}

const MINUTE: i64 = 60_000;

fn evaluate(
    query: &str,
    source: &dyn SeriesSource,
    (start, end, step): (i64, i64, i64),
) -> (Evaluation, u64) {
    let context = QueryContext::unlimited();
    let found = evaluate_range(
        &parse(query).unwrap(),
        TimestampMs(start),
        TimestampMs(end),
        step,
        source,
        &EvalOptions::default(),
        &context,
    );
    (found.unwrap(), context.items_used())
}

/// A value as its bits: NaN is equal to itself, 0.0 is not -0.0.
fn bits(evaluation: &Evaluation) -> Vec<(String, Vec<(i64, u64)>)> {
    let Value::Matrix(matrix) = &evaluation.value else { panic!("no matrix") };
    let points = |points: &[(TimestampMs, f64)]| {
        points.iter().map(|(at, value)| (at.0, value.to_bits())).collect()
    };
    matrix.iter().map(|series| (series.labels.to_string(), points(&series.points))).collect()
}

const FUNCTIONS: [&str; 11] = [
    "sum_over_time",
    "count_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "first_over_time",
    "last_over_time",
    "present_over_time",
    "increase",
    "rate",
    "delta",
];

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        20 => (0..50i32).prop_map(f64::from),
        2 => (-50..50i32).prop_map(f64::from),
        2 => (0..500i32).prop_map(|value| f64::from(value) / 10.0),
        1 => prop_oneof![
            Just(-0.0), Just(f64::NAN), Just(f64::INFINITY), Just(9e15), Just(stale_nan())
        ],
    ]
}

/// How far after the sample before, the value, whether it is added to the one before, the start.
type Step = (i64, f64, bool, u8);

fn steps(values: BoxedStrategy<f64>) -> impl Strategy<Value = Vec<Step>> {
    let gap = prop_oneof![8 => 1..400_000i64, 1 => Just(300_000i64), 1 => 1..9_000_000i64];
    prop::collection::vec((gap, values, any::<bool>(), 0..12u8), 1..80)
}

fn any_steps() -> impl Strategy<Value = (Vec<Step>, bool)> {
    let integers = (0..1000i32).prop_map(f64::from).boxed();
    let decimals = (0..1000i32).prop_map(|value| f64::from(value) / 8.7).boxed();
    let some = prop_oneof![
        steps(integers),
        steps(decimals),
        steps(value().boxed()),
        steps(prop_oneof![20 => Just(3.0), 1 => Just(stale_nan())].boxed()),
    ];
    (some, any::<bool>())
}

fn fill(memory: &mut MemorySeries, number: usize, steps: &[Step], has_starts: bool) {
    let number = number.to_string();
    let labels = Labels::from_pairs([("__name__", "x_total"), ("n", number.as_str())]);
    let (mut at, mut sum, mut began) = (1, 0.0, 0);
    for (gap, value, adds, start) in steps {
        let before = at;
        at += gap;
        sum = if *adds { sum + value } else { *value };
        began = match start {
            0 => before,
            1 => before + 1 + gap / 2,
            2 => before - gap / 2,
            3 => 0,
            _ => began,
        };
        memory.push(&labels, at, if has_starts { began } else { 0 }, sum);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..Default::default() })]

    #[test]
    fn rollups_give_what_samples_give(
        series in prop::collection::vec(any_steps(), 1..4),
        range in prop_oneof![Just(5i64), Just(10), Just(60), Just(180)],
        step in prop_oneof![Just(5i64), Just(15), Just(60), Just(7)],
        offset in prop_oneof![Just("0s"), Just("5m"), Just("1h"), Just("61s")],
        at in prop_oneof![3 => Just(""), 1 => Just("@ 7200")],
    ) {
        let mut memory = MemorySeries::new();
        for (number, (steps, has_starts)) in series.iter().enumerate() {
            fill(&mut memory, number, steps, *has_starts);
        }
        let times = (0, 12 * 60 * MINUTE, step * MINUTE);
        let functions = FUNCTIONS
            .iter()
            .map(|function| format!("{function}(x_total[{range}m] {at} offset {offset})"));
        let selectors = ["x_total", "timestamp(x_total)"]
            .map(|query| query.replace("x_total", &format!("x_total {at} offset {offset}")));
        for query in functions.chain(selectors) {
            let (with, _) = evaluate(&query, &memory, times);
            let (without, _) = evaluate(&query, &Raw(&memory), times);
            prop_assert_eq!(bits(&with), bits(&without), "{}", query);
            prop_assert_eq!(with.warnings, without.warnings, "{}", query);
            prop_assert_eq!(with.infos, without.infos, "{}", query);
        }
    }

    #[test]
    fn rollups_of_parts_are_the_rollup_of_the_whole(
        (steps, has_starts) in any_steps(),
        cuts in prop::collection::vec(0..80usize, 1..4),
    ) {
        use model::rollup::{ENDED, INEXACT_RESETS, INTEGER_RESETS, Rollup, SUM_INEXACT};
        let (mut times, mut values, mut starts) = (vec![], vec![], vec![]);
        let mut at = 0;
        for (gap, value, _, start) in steps {
            at += gap;
            times.push(at);
            values.push(value);
            starts.push(if has_starts { i64::from(start) } else { 0 });
        }
        let whole = Rollup::of(&times, &values, &starts, 300_000);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| *cut.min(&times.len())).collect();
        cuts.extend([0, times.len()]);
        cuts.sort();
        let mut joined = Rollup::of(&[], &[], &[], 300_000);
        for pair in cuts.windows(2) {
            let part = pair[0]..pair[1];
            let times = &times[part.clone()];
            joined.append(Rollup::of(times, &values[part.clone()], &starts[part], 300_000));
        }
        let ends: Vec<i64> =
            whole.last_times_ms.iter().map(|at| bucket_end(*at, 300_000)).collect();
        let in_order = ends.windows(2).all(|pair| pair[0] < pair[1]);
        prop_assert!(in_order, "{:?}", ends);
        prop_assert_eq!(joined.flags.len(), whole.flags.len());
        for (i, flags) in whole.flags.clone().into_iter().enumerate() {
            let found = joined.flags[i];
            // A joined bucket may be more careful; what is not exact may differ.
            let loose = SUM_INEXACT | INTEGER_RESETS | INEXACT_RESETS;
            // A part of nothing but a stale marker has no bucket to tell of it.
            prop_assert_eq!(found & !(loose | ENDED), flags & !(loose | ENDED));
            prop_assert!(found & ENDED <= flags & ENDED);
            if found & SUM_INEXACT != 0 {
                joined.sums[i] = whole.sums[i];
            } else {
                prop_assert_eq!(flags & SUM_INEXACT, 0);
            }
            if found & INEXACT_RESETS != 0 {
                joined.lost[i] = whole.lost[i];
            } else {
                prop_assert_eq!(flags & loose & !SUM_INEXACT, found & loose & !SUM_INEXACT);
            }
            joined.flags[i] = flags;
        }
        prop_assert_eq!(format!("{joined:?}"), format!("{whole:?}"));
    }
}

#[test]
fn a_long_query_looks_at_buckets_and_not_at_samples() {
    let mut memory = MemorySeries::new();
    let labels = Labels::from_pairs([("__name__", "x_total")]);
    let days = 3;
    for sample in 1..=days * 5760 {
        memory.push(&labels, sample * 15_000, 1, sample as f64);
    }
    let hour = 60 * MINUTE;
    let times = (hour, days * 24 * hour, hour);
    let (with, looked_at) = evaluate("increase(x_total[1h])", &memory, times);
    let (without, looked_at_raw) = evaluate("increase(x_total[1h])", &Raw(&memory), times);
    assert_eq!(bits(&with), bits(&without));
    // Beside the buckets, the cells of the result are charged.
    assert!(looked_at < looked_at_raw / 75, "{looked_at} {looked_at_raw}");
    // Where a window begins inside a bucket, samples are needed.
    let (_, looked_at) = evaluate("increase(x_total[61m])", &memory, times);
    assert!(looked_at > looked_at_raw - 5000);
}
