//! Reads the language of [`super`]. `OR` binds weaker than `AND`, which need not be written.

use regex::{Regex, RegexBuilder};

use super::{FieldTest, Node, Place, Test, is_word_char};

/// Parentheses and NOTs within each other, at most.
const DEPTH_MAX: usize = 50;
/// Terms, at most.
const TERMS_MAX: usize = 200;
/// Letters that may differ, at most.
const CHANGES_MAX: usize = 2;
/// Bytes that an expression may take when it is ready to run.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Reads a text. The error is a sentence with the byte where it went wrong.
pub(in crate::native::logs) fn parse(text: &str) -> Result<Node, String> {
    let mut parser = Parser { text, at: 0, terms: 0 };
    let node = parser.alternatives(0)?;
    parser.skip_space();
    if parser.at < text.len() {
        return Err(parser.error("expected a term, found \")\""));
    }
    Ok(node)
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    terms: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn error(&self, what: &str) -> String {
        format!("at byte {}: {what}", self.at)
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// Takes an operator, which is a word of its own in capitals.
    fn take_operator(&mut self, operator: &str) -> bool {
        self.skip_space();
        let Some(behind) = self.rest().strip_prefix(operator) else { return false };
        let ends = behind.starts_with(|c: char| c.is_whitespace() || c == '(' || c == ')');
        let is_it = behind.is_empty() || ends;
        if is_it {
            self.at += operator.len();
        }
        is_it
    }

    fn alternatives(&mut self, depth: usize) -> Result<Node, String> {
        if depth > DEPTH_MAX {
            return Err(self.error("parentheses and NOTs are nested too deep"));
        }
        let mut found = vec![self.sequence(depth)?];
        while self.take_operator("OR") {
            found.push(self.sequence(depth)?);
        }
        if found.len() > 1 && found.iter().any(|n| matches!(n, Node::And(all) if all.is_empty())) {
            return Err(self.error("OR needs a term on either side"));
        }
        Ok(if found.len() == 1 { found.remove(0) } else { Node::Or(found) })
    }

    fn sequence(&mut self, depth: usize) -> Result<Node, String> {
        let mut found = Vec::new();
        loop {
            self.skip_space();
            let before = self.at;
            if self.rest().is_empty() || self.rest().starts_with(')') || self.take_operator("OR") {
                self.at = before;
                break;
            }
            if self.take_operator("AND") {
                self.skip_space();
                let ends = self.rest().is_empty() || self.rest().starts_with(')');
                if found.is_empty() || ends {
                    return Err(self.error("AND needs a term on either side"));
                }
                continue;
            }
            found.push(self.negation(depth)?);
        }
        Ok(if found.len() == 1 { found.remove(0) } else { Node::And(found) })
    }

    fn negation(&mut self, depth: usize) -> Result<Node, String> {
        if depth > DEPTH_MAX {
            return Err(self.error("parentheses and NOTs are nested too deep"));
        }
        if self.take_operator("NOT") {
            self.skip_space();
            if self.rest().is_empty() || self.rest().starts_with(')') {
                return Err(self.error("NOT needs a term behind it"));
            }
            return Ok(Node::Not(Box::new(self.negation(depth + 1)?)));
        }
        if self.rest().starts_with('(') {
            self.at += 1;
            let node = self.alternatives(depth + 1)?;
            self.skip_space();
            if !self.rest().starts_with(')') {
                return Err(self.error("a parenthesis is not closed"));
            }
            self.at += 1;
            return Ok(node);
        }
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(self.error(&format!("more than {TERMS_MAX} terms")));
        }
        match self.take_field_name() {
            Some((origin, name)) => {
                Ok(Node::Field(FieldTest { origin, name, test: self.test(true)? }))
            }
            None => Ok(Node::Line(self.test(false)?)),
        }
    }

    /// `name:` or `origin.name:`, if something follows it.
    fn take_field_name(&mut self) -> Option<(Option<Place>, String)> {
        let rest = self.rest();
        let colon = rest.find(|c: char| !is_word_char(c) && c != '.')?;
        let (written, behind) = rest.split_at(colon);
        let value = behind.strip_prefix(':')?;
        // An address is no field, and neither is a time of day.
        let is_name = written.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let ends = value.is_empty() || value.starts_with(|c: char| c.is_whitespace() || c == ')');
        if !is_name || ends || value.starts_with("//") {
            return None;
        }
        let (origin, name) = match written.split_once('.') {
            None => (None, written),
            Some((origin, name)) => (Some(Place::from_name(origin)?), name),
        };
        self.at += colon + 1;
        Some((origin, name.replace('.', "_")))
    }

    /// One term; that of a field is about the whole value.
    fn test(&mut self, is_whole: bool) -> Result<Test, String> {
        let begin = self.at;
        if self.rest().starts_with('"') {
            let phrase = self.quoted('"')?.replace("\\\"", "\"").replace("\\\\", "\\");
            if phrase.trim().is_empty() {
                self.at = begin;
                return Err(self.error("a phrase has no words"));
            }
            return self.literal(begin, phrase.trim(), "", is_whole);
        }
        if self.rest().starts_with('/')
            && let Ok(written) = self.quoted('/')
        {
            let ends = self.rest().starts_with(|c: char| c.is_whitespace() || c == ')' || c == '(');
            if ends || self.rest().is_empty() {
                return self.regex(begin, &written.replace("\\/", "/"));
            }
            // A path, not an expression.
            self.at = begin;
        }
        let end = self.rest().find(|c: char| c.is_whitespace() || c == '(' || c == ')');
        let word = &self.rest()[..end.unwrap_or(self.rest().len())];
        self.at += word.len();
        if let Some(prefix) = word.strip_suffix('*') {
            if prefix.is_empty() && !is_whole {
                self.at = begin;
                return Err(self.error("a prefix needs a letter in front of \"*\""));
            }
            return self.literal(begin, prefix, if is_whole { ".*" } else { r"\w*" }, is_whole);
        }
        if let Some((word, changes)) = word.rsplit_once('~')
            && (changes.is_empty() || changes.bytes().all(|byte| byte.is_ascii_digit()))
        {
            let changes = if changes.is_empty() { Some(1) } else { changes.parse().ok() };
            let changes = changes.filter(|changes| (1..=CHANGES_MAX).contains(changes));
            let is_word = !word.is_empty() && word.chars().all(is_word_char);
            let (Some(changes), true) = (changes, is_word) else {
                self.at = begin;
                return Err(self.error("a fuzzy term is a word, \"~\", and 1 or 2"));
            };
            let word = word.chars().flat_map(char::to_lowercase).collect();
            return Ok(Test::Fuzzy { word, changes });
        }
        self.literal(begin, word, "", is_whole)
    }

    /// What is between two marks; a backslash takes the meaning of the next character.
    fn quoted(&mut self, mark: char) -> Result<&'t str, String> {
        let inside = self.rest().get(1..).unwrap_or("");
        let mut is_escaped = false;
        for (i, c) in inside.char_indices() {
            if c == mark && !is_escaped {
                self.at += i + 2;
                return Ok(&inside[..i]);
            }
            is_escaped = c == '\\' && !is_escaped;
        }
        Err(self.error(&format!("{mark} is not closed")))
    }

    /// Finds `text` in any case between ends of words, with `tail` behind it. Space in it stands
    /// for any space.
    fn literal(
        &self,
        begin: usize,
        text: &str,
        tail: &str,
        is_whole: bool,
    ) -> Result<Test, String> {
        let words: Vec<String> = text.split_whitespace().map(in_any_case).collect();
        let words = words.join(r"\s+");
        if is_whole {
            return self.regex(begin, &format!("(?s)^{words}{tail}$"));
        }
        let starts = if text.starts_with(is_word_char) { r"\b{start-half}" } else { "" };
        let ends =
            if text.ends_with(is_word_char) || !tail.is_empty() { r"\b{end-half}" } else { "" };
        self.regex(begin, &format!("{starts}{words}{tail}{ends}"))
    }

    fn regex(&self, begin: usize, pattern: &str) -> Result<Test, String> {
        let made: Result<Regex, _> = RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build();
        made.map(Test::Regex).map_err(|error| {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("at byte {begin}: /{pattern}/ is no expression: {why}")
        })
    }
}

/// An expression for a word in any case. Letters of ASCII are small or capital and nothing else, so
/// that a store finds the whole word in its index: `(?i)s` would be the long s too.
fn in_any_case(word: &str) -> String {
    let fold = |c: char| {
        if c.is_ascii_alphabetic() {
            format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase())
        } else if c.is_ascii() {
            regex::escape(c.encode_utf8(&mut [0; 4]))
        } else {
            format!("(?i:{})", regex::escape(c.encode_utf8(&mut [0; 4])))
        }
    };
    word.chars().map(fold).collect()
}
