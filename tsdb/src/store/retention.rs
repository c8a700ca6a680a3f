//! Retention: what is too old is not seen, and its room is freed block by block.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::Matcher;
use model::labels::{Labels, METRIC_NAME};
use model::read::RangeMs;

use crate::error::Result;
use crate::head::Head;
use crate::head::catalogue::Catalogue;
use crate::options::RetentionRule;
use crate::store::Tsdb;
use crate::view::OpenBlock;

/// What the names of a metric's series have behind the name under which it is described.
const FAMILY_ENDS: [&str; 9] =
    ["", "_bucket", "_sum", "_count", "_gsum", "_gcount", "_total", "_created", "_info"];

/// Whether a metric has a series in memory.
fn has_any_of(catalogue: &Catalogue, family: &str) -> bool {
    let has = |end: &str| catalogue.series_with(METRIC_NAME, &format!("{family}{end}")) > 0;
    FAMILY_ENDS.iter().any(|end| has(end))
}

impl Tsdb {
    /// Drops blocks that are too old, or the oldest when all together are too large.
    pub(super) fn enforce_retention(&self) -> Result<()> {
        let view = self.view.read().clone();
        let mut gone: Vec<u64> = Vec::new();
        if let Some(keep_ms) = self.keep_ms_max() {
            let now = self.clock.now_ms().0;
            let is_old = |open: &&Arc<OpenBlock>| {
                let own_ms = open.rollup().map_or(0, |(ms, _)| self.options.keep_rollup_ms(ms));
                open.entry.meta.max_time < now.saturating_sub(keep_ms.max(own_ms))
            };
            gone.extend(view.blocks.iter().filter(is_old).map(|open| open.entry.number));
        }
        if self.options.retention_bytes > 0 {
            let mut held: Vec<_> =
                view.blocks.iter().filter(|open| !gone.contains(&open.entry.number)).collect();
            held.sort_by_key(|open| open.entry.meta.max_time);
            let mut bytes: u64 = held.iter().map(|open| open.entry.meta.bytes).sum();
            for open in held {
                if bytes <= self.options.retention_bytes {
                    break;
                }
                bytes -= open.entry.meta.bytes;
                gone.push(open.entry.number);
            }
        }
        drop(view);
        if !gone.is_empty() {
            self.replace_blocks(&gone, Vec::new())?;
            self.forget_metadata();
        }
        Ok(())
    }

    /// Forgets what metrics are of which no series is left, in memory or on disk. Who remembers that
    /// it told the store is told by the generation that it must again.
    pub(super) fn forget_metadata(&self) {
        let view = self.view.read().clone();
        let mut gone: BTreeSet<String> = {
            let live = self.live.read();
            let is_gone = |family: &&String| !has_any_of(&live.head.catalogue, family);
            live.head.metadata.keys().filter(is_gone).cloned().collect()
        };
        for open in &view.blocks {
            if gone.is_empty() {
                return;
            }
            // What can not be read may have series of any metric.
            let Ok(names) = open.block.label_values(METRIC_NAME) else { return };
            for (name, _) in &names {
                let ends = FAMILY_ENDS.iter().filter_map(|end| name.strip_suffix(end));
                for family in ends {
                    gone.remove(family);
                }
            }
        }
        let mut live = self.live.write();
        let Head { catalogue, metadata, .. } = &mut live.head;
        let before = metadata.len();
        metadata.retain(|family, _| !gone.contains(family) || has_any_of(catalogue, family));
        if metadata.len() < before {
            self.generation.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Rules by which nothing of their series is kept that is as old as `newest`.
    pub(super) fn rules_past(&self, newest: i64) -> impl Iterator<Item = &RetentionRule> {
        let now = self.clock.now_ms().0;
        let is_past = move |rule: &&RetentionRule| {
            rule.keep_ms > 0 && newest < now.saturating_sub(rule.keep_ms)
        };
        self.options.retention_rules.iter().filter(is_past)
    }

    /// Writes one block again that holds series of which a rule keeps nothing any more. Queries do
    /// not see them anyway; this frees their room. A block is written again once for each rule.
    pub(super) fn apply_retention_rule(&self) -> Result<()> {
        let view = self.view.read().clone();
        for open in view.blocks.iter().filter(|open| open.is_raw() && open.entry.level > 0) {
            let applied = &open.entry.applied_rules;
            for rule in self.rules_past(open.entry.meta.max_time) {
                if !applied.contains(&rule.name) && self.has_any(open, &rule.matchers)? {
                    let plan = Tsdb::rewrite(open);
                    self.merge_or_set_aside(&plan, &[])?;
                    self.forget_metadata();
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    pub(super) fn has_retention_rules(&self) -> bool {
        !self.options.retention_rules.is_empty()
    }

    /// How long any sample is kept, or `None` for ever.
    pub(super) fn keep_ms_max(&self) -> Option<i64> {
        let own = Some(self.options.retention_ms).filter(|keep_ms| *keep_ms > 0)?;
        let rules = self.options.retention_rules.iter().map(|rule| rule.keep_ms);
        Some(rules.fold(own, i64::max))
    }

    /// How old anything is that queries see: samples, or rollups that outlive them. Samples stay
    /// visible until their block goes, so that there is no gap before the rollups take their place.
    pub(super) fn see_ms_max(&self) -> Option<i64> {
        let keep_ms = self.keep_ms_max()?;
        Some(self.options.rollup_retention_ms.into_iter().fold(keep_ms, i64::max))
    }

    /// The part of `range` that retention leaves of a series.
    pub(super) fn visible(&self, labels: &Labels, range: RangeMs) -> RangeMs {
        if !self.has_retention_rules() {
            return range;
        }
        let rule = self
            .options
            .retention_rules
            .iter()
            .find(|rule| Matcher::all_match(&rule.matchers, labels));
        let keep_ms = rule.map_or(self.options.retention_ms, |rule| rule.keep_ms);
        if keep_ms <= 0 {
            return range;
        }
        let keep_ms = match rule {
            Some(_) => keep_ms,
            None => self.options.rollup_retention_ms.into_iter().fold(keep_ms, i64::max),
        };
        let oldest = self.clock.now_ms().plus_ms(-keep_ms);
        RangeMs { start: range.start.max(oldest), end: range.end }
    }
}
