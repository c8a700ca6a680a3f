//! The commands for people and scripts: asking a server, checking rules, running tests of rules and
//! of PromQL.
//!
//! Where Prometheus's promtool is found (in the path, or named by `PROMTOOL`), it is run on the
//! same files: verdicts and exit codes must be the same, and its words where both can know them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use super::support::otlp::{self, LOGS};
use super::support::{Binary, Server, now_ns};

/// Files of rules and of their tests.
fn file(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/commands");
    folder.join(name).to_str().unwrap().to_owned()
}

/// Exit code, standard output, standard error.
type Outcome = (i32, String, String);

fn outcome(output: Output) -> Outcome {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

async fn run(arguments: &[&str]) -> Outcome {
    let (status, stdout, stderr) = Binary::run(arguments).await;
    (status.code().unwrap(), stdout, stderr)
}

/// promtool with the same arguments; `None`, with a note, if there is none on this machine.
fn promtool(arguments: &[&str]) -> Option<Outcome> {
    let program = std::env::var_os("PROMTOOL").map_or(PathBuf::from("promtool"), PathBuf::from);
    let mut command = std::process::Command::new(program);
    match command.args(arguments).stdin(Stdio::null()).output() {
        Ok(output) => Some(outcome(output)),
        Err(_) => {
            println!("promtool was not found: {arguments:?} was not compared");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unit_tests_of_rules_have_the_verdicts_of_promtool() {
    for (name, code) in [
        ("good.yml", 0),
        ("fuzzy.yml", 0),
        ("no_rules.yml", 0),
        ("failing.yml", 1),
        ("broken_rule.yml", 1),
        ("misspelt.yml", 1),
        ("repeated_order.yml", 1),
        ("rules.yml", 1),
        ("no-such-file.yml", 1),
    ] {
        let name = file(name);
        let arguments = ["test", "rules", &name];
        let ours = run(&arguments).await;
        assert_eq!(ours.0, code, "{ours:?}");
        if let Some(theirs) = promtool(&arguments) {
            assert_eq!((ours.0, &ours.1), (theirs.0, &theirs.1), "{name}: {ours:?}, {theirs:?}");
        }
    }
    let (code, stdout, _) = run(&["test", "rules", &file("start_timestamp.yml")]).await;
    assert_eq!((code, stdout.as_str()), (0, "  SUCCESS\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_unit_tests_are_told_in_the_words_of_promtool() {
    let name = file("failing.yml");
    let (code, _, stderr) = run(&["test", "rules", &name]).await;
    assert_eq!(code, 1);
    let wanted = [
        "  FAILED:",
        "    name: alerts,",
        "    alertname: Absent, time: 5m, ",
        "        exp:[",
        "            0:",
        "              Labels:{alertname=\"Absent\", severity=\"page\"}",
        "              Annotations:{}",
        "            ], ",
        "        got:[]",
        "",
    ]
    .join("\n");
    assert!(stderr.starts_with(&wanted), "{stderr}");
    let wanted = "    expr: \"up + 0.2\", time: 0s,\n        exp: {instance=\"a\"} 3E-01\n        \
                  got: {instance=\"a\"} 3.0000000000000004E-01\n";
    assert!(stderr.contains(wanted), "{stderr}");
    if let Some((_, _, theirs)) = promtool(&["test", "rules", &name]) {
        assert_eq!(stderr, theirs);
    }
    let only = ["test", "rules", "--run", "^alerts$", "--diff", &name];
    let (code, _, stderr) = run(&only).await;
    assert_eq!(code, 1);
    assert!(stderr.contains("- ") && stderr.contains("alertname: \"Absent\""), "{stderr}");
    assert!(!stderr.contains("NoSuchAlert"), "{stderr}");
    let none = ["test", "rules", "--run", "nothing", &name];
    assert_eq!(run(&none).await, (0, "  SUCCESS\n\n".to_owned(), String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn unit_tests_are_reported_as_junit_xml() {
    let folder = tempfile::tempdir().unwrap();
    let document = async |name: &str, is_ours: bool| -> Option<String> {
        let path = folder.path().join(name);
        let path = path.to_str().unwrap();
        let (good, failing) = (file("good.yml"), file("failing.yml"));
        let arguments = ["test", "rules", "--junit", path, &good, &failing];
        let (code, ..) = if is_ours { run(&arguments).await } else { promtool(&arguments)? };
        assert_eq!(code, 1);
        // Times of day differ.
        let xml = std::fs::read_to_string(path).unwrap();
        let parts = xml.split(" timestamp=\"").map(|part| {
            part.split_once("\">").filter(|(time, _)| time.len() == 19).map_or(part, |(_, r)| r)
        });
        Some(parts.collect::<Vec<_>>().join("").trim_end().to_owned())
    };
    let ours = document("ours.xml", true).await.unwrap();
    assert!(ours.contains("tests=\"3\" failures=\"0\" errors=\"0\" skipped=\"0\""), "{ours}");
    assert!(ours.contains("<testcase name=\"alerts\"><failure>    name: alerts,&#xA;"), "{ours}");
    if let Some(theirs) = document("theirs.xml", false).await {
        assert_eq!(ours, theirs);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_files_are_checked_with_the_exit_codes_of_promtool() {
    for (flags, name, code) in [
        (&[][..], "rules.yml", 0),
        (&[], "many_to_many.yml", 0),
        (&[], "duplicates.yml", 0),
        (&["--lint-fatal"], "duplicates.yml", 3),
        (&["--lint-fatal", "--lint=all"], "duplicates.yml", 3),
        (&["--lint-fatal", "--lint=none"], "duplicates.yml", 0),
        (&["--lint-fatal", "--lint=unheard-of"], "duplicates.yml", 0),
        (&[], "unknown_keys.yml", 1),
        (&["--ignore-unknown-fields"], "unknown_keys.yml", 0),
        (&[], "good.yml", 1),
        (&[], "no-such-file.yml", 1),
    ] {
        let name = file(name);
        let arguments = [&["check", "rules"], flags, &[&name]].concat();
        let ours = run(&arguments).await;
        assert_eq!(ours.0, code, "{ours:?}");
        if let Some(theirs) = promtool(&arguments) {
            assert_eq!((ours.0, &ours.1), (theirs.0, &theirs.1), "{arguments:?}: {ours:?}");
        }
    }
    let (_, stdout, _) = run(&["check", "rules", &file("rules.yml")]).await;
    assert_eq!(stdout, format!("Checking {}\n  SUCCESS: 5 rules found\n\n", file("rules.yml")));
    // An error wins over a lint, and one file does not hide the others.
    let all = ["unknown_keys.yml", "duplicates.yml", "rules.yml"].map(file);
    let arguments = ["check", "rules", "--lint-fatal", &all[0], &all[1], &all[2]];
    let (code, stdout, stderr) = run(&arguments).await;
    assert_eq!(code, 1);
    assert!(stdout.ends_with("  SUCCESS: 5 rules found\n\n"), "{stdout}");
    assert!(stderr.contains("unknown_keys.yml:3:5: unknown field `owner`"), "{stderr}");
    let lint = "lint error 2 duplicate rule(s) found.\nMetric: Same\nLabel(s):\nMetric: twice\n\
                Label(s):\n\ta: b\n\tc: d\nMight cause inconsistency while recording expressions\n";
    assert!(stderr.contains(lint), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_checked_from_standard_input() {
    let check = async |name: &str| {
        let mut command = Binary::command();
        let input = std::fs::File::open(file(name)).unwrap();
        command.args(["check", "rules"]).stdin(input);
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        outcome(output.unwrap().unwrap())
    };
    let (code, stdout, _) = check("rules.yml").await;
    let wanted = "Checking standard input\n  SUCCESS: 5 rules found\n\n";
    assert_eq!((code, stdout.as_str()), (0, wanted));
    let (code, _, stderr) = check("unknown_keys.yml").await;
    assert_eq!(code, 1);
    assert!(stderr.contains("standard input:3:5: unknown field `owner`"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_of_promql_end_with_their_counts() {
    let folder = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = script("good.test", "load 1m\n  x 1 2\n\neval instant at 1m x\n  x 2\n");
    // Stores are not shared: there is no x here.
    let bad =
        script("bad.test", "eval instant at 1m x\n  x 2\n\nnonsense\n\neval instant at 0 1\n  1\n");
    let (code, stdout, stderr) = run(&["test", "promql", &good]).await;
    assert_eq!((code, stdout.lines().last()), (0, Some("1 passed, 0 failed, 0 skipped")));
    assert_eq!(stderr, "");
    let missing = folder.path().join("missing.test").to_str().unwrap().to_owned();
    let (code, stdout, stderr) = run(&["test", "promql", &good, &bad, &missing]).await;
    assert_eq!(code, 1);
    let wanted = [
        format!("{good}: 1 passed, 0 failed, 0 skipped"),
        format!("{bad}: 1 passed, 2 failed, 0 skipped"),
        format!("{missing}: 0 passed, 1 failed, 0 skipped"),
        "2 passed, 3 failed, 0 skipped".to_owned(),
    ];
    assert_eq!(stdout.lines().collect::<Vec<_>>(), wanted);
    for start in [format!("{bad}:1: "), format!("{bad}:4: "), format!("{missing}: can not be read")]
    {
        assert!(stderr.lines().any(|line| line.starts_with(&start)), "{start}: {stderr}");
    }
    let (code, ..) = run(&["test", "promql"]).await;
    assert_eq!(code, 2);
}

/// A server with a minute of three series, and the time of their last samples.
async fn filled_server() -> (Server, i64) {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let now = server.get("/api/v1/query?query=time()").await.json();
    let now = now["data"]["result"][1].as_str().unwrap().parse::<f64>().unwrap() as i64;
    let end = now - 60;
    let mut text = String::from("# TYPE queue_length gauge\n");
    for (pod, factor) in [("a", 1.0), ("b", 0.25), ("c", 0.0)] {
        for i in 0..=60 {
            let (value, at) = (i as f64 * factor, end - 60 + i);
            text.push_str(&format!("queue_length{{job=\"shop\",pod=\"{pod}\"}} {value} {at}\n"));
        }
    }
    text.push_str("# EOF\n");
    let path = folder.path().join("metrics.om");
    std::fs::write(&path, text).unwrap();
    let url = format!("http://{}", server.addresses.query);
    let (code, stdout, stderr) = run(&["import", "--url", &url, path.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{stdout} {stderr}");
    (server, end)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_shown_to_a_person_and_handed_to_a_script() {
    let (server, end) = filled_server().await;
    let address = server.addresses.query.to_string();
    let end = end.to_string();
    let ask = async |query: &str, more: &[&str]| {
        run(&[&["query", "promql", query, "--server", &address], more].concat()).await
    };

    let (code, stdout, stderr) = ask("queue_length", &["--time", &end]).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[0], "queue_length{job=\"shop\"}");
    assert!(lines[1].starts_with("3 series at ") && lines[1].ends_with(" UTC"), "{stdout}");
    assert_eq!(lines[2..], ["", "pod  value", "a       60", "b       15", "c        0"]);

    let range = ["--since", "1m", "--end", &end, "--ascii"];
    let (code, stdout, _) = ask("queue_length", &range).await;
    assert_eq!(code, 0);
    assert!(stdout.is_ascii(), "{stdout}");
    assert!(stdout.contains("{pod=\"a\"}\n60 +") && stdout.contains("every 1s\n"), "{stdout}");
    let rows: Vec<String> =
        stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for row in ["pod min avg max last", "a 0 30 60 60", "b 0 7.5 15 15", "c 0 0 0 0"] {
        assert!(rows.iter().any(|found| found == row), "{row}: {stdout}");
    }

    let (code, stdout, _) = ask("queue_length > 1", &["--time", &end, "--json"]).await;
    assert_eq!((code, stdout.lines().count()), (0, 1));
    let data: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(data["resultType"], "vector");
    assert_eq!(data["result"][1]["value"][1], "15");

    let (code, stdout, stderr) = ask("rate(queue_length[1m])", &["--time", &end]).await;
    assert_eq!(code, 0);
    assert!(!stdout.contains("PromQL") && stderr.contains("might not be a counter"), "{stderr}");
    let (code, stdout, _) = ask("nothing", &[]).await;
    assert!(code == 0 && stdout.starts_with("no series at "), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_fails_says_where_and_how_it_failed() {
    let server = Server::start().await;
    let address = server.addresses.query.to_string();
    let ask = async |more: &[&str]| {
        run(&[&["query", "promql", "--server", &address], more].concat()).await
    };
    let (code, stdout, stderr) = ask(&["up +\n  up down"]).await;
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("2:6: parse error"), "{stderr}");
    assert!(stderr.ends_with("\n\n    up down\n       ^\n"), "{stderr}");
    let (code, _, stderr) = ask(&["up", "--json", "--time", "soon"]).await;
    assert!(code == 2 && stderr.contains("--time \"soon\" is no time"), "{stderr}");
    let (code, _, stderr) = ask(&["up", "--time", "1", "--since", "1h"]).await;
    assert!(code == 2 && stderr.contains("--since"), "{stderr}");
    let (code, _, stderr) = ask(&["up", "--start", "now", "--end", "-1h"]).await;
    assert!(code == 2 && stderr.contains("is before the start"), "{stderr}");
    let refused = ["query", "promql", "up", "--server", "127.0.0.1:1"];
    let (code, _, stderr) = run(&refused).await;
    assert!(code == 1 && stderr.contains("no answer from 127.0.0.1:1"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_of_logql_run_over_head_and_sealed_parts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("query/testdata/logql");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .collect();
    files.sort();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let (code, stdout, stderr) = run(&[&["test", "logql"], files.as_slice()].concat()).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
    let last = stdout.lines().last().unwrap();
    assert!(last.ends_with(" passed, 0 failed, 0 skipped"), "{last}");

    let scratch = tempfile::tempdir().unwrap();
    let bad = scratch.path().join("bad.test");
    let script = "load\n  {a=\"b\"} \"x\" @ 5s\n\neval instant at 5s count_over_time({a=\"b\"}[5s])\n  {a=\"b\"} 2\n";
    std::fs::write(&bad, script).unwrap();
    let bad = bad.to_str().unwrap();
    let (code, stdout, stderr) = run(&["test", "logql", bad]).await;
    assert_eq!((code, stdout.lines().last()), (1, Some("0 passed, 1 failed, 0 skipped")));
    let problem = format!("{bad}:4: in the head: {{a=\"b\"}} at step 0: expected 2, found 1");
    assert_eq!(stderr.lines().next(), Some(problem.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_asked_for_and_followed() {
    let server = Server::start().await;
    let at = now_ns();
    let records = vec![
        otlp::record(at - 2_000_000_000, "GET /cart took=12ms"),
        otlp::record(at - 1_000_000_000, "GET /pay took=900ms"),
    ];
    server.send(LOGS, &otlp::logs("shop", records)).await;
    let address = server.addresses.query.to_string();
    let ask = async |more: &[&str]| {
        run(&[&["query", "logql", "--server", &address], more].concat()).await
    };
    let (code, stdout, stderr) = ask(&["{service_name=\"shop\"} |= \"GET\""]).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(lines[0].contains("service_name=\"shop\""), "{stdout}");
    assert_eq!(lines[1], "2 lines");
    assert!(lines[3].ends_with(" GET /cart took=12ms"), "{stdout}");
    assert!(lines[4].ends_with(" GET /pay took=900ms"), "{stdout}");
    let query = "{service_name=\"shop\"} | logfmt took | took > 100ms | keep took";
    let (_, stdout, _) = ask(&[query, "--limit", "1"]).await;
    assert!(stdout.ends_with("{took=\"900ms\"} GET /pay took=900ms\n"), "{stdout}");
    let (_, stdout, _) =
        ask(&["sum(count_over_time({service_name=\"shop\"}[1m]))", "--json"]).await;
    let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(answer["result"][0]["value"][1], "2");
    let (code, _, stderr) = ask(&["{service_name=shop}"]).await;
    assert_eq!(code, 1);
    assert!(stderr.ends_with("  {service_name=shop}\n                ^\n"), "{stderr}");
    let (code, ..) = ask(&["{a=\"b\"}", "--from", "soon"]).await;
    assert_eq!(code, 2);

    let mut command = Binary::command();
    command.args(["query", "logql", "--server", &address, "--tail", "{service_name=\"shop\"}"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (sender, mut shown) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            let _gone = sender.send(line).is_err();
        }
    });
    let mut next = async || {
        let line = tokio::time::timeout(Duration::from_secs(20), shown.recv()).await;
        line.expect("no line came").expect("the tail ended")
    };
    for expected in ["GET /cart took=12ms", "GET /pay took=900ms"] {
        let line = next().await;
        assert!(line.ends_with(expected), "{line}");
    }
    let late = otlp::record(now_ns(), "a line that comes");
    server.send(LOGS, &otlp::logs("shop", vec![late])).await;
    let line = next().await;
    assert!(line.ends_with("a line that comes"), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
}
