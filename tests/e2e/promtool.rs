//! promtool as a client: Prometheus's own command line reads what it expects. Taken from
//! `$SIGNALBOX_PROMTOOL`, or else from the path.

use std::process::{Command, Output};

use crate::support::{Server, Setup, eventually};

const RULES: &str = "
groups:
  - name: made
    rules:
      - {record: made, expr: vector(7), labels: {job: shop, 'http.route': /a}}
";

fn promtool() -> Command {
    Command::new(std::env::var("SIGNALBOX_PROMTOOL").unwrap_or_else(|_| "promtool".to_owned()))
}

/// What promtool writes; its failure is that of the test.
async fn run(server: &Server, words: &[&str], after: &[&str]) -> String {
    let url = format!("http://{}/prometheus", server.addresses.query);
    let mut command = promtool();
    command.args(words).arg(url).args(after);
    let task = tokio::task::spawn_blocking(move || command.output().unwrap());
    let Output { status, stdout, stderr } = task.await.unwrap();
    let text = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{words:?}: {text}{}", String::from_utf8_lossy(&stderr));
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queries_of_promtool_are_answered() {
    if promtool().arg("--version").output().is_err() {
        return println!("not run: there is no promtool");
    }
    let server = Setup::default().with_rules(RULES).start().await;
    eventually("the rule ran", async || server.number("made").await).await;

    let series = r#"made{http.route="/a", job="shop"}"#;
    let instant = run(&server, &["query", "instant"], &["made"]).await;
    assert!(instant.starts_with(&format!("{series} => 7 @[")), "{instant}");
    let scalar = run(&server, &["query", "instant"], &["1 + 1"]).await;
    assert!(scalar.starts_with("scalar: 2 @["), "{scalar}");
    let range = run(&server, &["query", "range", "--step=1s"], &["made"]).await;
    assert!(range.starts_with(&format!("{series} =>\n7 @[")), "{range}");
    let found = run(&server, &["query", "series", "--match=made"], &[]).await;
    assert_eq!(found, "{__name__=\"made\", http.route=\"/a\", job=\"shop\"}\n");
    let labels = run(&server, &["query", "labels"], &["job"]).await;
    assert_eq!(labels, "shop\n");
    for check in ["healthy", "ready"] {
        let url = format!("--url=http://{}/prometheus", server.addresses.query);
        let output = promtool().args(["check", check, &url]).output().unwrap();
        assert!(output.status.success(), "{check}");
    }
}
