//! The syntax tree as JSON, for tools that draw it: the form of Prometheus's `parse_query`
//! (`web/api/v1/translate_ast.go`).

use model::Matcher;
use model::labels::METRIC_NAME;
use serde_json::{Value, json};

use super::ast::{AtModifier, Binary, Call, Expr, ExprKind, Number, Selector};
use super::durations::{DurationExpr, DurationKind};
use crate::text::format_float;
use crate::vector::{Cardinality, Matching};

/// The tree of an expression.
pub fn syntax_json(expr: &Expr) -> Value {
    match &expr.kind {
        ExprKind::Number(number) => {
            json!({"type": "numberLiteral", "val": format_float(number.value)})
        }
        ExprKind::String(text) => json!({"type": "stringLiteral", "val": text}),
        ExprKind::Paren(inner) => json!({"type": "parenExpr", "expr": syntax_json(inner)}),
        ExprKind::Unary(op, inner) => {
            json!({"type": "unaryExpr", "op": op.as_str(), "expr": syntax_json(inner)})
        }
        ExprKind::Binary(operation) => binary(operation),
        ExprKind::Aggregate(aggregate) => json!({
            "type": "aggregation",
            "op": aggregate.op.as_str(),
            "expr": syntax_json(&aggregate.expr),
            "param": aggregate.parameter.as_ref().map(syntax_json),
            "grouping": aggregate.grouping.labels,
            "without": aggregate.grouping.without,
        }),
        ExprKind::Call(operation) => call(operation),
        ExprKind::Selector(operand) => {
            let mut object = selector("vectorSelector", operand);
            object["type"] = "vectorSelector".into();
            object
        }
        ExprKind::Range(range) => {
            let mut object = selector("matrixSelector", &range.selector);
            object["range"] = range.range_ms.into();
            object["rangeExpr"] = computed(range.range_expr.as_deref());
            object
        }
        ExprKind::Subquery(subquery) => json!({
            "type": "subquery",
            "expr": syntax_json(&subquery.expr),
            "range": subquery.range_ms,
            "rangeExpr": computed(subquery.range_expr.as_deref()),
            "offset": subquery.offset_ms,
            "offsetExpr": computed(subquery.offset_expr.as_deref()),
            "step": subquery.step_ms.unwrap_or(0),
            "stepExpr": computed(subquery.step_expr.as_deref()),
            "timestamp": timestamp(subquery.at),
            "startOrEnd": start_or_end(subquery.at),
        }),
    }
}

fn binary(binary: &Binary) -> Value {
    let matching = binary.matching.as_ref();
    json!({
        "type": "binaryExpr",
        "op": binary.op.as_str(),
        "lhs": syntax_json(&binary.left),
        "rhs": syntax_json(&binary.right),
        "matching": matching.map(|matching| vector_matching(matching, binary.op.is_set())),
        "bool": binary.return_bool,
    })
}

fn vector_matching(matching: &Matching, set_operator: bool) -> Value {
    let card = match matching.cardinality {
        Cardinality::OneToOne if set_operator => "many-to-many",
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
    };
    json!({
        "card": card,
        "labels": matching.labels,
        "on": matching.on,
        "include": matching.include,
        "fillValues": {"lhs": matching.fill_left, "rhs": matching.fill_right},
    })
}

fn call(call: &Call) -> Value {
    let function = call.function;
    let argument_types: Vec<_> = function.arguments.iter().map(|a| a.api_name()).collect();
    json!({
        "type": "call",
        "func": {
            "name": function.name,
            "argTypes": argument_types,
            "variadic": function.variadic,
            "returnType": function.returns.api_name(),
        },
        "args": call.arguments.iter().map(syntax_json).collect::<Vec<_>>(),
    })
}

fn selector(kind: &str, selector: &Selector) -> Value {
    let mut matchers: Vec<Value> = selector.matchers.iter().map(matcher).collect();
    matchers.extend(selector.name.iter().map(|name| matcher(&Matcher::equal(METRIC_NAME, name))));
    let extension = selector.extension.map(|extension| extension.as_str());
    json!({
        "type": kind,
        "name": selector.name.as_deref().unwrap_or(""),
        "offset": selector.offset_ms,
        "offsetExpr": computed(selector.offset_expr.as_deref()),
        "matchers": matchers,
        "timestamp": timestamp(selector.at),
        "startOrEnd": start_or_end(selector.at),
        "anchored": extension == Some("anchored"),
        "smoothed": extension == Some("smoothed"),
    })
}

fn matcher(matcher: &Matcher) -> Value {
    json!({"name": matcher.name, "value": matcher.value, "type": matcher.op.as_str()})
}

fn timestamp(at: Option<AtModifier>) -> Option<i64> {
    match at {
        Some(AtModifier::Time(ms)) => Some(ms),
        _ => None,
    }
}

fn start_or_end(at: Option<AtModifier>) -> Option<&'static str> {
    match at {
        Some(AtModifier::Start) => Some("start"),
        Some(AtModifier::End) => Some("end"),
        _ => None,
    }
}

fn computed(expr: Option<&DurationExpr>) -> Value {
    let Some(expr) = expr else { return Value::Null };
    let (op, left, right) = match &expr.kind {
        DurationKind::Number(Number { value, is_duration }) => {
            let value = format_float(*value);
            return json!({"type": "numberLiteral", "val": value, "duration": is_duration});
        }
        DurationKind::Step => ("step", None, None),
        DurationKind::Range => ("range", None, None),
        DurationKind::Signed(op, inner) => (op.as_str(), None, Some(&**inner)),
        DurationKind::Binary(op, operands) => (op.as_str(), Some(&operands.0), Some(&operands.1)),
    };
    json!({
        "type": "durationExpr",
        "op": op,
        "lhs": computed(left),
        "rhs": computed(right),
        "wrapped": expr.wrapped,
    })
}
