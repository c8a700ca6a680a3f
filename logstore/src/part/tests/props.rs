//! What a part answers is what looking at each row answers.

use std::ops::ControlFlow;
use std::sync::Arc;

use disk::files::RealFiles;
use model::log::{LineCondition, LogCountRequest, Needle};
use model::read::{Direction, RangeNs};
use model::{LogSelection, MatchOp, Matcher, QueryContext, TimestampNs};
use proptest::prelude::*;
use regex::Regex;

use super::fixtures::{
    Row, count, count_naively, everything, open, patterns_of, read, read_naively, write,
};
use super::generate::{rows, streams};
use crate::cursor::{Hidden, ScanPlan};
use crate::part::merge::merge_small;

/// A text cut from a line, at characters.
fn cut(line: &str, from: usize, length: usize) -> String {
    let count = line.chars().count().max(1);
    line.chars().skip(from % count).take(length).collect()
}

fn condition(rows: &[Row], kind: u8, seed: usize, length: usize) -> LineCondition {
    let line = |i: usize| rows[i % rows.len()].line.as_str();
    let needle = |i: usize| cut(line(seed / 3 + i), seed / 7, length);
    let regex = |text: &str| Regex::new(text).unwrap();
    match kind {
        0 | 1 => LineCondition::contains(&needle(0)),
        2 => LineCondition::lacks(&needle(0)),
        3 => LineCondition::Contains(vec![Needle::new(&needle(0)), Needle::new(&needle(5))]),
        4 => LineCondition::Matches(vec![regex(&regex::escape(&needle(0)))]),
        5 => LineCondition::Matches(vec![regex(&format!("{}.*\\d", regex::escape(&needle(0))))]),
        6 => LineCondition::MatchesNot(vec![regex(&format!("(?i){}", regex::escape(&needle(0))))]),
        7 => LineCondition::Matches(vec![regex("(timeout|failed|u1\\d+ )"), regex("^$")]),
        8 => LineCondition::contains("absent literal"),
        9 => LineCondition::contains(line(seed)),
        10 => {
            let text = regex::escape(&needle(0).to_ascii_uppercase());
            LineCondition::Matches(vec![regex(&format!("(?i){text}"))])
        }
        11 => LineCondition::Matches(vec![regex(&format!(
            "(?i:{}).|(?i)LOGGED in|^connection.*d$",
            regex::escape(&needle(0))
        ))]),
        12 => LineCondition::Matches(vec![regex("(?i)CLOS.D"), regex("log+ed .*m")]),
        // Values of few, their ends, and what stands around them.
        14 => {
            LineCondition::contains(["cleanly", "ly closed", "n abrup", "status\":203"][seed % 4])
        }
        15 => {
            LineCondition::lacks(["abruptly", "connection c", "main.rs:1", "rs:1\n  at"][seed % 4])
        }
        16 => {
            let texts = [
                "tion \\w+ly c",
                "after [1-4]\\d* ms$",
                "u\\d+ .*10\\.0\\.[0-3]\\.",
                "\\bat \\S+$",
            ];
            LineCondition::Matches(vec![regex(texts[seed % 4])])
        }
        17 => {
            let texts =
                ["clean|took=\\d+\\.[0-5]s", "\\d\\n", "status\":20[0-2],", "^(?:user|conn).*\\d?"];
            LineCondition::MatchesNot(vec![regex(texts[seed % 4])])
        }
        _ => LineCondition::MatchesNot(vec![regex("(?i)Connection"), regex("worker")]),
    }
}

fn field(rows: &[Row], kind: u8, seed: usize) -> Matcher {
    let some = rows[seed % rows.len()].fields.last().cloned();
    let (_, name, value) = some.unwrap_or((model::log::Origin::Record, "x".into(), String::new()));
    let matcher = |name: &str, op, value: &str| Matcher::new(name, op, value).unwrap();
    match kind {
        0 => matcher(&name, MatchOp::Equal, &value),
        1 => matcher(&name, MatchOp::NotEqual, &value),
        2 => matcher("user", MatchOp::Matches, ".*e.*"),
        3 => matcher("detected_level", MatchOp::NotMatches, "info|warn"),
        4 => matcher("absent", MatchOp::Equal, ""),
        5 => matcher("trace_id", MatchOp::Equal, &"0".repeat(32)),
        _ => matcher("service_name", MatchOp::NotEqual, "cart"),
    }
}

fn range(seed: i64) -> RangeNs {
    match seed % 3 {
        0 => RangeNs::ALL,
        _ => {
            let start = seed % 60 * 1_000_000_000;
            RangeNs { start: TimestampNs(start), end: TimestampNs(start + 20_500_000_000) }
        }
    }
}

#[derive(Debug, Clone)]
struct Wish {
    lines: Vec<(u8, usize, usize)>,
    fields: Vec<(u8, usize)>,
    hidden: Option<(u8, usize, usize, i64)>,
    time: i64,
    by: u8,
}

fn wish() -> impl Strategy<Value = Wish> {
    let line = (0u8..18, 0usize..10_000, 1usize..20);
    let hidden = prop::option::of((0u8..18, 0usize..10_000, 1usize..20, 0i64..1000));
    (
        prop::collection::vec(line, 0..3),
        prop::collection::vec((0u8..7, 0usize..1000), 0..2),
        hidden,
        0i64..100_000,
        0u8..8,
    )
        .prop_map(|(lines, fields, hidden, time, by)| Wish { lines, fields, hidden, time, by })
}

fn plan(rows: &[Row], wish: &Wish, order: Option<Direction>) -> ScanPlan {
    let mut request = everything();
    request.order = order;
    request.range = range(wish.time);
    request.lines = wish
        .lines
        .iter()
        .map(|(kind, seed, length)| condition(rows, *kind, *seed, *length))
        .collect();
    request.fields = wish.fields.iter().map(|(kind, seed)| field(rows, *kind, *seed)).collect();
    if wish.time % 4 == 1 {
        request.matchers = vec![Matcher::new("env", MatchOp::NotEqual, "prod").unwrap()];
    }
    let hidden = wish.hidden.iter().map(|(kind, seed, length, time)| Hidden {
        selection: LogSelection {
            matchers: vec![Matcher::new("service_name", MatchOp::Matches, "cart|pay").unwrap()],
            lines: vec![condition(rows, *kind, *seed, *length)],
            fields: if kind % 2 == 0 { Vec::new() } else { vec![field(rows, kind % 7, *seed)] },
            range: range(*time),
        },
        before_arrival: if *time % 2 == 0 { u64::MAX } else { 50_000 },
    });
    ScanPlan { request, hidden: hidden.collect() }
}

fn count_request(rows: &[Row], wish: &Wish) -> LogCountRequest {
    let request = plan(rows, wish, None).request;
    let (start, width_ns, buckets) = match wish.by {
        0 | 1 => (-10_000_000_000, 10_000_000_000, 8),
        2 => (-20_000_000_000, 20_000_000_000, 2),
        3 => (3_000_000_000, 7_500_000_000, 5),
        4 | 5 => (-5_000_000_000, 30_000_000_000, 2),
        _ => (-1, 100_000_000_000, 1),
    };
    let names: &[&str] = match wish.by {
        0 | 4 => &["detected_level"],
        1 | 5 => &[],
        2 => &["service_name", "detected_level"],
        3 => &["trace_id"],
        _ => &["user", "detected_level", "absent"],
    };
    LogCountRequest {
        matchers: request.matchers,
        lines: request.lines,
        fields: request.fields,
        start: TimestampNs(start),
        width_ns,
        buckets,
        by_fields: names.iter().map(|name| (*name).to_owned()).collect(),
        by_pattern: wish.by % 2 == 1,
    }
}

/// Fewer cases than usual, which are large, unless the environment asks for some.
fn config() -> ProptestConfig {
    let asked = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { asked.cases } else { 96 };
    ProptestConfig { cases, ..asked }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_part_answers_as_a_naive_scan(
        rows in rows(200),
        wishes in prop::collection::vec(wish(), 8),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let streams = streams();
        let part = write(&folder.path().join("p"), &streams, &rows);
        part.verify().unwrap();
        let all = ScanPlan { request: everything(), hidden: Vec::new() };
        let naive = read_naively(&rows, &streams, &all);
        prop_assert_eq!(read(&part, &streams, all), naive);
        let patterns = patterns_of(&part);
        for wish in &wishes {
            for order in [Some(Direction::Forward), Some(Direction::Backward), None] {
                let plan = plan(&rows, wish, order);
                let naive = read_naively(&rows, &streams, &plan);
                let told = format!("{plan:?}");
                let mut found = read(&part, &streams, plan);
                if order.is_none() {
                    found.sort_by_key(|row| (row.at, row.arrival));
                }
                prop_assert_eq!(found, naive, "{}", told);
            }
            let hidden = plan(&rows, wish, None).hidden;
            let request = count_request(&rows, wish);
            let naive = count_naively(&rows, &patterns, &streams, &request, &hidden);
            prop_assert_eq!(count(&part, &streams, &request, &hidden), naive, "{:?}", request);
        }
    }

    #[test]
    fn a_merged_part_has_the_rows_of_its_inputs(
        rows in rows(120),
        wish in wish(),
        parts in 1usize..4,
        small_rows in prop_oneof![Just(0u64), Just(30), Just(u64::MAX)],
    ) {
        let folder = tempfile::tempdir().unwrap();
        let streams = streams();
        let mut inputs = Vec::new();
        for i in 0..parts {
            let own: Vec<Row> = rows.iter().skip(i).step_by(parts).cloned().collect();
            inputs.push(write(&folder.path().join(i.to_string()), &streams, &own));
        }
        let hidden = plan(&rows, &wish, None).hidden;
        let dir = folder.path().join("merged");
        let files = Arc::new(RealFiles);
        let meta = merge_small(files, &inputs, &hidden, &dir, small_rows).unwrap();
        let part = open(&dir);
        prop_assert_eq!(part.meta(), &meta);
        part.verify().unwrap();
        let all_hidden = hidden.clone();
        let all = ScanPlan { request: everything(), hidden };
        let naive = read_naively(&rows, &streams, &all);
        let found = read(&part, &streams, ScanPlan { request: everything(), hidden: Vec::new() });
        prop_assert_eq!(found, naive);
        let plan = plan(&rows, &wish, Some(Direction::Backward));
        let naive = read_naively(&rows, &streams, &plan);
        prop_assert_eq!(read(&part, &streams, plan), naive);
        let request = count_request(&rows, &wish);
        let patterns = patterns_of(&part);
        let naive = count_naively(&rows, &patterns, &streams, &request, &all_hidden);
        prop_assert_eq!(count(&part, &streams, &request, &[]), naive, "{:?}", request);
    }
}

#[test]
fn patterns_match_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let streams = streams();
    let rows: Vec<Row> = (0..50)
        .map(|i| Row {
            stream: 0,
            at: i,
            arrival: i as u64,
            line: format!("user u{i} logged in"),
            fields: Vec::new(),
        })
        .collect();
    let part = write(&folder.path().join("p"), &streams, &rows);
    let request = LogCountRequest {
        matchers: Vec::new(),
        lines: Vec::new(),
        fields: Vec::new(),
        start: TimestampNs(-10_000_000_000),
        width_ns: 10_000_000_000,
        buckets: 2,
        by_fields: Vec::new(),
        by_pattern: true,
    };
    let mut patterns = Vec::new();
    let flow = part.count(&request, &[], &QueryContext::unlimited(), &mut |count| {
        patterns.push((count.pattern.unwrap().to_owned(), count.bucket, count.records));
        ControlFlow::Continue(())
    });
    assert!(flow.unwrap().is_continue());
    patterns.sort();
    let pattern = "user <_> logged in".to_owned();
    assert_eq!(patterns, [(pattern.clone(), 0, 1), (pattern, 1, 49)]);
}
