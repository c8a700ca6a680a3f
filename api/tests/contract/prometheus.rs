//! What Grafana's Prometheus data source sends, and bad requests.

use crate::fixture::{Fixture, NOW, encode};

const BASE: &str = "/prometheus/api/v1";

#[tokio::test]
async fn the_health_check_of_grafana_is_answered_by_get_and_by_post() {
    let fixture = Fixture::new();
    let expected = r#"{"status":"success","data":{"resultType":"scalar","result":[4,"2"]}}"#;
    for base in [BASE, "/api/v1"] {
        fixture.check(&format!("{base}/query?query=1%2B1&time=4"), 200, expected).await;
        let form = "query=1%2B1&time=4&timeout=30s&max_samples_processed_warning_threshold=5";
        let reply = fixture.post_form(&format!("{base}/query"), form).await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, expected));
        // A form and a query string together.
        let reply = fixture.post_form(&format!("{base}/query?time=4"), "query=1%2B1").await;
        assert_eq!(reply.text(), expected);
        assert_eq!(reply.headers["content-type"], "application/json");
    }
    let build = r#"{"status":"success","data":{"version":"1.2.3","revision":"abc","branch":"","buildUser":"","buildDate":"","goVersion":""}}"#;
    fixture.check(&format!("{BASE}/status/buildinfo"), 200, build).await;
}

#[tokio::test]
async fn instant_queries_answer_vectors_matrices_and_strings() {
    let fixture = Fixture::new();
    let at = format!("&time={}.25", NOW - 1);
    fixture
        .check(
            &format!("{BASE}/query?query=http_requests_total{at}"),
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"http_requests_total","code":"200","job":"shop"},"value":[1699999999.250,"1170"]},{"metric":{"__name__":"http_requests_total","code":"500","job":"shop"},"value":[1699999999.250,"58.5"]}]}}"#,
        )
        .await;
    fixture
        .check(
            &format!("{BASE}/query?query=latency&time={NOW}"),
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"latency","job":"shop"},"histogram":[1700000000,{"count":"4","sum":"5.5","buckets":[[3,"-0.001","0.001","1"],[0,"0.5","1","1"],[0,"2","4","2"]]}]}]}}"#,
        )
        .await;
    let odd = encode("{\"odd.name\"}[20s]");
    fixture
        .check(
            &format!("{BASE}/query?query={odd}&time={NOW}"),
            200,
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"odd.name","http.route":"/a","q":"a\"b\n"},"values":[[1699999985,"1e-07"],[1700000000,"1e-07"]]}]}}"#,
        )
        .await;
    fixture
        .check(
            &format!("{BASE}/query?query=%22a%22&time=1.5"),
            200,
            r#"{"status":"success","data":{"resultType":"string","result":[1.5,"a"]}}"#,
        )
        .await;
    fixture
        .check(
            &format!("{BASE}/query?query=http_requests_total&limit=1"),
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"http_requests_total","code":"200","job":"shop"},"value":[1700000000,"1200"]}]},"warnings":["results truncated due to limit"]}"#,
        )
        .await;
    fixture
        .check(
            &format!("{BASE}/query?query=absent_metric"),
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
        )
        .await;
}

#[tokio::test]
async fn range_queries_answer_matrices_also_for_scalars() {
    let fixture = Fixture::new();
    let (start, end) = (NOW - 30, NOW);
    let range = format!("start={start}&end={end}.000&step=15");
    fixture
        .check(
            &format!("{BASE}/query_range?query=1&{range}"),
            200,
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1699999970,"1"],[1699999985,"1"],[1700000000,"1"]]}]}}"#,
        )
        .await;
    let rate = encode("sum by (code) (rate(http_requests_total[1m]))");
    let expected = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"code":"200"},"values":[[1699999970,"1.9999999999999998"],[1700000000,"1.9999999999999998"]]},{"metric":{"code":"500"},"values":[[1699999970,"0.09999999999999999"],[1700000000,"0.09999999999999999"]]}]}}"#;
    let form = format!("query={rate}&start={start}&end={end}&step=30s");
    let reply = fixture.post_form(&format!("{BASE}/query_range"), &form).await;
    assert_eq!(reply.text(), expected);
    let reply = fixture
        .get(&format!(
            "{BASE}/query_range?query=latency&start=2023-11-14T22:13:20Z&end={end}&step=1&stats=all"
        ))
        .await;
    assert_eq!(
        reply.text(),
        r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"latency","job":"shop"},"histograms":[[1700000000,{"count":"4","sum":"5.5","buckets":[[3,"-0.001","0.001","1"],[0,"0.5","1","1"],[0,"2","4","2"]]}]]}],"stats":{"timings":{"evalTotalTime":0,"resultSortTime":0,"queryPreparationTime":0,"innerEvalTime":0,"execQueueTime":0,"execTotalTime":0},"samples":{"totalQueryableSamplesPerStep":[[1700000000,13]],"totalQueryableSamples":13,"samplesReadPerStep":[[1700000000,13]],"samplesRead":13,"peakSamples":13}}}}"#
    );
}

/// The `samples` of the statistics of a query.
async fn samples(fixture: &Fixture, path: &str) -> String {
    let text = fixture.get(&format!("{BASE}/{path}")).await.text();
    let begin = text.find("\"samples\":{").unwrap_or_else(|| panic!("{text}"));
    text[begin..].trim_end_matches('}').to_owned()
}

#[tokio::test]
async fn samples_are_counted_by_step_as_prometheus_counts_them() {
    let fixture = Fixture::new();
    let range = format!("start={}&end={NOW}&step=15", NOW - 30);
    // Two series, one sample each at each of three steps.
    assert_eq!(
        samples(&fixture, &format!("query_range?query=http_requests_total&{range}&stats=true"))
            .await,
        r#""samples":{"totalQueryableSamples":6,"samplesRead":6,"peakSamples":6"#
    );
    // Windows of four samples, of which each step reads one new one.
    assert_eq!(
        samples(
            &fixture,
            &format!("query_range?query=rate(http_requests_total[1m])&{range}&stats=all")
        )
        .await,
        r#""samples":{"totalQueryableSamplesPerStep":[[1699999970,8],[1699999985,8],[1700000000,8]],"totalQueryableSamples":24,"samplesReadPerStep":[[1699999970,8],[1699999985,2],[1700000000,2]],"samplesRead":12,"peakSamples":10"#
    );
    // A fixed time is read once.
    assert_eq!(
        samples(
            &fixture,
            &format!("query_range?query=http_requests_total%20@%20{NOW}&{range}&stats=true")
        )
        .await,
        r#""samples":{"totalQueryableSamples":6,"samplesRead":2,"peakSamples":6"#
    );
    let reply = fixture.get(&format!("{BASE}/query?query=1&time=1&stats=yes")).await.text();
    assert!(
        reply.ends_with(r#"},"warnings":["value \"yes\" for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\""]}"#),
        "{reply}"
    );
}

#[tokio::test]
async fn bad_requests_have_the_texts_of_prometheus() {
    let fixture = Fixture::new();
    let bad = |message: &str| {
        format!(r#"{{"status":"error","errorType":"bad_data","error":"{message}"}}"#)
    };
    for (path, message) in [
        (
            "query?query=1&time=x",
            r#"invalid parameter \"time\": invalid time value for 'time': cannot parse \"x\" to a valid timestamp"#,
        ),
        ("query?query=1&limit=-1", r#"invalid parameter \"limit\": limit must be non-negative"#),
        (
            "query?query=1&timeout=x",
            r#"invalid parameter \"timeout\": cannot parse \"x\" to a valid duration"#,
        ),
        (
            "query_range?query=1&start=2&end=1&step=1",
            r#"invalid parameter \"end\": end timestamp must not be before start time"#,
        ),
        (
            "query_range?query=1&start=1&end=2&step=0",
            r#"invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer"#,
        ),
        (
            "query_range?query=1&start=1&end=2",
            r#"invalid parameter \"step\": cannot parse \"\" to a valid duration"#,
        ),
        (
            "query_range?query=1&end=2&step=1",
            r#"invalid parameter \"start\": cannot parse \"\" to a valid timestamp"#,
        ),
        (
            "query_range?query=1&start=0&end=11001&step=1",
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ),
        (
            "query_range?query=up[1m]&start=1&end=2&step=1",
            r#"invalid parameter \"query\": invalid expression type \"range vector\" for range query, must be Scalar or instant Vector"#,
        ),
        (
            "query?query=1&limit=x",
            r#"invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax"#,
        ),
        (
            "query?query=1&limit=99999999999999999999",
            r#"invalid parameter \"limit\": strconv.Atoi: parsing \"99999999999999999999\": value out of range"#,
        ),
        (
            "query?query=1&lookback_delta=x",
            r#"error parsing lookback delta duration: cannot parse \"x\" to a valid duration"#,
        ),
        (
            "query_range?query=1&start=1&end=2&step=1e40",
            r#"invalid parameter \"step\": cannot parse \"1e40\" to a valid duration. It overflows int64"#,
        ),
        // What is wrong is told in Prometheus's order: limit, start, end, step, query.
        (
            "query_range?query=(&limit=-1&start=x",
            r#"invalid parameter \"limit\": limit must be non-negative"#,
        ),
        (
            "query_range?query=(&start=x&end=y",
            r#"invalid parameter \"start\": cannot parse \"x\" to a valid timestamp"#,
        ),
        ("query_exemplars?query=sum(", "1:5: parse error: unclosed left parenthesis"),
        (
            "query_exemplars?query=up&start=2&end=1",
            "end timestamp must not be before start timestamp",
        ),
        ("labels?match[]={}", "match[] must contain at least one non-empty matcher"),
        ("labels?match[]=up[5m]", r#"1:3: parse error: unexpected \"[\""#),
        (
            "series?match[]={}",
            r#"invalid parameter \"match[]\": match[] must contain at least one non-empty matcher"#,
        ),
        (
            "series?match[]=sum(up)&limit=0",
            r#"invalid parameter \"match[]\": 1:4: parse error: unexpected \"(\""#,
        ),
        ("series?limit=x", "no match[] parameter provided"),
        (
            "labels?start=x",
            r#"invalid parameter \"start\": invalid time value for 'start': cannot parse \"x\" to a valid timestamp"#,
        ),
        ("metadata?limit=x", "limit must be a number"),
        ("metadata?limit_per_metric=x", "limit_per_metric must be a number"),
        (
            "rules?group_limit=x",
            r#"invalid parameter \"group_limit\": group_limit needs to be a valid number: strconv.ParseInt: parsing \"x\": invalid syntax"#,
        ),
        (
            "rules?group_limit=0",
            r#"invalid parameter \"group_limit\": group_limit needs to be greater than 0"#,
        ),
        (
            "rules?group_next_token=x",
            r#"invalid parameter \"group_next_token\": group_limit needs to be present in order to paginate over the groups"#,
        ),
        (
            "rules?group_limit=1&group_next_token=x",
            r#"invalid parameter \"group_next_token\": invalid group_next_token 'x'. were rule groups changed?"#,
        ),
        (
            "rules?exclude_alerts=x",
            r#"invalid parameter \"exclude_alerts\": error converting exclude_alerts: strconv.ParseBool: parsing \"x\": invalid syntax"#,
        ),
        ("rules?match[]={}", "match[] must contain at least one non-empty matcher"),
        ("status/tsdb?limit=0", "limit must be a positive number"),
        ("status/tsdb?limit=10001", "limit must not exceed 10000"),
        ("targets/metadata?limit=x", "limit must be a number"),
        ("scrape_pools/config", "no scrapePool parameter provided"),
        (
            "scrape_pools/config?scrapePool=x",
            r#"error retrieving scrape config: scrape pool \"x\" not found"#,
        ),
        ("series", "no match[] parameter provided"),
        ("rules?type=x", r#"invalid parameter \"type\": not supported value \"x\""#),
    ] {
        fixture.check(&format!("{BASE}/{path}"), 400, &bad(message)).await;
    }
    let reply = fixture.get(&format!("{BASE}/query?query=sum(")).await;
    assert_eq!(reply.status, 400);
    let text = reply.text();
    let begin =
        r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:"#;
    assert!(text.starts_with(begin) && text.contains("parse error: "), "{text}");
}

#[tokio::test]
async fn exemplars_of_what_reads_no_series_are_no_content() {
    let fixture = Fixture::new();
    let reply = fixture.get(&format!("{BASE}/query_exemplars?query=1")).await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (204, ""));
}

#[tokio::test]
async fn texts_are_escaped_as_prometheus_escapes_them() {
    let fixture = Fixture::new();
    fixture
        .check(
            &format!("{BASE}/query?query=%22%3Ca%3E%26%22&time=1"),
            200,
            r#"{"status":"success","data":{"resultType":"string","result":[1,"\u003ca\u003e\u0026"]}}"#,
        )
        .await;
    fixture
        .check(
            &format!("{BASE}/format_query?query=a%20%3E%201"),
            200,
            r#"{"status":"success","data":"a \u003e 1"}"#,
        )
        .await;
    // Labels are not.
    fixture
        .check(
            &format!("{BASE}/query?query={}&time=1", encode(r#"label_replace(vector(1), "a", "<", "", "")"#)),
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"<"},"value":[1,"1"]}]}}"#,
        )
        .await;
}

#[tokio::test]
async fn a_megabyte_of_query_is_refused_politely() {
    let fixture = Fixture::new();
    let long = format!("query={}1", "1%2B".repeat(1 << 18));
    for path in ["query", "query_exemplars", "format_query", "parse_query"] {
        let reply = fixture.post_form(&format!("{BASE}/{path}"), &long).await;
        assert_eq!(reply.status, 400, "{path}");
        assert!(reply.text().starts_with(r#"{"status":"error","errorType":"bad_data""#), "{path}");
        assert!(reply.bytes.len() < 4096, "{path}");
    }
}

#[tokio::test]
async fn expressions_are_laid_out_and_taken_apart() {
    let fixture = Fixture::new();
    let long = encode(&format!("sum by (job) (rate({}[5m]))", "x".repeat(100)));
    let reply = fixture.get(&format!("{BASE}/format_query?query={long}")).await.text();
    assert!(reply.contains(r#""data":"sum by (job) (\n  rate("#), "{reply}");
    fixture
        .check(
            &format!("{BASE}/parse_query?query=1%20%2B%202"),
            200,
            r#"{"status":"success","data":{"bool":false,"lhs":{"type":"numberLiteral","val":"1"},"matching":null,"op":"+","rhs":{"type":"numberLiteral","val":"2"},"type":"binaryExpr"}}"#,
        )
        .await;
    let reply = fixture.get(&format!("{BASE}/parse_query?query=sum(")).await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn a_query_that_can_not_be_executed_is_no_bad_request() {
    let fixture = Fixture::new();
    let many = encode("http_requests_total * on (job) http_requests_total");
    let reply = fixture.get(&format!("{BASE}/query?query={many}")).await;
    assert_eq!(reply.status, 422);
    let text = reply.text();
    assert!(text.starts_with(r#"{"status":"error","errorType":"execution","error":"#), "{text}");
}

#[tokio::test]
async fn names_values_series_and_metadata_are_listed() {
    let fixture = Fixture::new();
    for (path, expected) in [
        (
            "labels?limit=40000",
            r#"{"status":"success","data":["__name__","code","http.route","job","q"]}"#,
        ),
        (
            "labels?match[]=latency&start=1&end=1700000000",
            r#"{"status":"success","data":["__name__","job"]}"#,
        ),
        (
            "labels?limit=1",
            r#"{"status":"success","data":["__name__"],"warnings":["results truncated due to limit"]}"#,
        ),
        ("labels?start=1&end=2", r#"{"status":"success","data":[]}"#),
        (
            "label/__name__/values?limit=1000",
            r#"{"status":"success","data":["http_requests_total","latency","odd.name"]}"#,
        ),
        (
            "label/code/values?match[]=http_requests_total&match[]=latency",
            r#"{"status":"success","data":["200","500"]}"#,
        ),
        ("label/U__http_2e_route/values", r#"{"status":"success","data":["/a"]}"#),
        ("label/http.route/values", r#"{"status":"success","data":["/a"]}"#),
        (
            "series?match[]=latency&limit=1",
            r#"{"status":"success","data":[{"__name__":"latency","job":"shop"}]}"#,
        ),
        (
            "series?match[]=%7B__name__!%3D%22%22%7D&limit=1",
            r#"{"status":"success","data":[{"__name__":"http_requests_total","code":"200","job":"shop"}],"warnings":["results truncated due to limit"]}"#,
        ),
        (
            "metadata?limit=40000",
            r#"{"status":"success","data":{"http_requests_total":[{"type":"counter","unit":"","help":"Requests \"seen\"."}],"latency":[{"type":"histogram","unit":"s","help":""}]}}"#,
        ),
        (
            "metadata?metric=latency",
            r#"{"status":"success","data":{"latency":[{"type":"histogram","unit":"s","help":""}]}}"#,
        ),
        ("metadata?limit=0", r#"{"status":"success","data":{}}"#),
        ("metadata?metric=absent", r#"{"status":"success","data":{}}"#),
        (
            "metadata?limit=1",
            r#"{"status":"success","data":{"http_requests_total":[{"type":"counter","unit":"","help":"Requests \"seen\"."}]}}"#,
        ),
    ] {
        fixture.check(&format!("{BASE}/{path}"), 200, expected).await;
    }
    let reply = fixture.post_form(&format!("{BASE}/series"), "match%5B%5D=latency").await;
    assert_eq!(
        reply.text(),
        r#"{"status":"success","data":[{"__name__":"latency","job":"shop"}]}"#
    );
    let reply = fixture.post_form(&format!("{BASE}/labels"), "match%5B%5D=latency").await;
    assert_eq!(reply.text(), r#"{"status":"success","data":["__name__","job"]}"#);
}

#[tokio::test]
async fn exemplars_come_after_the_labels_of_their_series() {
    let fixture = Fixture::new();
    let expected = r#"{"status":"success","data":[{"seriesLabels":{"__name__":"http_requests_total","code":"500","job":"shop"},"exemplars":[{"labels":{"span_id":"ef01","trace_id":"abcd"},"value":"0.25","timestamp":1699999998.500}]}]}"#;
    let query = encode("sum(rate(http_requests_total[5m])) / sum(rate(http_requests_total[5m]))");
    let form = format!("query={query}&start={}&end={NOW}", NOW - 60);
    let reply = fixture.post_form(&format!("{BASE}/query_exemplars"), &form).await;
    assert_eq!(reply.text(), expected);
    // Grafana's probe sends milliseconds.
    let probe = format!("{BASE}/query_exemplars?query=test&start={NOW}000&end={NOW}999");
    fixture.check(&probe, 200, r#"{"status":"success","data":[]}"#).await;
}

const ALERT: &str = r#"{"labels":{"alertname":"Down","job":"shop"},"annotations":{"summary":"shop is down"},"state":"firing","activeAt":"2023-11-14T22:12:20Z","value":"5e-01"}"#;
const RECORDS: &str = r#"{"name":"records","file":"shop.yml","rules":[{"name":"job:up:sum","query":"sum by (job) (up)","labels":{"team":"a"},"health":"err","lastError":"no \"x\"","evaluationTime":0.002,"lastEvaluation":"0001-01-01T00:00:00Z","type":"recording"}],"interval":30,"limit":0,"evaluationTime":0.003,"lastEvaluation":"2023-11-14T22:13:20Z"}"#;

fn alerts_group(alerts: &str) -> String {
    format!(
        r#"{{"name":"alerts","file":"shop.yml","rules":[{{"state":"firing","name":"Down","query":"up == 0","duration":90,"keepFiringFor":0,"labels":{{}},"annotations":{{"summary":"{{{{ $labels.job }}}} is down"}},"alerts":[{alerts}],"health":"ok","evaluationTime":0.002,"lastEvaluation":"2023-11-14T22:13:20Z","type":"alerting"}}],"interval":30,"limit":0,"evaluationTime":0.003,"lastEvaluation":"2023-11-14T22:13:20Z"}}"#
    )
}

#[tokio::test]
async fn rules_are_filtered_by_every_spelling_and_paged() {
    let fixture = Fixture::new();
    let groups = |groups: &[&str], rest: &str| {
        format!(r#"{{"status":"success","data":{{"groups":[{}]{rest}}}}}"#, groups.join(","))
    };
    let alerts = alerts_group(ALERT);
    let both = groups(&[&alerts, RECORDS], "");
    for path in ["rules", "rules?file=shop.yml&file[]=shop.yml"] {
        fixture.check(&format!("{BASE}/{path}"), 200, &both).await;
    }
    for path in [
        "rules?type=alert",
        "rules?rule_name[]=Down",
        "rules?rule_group=alerts&rule_group[]=alerts",
    ] {
        fixture.check(&format!("{BASE}/{path}"), 200, &groups(&[&alerts], "")).await;
    }
    for path in
        ["rules?type=record", "rules?rule_name=job:up:sum", "rules?match[]=%7Bteam%3D%22a%22%7D"]
    {
        fixture.check(&format!("{BASE}/{path}"), 200, &groups(&[RECORDS], "")).await;
    }
    let quiet = alerts_group("");
    let path = format!("{BASE}/rules?exclude_alerts=true&type=alert");
    fixture.check(&path, 200, &groups(&[&quiet], "")).await;
    fixture.check(&format!("{BASE}/rules?file=other.yml"), 200, &groups(&[], "")).await;

    let reply = fixture.get(&format!("{BASE}/rules?group_limit=1")).await.text();
    let token = reply.split_once("groupNextToken\":\"").unwrap().1.split_once('"').unwrap().0;
    assert_eq!(reply, groups(&[&alerts], &format!(r#","groupNextToken":"{token}""#)));
    let path = format!("{BASE}/rules?group_limit=1&group_next_token={token}");
    fixture.check(&path, 200, &groups(&[RECORDS], "")).await;

    let expected = format!(r#"{{"status":"success","data":{{"alerts":[{ALERT}]}}}}"#);
    fixture.check(&format!("{BASE}/alerts"), 200, &expected).await;
}

#[tokio::test]
async fn status_pages_and_the_formatter_answer() {
    let fixture = Fixture::new();
    fixture
        .check(
            &format!("{BASE}/format_query?query={}", encode("sum  by(a)  (rate( x[5m]))")),
            200,
            r#"{"status":"success","data":"sum by (a) (rate(x[5m]))"}"#,
        )
        .await;
    fixture
        .check(
            &format!("{BASE}/status/config"),
            200,
            r#"{"status":"success","data":{"yaml":"data: ./data\n"}}"#,
        )
        .await;
    for path in ["status/flags", "status/runtimeinfo"] {
        assert_eq!(fixture.get(&format!("{BASE}/{path}")).await.status, 200);
    }
}
