//! Selections of records as the manifest keeps them: those of deletions.

use model::log::{LineCondition, Needle};
use model::read::RangeNs;
use model::{LogSelection, MatchOp, Matcher, TimestampNs};
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::cursor::Hidden;

/// No expression of a deletion may compile to more than this.
const REGEX_BYTES_MAX: usize = 4 << 20;

/// A matcher as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WrittenMatcher {
    name: String,
    op: String,
    value: String,
}

impl WrittenMatcher {
    fn of(matcher: &Matcher) -> Self {
        WrittenMatcher {
            name: matcher.name.clone(),
            op: matcher.op.as_str().to_owned(),
            value: matcher.value.clone(),
        }
    }

    fn matcher(&self) -> model::Result<Matcher> {
        let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Matches, MatchOp::NotMatches];
        let op = ops.into_iter().find(|op| op.as_str() == self.op).ok_or_else(|| {
            model::Error::bad_request(format!("unknown matcher operator {:?}", self.op))
        })?;
        Matcher::new(&self.name, op, &self.value)
    }
}

/// A condition on lines as it is written down: `|=`, `!=`, `|~` or `!~`, and its texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WrittenCondition {
    op: String,
    texts: Vec<String>,
}

impl WrittenCondition {
    fn of(condition: &LineCondition) -> Self {
        let needles = |needles: &[Needle]| {
            needles.iter().map(|n| String::from_utf8_lossy(n.text()).into_owned()).collect()
        };
        let regexes =
            |regexes: &[Regex]| regexes.iter().map(|regex| regex.as_str().to_owned()).collect();
        let (op, texts) = match condition {
            LineCondition::Contains(some) => ("|=", needles(some)),
            LineCondition::Lacks(some) => ("!=", needles(some)),
            LineCondition::Matches(some) => ("|~", regexes(some)),
            LineCondition::MatchesNot(some) => ("!~", regexes(some)),
        };
        WrittenCondition { op: op.to_owned(), texts }
    }

    fn condition(&self) -> model::Result<LineCondition> {
        let needles = || self.texts.iter().map(|text| Needle::new(text)).collect();
        let regexes =
            || self.texts.iter().map(|text| line_regex(text)).collect::<model::Result<Vec<_>>>();
        Ok(match self.op.as_str() {
            "|=" => LineCondition::Contains(needles()),
            "!=" => LineCondition::Lacks(needles()),
            "|~" => LineCondition::Matches(regexes()?),
            "!~" => LineCondition::MatchesNot(regexes()?),
            other => {
                let what = format!("unknown condition {other:?} on lines");
                return Err(model::Error::bad_request(what));
            }
        })
    }
}

/// Expressions are written down without their flags: these are the flags of LogQL's line filters.
fn line_regex(pattern: &str) -> model::Result<Regex> {
    RegexBuilder::new(pattern)
        .dot_matches_new_line(true)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|e| model::Error::bad_request(format!("bad regular expression {pattern:?}: {e}")))
}

/// A selection as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WrittenSelection {
    matchers: Vec<WrittenMatcher>,
    lines: Vec<WrittenCondition>,
    fields: Vec<WrittenMatcher>,
    /// In nanoseconds; the end is excluded.
    start: i64,
    end: i64,
}

/// One deletion as the manifest keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deletion {
    pub(crate) id: u64,
    /// On the wall clock, in milliseconds.
    pub(crate) made_at: i64,
    /// What the caller wrote.
    pub(crate) query: String,
    selection: WrittenSelection,
    /// Records that arrived later are not deleted.
    pub(crate) before_arrival: u64,
    /// Whether its records may be on their way out, so that it can not be taken back any more.
    pub(crate) is_final: bool,
    /// When its records were gone from all files, if they are.
    pub(crate) done_at: Option<i64>,
}

impl Deletion {
    pub(crate) fn new(
        id: u64,
        made_at: i64,
        selection: &LogSelection,
        query: &str,
        before_arrival: u64,
    ) -> Self {
        let selection = WrittenSelection {
            matchers: selection.matchers.iter().map(WrittenMatcher::of).collect(),
            lines: selection.lines.iter().map(WrittenCondition::of).collect(),
            fields: selection.fields.iter().map(WrittenMatcher::of).collect(),
            start: selection.range.start.0,
            end: selection.range.end.0,
        };
        let query = query.to_owned();
        Deletion { id, made_at, query, selection, before_arrival, is_final: false, done_at: None }
    }

    /// What it selects; fails if it does not compile.
    pub(crate) fn selection(&self) -> model::Result<LogSelection> {
        let matchers = |written: &[WrittenMatcher]| -> model::Result<Vec<Matcher>> {
            written.iter().map(WrittenMatcher::matcher).collect()
        };
        let WrittenSelection { start, end, .. } = self.selection;
        Ok(LogSelection {
            matchers: matchers(&self.selection.matchers)?,
            lines: self
                .selection
                .lines
                .iter()
                .map(WrittenCondition::condition)
                .collect::<model::Result<_>>()?,
            fields: matchers(&self.selection.fields)?,
            range: RangeNs { start: TimestampNs(start), end: TimestampNs(end) },
        })
    }

    /// What it hides.
    pub(crate) fn hidden(&self) -> model::Result<Hidden> {
        Ok(Hidden { selection: self.selection()?, before_arrival: self.before_arrival })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_comes_back_as_it_was_written() {
        let selection = LogSelection {
            matchers: vec![Matcher::new("app", MatchOp::NotMatches, "a|b").unwrap()],
            lines: vec![
                LineCondition::contains("one \"two\""),
                LineCondition::lacks("three"),
                LineCondition::Matches(vec![line_regex("a.b").unwrap()]),
                LineCondition::MatchesNot(vec![line_regex("c$").unwrap()]),
            ],
            fields: vec![Matcher::equal("level", "info")],
            range: RangeNs { start: TimestampNs(-5), end: TimestampNs::MAX },
        };
        let deletion = Deletion::new(7, 1, &selection, "{app!~\"a|b\"}", 9);
        let json = serde_json::to_string(&deletion).unwrap();
        let read: Deletion = serde_json::from_str(&json).unwrap();
        assert_eq!(read, deletion);
        let back = read.selection().unwrap();
        assert_eq!(format!("{:?}", back.matchers), format!("{:?}", selection.matchers));
        assert_eq!(format!("{:?}", back.fields), format!("{:?}", selection.fields));
        assert_eq!(back.range, selection.range);
        for line in ["one \"two\" a\nb", "one \"two\" three a b", "a-b", "one \"two\" a-b c"] {
            let accepts = |lines: &[LineCondition]| LineCondition::all_accept(lines, line);
            assert_eq!(accepts(&back.lines), accepts(&selection.lines), "{line:?}");
        }
    }
}
