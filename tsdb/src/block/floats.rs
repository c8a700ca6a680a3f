//! Sequences of floats, bit for bit.
//!
//! Most measured values are short decimals. Where an exponent of ten makes integers of them, they
//! are stored as integers (see [`super::ints`]); the few that it does not fit, and NaN, infinities
//! and negative zeros, are exceptions with a place and their bits, and the integer before stands in
//! for them. Other values are floats in shared chunks, or XOR streams in blocks that are young.

use std::ops::Range;

use disk::Result;
use disk::codec::{put_f64, put_i64, put_u64};
use model::sample::STALE_NAN_BITS;

use super::Codec;
use super::chunks::{ChunkWriter, Section};
use super::fields::Fields;
use super::ints::{self, SEGMENT};
use super::pages::ChunkReader;
use crate::xor;

const CONSTANT: u8 = 0;
const CONSTANT_INTEGER: u8 = 1;
const DECIMALS: u8 = 2;
const FLOATS: u8 = 3;
const XOR: u8 = 4;
/// Added to [`DECIMALS`].
const HAS_EXCEPTIONS: u8 = 8;

/// Exponents up to this are tried; a float has 15 to 17 digits.
const EXPONENT_MAX: usize = 15;
const POWERS: [f64; EXPONENT_MAX + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
/// Integers stay below 2^53, so that each is a float.
const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// Appends the record of a sequence of at least one value; its length is not part of it.
pub(super) fn encode(
    values: &[f64],
    section: Section,
    chunks: &mut ChunkWriter,
    record: &mut Vec<u8>,
) -> Result<()> {
    let first = values.first().copied().unwrap_or(0.0);
    if values.iter().all(|value| value.to_bits() == first.to_bits()) {
        match to_integer(first, 0) {
            Some(integer) => {
                record.push(CONSTANT_INTEGER);
                put_i64(record, integer);
            }
            None => {
                record.push(CONSTANT);
                put_f64(record, first);
            }
        }
        return Ok(());
    }
    let decimals = Decimals::of(values);
    // An equal value costs a bit in an XOR stream and a byte as a varint; any other costs more.
    let decimals = match chunks.codec {
        Codec::Dense => decimals,
        Codec::Fast => decimals.filter(|decimals| decimals.change_mostly()),
    };
    if chunks.codec == Codec::Fast && decimals.is_none() {
        record.push(XOR);
        for segment in values.chunks(SEGMENT) {
            let mut bytes = Vec::new();
            xor::encode(segment, &mut bytes);
            chunks.add_bytes(section, false, &bytes)?.put(record);
        }
        return Ok(());
    }
    let Some(decimals) = decimals else {
        record.push(FLOATS);
        for segment in values.chunks(SEGMENT) {
            chunks.add_floats(section, segment)?.put(record);
        }
        return Ok(());
    };
    let has_exceptions = !decimals.exceptions.is_empty();
    record.push(if has_exceptions { DECIMALS | HAS_EXCEPTIONS } else { DECIMALS });
    record.push(decimals.exponent as u8);
    if has_exceptions {
        put_u64(record, decimals.exceptions.len() as u64);
        let mut last = 0;
        for (at, bits) in decimals.exceptions {
            let is_stale = bits == STALE_NAN_BITS;
            put_u64(record, ((at - last) as u64) << 1 | u64::from(is_stale));
            if !is_stale {
                put_f64(record, f64::from_bits(bits));
            }
            last = at;
        }
    }
    ints::encode(&decimals.integers, section, chunks, record)
}

struct Decimals {
    exponent: usize,
    integers: Vec<i64>,
    exceptions: Vec<(usize, u64)>,
}

impl Decimals {
    /// The values as integers of the smallest exponent that fits nearly all of them.
    fn of(values: &[f64]) -> Option<Self> {
        let misfits_max = values.len() / 32 + 2;
        let mut exponent = 0;
        let mut misfits = 0;
        for value in values.iter().filter(|value| is_plain(**value)) {
            if to_integer(*value, exponent).is_some() {
                continue;
            }
            match (exponent + 1..=EXPONENT_MAX).find(|e| to_integer(*value, *e).is_some()) {
                Some(larger) => exponent = larger,
                None => misfits += 1,
            }
            if misfits > misfits_max {
                return None;
            }
        }
        let mut integers = Vec::with_capacity(values.len());
        let mut exceptions = Vec::new();
        let mut last = values.iter().find_map(|value| to_integer(*value, exponent))?;
        misfits = 0;
        for (at, value) in values.iter().enumerate() {
            match to_integer(*value, exponent) {
                Some(integer) => last = integer,
                None => {
                    exceptions.push((at, value.to_bits()));
                    misfits += usize::from(is_plain(*value));
                }
            }
            integers.push(last);
        }
        (misfits <= misfits_max).then_some(Decimals { exponent, integers, exceptions })
    }

    /// Whether most values differ from the one before, by steps that are short as varints.
    fn change_mostly(&self) -> bool {
        let steps = self.integers.windows(2).map(|pair| pair[1].abs_diff(pair[0]));
        let (changes, bytes) =
            steps.filter(|step| *step != 0).fold((0, 0), |(changes, bytes), step| {
                (changes + 1, bytes + (72 - step.leading_zeros() as usize) / 7)
            });
        changes * 2 > self.integers.len() && bytes <= 3 * changes
    }
}

/// Whether a value could be a decimal.
fn is_plain(value: f64) -> bool {
    value.is_finite() && value.to_bits() != (-0.0f64).to_bits()
}

/// The integer that is `value` once it is divided by ten to the `exponent`, if there is one.
#[inline]
fn to_integer(value: f64, exponent: usize) -> Option<i64> {
    let power = POWERS[exponent];
    let scaled = (value * power).round_ties_even();
    // Also false for NaN.
    let is_same =
        scaled.abs() < INTEGER_MAX && (scaled as i64 as f64 / power).to_bits() == value.to_bits();
    is_same.then_some(scaled as i64)
}

/// Appends the values at `range` of a sequence of `length` values; `fields` stands behind the
/// sequence afterwards.
pub(super) fn decode(
    fields: &mut Fields<'_>,
    length: usize,
    range: Range<usize>,
    reader: &mut ChunkReader<'_>,
    out: &mut Vec<f64>,
) -> Result<()> {
    let class = fields.u8()?;
    match class {
        CONSTANT | CONSTANT_INTEGER => {
            let value = if class == CONSTANT { fields.f64()? } else { fields.i64()? as f64 };
            out.resize(out.len() + range.len(), value);
            Ok(())
        }
        FLOATS | XOR => decode_segments(class, fields, length, range, reader, out),
        _ if class & !HAS_EXCEPTIONS == DECIMALS => {
            decode_decimals(class, fields, length, range, reader, out)
        }
        _ => Err(fields.corrupt("expected the class of a sequence of floats")),
    }
}

fn decode_segments(
    class: u8,
    fields: &mut Fields<'_>,
    length: usize,
    range: Range<usize>,
    reader: &mut ChunkReader<'_>,
    out: &mut Vec<f64>,
) -> Result<()> {
    for begin in (0..length).step_by(SEGMENT) {
        let count = (length - begin).min(SEGMENT);
        let (chunk, page) = (fields.u32()?, fields.u32()?);
        let wanted = range.start.max(begin)..range.end.min(begin + count);
        if wanted.is_empty() {
            continue;
        }
        let base = out.len();
        if class == FLOATS {
            reader.floats(chunk, page, count, out)?;
        } else {
            let bytes = reader.bytes(chunk, page)?;
            if xor::decode(&bytes, count, out).is_none() {
                return Err(fields.corrupt("a stream that ends early"));
            }
        }
        out.truncate(base + wanted.end - begin);
        if wanted.start > begin {
            out.drain(base..base + wanted.start - begin);
        }
    }
    Ok(())
}

fn decode_decimals(
    class: u8,
    fields: &mut Fields<'_>,
    length: usize,
    range: Range<usize>,
    reader: &mut ChunkReader<'_>,
    out: &mut Vec<f64>,
) -> Result<()> {
    let exponent = usize::from(fields.u8()?);
    let Some(power) = POWERS.get(exponent).copied() else {
        return Err(fields.corrupt("expected a decimal exponent"));
    };
    let mut exceptions = Vec::new();
    if class & HAS_EXCEPTIONS != 0 {
        let mut at = 0usize;
        for _ in 0..fields.count()? {
            let head = fields.u64()?;
            at = at.saturating_add((head >> 1) as usize);
            let bits = if head & 1 == 1 { STALE_NAN_BITS } else { fields.f64()?.to_bits() };
            if range.contains(&at) {
                exceptions.push((at - range.start, bits));
            }
        }
    }
    let mut integers = std::mem::take(&mut reader.scratch.integers);
    integers.clear();
    ints::decode(fields, length, range, reader, &mut integers)?;
    let begin = out.len();
    if exponent == 0 {
        out.extend(integers.iter().map(|integer| *integer as f64));
    } else {
        out.extend(integers.iter().map(|integer| *integer as f64 / power));
    }
    for (at, bits) in exceptions {
        if let Some(value) = out.get_mut(begin + at) {
            *value = f64::from_bits(bits);
        }
    }
    reader.scratch.integers = integers;
    Ok(())
}
