//! Values while a query runs.

use std::borrow::Cow;
use std::cmp::Ordering;

use model::Value;
use model::span::{SpanKind, StatusCode};
use regex::Regex;

use super::ast::{Comparison, Literal};
use crate::text::push;

/// The value of an expression for one span.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell<'a> {
    Nil,
    Int(i64),
    Float(f64),
    /// Nanoseconds.
    Duration(i64),
    Str(Cow<'a, str>),
    Bool(bool),
    Status(StatusCode),
    Kind(SpanKind),
    /// An array, or the same field of several events or links.
    Many(Vec<Cell<'a>>),
}

impl<'a> Cell<'a> {
    pub(crate) fn from_value(value: &'a Value) -> Self {
        match value {
            Value::Empty => Cell::Nil,
            Value::Str(text) => Cell::Str(Cow::Borrowed(text)),
            Value::Bool(b) => Cell::Bool(*b),
            Value::Int(i) => Cell::Int(*i),
            Value::Double(d) => Cell::Float(*d),
            Value::Bytes(_) | Value::Map(_) => Cell::Str(Cow::Owned(value.to_string())),
            Value::Array(items) => Cell::Many(items.iter().map(Cell::from_value).collect()),
        }
    }

    pub(crate) fn from_literal(literal: &'a Literal) -> Self {
        match literal {
            Literal::Nil => Cell::Nil,
            Literal::Int(i) => Cell::Int(*i),
            Literal::Float(f) => Cell::Float(*f),
            Literal::Duration(ns) => Cell::Duration(*ns),
            Literal::Str(text) => Cell::Str(Cow::Borrowed(text)),
            Literal::Bool(b) => Cell::Bool(*b),
            Literal::Status(code) => Cell::Status(*code),
            Literal::Kind(kind) => Cell::Kind(*kind),
        }
    }

    /// One value as itself, several as an array, none as nil.
    pub(crate) fn many(mut cells: Vec<Cell<'a>>) -> Self {
        match cells.len() {
            0 => Cell::Nil,
            1 => cells.swap_remove(0),
            _ => Cell::Many(cells),
        }
    }

    pub(crate) fn is_true(&self) -> bool {
        matches!(self, Cell::Bool(true))
    }

    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Cell::Int(i) | Cell::Duration(i) => Some(*i as f64),
            Cell::Float(f) => Some(*f),
            _ => None,
        }
    }

    /// As an attribute of a result: durations and enums are texts, as Tempo writes them.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Cell::Nil => Value::Str("nil".into()),
            Cell::Int(i) => Value::Int(*i),
            Cell::Float(f) => Value::Double(*f),
            Cell::Duration(ns) => Value::Str(go_duration(*ns)),
            Cell::Str(text) => Value::Str(text.clone().into_owned()),
            Cell::Bool(b) => Value::Bool(*b),
            Cell::Status(code) => Value::Str(code.as_str().into()),
            Cell::Kind(kind) => Value::Str(kind.as_str().into()),
            Cell::Many(cells) => Value::Array(cells.iter().map(Cell::to_value).collect()),
        }
    }
}

/// Whether the values have comparable types, and how they compare.
fn order(left: &Cell<'_>, right: &Cell<'_>) -> Option<Option<Ordering>> {
    match (left, right) {
        (Cell::Str(l), Cell::Str(r)) => Some(Some(l.cmp(r))),
        (Cell::Bool(l), Cell::Bool(r)) => Some(Some(l.cmp(r))),
        (Cell::Status(l), Cell::Status(r)) => Some(Some(l.cmp(r))),
        (Cell::Kind(l), Cell::Kind(r)) => Some(Some(l.cmp(r))),
        (Cell::Int(l) | Cell::Duration(l), Cell::Int(r) | Cell::Duration(r)) => {
            Some(Some(l.cmp(r)))
        }
        (l, r) => Some(l.number()?.partial_cmp(&r.number()?)),
    }
}

/// Compares; values of different types never satisfy anything. Of an array any element must
/// satisfy it, except for `!=`, which all comparable elements must, and there must be one.
pub(crate) fn compare(op: Comparison, left: &Cell<'_>, right: &Cell<'_>) -> bool {
    match (left, right) {
        (Cell::Many(cells), other) => over_elements(op, cells, |cell| compare_one(op, cell, other)),
        (other, Cell::Many(cells)) => over_elements(op, cells, |cell| compare_one(op, other, cell)),
        (left, right) => compare_one(op, left, right).unwrap_or(false),
    }
}

fn compare_one(op: Comparison, left: &Cell<'_>, right: &Cell<'_>) -> Option<bool> {
    let ordering = order(left, right)?;
    let has_order = !matches!(left, Cell::Bool(_) | Cell::Status(_) | Cell::Kind(_));
    Some(op.accepts(ordering) && (has_order || !op.is_ordering()))
}

fn over_elements<'c, 'a: 'c>(
    op: Comparison,
    cells: &'c [Cell<'a>],
    test: impl Fn(&'c Cell<'a>) -> Option<bool>,
) -> bool {
    let mut outcomes = cells.iter().filter_map(test);
    if op == Comparison::NotEqual {
        let mut seen = false;
        outcomes.all(|unequal| {
            seen = true;
            unequal
        }) && seen
    } else {
        outcomes.any(|holds| holds)
    }
}

/// Matches a string, or any element of an array; negated, a string that does not match, or an array
/// with strings of which none does.
pub(crate) fn matches(negated: bool, regex: &Regex, cell: &Cell<'_>) -> bool {
    match cell {
        Cell::Str(text) => regex.is_match(text) != negated,
        Cell::Many(cells) => {
            let mut texts = cells.iter().filter_map(|cell| match cell {
                Cell::Str(text) => Some(text),
                _ => None,
            });
            if negated {
                let is_any = texts.clone().next().is_some();
                is_any && texts.all(|text| !regex.is_match(text))
            } else {
                texts.any(|text| regex.is_match(text))
            }
        }
        _ => false,
    }
}

/// Nanoseconds as Go prints a duration.
pub(crate) fn go_duration(ns: i64) -> String {
    let magnitude = ns.unsigned_abs();
    let sign = if ns < 0 { "-" } else { "" };
    let fraction = |unit: u64, name: &str| {
        let mut text = format!("{sign}{}", magnitude / unit);
        if !magnitude.is_multiple_of(unit) {
            let digits = unit.ilog10() as usize;
            let rest = format!("{:0digits$}", magnitude % unit);
            push(&mut text, format_args!(".{}", rest.trim_end_matches('0')));
        }
        text + name
    };
    match magnitude {
        0 => "0s".into(),
        1..1_000 => fraction(1, "ns"),
        1_000..1_000_000 => fraction(1_000, "\u{b5}s"),
        1_000_000..1_000_000_000 => fraction(1_000_000, "ms"),
        _ => {
            let seconds = magnitude / 1_000_000_000;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let mut text = sign.to_owned();
            if hours > 0 {
                push(&mut text, format_args!("{hours}h"));
            }
            if hours > 0 || minutes > 0 {
                push(&mut text, format_args!("{minutes}m"));
            }
            let rest = format!("{:09}", magnitude % 1_000_000_000);
            let rest = rest.trim_end_matches('0');
            let point = if rest.is_empty() { "" } else { "." };
            push(&mut text, format_args!("{}{point}{rest}s", seconds % 60));
            text
        }
    }
}
