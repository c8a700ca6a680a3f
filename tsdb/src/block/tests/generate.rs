//! Series, ranges and matchers of all kinds for the property tests.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::TimestampMs;
use model::labels::Labels;
use model::read::RangeMs;
use model::sample::{Exemplar, NativeHistogram, ResetHint, STALE_NAN_BITS};
use model::{MatchOp, Matcher};
use proptest::prelude::*;
use proptest::sample::select;

use super::Series;
use crate::block::series_order;
use crate::columns::{Columns, HistogramSample, StartRun};

fn value() -> impl Strategy<Value = f64> {
    let special = [
        f64::NAN,
        f64::from_bits(STALE_NAN_BITS),
        f64::from_bits(0x7ff8_0000_0000_0123),
        f64::from_bits(u64::MAX),
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        f64::MAX,
        f64::MIN_POSITIVE,
        9_007_199_254_740_993.0,
        1e300,
    ];
    prop_oneof![
        2 => any::<u64>().prop_map(f64::from_bits),
        4 => (-1000i64..1000).prop_map(|i| i as f64),
        4 => (-100_000i64..100_000, 0i32..8).prop_map(|(i, e)| i as f64 / 10f64.powi(e)),
        1 => select(special.to_vec()),
    ]
}

/// Values as series have them: constant, counting, decimal, wild, with some that do not belong.
fn values(count: usize) -> BoxedStrategy<Vec<f64>> {
    let steps = prop::collection::vec(prop_oneof![3 => Just(0i64), 2 => 0i64..50], count);
    let counter = (steps, 0i32..7, any::<i32>()).prop_map(|(steps, exponent, first)| {
        let mut sum = i64::from(first);
        let step = |step| {
            sum += step;
            sum as f64 / 10f64.powi(exponent)
        };
        steps.into_iter().map(step).collect::<Vec<f64>>()
    });
    let base = prop_oneof![
        value().prop_map(move |value| vec![value; count]),
        counter,
        prop::collection::vec((0i64..100_000).prop_map(|i| i as f64), count),
        prop::collection::vec(-1.0f64..1.0, count),
        prop::collection::vec(value(), count),
    ];
    (base, prop::collection::vec((any::<prop::sample::Index>(), value()), 0..3))
        .prop_map(|(mut values, others)| {
            for (at, value) in others {
                if !values.is_empty() && value.is_nan() {
                    let at = at.index(values.len());
                    values[at] = value;
                }
            }
            values
        })
        .boxed()
}

fn times() -> BoxedStrategy<Vec<i64>> {
    let regular = (0usize..120, 0i64..4, prop::collection::vec(0i64..40, 120)).prop_map(
        |(count, skip, jitter)| {
            let time = |(i, jitter): (usize, i64)| (i as i64 + skip) * 15_000 + jitter;
            jitter.into_iter().take(count).enumerate().map(time).collect::<Vec<i64>>()
        },
    );
    let any_times = prop::collection::btree_set(any::<i64>(), 0..20);
    let extremes = prop::collection::btree_set(
        select(vec![i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX]),
        0..7,
    );
    prop_oneof![
        5 => regular,
        2 => any_times.prop_map(|times| times.into_iter().collect()),
        1 => extremes.prop_map(|times| times.into_iter().collect()),
    ]
    .boxed()
}

fn start() -> impl Strategy<Value = i64> {
    prop_oneof![2 => Just(0i64), 3 => 1i64..4, 1 => any::<i64>()]
}

fn runs(count: usize) -> impl Strategy<Value = Vec<StartRun>> {
    prop_oneof![
        Just(Vec::new()),
        start().prop_map(move |start| vec![start; count]),
        prop::collection::vec(start(), count),
    ]
    .prop_map(|starts| {
        let mut runs: Vec<StartRun> = Vec::new();
        for (first, start) in (0..).zip(starts) {
            if runs.last().map_or(0, |run| run.start) != start {
                runs.push(StartRun { first, start });
            }
        }
        runs
    })
}

fn histograms() -> BoxedStrategy<Vec<HistogramSample>> {
    let count = || prop_oneof![4 => (0i64..500).prop_map(|i| i as f64), 1 => value()];
    let buckets = move || prop::collection::btree_map(-3i32..5, count(), 0..4);
    let histogram = (
        select(vec![-53, 0, 3]),
        prop::collection::vec(count(), 4),
        buckets(),
        buckets(),
        prop::collection::vec(value(), 0..2),
        (0u8..4, any::<bool>()),
    )
        .prop_map(|(schema, numbers, positive, negative, custom_bounds, (hint, adds_up))| {
            let mut histogram = NativeHistogram {
                schema,
                zero_threshold: numbers[0],
                zero_count: numbers[1],
                count: numbers[2],
                sum: numbers[3],
                positive: positive.into_iter().collect(),
                negative: negative.into_iter().collect(),
                custom_bounds,
                reset_hint: ResetHint::from_byte(hint),
            };
            if adds_up {
                let counts = histogram.positive.iter().chain(&histogram.negative);
                histogram.count = histogram.zero_count + counts.map(|(_, n)| n).sum::<f64>();
            }
            Arc::new(histogram)
        });
    let shapes = prop::collection::vec((histogram, 1usize..6, start()), 0..4);
    (times(), shapes)
        .prop_map(|(times, shapes)| {
            let samples = shapes.into_iter().flat_map(|(histogram, repeats, start)| {
                (0..repeats).map(move |i| {
                    let mut next = (*histogram).clone();
                    next.positive.iter_mut().for_each(|(_, count)| *count += i as f64);
                    (Arc::new(next), start)
                })
            });
            let sample = |(at, (histogram, start))| HistogramSample {
                at: TimestampMs(at),
                start: TimestampMs(start),
                histogram,
            };
            times.into_iter().zip(samples).map(sample).collect()
        })
        .boxed()
}

fn exemplars() -> impl Strategy<Value = Vec<Exemplar>> {
    let exemplar = (labels(), value(), any::<i64>());
    prop::collection::vec(exemplar, 0..4).prop_map(|found| {
        let exemplar = |(labels, value, at)| Exemplar { labels, value, at: TimestampMs(at) };
        let mut found: Vec<Exemplar> = found.into_iter().map(exemplar).collect();
        found.sort_by_key(|exemplar| exemplar.at);
        found
    })
}

fn columns() -> impl Strategy<Value = Columns> {
    let floats = times().prop_flat_map(|times| {
        let count = times.len();
        (Just(times), values(count), runs(count))
    });
    let others = prop_oneof![
        3 => Just((Vec::new(), Vec::new())),
        1 => (histograms(), exemplars()),
    ];
    (floats, others).prop_map(|((times, values, starts), (histograms, exemplars))| Columns {
        times: Arc::new(times),
        values,
        starts,
        histograms,
        exemplars,
    })
}

pub(super) fn labels() -> impl Strategy<Value = Labels> {
    let name = select(vec!["__name__", "a", "job", "x.y", "\u{fc}mlaut"]);
    let value = prop_oneof![
        select(vec!["", "a", "ab", "abc", "b", "1", "\u{e4}\u{f6}", "\u{e4}\u{fc}", "a|b"])
            .prop_map(str::to_owned),
        "[a-c]{0,3}",
    ];
    prop::collection::vec((name, value), 0..6).prop_map(Labels::from_pairs)
}

pub(super) fn matcher() -> impl Strategy<Value = Matcher> {
    let name = select(vec!["__name__", "a", "job", "x.y", "none"]);
    let op = select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Matches, MatchOp::NotMatches]);
    let value = select(vec![
        "", "a", "ab", "b", ".*", ".+", "a.*", "a|b", "a|", "ab?", "ab*", "(?i)A", "[ab]+", "a{0}",
        "ab{0,1}", "\u{e4}.", "a\\|b", "abc|b.*", "ab.", "^a$", "a|b|c|",
    ]);
    (name, op, value).prop_map(|(name, op, value)| Matcher::new(name, op, value).unwrap())
}

pub(super) fn range() -> impl Strategy<Value = RangeMs> {
    let end = prop_oneof![3 => 0i64..1_800_000, 1 => any::<i64>(), 1 => Just(i64::MAX)];
    let begin = prop_oneof![3 => 0i64..1_800_000, 1 => any::<i64>(), 1 => Just(i64::MIN)];
    (begin, end)
        .prop_map(|(start, end)| RangeMs { start: TimestampMs(start), end: TimestampMs(end) })
}

/// Series of these labels without samples, in order.
pub(super) fn with_labels(labels: Vec<Labels>) -> Series {
    let unique: BTreeSet<Labels> = labels.into_iter().collect();
    let mut series: Series =
        unique.into_iter().map(|labels| (labels, Columns::default())).collect();
    series.sort_by(|a, b| series_order(&a.0, &b.0));
    series
}

/// Series in order; some share their times.
pub(super) fn series() -> impl Strategy<Value = Series> {
    let one = (labels(), columns(), any::<bool>());
    prop::collection::vec(one, 0..7).prop_map(|all| {
        let mut found = with_labels(all.iter().map(|(labels, ..)| labels.clone()).collect());
        let mut last: Option<Columns> = None;
        for ((_, columns), (_, made, shares)) in found.iter_mut().zip(all) {
            *columns = made;
            if let (true, Some(last)) = (shares, &last) {
                columns.times = Arc::clone(&last.times);
                columns.values.resize(columns.times.len(), 1.5);
                columns.starts.clone_from(&last.starts);
            }
            last = Some(columns.clone());
        }
        found
    })
}
