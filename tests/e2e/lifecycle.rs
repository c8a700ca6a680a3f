//! From start to stop: configuration or none, health, signals, two servers on one folder, and the
//! commands that end by themselves.

use std::net::TcpListener;
use std::path::Path;

use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::support::otlp::{self, LOGS};
use crate::support::{Binary, Server, eventually, now_ns};

/// Held by a test that may use the default ports, which this process has only once.
pub(crate) static DEFAULT_PORTS: Mutex<()> = Mutex::const_new(());

/// What a command that must fail says.
async fn fails(arguments: &[&str]) -> String {
    let (status, _, stderr) = Binary::run(arguments).await;
    assert_eq!(status.code(), Some(1), "{stderr}");
    stderr
}

fn as_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_configuration_the_server_listens_on_its_three_ports() {
    let _ports = DEFAULT_PORTS.lock().await;
    let is_taken = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_err();
    if let Some(port) = [4317, 4318, 4319].iter().find(|port| is_taken(port)) {
        println!("not run: port {port} is taken");
        return;
    }
    let mut server = Server::without_configuration().await;
    let ports = server.addresses;
    assert_eq!([ports.grpc, ports.http, ports.query].map(|at| at.port()), [4317, 4318, 4319]);
    assert!(ports.query.ip().is_loopback());
    let at = now_ns();
    server.send(LOGS, &otlp::logs("quiet", vec![otlp::record(at, "hello")])).await;
    assert_eq!(server.lines(r#"{service_name="quiet"}"#, at, at + 1).await.len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_health_endpoint_answers() {
    let server = Server::start().await;
    for path in [
        "/health/live",
        "/health/ready",
        "/health/startup",
        "/-/healthy",
        "/-/ready",
        "/ready",
        "/prometheus/-/healthy",
        "/alertmanager/-/ready",
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
}

/// Begins a request before the signal and ends it afterwards.
async fn stop_with_a_request_in_flight(signal: &str) {
    let mut server = Server::start().await;
    let at = now_ns();
    server.send(LOGS, &otlp::logs("patient", vec![otlp::record(at, "before")])).await;

    let body = otlp::logs("patient", vec![otlp::record(at + 1, "in flight")]).encode_to_vec();
    let (first, second) = body.split_at(body.len() / 2);
    let mut connection = TcpStream::connect(server.addresses.http).await.unwrap();
    let head = format!(
        "POST {LOGS} HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
         expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    // This answer says that the server works on the request: the connection is not idle.
    let mut go_on = [0; 25];
    connection.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    connection.write_all(first).await.unwrap();
    server.signal(signal);
    eventually("no new connection is taken", async || {
        TcpStream::connect(server.addresses.http).await.err()
    })
    .await;
    connection.write_all(second).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer:?}");
    let status = server.wait().await;
    assert_eq!(status.code(), Some(0), "{}", server.log());

    server.restart().await;
    let lines = server.lines(r#"{service_name="patient"}"#, at, at + 2).await;
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["before", "in flight"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_requests_finish_and_keeps_what_was_acknowledged() {
    stop_with_a_request_in_flight("TERM").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigint_lets_requests_finish_and_keeps_what_was_acknowledged() {
    stop_with_a_request_in_flight("INT").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_folder_is_refused() {
    let server = Server::start().await;
    let (config, data) = (server.config(), server.data());
    let message = fails(&["--config", as_text(&config), "--data", as_text(&data)]).await;
    assert!(message.contains(as_text(&data)), "names the folder: {message}");
    let says_why = ["in use", "another", "lock"].iter().any(|word| message.contains(word));
    assert!(says_why, "says why: {message}");
    // The first one is not disturbed.
    assert_eq!(server.get("/-/ready").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_config_accepts_the_example() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/signalbox.example.yml");
    let (status, stdout, stderr) = Binary::run(&["check", "config", example]).await;
    assert!(status.success(), "{stderr}");
    assert!(stdout.contains("OK"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_config_names_the_path_of_an_unknown_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.yml");
    std::fs::write(&file, "otlp:\n  cors:\n    allowed_origin: []\n").unwrap();
    let message = fails(&["check", "config", as_text(&file)]).await;
    assert!(message.contains("wrong.yml"), "names the file: {message}");
    assert!(message.contains("otlp.cors"), "names the path: {message}");
    assert!(message.contains("allowed_origin"), "names the key: {message}");
    assert!(message.contains("allowed_origins"), "says what is accepted: {message}");
    // The server itself refuses the same file in the same words.
    let message = fails(&["--config", as_text(&file), "--data", as_text(folder.path())]).await;
    assert!(message.contains("otlp.cors"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_config_refuses_values_that_are_no_size_or_address() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.yml");
    for (text, wanted) in [
        ("otlp: {request_bytes_max: many}", "otlp.request_bytes_max"),
        ("listen: {grpc: nowhere}", "listen.grpc"),
        ("query: {concurrent_max: 0}", "query.concurrent_max"),
        ("alertmanager: {config_file: absent.yml}", "absent.yml"),
        ("rules: {files: [absent.yml]}", "absent.yml"),
    ] {
        std::fs::write(&file, text).unwrap();
        let message = fails(&["check", "config", as_text(&file)]).await;
        assert!(message.contains(wanted), "{text}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_rules_warns_of_a_page_without_runbook_or_severity() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yml");
    let rules = "groups:\n- name: g\n  rules:\n  - {alert: LonelyPage, expr: up == 0}\n";
    std::fs::write(&file, rules).unwrap();
    let (status, stdout, stderr) = Binary::run(&["check", "rules", as_text(&file)]).await;
    assert!(status.success(), "{stdout}");
    let warnings: Vec<&str> = stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert!(!warnings.is_empty(), "{stderr}");
    assert!(warnings.iter().all(|warning| warning.contains("LonelyPage")), "{stderr}");
    for missing in ["runbook_url", "severity"] {
        assert!(warnings.iter().any(|warning| warning.contains(missing)), "{missing}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_rules_refuses_an_expression_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yml");
    let rules = "groups:\n- name: g\n  rules:\n  - {alert: Broken, expr: 'sum by ('}\n";
    std::fs::write(&file, rules).unwrap();
    let message = fails(&["check", "rules", as_text(&file)]).await;
    assert!(message.contains("rules.yml") && message.contains("Broken"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn help_names_the_commands_and_flags() {
    let (status, stdout, stderr) = Binary::run(&["--help"]).await;
    assert!(status.success(), "{stderr}");
    for word in ["serve", "demo", "query", "check", "test", "--config", "--data"] {
        assert!(stdout.contains(word), "{word}: {stdout}");
    }
}
