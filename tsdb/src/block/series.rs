//! Reading series of a block.

use std::ops::Range;
use std::sync::Arc;

use disk::Result;
#[cfg(test)]
use model::labels::Labels;
use model::read::RangeMs;
use model::write::NO_START;
use model::{TimestampMs, sample::Exemplar};
use rustc_hash::FxHashMap;

use super::columns::{TimesRef, cut_starts, get_starts, get_times, get_times_head};
use super::exemplars;
use super::fields::{Fields, Record};
use super::floats;
use super::histograms::{self, Layout};
use super::pages::{ChunkReader, ChunkScratch};
use super::reader::Block;
use super::table::TableCursor;
use super::writer::{HAS_EXEMPLARS, HAS_FLOATS, HAS_HISTOGRAMS, HAS_ROLLUP, HAS_STARTS};
use crate::columns::{Columns, HistogramSample, StartRun};

/// Numbers of time columns that a query keeps; over this it begins anew.
const HELD_NUMBERS_MAX: usize = 2 << 20;

/// Which columns are to be read; the others stay empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Times and values of float samples.
    pub(crate) values: bool,
    /// Start times, of float samples if `values`, of histograms if `histograms`; else
    /// [`NO_START`].
    pub(crate) starts: bool,
    pub(crate) histograms: bool,
    pub(crate) exemplars: bool,
}

impl Wanted {
    /// Everything.
    pub(crate) const ALL: Self =
        Wanted { values: true, starts: true, histograms: true, exemplars: true };
}

/// What reads of series of one block share: decoded time columns, opened chunks, groups of records.
/// One for each query and block; a scratch that is used with another block begins anew.
#[derive(Default)]
pub(crate) struct ReadScratch {
    block: u64,
    pub(super) chunks: ChunkScratch,
    entries: TableCursor,
    times_records: TableCursor,
    starts_records: TableCursor,
    histogram_records: TableCursor,
    layout_records: TableCursor,
    times: FxHashMap<u32, Arc<Vec<i64>>>,
    /// Parts of time columns, so that series share them too.
    parts: FxHashMap<(u32, u32, u32), Arc<Vec<i64>>>,
    starts: FxHashMap<u32, Arc<Vec<StartRun>>>,
    layouts: FxHashMap<u32, Arc<Layout>>,
    held_numbers: usize,
    pub(super) reference_group: Option<u32>,
    pub(super) references: Vec<u32>,
    pub(super) reference_ends: Vec<usize>,
    pub(super) label_values: FxHashMap<u32, Vec<Box<str>>>,
}

impl ReadScratch {
    /// Forgets what belongs to another block.
    pub(super) fn enter(&mut self, block: &Block) {
        if self.block != block.number {
            *self = ReadScratch { block: block.number, ..ReadScratch::default() };
        }
    }

    fn hold(&mut self, numbers: usize) {
        self.held_numbers += numbers;
        if self.held_numbers > HELD_NUMBERS_MAX {
            self.times.clear();
            self.parts.clear();
            self.starts.clear();
            self.held_numbers = numbers;
        }
    }
}

/// One series on the way through a block.
#[cfg(test)]
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BlockSeries {
    pub(crate) index: u32,
    pub(crate) labels: Labels,
    pub(crate) columns: Columns,
}

impl Block {
    /// The samples of a series in `range`, exactly. Cheapest in order of index with one scratch.
    pub(crate) fn read(
        &self,
        index: u32,
        range: RangeMs,
        wanted: Wanted,
        scratch: &mut ReadScratch,
    ) -> Result<Columns> {
        let record = self.entry(index, scratch)?;
        let mut fields = record.fields(&self.file);
        let flags = fields.u8()?;
        let mut columns = Columns::default();
        if flags & HAS_FLOATS != 0 {
            self.read_floats(&mut fields, flags, range, wanted, scratch, &mut columns)?;
        }
        if flags & HAS_HISTOGRAMS != 0 {
            let number = fields.u32()?;
            if wanted.histograms {
                columns.histograms = self.read_histograms(number, range, wanted, scratch)?;
            }
        }
        if flags & HAS_EXEMPLARS != 0 && wanted.exemplars {
            columns.exemplars = self.read_exemplars(&mut fields, range, scratch)?;
        }
        Ok(columns)
    }

    /// Float samples; skips nothing but the end of the record if values are not wanted.
    fn read_floats(
        &self,
        fields: &mut Fields<'_>,
        flags: u8,
        range: RangeMs,
        wanted: Wanted,
        scratch: &mut ReadScratch,
        columns: &mut Columns,
    ) -> Result<()> {
        let times = TimesRef::get(fields)?;
        let starts = if flags & HAS_STARTS != 0 { Some(fields.u32()?) } else { None };
        let (length, part) = if wanted.values {
            let (column, of_series) = self.times_of(&times, scratch)?;
            let found = cut(&column[of_series.clone()], range);
            let begin = of_series.start;
            let whole = begin + found.start..begin + found.end;
            columns.times = self.shared_times(times.column, &column, whole, scratch);
            (of_series.len(), found)
        } else {
            (self.times_count(&times, scratch)?, 0..0)
        };
        columns.values.reserve(part.len());
        let mut reader = self.chunks(&mut scratch.chunks);
        floats::decode(fields, length, part.clone(), &mut reader, &mut columns.values)?;
        if columns.values.len() != part.len() {
            return Err(fields.corrupt("expected as many values as times"));
        }
        if let Some(starts) = starts
            && wanted.values
            && wanted.starts
        {
            columns.starts = cut_starts(&self.starts_of(starts, scratch)?, part);
        }
        Ok(())
    }

    fn read_histograms(
        &self,
        number: u32,
        range: RangeMs,
        wanted: Wanted,
        scratch: &mut ReadScratch,
    ) -> Result<Vec<HistogramSample>> {
        let record = scratch.histogram_records.get(self.footer.histograms, number, &self.file)?;
        let mut fields = record.fields(&self.file);
        let times = TimesRef::get(&mut fields)?;
        let starts = fields.u32()?;
        let (column, of_series) = self.times_of(&times, scratch)?;
        let part = cut(&column[of_series.clone()], range);
        if part.is_empty() {
            return Ok(Vec::new());
        }
        let runs = match starts.checked_sub(1) {
            Some(starts) if wanted.starts => {
                cut_starts(&self.starts_of(starts, scratch)?, part.clone())
            }
            _ => Vec::new(),
        };
        let ReadScratch { chunks, layouts, layout_records, .. } = scratch;
        let layout_of = |number: u32| {
            if let Some(layout) = layouts.get(&number) {
                return Ok(Arc::clone(layout));
            }
            let record = layout_records.get(self.footer.layouts, number, &self.file)?;
            let layout = Arc::new(Layout::get(&mut record.fields(&self.file))?);
            layouts.insert(number, Arc::clone(&layout));
            Ok(layout)
        };
        let mut reader = self.chunks(chunks);
        let length = of_series.len();
        let found = histograms::decode(&mut fields, length, part.clone(), layout_of, &mut reader)?;
        let mut start = NO_START;
        let mut runs = runs.into_iter().peekable();
        let times = column[of_series][part].iter();
        let samples = (0u32..).zip(times).zip(found).map(|((at, time), histogram)| {
            while let Some(run) = runs.next_if(|run| run.first <= at) {
                start = TimestampMs(run.start);
            }
            HistogramSample { at: TimestampMs(*time), start, histogram: Arc::new(histogram) }
        });
        Ok(samples.collect())
    }

    fn read_exemplars(
        &self,
        fields: &mut Fields<'_>,
        range: RangeMs,
        scratch: &mut ReadScratch,
    ) -> Result<Vec<Exemplar>> {
        let count = fields.u32()? as usize;
        let first = fields.i64()?;
        let last = first.wrapping_add(fields.u64()? as i64);
        let (chunk, page) = (fields.u32()?, fields.u32()?);
        if last < range.start.0 || first > range.end.0 {
            return Ok(Vec::new());
        }
        let bytes = self.chunks(&mut scratch.chunks).unzipped(chunk, page)?;
        let mut found =
            exemplars::decode(&bytes, count).ok_or_else(|| fields.corrupt("expected exemplars"))?;
        found.retain(|exemplar| range.contains(exemplar.at));
        Ok(found)
    }

    /// The first and last time of the samples of a series, or of its exemplars if it has no sample;
    /// `None` if it has neither. Decodes no column.
    pub(crate) fn series_times(
        &self,
        index: u32,
        scratch: &mut ReadScratch,
    ) -> Result<Option<(i64, i64)>> {
        let record = self.entry(index, scratch)?;
        let mut fields = record.fields(&self.file);
        let flags = fields.u8()?;
        let mut found: Option<(i64, i64)> = None;
        let mut cover = |(first, last): (i64, i64)| {
            let (a, b) = found.unwrap_or((first, last));
            found = Some((a.min(first), b.max(last)));
        };
        if flags == HAS_ROLLUP {
            for _ in 0..2 {
                let times = TimesRef::get(&mut fields)?;
                cover(self.bounds_of(&times, scratch)?);
            }
        }
        if flags & HAS_FLOATS != 0 {
            let times = TimesRef::get(&mut fields)?;
            cover(self.bounds_of(&times, scratch)?);
            if flags & HAS_STARTS != 0 {
                fields.u32()?;
            }
            if flags & (HAS_HISTOGRAMS | HAS_EXEMPLARS) != 0 {
                let length = self.times_count(&times, scratch)?;
                let mut reader = self.chunks(&mut scratch.chunks);
                floats::decode(&mut fields, length, 0..0, &mut reader, &mut Vec::new())?;
            }
        }
        if flags & HAS_HISTOGRAMS != 0 {
            let number = fields.u32()?;
            let record =
                scratch.histogram_records.get(self.footer.histograms, number, &self.file)?;
            let times = TimesRef::get(&mut record.fields(&self.file))?;
            cover(self.bounds_of(&times, scratch)?);
        }
        if flags == HAS_EXEMPLARS {
            fields.u32()?;
            let first = fields.i64()?;
            cover((first, first.wrapping_add(fields.u64()? as i64)));
        }
        Ok(found)
    }

    /// All series in order, one at a time, everything of each.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = Result<BlockSeries>> + '_ {
        let mut scratch = ReadScratch::default();
        (0..self.series).map(move |index| {
            let labels = self.labels(index, &mut scratch)?;
            let columns = self.read(index, RangeMs::ALL, Wanted::ALL, &mut scratch)?;
            Ok(BlockSeries { index, labels, columns })
        })
    }

    /// The entry of a series.
    pub(super) fn entry(&self, index: u32, scratch: &mut ReadScratch) -> Result<Record> {
        self.check(index)?;
        scratch.enter(self);
        scratch.entries.get(self.footer.entries, index, &self.file)
    }

    pub(super) fn chunks<'a>(&'a self, scratch: &'a mut ChunkScratch) -> ChunkReader<'a> {
        ChunkReader { file: &self.file, table: self.footer.chunk_table, scratch }
    }

    fn times_record(&self, column: u32, scratch: &mut ReadScratch) -> Result<Record> {
        scratch.times_records.get(self.footer.times, column, &self.file)
    }

    fn times_count(&self, times: &TimesRef, scratch: &mut ReadScratch) -> Result<usize> {
        match &times.part {
            Some((range, ..)) => Ok(range.len().min(super::SAMPLES_MAX)),
            None => {
                let record = self.times_record(times.column, scratch)?;
                Ok(get_times_head(&mut record.fields(&self.file))?.0)
            }
        }
    }

    fn bounds_of(&self, times: &TimesRef, scratch: &mut ReadScratch) -> Result<(i64, i64)> {
        match times.part {
            Some((_, first, last)) => Ok((first, last)),
            None => {
                let record = self.times_record(times.column, scratch)?;
                let (_, first, last) = get_times_head(&mut record.fields(&self.file))?;
                Ok((first, last))
            }
        }
    }

    /// A whole column and which part of it a series has.
    pub(super) fn times_of(
        &self,
        times: &TimesRef,
        scratch: &mut ReadScratch,
    ) -> Result<(Arc<Vec<i64>>, Range<usize>)> {
        let column = match scratch.times.get(&times.column) {
            Some(column) => Arc::clone(column),
            None => {
                let record = self.times_record(times.column, scratch)?;
                let mut reader = self.chunks(&mut scratch.chunks);
                let column = Arc::new(get_times(&mut record.fields(&self.file), &mut reader)?);
                scratch.hold(column.len());
                scratch.times.insert(times.column, Arc::clone(&column));
                column
            }
        };
        let range = match &times.part {
            Some((range, ..)) => range.start as usize..range.end as usize,
            None => 0..column.len(),
        };
        if range.end > column.len() || range.start > range.end {
            let offset = self.footer.times.offset;
            return Err(self.file.corrupt(offset, "expected a part within its time column"));
        }
        Ok((column, range))
    }

    /// A part of a column, the same for every series that asks for it.
    pub(super) fn shared_times(
        &self,
        number: u32,
        column: &Arc<Vec<i64>>,
        range: Range<usize>,
        scratch: &mut ReadScratch,
    ) -> Arc<Vec<i64>> {
        if range == (0..column.len()) {
            return Arc::clone(column);
        }
        let key = (number, range.start as u32, range.end as u32);
        if let Some(part) = scratch.parts.get(&key) {
            return Arc::clone(part);
        }
        let part = Arc::new(column[range].to_vec());
        scratch.hold(part.len());
        scratch.parts.insert(key, Arc::clone(&part));
        part
    }

    pub(super) fn starts_of(
        &self,
        number: u32,
        scratch: &mut ReadScratch,
    ) -> Result<Arc<Vec<StartRun>>> {
        if let Some(starts) = scratch.starts.get(&number) {
            return Ok(Arc::clone(starts));
        }
        let record = scratch.starts_records.get(self.footer.starts, number, &self.file)?;
        let mut reader = self.chunks(&mut scratch.chunks);
        let starts = Arc::new(get_starts(&mut record.fields(&self.file), &mut reader)?);
        scratch.hold(starts.len() * 2 + 8);
        scratch.starts.insert(number, Arc::clone(&starts));
        Ok(starts)
    }
}

/// Which of the times lie in the range.
pub(super) fn cut(times: &[i64], range: RangeMs) -> Range<usize> {
    let begin = times.partition_point(|time| *time < range.start.0);
    let end = times.partition_point(|time| *time <= range.end.0);
    begin..end.max(begin)
}
