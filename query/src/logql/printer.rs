//! From the tree to text that parses to the same tree: in one line, or laid out over several lines
//! where one would be long.

mod pretty;

use std::fmt;

use model::Matcher;

use super::ast::{
    Aggregation, Expr, Extraction, Format, LabelFilter, LabelPick, LineFilter, LineNeedle, LogExpr,
    MetricExpr, MetricKind, RangeAggregation, Stage, Unit, Unwrap,
};
use crate::text::{format_duration_ms, quote};
use crate::vector::{Cardinality, Grouping, Matching};

impl Expr {
    /// The query as `format_query` shows it: what is longer than a line is laid out over several.
    pub fn pretty(&self) -> String {
        pretty::expr(self)
    }
}

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
        f.write_str(&print_selector(self))?;
        self.stages.iter().try_for_each(|stage| write!(f, " {stage}"))
    }
}

fn print_selector(log: &LogExpr) -> String {
    let matchers: Vec<String> = log.matchers.iter().map(print_matcher).collect();
    format!("{{{}}}", matchers.join(", "))
}

fn print_matcher(matcher: &Matcher) -> String {
    format!("{}{}{}", matcher.name, matcher.op.as_str(), quote(&matcher.value))
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stage::Line(filter) => filter.fmt(f),
            Stage::Label(filter) => write!(f, "| {filter}"),
            Stage::Json(extractions) => {
                f.write_str("| json")?;
                write_extractions(f, extractions)
            }
            Stage::Logfmt { strict, keep_empty, extractions } => {
                f.write_str("| logfmt")?;
                f.write_str(if *strict { " --strict" } else { "" })?;
                f.write_str(if *keep_empty { " --keep-empty" } else { "" })?;
                write_extractions(f, extractions)
            }
            Stage::Regexp(parser) => write!(f, "| regexp {}", quote(&parser.text)),
            Stage::Pattern(parser) => write!(f, "| pattern {}", quote(&parser.text)),
            Stage::Unpack => f.write_str("| unpack"),
            Stage::LineFormat(template) => write!(f, "| line_format {}", quote(&template.text)),
            Stage::LabelFormat(formats) => {
                f.write_str("| label_format ")?;
                for (i, label) in formats.iter().enumerate() {
                    let comma = if i > 0 { "," } else { "" };
                    match &label.format {
                        Format::Rename(from) => write!(f, "{comma}{}={from}", label.name)?,
                        Format::Template(template) => {
                            write!(f, "{comma}{}={}", label.name, quote(&template.text))?;
                        }
                    }
                }
                Ok(())
            }
            Stage::Decolorize => f.write_str("| decolorize"),
            Stage::Drop(picks) => write!(f, "| drop {}", print_picks(picks)),
            Stage::Keep(picks) => write!(f, "| keep {}", print_picks(picks)),
        }
    }
}

impl fmt::Display for LineFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let print = |needle: &LineNeedle| match needle {
            LineNeedle::Text(text) => quote(text),
            LineNeedle::Ip(range) => format!("ip({})", quote(range)),
        };
        let needles: Vec<String> = self.needles.iter().map(print).collect();
        write!(f, "{} {}", self.op.as_str(), needles.join(" or "))
    }
}

fn write_extractions<P>(f: &mut fmt::Formatter<'_>, extractions: &[Extraction<P>]) -> fmt::Result {
    for (i, Extraction { name, text, .. }) in extractions.iter().enumerate() {
        let separator = if i > 0 { "," } else { " " };
        write!(f, "{separator}{name}={}", quote(text))?;
    }
    Ok(())
}

fn print_picks(picks: &[LabelPick]) -> String {
    let print = |pick: &LabelPick| match &pick.matcher {
        Some(matcher) => print_matcher(matcher),
        None => pick.name.clone(),
    };
    picks.iter().map(print).collect::<Vec<_>>().join(",")
}

impl fmt::Display for LabelFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LabelFilter::Text(matcher) => f.write_str(&print_matcher(matcher)),
            LabelFilter::Quantity { name, op, value, unit } => {
                write!(f, "{name}{}{}", op.as_str(), print_quantity(*value, *unit))
            }
            LabelFilter::Ip { name, negated, text, .. } => {
                let op = if *negated { "!=" } else { "=" };
                write!(f, "{name}{op}ip({})", quote(text))
            }
            LabelFilter::And(left, right) => write!(f, "( {left} , {right} )"),
            LabelFilter::Or(left, right) => write!(f, "( {left} or {right} )"),
        }
    }
}

fn print_quantity(value: f64, unit: Unit) -> String {
    const SIZES: [(&str, f64); 10] = [
        ("PiB", 1_125_899_906_842_624.0),
        ("TiB", 1_099_511_627_776.0),
        ("GiB", 1_073_741_824.0),
        ("MiB", 1_048_576.0),
        ("KiB", 1024.0),
        ("PB", 1e15),
        ("TB", 1e12),
        ("GB", 1e9),
        ("MB", 1e6),
        ("kB", 1e3),
    ];
    match unit {
        Unit::Number => format!("{value}"),
        Unit::Duration => print_go_duration(value as i64),
        Unit::Bytes => {
            let fits = |(_, size): &&(&str, f64)| value != 0.0 && value % size == 0.0;
            let (name, size) = SIZES.iter().find(fits).copied().unwrap_or(("B", 1.0));
            format!("{}{name}", value / size)
        }
    }
}

/// As Go writes a duration: `1h30m0s`, `1.5s`, `20ms`.
fn print_go_duration(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let ns = ns.unsigned_abs();
    let fraction = |unit: u64, name: &str| {
        let (whole, rest) = (ns / unit, ns % unit);
        let digits = unit.ilog10() as usize;
        let rest = format!("{rest:0digits$}");
        let rest = rest.trim_end_matches('0');
        let dot = if rest.is_empty() || digits == 0 { "" } else { "." };
        format!("{whole}{dot}{}{name}", if dot.is_empty() { "" } else { rest })
    };
    const SECOND: u64 = 1_000_000_000;
    let text = match ns {
        0 => "0s".to_owned(),
        1..1_000 => fraction(1, "ns"),
        1_000..1_000_000 => fraction(1_000, "us"),
        1_000_000..SECOND => fraction(1_000_000, "ms"),
        _ => {
            let minutes = ns / (60 * SECOND);
            let rest = ns % (60 * SECOND);
            let nanoseconds = format!("{:09}", rest % SECOND);
            let part = nanoseconds.trim_end_matches('0');
            let dot = if part.is_empty() { "" } else { "." };
            let seconds = format!("{}{dot}{part}s", rest / SECOND);
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    };
    format!("{sign}{text}")
}

/// As Prometheus writes a duration, as far as it can.
fn print_window(ns: i64) -> String {
    if ns % 1_000_000 == 0 { format_duration_ms(ns / 1_000_000) } else { print_go_duration(ns) }
}

impl fmt::Display for Unwrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.conversion.as_str() {
            "" => write!(f, "| unwrap {}", self.name)?,
            conversion => write!(f, "| unwrap {conversion}({})", self.name)?,
        }
        self.filters.iter().try_for_each(|filter| write!(f, " | {filter}"))
    }
}

impl fmt::Display for RangeAggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.op.as_str())?;
        if let Some(parameter) = self.parameter {
            write!(f, "{parameter},")?;
        }
        write!(f, "{}", self.log)?;
        if let Some(unwrap) = &self.unwrap {
            write!(f, " {unwrap}")?;
        }
        write!(f, "{})", print_range(self))?;
        match &self.grouping {
            Some(grouping) => write!(f, " {}", print_grouping(grouping, ",")),
            None => Ok(()),
        }
    }
}

/// The window and the offset.
fn print_range(range: &RangeAggregation) -> String {
    let offset = match range.offset_ns {
        0 => String::new(),
        // Only Go's durations, which have no days, can be negative.
        ns if ns < 0 => format!(" offset {}", print_go_duration(ns)),
        ns => format!(" offset {}", print_window(ns)),
    };
    format!("[{}]{offset}", print_window(range.range_ns))
}

impl fmt::Display for MetricExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            MetricKind::Number(value) => f.write_str(&print_number(*value)),
            MetricKind::Vector(value) => {
                // Six digits as Loki writes them, unless they are another number.
                let text = format!("{value:.6}");
                let is_same = text.parse() == Ok(*value);
                write!(f, "vector({})", if is_same { text } else { print_number(*value) })
            }
            MetricKind::Range(range) => range.fmt(f),
            MetricKind::Aggregate(Aggregation { op, parameter, grouping, expr }) => {
                f.write_str(op.as_str())?;
                if let Some(grouping) = grouping {
                    write!(f, " {}", print_grouping(grouping, ","))?;
                }
                match parameter {
                    Some(parameter) => write!(f, "({parameter},{expr})"),
                    None => write!(f, "({expr})"),
                }
            }
            MetricKind::Binary { left, right, .. } => {
                write!(f, "({left} {} {right})", print_operator(self, ","))
            }
            MetricKind::LabelReplace { expr, to, replacement, from, pattern, .. } => {
                let [to, replacement, from, pattern] =
                    [to, replacement, from, pattern].map(|text| quote(text));
                write!(f, "label_replace({expr},{to},{replacement},{from},{pattern})")
            }
        }
    }
}

fn print_number(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        value => format!("{value}"),
    }
}

fn print_grouping(grouping: &Grouping, comma: &str) -> String {
    let word = if grouping.without { "without" } else { "by" };
    format!("{word} ({})", grouping.labels.join(comma))
}

/// The operator with all that stands between its sides.
fn print_operator(expr: &MetricExpr, comma: &str) -> String {
    let MetricKind::Binary { op, return_bool, matching, .. } = &expr.kind else {
        return String::new();
    };
    let mut text = op.as_str().to_owned();
    if *return_bool {
        text.push_str(" bool");
    }
    if *matching == Matching::default() {
        return text;
    }
    let word = if matching.on { "on" } else { "ignoring" };
    text.push_str(&format!(" {word} ({})", matching.labels.join(comma)));
    let group = match matching.cardinality {
        Cardinality::OneToOne => return text,
        Cardinality::ManyToOne => "group_left",
        Cardinality::OneToMany => "group_right",
    };
    // Also an empty list is written: what follows may begin with a parenthesis.
    text.push_str(&format!(" {group} ({})", matching.include.join(comma)));
    text
}
