//! Values that look alike and differ in digits: counts, times, addresses, ids with a prefix. What
//! stays is kept once, and the digits of each value are one number.

use disk::codec::{CodecError, Reader, put_bytes, put_u64};

use crate::part::index::ByteSet;

/// Digits of one value at most.
const DIGITS_MAX: u32 = 18;
const RUNS_MAX: usize = 12;

/// What values have in common: text, and runs of digits between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skeleton {
    /// Before the first run, between runs, behind the last one.
    texts: Vec<Vec<u8>>,
    runs: Vec<Run>,
}

/// A run of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    /// Digits at most.
    width: u32,
    /// Whether all values have so many digits; if not, none begins with a zero but `0` itself.
    is_fixed: bool,
}

impl Skeleton {
    /// The skeleton that all values share, and their numbers.
    pub(crate) fn find(values: &[&[u8]]) -> Option<(Self, Vec<u64>)> {
        let mut skeleton = Skeleton { texts: vec![Vec::new()], runs: Vec::new() };
        let mut was_digit = false;
        for &byte in *values.first()? {
            let is_digit = byte.is_ascii_digit();
            if is_digit && !was_digit {
                skeleton.runs.push(Run { width: 0, is_fixed: true });
                skeleton.texts.push(Vec::new());
            } else if !is_digit {
                skeleton.texts.last_mut()?.push(byte);
            }
            was_digit = is_digit;
        }
        if skeleton.runs.is_empty() || skeleton.runs.len() > RUNS_MAX {
            return None;
        }
        let mut starts_with_zero = [false; RUNS_MAX];
        for value in values {
            let mut rest = skeleton.strip(0, value)?;
            for (i, run) in skeleton.runs.iter_mut().enumerate() {
                let width = rest.iter().take_while(|byte| byte.is_ascii_digit()).count() as u32;
                if width == 0 {
                    return None;
                }
                starts_with_zero[i] |= width > 1 && rest.first() == Some(&b'0');
                if run.width != 0 && run.width != width {
                    run.is_fixed = false;
                }
                run.width = run.width.max(width);
                rest =
                    rest.get(width as usize..)?.strip_prefix(skeleton.texts[i + 1].as_slice())?;
            }
            if !rest.is_empty() {
                return None;
            }
        }
        let total: u32 = skeleton.runs.iter().map(|run| run.width).sum();
        let is_ambiguous = |(run, zero): (&Run, &bool)| !run.is_fixed && *zero;
        if total > DIGITS_MAX || skeleton.runs.iter().zip(&starts_with_zero).any(is_ambiguous) {
            return None;
        }
        let numbers = values.iter().map(|value| skeleton.number(value)).collect::<Option<_>>()?;
        Some((skeleton, numbers))
    }

    fn strip<'a>(&self, text: usize, value: &'a [u8]) -> Option<&'a [u8]> {
        value.strip_prefix(self.texts.get(text)?.as_slice())
    }

    /// The number of a value; `None` if it does not have this skeleton.
    pub(crate) fn number(&self, value: &[u8]) -> Option<u64> {
        let mut rest = self.strip(0, value)?;
        let mut number = 0u64;
        for (i, run) in self.runs.iter().enumerate() {
            let width = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let fits = if run.is_fixed {
                width == run.width as usize
            } else {
                (1..=run.width as usize).contains(&width)
                    && (width == 1 || rest.first() != Some(&b'0'))
            };
            if !fits {
                return None;
            }
            let (digits, behind) = rest.split_at(width);
            let mut own = 0u64;
            for digit in digits {
                own = own * 10 + u64::from(digit - b'0');
            }
            number = number * 10u64.pow(run.width) + own;
            rest = self.strip(i + 1, behind)?;
        }
        rest.is_empty().then_some(number)
    }

    /// If values are numbers without zeros in front and nothing else: the number that a text stands
    /// for with which some can begin.
    pub(crate) fn plain_start(&self, text: &[u8]) -> Option<u64> {
        let [run] = self.runs[..] else { return None };
        let is_plain = !run.is_fixed && self.texts.iter().all(Vec::is_empty);
        let is_number = text.iter().all(u8::is_ascii_digit) && text.first() != Some(&b'0');
        if !is_plain || !is_number || text.is_empty() || text.len() > DIGITS_MAX as usize {
            return None;
        }
        Some(text.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    }

    /// Appends the value of a number.
    pub(crate) fn append(&self, mut number: u64, out: &mut Vec<u8>) {
        let mut parts = [0u64; RUNS_MAX];
        for (run, part) in self.runs.iter().zip(&mut parts).rev() {
            let base = 10u64.pow(run.width);
            *part = number % base;
            number /= base;
        }
        out.extend_from_slice(&self.texts[0]);
        for ((run, part), text) in self.runs.iter().zip(parts).zip(&self.texts[1..]) {
            let mut digits = [b'0'; DIGITS_MAX as usize + 2];
            let (mut at, mut left) = (digits.len(), part);
            while left > 0 {
                at -= 1;
                digits[at] = b'0' + (left % 10) as u8;
                left /= 10;
            }
            let width = if run.is_fixed { run.width as usize } else { 1 };
            at = at.min(digits.len() - width);
            out.extend_from_slice(&digits[at..]);
            out.extend_from_slice(text);
        }
    }

    /// Whether a value of it may contain a text, judged by single bytes.
    pub(crate) fn may_contain(&self, text: &[u8]) -> bool {
        let known =
            |byte: &u8| byte.is_ascii_digit() || self.texts.iter().any(|text| text.contains(byte));
        text.iter().all(known)
    }

    /// Adds the bytes that its values can have.
    pub(crate) fn add_bytes(&self, bytes: &mut ByteSet) {
        bytes.insert_all(b"0123456789");
        self.texts.iter().for_each(|text| bytes.insert_all(text));
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_u64(out, self.runs.len() as u64);
        for run in &self.runs {
            put_u64(out, u64::from(run.width) << 1 | u64::from(run.is_fixed));
        }
        for text in &self.texts {
            put_bytes(out, text);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut skeleton = Skeleton { texts: Vec::new(), runs: Vec::new() };
        let count = reader.count()?;
        for _ in 0..count {
            let run = reader.u32()?;
            skeleton.runs.push(Run { width: run >> 1, is_fixed: run & 1 == 1 });
        }
        for _ in 0..=count {
            skeleton.texts.push(reader.bytes()?.to_vec());
        }
        let total = skeleton.runs.iter().fold(0u32, |sum, run| sum.saturating_add(run.width));
        if count > RUNS_MAX || total > DIGITS_MAX {
            return Err(CodecError { offset: reader.offset(), expected: "runs of few digits" });
        }
        Ok(skeleton)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(values: &[&str], is_found: bool) {
        let bytes: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        let found = Skeleton::find(&bytes);
        assert_eq!(found.is_some(), is_found, "{values:?}");
        let Some((skeleton, numbers)) = found else { return };
        let mut stored = Vec::new();
        skeleton.put(&mut stored);
        let read = Skeleton::read(&mut Reader::new(&stored)).unwrap();
        assert_eq!(read, skeleton);
        for (value, number) in values.iter().zip(numbers) {
            let mut out = Vec::new();
            read.append(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), *value);
        }
    }

    #[test]
    fn numbers_times_and_addresses_have_skeletons() {
        check(&["1", "0", "42", "999999999999999999"], true);
        check(&["2026-11-22T10:00:00.123Z", "2026-11-22T10:00:01.003Z"], true);
        check(&["10.0.0.1", "192.168.1.254"], true);
        check(&["user-007", "user-123"], true);
        check(&["007", "1234"], false);
        check(&["12345678901234567890"], false);
        check(&["a", "b"], false);
        check(&["-1", "1"], false);
        check(&["", "1"], false);
    }

    proptest! {
        #[test]
        fn values_come_back(values in prop::collection::vec("[a-c0-9.]{0,6}", 1..6)) {
            let bytes: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
            if let Some((skeleton, numbers)) = Skeleton::find(&bytes) {
                for (value, number) in values.iter().zip(numbers) {
                    let mut out = Vec::new();
                    skeleton.append(number, &mut out);
                    prop_assert_eq!(out, value.as_bytes());
                    prop_assert_eq!(skeleton.number(value.as_bytes()), Some(number));
                }
            }
        }
    }
}
