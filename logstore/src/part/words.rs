//! Which blocks have a trigram.

use super::bits::Bits;
use crate::error::Result;

/// The index of trigrams by block.
pub(crate) fn build(_grams: &[Vec<u32>]) -> Result<Vec<u8>> {
    Ok(Vec::new())
}

/// The blocks that have all trigrams of a text; `None` if nothing is known.
pub(crate) fn blocks_with(_text: &[u8]) -> Result<Option<Bits>> {
    Ok(None)
}
