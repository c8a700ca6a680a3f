//! The scripts of Prometheus, as a ratchet: no file may pass fewer cases than it once did.

use std::fmt::Write;
use std::path::PathBuf;

use crate::promql::script;

/// Files and how many of their cases must pass.
const PASSED_MIN: [(&str, usize); 21] = [
    ("aggregators.test", 106),
    ("at_modifier.test", 51),
    ("collision.test", 1),
    ("duration_expression.test", 39),
    ("extended_vectors.test", 110),
    ("fill-modifier.test", 31),
    ("functions.test", 284),
    ("histograms.test", 119),
    ("info.test", 36),
    ("limit.test", 24),
    ("literals.test", 17),
    ("name_label_dropping.test", 20),
    ("native_histograms.test", 340),
    ("operators.test", 139),
    ("range_queries.test", 12),
    ("selectors.test", 20),
    ("staleness.test", 13),
    ("start_timestamps.test", 16),
    ("subquery.test", 21),
    ("trig_functions.test", 13),
    ("type_and_unit.test", 38),
];

fn scripts() -> PathBuf {
    let shared = std::env::var_os("SIGNALBOX_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        PathBuf::from,
    );
    shared.join("conformance/promql")
}

#[test]
fn no_conformance_script_passes_fewer_cases_than_before() {
    let folder = scripts();
    if !folder.is_dir() {
        println!("not run: {} does not exist (set SIGNALBOX_SHARED)", folder.display());
        return;
    }
    let mut report = String::new();
    let mut worse = Vec::new();
    let verbose = std::env::var("SIGNALBOX_SCRIPT_FAILURES").ok();
    for (file, passed_min) in PASSED_MIN {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let outcomes = script::run(&text);
        let script::Summary { passed, failed, broken_commands, ways, ways_skipped } =
            script::Summary::of(&outcomes);
        writeln!(
            report,
            "{file}: {passed} passed, {failed} failed; {ways} evaluations, {ways_skipped} ways \
             skipped"
        )
        .unwrap();
        if broken_commands > 0 {
            worse.push(format!("{file} has {broken_commands} commands that can not be run"));
        }
        if verbose.as_deref().is_some_and(|part| file.contains(part)) {
            for outcome in outcomes.iter().filter(|outcome| outcome.problem.is_some()) {
                let problem = outcome.problem.as_deref().unwrap_or_default();
                let problem: String = problem.chars().take(400).collect();
                println!("{file}:{}: {}\n    {problem}", outcome.line, outcome.command);
            }
        }
        if passed < passed_min {
            worse.push(format!("{file} passes {passed} cases, not {passed_min}"));
        }
    }
    println!("{report}");
    assert!(worse.is_empty(), "{worse:#?}");
}
