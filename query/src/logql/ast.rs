//! The syntax tree of LogQL.

use memchr::memmem;
use model::Matcher;
use regex::Regex;

use crate::errors::Span;
use crate::vector::{AggregateOp, BinaryOp, Grouping, Matching};

/// A query.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// It answers with lines.
    Log(LogExpr),
    /// It answers with numbers.
    Metric(MetricExpr),
}

impl Expr {
    /// The selections of streams in the query, in order of the text.
    pub fn log_exprs(&self) -> Vec<&LogExpr> {
        let mut found = Vec::new();
        match self {
            Expr::Log(log) => found.push(log),
            Expr::Metric(metric) => metric.collect(&mut found),
        }
        found
    }
}

/// A stream selector and what happens to its lines.
#[derive(Debug, Clone)]
pub struct LogExpr {
    /// Its place in the text.
    pub span: Span,
    /// On stream labels.
    pub matchers: Vec<Matcher>,
    /// In order.
    pub stages: Vec<Stage>,
}

impl PartialEq for LogExpr {
    fn eq(&self, other: &Self) -> bool {
        self.matchers == other.matchers && self.stages == other.stages
    }
}

/// A stage of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// `|= "text" or "other"`
    Line(LineFilter),
    /// `| label="x" and size > 5KB`
    Label(LabelFilter),
    /// `| json`
    Json,
    /// `| logfmt`
    Logfmt {
        /// Whether a malformed line is an error.
        strict: bool,
    },
    /// `| drop a, b="x"`
    Drop(Vec<LabelPick>),
    /// `| keep a, b="x"`
    Keep(Vec<LabelPick>),
}

/// Which lines a line filter lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineOp {
    /// `|=`
    Contains,
    /// `!=`
    Lacks,
    /// `|~`
    Matches,
    /// `!~`
    MatchesNot,
}

impl LineOp {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            LineOp::Contains => "|=",
            LineOp::Lacks => "!=",
            LineOp::Matches => "|~",
            LineOp::MatchesNot => "!~",
        }
    }
}

/// A line filter. Several texts are alternatives; a negated filter lacks all of them.
#[derive(Debug, Clone)]
pub struct LineFilter {
    /// The comparison.
    pub op: LineOp,
    /// The texts or regular expressions.
    pub texts: Vec<String>,
    needles: Vec<Needle>,
}

#[derive(Debug, Clone)]
enum Needle {
    Text(Box<memmem::Finder<'static>>),
    Regex(Regex),
}

/// No pattern of a line filter may compile to more than this.
const REGEX_BYTES_MAX: usize = 4 << 20;

impl LineFilter {
    /// Makes a filter; the error names the bad regular expression and its place among the texts.
    pub fn new(op: LineOp, texts: Vec<String>) -> Result<Self, (usize, String)> {
        let mut needles = Vec::with_capacity(texts.len());
        for (i, text) in texts.iter().enumerate() {
            needles.push(match op {
                LineOp::Contains | LineOp::Lacks => {
                    Needle::Text(Box::new(memmem::Finder::new(text.as_bytes()).into_owned()))
                }
                LineOp::Matches | LineOp::MatchesNot => {
                    let regex = regex::RegexBuilder::new(text)
                        .dot_matches_new_line(true)
                        .size_limit(REGEX_BYTES_MAX)
                        .build()
                        .map_err(|e| (i, format!("bad regular expression {text:?}: {e}")))?;
                    Needle::Regex(regex)
                }
            });
        }
        Ok(LineFilter { op, texts, needles })
    }

    /// Whether a line passes.
    pub fn accepts(&self, line: &str) -> bool {
        let found = self.needles.iter().any(|needle| match needle {
            Needle::Text(finder) => finder.find(line.as_bytes()).is_some(),
            Needle::Regex(regex) => regex.is_match(line),
        });
        found == matches!(self.op, LineOp::Contains | LineOp::Matches)
    }
}

impl PartialEq for LineFilter {
    fn eq(&self, other: &Self) -> bool {
        self.op == other.op && self.texts == other.texts
    }
}

/// A condition on labels.
#[derive(Debug, Clone, PartialEq)]
pub enum LabelFilter {
    /// `label="x"`
    Text(Matcher),
    /// `label > 5`
    Quantity {
        /// The label.
        name: String,
        /// A comparison.
        op: BinaryOp,
        /// The value, in the base of its unit.
        value: f64,
        /// How the label's value is read.
        unit: Unit,
    },
    /// Both hold.
    And(Box<LabelFilter>, Box<LabelFilter>),
    /// One of them holds.
    Or(Box<LabelFilter>, Box<LabelFilter>),
}

/// How a label's value is read for a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    Number,
    /// A duration, compared in nanoseconds.
    Duration,
    /// A size, compared in bytes.
    Bytes,
}

/// A label that `drop` or `keep` names, with an optional condition on its value.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelPick {
    /// The label.
    pub name: String,
    /// Only with such a value.
    pub matcher: Option<Matcher>,
}

/// An expression that answers with numbers.
#[derive(Debug, Clone)]
pub struct MetricExpr {
    /// Its place in the text.
    pub span: Span,
    /// What it is.
    pub kind: MetricKind,
    depth: u16,
}

impl PartialEq for MetricExpr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// The kinds of metric expressions.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricKind {
    /// `1.5`
    Number(f64),
    /// `vector(1)`
    Vector(f64),
    /// `(x)`
    Paren(Box<MetricExpr>),
    /// `count_over_time({job="x"}[5m])`
    Range(RangeAggregation),
    /// `sum by (level) (x)`
    Aggregate {
        /// The operator.
        op: AggregateOp,
        /// `k`.
        parameter: Option<f64>,
        /// `by` or `without`.
        grouping: Grouping,
        /// What is aggregated.
        expr: Box<MetricExpr>,
    },
    /// `a / b`
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Whether a comparison answers 0 or 1 instead of filtering.
        return_bool: bool,
        /// How series of two vectors find each other.
        matching: Matching,
        /// Before the operator.
        left: Box<MetricExpr>,
        /// After it.
        right: Box<MetricExpr>,
    },
}

impl MetricExpr {
    /// Makes a node.
    pub fn new(kind: MetricKind, span: Span) -> Self {
        let below = match &kind {
            MetricKind::Number(_) | MetricKind::Vector(_) | MetricKind::Range(_) => 0,
            MetricKind::Paren(inner) => inner.depth,
            MetricKind::Aggregate { expr, .. } => expr.depth,
            MetricKind::Binary { left, right, .. } => left.depth.max(right.depth),
        };
        MetricExpr { span, kind, depth: below.saturating_add(1) }
    }

    /// The length of the longest path below, the node itself counted.
    pub fn depth(&self) -> u16 {
        self.depth
    }

    /// Whether it is one number a step instead of a vector.
    pub fn is_scalar(&self) -> bool {
        match &self.kind {
            MetricKind::Number(_) => true,
            MetricKind::Paren(inner) => inner.is_scalar(),
            MetricKind::Binary { left, right, .. } => left.is_scalar() && right.is_scalar(),
            _ => false,
        }
    }

    fn collect<'a>(&'a self, found: &mut Vec<&'a LogExpr>) {
        match &self.kind {
            MetricKind::Number(_) | MetricKind::Vector(_) => {}
            MetricKind::Paren(inner) => inner.collect(found),
            MetricKind::Aggregate { expr, .. } => expr.collect(found),
            MetricKind::Range(range) => found.push(&range.log),
            MetricKind::Binary { left, right, .. } => {
                left.collect(found);
                right.collect(found);
            }
        }
    }
}

/// What is counted over a window of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeOp {
    /// Lines.
    CountOverTime,
    /// Lines a second.
    Rate,
    /// Bytes of lines.
    BytesOverTime,
    /// Bytes of lines a second.
    BytesRate,
    /// One where there is no line.
    AbsentOverTime,
}

const RANGE_OPS: [(RangeOp, &str); 5] = [
    (RangeOp::CountOverTime, "count_over_time"),
    (RangeOp::Rate, "rate"),
    (RangeOp::BytesOverTime, "bytes_over_time"),
    (RangeOp::BytesRate, "bytes_rate"),
    (RangeOp::AbsentOverTime, "absent_over_time"),
];

impl RangeOp {
    /// Finds an operation by its name.
    pub fn from_name(name: &str) -> Option<Self> {
        RANGE_OPS.iter().find(|(_, known)| *known == name).map(|(op, _)| *op)
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        RANGE_OPS.iter().find(|(op, _)| *op == self).map_or("", |(_, name)| name)
    }
}

/// A number for each window of lines.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeAggregation {
    /// What is counted.
    pub op: RangeOp,
    /// The lines.
    pub log: LogExpr,
    /// The length of the window, which is open at its start and closed at its end.
    pub range_ns: i64,
    /// How far back it looks.
    pub offset_ns: i64,
}
