//! The contract with real clients: the requests that Grafana, promtool, logcli and amtool send, and
//! the exact bytes of the answers.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod alertmanager;
mod dashboards;
mod exchange;
mod fixture;
mod limits;
mod loki;
mod loki_delete;
mod management;
mod never_fails;
mod operator;
mod prometheus;
mod prometheus_search;
mod prometheus_status;
mod tail;
