//! TraceQL: from a text to spansets of traces, or to series.
//!
//! Behaviour is that of Tempo 3 as its public documentation tells it; the cases of
//! `conformance/traceql` pin it. Three deliberate differences: structural operators follow parent
//! ids, so they also work below a root that has not arrived; every answer is exact, so the sampling
//! hints are accepted and have no effect; a bad expression is refused as a whole at its position.
//!
//! ```text
//!  text --lexer, parser--> Query (checked as it is built)
//!       --hints----------> SpanSource::scan visits whole traces
//!       --eval-----------> per trace: spansets through the pipeline
//!       --search / metrics / tags--> what the API shapes
//! ```

pub mod ast;
mod error;
mod eval;
mod hints;
mod lexer;
mod metrics;
mod parser;
mod search;
mod tags;
mod value;
mod view;

#[cfg(test)]
mod tests;

pub use ast::{Field, Intrinsic, Query};
pub use error::{Error, Result};
pub use metrics::{MetricsRange, Sample, Series, query_instant, query_range};
pub use parser::{QUERY_BYTES_MAX, parse, parse_field, parse_lenient};
pub use search::{
    ROOT_MISSING, SearchResult, ServiceStats, SpanMatch, SpanSetMatch, TraceMatch, search,
};
pub use tags::{TagValue, tag_values};
