//! Functions of LogQL's templates on times. Times without a zone, and those that are shown, are in
//! UTC.

use std::sync::Arc;

use crate::function::{Answer, Call, Function, wrong_type};
use crate::gotime::GoTime;
use crate::value::Value;

pub(super) static TIME_FUNCTIONS: &[Function] = &[
    Function::exact("__timestamp__", 0, |call| time(GoTime::of_ns(call.world.line_at_ns()))),
    Function::exact("now", 0, |call| time(GoTime::of_ns(call.world.now_ns()))),
    Function::exact("date", 2, |call| {
        let time = match call.value(1) {
            Value::Time(time) => time.to_utc(),
            Value::Int(seconds) => GoTime::of_seconds(*seconds).unwrap_or_else(GoTime::zero),
            // What is no time is now.
            _ => GoTime::of_ns(call.world.now_ns()),
        };
        Ok(Value::text(time.format(call.text(0)?)))
    }),
    Function::exact("toDate", 2, |call| {
        // What can not be read is the zero time.
        let read = GoTime::parse(call.text(0)?, "UTC", call.text(1)?);
        time(read.unwrap_or_else(GoTime::zero))
    }),
    Function::exact("toDateInZone", 3, |call| {
        let read = GoTime::parse(call.text(0)?, call.text(1)?, call.text(2)?);
        time(read.unwrap_or_else(GoTime::zero))
    }),
    Function::exact("unixToTime", 1, |call| time(unix_to_time(call.text(0)?)?)),
    Function::exact("unixEpoch", 1, |call| unix(call, 1_000_000_000)),
    Function::exact("unixEpochMillis", 1, |call| unix(call, 1_000_000)),
    Function::exact("unixEpochNanos", 1, |call| unix(call, 1)),
];

fn time<'v>(time: GoTime) -> Answer<'v> {
    Ok(Value::Time(Arc::new(time)))
}

fn unix<'v>(call: &Call<'_, 'v>, unit_ns: i128) -> Answer<'v> {
    match call.value(0) {
        Value::Time(time) => Ok(Value::text(time.unix_ns().div_euclid(unit_ns).to_string())),
        other => Err(wrong_type("time.Time", other)),
    }
}

/// Days, seconds, milliseconds, microseconds or nanoseconds, by the number of digits.
fn unix_to_time(written: &str) -> Result<GoTime, String> {
    let bad = || format!("unable to parse time '{written}'");
    let number: i64 = written.parse().map_err(|_| bad())?;
    let ns = |unit: i64| number.checked_mul(unit).map(GoTime::of_ns);
    let time = match written.len() {
        5 => number.checked_mul(86_400).and_then(GoTime::of_seconds),
        10 => GoTime::of_seconds(number),
        13 => ns(1_000_000),
        16 => ns(1_000),
        19 => ns(1),
        _ => None,
    };
    time.ok_or_else(bad)
}
