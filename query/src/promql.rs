//! PromQL as of Prometheus 3: parse a text, evaluate it at one instant or over a range.
//!
//! Behaviour is that of Prometheus with delayed name removal on; the scripts of its own project
//! (`promqltest`) pin it. Native histograms are carried through selectors and set operators;
//! functions that can not use them yet leave them out and say so in an annotation.

pub mod ast;
mod eval;
mod functions;
mod labels;
mod lexer;
pub mod memory;
mod parser;
mod printer;
mod scalars;
pub mod script;
mod windows;

#[cfg(test)]
mod tests;

pub use ast::{AtModifier, Expr, ExprKind, Selector, ValueType, selectors};
pub use eval::{
    EvalOptions, Evaluation, MatrixSeries, SampleValue, Value, VectorSample, evaluate_instant,
    evaluate_range,
};
pub use parser::{QUERY_BYTES_MAX, parse};
