//! The disk of the time-series store is really full: writers are told to wait, queries and probes
//! answer, and everything goes on by itself when there is room.

use std::io::Write as _;

use prost::Message as _;
use proto::remote_write::messages::{Sample, v1};

use crate::remote_write::snappy;
use crate::support::{Answer, Server, Setup, can_mount, eventually, now_ms};

const STORE: &str = "stores: {metrics: {window: 2s, grace: 300ms, idle_seal: 400ms, \
                     checkpoint_interval: 100ms}}\n";

async fn write(server: &Server, at_ms: u64, value: f64) -> Answer {
    let label = |name: &str, value: &str| v1::Label { name: name.into(), value: value.into() };
    let sample = Sample { value, timestamp: at_ms as i64, start_timestamp: 0 };
    let series = v1::TimeSeries {
        labels: vec![label("__name__", "level")],
        samples: vec![sample],
        ..Default::default()
    };
    let request = v1::WriteRequest { timeseries: vec![series], ..Default::default() };
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
    server.post("/api/v1/write", &headers, snappy(&request.encode_to_vec())).await
}

/// The values that the server has, in order of time.
async fn values(server: &Server) -> Vec<f64> {
    let found = server.points("level[1h]", now_ms() as f64 / 1000.0).await;
    found.into_iter().flat_map(|(_, points)| points).map(|(_, value)| value).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_makes_writers_wait_and_is_over_when_there_is_room() {
    if !can_mount() {
        println!("not run: this machine does not let a process mount a file system of its own");
        return;
    }
    let server = Setup::default().with_more(STORE).with_disk("metrics", 8).start().await;
    let base_ms = now_ms() - 60_000;
    for number in 0..20u64 {
        assert_eq!(write(&server, base_ms + number * 1000, number as f64).await.status, 204);
    }
    let ballast = server.as_seen(&server.data().join("metrics/ballast"));
    let mut file = std::fs::File::create(&ballast).unwrap();
    // What is freed meanwhile, by the store's own work, is taken too.
    let refused = eventually("a write is refused", async || {
        while file.write_all(&[1; 1 << 12]).is_ok() {}
        let answer = write(&server, base_ms + 20_000, 20.0).await;
        (answer.status != 204).then_some(answer)
    })
    .await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(!refused.header("retry-after").is_empty(), "{:?}", refused.headers);
    let ready = server.get("/-/ready").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("No space left"), "{}", ready.text());
    let merge = format!("http://{}/native/v1/metrics/merge", server.addresses.query);
    let merge = || crate::support::client().post(&merge).send();
    assert!(merge().await.unwrap().status().is_server_error(), "a merge needs room");
    // The refused sample is in memory and may be seen; it is written when there is room.
    let seen = values(&server).await;
    let sent: Vec<f64> = (0..=20).map(f64::from).collect();
    assert!(seen == sent || seen == sent[..20], "{seen:?}");

    drop(file);
    std::fs::remove_file(&ballast).unwrap();
    eventually("the write is taken", async || {
        (write(&server, base_ms + 20_000, 20.0).await.status == 204).then_some(())
    })
    .await;
    assert_eq!(server.get("/-/ready").await.status, 200);
    assert!(merge().await.unwrap().status().is_success());
    assert_eq!(values(&server).await, sent);
}
