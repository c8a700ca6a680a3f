//! Texts of a few forms, such as paths and the lines of stack traces. A text is cut into lines;
//! what a line is without the digits of its numbers is its form. Forms are kept once, a line is the
//! number of its form, and its numbers are kept with those of the other lines of the form.
//!
//! A text without digits is looked for in the forms alone.

use std::sync::Arc;

use disk::codec::{CodecError, Reader, put_u64};
use memchr::memmem;
use rustc_hash::FxHashMap;

use super::Spot;
use super::encode::{decode_numbers, put_numbers};
use super::texts::Texts;
use crate::part::bits::Bits;
use crate::part::index::ByteSet;

/// More forms are kept as texts.
const FORMS_MAX: usize = 4096;
/// Before so many lines were seen, each may have a form of its own.
const FORMS_FREE: usize = 16;
/// Lines that share a form, on average.
const SHARED_MIN: usize = 4;

/// Stands in a form for a number that does not begin with a zero, or is `0`. No text has this byte
/// or those of [`PADDED`], since they are not UTF-8.
const NUMBER: u8 = 0xff;
/// Stand for numbers that begin with zeros, from 2 digits on.
const PADDED: std::ops::RangeInclusive<u8> = 0xf8..=0xfe;
/// Numbers of a column at most.
const NUMBERS_MAX: usize = 1 << 24;
/// Digits of a number that fits into 64 bits whatever they are.
const DIGITS_MAX: usize = 19;

/// The texts of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forms {
    forms: Arc<Texts>,
    /// The line behind the last one of each text; nothing if each text is one line.
    ends: Vec<u32>,
    /// The form of each line.
    codes: Vec<u16>,
    /// Which of the lines of its form each line is.
    ranks: Vec<u32>,
    /// Lines and numbers of each form, and where the numbers start.
    shapes: Vec<Shape>,
    numbers: Vec<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Shape {
    lines: usize,
    runs: usize,
    start: usize,
}

fn is_mark(byte: u8) -> bool {
    byte >= *PADDED.start()
}

/// The byte that stands for a number of these digits; `None` if it stays as it is.
fn mark_of(digits: &[u8]) -> Option<u8> {
    match digits {
        _ if digits.len() > DIGITS_MAX => None,
        [b'0', _, ..] => {
            let mark = usize::from(*PADDED.start()) + digits.len() - 2;
            u8::try_from(mark).ok().filter(|mark| PADDED.contains(mark))
        }
        _ => Some(NUMBER),
    }
}

/// Appends a number as the mark says.
fn append_number(mark: u8, number: u64, out: &mut Vec<u8>) {
    let width = if mark == NUMBER { 1 } else { usize::from(mark - PADDED.start()) + 2 };
    let mut digits = [b'0'; DIGITS_MAX + 1];
    let (mut at, mut left) = (digits.len(), number);
    while left > 0 && at > 0 {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    out.extend_from_slice(&digits[at.min(digits.len() - width)..]);
}

impl Forms {
    /// The forms of texts, if they are few.
    pub(crate) fn find(values: &[&[u8]]) -> Option<Self> {
        let mut numbered: FxHashMap<Vec<u8>, u16> = FxHashMap::default();
        let mut forms = Texts::default();
        let mut ends = Vec::with_capacity(values.len());
        let (mut codes, mut ranks) = (Vec::new(), Vec::new());
        let mut of_form: Vec<Vec<u64>> = Vec::new();
        let mut shapes: Vec<Shape> = Vec::new();
        let (mut form, mut own) = (Vec::new(), Vec::new());
        for value in values {
            for line in value.split(|byte| *byte == b'\n') {
                form.clear();
                own.clear();
                split(line, &mut form, &mut own)?;
                let code = match numbered.get(form.as_slice()) {
                    Some(code) => *code,
                    None => {
                        let count = forms.len();
                        if count >= FORMS_MAX.min(FORMS_FREE + codes.len() / SHARED_MIN) {
                            return None;
                        }
                        forms.push(&form);
                        numbered.insert(form.clone(), count as u16);
                        shapes.push(Shape { lines: 0, runs: own.len(), start: 0 });
                        of_form.push(Vec::new());
                        count as u16
                    }
                };
                let at = usize::from(code);
                codes.push(code);
                ranks.push(shapes[at].lines as u32);
                shapes[at].lines += 1;
                of_form[at].extend_from_slice(&own);
            }
            ends.push(u32::try_from(codes.len()).ok()?);
        }
        if codes.len() == values.len() {
            ends.clear();
        }
        let bytes: usize = values.iter().map(|value| value.len()).sum();
        let count: usize = of_form.iter().map(Vec::len).sum();
        if forms.bytes.len() > bytes / 2 || count > NUMBERS_MAX {
            return None;
        }
        // Sorted, columns of the same forms have the same list.
        let mut order: Vec<usize> = (0..forms.len()).collect();
        order.sort_unstable_by_key(|at| forms.get(*at));
        let mut places = vec![0u16; order.len()];
        let mut sorted = Texts::default();
        for (place, at) in order.iter().enumerate() {
            places[*at] = place as u16;
            sorted.push(forms.get(*at));
        }
        codes.iter_mut().for_each(|code| *code = places[usize::from(*code)]);
        let mut shapes: Vec<Shape> = order.iter().map(|at| shapes[*at]).collect();
        // The first numbers of all lines of a form, then the second ones.
        let mut numbers = Vec::new();
        for (shape, own) in shapes.iter_mut().zip(order.iter().map(|at| &of_form[*at])) {
            shape.start = numbers.len();
            for run in 0..shape.runs {
                numbers.extend(own.iter().skip(run).step_by(shape.runs));
            }
        }
        Some(Forms { forms: Arc::new(sorted), ends, codes, ranks, shapes, numbers })
    }

    /// The forms.
    pub(super) fn texts(&self) -> &Arc<Texts> {
        &self.forms
    }

    /// Appends forms, unless they are told elsewhere, and lines; its numbers are
    /// [`Forms::put_numbers`].
    pub(super) fn put(&self, out: &mut Vec<u8>, is_told: bool) {
        if !is_told {
            self.forms.put(out);
        }
        out.push(u8::from(!self.ends.is_empty()));
        let mut start = 0;
        for end in &self.ends {
            put_u64(out, u64::from(end - start));
            start = *end;
        }
        if self.forms.len() <= 256 {
            out.extend(self.codes.iter().map(|code| *code as u8));
        } else {
            out.extend(self.codes.iter().flat_map(|code| code.to_le_bytes()));
        }
    }

    /// Appends the numbers of all lines; answers whether they are packed.
    pub(crate) fn put_numbers(&self, out: &mut Vec<u8>) -> bool {
        put_numbers(&self.numbers, out)
    }

    /// Reads what [`Forms::put`] and [`Forms::put_numbers`] wrote for `rows` texts. Without numbers
    /// it can only be asked what needs none.
    pub(super) fn read(
        told: Option<&Arc<Texts>>,
        bytes: &[u8],
        numbers: Option<&[u8]>,
        rows: usize,
    ) -> Result<Self, CodecError> {
        let reader = &mut Reader::new(bytes);
        let wrong = |expected| CodecError { offset: 0, expected };
        let forms = match told {
            Some(forms) => forms.clone(),
            None => Arc::new(Texts::read(reader)?),
        };
        let runs = |form: &[u8]| form.iter().filter(|byte| is_mark(**byte)).count();
        let shape = |form| Shape { lines: 0, runs: runs(form), start: 0 };
        let mut shapes: Vec<Shape> = forms.iter().map(shape).collect();
        let mut ends = Vec::new();
        let mut lines = rows;
        if reader.u8()? != 0 {
            let mut end = 0u32;
            for _ in 0..rows {
                end = end.checked_add(reader.u32()?).ok_or(wrong("lines of texts"))?;
                ends.push(end);
            }
            lines = end as usize;
        }
        let rest = bytes.get(reader.offset()..).unwrap_or_default();
        let codes: Vec<u16> = if forms.len() <= 256 {
            rest.iter().map(|code| u16::from(*code)).collect()
        } else {
            rest.as_chunks::<2>().0.iter().map(|code| u16::from_le_bytes(*code)).collect()
        };
        if codes.len() != lines {
            return Err(wrong("forms of lines"));
        }
        let Some(numbers) = numbers else {
            if codes.iter().any(|code| usize::from(*code) >= forms.len()) {
                return Err(wrong("a form of a line"));
            }
            let (ranks, numbers) = (Vec::new(), Vec::new());
            return Ok(Forms { forms, ends, codes, ranks, shapes, numbers });
        };
        let mut ranks = Vec::with_capacity(lines);
        for code in &codes {
            let shape = shapes.get_mut(usize::from(*code)).ok_or(wrong("a form of a line"))?;
            ranks.push(shape.lines as u32);
            shape.lines += 1;
        }
        let mut total = 0usize;
        for shape in &mut shapes {
            shape.start = total;
            total = shape.lines.saturating_mul(shape.runs).saturating_add(total);
        }
        if total > NUMBERS_MAX {
            return Err(wrong("numbers of a block"));
        }
        let numbers = decode_numbers(numbers, total)?;
        Ok(Forms { forms, ends, codes, ranks, shapes, numbers })
    }

    /// How many texts.
    pub(crate) fn len(&self) -> usize {
        if self.ends.is_empty() { self.codes.len() } else { self.ends.len() }
    }

    /// The lines of a text.
    fn lines(&self, at: usize) -> std::ops::Range<usize> {
        if self.ends.is_empty() {
            return at..(at + 1).min(self.codes.len()).max(at);
        }
        let end_of = |at: usize| self.ends.get(at).map_or(0, |end| *end as usize);
        at.checked_sub(1).map_or(0, end_of)..end_of(at)
    }

    /// Appends the text at `at`; nothing if there is none.
    pub(crate) fn append(&self, at: usize, out: &mut Vec<u8>) {
        for (behind, line) in self.lines(at).enumerate() {
            if behind > 0 {
                out.push(b'\n');
            }
            let code = self.codes.get(line).map_or(0, |code| usize::from(*code));
            let rank = self.ranks.get(line).map_or(0, |rank| *rank as usize);
            let Some(shape) = self.shapes.get(code) else { continue };
            let mut number = shape.start + rank;
            let mut form = self.forms.get(code);
            while let Some(mark) = form.iter().position(|byte| is_mark(*byte)) {
                out.extend_from_slice(&form[..mark]);
                append_number(form[mark], self.numbers.get(number).copied().unwrap_or(0), out);
                number += shape.lines;
                form = &form[mark + 1..];
            }
            out.extend_from_slice(form);
        }
    }

    /// Which texts have the text there; with `fold` letters of ASCII are taken as lower case, which
    /// those of `text` are.
    pub(crate) fn find_text(&self, spot: Spot, text: &[u8], fold: bool) -> Bits {
        if text.iter().all(is_kept) {
            return self.find_kept(spot, text, fold);
        }
        let candidates = self.find_kept(Spot::Inside, longest_kept(text), fold);
        let mut found = Bits::none(self.len());
        let finder = memmem::Finder::new(text);
        let mut value = Vec::new();
        for at in candidates.iter() {
            value.clear();
            self.append(at, &mut value);
            if fold {
                value.make_ascii_lowercase();
            }
            let holds = match spot {
                Spot::Inside => finder.find(&value).is_some(),
                _ => spot.holds(&value, text),
            };
            if holds {
                found.insert(at);
            }
        }
        found
    }

    /// As [`Forms::find_text`]; `None` if numbers are needed to tell.
    pub(super) fn find_without_numbers(&self, spot: Spot, text: &[u8], fold: bool) -> Option<Bits> {
        if text.iter().all(is_kept) {
            return Some(self.find_kept(spot, text, fold));
        }
        let candidates = self.find_kept(Spot::Inside, longest_kept(text), fold);
        candidates.is_empty().then_some(candidates)
    }

    /// As [`Forms::find_text`] for a text that stands in one line and has no digit: it is found in
    /// what is kept of the forms.
    fn find_kept(&self, spot: Spot, text: &[u8], fold: bool) -> Bits {
        let forms = match fold {
            true => self.forms.to_lower().find(spot, text),
            false => self.forms.find(spot, text),
        };
        if self.ends.is_empty() {
            let mut found = Bits::none(self.codes.len());
            if !forms.is_empty() {
                for (at, code) in self.codes.iter().enumerate() {
                    if forms.contains(usize::from(*code)) {
                        found.insert(at);
                    }
                }
            }
            return found;
        }
        let mut found = Bits::none(self.len());
        if forms.is_empty() {
            return found;
        }
        for at in 0..self.len() {
            let lines = self.lines(at);
            let looked = match spot {
                Spot::Inside => lines,
                Spot::Start => lines.start..lines.end.min(lines.start + 1),
                Spot::End => lines.end.saturating_sub(1).max(lines.start)..lines.end,
                Spot::Whole if lines.len() == 1 => lines,
                Spot::Whole => 0..0,
            };
            let codes = self.codes.get(looked).unwrap_or_default();
            if codes.iter().any(|code| forms.contains(usize::from(*code))) {
                found.insert(at);
            }
        }
        found
    }

    /// The bytes that its texts can have.
    pub(crate) fn bytes(&self) -> ByteSet {
        bytes_of(&self.forms)
    }
}

/// The bytes that texts of some forms can have.
pub(super) fn bytes_of(forms: &Texts) -> ByteSet {
    let mut bytes = ByteSet::default();
    bytes.insert_all(b"0123456789\n");
    bytes.insert_all(&forms.bytes);
    bytes
}

/// Whether texts of some forms can have a text in them.
pub(super) fn may_hold(forms: &Texts, text: &[u8]) -> bool {
    !forms.find(Spot::Inside, longest_kept(text)).is_empty()
}

/// Whether a byte stands in a form as it is.
fn is_kept(byte: &u8) -> bool {
    !byte.is_ascii_digit() && *byte != b'\n' && !is_mark(*byte)
}

/// The longest part of a text that stands in a form as it is: a value that has the text has it.
fn longest_kept(text: &[u8]) -> &[u8] {
    let pieces = text.split(|byte| !is_kept(byte));
    pieces.max_by_key(|piece| piece.len()).unwrap_or_default()
}

/// The form of a line and its numbers; `None` if it has bytes that stand for numbers.
fn split(line: &[u8], form: &mut Vec<u8>, numbers: &mut Vec<u64>) -> Option<()> {
    let mut rest = line;
    loop {
        let kept = rest.iter().take_while(|byte| !byte.is_ascii_digit()).count();
        let (text, behind) = rest.split_at(kept);
        if text.iter().any(|byte| is_mark(*byte)) {
            return None;
        }
        form.extend_from_slice(text);
        let width = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if width == 0 {
            return Some(());
        }
        let (digits, behind) = behind.split_at(width);
        match mark_of(digits) {
            Some(mark) => {
                form.push(mark);
                let number = digits.iter().fold(0u64, |n, digit| n * 10 + u64::from(digit - b'0'));
                numbers.push(number);
            }
            None => form.extend_from_slice(digits),
        }
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn forms_of(values: &[&[u8]]) -> Option<Forms> {
        let forms = Forms::find(values)?;
        let (mut bytes, mut numbers) = (Vec::new(), Vec::new());
        forms.put(&mut bytes, false);
        forms.put_numbers(&mut numbers);
        let read = Forms::read(None, &bytes, Some(&numbers), values.len()).unwrap();
        assert_eq!(read, forms);
        bytes.clear();
        forms.put(&mut bytes, true);
        let told = Some(forms.texts());
        assert_eq!(Forms::read(told, &bytes, Some(&numbers), values.len()).unwrap(), forms);
        Some(read)
    }

    #[test]
    fn a_padded_number_keeps_its_zeros() {
        let values = ["a0", "a007", "a70", "a00", "", "\n", "12345678901234567890", "a00000000009"];
        let values = [values; 3].concat();
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        let forms = forms_of(&values).unwrap();
        for (at, value) in values.iter().enumerate() {
            let mut out = Vec::new();
            forms.append(at, &mut out);
            assert_eq!(out, *value);
        }
    }

    #[test]
    fn many_forms_are_none() {
        let values: Vec<Vec<u8>> = (0..60u8).map(|n| vec![b'a' + n % 26, b'a' + n / 26]).collect();
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        assert!(Forms::find(&values).is_none());
        assert!(Forms::find(&[b"a\xff"]).is_none());
    }

    proptest! {
        #[test]
        fn texts_come_back_and_are_found(
            values in prop::collection::vec("[aB0-2\n]{0,7}", 1..16),
            text in "[aAbB0-2\n]{0,3}",
        ) {
            let bytes: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
            let Some(forms) = forms_of(&bytes) else { return Ok(()) };
            for (at, value) in bytes.iter().enumerate() {
                let mut out = Vec::new();
                forms.append(at, &mut out);
                prop_assert_eq!(&out, value);
            }
            for spot in [Spot::Inside, Spot::Start, Spot::End, Spot::Whole] {
                let found = forms.find_text(spot, text.as_bytes(), false);
                let without = forms.find_without_numbers(spot, text.as_bytes(), false);
                prop_assert!(without.is_none_or(|without| without == found));
                prop_assert!(found.is_empty() || may_hold(forms.texts(), text.as_bytes()));
                let folded = text.to_ascii_lowercase();
                let found_folded = forms.find_text(spot, folded.as_bytes(), true);
                for (at, value) in bytes.iter().enumerate() {
                    prop_assert_eq!(found.contains(at), spot.holds(value, text.as_bytes()));
                    let value = value.to_ascii_lowercase();
                    prop_assert_eq!(
                        found_folded.contains(at),
                        spot.holds(&value, folded.as_bytes())
                    );
                }
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            numbers in prop::collection::vec(any::<u8>(), 0..60),
            rows in 0usize..20,
        ) {
            if let Ok(forms) = Forms::read(None, &bytes, Some(&numbers), rows) {
                let mut out = Vec::new();
                (0..rows).for_each(|at| forms.append(at, &mut out));
            }
        }
    }
}
