//! Which labels a metric query needs of its lines. Parsers stop as soon as they have written them,
//! so that an error further down a line that nobody asked about fails no query. This is part of what
//! users see of Loki (3.8, `pkg/logql/log/parser_hints.go`): `sum(count_over_time({..} | json [1m]))`
//! parses nothing.

use super::ast::{Format, LogExpr, Stage, Unwrap};
use super::labels::{ERROR, EXTRACTED, LineLabels};
use crate::vector::Grouping;

/// Which labels are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Needs {
    /// All that can be had.
    All,
    /// None: parsers need not run.
    None,
    /// These, and errors as labels of their own if they are among them.
    Only(Vec<String>),
}

impl Needs {
    /// What the pipeline itself and a grouping of its series need. `no_labels` says that series
    /// have no labels at all.
    pub(super) fn of(
        log: &LogExpr,
        unwrap: Option<&Unwrap>,
        grouping: Option<&Grouping>,
        no_labels: bool,
    ) -> Needs {
        let mut names: Vec<&str> = Vec::new();
        for stage in &log.stages {
            match stage {
                Stage::Label(filter) => filter.names(&mut names),
                Stage::LineFormat(_) => return Needs::All,
                Stage::LabelFormat(formats) => {
                    for label in formats {
                        match &label.format {
                            Format::Rename(from) => names.push(from),
                            Format::Template(_) => return Needs::All,
                        }
                    }
                }
                _ => {}
            }
        }
        if let Some(unwrap) = unwrap {
            unwrap.filters.iter().for_each(|filter| filter.names(&mut names));
        }
        let by = grouping.filter(|grouping| !grouping.without && !grouping.labels.is_empty());
        match by {
            Some(grouping) => names.extend(grouping.labels.iter().map(String::as_str)),
            None if !no_labels => return Needs::All,
            None => {}
        }
        names.extend(unwrap.map(|unwrap| unwrap.name.as_str()));
        let mut needed: Vec<String> = Vec::new();
        for name in names {
            needed.push(name.to_owned());
            // The parser has the name before it learns that it clashes.
            needed.extend(name.strip_suffix(EXTRACTED).map(str::to_owned));
        }
        needed.sort();
        needed.dedup();
        if needed.is_empty() { Needs::None } else { Needs::Only(needed) }
    }

    /// Whether a parser should write a label.
    pub(super) fn wants(&self, name: &str) -> bool {
        match self {
            Needs::All => true,
            Needs::None => false,
            Needs::Only(names) => names.iter().any(|needed| needed == name),
        }
    }

    /// Whether a parser should look for labels whose names begin so.
    pub(super) fn wants_prefix(&self, prefix: impl FnOnce() -> String) -> bool {
        match self {
            Needs::All => true,
            Needs::None => false,
            Needs::Only(names) => {
                let prefix = prefix();
                names.iter().any(|needed| needed.starts_with(&prefix))
            }
        }
    }

    /// Whether there is nothing left for a parser to write.
    pub(super) fn are_met(&self, labels: &LineLabels<'_>) -> bool {
        match self {
            Needs::All => false,
            Needs::None => true,
            Needs::Only(names) => names.iter().all(|name| labels.is_extracted(name)),
        }
    }

    /// Whether lines with errors are what the query is about.
    pub(super) fn preserve_errors(&self) -> bool {
        matches!(self, Needs::Only(names) if names.iter().any(|name| name == ERROR))
    }
}
