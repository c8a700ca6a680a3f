//! Functions of LogQL's templates on texts. What only cuts a text does not copy it.
//!
//! Where sprig counts bytes and would cut a character in two (`trunc`, `substr`), characters are
//! counted here.

use std::collections::BTreeMap;

use crate::builtins::part;
use crate::function::{Answer, Call, Function};
use crate::text::{replace_all, title};
use crate::url::{base64_decode, base64_encode, query_escape, query_unescape};
use crate::value::{Text, Value};
use crate::values;

pub(super) static TEXT_FUNCTIONS: &[Function] = &[
    Function::exact("lower", 1, lower),
    Function::exact("ToLower", 1, lower),
    Function::exact("upper", 1, upper),
    Function::exact("ToUpper", 1, upper),
    Function::exact("title", 1, |call| Ok(Value::text(title(call.text(0)?)))),
    Function::exact("trunc", 2, |call| {
        let (count, text) = (call.int(0)?, call.text(1)?);
        let length = text.chars().count() as i64;
        Ok(match count {
            ..0 if length + count > 0 => chars(text, length + count, length),
            0.. => chars(text, 0, count),
            _ => Value::Text(text.clone()),
        })
    }),
    Function::exact("substr", 3, |call| {
        let (start, end, text) = (call.int(0)?, call.int(1)?, call.text(2)?);
        Ok(chars(text, start, if end < 0 { i64::MAX } else { end }))
    }),
    Function::exact("contains", 2, |call| {
        Ok(Value::Bool(call.text(1)?.contains(&**call.text(0)?)))
    }),
    Function::exact("hasPrefix", 2, |call| {
        Ok(Value::Bool(call.text(1)?.starts_with(&**call.text(0)?)))
    }),
    Function::exact("hasSuffix", 2, |call| {
        Ok(Value::Bool(call.text(1)?.ends_with(&**call.text(0)?)))
    }),
    Function::exact("indent", 2, |call| indented(call, "")),
    Function::exact("nindent", 2, |call| indented(call, "\n")),
    Function::exact("replace", 3, |call| {
        replaced(call, [call.text(2)?, call.text(0)?, call.text(1)?], -1)
    }),
    Function::exact("Replace", 4, |call| {
        replaced(call, [call.text(0)?, call.text(1)?, call.text(2)?], call.int(3)?)
    }),
    Function::exact("repeat", 2, |call| {
        let (count, text) = (call.int(0)?, call.text(1)?);
        let count = usize::try_from(count).map_err(|_| "negative repeat count".to_owned())?;
        call.check_bytes(text.len().saturating_mul(count))?;
        Ok(Value::text(text.repeat(count)))
    }),
    Function::exact("trim", 1, |call| cut(call, 0, str::trim)),
    Function::exact("TrimSpace", 1, |call| cut(call, 0, str::trim)),
    Function::exact("trimAll", 2, |call| cut_set(call, 1, 0, [true, true])),
    Function::exact("Trim", 2, |call| cut_set(call, 0, 1, [true, true])),
    Function::exact("TrimLeft", 2, |call| cut_set(call, 0, 1, [true, false])),
    Function::exact("TrimRight", 2, |call| cut_set(call, 0, 1, [false, true])),
    Function::exact("trimPrefix", 2, |call| without_prefix(call, 1, 0)),
    Function::exact("TrimPrefix", 2, |call| without_prefix(call, 0, 1)),
    Function::exact("trimSuffix", 2, |call| without_suffix(call, 1, 0)),
    Function::exact("TrimSuffix", 2, |call| without_suffix(call, 0, 1)),
    Function::exact("regexReplaceAll", 3, |call| {
        replace_all(&*call.regex(0)?, call.text(2)?, call.text(1)?, call.bytes_max).map(Value::text)
    }),
    Function::exact("regexReplaceAllLiteral", 3, |call| {
        let replacement = call.text(2)?.replace('$', "$$");
        replace_all(&*call.regex(0)?, &replacement, call.text(1)?, call.bytes_max).map(Value::text)
    }),
    Function::exact("count", 2, |call| {
        let count = call.regex(0)?.find_iter(call.text(1)?).count();
        Ok(Value::Int(i64::try_from(count).unwrap_or(i64::MAX)))
    }),
    Function::exact("alignLeft", 2, |call| aligned(call, false)),
    Function::exact("alignRight", 2, |call| aligned(call, true)),
    Function::variadic("default", 1, |call| {
        let given = call.value(1);
        Ok(if given.is_true() { given } else { call.value(0) }.clone())
    }),
    Function::exact("urlencode", 1, |call| Ok(Value::text(query_escape(call.text(0)?)))),
    Function::exact("urldecode", 1, |call| query_unescape(call.text(0)?).map(Value::text)),
    Function::exact("b64enc", 1, |call| Ok(Value::text(base64_encode(call.text(0)?.as_bytes())))),
    Function::exact("b64dec", 1, |call| {
        // What can not be decoded is told in place of the result.
        let told = |at| format!("illegal base64 data at input byte {at}");
        Ok(Value::text(base64_decode(call.text(0)?).unwrap_or_else(told)))
    }),
    Function::exact("fromJson", 1, |call| {
        // What is no JSON is nil.
        let json = serde_json::from_str(call.text(0)?).unwrap_or(serde_json::Value::Null);
        of_json(json)
    }),
    Function::exact("bytes", 1, |call| values::bytes(call.text(0)?).map(Value::Float)),
    Function::exact("duration", 1, seconds),
    Function::exact("duration_seconds", 1, seconds),
];

fn lower<'v>(call: &Call<'_, 'v>) -> Answer<'v> {
    Ok(Value::text(call.text(0)?.to_lowercase()))
}

fn upper<'v>(call: &Call<'_, 'v>) -> Answer<'v> {
    Ok(Value::text(call.text(0)?.to_uppercase()))
}

fn seconds<'v>(call: &Call<'_, 'v>) -> Answer<'v> {
    Ok(Value::Float(values::duration_ns(call.text(0)?)? as f64 / 1e9))
}

/// A part of a text that was found in it.
fn part_of<'v>(text: &Text<'v>, from: usize, to: usize) -> Value<'v> {
    if (from, to) == (0, text.len()) {
        return Value::Text(text.clone());
    }
    Value::Text(part(text.clone(), from, to))
}

/// Characters of a text; places outside of it are its ends.
fn chars<'v>(text: &Text<'v>, from: i64, to: i64) -> Value<'v> {
    let byte = |place: i64| {
        let place = usize::try_from(place.max(0)).unwrap_or(usize::MAX);
        text.char_indices().nth(place).map_or(text.len(), |(at, _)| at)
    };
    let (from, to) = (byte(from), byte(to));
    part_of(text, from, to.max(from))
}

fn cut<'v>(call: &Call<'_, 'v>, place: usize, cut: fn(&str) -> &str) -> Answer<'v> {
    let text = call.text(place)?;
    let kept = cut(text);
    let from = kept.as_ptr().addr() - text.as_ptr().addr();
    Ok(part_of(text, from, from + kept.len()))
}

/// Cuts characters of a set off the start, the end or both.
fn cut_set<'v>(
    call: &Call<'_, 'v>,
    place: usize,
    set: usize,
    [start, end]: [bool; 2],
) -> Answer<'v> {
    let (text, set) = (call.text(place)?, call.text(set)?);
    let is_cut = |c: char| set.contains(c);
    let from = if start { text.len() - text.trim_start_matches(is_cut).len() } else { 0 };
    let to = if end { text.trim_end_matches(is_cut).len() } else { text.len() };
    Ok(part_of(text, from, to.max(from)))
}

fn without_prefix<'v>(call: &Call<'_, 'v>, place: usize, prefix: usize) -> Answer<'v> {
    let (text, prefix) = (call.text(place)?, call.text(prefix)?);
    let from = if text.starts_with(&**prefix) { prefix.len() } else { 0 };
    Ok(part_of(text, from, text.len()))
}

fn without_suffix<'v>(call: &Call<'_, 'v>, place: usize, suffix: usize) -> Answer<'v> {
    let (text, suffix) = (call.text(place)?, call.text(suffix)?);
    let cut = if text.ends_with(&**suffix) { suffix.len() } else { 0 };
    Ok(part_of(text, 0, text.len() - cut))
}

fn of_json(json: serde_json::Value) -> Answer<'static> {
    Ok(match json {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(truth) => Value::Bool(truth),
        serde_json::Value::Number(number) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(written) => Value::text(written),
        serde_json::Value::Array(items) => {
            Value::list(items.into_iter().map(of_json).collect::<Result<_, _>>()?)?
        }
        serde_json::Value::Object(entries) => {
            let entries = entries.into_iter().map(|(name, json)| Ok((name.into(), of_json(json)?)));
            Value::map(entries.collect::<Result<BTreeMap<_, _>, String>>()?)?
        }
    })
}

fn indented<'v>(call: &Call<'_, 'v>, before: &str) -> Answer<'v> {
    let (blanks, text) = (call.int(0)?, call.text(1)?);
    let blanks = usize::try_from(blanks).map_err(|_| "negative repeat count".to_owned())?;
    let lines = text.matches('\n').count() + 1;
    call.check_bytes(blanks.saturating_mul(lines).saturating_add(text.len()))?;
    let pad = " ".repeat(blanks);
    Ok(Value::text(format!("{before}{pad}{}", text.replace('\n', &format!("\n{pad}")))))
}

fn replaced<'v>(call: &Call<'_, 'v>, [text, old, new]: [&Text<'v>; 3], count: i64) -> Answer<'v> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let places = text.matches(&**old).take(count).count();
    if places == 0 {
        return Ok(Value::Text(text.clone()));
    }
    call.check_bytes(text.len().saturating_add(places.saturating_mul(new.len())))?;
    Ok(Value::text(text.replacen(&**old, new, count)))
}

fn aligned<'v>(call: &Call<'_, 'v>, right: bool) -> Answer<'v> {
    let (count, text) = (call.int(0)?, call.text(1)?);
    let length = text.chars().count() as i64;
    if count < 0 || count == length {
        return Ok(Value::Text(text.clone()));
    }
    if count < length {
        let from = if right { length - count } else { 0 };
        return Ok(chars(text, from, from + count));
    }
    let missing = usize::try_from(count - length).unwrap_or(usize::MAX);
    call.check_bytes(text.len().saturating_add(missing))?;
    let pad = " ".repeat(missing);
    Ok(Value::text(if right { format!("{pad}{}", &**text) } else { format!("{}{pad}", &**text) }))
}
