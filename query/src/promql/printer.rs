//! From the tree to text that parses to the same tree, in the form of Prometheus
//! (`promql/parser/printer.go`).
//!
//! Parentheses are nodes of the tree, so nothing has to be guessed about them.

mod pretty;

use std::fmt;

use model::Matcher;
use model::labels::{METRIC_NAME, is_plain_label_name, is_plain_metric_name};

use super::ast::{AtModifier, Binary, Expr, ExprKind, Selector, Subquery, UnaryOp};
use super::durations::DurationExpr;
use crate::text::{format_duration_ms, format_float, quote};
use crate::vector::{Cardinality, Grouping, Matching};

pub use pretty::pretty;
#[cfg(test)]
pub(super) use pretty::within;

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(number) => write!(f, "{number}"),
            ExprKind::String(text) => f.write_str(&quote(text)),
            ExprKind::Paren(inner) => write!(f, "({inner})"),
            ExprKind::Unary(op, inner) => write!(f, "{}{inner}", op.as_str()),
            ExprKind::Binary(binary) => {
                write!(f, "{} {} {}", binary.left, operator(binary), binary.right)
            }
            ExprKind::Aggregate(aggregate) => {
                write!(f, "{}{}(", aggregate.op.as_str(), grouping(&aggregate.grouping))?;
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
                write_at(f, selector.at)?;
                write_extension(f, selector)?;
                write_offset(f, selector.offset_ms, selector.offset_expr.as_deref())
            }
            ExprKind::Range(range) => {
                write_selector(f, &range.selector)?;
                let length = duration(range.range_ms, range.range_expr.as_deref());
                write!(f, "[{length}]")?;
                write_extension(f, &range.selector)?;
                write_at(f, range.selector.at)?;
                let selector = &range.selector;
                write_offset(f, selector.offset_ms, selector.offset_expr.as_deref())
            }
            ExprKind::Subquery(subquery) => {
                write!(f, "{}", subquery.expr)?;
                write_subquery_suffix(f, subquery)
            }
        }
    }
}

impl UnaryOp {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            UnaryOp::Minus => "-",
            UnaryOp::Plus => "+",
        }
    }
}

/// An operator with its modifiers.
fn operator(binary: &Binary) -> String {
    let mut text = binary.op.as_str().to_owned();
    if binary.return_bool {
        text.push_str(" bool");
    }
    if let Some(matching) = &binary.matching {
        push_matching(&mut text, matching);
    }
    text
}

fn write_selector(f: &mut fmt::Formatter<'_>, selector: &Selector) -> fmt::Result {
    let name = selector.name.as_deref();
    let plain = name.filter(|name| is_plain_metric_name(name));
    f.write_str(plain.unwrap_or(""))?;
    if selector.matchers.is_empty() && plain.is_some() {
        return Ok(());
    }
    let mut matchers: Vec<String> = selector.matchers.iter().map(print_matcher).collect();
    // The parser has such a name as a matcher.
    let quoted = name.filter(|_| plain.is_none());
    matchers.extend(quoted.map(|name| print_matcher(&Matcher::equal(METRIC_NAME, name))));
    matchers.sort();
    write!(f, "{{{}}}", matchers.join(","))
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

fn grouping(grouping: &Grouping) -> String {
    if *grouping == Grouping::default() {
        return String::new();
    }
    let word = if grouping.without { "without" } else { "by" };
    format!(" {word} ({}) ", print_labels(&grouping.labels))
}

fn push_matching(text: &mut String, matching: &Matching) {
    let group = match matching.cardinality {
        Cardinality::OneToOne => None,
        Cardinality::ManyToOne => Some("group_left"),
        Cardinality::OneToMany => Some("group_right"),
    };
    if matching.on || !matching.labels.is_empty() || group.is_some() {
        let word = if matching.on { "on" } else { "ignoring" };
        text.push_str(&format!(" {word} ({})", print_labels(&matching.labels)));
    }
    if let Some(group) = group {
        text.push_str(&format!(" {group} ({})", print_labels(&matching.include)));
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left == right => {
            text.push_str(&format!(" fill ({})", format_float(left)));
        }
        (left, right) => {
            for (word, value) in [("fill_left", left), ("fill_right", right)] {
                if let Some(value) = value {
                    text.push_str(&format!(" {word} ({})", format_float(value)));
                }
            }
        }
    }
}

fn duration(ms: i64, computed: Option<&DurationExpr>) -> String {
    computed.map_or_else(|| format_duration_ms(ms), ToString::to_string)
}

fn write_subquery_suffix(f: &mut impl fmt::Write, subquery: &Subquery) -> fmt::Result {
    write!(f, "[{}:", duration(subquery.range_ms, subquery.range_expr.as_deref()))?;
    match (&subquery.step_expr, subquery.step_ms) {
        (Some(computed), _) => write!(f, "{computed}")?,
        (None, Some(step_ms)) => f.write_str(&format_duration_ms(step_ms))?,
        (None, None) => {}
    }
    f.write_str("]")?;
    write_at(f, subquery.at)?;
    write_offset(f, subquery.offset_ms, subquery.offset_expr.as_deref())
}

fn write_at(f: &mut impl fmt::Write, at: Option<AtModifier>) -> fmt::Result {
    match at {
        None => Ok(()),
        Some(AtModifier::Start) => f.write_str(" @ start()"),
        Some(AtModifier::End) => f.write_str(" @ end()"),
        Some(AtModifier::Time(ms)) => {
            let sign = if ms < 0 { "-" } else { "" };
            let ms = ms.unsigned_abs();
            write!(f, " @ {sign}{}.{:03}", ms / 1000, ms % 1000)
        }
    }
}

fn write_extension(f: &mut impl fmt::Write, selector: &Selector) -> fmt::Result {
    selector.extension.map_or(Ok(()), |extension| write!(f, " {}", extension.as_str()))
}

fn write_offset(f: &mut impl fmt::Write, ms: i64, computed: Option<&DurationExpr>) -> fmt::Result {
    if ms == 0 && computed.is_none() {
        return Ok(());
    }
    write!(f, " offset {}", duration(ms, computed))
}
