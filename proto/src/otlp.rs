//! Borrowed walkers over OTLP export requests: no allocation, no copy, fields in any order.
//!
//! Reading a message means one pass over its own fields: numbers, text and ids are decoded, nested
//! repeated messages are only located. They are read when the caller iterates them. Text is checked
//! to be UTF-8 before it is handed out. So a caller that walks everything finds every malformed
//! field, and one that looks up a series by its raw attribute bytes pays for no attribute decoding.
//!
//! prost is the oracle of the property tests. The walkers differ from it where a borrowed reader
//! must, or where prost is surprising:
//!
//! - a singular message field given twice is refused; protobuf would merge the two;
//! - so is a `oneof` that holds a message and is given again, as an array value and then a text;
//! - values may nest [`MAX_VALUE_DEPTH`] levels, where prost counts all messages to 100, and groups
//!   of unknown fields 32 levels;
//! - an empty value and a missing value are the same [`ValueRef::Empty`] in an attribute;
//! - a missing resource, scope or status reads as an empty one;
//! - `entity_refs` and the string table references of the profiles signal are not read.

mod logs;
mod metrics;
mod traces;
mod value;

pub use logs::{LogRecordRef, LogsRef, ResourceLogsRef, ScopeLogsRef};
pub use metrics::{
    BucketsRef, ExemplarRef, ExponentialPointRef, HistogramPointRef, MetricDataRef, MetricRef,
    MetricsRef, NumberPointRef, NumberValue, QuantileRef, ResourceMetricsRef, ScopeMetricsRef,
    SummaryPointRef,
};
pub use traces::{EventRef, LinkRef, ResourceSpansRef, ScopeSpansRef, SpanRef, TracesRef};
pub use value::{
    ArrayRef, Attributes, KeyValueRef, MAX_VALUE_DEPTH, MapRef, ResourceRef, ScopeRef, ValueRef,
};

#[cfg(test)]
mod tests;
