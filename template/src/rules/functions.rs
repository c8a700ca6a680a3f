//! The functions of rule templates (prometheus `template/template.go`, 3.14).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::function::{Answer, Call, Function, Sample, wrong_type};
use crate::text::{replace_all, title};
use crate::url::query_escape;
use crate::value::{Text, Value};
use crate::{duration, number};

/// In the order of their names. `tmpl`, which only consoles have, is not there.
pub static RULE_FUNCTIONS: &[Function] = &[
    Function::variadic("args", 0, |call| {
        let named = call.args.iter().enumerate();
        let entries = named.map(|(i, value)| (Text::from(format!("arg{i}")), value.clone()));
        Value::map(entries.collect::<BTreeMap<_, _>>())
    }),
    Function::exact("externalURL", 0, |call| Ok(Value::text(call.world.external_url()))),
    Function::exact("first", 1, |call| {
        let first = vector(call, 0)?.first().cloned();
        first.ok_or_else(|| "first() called on vector with no elements".to_owned())
    }),
    Function::exact("graphLink", 1, |call| Ok(Value::text(graph_link(call.text(0)?, 0)))),
    Function::exact("humanize", 1, |call| shown(call, number::humanize)),
    Function::exact("humanize1024", 1, |call| shown(call, number::humanize_1024)),
    Function::exact("humanizeDuration", 1, |call| shown(call, number::humanize_duration)),
    Function::exact("humanizePercentage", 1, |call| shown(call, number::humanize_percentage)),
    Function::exact("humanizeTimestamp", 1, |call| {
        number::humanize_timestamp(float(call.value(0))?).map(Value::text)
    }),
    Function::exact("label", 2, |call| sample_label(call.value(1), call.text(0)?).map(Value::Text)),
    Function::exact("match", 2, |call| Ok(Value::Bool(call.regex(0)?.is_match(call.text(1)?)))),
    Function::exact("now", 0, |call| {
        Ok(Value::Float((call.world.now_ns() / 1_000_000) as f64 / 1000.0))
    }),
    Function::exact("parseDuration", 1, |call| {
        let written = call.text(0)?;
        let (sign, magnitude) = match written.strip_prefix('-') {
            Some(rest) => (-1.0, rest),
            None => (1.0, &**written),
        };
        let ms = duration::parse_ms(magnitude)
            .ok_or_else(|| format!("not a valid duration string: {:?}", &**written))?;
        Ok(Value::Float(sign * ms as f64 / 1000.0))
    }),
    Function::exact("pathPrefix", 0, |call| Ok(Value::text(path_of(call.world.external_url())))),
    Function::exact("query", 1, |call| {
        let samples = call.world.query(call.text(0)?)?;
        Value::list(samples.into_iter().map(sample).collect())
    }),
    Function::exact("reReplaceAll", 3, |call| {
        replace_all(&*call.regex(0)?, call.text(1)?, call.text(2)?, call.bytes_max).map(Value::text)
    }),
    Function::exact("safeHtml", 1, |call| Ok(Value::Text(call.text(0)?.clone()))),
    Function::exact("sortByLabel", 2, |call| {
        let name = call.text(0)?;
        let mut keyed = vector(call, 1)?
            .iter()
            .map(|sample| Ok((sample_label(sample, name)?, sample.clone())))
            .collect::<Result<Vec<_>, String>>()?;
        keyed.sort_by(|a, b| a.0.cmp(&b.0));
        Value::list(keyed.into_iter().map(|(_, sample)| sample).collect())
    }),
    Function::exact("stripDomain", 1, |call| Ok(Value::text(strip_domain(call.text(0)?)))),
    Function::exact("stripPort", 1, |call| {
        let written = call.text(0)?;
        let host = split_host_port(written).map_or(&**written, |(host, _)| host);
        Ok(Value::text(host.to_owned()))
    }),
    Function::exact("strvalue", 1, |call| {
        sample_label(call.value(0), "__value__").map(Value::Text)
    }),
    Function::exact("tableLink", 1, |call| Ok(Value::text(graph_link(call.text(0)?, 1)))),
    Function::exact("title", 1, |call| Ok(Value::text(title(call.text(0)?)))),
    Function::exact("toDuration", 1, |call| {
        // The cast saturates where Go's is undefined.
        Ok(Value::Duration((float(call.value(0))? * 1e9) as i64))
    }),
    Function::exact("toLower", 1, |call| Ok(Value::text(call.text(0)?.to_lowercase()))),
    Function::exact("toTime", 1, |call| {
        Ok(Value::Time(Arc::new(number::timestamp(float(call.value(0))?)?)))
    }),
    Function::exact("toUpper", 1, |call| Ok(Value::text(call.text(0)?.to_uppercase()))),
    Function::exact("urlQueryEscape", 1, |call| Ok(Value::text(query_escape(call.text(0)?)))),
    Function::exact("value", 1, |call| sample_field(call.value(0), "Value")),
];

fn shown<'v>(call: &Call<'_, 'v>, show: fn(f64) -> String) -> Answer<'v> {
    Ok(Value::text(show(float(call.value(0))?)))
}

/// Prometheus's `ConvertToFloat`: numbers, texts of numbers, durations in seconds.
fn float(value: &Value<'_>) -> Result<f64, String> {
    match value.plain() {
        Value::Float(number) => Ok(number),
        Value::Int(number) => Ok(number as f64),
        Value::Duration(ns) => Ok(ns as f64 / 1e9),
        Value::Text(written) => crate::values::float(&written),
        _ => Err(format!("can't convert {} to float", value.type_name())),
    }
}

const SAMPLE: &str = "*template.sample";

fn sample((labels, value): Sample) -> Value<'static> {
    Value::structure(
        SAMPLE,
        vec![("Labels", Value::labels(labels)), ("Value", Value::Float(value))],
    )
}

fn sample_field<'v>(value: &Value<'v>, name: &str) -> Answer<'v> {
    match value {
        Value::Struct(sample) if value.type_name() == SAMPLE => {
            Ok(sample.field(name).cloned().unwrap_or_default())
        }
        other => Err(wrong_type(SAMPLE, other)),
    }
}

fn sample_label<'v>(value: &Value<'v>, name: &str) -> Result<Text<'v>, String> {
    match sample_field(value, "Labels")? {
        Value::Texts(labels) => Ok(labels.get(name).unwrap_or(Text::Borrowed(""))),
        other => Err(wrong_type("map[string]string", &other)),
    }
}

/// The samples of an argument.
fn vector<'a, 'v>(call: &Call<'a, 'v>, place: usize) -> Result<&'a [Value<'v>], String> {
    match call.value(place) {
        Value::List(list) => Ok(list.items()),
        other => Err(wrong_type("template.queryResult", other)),
    }
}

/// Go's `net.SplitHostPort`; `None` where that fails.
fn split_host_port(written: &str) -> Option<(&str, &str)> {
    let (before, port) = written.rsplit_once(':')?;
    let host = match before.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None if before.contains(':') => return None,
        None => before,
    };
    let has_bracket = |part: &str| part.contains(['[', ']']);
    (!has_bracket(host) && !has_bracket(port)).then_some((host, port))
}

fn strip_domain(written: &str) -> String {
    let (host, port) = split_host_port(written).unwrap_or((written, ""));
    if host.parse::<IpAddr>().is_ok() {
        return written.to_owned();
    }
    let host = host.split('.').next().unwrap_or("");
    match port {
        "" => host.to_owned(),
        port if host.contains(':') => format!("[{host}]:{port}"),
        port => format!("{host}:{port}"),
    }
}

/// The path of the page that shows an expression, relative to the external URL; tab 0 is the graph
/// and 1 the table.
pub fn graph_link(expression: &str, tab: u8) -> String {
    format!("/graph?g0.expr={}&g0.tab={tab}", query_escape(expression))
}

fn path_of(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = after_scheme.find('/').map_or("", |at| &after_scheme[at..]);
    path.split(['?', '#']).next().unwrap_or("").trim_end_matches('/')
}
