//! The layout of `format_query`: an expression that fits into a line stays in it, another has its
//! parts on lines of their own, two blanks further in (Loki 3.8, `pkg/logql/syntax/prettier.go`).

use super::{print_grouping, print_operator, print_range, print_selector};
use crate::logql::ast::{
    Aggregation, Expr, LogExpr, MetricExpr, MetricKind, RangeAggregation, Stage, Unwrap,
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
    // Line filters in a row stay together if they fit into a line.
    let is_filter = |stage: &Stage| matches!(stage, Stage::Line(_));
    for stages in log.stages.chunk_by(|a, b| is_filter(a) && is_filter(b)) {
        let parts: Vec<String> = stages.iter().map(ToString::to_string).collect();
        let together = parts.join(" ");
        let lines = if together.len() <= LINE_MAX { vec![together] } else { parts };
        for line in lines {
            text.push_str(&format!("\n{}{line}", indent(level + 1)));
        }
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
        let alone = Unwrap { filters: Vec::new(), ..unwrap.clone() };
        text.push_str(&format!("\n{}{alone}", indent(level + 2)));
        for filter in &unwrap.filters {
            text.push_str(&format!("\n{}| {filter}", indent(level + 2)));
        }
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
