//! What a sender should know although nothing was refused for it. The categories are those of
//! Prometheus's `otlp_translation_warnings_total`, and two of our own.

use model::write::Refusal;

/// A metric has no data points.
pub(super) const EMPTY_DATA_POINTS: &str = "empty_data_points";
/// Attributes have one label name.
pub(super) const LABEL_NAME_COLLISION: &str = "label_name_collision";
/// A histogram of no observations has a sum.
pub(super) const ZERO_COUNT_NON_ZERO_SUM: &str = "histogram_zero_count_non_zero_sum";
/// An attribute can not be a label.
pub(super) const LABEL_NAME: &str = "label_name";
/// A metric is of no kind that is known.
pub(super) const UNKNOWN_DATA: &str = "unknown_data";

/// Warnings of one request, one entry a category.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Warnings(Vec<Refusal>);

impl Warnings {
    /// Counts one; `example` is asked only for the first of a category.
    pub(super) fn warn(&mut self, category: &'static str, example: impl FnOnce() -> String) {
        match self.0.iter_mut().find(|warning| warning.reason == category) {
            Some(warning) => warning.count += 1,
            None => self.0.push(Refusal { reason: category, count: 1, example: example() }),
        }
    }

    /// Category, count and a sentence about one of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, u64, &str)> {
        self.0.iter().map(|warning| (warning.reason, warning.count, warning.example.as_str()))
    }
}
