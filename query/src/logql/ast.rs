//! The syntax tree of LogQL.

mod metric;
mod stage;

use model::Matcher;

use crate::errors::Span;

pub use metric::{Aggregation, MetricExpr, MetricKind, RangeAggregation, RangeOp, VectorOp};
pub use stage::{
    Conversion, Extraction, Format, LabelFilter, LabelFormat, LabelPick, LineFilter, LineNeedle,
    LineOp, LineTemplate, PatternParser, RegexpParser, Stage, Unit, Unwrap,
};
pub(super) use stage::{DECOLORIZED, LineTest};

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
