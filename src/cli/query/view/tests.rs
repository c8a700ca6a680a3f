//! Whole screens.

use super::*;

const SCREEN: Screen = Screen { width: 60, is_ascii: true, has_colour: false };

fn shown(json: &str, when: When) -> Vec<String> {
    let parsed: Answer = serde_json::from_str(json).unwrap();
    answer(&parsed, when, SCREEN).lines().map(str::to_owned).collect()
}

const AT: When = When::At(TimestampMs(1_700_000_000_000));

#[test]
fn a_vector_is_a_table_below_what_its_series_share() {
    let json = r#"{"resultType":"vector","result":[
        {"metric":{"__name__":"up","job":"node","instance":"a"},"value":[1700000000,"1"]},
        {"metric":{"__name__":"up","job":"node","instance":"long-b"},
         "value":[1700000000,"0.25"]}]}"#;
    let wanted = [
        "up{job=\"node\"}",
        "2 series at 2023-11-14 22:13:20 UTC",
        "",
        "instance  value",
        "a          1",
        "long-b     0.25",
    ];
    assert_eq!(shown(json, AT), wanted);
}

#[test]
fn one_series_none_and_a_scalar() {
    let one = r#"{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1,"3"]}]}"#;
    let wanted = ["{a=\"b\"}", "1 series at 2023-11-14 22:13:20 UTC", "", "value", "    3"];
    assert_eq!(shown(one, AT), wanted);
    let none = r#"{"resultType":"vector","result":[]}"#;
    assert_eq!(shown(none, AT), ["no series at 2023-11-14 22:13:20 UTC"]);
    let scalar = r#"{"resultType":"scalar","result":[1700000000,"0.3333333333333333"]}"#;
    assert_eq!(shown(scalar, AT), ["0.333333"]);
}

const RANGE: When =
    When::Range { start: TimestampMs(0), end: TimestampMs(600_000), step_ms: 60_000 };

fn track(name: &str, points: impl Iterator<Item = (i64, f64)>) -> String {
    let points: Vec<String> = points.map(|(at, value)| format!("[{at},\"{value}\"]")).collect();
    format!(r#"{{"metric":{{"pod":"{name}"}},"values":[{}]}}"#, points.join(","))
}

fn tracks(tracks: &[String]) -> String {
    format!(r#"{{"resultType":"matrix","result":[{}]}}"#, tracks.join(","))
}

#[test]
fn few_series_have_plots_of_one_scale_and_figures() {
    let json = tracks(&[
        track("a", (0..=10).map(|i| (i * 60, i as f64))),
        track("b", (0..=5).map(|i| (i * 60, 2.0))),
    ]);
    let lines = shown(&json, RANGE);
    assert_eq!(lines[0], "2 series from 1970-01-01 00:00:00 to 1970-01-01 00:10:00 UTC, every 1m");
    assert_eq!(lines[2], "{pod=\"a\"}");
    assert!(lines[3].starts_with("10 +") && lines[7].starts_with(" 0 +"), "{lines:#?}");
    assert_eq!(lines[9], "{pod=\"b\"}");
    assert!(lines[16].trim().starts_with("00:00") && lines[16].ends_with("00:10"), "{lines:#?}");
    let wanted = [
        "pod  min  avg  max  last  ended",
        "a      0    5   10    10",
        "b      2    2    2     2  00:05",
    ];
    assert_eq!(lines[18..], wanted, "{lines:#?}");
    assert!(lines.iter().all(|line| line.is_ascii() && line.len() <= 75), "{lines:#?}");
}

#[test]
fn many_series_have_a_trend_each() {
    let all: Vec<String> = (0..6)
        .map(|n| track(&format!("pod-{n}"), (0..=10).map(move |i| (i * 60, (i * n) as f64))))
        .collect();
    let lines = shown(&tracks(&all), RANGE);
    assert_eq!(lines.len(), 9, "{lines:#?}");
    assert!(lines[2].starts_with("pod    0..50"), "{lines:#?}");
    assert!(lines[8].contains('#') && !lines[3].contains('#'), "{lines:#?}");
}

#[test]
fn a_histogram_is_told_in_one_line() {
    let json = r#"{"resultType":"vector","result":[{"metric":{"__name__":"h"},"histogram":
        [1700000000,{"count":"4","sum":"6","buckets":[[0,"1","2","4"]]}]}]}"#;
    let lines = shown(json, AT);
    assert_eq!(lines[4], "count 4  avg 1.5  p50 1.5  p99 1.99", "{lines:#?}");
}

#[test]
fn a_failure_points_at_its_place() {
    let error = "invalid parameter \"query\": 2:5: parse error: unexpected character";
    let wanted = format!("signalbox: query failed: {error}\n\n  a + $\n      ^");
    assert_eq!(failure("sum(x) +\na + $", error), wanted);
    assert_eq!(failure("up", "query timed out"), "signalbox: query failed: query timed out");
}
