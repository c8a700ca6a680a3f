//! Sums, quantiles and the order of numbers, as Prometheus computes them.

/// Adds with Neumaier's compensation; an infinite sum drops it, since it would turn into NaN.
pub(crate) fn kahan_add(add: f64, sum: f64, compensation: f64) -> (f64, f64) {
    let total = sum + add;
    let compensation = if total.is_infinite() {
        0.0
    } else if sum.abs() >= add.abs() {
        compensation + ((sum - total) + add)
    } else {
        compensation + ((add - total) + sum)
    };
    (total, compensation)
}

/// The quantile of `values` as Prometheus interpolates it; sorts them.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    // NaN sorts before everything.
    values.sort_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Less,
        (false, true) => std::cmp::Ordering::Greater,
        (false, false) => a.total_cmp(b),
    });
    let last = values.len() - 1;
    let rank = q * last as f64;
    let lower = (rank.floor() as usize).min(last);
    let upper = (lower + 1).min(last);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

/// NaN is last in both directions.
pub(crate) fn rank_order(a: f64, b: f64, descending: bool) -> std::cmp::Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Greater,
        (false, true) => std::cmp::Ordering::Less,
        (false, false) => {
            let order = a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal);
            if descending { order.reverse() } else { order }
        }
    }
}
