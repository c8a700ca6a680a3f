//! Label names and values from the indexes alone, where no sample needs to be looked at.

use std::collections::BTreeSet;

use model::read::RangeMs;
use model::{Matcher, QueryContext};
use roaring::RoaringBitmap;

use crate::block::Block;
use crate::store::{Tsdb, rollups};

/// What is asked of the series that match.
#[derive(Clone, Copy)]
pub(super) enum Asked<'a> {
    Names,
    ValuesOf(&'a str),
}

impl Asked<'_> {
    /// The answer of a block for all of its series, or for `some`.
    fn of_block(self, block: &Block, some: Option<&RoaringBitmap>) -> disk::Result<Vec<String>> {
        match (self, some) {
            (Asked::Names, None) => Ok(block.label_names().map(str::to_owned).collect()),
            (Asked::Names, Some(series)) => block.label_names_of(series),
            (Asked::ValuesOf(name), None) => {
                let values = block.label_values(name)?;
                Ok(values.into_iter().map(|(value, _)| value).collect())
            }
            (Asked::ValuesOf(name), Some(series)) => block.label_values_of(name, series),
        }
    }
}

impl Tsdb {
    /// The answer, sorted, if every block of the range lies inside of it and nothing is hidden from
    /// queries: then each series of a block counts. `None` if samples must be looked at.
    pub(super) fn labels_of_indexes(
        &self,
        asked: Asked<'_>,
        matchers: &[Matcher],
        range: RangeMs,
        context: &QueryContext,
    ) -> model::Result<Option<Vec<String>>> {
        self.check_loaded()?;
        let mut found: BTreeSet<String> = BTreeSet::new();
        let mut add = |text: &str| {
            if !found.contains(text) {
                found.insert(text.to_owned());
            }
        };
        let view = {
            let live = self.live.read();
            let view = self.view.read().clone();
            let is_whole =
                |range_of: RangeMs| range.start <= range_of.start && range_of.end <= range.end;
            let is_simple = view.masks.is_empty()
                && !self.has_retention_rules()
                && self.keep_ms_max().is_none()
                && view.blocks.iter().all(|open| !open.overlaps(range) || is_whole(open.range()));
            if !is_simple {
                return Ok(None);
            }
            for slot in live.head.catalogue.select(matchers) {
                if !live.head.has_samples(slot, range) {
                    continue;
                }
                for (name, value) in live.head.catalogue.label_refs(slot) {
                    match asked {
                        Asked::Names => add(name),
                        Asked::ValuesOf(wanted) if wanted == name => add(value),
                        Asked::ValuesOf(_) => {}
                    }
                }
            }
            view
        };
        let readable = rollups::readable(&view, None);
        for (place, open) in view.blocks.iter().enumerate() {
            if !readable[place] || !open.overlaps(range) {
                continue;
            }
            context.check()?;
            let some = if matchers.is_empty() {
                None
            } else {
                Some(self.guard(open, open.block.select(matchers))?)
            };
            if some.as_ref().is_some_and(RoaringBitmap::is_empty) {
                continue;
            }
            let answer = asked.of_block(&open.block, some.as_ref());
            self.guard(open, answer)?.iter().for_each(|text| add(text));
        }
        Ok(Some(found.into_iter().collect()))
    }
}
