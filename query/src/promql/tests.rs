//! Tests of PromQL: the scripts of Prometheus's own project, errors with their positions, and
//! properties.

mod conformance;
mod deltas;
mod evaluation;
mod generate;
mod histograms;
mod language;
mod parsing;
mod printing;
mod rollups;
