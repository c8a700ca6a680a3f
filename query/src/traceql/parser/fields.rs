//! Expressions over one span: precedence, and types checked where a node is made.

use model::span::{SpanKind, StatusCode};

use super::{DEPTH_MAX, Parser};
use crate::traceql::ast::{Arithmetic, Comparison, FieldExpr, Intrinsic, Literal, Type};
use crate::traceql::error::Result;
use crate::traceql::lexer::Token;

/// An expression over a span with what was found out about it.
pub(super) struct Checked {
    pub(super) expr: FieldExpr,
    pub(super) value_type: Type,
    /// Whether a span can change its value.
    pub(super) has_field: bool,
    pub(super) start: usize,
    pub(super) end: usize,
    depth: usize,
}

impl Parser<'_> {
    pub(super) fn field_expression(&mut self, precedence_min: u8) -> Result<Checked> {
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

    pub(super) fn literal(&mut self) -> Result<Option<Literal>> {
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
        let has_no_order =
            |value_type| matches!(value_type, Type::Bool | Type::Status | Type::Kind);
        if op.is_ordering() && (has_no_order(left.value_type) || has_no_order(right.value_type)) {
            let of = if has_no_order(left.value_type) { left } else { right };
            let message = format!("{} has no order", of.value_type.name());
            return Err(self.type_error(place, message));
        }
        Ok(FieldExpr::Compare { op, left: Box::new(left.expr), right: Box::new(right.expr) })
    }
}
