//! The functions of rule templates (prometheus `template/template.go`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gotmpl::{TemplateError as EngineError, Value};

use crate::limits::{ARGUMENTS_MAX, DEPTH_MAX, OUTPUT_BYTES_MAX, STEPS_MAX, VALUES_MAX};
use crate::{duration, guard, number};

/// One element of a query's answer.
pub type Sample = (Labels, f64);

/// Names and values. This crate depends on no other of ours, so labels are a plain map here.
pub type Labels = std::collections::BTreeMap<String, String>;

/// Answers a query at the time of the evaluation, or says why not.
pub type QueryFunction = Arc<dyn Fn(&str) -> Result<Vec<Sample>, String> + Send + Sync>;

/// What templates can reach of the world.
#[derive(Clone)]
pub struct Functions {
    /// Answers `query`.
    pub query: QueryFunction,
    /// What `externalURL` answers; links of pages begin with it.
    pub external_url: String,
    /// What `now` answers, in milliseconds since the Unix epoch.
    pub now_ms: i64,
}

impl Functions {
    /// Functions for a place without a store: `query` fails.
    pub fn without_query(external_url: impl Into<String>, now_ms: i64) -> Self {
        let query: QueryFunction = Arc::new(|_| Err("no query can be asked here".to_owned()));
        Functions { query, external_url: external_url.into(), now_ms }
    }
}

/// Names of the functions that [`register`] adds and of the engine's own.
pub(crate) fn is_function(name: &str) -> bool {
    const OURS: [&str; 29] = [
        "args",
        "externalURL",
        "first",
        "graphLink",
        "humanize",
        "humanize1024",
        "humanizeDuration",
        "humanizePercentage",
        "humanizeTimestamp",
        "label",
        "match",
        "now",
        "parseDuration",
        "pathPrefix",
        "query",
        "reReplaceAll",
        "safeHtml",
        "sortByLabel",
        "stripDomain",
        "stripPort",
        "strvalue",
        "tableLink",
        "title",
        "toLower",
        "toUpper",
        "urlQueryEscape",
        "value",
        "print",
        "printf",
    ];
    const ENGINE: [&str; 17] = [
        "and", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or",
        "println", "slice", "urlquery", "call",
    ];
    OURS.contains(&name) || ENGINE.contains(&name)
}

pub(crate) type Answer = Result<Value, String>;

/// Adds every function to a template that is about to run once.
pub(crate) fn register(template: gotmpl::Template, functions: &Functions) -> gotmpl::Template {
    let steps = Arc::new(AtomicU64::new(0));
    let step = move || {
        if steps.fetch_add(1, Ordering::Relaxed) >= STEPS_MAX {
            return Err(format!("template takes more than {STEPS_MAX} steps"));
        }
        Ok(())
    };
    let mut registry = Registry::new(template, Arc::new(step));
    registry.add_guards();
    registry.add_numbers();
    registry.add_texts();
    registry.add_queries(functions);
    registry.add_links(functions);
    registry.into_template()
}

/// Counts a step of a template that runs; fails when there were too many.
type Step = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// An engine that is given its functions.
pub(crate) struct Registry {
    template: gotmpl::Template,
    step: Step,
}

impl Registry {
    pub(crate) fn new(template: gotmpl::Template, step: Step) -> Self {
        Registry { template, step }
    }

    pub(crate) fn into_template(self) -> gotmpl::Template {
        self.template
    }

    /// Adds a function of `N` arguments.
    pub(crate) fn add<const N: usize>(
        &mut self,
        name: &'static str,
        function: impl Fn(&[Value; N]) -> Answer + Send + Sync + 'static,
    ) {
        self.add_any(name, move |args| match args.try_into() {
            Ok(args) => function(args),
            Err(_) => Err(format!("wrong number of args: want {N} got {}", args.len())),
        });
    }

    /// Adds a function of any number of arguments.
    pub(crate) fn add_any(
        &mut self,
        name: &'static str,
        function: impl Fn(&[Value]) -> Answer + Send + Sync + 'static,
    ) {
        let step = self.step.clone();
        let template = std::mem::replace(&mut self.template, gotmpl::Template::new(""));
        self.template = template.func(name, move |args| {
            step().and_then(|()| function(args)).map_err(|message| {
                // Guards speak for the template as a whole.
                if name.contains('.') {
                    return EngineError::Exec(message);
                }
                EngineError::Exec(format!("error calling {name}: {message}"))
            })
        });
    }

    pub(crate) fn add_guards(&mut self) {
        self.add(guard::STEP, |[]| Ok(text("")));
        self.add(guard::ABSENT, |[value]| match value {
            Value::Nil => Ok(text("")),
            other => Ok(other.clone()),
        });
        self.add(guard::BOUND, |[value]| match value {
            Value::String(made) if made.len() > OUTPUT_BYTES_MAX => {
                Err(format!("a text has more than {OUTPUT_BYTES_MAX} bytes"))
            }
            other => Ok(other.clone()),
        });
        self.add(guard::FORMAT, |[format]| {
            guard::check_format(&string(format)?)?;
            Ok(format.clone())
        });
        self.add(guard::PRINT, |[value]| match value {
            Value::Float(number) => Ok(text(number::format_float(*number))),
            Value::Nil => Ok(text("<no value>")),
            other => Ok(other.clone()),
        });
    }

    fn add_numbers(&mut self) {
        self.add("humanize", |[v]| Ok(text(number::humanize(float(v)?))));
        self.add("humanize1024", |[v]| Ok(text(number::humanize_1024(float(v)?))));
        self.add("humanizeDuration", |[v]| Ok(text(number::humanize_duration(float(v)?))));
        self.add("humanizePercentage", |[v]| Ok(text(number::humanize_percentage(float(v)?))));
        self.add("humanizeTimestamp", |[v]| number::humanize_timestamp(float(v)?).map(text));
        self.add("parseDuration", |[v]| {
            let written = string(v)?;
            let (sign, magnitude) = match written.strip_prefix('-') {
                Some(rest) => (-1.0, rest),
                None => (1.0, &*written),
            };
            let ms = duration::parse_ms(magnitude)
                .ok_or_else(|| format!("not a valid duration string: {written:?}"))?;
            Ok(Value::Float(sign * ms as f64 / 1000.0))
        });
    }

    fn add_texts(&mut self) {
        self.add("safeHtml", |[v]| Ok(text(string(v)?)));
        self.add("title", |[v]| Ok(text(title(&string(v)?))));
        self.add("toUpper", |[v]| Ok(text(string(v)?.to_uppercase())));
        self.add("toLower", |[v]| Ok(text(string(v)?.to_lowercase())));
        self.add("match", |[pattern, v]| {
            Ok(Value::Bool(regex(&string(pattern)?)?.is_match(&string(v)?)))
        });
        self.add("reReplaceAll", |[pattern, replacement, v]| {
            replace_all(&regex(&string(pattern)?)?, &string(&replacement.clone())?, &string(v)?)
                .map(text)
        });
        self.add("stripPort", |[v]| {
            let written = string(v)?;
            Ok(text(split_host_port(&written).map_or(&*written, |(host, _)| host)))
        });
        self.add("stripDomain", |[v]| Ok(text(strip_domain(&string(v)?))));
        self.add("urlQueryEscape", |[v]| Ok(text(query_escape(&string(v)?))));
        self.add_any("args", |args| {
            if args.len() > ARGUMENTS_MAX {
                return Err(format!("more than {ARGUMENTS_MAX} arguments"));
            }
            let mut values = args.len();
            args.iter().try_for_each(|value| count_values(value, 1, &mut values))?;
            let entries =
                args.iter().enumerate().map(|(i, v)| (Arc::from(format!("arg{i}")), v.clone()));
            Ok(Value::Map(Arc::new(entries.collect())))
        });
    }

    fn add_queries(&mut self, functions: &Functions) {
        let query = functions.query.clone();
        self.add("query", move |[v]| {
            let samples = query(&string(v)?)?;
            if samples.len() > VALUES_MAX {
                return Err(format!("the answer has more than {VALUES_MAX} samples"));
            }
            Ok(Value::List(samples.iter().map(sample_value).collect()))
        });
        self.add("first", |[v]| match v {
            Value::List(samples) => samples
                .first()
                .cloned()
                .ok_or_else(|| "first() called on vector with no elements".to_owned()),
            _ => Err("first() called on something that is no vector".to_owned()),
        });
        self.add("label", |[name, sample]| Ok(text(sample_label(sample, &string(name)?)?)));
        self.add("strvalue", |[sample]| Ok(text(sample_label(sample, "__value__")?)));
        self.add("value", |[sample]| {
            sample.field("Value").cloned().ok_or_else(|| "value() called on no sample".to_owned())
        });
        self.add("sortByLabel", |[name, v]| {
            let (name, Value::List(samples)) = (string(name)?, v) else {
                return Err("sortByLabel() called on something that is no vector".to_owned());
            };
            let mut keyed: Vec<(String, Value)> = samples
                .iter()
                .map(|sample| Ok((sample_label(sample, &name)?, sample.clone())))
                .collect::<Result<_, String>>()?;
            keyed.sort_by(|a, b| a.0.cmp(&b.0));
            Ok(Value::List(keyed.into_iter().map(|(_, sample)| sample).collect()))
        });
    }

    fn add_links(&mut self, functions: &Functions) {
        let url = functions.external_url.clone();
        let path = path_of(&url).to_owned();
        let now = functions.now_ms as f64 / 1000.0;
        self.add("externalURL", move |[]| Ok(text(url.as_str())));
        self.add("pathPrefix", move |[]| Ok(text(path.as_str())));
        self.add("now", move |[]| Ok(Value::Float(now)));
        self.add("graphLink", |[v]| Ok(text(graph_link(&string(v)?, 0))));
        self.add("tableLink", |[v]| Ok(text(graph_link(&string(v)?, 1))));
    }
}

pub(crate) fn text(made: impl Into<guard::Text>) -> Value {
    Value::String(made.into())
}

/// A label set as a template sees it.
pub(crate) fn labels_value(labels: &Labels) -> Value {
    let entries: BTreeMap<guard::Text, Value> = labels
        .iter()
        .map(|(name, value)| (Arc::from(name.as_str()), text(value.as_str())))
        .collect();
    Value::Map(Arc::new(entries))
}

fn sample_value((labels, value): &Sample) -> Value {
    Value::Map(Arc::new(BTreeMap::from([
        (Arc::from("Labels"), labels_value(labels)),
        (Arc::from("Value"), Value::Float(*value)),
    ])))
}

fn sample_label(sample: &Value, name: &str) -> Result<String, String> {
    let labels = sample.field("Labels").ok_or("label() called on no sample")?;
    Ok(labels.field(name).and_then(Value::as_str).unwrap_or("").to_owned())
}

pub(crate) fn string(value: &Value) -> Result<guard::Text, String> {
    match value {
        Value::String(written) => Ok(written.clone()),
        Value::Nil => Ok("".into()),
        other => Err(format!("wrong type for value; expected string; got {}", other.type_name())),
    }
}

fn float(value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(number) => Ok(*number),
        Value::Int(number) => Ok(*number as f64),
        Value::Uint(number) => Ok(*number as f64),
        Value::String(written) => parse_go_float(written)
            .ok_or_else(|| format!("strconv.ParseFloat: parsing {written:?}: invalid syntax")),
        other => Err(format!("can't convert {} to float", other.type_name())),
    }
}

/// Rust reads what Go reads, but for Go's underscores and hexadecimal floats, which no rule uses.
fn parse_go_float(written: &str) -> Option<f64> {
    written.parse().ok()
}

/// Go's `strings.Title`: the first letter of every word; an underscore does not end a word.
pub(crate) fn title(written: &str) -> String {
    let mut at_start = true;
    let mut made = String::with_capacity(written.len());
    for c in written.chars() {
        if at_start {
            made.extend(c.to_uppercase());
        } else {
            made.push(c);
        }
        at_start =
            if c.is_ascii() { !(c.is_ascii_alphanumeric() || c == '_') } else { c.is_whitespace() };
    }
    made
}

pub(crate) fn regex(pattern: &str) -> Result<regex::Regex, String> {
    regex::RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .build()
        .map_err(|e| format!("bad regular expression {pattern:?}: {e}"))
}

/// Like `Regex::replace_all`, but stops when the text grows too long.
pub(crate) fn replace_all(
    regex: &regex::Regex,
    replacement: &str,
    written: &str,
) -> Result<String, String> {
    let mut made = String::with_capacity(written.len());
    let mut copied = 0;
    for captures in regex.captures_iter(written) {
        let Some(whole) = captures.get(0) else { continue };
        made.push_str(&written[copied..whole.start()]);
        captures.expand(replacement, &mut made);
        copied = whole.end();
        if made.len() > OUTPUT_BYTES_MAX {
            return Err(format!("the text grows over {OUTPUT_BYTES_MAX} bytes"));
        }
    }
    made.push_str(&written[copied..]);
    Ok(made)
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

/// Go's `url.QueryEscape`.
pub(crate) fn query_escape(written: &str) -> String {
    let mut made = String::with_capacity(written.len());
    for byte in written.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                made.push(char::from(byte));
            }
            b' ' => made.push('+'),
            other => made.push_str(&format!("%{other:02X}")),
        }
    }
    made
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

/// Counts the values inside `value`, refusing many and deep ones before anyone walks them fully.
fn count_values(value: &Value, depth: usize, values: &mut usize) -> Result<(), String> {
    let children: Vec<&Value> = match value {
        Value::List(items) => items.iter().collect(),
        Value::Map(entries) => entries.values().collect(),
        Value::String(written) if written.len() > OUTPUT_BYTES_MAX => {
            return Err(format!("an argument has more than {OUTPUT_BYTES_MAX} bytes"));
        }
        _ => return Ok(()),
    };
    if depth > DEPTH_MAX {
        return Err(format!("arguments nest deeper than {DEPTH_MAX}"));
    }
    *values += children.len();
    if *values > VALUES_MAX {
        return Err(format!("arguments hold more than {VALUES_MAX} values"));
    }
    children.into_iter().try_for_each(|child| count_values(child, depth + 1, values))
}
