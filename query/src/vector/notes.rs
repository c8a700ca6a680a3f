//! Remarks about a result: Prometheus's annotations.

use std::fmt;

use crate::errors::Span;

/// Remarks about a result. Each text is there once, with the place it was last said of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// The result may be wrong or incomplete.
    pub warnings: Vec<String>,
    /// The result may surprise.
    pub infos: Vec<String>,
    overlaps: Vec<Overlaps>,
}

impl Notes {
    /// Adds a warning about the expression at `span`.
    pub fn warn(&mut self, span: Span, text: &str) {
        put(&mut self.warnings, format!("PromQL warning: {text}"), span);
    }

    /// Adds an info about the expression at `span`.
    pub fn info(&mut self, span: Span, text: &str) {
        put(&mut self.infos, format!("PromQL info: {text}"), span);
    }

    /// Warns that histograms of standard schemas and of custom bounds met.
    pub(crate) fn warn_mixed_schemas(&mut self, span: Span, metric: &str) {
        let text = format!(
            "vector contains a mix of histograms with exponential and custom buckets schemas for \
             metric name {metric:?}"
        );
        self.warn(span, &text);
    }

    /// Warns that a sample of a window began to count before the sample before it was taken.
    pub(crate) fn warn_starts_overlap(&mut self, span: Span, metric: &str) {
        self.add_overlaps(span, metric, 1);
    }

    fn add_overlaps(&mut self, span: Span, metric: &str, more: usize) {
        let place = self.overlaps.iter().position(|known| known.metric == metric);
        let place = place.unwrap_or_else(|| {
            self.overlaps.push(Overlaps { metric: metric.to_owned(), count: 0, span });
            self.overlaps.len() - 1
        });
        let known = &mut self.overlaps[place];
        let before = known.to_string();
        (known.count, known.span) = (known.count + more, span);
        let now = known.to_string();
        let before = format!("PromQL warning: {before} (");
        self.warnings.retain(|known| !known.starts_with(&before));
        self.warn(span, &now);
    }

    /// Adds what was noted of the same query elsewhere.
    pub(crate) fn add(&mut self, other: Notes) {
        for overlaps in &other.overlaps {
            self.add_overlaps(overlaps.span, &overlaps.metric, overlaps.count);
        }
        let counted: Vec<String> =
            other.overlaps.iter().map(|o| format!("PromQL warning: {o} (")).collect();
        let is_counted = |text: &String| counted.iter().any(|counted| text.starts_with(counted));
        for text in other.warnings.into_iter().filter(|text| !is_counted(text)) {
            if !self.warnings.contains(&text) {
                self.warnings.push(text);
            }
        }
        for text in other.infos {
            if !self.infos.contains(&text) {
                self.infos.push(text);
            }
        }
    }
}

/// Windows of a metric with samples whose start times overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Overlaps {
    metric: String,
    count: usize,
    /// Where it was last said.
    span: Span,
}

impl fmt::Display for Overlaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric = &self.metric;
        write!(
            f,
            "sample has start time that overlaps with previous sample timestamp for metric \
             {metric:?}"
        )?;
        match self.count {
            0 | 1 => Ok(()),
            count => write!(f, " ({count} occurrences)"),
        }
    }
}

fn put(texts: &mut Vec<String>, mut text: String, span: Span) {
    let is_same = |known: &&mut String| {
        known.strip_prefix(text.as_str()).is_some_and(|rest| {
            let place = rest.strip_prefix(" (").and_then(|rest| rest.strip_suffix(')'));
            place.is_some_and(|place| place.bytes().all(|b| b.is_ascii_digit() || b == b':'))
        })
    };
    let place = texts.iter_mut().find(is_same);
    text.push_str(&format!(" ({span})"));
    match place {
        Some(known) => *known = text,
        None => texts.push(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_several_threads_are_those_of_one() {
        let span = Span { column: 7, ..Span::default() };
        let said = |metrics: &[&str]| {
            let mut notes = Notes::default();
            notes.info(span, "odd");
            metrics.iter().for_each(|metric| notes.warn_starts_overlap(span, metric));
            notes
        };
        let mut together = said(&["a", "b"]);
        together.add(said(&["a", "c"]));
        assert_eq!(together.infos, ["PromQL info: odd (1:7)"]);
        let mut one = said(&["b", "a", "a", "c"]).warnings;
        together.warnings.sort();
        one.sort();
        assert_eq!(together.warnings, one);
    }

    #[test]
    fn a_text_is_kept_once_with_its_last_place() {
        let mut notes = Notes::default();
        let at = |column| Span { column, ..Span::default() };
        notes.warn(at(3), "odd");
        notes.warn(at(9), "odd");
        notes.warn(at(1), "odd (1:3)");
        assert_eq!(
            notes.warnings,
            ["PromQL warning: odd (1:9)", "PromQL warning: odd (1:3) (1:1)"]
        );
    }
}
