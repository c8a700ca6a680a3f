//! A snapshot of the metrics store, taken while it runs, restored into another data folder; and a
//! deletion that is taken back.

use prost::Message;
use proto::remote_write::messages::{Sample, v1};

use crate::remote_write::snappy;
use crate::support::{Answer, Binary, Server, client, now_ms};

async fn write(server: &Server, value: f64) {
    let label = |name: &str, value: &str| v1::Label { name: name.into(), value: value.into() };
    let sample = Sample { value, timestamp: now_ms() as i64, start_timestamp: 0 };
    let series = v1::TimeSeries {
        labels: vec![label("__name__", "kept"), label("job", "shop")],
        samples: vec![sample],
        ..Default::default()
    };
    let request = v1::WriteRequest { timeseries: vec![series], ..Default::default() };
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
    let answer = server.post("/api/v1/write", &headers, snappy(&request.encode_to_vec())).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
}

async fn change(server: &Server, method: &str, path: &str, origin: Option<&str>) -> Answer {
    let url = format!("http://{}{path}", server.addresses.query);
    let mut request = client().request(method.parse().unwrap(), url);
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    Answer::of(request.send().await.unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_restored_by_one_command() {
    let server = Server::start().await;
    write(&server, 7.0).await;
    let answer = change(&server, "POST", "/api/v1/admin/tsdb/snapshot", None).await;
    let name = answer.json()["data"]["name"].as_str().unwrap().to_owned();
    write(&server, 8.0).await;

    let snapshot = server.data().join("metrics/snapshots").join(name);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let arguments = ["restore", snapshot.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let (status, out, err) = Binary::run(&arguments).await;
    assert!(status.success(), "{out}{err}");
    assert!(out.contains("1 series"), "{out}");
    let (status, _, err) = Binary::run(&arguments).await;
    assert!(!status.success() && err.contains("holds metrics already"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_seen_listed_and_taken_back() {
    let server = Server::start().await;
    write(&server, 7.0).await;
    assert_eq!(server.number("kept").await, Some(7.0));
    let path = "/api/v1/admin/tsdb/delete_series?match[]=kept";
    let foreign = Some("http://elsewhere.example");
    assert_eq!(change(&server, "POST", path, foreign).await.status, 400);
    assert_eq!(change(&server, "POST", path, None).await.status, 204);
    assert_eq!(server.number("kept").await, None);
    let list = server.get("/native/v1/metrics/deletions").await.json();
    let id = list["data"][0]["id"].as_u64().unwrap();
    assert_eq!(list["data"][0]["matchers"][0], "__name__=\"kept\"");
    let undo = format!("/native/v1/metrics/deletions/{id}");
    assert_eq!(change(&server, "DELETE", &undo, None).await.status, 204);
    assert_eq!(server.number("kept").await, Some(7.0));
    assert_eq!(change(&server, "DELETE", &undo, None).await.status, 404);
}
