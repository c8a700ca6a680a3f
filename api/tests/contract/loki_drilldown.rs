//! The queries that Explore and Logs Drilldown make, read as Grafana reads them.

use axum::body::Body;
use http::Request;
use model::Labels;

use crate::fixture::{Fixture, NOW, encode};
use crate::reader::{self, Answer};

const BASE: &str = "/loki/api/v1";

/// Asks as Logs Drilldown does.
async fn ask(fixture: &Fixture, kind: &str, query: &str, rest: &str) -> Answer {
    let (start, end) = (NOW - 60, NOW);
    let path = format!(
        "{BASE}/{kind}?query={}&direction=backward&start={start}000000000&end={end}000000000{rest}",
        encode(query)
    );
    let request = Request::get(path)
        .header("X-Loki-Response-Encoding-Flags", "categorize-labels")
        .header("X-Query-Tags", "Source=grafana-lokiexplore-app")
        .header("X-Loki-Query-Limits-Context", r#"{"expr":"{}","from":1,"to":2}"#)
        .header("X-Scope-OrgID", "1");
    let reply = fixture.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, 200, "{query}: {}", reply.text());
    reader::read(&reply.text())
}

/// Labels and points of a matrix in short.
fn points(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.kind, "matrix");
    let write = |series: &reader::Series| {
        let labels: Vec<String> =
            series.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let values: Vec<String> =
            series.values.iter().map(|(at, value, _)| format!("{value}@{at}")).collect();
        format!("{} {}", labels.join(","), values.join(" "))
    };
    answer.series.iter().map(write).collect()
}

#[tokio::test]
async fn the_five_shapes_of_drilldown_are_answered() {
    let fixture = Fixture::new();
    let step = "&step=60000ms";
    for (query, expected) in [
        (
            r#"sum by (detected_level) (count_over_time({service_name="shop"} [60s]))"#,
            vec![" 1@1700000000", "detected_level=error 1@1700000000"],
        ),
        (
            r#"sum by (level) (count_over_time({service_name=~".+"} |= "" [60s]))"#,
            vec!["level=error 2@1700000000", "level=info 1@1700000000"],
        ),
        (
            r#"sum by (trace_id) (count_over_time({service_name="shop"} | trace_id!="" [60s]))"#,
            vec!["trace_id=abcd 1@1700000000"],
        ),
        (
            r#"sum by (msg) (count_over_time({service_name=~".+"} | json | logfmt | drop __error__, __error_details__ | msg!="" [60s]))"#,
            vec!["msg=added 1@1700000000", "msg=no stock 1@1700000000"],
        ),
        (
            r#"avg_over_time({service_name="shop"} | json | drop __error__, __error_details__ | took!="" | unwrap took | __error__="" [60s]) by ()"#,
            vec![" 12@1700000000"],
        ),
        (
            r#"sum by (level, detected_level) (count_over_time({service_name="cart"} | drop __error__ [60s]))"#,
            vec!["level=info 1@1700000000"],
        ),
    ] {
        let answer = ask(&fixture, "query_range", query, step).await;
        assert_eq!(points(&answer), expected, "{query}");
    }
}

#[tokio::test]
async fn lines_are_read_with_their_labels_by_kind() {
    let fixture = Fixture::new();
    let query = r#"{service_name="shop"} | json | logfmt | drop __error__, __error_details__"#;
    let answer = ask(&fixture, "query_range", query, "&limit=1000").await;
    assert_eq!(answer.kind, "streams");
    let values = &answer.series[0].values;
    assert_eq!(values.len(), 2);
    assert_eq!(values[1].0, "1699999970000000005");
    assert_eq!(values[1].2["structuredMetadata"]["trace_id"], "abcd");
    assert_eq!(values[1].2["parsed"]["took"], "12");
    let pattern = r#"{service_name="shop"} |> "plain <_> line""#;
    let answer = ask(&fixture, "query_range", pattern, "&limit=1000").await;
    assert_eq!(answer.series[0].values.len(), 1);
}

#[tokio::test]
async fn the_context_of_a_line_is_two_queries() {
    let fixture = Fixture::new();
    let stream = Labels::from_pairs([("service_name", "context")]);
    let at = (NOW - 30) * 1_000_000_000;
    for i in 0..9 {
        fixture.logs.0.lock().push(&stream, at + i / 3, &format!("line {i}"), &[]);
    }
    let query = encode(r#"{service_name="context"}"#);
    let ask = async |direction: &str, start: i64, end: i64| {
        let path = format!(
            "{BASE}/query_range?query={query}&direction={direction}&limit=4&start={start}&end={end}"
        );
        let answer = reader::read(&fixture.get(&path).await.text());
        let lines = answer.series.into_iter().flat_map(|series| series.values);
        lines.map(|(_, line, _)| line).collect::<Vec<_>>()
    };
    let before = ask("backward", at - 1000, at + 2).await;
    assert_eq!(before, ["line 5", "line 4", "line 3", "line 2"]);
    let after = ask("forward", at + 1, at + 1000).await;
    assert_eq!(after, ["line 3", "line 4", "line 5", "line 6"]);
}

#[tokio::test]
async fn the_tabs_of_drilldown_take_times_as_rfc_3339() {
    let fixture = Fixture::new();
    let shop = encode(r#"{service_name="shop"}"#);
    let all = encode(r#"{service_name=~`.+`}"#);
    let range = "start=2023-11-14T22:12:20.000Z&end=2023-11-14T22:13:20.000Z";
    for (path, part) in [
        (
            format!("index/volume?query={all}&{range}&limit=5000&targetLabels=service_name"),
            r#""result":[{"metric":{"service_name":"shop"},"value":[1700000000,"47"]}"#,
        ),
        (format!("detected_labels?query={shop}&{range}"), r#"{"label":"level","cardinality":1}"#),
        (
            format!("detected_fields?query={shop}&{range}&limit=1000&line_limit=1000"),
            r#"{"label":"took","type":"int","cardinality":1,"parsers":["json"],"jsonPath":["took"]}"#,
        ),
        (
            format!("detected_field/took/values?query={shop}&{range}&limit=1000"),
            r#"{"values":["12"],"limit":1000}"#,
        ),
        (
            format!("patterns?query={shop}&{range}&step=10s"),
            r#""status":"success","data":[{"pattern":"#,
        ),
        ("drilldown-limits".into(), r#""pattern_ingester_enabled":true"#),
        (format!("label/__stream_shard__/values?{range}"), r#""data":[]"#),
    ] {
        let reply = fixture.get(&format!("{BASE}/{path}")).await;
        assert_eq!(reply.status, 200, "{path}");
        assert!(reply.text().contains(part), "{path}: {}", reply.text());
    }
}
