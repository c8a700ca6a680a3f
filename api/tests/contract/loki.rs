//! What Grafana's Loki data source and Logs Drilldown send, and bad requests.

use axum::body::Body;
use http::Request;

use crate::fixture::{Fixture, NOW, Reply, encode};

const BASE: &str = "/loki/api/v1";

/// The cost at the end of an answer, which few tests are about.
fn without_stats(reply: &Reply) -> String {
    let text = reply.text();
    let Some((before, _)) = text.split_once(",\"stats\":{\"summary\"") else { return text };
    assert!(text.ends_with("}}}}"), "{text}");
    format!("{before}}}}}")
}

async fn categorized(fixture: &Fixture, path: &str) -> Reply {
    let request = Request::get(path)
        .header("X-Loki-Response-Encoding-Flags", "categorize-labels")
        .header("X-Query-Tags", "Source=grafana");
    fixture.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn the_health_check_of_grafana_gets_one_sample_equal_to_two() {
    let fixture = Fixture::new();
    let query = encode("vector(1)+vector(1)");
    let path = format!("{BASE}/query?direction=backward&query={query}&time=4000000000");
    let expected = r#"{"status":"success","data":{"resultType":"vector","encodingFlags":["categorize-labels"],"result":[{"metric":{},"value":[4000000000,"2"]}]}}"#;
    assert_eq!(without_stats(&categorized(&fixture, &path).await), expected);
    let path = format!("{BASE}/query?query={query}&time=1970-01-01T00:00:04Z");
    let expected = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[4,"2"]}]}}"#;
    assert_eq!(without_stats(&fixture.get(&path).await), expected);
}

#[tokio::test]
async fn lines_come_as_pairs_or_with_their_labels_by_kind() {
    let fixture = Fixture::new();
    let query = encode(r#"{service_name=~".+"}"#);
    let (start, end) = (NOW - 60, NOW);
    let path = format!(
        "{BASE}/query_range?query={query}&direction=backward&limit=1000&start={start}000000000&end={end}000000000&step=15000ms"
    );
    assert_eq!(
        without_stats(&categorized(&fixture, &path).await),
        r#"{"status":"success","data":{"resultType":"streams","encodingFlags":["categorize-labels"],"result":[{"stream":{"level":"error","service_name":"shop"},"values":[["1699999990000000000","plain \"quoted\" line",{}],["1699999970000000005","{\"msg\":\"no stock\",\"took\":12}",{"structuredMetadata":{"detected_level":"error","trace_id":"abcd"}}]]},{"stream":{"level":"info","service_name":"cart"},"values":[["1699999980000000000","level=info msg=\"added\" took=5ms",{}]]}]}}"#
    );
    assert_eq!(
        without_stats(&fixture.get(&path).await),
        r#"{"status":"success","data":{"resultType":"streams","result":[{"stream":{"level":"error","service_name":"shop"},"values":[["1699999990000000000","plain \"quoted\" line"]]},{"stream":{"detected_level":"error","level":"error","service_name":"shop","trace_id":"abcd"},"values":[["1699999970000000005","{\"msg\":\"no stock\",\"took\":12}"]]},{"stream":{"level":"info","service_name":"cart"},"values":[["1699999980000000000","level=info msg=\"added\" took=5ms"]]}]}}"#
    );
    let json = encode(r#"{service_name="shop"} | json | __error__="""#);
    let path = format!(
        "{BASE}/query_range?query={json}&start={start}&end={end}&direction=forward&limit=1"
    );
    assert_eq!(
        without_stats(&categorized(&fixture, &path).await),
        r#"{"status":"success","data":{"resultType":"streams","encodingFlags":["categorize-labels"],"result":[{"stream":{"level":"error","service_name":"shop"},"values":[["1699999970000000005","{\"msg\":\"no stock\",\"took\":12}",{"structuredMetadata":{"detected_level":"error","trace_id":"abcd"},"parsed":{"msg":"no stock","took":"12"}}]]}]}}"#
    );
}

#[tokio::test]
async fn keys_come_in_the_order_that_a_streaming_reader_needs() {
    let fixture = Fixture::new();
    let query = encode(r#"{service_name="shop"}"#);
    let path = format!("{BASE}/query_range?query={query}");
    let text = categorized(&fixture, &path).await.text();
    let order =
        ["resultType", "encodingFlags", "\"result\"", "\"stream\"", "\"values\"", "\"stats\""];
    let places: Vec<usize> = order.iter().map(|key| text.find(key).unwrap()).collect();
    assert!(places.is_sorted(), "{text}");
}

#[tokio::test]
async fn numbers_are_counted_over_a_range() {
    let fixture = Fixture::new();
    let query = encode(
        r#"sum by (level, detected_level) (count_over_time({service_name=~".+"} | drop __error__ [60s]))"#,
    );
    let path =
        format!("{BASE}/query_range?query={query}&start={}&end={NOW}&step=60000ms", NOW - 60);
    assert_eq!(
        without_stats(&fixture.get(&path).await),
        r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"detected_level":"error","level":"error"},"values":[[1700000000,"1"]]},{"metric":{"level":"error"},"values":[[1700000000,"1"]]},{"metric":{"level":"info"},"values":[[1700000000,"1"]]}]}}"#
    );
}

#[tokio::test]
async fn the_cost_of_a_query_is_told_in_numbers() {
    let fixture = Fixture::new();
    let query = encode(r#"{service_name="cart"}"#);
    let text = fixture.get(&format!("{BASE}/query_range?query={query}")).await.text();
    let stats: serde_json::Value = serde_json::from_str(&text).unwrap();
    let summary = &stats["data"]["stats"]["summary"];
    assert_eq!(summary["totalLinesProcessed"], 1);
    assert_eq!(summary["totalBytesProcessed"], 31);
    assert_eq!(summary["totalEntriesReturned"], 1);
    assert!(stats["data"]["stats"]["ingester"]["totalReached"].is_number());
}

#[tokio::test]
async fn names_values_and_series_are_listed() {
    let fixture = Fixture::new();
    let shop = encode(r#"{service_name="shop"}"#);
    let ns = format!("start={}000000000&end={NOW}000000000", NOW - 3600);
    for (path, expected) in [
        (format!("labels?{ns}"), r#"{"status":"success","data":["level","service_name"]}"#),
        (
            format!("labels?{ns}&query=%7B%7D"),
            r#"{"status":"success","data":["level","service_name"]}"#,
        ),
        (
            format!("label/level/values?{ns}&query={shop}"),
            r#"{"status":"success","data":["error"]}"#,
        ),
        (
            "label/level/values?start=2023-11-14T22:00:00Z&end=2023-11-14T22:14:00.5Z".into(),
            r#"{"status":"success","data":["error","info"]}"#,
        ),
        (
            format!("series?match[]={shop}&{ns}"),
            r#"{"status":"success","data":[{"level":"error","service_name":"shop"}]}"#,
        ),
        (
            format!("index/stats?query={shop}&{ns}"),
            r#"{"streams":1,"chunks":0,"bytes":47,"entries":2}"#,
        ),
        (
            format!("detected_labels?{ns}"),
            r#"{"detectedLabels":[{"label":"level","cardinality":2},{"label":"service_name","cardinality":2}]}"#,
        ),
        (
            // A store without patterns of its own takes each line for one.
            format!("patterns?query={shop}&{ns}"),
            concat!(
                r#"{"status":"success","data":[{"pattern":"plain \"quoted\" line","level":"","#,
                r#""samples":[[1699999980,1]]},{"pattern":"{\"msg\":\"no stock\",\"took\":12}","#,
                r#""level":"error","samples":[[1699999970,1]]}]}"#
            ),
        ),
        (
            "status/buildinfo".into(),
            r#"{"version":"1.2.3","revision":"abc","branch":"","buildUser":"","buildDate":"","goVersion":""}"#,
        ),
    ] {
        fixture.check(&format!("{BASE}/{path}"), 200, expected).await;
    }
    let reply = fixture.post_form(&format!("{BASE}/series"), &format!("match%5B%5D={shop}")).await;
    assert_eq!(
        reply.text(),
        r#"{"status":"success","data":[{"level":"error","service_name":"shop"}]}"#
    );
    let query = encode(r#"{a="b"}|="x""#);
    fixture
        .check(
            &format!("{BASE}/format_query?query={query}"),
            200,
            r#"{"status":"success","data":"{a=\"b\"} |= \"x\""}"#,
        )
        .await;
}

#[tokio::test]
async fn fields_are_detected_in_metadata_json_and_logfmt() {
    let fixture = Fixture::new();
    let all = encode(r#"{service_name=~".+"}"#);
    fixture
        .check(
            &format!("{BASE}/detected_fields?query={all}&limit=1000&line_limit=1000"),
            200,
            r#"{"fields":[{"label":"detected_level","type":"string","cardinality":1,"parsers":null},{"label":"level_extracted","type":"string","cardinality":1,"parsers":["logfmt"]},{"label":"msg","type":"string","cardinality":2,"parsers":["json","logfmt"],"jsonPath":["msg"]},{"label":"took","type":"int","cardinality":2,"parsers":["json","logfmt"],"jsonPath":["took"]},{"label":"trace_id","type":"string","cardinality":1,"parsers":null}],"limit":1000}"#,
        )
        .await;
    fixture
        .check(
            &format!("{BASE}/detected_field/took/values?query={all}"),
            200,
            r#"{"values":["12","5ms"],"limit":1000}"#,
        )
        .await;
}

#[tokio::test]
async fn volumes_are_bytes_by_label_the_largest_first() {
    let fixture = Fixture::new();
    let all = encode(r#"{service_name=~".+"}"#);
    let range = format!("start={}&end={NOW}", NOW - 60);
    let path =
        format!("{BASE}/index/volume?query={all}&{range}&limit=5000&targetLabels=service_name");
    assert_eq!(
        without_stats(&fixture.get(&path).await),
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"service_name":"shop"},"value":[1700000000,"47"]},{"metric":{"service_name":"cart"},"value":[1700000000,"31"]}]}}"#
    );
    let path = format!("{BASE}/index/volume?query={all}&{range}&aggregateBy=labels");
    assert_eq!(
        without_stats(&fixture.get(&path).await),
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"level":""},"value":[1700000000,"78"]},{"metric":{"service_name":""},"value":[1700000000,"78"]}]}}"#
    );
    let path = format!("{BASE}/index/volume_range?query={all}&{range}&step=45s");
    assert_eq!(
        without_stats(&fixture.get(&path).await),
        r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"service_name":"shop"},"values":[[1699999940,"28"],[1699999985,"19"]]},{"metric":{"service_name":"cart"},"values":[[1699999940,"31"]]}]}}"#
    );
}

#[tokio::test]
async fn bad_requests_are_told_in_plain_text() {
    let fixture = Fixture::new();
    let shop = encode(r#"{service_name="shop"}"#);
    for (path, message) in [
        (
            format!("query_range?query={shop}&limit=5001"),
            "max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)",
        ),
        (format!("query_range?query={shop}&limit=0"), "limit must be a positive value"),
        (
            format!("query_range?query={shop}&direction=up"),
            "invalid direction \"up\", it is \"forward\" or \"backward\"",
        ),
        (
            format!("query_range?query={shop}&start=2&end=1"),
            "end timestamp must not be before or equal to start time",
        ),
        (
            format!("query_range?query={shop}&start=1&end=100000&step=1"),
            "exceeded maximum resolution of 11000 points per time series. Try increasing the value of the step parameter",
        ),
        (
            format!("query?query={shop}"),
            "log queries are not supported as an instant query type, please change your query to a range query type",
        ),
        (
            format!("query?query={shop}&time=x"),
            "invalid parameter \"time\": cannot parse \"x\" to a valid timestamp",
        ),
    ] {
        let reply = fixture.get(&format!("{BASE}/{path}")).await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (400, message));
        assert_eq!(reply.headers["content-type"], "text/plain; charset=utf-8");
    }
    let reply = fixture.get(&format!("{BASE}/query_range?query=%7Ba%3D")).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().starts_with("parse error at line 1, col "), "{}", reply.text());
}
