//! Native histograms: samples of one layout as rows, one for each bucket, along time.

use std::ops::Range;
use std::sync::Arc;

use disk::Result;
use disk::codec::{put_f64, put_i64, put_u64};
use model::sample::{NativeHistogram, ResetHint};

use super::chunks::{ChunkWriter, Section};
use super::fields::Fields;
use super::floats;
use super::pages::ChunkReader;
use crate::columns::HistogramSample;

/// The count of each sample is the sum of its buckets, and not stored.
const COUNT_IS_SUM: u8 = 1;

/// What samples must share to be rows of one matrix.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Layout {
    schema: i32,
    reset_hint: ResetHint,
    zero_threshold: f64,
    positive: Vec<i32>,
    negative: Vec<i32>,
    bounds: Vec<f64>,
}

impl Layout {
    pub(super) fn put(histogram: &NativeHistogram, record: &mut Vec<u8>) {
        put_i64(record, i64::from(histogram.schema));
        record.push(histogram.reset_hint.to_byte());
        put_f64(record, histogram.zero_threshold);
        for buckets in [&histogram.positive, &histogram.negative] {
            put_u64(record, buckets.len() as u64);
            let mut last = 0;
            for (index, _) in buckets {
                put_i64(record, i64::from(*index) - last);
                last = i64::from(*index);
            }
        }
        put_u64(record, histogram.custom_bounds.len() as u64);
        histogram.custom_bounds.iter().for_each(|bound| put_f64(record, *bound));
    }

    pub(super) fn get(fields: &mut Fields<'_>) -> Result<Self> {
        let narrow = |fields: &Fields<'_>, number: i64| {
            i32::try_from(number).map_err(|_| fields.corrupt("expected a number of 32 bits"))
        };
        let schema = fields.i64()?;
        let schema = narrow(fields, schema)?;
        let reset_hint = ResetHint::from_byte(fields.u8()?);
        let zero_threshold = fields.f64()?;
        let mut sides = [Vec::new(), Vec::new()];
        for side in &mut sides {
            let mut last = 0i64;
            for _ in 0..fields.count()? {
                last = last.saturating_add(fields.i64()?);
                side.push(narrow(fields, last)?);
            }
        }
        let mut bounds = Vec::new();
        for _ in 0..fields.count()? {
            bounds.push(fields.f64()?);
        }
        let [positive, negative] = sides;
        Ok(Layout { schema, reset_hint, zero_threshold, positive, negative, bounds })
    }

    fn rows(&self) -> usize {
        3 + self.positive.len() + self.negative.len()
    }
}

/// Whether two samples can be rows of one matrix.
fn has_same_layout(a: &NativeHistogram, b: &NativeHistogram) -> bool {
    let indexes = |a: &[(i32, f64)], b: &[(i32, f64)]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0)
    };
    let bits = |a: &[f64]| a.iter().map(|bound| bound.to_bits()).collect::<Vec<_>>();
    a.schema == b.schema
        && a.reset_hint == b.reset_hint
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && indexes(&a.positive, &b.positive)
        && indexes(&a.negative, &b.negative)
        && bits(&a.custom_bounds) == bits(&b.custom_bounds)
}

/// The count that follows from the buckets.
fn sum_of_buckets(histogram: &NativeHistogram) -> f64 {
    let buckets = histogram.positive.iter().chain(&histogram.negative);
    buckets.fold(histogram.zero_count, |sum, (_, count)| sum + count)
}

/// Appends the runs of `samples`; `layout_of` gives the number of a sample's layout.
pub(super) fn encode(
    samples: &[HistogramSample],
    mut layout_of: impl FnMut(&NativeHistogram) -> u32,
    chunks: &mut ChunkWriter,
    record: &mut Vec<u8>,
) -> Result<()> {
    let runs: Vec<_> = samples
        .chunk_by(|a, b| {
            Arc::ptr_eq(&a.histogram, &b.histogram) || has_same_layout(&a.histogram, &b.histogram)
        })
        .collect();
    put_u64(record, runs.len() as u64);
    let mut row = Vec::new();
    for run in runs {
        let Some(first) = run.first() else { continue };
        let first = &*first.histogram;
        put_u64(record, u64::from(layout_of(first)));
        put_u64(record, run.len() as u64);
        let is_sum = run.iter().all(|sample| {
            let count = sample.histogram.count;
            !count.is_nan() && sum_of_buckets(&sample.histogram).to_bits() == count.to_bits()
        });
        record.push(if is_sum { COUNT_IS_SUM } else { 0 });
        let (positive, negative) = (first.positive.len(), first.negative.len());
        for number in 0..3 + positive + negative {
            if number == 1 && is_sum {
                continue;
            }
            row.clear();
            row.extend(run.iter().map(|sample| {
                let histogram = &*sample.histogram;
                match number {
                    0 => histogram.zero_count,
                    1 => histogram.count,
                    2 => histogram.sum,
                    _ if number < 3 + positive => histogram.positive[number - 3].1,
                    _ => histogram.negative[number - 3 - positive].1,
                }
            }));
            floats::encode(&row, Section::Histograms, chunks, record)?;
        }
    }
    Ok(())
}

/// The histograms at `range` of a series of `length`.
pub(super) fn decode(
    fields: &mut Fields<'_>,
    length: usize,
    range: Range<usize>,
    mut layout_of: impl FnMut(u32) -> Result<Arc<Layout>>,
    reader: &mut ChunkReader<'_>,
) -> Result<Vec<NativeHistogram>> {
    let mut found = Vec::new();
    let mut begin = 0;
    let mut rows = Vec::new();
    for _ in 0..fields.count()? {
        let layout = layout_of(fields.u32()?)?;
        let count = fields.u32()? as usize;
        if count > length - begin {
            return Err(fields.corrupt("expected runs that fit their series"));
        }
        let is_sum = fields.u8()? & COUNT_IS_SUM != 0;
        let start = range.start.clamp(begin, begin + count) - begin;
        let end = (range.end.clamp(begin, begin + count) - begin).max(start);
        rows.clear();
        for number in 0..layout.rows() {
            if number == 1 && is_sum {
                rows.resize(rows.len() + (end - start), 0.0);
            } else {
                floats::decode(fields, count, start..end, reader, &mut rows)?;
            }
        }
        let height = end - start;
        found.extend((0..height).map(|at| {
            let cell = |number: usize| rows.get(number * height + at).copied().unwrap_or(0.0);
            let buckets = |indexes: &[i32], first: usize| {
                indexes.iter().zip(first..).map(|(index, row)| (*index, cell(row))).collect()
            };
            let mut histogram = NativeHistogram {
                schema: layout.schema,
                zero_threshold: layout.zero_threshold,
                zero_count: cell(0),
                count: cell(1),
                sum: cell(2),
                positive: buckets(&layout.positive, 3),
                negative: buckets(&layout.negative, 3 + layout.positive.len()),
                custom_bounds: layout.bounds.clone(),
                reset_hint: layout.reset_hint,
            };
            if is_sum {
                histogram.count = sum_of_buckets(&histogram);
            }
            histogram
        }));
        begin += count;
    }
    if begin != length {
        return Err(fields.corrupt("expected runs that fill their series"));
    }
    Ok(found)
}
