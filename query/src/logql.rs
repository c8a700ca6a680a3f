//! LogQL: lines of streams, and numbers counted from them.
//!
//! A log query visits rows in the order of the answer and stops at its limit. A metric query visits
//! rows in any order: each one adds to all windows that it falls into at once (a difference array a
//! series), so that a dense range query costs no more than its rows.
//!
//! What of the language is not built is refused by name and position, never misread.

pub mod ast;
mod eval;
mod lexer;
pub mod memory;
mod parser;
mod pipeline;
mod printer;

#[cfg(test)]
mod tests;

pub use ast::{Expr, LogExpr, MetricExpr};
pub use eval::{
    Evaluation, InstantOptions, LogEntry, LogResult, LogStats, LogStream, Value, evaluate_instant,
    evaluate_log, evaluate_range,
};
pub use parser::parse;
