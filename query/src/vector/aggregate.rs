//! Aggregation over series: each series finds its group once, then all its cells go into it.

mod finalists;
mod fold;
mod folder;
mod histograms;
mod pick;
mod ratio;
mod values;

use model::labels::METRIC_NAME;
use model::{Labels, QueryContext};
use rustc_hash::FxHashMap;

pub(crate) use self::finalists::Finalists;
pub(crate) use self::folder::{Folded, Folder};
pub(crate) use self::values::note_quantile;
use super::{Column, Notes};
use crate::errors::{EvalError, Span};

/// Which labels tell groups apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grouping {
    /// All but the listed ones (and the metric name), instead of only the listed ones.
    pub without: bool,
    /// The listed ones.
    pub labels: Vec<String>,
}

impl Grouping {
    /// The labels of the group that a series belongs to.
    pub fn group_of(&self, labels: &Labels) -> Labels {
        if !self.without && self.labels.is_empty() {
            return Labels::empty();
        }
        let mut names: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        if self.without {
            names.push(METRIC_NAME);
            labels.without(&names)
        } else {
            labels.only(&names)
        }
    }
}

/// An aggregation operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    /// `sum`
    Sum,
    /// `avg`
    Avg,
    /// `min`
    Min,
    /// `max`
    Max,
    /// `count`
    Count,
    /// `group`
    Group,
    /// `stddev`
    Stddev,
    /// `stdvar`
    Stdvar,
    /// `topk`
    Topk,
    /// `bottomk`
    Bottomk,
    /// `limitk`
    Limitk,
    /// `limit_ratio`
    LimitRatio,
    /// `quantile`
    Quantile,
    /// `count_values`
    CountValues,
}

const NAMES: [(AggregateOp, &str); 14] = [
    (AggregateOp::Sum, "sum"),
    (AggregateOp::Avg, "avg"),
    (AggregateOp::Min, "min"),
    (AggregateOp::Max, "max"),
    (AggregateOp::Count, "count"),
    (AggregateOp::Group, "group"),
    (AggregateOp::Stddev, "stddev"),
    (AggregateOp::Stdvar, "stdvar"),
    (AggregateOp::Topk, "topk"),
    (AggregateOp::Bottomk, "bottomk"),
    (AggregateOp::Limitk, "limitk"),
    (AggregateOp::LimitRatio, "limit_ratio"),
    (AggregateOp::Quantile, "quantile"),
    (AggregateOp::CountValues, "count_values"),
];

impl AggregateOp {
    /// Finds an operator by its lower-case name.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(op, _)| *op)
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        NAMES.iter().find(|(op, _)| *op == self).map_or("", |(_, name)| name)
    }

    /// Whether it takes a parameter before the vector.
    pub fn has_parameter(self) -> bool {
        matches!(
            self,
            AggregateOp::Topk
                | AggregateOp::Bottomk
                | AggregateOp::Limitk
                | AggregateOp::LimitRatio
                | AggregateOp::Quantile
                | AggregateOp::CountValues
        )
    }
}

/// The parameter of an aggregation.
#[derive(Debug, Clone)]
pub enum Parameter {
    /// It has none.
    None,
    /// A number for each evaluation time.
    Numbers(Vec<f64>),
    /// A label name.
    Label(String),
}

/// An aggregation with everything but its input.
#[derive(Debug)]
pub struct AggregateCall<'a> {
    /// The operator.
    pub op: AggregateOp,
    /// Its grouping.
    pub grouping: &'a Grouping,
    /// Its parameter.
    pub parameter: Parameter,
    /// Where remarks about the operator, the input and the parameter point to.
    pub spans: [Span; 3],
}

impl AggregateCall<'_> {
    /// The parameter at each step.
    fn numbers(&self) -> &[f64] {
        match &self.parameter {
            Parameter::Numbers(numbers) => numbers,
            _ => &[],
        }
    }

    /// Says that a histogram was left out.
    fn note_ignored(&self, span: Span, notes: &mut Notes) {
        notes.info(span, &format!("ignored histogram in {} aggregation", self.op.as_str()));
    }
}

/// Aggregates columns of `steps` cells each. Results are in order of the groups' first series;
/// `topk` and `bottomk` of a single step are in order of value.
pub fn aggregate(
    call: &AggregateCall<'_>,
    columns: Vec<Column>,
    steps: usize,
    notes: &mut Notes,
    context: &QueryContext,
) -> Result<Vec<Column>, EvalError> {
    if let (AggregateOp::CountValues, Parameter::Label(label)) = (call.op, &call.parameter) {
        return values::count_values(call, label, &columns, steps, context);
    }
    let groups = Groups::of(call.grouping, &columns);
    match call.op {
        AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk => {
            pick::pick_k(call, &groups, columns, steps, notes, context)
        }
        AggregateOp::LimitRatio => pick::pick_ratio(call, columns, steps, notes, context),
        AggregateOp::Quantile => values::quantiles(call, &groups, &columns, steps, notes, context),
        _ => fold::fold(call, &groups, &columns, steps, notes, context),
    }
}

struct Groups {
    labels: Vec<Labels>,
    members: Vec<Vec<usize>>,
}

impl Groups {
    fn of(grouping: &Grouping, columns: &[Column]) -> Self {
        let mut places: FxHashMap<Labels, usize> = FxHashMap::default();
        let mut groups = Groups { labels: Vec::new(), members: Vec::new() };
        for (index, column) in columns.iter().enumerate() {
            let labels = grouping.group_of(&column.labels);
            let place = *places.entry(labels).or_insert_with_key(|labels| {
                groups.labels.push(labels.clone());
                groups.members.push(Vec::new());
                groups.labels.len() - 1
            });
            groups.members[place].push(index);
        }
        groups
    }
}
