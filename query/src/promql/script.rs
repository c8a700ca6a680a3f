//! The PromQL test language of Prometheus (`promqltest`): load series, evaluate, compare.
//!
//! Each instant case runs in several ways that must agree: as written, as the middle of a range
//! query, and with `@` on its selectors at other evaluation times. A case that fails any of them
//! fails; ways that make no sense for it are listed in its outcome.

mod case;
mod compare;
mod nhcb;
mod notation;
mod ways;

use std::sync::Arc;

use model::read::{QueryLimits, Threads};
use model::{Labels, ManualClock, QueryContext};

use super::eval::EvalOptions;
use super::memory::MemorySeries;
use crate::text::parse_duration_ms;
use case::Case;

pub use notation::{Item, series as read_series, values as read_values};

/// What became of one command. Commands other than evaluations are reported only if they fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseOutcome {
    /// The line of the command, from one.
    pub line: usize,
    /// The command.
    pub command: String,
    /// Whether it is an evaluation.
    pub is_case: bool,
    /// What is wrong; `None` if it passed.
    pub problem: Option<String>,
    /// How many evaluations were made and compared.
    pub ways: usize,
    /// Ways in which the case was not run, and why.
    pub ways_skipped: Vec<&'static str>,
}

/// The outcomes of a script in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Cases that passed in all their ways.
    pub passed: usize,
    /// Cases that failed.
    pub failed: usize,
    /// Other commands that failed.
    pub broken_commands: usize,
    /// Evaluations that were made and compared.
    pub ways: usize,
    /// Ways that make no sense for their case.
    pub ways_skipped: usize,
}

impl Summary {
    /// Counts outcomes.
    pub fn of(outcomes: &[CaseOutcome]) -> Self {
        let mut summary = Summary::default();
        for outcome in outcomes {
            match (outcome.is_case, &outcome.problem) {
                (true, None) => summary.passed += 1,
                (true, Some(_)) => summary.failed += 1,
                (false, _) => summary.broken_commands += 1,
            }
            summary.ways += outcome.ways;
            summary.ways_skipped += outcome.ways_skipped.len();
        }
        summary
    }
}

/// Runs a script from its first line. Outcomes are in its order; none is left out, also not after
/// one that failed.
pub fn run(text: &str) -> Vec<CaseOutcome> {
    let mut runner = Runner { store: MemorySeries::new(), outcomes: Vec::new() };
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .map(|line| if line.starts_with('#') { "" } else { line })
        .collect();
    let mut next = 0;
    while next < lines.len() {
        if lines[next].is_empty() {
            next += 1;
            continue;
        }
        let end = (next..lines.len()).find(|i| lines[*i].is_empty()).unwrap_or(lines.len());
        next += runner.command(&lines[next..end], next + 1).max(1);
    }
    runner.outcomes
}

struct Runner {
    store: MemorySeries,
    outcomes: Vec<CaseOutcome>,
}

type Check<T = ()> = Result<T, String>;

/// The evaluations that were made for a case.
#[derive(Debug, Default)]
struct Ways {
    made: usize,
    skipped: Vec<&'static str>,
}

impl Runner {
    /// Runs the command at the start of `block` and answers how many lines it took.
    fn command(&mut self, block: &[&str], line: usize) -> usize {
        let Some(command) = block.first() else { return 1 };
        let word = command.split_whitespace().next().unwrap_or("").to_lowercase();
        let mut ways = Ways::default();
        let (taken, result) = match word.as_str() {
            "clear" => {
                self.store = MemorySeries::new();
                return 1;
            }
            "load" | "load_with_nhcb" => match self.load(block, &word, line) {
                Ok(()) => return block.len(),
                Err(problem) => (block.len(), Err(problem)),
            },
            _ if word.starts_with("eval") => match Case::read(block, line) {
                Ok((case, taken)) => (taken, case.run(&self.store, &mut ways)),
                Err(problem) => (block.len(), Err(problem)),
            },
            _ => (block.len(), Err(format!("invalid command {command:?}"))),
        };
        self.outcomes.push(CaseOutcome {
            line,
            command: (*command).to_owned(),
            is_case: word.starts_with("eval"),
            problem: result.err(),
            ways: ways.made,
            ways_skipped: ways.skipped,
        });
        taken
    }

    fn load(&mut self, block: &[&str], word: &str, first_line: usize) -> Check {
        let step = block[0].split_whitespace().nth(1).ok_or("load without a step")?;
        let step = time(step)?;
        let mut loaded = Vec::new();
        let mut starts: Option<(Labels, Vec<Option<i64>>)> = None;
        for (line, text) in (first_line + 1..).zip(&block[1..]) {
            let at_line = |problem: String| format!("line {line}: {problem}");
            let (labels, rest) = notation::series(text).map_err(at_line)?;
            if let Some(items) = rest.strip_prefix("@st") {
                if starts.is_some() {
                    return Err(at_line("the @st line above belongs to no series".into()));
                }
                starts = Some((labels, notation::starts(items).map_err(at_line)?));
                continue;
            }
            let items = notation::values(rest).map_err(at_line)?;
            let own_starts = match starts.take() {
                None => Vec::new(),
                Some((of, _)) if of != labels => {
                    return Err(at_line("the @st line above is of another series".into()));
                }
                Some((_, starts)) if starts.len() != items.len() => {
                    let (starts, items) = (starts.len(), items.len());
                    let problem = format!("{starts} start times are of {items} samples");
                    return Err(at_line(problem));
                }
                Some((_, starts)) => starts,
            };
            for (i, item) in items.iter().enumerate() {
                let at = step * i64::try_from(i).unwrap_or(0);
                let start = own_starts.get(i).copied().flatten().map_or(0, |delta| at + delta);
                match item {
                    Item::Missing => {}
                    Item::Float(value) => self.store.push(&labels, at, start, *value),
                    Item::Histogram(histogram, _) => {
                        let histogram = histogram.clone();
                        self.store.push_started_histogram(&labels, at, start, histogram);
                    }
                }
            }
            loaded.push((labels, items));
        }
        if starts.is_some() {
            return Err("the last @st line belongs to no series".into());
        }
        if word == "load_with_nhcb" {
            for (labels, i, histogram) in nhcb::convert(&loaded)? {
                self.store.push_histogram(&labels, step * i, histogram);
            }
        }
        Ok(())
    }
}

/// A duration, or a bare number of seconds, as milliseconds.
fn time(text: &str) -> Check<i64> {
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let ms = match parse_duration_ms(body) {
        Some(ms) => ms,
        None => {
            let seconds: f64 = body.parse().map_err(|_| format!("{text:?} is not a time"))?;
            (seconds * 1000.0).round() as i64
        }
    };
    Ok(if negative { -ms } else { ms })
}

/// The settings behind the expected values. Prometheus refuses a query that holds more than 10000
/// samples at once; the budget here is about all samples that a query looks at, so it is larger.
fn settings() -> (EvalOptions, QueryContext) {
    let limits = QueryLimits { items_max: 100_000, ..QueryLimits::default() };
    let clock = Arc::new(ManualClock::default());
    let context = QueryContext::new(limits, clock).with_threads(Threads::new(2));
    (EvalOptions::default(), context)
}
