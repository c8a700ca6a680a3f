//! Label names and values from the indexes alone, where no sample needs to be looked at.
//!
//! A range picks blocks, and the head: every series of what it picks counts, as in Prometheus. So a
//! name may be told whose samples lie a little outside of the range, but never one whose samples are
//! deleted or past their retention.

use model::read::RangeMs;
use model::{Matcher, QueryContext};
use roaring::RoaringBitmap;

use crate::block::Block;
use crate::head::Among;
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
    /// The answer, sorted. `None` if samples must be looked at: something is hidden from queries.
    pub(super) fn labels_of_indexes(
        &self,
        asked: Asked<'_>,
        matchers: &[Matcher],
        range: RangeMs,
        context: &QueryContext,
    ) -> model::Result<Option<Vec<String>>> {
        self.check_loaded()?;
        let oldest = self.see_ms_max().map(|keep_ms| self.clock.now_ms().plus_ms(-keep_ms));
        let mut found: Vec<String> = Vec::new();
        let view = {
            let live = self.live.read();
            let view = self.view.read().clone();
            let is_simple = view.masks.is_empty()
                && !self.has_retention_rules()
                && view.blocks.iter().all(|open| {
                    !open.overlaps(range)
                        || oldest.is_none_or(|oldest| oldest <= open.range().start)
                });
            if !is_simple {
                return Ok(None);
            }
            if live.head.may_hold(range) {
                let catalogue = &live.head.catalogue;
                let idle = &live.head.idle;
                let some = (!matchers.is_empty()).then(|| catalogue.select(matchers) - idle);
                let among = some.as_ref().map_or(Among::AllBut(idle), Among::Some);
                let texts = match asked {
                    Asked::Names => catalogue.label_names(among),
                    Asked::ValuesOf(name) => catalogue.label_values(name, among),
                };
                found.extend(texts.into_iter().map(str::to_owned));
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
            found.append(&mut self.guard(open, answer)?);
        }
        // Of a few sorted runs; a stable sort merges them.
        found.sort();
        found.dedup();
        Ok(Some(found))
    }
}
