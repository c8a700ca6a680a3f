//! Functions of LogQL's templates on numbers (sprig 3.3), and the line itself.

use super::decimal;
use crate::function::{Answer, Call, Function, wrong_type};
use crate::literal::integer;
use crate::value::Value;

/// The line, and numbers. Whole numbers wrap around, as Go's do.
pub(super) static LINE_FUNCTIONS: &[Function] = &[
    Function::exact("__line__", 0, |call| Ok(Value::text(call.world.line()))),
    Function::exact("int", 1, |call| Ok(Value::Int(to_int(call.value(0))))),
    Function::exact("float64", 1, |call| Ok(Value::Float(to_float(call.value(0))))),
    Function::variadic("add", 0, |call| whole(call, i64::wrapping_add)),
    Function::variadic("mul", 1, |call| whole(call, i64::wrapping_mul)),
    Function::variadic("max", 1, |call| whole(call, i64::max)),
    Function::variadic("min", 1, |call| whole(call, i64::min)),
    Function::exact("sub", 2, |call| whole(call, i64::wrapping_sub)),
    Function::exact("div", 2, |call| divided(call, i64::wrapping_div)),
    Function::exact("mod", 2, |call| divided(call, i64::wrapping_rem)),
    Function::variadic("addf", 0, |call| fraction(call, decimal::add)),
    Function::variadic("subf", 1, |call| fraction(call, decimal::subtract)),
    Function::variadic("mulf", 1, |call| fraction(call, decimal::multiply)),
    Function::variadic("divf", 1, |call| fraction(call, decimal::divide)),
    Function::variadic("maxf", 1, |call| fraction(call, |a, b| Ok(a.max(b)))),
    Function::variadic("minf", 1, |call| fraction(call, |a, b| Ok(a.min(b)))),
    Function::exact("ceil", 1, |call| Ok(Value::Float(to_float(call.value(0)).ceil()))),
    Function::exact("floor", 1, |call| Ok(Value::Float(to_float(call.value(0)).floor()))),
    Function::variadic("round", 2, |call| {
        let places = i32::try_from(call.int(1)?.clamp(-400, 400)).unwrap_or(0);
        let up_from = match call.args.get(2) {
            None => 0.5,
            Some(Value::Float(number)) => *number,
            Some(Value::Int(number)) => *number as f64,
            Some(other) => return Err(wrong_type("float64", other)),
        };
        Ok(Value::Float(round(to_float(call.value(0)), places, up_from)))
    }),
];

/// What `int` makes of a value; what is no number is zero.
fn to_int(value: &Value<'_>) -> i64 {
    match value.plain() {
        Value::Int(number) | Value::Duration(number) => number,
        Value::Float(number) => number as i64,
        Value::Bool(truth) => i64::from(truth),
        Value::Text(written) => integer(&written).ok().flatten().unwrap_or(0),
        _ => 0,
    }
}

/// What `float64` makes of a value; what is no number is zero.
fn to_float(value: &Value<'_>) -> f64 {
    match value.plain() {
        Value::Float(number) => number,
        Value::Int(number) | Value::Duration(number) => number as f64,
        Value::Bool(truth) => f64::from(u8::from(truth)),
        Value::Text(written) => crate::values::float(written.trim()).unwrap_or(0.0),
        _ => 0.0,
    }
}

fn whole<'v>(call: &Call<'_, 'v>, fold: fn(i64, i64) -> i64) -> Answer<'v> {
    Ok(Value::Int(call.args.iter().map(to_int).reduce(fold).unwrap_or(0)))
}

fn divided<'v>(call: &Call<'_, 'v>, operation: fn(i64, i64) -> i64) -> Answer<'v> {
    match (to_int(call.value(0)), to_int(call.value(1))) {
        (_, 0) => Err("runtime error: integer divide by zero".to_owned()),
        (a, b) => Ok(Value::Int(operation(a, b))),
    }
}

fn fraction<'v>(call: &Call<'_, 'v>, fold: fn(f64, f64) -> Result<f64, String>) -> Answer<'v> {
    let mut numbers = call.args.iter().map(to_float);
    let first = numbers.next().unwrap_or(0.0);
    numbers.try_fold(first, fold).map(Value::Float)
}

/// Rounds up where the part behind the last place is at least `up_from`.
fn round(value: f64, places: i32, up_from: f64) -> f64 {
    let power = 10f64.powi(places);
    let digits = power * value;
    let fraction = digits % 1.0;
    let rounded = if fraction >= up_from { digits.ceil() } else { digits.floor() };
    rounded / power
}
