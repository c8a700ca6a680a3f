//! The checkpoint of the head: what it holds in memory, written whole now and then, so that the
//! journal before it can go and a start replays seconds, not hours.
//!
//! Writers go on meanwhile. The catalogue is copied at one instant, the samples slice by slice, and
//! each part says which record of the journal comes next for it; a replay applies to each part only
//! what came after. `docs/formats/checkpoint.md` has the bytes.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::{Arc, mpsc};

use disk::codec::{CodecError, Reader, put_bytes, put_f64, put_i64, put_u64};
use disk::files::{AppendFile, Files};
use model::TimestampMs;
use model::sample::Exemplar;
use parking_lot::RwLock;

use crate::columns::{HistogramSample, StartRun};
use crate::error::{Error, Result};
use crate::head::histograms::{HistogramChunk, histogram, put_histogram};
use crate::head::series::{Chunk, Late, Rare, Series};
use crate::head::{Head, SLOT_MAX, Window};
use crate::record;
use crate::store::Live;
use crate::xor::XorState;

const MAGIC: &[u8; 8] = b"SBXHEAD\n";
const VERSION: u32 = 1;
/// Kind, length, checksum.
const SECTION_HEADER_BYTES: usize = 9;

/// Label pairs: the number of the first, then name and value of each, in the order of numbers.
const PAIRS: u8 = 1;
/// Series: slot, fingerprint, numbers of pairs.
const SERIES: u8 = 2;
/// Metric metadata.
const METADATA: u8 = 3;
/// The samples of a slice of slots, and the sequence from which records apply to them.
const SAMPLES: u8 = 4;
/// A window and its tree of times.
const WINDOW: u8 = 5;
/// The last section: the sequence from which new series apply, and through which window is sealed.
const END: u8 = 6;

/// The number of a pair that a damaged section had.
const UNKNOWN: u32 = u32::MAX;

/// Slots whose samples are copied under one lock.
pub(crate) const SLICE_SLOTS: u32 = 16_384;
/// A section is written when it holds this much.
const SECTION_BYTES: usize = 4 << 20;

/// From which record on a replay applies to what a checkpoint restored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resume {
    /// New series and metadata.
    pub(crate) catalogue: u64,
    /// Samples, by slice of slots; slots beyond it resume with the catalogue.
    pub(crate) slices: Vec<u64>,
}

impl Resume {
    pub(crate) fn of_slot(&self, slot: u32) -> u64 {
        self.slices.get((slot / SLICE_SLOTS) as usize).copied().unwrap_or(self.catalogue)
    }
}

struct Sections {
    file: Box<dyn AppendFile>,
    bytes: u64,
}

impl Sections {
    fn write(&mut self, kind: u8, payload: &[u8]) -> std::io::Result<()> {
        let mut header = [0; SECTION_HEADER_BYTES];
        header[0] = kind;
        header[1..5].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&header[..5]), payload);
        header[5..].copy_from_slice(&checksum.to_le_bytes());
        self.file.append(&header)?;
        self.file.append(payload)?;
        self.bytes += (SECTION_HEADER_BYTES + payload.len()) as u64;
        Ok(())
    }
}

/// Writes a checkpoint to `path`, which must not exist, and answers its size. Durable on return.
/// No seal may run meanwhile: the windows stay.
pub(crate) fn write(path: &Path, live: &RwLock<Live>, files: &dyn Files) -> Result<u64> {
    let file = files.create(path).map_err(Error::io("create", path))?;
    let mut sections = Sections { file, bytes: 0 };
    write_sections(&mut sections, live).map_err(Error::io("write", path))?;
    sections.file.sync().map_err(Error::io("sync", path))?;
    Ok(sections.bytes)
}

fn write_sections(sections: &mut Sections, live: &RwLock<Live>) -> std::io::Result<()> {
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&VERSION.to_le_bytes());
    sections.file.append(&header)?;
    sections.bytes += header.len() as u64;
    // At one instant: which series there are.
    let copied = copy_catalogue(&live.read());
    for (kind, payload) in &copied.sections {
        sections.write(*kind, payload)?;
    }
    let slices = copied.slots.div_ceil(SLICE_SLOTS);
    let mut buffer = Vec::new();
    for slice in 0..slices {
        buffer.clear();
        {
            let live = live.read();
            put_u64(&mut buffer, u64::from(slice));
            put_u64(&mut buffer, live.next_sequence);
            let end = ((slice + 1) * SLICE_SLOTS).min(copied.slots);
            for slot in slice * SLICE_SLOTS..end {
                // A slot that was given to another series since is that series' affair.
                let is_same = live.head.id(slot) == copied.ids[slot as usize];
                if is_same && live.head.catalogue.contains(slot) {
                    let series = &live.head.series[slot as usize];
                    if !series.is_empty() || series.chunk.window != i64::MIN {
                        put_u64(&mut buffer, u64::from(slot));
                        put_series(&mut buffer, series);
                    }
                }
            }
        }
        sections.write(SAMPLES, &buffer)?;
    }
    let live = live.read();
    for (number, window) in &live.head.windows {
        let mut payload = Vec::new();
        put_i64(&mut payload, *number);
        put_i64(&mut payload, window.appended_at);
        put_u64(&mut payload, window.tree.entries().len() as u64);
        let mut before = 0;
        for (time, parent) in window.tree.entries() {
            put_i64(&mut payload, time.wrapping_sub(before));
            put_u64(&mut payload, u64::from(parent));
            before = time;
        }
        sections.write(WINDOW, &payload)?;
    }
    let mut end = Vec::new();
    put_u64(&mut end, copied.sequence);
    put_i64(&mut end, live.head.sealed_through);
    put_u64(&mut end, u64::from(slices));
    drop(live);
    sections.write(END, &end)
}

struct Copied {
    sections: Vec<(u8, Vec<u8>)>,
    slots: u32,
    ids: Vec<model::sample::SeriesId>,
    sequence: u64,
}

fn copy_catalogue(live: &Live) -> Copied {
    let catalogue = &live.head.catalogue;
    let mut sections = Vec::new();
    let mut flush = |kind: u8, buffer: &mut Vec<u8>, bytes_min: usize| {
        if buffer.len() >= bytes_min && !buffer.is_empty() {
            sections.push((kind, std::mem::take(buffer)));
        }
    };
    let mut renumbered = vec![0u32; catalogue.pair_count()];
    let mut buffer = Vec::new();
    for (next, (number, name, value)) in (0u32..).zip(catalogue.live_pairs()) {
        renumbered[number as usize] = next;
        if buffer.is_empty() {
            put_u64(&mut buffer, u64::from(next));
        }
        put_bytes(&mut buffer, name.as_bytes());
        put_bytes(&mut buffer, value.as_bytes());
        flush(PAIRS, &mut buffer, SECTION_BYTES);
    }
    flush(PAIRS, &mut buffer, 0);
    for (slot, fingerprint, pairs) in catalogue.live_series() {
        put_u64(&mut buffer, u64::from(slot));
        buffer.extend_from_slice(&fingerprint.to_le_bytes());
        put_u64(&mut buffer, pairs.len() as u64);
        pairs.iter().for_each(|pair| {
            put_u64(&mut buffer, u64::from(renumbered[*pair as usize]));
        });
        flush(SERIES, &mut buffer, SECTION_BYTES);
    }
    flush(SERIES, &mut buffer, 0);
    for (name, metadata) in &live.head.metadata {
        record::put_metadata(&mut buffer, name, metadata);
    }
    flush(METADATA, &mut buffer, 0);
    let slots = catalogue.slots();
    let ids = (0..slots).map(|slot| live.head.id(slot)).collect();
    Copied { sections, slots, ids, sequence: live.next_sequence }
}

fn put_series(buffer: &mut Vec<u8>, series: &Series) {
    let newest = &series.chunk;
    put_i64(buffer, newest.window);
    put_u64(buffer, newest.chain().count() as u64);
    for chunk in newest.chain() {
        put_i64(buffer, chunk.window);
        put_u64(buffer, u64::from(chunk.node));
        put_u64(buffer, u64::from(chunk.count));
        buffer.extend_from_slice(&chunk.xor.to_bytes());
        put_i64(buffer, chunk.start);
        let runs = chunk.starts.as_deref().map_or(&[][..], |runs| runs);
        put_u64(buffer, runs.len() as u64);
        for run in runs {
            put_u64(buffer, u64::from(run.first));
            put_i64(buffer, run.start);
        }
        put_bytes(buffer, &chunk.bytes);
    }
    let Some(rare) = series.rare.as_deref() else {
        buffer.push(0);
        return;
    };
    buffer.push(1);
    put_u64(buffer, rare.late.len() as u64);
    for late in &rare.late {
        put_i64(buffer, late.at);
        put_i64(buffer, late.start);
        put_f64(buffer, f64::from_bits(late.bits));
    }
    let (stream, count) = rare.histograms.stream();
    put_u64(buffer, u64::from(count));
    put_bytes(buffer, stream);
    put_u64(buffer, rare.late_histograms.len() as u64);
    for sample in &rare.late_histograms {
        put_i64(buffer, sample.at.0);
        put_i64(buffer, sample.start.0);
        put_histogram(buffer, &sample.histogram);
    }
    put_u64(buffer, rare.exemplars.len() as u64);
    for exemplar in &rare.exemplars {
        put_i64(buffer, exemplar.at.0);
        put_f64(buffer, exemplar.value);
        record::put_labels(buffer, &exemplar.labels);
    }
}

fn series(reader: &mut Reader<'_>) -> Result<Series, CodecError> {
    let window = reader.i64()?;
    let count = reader.count()?;
    let mut chunks = Vec::with_capacity(count.min(16));
    for _ in 0..count {
        chunks.push(chunk(reader)?);
    }
    // They were written from new to old.
    let mut newest: Option<Chunk> = None;
    for mut chunk in chunks.into_iter().rev() {
        chunk.previous = newest.take().map(Box::new);
        newest = Some(chunk);
    }
    let newest = match newest {
        Some(chunk) if chunk.window == window => chunk,
        older => Chunk { window, previous: older.map(Box::new), ..Chunk::empty() },
    };
    let mut series = Series { chunk: newest, rare: None };
    if reader.u8()? == 0 {
        return Ok(series);
    }
    let mut rare = Rare::default();
    for _ in 0..reader.count()? {
        let (at, start) = (reader.i64()?, reader.i64()?);
        rare.late.push(Late { at, start, bits: reader.f64()?.to_bits() });
    }
    let count = reader.u32()?;
    rare.histograms = HistogramChunk::from_stream(reader.bytes()?, count)?;
    for _ in 0..reader.count()? {
        let (at, start) = (TimestampMs(reader.i64()?), TimestampMs(reader.i64()?));
        let histogram = Arc::new(histogram(reader)?);
        rare.late_histograms.push(HistogramSample { at, start, histogram });
    }
    for _ in 0..reader.count()? {
        let (at, value) = (TimestampMs(reader.i64()?), reader.f64()?);
        rare.exemplars.push(Exemplar { labels: record::labels(reader)?, value, at });
    }
    series.rare = Some(Box::new(rare));
    Ok(series)
}

fn chunk(reader: &mut Reader<'_>) -> Result<Chunk, CodecError> {
    let mut chunk = Chunk { window: reader.i64()?, ..Chunk::empty() };
    (chunk.node, chunk.count) = (reader.u32()?, reader.u32()?);
    let expected = CodecError { offset: reader.offset(), expected: "the state of a stream" };
    chunk.xor = XorState::from_bytes(reader.array()?).ok_or(expected)?;
    chunk.start = reader.i64()?;
    let count = reader.count()?;
    if count > 0 {
        let mut runs = Vec::with_capacity(count);
        for _ in 0..count {
            runs.push(StartRun { first: reader.u32()?, start: reader.i64()? });
        }
        chunk.starts = Some(Box::new(runs));
    }
    chunk.bytes = reader.bytes()?.to_vec();
    Ok(chunk)
}

/// What a checkpoint held.
pub(crate) struct Restored {
    pub(crate) head: Head,
    pub(crate) resume: Resume,
    /// What could not be read, in words; everything else was.
    pub(crate) damage: Vec<String>,
}

/// Reads a checkpoint. A damaged section is left out and reported; so is what lies behind a damaged
/// length.
pub(crate) fn read(path: &Path, window_ms: i64) -> Result<Restored> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut damage = Vec::new();
    let mut header = [0; 12];
    let is_ours = reader.read_exact(&mut header).is_ok()
        && header[..8] == MAGIC[..]
        && header[8..] == VERSION.to_le_bytes();
    if !is_ours {
        damage.push(format!("{}: expected a checkpoint of version {VERSION}", path.display()));
        return Ok(Restored { head: Head::new(window_ms), resume: Resume::default(), damage });
    }
    // The catalogue is rebuilt on one thread while samples are read on the other.
    let (sender, receiver) = mpsc::sync_channel::<(u64, u8, Vec<u8>)>(SECTIONS_AHEAD);
    let wrong =
        |at: u64, error: CodecError| format!("{}: section at {at}: {error}", path.display());
    let mut samples = Samples::default();
    let (restoring, mut own_damage) = std::thread::scope(|scope| {
        let catalogue = scope.spawn(|| {
            let mut restoring =
                Restoring { head: Head::new(window_ms), pairs: Vec::new(), catalogue_sequence: 0 };
            let mut damage = Vec::new();
            for (at, kind, payload) in receiver {
                if let Err(error) = restoring.section(kind, &payload) {
                    damage.push(wrong(at, error));
                }
            }
            (restoring, damage)
        });
        let mut has_end = false;
        let mut offset = 12u64;
        while let Some((kind, payload)) = section(&mut reader, path, &mut offset, &mut damage) {
            let at = offset - payload.len() as u64;
            has_end = kind == END;
            if kind != SAMPLES {
                // The other thread takes until this one is done.
                sender.send((at, kind, payload)).ok();
            } else if let Err(error) = samples.section(&payload) {
                damage.push(wrong(at, error));
            }
        }
        if !has_end {
            damage.push(format!("{}: cut off at byte {offset}", path.display()));
        }
        drop(sender);
        catalogue.join()
    })
    .map_err(|_| Error::Corrupt {
        path: path.to_owned(),
        what: "the thread that reads the catalogue panicked".to_owned(),
    })?;
    damage.append(&mut own_damage);
    let Restoring { mut head, catalogue_sequence, .. } = restoring;
    let resume = Resume { catalogue: catalogue_sequence, slices: samples.slices };
    for (slot, series) in samples.series {
        if head.catalogue.contains(slot) && head.restore(slot, series).is_none() {
            damage.push(format!("{}: samples of slot {slot} do not fit", path.display()));
        }
    }
    head.catalogue.count_postings_bytes();
    Ok(Restored { head, resume, damage })
}

/// The next valid section, or `None` at the end.
fn section(
    reader: &mut impl Read,
    path: &Path,
    offset: &mut u64,
    damage: &mut Vec<String>,
) -> Option<(u8, Vec<u8>)> {
    loop {
        let mut header = [0; SECTION_HEADER_BYTES];
        reader.read_exact(&mut header).ok()?;
        let length = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
        let expected = u32::from_le_bytes([header[5], header[6], header[7], header[8]]);
        let mut payload = Vec::new();
        let read = reader.by_ref().take(u64::from(length)).read_to_end(&mut payload).ok()?;
        if read < length as usize {
            return None;
        }
        *offset += (SECTION_HEADER_BYTES + payload.len()) as u64;
        if crc32c::crc32c_append(crc32c::crc32c(&header[..5]), &payload) == expected {
            return Some((header[0], payload));
        }
        let at = *offset - payload.len() as u64;
        damage.push(format!("{}: section at {at} fails its checksum", path.display()));
    }
}

/// Sections that one thread may be ahead of the other.
const SECTIONS_AHEAD: usize = 8;

struct Restoring {
    head: Head,
    /// Numbers of pairs as the catalogue gives them now.
    pairs: Vec<u32>,
    catalogue_sequence: u64,
}

/// The samples of all slots, and from which record on each slice resumes.
#[derive(Default)]
struct Samples {
    series: Vec<(u32, Series)>,
    slices: Vec<u64>,
}

impl Samples {
    fn section(&mut self, payload: &[u8]) -> Result<(), CodecError> {
        let mut reader = Reader::new(payload);
        let (slice, sequence) = (reader.u64()? as usize, reader.u64()?);
        if slice > 1 << 20 {
            return Err(CodecError { offset: 0, expected: "the number of a slice" });
        }
        if self.slices.len() <= slice {
            self.slices.resize(slice + 1, 0);
        }
        self.slices[slice] = sequence;
        while !reader.is_at_end() {
            let slot = reader.u32()?;
            self.series.push((slot, series(&mut reader)?));
        }
        Ok(())
    }
}

impl Restoring {
    fn section(&mut self, kind: u8, payload: &[u8]) -> Result<(), CodecError> {
        let mut reader = Reader::new(payload);
        let mut numbers = Vec::new();
        match kind {
            PAIRS => {
                // Where sections were lost, pairs are unknown, and the others keep their numbers.
                let first = reader.u32()? as usize;
                if first > SLOT_MAX as usize || first < self.pairs.len() {
                    return Err(CodecError { offset: 0, expected: "a number after those before" });
                }
                self.pairs.resize(first, UNKNOWN);
                while !reader.is_at_end() {
                    let (name, value) = (reader.str()?, reader.str()?);
                    self.pairs.push(self.head.catalogue.intern_pair(name, value));
                }
            }
            SERIES => {
                let mut lost = None;
                while !reader.is_at_end() {
                    let slot = reader.u32()?;
                    let fingerprint = u64::from_le_bytes(reader.array()?);
                    numbers.clear();
                    for _ in 0..reader.count()? {
                        let pair = reader.u32()? as usize;
                        numbers.push(self.pairs.get(pair).copied().unwrap_or(UNKNOWN));
                    }
                    let is_known = !numbers.contains(&UNKNOWN)
                        && self.head.restore_series(slot, fingerprint, &numbers).is_some();
                    if !is_known {
                        lost.get_or_insert(reader.offset());
                    }
                }
                if let Some(offset) = lost {
                    return Err(CodecError { offset, expected: "a known label pair" });
                }
            }
            METADATA => {
                while !reader.is_at_end() {
                    let (name, metadata) = record::metadata(&mut reader)?;
                    self.head.metadata.insert(name, metadata);
                }
            }
            WINDOW => {
                let number = reader.i64()?;
                let mut window = Window { appended_at: reader.i64()?, ..Window::default() };
                let count = reader.count()?;
                let mut before = 0i64;
                for _ in 0..count {
                    before = before.wrapping_add(reader.i64()?);
                    let expected =
                        CodecError { offset: reader.offset(), expected: "a node after its parent" };
                    window.tree.push_entry(before, reader.u32()?).ok_or(expected)?;
                }
                self.head.windows.insert(number, window);
            }
            END => {
                self.catalogue_sequence = reader.u64()?;
                self.head.sealed_through = reader.i64()?;
            }
            _ => return Err(CodecError { offset: 0, expected: "a known kind of section" }),
        }
        Ok(())
    }
}
