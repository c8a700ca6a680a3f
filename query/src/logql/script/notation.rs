//! How scripts write labels, lines and times.

use model::Labels;

use super::LoadedLine;
use crate::logql::lexer::{Token, lex};
use crate::text::parse_duration_ms;

type Check<T> = Result<T, String>;

/// No `repeat` makes more lines.
const REPEAT_MAX: i64 = 10_000_000;

/// The line up to a `#` that is not in quotes.
pub(super) fn without_comment(line: &str) -> &str {
    let mut quote: Option<u8> = None;
    let mut escaped = false;
    for (i, byte) in line.bytes().enumerate() {
        match (byte, quote) {
            _ if escaped => escaped = false,
            // Only queries have escapes, but a line can not end with one.
            (b'\\', Some(b'"')) if line.as_bytes().get(i + 1) == Some(&b'"') => {
                escaped = !line.trim_start().starts_with('{') || !closes(line, i + 1);
            }
            (b'#', None) => return &line[..i],
            (b'"' | b'`', None) => quote = Some(byte),
            (byte, Some(open)) if byte == open => quote = None,
            _ => {}
        }
    }
    line
}

/// Whether the quote at `at` is the last one before the time of a loaded line.
fn closes(line: &str, at: usize) -> bool {
    line.get(at + 1..).is_some_and(|rest| rest.trim_start().starts_with('@'))
}

/// A duration as nanoseconds.
pub(super) fn time(text: &str) -> Check<i64> {
    if text == "0" {
        return Ok(0);
    }
    let ns = match parse_duration_ms(text) {
        Some(ms) => ms.checked_mul(1_000_000),
        None => template::values::duration_ns(text).ok(),
    };
    ns.ok_or_else(|| format!("{text:?} is no time"))
}

/// The labels at the start of a text, empty values included, and what follows them.
pub(super) fn labels(text: &str) -> Check<(Labels, &str)> {
    let bad = || format!("expected labels in braces: {text}");
    let mut tokens = lex(text).into_iter();
    let mut next = || tokens.next().ok_or_else(bad);
    if next()?.0 != Token::Symbol("{") {
        return Err(bad());
    }
    let mut pairs = Vec::new();
    loop {
        let (token, span) = next()?;
        let name = match token {
            Token::Symbol("}") => {
                return Ok((Labels::from_pairs_with_empty(pairs), &text[span.end..]));
            }
            Token::Symbol(",") if !pairs.is_empty() => continue,
            Token::Ident(name) | Token::Text(name) => name,
            _ => return Err(bad()),
        };
        let (Token::Symbol("="), Token::Text(value)) = (next()?.0, next()?.0) else {
            return Err(bad());
        };
        pairs.push((name, value));
    }
}

/// A line in quotes, without any escapes, and what follows it.
pub(super) fn quoted(text: &str) -> Check<(&str, &str)> {
    let text = text.trim_start();
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '`'));
    let quote = quote.ok_or_else(|| format!("a line in quotes is expected: {text}"))?;
    let inside = &text[1..];
    inside.split_once(quote).ok_or_else(|| format!("the line has no end: {text}"))
}

/// `@ TIME`, and what follows it.
pub(super) fn at(text: &str) -> Check<(i64, &str)> {
    let rest = text.trim_start();
    let rest = rest.strip_prefix('@').ok_or_else(|| format!("expected @ and a time: {rest}"))?;
    let rest = rest.trim_start();
    let end = rest.find(|c: char| c.is_whitespace() || c == '[').unwrap_or(rest.len());
    Ok((time(&rest[..end])?, &rest[end..]))
}

/// The lines of a `load`.
pub(super) fn load(block: &[&str], first_line: usize) -> Check<Vec<LoadedLine>> {
    let mut lines = Vec::new();
    for (number, text) in (first_line + 1..).zip(block.iter().skip(1)) {
        load_line(text.trim(), &mut lines)
            .map_err(|problem| format!("line {number}: {problem}"))?;
    }
    Ok(lines)
}

fn load_line(text: &str, lines: &mut Vec<LoadedLine>) -> Check<()> {
    let (stream, rest) = labels(text)?;
    let (line, rest) = quoted(rest)?;
    let (start, mut rest) = at(rest)?;
    let (mut step, mut count) = (0, 1);
    let mut metadata = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            break;
        }
        if let Some(inside) = rest.strip_prefix("[repeat every ") {
            let (inside, after) = inside.split_once(']').ok_or("repeat without ]")?;
            let (every, times) = inside.split_once(" for ").ok_or("repeat every STEP for COUNT")?;
            step = time(every.trim())?;
            count = times.trim().parse().map_err(|_| format!("{times:?} is no count"))?;
            if !(0..=REPEAT_MAX).contains(&count) {
                return Err(format!("{count} is no count up to {REPEAT_MAX}"));
            }
            rest = after;
        } else if let Some(inside) = rest.strip_prefix("[metadata") {
            (metadata, rest) = read_metadata(inside)?;
        } else {
            return Err(format!("unexpected {rest:?} after the time"));
        }
    }
    for i in 0..count {
        lines.push(LoadedLine {
            stream: stream.clone(),
            at_ns: start + i * step,
            line: line.replace("{{.i}}", &i.to_string()),
            metadata: metadata.clone(),
        });
    }
    Ok(())
}

/// Names and values up to a bracket, and what follows it.
fn read_metadata(text: &str) -> Check<(Vec<(String, String)>, &str)> {
    let bad = || format!("expected NAME=\"VALUE\" up to ]: {text}");
    let mut tokens = lex(text).into_iter();
    let mut next = || tokens.next().ok_or_else(bad);
    let mut pairs = Vec::new();
    loop {
        let (token, span) = next()?;
        let name = match token {
            Token::Symbol("]") => return Ok((pairs, &text[span.end..])),
            Token::Symbol(",") => continue,
            Token::Ident(name) | Token::Text(name) => name,
            _ => return Err(bad()),
        };
        let (Token::Symbol("="), Token::Text(value)) = (next()?.0, next()?.0) else {
            return Err(bad());
        };
        pairs.push((name, value));
    }
}
