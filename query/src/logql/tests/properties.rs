//! Random lines and queries: what a store counts equals what rows say, metric queries equal a naive
//! evaluation, and no text does harm.

use std::collections::BTreeMap;

use model::{Labels, QueryContext, TimestampNs};
use proptest::prelude::*;

use crate::logql::memory::MemoryLogs;
use crate::logql::{Value, evaluate_range, parse};
use crate::promql;

type Points = Vec<(Labels, Vec<(i64, f64)>)>;

const MS: i64 = 1_000_000;

/// A line of the corpus: application, time in milliseconds, pod, value.
#[derive(Debug, Clone)]
struct Row {
    app: &'static str,
    at_ms: i64,
    pod: &'static str,
    value: Option<i64>,
}

impl Row {
    fn line(&self) -> String {
        let value = self.value.map_or("x=1".to_owned(), |value| format!("v={value}"));
        format!("{value} word{} end", self.at_ms % 3)
    }
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        prop::sample::select(vec!["a", "b", "c"]),
        0i64..100,
        prop::sample::select(vec!["", "p1", "p2"]),
        prop::option::weighted(0.8, -5i64..20),
    );
    let row = row.prop_map(|(app, at_ms, pod, value)| Row { app, at_ms, pod, value });
    prop::collection::vec(row, 0..60)
}

fn store(rows: &[Row]) -> MemoryLogs {
    let mut logs = MemoryLogs::new();
    for row in rows {
        let stream = Labels::from_pairs([("app", row.app)]);
        let pod = [("pod", row.pod)];
        let metadata = if row.pod.is_empty() { &[][..] } else { &pod[..] };
        logs.push(&stream, row.at_ms * MS, &row.line(), metadata);
    }
    logs
}

fn points(query: &str, logs: &MemoryLogs, times: [i64; 3]) -> Points {
    let expr = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let [start, end, step] = times.map(|ms| ms * MS);
    let (start, end) = (TimestampNs(start), TimestampNs(end));
    let context = QueryContext::unlimited();
    let result = evaluate_range(&expr, start, end, step, logs, &context);
    let result = result.unwrap_or_else(|error| panic!("{query}: {error}"));
    let Value::Metric(promql::Value::Matrix(matrix)) = result.value else { panic!("{query}") };
    let series = matrix.into_iter().map(|series| {
        (series.labels, series.points.iter().map(|(at, value)| (at.0, *value)).collect())
    });
    series.collect()
}

/// The values of a window by an operation, the slow way.
fn naive(op: &str, values: &[f64], range_ms: i64) -> f64 {
    let count = values.len() as f64;
    let sum: f64 = values.iter().sum();
    let mean = sum / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    match op {
        "sum_over_time" => sum,
        "rate" => sum / (range_ms as f64 / 1000.0),
        "avg_over_time" => mean,
        "min_over_time" => values.iter().copied().fold(f64::INFINITY, f64::min),
        "max_over_time" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "stdvar_over_time" => variance,
        "stddev_over_time" => variance.sqrt(),
        "first_over_time" => values[0],
        "last_over_time" => values[values.len() - 1],
        _ => {
            let mut sorted = values.to_vec();
            sorted.sort_by(f64::total_cmp);
            let rank = 0.75 * (count - 1.0);
            let (low, part) = (rank.floor() as usize, rank.fract());
            let high = (low + 1).min(sorted.len() - 1);
            sorted[low] * (1.0 - part) + sorted[high] * part
        }
    }
}

fn same(a: &Points, b: &Points) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|((a_labels, a), (b_labels, b))| {
            a_labels == b_labels
                && a.len() == b.len()
                && a.iter().zip(b).all(|((a_at, a), (b_at, b))| {
                    a_at == b_at && (a - b).abs() <= 1e-9 * (1.0 + a.abs())
                })
        })
}

proptest! {
    #[test]
    fn a_count_by_the_store_equals_one_by_rows(
        rows in rows(),
        op in prop::sample::select(vec![
            "count_over_time", "rate", "bytes_over_time", "bytes_rate",
        ]),
        by in prop::sample::subsequence(vec!["app", "pod", "nosuch"], 0..=3),
        filters in prop::sample::subsequence(
            vec![
                "|= \"word1\" or \"v=1\"", "!= \"x\"", "| pod!=\"p1\"", "| drop pod",
                "| pod=~\"p.\", app!=\"c\"", "|~ \"v=.\"", "| __error__=\"\"", "| keep app, pod",
                "!~ \"word[02]\"",
            ],
            0..=4,
        ),
        range in 1i64..40,
        step in 1i64..30,
        offset in -10i64..20,
        start in 0i64..50,
    ) {
        let logs = store(&rows);
        let query = |extra: &str| format!(
            "sum by ({}) ({op}({{app=~\".+\"}} {} {extra} [{range}ms] offset {offset}ms))",
            by.join(", "), filters.join(" "),
        );
        let times = [start, start + 80, step];
        let pushed = points(&query(""), &logs, times);
        // A template keeps the store from counting and changes nothing that is asked for.
        let read = points(&query("| label_format other=`x`"), &logs, times);
        prop_assert!(same(&pushed, &read), "{}: {pushed:?} {read:?}", query(""));
        let topk = |extra: &str| format!("topk(2, {}) + 1", query(extra));
        let top = points(&topk(""), &logs, times);
        let read = points(&topk("| label_format other=`x`"), &logs, times);
        prop_assert!(same(&top, &read));
    }

    #[test]
    fn unwrapped_aggregations_equal_naive_ones(
        rows in rows(),
        op in prop::sample::select(vec!["sum_over_time", "rate", "avg_over_time", "min_over_time",
            "max_over_time", "stddev_over_time", "stdvar_over_time", "first_over_time",
            "last_over_time", "quantile_over_time"]),
        grouping in prop::sample::select(vec![
            "", "by (app)", "by (pod)", "by ()", "without (pod)",
        ]),
        range in 1i64..40,
        step in 1i64..30,
        start in 0i64..50,
    ) {
        let logs = store(&rows);
        let parameter = if op == "quantile_over_time" { "0.75, " } else { "" };
        let lines = format!("{{app=~\".+\"}} | logfmt v | drop word | unwrap v [{range}ms]");
        let own = !matches!(op, "sum_over_time" | "rate");
        let query = if own {
            format!("{op}({parameter}{lines}) {grouping}")
        } else {
            let by = if grouping.is_empty() { "by (app, pod)" } else { grouping };
            format!("sum {by} ({op}({lines}))")
        };
        let found = points(&query, &logs, [start, start + 80, step]);

        let labels = |row: &Row| {
            let all = Labels::from_pairs([("app", row.app), ("pod", row.pod)]);
            match grouping {
                "by (app)" => all.only(&["app"]),
                "by (pod)" => all.only(&["pod"]),
                "by ()" => Labels::empty(),
                "without (pod)" => all.without(&["pod"]),
                _ => all,
            }
        };
        let mut ordered: Vec<&Row> = rows.iter().collect();
        ordered.sort_by_key(|row| row.at_ms);
        let mut wanted: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
        let mut at = start;
        while at <= start + 80 {
            let mut windows: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
            for row in &ordered {
                if let Some(value) = row.value && at - range < row.at_ms && row.at_ms <= at {
                    windows.entry(labels(row)).or_default().push(value as f64);
                }
            }
            for (labels, values) in windows {
                wanted.entry(labels).or_default().push((at, naive(op, &values, range)));
            }
            at += step;
        }
        let wanted: Points = wanted.into_iter().collect();
        prop_assert!(same(&found, &wanted), "{query}: {found:?} {wanted:?}");
    }

    #[test]
    fn lines_read_by_a_pipeline_do_not_depend_on_what_was_pushed_down(
        rows in rows(),
        stages in prop::collection::vec(prop::sample::select(vec![
            "|= \"v=1\"", "|= \"word2\" or \"x\"", "| logfmt != \"word1\"", "| pod=\"p1\"",
            "| v > 3",
            "| logfmt", "|> \"<_>word<_>\"", "!> \"v=<_>\"", "| line_format `{{.v}} {{__line__}}`",
            "| label_format pod=app", "| drop pod, x", "| pod!=\"\" or v=\"2\"",
            "| regexp `(?P<pod>x)`",
        ]), 0..6),
    ) {
        let logs = store(&rows);
        let query = |first: &str| format!("{{app=~\".+\"}} {first} {}", stages.join(" "));
        let count = |query: &str| {
            let counted = format!("count_over_time({query} | __error__=`` [1s])");
            points(&format!("sum by (pod, v) ({counted})"), &logs, [100, 100, 1])
        };
        // Behind a template nothing is pushed down.
        let hidden = count(&query("| line_format `{{__line__}}` | label_format zz=`1`"));
        let pushed = count(&query(""));
        prop_assert!(same(&pushed, &hidden), "{}: {pushed:?} {hidden:?}", query(""));
    }

    #[test]
    fn what_parses_prints_as_the_same_query(
        words in prop::collection::vec(prop::sample::select(vec![
            "{a=\"b\"}", "|=", "!=", "|~", "!~", "|>", "!>", "|", "json", "logfmt", "--strict",
            "--keep-empty", "regexp", "`(?P<x>y)`", "pattern", "\"<x> y\"", "unpack", "line_format",
            "label_format", "`{{.x}}`", "decolorize", "drop", "keep", "x", ",", "=", "==", ">", "5",
            "5ms", "1h30m", "3KB", "\"y\"", "ip(\"10.0.0.0/8\")", "and", "or", "(", ")", "[5m]",
            "count_over_time(", "quantile_over_time(0.5,", "avg_over_time(", "unwrap", "bytes(x)",
            "sum", "sort_desc(", "by", "without", "(x)", "vector(1)", "+", "/", "^", "unless",
            "offset",
            "topk(2,", "label_replace(", "bool", "on", "group_left", "1.5", "-",
        ]), 0..16)
    ) {
        check_round_trip(&words.join(" "));
    }

    #[test]
    fn pipelines_print_as_themselves(
        stages in prop::collection::vec(prop::sample::select(vec![
            "|= \"a\" or ip(\"1.2.3.4\")", "|~ `a\\d` or \"b\"", "!> \"x <_>\"", "| json",
            "| json a, b=\"c[0].d\"", "| logfmt --strict --keep-empty x, y=\"z\"", "| unpack",
            "| regexp `(?P<x>.)`", "| pattern \"<x> <_>\"", "| line_format `{{.x}}\n`",
            "| decolorize", "| label_format a=b, c=`{{.d}}`", "| drop a, b=\"c\"",
            "| logfmt != \"x\"", "| json !~ \"y\"", "| keep a=~\"x.*\", b",
            "| a=\"b\" or c>5 and d<=3m", "| (a!=\"b\" or c>1.5KiB) e!~\"f\"", "| a=ip(\"::1\")",
            "| a != ip(\"1.1.1.1-1.1.1.9\"), b >= -5ms", "| x == 1e9",
        ]), 0..8),
        outside in prop::sample::select(vec![
            "%", "count_over_time(%[5m])", "sum by (a, b) (rate(%[1h30m] offset -5m)) > bool 2",
            "rate(%[1d] offset -24h) + vector(1e-9)", "rate(%[0] offset 1.5ms) * vector(0.25)",
            "quantile_over_time(0.99, % | unwrap duration(x) | y>5 [90s]) by (z)",
            "topk(3, sum without () (bytes_rate(%[1d]))) / on (a) group_left (b) vector(2)",
            "label_replace(absent_over_time(%[500ms]), \"a\", \"$1\", \"b\", \"(.*)\")",
            "sort(max_over_time(% | unwrap x [1w])) or -1.5 ^ 2 * count_over_time(%[1y])",
        ]),
    ) {
        let log = format!("{{a=\"b\", c=~\"d.*\"}} {}", stages.join(" "));
        let text = outside.replace('%', &log);
        prop_assert!(parse(&text).is_ok(), "{text}: {:?}", parse(&text));
        check_round_trip(&text);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let text = String::from_utf8_lossy(&bytes);
        let _either = parse(&text).is_ok();
        let _either = parse(&format!("{{a=\"b\"}} {text}")).is_ok();
        let _either = parse(&format!("rate({{a=\"b\"}} | json {text} [5m])")).is_ok();
    }

    #[test]
    fn no_line_makes_a_stage_panic(
        line in "\\PC{0,40}[a={}\",:\\[\\] \\\\\n\u{1b};m0-9.]{0,40}",
        stages in prop::collection::vec(prop::sample::select(vec![
            "| json", "| json a=\"b[0].c\"", "| logfmt --strict", "| logfmt a, b=\"c\"", "| unpack",
            "| pattern \"<a>=<b> <c>\"", "| regexp `(?P<a>.*)=(?P<b>.)`", "| decolorize",
            "| a > 5", "| a > 5ms", "| a > 5KB", "| a=ip(\"::/0\")", "|= ip(\"0.0.0.0/0\")",
            "| line_format `{{.a}}{{fromJson __line__}}{{bytes .b}}`",
            "| label_format a=`{{.c|int}}`",
        ]), 0..5),
    ) {
        let mut logs = MemoryLogs::new();
        logs.push(&Labels::from_pairs([("app", "x")]), 1, &line, &[("a", &line)]);
        let lines = format!("{{app=\"x\"}} {} | drop __error__", stages.join(" "));
        let query = format!("sum(count_over_time({lines} [1s]))");
        let found = points(&query, &logs, [1, 1, 1]);
        prop_assert!(found.len() <= 1);
    }
}

fn check_round_trip(text: &str) {
    let Ok(expr) = parse(text) else { return };
    for printed in [expr.to_string(), expr.pretty()] {
        let parsed = parse(&printed);
        assert_eq!(parsed.as_ref().ok(), Some(&expr), "{text} as {printed}: {parsed:?}");
    }
}

#[test]
fn long_texts_are_read_in_time_that_grows_with_them() {
    let filters = "|= \"x\" ".repeat(100_000);
    assert!(parse(&format!("{{a=\"b\"}} {filters}")).is_ok());
    for text in [
        "{a=\"b\"} | json ".to_owned() + &"| ".repeat(500_000),
        "{a=\"b\"} |= ip(\"".to_owned() + &"1".repeat(1_000_000),
        "sum by (".to_owned() + &"a,".repeat(300_000),
        "\"".repeat(1_000_000),
        "rate(".to_owned() + &"(".repeat(900_000),
        "x".repeat((1 << 20) + 1),
    ] {
        assert!(parse(&text).is_err());
    }
}
