//! The syntax tree. Every node knows its place in the text; equality looks only at the meaning.

use std::fmt;

use model::{Labels, Matcher, labels::METRIC_NAME};

use super::durations::DurationExpr;
use super::functions::Signature;
use crate::errors::Span;
use crate::vector::{AggregateOp, BinaryOp, Grouping, Matching};

/// What an expression evaluates to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One number for each evaluation time.
    Scalar,
    /// A set of series with one sample each for each evaluation time.
    Vector,
    /// A set of series with the samples of a window.
    Matrix,
    /// A text.
    String,
}

impl ValueType {
    /// The words of Prometheus's documentation and errors.
    pub fn as_str(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
            ValueType::String => "string",
        }
    }

    /// The words of Prometheus's API.
    pub fn api_name(self) -> &'static str {
        match self {
            ValueType::Vector => "vector",
            ValueType::Matrix => "matrix",
            other => other.as_str(),
        }
    }
}

/// A number, as seconds where it is a duration.
#[derive(Debug, Clone, Copy)]
pub struct Number {
    /// The number.
    pub value: f64,
    /// Whether it was written as a duration, as in `5m`.
    pub is_duration: bool,
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Number { value, is_duration: false }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        // By bits, so that zero keeps its sign; every NaN is the same.
        let same = self.value.to_bits() == other.value.to_bits()
            || self.value.is_nan() && other.value.is_nan();
        same && self.is_duration == other.is_duration
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_duration {
            let ms = (self.value * 1e3).round() as i64;
            return f.write_str(&crate::text::format_duration_ms(ms));
        }
        f.write_str(&crate::text::format_float(self.value))
    }
}

/// A node of the tree.
#[derive(Debug, Clone)]
pub struct Expr {
    /// Its place in the text.
    pub span: Span,
    /// What it is.
    pub kind: ExprKind,
    depth: u16,
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// The kinds of nodes.
#[derive(Debug, Clone)]
pub enum ExprKind {
    /// `1.5` or `5m`
    Number(Number),
    /// `"text"`
    String(String),
    /// `(x)`
    Paren(Box<Expr>),
    /// `-x` or `+x`
    Unary(UnaryOp, Box<Expr>),
    /// `a + b`
    Binary(Box<Binary>),
    /// `sum by (job) (x)`
    Aggregate(Box<Aggregate>),
    /// `rate(x[5m])`
    Call(Box<Call>),
    /// `http_requests_total{job="api"}`
    Selector(Box<Selector>),
    /// `http_requests_total[5m]`
    Range(Box<RangeSelector>),
    /// `rate(x[5m])[1h:1m]`
    Subquery(Box<Subquery>),
}

impl PartialEq for ExprKind {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (ExprKind::Number(a), ExprKind::Number(b)) => a == b,
            (ExprKind::String(a), ExprKind::String(b)) => a == b,
            (ExprKind::Paren(a), ExprKind::Paren(b)) => a == b,
            (ExprKind::Unary(o, a), ExprKind::Unary(p, b)) => o == p && a == b,
            (ExprKind::Binary(a), ExprKind::Binary(b)) => a == b,
            (ExprKind::Aggregate(a), ExprKind::Aggregate(b)) => a == b,
            (ExprKind::Call(a), ExprKind::Call(b)) => a == b,
            (ExprKind::Selector(a), ExprKind::Selector(b)) => a == b,
            (ExprKind::Range(a), ExprKind::Range(b)) => a == b,
            (ExprKind::Subquery(a), ExprKind::Subquery(b)) => a == b,
            _ => false,
        }
    }
}

/// A sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOp {
    /// `-`
    Minus,
    /// `+`
    Plus,
}

/// A binary operator with its operands.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Before it.
    pub left: Expr,
    /// After it.
    pub right: Expr,
    /// Whether a comparison answers 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// How series of two vectors find each other; `None` unless both operands are vectors.
    pub matching: Option<Matching>,
}

/// An aggregation.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// The operator.
    pub op: AggregateOp,
    /// `k`, the quantile, or the label of `count_values`.
    pub parameter: Option<Expr>,
    /// What is aggregated.
    pub expr: Expr,
    /// `by` or `without`.
    pub grouping: Grouping,
}

/// A function call.
#[derive(Debug, Clone)]
pub struct Call {
    /// The function.
    pub function: &'static Signature,
    /// Its arguments, of the right number and types.
    pub arguments: Vec<Expr>,
}

impl Call {
    /// Whether a range vector is among the arguments.
    pub(crate) fn takes_matrix(&self) -> bool {
        self.arguments.iter().any(|argument| argument.value_type() == ValueType::Matrix)
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name && self.arguments == other.arguments
    }
}

/// A fixed evaluation time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtModifier {
    /// `@ 1609746000`, in milliseconds.
    Time(i64),
    /// `@ start()`: the first time of the whole query.
    Start,
    /// `@ end()`: the last time of the whole query.
    End,
}

/// How a selector looks at samples outside of its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// `anchored`: the sample before the window stands at its start.
    Anchored,
    /// `smoothed`: values at both ends are interpolated between the samples around them.
    Smoothed,
}

impl Extension {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Extension::Anchored => "anchored",
            Extension::Smoothed => "smoothed",
        }
    }
}

/// A vector selector. The order of matchers means nothing, and they are printed sorted.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    /// The metric name before the braces; one inside of them is a matcher.
    pub name: Option<String>,
    /// The other matchers, as written.
    pub matchers: Vec<Matcher>,
    /// How far back it looks from the evaluation time.
    pub offset_ms: i64,
    /// What the offset is computed from; `offset_ms` is zero until then.
    pub offset_expr: Option<Box<DurationExpr>>,
    /// The time that replaces the evaluation time.
    pub at: Option<AtModifier>,
    /// How it looks at samples outside of its window.
    pub extension: Option<Extension>,
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        let sorted = |selector: &Selector| {
            let mut matchers: Vec<_> = selector.matchers.iter().collect();
            matchers.sort_by_key(|m| (m.name.clone(), m.op.as_str(), m.value.clone()));
            matchers.into_iter().cloned().collect::<Vec<_>>()
        };
        self.name == other.name
            && (self.matchers == other.matchers || sorted(self) == sorted(other))
            && (self.offset_ms, &self.offset_expr) == (other.offset_ms, &other.offset_expr)
            && (self.at, self.extension) == (other.at, other.extension)
    }
}

impl Selector {
    /// All matchers, the metric name among them.
    pub fn all_matchers(&self) -> Vec<Matcher> {
        let name = self.name.iter().map(|name| Matcher::equal(METRIC_NAME, name.as_str()));
        name.chain(self.matchers.iter().cloned()).collect()
    }

    /// Whether an offset was written.
    pub fn has_offset(&self) -> bool {
        self.offset_ms != 0 || self.offset_expr.is_some()
    }

    /// The labels that `absent` can tell from the equality matchers alone.
    pub(crate) fn absent_labels(&self) -> Labels {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for matcher in &self.matchers {
            if matcher.name == METRIC_NAME {
                continue;
            }
            if matcher.op == model::MatchOp::Equal && !seen.contains(&matcher.name.as_str()) {
                pairs.push((&matcher.name, &matcher.value));
                seen.push(&matcher.name);
            } else {
                pairs.retain(|(name, _)| *name != matcher.name);
            }
        }
        Labels::from_pairs(pairs)
    }
}

/// A range selector.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeSelector {
    /// What to select; it holds `offset` and `@`.
    pub selector: Selector,
    /// The length of the window.
    pub range_ms: i64,
    /// What the length is computed from; `range_ms` is zero until then.
    pub range_expr: Option<Box<DurationExpr>>,
}

/// A subquery.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// What is evaluated at each of its steps.
    pub expr: Expr,
    /// The length of the window.
    pub range_ms: i64,
    /// What the length is computed from.
    pub range_expr: Option<Box<DurationExpr>>,
    /// The distance of its steps, or the default.
    pub step_ms: Option<i64>,
    /// What the distance of its steps is computed from.
    pub step_expr: Option<Box<DurationExpr>>,
    /// How far back it looks.
    pub offset_ms: i64,
    /// What the offset is computed from.
    pub offset_expr: Option<Box<DurationExpr>>,
    /// The time that replaces the evaluation time.
    pub at: Option<AtModifier>,
}

impl Expr {
    /// Makes a node. Types are checked by the parser, not here.
    pub fn new(kind: ExprKind, span: Span) -> Self {
        let mut deepest = 0;
        for_children(&kind, &mut |child| deepest = deepest.max(child.depth));
        Expr { span, kind, depth: deepest.saturating_add(1) }
    }

    /// The length of the longest path below, the node itself counted.
    pub fn depth(&self) -> u16 {
        self.depth
    }

    /// What it evaluates to.
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) => ValueType::Scalar,
            ExprKind::String(_) => ValueType::String,
            ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => inner.value_type(),
            ExprKind::Binary(binary) => {
                if binary.left.value_type() == ValueType::Scalar
                    && binary.right.value_type() == ValueType::Scalar
                {
                    ValueType::Scalar
                } else {
                    ValueType::Vector
                }
            }
            ExprKind::Aggregate(_) | ExprKind::Selector(_) => ValueType::Vector,
            ExprKind::Call(call) => call.function.returns,
            ExprKind::Range(_) | ExprKind::Subquery(_) => ValueType::Matrix,
        }
    }

    /// Visits the nodes directly below, in order of the text as far as it matters.
    pub fn for_each_child<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        for_children(&self.kind, visit);
    }

    /// Visits the nodes directly below. The depth of nodes must stay the same.
    pub(crate) fn for_each_child_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        match &mut self.kind {
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::Selector(_)
            | ExprKind::Range(_) => {}
            ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => visit(inner),
            ExprKind::Binary(binary) => {
                visit(&mut binary.left);
                visit(&mut binary.right);
            }
            ExprKind::Aggregate(aggregate) => {
                if let Some(parameter) = &mut aggregate.parameter {
                    visit(parameter);
                }
                visit(&mut aggregate.expr);
            }
            ExprKind::Call(call) => call.arguments.iter_mut().for_each(visit),
            ExprKind::Subquery(subquery) => visit(&mut subquery.expr),
        }
    }

    /// This node, or what is inside its parentheses.
    pub(crate) fn unwrap_parens(&self) -> &Expr {
        let mut expr = self;
        while let ExprKind::Paren(inner) = &expr.kind {
            expr = inner;
        }
        expr
    }
}

fn for_children<'a>(kind: &'a ExprKind, visit: &mut dyn FnMut(&'a Expr)) {
    match kind {
        ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Selector(_) | ExprKind::Range(_) => {}
        ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => visit(inner),
        ExprKind::Binary(binary) => {
            visit(&binary.left);
            visit(&binary.right);
        }
        ExprKind::Aggregate(aggregate) => {
            if let Some(parameter) = &aggregate.parameter {
                visit(parameter);
            }
            visit(&aggregate.expr);
        }
        ExprKind::Call(call) => call.arguments.iter().for_each(visit),
        ExprKind::Subquery(subquery) => visit(&subquery.expr),
    }
}

/// All vector selectors of an expression, those of range selectors too, in order of the text.
pub fn selectors(expr: &Expr) -> Vec<&Selector> {
    let mut found = Vec::new();
    collect_selectors(expr, &mut found);
    found
}

fn collect_selectors<'a>(expr: &'a Expr, found: &mut Vec<&'a Selector>) {
    match &expr.kind {
        ExprKind::Selector(selector) => found.push(selector),
        ExprKind::Range(range) => found.push(&range.selector),
        _ => expr.for_each_child(&mut |child| collect_selectors(child, found)),
    }
}
