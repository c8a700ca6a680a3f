//! Good and bad configurations.

use super::*;

fn parse(text: &str) -> anyhow::Result<Config> {
    Config::parse(text, Path::new(""))
}

fn check_error(text: &str, expected: &[&str]) {
    let error = format!("{:#}", parse(text).err().expect("the configuration is bad"));
    for part in expected {
        assert!(error.contains(part), "{error:?} should contain {part:?}");
    }
}

#[test]
fn nothing_at_all_is_a_configuration() {
    for text in ["", "# only a comment\n\n"] {
        let config = parse(text).unwrap();
        assert_eq!(config.listen_grpc.to_string(), "127.0.0.1:4317");
        assert_eq!(config.external_url, None);
        assert_eq!(config.data_dir, Path::new("./data"));
        assert_eq!(config.otlp, collector::Limits::default());
        assert_eq!(config.translation, collector::Translation::default());
        assert_eq!(config.connections, ConnectionOptions::default());
        assert_eq!(config.query, QueryLimits::default());
    }
}

#[test]
fn keys_override_their_defaults() {
    let config = parse(
        "listen: {query: 0.0.0.0:80}\notlp:\n  request_bytes_max: 1MiB\nstores:\n  logs: \
         {retention: 7d}\nquery: {timeout: 500ms}\nrules: {external_labels: {site: a}}\n",
    )
    .unwrap();
    assert_eq!(config.listen_query.to_string(), "0.0.0.0:80");
    assert_eq!(config.otlp.request_bytes_max, 1 << 20);
    assert_eq!(config.logs.retention_ms, 7 * 86_400_000);
    assert_eq!(config.query.timeout, Duration::from_millis(500));
    assert_eq!(config.external_labels.get("site"), Some("a"));
}

#[test]
fn unknown_keys_are_refused_with_their_path_and_what_is_accepted() {
    check_error("lisen: {}", &["lisen", "listen"]);
    check_error("stores:\n  logs:\n    retenton: 7d\n", &["stores.logs", "retenton", "retention"]);
    check_error("otlp: {cors: {origins: []}}", &["otlp.cors", "origins", "allowed_origins"]);
}

#[test]
fn bad_values_are_refused_with_their_path() {
    check_error("query: {timeout: soon}", &["query.timeout", "soon", "15s"]);
    check_error("otlp: {request_bytes_max: big}", &["otlp.request_bytes_max", "big", "64MiB"]);
    check_error("listen: {grpc: here}", &["listen.grpc", "here"]);
    check_error("query: {concurrent_max: 0}", &["query.concurrent_max"]);
    check_error("query: [1]", &["query"]);
    check_error("log: {level: loud}", &["log.level", "loud", "warn"]);
    check_error("connections: {connections_max: 0}", &["connections.connections_max"]);
    check_error("red: {flush_interval: 0s}", &["red.flush_interval"]);
    check_error("external_url: not a url", &["external_url", "http://"]);
    check_error("stores: {logs: {memory_bytes_max: 1}}", &["stores.logs.memory_bytes_max"]);
    check_error("listen: {grpc: '127.0.0.1:1', http: '127.0.0.1:1'}", &["listen", "twice"]);
    check_error("otlp: {translation_strategy: x}", &["otlp.translation_strategy", "NoTranslation"]);
    check_error("otlp: {delta_temporality: x}", &["otlp.delta_temporality", "cumulative"]);
    check_error("otlp: {ignore_resource_attributes: [a]}", &["otlp.ignore_resource_attributes"]);
    check_error(
        "otlp: {promote_all_resource_attributes: true, promote_resource_attributes: [a]}",
        &["otlp.promote_resource_attributes", "one of both"],
    );
    check_error("remote_write: {request_bytes_max: 0}", &["remote_write.request_bytes_max"]);
    check_error("a: b: c", &["line 1"]);
    check_error("alertmanager: {config_file: /nowhere}", &["alertmanager.config_file", "/nowhere"]);
}

#[test]
fn the_example_names_every_key_with_its_default() {
    let example = include_str!("../../signalbox.example.yml");
    let uncommented: String = example
        .lines()
        .map(|line| line.strip_prefix("# ").map_or(line, |key| key))
        .filter(|line| !line.starts_with("#") && !line.starts_with(char::is_uppercase))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(parse(example).is_ok());
    let raw = format!("{:?}", parse_raw(&uncommented).unwrap());
    assert_eq!(raw, format!("{:?}", raw::RawConfig::default()));
    let keys = include_str!("raw.rs").lines().filter_map(|line| {
        let (key, rest) = line.strip_prefix("        ")?.split_once(':')?;
        rest.contains(" = ").then(|| key.trim().to_owned())
    });
    for key in keys {
        assert!(uncommented.contains(&format!("{key}:")), "the example lacks {key}");
    }
}
