//! Regular expressions as users of Go's `regexp` write them, for the `regex` crate.
//!
//! Both follow RE2, but differ where it shows: in Go `\d`, `\w`, `\s` and `\b` know ASCII only, a
//! brace that repeats nothing is a text, a bracket or `&&` inside a class is a text, and `\Q..\E`
//! quotes.

/// The same expression for the `regex` crate. What is no expression in Go may become one that is
/// none here either: nothing is checked.
pub fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match (c, in_class) {
            ('\\', _) => escape(after, in_class, &mut out),
            ('[', false) => {
                out.push('[');
                let inside = match after.strip_prefix('^') {
                    Some(inside) => {
                        out.push('^');
                        inside
                    }
                    None => after,
                };
                in_class = true;
                // A bracket right after the start is one of the characters.
                match inside.strip_prefix(']') {
                    Some(inside) => {
                        out.push_str("\\]");
                        inside
                    }
                    None => inside,
                }
            }
            ('[', true) => match after.find(":]").filter(|_| after.starts_with(':')) {
                Some(end) => {
                    out.push_str(&rest[..end + 3]);
                    &after[end + 2..]
                }
                None => {
                    out.push_str("\\[");
                    after
                }
            },
            (']', true) => {
                in_class = false;
                out.push(']');
                after
            }
            ('&' | '~', true) => {
                out.push('\\');
                out.push(c);
                after
            }
            ('{', false) if !is_repetition(after) => {
                out.push_str("\\{");
                after
            }
            _ => {
                out.push(c);
                after
            }
        };
    }
    out
}

/// `3}`, `3,}` or `3,5}`.
fn is_repetition(text: &str) -> bool {
    let Some((inside, _)) = text.split_once('}') else { return false };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    !least.is_empty() && is_number(least) && is_number(most)
}

/// Writes an escape whose backslash is taken, and answers what follows it.
fn escape<'a>(text: &'a str, in_class: bool, out: &mut String) -> &'a str {
    let Some(c) = text.chars().next() else {
        out.push('\\');
        return text;
    };
    let after = &text[c.len_utf8()..];
    let perl = match c {
        'd' | 'D' => Some("0-9"),
        'w' | 'W' => Some("0-9A-Za-z_"),
        's' | 'S' => Some("\\t\\n\\x0C\\r "),
        _ => None,
    };
    match (c, perl) {
        (_, Some(class)) if c.is_ascii_uppercase() => out.push_str(&format!("[^{class}]")),
        (_, Some(class)) if in_class => out.push_str(class),
        (_, Some(class)) => out.push_str(&format!("[{class}]")),
        ('b', _) if !in_class => out.push_str("(?-u:\\b)"),
        ('<' | '>', _) => out.push(c),
        // The name of a class or the number of a character.
        ('p' | 'P' | 'x', _) if after.starts_with('{') => {
            let end = after.find('}').map_or(after.len(), |end| end + 1);
            let (name, after) = after.split_at(end);
            out.push('\\');
            out.push(c);
            out.push_str(name);
            return after;
        }
        ('Q', _) if !in_class => {
            let (quoted, after) = after.split_once("\\E").unwrap_or((after, ""));
            out.push_str(&regex::escape(quoted));
            return after;
        }
        _ => {
            out.push('\\');
            out.push(c);
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_of_go_match_what_they_match_there() {
        for (pattern, yes, no) in [
            (r"^\d+$", "42", "\u{664}\u{662}"),
            (r"^\w+$", "ab_1", "\u{e9}"),
            (r"^\W$", "\u{e9}", "a"),
            (r"^[^\d\s]$", "\u{664}", "4"),
            (r"^[\D]$", "x", "4"),
            (r"a\b", "a\u{e9}", "ab"),
            (r#"{"a":\d+}"#, r#"{"a":5}"#, "a5"),
            (r"^x{2,3}$", "xx", "x{2,3}"),
            (r"^x{,3}$", "x{,3}", "xx"),
            (r"^[[a]$", "[", "]"),
            (r"^[]a]$", "]", "b"),
            (r"^[^]a]$", "b", "]"),
            (r"^[a&&b]$", "&", "c"),
            (r"^[[:alpha:]_]+$", "ab_", "1"),
            (r"^\Qa.b\E.$", "a.bc", "aXbc"),
            (r"^\<\>$", "<>", "a"),
            (r"^\p{Greek}\.\\$", "\u{3b1}.\\", "a"),
        ] {
            let translated = translate(pattern);
            let regex = regex::Regex::new(&translated);
            let regex = regex.unwrap_or_else(|error| panic!("{pattern} as {translated}: {error}"));
            assert!(regex.is_match(yes) && !regex.is_match(no), "{pattern} as {translated}");
        }
        for pattern in ["(", "[a", "a\\", "[", "\\Q(", "*"] {
            let _any = regex::Regex::new(&translate(pattern)).is_ok();
        }
    }
}
