//! Rules of the language that the shared cases do not pin, and the shape of results.

use model::read::SpanHint;

use super::*;
use crate::traceql::ast::Root;
use crate::traceql::hints::hints;
use crate::traceql::value::go_duration;

fn message(query: &str) -> String {
    parse(query).map_or_else(|error| error.to_string(), |_| panic!("{query} was accepted"))
}

#[test]
fn errors_name_the_place_what_was_found_and_what_was_expected() {
    for (query, wanted) in [
        (
            "{ name = }",
            "1:10 (offset 9): syntax error: found \"}\", expected an attribute, an intrinsic or a value",
        ),
        (
            "{\n  status error }",
            "2:10 (offset 11): syntax error: found \"error\", expected an operator or \"}\"",
        ),
        ("{ name = 5 }", "1:8 (offset 7): type error: can not compare a string with a number"),
        ("{ parent.a = 1 }", "1:3 (offset 2): the scope parent is not supported yet"),
        (
            "{ } | max(duration) > min(duration)",
            "1:23 (offset 22): comparing aggregates with each other is not supported yet",
        ),
        (
            "{ } | rate() | sum(x)",
            "1:16 (offset 15): syntax error: found \"sum\", expected topk or bottomk",
        ),
        (
            "",
            "1:1 (offset 0): syntax error: found the end of the query, expected a spanset such as { }",
        ),
    ] {
        assert_eq!(message(query), wanted);
    }
    assert_eq!(parse("{").unwrap_err().kind(), model::ErrorKind::BadRequest);
}

#[test]
fn depth_and_length_are_bounded_but_long_chains_are_not() {
    assert!(message(&format!("{{{}true{}}}", "(".repeat(5000), ")".repeat(5000))).contains("deep"));
    assert!(message(&format!("{{ {}true }}", "!".repeat(5000))).contains("deep"));
    assert!(message(&format!("{}{{}}{}", "(".repeat(5000), ")".repeat(5000))).contains("deep"));
    assert!(message(&vec!["{}"; 5000].join(" >> ")).contains("deep"));
    assert!(message(&format!("{{ {} = 1 }}", vec![".a"; 5000].join(" + "))).contains("deep"));
    assert!(message(&format!("({{}} | rate()){}", " * 2".repeat(5000))).contains("deep"));
    assert!(message(&format!("{{}} | rate() {}", " > 2".repeat(5000))).contains("deep"));
    assert!(message(&" ".repeat(QUERY_BYTES_MAX + 1)).contains("over the limit"));
    assert!(parse(&format!("{{ {} }}", vec![".a = 1"; 5000].join(" || "))).is_ok());
}

#[test]
fn and_and_or_bind_equally_from_the_left() {
    let source = MemorySource(vec![trace(
        1,
        vec![
            span(1, 0, "a", &[("a", Value::Bool(true))]),
            span(2, 1, "b", &[("b", Value::Bool(true))]),
        ],
    )]);
    // (a || b) && c, as in Tempo, and not a || (b && c).
    assert!(found_names(&source, "{ .a || .b && .c }").is_empty());
    assert_eq!(found_names(&source, "{ .a || (.b && .c) }"), ["a"]);
}

#[test]
fn relations_follow_parent_ids_also_below_a_missing_root_and_in_circles() {
    let orphans = trace(1, vec![span(2, 9, "a", &[]), span(3, 9, "b", &[]), span(4, 3, "c", &[])]);
    let circle = trace(2, vec![span(5, 6, "x", &[]), span(6, 5, "y", &[]), span(7, 7, "z", &[])]);
    let source = MemorySource(vec![orphans, circle]);
    assert_eq!(found_names(&source, "{ name = \"b\" } > { }"), ["c"]);
    assert_eq!(found_names(&source, "{ name = \"a\" } ~ { }"), ["b"]);
    assert_eq!(found_names(&source, "{ name = \"x\" } >> { }"), ["x", "y"]);
    assert_eq!(found_names(&source, "{ name = \"x\" } << { }"), ["x", "y"]);
    assert!(found_names(&source, "{ name = \"z\" } > { }").is_empty());
}

#[test]
fn nested_set_numbers_count_down_and_up_the_tree() {
    let spans = vec![
        span(1, 0, "r", &[]),
        span(2, 1, "a", &[]),
        span(3, 2, "b", &[]),
        span(4, 1, "c", &[]),
    ];
    let source = MemorySource(vec![trace(1, spans)]);
    let result =
        found(&source, "{ } | select(nestedSetLeft, nestedSetRight, nestedSetParent)").unwrap();
    let numbers = |span: &SpanMatch| {
        let numbers = span.attributes.iter().map(|(_, value)| value.to_string());
        format!("{} {}", span.name, numbers.collect::<Vec<_>>().join(" "))
    };
    let found: Vec<String> = result.traces[0].sets[0].spans.iter().map(numbers).collect();
    assert_eq!(found, ["r 1 8 -1", "a 2 5 1", "b 3 4 2", "c 6 7 1"]);
}

#[test]
fn results_show_mentioned_fields_groups_aggregates_and_services() {
    let mut spans = vec![
        span(1, 0, "r", &[("n", Value::Int(1)), ("other", Value::Int(9))]),
        span(2, 1, "a", &[("n", Value::Int(2))]),
    ];
    spans[1].status = StatusCode::Error;
    let source = MemorySource(vec![trace(1, spans)]);
    let query = parse("{ .n > 0 } | by(status) | avg(duration) > 1us | select(kind)").unwrap();
    let context = QueryContext::unlimited();
    let result = search(&query, RangeNs::ALL, 20, 3, &source, &context).unwrap();
    let found = &result.traces[0];
    assert_eq!((found.root_service.as_str(), found.root_name.as_str()), ("", "r"));
    assert_eq!((found.start.0, found.duration_ns), (1_000_000, 1_500_000));
    assert_eq!(found.services[""], ServiceStats { spans: 2, errors: 1 });
    assert_eq!(found.sets.len(), 2);
    let text = |text: &str| Value::Str(text.into());
    assert_eq!(
        found.sets[1],
        SpanSetMatch {
            matched: 1,
            spans: vec![SpanMatch {
                id: span_id(2),
                name: "a".into(),
                start: TimestampNs(2_000_000),
                duration_ns: 500_000,
                attributes: vec![
                    ("n".into(), Value::Int(2)),
                    ("status".into(), text("error")),
                    ("kind".into(), text("unspecified")),
                ],
            }],
            attributes: vec![
                ("by(status)".into(), text("error")),
                ("avg(duration)".into(), text("500\u{b5}s")),
            ],
        }
    );
    assert_eq!((result.inspected_traces, result.inspected_spans), (1, 2));
}

#[test]
fn limits_hold_and_the_most_recent_traces_can_be_asked_for() {
    let one = |id: u8, start| {
        let mut only = span(1, 0, "s", &[]);
        only.start = TimestampNs(start);
        only.end = only.start;
        trace(id, vec![only])
    };
    // The source visits the last one first.
    let source = MemorySource(vec![one(1, 30), one(2, 20), one(3, 10)]);
    let ids = |query: &str| -> Vec<u8> {
        let query = parse(query).unwrap();
        let context = QueryContext::unlimited();
        let result = search(&query, RangeNs::ALL, 2, 1, &source, &context).unwrap();
        result.traces.iter().map(|trace| trace.id.0[15]).collect()
    };
    assert_eq!(ids("{}"), [2, 3]);
    assert_eq!(ids("{} with(most_recent=true)"), [1, 2]);
    let query = parse("{} | rate()").unwrap();
    let refused = search(&query, RangeNs::ALL, 2, 1, &source, &QueryContext::unlimited());
    assert_eq!(refused.unwrap_err().kind(), model::ErrorKind::BadRequest);
}

#[test]
fn hints_hold_for_every_trace_that_a_query_can_find() {
    let of = |query: &str| match parse(query).unwrap().root {
        Root::Search(pipeline) => hints(&pipeline),
        Root::Metrics(_) => Vec::new(),
    };
    let exists = |name: &str| SpanHint::AttributeExists(AttributeScope::Span, name.into());
    let service = SpanHint::AttributeEquals(
        AttributeScope::Resource,
        "service.name".into(),
        Value::Str("x".into()),
    );
    for (query, wanted) in [
        ("{ }", vec![]),
        ("{ span.a = 1 && resource.service.name = \"x\" }", vec![exists("a"), service]),
        ("{ span.a = 1 || span.b = 2 }", vec![]),
        ("{ !(span.a = 1) }", vec![]),
        ("{ span.a = nil }", vec![]),
        ("{ 5ms <= duration }", vec![SpanHint::DurationAtLeast(5_000_000)]),
        ("{ duration < 5ms }", vec![]),
        ("{ span.a } >> { span.b }", vec![exists("a"), exists("b")]),
        ("{ span.a } !>> { span.b }", vec![exists("b")]),
        ("{ span.a } || { span.b }", vec![]),
        ("({ span.a } | count() > 1) && { span.b }", vec![exists("a"), exists("b")]),
        ("{ kind = server } | { span.b }", vec![SpanHint::KindEquals(SpanKind::Server)]),
    ] {
        assert_eq!(of(query), wanted, "{query}");
    }
}

#[test]
fn series_have_a_point_for_each_interval_that_ends_in_it() {
    let mut spans = Vec::new();
    for (id, start_s) in [(1, 0), (2, 10), (3, 11), (4, 20)] {
        let mut span = span(id, 0, "s", &[("n", Value::Int(i64::from(id)))]);
        span.start = TimestampNs(100_000_000_000 + start_s * 1_000_000_000);
        span.end = span.start.plus_ns(3_000_000);
        spans.push(span);
    }
    let source = MemorySource(vec![trace(1, spans)]);
    let seconds = |s: i64| TimestampNs(s * 1_000_000_000);
    let range = MetricsRange {
        range: RangeNs { start: seconds(100), end: seconds(130) },
        step_ns: 10_000_000_000,
    };
    let run = |text: &str| -> Vec<String> {
        let query = parse(text).unwrap();
        let series = query_range(&query, range, &source, &QueryContext::unlimited()).unwrap();
        series
            .iter()
            .map(|series| {
                let labels = series.labels.iter().map(|(k, v)| format!("{k}={v}"));
                let samples = series
                    .samples
                    .iter()
                    .map(|s| format!("{}:{}", s.at.0 / 1_000_000_000, s.value));
                format!(
                    "{} {}",
                    labels.collect::<Vec<_>>().join(","),
                    samples.collect::<Vec<_>>().join(" ")
                )
            })
            .collect()
    };
    assert_eq!(run("{} | count_over_time()"), ["__name__=count_over_time 110:2 120:2 130:0"]);
    assert_eq!(run("{} | rate()"), ["__name__=rate 110:0.2 120:0.2 130:0"]);
    assert_eq!(run("{} | sum_over_time(.n)"), ["__name__=sum_over_time 110:3 120:7"]);
    assert_eq!(run("{ .n > 3 } | rate() by(.n, name)"), [".n=4,name=s 110:0 120:0.1 130:0"]);
    // 3 ms fall into the bucket that ends at 2^22 ns.
    assert_eq!(
        run("{} | histogram_over_time(duration)"),
        ["__bucket=0.004194304 110:2 120:2 130:0"]
    );
    assert_eq!(
        run("{} | quantile_over_time(duration, 1)"),
        ["p=1 110:0.004194304 120:0.004194304"]
    );
    assert_eq!(run("{ .x } | rate()"), ["__name__=rate 110:0 120:0 130:0"]);
    // Equal values are kept in order of labels.
    assert_eq!(run("{} | rate() by(.n) | topk(1)"), [".n=1 110:0.1 130:0", ".n=3 120:0.1"]);
    assert_eq!(run("({} | rate()) / ({} | count_over_time())"), [" 110:0.1 120:0.1"]);
    let compared = run("{} | compare({ .n > 3 }, 1)");
    assert!(
        compared.contains(&"__meta_type=selection,span.n=4 110:0 120:1 130:0".into()),
        "{compared:?}"
    );
    assert!(compared.contains(&"__meta_type=baseline_total,span.n=nil 110:2 120:1 130:0".into()));
    assert!(compared.iter().any(|series| series.contains("__meta_error=__too_many_values__")));
}

#[test]
fn ranges_that_make_no_sense_are_refused() {
    let query = parse("{} | rate()").unwrap();
    let source = MemorySource::default();
    let range = RangeNs { start: TimestampNs(0), end: TimestampNs(1 << 50) };
    for (range, step_ns) in [
        (range, 0),
        (range, 1),
        (RangeNs { start: range.end, end: range.start }, 1000),
        (RangeNs::ALL, 1_000_000_000),
    ] {
        let range = MetricsRange { range, step_ns };
        let refused = query_range(&query, range, &source, &QueryContext::unlimited());
        assert_eq!(refused.unwrap_err().kind(), model::ErrorKind::BadRequest);
    }
}

#[test]
fn values_come_with_their_types_and_unfinished_filters_help_as_far_as_they_go() {
    let source = MemorySource(vec![trace(
        1,
        vec![
            span(1, 0, "GET", &[("k", Value::Int(1)), ("on", Value::Bool(true))]),
            span(2, 1, "PUT", &[("k", Value::Str("1".into()))]),
        ],
    )]);
    let run = |field: &str, filter: &str| -> Vec<String> {
        let field = parse_field(field).unwrap();
        let filter = parse_lenient(filter);
        let context = QueryContext::unlimited();
        let values =
            tag_values(&field, filter.as_ref(), RangeNs::ALL, 10, &source, &context).unwrap();
        values.iter().map(|value| format!("{} {}", value.kind, value.value)).collect()
    };
    assert_eq!(run("span.k", ""), ["int 1", "string 1"]);
    assert_eq!(run(".k", "{}"), ["int 1", "string 1"]);
    assert_eq!(run("k", "{ .on = true && .x = }"), ["int 1"]);
    assert_eq!(run("k", "{ .on = true || .x = }"), ["int 1", "string 1"]);
    assert_eq!(run("name", "{ span.k = \"1\" && resource.service.name = \"che"), ["string PUT"]);
    assert_eq!(run("status", ""), ["keyword unset", "keyword ok", "keyword error"]);
    assert_eq!(run("duration", ""), [] as [&str; 0]);
    for text in ["{", "}{", "{ .a = \"", "{ .a = 1 } | rate()", "|", "{ = = = }"] {
        assert!(parse_lenient(text).is_none(), "{text}");
    }
}

#[test]
fn names_of_fields_are_read_with_and_without_scope() {
    let attribute = |scope, name: &str| Some(Field::Attribute(scope, name.into()));
    assert_eq!(parse_field("resource.a/b"), attribute(AttributeScope::Resource, "a/b"));
    assert_eq!(parse_field("span.white space"), attribute(AttributeScope::Span, "white space"));
    assert_eq!(parse_field("span.\"white space\""), attribute(AttributeScope::Span, "white space"));
    assert_eq!(parse_field("http.method"), attribute(AttributeScope::Any, "http.method"));
    assert_eq!(parse_field("span:name"), Some(Field::Intrinsic(Intrinsic::Name)));
    assert_eq!(parse_field("rootServiceName"), Some(Field::Intrinsic(Intrinsic::RootService)));
    assert_eq!(parse_field(""), None);
}

#[test]
fn durations_print_as_in_go() {
    for (ns, text) in [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5\u{b5}s"),
        (2_000_000, "2ms"),
        (-1_050_000_000, "-1.05s"),
        (61_000_000_000, "1m1s"),
        (3_600_000_000_000, "1h0m0s"),
    ] {
        assert_eq!(go_duration(ns), text);
    }
}
