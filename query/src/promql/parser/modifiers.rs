//! What follows an operand (`[5m]`, `offset`, `@`, `anchored`) and what follows an operator (`on`,
//! `group_left`, `fill`).

use super::{Parser, Result, duration_number, number_word, signed};
use crate::errors::{ParseError, Span};
use crate::promql::ast::{AtModifier, Expr, ExprKind, Extension, RangeSelector, Subquery, UnaryOp};
use crate::promql::lexer::Token;
use crate::vector::{Cardinality, Matching};

impl Parser<'_> {
    pub(super) fn postfix(&mut self) -> Result<Expr> {
        let mut expr = self.primary()?;
        loop {
            if self.peek_symbol("[") {
                expr = self.range(expr)?;
            } else if self.take_keyword("offset") {
                self.offset(&mut expr)?;
            } else if self.take_symbol("@") {
                self.at(&mut expr)?;
            } else if self.take_keyword("anchored") {
                self.extend(&mut expr, Extension::Anchored)?;
            } else if self.take_keyword("smoothed") {
                self.extend(&mut expr, Extension::Smoothed)?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn range(&mut self, expr: Expr) -> Result<Expr> {
        let bracket = self.span();
        self.next += 1;
        let expected = "number, duration, step(), or range()";
        let (range_ms, range_expr) =
            self.positive_duration(("subquery or range selector", expected))?;
        if self.take_symbol(":") {
            return self.subquery(expr, range_ms, range_expr);
        }
        self.expect_symbol("]", "subquery or range", "\":\" or \"]\"")?;
        let span = expr.span.to(self.previous_span());
        let message = match expr.kind {
            ExprKind::Selector(selector) => {
                if selector.has_offset() {
                    "no offset modifiers allowed before range"
                } else if selector.at.is_some() {
                    "no @ modifiers allowed before range"
                } else {
                    let range = RangeSelector { selector: *selector, range_ms, range_expr };
                    return self.node(ExprKind::Range(Box::new(range)), span);
                }
            }
            _ => "ranges only allowed for vector selectors",
        };
        Err(ParseError::new(bracket, message))
    }

    fn subquery(
        &mut self,
        expr: Expr,
        range_ms: i64,
        range_expr: Option<Box<crate::promql::durations::DurationExpr>>,
    ) -> Result<Expr> {
        let (mut step_ms, mut step_expr) = (None, None);
        if !self.peek_symbol("]") {
            let expected = "number, duration, step(), range(), or \"]\"";
            let (ms, computed) = self.positive_duration(("subquery selector", expected))?;
            (step_ms, step_expr) = (computed.is_none().then_some(ms), computed);
        }
        self.expect_symbol("]", "subquery selector", "\"]\"")?;
        let span = expr.span.to(self.previous_span());
        let subquery = Subquery {
            expr,
            range_ms,
            range_expr,
            step_ms,
            step_expr,
            offset_ms: 0,
            offset_expr: None,
            at: None,
        };
        self.node(ExprKind::Subquery(Box::new(subquery)), span)
    }

    fn offset(&mut self, expr: &mut Expr) -> Result<()> {
        let (offset_ms, offset_expr) = self.offset_duration()?;
        let (ms, computed) = match &mut expr.kind {
            ExprKind::Selector(selector) => (&mut selector.offset_ms, &mut selector.offset_expr),
            ExprKind::Range(range) => {
                (&mut range.selector.offset_ms, &mut range.selector.offset_expr)
            }
            ExprKind::Subquery(subquery) => (&mut subquery.offset_ms, &mut subquery.offset_expr),
            _ => {
                let message = "offset modifier must be preceded by an instant vector selector or \
                               range vector selector or a subquery";
                return Err(ParseError::new(expr.span, message));
            }
        };
        if *ms != 0 || computed.is_some() {
            return Err(ParseError::new(expr.span, "offset may not be set multiple times"));
        }
        (*ms, *computed) = (offset_ms, offset_expr);
        expr.span = expr.span.to(self.previous_span());
        Ok(())
    }

    fn at(&mut self, expr: &mut Expr) -> Result<()> {
        let at = self.at_time(expr.span)?;
        let slot = match &mut expr.kind {
            ExprKind::Selector(selector) => &mut selector.at,
            ExprKind::Range(range) => &mut range.selector.at,
            ExprKind::Subquery(subquery) => &mut subquery.at,
            _ => {
                let message = "@ modifier must be preceded by an instant vector selector or range \
                               vector selector or a subquery";
                return Err(ParseError::new(expr.span, message));
            }
        };
        if slot.is_some() {
            return Err(ParseError::new(expr.span, "@ <timestamp> may not be set multiple times"));
        }
        *slot = Some(at);
        expr.span = expr.span.to(self.previous_span());
        Ok(())
    }

    fn at_time(&mut self, selector: Span) -> Result<AtModifier> {
        const EXPECTED: (&str, &str) = ("@", "timestamp");
        for (keyword, modifier) in [("start", AtModifier::Start), ("end", AtModifier::End)] {
            if self.take_keyword(keyword) {
                self.expect_symbol("(", EXPECTED.0, EXPECTED.1)?;
                self.expect_symbol(")", EXPECTED.0, EXPECTED.1)?;
                return Ok(modifier);
            }
        }
        let is_negative = self.take_symbol("-");
        if !is_negative {
            self.take_symbol("+");
        }
        let seconds = match self.peek() {
            Token::Number(seconds) => Some(*seconds),
            Token::Duration(ms) => Some(*ms as f64 / 1000.0),
            Token::Ident(word) => number_word(word),
            _ => None,
        };
        let Some(seconds) = seconds else {
            return Err(self.unexpected(EXPECTED.0, EXPECTED.1));
        };
        self.next += 1;
        let seconds = if is_negative { -seconds } else { seconds };
        let ms = (seconds * 1000.0).round();
        // Two bits are kept free so that sums of times and offsets stay in range.
        if ms.abs() < 2f64.powi(61) {
            return Ok(AtModifier::Time(ms as i64));
        }
        let seconds = match crate::text::format_float(seconds) {
            text if seconds.is_finite() => format!("{text}.000000"),
            text => text,
        };
        let message = format!("timestamp out of bounds for @ modifier: {seconds}");
        Err(ParseError::new(selector, message))
    }

    fn extend(&self, expr: &mut Expr, extension: Extension) -> Result<()> {
        let word = extension.as_str();
        let selector = match &mut expr.kind {
            ExprKind::Selector(selector) => selector,
            ExprKind::Range(range) => &mut range.selector,
            ExprKind::Subquery(_) => {
                let message = format!("{word} modifier is not supported for subqueries");
                return Err(ParseError::new(expr.span, message));
            }
            _ => {
                return Err(ParseError::new(expr.span, format!("{word} modifier not implemented")));
            }
        };
        if selector.extension.is_some_and(|other| other != extension) {
            let message = "anchored and smoothed modifiers cannot be used together";
            return Err(ParseError::new(expr.span, message));
        }
        selector.extension = Some(extension);
        Ok(())
    }

    /// `bool`, and how the vectors on both sides find each other.
    pub(super) fn operator_modifiers(&mut self) -> Result<(bool, Matching)> {
        let return_bool = self.take_keyword("bool");
        let mut matching = Matching { on: self.take_keyword("on"), ..Matching::default() };
        if matching.on || self.take_keyword("ignoring") {
            matching.labels = self.grouping_labels()?;
            let group_left = self.take_keyword("group_left");
            if group_left || self.take_keyword("group_right") {
                matching.cardinality =
                    if group_left { Cardinality::ManyToOne } else { Cardinality::OneToMany };
                if self.peek_symbol("(") {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        if let Some(value) = self.fill("fill")? {
            (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
        } else if let Some(left) = self.fill("fill_left")? {
            (matching.fill_left, matching.fill_right) = (Some(left), self.fill("fill_right")?);
        } else if let Some(right) = self.fill("fill_right")? {
            (matching.fill_left, matching.fill_right) = (self.fill("fill_left")?, Some(right));
        }
        Ok((return_bool, matching))
    }

    /// `keyword (value)`. Without the parenthesis it is the name of a metric.
    fn fill(&mut self, keyword: &str) -> Result<Option<f64>> {
        if !self.peek_keyword(keyword) || *self.peek_at(1) != Token::Symbol("(") {
            return Ok(None);
        }
        self.next += 2;
        let sign = if self.take_symbol("-") {
            UnaryOp::Minus
        } else {
            self.take_symbol("+");
            UnaryOp::Plus
        };
        let number = match self.peek() {
            Token::Number(value) => Some((*value).into()),
            Token::Duration(ms) => Some(duration_number(*ms)),
            Token::Ident(word) => number_word(word).map(Into::into),
            _ => None,
        };
        let Some(number) = number else { return Err(self.unexpected("", "")) };
        self.next += 1;
        self.expect_symbol(")", "", "")?;
        Ok(Some(signed(sign, number).value))
    }
}
