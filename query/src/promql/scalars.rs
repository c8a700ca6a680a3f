//! Functions of scalars and instant vectors: maths, calendar, `absent`.

use model::Labels;
use model::labels::METRIC_NAME;

use super::ast::{Call, Expr, ExprKind};
use super::eval::Evaluator;
use super::histograms;
use crate::errors::EvalError;
use crate::vector::{Column, Grid, absent, is_absent};

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
        "start" => vec![seconds(query.grid.start); grid.count],
        "end" => vec![seconds(query.end); grid.count],
        "step" if query.end == query.grid.start => vec![0.0; grid.count],
        "step" => vec![seconds(query.grid.step); grid.count],
        "range" => vec![seconds(query.end - query.grid.start); grid.count],
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
pub(super) fn go_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// Go's `math.Min`: NaN wins.
pub(super) fn go_min(a: f64, b: f64) -> f64 {
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
        _ if name.starts_with("histogram_") => return histograms::call(evaluator, call, grid),
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

/// A moment as in `2009-11-10T23:00:00Z`.
pub(super) fn format_rfc3339(ms: i64) -> String {
    let Civil { year, month, day, second_of_day, .. } = Civil::at(ms / 1000);
    let (hour, minute, second) =
        (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
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
