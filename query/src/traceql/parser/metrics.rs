//! The stages that make series of spans, and constants.

use super::{DEPTH_MAX, Parser};
use crate::traceql::ast::{Arithmetic, Comparison, Function, MetricsExpr, Pipeline};
use crate::traceql::error::Result;
use crate::traceql::lexer::Token;

impl Parser<'_> {
    pub(super) fn metrics_function(&mut self, pipeline: Pipeline) -> Result<MetricsExpr> {
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
    pub(super) fn second_stages(&mut self, first: MetricsExpr) -> Result<MetricsExpr> {
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
                    return Err(
                        self.type_error(self.place(), "the number of series must not be zero")
                    );
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

    /// Arithmetic over numbers. Durations are nanoseconds.
    pub(super) fn constant(&mut self, is_ns: bool) -> Result<f64> {
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
}

pub(super) fn is_metrics_function(word: &str) -> bool {
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
