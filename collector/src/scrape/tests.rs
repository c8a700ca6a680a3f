//! Scraping as a whole; [`ingest`](mod@ingest) is texts to samples, [`pool`](mod@pool) is targets
//! that are asked.

mod ingest;
mod pool;
mod targets;

use std::collections::BTreeMap;
use std::time::Duration;

use super::config::{Job, TargetGroup, Tls};

/// A job with Prometheus's defaults.
pub(super) fn job() -> Job {
    Job {
        name: "j".to_owned(),
        interval: Duration::from_secs(60),
        timeout: Duration::from_secs(10),
        metrics_path: "/metrics".to_owned(),
        scheme: "http".to_owned(),
        params: BTreeMap::new(),
        honor_labels: false,
        honor_timestamps: true,
        follow_redirects: true,
        auth: None,
        tls: Tls::default(),
        static_groups: vec![TargetGroup { targets: vec!["h:1".to_owned()], ..Default::default() }],
        file_discovery: Vec::new(),
        relabel: Vec::new(),
        metric_relabel: Vec::new(),
        sample_limit: 0,
        label_limit: 0,
        label_name_length_limit: 0,
        label_value_length_limit: 0,
        body_bytes_max: 1 << 20,
        targets_max: 100,
        fallback: None,
    }
}
