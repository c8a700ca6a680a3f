//! The layout of long expressions over several lines (Prometheus `promql/parser/prettier.go`): what
//! does not fit into one line is split at its own level, and its operands are looked at again.

use super::{grouping, operator, write_subquery_suffix};
use crate::promql::ast::{Expr, ExprKind};

/// Longer expressions are split.
const LINE_CHARS_MAX: usize = 100;

/// Formats an expression for reading.
pub fn pretty(expr: &Expr) -> String {
    within(expr, LINE_CHARS_MAX)
}

/// Formats with lines of another length.
pub(in crate::promql) fn within(expr: &Expr, chars_max: usize) -> String {
    Layout { chars_max }.at_level(expr, 0)
}

struct Layout {
    chars_max: usize,
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

impl Layout {
    fn at_level(&self, expr: &Expr, level: usize) -> String {
        let indent = indent(level);
        // Signs look at their operand only.
        if let ExprKind::Unary(op, inner) = &expr.kind {
            let inner = self.at_level(inner, level);
            return format!("{indent}{}{}", op.as_str(), inner.trim());
        }
        let line = expr.to_string();
        if line.len() <= self.chars_max {
            // A subquery on one line is never indented, as in Prometheus.
            let is_subquery = matches!(expr.kind, ExprKind::Subquery(_));
            return if is_subquery { line } else { format!("{indent}{line}") };
        }
        let deeper = |expr: &Expr| self.at_level(expr, level + 1);
        match &expr.kind {
            ExprKind::Paren(inner) => format!("{indent}(\n{}\n{indent})", deeper(inner)),
            ExprKind::Binary(binary) => {
                let (left, right) = (deeper(&binary.left), deeper(&binary.right));
                format!("{left}\n{indent}{}\n{right}", operator(binary))
            }
            ExprKind::Aggregate(aggregate) => {
                let parameter = match &aggregate.parameter {
                    Some(parameter) => format!("{},\n", deeper(parameter)),
                    None => String::new(),
                };
                let head = format!("{}{}", aggregate.op.as_str(), grouping(&aggregate.grouping));
                format!("{indent}{head}(\n{parameter}{}\n{indent})", deeper(&aggregate.expr))
            }
            ExprKind::Call(call) => {
                let arguments: Vec<String> = call.arguments.iter().map(deeper).collect();
                format!("{indent}{}(\n{}\n{indent})", call.function.name, arguments.join(",\n"))
            }
            ExprKind::Subquery(subquery) => {
                let mut text = self.at_level(&subquery.expr, level);
                // Writing into a `String` can not fail.
                let _ok = write_subquery_suffix(&mut text, subquery).is_ok();
                text
            }
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::Selector(_)
            | ExprKind::Range(_)
            | ExprKind::Unary(..) => format!("{indent}{line}"),
        }
    }
}
