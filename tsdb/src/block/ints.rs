//! Sequences of integers: time columns, scaled values, bucket counts.
//!
//! A sequence is cut into segments of [`SEGMENT`] numbers, so that a short range of a long series
//! is read without the rest. A segment is a first number and steps, divided by their greatest
//! common divisor, of order 0 (against the first), 1 (against the one before) or 2 (steps of
//! steps), minus their median where that helps. Steps that are nearly all zero stand in the record
//! itself; others are a page of a shared chunk. All arithmetic wraps, so that any `i64` survives.

use std::ops::Range;

use disk::Result;
use disk::codec::{Reader, put_i64, put_u64};

use super::Codec;
use super::chunks::{ChunkWriter, Class, Section};
use super::fields::Fields;
use super::pages::{ChunkReader, unzigzag};

/// Numbers of a segment.
pub(super) const SEGMENT: usize = 1024;
/// Sequences up to this long stay in the record.
const SHORT: usize = 3;

const ORDER: u8 = 0b11;
const IN_RECORD: u8 = 0;
const NUMBERS: u8 = 0b0100;
const VARINTS: u8 = 0b1000;
const UNSIGNED: u8 = 0b1100;
const PLACE: u8 = 0b1100;
const HAS_DIVISOR: u8 = 0b1_0000;
const HAS_BASE: u8 = 0b10_0000;

/// What the steps of a segment are.
struct Steps {
    order: u8,
    divisor: i64,
    base: i64,
    /// The first step of order 2.
    step: i64,
    numbers: Vec<i64>,
}

/// Appends the record of a sequence; its length is not part of it.
pub(super) fn encode(
    numbers: &[i64],
    section: Section,
    chunks: &mut ChunkWriter,
    record: &mut Vec<u8>,
) -> Result<()> {
    for segment in numbers.chunks(SEGMENT) {
        encode_segment(segment, section, chunks, record)?;
    }
    Ok(())
}

fn encode_segment(
    numbers: &[i64],
    section: Section,
    chunks: &mut ChunkWriter,
    record: &mut Vec<u8>,
) -> Result<()> {
    let steps = match chunks.codec {
        Codec::Dense => dense_steps(numbers),
        Codec::Fast => fast_steps(numbers, if section == Section::Times { 2 } else { 1 }),
    };
    let kept = cost_in_record(&steps.numbers);
    let cost: f64 = steps.numbers.iter().map(|number| log2(*number)).sum();
    let place = if steps.numbers.len() <= SHORT || kept <= cost_in_chunk(&steps.numbers) {
        IN_RECORD
    } else if chunks.codec == Codec::Fast {
        let has_negative = steps.numbers.iter().any(|number| *number < 0);
        if has_negative { VARINTS } else { UNSIGNED }
    } else {
        NUMBERS
    };
    let mut head = steps.order | place;
    head |= if steps.divisor != 1 { HAS_DIVISOR } else { 0 };
    head |= if steps.base != 0 { HAS_BASE } else { 0 };
    record.push(head);
    put_i64(record, numbers.first().copied().unwrap_or(0));
    if steps.divisor != 1 {
        put_i64(record, steps.divisor);
    }
    if steps.base != 0 {
        put_i64(record, steps.base);
    }
    if steps.order == 2 {
        put_i64(record, steps.step);
    }
    match place {
        IN_RECORD => put_sparse(&steps.numbers, record),
        VARINTS | UNSIGNED => {
            let mut bytes = Vec::with_capacity(steps.numbers.len() * 2);
            if place == UNSIGNED {
                steps.numbers.iter().for_each(|number| put_u64(&mut bytes, *number as u64));
            } else {
                steps.numbers.iter().for_each(|number| put_i64(&mut bytes, *number));
            }
            chunks.add_bytes(section, false, &bytes)?.put(record);
        }
        _ => {
            let class = Class::Ints {
                half_bits: (2.0 * cost / steps.numbers.len() as f64).round() as u8,
                zeros: (4.0 * share_of_zeros(&steps.numbers)) as u8,
                has_negative: steps.numbers.iter().any(|number| *number < 0),
                is_narrow: steps.numbers.iter().all(|number| i32::try_from(*number).is_ok()),
            };
            chunks.add_ints(section, class, &steps.numbers)?.put(record);
        }
    }
    Ok(())
}

fn fast_steps(numbers: &[i64], order: u8) -> Steps {
    let differences = differences(numbers);
    if order == 1 {
        return Steps { order, divisor: 1, base: 0, step: 0, numbers: differences };
    }
    let step = differences.first().copied().unwrap_or(0);
    Steps { order, divisor: 1, base: 0, step, numbers: self::differences(&differences) }
}

/// The cheapest of the ways to tell a segment.
fn dense_steps(numbers: &[i64]) -> Steps {
    let mut first_order = differences(numbers);
    let divisor = common_divisor(&first_order);
    if divisor > 1 {
        first_order.iter_mut().for_each(|step| *step /= divisor);
    }
    let step = first_order.first().copied().unwrap_or(0);
    let second_order = differences(&first_order);
    let first = numbers.first().copied().unwrap_or(0);
    let mut zero_order = Vec::with_capacity(first_order.len());
    for number in numbers.iter().skip(1) {
        let distance = number.wrapping_sub(first);
        // A difference that wrapped around need not divide.
        if distance % divisor != 0 {
            zero_order.clear();
            break;
        }
        zero_order.push(distance / divisor);
    }
    let mut best = (f64::INFINITY, 1, 0);
    let mut offer = |cost: f64, order: u8, base: i64| {
        if cost < best.0 {
            best = (cost, order, base);
        }
    };
    let cost = |steps: &[i64], base: i64| {
        steps.iter().map(|step| log2(step.wrapping_sub(base))).sum::<f64>()
    };
    offer(cost(&first_order, 0), 1, 0);
    // The number that order 2 needs besides is counted too.
    offer(cost(&second_order, 0) + log2(step) + 4.0, 2, 0);
    for (order, steps) in [(1, &first_order), (0, &zero_order)] {
        if steps.len() < first_order.len() {
            continue;
        }
        offer(cost(steps, 0), order, 0);
        let base = median(steps);
        if base != 0 && steps.len() > SHORT {
            offer(cost(steps, base) + log2(base) + 8.0, order, base);
        }
    }
    let (_, order, base) = best;
    let mut numbers = match order {
        0 => zero_order,
        1 => first_order,
        _ => second_order,
    };
    if base != 0 {
        numbers.iter_mut().for_each(|number| *number = number.wrapping_sub(base));
    }
    Steps { order, divisor, base, step, numbers }
}

fn differences(numbers: &[i64]) -> Vec<i64> {
    numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect()
}

fn common_divisor(numbers: &[i64]) -> i64 {
    let mut divisor = 0u64;
    for number in numbers {
        let (mut a, mut b) = (divisor, number.unsigned_abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        divisor = a;
        if divisor == 1 {
            return 1;
        }
    }
    i64::try_from(divisor).unwrap_or(1).max(1)
}

fn median(numbers: &[i64]) -> i64 {
    let mut copy = numbers.to_vec();
    if copy.is_empty() {
        return 0;
    }
    let middle = copy.len() / 2;
    *copy.select_nth_unstable(middle).1
}

/// The logarithm of one more than the absolute value, to a tenth of a bit.
#[inline]
fn log2(number: i64) -> f64 {
    let bits = ((number as f64).abs() + 1.0).to_bits();
    bits as f64 / (1u64 << 52) as f64 - 1023.0
}

fn share_of_zeros(numbers: &[i64]) -> f64 {
    let zeros = numbers.iter().filter(|number| **number == 0).count();
    zeros as f64 / numbers.len().max(1) as f64
}

fn varint_bytes(number: u64) -> usize {
    (70 - (number | 1).leading_zeros() as usize) / 7
}

/// Bytes that [`put_sparse`] writes, about.
fn cost_in_record(numbers: &[i64]) -> f64 {
    let (mut bytes, mut last) = (1, 0);
    for (at, number) in numbers.iter().enumerate().filter(|(_, number)| **number != 0) {
        let zigzag = ((number << 1) ^ (number >> 63)) as u64;
        bytes += varint_bytes((at - last) as u64) + varint_bytes(zigzag);
        last = at;
    }
    bytes as f64
}

/// Bytes that the numbers take in a shared chunk, about: the entropy of being zero, the bits of the
/// others, and the beginning of a page.
fn cost_in_chunk(numbers: &[i64]) -> f64 {
    let others = numbers.iter().filter(|number| **number != 0);
    let (count, bits) = others.fold((0u32, 0.0), |(count, bits), number| {
        (count + 1, bits + log2(number.wrapping_sub(number.signum())) + 0.5)
    });
    let share = f64::from(count) / numbers.len().max(1) as f64;
    let entropy = |p: f64| if p > 0.0 { -p * p.log2() } else { 0.0 };
    let zeros = numbers.len() as f64 * (entropy(share) + entropy(1.0 - share));
    8.0 + (zeros + bits) / 8.0
}

fn put_sparse(numbers: &[i64], record: &mut Vec<u8>) {
    let others = numbers.iter().filter(|number| **number != 0).count();
    put_u64(record, others as u64);
    let mut last = 0;
    for (at, number) in numbers.iter().enumerate().filter(|(_, number)| **number != 0) {
        put_u64(record, (at - last) as u64);
        put_i64(record, *number);
        last = at;
    }
}

/// Appends the numbers at `range` of a sequence of `length` numbers; `fields` stands behind the
/// sequence afterwards.
pub(super) fn decode(
    fields: &mut Fields<'_>,
    length: usize,
    range: Range<usize>,
    reader: &mut ChunkReader<'_>,
    out: &mut Vec<i64>,
) -> Result<()> {
    let mut begin = 0;
    while begin < length {
        let count = (length - begin).min(SEGMENT);
        let wanted = range.start.max(begin)..range.end.min(begin + count);
        let wanted = (!wanted.is_empty()).then(|| wanted.start - begin..wanted.end - begin);
        decode_segment(fields, count, wanted, reader, out)?;
        begin += count;
    }
    Ok(())
}

fn decode_segment(
    fields: &mut Fields<'_>,
    count: usize,
    wanted: Option<Range<usize>>,
    reader: &mut ChunkReader<'_>,
    out: &mut Vec<i64>,
) -> Result<()> {
    let head = fields.u8()?;
    let order = head & ORDER;
    if order > 2 || head >> 6 != 0 {
        return Err(fields.corrupt("expected the head of a sequence"));
    }
    let first = fields.i64()?;
    let divisor = if head & HAS_DIVISOR != 0 { fields.i64()? } else { 1 };
    let base = if head & HAS_BASE != 0 { fields.i64()? } else { 0 };
    let mut step = if order == 2 { fields.i64()? } else { 0 };
    let length = count.saturating_sub(if order == 2 { 2 } else { 1 });
    let mut steps = std::mem::take(&mut reader.scratch.steps);
    steps.clear();
    let place = head & PLACE;
    if place == IN_RECORD {
        get_sparse(fields, length, &mut steps)?;
    } else {
        let (chunk, page) = (fields.u32()?, fields.u32()?);
        // Numbers behind the last one wanted are not decoded.
        let needed = wanted.as_ref().map_or(0, |wanted| wanted.end.min(length));
        if needed > 0 && place != NUMBERS {
            let bytes = reader.bytes(chunk, page)?;
            if get_varints(&bytes, needed, &mut steps).is_none() {
                return Err(fields.corrupt("a sequence that ends early"));
            }
            if place == VARINTS {
                steps.iter_mut().for_each(|step| *step = unzigzag(*step));
            }
        } else if needed > 0 {
            reader.ints(chunk, page, length, needed, &mut steps)?;
        }
    }
    if let Some(wanted) = wanted {
        let begin = out.len();
        out.reserve(count);
        out.push(first);
        match order {
            0 => out.extend(steps.iter().map(|distance| {
                first.wrapping_add(distance.wrapping_add(base).wrapping_mul(divisor))
            })),
            1 => {
                let mut last = first;
                out.extend(steps.iter().map(|step| {
                    last = last.wrapping_add(step.wrapping_add(base).wrapping_mul(divisor));
                    last
                }));
            }
            _ => {
                let mut last = first.wrapping_add(step.wrapping_mul(divisor));
                if count > 1 {
                    out.push(last);
                }
                out.extend(steps.iter().map(|change| {
                    step = step.wrapping_add(*change);
                    last = last.wrapping_add(step.wrapping_mul(divisor));
                    last
                }));
            }
        }
        out.truncate(begin + wanted.end);
        if wanted.start > 0 {
            out.drain(begin..begin + wanted.start);
        }
    }
    reader.scratch.steps = steps;
    Ok(())
}

/// Appends the first `count` varints of `bytes`.
pub(super) fn get_varints(bytes: &[u8], count: usize, out: &mut Vec<i64>) -> Option<()> {
    out.reserve(count);
    let mut at = 0;
    for _ in 0..count {
        // Most take one or two bytes; which of them is not worth a branch that can not be foreseen.
        if let Some(&[a, b]) = bytes.get(at..at + 2)
            && a & b < 0x80
        {
            let is_long = a >> 7;
            let high = u64::from(b) << 7 & u64::from(is_long).wrapping_neg();
            out.push((u64::from(a & 0x7f) | high) as i64);
            at += 1 + usize::from(is_long);
        } else {
            let mut reader = Reader::at(bytes, at);
            out.push(reader.u64().ok()? as i64);
            at = reader.offset();
        }
    }
    Some(())
}

fn get_sparse(fields: &mut Fields<'_>, length: usize, steps: &mut Vec<i64>) -> Result<()> {
    let others = fields.count()?;
    steps.resize(length, 0);
    let mut at = 0usize;
    for _ in 0..others {
        at = at.saturating_add(fields.u32()? as usize);
        let number = fields.i64()?;
        match steps.get_mut(at) {
            Some(step) => *step = number,
            None => return Err(fields.corrupt("expected a place within the sequence")),
        }
    }
    Ok(())
}
