//! The cases of `conformance/traceql` as ratchets: each group has a number of cases that must pass,
//! and the ones that do not are printed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::yaml::{self, Yaml};
use super::*;

const T0: i64 = 1_790_000_000_000_000_000;

/// The file's content, or nothing if the shared folder is not there.
fn read(name: &str) -> Option<Yaml> {
    let shared = std::env::var_os("SIGNALBOX_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let path = shared.join("conformance/traceql").join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(yaml::read(&text)),
        Err(error) => {
            report(&format!("NOT RUN: {} can not be read: {error}", path.display()));
            None
        }
    }
}

fn report(line: &str) {
    eprintln!("traceql conformance: {line}");
}

/// Counts the cases of a group that pass and demands `passed_min` of them.
fn ratchet(group: &str, passed_min: usize, outcomes: Vec<Result<(), String>>) {
    let failures: Vec<&String> = outcomes.iter().filter_map(|o| o.as_ref().err()).collect();
    let passed = outcomes.len() - failures.len();
    report(&format!("{group}: passed {passed}, failed {}", failures.len()));
    failures.iter().for_each(|failure| report(&format!("{group}: {failure}")));
    assert!(
        passed >= passed_min,
        "{group}: {passed} of {} passed, {passed_min} must",
        outcomes.len()
    );
}

#[test]
fn texts_are_accepted_and_refused_as_the_shared_cases_say() {
    let Some(cases) = read("syntax.yaml") else { return };
    let groups = [("valid", 177), ("syntax_error", 110), ("type_error", 57), ("reserved", 10)];
    for (group, passed_min) in groups {
        let outcomes = cases.get(group).unwrap().items().iter().map(|case| {
            let text = case.str();
            match (group, parse(text)) {
                ("valid", Ok(_))
                | ("syntax_error", Err(Error::Syntax { .. }))
                | ("type_error", Err(Error::Type { .. }))
                | ("reserved", _) => Ok(()),
                (_, Ok(_)) => Err(format!("accepted: {text}")),
                (_, Err(error)) => Err(format!("{text}: {error}")),
            }
        });
        ratchet(group, passed_min, outcomes.collect());
    }
}

/// Ids in the fixture are short words; as bytes they keep their distinction.
fn id(text: &str) -> SpanId {
    let mut bytes = [0; 8];
    let text = text.as_bytes();
    bytes[8 - text.len()..].copy_from_slice(text);
    SpanId(bytes)
}

fn value(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Str(text) => Value::Str(text.clone()),
        Yaml::Int(i) => Value::Int(*i),
        Yaml::Float(f) => Value::Double(*f),
        Yaml::Bool(b) => Value::Bool(*b),
        Yaml::List(items) => Value::Array(items.iter().map(value).collect()),
        Yaml::Map(_) => panic!("no maps in attributes"),
    }
}

fn attributes(yaml: Option<&Yaml>) -> Attributes {
    let entries = yaml.map_or(&[][..], Yaml::entries);
    entries.iter().map(|(name, yaml)| (name.clone(), value(yaml))).collect()
}

fn ms(yaml: &Yaml) -> TimestampNs {
    TimestampNs(T0 + (yaml.number() * 1e6) as i64)
}

fn fixture_span(trace_id: TraceId, yaml: &Yaml) -> Span {
    let text = |name: &str| yaml.get(name).map_or("", Yaml::str);
    let mut resource = attributes(yaml.get("resource"));
    resource.push(("service.name".into(), Value::Str(text("service").into())));
    let scope = yaml.get("scope").map(|scope| Scope {
        name: scope.get("name").unwrap().str().into(),
        version: scope.get("version").unwrap().str().into(),
        ..Default::default()
    });
    let events = yaml.get("events").map_or(&[][..], Yaml::items).iter().map(|event| Event {
        at: ms(event.get("at").unwrap()),
        name: event.get("name").unwrap().str().into(),
        attributes: attributes(event.get("attrs")),
        ..Default::default()
    });
    let links = yaml.get("links").map_or(&[][..], Yaml::items).iter().map(|link| Link {
        trace_id: TraceId::parse(link.get("trace").unwrap().str()).unwrap(),
        span_id: id(link.get("span").unwrap().str()),
        attributes: attributes(link.get("attrs")),
        ..Default::default()
    });
    let parent = text("parent");
    Span {
        resource: Arc::new(Resource { attributes: resource, ..Default::default() }),
        scope: Arc::new(scope.unwrap_or_default()),
        trace_id,
        span_id: id(text("id")),
        parent_span_id: if parent.is_empty() { SpanId::default() } else { id(parent) },
        name: text("name").into(),
        kind: *SpanKind::ALL.iter().find(|kind| kind.as_str() == text("kind")).unwrap(),
        start: ms(yaml.get("start").unwrap()),
        end: ms(yaml.get("end").unwrap()),
        attributes: attributes(yaml.get("attrs")),
        events: events.collect(),
        links: links.collect(),
        status: *StatusCode::ALL.iter().find(|code| code.as_str() == text("status")).unwrap(),
        status_message: text("message").into(),
        ..Default::default()
    }
}

fn fixture(yaml: &Yaml) -> MemorySource {
    let traces = yaml.get("fixture").unwrap().get("traces").unwrap().items().iter();
    let traces = traces.map(|trace| {
        let id = TraceId::parse(trace.get("id").unwrap().str()).unwrap();
        let spans = trace.get("spans").unwrap().items().iter();
        Trace { id, spans: spans.map(|span| fixture_span(id, span)).collect() }
    });
    MemorySource(traces.collect())
}

fn expect_equal<T: PartialEq + std::fmt::Debug>(
    query: &str,
    found: T,
    wanted: T,
) -> Result<(), String> {
    if found == wanted {
        return Ok(());
    }
    Err(format!("{query}: found {found:?}, wanted {wanted:?}"))
}

fn search_case(source: &MemorySource, case: &Yaml) -> Result<(), String> {
    let query = case.get("q").unwrap().str();
    let result = found(source, query).map_err(|error| format!("{query}: {error}"))?;
    let sets = result.traces.iter().flat_map(|trace| &trace.sets);
    let mut found: Vec<String> = sets
        .flat_map(|set| &set.spans)
        .map(|span| span.id.0.iter().filter(|b| **b != 0).map(|b| char::from(*b)).collect())
        .collect();
    found.sort();
    found.dedup();
    let mut wanted: Vec<String> =
        case.get("spans").unwrap().items().iter().map(|id| id.str().to_owned()).collect();
    wanted.sort();
    expect_equal(query, found, wanted)
}

fn select_case(source: &MemorySource, case: &Yaml) -> Result<(), String> {
    let query = case.get("q").unwrap().str();
    let result = found(source, query).map_err(|error| format!("{query}: {error}"))?;
    let wanted = id(case.get("span").unwrap().str());
    let spans = result.traces.iter().flat_map(|trace| &trace.sets).flat_map(|set| &set.spans);
    let span = spans.clone().find(|span| span.id == wanted).ok_or("the span is missing")?;
    for (name, yaml) in case.get("attrs").unwrap().entries() {
        let found = span.attributes.iter().find(|(key, _)| key == name).map(|(_, v)| v.clone());
        expect_equal(query, found, Some(value(yaml)))?;
    }
    Ok(())
}

fn group_case(source: &MemorySource, case: &Yaml) -> Result<(), String> {
    let query = case.get("q").unwrap().str();
    let result = found(source, query).map_err(|error| format!("{query}: {error}"))?;
    let wanted = TraceId::parse(case.get("trace").unwrap().str());
    let found = result.traces.iter().find(|trace| Some(trace.id) == wanted);
    let count = found.map_or(0, |trace| trace.sets.len());
    expect_equal(query, count as f64, case.get("spansets").unwrap().number())
}

fn metrics_case(source: &MemorySource, case: &Yaml) -> Result<(), String> {
    let text = case.get("q").unwrap().str();
    let range = RangeNs { start: TimestampNs(T0 - 1), end: TimestampNs(T0 + 2_000_000_000) };
    let series = parse(text)
        .and_then(|query| query_instant(&query, range, source, &QueryContext::unlimited()))
        .map_err(|error| format!("{text}: {error}"))?;
    let found = series.into_iter().map(|series| {
        let labels = series.labels.into_iter().filter(|(name, _)| name != "__name__");
        let labels: BTreeMap<_, _> = labels.map(|(k, v)| (k, v.to_string())).collect();
        (labels, format!("{:.9}", series.samples[0].value))
    });
    let wanted = case.get("series").unwrap().items().iter().map(|series| {
        let labels = series.get("labels").unwrap().entries().iter();
        let labels: BTreeMap<_, _> =
            labels.map(|(k, v)| (k.clone(), value(v).to_string())).collect();
        (labels, format!("{:.9}", series.get("value").unwrap().number()))
    });
    let (mut found, mut wanted): (Vec<_>, Vec<_>) = (found.collect(), wanted.collect());
    found.sort();
    wanted.sort();
    expect_equal(text, found, wanted)
}

#[test]
fn queries_find_the_spans_of_the_shared_fixture() {
    let Some(cases) = read("semantics.yaml") else { return };
    let source = fixture(&cases);
    type Check = fn(&MemorySource, &Yaml) -> Result<(), String>;
    let groups: [(&str, usize, Check); 4] = [
        ("search", 67, search_case),
        ("select", 1, select_case),
        ("group_count", 2, group_case),
        ("metrics", 12, metrics_case),
    ];
    for (group, passed_min, check) in groups {
        let cases = cases.get(group).unwrap().items();
        ratchet(group, passed_min, cases.iter().map(|case| check(&source, case)).collect());
    }
}
