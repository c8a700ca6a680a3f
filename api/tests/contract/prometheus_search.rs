//! Search as one types: lines of JSON, byte by byte.

use crate::fixture::{Fixture, NOW};

const BASE: &str = "/api/v1/search";
const END: &str = "{\"status\":\"success\",\"has_more\":false}\n";

fn results(lines: &[&str], has_more: bool) -> String {
    let lines: String = lines.iter().map(|line| format!("{{\"results\":[{line}]}}\n")).collect();
    format!("{lines}{{\"status\":\"success\",\"has_more\":{has_more}}}\n")
}

#[tokio::test]
async fn names_and_values_are_searched_in_batches() {
    let fixture = Fixture::new();
    let names =
        [r#"{"name":"http_requests_total"}"#, r#"{"name":"latency"}"#, r#"{"name":"odd.name"}"#];
    let all = names.join(",");
    fixture.check(&format!("{BASE}/metric_names"), 200, &results(&[&all], false)).await;
    let two = names[..2].join(",");
    fixture
        .check(
            &format!("{BASE}/metric_names?batch_size=2"),
            200,
            &results(&[&two, names[2]], false),
        )
        .await;
    fixture
        .check(
            &format!("{BASE}/metric_names?batch_size=1&limit=2"),
            200,
            &results(&names[..2], true),
        )
        .await;
    let descending = [names[2], names[1], names[0]].join(",");
    fixture
        .check(
            &format!("{BASE}/metric_names?sort_by=alpha&sort_dir=dsc"),
            200,
            &results(&[&descending], false),
        )
        .await;
    fixture
        .check(
            &format!("{BASE}/label_values?label=code&match[]=http_requests_total&match[]=latency"),
            200,
            &results(&[r#"{"value":"200"},{"value":"500"}"#], false),
        )
        .await;
    let reply = fixture.post_form(&format!("{BASE}/label_names"), "search[]=o&sort_by=score").await;
    assert_eq!(reply.headers["content-type"], "application/x-ndjson; charset=utf-8");
    assert_eq!(
        reply.text(),
        results(&[r#"{"name":"job"},{"name":"code"},{"name":"http.route"}"#], false)
    );
    // Nothing found is still told in a line.
    fixture
        .check(
            &format!("{BASE}/metric_names?search[]=zzz"),
            200,
            &format!("{{\"results\":[]}}\n{END}"),
        )
        .await;
    // The last hour, if no other range is given.
    let before = NOW - 7200;
    fixture
        .check(
            &format!("{BASE}/metric_names?end={before}&start=0"),
            200,
            &format!("{{\"results\":[]}}\n{END}"),
        )
        .await;
}

#[tokio::test]
async fn scores_and_metadata_are_told_when_asked_for() {
    let fixture = Fixture::new();
    fixture
        .check(
            &format!("{BASE}/metric_names?search[]=lat&search[]=http&include_score=true&include_metadata=1"),
            200,
            &results(
                &[r#"{"name":"http_requests_total","score":1,"type":"counter","help":"Requests \"seen\"."},{"name":"latency","score":1,"type":"histogram","unit":"s"}"#],
                false,
            ),
        )
        .await;
    fixture
        .check(
            &format!("{BASE}/metric_names?search[]=ODD&case_sensitive=false&fuzz_alg=jarowinkler"),
            200,
            &results(&[r#"{"name":"odd.name"}"#], false),
        )
        .await;
    fixture
        .check(
            &format!("{BASE}/metric_names?search[]=latecny&fuzz_alg=jarowinkler&fuzz_threshold=90"),
            200,
            &results(&[r#"{"name":"latency"}"#], false),
        )
        .await;
}

#[tokio::test]
async fn bad_searches_have_the_texts_of_prometheus() {
    let fixture = Fixture::new();
    let many = "search[]=a&".repeat(33);
    for (query, message) in [
        ("start=x", r#"invalid time value for 'start': cannot parse \"x\" to a valid timestamp"#),
        ("start=2&end=1", "end timestamp must not be before start timestamp"),
        ("match[]={}", "match[] must contain at least one non-empty matcher"),
        (many.as_str(), "too many search[] terms: got 33, maximum is 32"),
        ("fuzz_threshold=101", r#"invalid fuzz_threshold \"101\": must be 0-100"#),
        ("fuzz_alg=x", r#"unsupported fuzz_alg \"x\": must be one of [subsequence jarowinkler]"#),
        ("case_sensitive=x", r#"invalid case_sensitive \"x\": must be boolean"#),
        ("include_score=x", r#"invalid include_score \"x\": must be boolean"#),
        ("include_metadata=x", r#"invalid include_metadata \"x\": must be boolean"#),
        ("sort_dir=asc", "sort_dir is only valid when sort_by is set"),
        ("sort_by=score&sort_dir=asc", "sort_dir is not supported for sort_by=score"),
        ("sort_by=alpha&sort_dir=x", r#"invalid sort_dir \"x\": must be \"asc\" or \"dsc\""#),
        ("sort_by=score", "sort_by=score requires search[] to be set"),
        ("sort_by=x", r#"invalid sort_by \"x\" for metric_names: must be \"alpha\" or \"score\""#),
        ("sort_by=x&limit=0", r#"invalid limit \"0\": must be a positive integer"#),
        (
            "limit=10001",
            "limit 10001 exceeds the configured maximum (10000, see --web.search.max-limit)",
        ),
        ("batch_size=-1", r#"invalid batch_size \"-1\": must be a positive integer"#),
    ] {
        let expected =
            format!(r#"{{"status":"error","errorType":"bad_data","error":"{message}"}}"#);
        fixture.check(&format!("{BASE}/metric_names?{query}"), 400, &expected).await;
    }
    let expected = r#"{"status":"error","errorType":"bad_data","error":"missing required parameter \"label\""}"#;
    fixture.check(&format!("{BASE}/label_values"), 400, expected).await;
}
