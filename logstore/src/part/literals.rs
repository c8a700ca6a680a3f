//! Texts that every match of a regular expression has in it.

use regex_syntax::hir::{Class, Hir, HirKind};

/// More alternatives than this are not told.
const LITERALS_MAX: usize = 32;
/// A text shorter than this rules out too little.
const LENGTH_MIN: usize = 3;

/// A text that is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Text {
    /// In lower case if case is ignored.
    pub(crate) bytes: Vec<u8>,
    /// Whether letters of ASCII may be small or capital.
    pub(crate) ignores_case: bool,
}

/// Texts of which every match has at least one in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Required {
    pub(crate) texts: Vec<Text>,
    /// Whether whatever has one of them in it matches.
    pub(crate) is_exact: bool,
}

/// Texts of which every match of the expression has at least one in it; `None` if none are known.
/// Flags that were set outside of the expression are not known here.
pub(crate) fn required_literals(expression: &str) -> Option<Required> {
    let hir = regex_syntax::parse(expression).ok()?;
    required(&hir).filter(|required| required.is_exact || required.least() >= LENGTH_MIN)
}

/// Whether an expression that matches a part of a line matches the line: it asks for no boundary.
pub(crate) fn is_local(expression: &str) -> bool {
    regex_syntax::parse(expression).is_ok_and(|hir| hir.properties().look_set().is_empty())
}

impl Required {
    fn least(&self) -> usize {
        self.texts.iter().map(|text| text.bytes.len()).min().unwrap_or(0)
    }

    fn one(text: Text, is_exact: bool) -> Self {
        Required { texts: vec![text], is_exact }
    }
}

fn required(hir: &Hir) -> Option<Required> {
    match hir.kind() {
        HirKind::Literal(_) => required_in_row(std::slice::from_ref(hir)),
        HirKind::Class(_) if letter_of(hir).is_some() => required_in_row(std::slice::from_ref(hir)),
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => {
            required(&repetition.sub).map(|required| Required { is_exact: false, ..required })
        }
        HirKind::Concat(parts) => required_in_row(parts),
        HirKind::Alternation(parts) => {
            let mut all = Required { texts: Vec::new(), is_exact: true };
            for part in parts {
                let own = required(part)?;
                all.texts.extend(own.texts);
                all.is_exact &= own.is_exact;
                if all.texts.len() > LITERALS_MAX {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) | HirKind::Repetition(_) => None,
    }
}

/// The best of what stands one behind the other. Literals and letters of either case that touch are
/// one text.
fn required_in_row(parts: &[Hir]) -> Option<Required> {
    let mut found: Vec<Required> = Vec::new();
    let mut run = Run::default();
    let mut is_only_run = true;
    for part in parts {
        match (part.kind(), letter_of(part)) {
            (HirKind::Literal(literal), _) => {
                run.has_letters |= literal.0.iter().any(u8::is_ascii_alphabetic);
                run.text.bytes.extend_from_slice(&literal.0);
            }
            (_, Some(letter)) => {
                run.text.bytes.push(letter);
                run.text.ignores_case = true;
            }
            _ => {
                is_only_run = false;
                found.extend(std::mem::take(&mut run).finish(false));
                found.extend(required(part).map(|own| Required { is_exact: false, ..own }));
            }
        }
    }
    found.extend(run.finish(is_only_run));
    found.into_iter().max_by_key(|own| (own.least(), std::cmp::Reverse(own.texts.len())))
}

/// A text that grows.
#[derive(Default)]
struct Run {
    text: Text,
    /// Whether it has letters that are meant as they are.
    has_letters: bool,
}

impl Run {
    fn finish(mut self, is_only: bool) -> Option<Required> {
        if self.text.bytes.is_empty() {
            return None;
        }
        if self.text.ignores_case {
            self.text.bytes.make_ascii_lowercase();
        }
        let is_exact = is_only && !(self.text.ignores_case && self.has_letters);
        Some(Required::one(self.text, is_exact))
    }
}

/// The small letter of ASCII that a class has, if it has that, the capital one, and nothing else.
/// Letters that fold with others beyond ASCII (`k` and `s`) are no such class.
fn letter_of(hir: &Hir) -> Option<u8> {
    let HirKind::Class(class) = hir.kind() else { return None };
    let pair = match class {
        Class::Unicode(class) => match class.ranges() {
            [a, b] if a.start() == a.end() && b.start() == b.end() => {
                (u8::try_from(a.start()).ok()?, u8::try_from(b.start()).ok()?)
            }
            _ => return None,
        },
        Class::Bytes(class) => match class.ranges() {
            [a, b] if a.start() == a.end() && b.start() == b.end() => (a.start(), b.start()),
            _ => return None,
        },
    };
    let is_letter = pair.0.is_ascii_uppercase() && pair.0.to_ascii_lowercase() == pair.1;
    is_letter.then_some(pair.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_text_that_is_always_there_is_found() {
        check("user=\\d+ failed", &[" failed"], false);
        check("(timeout|refused): .*", &["timeout", "refused"], false);
        check("a.*b", &[], false);
        check("(abc)?x+", &[], false);
        check("(?:error)+", &["error"], false);
        check("^abcd$", &["abcd"], false);
    }

    #[test]
    fn an_expression_of_texts_alone_needs_no_more() {
        check("timeout", &["timeout"], true);
        check("timeout|refused", &["timeout", "refused"], true);
        check("(ab)", &["ab"], true);
        check("|error", &[], false);
        check("", &[], false);
    }

    #[test]
    fn letters_of_either_case_are_a_text_that_ignores_it() {
        check("(?i)TimeOut", &["~timeout"], true);
        check("(?i)failed 1\\d", &["~failed 1"], false);
        check("Foo(?i:bar)", &["~foobar"], false);
        // Both have letters beyond ASCII that are the same but for case.
        check("(?i)exhausted", &["~exhau"], false);
        check("(?i)token", &[], false);
        check("[Aa][bB]c", &["~abc"], false);
        check("[ab]cd", &[], false);
    }

    #[test]
    fn an_expression_with_a_boundary_is_not_local() {
        let expressions = ["a.*b", "^a", "a$", "\\bword", "(?i)x|y"];
        assert_eq!(expressions.map(is_local), [true, false, false, false, true]);
    }

    /// Texts that ignore case are told with `~`.
    fn check(expression: &str, expected: &[&str], is_exact: bool) {
        let found = required_literals(expression).unwrap_or_default();
        let told = |text: &Text| {
            let mark = if text.ignores_case { "~" } else { "" };
            format!("{mark}{}", String::from_utf8_lossy(&text.bytes))
        };
        let texts: Vec<String> = found.texts.iter().map(told).collect();
        assert_eq!(
            (texts, found.is_exact),
            (expected.iter().map(|t| t.to_string()).collect(), is_exact),
            "{expression}"
        );
    }
}
