//! Counting the series of a block from its index, without making any labels.

use disk::Result;
use roaring::RoaringBitmap;

use super::reader::Block;
use super::series::ReadScratch;
use super::table::GROUP;

impl Block {
    /// Calls `visit` with each pair that any of these series has: its name, its value, and how many
    /// have it.
    pub(crate) fn count_pairs(
        &self,
        series: &RoaringBitmap,
        mut visit: impl FnMut(&str, &str, u64),
    ) -> Result<()> {
        let counts = self.counts(series)?;
        for name in &self.dictionary.names {
            let mut number = name.pairs.start;
            self.dictionary.walk(name, None, &self.file, |value, _| {
                let count = counts.get(number as usize).copied().unwrap_or(0);
                number += 1;
                if count > 0 {
                    visit(&name.name, value, u64::from(count));
                }
                Ok(true)
            })?;
        }
        Ok(())
    }

    /// Calls `visit` with the name and value of each pair.
    pub(crate) fn walk_pairs(&self, mut visit: impl FnMut(&str, &str)) -> Result<()> {
        for name in &self.dictionary.names {
            self.dictionary.walk(name, None, &self.file, |value, _| {
                visit(&name.name, value);
                Ok(true)
            })?;
        }
        Ok(())
    }

    /// How many of these series have each pair.
    fn counts(&self, series: &RoaringBitmap) -> Result<Vec<u32>> {
        let pairs = self.dictionary.names.last().map_or(0, |name| name.pairs.end);
        let mut counts = vec![0_u32; pairs as usize];
        let mut scratch = ReadScratch::default();
        scratch.enter(self);
        for index in series {
            self.check(index)?;
            self.load_references(index / GROUP, &mut scratch)?;
            let at = (index % GROUP) as usize;
            let ends = &scratch.reference_ends;
            let begin = at.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
            let end = ends.get(at).copied().unwrap_or(begin);
            for pair in scratch.references.get(begin..end).unwrap_or(&[]) {
                if let Some(count) = counts.get_mut(*pair as usize) {
                    *count += 1;
                }
            }
        }
        Ok(counts)
    }
}
