//! Parsing: errors with their positions, and that printing is its inverse.

use model::{MatchOp, Matcher};
use proptest::prelude::*;

use crate::errors::Span;
use crate::promql::ast::{
    Aggregate, AtModifier, Binary, Call, Expr, ExprKind, RangeSelector, Selector, Subquery, UnaryOp,
};
use crate::promql::{functions, parse, selectors};
use crate::vector::{AggregateOp, BinaryOp, Cardinality, Grouping, Matching};

fn check_error(text: &str, expected: &str) {
    match parse(text) {
        Ok(expr) => panic!("{text} parses as {expr}"),
        Err(error) => assert_eq!(error.to_string(), expected, "{text}"),
    }
}

fn check_print(text: &str, expected: &str) {
    let expr = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(expr.to_string(), expected, "{text}");
    assert_eq!(parse(expected).unwrap(), expr, "{text}");
}

#[test]
fn errors_say_where_and_what_was_expected() {
    for (text, expected) in [
        ("", "1:1: parse error: no expression found in input"),
        ("foo{a=}", "1:7: parse error: unexpected \"}\" in label matching, expected string"),
        (
            "foo{a b}",
            "1:7: parse error: unexpected identifier \"b\" in label matching, expected label \
             matching operator",
        ),
        (
            "foo{1}",
            "1:5: parse error: unexpected number \"1\" in label matching, expected identifier or \"}\"",
        ),
        ("sum(", "1:5: parse error: unexpected end of input"),
        ("1 +\n  )", "2:3: parse error: unexpected \")\""),
        ("a b", "1:3: parse error: unexpected identifier \"b\""),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        (
            "{a=~\".*\"}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "x{__name__=\"y\"}",
            "1:1: parse error: metric name must not be set twice: \"x\" or \"y\"",
        ),
        (
            "rate(foo)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant \
             vector",
        ),
        (
            "abs(foo[5m])",
            "1:5: parse error: expected type instant vector in call to function \"abs\", got range vector",
        ),
        ("rate()", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 0"),
        (
            "clamp(a, 1, 2, 3)",
            "1:1: parse error: expected 3 argument(s) in call to \"clamp\", got 4",
        ),
        (
            "round(a, 1, 2)",
            "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3",
        ),
        ("rat(foo[5m])", "1:1: parse error: unknown function with name \"rat\""),
        (
            "info(foo)",
            "1:1: parse error: function \"info\" is known to PromQL but not supported yet",
        ),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("a + bool b", "1:3: parse error: bool modifier can only be used on comparison operators"),
        (
            "a and 1",
            "1:1: parse error: set operator \"and\" not allowed in binary scalar expression",
        ),
        ("a and on(x) group_left b", "1:3: parse error: no grouping allowed for \"and\" operation"),
        (
            "a + on(x) group_left(x) b",
            "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once",
        ),
        (
            "a[5m] + 1",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
        ("sum(a) [5m]", "1:1: parse error: ranges only allowed for vector selectors"),
        (
            "1 offset 5m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        ("a offset 5m offset 5m", "1:1: parse error: offset may not be set multiple times"),
        ("a[0s]", "1:3: parse error: duration must be greater than 0"),
        ("a[5x]", "1:3: parse error: bad number or duration syntax: \"5x\""),
        ("\"abc", "1:1: parse error: unterminated quoted string"),
        (
            "a{b=\"c\"",
            "1:8: parse error: unexpected end of input in label matching, expected \",\" or \"}\"",
        ),
        (
            "topk(a)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        (
            "sum(1)",
            "1:5: parse error: expected type instant vector in aggregation expression, got scalar",
        ),
        ("rate(a[5m],)", "1:11: parse error: trailing commas not allowed in function call args"),
        (
            "-\"a\"",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
        ),
    ] {
        check_error(text, expected);
    }
}

#[test]
fn expressions_print_in_one_canonical_form() {
    for (text, expected) in [
        ("5m", "300"),
        ("1h30m", "5400"),
        ("0x1F", "31"),
        ("foo [ 90s ]  offset -1h", "foo[1m30s] offset -1h"),
        ("foo @ 1.5 offset 1y", "foo @ 1.500 offset 1y"),
        ("foo offset 5m @ start()", "foo @ start() offset 5m"),
        (r#"{"http.requests", "a.b"="c",}"#, r#"{"http.requests", "a.b"="c"}"#),
        ("sum(foo) by (a,)", "sum by (a) (foo)"),
        ("SUM without(a)(foo)", "sum without (a) (foo)"),
        ("a+b*c^d", "a + b * c ^ d"),
        ("a or b and c # comment\n", "a or b and c"),
        ("rate(a[5m])[1h:] @ end()", "rate(a[5m])[1h:] @ end()"),
        ("a > bool ignoring(x) group_right(y) b", "a > bool ignoring (x) group_right (y) b"),
        ("-1 ^ 2", "-1 ^ 2"),
        ("start > end", "start > end"),
        ("on + sum", "{\"on\"} + sum"),
    ] {
        check_print(text, expected);
    }
}

#[test]
fn operators_bind_as_in_prometheus() {
    let shape = |text: &str| {
        fn show(expr: &Expr) -> String {
            match &expr.kind {
                ExprKind::Binary(b) => {
                    format!("({} {} {})", show(&b.left), b.op.as_str(), show(&b.right))
                }
                ExprKind::Unary(_, inner) => format!("(-{})", show(inner)),
                _ => expr.to_string(),
            }
        }
        show(&parse(text).unwrap())
    };
    assert_eq!(shape("a ^ b ^ c"), "(a ^ (b ^ c))");
    assert_eq!(shape("a - b - c"), "((a - b) - c)");
    assert_eq!(shape("-a ^ b * c"), "((-(a ^ b)) * c)");
    assert_eq!(shape("a unless b or c and d"), "((a unless b) or (c and d))");
    assert_eq!(shape("a == b + c * -d"), "(a == (b + (c * (-d))))");
    assert_eq!(shape("a atan2 b / c"), "((a atan2 b) / c)");
}

#[test]
fn nodes_know_their_place() {
    let text = "sum(rate(foo[5m])) /\n  bar";
    let expr = parse(text).unwrap();
    assert_eq!((expr.span.start, expr.span.end), (0, text.len()));
    let ExprKind::Binary(binary) = &expr.kind else { panic!("{expr}") };
    assert_eq!(&text[binary.left.span.start..binary.left.span.end], "sum(rate(foo[5m]))");
    assert_eq!(binary.right.span, Span { start: 23, end: 26, line: 2, column: 3 });
    let names: Vec<_> = selectors(&expr).iter().map(|s| s.name.clone().unwrap()).collect();
    assert_eq!(names, ["foo", "bar"]);
}

#[test]
fn deep_and_long_queries_are_refused_politely() {
    for text in [
        "(".repeat(100_000),
        "-".repeat(100_000),
        "a+".repeat(100_000) + "a",
        "a^".repeat(100_000) + "a",
        "abs(".repeat(100_000),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(error.message.contains("nests deeper"), "{error}");
    }
    let long = " ".repeat(2 << 20) + "a";
    assert!(parse(&long).unwrap_err().message.contains("more than the 1048576"));
}

fn label_name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_][a-z0-9_]{0,5}", Just("http.status".to_owned()), "[a-z\u{e9} \"\\\\]{1,4}"]
}

fn metric_name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_:][a-z0-9_:]{0,6}", Just("http.requests".to_owned()), Just("on".to_owned())]
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op = prop_oneof![
        Just(MatchOp::Equal),
        Just(MatchOp::NotEqual),
        Just(MatchOp::Matches),
        Just(MatchOp::NotMatches)
    ];
    (label_name(), op, "[a-z\"\\n\u{e9} ]{0,5}")
        .prop_filter_map("a bad regular expression", |(n, op, v)| Matcher::new(n, op, v).ok())
}

fn duration_ms() -> impl Strategy<Value = i64> {
    prop_oneof![1i64..100_000, (1i64..1000).prop_map(|d| d * 3_600_000), Just(31_536_000_000)]
}

fn at_modifier() -> impl Strategy<Value = Option<AtModifier>> {
    prop_oneof![
        Just(None),
        Just(Some(AtModifier::Start)),
        Just(Some(AtModifier::End)),
        (-1_000_000_000_000i64..1_000_000_000_000).prop_map(|ms| Some(AtModifier::Time(ms)))
    ]
}

fn offset() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), duration_ms(), duration_ms().prop_map(|ms| -ms)]
}

fn selector() -> impl Strategy<Value = Selector> {
    (metric_name(), prop::collection::vec(matcher(), 0..3), offset(), at_modifier()).prop_map(
        |(name, matchers, offset_ms, at)| Selector { name: Some(name), matchers, offset_ms, at },
    )
}

fn node(kind: ExprKind) -> Expr {
    Expr::new(kind, Span::default())
}

fn paren(expr: Expr) -> Expr {
    node(ExprKind::Paren(Box::new(expr)))
}

/// Expressions of type instant vector.
fn vector_expr() -> impl Strategy<Value = Expr> {
    let leaf = selector().prop_map(|selector| node(ExprKind::Selector(selector)));
    leaf.prop_recursive(4, 24, 3, |inner| {
        let labels = || prop::collection::vec(label_name(), 0..3);
        let op = prop::sample::select(vec![
            BinaryOp::Add,
            BinaryOp::Pow,
            BinaryOp::Mod,
            BinaryOp::Atan2,
            BinaryOp::Le,
            BinaryOp::Unless,
        ]);
        let binary = (op, inner.clone(), inner.clone(), any::<bool>(), any::<bool>(), labels())
            .prop_map(|(op, left, right, flag, on, labels)| {
                let cardinality = match (op.is_set(), flag) {
                    (false, true) => Cardinality::ManyToOne,
                    _ => Cardinality::OneToOne,
                };
                let matching = Matching { on, labels, cardinality, include: Vec::new() };
                node(ExprKind::Binary(Box::new(Binary {
                    op,
                    left: paren(left),
                    right: paren(right),
                    return_bool: flag && op.is_comparison(),
                    matching: Some(matching),
                })))
            });
        let aggregate = (any::<bool>(), any::<bool>(), labels(), inner.clone()).prop_map(
            |(topk, without, labels, expr)| {
                let parameter = topk.then(|| node(ExprKind::Number(3.5)));
                let op = if topk { AggregateOp::Topk } else { AggregateOp::Stdvar };
                let grouping = Grouping { without, labels };
                node(ExprKind::Aggregate(Box::new(Aggregate { op, parameter, expr, grouping })))
            },
        );
        let scalar_binary = (inner.clone(), any::<f64>()).prop_map(|(left, value)| {
            node(ExprKind::Binary(Box::new(Binary {
                op: BinaryOp::Mul,
                left: paren(left),
                right: node(ExprKind::Number(value.abs())),
                return_bool: false,
                matching: None,
            })))
        });
        let range = (selector(), duration_ms()).prop_map(|(selector, range_ms)| {
            node(ExprKind::Range(RangeSelector { selector, range_ms }))
        });
        let subquery = (
            inner.clone(),
            duration_ms(),
            prop::option::of(duration_ms()),
            offset(),
            at_modifier(),
        )
            .prop_map(|(expr, range_ms, step_ms, offset_ms, at)| {
                let expr = paren(expr);
                let subquery = Subquery { expr, range_ms, step_ms, offset_ms, at };
                node(ExprKind::Subquery(Box::new(subquery)))
            });
        let call = prop_oneof![range, subquery].prop_map(|argument| {
            let function = functions::find("rate").unwrap();
            node(ExprKind::Call(Call { function, arguments: vec![argument] }))
        });
        let relabel = (inner.clone(), "[a-z$\"\\\\\\n\u{e9}]{0,6}").prop_map(|(expr, text)| {
            let function = functions::find("label_join").unwrap();
            let text = || node(ExprKind::String(text.clone()));
            let arguments = vec![expr, text(), text(), text()];
            node(ExprKind::Call(Call { function, arguments }))
        });
        let negated =
            inner.prop_map(|expr| node(ExprKind::Unary(UnaryOp::Minus, Box::new(paren(expr)))));
        prop_oneof![binary, aggregate, scalar_binary, call, relabel, negated]
    })
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
    fn no_text_makes_the_parser_panic(text in "\\PC{0,60}") {
        prop_assert!(parse(&text).map_or_else(|e| !e.message.is_empty(), |_| true));
    }

    #[test]
    fn no_mixture_of_tokens_makes_the_parser_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "sum", "by", "(", ")", "{", "}", "[", "]", "5m", "1", ",", "a", "offset", "@", "-", "+",
            "on", "bool", "==", "=~", "\"x\"", "rate", "start", ":", "and", "0x", "1e", "nan", "^",
        ]), 0..30)
    ) {
        let text = words.join(" ");
        if let Ok(expr) = parse(&text) {
            prop_assert_eq!(parse(&expr.to_string()).unwrap(), expr);
        }
    }
}
