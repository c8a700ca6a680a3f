//! Duration expressions: inside of brackets, and after `offset`.

use super::{Parser, Result, duration_number, number_word, signed};
use crate::errors::{ParseError, Span};
use crate::promql::ast::{Number, UnaryOp};
use crate::promql::durations::{DurationExpr, DurationKind, DurationOp, seconds_to_ms};
use crate::promql::lexer::{DURATION_WORDS, Token};

/// Names the construct in which something was unexpected, and what was expected there.
pub(super) type Context = (&'static str, &'static str);

/// A duration as the tree holds it: milliseconds, and what they are computed from.
pub(super) type Written = (i64, Option<Box<DurationExpr>>);

const OFFSET: Context = ("offset", "number, duration, step(), or range()");

impl Parser<'_> {
    /// The length of a window or the distance of steps.
    pub(super) fn positive_duration(&mut self, context: Context) -> Result<Written> {
        self.duration_nodes = 0;
        let expr = self.duration_expr(0, context)?;
        if let DurationKind::Number(number) = &expr.kind
            && !expr.wrapped
            && number.value <= 0.0
        {
            return Err(ParseError::new(expr.span, "duration must be greater than 0"));
        }
        Ok(written(expr))
    }

    /// What follows `offset`. Operators after a plain duration or call belong to the expression
    /// around it: `a offset 5 + 2` is `(a offset 5) + 2`. After parentheses they belong to the
    /// duration, which is a conflict that Prometheus's grammar resolves this way.
    pub(super) fn offset_duration(&mut self) -> Result<Written> {
        self.duration_nodes = 0;
        let is_sign = |token: &Token| matches!(token, Token::Symbol("-" | "+"));
        let starts_deeper =
            self.peek_symbol("(") || is_sign(self.peek()) && is_sign(self.peek_at(1));
        let expr = if starts_deeper {
            self.duration_expr(0, OFFSET)?
        } else {
            let start = self.span();
            match self.take_sign() {
                Some(op) => {
                    let operand = self.duration_primary(OFFSET)?;
                    apply_sign(op, operand, start)?
                }
                None => self.duration_primary(OFFSET)?,
            }
        };
        Ok(written(expr))
    }

    fn take_sign(&mut self) -> Option<UnaryOp> {
        if self.take_symbol("-") {
            Some(UnaryOp::Minus)
        } else {
            self.take_symbol("+").then_some(UnaryOp::Plus)
        }
    }

    fn duration_expr(&mut self, min: u8, context: Context) -> Result<DurationExpr> {
        self.enter()?;
        let mut left = self.duration_unary(context)?;
        while let Token::Symbol(symbol) = self.peek()
            && let Some(op) = DurationOp::from_symbol(symbol)
        {
            let precedence = op.precedence();
            let is_offset = context == OFFSET;
            if precedence < min || is_offset && !self.starts_duration(self.peek_at(1)) {
                break;
            }
            let op_span = self.span();
            self.next += 1;
            // Only `^` binds to the right.
            let right =
                self.duration_expr(precedence + u8::from(op != DurationOp::Pow), context)?;
            if let (DurationKind::Number(number), DurationOp::Div | DurationOp::Mod) =
                (&right.kind, op)
                && number.value == 0.0
                && !right.wrapped
            {
                let what = if op == DurationOp::Div { "division" } else { "modulo" };
                return Err(ParseError::new(op_span, format!("{what} by zero")));
            }
            let span = left.span.to(right.span);
            let kind = DurationKind::Binary(op, Box::new((left, right)));
            left = DurationExpr { kind, wrapped: false, span };
        }
        self.nesting -= 1;
        Ok(left)
    }

    fn starts_duration(&self, token: &Token) -> bool {
        match token {
            Token::Number(_) | Token::Duration(_) | Token::Symbol("(" | "+" | "-") => true,
            Token::Ident(word) => {
                DURATION_WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
                    || number_word(word).is_some()
            }
            _ => false,
        }
    }

    fn duration_unary(&mut self, context: Context) -> Result<DurationExpr> {
        let start = self.span();
        match self.take_sign() {
            Some(op) => {
                let operand = self.duration_expr(DurationOp::Pow.precedence(), context)?;
                apply_sign(op, operand, start)
            }
            None => self.duration_primary(context),
        }
    }

    fn duration_primary(&mut self, context: Context) -> Result<DurationExpr> {
        let span = self.span();
        self.duration_nodes += 1;
        if self.duration_nodes > super::DEPTH_MAX {
            return Err(super::too_deep(span));
        }
        match self.peek().clone() {
            Token::Number(value) => self.duration_number(value.into(), span),
            Token::Duration(ms) => self.duration_number(duration_number(ms), span),
            Token::Symbol("(") => {
                self.next += 1;
                let inner = self.duration_expr(0, context)?;
                self.expect_symbol(")", context.0, context.1)?;
                Ok(wrap(inner, span.to(self.previous_span())))
            }
            Token::Ident(word) => {
                if let Some(value) = number_word(&word) {
                    return self.duration_number(value.into(), span);
                }
                match word.to_ascii_lowercase().as_str() {
                    "step" => self.duration_call(DurationKind::Step, span, context),
                    "range" => self.duration_call(DurationKind::Range, span, context),
                    "min_of" => self.duration_of_two(DurationOp::MinOf, context),
                    "max_of" => self.duration_of_two(DurationOp::MaxOf, context),
                    _ => Err(self.unexpected(context.0, context.1)),
                }
            }
            _ => Err(self.unexpected(context.0, context.1)),
        }
    }

    fn duration_number(&mut self, number: Number, span: Span) -> Result<DurationExpr> {
        self.next += 1;
        plain(number, span)
    }

    fn duration_call(
        &mut self,
        kind: DurationKind,
        start: Span,
        context: Context,
    ) -> Result<DurationExpr> {
        self.next += 1;
        self.expect_symbol("(", context.0, context.1)?;
        self.expect_symbol(")", context.0, context.1)?;
        Ok(DurationExpr { kind, wrapped: false, span: start.to(self.previous_span()) })
    }

    fn duration_of_two(&mut self, op: DurationOp, context: Context) -> Result<DurationExpr> {
        self.next += 1;
        self.expect_symbol("(", context.0, context.1)?;
        // Operators are never ambiguous inside of the parentheses.
        let left = self.duration_expr(0, context)?;
        self.expect_symbol(",", context.0, context.1)?;
        let right = self.duration_expr(0, context)?;
        self.expect_symbol(")", context.0, context.1)?;
        let span = left.span.to(right.span);
        let kind = DurationKind::Binary(op, Box::new((left, right)));
        Ok(DurationExpr { kind, wrapped: false, span })
    }
}

fn plain(number: Number, span: Span) -> Result<DurationExpr> {
    if seconds_to_ms(number.value).is_none() {
        return Err(ParseError::new(span, "duration out of range"));
    }
    Ok(DurationExpr { kind: DurationKind::Number(number), wrapped: false, span })
}

/// Parentheses around a number need a node of their own.
fn wrap(inner: DurationExpr, span: Span) -> DurationExpr {
    if let DurationKind::Number(_) = inner.kind {
        let span = span.to(inner.span);
        let kind = DurationKind::Signed(UnaryOp::Plus, Box::new(inner));
        return DurationExpr { kind, wrapped: true, span };
    }
    DurationExpr { wrapped: true, ..inner }
}

fn apply_sign(op: UnaryOp, operand: DurationExpr, start: Span) -> Result<DurationExpr> {
    let span = start.to(operand.span);
    match (operand.kind, op) {
        (DurationKind::Number(number), _) => plain(signed(op, number), span),
        (kind, UnaryOp::Plus) => Ok(DurationExpr { kind, ..operand }),
        (kind, UnaryOp::Minus) => {
            let operand = DurationExpr { kind, ..operand };
            let kind = DurationKind::Signed(op, Box::new(operand));
            Ok(DurationExpr { kind, wrapped: false, span })
        }
    }
}

fn written(expr: DurationExpr) -> Written {
    match &expr.kind {
        DurationKind::Number(number) => (seconds_to_ms(number.value).unwrap_or(0), None),
        _ => (0, Some(Box::new(expr))),
    }
}
