//! Rules on logs: what LogQL counts becomes a series, and an alert.

use crate::support::otlp::{self, LOGS};
use crate::support::{Setup, eventually, now_ns};

const RULES: &str = r#"
groups:
  - name: logs
    type: logql
    interval: 200ms
    rules:
      - record: shop:failures:count5m
        expr: sum by (service_name) (count_over_time({service_name="shop"} |= "failed" [5m]))
      - alert: ShopFails
        expr: sum by (service_name) (count_over_time({service_name="shop"} |= "failed" [5m])) > 2
        labels: {severity: page}
        annotations: {summary: "{{ $labels.service_name }} failed {{ $value }} times", runbook_url: x}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn logql_is_recorded_and_alerts() {
    let server = Setup::default().with_rules(RULES).start().await;
    let records = (0..5).map(|i| otlp::record(now_ns(), format!("payment {i} failed"))).collect();
    server.send(LOGS, &otlp::logs("shop", records)).await;
    eventually("the recorded series", async || {
        (server.number("shop:failures:count5m").await == Some(5.0)).then_some(())
    })
    .await;
    let alert = eventually("the alert", async || {
        let alerts = server.get("/api/v1/alerts").await.json();
        alerts["data"]["alerts"].as_array()?.first().cloned()
    })
    .await;
    assert_eq!(alert["labels"]["service_name"], "shop");
    assert_eq!(alert["annotations"]["summary"], "shop failed 5 times");
}
