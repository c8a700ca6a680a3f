//! From text to tokens. An error is a token too, so that the parser reports whichever mistake comes
//! first in the text. Messages are those of Prometheus (`promql/parser/lex.go`).

mod numbers;

use crate::errors::Span;
use crate::text::{self, UnquoteError};

/// A token without its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// A name or a keyword; colons are part of it only outside of braces and brackets.
    Ident(String),
    /// The value of a number.
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
const SYMBOLS: [&str; 23] = [
    "==", "!=", "<=", ">=", "</", ">/", "+", "-", "*", "/", "%", "^", "<", ">", "=", "(", ")", "{",
    "[", "]", ",", "@", ":",
];

/// Symbols inside of braces.
const BRACE_SYMBOLS: [&str; 6] = ["=~", "!~", "!=", "=", ",", "}"];

/// Symbols at the start of a duration expression.
const DURATION_SYMBOLS: [&str; 11] = ["]", ":", "(", ")", "+", "-", "*", "/", "%", "^", ","];

/// The words of duration expressions, which are known in any case.
pub(crate) const DURATION_WORDS: [&str; 4] = ["step", "range", "max_of", "min_of"];

/// Splits `text`; the last token is [`Token::End`] or [`Token::Bad`].
pub(crate) fn lex(text: &str) -> Vec<(Token, Span)> {
    Lexer::new(text, false).run()
}

/// Splits the labels at the start of a series line in a script; values follow them.
pub(crate) fn lex_series(text: &str) -> Vec<(Token, Span)> {
    // Two braces begin a histogram.
    let has_braces = text.find('{').is_some_and(|open| !text[open..].starts_with("{{"));
    let blank = text.find(char::is_whitespace).unwrap_or(text.len());
    Lexer::new(if has_braces { text } else { &text[..blank] }, true).run()
}

/// What the next character can mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Statement,
    Braces,
    /// After a bracket, before the first number.
    Duration,
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    line_start: usize,
    counted: usize,
    inside: Inside,
    in_brackets: bool,
    colon_seen: bool,
    parens: usize,
    /// Ends after the first closing brace.
    is_series: bool,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str, is_series: bool) -> Self {
        Lexer {
            text,
            at: 0,
            line: 1,
            line_start: 0,
            counted: 0,
            inside: Inside::Statement,
            in_brackets: false,
            colon_seen: false,
            parens: 0,
            is_series,
        }
    }

    fn run(mut self) -> Vec<(Token, Span)> {
        let mut tokens = Vec::new();
        loop {
            self.skip_blank();
            let start = self.at;
            let token = self.next_token();
            // A parenthesis too many is reported after it.
            let start = if token == unmatched_parenthesis() { self.at } else { start };
            let span = self.span(start);
            let closes = self.is_series && token == Token::Symbol("}");
            let last = matches!(token, Token::Bad(_) | Token::End);
            tokens.push((token, span));
            if closes {
                let end = self.at;
                tokens.push((Token::End, self.span(end)));
            }
            if last || closes {
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

    fn peek_char(&self) -> char {
        self.rest().chars().next().unwrap_or_default()
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
                b'#' if self.inside != Inside::Duration => {
                    let comment = self.rest().find(['\n', '\r']).unwrap_or(self.rest().len());
                    self.at += comment;
                }
                _ => return,
            }
        }
    }

    fn next_token(&mut self) -> Token {
        match self.inside {
            Inside::Statement => self.statement(),
            Inside::Braces => self.in_braces(),
            Inside::Duration => self.duration(),
        }
    }

    fn statement(&mut self) -> Token {
        let Some(byte) = self.peek() else {
            return match (self.parens, self.in_brackets) {
                (0, false) => Token::End,
                (0, true) => Token::Bad("unclosed left bracket".into()),
                _ => Token::Bad("unclosed left parenthesis".into()),
            };
        };
        let next = self.text.as_bytes().get(self.at + 1).copied();
        match byte {
            b'"' | b'\'' | b'`' => self.text_token(byte),
            b'0'..=b'9' => self.number(),
            b'.' if next.is_some_and(|b| b.is_ascii_digit()) => self.number(),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b':' if !self.in_brackets => self.ident(true),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let first = self.peek_char();
                self.duration_word().unwrap_or_else(|| {
                    bad(format!("unexpected character: {first:?}, expected ':'"))
                })
            }
            b'=' if next == Some(b'~') => bad("unexpected character after '=': '~'"),
            b'!' if next != Some(b'=') => {
                let after = self.rest().chars().nth(1).unwrap_or_default();
                bad(format!("unexpected character after '!': {after:?}"))
            }
            _ => self.symbol(&SYMBOLS, "unexpected character"),
        }
    }

    fn in_braces(&mut self) -> Token {
        let Some(byte) = self.peek() else {
            return bad("unexpected end of input inside braces");
        };
        match byte {
            b'"' | b'\'' | b'`' => self.text_token(byte),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.ident(false),
            b'{' => bad("unexpected left brace '{'"),
            b'!' if !self.rest().starts_with("!=") && !self.rest().starts_with("!~") => {
                let after = self.rest().chars().nth(1).unwrap_or_default();
                bad(format!("unexpected character after '!' inside braces: {after:?}"))
            }
            _ => self.symbol(&BRACE_SYMBOLS, "unexpected character inside braces"),
        }
    }

    fn duration(&mut self) -> Token {
        let Some(byte) = self.peek() else {
            return bad("unexpected end of input in duration expression");
        };
        let next = self.text.as_bytes().get(self.at + 1).copied();
        let unexpected = "unexpected character in duration expression";
        match byte {
            b'0'..=b'9' => self.number(),
            b'.' if next.is_some_and(|b| b.is_ascii_digit()) => self.number(),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let first = self.peek_char();
                self.duration_word().unwrap_or_else(|| bad(format!("{unexpected}: {first:?}")))
            }
            _ => self.symbol(&DURATION_SYMBOLS, unexpected),
        }
    }

    /// Takes one of `symbols` and follows what it opens and closes.
    fn symbol(&mut self, symbols: &[&'static str], unexpected: &str) -> Token {
        let found = symbols.iter().find(|symbol| self.rest().starts_with(**symbol)).copied();
        let Some(symbol) = found else {
            let c = self.peek_char();
            return bad(format!("{unexpected}: {c:?}"));
        };
        match symbol {
            "{" => self.inside = Inside::Braces,
            "}" => self.inside = Inside::Statement,
            "[" if self.in_brackets => return bad("unexpected left bracket '['"),
            "[" => {
                (self.in_brackets, self.inside, self.colon_seen) = (true, Inside::Duration, false);
            }
            "]" if !self.in_brackets => return bad("unexpected right bracket ']'"),
            "]" => (self.in_brackets, self.inside) = (false, Inside::Statement),
            ":" if self.colon_seen => return bad("unexpected colon ':'"),
            ":" => self.colon_seen = true,
            "(" => self.parens += 1,
            ")" => match self.parens.checked_sub(1) {
                Some(parens) => self.parens = parens,
                None => {
                    self.at += 1;
                    return unmatched_parenthesis();
                }
            },
            _ => {}
        }
        self.at += symbol.len();
        Token::Symbol(symbol)
    }

    fn ident(&mut self, colons: bool) -> Token {
        let is_part = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || (colons && *b == b':');
        let length = self.rest().bytes().take_while(|b| is_part(b)).count();
        let word = self.rest()[..length].to_owned();
        self.at += length;
        Token::Ident(word)
    }

    fn duration_word(&mut self) -> Option<Token> {
        let is_part = |b: &u8| b.is_ascii_alphabetic() || *b == b'_';
        let length = self.rest().bytes().take_while(|b| is_part(b)).count();
        let word = self.rest()[..length].to_ascii_lowercase();
        let known = DURATION_WORDS.contains(&word.as_str());
        known.then(|| {
            self.at += length;
            Token::Ident(word)
        })
    }

    fn number(&mut self) -> Token {
        let (length, token) = numbers::scan(self.rest());
        self.at += length;
        if self.inside == Inside::Duration {
            self.inside = Inside::Statement;
        }
        token
    }

    fn text_token(&mut self, quote: u8) -> Token {
        let bytes = self.text.as_bytes();
        let body_start = self.at + 1;
        let mut i = body_start;
        loop {
            match bytes.get(i) {
                None => {
                    self.at = self.text.len();
                    return match quote {
                        b'`' => bad("unterminated raw string"),
                        _ if bytes[body_start..].ends_with(b"\\") => {
                            bad("escape sequence not terminated")
                        }
                        _ => bad("unterminated quoted string"),
                    };
                }
                Some(b'\n') if quote != b'`' => {
                    self.at = i;
                    return bad("unterminated quoted string");
                }
                Some(b'\\') if quote != b'`' => i += 2,
                Some(byte) if *byte == quote => break,
                Some(_) => i += 1,
            }
        }
        self.at = i + 1;
        let body = &self.text[body_start..i];
        match text::unquote_any(body, quote) {
            Ok(value) => Token::Text(value),
            Err(UnquoteError::BadEscape(at)) => bad(bad_escape(&body[at..])),
            Err(UnquoteError::NotUtf8) => bad("invalid UTF-8 rune"),
        }
    }
}

fn bad(message: impl Into<String>) -> Token {
    Token::Bad(message.into())
}

fn unmatched_parenthesis() -> Token {
    bad("unexpected right parenthesis ')'")
}

/// What is wrong with the escape at the start of `text`.
fn bad_escape(text: &str) -> String {
    let mut chars = text.chars().skip(1);
    let Some(kind) = chars.next() else { return "escape sequence not terminated".into() };
    let (digits, radix) = match kind {
        '0'..='7' => (2, 8),
        'x' => (2, 16),
        'u' => (4, 16),
        'U' => (8, 16),
        other => return format!("unknown escape sequence U+{:04X} '{other}'", u32::from(other)),
    };
    for _ in 0..digits {
        match chars.next() {
            None => return "escape sequence not terminated".into(),
            Some(c) if !c.is_digit(radix) => {
                return format!(
                    "illegal character U+{:04X} '{c}' in escape sequence",
                    u32::from(c)
                );
            }
            Some(_) => {}
        }
    }
    "escape sequence is an invalid Unicode code point".into()
}
