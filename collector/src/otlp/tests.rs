//! Both edges against sinks in memory: what is acknowledged is what arrived, bad input is refused
//! with a reason and counted, nothing panics.

mod grpc;
mod http;
mod mapping;
mod sinks;
