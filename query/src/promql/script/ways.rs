//! The ways in which a case is evaluated; all must give the same.

use model::TimestampMs;

use super::case::{Case, Points, When};
use super::{Check, Ways, settings};
use crate::promql::ast::{AtModifier, Expr, ExprKind, ValueType};
use crate::promql::eval::{
    Evaluation, MatrixSeries, SampleValue, Value, VectorSample, evaluate_instant, evaluate_range,
};
use crate::promql::functions;
use crate::promql::memory::MemorySeries;
use crate::promql::parser::parse;

impl Case {
    /// Fails with the first way that does not give what is expected.
    pub(super) fn run(&self, store: &MemorySeries, ways: &mut Ways) -> Check {
        let expr = match parse(&self.text) {
            Ok(expr) => expr,
            Err(error) => return self.check_failure(&error.to_string(), Some(&error.message)),
        };
        let at = match self.when {
            When::Instant(at) => at,
            When::Range { start, end, step } => {
                ways.made += 1;
                let found = range(&expr, Points { start, end, step }, store);
                return self.check_range(found, Points { start, end, step });
            }
        };
        ways.made += 1;
        self.check_instant(instant(&expr, at, store))?;
        self.check_middle_of_range(&expr, at, store, ways)?;
        if calls_any(&expr, functions::depends_on_time) {
            ways.skipped.push("with @: the expression calls a function that depends on the time");
            return Ok(());
        }
        let times =
            if at == 0 { vec![-1000, 0, 1000] } else { vec![-10 * at, 0, at / 5, at, 10 * at] };
        let pinned = pin(&expr, at);
        for time in times {
            let context = |problem| format!("with @ at {time} ms: {problem}");
            ways.made += 1;
            self.check_instant(instant(&pinned, time, store)).map_err(context)?;
            self.check_middle_of_range(&pinned, time, store, ways).map_err(context)?;
        }
        Ok(())
    }

    fn check_middle_of_range(
        &self,
        expr: &Expr,
        at: i64,
        store: &MemorySeries,
        ways: &mut Ways,
    ) -> Check {
        let why_not = if self.string.is_some() || expr.value_type() == ValueType::String {
            Some("as a range query: the result is a string")
        } else if self.range_vector.is_some() || expr.value_type() == ValueType::Matrix {
            Some("as a range query: the result is a range vector")
        } else if depends_on_query(expr) {
            Some("as a range query: the expression depends on the times of the query")
        } else {
            None
        };
        if let Some(why_not) = why_not {
            ways.skipped.push(why_not);
            return Ok(());
        }
        ways.made += 1;
        let minute = 60_000;
        let points = Points { start: at - minute, end: at + minute, step: minute };
        let mut evaluation = match range(expr, points, store) {
            Ok(evaluation) => evaluation,
            Err(message) if self.fail.is_some() => return self.check_failure(&message, None),
            Err(message) => return Err(format!("as a range query: {message}")),
        };
        if self.fail.is_some() {
            // Another step may have nothing that fails.
            return Ok(());
        }
        if let Value::Matrix(matrix) = &evaluation.value {
            evaluation.value = pick(matrix, at, expr.value_type());
        }
        self.compare_instant(&evaluation.value, false)
            .map_err(|problem| format!("as a range query: {problem}"))
    }
}

fn instant(expr: &Expr, at: i64, store: &MemorySeries) -> Check<Evaluation> {
    let (options, context) = settings();
    evaluate_instant(expr, TimestampMs(at), store, &options, &context).map_err(|e| e.to_string())
}

fn range(expr: &Expr, points: Points, store: &MemorySeries) -> Check<Evaluation> {
    let (options, context) = settings();
    let (start, end) = (TimestampMs(points.start), TimestampMs(points.end));
    evaluate_range(expr, start, end, points.step, store, &options, &context)
        .map_err(|e| e.to_string())
}

/// The points of a matrix at one time, as the instant query would have answered.
fn pick(matrix: &[MatrixSeries], at: i64, value_type: ValueType) -> Value {
    let at = TimestampMs(at);
    let mut samples = Vec::new();
    for series in matrix {
        let float = series.points.iter().find(|(time, _)| *time == at);
        let histogram = series.histograms.iter().find(|(time, _)| *time == at);
        let value = match (float, histogram) {
            (Some((_, value)), _) if value_type == ValueType::Scalar => {
                return Value::Scalar { at, value: *value };
            }
            (Some((_, value)), _) => SampleValue::Float(*value),
            (None, Some((_, histogram))) => SampleValue::Histogram(histogram.clone()),
            (None, None) => continue,
        };
        samples.push(VectorSample { labels: series.labels.clone(), at, value });
    }
    Value::Vector(samples)
}

fn calls_any(expr: &Expr, is_wanted: fn(&str) -> bool) -> bool {
    let mut found = matches!(&expr.kind, ExprKind::Call(call) if is_wanted(call.function.name));
    expr.for_each_child(&mut |child| found = found || calls_any(child, is_wanted));
    found
}

/// Whether `start()`, `end()`, `step()` or `range()` occurs, also after `@` and in durations.
fn depends_on_query(expr: &Expr) -> bool {
    let (at, durations) = match &expr.kind {
        ExprKind::Selector(selector) => (selector.at, vec![&selector.offset_expr]),
        ExprKind::Range(range) => {
            let selector = &range.selector;
            (selector.at, vec![&selector.offset_expr, &range.range_expr])
        }
        ExprKind::Subquery(subquery) => {
            let computed = vec![&subquery.offset_expr, &subquery.range_expr, &subquery.step_expr];
            (subquery.at, computed)
        }
        _ => (None, Vec::new()),
    };
    let mut found = matches!(at, Some(AtModifier::Start | AtModifier::End))
        || durations.into_iter().flatten().any(|duration| duration.depends_on_query())
        || calls_any(expr, |name| matches!(name, "start" | "end" | "step" | "range"));
    expr.for_each_child(&mut |child| found = found || depends_on_query(child));
    found
}

/// The expression with `@ at` on each selector and outermost subquery that has none.
fn pin(expr: &Expr, at: i64) -> Expr {
    let mut pinned = expr.clone();
    pin_all(&mut pinned, AtModifier::Time(at));
    pinned
}

fn pin_all(expr: &mut Expr, at: AtModifier) {
    match &mut expr.kind {
        ExprKind::Selector(selector) => selector.at = selector.at.or(Some(at)),
        ExprKind::Range(range) => range.selector.at = range.selector.at.or(Some(at)),
        ExprKind::Subquery(subquery) => subquery.at = subquery.at.or(Some(at)),
        _ => expr.for_each_child_mut(&mut |child| pin_all(child, at)),
    }
}
