//! Printing: one canonical form, lines of bearable length, JSON, and that parsing is its inverse.

use proptest::prelude::*;
use serde_json::json;

use super::generate::vector_expr;
use crate::promql::{parse, pretty, printer, syntax_json};

fn check_print(text: &str, expected: &str) {
    let expr = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(expr.to_string(), expected, "{text}");
    assert_eq!(parse(expected).unwrap(), expr, "{text}");
}

#[test]
fn expressions_print_in_one_canonical_form() {
    for (text, expected) in [
        ("90m", "1h30m"),
        ("1 - -5m", "1 - -5m"),
        ("0x1F", "31"),
        ("iNf", "+Inf"),
        ("- nan", "NaN"),
        ("foo [ 90s ]  offset -1h", "foo[1m30s] offset -1h"),
        ("foo @ 1.5 offset 1y", "foo @ 1.500 offset 1y"),
        ("foo offset 5m @ start()", "foo @ start() offset 5m"),
        ("foo @ 1 offset 5m smoothed", "foo @ 1.000 smoothed offset 5m"),
        ("foo[5m] offset 5m anchored @ 1", "foo[5m] anchored @ 1.000 offset 5m"),
        (r#"{"http.requests", "a.b"="c",}"#, r#"{"a.b"="c",__name__="http.requests"}"#),
        (r#"foo{b="1", a!~'x"'}"#, r#"foo{a!~"x\"",b="1"}"#),
        ("sum(foo) by (a,)", "sum by (a) (foo)"),
        ("SUM without()(foo)", "sum without () (foo)"),
        ("sum by () (foo)", "sum(foo)"),
        ("limit_ratio(-0.5, foo)", "limit_ratio(-0.5, foo)"),
        ("a+b*c^d", "a + b * c ^ d"),
        ("a or b and c # comment\n", "a or b and c"),
        ("rate(a[5m])[1h:] @ end()", "rate(a[5m])[1h:] @ end()"),
        ("a > bool ignoring(x) group_right(y) b", "a > bool ignoring (x) group_right (y) b"),
        ("a + on () b", "a + on () b"),
        ("a + on () 1", "a + 1"),
        ("a / fill_right(2) fill_left(-1) b", "a / fill_left (-1) fill_right (2) b"),
        ("a / on(x) fill(+Inf) b", "a / on (x) fill (+Inf) b"),
        ("a</2>/b", "a </ 2 >/ b"),
        ("-1 ^ 2", "-1 ^ 2"),
        ("-a + +b", "-a + +b"),
        ("start > end", "start > end"),
        ("and + sum", "and + sum"),
        ("fill + fill", "fill + fill"),
        ("foo[2 * (1h+step())]", "foo[2 * (1h + step())]"),
        ("foo[Max_Of(1m,RANGE())] offset -(5)", "foo[max_of(1m, range())] offset -(5)"),
        ("foo[1h:step() ^ 2] offset (1m)*2", "foo[1h:step() ^ 2] offset (1m) * 2"),
        ("foo offset 5 + 2", "foo offset 5s + 2"),
        ("foo offset (5m) + bar", "foo offset (5m) + bar"),
    ] {
        check_print(text, expected);
    }
}

#[test]
fn what_does_not_fit_into_a_line_is_split_level_by_level() {
    for (text, expected) in [
        ("foo", "foo"),
        ("sum by(a)(foo_bar)", "sum by (a) (\n  foo_bar\n)"),
        ("topk(3, foo_bar)", "topk(\n  3,\n  foo_bar\n)"),
        ("foo + on(a) bar", "  foo\n+ on (a)\n  bar"),
        ("(foo + bar_bar)", "(\n    foo\n  +\n    bar_bar\n)"),
        ("clamp(foo_bar, 1, 2)", "clamp(\n  foo_bar,\n  1,\n  2\n)"),
        ("-(foo + bar_bar)", "-(\n    foo\n  +\n    bar_bar\n)"),
        ("foo_bar[5m] offset 1d", "foo_bar[5m] offset 1d"),
        (
            "min_over_time(rate(foo[5m])[1h:] offset 1h)",
            "min_over_time(\n  rate(\n    foo[5m]\n  )[1h:] offset 1h\n)",
        ),
    ] {
        assert_eq!(printer::within(&parse(text).unwrap(), 10), expected, "{text}");
    }
    let long =
        "sum by (namespace, pod) (rate(container_cpu_usage_seconds_total{container!=\"\"}[5m]))";
    assert_eq!(pretty(&parse(long).unwrap()), long);
    let longer = long.replace("[5m]", "[5m] offset 1w @ 1700000000");
    assert!(pretty(&parse(&longer).unwrap()).starts_with("sum by (namespace, pod) (\n  rate(cont"));
}

#[test]
fn the_tree_is_told_in_the_json_of_prometheus() {
    let check = |text: &str, expected: serde_json::Value| {
        assert_eq!(syntax_json(&parse(text).unwrap()), expected, "{text}");
    };
    let selector = |name: &str| {
        json!({
            "type": "vectorSelector",
            "name": name,
            "offset": 0,
            "offsetExpr": null,
            "matchers": [{"name": "__name__", "value": name, "type": "="}],
            "timestamp": null,
            "startOrEnd": null,
            "anchored": false,
            "smoothed": false,
        })
    };
    check(
        "-(2)",
        json!({
            "type": "unaryExpr",
            "op": "-",
            "expr": {"type": "parenExpr", "expr": {"type": "numberLiteral", "val": "2"}},
        }),
    );
    check("-1m", json!({"type": "numberLiteral", "val": "-60"}));
    check(
        "a or b",
        json!({
            "type": "binaryExpr",
            "op": "or",
            "lhs": selector("a"),
            "rhs": selector("b"),
            "matching": {
                "card": "many-to-many",
                "labels": [],
                "on": false,
                "include": [],
                "fillValues": {"lhs": null, "rhs": null},
            },
            "bool": false,
        }),
    );
    check(
        "topk without (x) (2, a)",
        json!({
            "type": "aggregation",
            "op": "topk",
            "expr": selector("a"),
            "param": {"type": "numberLiteral", "val": "2"},
            "grouping": ["x"],
            "without": true,
        }),
    );
    check(
        "last_over_time(a{b!=\"c\"}[step() * 2] smoothed @ start() offset -5m)",
        json!({
            "type": "call",
            "func": {
                "name": "last_over_time",
                "argTypes": ["matrix"],
                "variadic": 0,
                "returnType": "vector",
            },
            "args": [{
                "type": "matrixSelector",
                "name": "a",
                "range": 0,
                "rangeExpr": {
                    "type": "durationExpr",
                    "op": "*",
                    "lhs": {
                        "type": "durationExpr",
                        "op": "step",
                        "lhs": null,
                        "rhs": null,
                        "wrapped": false,
                    },
                    "rhs": {"type": "numberLiteral", "val": "2", "duration": false},
                    "wrapped": false,
                },
                "offset": -300_000,
                "offsetExpr": null,
                "matchers": [
                    {"name": "b", "value": "c", "type": "!="},
                    {"name": "__name__", "value": "a", "type": "="},
                ],
                "timestamp": null,
                "startOrEnd": "start",
                "anchored": false,
                "smoothed": true,
            }],
        }),
    );
    check(
        "(a)[1h:5m] @ 1.5",
        json!({
            "type": "subquery",
            "expr": {"type": "parenExpr", "expr": selector("a")},
            "range": 3_600_000,
            "rangeExpr": null,
            "offset": 0,
            "offsetExpr": null,
            "step": 300_000,
            "stepExpr": null,
            "timestamp": 1500,
            "startOrEnd": null,
        }),
    );
}

proptest! {
    #[test]
    fn printing_and_parsing_are_inverse(expr in vector_expr()) {
        let text = expr.to_string();
        let parsed = parse(&text);
        prop_assert!(parsed.is_ok(), "{}: {:?}", text, parsed);
        prop_assert_eq!(parsed.unwrap(), expr, "{}", text);
    }

    #[test]
    fn a_layout_means_what_the_line_means(expr in vector_expr(), chars_max in 5usize..60) {
        let text = printer::within(&expr, chars_max);
        let parsed = parse(&text);
        prop_assert!(parsed.is_ok(), "{}: {:?}", text, parsed);
        prop_assert_eq!(parsed.unwrap(), expr, "{}", text);
    }
}
