//! Series as chunks of at most 120 samples, floats and histograms each in chunks of their own.

use model::NativeHistogram;
use model::read::SeriesColumns;
use proto::remote_read::Chunk;

use super::bits::{Bits, XorValue, fits};
use super::histograms;

/// What Prometheus aims at.
const SAMPLES_MAX: usize = 120;

/// `prompb.Chunk_XOR`.
const XOR: i32 = 1;
/// `prompb.Chunk_FLOAT_HISTOGRAM`.
const FLOAT_HISTOGRAM: i32 = 3;

/// The samples of a series in order of time.
pub(super) fn encode(series: &SeriesColumns) -> Vec<Chunk> {
    let floats: Vec<(i64, f64)> =
        series.times_ms.iter().copied().zip(series.values.iter().copied()).collect();
    let histograms: Vec<(i64, &NativeHistogram)> =
        series.histograms.iter().map(|(at, histogram)| (at.0, &**histogram)).collect();
    let mut chunks = Vec::new();
    let (mut f, mut h) = (0, 0);
    // Runs of one kind, so that chunks do not overlap.
    while f < floats.len() || h < histograms.len() {
        let next_histogram = histograms.get(h).map_or(i64::MAX, |(at, _)| *at);
        let end = floats.partition_point(|(at, _)| *at < next_histogram).max(f);
        for run in floats[f..end].chunks(SAMPLES_MAX) {
            chunks.push(xor(run));
        }
        f = end;
        let next_float = floats.get(f).map_or(i64::MAX, |(at, _)| *at);
        let end = histograms.partition_point(|(at, _)| *at <= next_float).max(h);
        chunks.extend(of_histograms(&histograms[h..end]));
        h = end;
    }
    chunks
}

fn chunk(kind: i32, min_time_ms: i64, max_time_ms: i64, data: Vec<u8>) -> Chunk {
    Chunk { min_time_ms, max_time_ms, r#type: kind, data }
}

/// Floats (`tsdb/chunkenc/xor.go`). At most 65535 samples.
fn xor(samples: &[(i64, f64)]) -> Chunk {
    let count = u16::try_from(samples.len()).unwrap_or(u16::MAX);
    let mut bits = Bits::after(count.to_be_bytes().to_vec());
    let (Some((first_at, first)), Some((last_at, _))) = (samples.first(), samples.last()) else {
        return chunk(XOR, 0, 0, bits.finish());
    };
    bits.put_varint(*first_at);
    bits.put_float(*first);
    let mut value = XorValue::first(*first);
    let (mut before, mut delta) = (*first_at, None);
    for (at, sample) in samples.iter().skip(1) {
        let new_delta = at.wrapping_sub(before);
        match delta {
            None => bits.put_uvarint(new_delta as u64),
            Some(delta) => put_time(&mut bits, new_delta.wrapping_sub(delta)),
        }
        value.put(&mut bits, *sample);
        (before, delta) = (*at, Some(new_delta));
    }
    chunk(XOR, *first_at, *last_at, bits.finish())
}

/// The difference of two differences of times.
fn put_time(bits: &mut Bits, difference: i64) {
    for (prefix, prefix_bits, width) in [(0b10, 2, 14), (0b110, 3, 17), (0b1110, 4, 20)] {
        if difference == 0 {
            return bits.put(0, 1);
        }
        if fits(difference, width) {
            bits.put(prefix, prefix_bits);
            return bits.put(difference as u64, width);
        }
    }
    bits.put(0b1111, 4);
    bits.put(difference as u64, 64);
}

/// Histograms, cut wherever a reader must know more than that counts grew.
fn of_histograms(samples: &[(i64, &NativeHistogram)]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut run: Vec<(i64, &NativeHistogram)> = Vec::new();
    for (at, histogram) in samples {
        let goes_on = run.len() < SAMPLES_MAX
            && run.last().is_some_and(|(_, last)| histograms::continues(last, histogram));
        if !goes_on && !run.is_empty() {
            chunks.extend(finish(&mut run));
        }
        run.push((*at, histogram));
    }
    chunks.extend(finish(&mut run));
    chunks
}

fn finish(run: &mut Vec<(i64, &NativeHistogram)>) -> Option<Chunk> {
    let (first, last) = (run.first()?.0, run.last()?.0);
    let data = histograms::encode(run);
    run.clear();
    Some(chunk(FLOAT_HISTOGRAM, first, last, data))
}
