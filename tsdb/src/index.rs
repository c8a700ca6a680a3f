//! From matchers to series: for each label name and value, the sorted numbers of its series.

use model::labels::Labels;
use model::{MatchOp, Matcher};
use rustc_hash::FxHashMap;

/// Postings of all label values.
#[derive(Debug, Default)]
pub(crate) struct Index {
    names: FxHashMap<Box<str>, FxHashMap<Box<str>, Vec<u32>>>,
}

impl Index {
    /// Adds a series; nearly always the one with the highest number.
    pub(crate) fn add(&mut self, labels: &Labels, number: u32) {
        for (name, value) in labels.iter() {
            if !self.names.contains_key(name) {
                self.names.insert(name.into(), FxHashMap::default());
            }
            let Some(values) = self.names.get_mut(name) else { continue };
            match values.get_mut(value) {
                Some(postings) => {
                    let at = postings.partition_point(|other| *other < number);
                    postings.insert(at, number);
                }
                None => {
                    values.insert(value.into(), vec![number]);
                }
            }
        }
    }

    /// Removes a series.
    pub(crate) fn remove(&mut self, labels: &Labels, number: u32) {
        for (name, value) in labels.iter() {
            let Some(values) = self.names.get_mut(name) else { continue };
            if let Some(postings) = values.get_mut(value) {
                if let Ok(at) = postings.binary_search(&number) {
                    postings.remove(at);
                }
                if postings.is_empty() {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                self.names.remove(name);
            }
        }
    }

    /// Numbers of series that may match, sorted: those of the most selective matcher that names
    /// values. `None` if no matcher narrows the choice. Callers check every matcher again.
    pub(crate) fn candidates(&self, matchers: &[Matcher]) -> Option<Vec<u32>> {
        let mut best: Option<Vec<u32>> = None;
        for matcher in matchers.iter().filter(|matcher| !matcher.matches_empty()) {
            let found = self.postings(matcher);
            if best.as_ref().is_none_or(|best| found.len() < best.len()) {
                best = Some(found);
            }
        }
        best
    }

    fn postings(&self, matcher: &Matcher) -> Vec<u32> {
        let Some(values) = self.names.get(matcher.name.as_str()) else { return Vec::new() };
        if matcher.op == MatchOp::Equal {
            return values.get(matcher.value.as_str()).cloned().unwrap_or_default();
        }
        let mut found: Vec<u32> = values
            .iter()
            .filter(|(value, _)| matcher.matches(value))
            .flat_map(|(_, postings)| postings.iter().copied())
            .collect();
        found.sort_unstable();
        found
    }
}
