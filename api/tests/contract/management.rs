//! Probes, own metrics, the page for people, compression.

use std::io::Read;

use axum::body::Body;
use http::Request;

use crate::fixture::Fixture;

#[tokio::test]
async fn readiness_names_its_reasons_and_liveness_does_not_care() {
    let fixture = Fixture::new();
    fixture.status.0.lock().0 = false;
    for path in ["/-/ready", "/health/ready", "/health/startup"] {
        fixture.check(path, 503, "starting\n").await;
    }
    fixture.status.0.lock().0 = true;
    for path in
        ["/-/ready", "/ready", "/health/ready", "/prometheus/-/ready", "/alertmanager/-/ready"]
    {
        fixture.check(path, 200, "ready\n").await;
    }
    fixture.status.0.lock().1 = vec!["tsdb is read-only: disk full".into(), "b".into()];
    fixture.check("/-/ready", 503, "not ready: tsdb is read-only: disk full; b\n").await;
    fixture.check("/health/startup", 200, "started\n").await;
    for path in ["/-/healthy", "/health/live", "/prometheus/-/healthy"] {
        fixture.check(path, 200, "Signalbox is healthy.\n").await;
    }
}

#[tokio::test]
async fn own_metrics_are_open_metrics_and_count_queries() {
    let fixture = Fixture::new();
    fixture.get("/api/v1/query?query=1").await;
    let reply = fixture.get("/metrics").await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(reply.headers["content-type"], kind);
    let text = reply.text();
    assert!(text.contains("signalbox_queries_total{outcome=\"done\"} 1\n"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn people_are_shown_the_way() {
    let fixture = Fixture::new();
    let page = fixture.get("/").await.text();
    for word in ["/prometheus", "/loki/api/v1/labels", "/alertmanager", "1.2.3"] {
        assert!(page.contains(word), "{page}");
    }
    let reply = fixture.get("/nowhere").await;
    assert_eq!(reply.status, 404);
    assert!(reply.text().contains("page not found") && reply.text().contains("/loki/api/v1"));
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_ask() {
    let fixture = Fixture::new();
    let request = Request::get("/api/v1/query?query=http_requests_total");
    let request = request.header("accept-encoding", "gzip").body(Body::empty()).unwrap();
    let reply = fixture.send(request).await;
    assert_eq!(reply.headers["content-encoding"], "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(reply.bytes.as_slice()).read_to_string(&mut text).unwrap();
    assert!(text.starts_with(r#"{"status":"success""#), "{text}");
}
