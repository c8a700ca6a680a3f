//! PromQL as of Prometheus 3.14: parse a text, evaluate it at one instant or over a range.
//!
//! Behaviour is that of Prometheus with all experimental parts and delayed name removal on; the
//! scripts of its own project (`promqltest`, run by [`script`]) pin it. Samples are floats or native
//! histograms; an operation that is not for one of them leaves it out, in an annotation where
//! Prometheus says so.

pub mod ast;
mod check;
pub mod durations;
mod eval;
mod functions;
mod histograms;
mod info;
mod labels;
mod lexer;
pub mod memory;
mod parser;
mod printer;
mod scalars;
pub mod script;
mod syntax_json;
mod windows;

#[cfg(test)]
mod tests;

pub use ast::{AtModifier, Expr, ExprKind, Selector, ValueType, selectors};
pub use eval::{
    EvalOptions, Evaluation, MatrixSeries, SampleValue, Value, VectorSample, evaluate_instant,
    evaluate_range,
};
pub use functions::function_names;
pub use parser::{QUERY_BYTES_MAX, parse};
pub use printer::pretty;
pub use syntax_json::syntax_json;
