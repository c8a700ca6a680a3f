//! Searching, contexts, facets, distinct values and fields under `/native/v1/logs`.

use model::Labels;
use model::log::Origin;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NOW, encode};

const BASE: &str = "/native/v1/logs";

async fn ask(fixture: &Fixture, path: &str) -> Value {
    let reply = fixture.get(&format!("{BASE}/{path}")).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    let mut answer: Value = serde_json::from_str(&reply.text()).unwrap();
    assert_eq!(answer["status"], "success");
    answer["data"].take()
}

fn lines(data: &Value) -> Vec<&str> {
    let records = data["records"].as_array().unwrap();
    records.iter().map(|record| record["line"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_search_answers_the_newest_first_with_highlights_and_origins() {
    let fixture = Fixture::new();
    let stream = Labels::from_pairs([("service_name", "pay")]);
    let metadata = [
        ("region", "eu", Origin::Resource),
        ("scope_name", "http", Origin::Scope),
        ("trace_id", "ff", Origin::Record),
        ("detected_level", "error", Origin::Derived),
    ];
    let at = (NOW - 40) * 1_000_000_000;
    fixture.logs.0.lock().push_from(&stream, at, "Payment timed out after 30s", &metadata);
    let text = encode("pay* \"timed  OUT\" NOT refund resource.region:eu");
    let query = encode(r#"{service_name="pay"} | pattern "<_> after <took>""#);
    let path = format!("{BASE}/search?query={query}&text={text}");
    let expected = concat!(
        r#"{"status":"success","data":{"direction":"backward","cursor":null,"linesRead":1,"#,
        r#""bytesRead":27,"records":[{"timestamp":"1699999960000000000","arrival":"3","#,
        r#""line":"Payment timed out after 30s","labels":{"service_name":"pay"},"metadata":["#,
        r#"{"name":"region","value":"eu","origin":"resource"},"#,
        r#"{"name":"scope_name","value":"http","origin":"scope"},"#,
        r#"{"name":"trace_id","value":"ff","origin":"record"},"#,
        r#"{"name":"detected_level","value":"error","origin":"derived"}],"#,
        r#""parsed":{"took":"30s"},"highlights":[[0,7],[8,17]]}]}}"#
    );
    fixture.check(&path, 200, expected).await;
    // Without a query, all streams.
    let all = ask(&fixture, "search").await;
    assert_eq!(lines(&all)[0], "plain \"quoted\" line");
    assert_eq!(lines(&all).len(), 4);
    let found = ask(&fixture, &format!("search?text={}", encode("stok~1 OR quoted"))).await;
    assert_eq!(lines(&found).len(), 2);
    let found = ask(&fixture, &format!("search?text={}", encode("scope.region:eu"))).await;
    assert!(lines(&found).is_empty());
}

#[tokio::test]
async fn pages_have_no_gaps_and_no_doubles() {
    for direction in ["backward", "forward"] {
        let fixture = Fixture::new();
        let streams = ["a", "b", "c"].map(|name| Labels::from_pairs([("page", name)]));
        let at = (NOW - 30) * 1_000_000_000;
        let mut wanted = Vec::new();
        for i in 0..1000 {
            // Three quarters at one time.
            let later = if i % 4 == 0 { i / 100 } else { 5 };
            let line = format!("line {i}");
            fixture.logs.0.lock().push(&streams[i % 3], at + later as i64, &line, &[]);
            wanted.push((later, i));
        }
        wanted.sort_unstable();
        if direction == "backward" {
            wanted.reverse();
        }
        let wanted: Vec<String> = wanted.iter().map(|(_, i)| format!("line {i}")).collect();
        let query = encode(r#"{page=~".+"}"#);
        let first = format!("search?query={query}&text=line&limit=37&direction={direction}");
        let mut found: Vec<String> = Vec::new();
        let mut cursor = None;
        for page in 0.. {
            assert!(page < 100);
            let path = match &cursor {
                None => first.clone(),
                Some(cursor) => format!("search?query={query}&text=line&limit=37&cursor={cursor}"),
            };
            let data = ask(&fixture, &path).await;
            found.extend(lines(&data).into_iter().map(str::to_owned));
            let Some(next) = data["cursor"].as_str() else { break };
            cursor = Some(next.to_owned());
            // What arrives on the side that was shown is on no later page, and time goes on.
            let shown = if direction == "backward" { at + 100 } else { at - 100 };
            fixture.logs.0.lock().push(&streams[0], shown, "line late", &[]);
            fixture.clock.advance(std::time::Duration::from_secs(60));
        }
        assert_eq!(found, wanted, "{direction}");
    }
}

#[tokio::test]
async fn the_context_of_a_record_is_in_order() {
    let fixture = Fixture::new();
    let stream = Labels::from_pairs([("page", "a")]);
    let other = Labels::from_pairs([("page", "a"), ("pod", "x")]);
    let at = (NOW - 30) * 1_000_000_000;
    for i in 0..10 {
        fixture.logs.0.lock().push(&stream, at, &format!("line {i}"), &[]);
        fixture.logs.0.lock().push(&other, at, "other", &[]);
    }
    let labels = encode(r#"{"page":"a"}"#);
    let show = |data: &Value| {
        let of = |key: &str| -> Vec<String> {
            let records = data[key].as_array().unwrap();
            records.iter().map(|record| record["line"].as_str().unwrap().to_owned()).collect()
        };
        (of("before"), data["record"]["line"].as_str().map(str::to_owned), of("after"))
    };
    let texts = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    // Three lines were there before, and every second is of the other stream.
    let path = format!("context?at={at}&arrival=11&labels={labels}&before=2&after=3");
    assert_eq!(
        show(&ask(&fixture, &path).await),
        (
            texts(&["line 2", "line 3"]),
            Some("line 4".to_owned()),
            texts(&["line 5", "line 6", "line 7"])
        )
    );
    let query = encode(r#"{page="a"}"#);
    let path = format!("context?at={at}&arrival=11&query={query}&before=1&after=1");
    assert_eq!(
        show(&ask(&fixture, &path).await),
        (texts(&["other"]), Some("line 4".to_owned()), texts(&["other"]))
    );
    let path = format!("context?at={}&query={query}&before=1&after=1&within=1s", at - 1);
    assert_eq!(show(&ask(&fixture, &path).await), (texts(&[]), None, texts(&["line 0"])));
    let path = format!("context?at={at}&query={query}&before=0&after=0");
    assert_eq!(show(&ask(&fixture, &path).await).1, Some("line 0".to_owned()));
}

#[tokio::test]
async fn facets_are_the_most_frequent_values() {
    let fixture = Fixture::new();
    let expected = json!({"records": 3, "facets": [
        {"field": "service_name", "distinct": 2, "without": 0, "others": 1,
         "values": [{"value": "shop", "records": 2, "bytes": 47}]},
        {"field": "trace_id", "distinct": 1, "without": 2, "others": 0,
         "values": [{"value": "abcd", "records": 1, "bytes": 28}]},
    ]});
    let fields = "fields=service_name,trace_id&limit=1";
    assert_eq!(ask(&fixture, &format!("facets?{fields}")).await, expected);
    // The same by reading lines, since a store knows nothing of parsers.
    let query = encode(r#"{service_name=~".+"} | json | drop __error__, __error_details__"#);
    assert_eq!(ask(&fixture, &format!("facets?query={query}&{fields}")).await, expected);
    let data = ask(&fixture, &format!("facets?text={}", encode("stock OR added"))).await;
    assert_eq!(data["records"], 2);
    let names: Vec<&Value> =
        data["facets"].as_array().unwrap().iter().map(|facet| &facet["field"]).collect();
    assert_eq!(names, ["detected_level", "level", "service_name"]);
}

#[tokio::test]
async fn distinct_values_come_with_their_times() {
    let fixture = Fixture::new();
    let stream = Labels::from_pairs([("page", "a")]);
    let at = (NOW - 30) * 1_000_000_000;
    for (i, line) in ["x", "y", "x", "z", "x"].into_iter().enumerate() {
        let user = if i < 2 { "u1" } else { "u2" };
        fixture.logs.0.lock().push(&stream, at + i as i64, line, &[("user", user)]);
    }
    let query = encode(r#"{page="a"}"#);
    let value = |value: &str, records: u64, first: i64, last: i64| {
        let (first, last) = ((at + first).to_string(), (at + last).to_string());
        json!({"value": value, "records": records, "first": first, "last": last})
    };
    assert_eq!(
        ask(&fixture, &format!("distinct?query={query}&limit=2")).await,
        json!({"records": 5, "distinct": 3, "values": [value("x", 3, 0, 4), value("y", 1, 1, 1)]})
    );
    assert_eq!(
        ask(&fixture, &format!("distinct?query={query}&field=user&sort=first")).await,
        json!({"records": 5, "distinct": 2, "values": [value("u1", 2, 0, 1), value("u2", 3, 2, 4)]})
    );
}

#[tokio::test]
async fn fields_are_told_apart_by_origin() {
    let fixture = Fixture::new();
    let stream = Labels::from_pairs([("service_name", "pay")]);
    let metadata = [("region", "eu", Origin::Resource), ("user", "u1", Origin::Record)];
    let at = (NOW - 40) * 1_000_000_000;
    fixture.logs.0.lock().push_from(&stream, at, "a=1", &metadata);
    let query = encode(r#"{service_name="pay"} | logfmt"#);
    let field = |name: &str, origin: &str, example: &str| json!({"name": name, "origin": origin, "records": 1, "values": 1, "examples": [example]});
    assert_eq!(
        ask(&fixture, &format!("fields?query={query}")).await,
        json!({"lines": 1, "fields": [
            field("a", "parsed", "1"),
            field("user", "record", "u1"),
            field("region", "resource", "eu"),
            field("service_name", "stream", "pay"),
        ]})
    );
    assert_eq!(
        ask(&fixture, &format!("fields?query={query}&origin=resource")).await,
        json!({"lines": 1, "fields": [field("region", "resource", "eu")]})
    );
}

#[tokio::test]
async fn one_name_of_several_origins_is_shown_with_each() {
    let fixture = Fixture::new();
    let stream = Labels::from_pairs([("service_name", "pay")]);
    let metadata = [
        ("region", "eu", Origin::Resource),
        ("region", "http", Origin::Scope),
        ("region", "own", Origin::Record),
    ];
    fixture.logs.0.lock().push_from(&stream, (NOW - 40) * 1_000_000_000, "x", &metadata);
    let pay = encode(r#"{service_name="pay"}"#);
    let found = ask(&fixture, &format!("search?query={pay}")).await;
    let of =
        |value: &str, origin: &str| json!({"name": "region", "value": value, "origin": origin});
    assert_eq!(
        found["records"][0]["metadata"],
        json!([of("eu", "resource"), of("http", "scope"), of("own", "record")])
    );
    for (text, count) in
        [("resource.region:eu", 1), ("region:http", 1), ("region:own", 1), ("record.region:eu", 0)]
    {
        let found = ask(&fixture, &format!("search?query={pay}&text={}", encode(text))).await;
        assert_eq!(lines(&found).len(), count, "{text}");
    }
    // A query knows the last.
    for (value, count) in [("own", 1), ("eu", 0)] {
        let query = encode(&format!(r#"{{service_name="pay"}} | region="{value}""#));
        assert_eq!(lines(&ask(&fixture, &format!("search?query={query}")).await).len(), count);
    }
}

#[tokio::test]
async fn bad_parameters_are_named_with_what_is_accepted() {
    let fixture = Fixture::new();
    let shop = encode(r#"{service_name="shop"}"#);
    for (path, message) in [
        (
            "search?limit=0",
            r#"invalid parameter "limit": "0" is not a whole number from 1 to 5000"#,
        ),
        (
            "search?text=a%20(",
            r#"invalid parameter "text": at byte 3: a parenthesis is not closed"#,
        ),
        ("search?cursor=x", r#"invalid parameter "cursor": it is not one that a search answered"#),
        (
            "search?text=a&cursor=b_1_9_5_3_00000000",
            r#"invalid parameter "cursor": it is that of another query or text"#,
        ),
        (
            "search?query=vector(1)",
            r#"invalid parameter "query": it must select lines, and this one makes numbers"#,
        ),
        ("search?start=x", r#"invalid parameter "start": cannot parse "x" to a valid timestamp"#),
        ("context", r#"invalid parameter "at": the time of the record is needed"#),
        (
            "context?at=1700000000",
            r#"invalid parameter "labels": those of the stream, or a query, are needed"#,
        ),
        (
            "context?at=1700000000&arrival=x",
            r#"invalid parameter "arrival": "x" is not the number of a record"#,
        ),
        (
            "context?at=1&query=%7Ba=%22b%22%7D&within=0s",
            r#"invalid parameter "within": "0s" is no duration above zero, such as 90s or 24h, or in seconds"#,
        ),
        (
            "facets?fields=a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a",
            r#"invalid parameter "fields": 21 fields, 20 are accepted"#,
        ),
        (
            "distinct?sort=up",
            r#"invalid parameter "sort": "up" is none of records, first, last, value"#,
        ),
        (
            "fields?origin=x",
            r#"invalid parameter "origin": "x" is none of stream, resource, scope, record, derived, parsed"#,
        ),
    ] {
        let reply = fixture.get(&format!("{BASE}/{path}")).await;
        assert_eq!(reply.status, 400, "{path}: {}", reply.text());
        let answer: Value = serde_json::from_str(&reply.text()).unwrap();
        assert_eq!(answer["error"], message, "{path}");
    }
    let reply = fixture.get(&format!("{BASE}/search?query={shop}%7C")).await;
    assert!(
        reply.text().contains("invalid parameter \\\"query\\\": line 1, col "),
        "{}",
        reply.text()
    );
}
