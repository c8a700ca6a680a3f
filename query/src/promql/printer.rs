//! From the tree to text that parses to the same tree.
//!
//! Parentheses are nodes of the tree, so nothing has to be guessed about them.

use std::fmt;

use model::Matcher;
use model::labels::{is_plain_label_name, is_plain_metric_name};

use super::ast::{AtModifier, Expr, ExprKind, Selector, UnaryOp};
use crate::text::{format_duration_ms, quote};
use crate::vector::{Cardinality, Grouping, Matching};

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(value) if value.is_infinite() => f.write_str("Inf"),
            ExprKind::Number(value) if value.is_nan() => f.write_str("NaN"),
            ExprKind::Number(value) => write!(f, "{value}"),
            ExprKind::String(text) => f.write_str(&quote(text)),
            ExprKind::Paren(inner) => write!(f, "({inner})"),
            ExprKind::Unary(UnaryOp::Minus, inner) => write!(f, "-{inner}"),
            ExprKind::Unary(UnaryOp::Plus, inner) => write!(f, "+{inner}"),
            ExprKind::Binary(binary) => {
                write!(f, "{} {}", binary.left, binary.op.as_str())?;
                if binary.return_bool {
                    f.write_str(" bool")?;
                }
                if let Some(matching) = &binary.matching {
                    write_matching(f, matching)?;
                }
                write!(f, " {}", binary.right)
            }
            ExprKind::Aggregate(aggregate) => {
                f.write_str(aggregate.op.as_str())?;
                write_grouping(f, &aggregate.grouping)?;
                f.write_str("(")?;
                if let Some(parameter) = &aggregate.parameter {
                    write!(f, "{parameter}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            ExprKind::Call(call) => {
                write!(f, "{}(", call.function.name)?;
                for (i, argument) in call.arguments.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    write!(f, "{comma}{argument}")?;
                }
                f.write_str(")")
            }
            ExprKind::Selector(selector) => {
                write_selector(f, selector)?;
                write_modifiers(f, selector.at, selector.offset_ms)
            }
            ExprKind::Range(range) => {
                write_selector(f, &range.selector)?;
                write!(f, "[{}]", format_duration_ms(range.range_ms))?;
                write_modifiers(f, range.selector.at, range.selector.offset_ms)
            }
            ExprKind::Subquery(subquery) => {
                write!(f, "{}[{}:", subquery.expr, format_duration_ms(subquery.range_ms))?;
                if let Some(step_ms) = subquery.step_ms {
                    f.write_str(&format_duration_ms(step_ms))?;
                }
                f.write_str("]")?;
                write_modifiers(f, subquery.at, subquery.offset_ms)
            }
        }
    }
}

fn write_selector(f: &mut fmt::Formatter<'_>, selector: &Selector) -> fmt::Result {
    let name = selector.name.as_deref();
    let plain = name.filter(|name| is_plain_metric_name(name) && !is_reserved(name));
    let mut items: Vec<String> = Vec::new();
    match (plain, name) {
        (Some(plain), _) => f.write_str(plain)?,
        (None, Some(quoted)) => items.push(quote(quoted)),
        (None, None) => {}
    }
    items.extend(selector.matchers.iter().map(print_matcher));
    if items.is_empty() && plain.is_some() {
        return Ok(());
    }
    write!(f, "{{{}}}", items.join(", "))
}

/// `inf` and `nan` are numbers wherever a metric name could stand, and a keyword could be taken for
/// a modifier of the operator before it.
fn is_reserved(name: &str) -> bool {
    name.eq_ignore_ascii_case("inf")
        || name.eq_ignore_ascii_case("nan")
        || super::parser::is_keyword(name)
}

fn print_matcher(matcher: &Matcher) -> String {
    format!("{}{}{}", print_label(&matcher.name), matcher.op.as_str(), quote(&matcher.value))
}

fn print_label(name: &str) -> String {
    if is_plain_label_name(name) { name.to_owned() } else { quote(name) }
}

fn print_labels(labels: &[String]) -> String {
    labels.iter().map(|label| print_label(label)).collect::<Vec<_>>().join(", ")
}

fn write_grouping(f: &mut fmt::Formatter<'_>, grouping: &Grouping) -> fmt::Result {
    if *grouping == Grouping::default() {
        return Ok(());
    }
    let word = if grouping.without { "without" } else { "by" };
    write!(f, " {word} ({}) ", print_labels(&grouping.labels))
}

fn write_matching(f: &mut fmt::Formatter<'_>, matching: &Matching) -> fmt::Result {
    if *matching == Matching::default() {
        return Ok(());
    }
    let word = if matching.on { "on" } else { "ignoring" };
    write!(f, " {word} ({})", print_labels(&matching.labels))?;
    let group = match matching.cardinality {
        Cardinality::OneToOne => return Ok(()),
        Cardinality::ManyToOne => "group_left",
        Cardinality::OneToMany => "group_right",
    };
    write!(f, " {group} ({})", print_labels(&matching.include))
}

fn write_modifiers(
    f: &mut fmt::Formatter<'_>,
    at: Option<AtModifier>,
    offset_ms: i64,
) -> fmt::Result {
    match at {
        None => {}
        Some(AtModifier::Start) => f.write_str(" @ start()")?,
        Some(AtModifier::End) => f.write_str(" @ end()")?,
        Some(AtModifier::Time(ms)) => {
            let sign = if ms < 0 { "-" } else { "" };
            let ms = ms.unsigned_abs();
            write!(f, " @ {sign}{}.{:03}", ms / 1000, ms % 1000)?;
        }
    }
    if offset_ms != 0 {
        write!(f, " offset {}", format_duration_ms(offset_ms))?;
    }
    Ok(())
}
