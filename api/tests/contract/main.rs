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
mod loki_drilldown;
mod loki_more;
mod management;
mod native_logs;
mod native_patterns;
mod never_fails;
mod operator;
mod prometheus;
mod prometheus_search;
mod prometheus_status;
mod reader;
mod tail;
