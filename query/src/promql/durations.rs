//! Durations that are computed: `[2 * step()]`, `offset min_of(range(), 1h)`.
//!
//! They depend only on the step and the length of the whole query, so they are resolved before its
//! evaluation, and the evaluator sees numbers only.

use std::borrow::Cow;
use std::fmt;

use super::ast::{Expr, ExprKind, Number, Selector, UnaryOp};
use crate::errors::{EvalError, Span};

/// A duration expression.
#[derive(Debug, Clone)]
pub struct DurationExpr {
    /// What it is.
    pub kind: DurationKind,
    /// Whether it stands in parentheses.
    pub wrapped: bool,
    /// Its place in the text, as Prometheus's errors tell it: operands only.
    pub span: Span,
}

impl PartialEq for DurationExpr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.wrapped == other.wrapped
    }
}

/// The kinds of duration expressions.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationKind {
    /// `5m`, or a number of seconds.
    Number(Number),
    /// `step()`: the step of the whole query; zero for an instant query.
    Step,
    /// `range()`: from the first to the last time of the whole query.
    Range,
    /// `-x`; `+` only before a number in parentheses, which needs a node to keep them.
    Signed(UnaryOp, Box<DurationExpr>),
    /// `x * y`
    Binary(DurationOp, Box<(DurationExpr, DurationExpr)>),
}

/// What two durations are combined with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurationOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `min_of(x, y)`
    MinOf,
    /// `max_of(x, y)`
    MaxOf,
}

impl DurationOp {
    /// Finds an operator between its operands.
    pub(super) fn from_symbol(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "+" => DurationOp::Add,
            "-" => DurationOp::Sub,
            "*" => DurationOp::Mul,
            "/" => DurationOp::Div,
            "%" => DurationOp::Mod,
            "^" => DurationOp::Pow,
            _ => return None,
        })
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            DurationOp::Add => "+",
            DurationOp::Sub => "-",
            DurationOp::Mul => "*",
            DurationOp::Div => "/",
            DurationOp::Mod => "%",
            DurationOp::Pow => "^",
            DurationOp::MinOf => "min_of",
            DurationOp::MaxOf => "max_of",
        }
    }

    /// How tightly it binds, as between vectors.
    pub(super) fn precedence(self) -> u8 {
        match self {
            DurationOp::Add | DurationOp::Sub => 4,
            DurationOp::Mul | DurationOp::Div | DurationOp::Mod => 5,
            DurationOp::Pow => 6,
            DurationOp::MinOf | DurationOp::MaxOf => 7,
        }
    }
}

impl DurationExpr {
    /// Whether `step()` or `range()` occurs.
    pub(super) fn depends_on_query(&self) -> bool {
        match &self.kind {
            DurationKind::Number(_) => false,
            DurationKind::Step | DurationKind::Range => true,
            DurationKind::Signed(_, inner) => inner.depends_on_query(),
            DurationKind::Binary(_, operands) => {
                operands.0.depends_on_query() || operands.1.depends_on_query()
            }
        }
    }
}

impl fmt::Display for DurationExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wrapped {
            f.write_str("(")?;
        }
        match &self.kind {
            DurationKind::Number(number) => write!(f, "{number}")?,
            DurationKind::Step => f.write_str("step()")?,
            DurationKind::Range => f.write_str("range()")?,
            DurationKind::Signed(UnaryOp::Minus, inner) => write!(f, "-{inner}")?,
            DurationKind::Signed(UnaryOp::Plus, inner) => write!(f, "{inner}")?,
            DurationKind::Binary(op @ (DurationOp::MinOf | DurationOp::MaxOf), operands) => {
                write!(f, "{}({}, {})", op.as_str(), operands.0, operands.1)?;
            }
            DurationKind::Binary(op, operands) => {
                write!(f, "{} {} {}", operands.0, op.as_str(), operands.1)?;
            }
        }
        if self.wrapped {
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// Seconds as milliseconds without a fraction of one, as Prometheus cuts them; `None` beyond the
/// 292 years that fit into its durations.
pub(super) fn seconds_to_ms(seconds: f64) -> Option<i64> {
    let nanoseconds = (seconds * 1e9).round();
    (nanoseconds.abs() < 2f64.powi(63)).then_some(nanoseconds as i64 / 1_000_000)
}

/// The expression with all its durations computed. `step_ms` is zero for an instant query.
///
/// Fails with `BadArgument` for a range or step that is not positive, and for what is not finite.
pub fn resolve(expr: &Expr, step_ms: i64, range_ms: i64) -> Result<Cow<'_, Expr>, EvalError> {
    if !has_computed(expr) {
        return Ok(Cow::Borrowed(expr));
    }
    let mut resolved = expr.clone();
    Resolver { step: step_ms as f64 / 1e3, range: range_ms as f64 / 1e3 }.expr(&mut resolved)?;
    Ok(Cow::Owned(resolved))
}

fn has_computed(expr: &Expr) -> bool {
    let own = match &expr.kind {
        ExprKind::Selector(selector) => selector.offset_expr.is_some(),
        ExprKind::Range(range) => {
            range.range_expr.is_some() || range.selector.offset_expr.is_some()
        }
        ExprKind::Subquery(subquery) => {
            subquery.range_expr.is_some()
                || subquery.step_expr.is_some()
                || subquery.offset_expr.is_some()
        }
        _ => false,
    };
    let mut found = own;
    expr.for_each_child(&mut |child| found = found || has_computed(child));
    found
}

struct Resolver {
    step: f64,
    range: f64,
}

impl Resolver {
    fn expr(&self, expr: &mut Expr) -> Result<(), EvalError> {
        match &mut expr.kind {
            ExprKind::Selector(selector) => self.offset(selector)?,
            ExprKind::Range(range) => {
                if let Some(computed) = &range.range_expr {
                    range.range_ms = self.duration(computed, false)?;
                }
                self.offset(&mut range.selector)?;
            }
            ExprKind::Subquery(subquery) => {
                if let Some(computed) = &subquery.offset_expr {
                    subquery.offset_ms = self.duration(computed, true)?;
                }
                if let Some(computed) = &subquery.step_expr {
                    subquery.step_ms = Some(self.duration(computed, false)?);
                }
                if let Some(computed) = &subquery.range_expr {
                    subquery.range_ms = self.duration(computed, false)?;
                }
            }
            _ => {}
        }
        let mut result = Ok(());
        expr.for_each_child_mut(&mut |child| {
            if result.is_ok() {
                result = self.expr(child);
            }
        });
        result
    }

    fn offset(&self, selector: &mut Selector) -> Result<(), EvalError> {
        if let Some(computed) = &selector.offset_expr {
            selector.offset_ms = self.duration(computed, true)?;
        }
        Ok(())
    }

    /// In milliseconds.
    fn duration(&self, expr: &DurationExpr, may_be_negative: bool) -> Result<i64, EvalError> {
        let seconds = self.seconds(expr)?;
        if !seconds.is_finite() {
            return Err(failure(expr, "duration is NaN or infinite"));
        }
        if seconds <= 0.0 && !may_be_negative {
            return Err(failure(expr, "duration must be greater than 0"));
        }
        if seconds_to_ms(seconds).is_none() {
            return Err(failure(expr, "duration is out of range"));
        }
        Ok((seconds * 1e3) as i64)
    }

    fn seconds(&self, expr: &DurationExpr) -> Result<f64, EvalError> {
        Ok(match &expr.kind {
            DurationKind::Number(number) => number.value,
            DurationKind::Step => self.step,
            DurationKind::Range => self.range,
            DurationKind::Signed(UnaryOp::Plus, inner) => self.seconds(inner)?,
            DurationKind::Signed(UnaryOp::Minus, inner) => -self.seconds(inner)?,
            DurationKind::Binary(op, operands) => {
                let (left, right) = (self.seconds(&operands.0)?, self.seconds(&operands.1)?);
                match op {
                    DurationOp::Add => left + right,
                    DurationOp::Sub => left - right,
                    DurationOp::Mul => left * right,
                    DurationOp::Div if right == 0.0 => {
                        return Err(failure(expr, "division by zero"));
                    }
                    DurationOp::Div => left / right,
                    DurationOp::Mod if right == 0.0 => {
                        return Err(failure(expr, "modulo by zero"));
                    }
                    DurationOp::Mod => left % right,
                    DurationOp::Pow => left.powf(right),
                    DurationOp::MinOf => super::scalars::go_min(left, right),
                    DurationOp::MaxOf => super::scalars::go_max(left, right),
                }
            }
        })
    }
}

/// Prometheus tells the place in bytes here, from zero.
fn failure(expr: &DurationExpr, message: &str) -> EvalError {
    EvalError::BadArgument(format!("{}:{}: {message}", expr.span.start, expr.span.end))
}
