//! From what discovery tells to what is scraped.

use std::time::Duration;

use super::job;
use crate::scrape::config::Job;
use crate::scrape::relabel::{Action, Relabel, RelabelSettings};
use crate::scrape::target::{Target, discovered, format_duration, to_target};

fn target(job: &Job, address: &str, labels: &[(&str, &str)]) -> Result<Option<Target>, String> {
    to_target(job, discovered(job, address, labels.iter().copied()))
}

fn set(target_label: &str, replacement: &str) -> Relabel {
    let settings = RelabelSettings {
        target_label: Some(target_label.to_owned()),
        replacement: Some(replacement.to_owned()),
        ..Default::default()
    };
    Relabel::new(settings).unwrap()
}

#[test]
fn a_target_has_its_labels_and_its_url() {
    let mut job = job();
    job.params.insert("a b".to_owned(), vec!["1".to_owned(), "2".to_owned()]);
    let found = target(&job, "h:1", &[("env", "x"), ("__meta_m", "y")]).unwrap().unwrap();
    assert_eq!(found.labels.to_string(), r#"{env="x", instance="h:1", job="j"}"#);
    assert_eq!(found.url.as_str(), "http://h:1/metrics?a+b=1&a+b=2");
    assert_eq!(found.discovered.get("__meta_m"), Some("y"));
    assert_eq!(found.identity.get("__meta_m"), None);
    assert_eq!(found.discovered.get("__scrape_interval__"), Some("1m"));
}

#[test]
fn relabelling_reaches_every_part_of_a_target() {
    let mut job = job();
    job.params.insert("p".to_owned(), vec!["1".to_owned()]);
    job.relabel = vec![
        set("__address__", "other:2"),
        set("__scheme__", "https"),
        set("__metrics_path__", "m/x"),
        set("__param_p", "3"),
        set("__param_q", "4"),
        set("__scrape_interval__", "1m30s"),
        set("__scrape_timeout__", "500ms"),
        set("job", "k"),
    ];
    let found = target(&job, "h:1", &[]).unwrap().unwrap();
    assert_eq!(found.url.as_str(), "https://other:2/m/x?p=3&q=4");
    assert_eq!(found.labels.to_string(), r#"{instance="other:2", job="k"}"#);
    assert_eq!(found.interval, Duration::from_secs(90));
    assert_eq!(found.timeout, Duration::from_millis(500));
}

#[test]
fn targets_are_dropped_or_refused() {
    let mut job = job();
    job.relabel = vec![set("__scrape_timeout__", "2m")];
    assert!(target(&job, "h:1", &[]).unwrap_err().contains("over the interval"));
    job.relabel = vec![set("__scrape_interval__", "soon")];
    assert!(target(&job, "h:1", &[]).unwrap_err().contains("__scrape_interval__"));
    job.relabel = vec![set("__address__", "")];
    assert_eq!(target(&job, "h:1", &[]).unwrap_err(), "no address");
    job.relabel.clear();
    assert!(target(&job, "http://h:1", &[]).unwrap_err().contains("not a valid hostname"));
    // An address without a port stays as it is.
    let found = target(&job, "h", &[]).unwrap().unwrap();
    assert_eq!(found.labels.get("instance"), Some("h"));
    let keep = RelabelSettings {
        source_labels: Some(vec!["no".to_owned()]),
        regex: Some("yes".to_owned()),
        action: Action::Keep,
        ..Default::default()
    };
    job.relabel = vec![Relabel::new(keep).unwrap()];
    assert!(target(&job, "h:1", &[]).unwrap().is_none());
}

#[test]
fn durations_are_written_as_prometheus_writes_them() {
    for (ms, expected) in
        [(0, "0s"), (500, "500ms"), (90_000, "1m30s"), (86_400_000, "1d"), (90_000_000, "25h")]
    {
        assert_eq!(format_duration(Duration::from_millis(ms)), expected);
    }
}
