//! Rollups in a block: entries with several columns of floats, one number a bucket.
//!
//! Times of first and last samples are time columns, which series measured together share.
//! A column that follows from others is not written: a counter's least value is its first, and a
//! value that never changes has a sum that is a product.

use std::sync::Arc;

use disk::Result;
use disk::codec::put_u64;
use model::labels::Labels;
use model::read::RangeMs;
use model::rollup::{Rollup, Summary};

use super::chunks::{ChunkWriter, Section};
use super::columns::{ColumnsWriter, TimesRef, cut_starts};
use super::floats;
use super::reader::Block;
use super::series::{ReadScratch, cut};
use super::writer::{BlockWriter, HAS_ROLLUP};
use crate::columns::{Runs, expand_starts};

/// Columns that are written although they could follow from others.
const FIRSTS: u8 = 1;
const SUMS: u8 = 2;
const MINS: u8 = 4;
const MAXS: u8 = 8;
const LOST: u8 = 16;
const FLAGS: u8 = 32;

/// Which columns a reader wants; see [`Rollup`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RollupWanted {
    /// What a summary needs.
    For(Summary),
    /// Last samples with their start times: what stands in for samples that are gone.
    Samples,
    All,
}

impl RollupWanted {
    fn has(self, summaries: &[Summary]) -> bool {
        match self {
            RollupWanted::For(summary) => summaries.contains(&summary),
            RollupWanted::Samples => summaries.contains(&Summary::Last),
            RollupWanted::All => true,
        }
    }
}

fn least(first: f64, last: f64) -> f64 {
    if last < first || first.is_nan() { last } else { first }
}

fn greatest(first: f64, last: f64) -> f64 {
    if last > first || first.is_nan() { last } else { first }
}

fn differ(column: &[f64], expected: impl Iterator<Item = f64>) -> bool {
    column.iter().zip(expected).any(|(value, expected)| value.to_bits() != expected.to_bits())
}

/// Appends what follows the flags of an entry.
fn encode(
    rollup: &Rollup,
    columns: &mut ColumnsWriter,
    chunks: &mut ChunkWriter,
    record: &mut Vec<u8>,
) -> Result<()> {
    columns.times(&rollup.last_times_ms, chunks)?.put(record);
    columns.times(&rollup.first_times_ms, chunks)?.put(record);
    for starts in [&rollup.last_starts_ms, &rollup.first_starts_ms] {
        let mut runs = Runs::default();
        starts.iter().enumerate().for_each(|(index, start)| runs.add(index, *start));
        let runs = runs.done();
        if runs.is_empty() {
            put_u64(record, 0);
        } else {
            put_u64(record, u64::from(columns.starts(&runs, chunks)?) + 1);
        }
    }
    let Rollup { firsts, lasts, counts, sums, mins, maxs, lost, .. } = rollup;
    let flags: Vec<f64> = rollup.flags.iter().map(|flags| f64::from(*flags)).collect();
    let edges = || firsts.iter().zip(lasts);
    let products = counts.iter().zip(lasts).map(|(count, last)| count * last);
    let zeros = || std::iter::repeat(0.0);
    let optional: [(u8, &[f64], bool); 6] = [
        (FIRSTS, firsts, differ(firsts, lasts.iter().copied())),
        (SUMS, sums, differ(sums, products)),
        (MINS, mins, differ(mins, edges().map(|(first, last)| least(*first, *last)))),
        (MAXS, maxs, differ(maxs, edges().map(|(first, last)| greatest(*first, *last)))),
        (LOST, lost, differ(lost, zeros())),
        (FLAGS, &flags, differ(&flags, zeros())),
    ];
    record.push(optional.iter().filter(|(.., is_there)| *is_there).fold(0, |all, c| all | c.0));
    floats::encode(counts, Section::Values, chunks, record)?;
    floats::encode(lasts, Section::Values, chunks, record)?;
    for (_, column, is_there) in optional {
        if is_there {
            floats::encode(column, Section::Values, chunks, record)?;
        }
    }
    Ok(())
}

impl BlockWriter {
    /// Adds the rollup of a series, with all of its columns and at least one bucket; otherwise like
    /// [`BlockWriter::add`].
    pub(crate) fn add_rollup(&mut self, labels: &Labels, rollup: &Rollup) -> Result<()> {
        let series = self.next_series(labels)?;
        let length = rollup.len();
        let columns = [
            &rollup.lasts,
            &rollup.firsts,
            &rollup.counts,
            &rollup.sums,
            &rollup.mins,
            &rollup.maxs,
            &rollup.lost,
        ];
        let is_whole = columns.iter().all(|column| column.len() == length)
            && rollup.first_times_ms.len() == length
            && rollup.flags.len() == length;
        if length == 0 || !is_whole {
            return Err(self.chunks.unwritable(format!("series {labels}: half a rollup")));
        }
        let mut record = vec![HAS_ROLLUP];
        encode(rollup, &mut self.columns, &mut self.chunks, &mut record)?;
        let times = (rollup.first_times_ms.first(), rollup.last_times_ms.last());
        self.cover(times.0.copied(), times.1.copied());
        self.meta.float_samples += length as u64;
        self.push(labels, series, &record);
        Ok(())
    }
}

impl Block {
    /// The buckets of a series whose last samples lie in `range`, with the columns that are wanted
    /// and perhaps more; `None` if the entry is no rollup.
    pub(crate) fn read_rollup(
        &self,
        index: u32,
        resolution_ms: i64,
        range: RangeMs,
        wanted: RollupWanted,
        scratch: &mut ReadScratch,
    ) -> Result<Option<Rollup>> {
        use Summary::{Count, Current, Delta, First, Increase, Last, Max, Min, Sum};
        let record = self.entry(index, scratch)?;
        let mut fields = record.fields(&self.file);
        let mut rollup = Rollup { resolution_ms, ..Rollup::default() };
        if fields.u8()? != HAS_ROLLUP {
            return Ok(None);
        }
        let (last_times, first_times) = (TimesRef::get(&mut fields)?, TimesRef::get(&mut fields)?);
        let (last_starts, first_starts) = (fields.u32()?, fields.u32()?);
        let mask = fields.u8()?;
        let (column, of_series) = self.times_of(&last_times, scratch)?;
        let part = cut(&column[of_series.clone()], range);
        if part.is_empty() {
            return Ok(Some(rollup));
        }
        let (length, begin) = (of_series.len(), of_series.start);
        let whole = begin + part.start..begin + part.end;
        rollup.last_times_ms = self.shared_times(last_times.column, &column, whole, scratch);
        if wanted.has(&[Delta, Increase]) {
            let (column, of_series) = self.times_of(&first_times, scratch)?;
            if of_series.len() != length {
                return Err(fields.corrupt("expected as many first times as last times"));
            }
            let whole = of_series.start + part.start..of_series.start + part.end;
            rollup.first_times_ms = self.shared_times(first_times.column, &column, whole, scratch);
        }
        let needs_starts = wanted.has(&[Increase]) || wanted == RollupWanted::Samples;
        if needs_starts && last_starts.max(first_starts) > 0 {
            for (number, starts) in [
                (last_starts, &mut rollup.last_starts_ms),
                (first_starts, &mut rollup.first_starts_ms),
            ] {
                let runs = match number.checked_sub(1) {
                    Some(number) => cut_starts(&self.starts_of(number, scratch)?, part.clone()),
                    None => Vec::new(),
                };
                *starts = expand_starts(&runs, part.len());
            }
        }
        let follows = |column: u8| mask & column == 0;
        let needs_sums = wanted.has(&[Sum]);
        let needs_extremes = [(MINS, Min), (MAXS, Max)]
            .iter()
            .any(|(column, summary)| wanted.has(&[*summary]) && follows(*column));
        let needs_firsts = wanted.has(&[First, Delta, Increase]) || needs_extremes;
        let needs_lasts = wanted.has(&[Last, Current, Delta, Increase])
            || needs_extremes
            || (needs_firsts && follows(FIRSTS))
            || (needs_sums && follows(SUMS));
        let mut flags = Vec::new();
        let columns: [(u8, bool, &mut Vec<f64>); 8] = [
            (0, wanted.has(&[Count, Sum, Delta, Increase]), &mut rollup.counts),
            (0, needs_lasts, &mut rollup.lasts),
            (FIRSTS, needs_firsts, &mut rollup.firsts),
            (SUMS, needs_sums, &mut rollup.sums),
            (MINS, wanted.has(&[Min]), &mut rollup.mins),
            (MAXS, wanted.has(&[Max]), &mut rollup.maxs),
            (LOST, wanted.has(&[Increase]), &mut rollup.lost),
            (FLAGS, wanted.has(&[Sum, Current, Increase]), &mut flags),
        ];
        let mut reader = self.chunks(&mut scratch.chunks);
        for (bit, is_wanted, column) in columns {
            if bit != 0 && follows(bit) {
                if is_wanted && matches!(bit, LOST | FLAGS) {
                    column.resize(part.len(), 0.0);
                }
                continue;
            }
            let part = if is_wanted { part.clone() } else { 0..0 };
            let expected = part.len();
            floats::decode(&mut fields, length, part, &mut reader, column)?;
            if column.len() != expected {
                return Err(fields.corrupt("expected as many values as buckets"));
            }
        }
        rollup.flags = flags.iter().map(|flags| *flags as u8).collect();
        if needs_firsts && follows(FIRSTS) {
            rollup.firsts = rollup.lasts.clone();
        }
        if needs_sums && follows(SUMS) {
            let products = rollup.counts.iter().zip(&rollup.lasts);
            rollup.sums = products.map(|(count, last)| count * last).collect();
        }
        let edges = || rollup.firsts.iter().zip(&rollup.lasts);
        if wanted.has(&[Min]) && follows(MINS) {
            rollup.mins = edges().map(|(first, last)| least(*first, *last)).collect();
        }
        if wanted.has(&[Max]) && follows(MAXS) {
            rollup.maxs = edges().map(|(first, last)| greatest(*first, *last)).collect();
        }
        if let RollupWanted::For(summary) = wanted {
            rollup.narrow(summary);
        }
        Ok(Some(rollup))
    }

    /// Times and values of the last samples of buckets, as if they were samples.
    pub(crate) fn read_last_samples(
        &self,
        index: u32,
        range: RangeMs,
        scratch: &mut ReadScratch,
    ) -> Result<crate::columns::Columns> {
        let rollup = self.read_rollup(index, 1, range, RollupWanted::Samples, scratch)?;
        let rollup = rollup.unwrap_or_default();
        let mut starts = Runs::default();
        rollup.last_starts_ms.iter().enumerate().for_each(|(i, start)| starts.add(i, *start));
        Ok(crate::columns::Columns {
            times: Arc::clone(&rollup.last_times_ms),
            values: rollup.lasts,
            starts: starts.done(),
            ..Default::default()
        })
    }
}
