//! Scripts that test LogQL: load lines, evaluate, compare.
//!
//! The language is that of Loki's own scripts for metric queries, and `eval lines` for log queries.
//! Blocks begin at a line without indentation, a blank line ends them, `#` begins a comment outside
//! of quotes:
//!
//! ```text
//! load
//!   {app="a"} "GET /x took=5ms" @ 10s [repeat every 10s for 3] [metadata level="info"]
//!
//! eval instant at 1m count_over_time({app="a"}[1m])
//!   {app="a", level="info"} 3
//!
//! eval lines from 0s to 1m limit 1 direction forward {app="a"} |= "GET"
//!   {app="a", level="info"} "GET /x took=5ms" @ 10s
//! ```

mod case;
mod notation;

use model::{Labels, LogSource};

use super::memory::MemoryLogs;
pub use crate::promql::script::{CaseOutcome, Summary};
use case::Case;

/// A line of a script's `load`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedLine {
    /// Its stream.
    pub stream: Labels,
    /// When it happened.
    pub at_ns: i64,
    /// The line.
    pub line: String,
    /// Structured metadata.
    pub metadata: Vec<(String, String)>,
}

/// A form of a store: its name and what is asked.
pub type Form<'a> = (&'a str, &'a dyn LogSource);

/// Where a script keeps its lines. Failures are words for the script's author.
pub trait Store {
    /// Forgets all lines.
    fn clear(&mut self) -> Result<(), String>;

    /// Adds lines, in order of arrival.
    fn load(&mut self, lines: &[LoadedLine]) -> Result<(), String>;

    /// The forms that the lines are in. Every query is asked of each of them, and all must give what
    /// is expected.
    fn forms(&self) -> Vec<Form<'_>>;
}

impl Store for MemoryLogs {
    fn clear(&mut self) -> Result<(), String> {
        *self = MemoryLogs::new();
        Ok(())
    }

    fn load(&mut self, lines: &[LoadedLine]) -> Result<(), String> {
        for LoadedLine { stream, at_ns, line, metadata } in lines {
            let metadata: Vec<(&str, &str)> =
                metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            self.push(stream, *at_ns, line, &metadata);
        }
        Ok(())
    }

    fn forms(&self) -> Vec<Form<'_>> {
        vec![("memory", self)]
    }
}

/// The queries of a script in order of its text, whether they are good or not.
pub fn queries(text: &str) -> Vec<String> {
    blocks(text)
        .into_iter()
        .filter_map(|(line, block)| Case::read(&block, line).ok())
        .map(|case| case.query)
        .collect()
}

/// Runs a script from its first line. Outcomes are in its order; none is left out, also not after one
/// that failed.
pub fn run(text: &str, store: &mut dyn Store) -> Vec<CaseOutcome> {
    let mut outcomes = Vec::new();
    for (line, block) in blocks(text) {
        let command = block.first().copied().unwrap_or("");
        let word = command.split_whitespace().next().unwrap_or("");
        let mut ways = 0;
        let result = match word {
            "clear" if block.len() == 1 => store.clear(),
            "load" => notation::load(&block, line).and_then(|lines| store.load(&lines)),
            "eval" => Case::read(&block, line).and_then(|case| {
                for (form, source) in store.forms() {
                    ways += 1;
                    case.check(source).map_err(|problem| format!("in the {form}: {problem}"))?;
                }
                Ok(())
            }),
            _ => Err(format!("invalid command {command:?}")),
        };
        let is_case = word == "eval";
        if is_case || result.is_err() {
            outcomes.push(CaseOutcome {
                line,
                command: command.trim().to_owned(),
                is_case,
                problem: result.err(),
                ways,
                ways_skipped: Vec::new(),
            });
        }
    }
    outcomes
}

/// Commands with the lines that belong to them, and the number of their first line.
fn blocks(text: &str) -> Vec<(usize, Vec<&str>)> {
    let mut blocks: Vec<(usize, Vec<&str>)> = Vec::new();
    let mut is_open = false;
    for (number, line) in (1..).zip(text.lines()) {
        let whole = line;
        let line = notation::without_comment(line).trim_end();
        if line.is_empty() {
            // A comment by itself does not end a block.
            is_open &= !whole.trim().is_empty();
            continue;
        }
        let is_indented = line.starts_with([' ', '\t']);
        match blocks.last_mut() {
            Some((_, block)) if is_indented && is_open => block.push(line),
            _ => blocks.push((number, vec![line])),
        }
        is_open = true;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, problems: &[Option<&str>]) {
        let outcomes = run(text, &mut MemoryLogs::new());
        let found: Vec<_> = outcomes.iter().map(|outcome| outcome.problem.as_deref()).collect();
        assert_eq!(found.len(), problems.len(), "{found:?}");
        for (found, wanted) in found.iter().zip(problems) {
            match (found, wanted) {
                (None, None) => {}
                (Some(found), Some(wanted)) if found.contains(wanted) => {}
                _ => panic!("found {found:?}, wanted {wanted:?}"),
            }
        }
    }

    #[test]
    fn a_script_tells_right_from_wrong() {
        check(
            r#"
# A comment.
load
  {app="a"} "x # \n {{.i}}" @ 10s [repeat every 10s for 3] [metadata k="v" "l"="w"]
  {app="b"} `y "q"` @ 1m30s   # another

eval instant at 30s count_over_time({app="a"}[1m])
  {app="a", k="v", l="w"} 3
eval instant at 30s count_over_time({app="a"}[1m])
  {app="a", k="v"} 3
eval instant at 30s sum(count_over_time({app="a"}[1m]))
  {} 4

eval range from 10s to 40s step 10s sum(count_over_time({app="a"}[10s]))
  {} 1 1 1 _
eval range from 10s to 40s step 10s sum(count_over_time({app="a"}[1m]))
  {} 1+1x1 3x1
eval range from 10s to 30s step 10s sum(count_over_time({app="a"}[10s]))
  {} 1 1
eval instant at 0s 1 + 1
  2
eval instant at 0s sum(count_over_time({app="a"}[10s]))
  expect empty
eval instant at 0s sum(
  expect fail
eval instant at 0s sum(
  expect fail msg: nonsense
eval instant at 0s {app="a"} |= `x
  expect fail regex: literal.not.terminated
eval instant at 1m sort_desc(sum by (app) (count_over_time({app=~".+"}[1m])))
  expect ordered
  skip values-comparison on "other"
  {app="a"} 3
eval lines from 0s to 2m limit 2 direction forward {app=~".+"} !~ "0$"
  {app="a", k="v", l="w"} "x # \n 1" @ 20s
  {app="a", k="v", l="w"} "x # \n 2" @ 30s
eval lines from 0s to 2m {app="b"}
  {app="b"} `y "q"` @ 1m30s
eval lines from 0s to 90s {app="b"}
  expect empty
eval lines from 0s to 2m {app="b"}
  {app="b"} "other" @ 1m30s
nonsense
clear
eval instant at 30s count_over_time({app="a"}[1m])
  expect empty
load
  {app="a"} no quotes @ 5s
"#,
            &[
                None,
                Some("is missing"),
                Some("expected 4, found 3"),
                None,
                None,
                Some("points"),
                None,
                None,
                None,
                Some("another message"),
                None,
                None,
                None,
                None,
                None,
                Some("line 1"),
                Some("invalid command"),
                None,
                Some("line 48: a line in quotes"),
            ],
        );
    }
}
