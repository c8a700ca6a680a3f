//! Expressions that answer with numbers.

use model::matcher::anchored_regex;
use template::values;

use super::{DEPTH_MAX, Parser, Result, bad_regex, lines_are_no_numbers, too_deep};
use crate::errors::{ParseError, Span};
use crate::logql::ast::{
    Aggregation, LogExpr, MetricExpr, MetricKind, RangeAggregation, RangeOp, Unwrap, VectorOp,
};
use crate::logql::lexer::Token;
use crate::text::{parse_duration_ms, quote};
use crate::vector::{BinaryOp, Cardinality, Grouping, Matching, scalar_binary};

/// Lines with a window, of which some parts may not have been read yet.
struct LogRange {
    log: LogExpr,
    unwrap: Option<Unwrap>,
    range_ns: Option<i64>,
    offset_ns: i64,
}

impl Parser {
    fn node(&self, kind: MetricKind, span: Span) -> Result<MetricExpr> {
        let expr = MetricExpr::new(kind, span);
        if expr.depth() > DEPTH_MAX { Err(too_deep(span)) } else { Ok(expr) }
    }

    /// An expression whose operators bind at least as tightly as `min`.
    pub(super) fn metric(&mut self, min: u8) -> Result<MetricExpr> {
        self.enter()?;
        let mut left = self.metric_primary()?;
        while let Some(op) = self.binary_operator().filter(|op| op.precedence() >= min) {
            let op_span = self.span();
            self.next += 1;
            let return_bool = self.take_word("bool");
            if return_bool && !op.is_comparison() {
                let message = "bool modifier can only be used on comparison operators";
                return Err(ParseError::new(op_span, message));
            }
            let matching = self.matching(op, op_span)?;
            if let Some(log) = self.log_in_parens()? {
                return Err(lines_are_no_numbers(&log, op, "right"));
            }
            let right = self.metric(op.precedence() + u8::from(op != BinaryOp::Pow))?;
            let span = left.span.to(right.span);
            for (side, leg) in [("left", &left), ("right", &right)] {
                if op.is_set() && leg.is_scalar() {
                    let (op, value) = (op.as_str(), literal(leg));
                    let message = format!(
                        "unexpected literal for {side} leg of logical/set binary operation ({op}): \
                         {value:.6}"
                    );
                    return Err(ParseError::new(leg.span, message));
                }
            }
            let (left_leg, right) = (Box::new(left), Box::new(right));
            let kind = MetricKind::Binary { op, return_bool, matching, left: left_leg, right };
            left = self.node(kind, span)?;
        }
        self.leave();
        Ok(left)
    }

    pub(super) fn binary_operator(&self) -> Option<BinaryOp> {
        match self.peek() {
            Token::Symbol(symbol) => BinaryOp::from_symbol(symbol),
            Token::Ident(word) if !word.eq_ignore_ascii_case("atan2") => {
                BinaryOp::from_symbol(&word.to_ascii_lowercase())
            }
            _ => None,
        }
    }

    fn matching(&mut self, op: BinaryOp, op_span: Span) -> Result<Matching> {
        let on = self.take_word("on");
        if !on && !self.take_word("ignoring") {
            return Ok(Matching::default());
        }
        let labels = self.label_list()?;
        let mut matching = Matching { on, labels, ..Matching::default() };
        let group_left = self.take_word("group_left");
        if group_left || self.take_word("group_right") {
            if op.is_set() {
                let message = format!("no grouping allowed for {:?} operation", op.as_str());
                return Err(ParseError::new(op_span, message));
            }
            matching.cardinality =
                if group_left { Cardinality::ManyToOne } else { Cardinality::OneToMany };
            // A parenthesis that begins the other side is not the list of labels.
            let is_list = self.peek_symbol("(")
                && match self.peek_at(1) {
                    Token::Symbol(")") => true,
                    Token::Ident(_) => matches!(self.peek_at(2), Token::Symbol("," | ")")),
                    _ => false,
                };
            if is_list {
                matching.include = self.label_list()?;
            }
        }
        Ok(matching)
    }

    fn label_list(&mut self) -> Result<Vec<String>> {
        self.expect_symbol("(")?;
        let mut labels = Vec::new();
        while !self.take_symbol(")") {
            labels.push(self.word("label name or \")\"")?);
            if self.take_symbol(",") {
                if self.peek_symbol(")") {
                    return Err(self.unexpected("label name"));
                }
            } else if !self.peek_symbol(")") {
                return Err(self.unexpected("\",\" or \")\""));
            }
        }
        Ok(labels)
    }

    fn metric_primary(&mut self) -> Result<MetricExpr> {
        let span = self.span();
        match self.peek().clone() {
            Token::Quantity(_) | Token::Symbol("-" | "+") => {
                let value = self.number()?;
                self.node(MetricKind::Number(value), span.to(self.previous_span()))
            }
            Token::Symbol("(") => {
                self.next += 1;
                let mut inner = self.metric(0)?;
                self.expect_symbol(")")?;
                inner.span = span.to(self.previous_span());
                Ok(inner)
            }
            Token::Ident(word) => {
                self.next += 1;
                self.call(&word.to_ascii_lowercase(), span)
            }
            Token::Symbol("{") => {
                let message = "unexpected selector of streams, expected a number or a function: \
                               lines are no numbers";
                Err(ParseError::new(span, message))
            }
            _ => Err(self.unexpected("a stream selector, a number or a function")),
        }
    }

    fn number(&mut self) -> Result<f64> {
        let negative = self.take_symbol("-");
        if !negative {
            self.take_symbol("+");
        }
        let value = self.unsigned()?;
        Ok(if negative { -value } else { value })
    }

    fn unsigned(&mut self) -> Result<f64> {
        let value = match self.peek() {
            Token::Quantity(text) => values::float(text).ok(),
            _ => None,
        };
        let Some(value) = value else { return Err(self.unexpected("number")) };
        self.next += 1;
        Ok(value)
    }

    fn call(&mut self, word: &str, span: Span) -> Result<MetricExpr> {
        if let Some(op) = RangeOp::from_name(word) {
            return self.range_aggregation(op, span);
        }
        if let Some(op) = VectorOp::from_name(word) {
            return self.aggregate(op, span);
        }
        match word {
            "vector" => {
                self.expect_symbol("(")?;
                let value = self.unsigned()?;
                self.expect_symbol(")")?;
                self.node(MetricKind::Vector(value), span.to(self.previous_span()))
            }
            "label_replace" => self.label_replace(span),
            "variants" => {
                let message = "variants is no longer part of LogQL";
                Err(ParseError::new(span, message))
            }
            _ => {
                let word = quote(word);
                let message =
                    format!("syntax error: unexpected IDENTIFIER, unknown function {word}");
                Err(ParseError::new(span, message))
            }
        }
    }

    fn label_replace(&mut self, start: Span) -> Result<MetricExpr> {
        self.expect_symbol("(")?;
        let expr = Box::new(self.metric(0)?);
        let mut texts: [String; 4] = Default::default();
        let mut span = start;
        for text in &mut texts {
            self.expect_symbol(",")?;
            span = self.span();
            *text = self.text()?;
        }
        self.expect_symbol(")")?;
        let [to, replacement, from, pattern] = texts;
        let regex = anchored_regex(&pattern).map_err(|error| {
            let message = bad_regex(span, error.message()).message;
            ParseError::new(span, format!("invalid regex in label_replace: {message}"))
        })?;
        let kind = MetricKind::LabelReplace { expr, to, replacement, from, pattern, regex };
        self.node(kind, start.to(self.previous_span()))
    }

    fn aggregate(&mut self, op: VectorOp, start: Span) -> Result<MetricExpr> {
        let name = op.as_str();
        let before = self.grouping()?;
        self.expect_symbol("(")?;
        let parameter = self.parameter(op)?;
        let expr = Box::new(self.metric(0)?);
        self.expect_symbol(")")?;
        if expr.is_scalar() {
            let message = format!("{name} needs a vector, got a number");
            return Err(ParseError::new(expr.span, message));
        }
        let span = self.span();
        let grouping = match before {
            Some(grouping) => Some(grouping),
            None => self.grouping()?,
        };
        let refused = match op {
            VectorOp::ApproxTopk if grouping.is_some() => {
                Some("grouping not allowed for approx_topk aggregation")
            }
            VectorOp::Sort | VectorOp::SortDesc
                if grouping.as_ref().is_some_and(|grouping| !grouping.labels.is_empty()) =>
            {
                Some("sort and sort_desc doesn't allow grouping by labels")
            }
            _ => None,
        };
        if let Some(message) = refused {
            return Err(ParseError::new(span, message));
        }
        let kind = MetricKind::Aggregate(Aggregation { op, parameter, grouping, expr });
        self.node(kind, start.to(self.previous_span()))
    }

    /// The `k` of an operator, and the comma behind it.
    fn parameter(&mut self, op: VectorOp) -> Result<Option<u64>> {
        let name = op.as_str();
        let span = self.span();
        let text = match (self.peek(), self.peek_at(1)) {
            (Token::Quantity(text), Token::Symbol(",")) => Some(text.clone()),
            _ => None,
        };
        if !op.has_parameter() {
            return match text {
                Some(text) => {
                    let message = format!("unsupported parameter for operation {name}({text},");
                    Err(ParseError::new(span, message))
                }
                None => Ok(None),
            };
        }
        let Some(text) = text else {
            let message = format!("parameter required for operation {name}");
            return Err(ParseError::new(span, message));
        };
        self.next += 2;
        let number = text.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok());
        match number {
            None => Err(ParseError::new(span, format!("invalid parameter {name}({text},"))),
            Some(0) => {
                let message = format!("invalid parameter (must be greater than 0) {name}({text}");
                Err(ParseError::new(span, message))
            }
            some => Ok(some),
        }
    }

    fn grouping(&mut self) -> Result<Option<Grouping>> {
        let without = self.take_word("without");
        if !without && !self.take_word("by") {
            return Ok(None);
        }
        Ok(Some(Grouping { without, labels: self.label_list()? }))
    }

    fn range_aggregation(&mut self, op: RangeOp, start: Span) -> Result<MetricExpr> {
        let name = op.as_str();
        self.expect_symbol("(")?;
        let span = self.span();
        let mut parameter = None;
        if let Token::Quantity(text) = self.peek().clone() {
            parameter = Some(self.unsigned()?);
            self.expect_symbol(",")?;
            if op != RangeOp::QuantileOverTime {
                let message = format!("parameter {text} not supported for operation {name}");
                return Err(ParseError::new(span, message));
            }
        }
        if parameter.is_none() && op == RangeOp::QuantileOverTime {
            return Err(ParseError::new(span, format!("parameter required for operation {name}")));
        }
        let LogRange { log, unwrap, range_ns, offset_ns } = self.log_range()?;
        let Some(range_ns) = range_ns else { return Err(self.unexpected("RANGE")) };
        self.expect_symbol(")")?;
        let span = self.span();
        let grouping = self.grouping()?;
        let refused = if grouping.is_some() && !op.allows_grouping() {
            Some((span, format!("grouping not allowed for {name} aggregation")))
        } else if unwrap.is_some() && !op.allows_unwrap() {
            Some((start, format!("invalid aggregation {name} with unwrap")))
        } else if unwrap.is_none() && !op.allows_lines() {
            Some((start, format!("invalid aggregation {name} without unwrap")))
        } else {
            None
        };
        if let Some((span, message)) = refused {
            return Err(ParseError::new(span, message));
        }
        let range = RangeAggregation { op, parameter, log, unwrap, range_ns, offset_ns, grouping };
        self.node(MetricKind::Range(Box::new(range)), start.to(self.previous_span()))
    }

    /// Lines and a window, which stands before or after the stages, in parentheses or not.
    fn log_range(&mut self) -> Result<LogRange> {
        self.enter()?;
        let mut range = if self.take_symbol("(") {
            let inner = self.log_range()?;
            self.expect_symbol(")")?;
            inner
        } else {
            if !self.peek_symbol("{") {
                return Err(self.unexpected("a stream selector"));
            }
            let log = self.selector()?;
            let mut range = LogRange { log, unwrap: None, range_ns: None, offset_ns: 0 };
            self.stages(&mut range.log.stages, &mut range.unwrap)?;
            range
        };
        if range.range_ns.is_none() && matches!(self.peek(), Token::Range(_)) {
            self.window(&mut range)?;
            // Stages stand on one side of the window.
            if range.unwrap.is_none() && range.log.stages.is_empty() {
                self.stages(&mut range.log.stages, &mut range.unwrap)?;
            }
        }
        self.leave();
        Ok(range)
    }

    fn window(&mut self, range: &mut LogRange) -> Result<()> {
        let span = self.span();
        let Token::Range(text) = self.peek() else { return Err(self.unexpected("RANGE")) };
        let ns = window_ns(text).map_err(|message| ParseError::new(span, message))?;
        self.next += 1;
        range.range_ns = Some(ns);
        if self.take_word("offset") {
            range.offset_ns = self.duration("duration")?;
        }
        Ok(())
    }
}

/// The value of an expression that is a number.
fn literal(expr: &MetricExpr) -> f64 {
    match &expr.kind {
        MetricKind::Number(value) => *value,
        MetricKind::Binary { op, left, right, .. } => {
            let values = scalar_binary(*op, &[literal(left)], &[literal(right)]);
            values.first().copied().unwrap_or(f64::NAN)
        }
        _ => f64::NAN,
    }
}

/// The length of a window: a duration of Prometheus, with Prometheus's words for what is none.
fn window_ns(text: &str) -> Result<i64, String> {
    if text == "0" {
        return Ok(0);
    }
    if let Some(ns) = parse_duration_ms(text).and_then(|ms| ms.checked_mul(1_000_000)) {
        return Ok(ns);
    }
    if text.is_empty() {
        return Err("empty duration string".to_owned());
    }
    let units = text.split(|c: char| c.is_ascii_digit()).filter(|unit| !unit.is_empty());
    let is_unit = |unit: &&str| matches!(*unit, "ms" | "s" | "m" | "h" | "d" | "w" | "y");
    match units.filter(|_| text.starts_with(|c: char| c.is_ascii_digit())).find(|u| !is_unit(u)) {
        Some(unit) => Err(format!("unknown unit {unit:?} in duration {text:?}")),
        None => Err(format!("not a valid duration string: {text:?}")),
    }
}
