//! The texts of a column, pooled, so that one search goes over all of them.

use disk::codec::{CodecError, Reader, put_bytes, put_u64};
use memchr::memmem;

use super::Spot;
use crate::part::bits::Bits;

/// Texts one behind the other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Texts {
    pub(super) bytes: Vec<u8>,
    /// Where each ends.
    pub(super) ends: Vec<u32>,
}

impl Texts {
    pub(super) fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as u32);
    }

    /// Appends their number and each with its length.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_u64(out, self.len() as u64);
        self.iter().for_each(|text| put_bytes(out, text));
    }

    /// Reads what [`Texts::put`] wrote.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut texts = Texts::default();
        for _ in 0..reader.count()? {
            texts.push(reader.bytes()?);
        }
        Ok(texts)
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, at: usize) -> &[u8] {
        let start = match at.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or(0),
            None => 0,
        };
        let end = self.ends.get(at).copied().unwrap_or(start);
        self.bytes.get(start as usize..end as usize).unwrap_or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|at| self.get(at))
    }

    /// Which of them a predicate accepts.
    pub(super) fn accepted(&self, mut accepts: impl FnMut(&[u8]) -> bool) -> Bits {
        let mut found = Bits::none(self.len());
        for (at, value) in self.iter().enumerate() {
            if accepts(value) {
                found.insert(at);
            }
        }
        found
    }

    /// The same with letters of ASCII in lower case.
    pub(super) fn to_lower(&self) -> Texts {
        Texts { bytes: self.bytes.to_ascii_lowercase(), ends: self.ends.clone() }
    }

    /// Which of them have the text there.
    pub(super) fn find(&self, spot: Spot, text: &[u8]) -> Bits {
        let mut found = Bits::none(self.len());
        if spot != Spot::Inside {
            for (at, value) in self.iter().enumerate() {
                if spot.holds(value, text) {
                    found.insert(at);
                }
            }
            return found;
        }
        if text.is_empty() {
            return Bits::all(self.len());
        }
        // One search over all of them; a hit over an end is none, and none before it was missed.
        let finder = memmem::Finder::new(text);
        let (mut from, mut at) = (0, 0);
        while let Some(hit) = self.bytes.get(from..).and_then(|rest| finder.find(rest)) {
            let hit = from + hit;
            while self.ends.get(at).is_some_and(|end| *end as usize <= hit) {
                at += 1;
            }
            let Some(end) = self.ends.get(at).map(|end| *end as usize) else { break };
            if hit + text.len() <= end {
                found.insert(at);
            }
            from = end;
        }
        found
    }
}
