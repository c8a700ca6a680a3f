//! From tokens to the tree: recursive descent with precedence climbing. Messages are those of
//! Prometheus, whose parser is generated; types are checked afterwards (`check.rs`), since it too
//! reports a mistake of syntax first.
//!
//! Recursion is bounded twice: by the nesting of the text while parsing, and by the depth of the
//! tree (a long chain of `+` is deep although nothing nests), since the evaluator recurses too.

mod durations;
mod modifiers;
mod selectors;

use super::ast::{Aggregate, Binary, Call, Expr, ExprKind, Number, Selector, UnaryOp};
use super::lexer::{Token, lex};
use super::{check, functions};
use crate::errors::{ParseError, Span};
use crate::text::quote;
use crate::vector::{AggregateOp, BinaryOp, Grouping};

pub(crate) use selectors::parse_series_selector;

/// No query may be longer.
pub const QUERY_BYTES_MAX: usize = 1 << 20;

/// No tree may be deeper; long chains of operators make deep trees.
const DEPTH_MAX: u16 = 250;

/// No text may nest deeper. Parsing takes more stack a level than evaluation does.
const NESTING_MAX: u16 = 100;

type Result<T, E = ParseError> = std::result::Result<T, E>;

/// Parses a query and checks its types.
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
    let mut parser = Parser::new(text, lex(text));
    if matches!(parser.peek(), Token::End) {
        return Err(ParseError::new(Span::default(), "no expression found in input"));
    }
    let mut expr = parser.expression(0)?;
    match parser.peek() {
        Token::End => {}
        _ => return Err(parser.unexpected("", "")),
    }
    check::check(&expr, text)?;
    if parser.has_stray_matching {
        remove_stray_matching(&mut expr);
    }
    Ok(expr)
}

/// Removes `on ()` and the like beside a scalar, which say nothing.
fn remove_stray_matching(expr: &mut Expr) {
    if let ExprKind::Binary(binary) = &mut expr.kind
        && !(is_vector(&binary.left) && is_vector(&binary.right))
    {
        binary.matching = None;
    }
    expr.for_each_child_mut(&mut remove_stray_matching);
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(Token, Span)>,
    next: usize,
    nesting: u16,
    /// How many aggregations are open; they are the context of a mistake that has no closer one.
    aggregations: u16,
    /// Nodes of the duration expression that is being parsed.
    duration_nodes: u16,
    /// Whether an operator beside a scalar has modifiers for vectors.
    has_stray_matching: bool,
}

/// Keywords are known in any case.
fn keyword_eq(word: &str, keyword: &str) -> bool {
    word.eq_ignore_ascii_case(keyword)
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, tokens: Vec<(Token, Span)>) -> Self {
        Parser {
            text,
            tokens,
            next: 0,
            nesting: 0,
            aggregations: 0,
            duration_nodes: 0,
            has_stray_matching: false,
        }
    }

    fn peek(&self) -> &Token {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &Token {
        const END: &Token = &Token::End;
        let last = self.tokens.len().saturating_sub(1);
        self.tokens.get((self.next + ahead).min(last)).map_or(END, |(token, _)| token)
    }

    fn span(&self) -> Span {
        let last = self.tokens.len().saturating_sub(1);
        self.tokens.get(self.next.min(last)).map_or_else(Span::default, |(_, span)| *span)
    }

    fn previous_span(&self) -> Span {
        self.tokens.get(self.next.saturating_sub(1)).map_or_else(Span::default, |(_, span)| *span)
    }

    fn peek_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(found) if *found == symbol)
    }

    fn peek_keyword(&self, keyword: &str) -> bool {
        matches!(self.peek(), Token::Ident(word) if keyword_eq(word, keyword))
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = self.peek_symbol(symbol);
        self.next += usize::from(found);
        found
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = self.peek_keyword(keyword);
        self.next += usize::from(found);
        found
    }

    fn expect_symbol(&mut self, symbol: &str, context: &str, expected: &str) -> Result<()> {
        if self.take_symbol(symbol) { Ok(()) } else { Err(self.unexpected(context, expected)) }
    }

    /// The error about the next token.
    fn unexpected(&self, context: &str, expected: &str) -> ParseError {
        let span = self.span();
        let found = match self.peek() {
            Token::Bad(message) => return ParseError::new(span, message.clone()),
            token => self.describe(token, span, context == "label matching"),
        };
        let mut message = format!("unexpected {found}");
        let context = match (context, self.aggregations) {
            ("", 1..) => "aggregation",
            _ => context,
        };
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        ParseError::new(span, message)
    }

    /// A token in the words of Prometheus's lexer.
    fn describe(&self, token: &Token, span: Span, in_braces: bool) -> String {
        let raw = self.text.get(span.start..span.end).unwrap_or("");
        match token {
            Token::End => "end of input".into(),
            Token::Ident(_) if in_braces => format!("identifier {}", quote(raw)),
            Token::Ident(word) => match word_kind(word) {
                WordKind::Keyword => format!("<{raw}>"),
                WordKind::Operator => format!("<op:{raw}>"),
                WordKind::Aggregator => format!("<aggr:{raw}>"),
                WordKind::Preprocessor => shortened(raw),
                WordKind::Number => format!("number {}", quote(raw)),
                WordKind::Name if raw.contains(':') => format!("metric identifier {}", quote(raw)),
                WordKind::Name => format!("identifier {}", quote(raw)),
            },
            Token::Text(_) => format!("string {}", shortened(raw)),
            Token::Number(_) => format!("number {}", shortened(raw)),
            Token::Duration(_) => format!("duration {}", shortened(raw)),
            Token::Symbol("=" | "(" | ")" | "{" | "}" | "[" | "]" | "," | ":") => quote(raw),
            Token::Symbol(_) => format!("<op:{raw}>"),
            Token::Bad(message) => message.clone(),
        }
    }

    /// Makes a node unless the tree becomes too deep.
    fn node(&self, kind: ExprKind, span: Span) -> Result<Expr> {
        let expr = Expr::new(kind, span);
        if expr.depth() > DEPTH_MAX {
            return Err(too_deep(span));
        }
        Ok(expr)
    }

    fn enter(&mut self) -> Result<()> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX { Err(too_deep(self.span())) } else { Ok(()) }
    }

    /// An expression whose operators bind at least as tightly as `min`.
    fn expression(&mut self, min: u8) -> Result<Expr> {
        self.enter()?;
        let mut left = self.unary()?;
        while let Some(op) = self.binary_operator() {
            let precedence = op.precedence();
            if precedence < min {
                break;
            }
            self.next += 1;
            let (return_bool, matching) = self.operator_modifiers()?;
            // Only `^` binds to the right.
            let right = self.expression(precedence + u8::from(op != BinaryOp::Pow))?;
            let span = left.span.to(right.span);
            let are_vectors = is_vector(&left) && is_vector(&right);
            let was_written = matching != Default::default();
            // Written beside a scalar, it is kept for the check of types to complain about.
            self.has_stray_matching |= was_written && !are_vectors;
            let matching = (are_vectors || was_written).then_some(matching);
            let binary = Binary { op, left, right, return_bool, matching };
            left = self.node(ExprKind::Binary(Box::new(binary)), span)?;
        }
        self.nesting -= 1;
        Ok(left)
    }

    fn binary_operator(&self) -> Option<BinaryOp> {
        match self.peek() {
            Token::Symbol(symbol) => BinaryOp::from_symbol(symbol),
            Token::Ident(word) => ["and", "or", "unless", "atan2"]
                .into_iter()
                .find(|keyword| keyword_eq(word, keyword))
                .and_then(BinaryOp::from_symbol),
            _ => None,
        }
    }

    fn unary(&mut self) -> Result<Expr> {
        let op = if self.peek_symbol("-") {
            UnaryOp::Minus
        } else if self.peek_symbol("+") {
            UnaryOp::Plus
        } else {
            return self.postfix();
        };
        let start = self.span();
        self.next += 1;
        // A sign binds as multiplication does: looser than `^`, tighter than `+`.
        let operand = self.expression(BinaryOp::Mul.precedence() + 1)?;
        let span = start.to(operand.span);
        let kind = match operand.kind {
            ExprKind::Number(number) => ExprKind::Number(signed(op, number)),
            _ => ExprKind::Unary(op, Box::new(operand)),
        };
        self.node(kind, span)
    }

    fn primary(&mut self) -> Result<Expr> {
        let span = self.span();
        match self.peek().clone() {
            Token::Number(value) => {
                self.next += 1;
                self.node(ExprKind::Number(value.into()), span)
            }
            Token::Duration(ms) => {
                self.next += 1;
                self.node(ExprKind::Number(duration_number(ms)), span)
            }
            Token::Text(value) => {
                self.next += 1;
                self.node(ExprKind::String(value), span)
            }
            Token::Symbol("(") => {
                self.next += 1;
                let inner = self.expression(0)?;
                self.expect_symbol(")", "", "")?;
                let span = span.to(self.previous_span());
                self.node(ExprKind::Paren(Box::new(inner)), span)
            }
            Token::Symbol("{") => {
                let selector = self.selector_braces(None)?;
                let span = span.to(self.previous_span());
                self.node(ExprKind::Selector(Box::new(selector)), span)
            }
            Token::Ident(word) => self.word(word, span),
            _ => Err(self.unexpected("", "")),
        }
    }

    /// What begins with a name: a number, an aggregation, a call or a selector.
    fn word(&mut self, word: String, span: Span) -> Result<Expr> {
        if let Some(value) = number_word(&word) {
            self.next += 1;
            return self.node(ExprKind::Number(value.into()), span);
        }
        // Of the keywords, these can not be the name of a metric.
        const RESERVED: [&str; 6] =
            ["on", "ignoring", "bool", "group_left", "group_right", "atan2"];
        if RESERVED.iter().any(|reserved| keyword_eq(&word, reserved)) {
            return Err(self.unexpected("", ""));
        }
        self.next += 1;
        let clause = self.peek_keyword("by") || self.peek_keyword("without");
        let call = self.peek_symbol("(");
        if (call || clause)
            && let Some(op) = AggregateOp::from_name(&word.to_ascii_lowercase())
        {
            self.aggregations += 1;
            let aggregate = self.aggregate(op, span)?;
            self.aggregations -= 1;
            return Ok(aggregate);
        }
        if call && matches!(word_kind(&word), WordKind::Name | WordKind::Preprocessor) {
            if word.contains(':') {
                return Err(self.unexpected("", ""));
            }
            return self.call(&word, span);
        }
        let selector = if self.peek_symbol("{") {
            self.selector_braces(Some(word))?
        } else {
            Selector { name: Some(word), ..Selector::default() }
        };
        let span = span.to(self.previous_span());
        self.node(ExprKind::Selector(Box::new(selector)), span)
    }

    fn grouping_clause(&mut self) -> Result<Option<Grouping>> {
        let without = self.peek_keyword("without");
        if !without && !self.peek_keyword("by") {
            return Ok(None);
        }
        self.next += 1;
        Ok(Some(Grouping { without, labels: self.grouping_labels()? }))
    }

    fn aggregate(&mut self, op: AggregateOp, start: Span) -> Result<Expr> {
        let before = self.grouping_clause()?;
        let mut arguments = self.call_arguments()?;
        let grouping = match before {
            Some(grouping) => grouping,
            None => self.grouping_clause()?.unwrap_or_default(),
        };
        let span = start.to(self.previous_span());
        let wanted = if op.has_parameter() { 2 } else { 1 };
        if arguments.is_empty() {
            let message = "no arguments for aggregate expression provided";
            return Err(ParseError::new(span, message));
        }
        let got = arguments.len();
        let (true, Some(expr)) = (got == wanted, arguments.pop()) else {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {wanted}, \
                 got {got}"
            );
            return Err(ParseError::new(span, message));
        };
        let aggregate = Aggregate { op, parameter: arguments.pop(), expr, grouping };
        self.node(ExprKind::Aggregate(Box::new(aggregate)), span)
    }

    fn call_arguments(&mut self) -> Result<Vec<Expr>> {
        self.expect_symbol("(", "", "")?;
        let mut arguments = Vec::new();
        if self.take_symbol(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression(0)?);
            if self.take_symbol(")") {
                return Ok(arguments);
            }
            self.expect_symbol(",", "", "")?;
            if !self.starts_expression() {
                if matches!(self.peek(), Token::Bad(_)) {
                    return Err(self.unexpected("", ""));
                }
                let message = "trailing commas not allowed in function call args";
                return Err(ParseError::new(self.previous_span(), message));
            }
        }
    }

    fn starts_expression(&self) -> bool {
        match self.peek() {
            Token::Symbol(symbol) => matches!(*symbol, "(" | "{" | "+" | "-"),
            Token::Bad(_) | Token::End => false,
            _ => true,
        }
    }

    fn call(&mut self, name: &str, start: Span) -> Result<Expr> {
        let arguments = self.call_arguments()?;
        let Some(function) = functions::find(name) else {
            let message = format!("unknown function with name {}", quote(name));
            return Err(ParseError::new(start, message));
        };
        let span = start.to(self.previous_span());
        self.node(ExprKind::Call(Box::new(Call { function, arguments })), span)
    }
}

fn is_vector(expr: &Expr) -> bool {
    expr.value_type() == super::ast::ValueType::Vector
}

fn signed(op: UnaryOp, number: Number) -> Number {
    match op {
        UnaryOp::Minus => Number { value: -number.value, ..number },
        UnaryOp::Plus => number,
    }
}

fn duration_number(ms: i64) -> Number {
    Number { value: ms as f64 / 1000.0, is_duration: true }
}

fn number_word(word: &str) -> Option<f64> {
    if keyword_eq(word, "inf") {
        return Some(f64::INFINITY);
    }
    keyword_eq(word, "nan").then_some(f64::NAN)
}

fn too_deep(span: Span) -> ParseError {
    let message = format!(
        "the expression nests deeper than {NESTING_MAX} levels or has a chain of more than \
         {DEPTH_MAX} operators"
    );
    ParseError::new(span, message)
}

/// What a word is to Prometheus's lexer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WordKind {
    Keyword,
    Operator,
    Aggregator,
    Preprocessor,
    Number,
    Name,
}

fn word_kind(word: &str) -> WordKind {
    let lower = word.to_ascii_lowercase();
    match lower.as_str() {
        "and" | "or" | "unless" | "atan2" => WordKind::Operator,
        "offset" | "smoothed" | "anchored" | "by" | "without" | "on" | "ignoring"
        | "group_left" | "group_right" | "bool" => WordKind::Keyword,
        "start" | "end" | "step" | "range" | "max_of" | "min_of" => WordKind::Preprocessor,
        "inf" | "nan" => WordKind::Number,
        _ if AggregateOp::from_name(&lower).is_some() => WordKind::Aggregator,
        _ => WordKind::Name,
    }
}

/// In quotes; of a long text only the beginning.
fn shortened(raw: &str) -> String {
    if raw.len() > 10 {
        let start: String = raw.chars().take(10).collect();
        return format!("{}...", quote(&start));
    }
    quote(raw)
}
