//! The query languages: text in, vectors and lines out.
//!
//! **What it is.** PromQL (metrics), LogQL (logs) and TraceQL (traces): hand-written lexers and parsers that know the
//! position of everything, and evaluators that work by columns: a selector reads each of its series
//! once for the whole time range, and an operator computes all steps of a series before it turns to
//! the next one.
//!
//! **What it is not.** No I/O, no threads, no clock: evaluation times are arguments, and data comes
//! only through the read traits of `model`. No JSON of results either: the API crate shapes them.
//!
//! ```text
//!  text --lexer, parser--> Expr (spans on every node, types checked)
//!       --evaluate_*-----> selectors push matchers, range and step to a SeriesSource / LogSource
//!       --columns--------> vector.rs: grouping, binary operators, matching, shared by the languages
//!       --result---------> Value / LogResult with warnings and infos
//! ```
//!
//! Invariants: a column has one cell for each evaluation time, and the staleness marker in a cell
//! means that there is no sample; labels of a result are dropped at its very end, so that functions
//! on labels can still see a metric name that is about to go (delayed name removal of Prometheus);
//! every loop over data asks its `QueryContext` whether to go on; no text, however nested or long,
//! can make a parser panic or overflow its stack.

pub mod errors;
mod histogram;
pub mod logql;
pub mod promql;
pub mod text;
pub mod traceql;
pub mod vector;

pub use errors::{EvalError, ParseError, Span};
