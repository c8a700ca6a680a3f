//! The texts in which Prometheus targets show their metrics: the text format 0.0.4 and OpenMetrics
//! 1.0, both with the quoted UTF-8 names of Prometheus 3.
//!
//! [`Reader`] walks borrowed text and allocates nothing for a sample: it answers the bytes that
//! name the series, a number and a time. Who knows those bytes from before needs no labels; who
//! does not asks [`read_series`]. It is strict: what Prometheus refuses is refused, with line and
//! column, and a raw line break in a quoted string or labels without a comma between them too,
//! although Prometheus takes these in the text format.
//!
//! A reader keeps its place between calls, so that a file of any size can be read piece by piece.

mod error;
pub(crate) mod number;
mod reader;
mod series;

pub(crate) use error::Error;
pub use reader::Format;
pub(crate) use reader::{ExemplarText, Item, Reader, Sample};
pub(crate) use series::{base_of, read_labels, read_series};

#[cfg(test)]
mod tests;
