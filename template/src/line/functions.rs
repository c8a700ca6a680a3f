//! The functions of LogQL's templates by name (Loki 3.8, `pkg/logql/log/fmt.go`), and those for
//! numbers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gotmpl::Value;

use super::{Current, texts, times};
use crate::functions::{Answer, Registry, text};
use crate::limits::STEPS_MAX;

/// Names of all functions.
const NAMES: &[&str] = &[
    "__line__",
    "__timestamp__",
    "ToLower",
    "ToUpper",
    "Replace",
    "Trim",
    "TrimLeft",
    "TrimRight",
    "TrimPrefix",
    "TrimSuffix",
    "TrimSpace",
    "regexReplaceAll",
    "regexReplaceAllLiteral",
    "count",
    "urldecode",
    "urlencode",
    "bytes",
    "duration",
    "duration_seconds",
    "unixEpochMillis",
    "unixEpochNanos",
    "toDateInZone",
    "unixToTime",
    "alignLeft",
    "alignRight",
    "b64dec",
    "b64enc",
    "lower",
    "upper",
    "title",
    "trunc",
    "substr",
    "contains",
    "hasPrefix",
    "hasSuffix",
    "indent",
    "nindent",
    "replace",
    "repeat",
    "trim",
    "trimAll",
    "trimSuffix",
    "trimPrefix",
    "int",
    "float64",
    "add",
    "sub",
    "mul",
    "div",
    "mod",
    "addf",
    "subf",
    "mulf",
    "divf",
    "max",
    "min",
    "maxf",
    "minf",
    "ceil",
    "floor",
    "round",
    "fromJson",
    "date",
    "toDate",
    "now",
    "unixEpoch",
    "default",
    "print",
    "printf",
    "println",
    "and",
    "or",
    "not",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "len",
    "index",
    "slice",
    "html",
    "js",
    "urlquery",
    "call",
];

pub(super) fn is_function(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Adds all functions to an engine.
pub(super) fn register(engine: gotmpl::Template, current: &Arc<Current>) -> gotmpl::Template {
    let steps = current.clone();
    let step = move || {
        if steps.steps.fetch_add(1, Ordering::Relaxed) >= STEPS_MAX {
            return Err(format!("template takes more than {STEPS_MAX} steps"));
        }
        Ok(())
    };
    let mut registry = Registry::new(engine, Arc::new(step));
    registry.add_guards();
    let seen = current.clone();
    registry.add("__line__", move |[]| Ok(text(seen.line())));
    add_numbers(&mut registry);
    texts::add(&mut registry);
    times::add(&mut registry, current);
    registry.into_template()
}

/// What `int` makes of a value; what is no number is zero.
pub(super) fn to_int(value: &Value) -> i64 {
    match value {
        Value::Int(number) => *number,
        Value::Uint(number) => i64::try_from(*number).unwrap_or(i64::MAX),
        Value::Float(number) => *number as i64,
        Value::Bool(truth) => i64::from(*truth),
        Value::String(written) => parse_int(written),
        _ => 0,
    }
}

/// An integer as Go reads it with a base of its own.
fn parse_int(written: &str) -> i64 {
    let (negative, body) = match written.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, written.strip_prefix('+').unwrap_or(written)),
    };
    let lower = body.to_ascii_lowercase();
    let (digits, radix) = match lower.get(..2) {
        Some("0x") => (&lower[2..], 16),
        Some("0b") => (&lower[2..], 2),
        Some("0o") => (&lower[2..], 8),
        _ if lower.len() > 1 && lower.starts_with('0') => (&lower[1..], 8),
        _ => (lower.as_str(), 10),
    };
    if digits.starts_with(['+', '-']) {
        return 0;
    }
    let number = i64::from_str_radix(digits, radix).unwrap_or(0);
    if negative { -number } else { number }
}

/// What `float64` makes of a value; what is no number is zero.
pub(super) fn to_float(value: &Value) -> f64 {
    match value {
        Value::Float(number) => *number,
        Value::Int(number) => *number as f64,
        Value::Uint(number) => *number as f64,
        Value::Bool(truth) => f64::from(u8::from(*truth)),
        Value::String(written) => written.trim().parse().unwrap_or(0.0),
        _ => 0.0,
    }
}

fn too_few(args: &[Value], wanted: usize) -> Result<(), String> {
    if args.len() < wanted {
        return Err(format!("wrong number of args: want at least {wanted} got {}", args.len()));
    }
    Ok(())
}

fn add_numbers(registry: &mut Registry) {
    registry.add("int", |[v]| Ok(Value::Int(to_int(v))));
    registry.add("float64", |[v]| Ok(Value::Float(to_float(v))));
    type Fold<T> = fn(T, T) -> T;
    let folds: [(&'static str, usize, Fold<i64>); 4] = [
        ("add", 0, i64::wrapping_add),
        ("mul", 1, i64::wrapping_mul),
        ("max", 1, i64::max),
        ("min", 1, i64::min),
    ];
    for (name, least, fold) in folds {
        registry.add_any(name, move |args| {
            too_few(args, least)?;
            Ok(Value::Int(args.iter().map(to_int).reduce(fold).unwrap_or(0)))
        });
    }
    let folds: [(&'static str, Fold<f64>); 6] = [
        ("addf", |a, b| a + b),
        ("subf", |a, b| a - b),
        ("mulf", |a, b| a * b),
        ("divf", |a, b| a / b),
        ("maxf", f64::max),
        ("minf", f64::min),
    ];
    for (name, fold) in folds {
        registry.add_any(name, move |args| {
            too_few(args, usize::from(name != "addf"))?;
            Ok(Value::Float(args.iter().map(to_float).reduce(fold).unwrap_or(0.0)))
        });
    }
    registry.add("sub", |[a, b]| Ok(Value::Int(to_int(a).wrapping_sub(to_int(b)))));
    registry.add("div", |[a, b]| divide(a, b, i64::checked_div));
    registry.add("mod", |[a, b]| divide(a, b, i64::checked_rem));
    registry.add("ceil", |[v]| Ok(Value::Float(to_float(v).ceil())));
    registry.add("floor", |[v]| Ok(Value::Float(to_float(v).floor())));
    registry.add_any("round", |args| {
        too_few(args, 2)?;
        let places = to_int(&args[1]).clamp(-300, 300) as i32;
        let up_from = args.get(2).map_or(0.5, to_float);
        Ok(Value::Float(round(to_float(&args[0]), places, up_from)))
    });
}

fn divide(a: &Value, b: &Value, op: fn(i64, i64) -> Option<i64>) -> Answer {
    let divided = op(to_int(a), to_int(b));
    divided.map(Value::Int).ok_or_else(|| "runtime error: integer divide by zero".to_owned())
}

/// Rounds away from zero where the digit behind the last place is at least `up_from`.
fn round(value: f64, places: i32, up_from: f64) -> f64 {
    let power = 10f64.powi(places);
    let digits = power * value;
    let fraction = digits % 1.0;
    let rounded = if fraction >= up_from { digits.ceil() } else { digits.floor() };
    rounded / power
}
