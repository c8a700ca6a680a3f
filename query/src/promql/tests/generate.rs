//! Random expressions that the parser could have made.

use model::{MatchOp, Matcher};
use proptest::prelude::*;

use crate::errors::Span;
use crate::promql::ast::{
    Aggregate, AtModifier, Binary, Call, Expr, ExprKind, Extension, Number, RangeSelector,
    Selector, Subquery, UnaryOp,
};
use crate::promql::durations::{DurationExpr, DurationKind, DurationOp};
use crate::promql::functions;
use crate::vector::{AggregateOp, BinaryOp, Cardinality, Grouping, Matching};

fn label_name() -> BoxedStrategy<String> {
    prop_oneof!["[a-z_][a-z0-9_]{0,5}", Just("http.status".to_owned()), "[a-z\u{e9} \"\\\\]{1,4}"]
        .boxed()
}

fn metric_name() -> BoxedStrategy<String> {
    const RESERVED: [&str; 8] =
        ["on", "ignoring", "bool", "group_left", "group_right", "atan2", "inf", "nan"];
    let words = ["and", "by", "sum", "offset", "fill", "anchored", "start", "step", "without"];
    prop_oneof!["[a-z_:][a-z0-9_:]{0,6}", prop::sample::select(words.map(str::to_owned).to_vec())]
        .prop_filter("a keyword", |name| !RESERVED.contains(&name.as_str()))
        .boxed()
}

fn matcher() -> BoxedStrategy<Matcher> {
    let op = prop_oneof![
        Just(MatchOp::Equal),
        Just(MatchOp::NotEqual),
        Just(MatchOp::Matches),
        Just(MatchOp::NotMatches)
    ];
    (label_name(), op, "[a-z\"\\n\u{e9} ]{0,5}")
        .prop_filter_map("a bad regular expression", |(n, op, v)| Matcher::new(n, op, v).ok())
        .boxed()
}

fn duration_ms() -> BoxedStrategy<i64> {
    prop_oneof![1i64..100_000, (1i64..1000).prop_map(|d| d * 3_600_000), Just(31_536_000_000)]
        .boxed()
}

fn at_modifier() -> BoxedStrategy<Option<AtModifier>> {
    prop_oneof![
        Just(None),
        Just(Some(AtModifier::Start)),
        Just(Some(AtModifier::End)),
        (-1_000_000_000_000i64..1_000_000_000_000).prop_map(|ms| Some(AtModifier::Time(ms)))
    ]
    .boxed()
}

/// Milliseconds, or what they are computed from.
type Written = (i64, Option<Box<DurationExpr>>);

fn duration_number() -> BoxedStrategy<DurationKind> {
    let duration =
        duration_ms().prop_map(|ms| Number { value: ms as f64 / 1e3, is_duration: true });
    let number = (1u32..5000).prop_map(|n| Number::from(f64::from(n) / 8.0));
    prop_oneof![duration, number].prop_map(DurationKind::Number).boxed()
}

fn duration_node(kind: DurationKind, wrapped: bool) -> DurationExpr {
    DurationExpr { kind, wrapped, span: Span::default() }
}

/// As the parser wraps: a number gets a node for its parentheses.
fn wrap(expr: DurationExpr) -> DurationExpr {
    match expr.kind {
        DurationKind::Number(_) => {
            duration_node(DurationKind::Signed(UnaryOp::Plus, Box::new(expr)), true)
        }
        kind => duration_node(kind, true),
    }
}

/// Computed durations, each operand in parentheses.
fn computed() -> BoxedStrategy<DurationExpr> {
    let leaf = prop_oneof![Just(DurationKind::Step), Just(DurationKind::Range), duration_number(),];
    let leaf = leaf.prop_map(|kind| duration_node(kind, false));
    leaf.prop_recursive(3, 12, 2, |inner| {
        let op = prop::sample::select(vec![
            DurationOp::Add,
            DurationOp::Sub,
            DurationOp::Mul,
            DurationOp::Div,
            DurationOp::Mod,
            DurationOp::Pow,
        ]);
        let pick = prop::sample::select(vec![DurationOp::MinOf, DurationOp::MaxOf]);
        let binary = (op, inner.clone(), inner.clone()).prop_map(|(op, left, right)| {
            duration_node(DurationKind::Binary(op, Box::new((wrap(left), wrap(right)))), false)
        });
        let pick = (pick, inner.clone(), inner.clone()).prop_map(|(op, left, right)| {
            duration_node(DurationKind::Binary(op, Box::new((left, right))), false)
        });
        let minus = inner.prop_map(|inner| {
            duration_node(DurationKind::Signed(UnaryOp::Minus, Box::new(wrap(inner))), false)
        });
        prop_oneof![binary, pick, minus]
    })
    .boxed()
}

/// What is no plain number is kept as it is.
fn written(expr: DurationExpr) -> Written {
    (0, Some(Box::new(expr)))
}

fn length() -> BoxedStrategy<Written> {
    let is_computed = |expr: &DurationExpr| !matches!(expr.kind, DurationKind::Number(_));
    let computed = computed().prop_filter("a number", is_computed).prop_map(written);
    prop_oneof![3 => duration_ms().prop_map(|ms| (ms, None)), 1 => computed].boxed()
}

fn offset() -> BoxedStrategy<Written> {
    prop_oneof![
        3 => Just((0, None)),
        2 => duration_ms().prop_map(|ms| (ms, None)),
        1 => duration_ms().prop_map(|ms| (-ms, None)),
        1 => computed().prop_map(|expr| written(wrap(expr))),
    ]
    .boxed()
}

fn selector() -> BoxedStrategy<Selector> {
    let extension = prop_oneof![
        4 => Just(None),
        1 => Just(Some(Extension::Anchored)),
        1 => Just(Some(Extension::Smoothed)),
    ];
    let matchers = prop::collection::vec(matcher(), 0..3);
    (metric_name(), matchers, offset(), at_modifier(), extension)
        .prop_map(|(name, matchers, (offset_ms, offset_expr), at, extension)| Selector {
            name: Some(name),
            matchers,
            offset_ms,
            offset_expr,
            at,
            extension,
        })
        .boxed()
}

fn node(kind: ExprKind) -> Expr {
    Expr::new(kind, Span::default())
}

fn paren(expr: Expr) -> Expr {
    node(ExprKind::Paren(Box::new(expr)))
}

/// Expressions of type instant vector.
pub(super) fn vector_expr() -> BoxedStrategy<Expr> {
    let leaf = selector().prop_map(|selector| node(ExprKind::Selector(Box::new(selector))));
    leaf.prop_recursive(4, 24, 3, |inner| {
        let labels = || prop::collection::vec(label_name(), 0..3);
        let op = prop::sample::select(vec![
            BinaryOp::Add,
            BinaryOp::Pow,
            BinaryOp::Mod,
            BinaryOp::Atan2,
            BinaryOp::Le,
            BinaryOp::Unless,
            BinaryOp::TrimUpper,
            BinaryOp::TrimLower,
        ]);
        let fill = || prop::option::of((-9i8..9).prop_map(f64::from));
        let binary = (
            (op, inner.clone(), inner.clone()),
            (any::<bool>(), any::<bool>(), labels(), fill(), fill()),
        )
            .prop_map(|((op, left, right), (flag, on, labels, fill_left, fill_right))| {
                let cardinality = match (op.is_set(), flag) {
                    (false, true) => Cardinality::ManyToOne,
                    _ => Cardinality::OneToOne,
                };
                let (fill_left, fill_right) =
                    if op.is_set() { (None, None) } else { (fill_left, fill_right) };
                let include = Vec::new();
                let matching = Matching { on, labels, cardinality, include, fill_left, fill_right };
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
                let parameter = topk.then(|| node(ExprKind::Number(3.5.into())));
                let op = if topk { AggregateOp::Topk } else { AggregateOp::Stdvar };
                let grouping = Grouping { without, labels };
                node(ExprKind::Aggregate(Box::new(Aggregate { op, parameter, expr, grouping })))
            },
        );
        let scalar_binary = (inner.clone(), any::<f64>()).prop_map(|(left, value)| {
            node(ExprKind::Binary(Box::new(Binary {
                op: BinaryOp::Mul,
                left: paren(left),
                right: node(ExprKind::Number(value.abs().into())),
                return_bool: false,
                matching: None,
            })))
        });
        let range = (selector(), length()).prop_map(|(selector, (range_ms, range_expr))| {
            node(ExprKind::Range(Box::new(RangeSelector { selector, range_ms, range_expr })))
        });
        let subquery =
            (inner.clone(), length(), prop::option::of(length()), offset(), at_modifier())
                .prop_map(|(expr, range, step, offset, at)| {
                    let expr = paren(expr);
                    let ((range_ms, range_expr), (offset_ms, offset_expr)) = (range, offset);
                    let (step_ms, step_expr) = match step {
                        Some((ms, None)) => (Some(ms), None),
                        Some((_, step_expr)) => (None, step_expr),
                        None => (None, None),
                    };
                    let subquery = Subquery {
                        expr,
                        range_ms,
                        range_expr,
                        step_ms,
                        step_expr,
                        offset_ms,
                        offset_expr,
                        at,
                    };
                    node(ExprKind::Subquery(Box::new(subquery)))
                });
        let call = prop_oneof![range, subquery].prop_map(|argument| {
            let function = functions::find("rate").unwrap();
            node(ExprKind::Call(Box::new(Call { function, arguments: vec![argument] })))
        });
        let relabel = (inner.clone(), "[a-z$\"\\\\\\n\u{e9}]{0,6}").prop_map(|(expr, text)| {
            let function = functions::find("label_join").unwrap();
            let text = || node(ExprKind::String(text.clone()));
            let arguments = vec![expr, text(), text(), text()];
            node(ExprKind::Call(Box::new(Call { function, arguments })))
        });
        let negated =
            inner.prop_map(|expr| node(ExprKind::Unary(UnaryOp::Minus, Box::new(paren(expr)))));
        prop_oneof![
            binary.boxed(),
            aggregate.boxed(),
            scalar_binary.boxed(),
            call.boxed(),
            relabel.boxed(),
            negated.boxed(),
        ]
    })
    .boxed()
}
