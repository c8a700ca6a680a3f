//! Cuts the text of a template into tokens (Go `text/template/parse/lex.go`): text outside of
//! actions, delimiters with their trim markers, and what is between them. Blanks are tokens, as
//! they separate arguments.

use std::ops::Range;

use crate::error::Fault;

/// What a token is. Its text is that of its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Outside of actions; trimmed.
    Text,
    /// `{{`
    Open,
    /// `}}`
    Close,
    Blank,
    /// `=`
    Assign,
    /// `:=`
    Declare,
    /// `|`
    Pipe,
    /// `(`
    OpenParen,
    /// `)`
    CloseParen,
    /// `,`, or something else that no template may have there
    Char,
    /// `.name`
    Field,
    /// `$` or `$name`
    Variable,
    /// A name, a keyword, `true`, `false` or `nil`.
    Word,
    /// `.`
    Dot,
    Number,
    /// `'x'`
    CharConstant,
    /// `"text"`
    Quoted,
    /// `` `text` ``
    Raw,
    End,
}

/// A piece of the text.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) range: Range<usize>,
}

const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

fn is_blank(c: char) -> bool {
    BLANKS.contains(&c)
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// All tokens of a text; the last one is [`Kind::End`].
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    let mut lexer = Lexer { text, at: 0, open_parens: 0, tokens: Vec::new() };
    lexer.run()?;
    let end = text.len()..text.len();
    lexer.tokens.push(Token { kind: Kind::End, range: end });
    Ok(lexer.tokens)
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    open_parens: usize,
    tokens: Vec<Token>,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn push(&mut self, kind: Kind, start: usize) {
        self.tokens.push(Token { kind, range: start..self.at });
    }

    fn fault<T>(&self, start: usize, message: impl Into<String>) -> Result<T, Fault> {
        Err(Fault::new(start..self.at.max(start), message))
    }

    fn run(&mut self) -> Result<(), Fault> {
        let mut trims_start = false;
        loop {
            if trims_start {
                self.at += self.rest().len() - self.rest().trim_start_matches(BLANKS).len();
            }
            let start = self.at;
            let Some(length) = self.rest().find("{{") else {
                self.at = self.text.len();
                if start < self.at {
                    self.push(Kind::Text, start);
                }
                return Ok(());
            };
            let open = start + length;
            let inside = self.text.get(open + 2..).unwrap_or("");
            let trims_end = starts_with_trim(inside);
            let outside = self.text.get(start..open).unwrap_or("");
            let kept = if trims_end { outside.trim_end_matches(BLANKS) } else { outside };
            if !kept.is_empty() {
                let range = start..start + kept.len();
                self.tokens.push(Token { kind: Kind::Text, range });
            }
            self.at = open + 2;
            let marker = if trims_end { 2 } else { 0 };
            let body = inside.get(marker..).unwrap_or("");
            if body.starts_with("/*") {
                trims_start = self.comment(open, marker)?;
                continue;
            }
            self.push(Kind::Open, open);
            self.at += marker;
            trims_start = self.action(open)?;
        }
    }

    /// Skips a comment; answers whether the text behind it is trimmed.
    fn comment(&mut self, open: usize, marker: usize) -> Result<bool, Fault> {
        self.at += marker + 2;
        let Some(length) = self.rest().find("*/") else {
            return self.fault(open, "unclosed comment");
        };
        self.at += length + 2;
        let rest = self.rest();
        let (length, trims) = match rest.strip_prefix(is_blank).and_then(|r| r.strip_prefix("-}}"))
        {
            Some(_) => (4, true),
            None if rest.starts_with("}}") => (2, false),
            None => return self.fault(open, "comment ends before closing delimiter"),
        };
        self.at += length;
        Ok(trims)
    }

    /// Reads tokens up to `}}`; answers whether the text behind it is trimmed.
    fn action(&mut self, open: usize) -> Result<bool, Fault> {
        self.open_parens = 0;
        loop {
            let start = self.at;
            let rest = self.rest();
            let trims = rest.strip_prefix(is_blank).is_some_and(|rest| rest.starts_with("-}}"));
            if trims || rest.starts_with("}}") {
                if self.open_parens > 0 {
                    return self.fault(start, "unclosed left paren");
                }
                let start = if trims { start + 2 } else { start };
                self.at = start + 2;
                self.push(Kind::Close, start);
                return Ok(trims);
            }
            let Some(c) = self.peek() else {
                return Err(Fault::new(open..open + 2, "unclosed action"));
            };
            self.at += c.len_utf8();
            let kind = match c {
                c if is_blank(c) => {
                    self.blanks();
                    Kind::Blank
                }
                '=' => Kind::Assign,
                ':' => {
                    if self.peek() != Some('=') {
                        return self.fault(start, "expected :=");
                    }
                    self.at += 1;
                    Kind::Declare
                }
                '|' => Kind::Pipe,
                '"' => self.quoted(start, '"', "unterminated quoted string")?,
                '\'' => self.quoted(start, '\'', "unterminated character constant")?,
                '`' => match self.rest().find('`') {
                    Some(length) => {
                        self.at += length + 1;
                        Kind::Raw
                    }
                    None => return self.fault(start, "unterminated raw quoted string"),
                },
                '$' => self.name(start, Kind::Variable, Kind::Variable)?,
                '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                    self.name(start, Kind::Field, Kind::Dot)?
                }
                '.' | '+' | '-' | '0'..='9' => {
                    self.at = start;
                    self.number()?
                }
                c if is_word(c) => self.name(start, Kind::Word, Kind::Word)?,
                '(' => {
                    self.open_parens += 1;
                    Kind::OpenParen
                }
                ')' => {
                    let Some(open_parens) = self.open_parens.checked_sub(1) else {
                        return self.fault(start, "unexpected right paren");
                    };
                    self.open_parens = open_parens;
                    Kind::CloseParen
                }
                c if c.is_ascii_graphic() => Kind::Char,
                c => {
                    let code = u32::from(c);
                    let message = format!("unrecognized character in action: U+{code:04X}");
                    return self.fault(start, message);
                }
            };
            self.push(kind, start);
        }
    }

    /// Reads on through blanks, but leaves the one that belongs to ` -}}`.
    fn blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.at += 1;
        }
        if self.rest().starts_with("-}}") {
            self.at -= 1;
        }
    }

    fn quoted(&mut self, start: usize, quote: char, open: &str) -> Result<Kind, Fault> {
        let mut chars = self.rest().char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '\\' if !matches!(chars.next(), None | Some((_, '\n'))) => {}
                '\\' | '\n' => break,
                c if c == quote => {
                    self.at += i + 1;
                    return Ok(if quote == '"' { Kind::Quoted } else { Kind::CharConstant });
                }
                _ => {}
            }
        }
        self.fault(start, open)
    }

    /// A name behind its first character. `alone` is the kind of that character without a name.
    fn name(&mut self, start: usize, named: Kind, alone: Kind) -> Result<Kind, Fault> {
        let rest = self.rest();
        let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        self.at += length;
        let ends = match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(c) => is_blank(c) || self.rest().starts_with("}}"),
        };
        if !ends {
            let c = self.peek().unwrap_or(' ');
            return self.fault(start, format!("bad character U+{:04X} {c:?}", u32::from(c)));
        }
        Ok(if length == 0 { alone } else { named })
    }

    fn number(&mut self) -> Result<Kind, Fault> {
        let start = self.at;
        self.accept(&['+', '-']);
        let mut digits: fn(char) -> bool = |c| c.is_ascii_digit() || c == '_';
        let mut exponent: &[char] = &['e', 'E'];
        if self.accept(&['0']) {
            if self.accept(&['x', 'X']) {
                digits = |c| c.is_ascii_hexdigit() || c == '_';
                exponent = &['p', 'P'];
            } else if self.accept(&['o', 'O']) || self.accept(&['b', 'B']) {
                exponent = &[];
            }
        }
        self.accept_run(digits);
        if self.accept(&['.']) {
            self.accept_run(digits);
        }
        if self.accept(exponent) {
            self.accept(&['+', '-']);
            self.accept_run(|c| c.is_ascii_digit() || c == '_');
        }
        if self.peek().is_some_and(|c| is_word(c) || matches!(c, '+' | '-')) {
            self.accept_run(|c| is_word(c) || matches!(c, '+' | '-'));
            let text = self.text.get(start..self.at).unwrap_or("");
            let what = if text.ends_with('i') { "complex number" } else { "bad number syntax" };
            return self.fault(start, format!("{what}: {text:?}"));
        }
        Ok(Kind::Number)
    }

    fn accept(&mut self, wanted: &[char]) -> bool {
        let is_there = self.peek().is_some_and(|c| wanted.contains(&c));
        self.at += usize::from(is_there);
        is_there
    }

    fn accept_run(&mut self, wanted: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    }
}

/// Whether an action begins with `- `.
fn starts_with_trim(inside: &str) -> bool {
    inside.strip_prefix('-').is_some_and(|rest| rest.starts_with(is_blank))
}
