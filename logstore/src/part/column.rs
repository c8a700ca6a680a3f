//! A column: the texts of one slot of a template, or of one field, in one block.
//!
//! A column is kept as what it looks like: one value, few values, digits in a skeleton, packed ids,
//! or texts one behind the other. Values come back byte for byte.

mod dictionaries;
mod digits;
mod encode;
mod entry;
mod forms;
mod hex;
mod texts;
mod time;

use std::sync::Arc;

use memchr::memmem;

use super::bits::Bits;
pub(crate) use dictionaries::read_dictionaries;
use digits::Skeleton;
pub(crate) use encode::{Encoder, Indexing, Values, decode_numbers, put_numbers};
pub(crate) use entry::Entry;
use entry::{FILTERED_DIGITS_MIN, Kind};
use forms::Forms;
use hex::HexShape;
pub(crate) use texts::Texts;
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
                if spot == Spot::Start
                    && let Some(wanted) = skeleton.plain_start(text)
                {
                    return self.filter_by(|at| {
                        let mut number = numbers.get(at).copied().unwrap_or(0);
                        while number > wanted {
                            number /= 10;
                        }
                        number == wanted
                    });
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
