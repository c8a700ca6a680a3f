//! One `eval` with what is expected of it.

use model::read::{Direction, RangeNs};
use model::{Labels, LogSource, QueryContext, TimestampNs};
use regex::Regex;

use super::notation;
use crate::logql::ast::Expr;
use crate::logql::eval::{
    InstantOptions, LogResult, Value, evaluate_instant, evaluate_log, evaluate_range,
};
use crate::logql::parser::parse;
use crate::promql::script::{Item, read_values};
use crate::promql::{self, MatrixSeries, SampleValue};
use crate::text::parse_number;

type Check<T = ()> = Result<T, String>;

#[derive(Debug, Clone, Copy)]
enum When {
    Instant { at: i64 },
    Range { start: i64, end: i64, step: i64 },
    Lines { start: i64, end: i64, limit: usize, direction: Direction },
}

#[derive(Debug)]
enum Failure {
    Any,
    Part(String),
    Matches(Regex),
}

#[derive(Debug)]
pub(super) struct Case {
    pub(super) query: String,
    when: When,
    fails: Option<Failure>,
    is_empty: bool,
    is_ordered: bool,
    scalar: Option<f64>,
    series: Vec<(Labels, Vec<Item>)>,
    lines: Vec<(Labels, String, i64)>,
}

impl Case {
    pub(super) fn read(block: &[&str], first_line: usize) -> Check<Case> {
        let header = block.first().copied().unwrap_or("");
        let mut words = Words { rest: header.trim() };
        words.expect("eval")?;
        let when = match words.next() {
            "instant" => When::Instant { at: words.time("at")? },
            "range" => When::Range {
                start: words.time("from")?,
                end: words.time("to")?,
                step: words.time("step")?,
            },
            "lines" => words.lines()?,
            other => return Err(format!("unknown kind of evaluation {other:?}")),
        };
        let mut case = Case {
            query: words.rest.trim().to_owned(),
            when,
            fails: None,
            is_empty: false,
            is_ordered: false,
            scalar: None,
            series: Vec::new(),
            lines: Vec::new(),
        };
        for (number, line) in (first_line + 1..).zip(block.iter().skip(1)) {
            case.expectation(line.trim()).map_err(|problem| format!("line {number}: {problem}"))?;
        }
        Ok(case)
    }

    fn expectation(&mut self, line: &str) -> Check {
        if line.starts_with('{') {
            let (labels, rest) = notation::labels(line)?;
            if matches!(self.when, When::Lines { .. }) {
                let (text, rest) = notation::quoted(rest)?;
                let (at, _) = notation::at(rest)?;
                self.lines.push((labels, text.to_owned(), at));
            } else {
                self.series.push((labels, read_values(rest.trim())?));
            }
            return Ok(());
        }
        if let Some(value) = parse_number(line) {
            self.scalar = Some(value);
            return Ok(());
        }
        match line {
            "expect empty" => self.is_empty = true,
            "expect ordered" => self.is_ordered = true,
            _ if line.starts_with("skip values-comparison on") => {}
            _ => {
                let rest = line.strip_prefix("expect fail").map(str::trim);
                let rest = rest.ok_or_else(|| format!("unknown expectation {line:?}"))?;
                self.fails = Some(if let Some(part) = rest.strip_prefix("msg:") {
                    Failure::Part(part.trim().to_owned())
                } else if let Some(pattern) = rest.strip_prefix("regex:") {
                    let regex = Regex::new(pattern.trim()).map_err(|error| error.to_string())?;
                    Failure::Matches(regex)
                } else if rest.is_empty() {
                    Failure::Any
                } else {
                    return Err(format!("unknown expectation {line:?}"));
                });
            }
        }
        Ok(())
    }

    /// Evaluates and compares.
    pub(super) fn check(&self, source: &dyn LogSource) -> Check {
        let result = self.evaluate(source);
        let Some(wanted) = &self.fails else {
            return self.compare(&result.map_err(|failures| {
                format!("failed: {}", failures.first().map_or("", String::as_str))
            })?);
        };
        let Err(found) = result else {
            return Err("succeeded, but a failure is expected".to_owned());
        };
        let is_it = found.iter().any(|message| match wanted {
            Failure::Any => true,
            Failure::Part(part) => message.contains(part.as_str()),
            Failure::Matches(regex) => regex.is_match(message),
        });
        if is_it { Ok(()) } else { Err(format!("failed with another message: {found:?}")) }
    }

    /// The result, or the failure in all its forms.
    fn evaluate(&self, source: &dyn LogSource) -> Result<Value, Vec<String>> {
        let expr = parse(&self.query).map_err(|error| {
            let place = format!("line {}, col {}", error.span.line, error.span.column);
            // Loki does not say the place of all mistakes.
            let message = &error.message;
            let placed = format!("parse error at {place}: {message}");
            vec![error.to_string(), placed, format!("parse error : {message}")]
        })?;
        let context = QueryContext::unlimited();
        let evaluation = match (self.when, &expr) {
            (When::Instant { .. }, Expr::Log(_)) => {
                let message = "log queries are not supported as an instant query type, please \
                               change your query to a range query type";
                return Err(vec![message.to_owned()]);
            }
            (When::Instant { at }, Expr::Metric(_)) => {
                let options = InstantOptions::default();
                evaluate_instant(&expr, TimestampNs(at), &options, source, &context)
            }
            (When::Range { start, end, step }, _) => {
                let (start, end) = (TimestampNs(start), TimestampNs(end));
                evaluate_range(&expr, start, end, step, source, &context)
            }
            (When::Lines { start, end, limit, direction }, Expr::Log(log)) => {
                let range = RangeNs { start: TimestampNs(start), end: TimestampNs(end) };
                let found = evaluate_log(log, range, limit, direction, source, &context);
                return found.map(Value::Streams).map_err(|error| vec![error.to_string()]);
            }
            (When::Lines { .. }, Expr::Metric(_)) => {
                return Err(vec!["a metric query has no lines".to_owned()]);
            }
        };
        evaluation.map(|evaluation| evaluation.value).map_err(|error| vec![error.to_string()])
    }

    fn compare(&self, value: &Value) -> Check {
        match value {
            Value::Streams(result) => self.compare_lines(result),
            Value::Metric(promql::Value::Scalar { value, .. }) => match self.scalar {
                Some(wanted) if is_same(wanted, *value) => Ok(()),
                Some(wanted) => Err(format!("expected {wanted}, found {value}")),
                None => Err(format!("found the number {value}")),
            },
            Value::Metric(promql::Value::Vector(vector)) => {
                let found = vector.iter().map(|sample| {
                    let value = match sample.value {
                        SampleValue::Float(value) => value,
                        SampleValue::Histogram(_) => f64::NAN,
                    };
                    (&sample.labels, vec![Some(value)])
                });
                self.compare_series(found.collect(), 1)
            }
            Value::Metric(promql::Value::Matrix(matrix)) => {
                let When::Range { start, end, step } = self.when else {
                    return Err("found a matrix".to_owned());
                };
                let steps = usize::try_from((end - start) / step.max(1) + 1).unwrap_or(0);
                let found =
                    matrix.iter().map(|series| (&series.labels, cells(series, start, step, steps)));
                self.compare_series(found.collect(), steps)
            }
            Value::Metric(promql::Value::String { .. }) => Err("found a string".to_owned()),
        }
    }

    fn compare_series(&self, found: Vec<(&Labels, Vec<Option<f64>>)>, steps: usize) -> Check {
        let shown = || {
            let texts = found.iter().take(20).map(|(labels, values)| {
                let values: Vec<String> = values
                    .iter()
                    .take(20)
                    .map(|value| value.map_or("_".to_owned(), |value| value.to_string()))
                    .collect();
                format!("{labels} {}", values.join(" "))
            });
            texts.collect::<Vec<_>>().join("; ")
        };
        if self.scalar.is_some() {
            return Err(format!("expected a number, found {}", shown()));
        }
        if self.is_empty {
            return if found.is_empty() { Ok(()) } else { Err(format!("found {}", shown())) };
        }
        for (position, (labels, wanted)) in self.series.iter().enumerate() {
            let Some(place) = found.iter().position(|(other, _)| *other == labels) else {
                return Err(format!("{labels} is missing, found {}", shown()));
            };
            if self.is_ordered && place != position {
                return Err(format!("{labels} is at position {place} instead of {position}"));
            }
            if wanted.len() != steps {
                return Err(format!("{labels} needs {steps} points, not {}", wanted.len()));
            }
            for (step, (wanted, found)) in wanted.iter().zip(&found[place].1).enumerate() {
                let is_right = match (wanted, found) {
                    (Item::Missing, None) => true,
                    (Item::Float(wanted), Some(found)) => is_same(*wanted, *found),
                    _ => false,
                };
                if !is_right {
                    let wanted = match wanted {
                        Item::Float(value) => value.to_string(),
                        _ => "no point".to_owned(),
                    };
                    let found = found.map_or("no point".to_owned(), |value| value.to_string());
                    return Err(format!(
                        "{labels} at step {step}: expected {wanted}, found {found}"
                    ));
                }
            }
        }
        if found.len() != self.series.len() {
            return Err(format!("{} series expected, found {}", self.series.len(), shown()));
        }
        Ok(())
    }

    fn compare_lines(&self, result: &LogResult) -> Check {
        let mut found: Vec<(i64, usize, Labels, String)> = Vec::new();
        let streams = result.clone().grouped_by_all_labels();
        for stream in streams {
            for entry in stream.entries {
                found.push((entry.at.0, found.len(), stream.labels.clone(), entry.line));
            }
        }
        let is_backward = matches!(self.when, When::Lines { direction: Direction::Backward, .. });
        found.sort_by_key(|(at, place, ..)| (if is_backward { -at } else { *at }, *place));
        if self.is_empty {
            let shown = found.iter().take(20).map(|(.., line)| line).collect::<Vec<_>>();
            return if found.is_empty() { Ok(()) } else { Err(format!("found {shown:?}")) };
        }
        for (i, (labels, line, at)) in self.lines.iter().enumerate() {
            let number = i + 1;
            let Some((found_at, _, found_labels, found_line)) = found.get(i) else {
                return Err(format!("line {number} is missing: {line:?}"));
            };
            if (found_at, found_line, found_labels) != (at, line, labels) {
                return Err(format!(
                    "line {number}: expected {labels} {line:?} @ {at} ns, found {found_labels} \
                     {found_line:?} @ {found_at} ns"
                ));
            }
        }
        if let Some((.., line)) = found.get(self.lines.len()) {
            return Err(format!("{} lines expected, then found {line:?}", self.lines.len()));
        }
        Ok(())
    }
}

/// The points of a series by step.
fn cells(series: &MatrixSeries, start: i64, step: i64, steps: usize) -> Vec<Option<f64>> {
    let value = |i: usize| {
        let at = TimestampNs(start + step * i64::try_from(i).unwrap_or(0)).to_ms();
        series.points.iter().find(|(time, _)| *time == at).map(|(_, value)| *value)
    };
    (0..steps).map(value).collect()
}

/// Up to what the order of additions can make.
fn is_same(wanted: f64, found: f64) -> bool {
    const RELATIVE: f64 = 1e-9;
    wanted == found
        || (wanted.is_nan() && found.is_nan())
        || (wanted - found).abs() <= RELATIVE * wanted.abs().max(found.abs())
}

struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> &'a str {
        let rest = self.rest.trim_start();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        self.rest = &rest[end..];
        &rest[..end]
    }

    fn expect(&mut self, word: &str) -> Check {
        match self.next() {
            found if found == word => Ok(()),
            found => Err(format!("expected {word:?}, found {found:?}")),
        }
    }

    fn time(&mut self, word: &str) -> Check<i64> {
        self.expect(word)?;
        notation::time(self.next())
    }

    /// What follows `eval lines`: options may stand in brackets.
    fn lines(&mut self) -> Check<When> {
        let (start, end) = (self.time("from")?, self.time("to")?);
        let (mut limit, mut direction) = (100, Direction::Backward);
        loop {
            let before = self.rest;
            match self.next().trim_start_matches('[') {
                "limit" => {
                    let text = self.next().trim_end_matches(']');
                    limit = text.parse().map_err(|_| format!("{text:?} is no limit"))?;
                }
                "direction" => {
                    direction = match self.next().trim_end_matches(']') {
                        "forward" => Direction::Forward,
                        "backward" => Direction::Backward,
                        other => return Err(format!("{other:?} is no direction")),
                    };
                }
                _ => {
                    self.rest = before;
                    return Ok(When::Lines { start, end, limit, direction });
                }
            }
        }
    }
}
