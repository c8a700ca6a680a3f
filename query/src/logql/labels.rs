//! The labels of one line while it passes through a pipeline.
//!
//! Names that clash: the base name goes to the label of the stream, then to metadata, then to a
//! parsed label; the loser gets the suffix `_extracted`, where parsed wins over metadata. A parsed
//! label that is there already is not written again by a parser, but for those that are told which
//! labels to write.

use std::borrow::Cow;

use model::Labels;
use model::log::{LogRow, is_bookkeeping};
use template::TextMap;

pub(super) const ERROR: &str = "__error__";
pub(super) const ERROR_DETAILS: &str = "__error_details__";
pub(super) const PRESERVE_ERROR: &str = "__preserve_error__";
/// What the loser of a clash gets behind its name.
pub(super) const EXTRACTED: &str = "_extracted";

/// Where a label of a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Stream,
    Metadata,
    Parsed,
}

/// One label of a line. Its value may be empty, which is not the same as its absence.
#[derive(Debug, Clone)]
pub(super) struct LineLabel<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: Cow<'a, str>,
    pub(super) kind: Kind,
}

/// The labels of a line.
#[derive(Debug, Clone)]
pub(super) struct LineLabels<'a> {
    stream: &'a Labels,
    pub(super) labels: Vec<LineLabel<'a>>,
    /// The kind of error, or empty.
    pub(super) error: Cow<'static, str>,
    /// What exactly went wrong, or empty.
    pub(super) details: String,
    /// Parsed labels that are gone.
    dropped: Vec<Cow<'a, str>>,
}

impl<'a> LineLabels<'a> {
    pub(super) fn of(row: &LogRow<'a>) -> Self {
        let mut all = LineLabels {
            stream: row.stream,
            labels: Vec::with_capacity(row.stream.len() + row.metadata.len() + 4),
            error: "".into(),
            details: String::new(),
            dropped: Vec::new(),
        };
        for (name, value) in row.stream.iter() {
            let (name, value) = (name.into(), value.into());
            all.labels.push(LineLabel { name, value, kind: Kind::Stream });
        }
        for field in row.metadata {
            match field.name {
                ERROR => all.error = field.value.to_owned().into(),
                ERROR_DETAILS => all.details = field.value.to_owned(),
                name if is_bookkeeping(name) => {}
                name => {
                    let name = if row.stream.get(name).is_some() {
                        format!("{name}{EXTRACTED}").into()
                    } else {
                        name.into()
                    };
                    all.set(name, field.value.into(), Kind::Metadata);
                }
            }
        }
        all
    }

    /// The value of a label, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let some = |text: &'_ str| !text.is_empty();
        match name {
            ERROR => Some(self.error.as_ref()).filter(|text| some(text)),
            ERROR_DETAILS => Some(self.details.as_str()).filter(|text| some(text)),
            _ => self.labels.iter().find(|label| label.name == name).map(|l| l.value.as_ref()),
        }
    }

    pub(super) fn has_error(&self) -> bool {
        !self.error.is_empty()
    }

    /// Writes a label, whatever was there.
    pub(super) fn set(&mut self, name: Cow<'a, str>, value: Cow<'a, str>, kind: Kind) {
        self.labels.retain(|label| label.name != name);
        self.labels.push(LineLabel { name, value, kind });
    }

    /// Removes a label.
    pub(super) fn remove(&mut self, name: &str) {
        let dropped = &mut self.dropped;
        self.labels.retain_mut(|label| {
            let is_it = label.name == name;
            if is_it && label.kind == Kind::Parsed {
                dropped.push(std::mem::take(&mut label.name));
            }
            !is_it
        });
    }

    /// Whether a parsed label would lose its name to one that the line came with. A label of the
    /// stream keeps its name even when it was dropped.
    pub(super) fn is_taken(&self, name: &str) -> bool {
        self.stream.get(name).is_some()
            || self.labels.iter().any(|label| label.kind == Kind::Metadata && label.name == name)
    }

    /// Whether a parser wrote the label before.
    pub(super) fn is_extracted(&self, name: &str) -> bool {
        self.labels.iter().any(|label| label.kind == Kind::Parsed && label.name == name)
            || self.dropped.iter().any(|dropped| dropped == name)
    }

    /// All labels of the line, errors included.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let errors = [(ERROR, self.error.as_ref()), (ERROR_DETAILS, self.details.as_str())];
        let errors = errors.into_iter().filter(|(_, value)| !value.is_empty());
        let labels = self.labels.iter().map(|label| (label.name.as_ref(), label.value.as_ref()));
        labels.chain(errors)
    }

    /// All labels of the line, errors included, as one set. Empty values stay.
    pub(super) fn all(&self) -> Labels {
        Labels::from_pairs_with_empty(self.pairs())
    }
}

/// As templates see them.
impl TextMap for LineLabels<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        LineLabels::get(self, name)
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        let mut pairs: Vec<_> = LineLabels::pairs(self).collect();
        pairs.sort_unstable();
        pairs
    }
}

/// A label name may hold letters, digits and underscores, and does not begin with a digit.
pub(super) fn sanitize(name: &str) -> String {
    let mut clean = String::with_capacity(name.len() + 1);
    push_sanitized(&mut clean, name);
    clean
}

/// Adds a part of a name.
pub(super) fn push_sanitized(clean: &mut String, part: &str) {
    let part = part.trim();
    if clean.is_empty() && part.starts_with(|c: char| c.is_ascii_digit()) {
        clean.push('_');
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    clean.extend(part.chars().map(plain));
}
