//! Reading pages of chunks, with the opened chunks of a query kept at hand.

use disk::codec::Reader;
use disk::paged::View;
use disk::{PagedFile, Result};
use pco::wrapped::{ChunkDecompressor, FileDecompressor};
use rustc_hash::FxHashMap;

use super::chunks::{BYTES, FLOATS, NARROW, PACKED, TABLE_ROW_BYTES, WIDE, ZIPPED};
use super::ints::get_varints;

/// Opened chunks that are kept; each takes some 20 KB.
const CHUNKS_MAX: usize = 256;
/// Numbers that the codec decodes at once; a page can be left after any of them.
const BATCH: usize = pco::FULL_BATCH_N;
/// No compressed chunk is larger.
const ZIPPED_BYTES_MAX: usize = 256 << 20;
/// No frame of integers is larger.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// Opened chunks and buffers.
#[derive(Default)]
pub(super) struct ChunkScratch {
    chunks: FxHashMap<u32, Chunk>,
    /// Steps of the segment that is being decoded.
    pub(super) steps: Vec<i64>,
    /// Integers that become floats.
    pub(super) integers: Vec<i64>,
    narrow: Vec<i32>,
}

struct Chunk {
    kind: Kind,
    /// Where each page ends in the body.
    ends: Vec<u32>,
    body: u64,
}

enum Kind {
    Narrow(ChunkDecompressor<i32>),
    Wide(ChunkDecompressor<i64>),
    Floats(ChunkDecompressor<f64>),
    Bytes,
    Zipped(Vec<u8>),
    Packed(Packed),
}

/// Integers as varints in compressed frames, of which the last one that was read is kept.
struct Packed {
    frames: Vec<Frame>,
    held: Option<(usize, Vec<u8>)>,
}

struct Frame {
    /// Where it ends, unpacked.
    unpacked_end: u32,
    /// Where it ends in the body.
    end: u32,
}

impl Packed {
    /// Which pages and bytes each frame has.
    fn open(meta: &[u8], ends: &[u32], body_bytes: u32) -> Option<Packed> {
        let mut fields = Reader::new(meta);
        let mut frames = Vec::new();
        let (mut pages, mut end) = (0usize, 0u32);
        for _ in 0..fields.count().ok()? {
            pages = pages.checked_add(fields.u32().ok()? as usize)?;
            end = end.checked_add(fields.u32().ok()?)?;
            let unpacked_end = *ends.get(pages.checked_sub(1)?)?;
            frames.push(Frame { unpacked_end, end });
        }
        let is_whole = pages == ends.len() && end == body_bytes && fields.is_at_end();
        is_whole.then_some(Packed { frames, held: None })
    }

    /// The bytes of a page that begins at `begin` of what is unpacked.
    fn page(&mut self, begin: u32, length: usize, body: u64, file: &PagedFile) -> Result<&[u8]> {
        let wrong = || file.corrupt(body, "expected a frame of integers");
        let number = self.frames.partition_point(|frame| frame.unpacked_end <= begin);
        let frame = self.frames.get(number).ok_or_else(wrong)?;
        let (unpacked_begin, packed_begin) = match number.checked_sub(1) {
            None => (0, 0),
            Some(before) => (self.frames[before].unpacked_end, self.frames[before].end),
        };
        let bytes = (frame.unpacked_end - unpacked_begin) as usize;
        if bytes > FRAME_BYTES_MAX {
            return Err(wrong());
        }
        let held = match self.held.take() {
            Some(held) if held.0 == number => held,
            _ => {
                let packed_bytes = (frame.end - packed_begin) as usize;
                let packed = file.view(body + u64::from(packed_begin), packed_bytes)?;
                let unpacked = zstd::bulk::decompress(&packed, bytes).map_err(|_| wrong())?;
                (number, unpacked)
            }
        };
        let at = (begin - unpacked_begin) as usize;
        self.held.insert(held).1.get(at..at + length).ok_or_else(wrong)
    }
}

/// Reads pages of the chunks of one block.
pub(super) struct ChunkReader<'a> {
    pub(super) file: &'a PagedFile,
    /// Where the table of chunks lies, and its rows.
    pub(super) table: (u64, u64),
    pub(super) scratch: &'a mut ChunkScratch,
}

impl ChunkReader<'_> {
    /// Appends the first integers of a page of `count`: at least those needed.
    pub(super) fn ints(
        &mut self,
        chunk: u32,
        page: u32,
        count: usize,
        needed: usize,
        out: &mut Vec<i64>,
    ) -> Result<()> {
        let file = self.file;
        let mut narrow = std::mem::take(&mut self.scratch.narrow);
        let opened = self.open(chunk)?;
        let (offset, length) = opened.page(page, file)?;
        let begin = out.len();
        let taken = needed.next_multiple_of(BATCH).min(count);
        let done = match &mut opened.kind {
            Kind::Narrow(decoder) => {
                let view = file.view(offset, length)?;
                narrow.resize(taken, 0);
                let done = decode(decoder, &view, count, &mut narrow);
                out.extend(narrow.iter().map(|number| i64::from(*number)));
                done
            }
            Kind::Wide(decoder) => {
                let view = file.view(offset, length)?;
                out.resize(begin + taken, 0);
                decode(decoder, &view, count, &mut out[begin..])
            }
            Kind::Packed(packed) => {
                let bytes =
                    packed.page((offset - opened.body) as u32, length, opened.body, file)?;
                let done = get_varints(bytes, taken, out).is_some();
                out[begin..].iter_mut().for_each(|number| *number = unzigzag(*number));
                done
            }
            Kind::Floats(_) | Kind::Bytes | Kind::Zipped(_) => false,
        };
        self.scratch.narrow = narrow;
        if done { Ok(()) } else { Err(file.corrupt(offset, "expected a page of integers")) }
    }

    /// Appends `count` floats of a page.
    pub(super) fn floats(
        &mut self,
        chunk: u32,
        page: u32,
        count: usize,
        out: &mut Vec<f64>,
    ) -> Result<()> {
        let file = self.file;
        let opened = self.open(chunk)?;
        let (offset, length) = opened.page(page, file)?;
        let Kind::Floats(decoder) = &mut opened.kind else {
            return Err(file.corrupt(offset, "expected a page of floats"));
        };
        let view = file.view(offset, length)?;
        let begin = out.len();
        out.resize(begin + count, 0.0);
        if decode(decoder, &view, count, &mut out[begin..]) {
            Ok(())
        } else {
            Err(file.corrupt(offset, "expected a page of floats"))
        }
    }

    /// The bytes of a page of a chunk that is not compressed.
    pub(super) fn bytes(&mut self, chunk: u32, page: u32) -> Result<View> {
        let file = self.file;
        let opened = self.open(chunk)?;
        let (offset, length) = opened.page(page, file)?;
        match &opened.kind {
            Kind::Bytes => file.view(offset, length),
            _ => Err(file.corrupt(offset, "expected a page of bytes")),
        }
    }

    /// The bytes of a page of a compressed chunk.
    pub(super) fn unzipped(&mut self, chunk: u32, page: u32) -> Result<Vec<u8>> {
        let file = self.file;
        let opened = self.open(chunk)?;
        let (offset, length) = opened.page(page, file)?;
        let begin = (offset - opened.body) as usize;
        match &opened.kind {
            Kind::Zipped(body) if body.len() >= begin + length => {
                Ok(body[begin..begin + length].to_vec())
            }
            _ => Err(file.corrupt(offset, "expected a page of compressed bytes")),
        }
    }

    fn open(&mut self, chunk: u32) -> Result<&mut Chunk> {
        let chunks = &mut self.scratch.chunks;
        if chunks.len() >= CHUNKS_MAX && !chunks.contains_key(&chunk) {
            chunks.clear();
        }
        match chunks.entry(chunk) {
            std::collections::hash_map::Entry::Occupied(found) => Ok(found.into_mut()),
            std::collections::hash_map::Entry::Vacant(place) => {
                Ok(place.insert(open_chunk(self.file, self.table, chunk)?))
            }
        }
    }
}

impl Chunk {
    /// Offset in the file (for a compressed chunk, as if it were not) and length of a page.
    fn page(&self, page: u32, file: &PagedFile) -> Result<(u64, usize)> {
        let page = page as usize;
        let begin = if page == 0 { Some(&0) } else { self.ends.get(page - 1) };
        match (begin, self.ends.get(page)) {
            (Some(begin), Some(end)) => Ok((self.body + u64::from(*begin), (end - begin) as usize)),
            _ => Err(file.corrupt(self.body, format!("expected a chunk with a page {page}"))),
        }
    }
}

/// The signed number that a varint stands for.
#[inline]
pub(super) fn unzigzag(number: i64) -> i64 {
    (number as u64 >> 1) as i64 ^ -(number & 1)
}

/// Fills `out` with the first of a page's `count` numbers: whole batches, or all.
fn decode<T: pco::data_types::Number>(
    decoder: &mut ChunkDecompressor<T>,
    page: &[u8],
    count: usize,
    out: &mut [T],
) -> bool {
    if out.is_empty() {
        return true;
    }
    let length = out.len();
    let read = decoder.page_decompressor(page, count).and_then(|mut page| page.read(out));
    read.is_ok_and(|progress| progress.n_processed == length)
}

fn open_chunk(file: &PagedFile, table: (u64, u64), chunk: u32) -> Result<Chunk> {
    let (begin, rows) = table;
    if u64::from(chunk) >= rows {
        return Err(file.corrupt(begin, format!("expected a chunk {chunk}")));
    }
    let at = begin + u64::from(chunk) * TABLE_ROW_BYTES as u64;
    let row = file.view(at, TABLE_ROW_BYTES)?;
    let mut fields = Reader::new(&row);
    let wrong = |_| file.corrupt(at, "expected a row of the chunk table");
    let offset = u64::from_le_bytes(fields.array().map_err(wrong)?);
    let header_bytes = u32::from_le_bytes(fields.array().map_err(wrong)?);
    let body_bytes = u32::from_le_bytes(fields.array().map_err(wrong)?);
    let header = file.view(offset, header_bytes as usize)?;
    let body = offset + u64::from(header_bytes);
    let mut fields = Reader::new(&header);
    let wrong = |_| file.corrupt(offset, "expected the header of a chunk");
    let kind = fields.u8().map_err(wrong)?;
    let meta = fields.bytes().map_err(wrong)?;
    let pages = fields.count().map_err(wrong)?;
    let mut ends = Vec::with_capacity(pages);
    let mut end = 0u32;
    for _ in 0..pages {
        let length = fields.u32().map_err(wrong)?;
        end = end.checked_add(length).ok_or_else(|| file.corrupt(offset, "a chunk too large"))?;
        ends.push(end);
    }
    if ![ZIPPED, PACKED].contains(&kind) && end > body_bytes {
        return Err(file.corrupt(offset, "expected pages that fit their chunk"));
    }
    let opened = match kind {
        NARROW => open_numbers(meta).map(Kind::Narrow),
        WIDE => open_numbers(meta).map(Kind::Wide),
        FLOATS => open_numbers(meta).map(Kind::Floats),
        BYTES => Some(Kind::Bytes),
        PACKED => Packed::open(meta, &ends, body_bytes).map(Kind::Packed),
        ZIPPED if end as usize <= ZIPPED_BYTES_MAX => {
            let packed = file.view(body, body_bytes as usize)?;
            zstd::bulk::decompress(&packed, end as usize).ok().map(Kind::Zipped)
        }
        _ => None,
    };
    let kind = opened.ok_or_else(|| file.corrupt(offset, "expected a chunk of a known kind"))?;
    if let Kind::Zipped(unpacked) = &kind
        && unpacked.len() != end as usize
    {
        return Err(file.corrupt(offset, "expected a compressed chunk of another length"));
    }
    Ok(Chunk { kind, ends, body })
}

fn open_numbers<T: pco::data_types::Number>(meta: &[u8]) -> Option<ChunkDecompressor<T>> {
    let (file, rest) = FileDecompressor::new(meta).ok()?;
    Some(file.chunk_decompressor(rest).ok()?.0)
}
