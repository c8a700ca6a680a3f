//! The doors of logs: Loki push beside OTLP, input that is bad in every way, and what operators do:
//! deletions, snapshots, restore.

use prost::Message as _;
use proto::loki_push::messages::{EntryAdapter, PushRequest, StreamAdapter, Timestamp};

use crate::remote_write::snappy;
use crate::support::otlp::{self, LOGS};
use crate::support::{Answer, Binary, Server, Setup, client, now_ns};

const PUSH: &str = "/loki/api/v1/push";

async fn push(server: &Server, body: String) -> Answer {
    server.post(PUSH, &[("content-type", "application/json")], body.into_bytes()).await
}

async fn change(server: &Server, method: &str, path: &str) -> Answer {
    let url = format!("http://{}{path}", server.addresses.query);
    Answer::of(client().request(method.parse().unwrap(), url).send().await.unwrap()).await.unwrap()
}

async fn texts(server: &Server, query: &str) -> Vec<String> {
    let lines = server.lines(query, 0, now_ns() + 1_000_000_000).await;
    lines.into_iter().map(|line| line.text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_of_agents_are_found_with_what_came_over_otlp() {
    let server = Server::start().await;
    let now = now_ns();
    let entry = |i: u64| EntryAdapter {
        timestamp: Some(Timestamp {
            seconds: (now / 1_000_000_000) as i64,
            nanos: (now % 1_000_000_000 + i) as i32,
        }),
        line: format!("promtail {i}").into_bytes(),
        structured_metadata: Vec::new(),
    };
    let stream = StreamAdapter {
        labels: r#"{job="varlogs", filename="/var/log/syslog"}"#.to_owned(),
        entries: (0..3).map(entry).collect(),
        hash: 0,
    };
    let body = snappy(&PushRequest { streams: vec![stream] }.encode_to_vec());
    let headers = [("content-type", "application/x-protobuf")];
    assert_eq!(server.post(PUSH, &headers, body).await.status, 204);
    let json = format!(
        r#"{{"streams":[{{"stream":{{"job":"varlogs"}},"values":[["{now}","pushed as json",{{"user":"u1"}}]]}}]}}"#
    );
    assert_eq!(push(&server, json).await.status, 204);
    server.send(LOGS, &otlp::logs("varlogs", vec![otlp::record(now, "over otlp")])).await;
    let found = texts(&server, r#"{service_name="varlogs"}"#).await;
    assert_eq!(found.len(), 5, "{found:?}");
    assert_eq!(texts(&server, r#"{job="varlogs"} | user="u1""#).await, ["pushed as json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_lines_are_kept_cut_or_refused_and_counted() {
    let setup = Setup::default().with_more("stores: {logs: {streams_max: 50}}\n");
    let server = setup.start().await;
    let now = now_ns();
    // Ten megabytes in one line, bytes of no text, the first and the last instants.
    let long = "x".repeat(10 << 20);
    let times = [1u64, 9_200_000_000_000_000_000, now];
    let values =
        format!(r#"["{now}","{long}"],["1","oldest"],["{now}","nul \u0000 and bell \u0007"]"#);
    let body = format!(r#"{{"streams":[{{"stream":{{"app":"bad"}},"values":[{values}]}}]}}"#);
    assert_eq!(push(&server, body).await.status, 204);
    let lines = server.lines(r#"{app="bad"}"#, 0, now + 1).await;
    let cut = lines.iter().find(|line| line.text.starts_with("xxx")).unwrap();
    assert_eq!(cut.text.len(), 256 << 10);
    assert_eq!(cut.labels["line_bytes"], (10 << 20).to_string());
    assert!(lines.iter().any(|line| line.text == "oldest" && line.at_ns == 1));
    assert_eq!(server.own_metric("signalbox_log_lines_cut_total", &[]).await, 1.0);
    // The year 2261 is too far ahead, and named.
    let far = otlp::logs("far", times.map(|at| otlp::record(at, "far")).to_vec());
    let headers = [("content-type", "application/x-protobuf")];
    let answer = server.post(LOGS, &headers, far.encode_to_vec()).await;
    assert_eq!(answer.status, 200);
    assert!(String::from_utf8_lossy(&answer.body).contains("in the future"), "{answer:?}");
    // More streams than are allowed: those that fit are kept, the rest is refused by name.
    let bomb: Vec<String> = (0..200)
        .map(|i| format!(r#"{{"stream":{{"bomb":"{i}"}},"values":[["{now}","x"]]}}"#))
        .collect();
    let answer = push(&server, format!(r#"{{"streams":[{}]}}"#, bomb.join(","))).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("too_many_streams"), "{}", answer.text());
    let kept = texts(&server, r#"{bomb=~".+"}"#).await.len();
    assert!((40..=50).contains(&kept), "{kept} streams were kept");
    // A known stream is taken as before.
    let body =
        format!(r#"{{"streams":[{{"stream":{{"app":"bad"}},"values":[["{now}","later"]]}}]}}"#);
    assert_eq!(push(&server, body).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_deleted_taken_back_copied_and_restored() {
    let server = Server::start().await;
    let now = now_ns();
    let records = ["keep", "secret 1", "secret 2"].map(|line| otlp::record(now, line)).to_vec();
    server.send(LOGS, &otlp::logs("shop", records)).await;
    let shop = r#"{service_name="shop"}"#;
    let query = "query=%7Bservice_name%3D%22shop%22%7D%20%7C%3D%20%22secret%22&start=0";
    assert_eq!(change(&server, "POST", &format!("/loki/api/v1/delete?{query}")).await.status, 204);
    assert_eq!(texts(&server, shop).await, ["keep"]);
    assert_eq!(change(&server, "POST", "/native/v1/logs/merge").await.status, 200);
    assert_eq!(texts(&server, shop).await, ["keep"]);
    let listed = server.get("/loki/api/v1/delete").await.json();
    let id = listed[0]["request_id"].as_str().unwrap().to_owned();
    let cancel = format!("/loki/api/v1/delete?request_id={id}");
    assert_eq!(change(&server, "DELETE", &cancel).await.status, 204);
    assert_eq!(texts(&server, shop).await.len(), 3);

    let answer = change(&server, "POST", "/native/v1/logs/snapshot").await;
    let name = answer.json()["data"]["name"].as_str().unwrap().to_owned();
    let snapshot = server.data().join("logs/snapshots").join(name);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let arguments = ["restore", snapshot.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let (status, out, err) = Binary::run(&arguments).await;
    assert!(status.success(), "{out}{err}");
    assert!(out.contains("3 records of 1 streams"), "{out}");
    let (status, _, err) = Binary::run(&arguments).await;
    assert!(!status.success() && err.contains("holds logs already"), "{err}");
}
