//! Time columns and start times, each stored once however many series share it.

use std::ops::Range;
use std::sync::Arc;

use disk::Result;
use disk::codec::{put_i64, put_u64};
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_128;

use super::chunks::{ChunkWriter, Section};
use super::fields::Fields;
use super::ints;
use super::pages::ChunkReader;
use super::table::TableWriter;
use crate::columns::StartRun;

/// Numbers of columns that are kept to find the times of series that began later or ended earlier.
const HELD_NUMBERS_MAX: usize = 2 << 20;
/// So many runs of start times stand in their record; more are sequences of integers.
const SHORT_RUNS: usize = 8;

/// Which times a series has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TimesRef {
    pub(super) column: u32,
    /// A part of the column with its first and last time; `None` is all of it.
    pub(super) part: Option<(Range<u32>, i64, i64)>,
}

impl TimesRef {
    pub(super) fn put(&self, record: &mut Vec<u8>) {
        put_u64(record, u64::from(self.column) << 1 | u64::from(self.part.is_some()));
        if let Some((range, first, last)) = &self.part {
            put_u64(record, u64::from(range.start));
            put_u64(record, u64::from(range.end - range.start));
            put_i64(record, *first);
            put_u64(record, last.wrapping_sub(*first) as u64);
        }
    }

    pub(super) fn get(fields: &mut Fields<'_>) -> Result<Self> {
        let head = fields.u64()?;
        let wrong = |fields: &Fields<'_>| fields.corrupt("expected a part of a time column");
        let column = u32::try_from(head >> 1).map_err(|_| wrong(fields))?;
        if head & 1 == 0 {
            return Ok(TimesRef { column, part: None });
        }
        let start = fields.u32()?;
        let end = start.checked_add(fields.u32()?).ok_or_else(|| wrong(fields))?;
        let first = fields.i64()?;
        let last = first.wrapping_add(fields.u64()? as i64);
        Ok(TimesRef { column, part: Some((start..end, first, last)) })
    }
}

/// The columns of a block that is being written.
#[derive(Default)]
pub(super) struct ColumnsWriter {
    times: FxHashMap<u128, u32>,
    /// Columns by their first and by their last time.
    by_first: FxHashMap<i64, (Arc<Vec<i64>>, u32)>,
    by_last: FxHashMap<i64, (Arc<Vec<i64>>, u32)>,
    held_numbers: usize,
    pub(super) times_table: TableWriter,
    starts: FxHashMap<u128, u32>,
    pub(super) starts_table: TableWriter,
    buffer: Vec<u8>,
    record: Vec<u8>,
}

impl ColumnsWriter {
    /// The column of times that are not empty and in order; written if it is new.
    pub(super) fn times(
        &mut self,
        times: &Arc<Vec<i64>>,
        chunks: &mut ChunkWriter,
    ) -> Result<TimesRef> {
        let whole = |column: u32| Ok(TimesRef { column, part: None });
        let (Some(first), Some(last)) = (times.first(), times.last()) else {
            return Err(chunks.unwritable("a series without times"));
        };
        let same_first = self.by_first.get(first);
        if let Some((held, column)) = same_first
            && Arc::ptr_eq(held, times)
        {
            return whole(*column);
        }
        let hash = hash_times(times, &mut self.buffer);
        if let Some(column) = self.times.get(&hash) {
            return whole(*column);
        }
        for (held, column) in same_first.into_iter().chain(self.by_last.get(last)) {
            let start = held.partition_point(|time| time < first);
            if held.get(start..start + times.len()) == Some(times.as_slice()) {
                let range = start as u32..(start + times.len()) as u32;
                return Ok(TimesRef { column: *column, part: Some((range, *first, *last)) });
            }
        }
        let column = self.times_table.next();
        self.record.clear();
        put_u64(&mut self.record, times.len() as u64);
        put_i64(&mut self.record, *first);
        put_u64(&mut self.record, last.wrapping_sub(*first) as u64);
        ints::encode(times, Section::Times, chunks, &mut self.record)?;
        self.times_table.push(&self.record);
        self.times.insert(hash, column);
        self.held_numbers += times.len();
        if self.held_numbers > HELD_NUMBERS_MAX {
            self.by_first.clear();
            self.by_last.clear();
            self.held_numbers = times.len();
        }
        self.by_first.insert(*first, (Arc::clone(times), column));
        self.by_last.insert(*last, (Arc::clone(times), column));
        whole(column)
    }

    /// The number of the start times; written if they are new.
    pub(super) fn starts(&mut self, runs: &[StartRun], chunks: &mut ChunkWriter) -> Result<u32> {
        self.buffer.clear();
        for run in runs {
            self.buffer.extend_from_slice(&run.first.to_le_bytes());
            self.buffer.extend_from_slice(&run.start.to_le_bytes());
        }
        let hash = xxh3_128(&self.buffer);
        if let Some(number) = self.starts.get(&hash) {
            return Ok(*number);
        }
        let number = self.starts_table.next();
        self.record.clear();
        put_u64(&mut self.record, runs.len() as u64);
        if runs.len() <= SHORT_RUNS {
            let mut last = StartRun { first: 0, start: 0 };
            for run in runs {
                put_u64(&mut self.record, u64::from(run.first - last.first));
                put_i64(&mut self.record, run.start.wrapping_sub(last.start));
                last = *run;
            }
        } else {
            let firsts: Vec<i64> = runs.iter().map(|run| i64::from(run.first)).collect();
            let starts: Vec<i64> = runs.iter().map(|run| run.start).collect();
            ints::encode(&firsts, Section::Starts, chunks, &mut self.record)?;
            ints::encode(&starts, Section::Starts, chunks, &mut self.record)?;
        }
        self.starts_table.push(&self.record);
        self.starts.insert(hash, number);
        Ok(number)
    }
}

fn hash_times(times: &[i64], buffer: &mut Vec<u8>) -> u128 {
    buffer.clear();
    buffer.reserve(times.len() * 8);
    for time in times {
        buffer.extend_from_slice(&time.to_le_bytes());
    }
    xxh3_128(buffer)
}

/// How many times a column has, the first, the last; then follows the sequence.
pub(super) fn get_times_head(fields: &mut Fields<'_>) -> Result<(usize, i64, i64)> {
    let count = fields.u32()? as usize;
    let first = fields.i64()?;
    let last = first.wrapping_add(fields.u64()? as i64);
    if count == 0 || count > super::SAMPLES_MAX {
        return Err(fields.corrupt("expected a time column of a sane length"));
    }
    Ok((count, first, last))
}

/// All times of a column.
pub(super) fn get_times(fields: &mut Fields<'_>, reader: &mut ChunkReader<'_>) -> Result<Vec<i64>> {
    let (count, ..) = get_times_head(fields)?;
    let mut times = Vec::new();
    ints::decode(fields, count, 0..count, reader, &mut times)?;
    if times.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(fields.corrupt("expected times in order"));
    }
    Ok(times)
}

/// All runs of start times.
pub(super) fn get_starts(
    fields: &mut Fields<'_>,
    reader: &mut ChunkReader<'_>,
) -> Result<Vec<StartRun>> {
    let count = fields.u32()? as usize;
    let wrong = "expected start times in order";
    if count <= SHORT_RUNS {
        let mut runs = Vec::new();
        let mut last = StartRun { first: 0, start: 0 };
        for _ in 0..count {
            let first =
                last.first.checked_add(fields.u32()?).ok_or_else(|| fields.corrupt(wrong))?;
            last = StartRun { first, start: last.start.wrapping_add(fields.i64()?) };
            runs.push(last);
        }
        return Ok(runs);
    }
    if count > super::SAMPLES_MAX {
        return Err(fields.corrupt(wrong));
    }
    let (mut firsts, mut starts) = (Vec::new(), Vec::new());
    ints::decode(fields, count, 0..count, reader, &mut firsts)?;
    ints::decode(fields, count, 0..count, reader, &mut starts)?;
    let runs = firsts.into_iter().zip(starts).map(|(first, start)| {
        let first = u32::try_from(first).map_err(|_| fields.corrupt(wrong))?;
        Ok(StartRun { first, start })
    });
    runs.collect()
}

/// The runs of the samples at `range`, counted from the first of them.
pub(super) fn cut_starts(runs: &[StartRun], range: Range<usize>) -> Vec<StartRun> {
    if range.is_empty() {
        return Vec::new();
    }
    let (start, end) = (range.start as u32, range.end as u32);
    let begin = runs.partition_point(|run| run.first <= start).saturating_sub(1);
    let mut found: Vec<StartRun> = runs[begin..]
        .iter()
        .take_while(|run| run.first < end)
        .map(|run| StartRun { first: run.first.saturating_sub(start), start: run.start })
        .collect();
    // What is not told is the same as no run at all.
    let is_unknown = |run: &StartRun| run.first == 0 && run.start == model::write::NO_START.0;
    if start > 0 && found.first().is_some_and(is_unknown) {
        found.remove(0);
    }
    found
}
