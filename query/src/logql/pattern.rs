//! Patterns: literal text and captures, `<name>` or `<_>`, as line filters and as a parser.
//!
//! Both walk from left to right and take each literal where it is first found, as Loki does (3.8,
//! `pkg/logql/log/pattern`): a pattern that would match elsewhere does not.

use std::fmt;

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// The name is `_` for a capture that is not kept.
    Capture(String),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Literal(literal) => f.write_str(literal),
            Part::Capture(name) => write!(f, "<{name}>"),
        }
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some(name) = capture(rest) {
                if matches!(parts.last(), Some(Part::Capture(_))) {
                    let last = parts.last().map(ToString::to_string).unwrap_or_default();
                    return Err(format!(
                        "found consecutive capture '{last}<{name}>': invalid expression"
                    ));
                }
                rest = &rest[name.len() + 2..];
                parts.push(Part::Capture(name.to_owned()));
                continue;
            }
            match parts.last_mut() {
                Some(Part::Literal(literal)) => literal.push(first),
                _ => parts.push(Part::Literal(first.to_string())),
            }
            rest = &rest[first.len_utf8()..];
        }
        Ok(Pattern { parts })
    }

    /// The pattern of a line filter; refuses named captures and captures in a row.
    pub fn of_filter(text: &str) -> Result<Self, String> {
        let pattern = Pattern::parse(text)?;
        if let Some(name) = pattern.names().next() {
            return Err(format!("named captures are not allowed: found '<{name}>'"));
        }
        Ok(pattern)
    }

    /// The pattern of a parser; refuses what has no named capture, captures in a row, and names that
    /// stand twice.
    pub fn of_parser(text: &str) -> Result<Self, String> {
        let pattern = Pattern::parse(text)?;
        let names: Vec<&str> = pattern.names().collect();
        if names.is_empty() {
            return Err("at least one capture is required".to_owned());
        }
        for (i, name) in names.iter().enumerate() {
            if names[..i].contains(name) {
                return Err(format!("duplicate capture name ({name}): invalid expression"));
            }
        }
        Ok(pattern)
    }

    /// Names of captures that are kept, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Capture(name) if name != "_" => Some(name.as_str()),
            _ => None,
        })
    }

    /// Texts that are in every line that is like the pattern.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(literal) => Some(literal.as_str()),
            Part::Capture(_) => None,
        })
    }

    /// Whether a line is like it: a pattern that ends with a capture needs something there, one that
    /// ends with a text needs the end of the line there, and no capture is empty. The text at the
    /// start of a pattern may stand anywhere in the line.
    pub fn is_like(&self, line: &str) -> bool {
        let Some(last) = self.parts.last() else { return line.is_empty() };
        if line.is_empty() {
            return false;
        }
        let mut rest = line;
        for (i, part) in self.parts.iter().enumerate() {
            let Part::Literal(literal) = part else { continue };
            match rest.find(literal.as_str()) {
                Some(0) if i != 0 => return false,
                Some(at) => rest = &rest[at + literal.len()..],
                None => return false,
            }
        }
        matches!(last, Part::Capture(_)) != rest.is_empty()
    }

    /// The named captures of a line, as far as it is like the pattern. A capture whose end is not
    /// found takes the rest of the line, and is the last.
    pub fn captures<'p, 'l>(&'p self, line: &'l str, mut visit: impl FnMut(&'p str, &'l str)) {
        let mut parts = self.parts.as_slice();
        let mut rest = line;
        if let Some((Part::Literal(literal), others)) = parts.split_first() {
            match rest.strip_prefix(literal.as_str()) {
                Some(after) => (rest, parts) = (after, others),
                None => return,
            }
        }
        if line.is_empty() {
            return;
        }
        while let Some((Part::Capture(name), others)) = parts.split_first() {
            let found = match others.first() {
                Some(Part::Literal(literal)) => rest.find(literal.as_str()).map(|at| (at, literal)),
                _ => None,
            };
            let value = found.map_or(rest, |(at, _)| &rest[..at]);
            if name != "_" {
                visit(name, value);
            }
            let Some((at, literal)) = found else { return };
            rest = &rest[at + literal.len()..];
            parts = &others[1..];
        }
    }
}

/// The name of a capture that begins `text`.
fn capture(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('<')?.split_once('>')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_like_a_pattern_if_texts_follow_each_other_with_something_between() {
        for (pattern, line, expected) in [
            ("<_> bar <_>", "foo bar baz", true),
            ("<_> bar <_>", " bar ", false),
            ("<_>bar<_>", " bar ", true),
            ("<_> bar", "foo bar baz", false),
            ("<_> baz", "foo bar baz", true),
            ("foo <_>", "foo ", false),
            ("foo <_>", "a foo b", true),
            ("foo", "foo", true),
            ("foo", "foo!", false),
            ("", "", true),
            ("", "x", false),
            ("<_>", "x", true),
            ("<_>", "", false),
        ] {
            let pattern = Pattern::of_filter(pattern).unwrap();
            assert_eq!(pattern.is_like(line), expected, "{pattern:?} {line:?}");
        }
        assert!(Pattern::of_filter("<a>").unwrap_err().contains("named captures"));
        assert!(Pattern::of_filter("<_><_>").unwrap_err().contains("consecutive"));
    }

    #[test]
    fn captures_end_where_the_next_text_is_first_found() {
        let check = |pattern: &str, line: &str, expected: &[(&str, &str)]| {
            let pattern = Pattern::of_parser(pattern).unwrap();
            let mut found = Vec::new();
            pattern.captures(line, |name, value| found.push((name, value)));
            assert_eq!(found, expected, "{pattern:?} {line:?}");
        };
        check("<ip> - <_> \"<m> ", "1.2 - - \"GET /", &[("ip", "1.2"), ("m", "GET")]);
        check("<a>=<b>", "x=y=z", &[("a", "x"), ("b", "y=z")]);
        check("[<a>]", "x", &[]);
        check("<a>:<b>:<c>", "1:2", &[("a", "1"), ("b", "2")]);
        check("<a>,<b>", ",", &[("a", ""), ("b", "")]);
        assert!(Pattern::of_parser("<_> x").unwrap_err().contains("at least one"));
        assert!(Pattern::of_parser("<a> <a>").unwrap_err().contains("duplicate"));
    }
}
