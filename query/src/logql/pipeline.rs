//! What happens to one line: filters, parsers, and the labels that come of them.
//!
//! A stage that fails keeps the line and marks it with `__error__`. Names that clash: the base name
//! goes to the stream label, then to metadata, then to a parsed label; the loser gets the suffix
//! `_extracted`, where parsed wins over metadata.

use std::borrow::Cow;
use std::fmt;

use model::log::LogRow;
use model::{Labels, Matcher};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::ast::{LabelFilter, LabelPick, LogExpr, Stage, Unit};
use crate::text::{parse_bytes, parse_go_duration_ns};
use crate::vector::{BinaryOp, scalar_binary};

/// Where a label of a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Stream,
    Metadata,
    Parsed,
}

/// One label of a line.
#[derive(Debug, Clone)]
pub(super) struct LineLabel<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: Cow<'a, str>,
    pub(super) kind: Kind,
}

/// The labels of a line while it passes through a pipeline.
#[derive(Debug, Clone, Default)]
pub(super) struct LineLabels<'a> {
    pub(super) labels: Vec<LineLabel<'a>>,
    pub(super) error: Option<(&'static str, String)>,
}

pub(super) const ERROR: &str = "__error__";
pub(super) const ERROR_DETAILS: &str = "__error_details__";

/// Objects nested deeper than this are not flattened.
const JSON_DEPTH_MAX: usize = 64;

impl<'a> LineLabels<'a> {
    fn of(row: &LogRow<'a>) -> Self {
        let mut all = LineLabels::default();
        for (name, value) in row.stream.iter() {
            let (name, value) = (name.into(), value.into());
            all.labels.push(LineLabel { name, value, kind: Kind::Stream });
        }
        for field in row.metadata {
            all.add(field.name.into(), field.value.into(), Kind::Metadata);
        }
        all
    }

    pub(super) fn get(&self, name: &str) -> &str {
        match name {
            ERROR => self.error.as_ref().map_or("", |(kind, _)| kind),
            ERROR_DETAILS => self.error.as_ref().map_or("", |(_, details)| details),
            _ => self.labels.iter().find(|label| label.name == name).map_or("", |l| &l.value),
        }
    }

    fn add(&mut self, name: Cow<'a, str>, value: Cow<'a, str>, kind: Kind) {
        if value.is_empty() || name.is_empty() {
            return;
        }
        let taken = |labels: &[LineLabel<'_>], name: &str| {
            labels.iter().any(|label| label.name == name && label.kind != kind)
        };
        let name =
            if taken(&self.labels, &name) { Cow::Owned(format!("{name}_extracted")) } else { name };
        // The suffixed name and a repeated name go to the latest.
        self.labels.retain(|label| label.name != name);
        self.labels.push(LineLabel { name, value, kind });
    }

    fn set_error(&mut self, kind: &'static str, details: impl fmt::Display) {
        if self.error.is_none() {
            self.error = Some((kind, details.to_string()));
        }
    }

    /// All labels of the line, errors included, as one set.
    pub(super) fn all(&self) -> Labels {
        let error = self
            .error
            .iter()
            .flat_map(|(kind, details)| [(ERROR, *kind), (ERROR_DETAILS, details.as_str())]);
        let labels = self.labels.iter().map(|label| (label.name.as_ref(), label.value.as_ref()));
        Labels::from_pairs(labels.chain(error))
    }
}

/// The stages of a query, ready to run.
pub(super) struct Pipeline<'e> {
    stages: &'e [Stage],
    /// Whether any stage looks at labels.
    uses_labels: bool,
}

/// A line that passed.
pub(super) enum Passed<'a> {
    /// With the labels that it came with.
    Unchanged,
    /// With labels that stages worked on.
    Labels(LineLabels<'a>),
}

impl<'e> Pipeline<'e> {
    pub(super) fn new(log: &'e LogExpr) -> Self {
        let uses_labels = log.stages.iter().any(|stage| !matches!(stage, Stage::Line(_)));
        Pipeline { stages: &log.stages, uses_labels }
    }

    /// Whether nothing but the line itself is looked at.
    pub(super) fn is_lines_only(&self) -> bool {
        !self.uses_labels
    }

    /// Runs a line through all stages; `None` if one of them drops it.
    pub(super) fn run<'a>(&self, row: &LogRow<'a>) -> Option<Passed<'a>> {
        if !self.uses_labels {
            let accepts =
                |stage: &Stage| matches!(stage, Stage::Line(filter) if filter.accepts(row.line));
            return self.stages.iter().all(accepts).then_some(Passed::Unchanged);
        }
        let mut labels: Option<LineLabels<'a>> = None;
        for stage in self.stages {
            if let Stage::Line(filter) = stage {
                if !filter.accepts(row.line) {
                    return None;
                }
                continue;
            }
            let labels = labels.get_or_insert_with(|| LineLabels::of(row));
            match stage {
                Stage::Line(_) => {}
                Stage::Label(filter) => {
                    if !passes(filter, labels) {
                        return None;
                    }
                }
                Stage::Json => json(row.line, labels),
                Stage::Logfmt { strict } => logfmt(row.line, *strict, labels),
                Stage::Drop(picks) => drop_labels(picks, labels),
                Stage::Keep(picks) => {
                    labels.labels.retain(|l| picked(picks, &l.name, &l.value));
                }
            }
        }
        Some(labels.map_or(Passed::Unchanged, Passed::Labels))
    }

    /// The labels of a line that passed.
    pub(super) fn labels<'a>(&self, row: &LogRow<'a>, passed: Passed<'a>) -> LineLabels<'a> {
        match passed {
            Passed::Unchanged => LineLabels::of(row),
            Passed::Labels(labels) => labels,
        }
    }
}

fn picked(picks: &[LabelPick], name: &str, value: &str) -> bool {
    picks.iter().any(|pick| {
        pick.name == name && pick.matcher.as_ref().is_none_or(|matcher| matcher.matches(value))
    })
}

fn drop_labels(picks: &[LabelPick], labels: &mut LineLabels<'_>) {
    labels.labels.retain(|label| !picked(picks, &label.name, &label.value));
    if let Some((kind, details)) = &mut labels.error {
        if picked(picks, ERROR_DETAILS, details) {
            details.clear();
        }
        if picked(picks, ERROR, kind) {
            labels.error = None;
        }
    }
}

fn passes(filter: &LabelFilter, labels: &mut LineLabels<'_>) -> bool {
    match filter {
        LabelFilter::Text(matcher) => matches_text(matcher, labels),
        LabelFilter::And(left, right) => passes(left, labels) && passes(right, labels),
        LabelFilter::Or(left, right) => passes(left, labels) || passes(right, labels),
        LabelFilter::Quantity { name, op, value, unit } => {
            // A line with an error stays for a filter on the error itself.
            if labels.error.is_some() {
                return true;
            }
            let text = labels.get(name);
            if text.is_empty() {
                return false;
            }
            match read(text, *unit) {
                Some(found) => compare(*op, found, *value),
                None => {
                    let details = format!("can not read {text:?} of label {name}");
                    labels.set_error("LabelFilterErr", details);
                    true
                }
            }
        }
    }
}

fn matches_text(matcher: &Matcher, labels: &LineLabels<'_>) -> bool {
    matcher.matches(labels.get(&matcher.name))
}

fn read(text: &str, unit: Unit) -> Option<f64> {
    match unit {
        Unit::Number => text.parse().ok(),
        Unit::Duration => parse_go_duration_ns(text).map(|ns| ns as f64),
        Unit::Bytes => parse_bytes(text),
    }
}

fn compare(op: BinaryOp, found: f64, wanted: f64) -> bool {
    scalar_binary(op, &[found], &[wanted]) == [1.0]
}

/// A JSON object's members with their values as written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &RawValue>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

fn json(line: &str, labels: &mut LineLabels<'_>) {
    match serde_json::from_str::<Members<'_>>(line) {
        Ok(members) => flatten(&members, "", 0, labels),
        Err(error) => labels.set_error("JSONParserErr", error),
    }
}

fn flatten(members: &Members<'_>, prefix: &str, depth: usize, labels: &mut LineLabels<'_>) {
    for (name, value) in &members.0 {
        let name = sanitize(name);
        let name = if prefix.is_empty() { name } else { format!("{prefix}_{name}") };
        let raw = value.get();
        match raw.as_bytes().first() {
            Some(b'{') if depth < JSON_DEPTH_MAX => {
                if let Ok(inner) = serde_json::from_str::<Members<'_>>(raw) {
                    flatten(&inner, &name, depth + 1, labels);
                }
            }
            Some(b'{' | b'[' | b'n') | None => {}
            Some(b'"') => {
                let text: String = serde_json::from_str(raw).unwrap_or_default();
                labels.add(name.into(), text.into(), Kind::Parsed);
            }
            Some(_) => labels.add(name.into(), raw.to_owned().into(), Kind::Parsed),
        }
    }
}

/// A label name may hold letters, digits and underscores, and does not begin with a digit.
fn sanitize(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let digit_first = name.starts_with(|c: char| c.is_ascii_digit());
    let mut clean = String::with_capacity(name.len() + 1);
    if digit_first {
        clean.push('_');
    }
    clean.extend(name.trim().chars().map(plain));
    clean
}

fn logfmt(line: &str, strict: bool, labels: &mut LineLabels<'_>) {
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let key_length =
            rest.find(|c: char| c == '=' || c == '"' || c.is_whitespace()).unwrap_or(rest.len());
        let (key, after) = rest.split_at(key_length);
        if key.is_empty() || after.starts_with('"') {
            if strict {
                labels
                    .set_error("LogfmtParserErr", format!("unexpected {:?}", after.chars().next()));
                return;
            }
            // The malformed word is skipped.
            let skip = rest.find(char::is_whitespace).unwrap_or(rest.len());
            rest = rest[skip..].trim_start();
            continue;
        }
        let Some(value) = after.strip_prefix('=') else {
            rest = after.trim_start();
            continue;
        };
        let (value, after) = if let Some(quoted) = value.strip_prefix('"') {
            match quoted_value(quoted) {
                Some((value, after)) => (value, after),
                None => {
                    if strict {
                        labels.set_error("LogfmtParserErr", "unterminated quoted value");
                    }
                    return;
                }
            }
        } else {
            let end = value.find(char::is_whitespace).unwrap_or(value.len());
            (value[..end].to_owned(), &value[end..])
        };
        labels.add(sanitize(key).into(), value.into(), Kind::Parsed);
        rest = after.trim_start();
    }
}

/// The inside of a quoted value, whose opening quote is already taken, and what follows it.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let value = serde_json::from_str(&text_in_quotes(&text[..i]))
                    .unwrap_or_else(|_| text[..i].to_owned());
                return Some((value, &text[i + 1..]));
            }
            _ => {}
        }
    }
    None
}

fn text_in_quotes(body: &str) -> String {
    format!("\"{body}\"")
}
