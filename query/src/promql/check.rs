//! The types of a parsed expression, and what else Prometheus refuses after parsing
//! (`promql/parser/parse.go`, `checkAST`), in the order in which it looks.

use model::Matcher;
use model::labels::METRIC_NAME;

use super::ast::{Aggregate, Binary, Call, Expr, ExprKind, Selector, ValueType};
use crate::errors::{ParseError, Span};
use crate::text::quote;
use crate::vector::{AggregateOp, Cardinality, Matching};

type Result<T = ()> = std::result::Result<T, ParseError>;

/// Fails with the first mistake.
pub(super) fn check(expr: &Expr, text: &str) -> Result {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => Ok(()),
        ExprKind::Paren(inner) => check(inner, text),
        ExprKind::Unary(_, inner) => {
            check(inner, text)?;
            let found = inner.value_type();
            if is_scalar_or_vector(found) {
                return Ok(());
            }
            let found = quote(found.as_str());
            fail(
                expr.span,
                format!(
                    "unary expression only allowed on expressions of type scalar or instant \
                     vector, got {found}"
                ),
            )
        }
        ExprKind::Binary(operation) => binary(expr, operation, text),
        ExprKind::Aggregate(operation) => aggregate(operation, text),
        ExprKind::Call(operation) => call(expr, operation, text),
        ExprKind::Selector(operand) => selector(operand, expr.span, true),
        ExprKind::Range(range) => selector(&range.selector, expr.span, true),
        ExprKind::Subquery(subquery) => {
            check(&subquery.expr, text)?;
            match subquery.expr.value_type() {
                ValueType::Vector => Ok(()),
                other => fail(
                    expr.span,
                    format!(
                        "subquery is only allowed on instant vector, got {} instead",
                        other.api_name()
                    ),
                ),
            }
        }
    }
}

fn fail<T>(span: Span, message: impl Into<String>) -> Result<T> {
    Err(ParseError::new(span, message))
}

fn is_scalar_or_vector(found: ValueType) -> bool {
    matches!(found, ValueType::Scalar | ValueType::Vector)
}

fn expect_type(expr: &Expr, wanted: ValueType, context: &str, text: &str) -> Result {
    check(expr, text)?;
    let found = expr.value_type();
    if found == wanted {
        return Ok(());
    }
    let message = format!("expected type {} in {context}, got {}", wanted.as_str(), found.as_str());
    fail(expr.span, message)
}

fn aggregate(aggregate: &Aggregate, text: &str) -> Result {
    expect_type(&aggregate.expr, ValueType::Vector, "aggregation expression", text)?;
    let Some(parameter) = &aggregate.parameter else { return Ok(()) };
    let wanted = match aggregate.op {
        AggregateOp::CountValues => ValueType::String,
        _ => ValueType::Scalar,
    };
    expect_type(parameter, wanted, "aggregation parameter", text)
}

fn binary(expr: &Expr, binary: &Binary, text: &str) -> Result {
    let Binary { op, left, right, return_bool, matching } = binary;
    check(left, text)?;
    check(right, text)?;
    let (lt, rt) = (left.value_type(), right.value_type());
    if *return_bool && !op.is_comparison() {
        let message = "bool modifier can only be used on comparison operators";
        return fail(op_span(left, text), message);
    }
    let scalars = lt == ValueType::Scalar && rt == ValueType::Scalar;
    if scalars && op.is_comparison() && !return_bool {
        let message = "comparisons between scalars must use BOOL modifier";
        return fail(op_span(left, text), message);
    }
    let plain = Matching::default();
    let matching = matching.as_ref().unwrap_or(&plain);
    let is_included = |label: &&String| matching.on && matching.include.contains(*label);
    if let Some(label) = matching.labels.iter().find(is_included) {
        let message =
            format!("label {} must not occur in ON and GROUP clause at once", quote(label));
        return fail(op_span(left, text), message);
    }
    for (side, found) in [(left, lt), (right, rt)] {
        if !is_scalar_or_vector(found) {
            let message = "binary expression must contain only scalar and instant vector types";
            return fail(side.span, message);
        }
    }
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    let has_scalar = lt == ValueType::Scalar || rt == ValueType::Scalar;
    let name = quote(op.as_str());
    let problem = if has_scalar && !matching.labels.is_empty() {
        "vector matching only allowed between instant vectors".into()
    } else if has_scalar && fills {
        "filling in missing series only allowed between instant vectors".into()
    } else if !has_scalar && op.is_set() && matching.cardinality != Cardinality::OneToOne {
        format!("no grouping allowed for {name} operation")
    } else if !has_scalar && op.is_set() && fills {
        "filling in missing series not allowed for set operators".into()
    } else if has_scalar && op.is_set() {
        format!("set operator {name} not allowed in binary scalar expression")
    } else if scalars && op.is_trim() {
        format!("operator {name} not allowed for Scalar operations")
    } else {
        return Ok(());
    };
    fail(expr.span, problem)
}

/// Where the operator stands that follows `left`.
fn op_span(left: &Expr, text: &str) -> Span {
    let rest = text.get(left.span.end..).unwrap_or("");
    let blank = rest.len() - rest.trim_start().len();
    Span::in_text(text, left.span.end + blank, left.span.end + blank)
}

fn call(expr: &Expr, call: &Call, text: &str) -> Result {
    let (function, got) = (call.function, call.arguments.len());
    let name = quote(function.name);
    let wanted = function.arguments.len();
    let at_least = wanted.saturating_sub(1);
    let at_most = usize::try_from(function.variadic).ok().map(|more| at_least + more);
    let problem = if function.variadic == 0 {
        (got != wanted).then(|| format!("expected {wanted} argument(s)"))
    } else if got < at_least {
        Some(format!("expected at least {at_least} argument(s)"))
    } else {
        at_most
            .filter(|at_most| got > *at_most)
            .map(|at_most| format!("expected at most {at_most} argument(s)"))
    };
    if let Some(problem) = problem {
        return fail(expr.span, format!("{problem} in call to {name}, got {got}"));
    }
    let context = format!("call to function {name}");
    let mut checked = call.arguments.as_slice();
    if let ("info", [described, labels]) = (function.name, checked) {
        info_labels(expr, labels)?;
        checked = std::slice::from_ref(described);
    }
    for (i, argument) in checked.iter().enumerate() {
        if let Some(wanted) = function.arguments.get(i).or(function.arguments.last()) {
            expect_type(argument, *wanted, &context, text)?;
        }
    }
    Ok(())
}

/// The second argument of `info` is no vector: only its matchers count.
fn info_labels(expr: &Expr, labels: &Expr) -> Result {
    let found = labels.value_type();
    if found != ValueType::Vector {
        let message = format!(
            "expected type instant vector in call to function \"info\", got {}",
            found.as_str()
        );
        return fail(expr.span, message);
    }
    match &labels.kind {
        ExprKind::Selector(operand) if operand.name.is_some() => {
            fail(labels.span, "expected label selectors only, got vector selector instead")
        }
        ExprKind::Selector(operand) => selector(operand, labels.span, false),
        _ => fail(labels.span, "expected label selectors only"),
    }
}

fn selector(selector: &Selector, span: Span, needs_matcher: bool) -> Result {
    if let Some(name) = &selector.name {
        let twice = selector.matchers.iter().find(|matcher| matcher.name == METRIC_NAME);
        return twice.map_or(Ok(()), |other| {
            let (name, other) = (quote(name), quote(&other.value));
            fail(span, format!("metric name must not be set twice: {name} or {other}"))
        });
    }
    if needs_matcher && selector.matchers.iter().all(Matcher::matches_empty) {
        return fail(span, "vector selector must contain at least one non-empty matcher");
    }
    Ok(())
}
