//! From text to tokens. An error is a token too, so that the parser reports whichever mistake comes
//! first in the text.

use crate::errors::Span;
use crate::text::{self, UnquoteError};

/// A token without its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// A name or a keyword; colons are part of it only outside of braces and brackets.
    Ident(String),
    /// A number as written, and its value.
    Number(f64),
    /// A duration in milliseconds.
    Duration(i64),
    /// A string without its quotes.
    Text(String),
    /// Punctuation or an operator.
    Symbol(&'static str),
    /// Something that can not be a token, and why.
    Bad(String),
    /// After the last token.
    End,
}

/// Longest first, so that a prefix does not hide a longer symbol.
const SYMBOLS: [&str; 25] = [
    "==", "!=", "<=", ">=", "=~", "!~", "</", ">/", "+", "-", "*", "/", "%", "^", "<", ">", "=",
    "(", ")", "{", "}", "[", "]", ",", "@",
];

/// Splits `text`; the last token is [`Token::End`] or [`Token::Bad`].
pub(crate) fn lex(text: &str) -> Vec<(Token, Span)> {
    Lexer { text, at: 0, line: 1, line_start: 0, counted: 0, braces: false, brackets: false }.run()
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    line_start: usize,
    counted: usize,
    braces: bool,
    brackets: bool,
}

impl Lexer<'_> {
    fn run(mut self) -> Vec<(Token, Span)> {
        let mut tokens = Vec::new();
        loop {
            self.skip_blank();
            let start = self.at;
            let token = self.next_token();
            let span = self.span(start);
            let last = matches!(token, Token::Bad(_) | Token::End);
            tokens.push((token, span));
            if last {
                return tokens;
            }
        }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Line numbers are counted as the lexer goes, so that a long text costs one pass.
    fn span(&mut self, start: usize) -> Span {
        for (i, byte) in self.text.as_bytes()[self.counted..start].iter().enumerate() {
            if *byte == b'\n' {
                self.line += 1;
                self.line_start = self.counted + i + 1;
            }
        }
        self.counted = start;
        let column = u32::try_from(start - self.line_start + 1).unwrap_or(u32::MAX);
        Span { start, end: self.at, line: self.line, column }
    }

    fn skip_blank(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'#' => {
                    let comment = self.rest().find(['\n', '\r']).unwrap_or(self.rest().len());
                    self.at += comment;
                }
                _ => return,
            }
        }
    }

    fn next_token(&mut self) -> Token {
        let Some(byte) = self.peek() else { return Token::End };
        let next = self.text.as_bytes().get(self.at + 1).copied();
        match byte {
            b'"' | b'\'' | b'`' => self.text_token(byte),
            b'0'..=b'9' => self.number(),
            b'.' if next.is_some_and(|b| b.is_ascii_digit()) => self.number(),
            b':' if self.brackets => {
                self.at += 1;
                Token::Symbol(":")
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.ident(),
            b':' if !self.braces => self.ident(),
            _ => self.symbol(),
        }
    }

    fn symbol(&mut self) -> Token {
        let Some(symbol) = SYMBOLS.iter().find(|symbol| self.rest().starts_with(**symbol)) else {
            let c = self.rest().chars().next().unwrap_or_default();
            self.at += c.len_utf8();
            return Token::Bad(format!("unexpected character: {c:?}"));
        };
        self.at += symbol.len();
        match *symbol {
            "{" => self.braces = true,
            "}" => self.braces = false,
            "[" => self.brackets = true,
            "]" => self.brackets = false,
            _ => {}
        }
        Token::Symbol(symbol)
    }

    fn ident(&mut self) -> Token {
        let colons = !self.braces && !self.brackets;
        let length = self
            .rest()
            .bytes()
            .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_' || (colons && *b == b':'))
            .count();
        let word = self.rest()[..length].to_owned();
        self.at += length;
        Token::Ident(word)
    }

    fn number(&mut self) -> Token {
        let bytes = self.rest().as_bytes();
        let hex = bytes.len() > 1 && bytes[0] == b'0' && bytes[1].eq_ignore_ascii_case(&b'x');
        let mut length = 0;
        while let Some(byte) = bytes.get(length) {
            let exponent_sign = matches!(byte, b'+' | b'-')
                && !hex
                && length > 0
                && bytes[length - 1].eq_ignore_ascii_case(&b'e');
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || exponent_sign) {
                break;
            }
            length += 1;
        }
        let word = self.rest()[..length].to_owned();
        self.at += length;
        if let Some(value) = text::parse_number(&word) {
            return Token::Number(value);
        }
        if word.bytes().all(|b| b.is_ascii_alphanumeric()) && !hex {
            return match text::parse_duration_ms(&word) {
                Some(ms) => Token::Duration(ms),
                None => Token::Bad(format!("bad number or duration syntax: {word:?}")),
            };
        }
        Token::Bad(format!("bad number or duration syntax: {word:?}"))
    }

    fn text_token(&mut self, quote: u8) -> Token {
        let bytes = self.text.as_bytes();
        let body_start = self.at + 1;
        let mut i = body_start;
        loop {
            match bytes.get(i) {
                None => {
                    self.at = self.text.len();
                    return Token::Bad(match quote {
                        b'`' => "unterminated raw string".into(),
                        _ => "unterminated quoted string".into(),
                    });
                }
                Some(b'\n') if quote != b'`' => {
                    self.at = i;
                    return Token::Bad("unterminated quoted string".into());
                }
                Some(b'\\') if quote != b'`' => i += 2,
                Some(byte) if *byte == quote => break,
                Some(_) => i += 1,
            }
        }
        self.at = i + 1;
        match text::unquote(&self.text[body_start..i], quote) {
            Ok(value) => Token::Text(value),
            Err(UnquoteError::BadEscape(_)) => {
                Token::Bad("unknown escape sequence in quoted string".into())
            }
            Err(UnquoteError::NotUtf8) => Token::Bad("quoted string is not valid UTF-8".into()),
        }
    }
}
