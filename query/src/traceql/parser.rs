//! Tokens to a checked tree.
//!
//! Binary operators are parsed by precedence. As in Tempo `&&` and `||` bind equally and from the
//! left, in filters and between spansets. Types are checked where a node is made.

mod fields;
mod metrics;

use model::read::AttributeScope;

use self::metrics::is_metrics_function;
use super::ast::{
    AggregateOp, Arithmetic, Comparison, Field, FieldExpr, Intrinsic, Literal, MetricsExpr,
    Pipeline, Query, Root, SpansetExpr, SpansetOp, Stage, Type,
};
use super::error::{Error, Result};
use super::lexer::{Placed, Token, lex};
use crate::errors::Span;

/// A text may not be longer.
pub const QUERY_BYTES_MAX: usize = 128 << 10;

/// Trees may not be deeper; evaluation recurses.
const DEPTH_MAX: usize = 100;

/// Reads a query.
pub fn parse(text: &str) -> Result<Query> {
    if text.len() > QUERY_BYTES_MAX {
        return Err(Error::TooLong { bytes: text.len(), bytes_max: QUERY_BYTES_MAX });
    }
    let (tokens, error) = lex(text);
    match error {
        Some(error) => Err(error),
        None => Parser { text, tokens, at: 0, depth: 0, fields: Vec::new() }.query(),
    }
}

/// Reads the name of an attribute or an intrinsic; a name without scope that is no intrinsic is an
/// attribute of any scope, as old clients send it.
pub fn parse_field(text: &str) -> Option<Field> {
    let (tokens, error) = lex(text);
    let [first, end] = tokens.as_slice() else {
        return legacy_field(text);
    };
    if error.is_some() || end.token != Token::End {
        return legacy_field(text);
    }
    match &first.token {
        Token::Field(field) => Some(field.clone()),
        Token::Word(word) => {
            Intrinsic::from_bare(word).map(Field::Intrinsic).or_else(|| legacy_field(text))
        }
        _ => legacy_field(text),
    }
}

fn legacy_field(text: &str) -> Option<Field> {
    // A name that only a quoted part could hold arrives without quotes in the paths of Grafana.
    let scopes = [
        ("span.", AttributeScope::Span),
        ("resource.", AttributeScope::Resource),
        ("event.", AttributeScope::Event),
        ("link.", AttributeScope::Link),
        ("instrumentation.", AttributeScope::Instrumentation),
        (".", AttributeScope::Any),
    ];
    let (scope, name) = scopes
        .iter()
        .find_map(|(prefix, scope)| Some((*scope, text.strip_prefix(prefix)?)))
        .unwrap_or((AttributeScope::Any, text));
    (!name.is_empty()).then(|| Field::Attribute(scope, name.to_owned()))
}

/// What can be used of a query that somebody is still typing: its complete comparisons, joined by
/// `&&`. `None` if there are none, or if an `||` makes them say something else.
pub fn parse_lenient(text: &str) -> Option<Query> {
    if let Ok(query) = parse(text) {
        return (!query.is_metrics()).then_some(query);
    }
    let text = text.get(..QUERY_BYTES_MAX.min(text.len()))?;
    let (tokens, _) = lex(text);
    let is_plain = |placed: &Placed| !matches!(placed.token, Token::Symbol("||" | "!" | "(" | "|"));
    if !tokens.iter().all(is_plain) {
        return None;
    }
    if tokens.iter().filter(|placed| placed.token == Token::Symbol("{")).count() > 1 {
        return None;
    }
    let mut conditions = Vec::new();
    for window in tokens.windows(3) {
        let [left, operator, right] = window else { continue };
        let is_field = match &left.token {
            Token::Field(_) => true,
            Token::Word(word) => Intrinsic::from_bare(word).is_some(),
            _ => false,
        };
        let is_comparison = matches!(
            operator.token,
            Token::Symbol("=" | "!=" | ">" | ">=" | "<" | "<=" | "=~" | "!~")
        );
        let condition = &text[left.start..right.end.max(left.start)];
        if is_field && is_comparison && parse(&format!("{{{condition}}}")).is_ok() {
            conditions.push(condition);
        }
    }
    if conditions.is_empty() {
        return None;
    }
    parse(&format!("{{{}}}", conditions.join(" && "))).ok()
}

/// What stands in parentheses or between operators of the outermost level.
enum Node {
    Spanset(SpansetExpr),
    Pipeline(Pipeline),
    Metrics(MetricsExpr),
    Number(f64),
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Placed>,
    at: usize,
    depth: usize,
    fields: Vec<Field>,
}

fn describe(token: &Token) -> String {
    match token {
        Token::Symbol(symbol) => format!("{symbol:?}"),
        Token::Word(word) => format!("{word:?}"),
        Token::Field(field) => format!("{:?}", field.label()),
        Token::ParentField => "a parent attribute".into(),
        Token::Int(_) | Token::Float(_) => "a number".into(),
        Token::Duration(_) => "a duration".into(),
        Token::Str(_) => "a string".into(),
        Token::End => "the end of the query".into(),
    }
}

impl Parser<'_> {
    fn token(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |placed| &placed.token)
    }

    fn place(&self) -> (usize, usize) {
        let end = (self.text.len(), self.text.len());
        self.tokens.get(self.at).map_or(end, |placed| (placed.start, placed.end))
    }

    /// The end of the token before.
    fn previous_end(&self) -> usize {
        self.at.checked_sub(1).and_then(|i| self.tokens.get(i)).map_or(0, |placed| placed.end)
    }

    fn advance(&mut self) {
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.token(), Token::Symbol(found) if *found == symbol)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.token(), Token::Word(found) if found == word)
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<()> {
        if self.take(symbol) { Ok(()) } else { Err(self.unexpected(&format!("{symbol:?}"))) }
    }

    fn syntax(&self, (start, end): (usize, usize), message: impl Into<String>) -> Error {
        Error::Syntax { span: Span::in_text(self.text, start, end), message: message.into() }
    }

    fn type_error(&self, (start, end): (usize, usize), message: impl Into<String>) -> Error {
        Error::Type { span: Span::in_text(self.text, start, end), message: message.into() }
    }

    fn not_supported(&self, (start, end): (usize, usize), what: impl Into<String>) -> Error {
        Error::NotSupported { span: Span::in_text(self.text, start, end), what: what.into() }
    }

    fn unexpected(&self, expected: &str) -> Error {
        let message = format!("found {}, expected {expected}", describe(self.token()));
        self.syntax(self.place(), message)
    }

    /// Runs `inner` one level deeper.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.too_deep());
        }
        let outcome = inner(self);
        self.depth -= 1;
        outcome
    }

    fn too_deep(&self) -> Error {
        self.syntax(self.place(), format!("the query is nested deeper than {DEPTH_MAX} levels"))
    }

    fn note(&mut self, field: &Field) {
        if !self.fields.contains(field) {
            self.fields.push(field.clone());
        }
    }

    fn query(mut self) -> Result<Query> {
        let start = self.place();
        let node = self.expression()?;
        let root = match node {
            Node::Spanset(spanset) => {
                Root::Search(Pipeline { stages: vec![Stage::Spanset(spanset)] })
            }
            Node::Pipeline(pipeline) => Root::Search(pipeline),
            Node::Metrics(metrics) => Root::Metrics(metrics),
            Node::Number(_) => {
                return Err(self.syntax(start, "found a number, expected a spanset such as { }"));
            }
        };
        let hints = self.hints()?;
        if *self.token() != Token::End {
            return Err(self.unexpected("the end of the query"));
        }
        Ok(Query { root, hints, fields: self.fields })
    }

    /// `with(name=value, ...)`.
    fn hints(&mut self) -> Result<Vec<(String, Literal)>> {
        let mut hints = Vec::new();
        if !self.is_word("with") {
            return Ok(hints);
        }
        self.advance();
        self.expect("(")?;
        loop {
            let Token::Word(name) = self.token().clone() else {
                return Err(self.unexpected("the name of a hint"));
            };
            self.advance();
            self.expect("=")?;
            let Some(value) = self.literal()? else {
                return Err(self.unexpected("a value"));
            };
            hints.push((name, value));
            if !self.take(",") {
                break;
            }
        }
        self.expect(")")?;
        Ok(hints)
    }

    /// Everything up to a closing parenthesis, hints, or the end.
    fn expression(&mut self) -> Result<Node> {
        let starts_pipeline = matches!(
            self.token(),
            Token::Word(word) if word == "by" || aggregate(word).is_some()
        );
        if starts_pipeline {
            let stage = self.stage()?;
            return self.pipeline(Pipeline { stages: vec![stage] });
        }
        match self.binary(0)? {
            Node::Spanset(spanset) if self.is("|") => {
                self.pipeline(Pipeline { stages: vec![Stage::Spanset(spanset)] })
            }
            Node::Metrics(metrics) => self.second_stages(metrics).map(Node::Metrics),
            other => Ok(other),
        }
    }

    /// The stages after the first.
    fn pipeline(&mut self, mut pipeline: Pipeline) -> Result<Node> {
        while self.is("|") {
            self.advance();
            if let Token::Word(word) = self.token()
                && is_metrics_function(word)
            {
                let first = self.metrics_function(pipeline)?;
                return self.second_stages(first).map(Node::Metrics);
            }
            let stage = self.stage()?;
            pipeline.stages.push(stage);
        }
        Ok(Node::Pipeline(pipeline))
    }

    /// Spansets with their operators, and arithmetic over series and numbers.
    fn binary(&mut self, precedence_min: u8) -> Result<Node> {
        let mut left = self.primary()?;
        let mut links = 0;
        loop {
            let Token::Symbol(symbol) = *self.token() else { return Ok(left) };
            let place = self.place();
            let precedence = match (&left, symbol) {
                (Node::Spanset(_), "&&" | "||") => 1,
                (Node::Spanset(_), _) if SpansetOp::from_symbol(symbol).is_some() => 2,
                (Node::Metrics(_) | Node::Number(_), "+" | "-") => 3,
                (Node::Metrics(_) | Node::Number(_), "*" | "/") => 4,
                _ => return Ok(left),
            };
            if precedence <= precedence_min {
                return Ok(left);
            }
            links += 1;
            if self.depth + links > DEPTH_MAX {
                return Err(self.too_deep());
            }
            self.advance();
            let right = self.nested(|parser| parser.binary(precedence))?;
            left = self.join(left, symbol, right, place)?;
        }
    }

    fn join(&self, left: Node, symbol: &str, right: Node, place: (usize, usize)) -> Result<Node> {
        match (left, right) {
            (Node::Spanset(left), Node::Spanset(right)) => {
                let op = SpansetOp::from_symbol(symbol)
                    .ok_or_else(|| self.syntax(place, "expected an operator between spansets"))?;
                let (left, right) = (Box::new(left), Box::new(right));
                Ok(Node::Spanset(SpansetExpr::Binary { op, left, right }))
            }
            (Node::Spanset(_), _) | (_, Node::Spanset(_)) => Err(self
                .syntax(place, format!("{symbol:?} can not join spansets with series or numbers"))),
            (left, right) => {
                let op = Arithmetic::from_symbol(symbol)
                    .ok_or_else(|| self.syntax(place, "expected an arithmetic operator"))?;
                if let (Node::Number(left), Node::Number(right)) = (&left, &right) {
                    return Ok(Node::Number(op.apply(*left, *right)));
                }
                let (left, right) = (self.series(left, place)?, self.series(right, place)?);
                if left.has_compare() || right.has_compare() {
                    return Err(self.type_error(place, "compare() can not be part of arithmetic"));
                }
                let (left, right) = (Box::new(left), Box::new(right));
                Ok(Node::Metrics(MetricsExpr::Math { op, left, right }))
            }
        }
    }

    fn series(&self, node: Node, place: (usize, usize)) -> Result<MetricsExpr> {
        match node {
            Node::Metrics(metrics) => Ok(metrics),
            Node::Number(number) => Ok(MetricsExpr::Number(number)),
            Node::Spanset(_) | Node::Pipeline(_) => Err(self.syntax(place, "expected series")),
        }
    }

    fn primary(&mut self) -> Result<Node> {
        let place = self.place();
        match self.token().clone() {
            Token::Symbol("{") => self.filter().map(SpansetExpr::Filter).map(Node::Spanset),
            Token::Symbol("(") => {
                self.advance();
                let inner = self.nested(Self::expression)?;
                self.expect(")")?;
                Ok(match inner {
                    Node::Pipeline(pipeline) => {
                        Node::Spanset(SpansetExpr::Pipeline(Box::new(pipeline)))
                    }
                    other => other,
                })
            }
            Token::Symbol("-") => {
                self.advance();
                match self.nested(Self::primary)? {
                    Node::Number(number) => Ok(Node::Number(-number)),
                    _ => Err(self.syntax(place, "\"-\" stands before numbers only")),
                }
            }
            Token::Int(number) => {
                self.advance();
                Ok(Node::Number(number as f64))
            }
            Token::Float(number) => {
                self.advance();
                Ok(Node::Number(number))
            }
            Token::Duration(_) => {
                Err(self.syntax(place, "durations can not be part of arithmetic over series"))
            }
            _ => Err(self.unexpected("a spanset such as { }")),
        }
    }

    /// `{ ... }`.
    fn filter(&mut self) -> Result<Option<FieldExpr>> {
        self.expect("{")?;
        if self.take("}") {
            return Ok(None);
        }
        let inner = self.nested(|parser| parser.field_expression(0))?;
        if !self.is("}") {
            return Err(self.unexpected("an operator or \"}\""));
        }
        self.advance();
        if !matches!(inner.value_type, Type::Bool | Type::Any) {
            let found = inner.value_type.name();
            let message = format!("a spanset filter must be a boolean, this is {found}");
            return Err(self.type_error((inner.start, inner.end), message));
        }
        Ok(Some(inner.expr))
    }

    fn stage(&mut self) -> Result<Stage> {
        let Token::Word(word) = self.token().clone() else {
            let place = self.place();
            return match self.binary(0)? {
                Node::Spanset(spanset) => Ok(Stage::Spanset(spanset)),
                _ => Err(self.syntax(place, "expected a spanset filter or a function")),
            };
        };
        let start = self.place().0;
        if let Some(op) = aggregate(&word) {
            return self.aggregate(op, start);
        }
        match word.as_str() {
            "by" => {
                self.advance();
                self.expect("(")?;
                let inner = self.nested(|parser| parser.field_expression(0))?;
                self.expect(")")?;
                if !inner.has_field {
                    let place = (inner.start, inner.end);
                    return Err(self.type_error(place, "by() needs something of the span"));
                }
                let text = self.text[start..self.previous_end()].to_owned();
                Ok(Stage::By { expr: inner.expr, text })
            }
            "select" => {
                self.advance();
                self.expect("(")?;
                self.field_list()?;
                Ok(Stage::Select)
            }
            "coalesce" => {
                self.advance();
                self.expect("(")?;
                self.expect(")")?;
                Ok(Stage::Coalesce)
            }
            _ => Err(self.unexpected("a spanset filter or a function")),
        }
    }

    /// Fields up to and with the closing parenthesis.
    fn field_list(&mut self) -> Result<Vec<Field>> {
        let mut fields = Vec::new();
        loop {
            fields.push(self.field()?);
            if !self.take(",") {
                break;
            }
        }
        self.expect(")")?;
        Ok(fields)
    }

    fn field(&mut self) -> Result<Field> {
        let field = match self.token() {
            Token::Field(field) => Some(field.clone()),
            Token::Word(word) if word == "parent" => {
                return Err(self.not_supported(self.place(), "parent"));
            }
            Token::Word(word) => Intrinsic::from_bare(word).map(Field::Intrinsic),
            Token::ParentField => {
                return Err(self.not_supported(self.place(), "the scope parent"));
            }
            _ => None,
        };
        let Some(field) = field else {
            return Err(self.unexpected("an attribute or an intrinsic"));
        };
        self.advance();
        self.note(&field);
        Ok(field)
    }

    fn aggregate(&mut self, op: AggregateOp, start: usize) -> Result<Stage> {
        self.advance();
        self.expect("(")?;
        let operand = if op == AggregateOp::Count {
            None
        } else {
            let inner = self.nested(|parser| parser.field_expression(0))?;
            let place = (inner.start, inner.end);
            if !matches!(inner.value_type, Type::Number | Type::Any) {
                let message =
                    format!("an aggregate needs numbers, this is {}", inner.value_type.name());
                return Err(self.type_error(place, message));
            }
            if !inner.has_field {
                return Err(self.type_error(place, "an aggregate needs something of the span"));
            }
            Some(inner.expr)
        };
        self.expect(")")?;
        let text = self.text[start..self.previous_end()].to_owned();
        let place = self.place();
        let Token::Symbol(symbol) = *self.token() else {
            return Err(self.unexpected("a comparison"));
        };
        if matches!(symbol, "+" | "-" | "*" | "/" | "%" | "^") {
            // Tempo parses arithmetic only in front of a comparison; neither evaluates it.
            let has_comparison = self.tokens[self.at..].iter().any(|placed| {
                matches!(placed.token, Token::Symbol(s) if Comparison::from_symbol(s).is_some())
            });
            if has_comparison {
                return Err(self.not_supported(place, "arithmetic over aggregates"));
            }
        }
        let Some(comparison) = Comparison::from_symbol(symbol) else {
            return Err(self.unexpected("a comparison"));
        };
        self.advance();
        if matches!(self.token(), Token::Word(word) if aggregate(word).is_some()) {
            return Err(self.not_supported(self.place(), "comparing aggregates with each other"));
        }
        let value = self.constant(true)?;
        Ok(Stage::Aggregate { op, operand, text, comparison, value })
    }
}

fn aggregate(word: &str) -> Option<AggregateOp> {
    Some(match word {
        "count" => AggregateOp::Count,
        "avg" => AggregateOp::Avg,
        "min" => AggregateOp::Min,
        "max" => AggregateOp::Max,
        "sum" => AggregateOp::Sum,
        _ => return None,
    })
}
