//! Both edges against sinks in memory: what is acknowledged is what arrived, bad input is refused
//! with a reason and counted, nothing panics.

mod grpc;
mod http;
mod mapped;
mod mapping;
mod points;
mod resources;
pub(crate) mod sinks;
