//! Conditions on the text of a line, as a query pushes them down to a store.

use memchr::memmem::Finder;
use regex::Regex;

/// A condition on one line. A query has any number of them, and all hold together.
#[derive(Debug, Clone)]
pub enum LineCondition {
    /// The line has at least one of these texts in it, byte by byte. An empty text is in every line.
    Contains(Vec<Needle>),
    /// The line has none of these texts in it.
    Lacks(Vec<Needle>),
    /// At least one of these expressions matches somewhere in the line.
    Matches(Vec<Regex>),
    /// None of these expressions matches anywhere in the line.
    MatchesNot(Vec<Regex>),
}

/// A text that is looked for, ready to be found.
#[derive(Debug, Clone)]
pub struct Needle {
    finder: Finder<'static>,
}

impl Needle {
    /// Prepares the search for `text`.
    pub fn new(text: &str) -> Self {
        Needle { finder: Finder::new(text).into_owned() }
    }

    /// The text.
    pub fn text(&self) -> &[u8] {
        self.finder.needle()
    }

    /// Whether it is in `line`.
    pub fn is_in(&self, line: &[u8]) -> bool {
        self.finder.find(line).is_some()
    }
}

impl LineCondition {
    /// The line contains `text`.
    pub fn contains(text: &str) -> Self {
        LineCondition::Contains(vec![Needle::new(text)])
    }

    /// The line does not contain `text`.
    pub fn lacks(text: &str) -> Self {
        LineCondition::Lacks(vec![Needle::new(text)])
    }

    /// Whether a line satisfies it.
    pub fn accepts(&self, line: &str) -> bool {
        match self {
            LineCondition::Contains(needles) => needles.iter().any(|n| n.is_in(line.as_bytes())),
            LineCondition::Lacks(needles) => !needles.iter().any(|n| n.is_in(line.as_bytes())),
            LineCondition::Matches(regexes) => regexes.iter().any(|regex| regex.is_match(line)),
            LineCondition::MatchesNot(regexes) => !regexes.iter().any(|regex| regex.is_match(line)),
        }
    }

    /// Whether a line satisfies all of `conditions`.
    pub fn all_accept(conditions: &[LineCondition], line: &str) -> bool {
        conditions.iter().all(|condition| condition.accepts(line))
    }
}
