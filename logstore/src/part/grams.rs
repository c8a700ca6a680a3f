//! The trigrams of a block's texts, and the filter of its ids.
//!
//! Trigrams are those of bytes, letters of ASCII in lower case, so that a search that ignores case
//! can use them too.

use xorf::{BinaryFuse8, BinaryFuse8Ref, DmaSerializable, Filter, FilterRef};
use xxhash_rust::xxh3::xxh3_64;

use super::column::Indexing;

/// A column with more trigrams that the block did not have looks random and is left out.
const NEW_GRAMS_MAX: usize = 6000;

/// The trigrams of a text.
pub(crate) fn grams(text: &[u8]) -> impl Iterator<Item = u32> {
    text.windows(3).map(|three| {
        three.iter().fold(0, |gram, byte| gram << 8 | u32::from(byte.to_ascii_lowercase()))
    })
}

/// Gathers what the index keeps of one block.
pub(crate) struct BlockTerms {
    known: Vec<u64>,
    grams: Vec<u32>,
    ids: Vec<u64>,
}

impl Default for BlockTerms {
    fn default() -> Self {
        BlockTerms { known: vec![0; (1 << 24) / 64], grams: Vec::new(), ids: Vec::new() }
    }
}

impl Indexing for BlockTerms {
    fn id(&mut self, id: &[u8]) {
        self.ids.push(xxh3_64(id));
    }

    fn texts(&mut self, texts: &mut dyn Iterator<Item = &[u8]>) -> bool {
        let before = self.grams.len();
        for text in texts {
            for gram in grams(text) {
                if let Some(word) = self.known.get_mut(gram as usize / 64) {
                    let bit = 1 << (gram % 64);
                    if *word & bit == 0 {
                        *word |= bit;
                        self.grams.push(gram);
                    }
                }
            }
            if self.grams.len() - before > NEW_GRAMS_MAX {
                self.forget(before);
                return false;
            }
        }
        true
    }
}

impl BlockTerms {
    fn forget(&mut self, before: usize) {
        for gram in self.grams.drain(before..) {
            if let Some(word) = self.known.get_mut(gram as usize / 64) {
                *word &= !(1 << (gram % 64));
            }
        }
    }

    /// The trigrams of the block, and the filter of its ids; ready for the next block.
    pub(crate) fn finish(&mut self) -> (Vec<u32>, Vec<u8>) {
        let mut grams = self.grams.clone();
        grams.sort_unstable();
        self.forget(0);
        self.ids.sort_unstable();
        self.ids.dedup();
        let filter = build_filter(&self.ids);
        self.ids.clear();
        (grams, filter)
    }
}

/// A binary fuse filter as bytes; nothing if there is no key or none was found.
fn build_filter(keys: &[u64]) -> Vec<u8> {
    if keys.is_empty() {
        return Vec::new();
    }
    // Without a filter all blocks are looked at.
    let Ok(filter) = BinaryFuse8::try_from(keys) else { return vec![0] };
    let mut bytes = vec![0; BinaryFuse8::DESCRIPTOR_LEN];
    filter.dma_copy_descriptor_to(&mut bytes);
    bytes.extend_from_slice(filter.dma_fingerprints());
    bytes
}

/// Whether a filter may have an id.
pub(crate) fn filter_has(filter: &[u8], id: &[u8]) -> bool {
    if filter.is_empty() {
        return false;
    }
    match filter.split_at_checked(BinaryFuse8::DESCRIPTOR_LEN) {
        Some((descriptor, fingerprints)) if !fingerprints.is_empty() => {
            BinaryFuse8Ref::from_dma(descriptor, fingerprints).contains(&xxh3_64(id))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_has_its_ids_and_few_others() {
        let mut terms = BlockTerms::default();
        for i in 0..1000 {
            terms.id(format!("{i:032x}").as_bytes());
        }
        let (_, filter) = terms.finish();
        assert!((0..1000).all(|i| filter_has(&filter, format!("{i:032x}").as_bytes())));
        let others = (1000..11_000).filter(|i| filter_has(&filter, format!("{i:032x}").as_bytes()));
        assert!(others.count() < 100);
        assert!(!filter_has(&terms.finish().1, b"any"));
    }

    #[test]
    fn random_texts_are_left_out() {
        let mut terms = BlockTerms::default();
        assert!(terms.texts(&mut [&b"Hello"[..], b"help"].into_iter()));
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            state
        };
        let random: Vec<[u8; 8]> = (0..9000).map(|_| next().to_be_bytes()).collect();
        assert!(!terms.texts(&mut random.iter().map(|text| &text[..])));
        let grams: Vec<u32> = terms.finish().0;
        let text = |gram: &u32| String::from_utf8(gram.to_be_bytes()[1..].to_vec()).unwrap();
        assert_eq!(grams.iter().map(text).collect::<Vec<_>>(), ["ell", "elp", "hel", "llo"]);
    }
}
