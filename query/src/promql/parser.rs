//! From tokens to the tree: recursive descent with precedence climbing, and the type checks of
//! Prometheus with its messages.
//!
//! Recursion is bounded twice: by the nesting of the text while parsing, and by the depth of the
//! tree (a long chain of `+` is deep although nothing nests), since the evaluator recurses too.

use model::{MatchOp, Matcher, labels::METRIC_NAME};

use super::ast::{
    Aggregate, AtModifier, Binary, Call, Expr, ExprKind, RangeSelector, Selector, Subquery,
    UnaryOp, ValueType,
};
use super::functions;
use super::lexer::{Token, lex};
use crate::errors::{ParseError, Span};
use crate::text::quote;
use crate::vector::{AggregateOp, BinaryOp, Cardinality, Grouping, Matching};

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
    let mut parser = Parser { tokens: lex(text), next: 0, nesting: 0 };
    if matches!(parser.peek(), Token::End) {
        return Err(ParseError::new(parser.span(), "no expression found in input"));
    }
    let expr = parser.expression(0)?;
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.unexpected("", "")),
    }
}

/// Parses one vector selector with exact matchers, as the scripts' series lines need it.
pub(crate) fn parse_series_selector(text: &str) -> Result<(Selector, usize)> {
    let mut parser = Parser { tokens: lex(text), next: 0, nesting: 0 };
    let start = parser.span();
    let name = match parser.peek().clone() {
        Token::Ident(name) => {
            parser.next += 1;
            Some(name)
        }
        _ => None,
    };
    let end_of_name = if parser.next > 0 { parser.tokens[0].1.end } else { 0 };
    // Two braces begin a histogram value.
    if parser.peek_symbol("{") && *parser.peek_at(1) != Token::Symbol("{") {
        let selector = parser.selector_braces(name, start)?;
        return Ok((selector, parser.previous_end()));
    }
    if name.is_none() {
        return Err(parser.unexpected("series", "metric name or \"{\""));
    }
    Ok((Selector { name, matchers: Vec::new(), offset_ms: 0, at: None }, end_of_name))
}

struct Parser {
    tokens: Vec<(Token, Span)>,
    next: usize,
    nesting: u16,
}

/// Keywords are known in any case.
fn keyword_eq(word: &str, keyword: &str) -> bool {
    word.eq_ignore_ascii_case(keyword)
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)].0
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

    fn previous_end(&self) -> usize {
        self.previous_span().end
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

    fn unexpected(&self, context: &str, expected: &str) -> ParseError {
        let found = match self.peek() {
            Token::Bad(message) => return ParseError::new(self.span(), message.clone()),
            Token::End => "end of input".to_owned(),
            Token::Symbol(symbol) => quote(symbol),
            Token::Ident(word) if is_keyword(word) => format!("<{}>", word.to_lowercase()),
            Token::Ident(word) => format!("identifier {}", quote(word)),
            Token::Text(text) => format!("string {}", quote(text)),
            Token::Number(value) => format!("number {}", quote(&value.to_string())),
            Token::Duration(ms) => {
                format!("duration {}", quote(&crate::text::format_duration_ms(*ms)))
            }
        };
        let mut message = format!("unexpected {found}");
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        ParseError::new(self.span(), message)
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
            let op_span = self.span();
            self.next += 1;
            let (return_bool, matching) = self.modifiers(op, op_span)?;
            // Only `^` binds to the right.
            let right = self.expression(precedence + u8::from(op != BinaryOp::Pow))?;
            left = self.binary(op, op_span, left, right, return_bool, matching)?;
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

    fn modifiers(&mut self, op: BinaryOp, op_span: Span) -> Result<(bool, Option<Matching>)> {
        let return_bool = self.take_keyword("bool");
        if return_bool && !op.is_comparison() {
            let message = "bool modifier can only be used on comparison operators";
            return Err(ParseError::new(op_span, message));
        }
        let on = self.take_keyword("on");
        if !on && !self.take_keyword("ignoring") {
            if self.peek_keyword("fill") && matches!(self.peek_at(1), Token::Symbol("(")) {
                return Err(self.not_supported("the fill modifier"));
            }
            return Ok((return_bool, None));
        }
        let labels = self.grouping_labels()?;
        let mut matching =
            Matching { on, labels, cardinality: Cardinality::OneToOne, include: Vec::new() };
        let group_left = self.take_keyword("group_left");
        if group_left || self.take_keyword("group_right") {
            matching.cardinality =
                if group_left { Cardinality::ManyToOne } else { Cardinality::OneToMany };
            if op.is_set() {
                let message = format!("no grouping allowed for \"{}\" operation", op.as_str());
                return Err(ParseError::new(op_span, message));
            }
            if self.peek_symbol("(") {
                matching.include = self.grouping_labels()?;
            }
        }
        for keyword in ["fill", "fill_left", "fill_right"] {
            if self.peek_keyword(keyword) && matches!(self.peek_at(1), Token::Symbol("(")) {
                return Err(self.not_supported("the fill modifier"));
            }
        }
        if on && let Some(label) = matching.labels.iter().find(|l| matching.include.contains(l)) {
            let message =
                format!("label {} must not occur in ON and GROUP clause at once", quote(label));
            return Err(ParseError::new(op_span, message));
        }
        Ok((return_bool, Some(matching)))
    }

    fn binary(
        &self,
        op: BinaryOp,
        op_span: Span,
        left: Expr,
        right: Expr,
        return_bool: bool,
        matching: Option<Matching>,
    ) -> Result<Expr> {
        let (lt, rt) = (left.value_type(), right.value_type());
        for (side, found) in [(&left, lt), (&right, rt)] {
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                return Err(ParseError::new(side.span, message));
            }
        }
        let scalars = usize::from(lt == ValueType::Scalar) + usize::from(rt == ValueType::Scalar);
        if scalars == 2 && op.is_comparison() && !return_bool {
            let message = "comparisons between scalars must use BOOL modifier";
            return Err(ParseError::new(op_span, message));
        }
        let span = left.span.to(right.span);
        if scalars > 0 && op.is_set() {
            let message =
                format!("set operator \"{}\" not allowed in binary scalar expression", op.as_str());
            return Err(ParseError::new(span, message));
        }
        if scalars > 0 && matching.as_ref().is_some_and(|m| !m.labels.is_empty()) {
            let message = "vector matching only allowed between instant vectors";
            return Err(ParseError::new(span, message));
        }
        let matching = if scalars > 0 { None } else { Some(matching.unwrap_or_default()) };
        let binary = Binary { op, left, right, return_bool, matching };
        self.node(ExprKind::Binary(Box::new(binary)), span)
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
        let found = operand.value_type();
        if !matches!(found, ValueType::Scalar | ValueType::Vector) {
            let message = format!(
                "unary expression only allowed on expressions of type scalar or instant vector, \
                 got {}",
                quote(found.as_str())
            );
            return Err(ParseError::new(start, message));
        }
        let span = start.to(operand.span);
        self.node(ExprKind::Unary(op, Box::new(operand)), span)
    }

    fn postfix(&mut self) -> Result<Expr> {
        let mut expr = self.primary()?;
        loop {
            if self.peek_symbol("[") {
                expr = self.range(expr)?;
            } else if self.peek_keyword("offset") {
                self.next += 1;
                let offset_ms = self.offset_duration()?;
                let span = expr.span.to(self.previous_span());
                let slot = match &mut expr.kind {
                    ExprKind::Selector(selector) => &mut selector.offset_ms,
                    ExprKind::Range(range) => &mut range.selector.offset_ms,
                    ExprKind::Subquery(subquery) => &mut subquery.offset_ms,
                    _ => {
                        let message = "offset modifier must be preceded by an instant vector \
                                       selector or range vector selector or a subquery";
                        return Err(ParseError::new(expr.span, message));
                    }
                };
                if *slot != 0 {
                    let message = "offset may not be set multiple times";
                    return Err(ParseError::new(expr.span, message));
                }
                *slot = offset_ms;
                expr.span = span;
            } else if self.peek_symbol("@") {
                self.next += 1;
                let at = self.at_time()?;
                let span = expr.span.to(self.previous_span());
                let slot = match &mut expr.kind {
                    ExprKind::Selector(selector) => &mut selector.at,
                    ExprKind::Range(range) => &mut range.selector.at,
                    ExprKind::Subquery(subquery) => &mut subquery.at,
                    _ => {
                        let message = "@ modifier must be preceded by an instant vector selector \
                                       or range vector selector or a subquery";
                        return Err(ParseError::new(expr.span, message));
                    }
                };
                if slot.is_some() {
                    let message = "@ <timestamp> may not be set multiple times";
                    return Err(ParseError::new(expr.span, message));
                }
                *slot = Some(at);
                expr.span = span;
            } else if (self.peek_keyword("anchored") || self.peek_keyword("smoothed"))
                && matches!(expr.kind, ExprKind::Selector(_) | ExprKind::Range(_))
            {
                return Err(self.not_supported("the anchored or smoothed modifier"));
            } else {
                return Ok(expr);
            }
        }
    }

    fn not_supported(&self, what: &str) -> ParseError {
        ParseError::new(self.span(), format!("{what} is known to PromQL but not supported yet"))
    }

    fn range(&mut self, expr: Expr) -> Result<Expr> {
        self.next += 1;
        let expected = "number, duration, step(), or range()";
        let range_ms = self.positive_duration("subquery or range selector", expected)?;
        if self.take_symbol(":") {
            let step_ms = if self.peek_symbol("]") {
                None
            } else {
                Some(self.positive_duration(
                    "subquery selector",
                    "number, duration, step(), range(), or \"]\"",
                )?)
            };
            self.expect_symbol("]", "subquery selector", "\"]\"")?;
            let span = expr.span.to(self.previous_span());
            if expr.value_type() != ValueType::Vector {
                let message = format!(
                    "subquery is only allowed on instant vector, got {} instead",
                    expr.value_type().as_str()
                );
                return Err(ParseError::new(span, message));
            }
            let subquery = Subquery { expr, range_ms, step_ms, offset_ms: 0, at: None };
            return self.node(ExprKind::Subquery(Box::new(subquery)), span);
        }
        self.expect_symbol("]", "subquery or range", "\":\" or \"]\"")?;
        let span = expr.span.to(self.previous_span());
        match expr.kind {
            ExprKind::Selector(selector) => {
                if selector.offset_ms != 0 {
                    let message = "no offset modifiers allowed before range";
                    return Err(ParseError::new(span, message));
                }
                if selector.at.is_some() {
                    return Err(ParseError::new(span, "no @ modifiers allowed before range"));
                }
                self.node(ExprKind::Range(RangeSelector { selector, range_ms }), span)
            }
            _ => Err(ParseError::new(span, "ranges only allowed for vector selectors")),
        }
    }

    fn positive_duration(&mut self, context: &str, expected: &str) -> Result<i64> {
        let span = self.span();
        let ms = self.duration(context, expected)?;
        if matches!(self.peek(), Token::Symbol("+" | "-" | "*" | "/" | "%" | "^")) {
            return Err(self.not_supported("arithmetic between durations"));
        }
        if ms <= 0 {
            return Err(ParseError::new(span, "duration must be greater than 0"));
        }
        Ok(ms)
    }

    fn duration(&mut self, context: &str, expected: &str) -> Result<i64> {
        let span = self.span();
        match *self.peek() {
            Token::Duration(ms) => {
                self.next += 1;
                Ok(ms)
            }
            Token::Number(seconds) => {
                self.next += 1;
                seconds_to_ms(seconds).ok_or_else(|| ParseError::new(span, "duration out of range"))
            }
            Token::Symbol("(" | "-" | "+") | Token::Ident(_)
                if !self.peek_keyword("inf") && !self.peek_keyword("nan") =>
            {
                let word = matches!(self.peek(), Token::Ident(word)
                    if !["step", "range", "min_of", "max_of"].contains(&word.as_str()));
                if word {
                    return Err(self.unexpected(context, expected));
                }
                Err(self.not_supported("a computed duration"))
            }
            _ => Err(self.unexpected(context, expected)),
        }
    }

    fn offset_duration(&mut self) -> Result<i64> {
        let negative = self.take_symbol("-");
        if !negative {
            self.take_symbol("+");
        }
        let ms = self.duration("offset", "number, duration, step(), or range()")?;
        Ok(if negative { -ms } else { ms })
    }

    fn at_time(&mut self) -> Result<AtModifier> {
        for (keyword, modifier) in [("start", AtModifier::Start), ("end", AtModifier::End)] {
            if self.peek_keyword(keyword) {
                self.next += 1;
                self.expect_symbol("(", "@", "\"(\"")?;
                self.expect_symbol(")", "@", "\")\"")?;
                return Ok(modifier);
            }
        }
        let start = self.span();
        let negative = self.take_symbol("-");
        if !negative {
            self.take_symbol("+");
        }
        let seconds = match self.peek() {
            Token::Number(seconds) => *seconds,
            Token::Duration(ms) => *ms as f64 / 1000.0,
            Token::Ident(word) => match crate::text::parse_number(word) {
                Some(value) => value,
                None => return Err(self.unexpected("@", "timestamp")),
            },
            _ => return Err(self.unexpected("@", "timestamp")),
        };
        self.next += 1;
        match seconds_to_ms(seconds) {
            Some(ms) => Ok(AtModifier::Time(if negative { -ms } else { ms })),
            None => Err(ParseError::new(
                start,
                format!("timestamp out of bounds for @ modifier: {seconds}"),
            )),
        }
    }

    fn primary(&mut self) -> Result<Expr> {
        let span = self.span();
        match self.peek().clone() {
            Token::Number(value) => {
                self.next += 1;
                self.node(ExprKind::Number(value), span)
            }
            Token::Duration(ms) => {
                self.next += 1;
                self.node(ExprKind::Number(ms as f64 / 1000.0), span)
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
                let selector = self.selector_braces(None, span)?;
                self.finish_selector(selector, span)
            }
            Token::Ident(word) => self.word(word, span),
            _ => Err(self.unexpected("", "")),
        }
    }

    /// What begins with a name: a number, an aggregation, a call or a selector.
    fn word(&mut self, word: String, span: Span) -> Result<Expr> {
        if keyword_eq(&word, "inf") || keyword_eq(&word, "nan") {
            self.next += 1;
            let value = if keyword_eq(&word, "inf") { f64::INFINITY } else { f64::NAN };
            return self.node(ExprKind::Number(value), span);
        }
        self.next += 1;
        let clause = self.peek_keyword("by") || self.peek_keyword("without");
        let call = self.peek_symbol("(");
        if call || clause {
            let lower = word.to_lowercase();
            if let Some(op) = AggregateOp::from_name(&lower) {
                return self.aggregate(op, span);
            }
            if lower == "limit_ratio" {
                let message =
                    "the aggregation limit_ratio is known to PromQL but not supported yet";
                return Err(ParseError::new(span, message));
            }
        }
        if call {
            return self.call(&word, span);
        }
        let selector = if self.peek_symbol("{") {
            self.selector_braces(Some(word), span)?
        } else {
            Selector { name: Some(word), matchers: Vec::new(), offset_ms: 0, at: None }
        };
        self.finish_selector(selector, span)
    }

    fn finish_selector(&mut self, selector: Selector, start: Span) -> Result<Expr> {
        let span = start.to(self.previous_span());
        let named = selector.name.as_ref().is_some_and(|name| !name.is_empty());
        if !named && selector.matchers.iter().all(Matcher::matches_empty) {
            let message = "vector selector must contain at least one non-empty matcher";
            return Err(ParseError::new(span, message));
        }
        if let Some(name) = &selector.name
            && let Some(other) = selector.matchers.iter().find(|m| m.name == METRIC_NAME)
        {
            let message = format!(
                "metric name must not be set twice: {} or {}",
                quote(name),
                quote(&other.value)
            );
            return Err(ParseError::new(span, message));
        }
        self.node(ExprKind::Selector(selector), span)
    }

    fn selector_braces(&mut self, name: Option<String>, start: Span) -> Result<Selector> {
        let mut selector = Selector { name, matchers: Vec::new(), offset_ms: 0, at: None };
        self.expect_symbol("{", "label matching", "\"{\"")?;
        while !self.take_symbol("}") {
            let (label, quoted) = match self.peek().clone() {
                Token::Ident(label) => (label, false),
                Token::Text(label) => (label, true),
                _ => return Err(self.unexpected("label matching", "identifier or \"}\"")),
            };
            let label_span = self.span();
            self.next += 1;
            let op = match self.peek() {
                Token::Symbol("=") => MatchOp::Equal,
                Token::Symbol("!=") => MatchOp::NotEqual,
                Token::Symbol("=~") => MatchOp::Matches,
                Token::Symbol("!~") => MatchOp::NotMatches,
                Token::Symbol("," | "}") if quoted => {
                    if let Some(first) = selector.name.replace(label) {
                        let message = format!(
                            "metric name must not be set twice: {} or {}",
                            quote(&first),
                            quote(selector.name.as_deref().unwrap_or(""))
                        );
                        return Err(ParseError::new(start, message));
                    }
                    if !self.peek_symbol("}") {
                        self.expect_symbol(",", "label matching", "\",\" or \"}\"")?;
                    }
                    continue;
                }
                _ => return Err(self.unexpected("label matching", "label matching operator")),
            };
            self.next += 1;
            let Token::Text(value) = self.peek().clone() else {
                return Err(self.unexpected("label matching", "string"));
            };
            let value_span = self.span();
            self.next += 1;
            if label.is_empty() {
                return Err(ParseError::new(label_span, "a label name must not be empty"));
            }
            let matcher = Matcher::new(label, op, value)
                .map_err(|error| ParseError::new(value_span, error.message()))?;
            selector.matchers.push(matcher);
            if !self.peek_symbol("}") {
                self.expect_symbol(",", "label matching", "\",\" or \"}\"")?;
            }
        }
        Ok(selector)
    }

    fn grouping_labels(&mut self) -> Result<Vec<String>> {
        self.expect_symbol("(", "grouping opts", "\"(\"")?;
        let mut labels = Vec::new();
        while !self.take_symbol(")") {
            match self.peek().clone() {
                Token::Ident(label) if model::labels::is_plain_label_name(&label) => {
                    labels.push(label);
                }
                Token::Text(label) if !label.is_empty() => labels.push(label),
                _ => return Err(self.unexpected("grouping opts", "label")),
            }
            self.next += 1;
            if !self.peek_symbol(")") {
                self.expect_symbol(",", "grouping opts", "\",\" or \")\"")?;
            }
        }
        Ok(labels)
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
        if arguments.len() != wanted {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {wanted}, \
                 got {}",
                arguments.len()
            );
            return Err(ParseError::new(span, message));
        }
        let Some(expr) = arguments.pop() else { return Err(self.unexpected("aggregation", "")) };
        let parameter = arguments.pop();
        expect_type(&expr, ValueType::Vector, "aggregation expression")?;
        if let Some(parameter) = &parameter {
            let wanted = match op {
                AggregateOp::CountValues => ValueType::String,
                _ => ValueType::Scalar,
            };
            expect_type(parameter, wanted, "aggregation parameter")?;
        }
        let aggregate = Aggregate { op, parameter, expr, grouping };
        self.node(ExprKind::Aggregate(Box::new(aggregate)), span)
    }

    fn call_arguments(&mut self) -> Result<Vec<Expr>> {
        self.expect_symbol("(", "aggregation", "\"(\"")?;
        let mut arguments = Vec::new();
        if self.take_symbol(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression(0)?);
            if self.take_symbol(")") {
                return Ok(arguments);
            }
            self.expect_symbol(",", "call", "\",\" or \")\"")?;
            if self.peek_symbol(")") {
                let message = "trailing commas not allowed in function call args";
                return Err(ParseError::new(self.previous_span(), message));
            }
        }
    }

    fn call(&mut self, name: &str, start: Span) -> Result<Expr> {
        let function = functions::find(name).map_err(|message| ParseError::new(start, message))?;
        let arguments = self.call_arguments()?;
        let span = start.to(self.previous_span());
        let (wanted, got) = (function.arguments.len(), arguments.len());
        let at_least = if function.variadic == 0 { wanted } else { wanted - 1 };
        let problem = if function.variadic == 0 && got != wanted {
            Some(format!("expected {wanted} argument(s)"))
        } else if got < at_least {
            Some(format!("expected at least {at_least} argument(s)"))
        } else if function.variadic > 0 && got > wanted {
            Some(format!("expected at most {wanted} argument(s)"))
        } else {
            None
        };
        if let Some(problem) = problem {
            let message = format!("{problem} in call to {}, got {got}", quote(name));
            return Err(ParseError::new(span, message));
        }
        for (i, argument) in arguments.iter().enumerate() {
            if let Some(wanted) = function.arguments.get(i).or(function.arguments.last()) {
                let context = format!("call to function {}", quote(name));
                expect_type(argument, *wanted, &context)?;
            }
        }
        self.node(ExprKind::Call(Call { function, arguments }), span)
    }
}

fn expect_type(expr: &Expr, wanted: ValueType, context: &str) -> Result<()> {
    let found = expr.value_type();
    if found == wanted {
        return Ok(());
    }
    let message = format!("expected type {} in {context}, got {}", wanted.as_str(), found.as_str());
    Err(ParseError::new(expr.span, message))
}

fn seconds_to_ms(seconds: f64) -> Option<i64> {
    let ms = (seconds * 1000.0).round();
    // Two bits are kept free so that sums of times and offsets stay in range.
    (ms.abs() < 2f64.powi(61)).then_some(ms as i64)
}

fn too_deep(span: Span) -> ParseError {
    ParseError::new(
        span,
        format!(
            "the expression nests deeper than {NESTING_MAX} levels or has a chain of more than {DEPTH_MAX} operators"
        ),
    )
}

pub(super) fn is_keyword(word: &str) -> bool {
    const KEYWORDS: [&str; 12] = [
        "and",
        "or",
        "unless",
        "atan2",
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "bool",
        "offset",
    ];
    KEYWORDS.iter().any(|keyword| keyword_eq(word, keyword))
}
