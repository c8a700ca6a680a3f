//! From text to tokens. An error is a token too, so that the parser reports whichever mistake comes
//! first in the text.

use crate::errors::Span;
use crate::text;

/// A token without its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name or a keyword.
    Ident(String),
    /// A number, a duration or a size, as written.
    Quantity(String),
    /// A string without its quotes.
    Text(String),
    /// A window: what stands in square brackets.
    Range(String),
    /// Punctuation or an operator.
    Symbol(&'static str),
    /// Something that can not be a token, and why.
    Bad(String),
    /// After the last token.
    End,
}

/// Longest first, so that a prefix does not hide a longer symbol.
const SYMBOLS: [&str; 28] = [
    "|=", "|~", "|>", "!=", "!~", "!>", "==", "=~", "<=", ">=", "|", "=", "<", ">", "+", "-", "*",
    "/", "%", "^", "(", ")", "{", "}", "]", ",", ":", "@",
];

/// Splits `text`; the last token is [`Token::End`] or [`Token::Bad`].
pub(super) fn lex(text: &str) -> Vec<(Token, Span)> {
    let mut tokens = Vec::new();
    let bytes = text.as_bytes();
    let (mut at, mut line, mut line_start) = (0, 1u32, 0);
    loop {
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'\n' => {
                    at += 1;
                    line += 1;
                    line_start = at;
                }
                b' ' | b'\t' | b'\r' => at += 1,
                b'#' => at += text[at..].find('\n').unwrap_or(text.len() - at),
                _ => break,
            }
        }
        let (token, length) = next_token(&text[at..]);
        let column = u32::try_from(at - line_start + 1).unwrap_or(u32::MAX);
        let span = Span { start: at, end: at + length, line, column };
        // A raw string may hold line breaks.
        for (i, byte) in bytes[at..at + length].iter().enumerate() {
            if *byte == b'\n' {
                line += 1;
                line_start = at + i + 1;
            }
        }
        at += length;
        let last = matches!(token, Token::Bad(_) | Token::End);
        tokens.push((token, span));
        if last {
            return tokens;
        }
    }
}

fn next_token(rest: &str) -> (Token, usize) {
    let bytes = rest.as_bytes();
    let Some(first) = bytes.first() else { return (Token::End, 0) };
    match first {
        b'"' | b'`' => text_token(rest, *first),
        b'[' => match rest.find(']') {
            Some(end) => (Token::Range(rest[1..end].trim().to_owned()), end + 1),
            None => (Token::Bad("missing closing ']' in duration".into()), rest.len()),
        },
        b'0'..=b'9' => quantity(rest),
        b'.' if bytes.get(1).is_some_and(u8::is_ascii_digit) => quantity(rest),
        _ if rest.starts_with(is_letter) => {
            let length = rest.find(|c| !is_letter(c) && !is_digit(c)).unwrap_or(rest.len());
            (Token::Ident(rest[..length].to_owned()), length)
        }
        _ => match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            Some(symbol) => (Token::Symbol(symbol), symbol.len()),
            None => {
                let c = rest.chars().next().unwrap_or_default();
                (Token::Bad(format!("unexpected character: {c:?}")), c.len_utf8())
            }
        },
    }
}

fn is_letter(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_digit(c: char) -> bool {
    c.is_numeric()
}

fn quantity(rest: &str) -> (Token, usize) {
    let mut length = 0;
    let mut previous = ' ';
    for (i, c) in rest.char_indices() {
        // Only a number takes a signed exponent, and no unit ends in `e`.
        let exponent_sign = matches!(c, '+' | '-')
            && previous.eq_ignore_ascii_case(&'e')
            && rest[..i - 1].bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if !(c.is_alphanumeric() || c == '.' || exponent_sign) {
            break;
        }
        previous = c;
        length = i + c.len_utf8();
    }
    (Token::Quantity(rest[..length].to_owned()), length)
}

fn text_token(rest: &str, quote: u8) -> (Token, usize) {
    let bytes = rest.as_bytes();
    let mut i = 1;
    loop {
        match bytes.get(i) {
            None => return (Token::Bad("literal not terminated".into()), rest.len()),
            Some(b'\n') if quote == b'"' => {
                return (Token::Bad("literal not terminated".into()), i);
            }
            Some(b'\\') if quote == b'"' => i += 2,
            Some(byte) if *byte == quote => break,
            Some(_) => i += 1,
        }
    }
    let token = match text::unquote(&rest[1..i], quote) {
        Ok(value) => Token::Text(value),
        Err(text::UnquoteError::BadEscape(_)) => {
            Token::Bad("unknown escape sequence in string".into())
        }
        Err(text::UnquoteError::NotUtf8) => Token::Bad("string is not valid UTF-8".into()),
    };
    (token, i + 1)
}
