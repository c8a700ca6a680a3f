//! Label matchers, shared by all selectors: PromQL, LogQL, routes, silences.

use std::fmt;

use regex::Regex;

use crate::error::{Error, Result};
use crate::go_regex::translate;
use crate::labels::{Labels, is_plain_label_name};

/// How a label value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Matches,
    /// `!~`
    NotMatches,
}

impl MatchOp {
    /// The operator as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Matches => "=~",
            MatchOp::NotMatches => "!~",
        }
    }
}

/// One condition on one label. An absent label counts as the empty value.
#[derive(Clone)]
pub struct Matcher {
    /// The label.
    pub name: String,
    /// The comparison.
    pub op: MatchOp,
    /// The value, or the regular expression as written.
    pub value: String,
    regex: Option<Regex>,
}

/// No pattern of a matcher may compile to more than this.
const REGEX_BYTES_MAX: usize = 4 << 20;

/// Compiles a pattern of Go anchored at both ends whose dot matches newlines, as Prometheus 3 does.
pub fn anchored_regex(pattern: &str) -> Result<Regex> {
    let translated = translate(pattern);
    // Compiled alone first, so that the error shows what the user wrote.
    regex::RegexBuilder::new(&translated)
        .dot_matches_new_line(true)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|e| Error::bad_request(format!("bad regular expression {pattern:?}: {e}")))?;
    regex::RegexBuilder::new(&format!("^(?:{translated})$"))
        .dot_matches_new_line(true)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|e| Error::bad_request(format!("bad regular expression {pattern:?}: {e}")))
}

impl Matcher {
    /// Makes a matcher; fails if a regular expression does not compile or is too large.
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Result<Self> {
        let (name, value) = (name.into(), value.into());
        let regex = match op {
            MatchOp::Matches | MatchOp::NotMatches => Some(anchored_regex(&value)?),
            MatchOp::Equal | MatchOp::NotEqual => None,
        };
        Ok(Matcher { name, op, value, regex })
    }

    /// The matcher `name = value`, which can not fail.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Matcher { name: name.into(), op: MatchOp::Equal, value: value.into(), regex: None }
    }

    /// Whether `value` (empty for an absent label) satisfies this matcher.
    pub fn matches(&self, value: &str) -> bool {
        let found = self.regex.as_ref().is_some_and(|regex| regex.is_match(value));
        match self.op {
            MatchOp::Equal => self.value == value,
            MatchOp::NotEqual => self.value != value,
            MatchOp::Matches => found,
            MatchOp::NotMatches => !found,
        }
    }

    /// Whether a series without this label satisfies this matcher.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// Whether `labels` satisfy every one of `matchers`.
    pub fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
        matchers.iter().all(|matcher| matcher.matches(labels.get_or_empty(&matcher.name)))
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.op == other.op && self.value == other.value
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (op, value) = (self.op.as_str(), &self.value);
        if is_plain_label_name(&self.name) {
            write!(f, "{}{op}{value:?}", self.name)
        } else {
            write!(f, "{:?}{op}{value:?}", self.name)
        }
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_expressions_are_anchored_and_their_dot_matches_newlines() {
        let matcher = Matcher::new("a", MatchOp::Matches, "b.*|c").unwrap();
        assert!(matcher.matches("b\nx") && matcher.matches("c"));
        assert!(!matcher.matches("ab") && !matcher.matches("cc"));
    }

    #[test]
    fn an_alternation_can_not_escape_its_anchors() {
        assert!(Matcher::new("a", MatchOp::Matches, "b)|(c").is_err());
    }

    #[test]
    fn an_absent_label_is_the_empty_value() {
        let labels = Labels::from_pairs([("a", "1")]);
        assert!(Matcher::all_match(&[Matcher::equal("b", "")], &labels));
        assert!(Matcher::all_match(&[Matcher::new("b", MatchOp::NotEqual, "x").unwrap()], &labels));
        assert!(!Matcher::all_match(
            &[Matcher::new("b", MatchOp::Matches, ".+").unwrap()],
            &labels
        ));
    }
}
