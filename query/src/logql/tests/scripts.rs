//! The project's own scripts, over lines in memory. `signalbox test logql` runs them over a real
//! store.

use std::path::PathBuf;

use crate::logql::ast::Expr;
use crate::logql::memory::MemoryLogs;
use crate::logql::parse;
use crate::logql::script::{self, Summary};

fn scripts() -> Vec<(PathBuf, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/logql");
    let mut scripts: Vec<(PathBuf, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "test"))
        .map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    scripts.sort();
    scripts
}

#[test]
fn all_scripts_pass() {
    let mut problems = Vec::new();
    let mut passed = 0;
    for (path, text) in scripts() {
        let outcomes = script::run(&text, &mut MemoryLogs::new());
        passed += Summary::of(&outcomes).passed;
        for outcome in outcomes {
            if let Some(problem) = outcome.problem {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                problems.push(format!("{name}:{}: {problem}\n  {}", outcome.line, outcome.command));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(passed > 200, "only {passed} cases");
}

#[test]
fn queries_of_scripts_print_as_themselves() {
    let mut count = 0;
    for (_, text) in scripts() {
        for query in script::queries(&text) {
            let Ok(expr) = parse(&query) else { continue };
            for printed in [expr.to_string(), expr.pretty()] {
                let again = parse(&printed);
                assert_eq!(again.as_ref().ok(), Some(&expr), "{query} as {printed}: {again:?}");
            }
            count += 1;
        }
    }
    assert!(count > 150, "{count}");
}

#[test]
fn long_queries_are_laid_out() {
    let check = |query: &str, expected: &str| {
        let expr: Expr = parse(query).unwrap();
        assert_eq!(expr.pretty(), expected);
        assert_eq!(parse(expected).unwrap(), expr);
    };
    check("{a=\"b\"}|=`x`|json", "{a=\"b\"} |= \"x\" | json");
    check(
        r#"sum by (namespace, cluster) (rate({job="loki-prod/querier", container="querier"}
            |= "metrics.go" | logfmt | duration > 10s [1m])) / 2"#,
        r#"  sum by (namespace, cluster)(
    rate({job="loki-prod/querier", container="querier"} |= "metrics.go" | logfmt | duration>10s[1m])
  )
/
  2"#,
    );
    check(
        r#"{job="loki-prod/querier", container="querier"} |= "metrics.go" != "info"
            | logfmt | duration > 10s and status >= 500"#,
        r#"{job="loki-prod/querier", container="querier"}
  |= "metrics.go" != "info"
  | logfmt
  | ( duration>10s , status>=500 )"#,
    );
}
