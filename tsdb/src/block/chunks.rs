//! Writing numbers and bytes of many series into shared chunks.
//!
//! A codec of numbers pays for a table of its bins; a series of a day has too few numbers to pay
//! for its own. So sequences that look alike (the same size of steps, see [`super::ints`]) gather
//! in one chunk with one table, whatever series they belong to. Each sequence is a page of the
//! chunk that can be decoded alone. The number of the chunk is known when it begins, so that a
//! record can point into a chunk that is still being gathered.

use std::hash::{BuildHasher, RandomState};

use disk::codec::{put_i64, put_u64};
use disk::{Error, PagedWriter, Result};
use pco::wrapped::FileCompressor;
use pco::{ChunkConfig, DeltaSpec, ModeSpec, PagingSpec};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::Codec;

/// A chunk is written when it holds this many numbers.
const CHUNK_NUMBERS: usize = 1 << 17;
/// A chunk of XOR streams or varints is written when it holds this many bytes.
const CHUNK_BYTES: usize = 256 << 10;
/// A compressed chunk is read as a whole, so it is kept small.
const ZIPPED_BYTES: usize = 64 << 10;
/// Over this, the largest chunk that is being gathered is written.
const PENDING_BYTES_MAX: usize = 32 << 20;
/// Contents that are remembered at once.
const SAME_MAX: usize = 1 << 18;
/// Level of zstd.
const ZIPPED_LEVEL: i32 = 6;
/// Integers are unpacked frame by frame: one is full with this many bytes of varints.
const FRAME_BYTES: usize = 64 << 10;
/// Level of zstd for integers, and for a first look at whether it is worth the while.
const FRAME_LEVEL: i32 = 9;
const LOOK_LEVEL: i32 = 1;

/// What a chunk holds; the first byte of its header.
pub(super) const NARROW: u8 = 1;
pub(super) const WIDE: u8 = 2;
pub(super) const FLOATS: u8 = 3;
pub(super) const BYTES: u8 = 4;
pub(super) const ZIPPED: u8 = 5;
pub(super) const PACKED: u8 = 6;

/// Bytes of a row of the chunk table: offset, length of the header, length of the body.
pub(super) const TABLE_ROW_BYTES: usize = 16;

/// What the numbers of a chunk are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Section {
    Times,
    Values,
    Starts,
    Histograms,
    Exemplars,
}

/// Sequences of one class share chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Class {
    Ints {
        /// Mean size of a number in half bits.
        half_bits: u8,
        /// The share of zeros in quarters.
        zeros: u8,
        has_negative: bool,
        /// Whether each number fits 32 bits.
        is_narrow: bool,
    },
    Floats {
        /// The binary exponent, coarse.
        exponent: u16,
    },
    Bytes,
    Zipped,
}

/// Where a sequence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) chunk: u32,
    pub(super) page: u32,
}

impl Place {
    pub(super) fn put(self, record: &mut Vec<u8>) {
        put_u64(record, u64::from(self.chunk));
        put_u64(record, u64::from(self.page));
    }
}

/// Bytes of a block file by what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct SectionBytes {
    /// Chunks and records of time columns.
    pub(crate) times: u64,
    /// Chunks of float values.
    pub(crate) values: u64,
    /// Chunks and records of start times.
    pub(crate) starts: u64,
    /// Chunks, records and layouts of native histograms.
    pub(crate) histograms: u64,
    pub(crate) exemplars: u64,
    /// One record for each series: where its samples are, and the values of short sequences.
    pub(crate) entries: u64,
    /// Fingerprints, label references, names and values, postings.
    pub(crate) index: u64,
}

/// The chunks of a block that is being written, and the file.
pub(super) struct ChunkWriter {
    pub(super) file: PagedWriter,
    pub(super) codec: Codec,
    pub(super) bytes: SectionBytes,
    pending: FxHashMap<(Section, Class), Pending>,
    pending_bytes: usize,
    /// Places of sequences by their content: many series change by the same steps (the last bucket
    /// of a histogram and its count, what is received and sent on a loop).
    same: FxHashMap<u128, Place>,
    seed: u64,
    scratch: Vec<u8>,
    /// Offset, length of the header and of the body of each chunk begun.
    table: Vec<(u64, u32, u32)>,
}

struct Pending {
    chunk: u32,
    pages: Vec<usize>,
    numbers: Numbers,
}

enum Numbers {
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Bytes(Vec<u8>),
}

impl Numbers {
    fn bytes(&self) -> usize {
        match self {
            Numbers::Ints(numbers) => numbers.len() * 8,
            Numbers::Floats(numbers) => numbers.len() * 8,
            Numbers::Bytes(bytes) => bytes.len(),
        }
    }
}

impl ChunkWriter {
    pub(super) fn new(file: PagedWriter, codec: Codec) -> Self {
        ChunkWriter {
            file,
            codec,
            bytes: SectionBytes::default(),
            pending: FxHashMap::default(),
            pending_bytes: 0,
            same: FxHashMap::default(),
            seed: RandomState::new().hash_one(0u8),
            scratch: Vec::new(),
            table: Vec::new(),
        }
    }

    /// The error for what can not be written.
    pub(super) fn unwritable(&self, what: impl Into<String>) -> Error {
        Error::Unwritable { path: self.file.path().to_owned(), what: what.into() }
    }

    /// Adds a sequence of at least one integer.
    pub(super) fn add_ints(
        &mut self,
        section: Section,
        class: Class,
        numbers: &[i64],
    ) -> Result<Place> {
        let content = self.content(class, numbers.iter().flat_map(|number| number.to_le_bytes()));
        if let Some(place) = self.same.get(&content) {
            return Ok(*place);
        }
        let place = self.add(section, class, numbers.len(), |held| match held {
            Numbers::Ints(held) => held.extend_from_slice(numbers),
            Numbers::Floats(_) | Numbers::Bytes(_) => {}
        })?;
        Ok(self.remember(content, place))
    }

    /// Adds a sequence of at least one float.
    pub(super) fn add_floats(&mut self, section: Section, numbers: &[f64]) -> Result<Place> {
        let first = numbers.first().map_or(0, |number| number.to_bits());
        let class = Class::Floats { exponent: (first >> 54) as u16 };
        self.add(section, class, numbers.len(), |held| match held {
            Numbers::Floats(held) => held.extend_from_slice(numbers),
            Numbers::Ints(_) | Numbers::Bytes(_) => {}
        })
    }

    /// Adds bytes that are stored as they are, or compressed with their neighbours.
    pub(super) fn add_bytes(
        &mut self,
        section: Section,
        is_zipped: bool,
        bytes: &[u8],
    ) -> Result<Place> {
        let class = if is_zipped { Class::Zipped } else { Class::Bytes };
        let content = self.content(class, bytes.iter().copied());
        if let Some(place) = self.same.get(&content) {
            return Ok(*place);
        }
        let place = self.add(section, class, bytes.len(), |held| match held {
            Numbers::Bytes(held) => held.extend_from_slice(bytes),
            Numbers::Ints(_) | Numbers::Floats(_) => {}
        })?;
        Ok(self.remember(content, place))
    }

    /// What tells sequences of one content apart from all others: a hash that nobody can foresee.
    fn content(&mut self, class: Class, bytes: impl Iterator<Item = u8>) -> u128 {
        self.scratch.clear();
        self.scratch.push(match class {
            Class::Ints { .. } => 0,
            Class::Floats { .. } => 1,
            Class::Bytes => 2,
            Class::Zipped => 3,
        });
        self.scratch.extend(bytes);
        xxh3_128_with_seed(&self.scratch, self.seed)
    }

    fn remember(&mut self, content: u128, place: Place) -> Place {
        if self.same.len() >= SAME_MAX {
            self.same.clear();
        }
        self.same.insert(content, place);
        place
    }

    fn add(
        &mut self,
        section: Section,
        class: Class,
        length: usize,
        extend: impl FnOnce(&mut Numbers),
    ) -> Result<Place> {
        let table = &mut self.table;
        let pending = self.pending.entry((section, class)).or_insert_with(|| {
            table.push((0, 0, 0));
            let numbers = match class {
                Class::Ints { .. } => Numbers::Ints(Vec::new()),
                Class::Floats { .. } => Numbers::Floats(Vec::new()),
                Class::Bytes | Class::Zipped => Numbers::Bytes(Vec::new()),
            };
            Pending { chunk: (table.len() - 1) as u32, pages: Vec::new(), numbers }
        });
        let place = Place { chunk: pending.chunk, page: pending.pages.len() as u32 };
        let before = pending.numbers.bytes();
        extend(&mut pending.numbers);
        pending.pages.push(length);
        let held = pending.numbers.bytes();
        self.pending_bytes += held - before;
        let limit = match class {
            Class::Ints { .. } | Class::Floats { .. } => CHUNK_NUMBERS * 8,
            Class::Bytes => CHUNK_BYTES,
            Class::Zipped => ZIPPED_BYTES,
        };
        if held >= limit {
            self.write_chunk((section, class))?;
        }
        while self.pending_bytes > PENDING_BYTES_MAX {
            let largest = self.pending.iter().max_by_key(|(_, held)| held.numbers.bytes());
            let Some((&key, _)) = largest else { break };
            self.write_chunk(key)?;
        }
        Ok(place)
    }

    fn write_chunk(&mut self, key: (Section, Class)) -> Result<()> {
        let Some(pending) = self.pending.remove(&key) else { return Ok(()) };
        self.pending_bytes -= pending.numbers.bytes();
        let encoded = match &pending.numbers {
            Numbers::Ints(numbers) => {
                let is_narrow = matches!(key.1, Class::Ints { is_narrow: true, .. });
                encode_ints(numbers, &pending.pages, is_narrow).and_then(|encoded| {
                    Ok(pack_ints(numbers, &pending.pages, encoded.bytes())?.unwrap_or(encoded))
                })
            }
            Numbers::Floats(numbers) => encode_numbers(numbers, &pending.pages, FLOATS, true),
            Numbers::Bytes(bytes) if key.1 == Class::Zipped => {
                match zstd::bulk::compress(bytes, ZIPPED_LEVEL) {
                    Ok(body) => Ok(Encoded::of_bytes(ZIPPED, body, pending.pages)),
                    Err(error) => Err(error.to_string()),
                }
            }
            Numbers::Bytes(bytes) => Ok(Encoded::of_bytes(BYTES, bytes.clone(), pending.pages)),
        };
        let encoded = encoded.map_err(|what| self.unwritable(what))?;
        let header = encoded.header();
        let written = (header.len() + encoded.body.len()) as u64;
        if let Some(row) = self.table.get_mut(pending.chunk as usize) {
            *row = (self.file.position(), header.len() as u32, encoded.body.len() as u32);
        }
        self.file.write(&header)?;
        self.file.write(&encoded.body)?;
        let bytes = &mut self.bytes;
        *match key.0 {
            Section::Times => &mut bytes.times,
            Section::Values => &mut bytes.values,
            Section::Starts => &mut bytes.starts,
            Section::Histograms => &mut bytes.histograms,
            Section::Exemplars => &mut bytes.exemplars,
        } += written;
        Ok(())
    }

    /// Writes every chunk that is not full, and the table of chunks; returns where the table
    /// begins and how many rows it has.
    pub(super) fn finish(&mut self) -> Result<(u64, u64)> {
        let mut left: Vec<_> = self.pending.iter().map(|(key, held)| (held.chunk, *key)).collect();
        left.sort_unstable_by_key(|(chunk, _)| *chunk);
        for (_, key) in left {
            self.write_chunk(key)?;
        }
        let offset = self.file.position();
        for (at, header, body) in &self.table {
            self.file.write(&at.to_le_bytes())?;
            self.file.write(&header.to_le_bytes())?;
            self.file.write(&body.to_le_bytes())?;
        }
        self.bytes.entries += (self.table.len() * TABLE_ROW_BYTES) as u64;
        Ok((offset, self.table.len() as u64))
    }
}

struct Encoded {
    kind: u8,
    meta: Vec<u8>,
    /// Bytes of each page of the body, before compression.
    pages: Vec<usize>,
    body: Vec<u8>,
}

impl Encoded {
    fn of_bytes(kind: u8, body: Vec<u8>, pages: Vec<usize>) -> Self {
        Encoded { kind, meta: Vec::new(), pages, body }
    }

    fn bytes(&self) -> usize {
        self.meta.len() + self.pages.len() + self.body.len()
    }

    fn header(&self) -> Vec<u8> {
        let mut header = vec![self.kind];
        put_u64(&mut header, self.meta.len() as u64);
        header.extend_from_slice(&self.meta);
        put_u64(&mut header, self.pages.len() as u64);
        for page in &self.pages {
            put_u64(&mut header, *page as u64);
        }
        header
    }
}

fn encode_ints(numbers: &[i64], pages: &[usize], is_narrow: bool) -> Result<Encoded, String> {
    if is_narrow {
        let narrow: Vec<i32> = numbers.iter().map(|number| *number as i32).collect();
        encode_numbers(&narrow, pages, NARROW, false)
    } else {
        encode_numbers(numbers, pages, WIDE, false)
    }
}

/// Integers as varints in frames of zstd, if that takes clearly less than `bytes`. The bins of the
/// other codec see each number alone; this one finds stretches that series of one kind share, such
/// as what is free and what is free in all zones.
fn pack_ints(numbers: &[i64], pages: &[usize], bytes: usize) -> Result<Option<Encoded>, String> {
    let mut frames: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut lengths = Vec::with_capacity(pages.len());
    let mut rest = numbers;
    for count in pages {
        if frames.last().is_none_or(|(_, frame)| frame.len() >= FRAME_BYTES) {
            frames.push((0, Vec::new()));
        }
        let (page, others) = rest.split_at(*count);
        rest = others;
        if let Some((pages, frame)) = frames.last_mut() {
            let before = frame.len();
            page.iter().for_each(|number| put_i64(frame, *number));
            lengths.push(frame.len() - before);
            *pages += 1;
        }
    }
    let compress = |level: i32| -> Result<Vec<Vec<u8>>, String> {
        let zip = |(_, frame): &(usize, Vec<u8>)| zstd::bulk::compress(frame, level);
        frames.iter().map(zip).collect::<std::io::Result<_>>().map_err(|e| e.to_string())
    };
    let total = |zipped: &[Vec<u8>]| zipped.iter().map(Vec::len).sum::<usize>() + lengths.len() * 2;
    if total(&compress(LOOK_LEVEL)?) > bytes {
        return Ok(None);
    }
    let zipped = compress(FRAME_LEVEL)?;
    if total(&zipped) > bytes - bytes / 16 {
        return Ok(None);
    }
    let mut meta = Vec::new();
    put_u64(&mut meta, zipped.len() as u64);
    for ((pages, _), body) in frames.iter().zip(&zipped) {
        put_u64(&mut meta, *pages as u64);
        put_u64(&mut meta, body.len() as u64);
    }
    Ok(Some(Encoded { kind: PACKED, meta, pages: lengths, body: zipped.concat() }))
}

/// Integers are differences already; floats are left to the codec's own choice.
fn encode_numbers<T: pco::data_types::Number>(
    numbers: &[T],
    pages: &[usize],
    kind: u8,
    is_automatic: bool,
) -> Result<Encoded, String> {
    let mut config = ChunkConfig::default().with_paging_spec(PagingSpec::Exact(pages.to_vec()));
    if !is_automatic {
        config = config.with_delta_spec(DeltaSpec::NoOp).with_mode_spec(ModeSpec::Classic);
    }
    let compressor = FileCompressor::default();
    let mut meta = Vec::new();
    let mut body = Vec::new();
    let mut lengths = Vec::with_capacity(pages.len());
    let mut write = || {
        compressor.write_header(&mut meta)?;
        let mut chunk = compressor.chunk_compressor(numbers, &config)?;
        chunk.write_meta(&mut meta)?;
        for page in 0..pages.len() {
            let before = body.len();
            chunk.write_page(page, &mut body)?;
            lengths.push(body.len() - before);
        }
        Ok::<(), pco::errors::PcoError>(())
    };
    write().map_err(|error| error.to_string())?;
    Ok(Encoded { kind, meta, pages: lengths, body })
}
