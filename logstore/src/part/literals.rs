//! Texts that every match of a regular expression has in it.

use regex_syntax::hir::{Hir, HirKind};

/// More alternatives than this are not told.
const LITERALS_MAX: usize = 32;
/// A text shorter than this rules out too little.
const LENGTH_MIN: usize = 3;

/// Texts of which every match of the expression has at least one in it; `None` if none are known.
/// Flags that were set outside of the expression are not known here.
pub(crate) fn required_literals(expression: &str) -> Option<Vec<Vec<u8>>> {
    let hir = regex_syntax::parse(expression).ok()?;
    required(&hir).filter(|texts| least(texts) >= LENGTH_MIN)
}

fn least(texts: &[Vec<u8>]) -> usize {
    texts.iter().map(Vec::len).min().unwrap_or(0)
}

fn required(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(vec![literal.0.to_vec()]),
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Concat(parts) => {
            let known = parts.iter().filter_map(required);
            known.max_by_key(|texts| (least(texts), std::cmp::Reverse(texts.len())))
        }
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(required(part)?);
                if all.len() > LITERALS_MAX {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) | HirKind::Repetition(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_text_that_is_always_there_is_found() {
        check("user=\\d+ failed", Some(&[" failed"]));
        check("(timeout|refused): .*", Some(&["timeout", "refused"]));
        check("(?i)failed", None);
        check("a.*b", None);
        check("(abc)?x+", None);
        check("(?:error)+", Some(&["error"]));
        check("^abcd$", Some(&["abcd"]));
    }

    fn check(expression: &str, expected: Option<&[&str]>) {
        let found = required_literals(expression);
        let found = found.map(|texts| {
            let text = |text: Vec<u8>| String::from_utf8(text).unwrap();
            texts.into_iter().map(text).collect::<Vec<_>>()
        });
        assert_eq!(
            found.as_deref(),
            expected
                .map(|e| e.to_vec())
                .map(|e| e.into_iter().map(String::from).collect::<Vec<_>>())
                .as_deref()
        );
    }
}
