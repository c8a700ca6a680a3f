//! The small language of `text=`: words, phrases and the like, with AND, OR, NOT and parentheses.
//!
//! ```text
//! timeout "connection refused" NOT retry    both, and not the third
//! (time* OR slow~1) /took=\d{4,}ms/         prefix, one typing error, regular expression
//! trace_id:abcd resource.region:eu*         fields, wherever they come from or of one origin
//! ```
//!
//! Words are runs of letters, digits and `_`; they are found whole and in any case. Only
//! expressions mind the case. A term may have signs in it (`a-b`), which are found as they are
//! written.

mod parser;
#[cfg(test)]
mod tests;

use model::log::{LineCondition, Origin};
use regex::Regex;

pub(super) use parser::parse;

/// What a text asks of a line.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// All of them; none is true of every line.
    And(Vec<Node>),
    /// One of them.
    Or(Vec<Node>),
    /// Not that.
    Not(Box<Node>),
    /// A term is in the line.
    Line(Test),
    /// A field has a value.
    Field(FieldTest),
}

/// What is looked for in a text.
#[derive(Debug, Clone)]
pub(super) enum Test {
    /// It matches somewhere.
    Regex(Regex),
    /// A word that is at most so many changes of one letter away from this one.
    Fuzzy { word: Vec<char>, changes: usize },
}

/// A condition on a field.
#[derive(Debug, Clone)]
pub(super) struct FieldTest {
    /// Where it must come from; labels of the stream are of no origin.
    pub(super) origin: Option<Place>,
    pub(super) name: String,
    pub(super) test: Test,
}

/// Where a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A label of the stream.
    Stream,
    /// Structured metadata.
    Metadata(Origin),
    /// A label that the query made.
    Parsed,
}

impl Place {
    /// All places with their names.
    pub(super) const ALL: [(&str, Place); 6] = [
        ("stream", Place::Stream),
        ("resource", Place::Metadata(Origin::Resource)),
        ("scope", Place::Metadata(Origin::Scope)),
        ("record", Place::Metadata(Origin::Record)),
        ("derived", Place::Metadata(Origin::Derived)),
        ("parsed", Place::Parsed),
    ];

    /// The place of that name.
    pub(super) fn from_name(name: &str) -> Option<Place> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, place)| *place)
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, place)| *place == self).map_or("record", |(name, _)| name)
    }
}

/// A line with its fields.
pub(super) struct Subject<'s> {
    pub(super) line: &'s str,
    pub(super) fields: &'s [(Place, &'s str, &'s str)],
}

impl Node {
    /// Whether it is true of a line.
    pub(super) fn accepts(&self, subject: &Subject<'_>) -> bool {
        match self {
            Node::And(nodes) => nodes.iter().all(|node| node.accepts(subject)),
            Node::Or(nodes) => nodes.iter().any(|node| node.accepts(subject)),
            Node::Not(node) => !node.accepts(subject),
            Node::Line(test) => test.is_in(subject.line),
            Node::Field(field) => subject.fields.iter().any(|(place, name, value)| {
                field.origin.is_none_or(|origin| origin == *place)
                    && field.name == *name
                    && field.test.is_in(value)
            }),
        }
    }

    /// Whether any field is asked for.
    pub(super) fn uses_fields(&self) -> bool {
        match self {
            Node::And(nodes) | Node::Or(nodes) => nodes.iter().any(Node::uses_fields),
            Node::Not(node) => node.uses_fields(),
            Node::Line(_) => false,
            Node::Field(_) => true,
        }
    }

    /// Conditions that hold for all lines of which it is true, and whether for no others.
    pub(super) fn conditions(&self) -> (Vec<LineCondition>, bool) {
        match self {
            Node::And(nodes) => {
                let (mut all, mut are_exact) = (Vec::new(), true);
                for (conditions, is_exact) in nodes.iter().map(Node::conditions) {
                    all.extend(conditions);
                    are_exact &= is_exact;
                }
                (all, are_exact)
            }
            Node::Line(Test::Regex(regex)) => {
                (vec![LineCondition::Matches(vec![regex.clone()])], true)
            }
            Node::Or(nodes) => match regexes(nodes) {
                Some(regexes) => (vec![LineCondition::Matches(regexes)], true),
                None => (Vec::new(), false),
            },
            Node::Not(node) => match regexes(std::slice::from_ref(node.as_ref())) {
                Some(regexes) => (vec![LineCondition::MatchesNot(regexes)], true),
                None => (Vec::new(), false),
            },
            Node::Line(Test::Fuzzy { .. }) | Node::Field(_) => (Vec::new(), false),
        }
    }

    /// Bytes of the line from which on to which a term is found that should be, in order and apart.
    pub(super) fn highlights(&self, line: &str) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        self.push_highlights(line, &mut found);
        found.sort_unstable();
        let mut apart: Vec<(usize, usize)> = Vec::new();
        for (start, end) in found {
            match apart.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => apart.push((start, end)),
            }
        }
        apart.truncate(HIGHLIGHTS_MAX);
        apart
    }

    fn push_highlights(&self, line: &str, found: &mut Vec<(usize, usize)>) {
        match self {
            Node::And(nodes) | Node::Or(nodes) => {
                nodes.iter().for_each(|node| node.push_highlights(line, found));
            }
            Node::Line(test) => test.push_places(line, found),
            Node::Not(_) | Node::Field(_) => {}
        }
    }
}

/// Highlights of a line, at most.
const HIGHLIGHTS_MAX: usize = 100;

/// The expressions of which one must match, if that is all there is to it.
fn regexes(nodes: &[Node]) -> Option<Vec<Regex>> {
    let mut found = Vec::new();
    for node in nodes {
        match node {
            Node::Line(Test::Regex(regex)) => found.push(regex.clone()),
            Node::Or(nodes) => found.extend(regexes(nodes)?),
            _ => return None,
        }
    }
    Some(found)
}

impl Test {
    fn is_in(&self, text: &str) -> bool {
        match self {
            Test::Regex(regex) => regex.is_match(text),
            Test::Fuzzy { word, changes } => {
                words(text).any(|(_, found)| is_near(found, word, *changes))
            }
        }
    }

    fn push_places(&self, line: &str, found: &mut Vec<(usize, usize)>) {
        match self {
            Test::Regex(regex) => {
                let places = regex.find_iter(line).filter(|place| !place.is_empty());
                found.extend(places.take(HIGHLIGHTS_MAX).map(|place| (place.start(), place.end())));
            }
            Test::Fuzzy { word, changes } => {
                let near = words(line).filter(|(_, text)| is_near(text, word, *changes));
                found.extend(near.map(|(start, text)| (start, start + text.len())));
            }
        }
    }
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The words of a text with the bytes where they begin.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split(|c| !is_word_char(c)).filter(|word| !word.is_empty()).map(|word| {
        // A part of a text knows where it lies in it.
        (word.as_ptr().addr() - text.as_ptr().addr(), word)
    })
}

/// Whether `found` becomes `wanted` (in lower case) by at most `changes` letters put in, left out
/// or replaced.
fn is_near(found: &str, wanted: &[char], changes: usize) -> bool {
    let bytes_max = (wanted.len() + changes) * 4;
    if found.len() > bytes_max {
        return false;
    }
    let found: Vec<char> = found.chars().flat_map(char::to_lowercase).collect();
    if found.len().abs_diff(wanted.len()) > changes {
        return false;
    }
    let mut row: Vec<usize> = (0..=wanted.len()).collect();
    for (i, c) in found.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (place, w) in row.iter_mut().skip(1).zip(wanted) {
            let replaced = diagonal + usize::from(w != c);
            diagonal = *place;
            *place = replaced.min(left + 1).min(diagonal + 1);
            left = *place;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().is_some_and(|distance| *distance <= changes)
}
