//! The tree of a query.
//!
//! The parser checks types while it builds, so a tree that exists can be evaluated.

use model::read::AttributeScope;
use model::span::{SpanKind, StatusCode};
use regex::Regex;

/// Fields that every span, trace, event, link or library has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Intrinsic {
    /// `span:name`
    Name,
    /// `span:status`
    Status,
    /// `span:statusMessage`
    StatusMessage,
    /// `span:kind`
    Kind,
    /// `span:duration`
    Duration,
    /// `span:id`
    SpanId,
    /// `span:parentID`
    ParentId,
    /// `span:childCount`
    ChildCount,
    /// `nestedSetLeft`
    NestedSetLeft,
    /// `nestedSetRight`
    NestedSetRight,
    /// `nestedSetParent`
    NestedSetParent,
    /// `trace:id`
    TraceId,
    /// `trace:duration`
    TraceDuration,
    /// `trace:rootName`
    RootName,
    /// `trace:rootService`
    RootService,
    /// `event:name`
    EventName,
    /// `event:timeSinceStart`
    EventTimeSinceStart,
    /// `link:traceID`
    LinkTraceId,
    /// `link:spanID`
    LinkSpanId,
    /// `instrumentation:name`
    InstrumentationName,
    /// `instrumentation:version`
    InstrumentationVersion,
}

use Intrinsic as I;

/// The scoped spellings.
const SCOPED: [(&str, Intrinsic); 18] = [
    ("span:name", I::Name),
    ("span:status", I::Status),
    ("span:statusMessage", I::StatusMessage),
    ("span:kind", I::Kind),
    ("span:duration", I::Duration),
    ("span:id", I::SpanId),
    ("span:parentID", I::ParentId),
    ("span:childCount", I::ChildCount),
    ("trace:id", I::TraceId),
    ("trace:duration", I::TraceDuration),
    ("trace:rootName", I::RootName),
    ("trace:rootService", I::RootService),
    ("event:name", I::EventName),
    ("event:timeSinceStart", I::EventTimeSinceStart),
    ("link:traceID", I::LinkTraceId),
    ("link:spanID", I::LinkSpanId),
    ("instrumentation:name", I::InstrumentationName),
    ("instrumentation:version", I::InstrumentationVersion),
];

/// The spellings without a scope.
const BARE: [(&str, Intrinsic); 11] = [
    ("name", I::Name),
    ("status", I::Status),
    ("statusMessage", I::StatusMessage),
    ("kind", I::Kind),
    ("duration", I::Duration),
    ("rootName", I::RootName),
    ("rootServiceName", I::RootService),
    ("traceDuration", I::TraceDuration),
    ("nestedSetLeft", I::NestedSetLeft),
    ("nestedSetRight", I::NestedSetRight),
    ("nestedSetParent", I::NestedSetParent),
];

impl Intrinsic {
    pub(crate) fn from_scoped(text: &str) -> Option<Self> {
        SCOPED.iter().find(|(name, _)| *name == text).map(|(_, intrinsic)| *intrinsic)
    }

    pub(crate) fn from_bare(text: &str) -> Option<Self> {
        BARE.iter().find(|(name, _)| *name == text).map(|(_, intrinsic)| *intrinsic)
    }

    /// The shortest spelling.
    pub fn name(self) -> &'static str {
        let names = BARE.iter().chain(&SCOPED);
        names.clone().find(|(_, intrinsic)| *intrinsic == self).map_or("", |(name, _)| *name)
    }

    /// All spellings: with a scope, then without.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SCOPED.iter().chain(&BARE).map(|(name, _)| *name)
    }

    pub(crate) fn value_type(self) -> Type {
        match self {
            I::Status => Type::Status,
            I::Kind => Type::Kind,
            I::Duration
            | I::TraceDuration
            | I::EventTimeSinceStart
            | I::ChildCount
            | I::NestedSetLeft
            | I::NestedSetRight
            | I::NestedSetParent => Type::Number,
            _ => Type::Str,
        }
    }

    /// Whether values are times in nanoseconds.
    pub fn is_duration(self) -> bool {
        matches!(self, I::Duration | I::TraceDuration | I::EventTimeSinceStart)
    }
}

/// Something of a span that has a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// An attribute by its scope and name.
    Attribute(AttributeScope, String),
    /// A field that is always there.
    Intrinsic(Intrinsic),
}

impl Field {
    /// `resource.service.name`, as Tempo writes labels.
    pub fn label(&self) -> String {
        match self {
            Field::Intrinsic(intrinsic) => intrinsic.name().to_owned(),
            Field::Attribute(scope, name) => {
                let scope = match scope {
                    AttributeScope::Span => "span.",
                    AttributeScope::Resource => "resource.",
                    AttributeScope::Any => ".",
                    AttributeScope::Event => "event.",
                    AttributeScope::Link => "link.",
                    AttributeScope::Instrumentation => "instrumentation.",
                };
                format!("{scope}{name}")
            }
        }
    }

    /// The key of an attribute in a search result: without its scope.
    pub fn key(&self) -> &str {
        match self {
            Field::Intrinsic(intrinsic) => intrinsic.name(),
            Field::Attribute(_, name) => name,
        }
    }

    pub(crate) fn value_type(&self) -> Type {
        match self {
            Field::Attribute(..) => Type::Any,
            Field::Intrinsic(intrinsic) => intrinsic.value_type(),
        }
    }

    /// Whether every span has it, so that a comparison with nil makes no sense.
    pub(crate) fn is_always_there(&self) -> bool {
        match self {
            Field::Intrinsic(_) => true,
            Field::Attribute(scope, name) => {
                *scope == AttributeScope::Resource && name == "service.name"
            }
        }
    }
}

/// What is known of a value before evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// An attribute: the span decides.
    Any,
    /// Whole, floating point, or time.
    Number,
    Str,
    Bool,
    Status,
    Kind,
    Nil,
}

impl Type {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Type::Any => "an attribute",
            Type::Number => "a number",
            Type::Str => "a string",
            Type::Bool => "a boolean",
            Type::Status => "a status",
            Type::Kind => "a kind",
            Type::Nil => "nil",
        }
    }
}

/// A value in the text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Nil,
    Int(i64),
    Float(f64),
    /// Nanoseconds.
    Duration(i64),
    Str(String),
    Bool(bool),
    Status(StatusCode),
    Kind(SpanKind),
}

impl Literal {
    pub(crate) fn value_type(&self) -> Type {
        match self {
            Literal::Nil => Type::Nil,
            Literal::Int(_) | Literal::Float(_) | Literal::Duration(_) => Type::Number,
            Literal::Str(_) => Type::Str,
            Literal::Bool(_) => Type::Bool,
            Literal::Status(_) => Type::Status,
            Literal::Kind(_) => Type::Kind,
        }
    }
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
}

impl Comparison {
    pub(crate) fn from_symbol(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "=" => Comparison::Equal,
            "!=" => Comparison::NotEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessEqual,
            _ => return None,
        })
    }

    pub(crate) fn is_ordering(self) -> bool {
        !matches!(self, Comparison::Equal | Comparison::NotEqual)
    }

    /// The same with its sides exchanged.
    pub(crate) fn flip(self) -> Self {
        match self {
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterEqual => Comparison::LessEqual,
            Comparison::Less => Comparison::Greater,
            Comparison::LessEqual => Comparison::GreaterEqual,
            other => other,
        }
    }

    /// Whether an outcome of comparing satisfies it; values without an order are only unequal.
    pub(crate) fn accepts(self, ordering: Option<std::cmp::Ordering>) -> bool {
        match (self, ordering) {
            (Comparison::NotEqual, None) => true,
            (_, None) => false,
            (Comparison::Equal, Some(ordering)) => ordering.is_eq(),
            (Comparison::NotEqual, Some(ordering)) => ordering.is_ne(),
            (Comparison::Greater, Some(ordering)) => ordering.is_gt(),
            (Comparison::GreaterEqual, Some(ordering)) => ordering.is_ge(),
            (Comparison::Less, Some(ordering)) => ordering.is_lt(),
            (Comparison::LessEqual, Some(ordering)) => ordering.is_le(),
        }
    }
}

/// Arithmetic; always in floating point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
}

impl Arithmetic {
    pub(crate) fn from_symbol(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "+" => Arithmetic::Add,
            "-" => Arithmetic::Sub,
            "*" => Arithmetic::Mul,
            "/" => Arithmetic::Div,
            "%" => Arithmetic::Mod,
            "^" => Arithmetic::Pow,
            _ => return None,
        })
    }

    pub(crate) fn apply(self, left: f64, right: f64) -> f64 {
        match self {
            Arithmetic::Add => left + right,
            Arithmetic::Sub => left - right,
            Arithmetic::Mul => left * right,
            Arithmetic::Div => left / right,
            Arithmetic::Mod => left % right,
            Arithmetic::Pow => left.powf(right),
        }
    }
}

/// An expression over one span.
#[derive(Debug, Clone)]
pub(crate) enum FieldExpr {
    Field(Field),
    Literal(Literal),
    Not(Box<FieldExpr>),
    Negate(Box<FieldExpr>),
    /// All (or any) of them. Chains are flat, so that long ones are not deep.
    Logical {
        all: bool,
        operands: Vec<FieldExpr>,
    },
    Compare {
        op: Comparison,
        left: Box<FieldExpr>,
        right: Box<FieldExpr>,
    },
    /// Comparison with nil.
    Exists {
        operand: Box<FieldExpr>,
        exists: bool,
    },
    Match {
        negated: bool,
        operand: Box<FieldExpr>,
        regex: Regex,
    },
    Arithmetic {
        op: Arithmetic,
        left: Box<FieldExpr>,
        right: Box<FieldExpr>,
    },
}

/// How the right side of a structural operator relates to the left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// `>`: the right is a child of the left.
    Child,
    /// `>>`: the right is below the left.
    Descendant,
    /// `<`: the right is the parent of the left.
    Parent,
    /// `<<`: the right is above the left.
    Ancestor,
    /// `~`: both have the same parent.
    Sibling,
}

/// Which spans a structural operator returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Returned {
    /// Those on the right that are related to one on the left.
    Right,
    /// `!`: those on the right that are not.
    Unrelated,
    /// `&`: related spans of both sides.
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpansetOp {
    /// Both sides have spans: all of them.
    And,
    /// Spans of either side.
    Or,
    Structural(Relation, Returned),
}

impl SpansetOp {
    pub(crate) fn from_symbol(symbol: &str) -> Option<Self> {
        match symbol {
            "&&" => return Some(SpansetOp::And),
            "||" => return Some(SpansetOp::Or),
            _ => {}
        }
        let (returned, relation) = match symbol.as_bytes().first()? {
            b'!' => (Returned::Unrelated, &symbol[1..]),
            b'&' => (Returned::Both, &symbol[1..]),
            _ => (Returned::Right, symbol),
        };
        let relation = match relation {
            ">" => Relation::Child,
            ">>" => Relation::Descendant,
            "<" => Relation::Parent,
            "<<" => Relation::Ancestor,
            "~" => Relation::Sibling,
            _ => return None,
        };
        Some(SpansetOp::Structural(relation, returned))
    }
}

/// An expression over the spans of one trace.
#[derive(Debug, Clone)]
pub(crate) enum SpansetExpr {
    /// `{ ... }`; `None` is `{ }`.
    Filter(Option<FieldExpr>),
    Binary {
        op: SpansetOp,
        left: Box<SpansetExpr>,
        right: Box<SpansetExpr>,
    },
    /// A pipeline in parentheses.
    Pipeline(Box<Pipeline>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AggregateOp {
    Count,
    Avg,
    Min,
    Max,
    Sum,
}

/// One step of a pipeline.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    Spanset(SpansetExpr),
    /// Keeps spansets whose aggregate compares.
    Aggregate {
        op: AggregateOp,
        operand: Option<FieldExpr>,
        /// As written, the key of the value in results.
        text: String,
        comparison: Comparison,
        value: f64,
    },
    /// Splits spansets by a value.
    By {
        expr: FieldExpr,
        /// As written, the key of the value in results.
        text: String,
    },
    /// Adds fields to the results.
    Select,
    /// Joins spansets.
    Coalesce,
}

/// Stages in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pipeline {
    pub(crate) stages: Vec<Stage>,
}

/// The first stage of metrics: from spans to series.
#[derive(Debug, Clone)]
pub(crate) enum Function {
    Rate,
    CountOverTime,
    MinOverTime(Field),
    MaxOverTime(Field),
    AvgOverTime(Field),
    SumOverTime(Field),
    QuantileOverTime(Field, Vec<f64>),
    HistogramOverTime(Field),
    Compare {
        filter: Option<FieldExpr>,
        top: usize,
        /// Nanoseconds; start included, end excluded.
        window: Option<(i64, i64)>,
    },
}

impl Function {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Function::Rate => "rate",
            Function::CountOverTime => "count_over_time",
            Function::MinOverTime(_) => "min_over_time",
            Function::MaxOverTime(_) => "max_over_time",
            Function::AvgOverTime(_) => "avg_over_time",
            Function::SumOverTime(_) => "sum_over_time",
            Function::QuantileOverTime(..) => "quantile_over_time",
            Function::HistogramOverTime(_) => "histogram_over_time",
            Function::Compare { .. } => "compare",
        }
    }
}

/// An expression over series.
#[derive(Debug, Clone)]
pub(crate) enum MetricsExpr {
    Number(f64),
    First {
        pipeline: Pipeline,
        function: Function,
        by: Vec<Field>,
    },
    Math {
        op: Arithmetic,
        left: Box<MetricsExpr>,
        right: Box<MetricsExpr>,
    },
    /// `topk` and `bottomk`.
    Top {
        operand: Box<MetricsExpr>,
        count: usize,
        largest: bool,
    },
    Filter {
        operand: Box<MetricsExpr>,
        comparison: Comparison,
        value: f64,
    },
}

impl MetricsExpr {
    /// Whether it is, or contains, `compare(...)`.
    pub(crate) fn has_compare(&self) -> bool {
        match self {
            MetricsExpr::Number(_) => false,
            MetricsExpr::First { function, .. } => matches!(function, Function::Compare { .. }),
            MetricsExpr::Math { left, right, .. } => left.has_compare() || right.has_compare(),
            MetricsExpr::Top { operand, .. } | MetricsExpr::Filter { operand, .. } => {
                operand.has_compare()
            }
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Root {
    Search(Pipeline),
    Metrics(MetricsExpr),
}

/// A checked query.
#[derive(Debug, Clone)]
pub struct Query {
    pub(crate) root: Root,
    /// `with(...)`.
    pub(crate) hints: Vec<(String, Literal)>,
    /// Fields that the query mentions, each once, in order.
    pub(crate) fields: Vec<Field>,
}

impl Query {
    /// Whether the answer is series and not traces.
    pub fn is_metrics(&self) -> bool {
        matches!(self.root, Root::Metrics(_))
    }

    /// Whether the newest traces are wanted, and not just any.
    pub fn is_most_recent(&self) -> bool {
        let hint = self.hints.iter().find(|(name, _)| name == "most_recent");
        matches!(hint, Some((_, Literal::Bool(true))))
    }
}
