//! What became of an import.

use std::collections::BTreeMap;

/// Examples kept of a reason.
const EXAMPLES_MAX: usize = 3;

/// Reasons that are told apart.
const REASONS_MAX: usize = 100;

/// Samples that were refused for one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefusedSamples {
    /// How many.
    pub count: u64,
    /// Sentences of the server about the first of them.
    pub examples: Vec<String>,
}

/// What became of all files of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Samples that the server was sent.
    pub sent: u64,
    /// Samples that the server keeps.
    pub kept: u64,
    /// Requests that were answered.
    pub requests: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// What the server refused, by reason.
    pub refused: BTreeMap<String, RefusedSamples>,
}

impl ImportReport {
    /// Notes an answer of 400: how many of the `sent` samples were kept, and the server's message.
    pub(super) fn refuse(&mut self, sent: u64, kept: u64, message: &str) {
        self.kept += kept;
        let mut missing = sent.saturating_sub(kept);
        for (count, reason, example) in sentences(message) {
            missing = missing.saturating_sub(count);
            self.add(reason, count, example);
        }
        if missing > 0 {
            self.add("not said", missing, message);
        }
    }

    fn add(&mut self, reason: &str, count: u64, example: &str) {
        let is_new = !self.refused.contains_key(reason);
        let reason = if is_new && self.refused.len() >= REASONS_MAX { "other" } else { reason };
        let refused = self.refused.entry(reason.to_owned()).or_default();
        refused.count += count;
        if refused.examples.len() < EXAMPLES_MAX {
            refused.examples.push(example.trim().to_owned());
        }
    }
}

/// The parts `N refused (reason): example` of a server's message.
fn sentences(message: &str) -> impl Iterator<Item = (u64, &str, &str)> {
    message.split("; ").filter_map(|sentence| {
        let (count, rest) = sentence.split_once(" refused (")?;
        let (reason, example) = rest.split_once("): ")?;
        Some((count.trim().parse().ok()?, reason, example))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_answers_are_added_up() {
        let mut report = ImportReport::default();
        let message = "5 samples and histograms and 0 exemplars were kept; 2 refused (too_old): a; \
                       1 refused (bad_labels): b";
        report.refuse(9, 5, message);
        report.refuse(2, 0, "no such thing");
        assert_eq!(report.kept, 5);
        let counts: Vec<(&str, u64)> = report
            .refused
            .iter()
            .map(|(reason, refused)| (reason.as_str(), refused.count))
            .collect();
        assert_eq!(counts, [("bad_labels", 1), ("not said", 3), ("too_old", 2)]);
    }
}
