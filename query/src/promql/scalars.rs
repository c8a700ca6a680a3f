//! Functions of scalars and instant vectors: maths, calendar, `absent`, `histogram_quantile`.

use model::labels::METRIC_NAME;
use model::{Labels, NativeHistogram};
use rustc_hash::FxHashMap;

use super::ast::{Call, Expr, ExprKind};
use super::eval::Evaluator;
use crate::errors::EvalError;
use crate::vector::{Column, Grid, absent, is_absent, note_quantiles};

type Result<T, E = EvalError> = std::result::Result<T, E>;

/// Evaluates a call of type scalar.
pub(super) fn scalar_call(
    evaluator: &mut Evaluator<'_>,
    call: &Call,
    grid: &Grid,
) -> Result<Vec<f64>> {
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let query = evaluator.query;
    Ok(match call.function.name {
        "time" => grid.times().map(seconds).collect(),
        "pi" => vec![std::f64::consts::PI; grid.count],
        "start" => vec![seconds(query.start); grid.count],
        "end" => vec![seconds(query.last()); grid.count],
        "step" => vec![seconds(query.step); grid.count],
        "range" => vec![seconds(query.last() - query.start); grid.count],
        "max_of" | "min_of" => {
            let left = evaluator.scalar(&call.arguments[0], grid)?;
            let right = evaluator.scalar(&call.arguments[1], grid)?;
            let pick = if call.function.name == "max_of" { go_max } else { go_min };
            left.into_iter().zip(right).map(|(a, b)| pick(a, b)).collect()
        }
        "scalar" => only_values(&evaluator.vector(&call.arguments[0], grid)?, grid.count),
        other => return Err(EvalError::NotSupported { what: format!("the function {other}") }),
    })
}

/// The value of the only float at each step, or NaN.
fn only_values(columns: &[Column], steps: usize) -> Vec<f64> {
    let mut values = vec![f64::NAN; steps];
    let mut found = vec![false; steps];
    for column in columns {
        for (step, value) in column.values.iter().enumerate().filter(|(_, v)| !is_absent(**v)) {
            values[step] = if found[step] { f64::NAN } else { *value };
            found[step] = true;
        }
    }
    values
}

/// Go's `math.Max`: NaN wins.
fn go_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// Go's `math.Min`: NaN wins.
fn go_min(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

/// Evaluates a call of type instant vector without a range vector among its arguments.
pub(super) fn call(
    evaluator: &mut Evaluator<'_>,
    expr: &Expr,
    call: &Call,
    grid: &Grid,
) -> Result<Vec<Column>> {
    let name = call.function.name;
    if let Some(part) = calendar(name) {
        return calendar_call(evaluator, call, grid, part);
    }
    match name {
        "vector" => {
            let values = evaluator.scalar(&call.arguments[0], grid)?;
            return Ok(vec![Column::floats(Labels::empty(), false, values)]);
        }
        "absent" => return absent_call(evaluator, call, grid),
        "histogram_quantile" => return histogram_quantile(evaluator, call, grid),
        "histogram_fraction" => return histogram_fraction(evaluator, call, grid),
        "clamp" | "clamp_min" | "clamp_max" => return clamp(evaluator, call, grid),
        "round" => return round(evaluator, call, grid),
        _ => {}
    }
    let mut columns = evaluator.vector(&call.arguments[0], grid)?;
    match name {
        "timestamp" => {
            for column in &mut columns {
                for step in 0..grid.count {
                    let present = column.has(step);
                    column.values[step] =
                        if present { grid.at(step) as f64 / 1000.0 } else { absent() };
                }
                column.histograms = Vec::new();
                column.drop_name = true;
            }
            Ok(columns)
        }
        "histogram_count" => Ok(histograms(columns, |histogram| histogram.count)),
        "histogram_sum" => Ok(histograms(columns, |histogram| histogram.sum)),
        "histogram_avg" => Ok(histograms(columns, |histogram| histogram.sum / histogram.count)),
        _ => match maths(name) {
            Some(function) => Ok(map_floats(columns, |_, value| function(value))),
            None => Err(EvalError::NotSupported { what: format!("{expr}") }),
        },
    }
}

/// Applies `function` to floats; histograms are left out as in Prometheus.
fn map_floats(columns: Vec<Column>, function: impl Fn(usize, f64) -> f64) -> Vec<Column> {
    let mut results = Vec::with_capacity(columns.len());
    for mut column in columns {
        for (step, value) in column.values.iter_mut().enumerate() {
            if !is_absent(*value) {
                *value = function(step, *value);
            }
        }
        column.histograms = Vec::new();
        column.drop_name = true;
        if column.has_any() {
            results.push(column);
        }
    }
    results
}

fn histograms(columns: Vec<Column>, function: fn(&NativeHistogram) -> f64) -> Vec<Column> {
    let mut results = Vec::new();
    for column in columns {
        let values: Vec<f64> = (0..column.values.len())
            .map(|step| column.histogram(step).map_or(absent(), |histogram| function(histogram)))
            .collect();
        let column = Column::floats(column.labels, true, values);
        if column.has_any() {
            results.push(column);
        }
    }
    results
}

fn maths(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "sqrt" => f64::sqrt,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => f64::acosh,
        "atanh" => f64::atanh,
        "rad" => |v| v * std::f64::consts::PI / 180.0,
        "deg" => |v| v * 180.0 / std::f64::consts::PI,
        "sgn" => |v| {
            if v < 0.0 {
                -1.0
            } else if v > 0.0 {
                1.0
            } else {
                v
            }
        },
        _ => return None,
    })
}

fn clamp(evaluator: &mut Evaluator<'_>, call: &Call, grid: &Grid) -> Result<Vec<Column>> {
    let columns = evaluator.vector(&call.arguments[0], grid)?;
    let first = evaluator.scalar(&call.arguments[1], grid)?;
    let (min, max) = match call.function.name {
        "clamp_min" => (first, vec![f64::INFINITY; grid.count]),
        "clamp_max" => (vec![f64::NEG_INFINITY; grid.count], first),
        _ => (first, evaluator.scalar(&call.arguments[2], grid)?),
    };
    let mut columns = map_floats(columns, |step, value| {
        if max[step] < min[step] {
            return absent();
        }
        go_max(min[step], go_min(max[step], value))
    });
    columns.retain(Column::has_any);
    Ok(columns)
}

fn round(evaluator: &mut Evaluator<'_>, call: &Call, grid: &Grid) -> Result<Vec<Column>> {
    let columns = evaluator.vector(&call.arguments[0], grid)?;
    let to = match call.arguments.get(1) {
        Some(to) => evaluator.scalar(to, grid)?,
        None => vec![1.0; grid.count],
    };
    Ok(map_floats(columns, |step, value| {
        // The inverse causes fewer rounding errors, as Prometheus found.
        let inverse = 1.0 / to[step];
        (value * inverse + 0.5).floor() / inverse
    }))
}

fn absent_call(evaluator: &mut Evaluator<'_>, call: &Call, grid: &Grid) -> Result<Vec<Column>> {
    let argument = &call.arguments[0];
    let columns = evaluator.vector(argument, grid)?;
    let values = (0..grid.count)
        .map(|step| if columns.iter().any(|c| c.has(step)) { absent() } else { 1.0 })
        .collect();
    let labels = match &argument.unwrap_parens().kind {
        ExprKind::Selector(selector) => selector.absent_labels(),
        _ => Labels::empty(),
    };
    Ok(vec![Column::floats(labels.without(&[METRIC_NAME]), false, values)])
}

/// A day of the proleptic Gregorian calendar.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    days_since_epoch: i64,
    second_of_day: i64,
}

impl Civil {
    /// Howard Hinnant's `civil_from_days`.
    fn at(seconds: i64) -> Self {
        let days_since_epoch = seconds.div_euclid(86_400);
        let z = days_since_epoch + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Civil { year, month, day, days_since_epoch, second_of_day: seconds.rem_euclid(86_400) }
    }

    fn is_leap(&self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    fn days_in(&self, month: i64) -> i64 {
        match month {
            2 => 28 + i64::from(self.is_leap()),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    fn day_of_year(&self) -> i64 {
        (1..self.month).map(|month| self.days_in(month)).sum::<i64>() + self.day
    }
}

fn calendar(name: &str) -> Option<fn(&Civil) -> i64> {
    Some(match name {
        "year" => |c| c.year,
        "month" => |c| c.month,
        "day_of_month" => |c| c.day,
        "day_of_week" => |c| (c.days_since_epoch + 4).rem_euclid(7),
        "day_of_year" => Civil::day_of_year,
        "days_in_month" => |c| c.days_in(c.month),
        "hour" => |c| c.second_of_day / 3600,
        "minute" => |c| c.second_of_day / 60 % 60,
        _ => return None,
    })
}

fn calendar_call(
    evaluator: &mut Evaluator<'_>,
    call: &Call,
    grid: &Grid,
    part: fn(&Civil) -> i64,
) -> Result<Vec<Column>> {
    // Far outside of this, years have no meaning and sums could overflow.
    let part = |seconds: f64| {
        let seconds = seconds.clamp(-1e17, 1e17) as i64;
        part(&Civil::at(seconds)) as f64
    };
    match call.arguments.first() {
        Some(argument) => {
            let columns = evaluator.vector(argument, grid)?;
            Ok(map_floats(columns, |_, value| part(value)))
        }
        None => {
            let values = grid.times().map(|ms| part(ms.div_euclid(1000) as f64)).collect();
            Ok(vec![Column::floats(Labels::empty(), false, values)])
        }
    }
}

/// Bounds and cumulative counts of a classic histogram.
type Buckets = Vec<(f64, f64)>;

/// Bucket columns that differ only in `le`, sorted by bound, with their other labels.
type BucketGroup = (Labels, Vec<(f64, Column)>);

/// Finds the classic histograms of a vector; native ones are left out with a remark.
fn bucket_groups(
    evaluator: &mut Evaluator<'_>,
    argument: &Expr,
    columns: Vec<Column>,
    function: &str,
) -> Vec<BucketGroup> {
    let mut places: FxHashMap<Labels, usize> = FxHashMap::default();
    let mut groups: Vec<BucketGroup> = Vec::new();
    for mut column in columns {
        evaluator.leave_out_histograms(argument, &mut column, function);
        if !column.has_any() {
            continue;
        }
        let le = column.labels.get_or_empty("le");
        let Ok(bound) = le.parse::<f64>() else {
            let of = of_metric(&column.labels);
            let text =
                format!("bucket label \"le\" is missing or has a malformed value of {le:?}{of}");
            evaluator.notes.warn(argument.span, &text);
            continue;
        };
        let labels = column.labels.without(&["le"]);
        let place = *places.entry(labels).or_insert_with_key(|labels| {
            groups.push((labels.clone(), Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push((bound, column));
    }
    for (_, members) in &mut groups {
        members.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    groups
}

fn of_metric(labels: &Labels) -> String {
    match labels.metric_name() {
        "" => String::new(),
        metric => format!(" for metric name {metric:?}"),
    }
}

/// Computes one float from the buckets of each step that has any.
fn over_buckets(
    members: &[(f64, Column)],
    steps: usize,
    mut compute: impl FnMut(usize, &mut Buckets) -> f64,
) -> Vec<f64> {
    let mut buckets = Buckets::new();
    let mut values = vec![absent(); steps];
    for (step, value) in values.iter_mut().enumerate() {
        buckets.clear();
        let present = members.iter().filter(|(_, column)| !is_absent(column.values[step]));
        buckets.extend(present.map(|(bound, column)| (*bound, column.values[step])));
        if !buckets.is_empty() {
            *value = compute(step, &mut buckets);
        }
    }
    values
}

fn histogram_quantile(
    evaluator: &mut Evaluator<'_>,
    call: &Call,
    grid: &Grid,
) -> Result<Vec<Column>> {
    let quantiles = evaluator.scalar(&call.arguments[0], grid)?;
    let quantile_span = call.arguments[0].unwrap_parens().span;
    let argument = call.arguments[1].unwrap_parens();
    let columns = evaluator.vector(argument, grid)?;
    note_quantiles(&quantiles, quantile_span, &mut evaluator.notes);
    let mut results = Vec::new();
    for (labels, members) in bucket_groups(evaluator, argument, columns, "histogram_quantile") {
        evaluator.context.check()?;
        let mut forced = false;
        let values = over_buckets(&members, grid.count, |step, buckets| {
            bucket_quantile(quantiles[step], buckets, &mut forced)
        });
        if forced {
            let of = of_metric(&labels);
            let text = format!(
                "input to histogram_quantile needed to be fixed for monotonicity (see \
                 https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile\
                 ){of}"
            );
            evaluator.notes.info(argument.span, &text);
        }
        results.push(Column::floats(labels, true, values));
    }
    Ok(results)
}

fn histogram_fraction(
    evaluator: &mut Evaluator<'_>,
    call: &Call,
    grid: &Grid,
) -> Result<Vec<Column>> {
    let lower = evaluator.scalar(&call.arguments[0], grid)?;
    let upper = evaluator.scalar(&call.arguments[1], grid)?;
    let argument = call.arguments[2].unwrap_parens();
    let columns = evaluator.vector(argument, grid)?;
    let mut results = Vec::new();
    for (labels, members) in bucket_groups(evaluator, argument, columns, "histogram_fraction") {
        evaluator.context.check()?;
        let values = over_buckets(&members, grid.count, |step, buckets| {
            bucket_fraction(lower[step], upper[step], buckets)
        });
        results.push(Column::floats(labels, true, values));
    }
    Ok(results)
}

/// Joins buckets written as "1" and "1.0", which are one. `buckets` are sorted by bound.
fn coalesce(buckets: &mut Buckets) {
    buckets.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            earlier.1 += later.1;
        }
        same
    });
}

/// The share of observations between two values, by linear interpolation inside the buckets they
/// fall into (Prometheus `promql/quantile.go`).
fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Buckets) -> f64 {
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

/// The quantile by linear interpolation inside the bucket (Prometheus `promql/quantile.go`).
/// `buckets` are sorted by bound.
fn bucket_quantile(q: f64, buckets: &mut Buckets, forced: &mut bool) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
        return f64::NAN;
    }
    coalesce(buckets);
    let mut previous = buckets[0].1;
    for (_, count) in &mut buckets[1..] {
        if *count == previous {
            continue;
        }
        if almost_equal(previous, *count) {
            *count = previous;
        } else if *count < previous {
            *count = previous;
            *forced = true;
        } else {
            previous = *count;
        }
    }
    let last = buckets.len() - 1;
    let observations = buckets[last].1;
    if buckets.len() < 2 || observations == 0.0 {
        return f64::NAN;
    }
    let rank = q * observations;
    // A NaN rank finds the last bucket, as in Go's binary search.
    let found = buckets[..last].partition_point(|(_, count)| {
        count.partial_cmp(&rank).is_none_or(std::cmp::Ordering::is_lt)
    });
    if found == last {
        return buckets[last - 1].0;
    }
    if found == 0 && buckets[0].0 <= 0.0 {
        return buckets[0].0;
    }
    let (end, count) = buckets[found];
    let (start, below) = if found > 0 { buckets[found - 1] } else { (0.0, 0.0) };
    start + (end - start) * ((rank - below) / (count - below))
}
