//! The remote-write door against a sink in memory. The behaviours are those that
//! prometheus/compliance `remotewrite/receiver` asks for, and those of our own that it does not.

mod headers;
mod histograms;
mod requests;
mod writes;
