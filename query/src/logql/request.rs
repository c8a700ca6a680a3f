//! What a query asks of a store: as much of its pipeline as a store can use to touch less.

use model::log::{LineCondition, Needle, is_bookkeeping};
use model::read::{LogColumns, LogRequest, RangeNs};
use model::{Matcher, TimestampNs};

use super::ast::{LabelFilter, LineFilter, LineOp, LineTest, LogExpr, Stage, Unwrap};
use super::labels::{ERROR, ERROR_DETAILS, EXTRACTED, PRESERVE_ERROR};

/// The rows that a pipeline may let through.
pub(super) fn request(log: &LogExpr, range: RangeNs, metadata: bool, line: bool) -> LogRequest {
    let mut lines = Vec::new();
    let mut fields = Vec::new();
    // Conditions on labels count up to the first stage that makes or takes labels, those on lines
    // as long as the line is the one that the store has.
    let (mut has_stored_labels, mut has_stored_line) = (true, true);
    for stage in &log.stages {
        match stage {
            Stage::Line(filter) if has_stored_line => lines.extend(conditions(filter)),
            Stage::Line(_) => {}
            Stage::Label(filter) if has_stored_labels => push_matchers(filter, &mut fields),
            Stage::Label(_) => {}
            _ => has_stored_labels = false,
        }
        has_stored_line &= !stage.changes_line();
    }
    let columns = LogColumns { line, metadata };
    LogRequest { matchers: log.matchers.clone(), range, lines, fields, order: None, columns }
}

/// The filter as a condition that holds for exactly the same lines, if there is one.
pub(super) fn exact_condition(filter: &LineFilter) -> Option<LineCondition> {
    let needles = || {
        let tests = filter.tests.iter().map(|test| match test {
            LineTest::Text(needle) => Some((**needle).clone()),
            _ => None,
        });
        tests.collect::<Option<Vec<_>>>()
    };
    let regexes = || {
        let tests = filter.tests.iter().map(|test| match test {
            LineTest::Regex(regex) => Some(regex.clone()),
            _ => None,
        });
        tests.collect::<Option<Vec<_>>>()
    };
    match filter.op {
        LineOp::Contains => needles().map(LineCondition::Contains),
        LineOp::Lacks => needles().map(LineCondition::Lacks),
        LineOp::Matches => regexes().map(LineCondition::Matches),
        LineOp::MatchesNot => regexes().map(LineCondition::MatchesNot),
        LineOp::IsLike | LineOp::IsNotLike => None,
    }
}

/// Conditions that hold for all lines that pass, and perhaps for others.
fn conditions(filter: &LineFilter) -> Vec<LineCondition> {
    if let Some(condition) = exact_condition(filter) {
        return vec![condition];
    }
    match (filter.op, filter.tests.as_slice()) {
        // Every text of a pattern is in every line that is like it.
        (LineOp::IsLike, [LineTest::Pattern(pattern)]) => {
            pattern.literals().map(LineCondition::contains).collect()
        }
        (LineOp::IsLike, tests) => {
            // Of alternatives, one text of each: the longest says the most.
            let longest = tests.iter().map(|test| match test {
                LineTest::Pattern(pattern) => pattern.literals().max_by_key(|text| text.len()),
                _ => None,
            });
            let needles = longest.map(|text| text.map(Needle::new));
            let all = needles.collect::<Option<Vec<_>>>();
            all.map(LineCondition::Contains).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Conditions of a filter on labels that the store can check by itself.
fn push_matchers(filter: &LabelFilter, matchers: &mut Vec<Matcher>) {
    match filter {
        LabelFilter::Text(matcher) if is_stored(&matcher.name) => matchers.push(matcher.clone()),
        LabelFilter::And(left, right) => {
            push_matchers(left, matchers);
            push_matchers(right, matchers);
        }
        _ => {}
    }
}

/// The filter as conditions that hold for exactly the same rows, if there are any.
pub(super) fn exact_matchers(filter: &LabelFilter) -> Option<Vec<Matcher>> {
    match filter {
        LabelFilter::Text(matcher) if is_stored(&matcher.name) => Some(vec![matcher.clone()]),
        // Where nothing can fail there is no error.
        LabelFilter::Text(matcher) if matcher.name == ERROR && matcher.matches_empty() => {
            Some(Vec::new())
        }
        LabelFilter::And(left, right) => {
            let mut matchers = exact_matchers(left)?;
            matchers.extend(exact_matchers(right)?);
            Some(matchers)
        }
        _ => None,
    }
}

/// Whether a store knows the label under that name: others are made by the query, or are none.
pub(super) fn is_stored(name: &str) -> bool {
    !matches!(name, ERROR | ERROR_DETAILS | PRESERVE_ERROR)
        && !name.ends_with(EXTRACTED)
        && !is_bookkeeping(name)
}

/// Whether any stage, or what is made of the lines, looks at the line.
pub(super) fn needs_line(log: &LogExpr, unwrap: Option<&Unwrap>, counts_bytes: bool) -> bool {
    // A template may call `__line__`.
    let looks = |stage: &Stage| {
        matches!(stage, Stage::Line(_) | Stage::LineFormat(_) | Stage::LabelFormat(_))
            || stage.is_parser()
    };
    (counts_bytes && unwrap.is_none()) || log.stages.iter().any(looks)
}

/// Rows from a time on, which is left out, to another.
pub(super) fn range_between(after_ns: i64, until_ns: i64) -> RangeNs {
    RangeNs {
        start: TimestampNs(after_ns.saturating_add(1)),
        end: TimestampNs(until_ns.saturating_add(1)),
    }
}
