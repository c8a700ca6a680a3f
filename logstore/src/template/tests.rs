//! Groups of lines: against the known templates of real logs, and pieces that join to the line.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use regex::Regex;

use super::*;

/// System and the expression that finds the content of its lines, as logparser has them.
const SYSTEMS: [(&str, &str); 12] = [
    ("HDFS", r"^\S+ \S+ \S+ \S+ \S+?: (.*)$"),
    ("Hadoop", r"^\S+ \S+ \S+ \[.*?\] \S+?: (.*)$"),
    ("Spark", r"^\S+ \S+ \S+ \S+?: (.*)$"),
    ("Zookeeper", r"^\S+ \S+ - \S+ +\[.*?@\S+?\] - (.*)$"),
    ("BGL", r"^(?:\S+ ){9}(.*)$"),
    ("HPC", r"^(?:\S+ ){6}(.*)$"),
    ("Linux", r"^\S+ +\S+ \S+ \S+ .*?(?:\[\d+\])?: (.*)$"),
    ("HealthApp", r"^[^|]*\|[^|]*\|[^|]*\|(.*)$"),
    ("Apache", r"^\[.*?\] \[.*?\] (.*)$"),
    ("OpenSSH", r"^\S+ +\S+ \S+ \S+ sshd\[\d+\]: (.*)$"),
    ("OpenStack", r"^\S+ \S+ \S+ \S+ \S+ \S+ \[.*?\] (.*)$"),
    ("Android", r"^\S+ \S+ +\S+ +\S+ \S+ .*?: (.*)$"),
];

fn logs() -> PathBuf {
    let shared = std::env::var_os("SIGNALBOX_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        PathBuf::from,
    );
    shared.join("data/logs")
}

/// The contents of the lines of a system with the numbers of their true templates.
fn labelled(system: &str, header: &str) -> Option<Vec<(String, usize)>> {
    let text = std::fs::read(logs().join(format!("{system}_2k.log"))).ok()?;
    let truth = std::fs::read_to_string(logs().join(format!("{system}_2k.log_templates.csv")));
    let mut templates: Vec<(usize, Regex)> = Vec::new();
    for row in truth.ok()?.lines().skip(1) {
        let (_, template) = row.split_once(',')?;
        let template = template.trim();
        let template = match template.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => template.to_owned(),
        };
        let fixed: Vec<String> = template
            .trim()
            .split("<*>")
            .map(|piece| regex::escape(piece).replace(' ', r"\s+"))
            .collect();
        let expression = format!(r"(?s)^{}\s*$", fixed.join(".*?"));
        templates.push((template.replace("<*>", "").len(), Regex::new(&expression).ok()?));
    }
    templates.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    let header = Regex::new(header).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let contents = text.split('\n').filter(|line| !line.trim().is_empty()).map(|line| {
        let line = line.trim_end_matches('\r');
        let content = header.captures(line).and_then(|found| found.get(1));
        let content = content.map_or(line, |found| found.as_str()).trim().to_owned();
        let truth = templates.iter().position(|(_, template)| template.is_match(&content));
        (content, truth.unwrap_or(usize::MAX))
    });
    Some(contents.collect())
}

/// The share of lines whose group is exactly that of the truth.
fn grouping_accuracy(lines: &[(String, usize)]) -> f64 {
    let mut miner = Miner::default();
    let mut tokens = Vec::new();
    let groups: Vec<u32> = lines
        .iter()
        .map(|(line, _)| {
            let cut = cut(line, &mut tokens);
            miner.add(cut, &tokens)
        })
        .collect();
    let mut by_truth: HashMap<usize, HashSet<usize>> = HashMap::new();
    let mut by_group: HashMap<u32, HashSet<usize>> = HashMap::new();
    for (i, (line, group)) in lines.iter().zip(&groups).enumerate() {
        by_truth.entry(line.1).or_default().insert(i);
        by_group.entry(miner.root(*group)).or_default().insert(i);
    }
    let truths: Vec<&HashSet<usize>> = by_truth.values().collect();
    let right = by_group.values().filter(|group| truths.contains(group));
    right.map(HashSet::len).sum::<usize>() as f64 / lines.len() as f64
}

#[test]
fn groups_of_real_logs_are_those_that_people_found() {
    let mut sum = 0.0;
    for (system, header) in SYSTEMS {
        let Some(lines) = labelled(system, header) else {
            println!("not run: no {system}_2k.log in {} (set SIGNALBOX_SHARED)", logs().display());
            return;
        };
        let accuracy = grouping_accuracy(&lines);
        println!("{system}: {accuracy:.3}");
        assert!(accuracy >= 0.5, "{system}: {accuracy}");
        sum += accuracy;
    }
    let mean = sum / SYSTEMS.len() as f64;
    println!("mean: {mean:.3}");
    assert!(mean >= 0.85, "{mean}");
}

#[test]
fn tokens_are_cut_as_a_reader_would() {
    check("a=1 b= c", &["a", "1", "b", "", "c"]);
    check("init() ok", &["init", "", "ok"]);
    check(r#"{"a":"","b":12,"c":[]}"#, &["a", "", "b", "12", "c", ""]);
    check("GET /a?b=c HTTP/1.1", &["GET", "/a?b=c", "HTTP/1.1"]);
    check("took 12 ms, x", &["took", "12 ms", "x"]);
    check("one\ntwo three\nfour five", &["one", "two", "three", "four five"]);
    check("", &[]);
}

fn check(line: &str, expected: &[&str]) {
    let mut tokens = Vec::new();
    cut(line, &mut tokens);
    let texts: Vec<&str> =
        tokens.iter().map(|token| &line[token.start as usize..token.end as usize]).collect();
    assert_eq!(texts, expected, "{line:?}");
}
