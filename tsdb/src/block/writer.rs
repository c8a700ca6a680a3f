//! Writing a block: series by series in order, then the index, then the footer.

use std::path::Path;
use std::sync::Arc;

use disk::codec::{put_i64, put_u64};
use disk::files::Files;
use disk::{PagedWriter, Result};
use model::labels::Labels;
use rustc_hash::FxHashMap;

use super::chunks::{ChunkWriter, Section};
use super::columns::ColumnsWriter;
use super::dictionary::{DictionaryWriter, put_references};
use super::histograms::{self, Layout};
use super::table::TableWriter;
use super::{BlockMeta, Codec, Footer, SAMPLES_MAX, exemplars, fingerprint, floats, series_order};
use crate::columns::{Columns, HistogramSample, StartRun};

/// An entry has float samples, their start times, histograms, exemplars.
pub(super) const HAS_FLOATS: u8 = 1;
pub(super) const HAS_STARTS: u8 = 2;
pub(super) const HAS_HISTOGRAMS: u8 = 4;
pub(super) const HAS_EXEMPLARS: u8 = 8;
/// An entry is a rollup; it has nothing else.
pub(super) const HAS_ROLLUP: u8 = 16;

/// Writes one block. Holds in memory what the index needs (some 60 bytes a series, and each label
/// value once) and at most 32 MiB of samples, whatever the size of the block.
pub(crate) struct BlockWriter {
    pub(super) chunks: ChunkWriter,
    pub(super) columns: ColumnsWriter,
    dictionary: DictionaryWriter,
    entries: TableWriter,
    histograms: TableWriter,
    layouts: TableWriter,
    layout_numbers: FxHashMap<Vec<u8>, u32>,
    /// Label references of all series, one behind the other, each behind its number.
    references: Vec<u32>,
    fingerprints: Vec<u64>,
    last: Option<Labels>,
    pub(super) meta: BlockMeta,
}

impl BlockWriter {
    /// Begins a block at `path`; nothing stands there before [`BlockWriter::finish`].
    pub(crate) fn create(path: &Path, codec: Codec, files: &dyn Files) -> Result<Self> {
        let file = PagedWriter::create(files, path)?;
        Ok(BlockWriter {
            chunks: ChunkWriter::new(file, codec),
            columns: ColumnsWriter::default(),
            dictionary: DictionaryWriter::default(),
            entries: TableWriter::default(),
            histograms: TableWriter::default(),
            layouts: TableWriter::default(),
            layout_numbers: FxHashMap::default(),
            references: Vec::new(),
            fingerprints: Vec::new(),
            last: None,
            meta: BlockMeta { codec, ..BlockMeta::default() },
        })
    }

    /// Adds a series. Series come in order of [`series_order`], each once; columns that break the
    /// order of [`Columns`] are refused with [`disk::Error::Unwritable`], and the writer is of no
    /// use after an error. A series without anything is kept as such.
    pub(crate) fn add(&mut self, labels: &Labels, columns: &Columns) -> Result<()> {
        let series = self.next_series(labels)?;
        if let Err(what) = check(columns) {
            return Err(self.chunks.unwritable(format!("series {labels}: {what}")));
        }
        let mut record = vec![0u8];
        if !columns.values.is_empty() {
            record[0] |= HAS_FLOATS;
            self.columns.times(&columns.times, &mut self.chunks)?.put(&mut record);
            self.cover(columns.times.first().copied(), columns.times.last().copied());
            if !columns.starts.is_empty() {
                record[0] |= HAS_STARTS;
                let starts = self.columns.starts(&columns.starts, &mut self.chunks)?;
                put_u64(&mut record, u64::from(starts));
            }
            floats::encode(&columns.values, Section::Values, &mut self.chunks, &mut record)?;
            self.meta.float_samples += columns.values.len() as u64;
        }
        if !columns.histograms.is_empty() {
            record[0] |= HAS_HISTOGRAMS;
            let number = self.add_histograms(&columns.histograms)?;
            put_u64(&mut record, u64::from(number));
        }
        if let (Some(first), Some(last)) = (columns.exemplars.first(), columns.exemplars.last()) {
            record[0] |= HAS_EXEMPLARS;
            put_u64(&mut record, columns.exemplars.len() as u64);
            put_i64(&mut record, first.at.0);
            put_u64(&mut record, last.at.0.wrapping_sub(first.at.0) as u64);
            let bytes = exemplars::encode(&columns.exemplars);
            self.chunks.add_bytes(Section::Exemplars, true, &bytes)?.put(&mut record);
            self.cover(Some(first.at.0), Some(last.at.0));
            self.meta.exemplars += columns.exemplars.len() as u64;
        }
        let samples = columns.values.len().max(columns.histograms.len()) as u64;
        self.meta.series_samples_max = self.meta.series_samples_max.max(samples);
        self.push(labels, series, &record);
        Ok(())
    }

    /// The number of a series that comes now.
    pub(super) fn next_series(&mut self, labels: &Labels) -> Result<u32> {
        if self.last.as_ref().is_some_and(|last| series_order(last, labels).is_ge()) {
            return Err(self.chunks.unwritable(format!("series {labels} out of order")));
        }
        u32::try_from(self.meta.series).map_err(|_| self.chunks.unwritable("more than 2^32 series"))
    }

    /// Adds a series whose entry is `record`.
    pub(super) fn push(&mut self, labels: &Labels, series: u32, record: &[u8]) {
        self.entries.push(record);
        self.references.push(labels.len() as u32);
        for (name, value) in labels.iter() {
            self.references.push(self.dictionary.add(name, value, series));
        }
        self.fingerprints.push(fingerprint(labels.iter()));
        self.last = Some(labels.clone());
        self.meta.series += 1;
    }

    /// Widens the times of the block.
    pub(super) fn cover(&mut self, first: Option<i64>, last: Option<i64>) {
        self.meta.min_time = self.meta.min_time.min(first.unwrap_or(i64::MAX));
        self.meta.max_time = self.meta.max_time.max(last.unwrap_or(i64::MIN));
    }

    fn add_histograms(&mut self, samples: &[HistogramSample]) -> Result<u32> {
        let times = Arc::new(samples.iter().map(|sample| sample.at.0).collect::<Vec<_>>());
        self.cover(times.first().copied(), times.last().copied());
        let mut record = Vec::new();
        self.columns.times(&times, &mut self.chunks)?.put(&mut record);
        let runs = runs_of_starts(samples);
        if runs.is_empty() {
            put_u64(&mut record, 0);
        } else {
            let starts = self.columns.starts(&runs, &mut self.chunks)?;
            put_u64(&mut record, u64::from(starts) + 1);
        }
        let BlockWriter { layouts, layout_numbers, chunks, .. } = self;
        let layout_of = |histogram: &_| {
            let mut layout = Vec::new();
            Layout::put(histogram, &mut layout);
            if let Some(number) = layout_numbers.get(&layout) {
                return *number;
            }
            let number = layouts.next();
            layouts.push(&layout);
            layout_numbers.insert(layout, number);
            number
        };
        histograms::encode(samples, layout_of, chunks, &mut record)?;
        self.meta.histogram_samples += samples.len() as u64;
        let number = self.histograms.next();
        self.histograms.push(&record);
        Ok(number)
    }

    /// Writes the index and the footer and makes the file durable under its name.
    pub(crate) fn finish(mut self) -> Result<BlockMeta> {
        let chunk_table = self.chunks.finish()?;
        let file = &mut self.chunks.file;
        let mut bytes = self.chunks.bytes;
        let times = self.columns.times_table.finish(file)?;
        let starts = self.columns.starts_table.finish(file)?;
        let histograms = self.histograms.finish(file)?;
        let layouts = self.layouts.finish(file)?;
        let entries = self.entries.finish(file)?;
        bytes.times += times.bytes();
        bytes.starts += starts.bytes();
        bytes.histograms += histograms.bytes() + layouts.bytes();
        bytes.entries += entries.bytes();

        let index = file.position();
        let (dictionary, numbers) = self.dictionary.finish(file)?;
        let mut table = TableWriter::default();
        let mut before: Vec<u32> = Vec::new();
        let mut rest = self.references.as_slice();
        while let Some((count, more)) = rest.split_first() {
            let (pairs, more) = more.split_at((*count as usize).min(more.len()));
            rest = more;
            let pairs: Vec<u32> =
                pairs.iter().filter_map(|pair| numbers.get(*pair as usize).copied()).collect();
            let (bytes, begins) = table.begin();
            if begins {
                before.clear();
            }
            put_references(&pairs, &before, bytes);
            before = pairs;
        }
        let labels = table.finish(file)?;
        let fingerprints = file.position();
        for fingerprint in &self.fingerprints {
            file.write(&fingerprint.to_le_bytes())?;
        }
        bytes.index = file.position() - index;

        self.meta.sections = bytes;
        let footer = Footer {
            meta: self.meta,
            chunk_table,
            times,
            starts,
            histograms,
            layouts,
            entries,
            dictionary,
            labels,
            fingerprints,
        };
        footer.write(file)?;
        let mut meta = footer.meta;
        meta.bytes = self.chunks.file.finish()?;
        Ok(meta)
    }
}

/// Runs of start times of histograms, in the form of those of float samples.
fn runs_of_starts(samples: &[HistogramSample]) -> Vec<StartRun> {
    let mut runs: Vec<StartRun> = Vec::new();
    let mut last = model::write::NO_START.0;
    for (first, sample) in (0..).zip(samples) {
        if sample.start.0 != last {
            runs.push(StartRun { first, start: sample.start.0 });
            last = sample.start.0;
        }
    }
    runs
}

/// What [`Columns`] promise.
fn check(columns: &Columns) -> Result<(), &'static str> {
    let Columns { times, values, starts, histograms, exemplars } = columns;
    if times.len() != values.len() {
        return Err("as many times as values are needed");
    }
    if times.len().max(histograms.len()).max(exemplars.len()) > SAMPLES_MAX {
        return Err("too many samples for one block");
    }
    if times.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err("times out of order");
    }
    if starts.windows(2).any(|pair| pair[0].first >= pair[1].first)
        || starts.last().is_some_and(|run| run.first as usize >= values.len())
    {
        return Err("start times out of order");
    }
    if histograms.windows(2).any(|pair| pair[0].at >= pair[1].at) {
        return Err("histograms out of order");
    }
    if exemplars.windows(2).any(|pair| pair[0].at > pair[1].at) {
        return Err("exemplars out of order");
    }
    Ok(())
}
