//! Old paths, rules as YAML, pages for operators, and parameters that few clients send.

use model::{Labels, TimestampMs};
use rules::{AlertState, Health, Language, RuleGroupStatus, RuleKind, RuleStatus};

use crate::fixture::{Fixture, NOW, encode};
use crate::reader;

const BASE: &str = "/loki/api/v1";

#[tokio::test]
async fn old_paths_answer_as_those_of_today() {
    let fixture = Fixture::new();
    let shop = encode(r#"{service_name="shop"}"#);
    for (old, new) in [
        ("/api/prom/label", "labels"),
        ("/api/prom/label/level/values", "label/level/values"),
        (
            "/api/prom/series?match[]=%7Blevel%3D%22info%22%7D",
            "series?match[]=%7Blevel%3D%22info%22%7D",
        ),
    ] {
        let new = fixture.get(&format!("{BASE}/{new}")).await;
        assert_eq!(new.status, 200);
        fixture.check(old, 200, &new.text()).await;
    }
    let answer = fixture.get(&format!("/api/prom/query?query={shop}&limit=1")).await;
    assert_eq!(reader::read(&answer.text()).series[0].values.len(), 1);
    let form = format!("query={shop}&limit=1");
    let answer = fixture.post_form(&format!("{BASE}/query_range"), &form).await;
    assert_eq!(reader::read(&answer.text()).series[0].values.len(), 1);
}

#[tokio::test]
async fn an_interval_keeps_lines_of_a_stream_apart() {
    let fixture = Fixture::new();
    for name in ["a", "b"] {
        let stream = Labels::from_pairs([("interval", name)]);
        for i in 0..10 {
            let at = (NOW - 10 + i) * 1_000_000_000;
            fixture.logs.0.lock().push(&stream, at, &format!("{name}{i}"), &[]);
        }
    }
    let query = encode(r#"{interval=~".+"}"#);
    for (rest, expected) in [
        ("direction=forward&interval=4s", vec!["a0", "a4", "a8", "b0", "b4", "b8"]),
        ("direction=backward&interval=4.5", vec!["a9", "a4", "b9", "b4"]),
        ("direction=forward&interval=4s&limit=3", vec!["a0", "a4", "b0"]),
        ("direction=forward&interval=0&limit=2", vec!["a0", "b0"]),
    ] {
        let reply = fixture.get(&format!("{BASE}/query_range?query={query}&{rest}")).await;
        let answer = reader::read(&reply.text());
        let values = answer.series.iter().flat_map(|series| &series.values);
        let mut lines: Vec<&str> = values.map(|(_, line, _)| line.as_str()).collect();
        lines.sort_by_key(|line| line.as_bytes()[0]);
        assert_eq!(lines, expected, "{rest}");
    }
    for (rest, message) in [
        ("interval=-1s", "interval must be >= 0"),
        ("interval=x", "invalid parameter \"interval\": cannot parse \"x\" to a valid duration"),
    ] {
        fixture.check(&format!("{BASE}/query_range?query={query}&{rest}"), 400, message).await;
    }
}

#[tokio::test]
async fn numbers_have_no_limit_of_lines() {
    let fixture = Fixture::new();
    let query = encode("vector(1)");
    for path in ["query", "query_range"] {
        let reply = fixture.get(&format!("{BASE}/{path}?query={query}&limit=10000000")).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let message = "limit must be a positive value";
        fixture.check(&format!("{BASE}/{path}?query={query}&limit=0"), 400, message).await;
    }
}

#[tokio::test]
async fn all_of_time_can_be_asked_for() {
    let fixture = Fixture::new();
    let query = format!("query={}", encode(r#"{service_name="shop"}"#));
    let stats = format!("{BASE}/index/stats?{query}");
    let hour = fixture.get(&stats).await.text();
    for range in [format!("start=0&end={}", i64::MAX), "start=0&end=2262-01-01T00:00:00Z".into()] {
        fixture.check(&format!("{stats}&{range}"), 200, &hour).await;
        for path in [
            "/loki/api/v1/index/volume",
            "/loki/api/v1/index/volume_range",
            "/loki/api/v1/patterns",
            "/native/v1/logs/facets",
            "/native/v1/logs/patterns",
            "/native/v1/logs/patterns/compare",
        ] {
            let reply = fixture.get(&format!("{path}?{query}&{range}")).await;
            assert_eq!(reply.status, 200, "{path}?{range}: {}", reply.text());
            assert!(reply.text().contains("shop") || reply.text().contains("stock"), "{path}");
        }
    }
    let reply = fixture.get(&format!("{stats}&start={}&end={}", i64::MIN, i64::MAX)).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("do not fit into time"), "{}", reply.text());
}

#[tokio::test]
async fn patterns_mind_filters() {
    let fixture = Fixture::new();
    let query = encode(r#"{service_name="shop"} |= "stock" | detected_level="error""#);
    let expected = concat!(
        r#"{"status":"success","data":[{"pattern":"{\"msg\":\"no stock\",\"took\":12}","#,
        r#""level":"error","samples":[[1699999970,1]]}]}"#
    );
    fixture.check(&format!("{BASE}/patterns?query={query}&step=10s"), 200, expected).await;
    let query = encode(r#"{service_name="shop"} | json"#);
    let reply = fixture.get(&format!("{BASE}/patterns?query={query}")).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().starts_with("patterns are counted of"), "{}", reply.text());
}

#[tokio::test]
async fn labels_of_mere_ids_are_not_detected() {
    let fixture = Fixture::new();
    let stream = Labels::from_pairs([
        ("pod", "1"),
        ("shard", "7"),
        ("run", "6fa459ea-ee8a-3ca4-894e-db77e160355e"),
        ("zone", "eu-1"),
    ]);
    fixture.logs.0.lock().push(&stream, (NOW - 5) * 1_000_000_000, "x", &[]);
    let query = encode(r#"{zone="eu-1"}"#);
    fixture
        .check(
            &format!("{BASE}/detected_labels?query={query}"),
            200,
            r#"{"detectedLabels":[{"label":"pod","cardinality":1},{"label":"zone","cardinality":1}]}"#,
        )
        .await;
}

#[tokio::test]
async fn fields_are_named_as_the_query_finds_them() {
    let fixture = Fixture::new();
    let query = encode(r#"{service_name="cart"} | regexp "took=(?P<millis>\\d+)ms""#);
    fixture
        .check(
            &format!("{BASE}/detected_fields?query={query}"),
            200,
            concat!(
                r#"{"fields":[{"label":"level_extracted","type":"string","cardinality":1,"parsers":["logfmt"]},"#,
                r#"{"label":"millis","type":"int","cardinality":1,"parsers":["regexp"]},"#,
                r#"{"label":"msg","type":"string","cardinality":1,"parsers":["logfmt"]},"#,
                r#"{"label":"took","type":"duration","cardinality":1,"parsers":["logfmt"]}],"limit":1000}"#
            ),
        )
        .await;
}

#[tokio::test]
async fn rules_in_logql_are_shown_as_yaml() {
    let fixture = Fixture::new();
    for path in ["/loki/api/v1/rules", "/api/prom/rules"] {
        fixture.check(path, 404, "no rule groups found").await;
    }
    let rule = |name: &str, query: &str, kind| RuleStatus {
        name: name.into(),
        query: query.into(),
        labels: Labels::from_pairs([("team", "a\"b")]),
        kind,
        health: Health::Ok,
        last_error: String::new(),
        evaluation_seconds: 0.0,
        last_evaluation: None,
    };
    let alerting = RuleKind::Alerting {
        state: AlertState::Inactive,
        for_ms: 90_000,
        keep_firing_for_ms: 0,
        annotations: vec![("summary".into(), "{{ $value }} errors".into())],
        alerts: Vec::new(),
    };
    let group = RuleGroupStatus {
        name: "errors".into(),
        file: "logs.yml".into(),
        language: Language::Logql,
        interval_ms: 60_000,
        limit: 5,
        evaluation_seconds: 0.0,
        last_evaluation: Some(TimestampMs(0)),
        rules: vec![
            rule("Errors", r#"sum(rate({a="b"} |= "error" [5m])) > 1"#, alerting),
            rule("errors:rate", r#"rate({a="b"}[5m])"#, RuleKind::Recording),
        ],
    };
    fixture.rules.0.lock().push(group.into());
    let lines = [
        "name: \"errors\"",
        "interval: 1m",
        "limit: 5",
        "rules:",
        "  - alert: \"Errors\"",
        "    expr: \"sum(rate({a=\\\"b\\\"} |= \\\"error\\\" [5m])) > 1\"",
        "    for: 1m30s",
        "    labels:",
        "      \"team\": \"a\\\"b\"",
        "    annotations:",
        "      \"summary\": \"{{ $value }} errors\"",
        "  - record: \"errors:rate\"",
        "    expr: \"rate({a=\\\"b\\\"}[5m])\"",
        "    labels:",
        "      \"team\": \"a\\\"b\"",
    ];
    let one = lines.map(|line| format!("{line}\n")).concat();
    let all = lines.iter().enumerate().map(|(i, line)| {
        let indent = if i == 0 { "  - " } else { "    " };
        format!("{indent}{line}\n")
    });
    let all = format!("\"logs.yml\":\n{}", all.collect::<String>());
    for base in ["/loki/api/v1/rules", "/api/prom/rules"] {
        fixture.check(base, 200, &all).await;
        fixture.check(&format!("{base}/logs.yml"), 200, &all).await;
        fixture.check(&format!("{base}/shop.yml"), 404, "no rule groups found").await;
        fixture.check(&format!("{base}/logs.yml/errors"), 200, &one).await;
        // How Grafana finds out whether rules can be written.
        let reply = fixture.get(&format!("{base}/test/test")).await;
        assert_eq!(reply.status, 404);
        assert!(reply.text().contains("page not found"), "{}", reply.text());
    }
    let reply = fixture.get("/loki/api/v1/rules").await;
    assert_eq!(reply.headers["content-type"], "application/yaml");
}

#[tokio::test]
async fn operators_find_the_pages_of_loki() {
    let fixture = Fixture::new();
    fixture.check("/config", 200, "data: ./data\n").await;
    fixture.check("/services", 200, "signalbox => Running\n").await;
    fixture.check("/ready", 200, "ready\n").await;
    let reply = fixture.get("/log_level").await;
    assert!(reply.text().starts_with(r#"{"message":"Current log level is "#), "{}", reply.text());
}

#[tokio::test]
async fn what_volumes_cost_is_told() {
    let fixture = Fixture::new();
    let query = encode(r#"{service_name="shop"}"#);
    let text = fixture.get(&format!("{BASE}/index/volume?query={query}")).await.text();
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    // A store without counts reads lines.
    assert_eq!(answer["data"]["stats"]["summary"]["totalLinesProcessed"], 2);
    assert_eq!(answer["data"]["stats"]["summary"]["totalBytesProcessed"], 47);
}
