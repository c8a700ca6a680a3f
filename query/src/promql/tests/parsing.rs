//! Parsing: errors with their positions, precedence, and that no text is too much.

use proptest::prelude::*;

use crate::errors::Span;
use crate::promql::ast::{Expr, ExprKind};
use crate::promql::{parse, selectors};

fn check_error(text: &str, expected: &str) {
    match parse(text) {
        Ok(expr) => panic!("{text} parses as {expr}"),
        Err(error) => assert_eq!(error.to_string(), expected, "{text}"),
    }
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
        ("foo{1}", "1:5: parse error: unexpected character inside braces: '1'"),
        ("sum(", "1:5: parse error: unclosed left parenthesis"),
        ("1 +\n  )", "2:4: parse error: unexpected right parenthesis ')'"),
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
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("a + bool b", "1:3: parse error: bool modifier can only be used on comparison operators"),
        (
            "a and 1",
            "1:1: parse error: set operator \"and\" not allowed in binary scalar expression",
        ),
        ("a and on(x) group_left b", "1:1: parse error: no grouping allowed for \"and\" operation"),
        (
            "a + on(x) group_left(x) b",
            "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once",
        ),
        (
            "a[5m] + 1",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
        ("sum(a) [5m]", "1:8: parse error: ranges only allowed for vector selectors"),
        (
            "1 offset 5m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        ("a offset 5m offset 5m", "1:1: parse error: offset may not be set multiple times"),
        ("a[0s]", "1:3: parse error: duration must be greater than 0"),
        ("a[5x]", "1:3: parse error: bad number or duration syntax: \"5\""),
        ("\"abc", "1:1: parse error: unterminated quoted string"),
        ("a{b=\"c\"", "1:8: parse error: unexpected end of input inside braces"),
        (
            "topk(a)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        (
            "sum(1)",
            "1:5: parse error: expected type instant vector in aggregation expression, got scalar",
        ),
        ("rate(a[5m],)", "1:11: parse error: trailing commas not allowed in function call args"),
        ("sum(a b)", "1:7: parse error: unexpected identifier \"b\" in aggregation"),
        ("a + * b", "1:5: parse error: unexpected <op:*>"),
        ("a by (x)", "1:3: parse error: unexpected <by>"),
        ("on + 1", "1:1: parse error: unexpected <on>"),
        (
            "sum by (a b) (x)",
            "1:11: parse error: unexpected identifier \"b\" in grouping opts, expected \",\" or \")\"",
        ),
        ("\"\\q\"", "1:1: parse error: unknown escape sequence U+0071 'q'"),
        ("a[5m:1m", "1:8: parse error: unclosed left bracket"),
        (
            "a[]",
            "1:3: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()",
        ),
        ("a[\"5m\"]", "1:3: parse error: unexpected character in duration expression: '\"'"),
        ("a[1m2h]", "1:3: parse error: not a valid duration string: \"1m2h\""),
        ("a[1h / 0]", "1:6: parse error: division by zero"),
        ("a[-(1h)] + (", "1:13: parse error: unclosed left parenthesis"),
        ("a[300y]", "1:3: parse error: duration out of range"),
        (
            "a offset by",
            "1:10: parse error: unexpected <by> in offset, expected number, duration, step(), or range()",
        ),
        ("a @ b", "1:5: parse error: unexpected identifier \"b\" in @, expected timestamp"),
        ("a @ +Inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"),
        ("a offset 5m [5m]", "1:13: parse error: no offset modifiers allowed before range"),
        (
            "a[5m] anchored smoothed",
            "1:1: parse error: anchored and smoothed modifiers cannot be used together",
        ),
        ("a[5m:] smoothed", "1:1: parse error: smoothed modifier is not supported for subqueries"),
        ("sum(a) anchored", "1:1: parse error: anchored modifier not implemented"),
        ("a + fill(x) b", "1:10: parse error: unexpected identifier \"x\""),
        (
            "a + fill(1) 2",
            "1:1: parse error: filling in missing series only allowed between instant vectors",
        ),
        (
            "a and fill(1) b",
            "1:1: parse error: filling in missing series not allowed for set operators",
        ),
        ("a </ bool 1", "1:3: parse error: bool modifier can only be used on comparison operators"),
        (
            "info(a, b)",
            "1:9: parse error: expected label selectors only, got vector selector instead",
        ),
        ("info(a, {b=\"\"} + 1)", "1:9: parse error: expected label selectors only"),
        (
            "histogram_quantiles(a, \"q\")",
            "1:1: parse error: expected at least 3 argument(s) in call to \"histogram_quantiles\", got 2",
        ),
        ("START()", "1:1: parse error: unknown function with name \"START\""),
        ("(rate(a[5m]))[1h]", "1:14: parse error: ranges only allowed for vector selectors"),
        (
            "(rate(a[5m]) + a[5m])[1h:]",
            "1:16: parse error: binary expression must contain only scalar and instant vector types",
        ),
        (
            "-\"a\"",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
        ),
    ] {
        check_error(text, expected);
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
        format!("a[{}", "(".repeat(100_000)),
        format!("a[{}1]", "1+".repeat(100_000)),
        format!("a[{}1]", "1^".repeat(100_000)),
        format!("a offset {}1", "-".repeat(100_000)),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(error.message.contains("nests deeper"), "{error}");
    }
    let long = " ".repeat(2 << 20) + "a";
    assert!(parse(&long).unwrap_err().message.contains("more than the 1048576"));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,60}") {
        prop_assert!(parse(&text).map_or_else(|e| !e.message.is_empty(), |_| true));
    }

    #[test]
    fn no_mixture_of_tokens_makes_the_parser_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "sum", "by", "(", ")", "{", "}", "[", "]", "5m", "1", ",", "a", "offset", "@", "-", "+",
            "on", "bool", "==", "=~", "\"x\"", "rate", "start", ":", "and", "0x", "1e", "nan", "^",
            "step", "range", "min_of", "anchored", "smoothed", "fill", "fill_left", "info", "</",
            "ignoring", "group_left", "*",
        ]), 0..30)
    ) {
        let text = words.join(" ");
        if let Ok(expr) = parse(&text) {
            prop_assert_eq!(parse(&expr.to_string()).unwrap(), expr);
        }
    }
}
