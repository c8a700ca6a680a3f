//! From tokens to the tree: what is common to all expressions, and log queries.
//!
//! Keywords may be written in any case, as in Loki (3.8, `pkg/logql/syntax/lex.go`).

mod filter;
mod metric;
mod stage;

use model::{MatchOp, Matcher};

use super::ast::{Expr, LineFilter, LineNeedle, LineOp, LogExpr, Stage, Unwrap};
use super::lexer::{Token, lex};
use crate::errors::{ParseError, Span};
use crate::text::quote;
use crate::vector::BinaryOp;

/// No query may be longer.
const QUERY_BYTES_MAX: usize = 1 << 20;

/// No tree may be deeper; long chains of operators make deep trees.
const DEPTH_MAX: u16 = 250;

/// No text may nest deeper. Parsing takes more stack a level than evaluation does.
const NESTING_MAX: u16 = 100;

type Result<T, E = ParseError> = std::result::Result<T, E>;

/// Parses a query.
///
/// Fails with the position of the first mistake, what was found there and what was expected.
pub fn parse(text: &str) -> Result<Expr> {
    if text.len() > QUERY_BYTES_MAX {
        let message = format!(
            "the query has {} bytes, more than the {QUERY_BYTES_MAX} that are allowed",
            text.len()
        );
        return Err(ParseError::new(Span::default(), message));
    }
    let mut parser = Parser { tokens: lex(text), next: 0, nesting: 0 };
    let expr = match parser.log_in_parens()? {
        Some(log) => Expr::Log(log),
        None => Expr::Metric(parser.metric(0)?),
    };
    if *parser.peek() == Token::End {
        return Ok(expr);
    }
    match (expr, parser.binary_operator()) {
        (Expr::Log(log), Some(op)) => Err(lines_are_no_numbers(&log, op, "left")),
        _ => Err(parser.unexpected("end of the query")),
    }
}

struct Parser {
    tokens: Vec<(Token, Span)>,
    next: usize,
    nesting: u16,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &Token {
        &self.tokens[(self.next + ahead).min(self.tokens.len() - 1)].0
    }

    fn span(&self) -> Span {
        self.tokens[self.next.min(self.tokens.len() - 1)].1
    }

    fn previous_span(&self) -> Span {
        self.tokens[self.next.saturating_sub(1)].1
    }

    fn peek_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(found) if *found == symbol)
    }

    fn peek_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Ident(found) if found.eq_ignore_ascii_case(word))
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = self.peek_symbol(symbol);
        self.next += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.peek_word(word);
        self.next += usize::from(found);
        found
    }

    fn expect_symbol(&mut self, symbol: &str) -> Result<()> {
        if self.take_symbol(symbol) { Ok(()) } else { Err(self.unexpected(&quote(symbol))) }
    }

    fn unexpected(&self, expected: &str) -> ParseError {
        let found = match self.peek() {
            Token::Bad(message) => return ParseError::new(self.span(), message.clone()),
            Token::End => "$end".to_owned(),
            Token::Symbol(symbol) => (*symbol).to_owned(),
            Token::Ident(word) if is_keyword(word) => word.to_ascii_lowercase(),
            Token::Ident(word) => format!("IDENTIFIER {}", quote(word)),
            Token::Text(text) => format!("STRING {}", quote(text)),
            Token::Quantity(text) => format!("NUMBER {}", quote(text)),
            Token::Range(text) => format!("RANGE [{text}]"),
        };
        let message = format!("syntax error: unexpected {found}, expected {expected}");
        ParseError::new(self.span(), message)
    }

    /// One level deeper; chains of operators count as levels for the rest of the query.
    fn enter(&mut self) -> Result<()> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX { Err(too_deep(self.span())) } else { Ok(()) }
    }

    fn leave(&mut self) {
        self.nesting = self.nesting.saturating_sub(1);
    }

    fn text(&mut self) -> Result<String> {
        match self.peek().clone() {
            Token::Text(text) => {
                self.next += 1;
                Ok(text)
            }
            _ => Err(self.unexpected("string")),
        }
    }

    fn word(&mut self, expected: &str) -> Result<String> {
        match self.peek().clone() {
            Token::Ident(word) => {
                self.next += 1;
                Ok(word)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// A log query, perhaps in parentheses; `None`, and nothing taken, if something else stands
    /// here.
    fn log_in_parens(&mut self) -> Result<Option<LogExpr>> {
        let parens = (0..).take_while(|i| *self.peek_at(*i) == Token::Symbol("(")).count();
        if *self.peek_at(parens) != Token::Symbol("{") {
            return Ok(None);
        }
        if parens > usize::from(NESTING_MAX) {
            return Err(too_deep(self.span()));
        }
        self.next += parens;
        let mut log = self.selector()?;
        self.log_stages(&mut log.stages)?;
        for _ in 0..parens {
            self.expect_symbol(")")?;
        }
        Ok(Some(log))
    }

    fn selector(&mut self) -> Result<LogExpr> {
        let start = self.span();
        self.expect_symbol("{")?;
        let mut matchers = Vec::new();
        while !self.take_symbol("}") {
            let name = self.word("label name or \"}\"")?;
            let Some(op) = self.match_op() else {
                return Err(self.unexpected("one of \"=\", \"!=\", \"=~\", \"!~\""));
            };
            self.next += 1;
            let value_span = self.span();
            let value = self.text()?;
            let matcher = Matcher::new(name, op, value)
                .map_err(|error| bad_regex(value_span, error.message()))?;
            matchers.push(matcher);
            if self.take_symbol(",") {
                if self.peek_symbol("}") {
                    return Err(self.unexpected("label name"));
                }
            } else if !self.peek_symbol("}") {
                return Err(self.unexpected("\",\" or \"}\""));
            }
        }
        let span = start.to(self.previous_span());
        if matchers.iter().all(Matcher::matches_empty) {
            let message = "queries require at least one regexp or equality matcher that does not \
                           have an empty-compatible value. For instance, app=~\".*\" does not \
                           meet this requirement, but app=~\".+\" will";
            return Err(ParseError::new(span, message));
        }
        Ok(LogExpr { span, matchers, stages: Vec::new() })
    }

    /// How a label is compared with a text, if the next symbol says so.
    fn match_op(&self) -> Option<MatchOp> {
        match self.peek() {
            Token::Symbol("=") => Some(MatchOp::Equal),
            Token::Symbol("!=") => Some(MatchOp::NotEqual),
            Token::Symbol("=~") => Some(MatchOp::Matches),
            Token::Symbol("!~") => Some(MatchOp::NotMatches),
            _ => None,
        }
    }

    /// Stages of a query that answers with lines.
    fn log_stages(&mut self, stages: &mut Vec<Stage>) -> Result<()> {
        let start = self.next;
        let mut unwrap = None;
        self.stages(stages, &mut unwrap)?;
        if unwrap.is_none() {
            return Ok(());
        }
        while !self.peek_word("unwrap") && self.next > start {
            self.next -= 1;
        }
        let message = "unwrap is only allowed in a range aggregation, such as sum_over_time";
        Err(ParseError::new(self.span(), message))
    }

    /// Stages up to something else. Behind an `unwrap` only label filters may follow, which belong
    /// to it.
    fn stages(&mut self, stages: &mut Vec<Stage>, unwrap: &mut Option<Unwrap>) -> Result<()> {
        loop {
            let op = match self.peek() {
                Token::Symbol("|") => {
                    self.next += 1;
                    if self.peek_word("unwrap") && !self.is_compared() {
                        let span = self.span();
                        let found = self.unwrap()?;
                        if unwrap.replace(found).is_some() {
                            return Err(ParseError::new(span, "a line has one unwrapped value"));
                        }
                    } else if let Some(unwrap) = unwrap {
                        unwrap.filters.push(self.label_filter()?);
                    } else {
                        stages.push(self.stage()?);
                    }
                    continue;
                }
                Token::Symbol(symbol) if unwrap.is_none() => LineOp::from_symbol(symbol),
                _ => None,
            };
            let Some(op) = op else { return Ok(()) };
            self.next += 1;
            stages.push(self.line_filter(op)?);
        }
    }

    fn line_filter(&mut self, op: LineOp) -> Result<Stage> {
        let mut needles = Vec::new();
        let mut spans = Vec::new();
        loop {
            spans.push(self.span());
            needles.push(match self.ip()? {
                Some(range) => LineNeedle::Ip(range),
                None => LineNeedle::Text(self.text()?),
            });
            if !self.take_word("or") {
                break;
            }
        }
        LineFilter::new(op, needles)
            .map(Stage::Line)
            .map_err(|(place, message)| ParseError::new(spans[place], message))
    }

    /// `ip("...")`, if that stands here.
    fn ip(&mut self) -> Result<Option<String>> {
        if !self.peek_word("ip") || *self.peek_at(1) != Token::Symbol("(") {
            return Ok(None);
        }
        self.next += 2;
        let range = self.text()?;
        self.expect_symbol(")")?;
        Ok(Some(range))
    }

    /// Whether the next word is compared: then it is a label, whatever its name. But a stage that
    /// is one word can have a line filter right behind it.
    fn is_compared(&self) -> bool {
        let is_stage = ["json", "logfmt", "unpack", "decolorize"].iter().any(|w| self.peek_word(w));
        if is_stage && matches!(self.peek_at(1), Token::Symbol("!=" | "!~")) {
            return false;
        }
        matches!(
            self.peek_at(1),
            Token::Symbol("=" | "==" | "!=" | "=~" | "!~" | "<" | "<=" | ">" | ">=")
        )
    }
}

fn lines_are_no_numbers(log: &LogExpr, op: BinaryOp, leg: &str) -> ParseError {
    let name = if log.stages.is_empty() { "MatchersExpr" } else { "PipelineExpr" };
    let op = op.as_str();
    let message =
        format!("unexpected type for {leg} leg of binary operation ({op}): *syntax.{name}");
    ParseError::new(log.span, message)
}

/// As Go words it.
fn bad_regex(span: Span, message: &str) -> ParseError {
    ParseError::new(span, format!("error parsing regexp: {message}"))
}

/// Words that errors show as they are; all others are identifiers.
fn is_keyword(word: &str) -> bool {
    const WORDS: [&str; 25] = [
        "by",
        "without",
        "bool",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "offset",
        "or",
        "and",
        "unless",
        "json",
        "logfmt",
        "regexp",
        "pattern",
        "unpack",
        "line_format",
        "label_format",
        "decolorize",
        "drop",
        "keep",
        "unwrap",
        "ip",
        "label_replace",
        "vector",
    ];
    WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
}

fn too_deep(span: Span) -> ParseError {
    ParseError::new(
        span,
        format!(
            "the expression nests deeper than {NESTING_MAX} levels or has a chain of more than \
             {DEPTH_MAX} operators"
        ),
    )
}
