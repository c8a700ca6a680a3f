//! The story that Signalbox exists for: spans become request metrics, a rule sees the errors, a
//! page leads to the runbook, and the end of the trouble is told as well.

mod receiver;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::lifecycle::DEFAULT_PORTS;
use crate::support::otlp::{self, Status, StatusCode, TRACES};
use crate::support::{Binary, Server, Setup, client, eventually, now_ns};
use receiver::Receiver;

const RUNBOOK: &str = "https://runbooks.example/checkout-errors";

const RULES: &str = r#"
groups:
  - name: shop
    interval: 1s
    rules:
      - alert: HighErrorRatio
        expr: |
          sum by (service) (rate(traces_spanmetrics_calls_total{status_code="STATUS_CODE_ERROR"}[8s]))
          / sum by (service) (rate(traces_spanmetrics_calls_total[8s])) > 0.05
        for: 1s
        labels: {severity: page}
        annotations:
          summary: '{{ $labels.service }} fails {{ $value | humanizePercentage }} of its requests'
          runbook_url: https://runbooks.example/checkout-errors
"#;

fn alertmanager(receiver: &Receiver) -> String {
    format!(
        "route: {{receiver: hook, group_by: [alertname], group_wait: 1s, group_interval: 1s, \
         repeat_interval: 1h}}\nreceivers: [{{name: hook, webhook_configs: [{{url: '{}'}}]}}]\n",
        receiver.url()
    )
}

/// A service that answers twenty requests a second, each with a span; half of them fail while it is
/// broken. It goes on through restarts of the server.
struct Shop {
    address: Arc<std::sync::Mutex<std::net::SocketAddr>>,
    is_broken: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Shop {
    fn open(server: &Server) -> Shop {
        let address = Arc::new(std::sync::Mutex::new(server.addresses.http));
        let is_broken = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(serve(address.clone(), is_broken.clone()));
        Shop { address, is_broken, task }
    }

    fn set_broken(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::Relaxed);
    }

    fn follow(&self, server: &Server) {
        *self.address.lock().unwrap() = server.addresses.http;
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(address: Arc<std::sync::Mutex<std::net::SocketAddr>>, is_broken: Arc<AtomicBool>) {
    static NEXT_ID: AtomicU64 = AtomicU64::new(1);
    let (client, mut ticks) = (client(), tokio::time::interval(Duration::from_millis(100)));
    loop {
        ticks.tick().await;
        let make_span = |fails: bool| {
            let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
            let mut span = otlp::span(id.into(), id, "POST /order", now_ns());
            if fails {
                let code = StatusCode::Error.into();
                span.status = Some(Status { code, message: "card refused".to_owned() });
            }
            span
        };
        let spans = vec![make_span(false), make_span(is_broken.load(Ordering::Relaxed))];
        let body = prost::Message::encode_to_vec(&otlp::traces("checkout", spans));
        let url = format!("http://{}{TRACES}", *address.lock().unwrap());
        let post = client.post(url).header("content-type", "application/x-protobuf").body(body);
        // A server that is being restarted loses spans, as it would in life.
        post.send().await.ok();
    }
}

async fn has_red_series(server: &Server) {
    eventually("spans are counted as calls", async || {
        let calls =
            r#"sum(traces_spanmetrics_calls_total{service="checkout", span_name="POST /order"})"#;
        server.number(calls).await.filter(|calls| *calls > 0.0)
    })
    .await;
    eventually("calls have a latency", async || {
        let latency = "histogram_quantile(0.5, sum by (le) (traces_spanmetrics_latency_bucket))";
        server.number(latency).await.filter(|seconds| *seconds > 0.0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_in_spans_become_a_page_with_a_runbook_and_its_end_is_told() {
    let receiver = Receiver::start().await;
    let setup = Setup::default().with_rules(RULES).with_alertmanager(alertmanager(&receiver));
    let mut server = setup.start().await;
    let shop = Shop::open(&server);
    has_red_series(&server).await;
    assert_eq!(receiver.messages("firing").len(), 0, "all is well");

    shop.set_broken(true);
    let page = eventually("the page arrives", async || receiver.messages("firing").pop()).await;
    assert_eq!(page["version"], "4");
    assert_eq!(page["receiver"], "hook");
    assert_eq!(page["groupLabels"]["alertname"], "HighErrorRatio");
    assert_eq!(page["commonLabels"]["service"], "checkout");
    assert_eq!(page["commonAnnotations"]["runbook_url"], RUNBOOK);
    assert_eq!(page["alerts"].as_array().unwrap().len(), 1);
    let alert = &page["alerts"][0];
    assert_eq!(
        (&alert["status"], &alert["labels"]["severity"]),
        (&"firing".into(), &"page".into())
    );
    assert_eq!(alert["annotations"]["runbook_url"], RUNBOOK);
    let summary = alert["annotations"]["summary"].as_str().unwrap();
    assert!(summary.starts_with("checkout fails ") && summary.contains('%'), "{summary}");
    assert!(!alert["fingerprint"].as_str().unwrap().is_empty());
    assert!(alert["generatorURL"].as_str().unwrap().starts_with("http://"), "{alert}");

    let listed = server.get("/alertmanager/api/v2/alerts").await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed[0]["fingerprint"], alert["fingerprint"]);
    assert_eq!(listed[0]["status"]["state"], "active");
    assert_eq!(listed[0]["annotations"]["runbook_url"], RUNBOOK);
    for base in ["/api/v1/alerts", "/prometheus/api/v1/alerts"] {
        let alerts = &server.get(base).await.json()["data"]["alerts"];
        assert_eq!(alerts[0]["labels"]["alertname"], "HighErrorRatio", "{alerts}");
        assert_eq!(alerts[0]["state"], "firing", "{alerts}");
    }
    let alerts = r#"ALERTS{alertname="HighErrorRatio", alertstate="firing"}"#;
    assert_eq!(server.number(alerts).await, Some(1.0));

    shop.set_broken(false);
    let end = eventually("the end is told", async || receiver.messages("resolved").pop()).await;
    assert_eq!(end["alerts"][0]["status"], "resolved");
    assert_eq!(end["alerts"][0]["fingerprint"], alert["fingerprint"]);
    assert_eq!(receiver.messages("firing").len(), 1, "one page");
    assert_eq!(receiver.messages("resolved").len(), 1, "and its one end");
    eventually("no alert is left", async || {
        let alerts = server.get("/api/v1/alerts").await.json()["data"]["alerts"].clone();
        let is_over = |alert: &serde_json::Value| alert["state"] != "firing";
        alerts.as_array().unwrap().iter().all(is_over).then_some(())
    })
    .await;

    // A kill after the end tells nothing anew.
    server.kill();
    server.restart().await;
    shop.follow(&server);
    tokio::time::sleep(SECOND_MESSAGE).await;
    assert_eq!((receiver.messages("firing").len(), receiver.messages("resolved").len()), (1, 1));
}

async fn is_firing(server: &Server) -> Option<()> {
    let alerts = server.get("/api/v1/alerts").await.json()["data"]["alerts"].clone();
    (alerts[0]["state"] == "firing").then_some(())
}

/// Longer than `group_wait` and `group_interval` together: a second message would have come.
const SECOND_MESSAGE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_firing_and_paging_loses_no_page() {
    let receiver = Receiver::start().await;
    let setup = Setup::default().with_rules(RULES).with_alertmanager(alertmanager(&receiver));
    let mut server = setup.start().await;
    let shop = Shop::open(&server);
    shop.set_broken(true);
    eventually("the rule fires", async || is_firing(&server).await).await;
    server.kill();
    // The shop is gone as well: only what was on disk can page.
    drop(shop);
    server.restart().await;
    eventually("the page arrives", async || receiver.messages("firing").pop()).await;
    tokio::time::sleep(SECOND_MESSAGE).await;
    assert_eq!(receiver.messages("firing").len(), 1, "one page");
}

/// A time without the zeros at the end of its fraction: the API writes three digits, the webhook as
/// many as it needs, both as Alertmanager does.
fn without_zeros(time: &serde_json::Value) -> &str {
    let time = time.as_str().unwrap().trim_end_matches('Z');
    if time.contains('.') { time.trim_end_matches('0').trim_end_matches('.') } else { time }
}

// When the trouble ends after a restart, its end is told after `restart_hold_ms` of the rules at
// the earliest, which is two minutes and more than a test should take.
#[tokio::test(flavor = "multi_thread")]
async fn kills_between_page_and_end_do_not_page_twice() {
    let receiver = Receiver::start().await;
    let setup = Setup::default().with_rules(RULES).with_alertmanager(alertmanager(&receiver));
    let mut server = setup.start().await;
    let shop = Shop::open(&server);
    shop.set_broken(true);
    let page = eventually("the page arrives", async || receiver.messages("firing").pop()).await;
    for _ in 0..3 {
        // The delivery is known to be over a moment after the receiver has answered.
        tokio::time::sleep(Duration::from_millis(500)).await;
        server.kill();
        server.restart().await;
        shop.follow(&server);
        eventually("the alert is still there", async || is_firing(&server).await).await;
        tokio::time::sleep(SECOND_MESSAGE).await;
        assert_eq!(receiver.messages("firing").len(), 1, "one page");
        assert_eq!(receiver.messages("resolved").len(), 0, "it is not over");
    }
    let listed = server.get("/alertmanager/api/v2/alerts").await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed[0]["fingerprint"], page["alerts"][0]["fingerprint"]);
    let (listed, paged) = (&listed[0]["startsAt"], &page["alerts"][0]["startsAt"]);
    assert_eq!(without_zeros(listed), without_zeros(paged), "the same trouble");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fast_demo_ends_with_a_page_that_names_the_runbook() {
    let _ports = DEFAULT_PORTS.lock().await;
    let demo = Binary::run(&["demo", "--fast"]);
    let (status, stdout, stderr) =
        tokio::time::timeout(Duration::from_secs(60), demo).await.expect("ends within a minute");
    assert!(status.success(), "{stdout}\n{stderr}");
    for wanted in ["PAGE", "https://runbooks.shop.example/payment-errors"] {
        assert!(stdout.contains(wanted), "{wanted}: {stdout}");
    }
}
