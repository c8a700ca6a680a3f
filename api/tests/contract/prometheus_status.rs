//! What Prometheus says of itself, and how it speaks HTTP.

use axum::body::Body;
use http::{Method, Request};

use crate::fixture::{Fixture, NOW};

const BASE: &str = "/api/v1";

#[tokio::test]
async fn the_store_is_counted_and_its_blocks_are_listed() {
    let fixture = Fixture::new();
    fixture
        .check(
            &format!("{BASE}/status/tsdb?limit=1"),
            200,
            r#"{"status":"success","data":{"headStats":{"numSeries":4,"numLabelPairs":8,"chunkCount":5,"minTime":1699999200000,"maxTime":1700000000000},"seriesCountByMetricName":[{"name":"http_requests_total","value":2}],"labelValueCountByLabelName":[{"name":"__name__","value":3}],"memoryInBytesByLabelName":[{"name":"__name__","value":34}],"seriesCountByLabelValuePair":[{"name":"q=\u003ca\u003e","value":3}]}}"#,
        )
        .await;
    fixture
        .check(
            &format!("{BASE}/status/tsdb/blocks"),
            200,
            r#"{"status":"success","data":{"blocks":[{"ulid":"00000000000000000000000007","minTime":0,"maxTime":7200000,"stats":{"numSamples":42,"numFloatSamples":40,"numHistogramSamples":2,"numSeries":4},"compaction":{"level":2,"sources":["00000000000000000000000007"]},"version":1}]}}"#,
        )
        .await;
    fixture
        .check(
            &format!("{BASE}/status/walreplay"),
            200,
            r#"{"status":"success","data":{"min":0,"max":1,"current":1}}"#,
        )
        .await;
}

#[tokio::test]
async fn targets_pools_and_alertmanagers_are_listed() {
    let fixture = Fixture::new();
    let active = r#"{"discoveredLabels":{"__address__":"127.0.0.1:9100"},"labels":{"job":"shop"},"scrapePool":"shop","scrapeUrl":"http://127.0.0.1:9100/metrics","globalUrl":"http://signalbox:9100/metrics","lastError":"","lastScrape":"2023-11-14T22:13:18.5Z","lastScrapeDuration":0.0025,"health":"up","scrapeInterval":"1m","scrapeTimeout":"10s"}"#;
    let dropped = r#"{"discoveredLabels":{"__address__":"b:1"},"scrapePool":"cart"}"#;
    for (query, expected) in [
        (
            "",
            format!(
                r#""activeTargets":[{active}],"droppedTargets":[{dropped}],"droppedTargetCounts":{{"cart":1}}"#
            ),
        ),
        (
            "?state=active",
            format!(r#""activeTargets":[{active}],"droppedTargets":[],"droppedTargetCounts":null"#),
        ),
        (
            "?scrapePool=cart",
            format!(
                r#""activeTargets":[],"droppedTargets":[{dropped}],"droppedTargetCounts":{{"cart":1}}"#
            ),
        ),
    ] {
        let expected = format!(r#"{{"status":"success","data":{{{expected}}}}}"#);
        fixture.check(&format!("{BASE}/targets{query}"), 200, &expected).await;
    }
    for (path, expected) in [
        ("scrape_pools", r#"{"scrapePools":["cart","shop"]}"#),
        ("scrape_pools/config?scrapePool=shop", r#"{"yaml":"job_name: shop\n"}"#),
        (
            "alertmanagers",
            r#"{"activeAlertmanagers":[{"url":"http://signalbox/alertmanager/api/v2/alerts"}],"droppedAlertmanagers":[]}"#,
        ),
        ("notifications", "[]"),
        (
            "targets/metadata?match_target=%7Bjob%3D%22shop%22%7D&metric=latency",
            r#"[{"target":{"job":"shop"},"type":"histogram","help":"","unit":"s"}]"#,
        ),
        (
            "targets/metadata?limit=1",
            r#"[{"target":{"job":"shop"},"metric":"http_requests_total","type":"counter","help":"Requests \"seen\".","unit":""}]"#,
        ),
        ("targets/metadata?match_target=%7Bjob%3D%22x%22%7D", "[]"),
    ] {
        let expected = format!(r#"{{"status":"success","data":{expected}}}"#);
        fixture.check(&format!("{BASE}/{path}"), 200, &expected).await;
    }
    assert_eq!(fixture.get(&format!("{BASE}/notifications/live")).await.status, 204);
}

#[tokio::test]
async fn features_and_the_description_of_the_routes_are_served() {
    let fixture = Fixture::new();
    let text = fixture.get(&format!("{BASE}/features")).await.text();
    for part in [
        r#"{"status":"success","data":{"api":{"admin":true,"#,
        r#""promql":{"anchored":true,"#,
        r#""rate":true"#,
        r#"">=":true"#,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for (query, version) in
        [("", "3.1.0"), ("?openapi_version=3.1", "3.1.0"), ("?openapi_version=3.2", "3.2.0")]
    {
        let reply = fixture.get(&format!("{BASE}/openapi.yaml{query}")).await;
        assert_eq!(reply.headers["content-type"], "application/yaml; charset=utf-8");
        assert!(reply.text().starts_with(&format!("openapi: {version}\ninfo:\n")));
    }
}

/// Paths and methods of the served description.
async fn described(fixture: &Fixture) -> Vec<(String, Vec<String>)> {
    let text = fixture.get(&format!("{BASE}/openapi.yaml?openapi_version=3.2")).await.text();
    let (_, paths) = text.split_once("\npaths:\n").unwrap();
    let (paths, _) = paths.split_once("\ncomponents:\n").unwrap();
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for line in paths.lines() {
        let name = line.trim().trim_end_matches(':').to_owned();
        if line.starts_with("  /") {
            found.push((name, Vec::new()));
        } else if line.starts_with("    ") && !line.starts_with("     ") {
            found.last_mut().unwrap().1.push(name);
        }
    }
    found
}

#[tokio::test]
async fn every_described_route_is_there_with_its_methods_and_no_other() {
    let fixture = Fixture::new();
    let routes = described(&fixture).await;
    assert!(routes.len() > 35, "{routes:?}");
    for (path, methods) in routes {
        // The write edge serves these.
        if ["/write", "/otlp/v1/metrics"].contains(&path.as_str()) {
            continue;
        }
        let path = format!("{BASE}{}", path.replace("{name}", "job"));
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            let request = Request::builder().method(method.clone()).uri(&path);
            let reply = fixture.send(request.body(Body::empty()).unwrap()).await;
            let is_described = methods.contains(&method.as_str().to_lowercase());
            assert_eq!(reply.status != 405, is_described, "{method} {path}: {}", reply.status);
            assert_ne!(reply.status, 404, "{path}");
        }
    }
}

#[tokio::test]
async fn other_pages_may_read_and_may_not_change() {
    let fixture = Fixture::new();
    for method in [Method::OPTIONS, Method::GET] {
        let request =
            Request::builder().method(&method).uri(format!("{BASE}/query?query=1&time=1"));
        let request = request.header("origin", "http://a").body(Body::empty()).unwrap();
        let reply = fixture.send(request).await;
        assert_eq!(reply.status, if method == Method::OPTIONS { 204 } else { 200 });
        for (name, value) in [
            ("access-control-allow-headers", "Accept, Authorization, Content-Type, Origin"),
            ("access-control-allow-methods", "GET, POST, OPTIONS"),
            ("access-control-allow-origin", "http://a"),
            ("access-control-expose-headers", "Date"),
        ] {
            assert_eq!(reply.headers[name], value);
        }
        assert!(reply.headers.get_all("vary").iter().any(|value| value == "Origin"));
    }
    let reply = fixture.get(&format!("{BASE}/query?query=1")).await;
    assert!(reply.headers.get("access-control-allow-origin").is_none());
    let request = Request::post(format!("{BASE}/admin/tsdb/snapshot")).header("origin", "http://a");
    let reply = fixture.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn the_administration_answers_as_prometheus_does() {
    let fixture = Fixture::new();
    let name = r#"{"status":"success","data":{"name":"0001700000000"}}"#;
    for method in [Method::POST, Method::PUT] {
        let path = format!("{BASE}/admin/tsdb/snapshot?skip_head=true");
        let request = Request::builder().method(&method).uri(path).body(Body::empty()).unwrap();
        assert_eq!(fixture.send(request).await.text(), name);
        for path in ["delete_series?match[]=up&start=1", "clean_tombstones"] {
            let request =
                Request::builder().method(&method).uri(format!("{BASE}/admin/tsdb/{path}"));
            let reply = fixture.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!((reply.status.as_u16(), reply.text().as_str()), (204, ""));
        }
    }
    for (path, message) in [
        (
            "snapshot?skip_head=x",
            r#"invalid parameter \"skip_head\": unable to parse boolean: strconv.ParseBool: parsing \"x\": invalid syntax"#,
        ),
        ("delete_series", "no match[] parameter provided"),
        (
            "delete_series?match[]={}",
            r#"invalid parameter \"match[]\": match[] must contain at least one non-empty matcher"#,
        ),
    ] {
        let reply = fixture.post_form(&format!("{BASE}/admin/tsdb/{path}"), "").await;
        let expected =
            format!(r#"{{"status":"error","errorType":"bad_data","error":"{message}"}}"#);
        assert_eq!((reply.status.as_u16(), reply.text()), (400, expected));
    }
}

#[tokio::test]
async fn the_version_is_told_and_the_lifecycle_is_not_for_the_network() {
    let fixture = Fixture::new();
    let version = "{\"version\":\"1.2.3\",\"revision\":\"abc\",\"branch\":\"\",\"buildUser\":\"\",\
                   \"buildDate\":\"\",\"goVersion\":\"\"}\n";
    for base in ["", "/prometheus"] {
        fixture.check(&format!("{base}/version"), 200, version).await;
        for path in ["quit", "reload"] {
            let path = format!("{base}/-/{path}");
            fixture.check(&path, 405, "Only POST or PUT requests allowed").await;
            let reply = fixture.post_form(&path, "").await;
            assert_eq!(
                (reply.status.as_u16(), reply.text().as_str()),
                (403, "Lifecycle API is not enabled.")
            );
        }
    }
    for path in ["healthy", "ready"] {
        let request = Request::head(format!("/-/{path}")).body(Body::empty()).unwrap();
        let reply = fixture.send(request).await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, ""));
    }
}

#[tokio::test]
async fn the_process_is_told_with_the_keys_of_prometheus_in_order() {
    let text = Fixture::new().get(&format!("{BASE}/status/runtimeinfo")).await.text();
    let keys = [
        "startTime",
        "CWD",
        "hostname",
        "serverTime",
        "reloadConfigSuccess",
        "lastConfigTime",
        "corruptionCount",
        "goroutineCount",
        "GOMAXPROCS",
        "GOMEMLIMIT",
        "GOGC",
        "GODEBUG",
        "storageRetention",
    ];
    let places: Vec<_> =
        keys.iter().map(|key| text.find(&format!("\"{key}\":")).unwrap()).collect();
    assert!(places.is_sorted(), "{text}");
    assert!(
        text.contains(&format!("\"startTime\":\"{}\"", "2023-11-14T22:13:20Z")),
        "{NOW} {text}"
    );
}
