//! What happens to one line: filters, parsers, and the labels that come of them.
//!
//! A stage that fails keeps the line and marks it with `__error__`.

use std::borrow::Cow;
use std::sync::LazyLock;

use model::TimestampNs;
use model::log::LogRow;
use regex::Regex;

use super::ast::{
    Conversion, DECOLORIZED, Format, LabelFilter, LabelFormat, LabelPick, LogExpr, Stage, Unit,
    Unwrap,
};
use super::labels::{ERROR, ERROR_DETAILS, Kind, LineLabels, PRESERVE_ERROR};
use super::needs::Needs;
use super::parsers::{self, Target};
use crate::vector::{BinaryOp, scalar_binary};
use template::values;

pub(super) const LABEL_FILTER_ERROR: &str = "LabelFilterErr";
pub(super) const TEMPLATE_ERROR: &str = "TemplateFormatErr";
pub(super) const SAMPLE_ERROR: &str = "SampleExtractionErr";

static COLORS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(DECOLORIZED).ok());

/// The stages of a query, ready to run.
pub(super) struct Pipeline<'e> {
    stages: &'e [Stage],
    needs: Needs,
    /// What `now` answers in templates.
    now: TimestampNs,
    /// Whether any stage looks at labels or changes the line.
    uses_labels: bool,
}

/// A line that passed.
pub(super) struct Passed<'a> {
    /// As stages left it.
    pub(super) line: Cow<'a, str>,
    /// `None` for those that it came with.
    pub(super) labels: Option<LineLabels<'a>>,
}

impl<'a> Passed<'a> {
    /// The labels of the line.
    pub(super) fn take_labels(&mut self, row: &LogRow<'a>) -> LineLabels<'a> {
        self.labels.take().unwrap_or_else(|| LineLabels::of(row))
    }
}

impl<'e> Pipeline<'e> {
    pub(super) fn new(log: &'e LogExpr, needs: Needs, now: TimestampNs) -> Self {
        let uses_labels = log.stages.iter().any(|stage| !matches!(stage, Stage::Line(_)));
        Pipeline { stages: &log.stages, needs, now, uses_labels }
    }

    /// Whether nothing but the line itself is looked at.
    pub(super) fn is_lines_only(&self) -> bool {
        !self.uses_labels
    }

    /// Runs a line through all stages; `None` if one of them drops it.
    pub(super) fn run<'a>(&self, row: &LogRow<'a>) -> Option<Passed<'a>> {
        let mut passed = Passed { line: row.line.into(), labels: None };
        if !self.uses_labels {
            let accepts =
                |stage: &Stage| matches!(stage, Stage::Line(filter) if filter.accepts(row.line));
            return self.stages.iter().all(accepts).then_some(passed);
        }
        for stage in self.stages {
            if let Stage::Line(filter) = stage {
                if !filter.accepts(&passed.line) {
                    return None;
                }
                continue;
            }
            let labels = passed.labels.get_or_insert_with(|| LineLabels::of(row));
            match stage {
                Stage::Label(filter) => {
                    if !passes(filter, labels) {
                        return None;
                    }
                }
                Stage::LineFormat(template) => {
                    let made = template.engine.render(labels, &passed.line, row.at.0, self.now.0);
                    match made {
                        Ok(line) => passed.line = line.into(),
                        Err(error) => {
                            labels.error = TEMPLATE_ERROR.into();
                            labels.details = error.to_string();
                        }
                    }
                }
                Stage::LabelFormat(formats) => {
                    let times = [row.at.0, self.now.0];
                    format_labels(formats, &passed.line, times, labels);
                }
                Stage::Decolorize => {
                    if let Some(colors) = COLORS.as_ref()
                        && let Cow::Owned(line) = colors.replace_all(&passed.line, "")
                    {
                        passed.line = line.into();
                    }
                }
                Stage::Drop(picks) => drop_labels(picks, labels),
                Stage::Keep(picks) => keep_labels(picks, labels),
                parser => self.parse(parser, &mut passed),
            }
        }
        Some(passed)
    }

    fn parse(&self, parser: &Stage, passed: &mut Passed<'_>) {
        let Some(labels) = &mut passed.labels else { return };
        if self.needs.are_met(labels) {
            return;
        }
        let needs = &self.needs;
        let line = match &passed.line {
            Cow::Borrowed(line) => {
                let line: &str = line;
                parsers::run(parser, line, &mut Target { labels, needs, own: |text| text })
            }
            // The labels of a line that a stage made are copies: the line may be made anew.
            Cow::Owned(line) => parsers::run(
                parser,
                line,
                &mut Target { labels, needs, own: |text: Cow<'_, str>| text.into_owned().into() },
            ),
        };
        if let Some(line) = line {
            passed.line = line.into();
        }
    }
}

fn format_labels(
    formats: &[LabelFormat],
    line: &str,
    [at_ns, now_ns]: [i64; 2],
    labels: &mut LineLabels<'_>,
) {
    // Templates of one stage see the labels as the first of them found them.
    let mut before: Option<Vec<(String, String)>> = None;
    for LabelFormat { name, format } in formats {
        match format {
            Format::Rename(from) => {
                if let Some(value) = labels.get(from).map(str::to_owned) {
                    labels.set(name.clone().into(), value.into(), Kind::Parsed);
                    labels.remove(from);
                }
            }
            Format::Template(template) => {
                let seen = before.get_or_insert_with(|| {
                    labels.pairs().map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
                });
                match template.engine.render(seen, line, at_ns, now_ns) {
                    Ok(value) => labels.set(name.clone().into(), value.into(), Kind::Parsed),
                    Err(error) => {
                        labels.error = TEMPLATE_ERROR.into();
                        labels.details = error.to_string();
                    }
                }
            }
        }
    }
}

fn drop_labels(picks: &[LabelPick], labels: &mut LineLabels<'_>) {
    for LabelPick { name, matcher } in picks {
        let value = labels.get(name).unwrap_or("");
        if matcher.as_ref().is_some_and(|matcher| !matcher.matches(value)) {
            continue;
        }
        match name.as_str() {
            ERROR => labels.error = "".into(),
            ERROR_DETAILS => labels.details.clear(),
            name => labels.remove(name),
        }
    }
}

fn keep_labels(picks: &[LabelPick], labels: &mut LineLabels<'_>) {
    let is_kept = |name: &str, value: &str| {
        picks.iter().any(|pick| {
            pick.name == name && pick.matcher.as_ref().is_none_or(|matcher| matcher.matches(value))
        })
    };
    let gone: Vec<String> = labels
        .labels
        .iter()
        .filter(|label| label.name != PRESERVE_ERROR && !is_kept(&label.name, &label.value))
        .map(|label| label.name.to_string())
        .collect();
    gone.iter().for_each(|name| labels.remove(name));
}

/// Whether a line passes a condition. A value that can not be read keeps the line and marks it.
pub(super) fn passes(filter: &LabelFilter, labels: &mut LineLabels<'_>) -> bool {
    match filter {
        LabelFilter::Text(matcher) => matcher.matches(labels.get(&matcher.name).unwrap_or("")),
        LabelFilter::And(left, right) => passes(left, labels) && passes(right, labels),
        LabelFilter::Or(left, right) => passes(left, labels) || passes(right, labels),
        LabelFilter::Ip { name, negated, range, .. } => {
            labels.has_error()
                || labels.get(name).is_some_and(|value| range.is_in_line(value) != *negated)
        }
        LabelFilter::Quantity { name, op, value, unit } => {
            let Some(text) = labels.get(name) else { return false };
            let found = match unit {
                Unit::Number => values::float(text),
                Unit::Duration => values::duration_ns(text).map(|ns| ns as f64),
                Unit::Bytes => values::bytes(text),
            };
            match found {
                Ok(found) => compare(*op, found, *value),
                Err(details) => {
                    if !labels.has_error() {
                        labels.error = LABEL_FILTER_ERROR.into();
                        labels.details = details;
                    }
                    true
                }
            }
        }
    }
}

fn compare(op: BinaryOp, found: f64, wanted: f64) -> bool {
    scalar_binary(op, &[found], &[wanted]) == [1.0]
}

/// The value of a line; `None` if it has none or a filter drops it. One that can not be read is
/// zero and marks the line.
pub(super) fn unwrap_value(unwrap: &Unwrap, labels: &mut LineLabels<'_>) -> Option<f64> {
    let text = labels.get(&unwrap.name).filter(|text| !text.is_empty())?;
    let value = match unwrap.conversion {
        Conversion::Number => values::float(text),
        Conversion::Bytes => values::bytes(text),
        Conversion::Duration | Conversion::DurationSeconds => {
            values::duration_ns(text).map(|ns| ns as f64 / 1e9)
        }
    };
    let value = value.unwrap_or_else(|details| {
        labels.error = SAMPLE_ERROR.into();
        labels.details = details;
        0.0
    });
    unwrap.filters.iter().all(|filter| passes(filter, labels)).then_some(value)
}
