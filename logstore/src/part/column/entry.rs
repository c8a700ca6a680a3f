//! What the header of a block tells of a column: what its values look like, and what they can not
//! have in them.

use std::sync::Arc;

use disk::codec::{CodecError, Reader, put_bytes, put_u64};

use super::dictionaries::{self, Listed};
use super::{Column, Forms, HexShape, Skeleton, Spot, Texts, TimeShape, decode_numbers, forms};
use crate::part::bits::Bits;
use crate::part::frames::Place;
use crate::part::index::ByteSet;

/// What the header of a block tells of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(super) kind: Kind,
    pub(super) length_min: usize,
    pub(super) length_max: usize,
    /// Whether the trigrams of its values are in the index.
    pub(super) is_indexed: bool,
    /// Whether all of its values, which have one length, are in the filter of ids.
    pub(super) is_filtered: bool,
    pub(super) place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// All values are this one.
    One(Vec<u8>),
    /// A byte a value tells which of few. The header of the block has them unless they are long.
    Few(Option<Listed>),
    Digits(Box<Skeleton>),
    Hex(Box<HexShape>),
    Text,
    /// Times near those of the rows.
    Time(TimeShape),
    /// The rows have the same values in this field.
    Same(u32),
    /// Lines of a few forms, which the header of the block has unless they are long; their numbers
    /// lie in a place of their own.
    Forms(Place, Option<Listed>),
    /// Of these values the rows of a template have one: which, for each template of the block.
    ByTemplate(Listed, Vec<u8>),
}

/// Ids of so many digits are in the filter of their block.
pub(super) const FILTERED_DIGITS_MIN: usize = 16;

impl Entry {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let kind = match &self.kind {
            Kind::One(_) => 0,
            Kind::Few(_) => 1,
            Kind::Digits(_) => 2,
            Kind::Hex(_) => 3,
            Kind::Text => 4u8,
            Kind::Time(_) => 5,
            Kind::Same(_) => 6,
            Kind::Forms(..) => 7,
            Kind::ByTemplate(..) => 8,
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
                dictionaries::put_listed(forms.as_ref(), out);
            }
            Kind::Few(values) => dictionaries::put_listed(values.as_ref(), out),
            Kind::ByTemplate(values, codes) => {
                dictionaries::put_listed(Some(values), out);
                put_bytes(out, codes);
            }
            Kind::Text => {}
        }
        put_u64(out, self.length_min as u64);
        put_u64(out, (self.length_max - self.length_min) as u64);
        self.place.put(out);
    }

    /// Reads an entry of a block with these dictionaries.
    pub(crate) fn read(
        reader: &mut Reader<'_>,
        dictionaries: &[Arc<Texts>],
    ) -> Result<Self, CodecError> {
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
            1 => Kind::Few(dictionaries::read_listed(reader, dictionaries)?),
            2 => Kind::Digits(Box::new(Skeleton::read(reader)?)),
            3 => Kind::Hex(Box::new(HexShape::read(reader)?)),
            4 => Kind::Text,
            5 => Kind::Time(TimeShape::read(reader)?),
            6 => {
                let kind = Kind::Same(reader.u32()?);
                let place = Place::default();
                let (length_min, length_max) = (0, usize::MAX);
                return Ok(Entry { kind, length_min, length_max, is_indexed, is_filtered, place });
            }
            7 => {
                let numbers = Place::read(reader)?;
                Kind::Forms(numbers, dictionaries::read_listed(reader, dictionaries)?)
            }
            8 => {
                let values = dictionaries::read_listed(reader, dictionaries)?;
                let codes = reader.bytes()?.to_vec();
                let wrong = CodecError { offset: reader.offset(), expected: "values by template" };
                let values = values.ok_or(wrong)?;
                if codes.iter().any(|code| usize::from(*code) >= values.texts.len()) {
                    return Err(wrong);
                }
                Kind::ByTemplate(values, codes)
            }
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
            Kind::Few(Some(values)) | Kind::ByTemplate(values, _) => {
                bytes.insert_all(&values.texts.bytes);
            }
            Kind::Forms(_, Some(forms)) => bytes = forms::bytes_of(&forms.texts),
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
            Kind::ByTemplate(..) => "template",
        }
    }

    /// No value has fewer bytes; zero if nothing is told of them here.
    pub(crate) fn length_min(&self) -> usize {
        if matches!(self.kind, Kind::Same(_)) { 0 } else { self.length_min }
    }

    /// Where its bytes lie; nowhere if the entry tells everything.
    pub(crate) fn place(&self) -> Option<Place> {
        let has_none = matches!(self.kind, Kind::One(_) | Kind::Same(_) | Kind::ByTemplate(..));
        (!has_none).then_some(self.place)
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

    /// The values, and which of them the rows of each template have, if that tells everything.
    pub(crate) fn by_template(&self) -> Option<(&Arc<Texts>, &[u8])> {
        match &self.kind {
            Kind::ByTemplate(values, codes) => Some((&values.texts, codes)),
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
            Kind::Few(Some(values)) | Kind::ByTemplate(values, _) => {
                values.texts.iter().any(|value| spot.holds(value, text))
            }
            Kind::Forms(_, Some(forms)) => forms::may_hold(&forms.texts, text),
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
            Kind::Few(Some(values)) | Kind::ByTemplate(values, _) => {
                values.texts.to_lower().iter().any(|value| spot.holds(value, text))
            }
            Kind::Forms(_, Some(forms)) => forms::may_hold(&forms.texts.to_lower(), text),
            _ => self.bytes().has_all_folded(text),
        }
    }

    /// Which of `rows` values have the text there, told from the bytes at its place alone, without
    /// those of its numbers; `None` if that is not enough. With `fold` letters of ASCII are taken
    /// as lower case, which those of `text` are.
    pub(crate) fn find_without_numbers(
        &self,
        bytes: &[u8],
        rows: usize,
        (spot, text, fold): (Spot, &[u8], bool),
    ) -> Result<Option<Bits>, CodecError> {
        let Kind::Forms(_, forms) = &self.kind else { return Ok(None) };
        let forms = Forms::read(forms.as_ref().map(|listed| &listed.texts), bytes, None, rows)?;
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
                    Some(values) => values.texts.clone(),
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
                Column::Digits((**skeleton).clone(), decode_numbers(bytes, rows)?)
            }
            Kind::Time(shape) => {
                let distances = decode_numbers(bytes, rows)?.into_iter().enumerate();
                let values = distances.map(|(at, distance)| shape.value(distance, time(at)));
                Column::Time(*shape, values.collect())
            }
            Kind::Same(_) | Kind::ByTemplate(..) => return Err(wrong("a column of its own")),
            Kind::Forms(_, forms) => Column::Forms(Forms::read(
                forms.as_ref().map(|listed| &listed.texts),
                bytes,
                Some(numbers),
                rows,
            )?),
            Kind::Hex(shape) => {
                if Some(bytes.len()) != shape.width().checked_mul(rows) {
                    return Err(wrong("packed ids of a column"));
                }
                Column::Hex((**shape).clone(), bytes.to_vec())
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
