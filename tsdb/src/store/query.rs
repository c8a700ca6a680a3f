//! Reading: the head and the blocks as one.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::labels::Labels;
use model::read::{RangeMs, SeriesColumns, SeriesColumnsWanted, SeriesRequest, SeriesStream};
use model::rollup::RollupRequest;
use model::sample::{Exemplar, MetricMetadata, SeriesId};
use model::write::NO_START;
use model::{ErrorKind, Matcher, QueryContext, SeriesSource, TimestampMs};
use rustc_hash::FxHashMap;

use crate::block::{self, ReadScratch};
use crate::columns::{Columns, TimesPool, expand_starts, join};
use crate::delete::cut;
use crate::error::Error;
use crate::head::{RangeCache, Wanted};
use crate::store::Tsdb;
use crate::store::labels::Asked;
use crate::store::rollups::{self, RollupPlan};
use crate::view::{OpenBlock, View};

/// Below this a thread is not worth its start.
const SERIES_PER_PART_MIN: usize = 64;
/// So many series that follow each other are read by one thread.
const SERIES_TOGETHER: usize = 32;

/// Where the samples of one series lie.
pub(super) struct Sources {
    /// In the head, with the id that proves that the slot is still this series'.
    pub(super) head: Option<(u32, SeriesId)>,
    /// Block, by its place in the view, and series in the block; oldest block first.
    pub(super) blocks: Vec<(u32, u32)>,
    /// Known if they were compared.
    labels: Option<Labels>,
}

/// One query's way through the store.
pub(super) struct Reading<'a> {
    pub(super) store: &'a Tsdb,
    pub(super) view: Arc<View>,
    range: RangeMs,
    cache: RangeCache,
    pub(super) scratches: Vec<ReadScratch>,
    pub(super) pool: TimesPool,
    /// Present if rollups are asked for and there are some.
    pub(super) rollups: Option<RollupPlan>,
}

impl Tsdb {
    fn begin_reading<'a>(
        &'a self,
        matchers: &[Matcher],
        range: RangeMs,
        rollup: Option<RollupRequest>,
        context: &QueryContext,
    ) -> model::Result<(Reading<'a>, Vec<Sources>)> {
        context.check()?;
        self.check_loaded()?;
        let range = match self.see_ms_max() {
            Some(keep_ms) => {
                let oldest = self.clock.now_ms().plus_ms(-keep_ms);
                RangeMs { start: range.start.max(oldest), end: range.end }
            }
            None => range,
        };
        // Under one lock: a seal publishes its block before it takes samples out of the head, and
        // waits for everybody who holds the view from before.
        let (view, slots, ids) = {
            let live = self.live.read();
            let view = self.view.read().clone();
            let slots = live.head.catalogue.select(matchers);
            let ids: Vec<SeriesId> = slots.iter().map(|slot| live.head.id(slot)).collect();
            (view, slots, ids)
        };
        let mut sources: Vec<Sources> = Vec::new();
        let mut scratches: Vec<ReadScratch> =
            view.blocks.iter().map(|_| ReadScratch::default()).collect();
        let mut by_hash: FxHashMap<u64, Vec<u32>> = FxHashMap::default();
        let readable = rollups::readable(&view, rollup.map(|rollup| rollup.resolution_ms));
        let relevant: Vec<(usize, &Arc<OpenBlock>)> = view
            .blocks
            .iter()
            .enumerate()
            .filter(|(place, block)| readable[*place] && block.overlaps(range))
            .collect();
        for (place, open) in relevant.iter().copied() {
            let found = self.guard(open, open.block.select(matchers))?;
            context.check()?;
            for index in found {
                if relevant.len() == 1 && slots.is_empty() {
                    let blocks = vec![(place as u32, index)];
                    sources.push(Sources { head: None, blocks, labels: None });
                    continue;
                }
                let hash = self.guard(open, open.block.fingerprint(index))?.max(1);
                let same_hash = by_hash.entry(hash).or_default();
                let scratch = &mut scratches[place];
                self.attach(open, scratch, &mut sources, same_hash, (place as u32, index))?;
            }
        }
        let live = self.live.read();
        for (slot, id) in slots.iter().zip(ids) {
            if live.head.id(slot) != id {
                continue;
            }
            let hash = live.head.catalogue.fingerprint_of(slot);
            let same = by_hash.get(&hash).into_iter().flatten().copied().find(|number| {
                let known = sources[*number as usize].labels.as_ref();
                known.is_some_and(|labels| labels.iter().eq(live.head.catalogue.label_refs(slot)))
            });
            match same {
                Some(number) => sources[number as usize].head = Some((slot, id)),
                None => {
                    let (head, blocks) = (Some((slot, id)), Vec::new());
                    sources.push(Sources { head, blocks, labels: None });
                }
            }
        }
        drop(live);
        let cache = RangeCache::new(range);
        let pool = TimesPool::default();
        let rollups = rollup.and_then(|rollup| RollupPlan::of(rollup, &view, range));
        Ok((Reading { store: self, view, range, cache, scratches, pool, rollups }, sources))
    }

    /// Adds a series of a block to the sources of the same series, found by hash and then compared.
    fn attach(
        &self,
        open: &OpenBlock,
        scratch: &mut ReadScratch,
        sources: &mut Vec<Sources>,
        same_hash: &mut Vec<u32>,
        (place, index): (u32, u32),
    ) -> model::Result<()> {
        let labels = self.guard(open, open.block.labels(index, scratch))?;
        for number in same_hash.iter() {
            let known = &mut sources[*number as usize];
            if known.labels.as_ref() == Some(&labels) {
                known.blocks.push((place, index));
                return Ok(());
            }
        }
        same_hash.push(sources.len() as u32);
        let blocks = vec![(place, index)];
        sources.push(Sources { head: None, blocks, labels: Some(labels) });
        Ok(())
    }

    /// Passes a block's answer on; a corrupt block is set aside, so that the next query does without.
    pub(super) fn guard<T>(&self, open: &OpenBlock, read: disk::Result<T>) -> model::Result<T> {
        read.map_err(|error| {
            let error = Error::from(error);
            if error.kind() == ErrorKind::Corrupt {
                self.set_aside(open.entry.number, &error.to_string());
            }
            error.into()
        })
    }
}

impl<'a> Reading<'a> {
    /// One series after the other.
    fn stream(
        mut self,
        sources: Vec<Sources>,
        columns: SeriesColumnsWanted,
        context: &'a QueryContext,
    ) -> impl Iterator<Item = model::Result<SeriesColumns>> + Send + use<'a> {
        let SeriesColumnsWanted { samples, starts } = columns;
        let wanted = Wanted { values: true, starts, exemplars: false };
        sources.into_iter().filter_map(move |sources| {
            let id = sources.head.map_or(SeriesId(u64::MAX), |(_, id)| id);
            if !samples && !starts {
                let found = context.check().and_then(|()| self.read_labels(&sources));
                return found.transpose().map(|labels| Ok(bare(id, labels?)));
            }
            if self.rollups.is_some() {
                match self.read_rollup(&sources) {
                    Ok(None) => {}
                    Ok(Some((labels, rollup))) => {
                        let buckets = rollup.len() as u64;
                        let charged = context.charge(buckets, 0);
                        let rollup = Some(Box::new(rollup));
                        let out = SeriesColumns { rollup, ..bare(id, labels) };
                        return Some(charged.map(|()| out));
                    }
                    Err(error) => return Some(Err(error)),
                }
            }
            let found = self.read(&sources, wanted);
            let (labels, columns) = match found.transpose()? {
                Ok(found) => found,
                Err(error) => return Some(Err(error)),
            };
            let count = columns.values.len() as u64;
            let histograms = columns.histograms.len() as u64;
            if let Err(error) = context.charge(count + histograms, 0) {
                return Some(Err(error));
            }
            let mut out = bare(id, labels);
            if starts && !columns.starts.is_empty() {
                out.starts_ms = expand_starts(&columns.starts, columns.values.len());
            }
            if starts && columns.histograms.iter().any(|sample| sample.start != NO_START) {
                out.histogram_starts_ms =
                    columns.histograms.iter().map(|sample| sample.start.0).collect();
            }
            out.times_ms = columns.times;
            out.values = columns.values;
            out.histograms = columns
                .histograms
                .into_iter()
                .map(|sample| (sample.at, sample.histogram))
                .collect();
            Some(Ok(out))
        })
    }

    /// The same way through the store for another thread.
    fn another(&self) -> Reading<'a> {
        Reading {
            store: self.store,
            view: self.view.clone(),
            range: self.range,
            cache: RangeCache::new(self.range),
            scratches: self.view.blocks.iter().map(|_| ReadScratch::default()).collect(),
            pool: TimesPool::default(),
            rollups: self.rollups.clone(),
        }
    }
}

impl Reading<'_> {
    /// Labels and samples of one series, or `None` if it has none in the range.
    fn read(
        &mut self,
        sources: &Sources,
        wanted: Wanted,
    ) -> model::Result<Option<(Labels, Columns)>> {
        let Some(labels) = self.labels_of(sources)? else { return Ok(None) };
        let mut parts = Vec::new();
        for (place, index) in &sources.blocks {
            let range = self.visible(&labels);
            parts.push(self.read_block(*place, *index, &labels, range, wanted)?);
        }
        parts.append(&mut self.read_head(sources, wanted));
        let columns = join(parts, &mut self.pool);
        let is_empty = columns.values.is_empty()
            && columns.histograms.is_empty()
            && columns.exemplars.is_empty();
        Ok((!is_empty).then_some((labels, columns)))
    }

    /// What retention leaves of a series in the range.
    pub(super) fn visible(&self, labels: &Labels) -> RangeMs {
        self.store.visible(labels, self.range)
    }

    /// Labels of a series; `None` if it is gone from where it was found.
    pub(super) fn labels_of(&mut self, sources: &Sources) -> model::Result<Option<Labels>> {
        if sources.labels.is_some() {
            return Ok(sources.labels.clone());
        }
        if let Some((place, index)) = sources.blocks.first() {
            let open = &self.view.blocks[*place as usize];
            let scratch = &mut self.scratches[*place as usize];
            return Ok(Some(self.store.guard(open, open.block.labels(*index, scratch))?));
        }
        let Some((slot, id)) = sources.head else { return Ok(None) };
        let live = self.store.live.read();
        // A slot that was given to another series: all of this one is in blocks by now.
        let is_there = live.head.id(slot) == id && live.head.catalogue.contains(slot);
        Ok(is_there.then(|| live.head.catalogue.labels(slot)))
    }

    /// The samples of a series in one block, without those that are deleted.
    pub(super) fn read_block(
        &mut self,
        place: u32,
        index: u32,
        labels: &Labels,
        range: RangeMs,
        wanted: Wanted,
    ) -> model::Result<Columns> {
        let open = &self.view.blocks[place as usize];
        let scratch = &mut self.scratches[place as usize];
        let wanted = block::Wanted {
            values: wanted.values,
            starts: wanted.starts,
            histograms: wanted.values,
            exemplars: wanted.exemplars,
        };
        let rollup = open.rollup();
        let read = match rollup {
            None => open.block.read(index, range, wanted, scratch),
            Some(_) if wanted.values => open.block.read_last_samples(index, range, scratch),
            Some(_) => Ok(Columns::default()),
        };
        let mut part = self.store.guard(open, read)?;
        for mask in self.view.masks.iter().filter(|m| m.hides(open.entry.newest_seal, labels)) {
            let hidden = match rollup {
                None => mask.range,
                // A bucket can not tell which of its samples were deleted.
                Some((resolution_ms, _)) => {
                    rollups::inside(rollups::buckets_of(mask.range, resolution_ms))
                }
            };
            cut(&mut part, hidden);
        }
        Ok(part)
    }

    /// The samples of a series in memory that retention leaves.
    pub(super) fn read_head(&mut self, sources: &Sources, wanted: Wanted) -> Vec<Columns> {
        let mut parts = Vec::new();
        let Some((slot, id)) = sources.head else { return parts };
        let live = self.store.live.read();
        if live.head.id(slot) != id || !live.head.catalogue.contains(slot) {
            return parts;
        }
        live.head.read(slot, &mut self.cache, wanted, &mut parts);
        if self.store.has_retention_rules() {
            let labels = live.head.catalogue.labels(slot);
            let visible = self.visible(&labels);
            let before = TimestampMs(visible.start.0.saturating_sub(1));
            let hidden = RangeMs { start: self.range.start, end: before };
            parts.iter_mut().for_each(|part| cut(part, hidden));
        }
        parts
    }

    /// Labels of a series that has samples in the range.
    fn read_labels(&mut self, sources: &Sources) -> model::Result<Option<Labels>> {
        let has_rules = !self.view.masks.is_empty() || self.store.has_retention_rules();
        let wanted = Wanted { values: true, starts: false, exemplars: false };
        if has_rules {
            return Ok(self.read(sources, wanted)?.map(|(labels, _)| labels));
        }
        for (place, index) in &sources.blocks {
            let open = &self.view.blocks[*place as usize];
            let scratch = &mut self.scratches[*place as usize];
            let times = self.store.guard(open, open.block.series_times(*index, scratch))?;
            let Some((first, last)) = times else { continue };
            let range = self.range;
            let (first, last) = (TimestampMs(first), TimestampMs(last));
            if first > range.end || last < range.start {
                continue;
            }
            let is_inside = range.contains(first) || range.contains(last) || {
                let wanted = block::Wanted {
                    values: true,
                    starts: false,
                    histograms: true,
                    exemplars: false,
                };
                let read = match open.rollup() {
                    None => open.block.read(*index, range, wanted, scratch),
                    Some(_) => open.block.read_last_samples(*index, range, scratch),
                };
                let part = self.store.guard(open, read)?;
                !part.values.is_empty() || !part.histograms.is_empty()
            };
            if is_inside {
                return Ok(Some(self.store.guard(open, open.block.labels(*index, scratch))?));
            }
        }
        let Some((slot, id)) = sources.head else { return Ok(None) };
        let live = self.store.live.read();
        let is_live = live.head.id(slot) == id && live.head.catalogue.contains(slot);
        Ok((is_live && live.head.has_samples(slot, self.range))
            .then(|| live.head.catalogue.labels(slot)))
    }
}

impl SeriesSource for Tsdb {
    fn select<'a>(
        &'a self,
        request: &SeriesRequest,
        context: &'a QueryContext,
    ) -> model::Result<SeriesStream<'a>> {
        let (reading, sources) =
            self.begin_reading(&request.matchers, request.range, request.rollup, context)?;
        let stream = reading.stream(sources, request.columns, context);
        Ok(Box::new(stream.take(request.limit.unwrap_or(usize::MAX))))
    }

    fn select_parts<'a>(
        &'a self,
        request: &SeriesRequest,
        count: usize,
        context: &'a QueryContext,
    ) -> model::Result<Vec<SeriesStream<'a>>> {
        let (reading, sources) =
            self.begin_reading(&request.matchers, request.range, request.rollup, context)?;
        let count = count.min(sources.len() / SERIES_PER_PART_MIN).max(1);
        if request.limit.is_some() || count == 1 {
            let stream = reading.stream(sources, request.columns, context);
            return Ok(vec![Box::new(stream.take(request.limit.unwrap_or(usize::MAX)))]);
        }
        // Neighbours share times and pages.
        let mut parts: Vec<Vec<Sources>> = Vec::new();
        parts.resize_with(count, Vec::new);
        for (i, sources) in sources.into_iter().enumerate() {
            parts[i / SERIES_TOGETHER % count].push(sources);
        }
        let stream = |part| -> SeriesStream<'a> {
            Box::new(reading.another().stream(part, request.columns, context))
        };
        Ok(parts.into_iter().map(stream).collect())
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: RangeMs,
        context: &QueryContext,
    ) -> model::Result<Vec<String>> {
        if let Some(names) = self.labels_of_indexes(Asked::Names, matchers, range, context)? {
            return Ok(names);
        }
        let mut names = BTreeSet::new();
        let request = SeriesRequest::labels(matchers.to_vec(), range, None);
        for series in self.select(&request, context)? {
            for (name, _) in series?.labels.iter() {
                if !names.contains(name) {
                    names.insert(name.to_owned());
                }
            }
        }
        Ok(names.into_iter().collect())
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: RangeMs,
        context: &QueryContext,
    ) -> model::Result<Vec<String>> {
        let asked = Asked::ValuesOf(name);
        if let Some(values) = self.labels_of_indexes(asked, matchers, range, context)? {
            return Ok(values);
        }
        let mut values = BTreeSet::new();
        let request = SeriesRequest::labels(matchers.to_vec(), range, None);
        for series in self.select(&request, context)? {
            let series = series?;
            if let Some(value) = series.labels.get(name)
                && !values.contains(value)
            {
                values.insert(value.to_owned());
            }
        }
        Ok(values.into_iter().collect())
    }

    fn exemplars(
        &self,
        matchers: &[Matcher],
        range: RangeMs,
        context: &QueryContext,
    ) -> model::Result<Vec<(Labels, Vec<Exemplar>)>> {
        let (mut reading, sources) = self.begin_reading(matchers, range, None, context)?;
        let wanted = Wanted { values: false, starts: false, exemplars: true };
        let mut found = Vec::new();
        for sources in sources {
            let Some((labels, columns)) = reading.read(&sources, wanted)? else { continue };
            context.charge(columns.exemplars.len() as u64, 0)?;
            if !columns.exemplars.is_empty() {
                found.push((labels, columns.exemplars));
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    fn metadata(&self) -> model::Result<Vec<(String, MetricMetadata)>> {
        self.check_loaded()?;
        let live = self.live.read();
        Ok(live.head.metadata.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
    }
}

fn bare(id: SeriesId, labels: Labels) -> SeriesColumns {
    SeriesColumns {
        id,
        labels,
        times_ms: Arc::default(),
        values: Vec::new(),
        starts_ms: Vec::new(),
        histograms: Vec::new(),
        histogram_starts_ms: Vec::new(),
        rollup: None,
    }
}
