//! Configurations, ours and upstream's.

use std::path::PathBuf;

use super::*;

const FULL: &str = "
global: {resolve_timeout: 10m}
route:
  receiver: ops
  group_by: ['...']
  group_wait: 10s
  group_interval: 1m
  repeat_interval: 1h
  routes: []
receivers:
  - name: ops
    webhook_configs:
      - url: https://example.org/hook?token=t0ken
        send_resolved: false
        max_alerts: 3
        timeout: 5s
        http_config: {basic_auth: {username: u, password: pa55}}
      - url: http://example.org/other
        http_config: {authorization: {credentials: 12345}, follow_redirects: false}
  - name: other
";

#[track_caller]
fn check_fails(text: &str, expected: &str) {
    let error = Config::parse(text).expect_err(text).to_string();
    assert!(error.contains(expected), "{error}");
}

fn with(route: &str, receiver: &str) -> String {
    format!("route: {{receiver: a, {route}}}\nreceivers: [{{name: a, {receiver}}}]\n")
}

#[test]
fn everything_that_is_supported_is_read() {
    let config = Config::parse(FULL).unwrap();
    assert_eq!(config.resolve_timeout_ms, 600_000);
    assert_eq!(config.route.group_by, GroupBy::All);
    assert_eq!(config.route.group_wait_ms, 10_000);
    let hook = &config.receivers[0].webhooks[0];
    assert_eq!((hook.max_alerts, hook.timeout_ms, hook.send_resolved), (3, 5_000, false));
    assert!(matches!(&hook.auth, Some(Auth::Basic { username, .. }) if username == "u"));
    let other = &config.receivers[0].webhooks[1];
    assert!(other.send_resolved && !other.follow_redirects);
    assert!(matches!(&other.auth, Some(Auth::Header { scheme, credentials })
        if scheme == "Bearer" && credentials.expose() == "12345"));
    assert_eq!(config.integrations().len(), 2);
}

#[test]
fn secrets_are_not_shown() {
    let config = Config::parse(FULL).unwrap();
    let shown = config.redacted() + &format!("{:?}", config.receivers);
    assert!(!shown.contains("t0ken") && !shown.contains("pa55") && !shown.contains("12345"));
    assert!(shown.contains("url: <secret>"));
}

#[test]
fn the_default_is_what_its_text_says() {
    let (default, read) = (Config::default(), Config::parse(DEFAULT).unwrap());
    assert_eq!(default.route, read.route);
    assert_eq!(default.original, read.original);
    assert_eq!(default.resolve_timeout_ms, read.resolve_timeout_ms);
    assert!(read.integrations().is_empty());
}

#[test]
fn what_is_not_supported_yet_is_refused_by_name() {
    for (text, path) in [
        (with("routes: [{receiver: a}]", ""), "route.routes"),
        (with("mute_time_intervals: [x]", ""), "route.mute_time_intervals"),
        (with("", "slack_configs: [{channel: x}]"), "receivers[0].slack_configs"),
        (
            with("", "webhook_configs: [{url: 'http://a/', http_config: {proxy_url: x}}]"),
            "receivers[0].webhook_configs[0].http_config.proxy_url",
        ),
        (
            with("", "webhook_configs: [{url: 'http://a/', payload: {a: b}}]"),
            "webhook_configs[0].payload",
        ),
        (format!("{}inhibit_rules: [{{equal: [a]}}]", with("", "")), "inhibit_rules"),
        (format!("{}global: {{slack_api_url: x}}", with("", "")), "global.slack_api_url"),
    ] {
        check_fails(&text, &format!("{path}: not supported yet"));
    }
}

#[test]
fn what_is_wrong_is_refused_with_its_path() {
    for (text, expected) in [
        (with("nonsense: 1", ""), "route.nonsense: unknown key, expected one of receiver"),
        (with("", "webhooks: []"), "receivers[0].webhooks: unknown key"),
        (with("group_by: [a, a]", ""), "route.group_by[1]: duplicated label \"a\""),
        (with("group_by: [a, '...']", ""), "route.group_by: cannot have wildcard"),
        (with("group_interval: 0s", ""), "route.group_interval: cannot be zero"),
        (with("group_wait: soon", ""), "route.group_wait: not a valid duration"),
        (with("matchers: [a=b]", ""), "route.matchers: must not be set on the root route"),
        (
            with("", "webhook_configs: [{send_resolved: true}]"),
            "webhook_configs[0].url: is required",
        ),
        (with("", "webhook_configs: [{url: 'ftp://a/'}]"), "unsupported scheme \"ftp\""),
        (with("", "webhook_configs: [{url: 'a b'}]"), "webhook_configs[0].url: not a URL"),
        (
            "route: {receiver: b}\nreceivers: [{name: a}]".to_owned(),
            "route.receiver: undefined receiver \"b\"",
        ),
        ("receivers: []".to_owned(), "route: is required"),
        ("- a".to_owned(), "(top): expected keys and values"),
        ("a: [".to_owned(), "parse alertmanager configuration"),
        (
            "route: {receiver: a}\nreceivers: [{name: a}, {name: a}]".to_owned(),
            "receivers[1]: receiver name",
        ),
    ] {
        check_fails(&text, expected);
    }
}

#[test]
fn bad_files_of_alertmanager_are_refused_and_good_ones_only_for_what_is_not_supported() {
    let shared = std::env::var_os("SIGNALBOX_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let folder = shared.join("conformance/alerting/alertmanager-config");
    let Ok(verdicts) = std::fs::read_to_string(folder.join("VERDICTS.tsv")) else {
        println!("NOT RUN: {} is absent", folder.display());
        return;
    };
    for line in verdicts.lines().skip(1) {
        let mut columns = line.split('\t');
        let (name, verdict) = (columns.next().unwrap(), columns.next().unwrap());
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        match (verdict, Config::parse(&text)) {
            ("bad", Ok(_)) => panic!("{name} is bad but was taken"),
            ("good", Err(error)) if !matches!(error, Error::NotSupported { .. }) => {
                panic!("{name} is good but was refused: {error}")
            }
            _ => {}
        }
    }
}
