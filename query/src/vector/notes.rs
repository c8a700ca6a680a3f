//! Remarks about a result: Prometheus's annotations.

use crate::errors::Span;

/// Remarks about a result. Each text is there once, with the place it was last said of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// The result may be wrong or incomplete.
    pub warnings: Vec<String>,
    /// The result may surprise.
    pub infos: Vec<String>,
    /// Metrics with samples whose start times overlap, and how many windows have such samples.
    overlaps: Vec<(String, usize)>,
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
        let place = self.overlaps.iter().position(|(known, _)| known == metric);
        let place = place.unwrap_or_else(|| {
            self.overlaps.push((metric.to_owned(), 0));
            self.overlaps.len() - 1
        });
        let (_, count) = &mut self.overlaps[place];
        *count += 1;
        let text = |count: usize| {
            let times = if count > 1 { format!(" ({count} occurrences)") } else { String::new() };
            format!(
                "sample has start time that overlaps with previous sample timestamp for metric \
                 {metric:?}{times}"
            )
        };
        let (before, now) = (text(*count - 1), text(*count));
        let before = format!("PromQL warning: {before} (");
        self.warnings.retain(|known| !known.starts_with(&before));
        self.warn(span, &now);
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
