//! The layout of `format_query`: an expression that fits into a line stays in it, another has its
//! parts on lines of their own, two blanks further in (Loki 3.8, `pkg/logql/syntax/prettier.go`).

use super::{print_grouping, print_operator, print_range, print_selector};
use crate::logql::ast::{
    Aggregation, Expr, LogExpr, MetricExpr, MetricKind, RangeAggregation, Stage,
};
use crate::text::quote;

/// What is longer is laid out.
const LINE_MAX: usize = 100;

pub(super) fn expr(expr: &Expr) -> String {
    match expr {
        Expr::Log(log) => pretty_log(log, 0),
        Expr::Metric(metric) => pretty_metric(metric, 0),
    }
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

fn pretty_log(log: &LogExpr, level: usize) -> String {
    let line = log.to_string();
    if line.len() <= LINE_MAX || log.stages.is_empty() {
        return indent(level) + &line;
    }
    let mut text = indent(level) + &print_selector(log);
    let mut after_filter = false;
    for stage in &log.stages {
        // Line filters in a row stay together as long as they fit.
        let is_filter = matches!(stage, Stage::Line(_));
        let stage = stage.to_string();
        let last = text.rsplit('\n').next().map_or(0, str::len);
        if is_filter && after_filter && last + 1 + stage.len() <= LINE_MAX {
            text.push_str(&format!(" {stage}"));
        } else {
            text.push_str(&format!("\n{}{stage}", indent(level + 1)));
        }
        after_filter = is_filter;
    }
    text
}

fn pretty_range(range: &RangeAggregation, level: usize) -> String {
    let inside = indent(level + 1);
    let mut text = format!("{}{}(\n", indent(level), range.op.as_str());
    if let Some(parameter) = range.parameter {
        text.push_str(&format!("{inside}{parameter},\n"));
    }
    text.push_str(&pretty_log(&range.log, level + 1));
    if let Some(unwrap) = &range.unwrap {
        text.push_str(&format!("\n{}{unwrap}", indent(level + 2)));
    }
    text.push_str(&format!(" {}\n{})", print_range(range), indent(level)));
    if let Some(grouping) = &range.grouping {
        text.push_str(&format!(" {}", print_grouping(grouping, ", ")));
    }
    text
}

fn pretty_metric(expr: &MetricExpr, level: usize) -> String {
    let line = expr.to_string();
    if line.len() <= LINE_MAX {
        return indent(level) + &line;
    }
    let (outside, inside) = (indent(level), indent(level + 1));
    match &expr.kind {
        MetricKind::Number(_) | MetricKind::Vector(_) => outside + &line,
        MetricKind::Range(range) => pretty_range(range, level),
        MetricKind::Aggregate(Aggregation { op, parameter, grouping, expr }) => {
            let mut text = outside.clone() + op.as_str();
            if let Some(grouping) = grouping {
                text.push_str(&format!(" {}", print_grouping(grouping, ", ")));
            }
            text.push_str("(\n");
            if let Some(parameter) = parameter {
                text.push_str(&format!("{inside}{parameter},\n"));
            }
            text.push_str(&pretty_metric(expr, level + 1));
            text.push_str(&format!("\n{outside})"));
            text
        }
        MetricKind::Binary { left, right, .. } => {
            let side = |side: &MetricExpr| {
                // A side that is an operation itself needs its parentheses.
                if !matches!(side.kind, MetricKind::Binary { .. }) {
                    return pretty_metric(side, level + 1);
                }
                let short = side.to_string();
                if short.len() <= LINE_MAX {
                    return inside.clone() + &short;
                }
                format!("{inside}(\n{}\n{inside})", pretty_metric(side, level + 2))
            };
            format!("{}\n{outside}{}\n{}", side(left), print_operator(expr, ", "), side(right))
        }
        MetricKind::LabelReplace { expr, to, replacement, from, pattern, .. } => {
            let mut text = format!("{outside}label_replace(\n{}", pretty_metric(expr, level + 1));
            for argument in [to, replacement, from, pattern] {
                text.push_str(&format!(",\n{inside}{}", quote(argument)));
            }
            text.push_str(&format!("\n{outside})"));
            text
        }
    }
}
