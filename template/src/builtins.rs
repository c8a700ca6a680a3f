//! The functions of every template (Go `text/template/funcs.go`, 1.24).
//!
//! `call` is not there: no value of ours is a function.

use std::cmp::Ordering;

use crate::format;
use crate::function::{Answer, Call, Function, Run};
use crate::url::query_escape;
use crate::value::{Text, Value};

/// What every language has.
pub static BUILTINS: &[Function] = &[
    Function { name: "and", least: 1, most: None, run: Run::And },
    Function { name: "or", least: 1, most: None, run: Run::Or },
    Function::exact("not", 1, |call| Ok(Value::Bool(!call.value(0).is_true()))),
    Function::variadic("eq", 1, |call| {
        let Some((first, others)) = call.args.split_first().filter(|(_, rest)| !rest.is_empty())
        else {
            return Err("missing argument for comparison".to_owned());
        };
        for other in others {
            if is_equal(first, other)? {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }),
    Function::exact("ne", 2, |call| Ok(Value::Bool(!is_equal(call.value(0), call.value(1))?))),
    Function::exact("lt", 2, |call| compare(call, Ordering::is_lt)),
    Function::exact("le", 2, |call| compare(call, Ordering::is_le)),
    Function::exact("gt", 2, |call| compare(call, Ordering::is_gt)),
    Function::exact("ge", 2, |call| compare(call, Ordering::is_ge)),
    Function::exact("len", 1, |call| length(call.value(0)).map(|n| Value::Int(to_int(n)))),
    Function::variadic("index", 1, index),
    Function::variadic("slice", 1, slice),
    Function::variadic("print", 0, |call| {
        format::sprint(call.args, call.bytes_max).map(Value::text)
    }),
    Function::variadic("println", 0, |call| {
        format::sprintln(call.args, call.bytes_max).map(Value::text)
    }),
    Function::variadic("printf", 1, |call| {
        format::sprintf(call.text(0)?, call.args.get(1..).unwrap_or(&[]), call.bytes_max)
            .map(Value::text)
    }),
    Function::variadic("html", 0, |call| {
        Ok(Value::text(html(&format::joined(call.args, call.bytes_max)?)))
    }),
    Function::variadic("js", 0, |call| {
        Ok(Value::text(js(&format::joined(call.args, call.bytes_max)?)))
    }),
    Function::variadic("urlquery", 0, |call| {
        Ok(Value::text(query_escape(&format::joined(call.args, call.bytes_max)?)))
    }),
];

fn to_int(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// What can be compared: kinds of Go's, whatever the type.
enum Basic<'a> {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
}

/// Calls a function with the basic kind of a value, or with nothing.
fn basic<'a>(value: &'a Value<'_>) -> Option<Basic<'a>> {
    match value {
        Value::Bool(truth) => Some(Basic::Bool(*truth)),
        Value::Int(number) | Value::Duration(number) => Some(Basic::Int(*number)),
        Value::Float(number) => Some(Basic::Float(*number)),
        Value::Text(text) => Some(Basic::Text(text)),
        _ => None,
    }
}

fn is_equal(a: &Value<'_>, b: &Value<'_>) -> Result<bool, String> {
    let (a, b) = (a.plain(), b.plain());
    match (basic(&a), basic(&b)) {
        (Some(Basic::Bool(a)), Some(Basic::Bool(b))) => Ok(a == b),
        (Some(Basic::Int(a)), Some(Basic::Int(b))) => Ok(a == b),
        (Some(Basic::Float(a)), Some(Basic::Float(b))) => Ok(a == b),
        (Some(Basic::Text(a)), Some(Basic::Text(b))) => Ok(a == b),
        _ => match (&a, &b) {
            (Value::Nil, Value::Nil) => Ok(true),
            (Value::Nil, _) | (_, Value::Nil) => Ok(false),
            (Value::Time(a), Value::Time(b)) => Ok(a == b),
            (a, b) if a.type_name() != b.type_name() => {
                Err("incompatible types for comparison".to_owned())
            }
            (a, _) => Err(format!("non-comparable type {}", a.type_name())),
        },
    }
}

fn compare<'v>(call: &Call<'_, 'v>, wanted: fn(Ordering) -> bool) -> Answer<'v> {
    let (a, b) = (call.value(0).plain(), call.value(1).plain());
    let (Some(a), Some(b)) = (basic(&a), basic(&b)) else {
        return Err("invalid type for comparison".to_owned());
    };
    let order = match (a, b) {
        (Basic::Int(a), Basic::Int(b)) => Some(a.cmp(&b)),
        // Nothing is less or greater than what is no number.
        (Basic::Float(a), Basic::Float(b)) => a.partial_cmp(&b),
        (Basic::Text(a), Basic::Text(b)) => Some(a.cmp(b)),
        (Basic::Bool(_), Basic::Bool(_)) => return Err("invalid type for comparison".to_owned()),
        _ => return Err("incompatible types for comparison".to_owned()),
    };
    Ok(Value::Bool(order.is_some_and(wanted)))
}

fn length(value: &Value<'_>) -> Result<usize, String> {
    match value.plain() {
        Value::Text(text) => Ok(text.len()),
        Value::List(list) => Ok(list.items().len()),
        Value::Map(map) => Ok(map.entries().len()),
        Value::Texts(texts) => Ok(texts.len()),
        Value::Nil => Err("len of nil pointer".to_owned()),
        other => Err(format!("len of type {}", other.type_name())),
    }
}

fn place(value: &Value<'_>, most: usize) -> Result<usize, String> {
    match value.plain() {
        Value::Int(number) => usize::try_from(number)
            .ok()
            .filter(|place| *place <= most)
            .ok_or_else(|| format!("index out of range: {number}")),
        Value::Nil => Err("cannot index slice/array with nil".to_owned()),
        other => Err(format!("cannot index slice/array with type {}", other.type_name())),
    }
}

fn index<'v>(call: &Call<'_, 'v>) -> Answer<'v> {
    let mut value = call.value(0).clone();
    if matches!(value, Value::Nil) {
        return Err("index of untyped nil".to_owned());
    }
    for key in call.args.iter().skip(1) {
        let at = |count: usize| match count.checked_sub(1) {
            Some(last) => place(key, last),
            None => place(key, 0).and_then(|at| Err(format!("index out of range: {at}"))),
        };
        let name = || match key.plain() {
            Value::Text(name) => Ok(name),
            other => Err(format!("value has type {}; should be string", other.type_name())),
        };
        value = match value.plain() {
            Value::Nil => return Err("index of untyped nil".to_owned()),
            Value::List(list) => {
                let found = list.items().get(at(list.items().len())?);
                found.cloned().unwrap_or_default()
            }
            Value::Text(text) => {
                let byte = text.as_bytes().get(at(text.len())?);
                Value::Int(byte.copied().unwrap_or(0).into())
            }
            Value::Map(map) => map.entries().get(&*name()?).cloned().unwrap_or_default(),
            Value::Texts(texts) => Value::Text(texts.get(&name()?).unwrap_or(Text::Borrowed(""))),
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(value)
}

fn slice<'v>(call: &Call<'_, 'v>) -> Answer<'v> {
    if call.args.len() > 4 {
        return Err(format!("too many slice indexes: {}", call.args.len() - 1));
    }
    let value = call.value(0).plain();
    let count = match &value {
        Value::Text(_) if call.args.len() == 4 => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::Nil => return Err("slice of untyped nil".to_owned()),
        Value::Text(_) | Value::List(_) => length(&value)?,
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let mut places = [0, count, count];
    for (place_of, arg) in places.iter_mut().zip(call.args.iter().skip(1)) {
        *place_of = place(arg, count)?;
    }
    let [from, to, most] = places;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    if to > most {
        return Err(format!("invalid slice index: {to} > {most}"));
    }
    match value {
        Value::List(list) => Value::list(list.items().get(from..to).unwrap_or(&[]).to_vec()),
        Value::Text(text) => Ok(Value::Text(part(text, from, to))),
        other => Ok(other),
    }
}

/// Bytes of a text. Where they are no text, because a character is cut, they are replaced.
pub(crate) fn part(text: Text<'_>, from: usize, to: usize) -> Text<'_> {
    match text {
        Text::Borrowed(whole) if whole.get(from..to).is_some() => {
            Text::Borrowed(whole.get(from..to).unwrap_or(""))
        }
        text => {
            let bytes = text.as_bytes().get(from..to).unwrap_or(&[]);
            Text::from(String::from_utf8_lossy(bytes).into_owned())
        }
    }
}

fn html(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => made.push_str("&#34;"),
            '\'' => made.push_str("&#39;"),
            '&' => made.push_str("&amp;"),
            '<' => made.push_str("&lt;"),
            '>' => made.push_str("&gt;"),
            '\0' => made.push('\u{fffd}'),
            c => made.push(c),
        }
    }
    made
}

fn js(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => made.push_str("\\\\"),
            '\'' => made.push_str("\\'"),
            '"' => made.push_str("\\\""),
            '<' | '>' | '&' | '=' | '\0'..' ' => {
                made.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c if !c.is_ascii() && !format::is_printable(c) => {
                made.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c => made.push(c),
        }
    }
    made
}
