//! From the tree to text that parses to the same tree.

use std::fmt;

use model::Matcher;

use super::ast::{
    Expr, LabelFilter, LabelPick, LogExpr, MetricExpr, MetricKind, RangeAggregation, Stage, Unit,
};
use crate::text::quote;
use crate::vector::{Cardinality, Grouping, Matching};

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Log(log) => log.fmt(f),
            Expr::Metric(metric) => metric.fmt(f),
        }
    }
}

impl fmt::Display for LogExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matchers: Vec<String> = self.matchers.iter().map(print_matcher).collect();
        write!(f, "{{{}}}", matchers.join(", "))?;
        self.stages.iter().try_for_each(|stage| write!(f, " {stage}"))
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stage::Line(filter) => {
                let texts: Vec<String> = filter.texts.iter().map(|text| quote(text)).collect();
                write!(f, "{} {}", filter.op.as_str(), texts.join(" or "))
            }
            Stage::Label(filter) => write!(f, "| {filter}"),
            Stage::Json => f.write_str("| json"),
            Stage::Logfmt { strict: false } => f.write_str("| logfmt"),
            Stage::Logfmt { strict: true } => f.write_str("| logfmt --strict"),
            Stage::Drop(picks) => write!(f, "| drop {}", print_picks(picks)),
            Stage::Keep(picks) => write!(f, "| keep {}", print_picks(picks)),
        }
    }
}

fn print_matcher(matcher: &Matcher) -> String {
    format!("{}{}{}", matcher.name, matcher.op.as_str(), quote(&matcher.value))
}

fn print_picks(picks: &[LabelPick]) -> String {
    let print = |pick: &LabelPick| match &pick.matcher {
        Some(matcher) => print_matcher(matcher),
        None => pick.name.clone(),
    };
    picks.iter().map(print).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for LabelFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LabelFilter::Text(matcher) => f.write_str(&print_matcher(matcher)),
            LabelFilter::Quantity { name, op, value, unit } => {
                let unit = match unit {
                    Unit::Number => "",
                    Unit::Duration => "ns",
                    Unit::Bytes => "B",
                };
                write!(f, "{name} {} {value}{unit}", op.as_str())
            }
            LabelFilter::And(left, right) => write!(f, "({left} and {right})"),
            LabelFilter::Or(left, right) => write!(f, "({left} or {right})"),
        }
    }
}

impl fmt::Display for MetricExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            MetricKind::Number(value) => write!(f, "{value}"),
            MetricKind::Vector(value) => write!(f, "vector({value})"),
            MetricKind::Paren(inner) => write!(f, "({inner})"),
            MetricKind::Range(RangeAggregation { op, log, range_ns, offset_ns }) => {
                write!(f, "{}({log} [{range_ns}ns]", op.as_str())?;
                if *offset_ns != 0 {
                    let sign = if *offset_ns < 0 { "-" } else { "" };
                    write!(f, " offset {sign}{}ns", offset_ns.unsigned_abs())?;
                }
                f.write_str(")")
            }
            MetricKind::Aggregate { op, parameter, grouping, expr } => {
                f.write_str(op.as_str())?;
                write_grouping(f, grouping)?;
                match parameter {
                    Some(parameter) => write!(f, "({parameter}, {expr})"),
                    None => write!(f, "({expr})"),
                }
            }
            MetricKind::Binary { op, return_bool, matching, left, right } => {
                write!(f, "{left} {}", op.as_str())?;
                if *return_bool {
                    f.write_str(" bool")?;
                }
                write_matching(f, matching)?;
                write!(f, " {right}")
            }
        }
    }
}

fn write_grouping(f: &mut fmt::Formatter<'_>, grouping: &Grouping) -> fmt::Result {
    if *grouping == Grouping::default() {
        return Ok(());
    }
    let word = if grouping.without { "without" } else { "by" };
    write!(f, " {word} ({}) ", grouping.labels.join(", "))
}

fn write_matching(f: &mut fmt::Formatter<'_>, matching: &Matching) -> fmt::Result {
    if *matching == Matching::default() {
        return Ok(());
    }
    let word = if matching.on { "on" } else { "ignoring" };
    write!(f, " {word} ({})", matching.labels.join(", "))?;
    let group = match matching.cardinality {
        Cardinality::OneToOne => return Ok(()),
        Cardinality::ManyToOne => "group_left",
        Cardinality::OneToMany => "group_right",
    };
    write!(f, " {group} ({})", matching.include.join(", "))
}
