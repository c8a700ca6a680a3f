//! An open block: its labels and where everything lies.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use disk::codec::Reader;
use disk::{PageCache, PagedFile, Result};
use model::labels::Labels;
use roaring::RoaringBitmap;

#[cfg(test)]
use super::BlockMeta;
use super::Footer;
use super::dictionary::{Dictionary, Name, get_references};
use super::series::ReadScratch;
use super::table::GROUP;

/// Groups of label values that a query keeps decoded.
const GROUPS_MAX: usize = 1024;

/// A block that is open for reading, by any number of threads.
#[derive(Debug)]
pub(crate) struct Block {
    pub(super) file: PagedFile,
    pub(super) footer: Footer,
    pub(super) dictionary: Dictionary,
    pub(super) series: u32,
    /// Tells scratches of different blocks apart.
    pub(super) number: u64,
}

impl Block {
    /// Opens a block; reads its footer and its label names.
    pub(crate) fn open(path: &Path, cache: Arc<PageCache>) -> Result<Self> {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let file = PagedFile::open(path, cache)?;
        let footer = Footer::read(&file)?;
        let series = u32::try_from(footer.meta.series)
            .map_err(|_| file.corrupt(file.length(), "expected less than 2^32 series"))?;
        if footer.entries.records != footer.meta.series
            || footer.labels.records != footer.meta.series
            || footer.dictionary.pairs.records > u64::from(u32::MAX)
        {
            return Err(file.corrupt(file.length(), "expected a record for each series"));
        }
        let dictionary = Dictionary::open(footer.dictionary, series, &file)?;
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Ok(Block { file, footer, dictionary, series, number })
    }

    /// What the block holds.
    #[cfg(test)]
    pub(crate) fn meta(&self) -> &BlockMeta {
        &self.footer.meta
    }

    /// Where the block was opened.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// How many series; their indexes are the numbers below.
    pub(crate) fn series_count(&self) -> u32 {
        self.series
    }

    /// Bytes in memory besides the page cache.
    #[cfg(test)]
    pub(crate) fn memory_bytes(&self) -> usize {
        let names = self.dictionary.names.iter().map(|name| name.name.len() + 24);
        std::mem::size_of::<Self>() + names.sum::<usize>()
    }

    /// The hash of the labels of a series, as [`super::fingerprint`] makes it.
    pub(crate) fn fingerprint(&self, index: u32) -> Result<u64> {
        self.check(index)?;
        self.number_at(self.footer.fingerprints.saturating_add(u64::from(index) * 8))
    }

    pub(super) fn check(&self, index: u32) -> Result<()> {
        if index < self.series {
            return Ok(());
        }
        Err(self.file.corrupt(self.footer.entries.offset, format!("expected a series {index}")))
    }

    fn number_at(&self, offset: u64) -> Result<u64> {
        let bytes = self.file.view(offset, 8)?;
        let number = Reader::new(&bytes).array().map(u64::from_le_bytes);
        number.map_err(|_| self.file.corrupt(offset, "expected a fingerprint"))
    }

    /// The labels of a series. Cheapest in order of index.
    pub(crate) fn labels(&self, index: u32, scratch: &mut ReadScratch) -> Result<Labels> {
        self.check(index)?;
        scratch.enter(self);
        self.load_references(index / GROUP, scratch)?;
        let ends = &scratch.reference_ends;
        let at = (index % GROUP) as usize;
        let begin = if at == 0 { Some(&0) } else { ends.get(at - 1) };
        let (Some(&begin), Some(&end)) = (begin, ends.get(at)) else {
            return Err(self.file.corrupt(self.footer.labels.offset, "expected labels"));
        };
        let mut pairs = Vec::with_capacity(end - begin);
        for at in begin..end {
            let pair = scratch.references[at];
            let group = pair / GROUP;
            let groups = &mut scratch.label_values;
            if !groups.contains_key(&group) {
                if groups.len() >= GROUPS_MAX {
                    groups.clear();
                }
                let values = self.dictionary.group(group, &self.file)?;
                groups.insert(group, values.into_iter().map(|(value, _)| value.into()).collect());
            }
            let name = self.dictionary.name_of(pair);
            let value = groups.get(&group).and_then(|group| group.get((pair % GROUP) as usize));
            let (Some(name), Some(value)) = (name, value) else {
                return Err(self.file.corrupt(self.footer.labels.offset, "expected a label"));
            };
            pairs.push((name.name.clone(), value.clone()));
        }
        Ok(Labels::from_pairs(pairs))
    }

    pub(super) fn load_references(&self, group: u32, scratch: &mut ReadScratch) -> Result<()> {
        if scratch.reference_group == Some(group) {
            return Ok(());
        }
        scratch.reference_group = None;
        scratch.references.clear();
        scratch.reference_ends.clear();
        let record = self.footer.labels.group(group, &self.file)?;
        let mut fields = record.fields(&self.file);
        let left = self.series - group * GROUP;
        let mut before = 0..0;
        for _ in 0..left.min(GROUP) {
            get_references(&mut fields, before.clone(), &mut scratch.references)?;
            before = before.end..scratch.references.len();
            scratch.reference_ends.push(before.end);
        }
        scratch.reference_group = Some(group);
        Ok(())
    }

    /// All label names, sorted.
    pub(crate) fn label_names(&self) -> impl Iterator<Item = &str> {
        self.dictionary.names.iter().map(|name| &*name.name)
    }

    /// Names of labels that any of these series has, sorted.
    pub(crate) fn label_names_of(&self, series: &RoaringBitmap) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for name in &self.dictionary.names {
            if self.any_value(name, series)? {
                found.push(name.name.to_string());
            }
        }
        Ok(found)
    }

    fn any_value(&self, name: &Name, series: &RoaringBitmap) -> Result<bool> {
        let mut found = false;
        self.dictionary.walk(name, None, &self.file, |_, postings| {
            found = !self.dictionary.series(postings, &self.file)?.is_disjoint(series);
            Ok(!found)
        })?;
        Ok(found)
    }

    /// All values of a label, sorted, with the number of series that have each.
    pub(crate) fn label_values(&self, name: &str) -> Result<Vec<(String, u32)>> {
        let mut found = Vec::new();
        if let Some(name) = self.dictionary.name(name) {
            self.dictionary.walk(name, None, &self.file, |value, postings| {
                found.push((value.to_owned(), postings.count));
                Ok(true)
            })?;
        }
        Ok(found)
    }

    /// Values of a label that any of these series has, sorted.
    pub(crate) fn label_values_of(
        &self,
        name: &str,
        series: &RoaringBitmap,
    ) -> Result<Vec<String>> {
        let mut found = Vec::new();
        if let Some(name) = self.dictionary.name(name) {
            self.dictionary.walk(name, None, &self.file, |value, postings| {
                if !self.dictionary.series(postings, &self.file)?.is_disjoint(series) {
                    found.push(value.to_owned());
                }
                Ok(true)
            })?;
        }
        Ok(found)
    }
}
