//! Laws of the arithmetic, each over histograms at random.

use model::{NativeHistogram, ResetHint};
use proptest::prelude::*;

use super::*;

type Buckets = Vec<(i32, f64)>;

fn buckets() -> impl Strategy<Value = Buckets> {
    prop::collection::btree_map(-20_i32..20, (1_u32..100).prop_map(f64::from), 0..8)
        .prop_map(|buckets| buckets.into_iter().collect())
}

fn counted(mut histogram: NativeHistogram) -> NativeHistogram {
    let counts = histogram.positive.iter().chain(&histogram.negative).map(|(_, count)| count);
    histogram.count = histogram.zero_count + counts.sum::<f64>();
    histogram
}

fn exponential() -> impl Strategy<Value = NativeHistogram> {
    let zero = (0_u32..50, prop::sample::select(vec![0.0, 0.001, 0.3, 2.0, 7.0]));
    (-2_i32..5, zero, -100_i32..100, buckets(), buckets()).prop_map(
        |(schema, (zero_count, zero_threshold), sum, positive, negative)| {
            counted(NativeHistogram {
                schema,
                zero_threshold,
                zero_count: f64::from(zero_count),
                sum: f64::from(sum),
                positive,
                negative,
                ..NativeHistogram::default()
            })
        },
    )
}

/// Without a zero bucket, which can overlap with others.
fn without_zero() -> impl Strategy<Value = NativeHistogram> {
    exponential().prop_map(|histogram| {
        counted(NativeHistogram { zero_threshold: 0.0, zero_count: 0.0, ..histogram })
    })
}

fn custom() -> impl Strategy<Value = NativeHistogram> {
    (prop::collection::btree_set(-5_i32..15, 0..6), prop::collection::vec(0_u32..9, 7)).prop_map(
        |(bounds, counts)| {
            let custom_bounds: Vec<f64> = bounds.into_iter().map(f64::from).collect();
            let counts = counts.into_iter().take(custom_bounds.len() + 1).map(f64::from);
            let positive = (0..).zip(counts).collect();
            counted(NativeHistogram {
                schema: CUSTOM,
                positive,
                custom_bounds,
                ..NativeHistogram::default()
            })
        },
    )
}

fn either() -> impl Strategy<Value = NativeHistogram> {
    prop_oneof![exponential(), custom()]
}

fn observations(histogram: &NativeHistogram) -> f64 {
    counted(histogram.clone()).count
}

/// Bucket by bucket, by asking each fine bucket where it belongs.
fn naive_coarser(buckets: &[(i32, f64)], fine: i32, coarse: i32) -> Buckets {
    let mut found = std::collections::BTreeMap::new();
    for (index, count) in buckets {
        let upper = bounds::exponential_bound(*index, fine);
        let mut target = -200;
        while bounds::exponential_bound(target, coarse) < upper * (1.0 - 1e-12) {
            target += 1;
        }
        *found.entry(target).or_insert(0.0) += count;
    }
    found.into_iter().collect()
}

proptest! {
    #[test]
    fn what_is_added_can_be_subtracted(a in exponential(), b in exponential()) {
        let b = NativeHistogram { zero_threshold: a.zero_threshold, schema: a.schema, ..b };
        let mut sum = a.clone();
        add(&mut sum, &b).unwrap();
        prop_assert_eq!(sum.sum, a.sum + b.sum);
        subtract(&mut sum, &b).unwrap();
        compact(&mut sum);
        // Buckets of `b` within the zero bucket are not added, and so not subtracted.
        prop_assert!(is_same(&sum, &a), "{sum:?} {a:?}");
    }

    #[test]
    fn no_observation_is_lost_whatever_the_layouts(a in exponential(), b in exponential()) {
        let mut sum = a.clone();
        add(&mut sum, &b).unwrap();
        prop_assert_eq!(sum.schema, a.schema.min(b.schema));
        prop_assert!(sum.zero_threshold >= a.zero_threshold.max(b.zero_threshold));
        if a.zero_threshold == 0.0 && b.zero_threshold == 0.0 {
            prop_assert_eq!(observations(&sum), a.count + b.count);
        }
        let mut other_way = b.clone();
        add(&mut other_way, &a).unwrap();
        prop_assert_eq!(sum.count, other_way.count);
    }

    #[test]
    fn a_compensated_sum_of_whole_numbers_is_the_plain_one(
        histograms in prop::collection::vec(exponential(), 1..6),
    ) {
        let mut plain = histograms[0].clone();
        let mut sum = Sum::of(&histograms[0]);
        let mut mean = Mean::of(&histograms[0]);
        for histogram in &histograms[1..] {
            add(&mut plain, histogram).unwrap();
            sum.add(histogram).unwrap();
            mean.add(histogram).unwrap();
        }
        compact(&mut plain);
        let mut total = sum.total();
        compact(&mut total);
        prop_assert!(is_same(&total, &plain), "{total:?} {plain:?}");
        divide(&mut plain, histograms.len() as f64);
        let mut mean = mean.mean();
        compact(&mut mean);
        prop_assert!(is_same(&mean, &plain), "{mean:?} {plain:?}");
    }

    #[test]
    fn a_coarser_schema_is_what_the_bounds_say(histogram in exponential(), by in 0_i32..4) {
        let schema = (histogram.schema - by).max(-4);
        let coarse = to_schema(&histogram, schema);
        let naive = naive_coarser(&histogram.positive, histogram.schema, schema);
        prop_assert_eq!(&coarse.positive, &naive);
        prop_assert_eq!(coarse.schema, schema);
        prop_assert_eq!(observations(&coarse), histogram.count);
    }

    #[test]
    fn custom_bounds_become_the_common_ones(a in custom(), b in custom()) {
        let mut sum = a.clone();
        let combined = add(&mut sum, &b).unwrap();
        prop_assert_eq!(combined.bounds_reconciled, a.custom_bounds != b.custom_bounds);
        prop_assert!(sum.custom_bounds.iter().all(|bound| a.custom_bounds.contains(bound)));
        prop_assert!(sum.custom_bounds.iter().all(|bound| b.custom_bounds.contains(bound)));
        prop_assert_eq!(observations(&sum), a.count + b.count);
        prop_assert!(!is_reset(&sum, &a), "a counter that grew");
    }

    #[test]
    fn the_quantile_grows_with_the_rank(
        histogram in prop_oneof![without_zero(), custom()], low in 0.0..1.0, high in 0.0..1.0,
    ) {
        let (low, high) = if low <= high { (low, high) } else { (high, low) };
        let (a, b) = (quantile(low, &histogram).0, quantile(high, &histogram).0);
        prop_assume!(histogram.count > 0.0);
        prop_assert!(a <= b + 1e-9 * b.abs(), "{a} {b}");
    }

    #[test]
    fn the_fraction_below_a_quantile_is_its_rank(histogram in without_zero(), q in 0.01..0.99) {
        prop_assume!(histogram.count > 0.0);
        let value = quantile(q, &histogram).0;
        let below = fraction(f64::NEG_INFINITY, value, &histogram).0;
        prop_assert!((below - q).abs() < 1e-9, "{below} {q}");
    }

    #[test]
    fn both_sides_of_a_cut_are_the_whole(histogram in either(), at in -20.0..20.0) {
        let (mut below, mut above) = (histogram.clone(), histogram.clone());
        trim_upper(&mut below, at);
        trim_lower(&mut above, at);
        // Buckets without an end go as a whole, on either side.
        let is_open = is_custom(&histogram);
        let total = below.count + above.count;
        prop_assert!(is_open || (total - histogram.count).abs() < 1e-9 * histogram.count.max(1.0));
    }

    #[test]
    fn growth_is_no_reset_and_shrinking_is_one(a in either(), b in either()) {
        prop_assert!(!is_reset(&a, &a));
        if is_custom(&a) == is_custom(&b) {
            let mut grown = a.clone();
            add(&mut grown, &b).unwrap();
            // A wider zero bucket can end within a bucket of a coarser schema.
            let is_alike = grown.schema == a.schema || grown.zero_threshold == a.zero_threshold;
            prop_assert!(!is_alike || !is_reset(&grown, &a));
            if b.count > 0.0 {
                prop_assert!(is_reset(&a, &grown));
            }
            let told = NativeHistogram { reset_hint: ResetHint::NotReset, ..a.clone() };
            prop_assert!(!is_reset(&told, &grown));
        } else {
            prop_assert_eq!(add(&mut a.clone(), &b), Err(MixedSchemas));
            prop_assert_eq!(Sum::of(&a).add(&b), Err(MixedSchemas));
        }
    }
}

#[test]
fn a_mean_that_would_overflow_is_carried_along() {
    let big = NativeHistogram { count: 2.0, sum: 1e308, ..NativeHistogram::default() };
    let mut mean = Mean::of(&big);
    for _ in 0..9 {
        mean.add(&big).unwrap();
    }
    assert_eq!(mean.mean().sum, 1e308);
}

#[test]
fn compensation_keeps_what_a_large_number_swallows() {
    let of = |sum: f64| NativeHistogram { sum, positive: vec![(0, sum)], ..Default::default() };
    let mut sum = Sum::of(&of(1.0));
    for number in [1e100, 1.0, -1e100] {
        sum.add(&of(number)).unwrap();
    }
    let total = sum.total();
    assert_eq!((total.sum, total.positive), (2.0, vec![(0, 2.0)]));
}

#[test]
fn a_zero_bucket_grows_to_the_end_of_a_bucket_that_holds_something() {
    let narrow = NativeHistogram {
        zero_count: 1.0,
        count: 7.0,
        positive: vec![(0, 2.0), (1, 4.0)],
        ..NativeHistogram::default()
    };
    let wide = NativeHistogram {
        zero_threshold: 1.5,
        zero_count: 10.0,
        count: 10.0,
        ..NativeHistogram::default()
    };
    for (mut sum, other) in [(narrow.clone(), wide.clone()), (wide, narrow)] {
        add(&mut sum, &other).unwrap();
        assert_eq!((sum.zero_threshold, sum.zero_count), (2.0, 17.0));
        assert_eq!(sum.positive, []);
    }
}

#[test]
fn hints_are_combined_with_care() {
    use ResetHint::{Gauge, NotReset, Reset, Unknown};
    for (a, b, expected, collide) in [
        (Reset, NotReset, Unknown, true),
        (NotReset, NotReset, NotReset, false),
        (NotReset, Unknown, Unknown, false),
        (Unknown, Reset, Unknown, false),
        (Reset, Gauge, Gauge, false),
        (Gauge, NotReset, Gauge, false),
    ] {
        let of = |reset_hint| NativeHistogram { reset_hint, ..NativeHistogram::default() };
        let mut sum = of(a);
        let combined = add(&mut sum, &of(b)).unwrap();
        assert_eq!((sum.reset_hint, combined.resets_collide), (expected, collide));
    }
}

#[test]
fn a_description_lists_the_buckets_that_hold_something() {
    let histogram = NativeHistogram {
        count: 7.0,
        sum: 1e7,
        zero_threshold: 0.001,
        zero_count: 1.0,
        positive: vec![(0, 2.0), (1, 0.0), (2, 1.5)],
        negative: vec![(1, 3.0)],
        ..NativeHistogram::default()
    };
    let expected = "{count:7, sum:1e+07, [-2,-1):3, [-0.001,0.001]:1, (0.5,1]:2, (2,4]:1.5}";
    assert_eq!(describe(&histogram), expected);
}
