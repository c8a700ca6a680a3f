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
fn jobs_that_tail_files_have_names_paths_and_expressions() {
    let config = parse(
        "tail:\n- job: shop\n  files: ['/var/log/*.log']\n  format: cri\n  multiline: {start: '^x'}\n",
    )
    .unwrap();
    assert_eq!(config.tail[0].files, [Path::new("/var/log/*.log")]);
    assert!(config.tail[0].multiline.is_some());
    check_error("tail: [{files: [a]}]", &["tail[0]", "job"]);
    check_error("tail: [{job: a, files: ['a[']}]", &["tail[0]", "syntax error in pattern"]);
    check_error("tail: [{job: a}]", &["tail[0]", "files"]);
    check_error("tail: [{job: a, files: [b], format: xml}]", &["xml", "docker", "cri"]);
    check_error("tail: [{job: a, files: [b], multiline: {start: '('}}]", &["multiline.start"]);
    check_error("tail: [{job: a, files: [b]}, {job: a, files: [c]}]", &["tail[1].job", "twice"]);
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
    check_error("stores: {logs: {streams_max: 0}}", &["stores.logs.streams_max"]);
    check_error(
        "stores: {logs: {retention_rules: [{selector: '{a=\"1\"}', keep: 1h}, {selector: '1', \
         keep: 1h}]}}",
        &["stores.logs.retention_rules[1].selector", "not a selector"],
    );
    let rules = "{selector: '{a=\"1\"}', keep: 1h},".repeat(33);
    check_error(
        &format!("stores: {{logs: {{retention_rules: [{rules}]}}}}"),
        &["stores.logs.retention_rules", "33 rules are too many"],
    );
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

const JOBS: &str = r"
scrape:
  scrape_interval: 15s
  scrape_configs:
    - job_name: a
      metrics_path: /m
      params: {x: [y]}
      honor_timestamps: false
      sample_limit: 5
      fallback_scrape_protocol: OpenMetricsText1.0.0
      basic_auth: {username: u, password: very-hidden}
      static_configs: [{targets: ['h:1'], labels: {env: x}}]
      relabel_configs: [{source_labels: [a, b], target_label: c, action: Replace}]
    - job_name: b
      scrape_timeout: 5s
      authorization: {credentials: 'also-hidden'}
      file_sd_configs: [{files: ['t/*.json'], refresh_interval: 1m}]
      metric_relabel_configs: [{regex: 'x.*', action: labeldrop}]
";

#[test]
fn scrape_jobs_are_prometheus_ones() {
    let config = Config::parse(JOBS, Path::new("/etc")).unwrap();
    let [a, b] = &config.scrape[..] else { panic!("two jobs") };
    assert_eq!((a.interval.as_secs(), a.timeout.as_secs(), a.sample_limit), (15, 10, 5));
    assert_eq!(b.timeout.as_secs(), 5);
    assert_eq!(b.file_discovery[0].files, [Path::new("/etc/t/*.json")]);
    let shown = format!("{a:?} {b:?} {:?} {}", parse_raw(JOBS).unwrap(), config.text);
    assert!(!shown.contains("-hidden") && shown.contains("<secret>"), "{shown}");
    let text = "scrape: {scrape_interval: 5s, scrape_configs: [{job_name: a}]}";
    assert_eq!(parse(text).unwrap().scrape[0].timeout.as_secs(), 5);
}

#[test]
fn bad_scrape_jobs_are_refused_with_their_path() {
    let check = |job: &str, expected: &[&str]| {
        check_error(&format!("scrape: {{scrape_configs: [{job}]}}"), expected);
    };
    check("{job_name: ''}", &["scrape.scrape_configs[0].job_name"]);
    check("{job_name: a}, {job_name: a}", &["scrape.scrape_configs[1].job_name", "twice"]);
    check("{job_name: a, nothing: 1}", &["scrape.scrape_configs[0]", "nothing"]);
    check(
        "{job_name: a, kubernetes_sd_configs: [{role: pod}]}",
        &["scrape.scrape_configs[0].kubernetes_sd_configs", "file_sd_configs are accepted"],
    );
    check("{job_name: a, scrape_timeout: 2m}", &["scrape_configs[0].scrape_timeout", "120s"]);
    check("{job_name: a, scheme: ftp}", &["scrape_configs[0].scheme", "https"]);
    check("{job_name: a, body_size_limit: 0}", &["scrape_configs[0].body_size_limit"]);
    check(
        "{job_name: a, fallback_scrape_protocol: PrometheusProto}",
        &["scrape_configs[0].fallback_scrape_protocol", "OpenMetricsText1.0.0"],
    );
    check(
        "{job_name: a, relabel_configs: [{target_label: b, action: move}]}",
        &["scrape_configs[0].relabel_configs[0].action", "hashmod"],
    );
    check(
        "{job_name: a, metric_relabel_configs: [{target_label: b}, {action: hashmod}]}",
        &["scrape_configs[0].metric_relabel_configs[1]", "modulus"],
    );
    check("{job_name: a, file_sd_configs: [{files: [a.txt]}]}", &["file_sd_configs[0].files"]);
    check(
        "{job_name: a, static_configs: [{targets: ['http://a']}]}",
        &["static_configs[0].targets", "metrics_path"],
    );
    check("{job_name: a, authorization: {type: x}}", &["authorization", "credentials_file"]);
    check(
        "{job_name: a, basic_auth: {password: verysecret, password_file: x}}",
        &["basic_auth", "twice"],
    );
    let error = parse("scrape: {scrape_configs: [{basic_auth: {password: [verysecret]}}]}");
    let error = format!("{:#}", error.err().unwrap());
    assert!(!error.contains("verysecret"), "{error}");
}
