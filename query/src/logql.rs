//! LogQL: lines of streams, and numbers counted from them.
//!
//! A log query visits rows in the order of the answer and stops at its limit. A metric query counts
//! in the store where the store can answer from figures that it keeps (`plan.rs`); else it visits
//! rows, and each one adds to all windows that it falls into at once.
//!
//! Behaviour is that of Loki 3.8 down to the words of `__error_details__`, as far as users can see
//! it; where its parsers take shortcuts that change answers (`needs.rs`), so do ours.

pub mod ast;
mod eval;
mod ip;
mod json;
mod labels;
mod lexer;
mod logfmt;
pub mod memory;
mod needs;
mod parser;
mod parsers;
mod pattern;
mod pipeline;
mod plan;
mod printer;
mod request;
pub mod script;
mod selection;

mod windows;

#[cfg(test)]
mod tests;

pub use ast::{Expr, LogExpr, MetricExpr};
pub use eval::{
    Evaluation, InstantOptions, LogEntry, LogResult, LogStats, LogStream, LogVisit, StreamGroups,
    Value, VisitLine, evaluate_instant, evaluate_log, evaluate_range, visit_log,
};
pub use parser::parse;
pub use selection::selection;
