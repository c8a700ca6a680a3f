//! From matchers to series.

use disk::Result;
use model::{MatchOp, Matcher};
use roaring::RoaringBitmap;

use super::reader::Block;

/// Characters that mean something in a regular expression.
const SPECIAL: &[char] = &['\\', '.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$'];
/// Unions of more postings than this are made at once, of fewer one by one.
const GATHER_MAX: usize = 1 << 20;

impl Block {
    /// The series that satisfy all matchers. Exact; a label that a series lacks counts as empty.
    pub(crate) fn select(&self, matchers: &[Matcher]) -> Result<RoaringBitmap> {
        let mut found: Option<RoaringBitmap> = None;
        // What demands a value comes first, equality before all: it narrows the choice.
        let mut ordered: Vec<&Matcher> = matchers.iter().collect();
        ordered.sort_by_key(|matcher| (matcher.matches_empty(), matcher.op != MatchOp::Equal));
        for matcher in ordered {
            if found.as_ref().is_some_and(RoaringBitmap::is_empty) {
                break;
            }
            if matcher.matches_empty() {
                if matcher.op == MatchOp::Matches && matcher.value == ".*" {
                    continue;
                }
                let refused = self.union(matcher, false)?;
                *found.get_or_insert_with(|| self.all()) -= refused;
            } else {
                let matching = self.union(matcher, true)?;
                found = Some(match found {
                    Some(found) => found & matching,
                    None => matching,
                });
            }
        }
        Ok(found.unwrap_or_else(|| self.all()))
    }

    fn all(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.series);
        all
    }

    /// Series with a value of the matcher's label that satisfies it, or that does not.
    fn union(&self, matcher: &Matcher, satisfies: bool) -> Result<RoaringBitmap> {
        let mut union = Union::default();
        let Some(name) = self.dictionary.name(&matcher.name) else { return Ok(union.done()) };
        // The values sought are known: those of an equality, of `!=`, and of `a|b|c`.
        let is_equality = matches!(matcher.op, MatchOp::Equal | MatchOp::NotEqual);
        let is_positive = matches!(matcher.op, MatchOp::Equal | MatchOp::Matches);
        if is_positive == satisfies
            && let Some(values) = literals(&matcher.value, is_equality)
        {
            for value in values {
                if let Some(postings) = self.dictionary.find(name, value, &self.file)? {
                    union.add(self.dictionary.series(&postings, &self.file)?);
                }
            }
            return Ok(union.done());
        }
        let prefix = match is_equality || is_positive != satisfies {
            true => "",
            false => literal_prefix(&matcher.value),
        };
        let from = (!prefix.is_empty()).then_some(prefix);
        self.dictionary.walk(name, from, &self.file, |value, postings| {
            if !value.starts_with(prefix) {
                return Ok(false);
            }
            if matcher.matches(value) == satisfies {
                union.add(self.dictionary.series(postings, &self.file)?);
            }
            Ok(true)
        })?;
        Ok(union.done())
    }
}

/// Joins many small sets without copying the large one each time.
#[derive(Default)]
struct Union {
    whole: RoaringBitmap,
    gathered: Vec<u32>,
}

impl Union {
    fn add(&mut self, series: RoaringBitmap) {
        if series.len() > 64 {
            self.whole |= series;
            return;
        }
        self.gathered.extend(series);
        if self.gathered.len() > GATHER_MAX {
            self.spill();
        }
    }

    fn spill(&mut self) {
        self.gathered.sort_unstable();
        self.gathered.dedup();
        if let Ok(gathered) = RoaringBitmap::from_sorted_iter(self.gathered.drain(..)) {
            self.whole |= gathered;
        }
    }

    fn done(mut self) -> RoaringBitmap {
        self.spill();
        self.whole
    }
}

/// The values that a pattern of literals names; `None` for any other pattern.
fn literals(pattern: &str, is_equality: bool) -> Option<Vec<&str>> {
    if is_equality {
        return Some(vec![pattern]);
    }
    let mut values: Vec<&str> = pattern.split('|').collect();
    values.sort_unstable();
    values.dedup();
    values.iter().all(|value| !value.contains(SPECIAL)).then_some(values)
}

/// What each value that matches a pattern begins with.
fn literal_prefix(pattern: &str) -> &str {
    let end = pattern.find(SPECIAL).unwrap_or(pattern.len());
    let (prefix, rest) = pattern.split_at(end);
    if pattern.contains('|') {
        return "";
    }
    // The last character may be repeated zero times.
    if rest.starts_with(['*', '?', '{']) {
        let last = prefix.char_indices().next_back();
        return last.map_or("", |(at, _)| &prefix[..at]);
    }
    prefix
}
