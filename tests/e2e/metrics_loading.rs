//! A store that was large when it was killed: while it loads it takes samples, answers nothing, and
//! may be killed again; nothing that was acknowledged is missing afterwards.

use proto::remote_write::messages::Sample;

use crate::metrics_crash::{post, series, write_request};
use crate::support::{Server, now_ms};

const SERIES: u64 = 300_000;
const SERIES_PER_REQUEST: u64 = 10_000;
const STARTS: u64 = 4;
const REQUESTS_WHILE_LOADING: u64 = 5;

fn sample(value: u64, at_ms: u64) -> Vec<Sample> {
    vec![Sample { value: value as f64, timestamp: at_ms as i64, start_timestamp: 0 }]
}

async fn send(server: &Server, body: Vec<u8>) {
    let url = format!("http://{}/api/v1/write", server.addresses.query);
    let (status, text) = post(&url, body).await.unwrap();
    assert_eq!(status, 204, "{text}");
}

async fn fill(server: &Server, at_ms: u64) {
    for begin in (0..SERIES).step_by(SERIES_PER_REQUEST as usize) {
        let one = |n: u64| {
            let (pod, n) = (format!("pod-{}", n % 1000), n.to_string());
            series(&[("__name__", "large"), ("n", &n), ("pod", &pod)], sample(1, at_ms))
        };
        let all = (begin..begin + SERIES_PER_REQUEST).map(one);
        send(server, write_request(all.collect())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_store_takes_samples_while_it_loads_and_loses_none_when_it_is_killed_again() {
    let mut server = Server::start().await;
    let base_ms = now_ms() - 60_000;
    fill(&server, base_ms).await;
    let mut loading = 0;
    for start in 0..STARTS {
        server.kill();
        server.restart_at_once().await;
        for request in 0..REQUESTS_WHILE_LOADING {
            let number = start * REQUESTS_WHILE_LOADING + request;
            let ready = server.get("/-/ready").await;
            let query = server.get("/api/v1/query?query=count(large)").await;
            if ready.status == 503 && ready.text().contains("the metrics store is loading") {
                loading += 1;
                assert!(query.status == 503 || query.status == 200, "{}", query.text());
                assert!(query.status == 200 || query.text().contains("is loading"));
            }
            // One of those that were there, one that every start writes, and one of its own.
            let n = number.to_string();
            let all = vec![
                series(
                    &[("__name__", "large"), ("n", &n), ("pod", &format!("pod-{n}"))],
                    sample(2, base_ms + 1000),
                ),
                series(&[("__name__", "each")], sample(number, base_ms + number)),
                series(&[("__name__", "own"), ("n", &n)], sample(number, base_ms)),
            ];
            send(&server, write_request(all)).await;
        }
    }
    assert!(loading > 0, "no start was seen while it loaded");
    for when in ["after the last load", "after a restart"] {
        server.wait_until_ready().await;
        let total = STARTS * REQUESTS_WHILE_LOADING;
        let at = |seconds: f64| base_ms as f64 / 1000.0 + seconds;
        let each = server.points("each[1h]", at(2.0)).await;
        let values: Vec<f64> = each[0].1.iter().map(|(_, value)| *value).collect();
        assert_eq!(values, (0..total).map(|n| n as f64).collect::<Vec<_>>(), "{when}");
        assert_eq!(server.number("count(count_over_time(own[1h]))").await, Some(total as f64));
        let all = server.number("count(count_over_time(large[1h]))").await;
        assert_eq!(all, Some(SERIES as f64), "{when}");
        let sum = server.number("sum(last_over_time(large[1h]))").await;
        assert_eq!(sum, Some((SERIES + total) as f64), "{when}");
        server.kill();
        server.restart().await;
    }
}
