//! Expressions that answer with numbers.

use regex::Regex;

use super::{LogExpr, Unwrap};
use crate::errors::Span;
use crate::vector::{AggregateOp, BinaryOp, Grouping, Matching};

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
#[derive(Debug, Clone)]
pub enum MetricKind {
    /// `1.5`
    Number(f64),
    /// `vector(1)`
    Vector(f64),
    /// `count_over_time({job="x"}[5m])`
    Range(Box<RangeAggregation>),
    /// `sum by (level) (x)`
    Aggregate(Aggregation),
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
    /// `label_replace(x, "to", "$1", "from", "(.*)")`
    LabelReplace {
        /// Whose labels are changed.
        expr: Box<MetricExpr>,
        /// The label that is written.
        to: String,
        /// What is written; `$1` is a group of the expression.
        replacement: String,
        /// The label that is read.
        from: String,
        /// As written; it must match the whole value.
        pattern: String,
        /// The same, compiled and anchored.
        regex: Regex,
    },
}

impl PartialEq for MetricKind {
    fn eq(&self, other: &Self) -> bool {
        use MetricKind::*;
        match (self, other) {
            // A NaN is the same as any other in a tree.
            (Number(a), Number(b)) | (Vector(a), Vector(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Range(a), Range(b)) => a == b,
            (Aggregate(a), Aggregate(b)) => a == b,
            (
                Binary { op, return_bool, matching, left, right },
                Binary { op: o, return_bool: b, matching: m, left: l, right: r },
            ) => (op, return_bool, matching, left, right) == (o, b, m, l, r),
            (
                LabelReplace { expr, to, replacement, from, pattern, .. },
                LabelReplace { expr: e, to: t, replacement: r, from: f, pattern: p, .. },
            ) => (expr, to, replacement, from, pattern) == (e, t, r, f, p),
            _ => false,
        }
    }
}

impl MetricExpr {
    /// Makes a node.
    pub fn new(kind: MetricKind, span: Span) -> Self {
        let below = match &kind {
            MetricKind::Number(_) | MetricKind::Vector(_) | MetricKind::Range(_) => 0,
            MetricKind::Aggregate(Aggregation { expr, .. })
            | MetricKind::LabelReplace { expr, .. } => expr.depth,
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
            MetricKind::Binary { left, right, .. } => left.is_scalar() && right.is_scalar(),
            _ => false,
        }
    }

    /// The expressions right below.
    pub fn children(&self) -> Vec<&MetricExpr> {
        match &self.kind {
            MetricKind::Number(_) | MetricKind::Vector(_) | MetricKind::Range(_) => Vec::new(),
            MetricKind::Aggregate(Aggregation { expr, .. })
            | MetricKind::LabelReplace { expr, .. } => vec![expr],
            MetricKind::Binary { left, right, .. } => vec![left, right],
        }
    }

    /// Whether `test` holds of it or of anything below.
    pub(in crate::logql) fn any(&self, test: &impl Fn(&MetricExpr) -> bool) -> bool {
        test(self) || self.children().into_iter().any(|child| child.any(test))
    }

    pub(super) fn collect<'a>(&'a self, found: &mut Vec<&'a LogExpr>) {
        if let MetricKind::Range(range) = &self.kind {
            found.push(&range.log);
        }
        self.children().into_iter().for_each(|child| child.collect(found));
    }
}

/// An aggregation over series.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregation {
    /// The operator.
    pub op: VectorOp,
    /// `k`.
    pub parameter: Option<u64>,
    /// `by` or `without`, if written.
    pub grouping: Option<Grouping>,
    /// What is aggregated.
    pub expr: Box<MetricExpr>,
}

/// The operators over series that LogQL has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VectorOp {
    /// One that PromQL has too.
    Shared(AggregateOp),
    /// `sort`: by value, the least first.
    Sort,
    /// `sort_desc`: by value, the greatest first.
    SortDesc,
    /// `approx_topk`, which is exact here.
    ApproxTopk,
}

impl VectorOp {
    /// Finds an operator by its lower-case name.
    pub fn from_name(name: &str) -> Option<Self> {
        use AggregateOp::{Group, LimitRatio, Limitk, Quantile};
        match name {
            "sort" => Some(VectorOp::Sort),
            "sort_desc" => Some(VectorOp::SortDesc),
            "approx_topk" => Some(VectorOp::ApproxTopk),
            _ => AggregateOp::from_name(name)
                .filter(|op| {
                    !matches!(op, Group | Limitk | LimitRatio | Quantile | AggregateOp::CountValues)
                })
                .map(VectorOp::Shared),
        }
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            VectorOp::Shared(op) => op.as_str(),
            VectorOp::Sort => "sort",
            VectorOp::SortDesc => "sort_desc",
            VectorOp::ApproxTopk => "approx_topk",
        }
    }

    /// Whether it takes a number before the vector.
    pub fn has_parameter(self) -> bool {
        match self {
            VectorOp::Shared(op) => op.has_parameter(),
            VectorOp::ApproxTopk => true,
            VectorOp::Sort | VectorOp::SortDesc => false,
        }
    }
}

/// What is made of the lines of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeOp {
    /// Lines.
    CountOverTime,
    /// Lines a second, or the sum of values a second.
    Rate,
    /// Bytes of lines.
    BytesOverTime,
    /// Bytes of lines a second.
    BytesRate,
    /// One where there is no line.
    AbsentOverTime,
    /// The increase of a counter a second.
    RateCounter,
    /// The sum of values.
    SumOverTime,
    /// Their mean.
    AvgOverTime,
    /// The least one.
    MinOverTime,
    /// The greatest one.
    MaxOverTime,
    /// Their standard deviation.
    StddevOverTime,
    /// Their variance.
    StdvarOverTime,
    /// The first one.
    FirstOverTime,
    /// The last one.
    LastOverTime,
    /// A quantile of them.
    QuantileOverTime,
}

const RANGE_OPS: [(RangeOp, &str); 15] = [
    (RangeOp::CountOverTime, "count_over_time"),
    (RangeOp::Rate, "rate"),
    (RangeOp::BytesOverTime, "bytes_over_time"),
    (RangeOp::BytesRate, "bytes_rate"),
    (RangeOp::AbsentOverTime, "absent_over_time"),
    (RangeOp::RateCounter, "rate_counter"),
    (RangeOp::SumOverTime, "sum_over_time"),
    (RangeOp::AvgOverTime, "avg_over_time"),
    (RangeOp::MinOverTime, "min_over_time"),
    (RangeOp::MaxOverTime, "max_over_time"),
    (RangeOp::StddevOverTime, "stddev_over_time"),
    (RangeOp::StdvarOverTime, "stdvar_over_time"),
    (RangeOp::FirstOverTime, "first_over_time"),
    (RangeOp::LastOverTime, "last_over_time"),
    (RangeOp::QuantileOverTime, "quantile_over_time"),
];

impl RangeOp {
    /// Finds an operation by its lower-case name.
    pub fn from_name(name: &str) -> Option<Self> {
        RANGE_OPS.iter().find(|(_, known)| *known == name).map(|(op, _)| *op)
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        RANGE_OPS.iter().find(|(op, _)| *op == self).map_or("", |(_, name)| name)
    }

    /// Whether it may be grouped by itself.
    pub fn allows_grouping(self) -> bool {
        use RangeOp::*;
        matches!(
            self,
            AvgOverTime
                | MinOverTime
                | MaxOverTime
                | StddevOverTime
                | StdvarOverTime
                | QuantileOverTime
                | FirstOverTime
                | LastOverTime
        )
    }

    /// Whether it works on unwrapped values.
    pub fn allows_unwrap(self) -> bool {
        use RangeOp::*;
        !matches!(self, CountOverTime | BytesOverTime | BytesRate)
    }

    /// Whether it works on lines.
    pub fn allows_lines(self) -> bool {
        use RangeOp::*;
        matches!(self, CountOverTime | Rate | BytesOverTime | BytesRate | AbsentOverTime)
    }

    /// Whether the sum over groups of series is the same as that of a group's lines at once.
    pub fn is_additive(self) -> bool {
        use RangeOp::*;
        matches!(self, CountOverTime | Rate | BytesOverTime | BytesRate | SumOverTime)
    }
}

/// A number for each window of lines.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeAggregation {
    /// What is made of them.
    pub op: RangeOp,
    /// The quantile.
    pub parameter: Option<f64>,
    /// The lines.
    pub log: LogExpr,
    /// Which values of them; `None` for the lines themselves.
    pub unwrap: Option<Unwrap>,
    /// The length of the window, which is open at its start and closed at its end.
    pub range_ns: i64,
    /// How far back it looks.
    pub offset_ns: i64,
    /// `by` or `without`, if written.
    pub grouping: Option<Grouping>,
}
