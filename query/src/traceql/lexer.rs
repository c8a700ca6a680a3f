//! Text to tokens with byte positions.
//!
//! A scope and its dot start an attribute whose name runs to the next space or to one of
//! `{ } ( ) = ~ ! < > & | ^ ,`: so `span.a+1` is one name. A scope and a colon start an intrinsic.

use model::read::AttributeScope;

use super::ast::{Field, Intrinsic};
use super::error::{Error, Result};
use crate::errors::Span;
use crate::text::{UnquoteError, parse_go_duration_ns, unquote};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    Symbol(&'static str),
    Word(String),
    Field(Field),
    /// `parent.` and its name.
    ParentField,
    Int(i64),
    Float(f64),
    /// Nanoseconds.
    Duration(i64),
    Str(String),
    End,
}

/// A token and its bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Placed {
    pub(crate) token: Token,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Longer symbols before their beginnings.
const SYMBOLS: [&str; 35] = [
    "!>>", "!<<", "&>>", "&<<", "&&", "||", "&>", "&<", "&~", "!=", "!~", "!>", "!<", "=~", ">>",
    "<<", ">=", "<=", "=", "<", ">", "~", "!", "+", "-", "*", "/", "%", "^", "{", "}", "(", ")",
    ",", "|",
];

/// The tokens of `text`, the last one [`Token::End`], and why the rest can not be read if so.
pub(crate) fn lex(text: &str) -> (Vec<Placed>, Option<Error>) {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    let mut error = None;
    loop {
        lexer.skip_space();
        let start = lexer.at;
        match lexer.next_token() {
            Ok(token) => {
                let is_end = token == Token::End;
                tokens.push(Placed { token, start, end: lexer.at });
                if is_end {
                    return (tokens, error);
                }
            }
            Err(problem) => {
                error = Some(problem);
                tokens.push(Placed { token: Token::End, start, end: start });
                return (tokens, error);
            }
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn error(&self, start: usize, end: usize, message: impl Into<String>) -> Error {
        Error::Syntax { span: Span::in_text(self.text, start, end), message: message.into() }
    }

    fn next_token(&mut self) -> Result<Token> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        let second = rest[first.len_utf8()..].chars().next();
        match first {
            '"' | '`' => self.string().map(Token::Str),
            '0'..='9' => self.number(),
            '.' if second.is_some_and(|c| c.is_ascii_digit()) => self.number(),
            '.' => {
                self.at += 1;
                self.attribute(AttributeScope::Any)
            }
            c if c.is_ascii_alphabetic() || c == '_' => self.word(),
            _ => {
                let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
                let Some(symbol) = symbol else {
                    let end = self.at + first.len_utf8();
                    return Err(self.error(
                        self.at,
                        end,
                        format!("unexpected character {first:?}"),
                    ));
                };
                self.at += symbol.len();
                Ok(Token::Symbol(symbol))
            }
        }
    }

    fn word(&mut self) -> Result<Token> {
        let rest = self.rest();
        let length = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let (word, after) = rest.split_at(length);
        let scope = match word {
            "span" => Some(AttributeScope::Span),
            "resource" => Some(AttributeScope::Resource),
            "event" => Some(AttributeScope::Event),
            "link" => Some(AttributeScope::Link),
            "instrumentation" => Some(AttributeScope::Instrumentation),
            _ => None,
        };
        if let Some(scope) = scope
            && after.starts_with('.')
        {
            self.at += length + 1;
            return self.attribute(scope);
        }
        if word == "parent" && after.starts_with('.') {
            self.at += length + 1;
            self.attribute(AttributeScope::Any)?;
            return Ok(Token::ParentField);
        }
        if (scope.is_some() || word == "trace") && after.starts_with(':') {
            let start = self.at;
            let name = after[1..].bytes().take_while(u8::is_ascii_alphanumeric).count();
            let end = start + length + 1 + name;
            self.at = end;
            let text = &self.text[start..end];
            return match Intrinsic::from_scoped(text) {
                Some(intrinsic) => Ok(Token::Field(Field::Intrinsic(intrinsic))),
                None => Err(self.error(start, end, format!("unknown intrinsic {text:?}"))),
            };
        }
        self.at += length;
        Ok(Token::Word(word.to_owned()))
    }

    fn attribute(&mut self, scope: AttributeScope) -> Result<Token> {
        let start = self.at;
        let mut name = String::new();
        while let Some(c) = self.rest().chars().next() {
            match c {
                '"' => name.push_str(&self.quoted_part()?),
                c if c.is_whitespace() || "{}()=~!<>&|^,".contains(c) => break,
                c => {
                    name.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
        if name.is_empty() {
            return Err(self.error(start, self.at, "expected the name of an attribute"));
        }
        Ok(Token::Field(Field::Attribute(scope, name)))
    }

    /// A quoted part of a name knows the escapes of `"` and `\` only.
    fn quoted_part(&mut self) -> Result<String> {
        let start = self.at;
        let mut part = String::new();
        let mut chars = self.text[start + 1..].char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at = start + 1 + i + 1;
                    return Ok(part);
                }
                '\\' => match chars.next() {
                    Some((_, escaped @ ('"' | '\\'))) => part.push(escaped),
                    _ => {
                        let at = start + 1 + i;
                        return Err(self.error(at, at + 1, "unknown escape in a quoted name"));
                    }
                },
                c => part.push(c),
            }
        }
        Err(self.error(start, self.text.len(), "a quoted name does not end"))
    }

    fn string(&mut self) -> Result<String> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let quote = bytes[start];
        let mut end = start + 1;
        while end < bytes.len() && bytes[end] != quote {
            if quote == b'"' && bytes[end] == b'\n' {
                break;
            }
            end += if quote == b'"' && bytes[end] == b'\\' { 2 } else { 1 };
        }
        if bytes.get(end) != Some(&quote) {
            return Err(self.error(start, self.text.len(), "a string does not end"));
        }
        self.at = end + 1;
        unquote(&self.text[start + 1..end], quote).map_err(|problem| match problem {
            UnquoteError::BadEscape(at) => {
                self.error(start + 1 + at, start + 3 + at, "unknown escape in a string")
            }
            UnquoteError::NotUtf8 => self.error(start, end + 1, "the string is not UTF-8"),
        })
    }

    fn number(&mut self) -> Result<Token> {
        let start = self.at;
        let rest = self.rest().as_bytes();
        let digits = |from: usize| rest[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        let mut length = digits(0);
        let mut is_float = false;
        if rest.get(length) == Some(&b'.') {
            is_float = true;
            length += 1 + digits(length + 1);
        }
        if matches!(rest.get(length), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(rest.get(length + 1), Some(b'+' | b'-')));
            let exponent = digits(length + 1 + sign);
            if exponent > 0 {
                is_float = true;
                length += 1 + sign + exponent;
            }
        }
        let is_unit = |c: char| c.is_alphanumeric() || matches!(c, '.' | '\u{b5}' | '_');
        let unit: usize =
            self.rest()[length..].chars().take_while(|c| is_unit(*c)).map(char::len_utf8).sum();
        let text = &self.rest()[..length + unit];
        self.at += text.len();
        let token = if unit > 0 {
            parse_go_duration_ns(text).map(Token::Duration)
        } else if is_float {
            text.parse().ok().filter(|value: &f64| value.is_finite()).map(Token::Float)
        } else {
            text.parse().ok().map(Token::Int)
        };
        token.ok_or_else(|| {
            self.error(
                start,
                self.at,
                format!("{text:?} is no number and no duration, or too large"),
            )
        })
    }
}
