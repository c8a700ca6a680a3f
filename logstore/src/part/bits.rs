//! A set of small numbers: rows of a block, values of a column.

/// Numbers under a length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
    length: usize,
}

impl Bits {
    /// No number.
    pub(crate) fn none(length: usize) -> Self {
        Bits { words: vec![0; length.div_ceil(64)], length }
    }

    /// All numbers.
    pub(crate) fn all(length: usize) -> Self {
        let mut bits = Bits { words: vec![u64::MAX; length.div_ceil(64)], length };
        bits.cut();
        bits
    }

    /// The numbers of those that are true.
    pub(crate) fn from_bools(mut are_in: impl ExactSizeIterator<Item = bool>) -> Self {
        let length = are_in.len();
        let mut words = Vec::with_capacity(length.div_ceil(64));
        for start in (0..length).step_by(64) {
            let count = (length - start).min(64);
            let mut word = 0;
            for (at, is_in) in (0..count).zip(&mut are_in) {
                word |= u64::from(is_in) << at;
            }
            words.push(word);
        }
        Bits { words, length }
    }

    /// Clears what lies behind the length.
    fn cut(&mut self) {
        if let Some(last) = self.words.last_mut()
            && !self.length.is_multiple_of(64)
        {
            *last &= (1 << (self.length % 64)) - 1;
        }
    }

    pub(crate) fn insert(&mut self, at: usize) {
        if at < self.length
            && let Some(word) = self.words.get_mut(at / 64)
        {
            *word |= 1 << (at % 64);
        }
    }

    pub(crate) fn insert_range(&mut self, range: std::ops::Range<usize>) {
        let end = range.end.min(self.length);
        let mut at = range.start;
        while at < end {
            if at.is_multiple_of(64) && at + 64 <= end {
                if let Some(word) = self.words.get_mut(at / 64) {
                    *word = u64::MAX;
                }
                at += 64;
            } else {
                self.insert(at);
                at += 1;
            }
        }
    }

    pub(crate) fn contains(&self, at: usize) -> bool {
        self.words.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether every number is in.
    pub(crate) fn is_full(&self) -> bool {
        self.len() == self.length
    }

    /// Keeps what is also in `other`.
    pub(crate) fn and(&mut self, other: &Bits) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    /// Adds what is in `other`.
    pub(crate) fn or(&mut self, other: &Bits) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// Removes what is in `other`.
    pub(crate) fn remove_all(&mut self, other: &Bits) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
    }

    /// In order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(i, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(i * 64 + bit)
            })
        })
    }
}
