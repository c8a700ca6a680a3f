//! `match[]`: selectors of series, and what Prometheus says of those that are none.

use model::Matcher;
use query::promql::{self, ExprKind};

use crate::error::{Error, Result};
use crate::parameters::Parameters;

/// What stands in an error for all selectors that every series satisfies.
const MATCHES_ALL: &str = "match[] must contain at least one non-empty matcher";

/// Words with a meaning that can not stand behind a selector.
const KEYWORDS: [&str; 10] = [
    "offset",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "anchored",
    "smoothed",
];

/// The selectors of `match[]`; all series of any of them are meant. None if there is none.
pub(crate) fn selectors(parameters: &Parameters) -> Result<Vec<Vec<Matcher>>> {
    parameters.all("match[]").map(selector).collect()
}

/// As [`selectors`], but a selector may match every series that has a name.
pub(super) fn wide_selectors(parameters: &Parameters) -> Result<Vec<Vec<Matcher>>> {
    let wide = |text: &str| match selector(text) {
        Err(Error::BadRequest(why)) if why == MATCHES_ALL => selector(&with_name(text)),
        other => other,
    };
    parameters.all("match[]").map(wide).collect()
}

/// A selector in braces that also asks for some metric name.
fn with_name(text: &str) -> String {
    let (begin, end) = text.rsplit_once('}').unwrap_or((text, ""));
    let comma = if begin.trim_end().ends_with(['{', ',']) { "" } else { "," };
    format!("{begin}{comma}__name__!=\"\"}}{end}")
}

/// The matchers of one selector, without `offset`, `@` and the like. Errors are those of a parser that
/// knows nothing but selectors.
pub(super) fn selector(text: &str) -> Result<Vec<Matcher>> {
    let end = selector_end(text);
    let (own, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let bad = |message: String| Err(Error::BadRequest(message));
    if own.trim().is_empty() && rest.is_empty() {
        return bad("unknown position: parse error: unexpected end of input".to_owned());
    }
    if own.trim().is_empty() {
        return bad(unexpected(text, end));
    }
    match promql::parse(own).map(|expr| expr.kind) {
        Err(error) if error.message.ends_with("at least one non-empty matcher") => {
            bad(if rest.is_empty() { MATCHES_ALL.to_owned() } else { unexpected(text, end) })
        }
        Err(error) => bad(error.to_string()),
        Ok(ExprKind::Selector(selector)) if rest.is_empty() => Ok(selector.all_matchers()),
        Ok(ExprKind::Selector(_)) => bad(unexpected(text, end)),
        // A number that is written as a word.
        Ok(_) => bad(unexpected(text, 0)),
    }
}

/// Says what stands at a place where a selector begins or ends.
fn unexpected(text: &str, at: usize) -> String {
    let rest = text.get(at..).unwrap_or("");
    let word_end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let word = rest.get(..word_end.unwrap_or(rest.len())).unwrap_or("");
    let first = rest.chars().next();
    let what = match first {
        None => "end of input".to_owned(),
        Some(quote @ ('"' | '\'' | '`')) => {
            let end = rest.get(1..).and_then(|inside| inside.find(quote));
            format!(
                "string {}",
                shown(rest.get(..end.map_or(rest.len(), |end| end + 2)).unwrap_or(rest))
            )
        }
        Some(c) if c.is_ascii_digit() || c == '.' => {
            let is_exponent = |i: usize| rest[..i].ends_with(['e', 'E']);
            let end = rest.char_indices().find(|(i, c)| {
                !c.is_ascii_alphanumeric()
                    && *c != '.'
                    && !(matches!(c, '+' | '-') && is_exponent(*i))
            });
            format!("number {}", shown(&rest[..end.map_or(rest.len(), |(i, _)| i)]))
        }
        Some(c) if "+-*/%^=!<>@".contains(c) => format!("<op:{c}>"),
        Some(_) if KEYWORDS.contains(&word) => format!("<{word}>"),
        Some(_) if matches!(word, "and" | "or" | "unless" | "atan2") => format!("<op:{word}>"),
        Some(c) if word.is_empty() => format!("{:?}", c.to_string()),
        Some(_) => format!("identifier {}", shown(word)),
    };
    let span = query::Span::in_text(text, at, at);
    format!("{span}: parse error: unexpected {what}")
}

/// A token in quotes, cut if it is long.
fn shown(token: &str) -> String {
    match token.char_indices().nth(10) {
        Some((end, _)) => format!("{:?}...", &token[..end]),
        None => format!("{token:?}"),
    }
}

/// Where the metric name and the braces at the beginning of `text` end, with the space behind them.
fn selector_end(text: &str) -> usize {
    let space = |from: usize| {
        let rest = text.get(from..).unwrap_or("");
        from + (rest.len() - rest.trim_start().len())
    };
    let mut at = space(0);
    let name = text.get(at..).unwrap_or("");
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if !name.starts_with(|c: char| c.is_ascii_digit()) {
        at += name.find(|c| !is_name(c)).unwrap_or(name.len());
    }
    at = space(at);
    if text.get(at..).is_some_and(|rest| rest.starts_with('{')) {
        let mut quote = None;
        let mut is_escaped = false;
        for (i, c) in text.get(at..).unwrap_or("").char_indices() {
            match quote {
                Some(open) => {
                    if !is_escaped && c == open {
                        quote = None;
                    }
                    is_escaped = !is_escaped && c == '\\' && open != '`';
                }
                None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
                None if c == '}' => return space(at + i + 1),
                None => {}
            }
        }
        return text.len();
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_plain_selector_is_refused_in_the_words_of_prometheus() {
        // The first five as Prometheus 3.5 and the test of its federation say them.
        for (text, message) in [
            ("{}", "match[] must contain at least one non-empty matcher"),
            ("up[5m]", "1:3: parse error: unexpected \"[\""),
            ("sum(up)", "1:4: parse error: unexpected \"(\""),
            ("-not-a-valid-metric-name", "1:1: parse error: unexpected <op:->"),
            ("not-a-valid-metric-name", "1:4: parse error: unexpected <op:->"),
            ("up{a=\"}\"} offset 5m", "1:11: parse error: unexpected <offset>"),
            ("", "unknown position: parse error: unexpected end of input"),
            ("1", "1:1: parse error: unexpected number \"1\""),
            ("1e-7", "1:1: parse error: unexpected number \"1e-7\""),
            ("123456789.125", "1:1: parse error: unexpected number \"123456789.\"..."),
            ("(", "1:1: parse error: unexpected \"(\""),
            ("up[5m", "1:3: parse error: unexpected \"[\""),
            ("foo{", "1:5: parse error: unexpected end of input inside braces"),
            ("sum by (a", "1:5: parse error: unexpected <by>"),
            ("\"x\" + 1", "1:1: parse error: unexpected string \"\\\"x\\\"\""),
            ("a and b", "1:3: parse error: unexpected <op:and>"),
            ("up offset", "1:4: parse error: unexpected <offset>"),
            ("\"a<b>\"", "1:1: parse error: unexpected string \"\\\"a<b>\\\"\""),
        ] {
            assert_eq!(selector(text).unwrap_err().to_string(), message, "{text}");
        }
        assert_eq!(selector(" up {a=\"b\"} ").unwrap().len(), 2);
    }

    #[test]
    fn federation_may_ask_for_everything() {
        for text in ["{}", "{a=~\".*\"}", "{a=\"\",}", " { } "] {
            let parameters = Parameters::parse(&format!("match[]={text}"));
            assert!(selectors(&parameters).is_err());
            assert!(wide_selectors(&parameters).is_ok(), "{text}");
        }
        assert!(wide_selectors(&Parameters::parse("match[]=up[5m]")).is_err());
    }
}
