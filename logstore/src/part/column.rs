//! A column: the texts of one slot of a template, or of one field, in one block.
//!
//! A column is kept as what it looks like: one value, few values, digits in a skeleton, packed ids,
//! or texts one behind the other. Values come back byte for byte.

mod digits;
mod encode;
mod forms;
mod hex;
mod texts;
mod time;

use std::sync::Arc;

use disk::codec::{CodecError, Reader, put_bytes, put_u64};
use memchr::memmem;

use super::bits::Bits;
use super::frames::Place;
use super::index::ByteSet;
use digits::Skeleton;
pub(crate) use encode::{Encoder, Indexing, Told, Values, decode_numbers, put_numbers};
use forms::Forms;
use hex::HexShape;
use texts::Texts;
use time::TimeShape;

/// Where in a value a text is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Spot {
    Inside,
    Start,
    End,
    /// The value is the text.
    Whole,
}

impl Spot {
    fn holds(self, value: &[u8], text: &[u8]) -> bool {
        match self {
            Spot::Inside => memmem::find(value, text).is_some(),
            Spot::Start => value.starts_with(text),
            Spot::End => value.ends_with(text),
            Spot::Whole => value == text,
        }
    }
}

/// What the header of a block tells of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    kind: Kind,
    length_min: usize,
    length_max: usize,
    /// Whether the trigrams of its values are in the index.
    is_indexed: bool,
    /// Whether all of its values, which have one length, are in the filter of ids.
    is_filtered: bool,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// All values are this one.
    One(Vec<u8>),
    /// A byte a value tells which of few. These are told here unless they are long.
    Few(Option<Arc<Texts>>),
    Digits(Skeleton),
    Hex(HexShape),
    Text,
    /// Times near those of the rows.
    Time(TimeShape),
    /// The rows have the same values in this field.
    Same(u32),
    /// Lines of a few forms, which are told here unless they are long; their numbers lie in a place
    /// of their own.
    Forms(Place, Option<Arc<Texts>>),
}

/// Values and forms that take more are not in the header of the block.
const TOLD_BYTES_MAX: usize = 2048;

/// Texts that are told in the header, none if they are not.
fn put_told(texts: &Option<Arc<Texts>>, out: &mut Vec<u8>) {
    match texts {
        Some(texts) => texts.put(out),
        None => out.push(0),
    }
}

fn read_told(reader: &mut Reader<'_>) -> Result<Option<Arc<Texts>>, CodecError> {
    let texts = Texts::read(reader)?;
    Ok((texts.len() > 0).then(|| Arc::new(texts)))
}

fn is_told(texts: &Texts) -> bool {
    texts.bytes.len() + texts.len() <= TOLD_BYTES_MAX
}

/// Ids of so many digits are in the filter of their block.
const FILTERED_DIGITS_MIN: usize = 16;

impl Entry {
    fn put(&self, out: &mut Vec<u8>) {
        let kind = match &self.kind {
            Kind::One(_) => 0,
            Kind::Few(_) => 1,
            Kind::Digits(_) => 2,
            Kind::Hex(_) => 3,
            Kind::Text => 4u8,
            Kind::Time(_) => 5,
            Kind::Same(_) => 6,
            Kind::Forms(..) => 7,
        };
        out.push(kind | u8::from(self.is_indexed) << 7 | u8::from(self.is_filtered) << 6);
        match &self.kind {
            Kind::One(value) => return put_bytes(out, value),
            Kind::Same(field) => return put_u64(out, (*field).into()),
            Kind::Time(shape) => shape.put(out),
            Kind::Digits(skeleton) => skeleton.put(out),
            Kind::Hex(shape) => shape.put(out),
            Kind::Forms(numbers, forms) => {
                numbers.put(out);
                put_told(forms, out);
            }
            Kind::Few(values) => put_told(values, out),
            Kind::Text => {}
        }
        put_u64(out, self.length_min as u64);
        put_u64(out, (self.length_max - self.length_min) as u64);
        self.place.put(out);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let head = reader.u8()?;
        let (is_indexed, is_filtered) = (head & 0x80 != 0, head & 0x40 != 0);
        let kind = match head & 0x3f {
            0 => {
                let value = reader.bytes()?.to_vec();
                let length = value.len();
                return Ok(Entry {
                    kind: Kind::One(value),
                    length_min: length,
                    length_max: length,
                    is_indexed,
                    is_filtered,
                    place: Place::default(),
                });
            }
            1 => Kind::Few(read_told(reader)?),
            2 => Kind::Digits(Skeleton::read(reader)?),
            3 => Kind::Hex(HexShape::read(reader)?),
            4 => Kind::Text,
            5 => Kind::Time(TimeShape::read(reader)?),
            6 => {
                let kind = Kind::Same(reader.u32()?);
                let place = Place::default();
                let (length_min, length_max) = (0, usize::MAX);
                return Ok(Entry { kind, length_min, length_max, is_indexed, is_filtered, place });
            }
            7 => Kind::Forms(Place::read(reader)?, read_told(reader)?),
            _ => {
                return Err(CodecError { offset: reader.offset(), expected: "a kind of column" });
            }
        };
        let length_min = reader.u32()? as usize;
        let length_max = length_min.saturating_add(reader.u32()? as usize);
        let place = Place::read(reader)?;
        Ok(Entry { kind, length_min, length_max, is_indexed, is_filtered, place })
    }

    /// The bytes that its values can have.
    pub(crate) fn bytes(&self) -> ByteSet {
        let mut bytes = ByteSet::default();
        match &self.kind {
            Kind::One(value) => bytes.insert_all(value),
            Kind::Time(shape) => bytes.insert_all(&shape.bytes()),
            Kind::Few(Some(values)) => bytes.insert_all(&values.bytes),
            Kind::Forms(_, Some(forms)) => bytes = forms::bytes_of(forms),
            Kind::Few(None) | Kind::Text | Kind::Same(_) | Kind::Forms(_, None) => {
                return ByteSet::ALL;
            }
            Kind::Digits(skeleton) => skeleton.add_bytes(&mut bytes),
            Kind::Hex(shape) => shape.add_bytes(&mut bytes),
        }
        bytes
    }

    /// What its values look like.
    #[cfg(test)]
    pub(crate) fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::One(_) => "one",
            Kind::Few(_) => "few",
            Kind::Digits(_) => "digits",
            Kind::Hex(_) => "hex",
            Kind::Text => "text",
            Kind::Time(_) => "time",
            Kind::Same(_) => "same",
            Kind::Forms(..) => "forms",
        }
    }

    /// No value has fewer bytes; zero if nothing is told of them here.
    pub(crate) fn length_min(&self) -> usize {
        if matches!(self.kind, Kind::Same(_)) { 0 } else { self.length_min }
    }

    /// Where its bytes lie; nowhere if the entry tells everything.
    pub(crate) fn place(&self) -> Option<Place> {
        (!matches!(self.kind, Kind::One(_) | Kind::Same(_))).then_some(self.place)
    }

    /// Where the numbers of its values lie, if not with the rest.
    pub(crate) fn numbers_place(&self) -> Option<Place> {
        match self.kind {
            Kind::Forms(numbers, _) => Some(numbers),
            _ => None,
        }
    }

    /// Whether the times of the rows are needed to read it.
    pub(crate) fn needs_times(&self) -> bool {
        matches!(self.kind, Kind::Time(_))
    }

    /// The field that has the same values, if one has.
    pub(crate) fn same_as(&self) -> Option<usize> {
        match self.kind {
            Kind::Same(field) => Some(field as usize),
            _ => None,
        }
    }

    /// Whether a value can have the text there. `indexed` tells whether the block has all trigrams
    /// of the text, `filter` whether it can have the text as a whole id.
    pub(crate) fn may_hold(
        &self,
        spot: Spot,
        text: &[u8],
        indexed: bool,
        filter: &dyn Fn(&[u8]) -> bool,
    ) -> bool {
        if text.len() > self.length_max || (spot == Spot::Whole && text.len() < self.length_min) {
            return false;
        }
        if self.is_indexed && !indexed {
            return false;
        }
        // All values are of one length, so a text of that length is a whole one.
        if self.is_filtered && text.len() == self.length_max && !filter(text) {
            return false;
        }
        match &self.kind {
            Kind::One(value) => spot.holds(value, text),
            Kind::Few(Some(values)) => values.iter().any(|value| spot.holds(value, text)),
            Kind::Forms(_, Some(forms)) => forms::may_hold(forms, text),
            Kind::Few(None) | Kind::Text | Kind::Same(_) | Kind::Forms(_, None) => true,
            Kind::Time(shape) => text.iter().all(|byte| shape.bytes().contains(byte)),
            Kind::Digits(skeleton) => skeleton.may_contain(text),
            Kind::Hex(shape) => shape.may_contain(text),
        }
    }

    /// As [`Entry::may_hold`], if letters of ASCII are taken as lower case, which those of `text`
    /// are.
    pub(crate) fn may_hold_folded(&self, spot: Spot, text: &[u8], indexed: bool) -> bool {
        if text.len() > self.length_max
            || (spot == Spot::Whole && text.len() < self.length_min)
            || (self.is_indexed && !indexed)
        {
            return false;
        }
        match &self.kind {
            Kind::One(value) => spot.holds(&value.to_ascii_lowercase(), text),
            Kind::Few(Some(values)) => {
                values.to_lower().iter().any(|value| spot.holds(value, text))
            }
            Kind::Forms(_, Some(forms)) => forms::may_hold(&forms.to_lower(), text),
            _ => self.bytes().has_all_folded(text),
        }
    }

    /// Which of `rows` values have the text there, told from the bytes at its place alone, without
    /// those of its numbers; `None` if that is not enough. With `fold` letters of ASCII are taken as
    /// lower case, which those of `text` are.
    pub(crate) fn find_without_numbers(
        &self,
        bytes: &[u8],
        rows: usize,
        (spot, text, fold): (Spot, &[u8], bool),
    ) -> Result<Option<Bits>, CodecError> {
        let Kind::Forms(_, forms) = &self.kind else { return Ok(None) };
        let forms = Forms::read(forms.as_ref(), bytes, None, rows)?;
        Ok(forms.find_without_numbers(spot, text, fold))
    }

    /// Reads the column of `rows` values from the bytes at its place and those of its numbers.
    /// `time` tells the time of each.
    pub(crate) fn decode(
        &self,
        bytes: &[u8],
        numbers: &[u8],
        rows: usize,
        time: &dyn Fn(usize) -> i64,
    ) -> Result<Column, CodecError> {
        let mut reader = Reader::new(bytes);
        let wrong = |expected| CodecError { offset: 0, expected };
        Ok(match &self.kind {
            Kind::One(value) => Column::One(value.clone(), rows),
            Kind::Few(told) => {
                let values = match told {
                    Some(values) => values.clone(),
                    None => Arc::new(Texts::read(&mut reader)?),
                };
                let codes = bytes.get(reader.offset()..).unwrap_or_default().to_vec();
                let fits = |code: &u8| usize::from(*code) < values.len();
                if codes.len() != rows || !codes.iter().all(fits) {
                    return Err(wrong("codes of a column"));
                }
                Column::Few(values, codes)
            }
            Kind::Digits(skeleton) => {
                Column::Digits(skeleton.clone(), decode_numbers(bytes, rows)?)
            }
            Kind::Time(shape) => {
                let distances = decode_numbers(bytes, rows)?.into_iter().enumerate();
                let values = distances.map(|(at, distance)| shape.value(distance, time(at)));
                Column::Time(*shape, values.collect())
            }
            Kind::Same(_) => return Err(wrong("a column of its own")),
            Kind::Forms(_, forms) => {
                Column::Forms(Forms::read(forms.as_ref(), bytes, Some(numbers), rows)?)
            }
            Kind::Hex(shape) => {
                if Some(bytes.len()) != shape.width().checked_mul(rows) {
                    return Err(wrong("packed ids of a column"));
                }
                Column::Hex(shape.clone(), bytes.to_vec())
            }
            Kind::Text => {
                let mut ends = Vec::with_capacity(rows);
                let mut end = 0u32;
                for _ in 0..rows {
                    end = end.checked_add(reader.u32()?).ok_or(wrong("lengths under 4 GiB"))?;
                    ends.push(end);
                }
                let texts = bytes.get(reader.offset()..).unwrap_or_default();
                if texts.len() != end as usize {
                    return Err(wrong("texts of a column"));
                }
                Column::Text(Texts { bytes: texts.to_vec(), ends })
            }
        })
    }
}

/// Different values, and which of them each row has; all have the first if nothing is told.
pub(crate) type Codes<'a> = (Vec<&'a [u8]>, Option<&'a [u8]>);

/// A column in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Column {
    One(Vec<u8>, usize),
    Few(Arc<Texts>, Vec<u8>),
    Digits(Skeleton, Vec<u64>),
    Hex(HexShape, Vec<u8>),
    Text(Texts),
    Time(TimeShape, Vec<i64>),
    Forms(Forms),
}

impl Column {
    /// How many values.
    pub(crate) fn len(&self) -> usize {
        match self {
            Column::One(_, rows) => *rows,
            Column::Few(_, codes) => codes.len(),
            Column::Digits(_, numbers) => numbers.len(),
            Column::Hex(shape, packed) => packed.len() / shape.width().max(1),
            Column::Text(texts) => texts.len(),
            Column::Time(_, times) => times.len(),
            Column::Forms(forms) => forms.len(),
        }
    }

    /// Appends the value at `at`; nothing if there is none.
    pub(crate) fn append(&self, at: usize, out: &mut Vec<u8>) {
        match self {
            Column::One(value, _) => out.extend_from_slice(value),
            Column::Few(values, codes) => {
                let code = codes.get(at).copied().unwrap_or_default();
                out.extend_from_slice(values.get(code.into()));
            }
            Column::Digits(skeleton, numbers) => {
                if let Some(number) = numbers.get(at) {
                    skeleton.append(*number, out);
                }
            }
            Column::Hex(shape, packed) => {
                let width = shape.width();
                if let Some(packed) = packed.get(at * width..(at + 1) * width) {
                    shape.append(packed, out);
                }
            }
            Column::Text(texts) => out.extend_from_slice(texts.get(at)),
            Column::Forms(forms) => forms.append(at, out),
            Column::Time(shape, times) => {
                if let Some(time) = times.get(at) {
                    shape.append(*time, out);
                }
            }
        }
    }

    /// Which values have the text there.
    pub(crate) fn find(&self, spot: Spot, text: &[u8]) -> Bits {
        match self {
            Column::One(value, rows) => match spot.holds(value, text) {
                true => Bits::all(*rows),
                false => Bits::none(*rows),
            },
            Column::Few(values, codes) => with_codes(codes, &values.find(spot, text)),
            Column::Digits(skeleton, numbers) => {
                if spot == Spot::Whole {
                    let wanted = skeleton.number(text);
                    return self
                        .filter_by(|at| wanted.is_some() && numbers.get(at).copied() == wanted);
                }
                if !skeleton.may_contain(text) {
                    return Bits::none(numbers.len());
                }
                self.texts().find(spot, text)
            }
            Column::Hex(shape, packed) => {
                if !shape.may_contain(text) {
                    return Bits::none(self.len());
                }
                if text.len() == shape.text_length() {
                    let mut wanted = Vec::new();
                    if shape.pack(text, &mut wanted).is_none() {
                        return Bits::none(self.len());
                    }
                    let width = shape.width();
                    return self
                        .filter_by(|at| packed.get(at * width..(at + 1) * width) == Some(&wanted));
                }
                if spot == Spot::Inside
                    && let Some(found) = shape.find_digits(packed, text)
                {
                    return found;
                }
                self.texts().find(spot, text)
            }
            Column::Text(texts) => texts.find(spot, text),
            Column::Forms(forms) => forms.find_text(spot, text, false),
            Column::Time(shape, times) => {
                if spot == Spot::Whole {
                    let wanted = shape.parse(text);
                    return self
                        .filter_by(|at| wanted.is_some() && times.get(at).copied() == wanted);
                }
                self.texts().find(spot, text)
            }
        }
    }

    /// Which values have the text there if letters of ASCII are taken as lower case, which those of
    /// `text` are.
    pub(crate) fn find_folded(&self, spot: Spot, text: &[u8]) -> Bits {
        match self {
            Column::One(value, rows) => match spot.holds(&value.to_ascii_lowercase(), text) {
                true => Bits::all(*rows),
                false => Bits::none(*rows),
            },
            Column::Few(values, codes) => with_codes(codes, &values.to_lower().find(spot, text)),
            Column::Text(texts) => texts.to_lower().find(spot, text),
            Column::Forms(forms) => forms.find_text(spot, text, true),
            Column::Digits(..) | Column::Hex(..) | Column::Time(..) => {
                self.texts().to_lower().find(spot, text)
            }
        }
    }

    fn filter_by(&self, accepts: impl Fn(usize) -> bool) -> Bits {
        let mut found = Bits::none(self.len());
        for at in 0..self.len() {
            if accepts(at) {
                found.insert(at);
            }
        }
        found
    }

    /// All values as text.
    fn texts(&self) -> Texts {
        let mut texts = Texts::default();
        for at in 0..self.len() {
            self.append(at, &mut texts.bytes);
            texts.ends.push(texts.bytes.len() as u32);
        }
        texts
    }

    /// Which values a predicate accepts. It is asked once for each distinct value where few are.
    pub(crate) fn accepted(&self, mut accepts: impl FnMut(&[u8]) -> bool) -> Bits {
        match self {
            Column::One(value, rows) => match accepts(value) {
                true => Bits::all(*rows),
                false => Bits::none(*rows),
            },
            Column::Few(values, codes) => with_codes(codes, &values.accepted(accepts)),
            Column::Text(texts) => texts.accepted(accepts),
            Column::Digits(..) | Column::Hex(..) | Column::Time(..) | Column::Forms(_) => {
                let mut found = Bits::none(self.len());
                let mut value = Vec::new();
                for at in 0..self.len() {
                    value.clear();
                    self.append(at, &mut value);
                    if accepts(&value) {
                        found.insert(at);
                    }
                }
                found
            }
        }
    }

    /// A column of the values at some places.
    pub(crate) fn gather(&self, places: impl ExactSizeIterator<Item = usize>) -> Column {
        match self {
            Column::One(value, _) => Column::One(value.clone(), places.len()),
            Column::Few(values, codes) => {
                let code = |at: usize| codes.get(at).copied().unwrap_or_default();
                Column::Few(values.clone(), places.map(code).collect())
            }
            Column::Hex(shape, packed) => {
                let width = shape.width();
                let mut own = Vec::with_capacity(places.len() * width);
                for at in places {
                    own.extend_from_slice(packed.get(at * width..(at + 1) * width).unwrap_or(&[]));
                }
                Column::Hex(shape.clone(), own)
            }
            Column::Digits(skeleton, numbers) => {
                let number = |at: usize| numbers.get(at).copied().unwrap_or_default();
                Column::Digits(skeleton.clone(), places.map(number).collect())
            }
            Column::Text(_) | Column::Time(..) | Column::Forms(_) => {
                let mut texts = Texts::default();
                for at in places {
                    self.append(at, &mut texts.bytes);
                    texts.ends.push(texts.bytes.len() as u32);
                }
                Column::Text(texts)
            }
        }
    }

    /// The values told apart by small numbers, if few are: each value, and the number of each row.
    pub(crate) fn codes(&self) -> Option<Codes<'_>> {
        match self {
            Column::One(value, _) => Some((vec![value], None)),
            Column::Few(values, codes) => Some((values.iter().collect(), Some(codes))),
            _ => None,
        }
    }
}

/// The places of the codes that are wanted.
fn with_codes(codes: &[u8], wanted: &Bits) -> Bits {
    let mut found = Bits::none(codes.len());
    if !wanted.is_empty() {
        for (at, code) in codes.iter().enumerate() {
            if wanted.contains(usize::from(*code)) {
                found.insert(at);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
