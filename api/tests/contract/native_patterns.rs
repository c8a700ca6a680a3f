//! Patterns under `/native/v1/logs`, of a store that takes each line for its own pattern.

use model::Labels;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NOW, encode};

const BASE: &str = "/native/v1/logs/patterns";

/// Lines with how long ago, in seconds, they came.
fn fixture(lines: &[(&str, &[i64])]) -> Fixture {
    let fixture = Fixture::new();
    let stream = Labels::from_pairs([("app", "p")]);
    for (line, agos) in lines {
        for ago in *agos {
            fixture.logs.0.lock().push(&stream, (NOW - ago) * 1_000_000_000, line, &[]);
        }
    }
    fixture
}

async fn ask(fixture: &Fixture, rest: &str) -> Value {
    let query = encode(r#"{app="p"}"#);
    let separator = if rest.contains('?') { '&' } else { '?' };
    let path = format!("{BASE}{rest}{separator}query={query}");
    let reply = fixture.get(&path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    let mut answer: Value = serde_json::from_str(&reply.text()).unwrap();
    answer["data"].take()
}

fn names(data: &Value, key: &str) -> Vec<String> {
    let rows = data[key].as_array().unwrap();
    rows.iter().map(|row| row["pattern"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn patterns_tell_their_rate_and_what_is_new() {
    let lines: [(&str, &[i64]); 3] =
        [("steady", &[110, 95, 50, 30, 5]), ("new", &[20]), ("old", &[100])];
    let fixture = fixture(&lines);
    // Widened to whole steps of 30 s.
    let range = format!("?start={}&end={NOW}&step=30s", NOW - 60);
    assert_eq!(
        ask(&fixture, &range).await,
        json!({"patterns": 2, "step": 30, "rows": [
            {"pattern": "steady", "records": 3, "previous": 2, "factor": 1.5,
             "samples": [[NOW - 80, 1], [NOW - 50, 1], [NOW - 20, 1]]},
            {"pattern": "new", "records": 1, "previous": 0, "factor": null,
             "samples": [[NOW - 50, 1]]},
        ]})
    );
    let data = ask(&fixture, &format!("{range}&sort=change")).await;
    assert_eq!(names(&data, "rows"), ["new", "steady"]);
    let data = ask(&fixture, &format!("{range}&new_since={}", NOW - 60)).await;
    assert_eq!(names(&data, "rows"), ["new"]);
    // Nobody looks so far back.
    let data = ask(&fixture, &format!("{range}&new_since={}&history=10s", NOW - 60)).await;
    assert_eq!(names(&data, "rows"), ["steady", "new"]);
}

#[tokio::test]
async fn patterns_that_differ_are_sorted_by_how_much() {
    let lines: [(&str, &[i64]); 5] = [
        ("same", &[110, 100, 50, 40]),
        ("more", &[90, 50, 49, 48, 47]),
        ("gone", &[99, 98, 97]),
        ("come", &[1]),
        ("less", &[91, 92, 93, 94, 30, 31]),
    ];
    let fixture = fixture(&lines);
    let range = format!("/compare?start={}&end={NOW}", NOW - 60);
    let row = |pattern: &str, change: &str, records: u64, base: u64, factor: Value| {
        json!({"pattern": pattern, "change": change, "records": records, "baseRecords": base,
               "factor": factor})
    };
    let data = ask(&fixture, &range).await;
    assert_eq!(
        data["patterns"].as_array().unwrap().clone(),
        [
            row("gone", "vanished", 0, 3, json!(0)),
            row("come", "appeared", 1, 0, Value::Null),
            row("more", "more", 4, 1, json!(4)),
            row("less", "less", 2, 4, json!(0.5)),
        ]
    );
    assert_eq!(data["changed"], 4);
    let data = ask(&fixture, &format!("{range}&factor=3&limit=2")).await;
    assert_eq!((data["changed"].clone(), names(&data, "patterns").len()), (json!(3), 2));
    // A base of another length counts by time.
    let data =
        ask(&fixture, &format!("{range}&base_start={}&base_end={}", NOW - 180, NOW - 60)).await;
    let same = data["patterns"].as_array().unwrap().iter().find(|row| row["pattern"] == "same");
    assert_eq!(same.unwrap()["factor"], 2);
}

#[tokio::test]
async fn a_pattern_that_got_another_name_is_not_new() {
    // What a merge of parts finds in lines is more general than what was found in a few.
    let lines: [(&str, &[i64]); 5] = [
        ("user anna logged in", &[110, 100]),
        ("user <_> logged in", &[50, 40, 30, 20]),
        ("disk sd<_> is full", &[90]),
        ("disk sda is full", &[10]),
        ("disk sda is gone", &[5]),
    ];
    let fixture = fixture(&lines);
    let range = format!("?start={}&end={NOW}&step=30s", NOW - 60);
    let data = ask(&fixture, &format!("{range}&new_since={}", NOW - 60)).await;
    assert_eq!(names(&data, "rows"), ["disk sda is gone"]);
    let data = ask(&fixture, &range).await;
    assert_eq!(
        names(&data, "rows"),
        ["user <_> logged in", "disk sd<_> is full", "disk sda is gone"]
    );
    assert_eq!((&data["rows"][0]["previous"], &data["rows"][0]["factor"]), (&json!(2), &json!(2)));
    assert_eq!(data["rows"][1]["previous"], 1);
    let data = ask(&fixture, &format!("/compare?start={}&end={NOW}", NOW - 60)).await;
    assert_eq!(
        data["patterns"],
        json!([
            {"pattern": "disk sda is gone", "change": "appeared", "records": 1, "baseRecords": 0,
             "factor": null},
            {"pattern": "user <_> logged in", "change": "more", "records": 4, "baseRecords": 2,
             "factor": 2},
        ])
    );
}

#[tokio::test]
async fn what_can_not_be_counted_is_refused() {
    let fixture = fixture(&[]);
    let json = encode(r#"{app="p"} | json"#);
    for (path, part) in [
        (format!("?query={json}"), "\"query\": patterns are counted of"),
        (format!("/compare?query={json}"), "\"query\": patterns are counted of"),
        ("?text=a~1".to_owned(), "patterns are counted of"),
        (format!("?new_since={}", NOW + 1), "\"new_since\": it must be before the end"),
        ("?sort=x".to_owned(), "\"sort\": \"x\" is none of records, change"),
        ("/compare?base_start=2&base_end=1".to_owned(), "it must be after base_start"),
        ("/compare?factor=0.5".to_owned(), "\"factor\": \"0.5\" is no number from 1 on"),
    ] {
        let reply = fixture.get(&format!("{BASE}{path}")).await;
        assert_eq!(reply.status, 400, "{path}");
        let answer: Value = serde_json::from_str(&reply.text()).unwrap();
        assert!(answer["error"].as_str().unwrap().contains(part), "{path}: {answer}");
    }
}
