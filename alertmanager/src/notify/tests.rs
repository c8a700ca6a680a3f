//! The webhook's JSON, and deliveries to a server in this process.

use std::sync::Mutex;
use std::time::Duration;

use model::kv::MemoryKeyValue;
use model::{Alert, Labels, SystemClock, TimestampMs};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::engine::{Engine, EngineOptions};
use crate::notification::{NotifiedAlert, Reason};

fn notification() -> Notification {
    let alert = |instance: &str, summary: &str| Alert {
        labels: Labels::from_pairs([("alertname", "A"), ("instance", instance), ("job", "j")]),
        annotations: Labels::from_pairs([("summary", summary), ("runbook_url", "http://r")]),
        starts_at: TimestampMs(1_700_000_000_000),
        ends_at: TimestampMs(1_700_000_060_120),
        generator_url: "http://signalbox/graph".to_owned(),
    };
    let notified = |alert: Alert, is_resolved| NotifiedAlert {
        fingerprint: alert.labels.fingerprint(),
        alert,
        is_resolved,
    };
    Notification {
        integration: Integration {
            receiver: "team-a.b".to_owned(),
            kind: "webhook".to_owned(),
            index: 0,
            send_resolved: true,
        },
        group_key: "{}:{alertname=\"A\"}".to_owned(),
        group_labels: Labels::from_pairs([("alertname", "A")]),
        reason: Reason::First,
        alerts: vec![notified(alert("1", "one"), false), notified(alert("2", "two"), true)],
        at: TimestampMs(1_700_000_100_000),
        try_until: TimestampMs(1_700_000_400_000),
        external_url: "http://signalbox".to_owned(),
    }
}

#[test]
fn the_message_has_upstreams_keys_in_upstreams_order() {
    let one = format!("{:016x}", notification().alerts[0].fingerprint);
    let expected = [
        r#"{"receiver":"team-a\\.b","status":"firing","alerts":[{"status":"firing","labels":"#,
        r#"{"alertname":"A","instance":"1","job":"j"},"annotations":{"runbook_url":"http://r","#,
        r#""summary":"one"},"startsAt":"2023-11-14T22:13:20Z","endsAt":"0001-01-01T00:00:00Z","#,
        r#""generatorURL":"http://signalbox/graph","fingerprint":""#,
        &one,
        r#""}],"notification_reason":"first notification","groupLabels":{"alertname":"A"},"#,
        r#""commonLabels":{"alertname":"A","job":"j"},"commonAnnotations":{"runbook_url":"http://r"},"#,
        r#""routeLabels":{},"externalURL":"http://signalbox","version":"4","#,
        r#""groupKey":"{}:{alertname=\"A\"}","truncatedAlerts":1}"#,
    ];
    let body = String::from_utf8(webhook::message(&notification(), 1)).unwrap();
    assert_eq!(body, expected.concat());
    let full = String::from_utf8(webhook::message(&notification(), 0)).unwrap();
    assert!(full.contains(r#""status":"resolved""#));
    assert!(full.contains(r#""endsAt":"2023-11-14T22:14:20.12Z""#));
}

/// A server that answers each request with the next of `answers` and keeps what it was sent.
async fn serve(answers: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = requests.clone();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                let read = stream.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head
                    .lines()
                    .find_map(|line| {
                        line.to_lowercase().strip_prefix("content-length: ")?.parse().ok()
                    })
                    .unwrap_or(0);
                if body.len() >= length || read == 0 {
                    break;
                }
            }
            seen.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (format!("http://{address}"), requests)
}

fn answer(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 4\r\n{headers}\r\nwell")
}

fn config(url: &str, http: &str) -> Config {
    let text = format!(
        "route: {{receiver: a, group_wait: 0s, group_interval: 30s}}\nreceivers:\n  - name: a\n    webhook_configs:\n      - {{url: '{url}', http_config: {{{http}}}}}\n"
    );
    Config::parse(&text).unwrap()
}

fn deliverer(config: &Config) -> Arc<dyn Deliver> {
    Deliverers::of_config(config).unwrap().get(&config.integrations()[0]).unwrap()
}

#[tokio::test]
async fn credentials_are_sent_and_answers_are_judged() {
    let answers = vec![
        answer("204 No Content", "")
            .replace("content-length: 4", "content-length: 0")
            .replace("well", ""),
        answer("503 Away", ""),
        answer("429 Slow Down", ""),
        answer("400 Bad", ""),
    ];
    let (url, requests) = serve(answers).await;
    let deliver = deliverer(&config(&url, "basic_auth: {username: u, password: p}"));
    assert_eq!(deliver.deliver(&notification()).await, Ok(()));
    let request = requests.lock().unwrap()[0].to_lowercase();
    assert!(request.contains("authorization: basic dtpw"), "{request}");
    assert!(request.contains("content-type: application/json"));
    for (retryable, status) in [(true, "503"), (true, "429"), (false, "400")] {
        let error = deliver.deliver(&notification()).await.unwrap_err();
        assert_eq!(error.retryable, retryable, "{error}");
        assert!(error.message.contains(status) && error.message.ends_with("well"), "{error}");
    }
    // Nobody listens any more; the URL, which may hold a token, is not told.
    let error = deliver.deliver(&notification()).await.unwrap_err();
    assert!(error.retryable && !error.message.contains(&url), "{error}");
}

#[tokio::test]
async fn a_redirect_to_another_host_is_not_followed() {
    let (other, stolen) = serve(vec![answer("200 OK", "")]).await;
    let (url, _) = serve(vec![answer("307 Elsewhere", &format!("location: {other}/x\r\n"))]).await;
    let error = deliverer(&config(&url, "")).deliver(&notification()).await.unwrap_err();
    assert!(!error.retryable && error.message.contains("307"), "{error}");
    assert!(stolen.lock().unwrap().is_empty());
    let (url, requests) =
        serve(vec![answer("307 Here", "location: /again\r\n"), answer("200 OK", "")]).await;
    assert_eq!(deliverer(&config(&url, "")).deliver(&notification()).await, Ok(()));
    assert!(requests.lock().unwrap()[1].starts_with("POST /again"));
}

#[tokio::test]
async fn the_runner_tries_again_until_it_is_taken_and_stops_when_told() {
    let (url, requests) = serve(vec![answer("500 Oops", ""), answer("200 OK", "")]).await;
    let config = config(&url, "");
    let deliverers = Deliverers::of_config(&config).unwrap();
    let options = EngineOptions { config, external_url: String::new(), integrations: Vec::new() };
    let clock = Arc::new(SystemClock::new());
    let now = model::Clock::now_ms(clock.as_ref());
    let kv = Arc::new(MemoryKeyValue::default());
    let engine = Arc::new(Engine::open(options, kv, now).unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let runner =
        tokio::spawn(run(engine.clone(), deliverers, clock, RunOptions::default(), async {
            stopped.await.unwrap();
        }));
    let alert = Alert { ends_at: now.plus_ms(600_000), ..notification().alerts[0].alert.clone() };
    engine.put_alerts(now, vec![alert]).unwrap();
    let mut registry = prometheus_client::registry::Registry::default();
    engine.metrics().register(&mut registry);
    let mut text = String::new();
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(25)).await;
        text.clear();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        if text.contains("alertmanager_notifications_total{integration=\"webhook\"} 1") {
            break;
        }
    }
    assert!(text.contains("alertmanager_notifications_total{integration=\"webhook\"} 1"), "{text}");
    assert!(text.contains("alertmanager_notifications_failed_total{integration=\"webhook\"} 0"));
    assert!(text.contains("alertmanager_alerts{state=\"active\"} 1"));
    assert_eq!(requests.lock().unwrap().len(), 2);
    stop.send(()).unwrap();
    runner.await.unwrap();
}
