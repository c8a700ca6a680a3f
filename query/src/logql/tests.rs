//! Tests of LogQL: errors with positions, pipelines, groupings, and that metric queries equal a
//! naive count.

mod bookkeeping;
mod properties;
mod push_down;
mod scripts;

use std::ops::ControlFlow;

use model::log::{LineCondition, Needle};
use model::read::{Direction, LogRequest, RangeNs};
use model::{Labels, LogSource, QueryContext, TimestampNs};
use proptest::prelude::*;

use super::memory::MemoryLogs;
use super::{
    Evaluation, Expr, InstantOptions, LogResult, LogVisit, Value, evaluate_instant, evaluate_log,
    evaluate_range, parse, visit_log,
};
use crate::errors::EvalError;
use crate::promql::{self, SampleValue};

const SECOND: i64 = 1_000_000_000;
const MS: i64 = 1_000_000;

fn stream(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn shop() -> MemoryLogs {
    let mut logs = MemoryLogs::new();
    let cart = stream(&[("service_name", "cart"), ("env", "prod")]);
    let pay = stream(&[("service_name", "pay"), ("env", "prod")]);
    logs.push(&cart, SECOND, "GET /cart took 5ms", &[("detected_level", "info")]);
    logs.push(
        &cart,
        2 * SECOND,
        r#"{"msg":"no","code":500,"a":{"b":[1],"c":1.50}}"#,
        &[("detected_level", "error")],
    );
    logs.push(
        &pay,
        3 * SECOND,
        r#"level=warn took=250ms msg="hi \"you\"" env=test"#,
        &[("detected_level", "warn"), ("trace_id", "abc")],
    );
    logs.push(&pay, 4 * SECOND, "GET /pay\ntook 7ms", &[]);
    logs
}

fn lines(logs: &MemoryLogs, query: &str, limit: usize, direction: Direction) -> LogResult {
    let Expr::Log(log) = parse(query).unwrap() else { panic!("{query} is no log query") };
    let range = RangeNs { start: TimestampNs(0), end: TimestampNs(100 * SECOND) };
    evaluate_log(&log, range, limit, direction, logs, &QueryContext::unlimited()).unwrap()
}

fn check_lines(query: &str, expected: &[i64]) {
    let result = lines(&shop(), query, 100, Direction::Forward);
    let mut times: Vec<i64> =
        result.streams.iter().flat_map(|s| s.entries.iter().map(|e| e.at.0 / SECOND)).collect();
    times.sort_unstable();
    assert_eq!(times, expected, "{query}");
}

#[test]
fn lines_are_shown_one_by_one_with_their_numbers() {
    let Expr::Log(log) = parse(r#"{env="prod"} |= "took" | line_format "x""#).unwrap() else {
        panic!("it is a log query")
    };
    let (context, logs) = (QueryContext::unlimited(), shop());
    let visit = LogVisit {
        log: &log,
        range: RangeNs { start: TimestampNs(0), end: TimestampNs(100 * SECOND) },
        direction: Direction::Backward,
        // On the line that the query makes, of which the store knows nothing.
        lines: vec![LineCondition::contains("x")],
        wants: &|row| row.arrival != 2,
        arrivals: None,
    };
    let mut shown = Vec::new();
    let stats = visit_log(&visit, &logs, &context, &mut |row, stream, entry| {
        assert_eq!((row.arrival, row.stream), (entry.arrival, &stream));
        shown.push((entry.arrival, entry.line));
        Ok(ControlFlow::Continue(()))
    });
    assert_eq!(stats.unwrap().lines_matched, 2);
    assert_eq!(shown, [(3, "x".to_owned()), (0, "x".to_owned())]);
    let failed = visit_log(&visit, &logs, &context, &mut |_, _, _| {
        Err(EvalError::BadArgument("enough".into()))
    });
    assert_eq!(failed.unwrap_err().to_string(), "enough");
}

fn metric(logs: &MemoryLogs, query: &str, at: i64) -> Result<Evaluation, EvalError> {
    let expr = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let options = InstantOptions::default();
    evaluate_instant(&expr, TimestampNs(at), &options, logs, &QueryContext::unlimited())
}

fn check_metric(query: &str, expected: &[(&[(&str, &str)], f64)]) {
    let value = metric(&shop(), query, 10 * SECOND).unwrap().value;
    let Value::Metric(promql::Value::Vector(samples)) = value else { panic!("{query}: {value:?}") };
    let mut found: Vec<(Labels, f64)> = samples
        .into_iter()
        .map(|sample| match sample.value {
            SampleValue::Float(value) => (sample.labels, value),
            SampleValue::Histogram(_) => panic!(),
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let mut expected: Vec<(Labels, f64)> =
        expected.iter().map(|(labels, value)| (stream(labels), *value)).collect();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found, expected, "{query}");
}

#[test]
fn errors_say_where_and_what_was_expected() {
    for (text, expected) in [
        (
            "",
            "1:1: parse error: syntax error: unexpected $end, expected a stream selector, a number or a function",
        ),
        ("{a=b}", "1:4: parse error: syntax error: unexpected IDENTIFIER \"b\", expected string"),
        (
            "{a=\"b\" c}",
            "1:8: parse error: syntax error: unexpected IDENTIFIER \"c\", expected \",\" or \"}\"",
        ),
        (
            "{a=\"b\"} |= 5",
            "1:12: parse error: syntax error: unexpected NUMBER \"5\", expected string",
        ),
        (
            "{a=\"b\"}\n| json |> \"<x>\"",
            "2:11: parse error: named captures are not allowed: found '<x>'",
        ),
        (
            "{a=\"b\"} | unwrap x | x=\"y\"",
            "1:11: parse error: unwrap is only allowed in a range aggregation, such as sum_over_time",
        ),
        (
            "sum_over_time({a=\"b\"} [5m])",
            "1:1: parse error: invalid aggregation sum_over_time without unwrap",
        ),
        (
            "count_over_time({a=\"b\"})",
            "1:24: parse error: syntax error: unexpected ), expected RANGE",
        ),
        (
            "count_over_time({a=\"b\"}[5m]) by (x)",
            "1:30: parse error: grouping not allowed for count_over_time aggregation",
        ),
        ("sum(1)", "1:5: parse error: sum needs a vector, got a number"),
        (
            "foo(1)",
            "1:1: parse error: syntax error: unexpected IDENTIFIER, unknown function \"foo\"",
        ),
        (
            "rate({a=\"b\"}[5m]) - {a=\"b\"} | json",
            "1:21: parse error: unexpected type for right leg of binary operation (-): *syntax.PipelineExpr",
        ),
        (
            "{a=\"b\"} + 1",
            "1:1: parse error: unexpected type for left leg of binary operation (+): *syntax.MatchersExpr",
        ),
        (
            "{a=\"b\"} | x > \"5\"",
            "1:15: parse error: syntax error: unexpected STRING \"5\", expected string, number, duration or size",
        ),
        (
            "{a=~\".*\"}",
            "1:1: parse error: queries require at least one regexp or equality matcher that does not have an empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will",
        ),
        ("{a=\"b", "1:4: parse error: literal not terminated"),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), expected, "{text}");
    }
    let error = parse("{a=\"b\"} |~ \"(\"").unwrap_err();
    assert!(error.to_string().starts_with("1:12: parse error: error parsing regexp: "), "{error}");
}

#[test]
fn line_filters_look_at_bytes_and_whole_lines() {
    check_lines(r#"{env="prod"}"#, &[1, 2, 3, 4]);
    check_lines(r#"{service_name=~"c.+"}"#, &[1, 2]);
    check_lines(r#"{env="prod"} |= "took""#, &[1, 3, 4]);
    check_lines(r#"{env="prod"} |= "TOOK""#, &[]);
    check_lines(r#"{env="prod"} |= """#, &[1, 2, 3, 4]);
    check_lines(r#"{env="prod"} |= "GET" != "/cart""#, &[4]);
    check_lines(r#"{env="prod"} |= "cart" or "code""#, &[1, 2]);
    check_lines(r#"{env="prod"} != "cart" or "code""#, &[3, 4]);
    check_lines(r#"{env="prod"} |~ "GET.+took""#, &[1, 4]);
    check_lines(r#"{env="prod"} !~ `took \d+ms`"#, &[2, 3]);
}

#[test]
fn label_filters_see_stream_metadata_and_parsed_labels() {
    check_lines(r#"{env="prod"} | detected_level="error" or trace_id="abc""#, &[2, 3]);
    check_lines(r#"{env="prod"} | detected_level=~"info|warn", service_name="pay""#, &[3]);
    check_lines(r#"{env="prod"} | json | code >= 500"#, &[2]);
    check_lines(r#"{env="prod"} | json | __error__="" | code >= 500"#, &[2]);
    check_lines(r#"{env="prod"} | json | __error__="JSONParserErr""#, &[1, 3, 4]);
    check_lines(r#"{env="prod"} | json | a_c = 1.5"#, &[2]);
    check_lines(r#"{env="prod"} | logfmt | took > 200ms"#, &[3]);
    check_lines(r#"{env="prod"} | logfmt | took > 1KB"#, &[3]);
    check_lines(r#"{env="prod"} | logfmt | took > 200ms and (msg="hi \"you\"" or msg="x")"#, &[3]);
    check_lines(r#"{env="prod"} | logfmt | env_extracted="test" env="prod""#, &[3]);
    check_lines(r#"{env="prod"} | drop detected_level | detected_level="info""#, &[]);
    check_lines(r#"{env="prod"} | drop detected_level="warn" | detected_level!="""#, &[1, 2]);
    check_lines(r#"{env="prod"} | keep service_name | env="prod""#, &[]);
}

#[test]
fn an_answer_stops_at_its_limit_and_comes_in_order() {
    let newest = lines(&shop(), r#"{env="prod"} |= "GET""#, 1, Direction::Backward);
    assert_eq!(newest.streams.len(), 1);
    assert_eq!(newest.streams[0].entries[0].at, TimestampNs(4 * SECOND));
    assert_eq!(newest.stats.lines_read, 1);
    let oldest = lines(&shop(), r#"{env="prod"}"#, 3, Direction::Forward);
    let times: Vec<i64> =
        oldest.streams.iter().flat_map(|s| s.entries.iter().map(|e| e.at.0 / SECOND)).collect();
    assert_eq!(times, [1, 2, 3]);
}

#[test]
fn lines_are_grouped_by_indexed_labels_or_by_all_labels() {
    let result = lines(&shop(), r#"{service_name="pay"} | logfmt"#, 10, Direction::Forward);
    assert_eq!(result.streams.len(), 1);
    let entry = &result.streams[0].entries[0];
    assert_eq!(result.streams[0].labels, stream(&[("service_name", "pay"), ("env", "prod")]));
    let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    assert_eq!(entry.metadata, [pair("detected_level", "warn"), pair("trace_id", "abc")]);
    assert!(entry.parsed.contains(&pair("level", "warn")));
    assert!(entry.parsed.contains(&pair("env_extracted", "test")));
    let all = result.grouped_by_all_labels();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].labels.get("trace_id"), Some("abc"));
    assert_eq!(all[0].labels.get("took"), Some("250ms"));
    assert_eq!(all[1].labels, stream(&[("service_name", "pay"), ("env", "prod")]));
}

#[test]
fn metric_queries_count_lines_and_bytes() {
    check_metric(
        r#"sum by (service_name) (count_over_time({env="prod"}[10s]))"#,
        &[(&[("service_name", "cart")], 2.0), (&[("service_name", "pay")], 2.0)],
    );
    // Logs volume as Grafana asks for it.
    check_metric(
        r#"sum by (level, detected_level) (count_over_time({env="prod"} | drop __error__ [20s]))"#,
        &[
            (&[("detected_level", "info")], 1.0),
            (&[("detected_level", "error")], 1.0),
            (&[("detected_level", "warn")], 1.0),
            (&[], 1.0),
        ],
    );
    check_metric(r#"sum(rate({env="prod"} |= "took" [10s]))"#, &[(&[], 0.3)]);
    check_metric(r#"sum(bytes_over_time({service_name="cart"} |= "GET" [10s]))"#, &[(&[], 18.0)]);
    check_metric(r#"sum(bytes_rate({service_name="cart"} |= "GET" [9s])) * 2"#, &[]);
    check_metric(r#"sum(count_over_time({env="prod"}[10s] offset 7s))"#, &[(&[], 3.0)]);
    check_metric(r#"max(count_over_time({service_name="cart"}[10s])) > 5"#, &[]);
    check_metric(
        r#"absent_over_time({env="prod", x="y"}[10s])"#,
        &[(&[("env", "prod"), ("x", "y")], 1.0)],
    );
    check_metric(r#"absent_over_time({env="prod"}[10s])"#, &[]);
    check_metric("vector(1)+vector(1)", &[(&[], 2.0)]);
    check_metric(
        r#"count_over_time({service_name="pay"} |= "level" [10s])"#,
        &[(
            &[
                ("service_name", "pay"),
                ("env", "prod"),
                ("detected_level", "warn"),
                ("trace_id", "abc"),
            ],
            1.0,
        )],
    );
    check_metric(
        r#"sum by (env) (count_over_time({env="prod"} |= "GET" [10s])) / sum by (env) (count_over_time({env="prod"}[10s]))"#,
        &[(&[("env", "prod")], 0.5)],
    );
    check_metric(
        r#"topk(1, sum by (detected_level) (count_over_time({env="prod"} | detected_level != "" [10s])) * 1)"#,
        &[(&[("detected_level", "error")], 1.0)],
    );
}

#[test]
fn numbers_alone_are_scalars() {
    let value = metric(&shop(), "1 + 2 * 3", SECOND).unwrap().value;
    let Value::Metric(promql::Value::Scalar { value, .. }) = value else { panic!() };
    assert_eq!(value, 7.0);
}

#[test]
fn a_metric_query_with_a_failed_line_fails_unless_it_filters_the_error() {
    let error = metric(&shop(), r#"count_over_time({env="prod"} | json [10s])"#, 10 * SECOND);
    assert!(error.unwrap_err().to_string().contains("JSONParserErr"));
    check_metric(
        r#"sum(count_over_time({env="prod"} | json | __error__="" [10s]))"#,
        &[(&[], 1.0)],
    );
    check_metric(
        r#"sum(count_over_time({env="prod"} | json | drop __error__, __error_details__ [10s]))"#,
        &[(&[], 4.0)],
    );
}

#[test]
fn deep_queries_are_refused_politely_and_others_evaluated() {
    for text in [
        "(".repeat(100_000),
        "sum(".repeat(100_000),
        "vector(1)+".repeat(100_000) + "vector(1)",
        "1^".repeat(100_000) + "1",
        "{a=\"b\"} | x=\"y\"".to_owned() + &" and x=\"y\"".repeat(100_000),
        "{a=\"b\"} | ".to_owned() + &"(".repeat(100_000),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(error.message.contains("nests deeper"), "{error}");
    }
    for (open, close) in [("sum(", ")"), ("(", ")"), ("1 + ", ""), ("", " + vector(1)")] {
        for depth in [90, 98, 240, 248] {
            let text = format!("{}vector(1){}", open.repeat(depth), close.repeat(depth));
            if parse(&text).is_ok() {
                metric(&shop(), &text, 0).unwrap();
            }
        }
    }
}

/// What the store is asked for, as far as a store can use it to touch less.
struct Spy(std::sync::Mutex<Vec<LogRequest>>);

impl LogSource for Spy {
    fn scan(
        &self,
        request: &LogRequest,
        _: &QueryContext,
        _: &mut dyn FnMut(&model::log::LogRow<'_>) -> std::ops::ControlFlow<()>,
    ) -> model::Result<()> {
        self.0.lock().unwrap().push(request.clone());
        Ok(())
    }

    fn arrivals_end(&self) -> u64 {
        0
    }

    fn streams(
        &self,
        _: &[model::Matcher],
        _: RangeNs,
        _: &QueryContext,
    ) -> model::Result<Vec<Labels>> {
        Ok(Vec::new())
    }
}

#[test]
fn filters_and_times_are_pushed_down() {
    let spy = Spy(std::sync::Mutex::default());
    let query = r#"sum(count_over_time({a="b"} |= "x" != "y" |~ "z" |= "p" or "q" | c="d"
        | logfmt e |> "<_> f <_>" | h="i" [5s] offset 1s))"#;
    let expr = parse(query).unwrap();
    let (start, end) = (TimestampNs(10 * SECOND), TimestampNs(20 * SECOND));
    evaluate_range(&expr, start, end, 3 * SECOND, &spy, &QueryContext::unlimited()).unwrap();
    let request = spy.0.lock().unwrap().pop().unwrap();
    let texts = |needles: &[Needle]| needles.iter().map(|n| n.text().to_vec()).collect();
    let pushed: Vec<(bool, Vec<Vec<u8>>)> = request
        .lines
        .iter()
        .map(|condition| match condition {
            LineCondition::Contains(needles) => (true, texts(needles)),
            LineCondition::Lacks(needles) => (false, texts(needles)),
            LineCondition::Matches(regexes) => {
                (true, regexes.iter().map(|regex| regex.as_str().as_bytes().to_vec()).collect())
            }
            other => panic!("{other:?} was not asked for"),
        })
        .collect();
    let x = (true, vec![b"x".to_vec()]);
    let y = (false, vec![b"y".to_vec()]);
    let either = (true, vec![b"p".to_vec(), b"q".to_vec()]);
    let z = (true, vec![b"z".to_vec()]);
    let f = (true, vec![b" f ".to_vec()]);
    assert_eq!(pushed, [x, y, z, either, f]);
    assert_eq!(request.fields, [model::Matcher::equal("c", "d")]);
    assert_eq!(request.range.start, TimestampNs(4 * SECOND + 1));
    assert_eq!(request.range.end, TimestampNs(18 * SECOND + 1));
    assert!(request.columns.metadata && request.columns.line && request.order.is_none());
}

fn random_logs() -> impl Strategy<Value = (MemoryLogs, Vec<(usize, i64, String)>)> {
    let row = (0usize..3, 0i64..100, "[ab\\n]{0,4}");
    prop::collection::vec(row, 0..40).prop_map(|rows| {
        let mut logs = MemoryLogs::new();
        for (i, at, line) in &rows {
            let name = ["x", "y", "z"][*i];
            logs.push(&stream(&[("app", name)]), *at * MS, line, &[("n", name)]);
        }
        (logs, rows)
    })
}

proptest! {
    #[test]
    fn counts_equal_a_naive_count(
        (logs, rows) in random_logs(),
        range in 1i64..30,
        step in 1i64..20,
        offset in -10i64..10,
        needle in "[ab]{0,2}",
        start in 0i64..20,
    ) {
        let sign = if offset < 0 { "-" } else { "" };
        let query = format!(
            "count_over_time({{app=~\".+\"}} |= \"{needle}\" != \"bb\" [{range}ms] offset {sign}{}ms)",
            offset.abs()
        );
        let expr = parse(&query).unwrap();
        let context = QueryContext::unlimited();
        let (first, end) = (TimestampNs(start * MS), TimestampNs((start + 90) * MS));
        let step_ns = step * MS;
        let value = evaluate_range(&expr, first, end, step_ns, &logs, &context).unwrap();
        let Value::Metric(promql::Value::Matrix(matrix)) = value.value else { panic!() };
        let mut found = 0.0;
        for series in &matrix {
            found += series.points.iter().map(|(_, value)| value).sum::<f64>();
        }
        let mut wanted = 0.0;
        let mut at = start;
        while at <= start + 90 {
            let time = at - offset;
            let inside = |t: i64| time - range < t && t <= time;
            let matches = |line: &str| line.contains(&needle) && !line.contains("bb");
            wanted += rows.iter().filter(|(_, t, line)| inside(*t) && matches(line)).count() as f64;
            at += step;
        }
        prop_assert_eq!(found, wanted);
        // The sum by stream is the same whether it is pushed into the count or not.
        let summed = parse(&format!("sum by (app) ({query})")).unwrap();
        let value = evaluate_range(&summed, first, end, step_ns, &logs, &context).unwrap();
        let Value::Metric(promql::Value::Matrix(sums)) = value.value else { panic!() };
        let points = |matrix: &[promql::MatrixSeries]| {
            matrix.iter().map(|s| (s.labels.only(&["app"]), s.points.clone())).collect::<Vec<_>>()
        };
        prop_assert_eq!(points(&sums), points(&matrix));
    }

    #[test]
    fn line_filters_equal_naive_ones((logs, rows) in random_logs(), needle in "[ab]{0,2}") {
        for (op, wanted) in [("|=", true), ("!=", false), ("|~", true), ("!~", false)] {
            let result =
                lines(&logs, &format!("{{app=~\".+\"}} {op} \"{needle}\""), 1000, Direction::Forward);
            let found: usize = result.streams.iter().map(|s| s.entries.len()).sum();
            let naive = rows.iter().filter(|(_, _, l)| l.contains(&needle) == wanted).count();
            prop_assert_eq!(found, naive);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,60}") {
        prop_assert!(parse(&text).map_or_else(|e| !e.message.is_empty(), |_| true));
    }

    #[test]
    fn no_line_makes_a_parser_stage_panic(line in "\\PC{0,60}", tail in "[a={}\",:\\[\\] \\\\]{0,30}") {
        let mut logs = MemoryLogs::new();
        logs.push(&stream(&[("app", "x")]), 1, &format!("{line}{tail}"), &[]);
        logs.push(&stream(&[("app", "x")]), 1, &tail, &[]);
        let result = lines(&logs, "{app=\"x\"} | json | logfmt --strict", 10, Direction::Forward);
        prop_assert_eq!(result.stats.lines_matched, 2);
    }
}
