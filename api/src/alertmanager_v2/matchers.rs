//! Matchers in `filter`: `name="value"`, as amtool and Grafana write them (alertmanager
//! `matcher/parse`, `pkg/labels/parse.go`). Names and values may be quoted or bare.

use model::{MatchOp, Matcher};

use super::Failure;
use crate::parameters::Parameters;

/// All matchers of `filter`.
pub(super) fn filters(parameters: &Parameters) -> Result<Vec<Matcher>, Failure> {
    let texts = parameters.list("filter");
    let lists = texts.into_iter().map(parse_list);
    Ok(lists.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn bad(text: &str, why: impl std::fmt::Display) -> Failure {
    Failure::bad_request(format!("bad matcher format: {text}: {why}"))
}

/// Reads `a="b"` or `{a="b", c!~"d"}`.
fn parse_list(text: &str) -> Result<Vec<Matcher>, Failure> {
    let trimmed = text.trim();
    let inside = trimmed.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let mut rest = inside.unwrap_or(trimmed).trim();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (matcher, after) = parse_one(rest).map_err(|why| bad(text, why))?;
        found.push(matcher);
        rest = after.trim_start();
        if let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start();
        } else if !rest.is_empty() {
            return Err(bad(text, format_args!("expected a comma before {rest:?}")));
        }
    }
    if found.is_empty() {
        return Err(bad(text, "no matcher in it"));
    }
    Ok(found)
}

fn parse_one(text: &str) -> Result<(Matcher, &str), String> {
    let (name, rest) = match text.strip_prefix('"') {
        Some(inside) => quoted(inside)?,
        None => {
            let end = text.find(['=', '!']).ok_or("no operator, expected one of = != =~ !~")?;
            (text[..end].trim().to_owned(), &text[end..])
        }
    };
    if name.is_empty() {
        return Err("the label name is empty".into());
    }
    let rest = rest.trim_start();
    let operators = [
        ("=~", MatchOp::Matches),
        ("!~", MatchOp::NotMatches),
        ("!=", MatchOp::NotEqual),
        ("=", MatchOp::Equal),
    ];
    let (op, rest) = operators
        .iter()
        .find_map(|(text, op)| Some((*op, rest.strip_prefix(text)?)))
        .ok_or("no operator, expected one of = != =~ !~")?;
    let rest = rest.trim_start();
    let (value, rest) = match rest.strip_prefix('"') {
        Some(inside) => quoted(inside)?,
        None => {
            let end = rest.find(',').unwrap_or(rest.len());
            (rest[..end].trim_end().to_owned(), &rest[end..])
        }
    };
    let matcher = Matcher::new(name, op, value).map_err(|error| error.to_string())?;
    Ok((matcher, rest))
}

/// Reads up to the closing quote; what follows it comes second.
fn quoted(inside: &str) -> Result<(String, &str), String> {
    let mut out = String::new();
    let mut chars = inside.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Ok((out, &inside[i + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, c @ ('"' | '\\'))) => out.push(c),
                // A backslash of a regular expression.
                Some((_, c)) => out.extend(['\\', c]),
                None => break,
            },
            c => out.push(c),
        }
    }
    Err("a quote is not closed".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_read_bare_quoted_and_in_lists() {
        for (text, wanted) in [
            ("alertname=\"x\"", "alertname=\"x\""),
            ("alertname=x", "alertname=\"x\""),
            ("a =~ \"b|c\"", "a=~\"b|c\""),
            ("{a!=\"1\", \"b.c\"!~\"d.*\"}", "a!=\"1\" \"b.c\"!~\"d.*\""),
            ("a=\"x\\\"y\"", "a=\"x\\\"y\""),
            ("a=", "a=\"\""),
            ("a=~\"\\\\d+\"", "a=~\"\\\\d+\""),
        ] {
            let found = parse_list(text).map_err(|failure| failure.message).unwrap();
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), wanted, "{text}");
        }
        for bad in ["", "a", "=x", "a=\"x", "a=~\"(\"", "a=\"x\" b=\"y\"", "{}"] {
            assert!(parse_list(bad).is_err(), "{bad}");
        }
    }
}
