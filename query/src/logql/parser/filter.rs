//! Conditions on labels.

use model::Matcher;

use super::{Parser, Result, bad_regex};
use crate::errors::ParseError;
use crate::logql::ast::{LabelFilter, Unit};
use crate::logql::ip::IpRange;
use crate::logql::lexer::Token;
use crate::text::parse_duration_ms;
use crate::vector::BinaryOp;
use template::values;

/// How tightly `or` and `and` bind.
const OR: u8 = 1;
const AND: u8 = 2;

impl Parser {
    /// A whole condition.
    pub(super) fn label_filter(&mut self) -> Result<LabelFilter> {
        self.label_chain(OR)
    }

    /// `and` binds tighter than `or`. A comma or a blank joins the condition right before it with
    /// all that follows, as it does in Loki's grammar.
    fn label_chain(&mut self, min: u8) -> Result<LabelFilter> {
        self.enter()?;
        let mut left = self.label_atom()?;
        loop {
            let level = if self.peek_word("or") {
                OR
            } else if self.peek_word("and") {
                AND
            } else if self.take_symbol(",") || self.begins_label_filter() {
                let right = self.label_chain(OR)?;
                self.leave();
                return Ok(LabelFilter::And(Box::new(left), Box::new(right)));
            } else {
                self.leave();
                return Ok(left);
            };
            if level < min {
                self.leave();
                return Ok(left);
            }
            self.next += 1;
            let right = self.label_chain(level + 1)?;
            left = if level == OR {
                LabelFilter::Or(Box::new(left), Box::new(right))
            } else {
                LabelFilter::And(Box::new(left), Box::new(right))
            };
            // A chain is as deep as it is long.
            self.enter()?;
        }
    }

    fn begins_label_filter(&self) -> bool {
        self.peek_symbol("(") || (matches!(self.peek(), Token::Ident(_)) && self.is_compared())
    }

    fn label_atom(&mut self) -> Result<LabelFilter> {
        if self.take_symbol("(") {
            let inner = self.label_filter()?;
            self.expect_symbol(")")?;
            return Ok(inner);
        }
        let name = self.word("label name")?;
        let Token::Symbol(symbol) = *self.peek() else {
            return Err(self.unexpected("a comparison"));
        };
        let text_op = self.match_op();
        let number_op = BinaryOp::from_symbol(if symbol == "=" { "==" } else { symbol })
            .filter(|op| op.is_comparison());
        if text_op.is_none() && number_op.is_none() {
            return Err(self.unexpected("a comparison"));
        }
        self.next += 1;
        let span = self.span();
        match (self.peek().clone(), text_op, number_op) {
            (Token::Text(value), Some(op), _) => {
                self.next += 1;
                Matcher::new(name, op, value)
                    .map(LabelFilter::Text)
                    .map_err(|error| bad_regex(span, error.message()))
            }
            (Token::Quantity(_) | Token::Symbol("-" | "+"), _, Some(op)) => {
                let (value, unit) = self.quantity()?;
                Ok(LabelFilter::Quantity { name, op, value, unit })
            }
            (Token::Ident(word), Some(_), Some(op)) if word.eq_ignore_ascii_case("ip") => {
                let Some(text) = self.ip()? else { return Err(self.unexpected("ip(\"...\")")) };
                let range =
                    IpRange::parse(&text).map_err(|message| ParseError::new(span, message))?;
                let negated = op != BinaryOp::Eq;
                Ok(LabelFilter::Ip { name, negated, text, range })
            }
            _ => Err(self.unexpected("string, number, duration or size")),
        }
    }

    fn quantity(&mut self) -> Result<(f64, Unit)> {
        const EXPECTED: &str = "number, duration or size";
        let sign = ["-", "+"].into_iter().find(|sign| self.take_symbol(sign)).unwrap_or("");
        let Token::Quantity(text) = self.peek().clone() else {
            return Err(self.unexpected(EXPECTED));
        };
        if text.starts_with("0x") && values::float(&text).is_err() {
            let reason = values::float(&text).err().unwrap_or_default();
            let message = format!("unable to parse literal as a float: {reason}");
            return Err(ParseError::new(self.span(), message));
        }
        let Some((value, unit)) = read_quantity(sign, &text) else {
            return Err(self.unexpected(EXPECTED));
        };
        self.next += 1;
        Ok((value, unit))
    }

    /// A duration in nanoseconds, perhaps negative.
    pub(super) fn duration(&mut self, expected: &str) -> Result<i64> {
        let sign = if self.take_symbol("-") { "-" } else { "" };
        let ns = match self.peek() {
            Token::Quantity(text) => read_duration(sign, text),
            _ => None,
        };
        let Some(ns) = ns else { return Err(self.unexpected(expected)) };
        self.next += 1;
        Ok(ns)
    }
}

/// A duration of Prometheus or else of Go, in nanoseconds. Only those of Go, which have no days, can
/// be negative.
fn read_duration(sign: &str, text: &str) -> Option<i64> {
    match parse_duration_ms(text).filter(|_| sign.is_empty()) {
        Some(ms) => ms.checked_mul(1_000_000),
        None => values::duration_ns(&format!("{sign}{text}")).ok().filter(|_| text != "0"),
    }
}

/// Only numbers have a `+`; sizes have no sign, and one `B` at the end in capitals.
fn read_quantity(sign: &str, text: &str) -> Option<(f64, Unit)> {
    if let Ok(value) = values::float(text) {
        return Some((if sign == "-" { -value } else { value }, Unit::Number));
    }
    if let Some(ns) = read_duration(sign, text).filter(|_| sign != "+") {
        return Some((ns as f64, Unit::Duration));
    }
    let is_size = |c: char| c.is_ascii_digit() || c == '.' || "BikKMGTP".contains(c);
    let size = values::bytes(text).ok().filter(|_| sign.is_empty() && text.chars().all(is_size));
    size.map(|bytes| (bytes, Unit::Bytes))
}
