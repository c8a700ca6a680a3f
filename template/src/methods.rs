//! Methods of Go's `time.Time` and `time.Duration`, and of objects.
//!
//! Not there: methods with several results (`Date`, `Clock`, `ISOWeek`, `Zone`), those that take or
//! give a location, and encodings.

use std::sync::Arc;

use crate::function::wrong_type;
use crate::gotime::GoTime;
use crate::value::{Object, Value};

/// Calls a method; `None` if the value has no such.
pub(crate) fn call(
    receiver: &Value<'_>,
    name: &str,
    args: &[Value<'_>],
) -> Option<Result<Value<'static>, String>> {
    match receiver {
        Value::Time(time) => of_time(time, name, args).transpose(),
        Value::Duration(ns) => of_duration(*ns, name, args).transpose(),
        Value::Object(object) => object.call(name, args),
        _ => None,
    }
}

/// The arguments of a method, if there are as many as it takes.
fn exactly<'a, 'v, const N: usize>(
    name: &str,
    args: &'a [Value<'v>],
) -> Result<&'a [Value<'v>; N], String> {
    args.try_into()
        .map_err(|_| format!("wrong number of args for {name}: want {N} got {}", args.len()))
}

fn time_in<'a>(value: &'a Value<'_>) -> Result<&'a GoTime, String> {
    match value {
        Value::Time(time) => Ok(time),
        other => Err(wrong_type("time.Time", other)),
    }
}

fn duration_in(value: &Value<'_>) -> Result<i64, String> {
    match value {
        // A number that stands in the template is a duration where one is wanted.
        Value::Duration(ns) | Value::Int(ns) => Ok(*ns),
        other => Err(wrong_type("time.Duration", other)),
    }
}

fn int_in(value: &Value<'_>) -> Result<i64, String> {
    match value {
        Value::Int(number) => Ok(*number),
        other => Err(wrong_type("int", other)),
    }
}

/// Rounds down, as an integer of Go's is made of a time.
fn whole(ns: i128, unit: i128) -> Value<'static> {
    Value::Int(i64::try_from(ns.div_euclid(unit)).unwrap_or(i64::MAX))
}

type Found = Result<Option<Value<'static>>, String>;

fn of_time(time: &GoTime, name: &str, args: &[Value<'_>]) -> Found {
    let made = match name {
        "Format" => {
            let [layout] = exactly(name, args)?;
            let Value::Text(layout) = layout else { return Err(wrong_type("string", layout)) };
            return Ok(Some(Value::text(time.format(layout))));
        }
        "Add" | "Round" | "Truncate" => {
            let [duration] = exactly(name, args)?;
            let ns = duration_in(duration)?;
            Value::Time(Arc::new(match name {
                "Add" => time.add_ns(ns),
                "Round" => time.round(ns),
                _ => time.truncate(ns),
            }))
        }
        "AddDate" => {
            let [years, months, days] = exactly(name, args)?;
            let moved = time.add_date(int_in(years)?, int_in(months)?, int_in(days)?);
            Value::Time(Arc::new(moved.ok_or("the date is out of range")?))
        }
        "Sub" | "After" | "Before" | "Equal" | "Compare" => {
            let [other] = exactly(name, args)?;
            let other = time_in(other)?;
            let order = time.unix_ns().cmp(&other.unix_ns());
            match name {
                "Sub" => Value::Duration(time.since_ns(other)),
                "After" => Value::Bool(order.is_gt()),
                "Before" => Value::Bool(order.is_lt()),
                "Equal" => Value::Bool(order.is_eq()),
                _ => Value::Int(order as i64),
            }
        }
        _ => {
            let Some(made) = time_alone(time, name) else { return Ok(None) };
            let [] = exactly(name, args)?;
            made
        }
    };
    Ok(Some(made))
}

/// Methods of times without arguments.
fn time_alone(time: &GoTime, name: &str) -> Option<Value<'static>> {
    let (ns, civil) = (time.unix_ns(), time.civil());
    Some(match name {
        "UTC" | "Local" => Value::Time(Arc::new(time.to_utc())),
        "Unix" => whole(ns, 1_000_000_000),
        "UnixMilli" => whole(ns, 1_000_000),
        "UnixMicro" => whole(ns, 1_000),
        "UnixNano" => whole(ns, 1),
        "Year" => Value::Int(civil.year().into()),
        "Month" => Named::value("time.Month", civil.month(), GoTime::month_name(civil.month())),
        "Weekday" => {
            let day = civil.weekday().to_sunday_zero_offset();
            Named::value("time.Weekday", day, GoTime::day_name(day))
        }
        "Day" => Value::Int(civil.day().into()),
        "YearDay" => Value::Int(civil.day_of_year().into()),
        "Hour" => Value::Int(civil.hour().into()),
        "Minute" => Value::Int(civil.minute().into()),
        "Second" => Value::Int(civil.second().into()),
        "Nanosecond" => Value::Int(civil.subsec_nanosecond().into()),
        "IsZero" => Value::Bool(ns == GoTime::zero().unix_ns()),
        "String" => Value::text(time.print()),
        _ => return None,
    })
}

fn of_duration(ns: i64, name: &str, args: &[Value<'_>]) -> Found {
    let made = match name {
        "Round" | "Truncate" => {
            let [unit] = exactly(name, args)?;
            let unit = duration_in(unit)?;
            Value::Duration(if name == "Round" { rounded(ns, unit) } else { truncated(ns, unit) })
        }
        _ => {
            let made = match name {
                "Hours" => Value::Float(units(ns, 3_600_000_000_000)),
                "Minutes" => Value::Float(units(ns, 60_000_000_000)),
                "Seconds" => Value::Float(units(ns, 1_000_000_000)),
                "Milliseconds" => Value::Int(ns / 1_000_000),
                "Microseconds" => Value::Int(ns / 1_000),
                "Nanoseconds" => Value::Int(ns),
                "Abs" => Value::Duration(ns.saturating_abs()),
                "String" => Value::text(duration_string(ns)),
                _ => return Ok(None),
            };
            let [] = exactly(name, args)?;
            made
        }
    };
    Ok(Some(made))
}

/// Whole units and their fraction apart, as Go adds them.
fn units(ns: i64, unit: i64) -> f64 {
    (ns / unit) as f64 + (ns % unit) as f64 / unit as f64
}

fn truncated(ns: i64, unit: i64) -> i64 {
    if unit <= 0 { ns } else { ns - ns % unit }
}

/// Halves away from zero; what does not fit is the largest duration.
fn rounded(ns: i64, unit: i64) -> i64 {
    if unit <= 0 {
        return ns;
    }
    let rest = ns % unit;
    let down = ns - rest;
    if rest.unsigned_abs().saturating_mul(2) < unit.unsigned_abs() {
        down
    } else {
        down.saturating_add(if ns < 0 { -unit } else { unit })
    }
}

/// Go's `Duration.String`: `1h30m0s`, `1.5s`, `100ms`.
pub(crate) fn duration_string(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let size = ns.unsigned_abs();
    let decimal = |unit: u64, digits: usize| {
        let fraction = format!("{:0digits$}", size % unit);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        (size / unit, format!("{point}{fraction}"))
    };
    match size {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{size}ns"),
        1_000..1_000_000 => {
            let (whole, fraction) = decimal(1_000, 3);
            format!("{sign}{whole}{fraction}\u{b5}s")
        }
        1_000_000..1_000_000_000 => {
            let (whole, fraction) = decimal(1_000_000, 6);
            format!("{sign}{whole}{fraction}ms")
        }
        _ => {
            let (whole, fraction) = decimal(1_000_000_000, 9);
            let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
            match (hours, minutes) {
                (0, 0) => format!("{sign}{seconds}{fraction}s"),
                (0, _) => format!("{sign}{minutes}m{seconds}{fraction}s"),
                _ => format!("{sign}{hours}h{minutes}m{seconds}{fraction}s"),
            }
        }
    }
}

/// A number of Go's that prints as a name: a month, a weekday.
#[derive(Debug)]
struct Named {
    type_name: &'static str,
    number: i64,
    name: &'static str,
}

impl Named {
    fn value(type_name: &'static str, number: i8, name: &'static str) -> Value<'static> {
        Value::object(Named { type_name, number: number.into(), name })
    }
}

impl Object for Named {
    fn type_name(&self) -> &str {
        self.type_name
    }

    fn plain(&self) -> Value<'static> {
        Value::Int(self.number)
    }

    fn call(&self, name: &str, args: &[Value<'_>]) -> Option<Result<Value<'static>, String>> {
        (name == "String").then(|| {
            let [] = exactly(name, args)?;
            Ok(Value::text(self.name))
        })
    }

    fn string(&self) -> Option<String> {
        Some(self.name.to_owned())
    }
}
