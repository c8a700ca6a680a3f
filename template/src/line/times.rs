//! Functions on times. Times travel through a template as the texts that Go prints of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gotmpl::Value;

use super::Current;
use crate::functions::{Registry, string, text};
use crate::gotime::GoTime;

pub(super) fn add(registry: &mut Registry, current: &Arc<Current>) {
    let seen = current.clone();
    registry.add("__timestamp__", move |[]| {
        Ok(text(GoTime::of_ns(seen.at_ns.load(Ordering::Relaxed)).print()))
    });
    let seen = current.clone();
    registry
        .add("now", move |[]| Ok(text(GoTime::of_ns(seen.now_ns.load(Ordering::Relaxed)).print())));
    let seen = current.clone();
    registry.add("date", move |[layout, v]| {
        // What is no time is now.
        let now = || GoTime::of_ns(seen.now_ns.load(Ordering::Relaxed));
        Ok(text(time(v).unwrap_or_else(now).to_utc().format(&string(layout)?)))
    });
    registry.add("toDate", |[layout, v]| {
        let time = GoTime::parse(&string(layout)?, "UTC", &string(v)?);
        Ok(text(time.unwrap_or_else(GoTime::zero).print()))
    });
    registry.add("toDateInZone", |[layout, zone, v]| {
        let time = GoTime::parse(&string(layout)?, &string(zone)?, &string(v)?);
        Ok(text(time.unwrap_or_else(GoTime::zero).print()))
    });
    registry.add("unixToTime", |[v]| unix_to_time(&string(v)?).map(|time| text(time.print())));
    const UNITS: [(&str, i128); 3] =
        [("unixEpoch", 1_000_000_000), ("unixEpochMillis", 1_000_000), ("unixEpochNanos", 1)];
    for (name, unit) in UNITS {
        registry.add(name, move |[v]| {
            let time = time(v).ok_or("the argument is no time")?;
            Ok(text(time.unix_ns().div_euclid(unit).to_string()))
        });
    }
}

fn time(value: &Value) -> Option<GoTime> {
    match value {
        Value::String(printed) => GoTime::parse_printed(printed),
        Value::Int(seconds) => GoTime::of_seconds(*seconds),
        _ => None,
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
