//! OTLP: two framings, one receiver, three mappings.

mod fields;
pub(crate) mod grpc;
pub(crate) mod http;
mod logs;
mod metrics;
mod naming;
pub(crate) mod receiver;
mod series;
mod traces;

#[cfg(test)]
mod tests;
