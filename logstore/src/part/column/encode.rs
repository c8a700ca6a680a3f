//! How a column is kept: finds out what its values look like.

use std::sync::Arc;

use disk::codec::{CodecError, Reader, put_u64};
use pco::ChunkConfig;
use pco::standalone::{simple_compress, simple_decompress_into};
use rustc_hash::FxHashMap;

use super::dictionaries::Dictionaries;
use super::texts::Texts;
use super::{Entry, FILTERED_DIGITS_MIN, Forms, HexShape, Kind, Skeleton, TimeShape};
use crate::part::frames::{FrameWriter, Pack};
use crate::part::index::ByteSet;

/// Values that a byte tells apart.
const FEW: usize = 256;
/// So many texts that look like nothing else are few even if no two are alike: what is looked for
/// is then looked for in the header.
const FEW_TEXTS: usize = 32;
/// Rows of a template on average if templates are to tell the values of a field.
const ROWS_BY_TEMPLATE_MIN: usize = 4;
/// Fewer numbers than this are varints.
const PCO_NUMBERS_MIN: usize = 256;
const PCO_LEVEL: usize = 6;

/// Takes what the index wants to know of the values of a block.
pub(crate) trait Indexing {
    /// A whole id.
    fn id(&mut self, id: &[u8]);

    /// Takes the trigrams of texts. False if they have too many.
    fn texts(&mut self, texts: &mut dyn Iterator<Item = &[u8]>) -> bool;
}

/// What is told of a column that was encoded.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    /// The bytes that its values can have, if the index does not have their trigrams.
    pub(crate) loose: ByteSet,
    /// No value is shorter, as [`Entry::length_min`] says.
    pub(crate) length_min: usize,
}

/// The values of a column, one a row.
pub(crate) struct Values<'a> {
    pub(crate) texts: &'a [&'a [u8]],
    /// The rows of the block that have them; `None` for all.
    pub(crate) rows: Option<&'a [u32]>,
    /// The time of each row of the block.
    pub(crate) times: &'a [i64],
    /// Fields whose values differ from row to row, with the value of each row of the block.
    pub(crate) fields: &'a [(u32, Vec<Option<&'a [u8]>>)],
    /// The template of each row of the block, for the values of fields.
    pub(crate) templates: &'a [u32],
}

impl Values<'_> {
    fn row(&self, at: usize) -> usize {
        self.rows.map_or(at, |rows| rows.get(at).map_or(0, |row| *row as usize))
    }

    fn time(&self, at: usize) -> i64 {
        self.times.get(self.row(at)).copied().unwrap_or(0)
    }

    /// The field that has the same values in all rows.
    fn same(&self) -> Option<u32> {
        let is_same = |values: &Vec<Option<&[u8]>>| {
            let mut texts = self.texts.iter().enumerate();
            texts.all(|(at, text)| values.get(self.row(at)).copied().flatten() == Some(*text))
        };
        self.fields.iter().find(|(_, values)| is_same(values)).map(|(field, _)| *field)
    }
}

/// Encodes columns of one block; keeps its memory from column to column.
#[derive(Default)]
pub(crate) struct Encoder {
    few: FxHashMap<Vec<u8>, u8>,
    codes: Vec<u8>,
    buffer: Vec<u8>,
    /// What the header of the block has of the columns.
    pub(crate) dictionaries: Dictionaries,
}

impl Encoder {
    /// Puts the entry of a column into `header` and its bytes into `frames`.
    pub(crate) fn encode(
        &mut self,
        column: &Values<'_>,
        frames: &mut FrameWriter,
        index: &mut dyn Indexing,
        header: &mut Vec<u8>,
    ) -> std::io::Result<Told> {
        let values = column.texts;
        let length_min = values.iter().map(|value| value.len()).min().unwrap_or(0);
        let length_max = values.iter().map(|value| value.len()).max().unwrap_or(0);
        let first = values.first().copied().unwrap_or_default();
        self.buffer.clear();
        let (mut is_indexed, mut is_filtered) = (false, false);
        let mut form_bytes = ByteSet::default();
        let (kind, pack) = if values.iter().all(|value| *value == first) {
            is_filtered = is_id(first);
            if is_filtered {
                index.id(first);
            } else {
                is_indexed = index.texts(&mut std::iter::once(first));
            }
            (Kind::One(first.to_vec()), Pack::Shared)
        } else if let Some(order) = self.find_few(values, FEW.min(values.len() / 2 + 1)) {
            // Ids of equal look go to the filter, all else to the index.
            is_filtered = length_min == length_max && order.iter().all(|value| is_id(value));
            if is_filtered {
                order.iter().for_each(|id| index.id(id));
            } else {
                is_indexed = index.texts(&mut order.iter().copied());
            }
            let codes = self.codes_by_template(column);
            (self.put_few(&order, codes), Pack::Shared)
        } else if let Some(field) = column.same() {
            (Kind::Same(field), Pack::Shared)
        } else if let Some((shape, distances)) =
            TimeShape::find(values, (0..values.len()).map(|at| column.time(at)))
        {
            let is_raw = put_numbers(&distances, &mut self.buffer);
            (Kind::Time(shape), if is_raw { Pack::Raw } else { Pack::Shared })
        } else if let Some((skeleton, numbers)) = Skeleton::find(values) {
            let is_raw = put_numbers(&numbers, &mut self.buffer);
            (Kind::Digits(Box::new(skeleton)), if is_raw { Pack::Raw } else { Pack::Shared })
        } else if let Some(shape) = self.find_hex(values) {
            is_filtered = shape.digits() >= FILTERED_DIGITS_MIN;
            if is_filtered {
                values.iter().for_each(|id| index.id(id));
            }
            (Kind::Hex(Box::new(shape)), Pack::Raw)
        } else if let Some(forms) = Forms::find(values) {
            is_indexed = index.texts(&mut values.iter().copied());
            form_bytes = forms.bytes();
            let is_raw = forms.put_numbers(&mut self.buffer);
            let pack = if is_raw { Pack::Raw } else { Pack::Shared };
            let numbers = frames.put(&self.buffer, pack)?;
            self.buffer.clear();
            let listed = self.dictionaries.list(forms.texts());
            forms.put(&mut self.buffer, listed.is_some());
            (Kind::Forms(numbers, listed), Pack::Shared)
        } else if let Some(order) = self.find_few(values, FEW_TEXTS) {
            is_indexed = index.texts(&mut order.iter().copied());
            (self.put_few(&order, None), Pack::Shared)
        } else {
            is_indexed = index.texts(&mut values.iter().copied());
            for value in values {
                put_u64(&mut self.buffer, value.len() as u64);
            }
            for value in values {
                self.buffer.extend_from_slice(value);
            }
            (Kind::Text, Pack::Shared)
        };
        let place = match kind {
            Kind::One(_) | Kind::Same(_) | Kind::ByTemplate(..) => Default::default(),
            _ => frames.put(&self.buffer, pack)?,
        };
        let entry = Entry { kind, length_min, length_max, is_indexed, is_filtered, place };
        entry.put(header);
        let loose = match &entry.kind {
            _ if is_indexed => ByteSet::default(),
            Kind::Few(_) | Kind::ByTemplate(..) => {
                let mut bytes = ByteSet::default();
                self.few.keys().for_each(|value| bytes.insert_all(value));
                bytes
            }
            Kind::Forms(..) => form_bytes,
            // The values are those of a field, of which nothing is known here.
            Kind::Same(_) => {
                let mut bytes = ByteSet::default();
                values.iter().for_each(|value| bytes.insert_all(value));
                bytes
            }
            _ => entry.bytes(),
        };
        Ok(Told { loose, length_min: entry.length_min() })
    }

    /// Which of few values the rows of each template have, if all rows of a template have one: what
    /// the level of a record often is.
    fn codes_by_template(&self, column: &Values<'_>) -> Option<Vec<u8>> {
        let count = column.templates.iter().max().map_or(0, |last| *last as usize + 1);
        if count == 0 || count > self.codes.len() / ROWS_BY_TEMPLATE_MIN {
            return None;
        }
        let mut found: Vec<Option<u8>> = vec![None; count];
        for (at, code) in self.codes.iter().enumerate() {
            let template = *column.templates.get(column.row(at))?;
            if *found.get_mut(template as usize)?.get_or_insert(*code) != *code {
                return None;
            }
        }
        Some(found.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// Puts the codes of few values into the buffer unless those of templates tell them, and the
    /// values unless the header has them.
    fn put_few(&mut self, order: &[&[u8]], by_template: Option<Vec<u8>>) -> Kind {
        let mut texts = Texts::default();
        order.iter().for_each(|value| texts.push(value));
        let texts = Arc::new(texts);
        let listed = match (self.dictionaries.list(&texts), by_template) {
            (Some(listed), Some(codes)) => return Kind::ByTemplate(listed, codes),
            (listed, _) => listed,
        };
        if listed.is_none() {
            texts.put(&mut self.buffer);
        }
        self.buffer.extend_from_slice(&self.codes);
        Kind::Few(listed)
    }

    /// At most `limit` values in order, if there are no more; their codes are kept.
    fn find_few<'a>(&mut self, values: &[&'a [u8]], limit: usize) -> Option<Vec<&'a [u8]>> {
        self.few.clear();
        self.codes.clear();
        let mut order: Vec<&[u8]> = Vec::new();
        let mut last: Option<(&[u8], u8)> = None;
        for value in values {
            let code = match last {
                Some((text, code)) if text == *value => code,
                _ => match self.few.get(*value) {
                    Some(code) => *code,
                    None if order.len() >= limit => return None,
                    None => {
                        let code = order.len() as u8;
                        order.push(value);
                        self.few.insert(value.to_vec(), code);
                        code
                    }
                },
            };
            last = Some((value, code));
            self.codes.push(code);
        }
        // Sorted, columns of the same values have the same list.
        let mut sorted: Vec<(&[u8], u8)> = order.iter().copied().zip(0..=u8::MAX).collect();
        sorted.sort_unstable();
        let mut ranks = vec![0u8; order.len()];
        for (rank, (_, code)) in (0..=u8::MAX).zip(&sorted) {
            ranks[usize::from(*code)] = rank;
        }
        self.codes.iter_mut().for_each(|code| *code = ranks[usize::from(*code)]);
        Some(sorted.into_iter().map(|(value, _)| value).collect())
    }

    fn find_hex(&mut self, values: &[&[u8]]) -> Option<HexShape> {
        let shape = HexShape::find(values)?;
        let packed = values.iter().try_for_each(|value| shape.pack(value, &mut self.buffer));
        if packed.is_none() {
            self.buffer.clear();
            return None;
        }
        Some(shape)
    }
}

/// Whether a text looks like an id that the filter keeps.
fn is_id(text: &[u8]) -> bool {
    text.len() >= FILTERED_DIGITS_MIN
        && HexShape::find(&[text]).is_some_and(|shape| {
            shape.digits() >= FILTERED_DIGITS_MIN && shape.pack(text, &mut Vec::new()).is_some()
        })
}

/// Appends numbers; answers whether they are packed.
///
/// First the least number and the divisor of the distances from it, then what is left: as varints,
/// or by pco, with or without differences.
pub(crate) fn put_numbers(numbers: &[u64], out: &mut Vec<u8>) -> bool {
    let least = numbers.iter().copied().min().unwrap_or(0);
    let mut divisor = 0;
    for number in numbers {
        divisor = greatest_common_divisor(number - least, divisor);
        if divisor == 1 {
            break;
        }
    }
    let divisor = divisor.max(1);
    let scaled: Vec<u64> = numbers.iter().map(|number| (number - least) / divisor).collect();
    put_u64(out, least);
    put_u64(out, divisor);
    if numbers.len() < PCO_NUMBERS_MIN {
        out.push(0);
        let mut before = 0u64;
        for number in scaled {
            disk::codec::put_i64(out, number.wrapping_sub(before) as i64);
            before = number;
        }
        return false;
    }
    let bits = |distance: u64| u64::from(64 - distance.leading_zeros());
    let plain: u64 = scaled.iter().map(|number| bits(*number)).sum();
    let steps: u64 = scaled.windows(2).map(|pair| bits(pair[0].abs_diff(pair[1])) + 1).sum();
    let delta =
        if steps < plain { pco::DeltaSpec::TryConsecutive(1) } else { pco::DeltaSpec::NoOp };
    let config = ChunkConfig::default()
        .with_compression_level(PCO_LEVEL)
        .with_mode_spec(pco::ModeSpec::Classic)
        .with_delta_spec(delta);
    let is_small = scaled.iter().all(|number| *number <= u64::from(u32::MAX));
    let packed = if is_small {
        let small: Vec<u32> = scaled.iter().map(|number| *number as u32).collect();
        simple_compress(&small, &config)
    } else {
        simple_compress(&scaled, &config)
    };
    match packed {
        Ok(packed) => {
            out.push(if is_small { 2 } else { 3 });
            out.extend_from_slice(&packed);
            true
        }
        // Numbers that pco refuses are kept as they are.
        Err(_) => {
            out.push(1);
            for number in scaled {
                out.extend_from_slice(&number.to_le_bytes());
            }
            false
        }
    }
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Reads `count` numbers that [`put_numbers`] wrote.
pub(crate) fn decode_numbers(bytes: &[u8], count: usize) -> Result<Vec<u64>, CodecError> {
    let mut reader = Reader::new(bytes);
    let least = reader.u64()?;
    let divisor = reader.u64()?;
    let kind = reader.u8()?;
    let wrong = CodecError { offset: reader.offset(), expected: "packed numbers" };
    let real = |scaled: u64| least.wrapping_add(scaled.wrapping_mul(divisor));
    match kind {
        0 => {
            let mut before = 0u64;
            let mut numbers = Vec::with_capacity(count.min(PCO_NUMBERS_MIN));
            for _ in 0..count {
                before = before.wrapping_add(reader.i64()? as u64);
                numbers.push(real(before));
            }
            Ok(numbers)
        }
        1 => (0..count).map(|_| Ok(real(u64::from_le_bytes(reader.array()?)))).collect(),
        2 | 3 => {
            let rest = bytes.get(reader.offset()..).unwrap_or_default();
            if kind == 2 {
                let mut small = vec![0u32; count];
                let told = simple_decompress_into(rest, &mut small).map_err(|_| wrong)?;
                if told.n_processed != count || !told.finished {
                    return Err(wrong);
                }
                let small = small.into_iter().map(u64::from);
                // Without a product several are made at once.
                return Ok(match divisor {
                    1 => small.map(|number| least.wrapping_add(number)).collect(),
                    _ => small.map(real).collect(),
                });
            }
            let mut numbers = vec![0u64; count];
            let told = simple_decompress_into(rest, &mut numbers).map_err(|_| wrong)?;
            if told.n_processed != count || !told.finished {
                return Err(wrong);
            }
            numbers.iter_mut().for_each(|number| *number = real(*number));
            Ok(numbers)
        }
        _ => Err(wrong),
    }
}
