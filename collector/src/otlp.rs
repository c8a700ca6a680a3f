//! OTLP: two framings, one receiver, three mappings.

mod delta;
pub(crate) mod fields;
pub(crate) mod grpc;
pub(crate) mod http;
mod logs;
pub(crate) mod metrics;
mod naming;
pub(crate) mod receiver;
mod series;
mod traces;
pub(crate) mod translation;

#[cfg(test)]
pub(crate) mod tests;
