//! Functions on texts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gotmpl::Value;

use super::functions::to_int;
use crate::functions::{Answer, Registry, query_escape, regex, replace_all, string, text, title};
use crate::limits::{DEPTH_MAX, OUTPUT_BYTES_MAX, VALUES_MAX};
use crate::values;

/// Compiled expressions that one template keeps.
const REGEXES_MAX: usize = 64;

pub(super) fn add(registry: &mut Registry) {
    add_cases(registry);
    add_trims(registry);
    add_regexes(registry);
    add_codes(registry);
    registry.add("trunc", |[count, v]| {
        let (count, written) = (to_int(count), string(v)?);
        let length = written.chars().count() as i64;
        Ok(if count < 0 && length + count > 0 {
            text(written.chars().skip((length + count) as usize).collect::<String>())
        } else if count >= 0 && length > count {
            text(written.chars().take(count as usize).collect::<String>())
        } else {
            Value::String(written)
        })
    });
    registry.add("substr", |[start, end, v]| {
        let (start, end, written) = (to_int(start), to_int(end), string(v)?);
        let length = written.chars().count() as i64;
        let until = if end < 0 || end > length { length } else { end };
        let from = if start < 0 { 0 } else { start.min(length) };
        let part = written.chars().skip(from as usize).take((until - from).max(0) as usize);
        Ok(text(part.collect::<String>()))
    });
    registry.add("contains", |[part, v]| Ok(Value::Bool(string(v)?.contains(&*string(part)?))));
    registry.add("hasPrefix", |[p, v]| Ok(Value::Bool(string(v)?.starts_with(&*string(p)?))));
    registry.add("hasSuffix", |[p, v]| Ok(Value::Bool(string(v)?.ends_with(&*string(p)?))));
    registry.add("indent", |[blanks, v]| indent("", blanks, v));
    registry.add("nindent", |[blanks, v]| indent("\n", blanks, v));
    registry
        .add("replace", |[old, new, v]| replaced(&string(v)?, &string(old)?, &string(new)?, -1));
    registry.add("Replace", |[v, old, new, count]| {
        replaced(&string(v)?, &string(old)?, &string(new)?, to_int(count))
    });
    registry.add("repeat", |[count, v]| {
        let (count, written) = (to_int(count), string(v)?);
        let count = usize::try_from(count).map_err(|_| "negative repeat count".to_owned())?;
        bounded(written.len().saturating_mul(count))?;
        Ok(text(written.repeat(count)))
    });
    registry.add("alignLeft", |[count, v]| align(count, v, false));
    registry.add("alignRight", |[count, v]| align(count, v, true));
    registry.add("default", |[fallback, v]| {
        Ok(if v.is_truthy() { v.clone() } else { fallback.clone() })
    });
    registry.add("bytes", |[v]| values::bytes(&string(v)?).map(Value::Float));
    for name in ["duration", "duration_seconds"] {
        registry.add(name, |[v]| Ok(Value::Float(values::duration_ns(&string(v)?)? as f64 / 1e9)));
    }
}

fn bounded(bytes: usize) -> Result<(), String> {
    if bytes > OUTPUT_BYTES_MAX {
        return Err(format!("a text has more than {OUTPUT_BYTES_MAX} bytes"));
    }
    Ok(())
}

fn add_cases(registry: &mut Registry) {
    for name in ["lower", "ToLower"] {
        registry.add(name, |[v]| Ok(text(string(v)?.to_lowercase())));
    }
    for name in ["upper", "ToUpper"] {
        registry.add(name, |[v]| Ok(text(string(v)?.to_uppercase())));
    }
    registry.add("title", |[v]| Ok(text(title(&string(v)?))));
}

fn add_trims(registry: &mut Registry) {
    for name in ["trim", "TrimSpace"] {
        registry.add(name, |[v]| Ok(text(string(v)?.trim())));
    }
    registry.add("trimAll", |[set, v]| {
        let set = string(set)?;
        Ok(text(string(v)?.trim_matches(|c| set.contains(c))))
    });
    registry.add("Trim", |[v, set]| {
        let set = string(set)?;
        Ok(text(string(v)?.trim_matches(|c| set.contains(c))))
    });
    registry.add("TrimLeft", |[v, set]| {
        let set = string(set)?;
        Ok(text(string(v)?.trim_start_matches(|c| set.contains(c))))
    });
    registry.add("TrimRight", |[v, set]| {
        let set = string(set)?;
        Ok(text(string(v)?.trim_end_matches(|c| set.contains(c))))
    });
    let prefix = |whole: &str, part: &str| text(whole.strip_prefix(part).unwrap_or(whole));
    let suffix = |whole: &str, part: &str| text(whole.strip_suffix(part).unwrap_or(whole));
    registry.add("trimPrefix", move |[part, v]| Ok(prefix(&string(v)?, &string(part)?)));
    registry.add("TrimPrefix", move |[v, part]| Ok(prefix(&string(v)?, &string(part)?)));
    registry.add("trimSuffix", move |[part, v]| Ok(suffix(&string(v)?, &string(part)?)));
    registry.add("TrimSuffix", move |[v, part]| Ok(suffix(&string(v)?, &string(part)?)));
}

fn add_regexes(registry: &mut Registry) {
    let cache: Arc<Mutex<BTreeMap<String, regex::Regex>>> = Arc::default();
    let compiled = move |pattern: &str| -> Result<regex::Regex, String> {
        let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = cache.get(pattern) {
            return Ok(found.clone());
        }
        let made = regex(pattern)?;
        if cache.len() < REGEXES_MAX {
            cache.insert(pattern.to_owned(), made.clone());
        }
        Ok(made)
    };
    let replacing = compiled.clone();
    registry.add("regexReplaceAll", move |[pattern, v, replacement]| {
        let regex = replacing(&string(pattern)?)?;
        replace_all(&regex, &string(replacement)?, &string(v)?).map(text)
    });
    let literal = compiled.clone();
    registry.add("regexReplaceAllLiteral", move |[pattern, v, replacement]| {
        let regex = literal(&string(pattern)?)?;
        let replacement = string(replacement)?.replace('$', "$$");
        replace_all(&regex, &replacement, &string(v)?).map(text)
    });
    registry.add("count", move |[pattern, v]| {
        let count = compiled(&string(pattern)?)?.find_iter(&string(v)?).count();
        Ok(Value::Int(i64::try_from(count).unwrap_or(i64::MAX)))
    });
}

fn add_codes(registry: &mut Registry) {
    registry.add("urlencode", |[v]| Ok(text(query_escape(&string(v)?))));
    registry.add("urldecode", |[v]| url_decode(&string(v)?).map(text));
    registry.add("b64enc", |[v]| Ok(text(base64_encode(string(v)?.as_bytes()))));
    registry.add("b64dec", |[v]| {
        let written = string(v)?;
        // What can not be decoded is told in place of the result.
        Ok(text(
            base64_decode(&written)
                .unwrap_or_else(|at| format!("illegal base64 data at input byte {at}")),
        ))
    });
    registry.add("fromJson", |[v]| {
        let value: serde_json::Value =
            serde_json::from_str(&string(v)?).unwrap_or(serde_json::Value::Null);
        json_value(&value, 0, &mut 0)
    });
}

fn json_value(json: &serde_json::Value, depth: usize, count: &mut usize) -> Answer {
    *count += 1;
    if depth > DEPTH_MAX || *count > VALUES_MAX {
        return Err("the JSON value is too large".to_owned());
    }
    Ok(match json {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(truth) => Value::Bool(*truth),
        serde_json::Value::Number(number) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(written) => text(written.as_str()),
        serde_json::Value::Array(items) => {
            let items = items.iter().map(|item| json_value(item, depth + 1, count));
            Value::List(items.collect::<Result<_, _>>()?)
        }
        serde_json::Value::Object(entries) => {
            let entries = entries.iter().map(|(name, value)| {
                Ok((Arc::from(name.as_str()), json_value(value, depth + 1, count)?))
            });
            Value::Map(Arc::new(entries.collect::<Result<_, String>>()?))
        }
    })
}

fn indent(before: &str, blanks: &Value, v: &Value) -> Answer {
    let (blanks, written) = (to_int(blanks), string(v)?);
    let blanks = usize::try_from(blanks).map_err(|_| "negative repeat count".to_owned())?;
    let lines = written.matches('\n').count() + 1;
    bounded(blanks.saturating_mul(lines).saturating_add(written.len()))?;
    let pad = " ".repeat(blanks);
    Ok(text(format!("{before}{pad}{}", written.replace('\n', &format!("\n{pad}")))))
}

fn replaced(written: &str, old: &str, new: &str, count: i64) -> Answer {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let places = written.matches(old).count().min(count);
    bounded(written.len().saturating_add(places.saturating_mul(new.len())))?;
    Ok(text(written.replacen(old, new, count)))
}

fn align(count: &Value, v: &Value, right: bool) -> Answer {
    let (count, written) = (to_int(count), string(v)?);
    let length = written.chars().count() as i64;
    if count < 0 || count == length {
        return Ok(Value::String(written));
    }
    if count > length {
        bounded(usize::try_from(count).unwrap_or(usize::MAX))?;
        let pad = " ".repeat((count - length) as usize);
        return Ok(text(if right { format!("{pad}{written}") } else { format!("{written}{pad}") }));
    }
    let skipped = if right { length - count } else { 0 };
    Ok(text(written.chars().skip(skipped as usize).take(count as usize).collect::<String>()))
}

fn url_decode(written: &str) -> Result<String, String> {
    let bytes = written.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = written.get(at + 1..at + 3);
                let is_hex = |digits: &&str| digits.bytes().all(|b| b.is_ascii_hexdigit());
                let code = digits
                    .filter(is_hex)
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                    .ok_or_else(|| {
                        let end = (at + 3).min(written.len());
                        let shown = written.get(at..end).unwrap_or("%");
                        format!("invalid URL escape {shown:?}")
                    })?;
                out.push(code);
                at += 2;
            }
            byte => out.push(*byte),
        }
        at += 1;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64_encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let letter = BASE64.get((group >> (18 - 6 * i)) as usize & 63).copied();
            out.push(if i <= chunk.len() { char::from(letter.unwrap_or(b'=')) } else { '=' });
        }
    }
    out
}

/// The decoded text, or the place of the first bad byte. Padding may be missing.
fn base64_decode(written: &str) -> Result<String, usize> {
    let body = written.trim_end_matches('=');
    let mut out = Vec::with_capacity(body.len() * 3 / 4);
    let (mut group, mut bits) = (0u32, 0);
    for (i, byte) in body.bytes().enumerate() {
        let value = BASE64.iter().position(|letter| *letter == byte).ok_or(i)?;
        group = group << 6 | value as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((group >> bits) as u8);
            group &= (1 << bits) - 1;
        }
    }
    if body.len() % 4 == 1 {
        return Err(body.len() - 1);
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}
