//! The term dictionary of a part: a tantivy index with one document a block, written once.
//!
//! Its terms are the trigrams of what varies and is not random; ids are in the filters of blocks.
//! tantivy's files lie one behind the other in a section of the part's own file, and are read from
//! there by position (`directory.rs`), so that checksums and the cache are those of all files.

mod directory;

use std::sync::{Arc, OnceLock};

use disk::PagedFile;
use disk::codec::{Reader, put_str, put_u64};
use tantivy::directory::RamDirectory;
use tantivy::schema::{BytesOptions, Field, IndexRecordOption, Schema};
use tantivy::{
    DocSet, Index, IndexSettings, InvertedIndexReader, SegmentReader, TERMINATED, TantivyDocument,
    TantivyError,
};

use super::bits::Bits;
use super::grams::grams;
use super::index::Section;
use crate::error::{Error, Result};
use directory::{Entry, StoredDirectory};

/// What the writer of the index may use.
const WRITER_BYTES: usize = 32 << 20;
/// A text with more trigrams than this is judged by so many of them.
const GRAMS_MAX: usize = 48;

fn schema() -> (Schema, Field) {
    let mut schema = Schema::builder();
    let gram = schema.add_bytes_field("gram", BytesOptions::default().set_indexed());
    (schema.build(), gram)
}

fn bytes_of(gram: u32) -> [u8; 3] {
    let [_, bytes @ ..] = gram.to_be_bytes();
    bytes
}

/// The bytes of the index of blocks with these trigrams; none for no block.
pub(crate) fn build(blocks: &[Vec<u32>]) -> Result<Vec<u8>, TantivyError> {
    if blocks.is_empty() {
        return Ok(Vec::new());
    }
    let (schema, gram) = schema();
    let memory = RamDirectory::create();
    let builder = Index::builder().schema(schema).settings(IndexSettings::default());
    let mut writer = builder.single_segment_index_writer(memory.clone(), WRITER_BYTES)?;
    for grams in blocks {
        let mut document = TantivyDocument::new();
        grams.iter().for_each(|own| document.add_bytes(gram, &bytes_of(*own)));
        writer.add_document(document)?;
    }
    let index = writer.finalize()?;
    directory::stored(&index, &memory)
}

/// The term dictionary, opened when it is first asked.
#[derive(Default)]
pub(crate) struct Words {
    opened: OnceLock<Option<Opened>>,
}

struct Opened {
    grams: Arc<InvertedIndexReader>,
}

impl Words {
    fn opened(&self, file: &Arc<PagedFile>, section: &Section) -> Result<Option<&Opened>> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened.as_ref());
        }
        let opened = match section.stored {
            0 => None,
            _ => Some(open(file, section).map_err(|error| broken(file, &error))?),
        };
        Ok(self.opened.get_or_init(|| opened).as_ref())
    }

    /// The blocks that have all trigrams of a text; `None` if nothing is known.
    pub(crate) fn blocks_with(
        &self,
        file: &Arc<PagedFile>,
        section: &Section,
        blocks: usize,
        text: &[u8],
    ) -> Result<Option<Bits>> {
        let Some(opened) = self.opened(file, section)? else { return Ok(None) };
        let mut wanted: Vec<u32> = grams(text).take(GRAMS_MAX).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut found = Bits::all(blocks);
        for gram in wanted {
            found.and(&opened.blocks_of(gram, blocks).map_err(|e| broken(file, &e.into()))?);
            if found.is_empty() {
                break;
            }
        }
        Ok(Some(found))
    }

    /// The trigrams of each block.
    pub(crate) fn by_block(
        &self,
        file: &Arc<PagedFile>,
        section: &Section,
        blocks: usize,
    ) -> Result<Vec<Vec<u32>>> {
        let mut lists = vec![Vec::new(); blocks];
        if let Some(opened) = self.opened(file, section)? {
            let read = opened.each(|gram, block| {
                if let Some(list) = lists.get_mut(block) {
                    list.push(gram);
                }
            });
            read.map_err(|error| broken(file, &error.into()))?;
        }
        Ok(lists)
    }
}

fn broken(file: &PagedFile, error: &TantivyError) -> Error {
    Error::Corrupt { path: file.path().to_owned(), what: format!("the term dictionary: {error}") }
}

fn open(file: &Arc<PagedFile>, section: &Section) -> Result<Opened, TantivyError> {
    let directory = StoredDirectory::open(file.clone(), section)?;
    let index = Index::open(directory)?;
    let segments = index.searchable_segments()?;
    let segment = segments
        .first()
        .ok_or_else(|| TantivyError::InternalError("an index without a segment".to_owned()))?;
    let reader = SegmentReader::open(segment)?;
    let gram = index.schema().get_field("gram")?;
    Ok(Opened { grams: reader.inverted_index(gram)? })
}

impl Opened {
    fn blocks_of(&self, gram: u32, blocks: usize) -> std::io::Result<Bits> {
        let mut found = Bits::none(blocks);
        let Some(info) = self.grams.terms().get(bytes_of(gram))? else { return Ok(found) };
        let mut postings =
            self.grams.read_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
        while postings.doc() != TERMINATED {
            found.insert(postings.doc() as usize);
            postings.advance();
        }
        Ok(found)
    }

    fn each(&self, mut visit: impl FnMut(u32, usize)) -> std::io::Result<()> {
        let mut terms = self.grams.terms().stream()?;
        while terms.advance() {
            let gram = terms.key().iter().fold(0, |gram, byte| gram << 8 | u32::from(*byte));
            let info = terms.value().clone();
            let mut postings =
                self.grams.read_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
            while postings.doc() != TERMINATED {
                visit(gram, postings.doc() as usize);
                postings.advance();
            }
        }
        Ok(())
    }
}

/// The names, places and bytes of files, one behind the other.
fn put_files(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut names = Vec::new();
    put_u64(&mut names, files.len() as u64);
    for (name, bytes) in files {
        put_str(&mut names, name);
        put_u64(&mut names, bytes.len() as u64);
    }
    let mut out = (names.len() as u32).to_le_bytes().to_vec();
    out.extend_from_slice(&names);
    files.iter().for_each(|(_, bytes)| out.extend_from_slice(bytes));
    out
}

/// Reads what [`put_files`] wrote of names; places are counted from the first byte of all.
fn read_names(names: &[u8]) -> Result<Vec<(String, Entry)>, disk::codec::CodecError> {
    let reader = &mut Reader::new(names);
    let mut offset = 4 + names.len() as u64;
    let mut entries = Vec::new();
    for _ in 0..reader.count()? {
        let name = reader.str()?.to_owned();
        let length = reader.u64()?;
        entries.push((name, Entry { offset, length }));
        offset = offset.saturating_add(length);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_in_the_blocks_that_have_all_its_trigrams() {
        let of = |text: &str| {
            let mut own: Vec<u32> = grams(text.as_bytes()).collect();
            own.sort_unstable();
            own.dedup();
            own
        };
        let blocks = [of("connection refused"), of("Connection reset"), Vec::new()];
        let bytes = build(&blocks).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let mut writer = disk::PagedWriter::create(&disk::files::RealFiles, &path).unwrap();
        writer.write(b"before").unwrap();
        writer.write(&bytes).unwrap();
        writer.finish().unwrap();
        let file = Arc::new(PagedFile::open(&path, disk::PageCache::new(1 << 20)).unwrap());
        let length = bytes.len() as u64;
        let section = Section { offset: 6, stored: length, length };
        let words = Words::default();
        let check = |text: &str, expected: &[usize]| {
            let found = words.blocks_with(&file, &section, 3, text.as_bytes()).unwrap().unwrap();
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{text}");
        };
        check("CONNECTION", &[0, 1]);
        check("refused", &[0]);
        check("reset", &[1]);
        check("absent", &[]);
        assert_eq!(words.by_block(&file, &section, 3).unwrap(), blocks);
    }
}
