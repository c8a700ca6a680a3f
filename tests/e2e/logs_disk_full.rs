//! The disk of the log store is really full: writers are told to wait, queries and probes answer,
//! and everything goes on by itself when there is room.

use std::io::Write as _;

use prost::Message as _;

use crate::support::otlp::{self, LOGS};
use crate::support::{Answer, Server, Setup, can_mount, client, eventually, now_ns};

const STORE: &str = "stores: {logs: {memory_bytes_max: 1MiB, idle_seal: 100ms}}\n";
const NS_PER_S: u64 = 1_000_000_000;

async fn write(server: &Server, at_ns: u64, number: u64) -> Answer {
    let records = vec![otlp::record(at_ns, format!("item {number}"))];
    let body = otlp::logs("full", records).encode_to_vec();
    let url = format!("http://{}{LOGS}", server.addresses.http);
    let post = client().post(url).header("content-type", "application/x-protobuf").body(body);
    Answer::of(post.send().await.unwrap()).await.unwrap()
}

async fn lines(server: &Server) -> Vec<String> {
    let found = server.lines(r#"{service_name="full"}"#, 0, now_ns()).await;
    found.into_iter().map(|line| line.text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_makes_senders_of_logs_wait_and_is_over_when_there_is_room() {
    if !can_mount() {
        println!("not run: this machine does not let a process mount a file system of its own");
        return;
    }
    let server = Setup::default().with_more(STORE).with_disk("logs", 8).start().await;
    let base_ns = now_ns() - 60 * NS_PER_S;
    for number in 0..20u64 {
        assert_eq!(write(&server, base_ns + number * NS_PER_S, number).await.status, 200);
    }
    let ballast = server.as_seen(&server.data().join("logs/ballast"));
    let mut file = std::fs::File::create(&ballast).unwrap();
    // What is freed meanwhile, by the store's own work, is taken too.
    let refused = eventually("a write is refused", async || {
        while file.write_all(&[1; 1 << 12]).is_ok() {}
        let answer = write(&server, base_ns + 20 * NS_PER_S, 20).await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(!refused.header("retry-after").is_empty(), "{:?}", refused.headers);
    let ready = server.get("/-/ready").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("No space left"), "{}", ready.text());
    let mut seen = lines(&server).await;
    let sent: Vec<String> = (0..20).map(|number| format!("item {number}")).collect();
    // Those refused are in memory and may be seen; they are written when there is room.
    seen.dedup();
    assert_eq!(seen[..20], sent, "queries are answered");

    drop(file);
    std::fs::remove_file(&ballast).unwrap();
    eventually("the write is taken", async || {
        (write(&server, base_ns + 21 * NS_PER_S, 21).await.status == 200).then_some(())
    })
    .await;
    eventually("the server is ready", async || {
        (server.get("/-/ready").await.status == 200).then_some(())
    })
    .await;
    let mut seen = lines(&server).await;
    seen.dedup();
    assert_eq!((&seen[..20], seen.last().unwrap().as_str()), (&sent[..], "item 21"));
}
