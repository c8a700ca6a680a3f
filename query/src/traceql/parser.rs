//! Tokens to a checked tree.
//!
//! Binary operators are parsed by precedence. As in Tempo `&&` and `||` bind equally and from the
//! left, in filters and between spansets. Types are checked where a node is made.

use model::span::{SpanKind, StatusCode};
use model::read::AttributeScope;

use super::ast::{
    AggregateOp, Arithmetic, Comparison, Field, FieldExpr, Function, Intrinsic, Literal,
    MetricsExpr, Pipeline, Query, Root, SpansetExpr, SpansetOp, Stage, Type,
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
        Token::Word(word) => Intrinsic::from_bare(word)
            .map(Field::Intrinsic)
            .or_else(|| legacy_field(text)),
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
    let is_plain = |placed: &Placed| {
        !matches!(placed.token, Token::Symbol("||" | "!" | "(" | "|"))
    };
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

/// An expression over a span with what was found out about it.
struct Checked {
    expr: FieldExpr,
    value_type: Type,
    /// Whether a span can change its value.
    has_field: bool,
    start: usize,
    end: usize,
    depth: usize,
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

    fn join(
        &self,
        left: Node,
        symbol: &str,
        right: Node,
        place: (usize, usize),
    ) -> Result<Node> {
        match (left, right) {
            (Node::Spanset(left), Node::Spanset(right)) => {
                let op = SpansetOp::from_symbol(symbol)
                    .ok_or_else(|| self.syntax(place, "expected an operator between spansets"))?;
                let (left, right) = (Box::new(left), Box::new(right));
                Ok(Node::Spanset(SpansetExpr::Binary { op, left, right }))
            }
            (Node::Spanset(_), _) | (_, Node::Spanset(_)) => {
                Err(self.syntax(place, format!("{symbol:?} can not join spansets with series or numbers")))
            }
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
                let message = format!("an aggregate needs numbers, this is {}", inner.value_type.name());
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

    /// Arithmetic over numbers. Durations are nanoseconds.
    fn constant(&mut self, is_ns: bool) -> Result<f64> {
        self.constant_binary(0, is_ns)
    }

    fn constant_binary(&mut self, precedence_min: u8, is_ns: bool) -> Result<f64> {
        let mut left = self.constant_primary(is_ns)?;
        loop {
            let Token::Symbol(symbol) = *self.token() else { return Ok(left) };
            let precedence = match symbol {
                "+" | "-" => 1,
                "*" | "/" | "%" => 2,
                "^" => 3,
                _ => return Ok(left),
            };
            if precedence <= precedence_min {
                return Ok(left);
            }
            self.advance();
            let right = self.nested(|parser| parser.constant_binary(precedence, is_ns))?;
            let op = Arithmetic::from_symbol(symbol).unwrap_or(Arithmetic::Add);
            left = op.apply(left, right);
        }
    }

    fn constant_primary(&mut self, is_ns: bool) -> Result<f64> {
        let value = match *self.token() {
            Token::Int(number) => number as f64,
            Token::Float(number) => number,
            Token::Duration(ns) if is_ns => ns as f64,
            Token::Duration(ns) => ns as f64 / 1e9,
            Token::Symbol("-") => {
                self.advance();
                return self.nested(|parser| parser.constant_primary(is_ns)).map(|value| -value);
            }
            Token::Symbol("(") => {
                self.advance();
                let value = self.nested(|parser| parser.constant_binary(0, is_ns))?;
                self.expect(")")?;
                return Ok(value);
            }
            _ => return Err(self.unexpected("a number or a duration")),
        };
        self.advance();
        Ok(value)
    }

    fn metrics_function(&mut self, pipeline: Pipeline) -> Result<MetricsExpr> {
        let Token::Word(word) = self.token().clone() else {
            return Err(self.unexpected("a function"));
        };
        self.advance();
        self.expect("(")?;
        let function = match word.as_str() {
            "rate" => Function::Rate,
            "count_over_time" => Function::CountOverTime,
            "min_over_time" => Function::MinOverTime(self.field()?),
            "max_over_time" => Function::MaxOverTime(self.field()?),
            "avg_over_time" => Function::AvgOverTime(self.field()?),
            "sum_over_time" => Function::SumOverTime(self.field()?),
            "histogram_over_time" => Function::HistogramOverTime(self.field()?),
            "quantile_over_time" => {
                let field = self.field()?;
                let mut quantiles = Vec::new();
                while self.take(",") {
                    quantiles.push(match *self.token() {
                        Token::Int(number) => number as f64,
                        Token::Float(number) => number,
                        _ => return Err(self.unexpected("a quantile")),
                    });
                    self.advance();
                }
                if quantiles.is_empty() {
                    return Err(self.unexpected("\",\" and a quantile"));
                }
                Function::QuantileOverTime(field, quantiles)
            }
            _ => self.compare_arguments()?,
        };
        self.expect(")")?;
        let mut by = Vec::new();
        if self.is_word("by") && !matches!(function, Function::Compare { .. }) {
            self.advance();
            self.expect("(")?;
            by = self.field_list()?;
        }
        Ok(MetricsExpr::First { pipeline, function, by })
    }

    fn compare_arguments(&mut self) -> Result<Function> {
        let filter = self.filter()?;
        let mut numbers = Vec::new();
        while numbers.len() < 3 && self.take(",") {
            let Token::Int(number) = *self.token() else {
                return Err(self.unexpected("a whole number"));
            };
            numbers.push(number);
            self.advance();
        }
        let (top, window) = match numbers[..] {
            [] => (10, None),
            [top] => (top, None),
            [top, start, end] => (top, Some((start, end))),
            _ => return Err(self.unexpected("\",\" and the end of the window")),
        };
        let top = usize::try_from(top).unwrap_or(10).max(1);
        Ok(Function::Compare { filter, top, window })
    }

    /// `topk`, `bottomk` and comparisons, in any order.
    fn second_stages(&mut self, first: MetricsExpr) -> Result<MetricsExpr> {
        let mut expr = first;
        let mut links = 0;
        loop {
            let place = self.place();
            links += 1;
            if self.depth + links > DEPTH_MAX {
                return Err(self.too_deep());
            }
            if self.is("|") {
                self.advance();
                let largest = match self.token() {
                    Token::Word(word) if word == "topk" => true,
                    Token::Word(word) if word == "bottomk" => false,
                    _ => return Err(self.unexpected("topk or bottomk")),
                };
                self.advance();
                self.expect("(")?;
                let Token::Int(count) = *self.token() else {
                    return Err(self.unexpected("a whole number"));
                };
                if count == 0 {
                    return Err(self.type_error(self.place(), "the number of series must not be zero"));
                }
                self.advance();
                self.expect(")")?;
                self.refuse_compare(&expr, place)?;
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                expr = MetricsExpr::Top { operand: Box::new(expr), count, largest };
                continue;
            }
            let comparison = match self.token() {
                Token::Symbol(symbol) => Comparison::from_symbol(symbol),
                _ => None,
            };
            let Some(comparison) = comparison else { return Ok(expr) };
            self.advance();
            let value = self.constant(false)?;
            self.refuse_compare(&expr, place)?;
            expr = MetricsExpr::Filter { operand: Box::new(expr), comparison, value };
        }
    }

    fn refuse_compare(&self, expr: &MetricsExpr, place: (usize, usize)) -> Result<()> {
        if expr.has_compare() {
            return Err(self.type_error(place, "nothing can follow compare()"));
        }
        Ok(())
    }

    fn field_expression(&mut self, precedence_min: u8) -> Result<Checked> {
        let mut left = self.field_unary()?;
        loop {
            let Token::Symbol(symbol) = *self.token() else { return Ok(left) };
            let precedence = match symbol {
                "&&" | "||" => 1,
                "=" | "!=" | ">" | ">=" | "<" | "<=" | "=~" | "!~" => 2,
                "+" | "-" => 3,
                "*" | "/" | "%" => 5,
                "^" => 6,
                _ => return Ok(left),
            };
            if precedence <= precedence_min {
                return Ok(left);
            }
            let place = self.place();
            self.advance();
            // The power binds from the right.
            let right_min = if symbol == "^" { precedence - 1 } else { precedence };
            let right = self.nested(|parser| parser.field_expression(right_min))?;
            left = self.make_binary(left, symbol, right, place)?;
            if left.depth + self.depth > DEPTH_MAX {
                return Err(self.too_deep());
            }
        }
    }

    fn field_unary(&mut self) -> Result<Checked> {
        let (start, _) = self.place();
        if self.take("!") {
            let inner = self.nested(|parser| parser.field_expression(4))?;
            self.require_bool(&inner, "\"!\"")?;
            return Ok(Checked {
                expr: FieldExpr::Not(Box::new(inner.expr)),
                value_type: Type::Bool,
                has_field: inner.has_field,
                start,
                end: inner.end,
                depth: inner.depth + 1,
            });
        }
        if self.take("-") {
            let inner = self.nested(|parser| parser.field_expression(3))?;
            self.require_number(&inner, "\"-\"")?;
            return Ok(Checked {
                expr: FieldExpr::Negate(Box::new(inner.expr)),
                value_type: Type::Number,
                has_field: inner.has_field,
                start,
                end: inner.end,
                depth: inner.depth + 1,
            });
        }
        self.field_primary()
    }

    fn field_primary(&mut self) -> Result<Checked> {
        let (start, end) = self.place();
        if self.take("(") {
            let mut inner = self.nested(|parser| parser.field_expression(0))?;
            self.expect(")")?;
            inner.start = start;
            inner.end = self.previous_end();
            return Ok(inner);
        }
        let is_field = match self.token() {
            Token::Field(_) | Token::ParentField => true,
            Token::Word(word) => word == "parent" || Intrinsic::from_bare(word).is_some(),
            _ => false,
        };
        if is_field {
            let field = self.field()?;
            let value_type = field.value_type();
            let expr = FieldExpr::Field(field);
            return Ok(Checked { expr, value_type, has_field: true, start, end, depth: 1 });
        }
        match self.literal()? {
            Some(literal) => {
                let value_type = literal.value_type();
                let expr = FieldExpr::Literal(literal);
                Ok(Checked { expr, value_type, has_field: false, start, end, depth: 1 })
            }
            None => Err(self.unexpected("an attribute, an intrinsic or a value")),
        }
    }

    fn literal(&mut self) -> Result<Option<Literal>> {
        let literal = match self.token() {
            Token::Int(number) => Literal::Int(*number),
            Token::Float(number) => Literal::Float(*number),
            Token::Duration(ns) => Literal::Duration(*ns),
            Token::Str(text) => Literal::Str(text.clone()),
            Token::Word(word) => match word.as_str() {
                "true" => Literal::Bool(true),
                "false" => Literal::Bool(false),
                "nil" => Literal::Nil,
                "minInt" => Literal::Int(i64::MIN),
                "maxInt" => Literal::Int(i64::MAX),
                word => {
                    let status = StatusCode::ALL.iter().find(|code| code.as_str() == word);
                    let kind = SpanKind::ALL.iter().find(|kind| kind.as_str() == word);
                    match (status, kind) {
                        (Some(code), _) => Literal::Status(*code),
                        (_, Some(kind)) => Literal::Kind(*kind),
                        _ => return Ok(None),
                    }
                }
            },
            _ => return Ok(None),
        };
        self.advance();
        Ok(Some(literal))
    }

    fn require_bool(&self, operand: &Checked, operator: &str) -> Result<()> {
        if matches!(operand.value_type, Type::Bool | Type::Any) {
            return Ok(());
        }
        let message = format!("{operator} needs booleans, this is {}", operand.value_type.name());
        Err(self.type_error((operand.start, operand.end), message))
    }

    fn require_number(&self, operand: &Checked, operator: &str) -> Result<()> {
        if matches!(operand.value_type, Type::Number | Type::Any) {
            return Ok(());
        }
        let message = format!("{operator} needs numbers, this is {}", operand.value_type.name());
        Err(self.type_error((operand.start, operand.end), message))
    }

    fn make_binary(
        &self,
        left: Checked,
        symbol: &'static str,
        right: Checked,
        place: (usize, usize),
    ) -> Result<Checked> {
        let operator = format!("{symbol:?}");
        let mut depth = left.depth.max(right.depth) + 1;
        let (start, end) = (left.start, right.end);
        let has_field = left.has_field || right.has_field;
        let mut value_type = Type::Bool;
        let expr = if let Some(op) = Arithmetic::from_symbol(symbol) {
            self.require_number(&left, &operator)?;
            self.require_number(&right, &operator)?;
            value_type = Type::Number;
            let (left, right) = (Box::new(left.expr), Box::new(right.expr));
            FieldExpr::Arithmetic { op, left, right }
        } else if matches!(symbol, "&&" | "||") {
            self.require_bool(&left, &operator)?;
            self.require_bool(&right, &operator)?;
            let all = symbol == "&&";
            match left.expr {
                FieldExpr::Logical { all: same, mut operands } if same == all => {
                    depth = left.depth.max(right.depth + 1);
                    operands.push(right.expr);
                    FieldExpr::Logical { all, operands }
                }
                first => FieldExpr::Logical { all, operands: vec![first, right.expr] },
            }
        } else if matches!(symbol, "=~" | "!~") {
            self.make_match(left, symbol == "!~", right)?
        } else {
            let op = Comparison::from_symbol(symbol)
                .ok_or_else(|| self.syntax(place, "expected an operator"))?;
            self.make_comparison(left, op, right, place)?
        };
        Ok(Checked { expr, value_type, has_field, start, end, depth })
    }

    fn make_match(&self, left: Checked, negated: bool, right: Checked) -> Result<FieldExpr> {
        if !matches!(left.value_type, Type::Str | Type::Any) {
            let found = left.value_type.name();
            let message = format!("a regular expression matches strings, this is {found}");
            return Err(self.type_error((left.start, left.end), message));
        }
        let place = (right.start, right.end);
        let FieldExpr::Literal(Literal::Str(pattern)) = right.expr else {
            return Err(self.type_error(place, "a regular expression must be a string"));
        };
        let regex = model::matcher::anchored_regex(&pattern).map_err(|error| {
            // The message of the crate draws the pattern over several lines; the last one says why.
            let last = error.message().lines().last().unwrap_or("");
            let why = last.trim_start_matches("error: ");
            self.type_error(place, format!("bad regular expression {pattern:?}: {why}"))
        })?;
        Ok(FieldExpr::Match { negated, operand: Box::new(left.expr), regex })
    }

    fn make_comparison(
        &self,
        left: Checked,
        op: Comparison,
        right: Checked,
        place: (usize, usize),
    ) -> Result<FieldExpr> {
        if left.value_type == Type::Nil || right.value_type == Type::Nil {
            let operand = if right.value_type == Type::Nil { left } else { right };
            let is_attribute = match &operand.expr {
                // Tempo takes `nil != name`; only equality with nil can never hold.
                FieldExpr::Field(field) => op == Comparison::NotEqual || !field.is_always_there(),
                _ => false,
            };
            if op.is_ordering() || !is_attribute {
                let message = "only attributes that may be missing compare with nil, by = and !=";
                return Err(self.type_error(place, message));
            }
            let exists = op == Comparison::NotEqual;
            return Ok(FieldExpr::Exists { operand: Box::new(operand.expr), exists });
        }
        let fits = left.value_type == right.value_type
            || left.value_type == Type::Any
            || right.value_type == Type::Any;
        if !fits {
            let (l, r) = (left.value_type.name(), right.value_type.name());
            return Err(self.type_error(place, format!("can not compare {l} with {r}")));
        }
        let has_no_order = |value_type| matches!(value_type, Type::Bool | Type::Status | Type::Kind);
        if op.is_ordering() && (has_no_order(left.value_type) || has_no_order(right.value_type)) {
            let of = if has_no_order(left.value_type) { left } else { right };
            let message = format!("{} has no order", of.value_type.name());
            return Err(self.type_error(place, message));
        }
        Ok(FieldExpr::Compare { op, left: Box::new(left.expr), right: Box::new(right.expr) })
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

fn is_metrics_function(word: &str) -> bool {
    matches!(
        word,
        "rate"
            | "count_over_time"
            | "min_over_time"
            | "max_over_time"
            | "avg_over_time"
            | "sum_over_time"
            | "quantile_over_time"
            | "histogram_over_time"
            | "compare"
    )
}
