//! Blocks: immutable files of series, the long memory of the store.
//!
//! **What it is.** One file holds series in order of metric name and labels with all of their
//! [`Columns`](crate::columns::Columns), and an inverted index over them. The bytes are described
//! in `docs/formats/block.md`. An open block holds a few kilobytes in memory; everything else is
//! read through the shared page cache when it is asked for.
//!
//! **What it is not.** It knows no other block, no head and no deletion.
//!
//! ```text
//!  BlockWriter::add -> columns.rs  times and starts, each column once   -\
//!                   -> floats.rs   values -> ints.rs                     -> chunks.rs -> file
//!                   -> histograms.rs, exemplars.rs                      -/
//!                   -> dictionary.rs  labels and postings, written last
//!  Block::select -> dictionary.rs;  Block::read -> the same modules, through pages.rs
//! ```
//!
//! Two codecs share one format and one reader: [`Codec::Fast`] for blocks sealed out of memory,
//! [`Codec::Dense`] for merged ones.

mod chunks;
mod columns;
mod count;
mod dictionary;
mod exemplars;
mod fields;
mod floats;
mod histograms;
mod ints;
mod pages;
mod reader;
mod rollups;
mod select;
mod series;
mod table;
mod writer;

use std::cmp::Ordering;

use disk::{PagedFile, PagedWriter, Result};
use model::labels::{Labels, METRIC_NAME};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

pub(crate) use chunks::SectionBytes;
pub(crate) use reader::Block;
pub(crate) use rollups::RollupWanted;
pub(crate) use series::{ReadScratch, Wanted};
pub(crate) use writer::BlockWriter;

use dictionary::DictionaryPlace;
use table::TablePlace;

const MAGIC: [u8; 8] = *b"SBXBLOK\n";
const VERSION: u32 = 1;
/// No kind of sample of a series may be more often in one block.
const SAMPLES_MAX: usize = 1 << 28;

/// How samples are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Codec {
    /// XOR streams and varints: quick to write.
    #[default]
    Fast,
    /// Shared entropy-coded chunks: small.
    Dense,
}

/// What a block holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlockMeta {
    pub(crate) codec: Codec,
    /// The first time of any sample or exemplar, in milliseconds; above `max_time` if there is
    /// none.
    pub(crate) min_time: i64,
    /// The last.
    pub(crate) max_time: i64,
    pub(crate) series: u64,
    pub(crate) float_samples: u64,
    pub(crate) histogram_samples: u64,
    pub(crate) exemplars: u64,
    /// The most samples of one series, floats or histograms.
    pub(crate) series_samples_max: u64,
    /// The size of the file.
    pub(crate) bytes: u64,
    pub(crate) sections: SectionBytes,
}

impl Default for BlockMeta {
    fn default() -> Self {
        BlockMeta {
            codec: Codec::default(),
            min_time: i64::MAX,
            max_time: i64::MIN,
            series: 0,
            float_samples: 0,
            histogram_samples: 0,
            exemplars: 0,
            series_samples_max: 0,
            bytes: 0,
            sections: SectionBytes::default(),
        }
    }
}

/// The end of the file: what it holds and where.
#[derive(Debug, Serialize, Deserialize)]
struct Footer {
    meta: BlockMeta,
    /// Offset and rows.
    chunk_table: (u64, u64),
    times: TablePlace,
    starts: TablePlace,
    histograms: TablePlace,
    layouts: TablePlace,
    entries: TablePlace,
    dictionary: DictionaryPlace,
    labels: TablePlace,
    /// Fingerprints in order of series.
    fingerprints: u64,
}

/// Length of the JSON, version, magic.
const FOOTER_END_BYTES: usize = 4 + 4 + 8;

impl Footer {
    fn write(&self, file: &mut PagedWriter) -> Result<()> {
        let json = serde_json::to_vec(self).map_err(|error| disk::Error::Unwritable {
            path: file.path().to_owned(),
            what: error.to_string(),
        })?;
        file.write(&json)?;
        file.write(&(json.len() as u32).to_le_bytes())?;
        file.write(&VERSION.to_le_bytes())?;
        file.write(&MAGIC)
    }

    fn read(file: &PagedFile) -> Result<Self> {
        let wrong = |what: &str| file.corrupt(file.length(), what);
        let at = file.length().checked_sub(FOOTER_END_BYTES as u64);
        let at = at.ok_or_else(|| wrong("expected the footer of a block"))?;
        let end = file.view(at, FOOTER_END_BYTES)?;
        let mut fields = disk::codec::Reader::new(&end);
        let mut number = || fields.array().map(u32::from_le_bytes).unwrap_or_default();
        let (length, version) = (number(), number());
        if end[8..] != MAGIC || version != VERSION {
            return Err(wrong("expected the footer of a block of version 1"));
        }
        let begin = at.checked_sub(u64::from(length));
        let begin = begin.ok_or_else(|| wrong("expected a footer that fits the file"))?;
        let json = file.view(begin, length as usize)?;
        let mut footer: Footer = serde_json::from_slice(&json)
            .map_err(|error| file.corrupt(begin, format!("expected a footer: {error}")))?;
        footer.meta.bytes = file.size();
        Ok(footer)
    }
}

/// The hash of a series: XXH3 over `name 0xff value 0xff` in order of name. The separator is no
/// byte of UTF-8.
pub(crate) fn fingerprint<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    let mut bytes = [0u8; 512];
    let mut used = 0;
    // Only label sets that do not fit the buffer pay for the state of a stream.
    let mut hasher: Option<Xxh3Default> = None;
    let mut add = |part: &[u8]| match (&mut hasher, bytes.get_mut(used..used + part.len())) {
        (None, Some(room)) => {
            room.copy_from_slice(part);
            used += part.len();
        }
        (None, None) => {
            let mut long = Xxh3Default::new();
            long.update(&bytes[..used]);
            long.update(part);
            hasher = Some(long);
        }
        (Some(hasher), _) => hasher.update(part),
    };
    for (name, value) in labels {
        add(name.as_bytes());
        add(&[0xff]);
        add(value.as_bytes());
        add(&[0xff]);
    }
    hasher.map_or_else(|| xxh3_64(&bytes[..used]), |hasher| hasher.digest())
}

/// The order of series in a block: by metric name, then by labels.
pub(crate) fn series_order(a: &Labels, b: &Labels) -> Ordering {
    a.get_or_empty(METRIC_NAME).cmp(b.get_or_empty(METRIC_NAME)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests;
