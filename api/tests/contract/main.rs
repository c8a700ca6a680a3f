//! The contract with real clients: the requests that Grafana, promtool, logcli and amtool send, and
//! the exact bytes of the answers.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod alertmanager;
mod dashboards;
mod fixture;
mod limits;
mod loki;
mod management;
mod never_fails;
mod prometheus;
mod tail;
