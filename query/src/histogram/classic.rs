//! Estimates from the cumulative buckets of classic histograms (Prometheus `promql/quantile.go`).

/// Bounds and cumulative counts, sorted by bound.
pub(crate) type Buckets = Vec<(f64, f64)>;

/// Counts that had to be raised, since a lower bucket had more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Raised {
    /// The least bound of such a bucket.
    pub(crate) first: f64,
    /// The greatest one.
    pub(crate) last: f64,
    /// The most that a count was raised by.
    pub(crate) most: f64,
}

/// The quantile by straight interpolation inside the bucket, and what had to be raised for it.
pub(crate) fn quantile(q: f64, buckets: &mut Buckets) -> (f64, Option<Raised>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
        return (f64::NAN, None);
    }
    coalesce(buckets);
    let raised = make_monotonic(buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].1;
    if buckets.len() < 2 || observations == 0.0 {
        return (f64::NAN, raised);
    }
    let rank = q * observations;
    // A NaN rank finds the last bucket, as in Go's binary search.
    let found = buckets[..last].partition_point(|(_, count)| {
        count.partial_cmp(&rank).is_none_or(std::cmp::Ordering::is_lt)
    });
    if found == last {
        return (buckets[last - 1].0, raised);
    }
    if found == 0 && buckets[0].0 <= 0.0 {
        return (buckets[0].0, raised);
    }
    let (end, count) = buckets[found];
    let (start, below) = if found > 0 { buckets[found - 1] } else { (0.0, 0.0) };
    (start + (end - start) * ((rank - below) / (count - below)), raised)
}

/// Joins buckets written as "1" and "1.0", which are one.
fn coalesce(buckets: &mut Buckets) {
    buckets.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            earlier.1 += later.1;
        }
        same
    });
}

/// Raises counts that are less than an earlier one. Differences that rounding explains go in
/// silence, in both directions.
fn make_monotonic(buckets: &mut Buckets) -> Option<Raised> {
    let mut raised: Option<Raised> = None;
    let mut previous = buckets[0].1;
    for (bound, count) in &mut buckets[1..] {
        if *count == previous {
            continue;
        }
        if almost_equal(previous, *count) {
            *count = previous;
        } else if *count < previous {
            let by = previous - *count;
            let before = raised.unwrap_or(Raised {
                first: f64::INFINITY,
                last: f64::NEG_INFINITY,
                most: 0.0,
            });
            raised = Some(Raised {
                first: before.first.min(*bound),
                last: before.last.max(*bound),
                most: before.most.max(by),
            });
            *count = previous;
        } else {
            previous = *count;
        }
    }
    raised
}

/// Two counts that differ less than this are equal but for rounding.
const SMALL_DELTA: f64 = 1e-12;

fn almost_equal(a: f64, b: f64) -> bool {
    if a == b {
        return true;
    }
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DELTA
}

/// The share of observations between two values, by straight interpolation inside the buckets they
/// fall into.
pub(crate) fn fraction(lower: f64, upper: f64, buckets: &mut Buckets) -> f64 {
    if buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
        return f64::NAN;
    }
    coalesce(buckets);
    let count = buckets.last().map_or(0.0, |(_, count)| *count);
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, count, buckets) - rank_of(lower, count, buckets)) / count
}

/// How many observations are below `value`.
fn rank_of(value: f64, count: f64, buckets: &Buckets) -> f64 {
    // Where the first bound is positive, no observation is taken to be negative.
    let mut start = if buckets[0].0 <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let mut below = 0.0;
    for (end, cumulative) in buckets {
        if start >= value {
            break;
        }
        if *end > value {
            // A bucket without a lower bound can not be interpolated: all of it counts.
            below = if start == f64::NEG_INFINITY {
                *cumulative
            } else {
                below + (cumulative - below) * (value - start) / (end - start)
            };
            break;
        }
        (start, below) = (*end, *cumulative);
    }
    below.min(count)
}
