//! What the header of a block has of the values of columns: lists of few values and of forms, each
//! once, since many columns have the same.

use std::sync::Arc;

use disk::codec::{CodecError, Reader, put_u64};
use rustc_hash::FxHashMap;

use super::texts::Texts;

/// Lists that take more are with the rest of their column.
const BYTES_MAX: usize = 4096;

/// A list that the header has, and which of its lists it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    number: u32,
    pub(super) texts: Arc<Texts>,
}

/// The lists of a block that is being written.
#[derive(Debug, Default)]
pub(crate) struct Dictionaries {
    texts: Vec<Arc<Texts>>,
    numbers: FxHashMap<Arc<Texts>, u32>,
}

impl Dictionaries {
    /// Takes a list unless it is too long.
    pub(super) fn list(&mut self, texts: &Arc<Texts>) -> Option<Listed> {
        if texts.bytes.len() + texts.len() > BYTES_MAX {
            return None;
        }
        let number = *self.numbers.entry(texts.clone()).or_insert_with(|| {
            self.texts.push(texts.clone());
            self.texts.len() as u32 - 1
        });
        Some(Listed { number, texts: texts.clone() })
    }

    /// Appends all lists and forgets them.
    pub(crate) fn put(&mut self, out: &mut Vec<u8>) {
        put_u64(out, self.texts.len() as u64);
        self.texts.iter().for_each(|texts| texts.put(out));
        self.texts.clear();
        self.numbers.clear();
    }
}

/// Reads what [`Dictionaries::put`] wrote.
pub(crate) fn read_dictionaries(reader: &mut Reader<'_>) -> Result<Vec<Arc<Texts>>, CodecError> {
    let mut list = Vec::new();
    for _ in 0..reader.count()? {
        list.push(Arc::new(Texts::read(reader)?));
    }
    Ok(list)
}

/// Appends the number of a list and one, or zero if the column has it.
pub(super) fn put_listed(listed: Option<&Listed>, out: &mut Vec<u8>) {
    put_u64(out, listed.map_or(0, |listed| u64::from(listed.number) + 1));
}

pub(super) fn read_listed(
    reader: &mut Reader<'_>,
    dictionaries: &[Arc<Texts>],
) -> Result<Option<Listed>, CodecError> {
    let Some(number) = reader.u32()?.checked_sub(1) else { return Ok(None) };
    match dictionaries.get(number as usize) {
        Some(texts) => Ok(Some(Listed { number, texts: texts.clone() })),
        None => Err(CodecError { offset: reader.offset(), expected: "values of a column" }),
    }
}
