//! The OpenTelemetry SDK of Python, in a virtual environment below `target/tmp` that the first run
//! makes and later runs use again. `send.py` is the program.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tokio::sync::OnceCell;

use super::{Sent, all_arrived, run};
use crate::support::{Server, now_ns};

const COUNT: usize = 300;

const PACKAGES: [&str; 3] = [
    "opentelemetry-sdk~=1.40",
    "opentelemetry-exporter-otlp-proto-grpc~=1.40",
    "opentelemetry-exporter-otlp-proto-http~=1.40",
];

/// The interpreter, or why there is none.
async fn python() -> &'static Result<PathBuf, String> {
    static PYTHON: OnceCell<Result<PathBuf, String>> = OnceCell::const_new();
    PYTHON.get_or_init(make_environment).await
}

async fn make_environment() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let python = folder.join("bin/python3");
    let mut has_sdk = Command::new(&python);
    has_sdk.args([
        "-c",
        "import opentelemetry.exporter.otlp.proto.grpc.trace_exporter, \
                         opentelemetry.exporter.otlp.proto.http.trace_exporter, \
                         opentelemetry.sdk",
    ]);
    if run(has_sdk).await.is_some_and(|output| output.status.success()) {
        return Ok(python);
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&folder);
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    install.args(["--timeout", "10", "--retries", "1"]).args(PACKAGES);
    for (what, command) in [("python3 -m venv", make), ("pip install", install)] {
        let output = run(command).await.ok_or(format!("{what}: not found"))?;
        if !output.status.success() {
            return Err(format!("{what}: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    Ok(python)
}

async fn sends_by(protocol: &str, compression: &str, transport: &'static str) {
    let python = match python().await {
        Ok(python) => python,
        Err(error) => return println!("not run: no Python SDK: {error}"),
    };
    let server = Server::start().await;
    let address = match transport {
        "grpc" => server.addresses.grpc,
        _ => server.addresses.http,
    };
    let (service, from_ns) = (format!("python-{transport}"), now_ns());
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/senders/send.py"));
    command.args([protocol, compression, &format!("http://{address}"), &service]);
    command.arg(COUNT.to_string()).env("NO_PROXY", "*").env("no_proxy", "*");
    let output = run(command).await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    println!("{errors}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let trace_id = u128::from_str_radix(told["trace_id"].as_str().unwrap(), 16).unwrap();
    all_arrived(&server, &Sent { service, trace_id, count: COUNT, from_ns, transport }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_over_grpc_counts_in_equal_counts_out() {
    sends_by("grpc", "none", "grpc").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_over_http_with_gzip_counts_in_equal_counts_out() {
    sends_by("http", "gzip", "http").await;
}
