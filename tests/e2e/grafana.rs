//! What Grafana's data sources send when one presses "Save & test", and one panel query each. Its
//! plugins decode strictly, so shapes matter.

use serde_json::{Value, json};

use crate::support::otlp::{self, LOGS, METRICS, TRACES};
use crate::support::{Server, now_ns};

/// A server with one item of each signal, sent at the answered time.
async fn server_with_telemetry() -> (Server, u64) {
    let server = Server::start().await;
    let at_ns = now_ns();
    let point = otlp::point(at_ns / 1_000_000, 42.0, vec![otlp::attribute("room", "attic")]);
    server.send(METRICS, &otlp::gauge("house", "temperature", vec![point])).await;
    let mut record = otlp::record(at_ns, "the light is on");
    record.attributes = vec![otlp::attribute("room", "attic")];
    server.send(LOGS, &otlp::logs("house", vec![record])).await;
    let mut span = otlp::span(0xabc, 0xdef, "switch on", at_ns);
    span.attributes = vec![otlp::attribute("room", "attic")];
    server.send(TRACES, &otlp::traces("house", vec![span])).await;
    (server, at_ns)
}

fn is_json(answer: &crate::support::Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("content-type").starts_with("application/json"), "{answer:?}");
    answer.json()
}

/// A form in the body, as Grafana's Prometheus source sends its queries.
async fn post_form(server: &Server, path: &str, form: &[(&str, &str)]) -> Value {
    let encoded = reqwest::Url::parse_with_params("http://x", form).unwrap();
    let request = crate::support::client()
        .post(format!("http://{}{path}", server.addresses.query))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(encoded.query().unwrap().to_owned());
    is_json(&crate::support::Answer::of(request.send().await.unwrap()).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prometheus_source_saves_and_draws() {
    let (server, at_ns) = server_with_telemetry().await;
    let health = [("query", "1+1"), ("time", "4")];
    let answer = post_form(&server, "/prometheus/api/v1/query", &health).await;
    let wanted = json!({"status": "success", "data": {"resultType": "scalar", "result": [4, "2"]}});
    assert_eq!(answer, wanted);
    // No `features`: Grafana takes the source for Prometheus rather than Mimir.
    let build = is_json(&server.get("/prometheus/api/v1/status/buildinfo").await);
    assert!(build["data"]["version"].is_string() && build["data"].get("features").is_none());

    let at_s = at_ns / 1_000_000_000;
    let (start, end) = ((at_s - 60).to_string(), (at_s + 60).to_string());
    let panel = [
        ("query", r#"avg by (room) (temperature{job="house"})"#),
        ("start", start.as_str()),
        ("end", end.as_str()),
        ("step", "15"),
    ];
    let answer = post_form(&server, "/prometheus/api/v1/query_range", &panel).await;
    let data = &answer["data"];
    assert_eq!(
        (&data["resultType"], &data["result"][0]["metric"]),
        (&"matrix".into(), &json!({"room": "attic"}))
    );
    let values = data["result"][0]["values"].as_array().unwrap();
    assert!(!values.is_empty() && values.iter().all(|value| value[1] == "42"), "{answer}");

    let names = is_json(&server.get("/prometheus/api/v1/label/__name__/values").await);
    assert!(names["data"].as_array().unwrap().contains(&"temperature".into()), "{names}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loki_source_saves_and_draws() {
    let (server, at_ns) = server_with_telemetry().await;
    let health =
        [("direction", "backward"), ("query", "vector(1)+vector(1)"), ("time", "4000000000")];
    let answer = is_json(&server.ask("/loki/api/v1/query", &health).await);
    assert_eq!(answer["data"]["resultType"], "vector");
    // Grafana means nanoseconds; Loki takes ten digits for seconds, and Grafana is content.
    let wanted = json!([{"metric": {}, "value": [4_000_000_000_u64, "2"]}]);
    assert_eq!(answer["data"]["result"], wanted);

    // Grafana asks for the kinds of labels, and then every value must have three elements.
    let (start, end) = ((at_ns - 60).to_string(), (at_ns + 60).to_string());
    let panel = [
        ("direction", "backward"),
        ("query", r#"{service_name="house"} |= "light""#),
        ("start", start.as_str()),
        ("end", end.as_str()),
        ("limit", "1000"),
    ];
    let url = format!("http://{}/loki/api/v1/query_range", server.addresses.query);
    let request = crate::support::client()
        .get(reqwest::Url::parse_with_params(&url, &panel).unwrap())
        .header("X-Loki-Response-Encoding-Flags", "categorize-labels");
    let answer = crate::support::Answer::of(request.send().await.unwrap()).await.unwrap();
    let text = answer.text();
    let json = is_json(&answer);
    assert_eq!(json["data"]["encodingFlags"], json!(["categorize-labels"]), "{text}");
    let stream = &json["data"]["result"][0];
    assert_eq!(stream["stream"]["service_name"], "house", "{text}");
    let value = &stream["values"][0];
    assert_eq!((&value[0], &value[1]), (&at_ns.to_string().into(), &"the light is on".into()));
    assert_eq!(value[2]["structuredMetadata"]["room"], "attic", "{text}");
    let position = |piece: &str| text.find(piece).unwrap_or_else(|| panic!("{piece}: {text}"));
    assert!(position("\"stream\"") < position("\"values\""), "{text}");

    let range = [("start", start.as_str()), ("end", end.as_str())];
    let count = [("query", r#"sum(count_over_time({service_name="house"}[1m]))"#)];
    let volume = is_json(&server.ask("/loki/api/v1/query", &count).await);
    assert_eq!(volume["data"]["result"][0]["value"][1], "1", "{volume}");
    let labels = is_json(&server.ask("/loki/api/v1/labels", &range).await);
    assert!(labels["data"].as_array().unwrap().contains(&"service_name".into()), "{labels}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tempo_source_saves_and_draws() {
    let (server, at_ns) = server_with_telemetry().await;
    let echo = server.get("/tempo/api/echo").await;
    assert_eq!((echo.status, echo.text().as_str()), (200, "echo"));

    let at_s = at_ns / 1_000_000_000;
    let (start, end) = ((at_s - 60).to_string(), (at_s + 60).to_string());
    let query = r#"{resource.service.name="house" && span.room="attic"}"#;
    let search = [
        ("q", query),
        ("limit", "20"),
        ("spss", "3"),
        ("start", start.as_str()),
        ("end", end.as_str()),
    ];
    let found = is_json(&server.ask("/tempo/api/search", &search).await);
    let traces = found["traces"].as_array().unwrap();
    assert_eq!(traces.len(), 1, "{found}");
    let trace = &traces[0];
    let id = trace["traceID"].as_str().unwrap();
    assert_eq!(u128::from_str_radix(id, 16), Ok(0xabc));
    assert_eq!(
        (&trace["rootServiceName"], &trace["rootTraceName"]),
        (&"house".into(), &"switch on".into())
    );
    // 64-bit numbers are text in this JSON.
    assert_eq!(trace["startTimeUnixNano"], at_ns.to_string());
    assert_eq!(trace["spanSets"][0]["spans"][0]["spanID"], format!("{:016x}", 0xdef));

    let spans = server.trace(0xabc).await;
    assert_eq!((spans.len(), spans[0].1.name.as_str()), (1, "switch on"));
    assert_eq!(server.search(query, 20).await.len(), 1);
    // Short ids are padded, unknown ones are 404.
    assert_eq!(server.get("/tempo/api/v2/traces/abc").await.status, 200);
    assert_eq!(server.get("/tempo/api/traces/abd").await.status, 404);

    let tags = is_json(&server.get("/tempo/api/v2/search/tags").await);
    let scopes = tags["scopes"].as_array().unwrap();
    let of_spans = scopes.iter().find(|scope| scope["name"] == "span").unwrap();
    assert!(of_spans["tags"].as_array().unwrap().contains(&"room".into()), "{tags}");
    let values = "/tempo/api/v2/search/tag/resource.service.name/values";
    let values = is_json(&server.get(values).await);
    assert_eq!(values["tagValues"], json!([{"type": "string", "value": "house"}]));

    let range = [
        ("q", "{} | rate() by (resource.service.name)"),
        ("start", start.as_str()),
        ("end", end.as_str()),
        ("step", "15s"),
    ];
    let rates = is_json(&server.ask("/tempo/api/metrics/query_range", &range).await);
    assert_eq!(rates["series"].as_array().unwrap().len(), 1, "{rates}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_alertmanager_source_saves_and_lists() {
    let (server, _) = server_with_telemetry().await;
    // An answer here would make Grafana take the source for Cortex and refuse it.
    let cortex = server.get("/alertmanager/alertmanager/api/v2/status").await;
    assert_eq!(cortex.status, 404, "{}", cortex.text());
    let status = is_json(&server.get("/alertmanager/api/v2/status").await);
    assert!(status["config"]["original"].is_string(), "{status}");
    assert!(status["cluster"]["status"].is_string(), "{status}");
    assert!(status["versionInfo"]["version"].is_string(), "{status}");

    for list in ["alerts", "alerts/groups", "silences"] {
        let answer = is_json(&server.get(&format!("/alertmanager/api/v2/{list}")).await);
        assert_eq!(answer, json!([]), "{list}");
    }
    let receivers = is_json(&server.get("/alertmanager/api/v2/receivers").await);
    assert!(receivers[0]["name"].is_string(), "{receivers}");
}
