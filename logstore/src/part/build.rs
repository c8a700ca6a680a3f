//! Builds one block: gathers rows, finds their templates, and encodes the columns.

use disk::codec::{put_str, put_u64};
use rustc_hash::FxHashMap;

use super::PartRow;
use super::cells::{Cell, CellKind, CellWriter, cell_of};
use super::column::{Encoder, Values, put_numbers};
use super::fields::Fields;
use super::frames::{FrameWriter, Pack, Place};
use super::grams::BlockTerms;
use super::index::{BlockEntry, ByteSet, Section, Template};
use crate::template::{Miner, NO_GROUP, Token, cut};

/// A block ends when it has so many rows or so many bytes of lines and metadata.
pub(crate) const ROWS_MAX: usize = 16_384;
const BYTES_MAX: usize = 8 << 20;
/// Templates with fewer rows in a block are not kept, unless there is room for all.
const ROWS_MIN: u32 = 4;
const TEMPLATES_SPARE: usize = 512;
const TEMPLATES_MAX: usize = 8192;
const SPARE_BYTES_MAX: usize = 512;

/// The templates of a part that is being written.
pub(crate) struct Templates {
    miner: Miner,
    known: FxHashMap<Key, u32>,
    /// By what stays, those that came from other parts.
    adopted: FxHashMap<Vec<Vec<u8>>, u32>,
    pub(crate) list: Vec<Template>,
}

/// Lines of one key have what stays in common: a group, what is between the tokens, and which slots
/// have values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    group: u32,
    between: u64,
    slots: u64,
}

impl Default for Templates {
    fn default() -> Self {
        let any = Template::any();
        Templates {
            miner: Miner::default(),
            known: FxHashMap::default(),
            adopted: FxHashMap::from_iter([(any.pieces.clone(), 0)]),
            list: vec![any],
        }
    }
}

/// A line of the block.
struct Line {
    end: u32,
    tokens_end: u32,
    group: u32,
    between: u64,
}

/// The lines of a block, without the columns of slots.
struct EncodedLines {
    /// The templates of the block with their rows.
    locals: Vec<(u32, u32)>,
    /// The number of each row's template among them.
    codes: Vec<u32>,
    /// How much longer each line is than the shortest that its template and the columns of its
    /// slots can tell.
    lengths: Vec<u64>,
}

/// The rows of a template and the values of its slots.
type SlotValues<'a> = (Vec<u32>, Vec<Vec<&'a [u8]>>);

/// A block that is encoded, with what is told of it. Sections are counted from its first byte.
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) entry: BlockEntry,
    pub(crate) grams: Vec<u32>,
}

/// Gathers the rows of a block.
pub(crate) struct Builder {
    rows_max: usize,
    frames: FrameWriter,
    encoder: Encoder,
    terms: BlockTerms,
    streams: Vec<(u32, u32)>,
    times: Vec<i64>,
    arrivals: Vec<u64>,
    levels: Vec<u32>,
    text: String,
    lines: Vec<Line>,
    tokens: Vec<Token>,
    cut_tokens: Vec<Token>,
    loose: ByteSet,
    fields: Fields,
}

impl Builder {
    /// For blocks of at most `rows_max` rows.
    pub(crate) fn new(rows_max: usize) -> std::io::Result<Self> {
        Ok(Builder {
            rows_max,
            frames: FrameWriter::new()?,
            encoder: Encoder::default(),
            terms: BlockTerms::default(),
            streams: Vec::new(),
            times: Vec::new(),
            arrivals: Vec::new(),
            levels: Vec::new(),
            text: String::new(),
            lines: Vec::new(),
            tokens: Vec::new(),
            cut_tokens: Vec::new(),
            loose: ByteSet::default(),
            fields: Fields::default(),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.lines.len() >= self.rows_max || self.text.len() + self.fields.bytes() >= BYTES_MAX
    }

    /// Adds a row; `level` is the number of its level.
    pub(crate) fn push(&mut self, row: &PartRow<'_>, level: u32, templates: &mut Templates) {
        match self.streams.last_mut() {
            Some((stream, rows)) if *stream == row.stream => *rows += 1,
            _ => self.streams.push((row.stream, 1)),
        }
        self.times.push(row.at.0);
        self.arrivals.push(row.arrival);
        self.levels.push(level);
        let cut = cut(row.line, &mut self.cut_tokens);
        let group = templates.miner.add(cut, &self.cut_tokens);
        self.tokens.extend_from_slice(&self.cut_tokens);
        self.text.push_str(row.line);
        self.lines.push(Line {
            end: self.text.len() as u32,
            tokens_end: self.tokens.len() as u32,
            group,
            between: cut.between,
        });
        self.fields.push(row.shared.iter().chain(row.fields));
    }

    /// Encodes the block, adds its rows to `cells`, and begins the next block.
    pub(crate) fn finish(
        &mut self,
        templates: &mut Templates,
        cells: &mut CellWriter,
    ) -> std::io::Result<Encoded> {
        let mut header = Vec::new();
        let rows = self.lines.len();
        let mut places = [Place::default(); 5];
        let flip = |at: &i64| (*at as u64) ^ (1 << 63);
        places[0] = self.put_numbers(&self.times.iter().map(flip).collect::<Vec<_>>())?;
        let arrivals = std::mem::take(&mut self.arrivals);
        places[1] = self.put_numbers(&arrivals)?;

        let fields = std::mem::take(&mut self.fields);
        let mut slots_header = Vec::new();
        let lines = self.encode_lines(templates, &fields, &mut slots_header)?;
        self.count_lines(&lines, cells);
        let EncodedLines { locals, codes, lengths } = lines;
        places[2] = self.put_numbers(&lengths)?;
        places[3] = self.put_codes(&codes, locals.len())?;
        places[4] = self.put_codes(&fields.of_rows, fields.shapes.len())?;
        let mut fields_header = Vec::new();
        self.encode_fields(&fields, &codes, &mut fields_header)?;

        let (frames, mut bytes) = self.frames.finish()?;
        put_u64(&mut header, frames.len() as u64);
        frames.iter().for_each(|frame| frame.put(&mut header));
        places.iter().for_each(|place| place.put(&mut header));
        self.encoder.dictionaries.put(&mut header);
        header.extend_from_slice(&slots_header);
        header.extend_from_slice(&fields_header);
        let body = Section { offset: 0, stored: bytes.len() as u64, length: bytes.len() as u64 };
        // A section whose stored bytes are as many as its own is not packed.
        let packed = Some(self.frames.pack(&header)?).filter(|p| p.len() < header.len());
        let stored = packed.as_deref().unwrap_or(&header);
        let offset = bytes.len() as u64;
        bytes.extend_from_slice(stored);
        let (stored, length) = (stored.len() as u64, header.len() as u64);
        let header = Section { offset, stored, length };
        let (grams, filter) = self.terms.finish();
        let length = filter.len() as u64;
        let filter_section = Section { offset: bytes.len() as u64, stored: length, length };
        bytes.extend_from_slice(&filter);
        let entry = BlockEntry {
            body,
            header,
            filter: filter_section,
            rows,
            line_bytes: self.text.len() as u64,
            first: self.times.iter().copied().min().unwrap_or(0),
            last: self.times.iter().copied().max().unwrap_or(0),
            first_arrival: arrivals.iter().copied().min().unwrap_or(0),
            last_arrival: arrivals.iter().copied().max().unwrap_or(0),
            loose: std::mem::take(&mut self.loose),
            streams: std::mem::take(&mut self.streams),
            templates: locals,
        };
        self.times.clear();
        self.levels.clear();
        self.text.clear();
        self.lines.clear();
        self.tokens.clear();
        Ok(Encoded { bytes, entry, grams })
    }

    fn count_lines(&self, lines: &EncodedLines, cells: &mut CellWriter) {
        let mut streams = self.streams.iter().flat_map(|(id, rows)| (0..*rows).map(|_| *id));
        let mut start = 0;
        for (row, line) in self.lines.iter().enumerate() {
            let bytes = u64::from(line.end - start);
            start = line.end;
            let template = lines.locals[lines.codes[row] as usize].0;
            let (stream, cell) = (streams.next().unwrap_or(0), cell_of(self.times[row]));
            for template in [None, Some(template)] {
                let kind = CellKind { template, level: self.levels[row] };
                cells.add(kind, Cell { stream, cell, records: 1, bytes });
            }
        }
    }

    fn put_numbers(&mut self, numbers: &[u64]) -> std::io::Result<Place> {
        let mut bytes = Vec::new();
        let is_packed = put_numbers(numbers, &mut bytes);
        self.frames.put(&bytes, if is_packed { Pack::Raw } else { Pack::Shared })
    }

    /// Small numbers, a byte or two each; nothing if all are zero.
    fn put_codes(&mut self, codes: &[u32], count: usize) -> std::io::Result<Place> {
        if count <= 1 {
            return Ok(Place::default());
        }
        let bytes: Vec<u8> = if count <= 256 {
            codes.iter().map(|code| *code as u8).collect()
        } else {
            codes.iter().flat_map(|code| (*code as u16).to_le_bytes()).collect()
        };
        self.frames.put(&bytes, Pack::Alone)
    }

    /// Finds the template of each line and encodes the columns of its slots.
    fn encode_lines(
        &mut self,
        templates: &mut Templates,
        fields: &Fields,
        header: &mut Vec<u8>,
    ) -> std::io::Result<EncodedLines> {
        let mut plans: FxHashMap<u32, Plan> = FxHashMap::default();
        let mut keys = Vec::with_capacity(self.lines.len());
        let mut counts: FxHashMap<Key, u32> = FxHashMap::default();
        let mut tokens_start = 0;
        for line in &self.lines {
            let tokens = &self.tokens[tokens_start..line.tokens_end as usize];
            tokens_start = line.tokens_end as usize;
            let group = templates.miner.root(line.group);
            let plan = plans.entry(group).or_insert_with(|| Plan::of(&templates.miner, group));
            let mut slots = plan.hash;
            for at in &plan.slots {
                if tokens.get(*at).is_some_and(|token| token.start == token.end) {
                    slots = (slots ^ *at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                }
            }
            let key = Key { group, between: line.between, slots };
            *counts.entry(key).or_default() += 1;
            keys.push(key);
        }

        let mut locals: Vec<(u32, u32)> = Vec::new();
        let mut local_of: FxHashMap<u32, u32> = FxHashMap::default();
        let mut columns: Vec<SlotValues<'_>> = Vec::new();
        let mut codes = Vec::with_capacity(self.lines.len());
        let mut lengths = Vec::with_capacity(self.lines.len());
        let (mut start, mut tokens_start) = (0, 0);
        let mut values: Vec<&[u8]> = Vec::new();
        for (line, key) in self.lines.iter().zip(&keys) {
            let text = &self.text.as_bytes()[start..line.end as usize];
            let tokens = &self.tokens[tokens_start..line.tokens_end as usize];
            (start, tokens_start) = (line.end as usize, line.tokens_end as usize);
            let slots = plans.get(&key.group).map_or(&[][..], |plan| &plan.slots);
            let slots = slots.iter().filter_map(|at| tokens.get(*at));
            let slots = slots.filter(|token| token.start < token.end);
            let count = counts.get(key).copied().unwrap_or(0);
            let mut id = templates.find(key, count, text, slots.clone());
            values.clear();
            if id == 0 || !cut_values(&templates.list[id as usize], text, slots, &mut values) {
                id = 0;
                values.clear();
                values.push(text);
            }
            let template = &templates.list[id as usize];
            lengths.push((text.len() - template.fixed_bytes()) as u64);
            let local = *local_of.entry(id).or_insert_with(|| {
                locals.push((id, 0));
                columns.push((Vec::new(), vec![Vec::new(); template.slots()]));
                locals.len() as u32 - 1
            });
            locals[local as usize].1 += 1;
            let (rows, slots) = &mut columns[local as usize];
            rows.push(codes.len() as u32);
            for (column, value) in slots.iter_mut().zip(&values) {
                column.push(value);
            }
            codes.push(local);
        }
        put_u64(header, columns.len() as u64);
        let fields = fields.varied();
        for (rows, slots) in &columns {
            put_u64(header, slots.len() as u64);
            let mut shortest = 0;
            for texts in slots {
                let values = Values {
                    texts,
                    rows: Some(rows),
                    times: &self.times,
                    fields: &fields,
                    templates: &[],
                };
                let told =
                    self.encoder.encode(&values, &mut self.frames, &mut self.terms, header)?;
                self.loose.add(told.loose);
                shortest += told.length_min as u64;
            }
            for row in rows {
                if let Some(length) = lengths.get_mut(*row as usize) {
                    *length -= shortest;
                }
            }
        }
        Ok(EncodedLines { locals, codes, lengths })
    }

    fn encode_fields(
        &mut self,
        fields: &Fields,
        templates: &[u32],
        header: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        put_u64(header, fields.columns.len() as u64);
        for (at, column) in fields.columns.iter().enumerate() {
            header.push(column.origin as u8);
            put_str(header, &column.name);
            let mut texts = Vec::new();
            column.values(&mut texts);
            let rows = fields.rows_of(at as u32);
            let rows = rows.as_deref();
            let times = &self.times;
            let values = Values { texts: &texts, rows, times, fields: &[], templates };
            self.encoder.encode(&values, &mut self.frames, &mut self.terms, header)?;
        }
        put_u64(header, fields.shapes.len() as u64);
        for shape in &fields.shapes {
            put_u64(header, shape.len() as u64);
            shape.iter().for_each(|column| put_u64(header, (*column).into()));
        }
        Ok(())
    }
}

/// How lines of a group are cut.
struct Plan {
    /// Which tokens are slots.
    slots: Vec<usize>,
    hash: u64,
}

impl Plan {
    fn of(miner: &Miner, group: u32) -> Self {
        let slots: Vec<usize> = miner
            .slots(group)
            .enumerate()
            .filter_map(|(at, is_slot)| is_slot.then_some(at))
            .collect();
        let hash = slots
            .iter()
            .fold(1u64, |hash, at| (hash ^ *at as u64).wrapping_mul(0x5851_f42d_4c95_7f2d));
        Plan { slots, hash }
    }
}

/// The values of the slots of a line; false if what stays is not where the template has it.
fn cut_values<'a, 't>(
    template: &Template,
    text: &'a [u8],
    slots: impl Iterator<Item = &'t Token>,
    values: &mut Vec<&'a [u8]>,
) -> bool {
    let mut end = 0;
    let mut pieces = template.pieces.iter();
    for slot in slots {
        let (from, to) = (slot.start as usize, slot.end as usize);
        if pieces.next().map(Vec::as_slice) != text.get(end..from) {
            return false;
        }
        let Some(value) = text.get(from..to) else { return false };
        values.push(value);
        end = to;
    }
    pieces.next().map(Vec::as_slice) == text.get(end..) && pieces.next().is_none()
}

impl Templates {
    /// The number of a template of another part.
    pub(crate) fn adopt(&mut self, template: &Template) -> u32 {
        *self.adopted.entry(template.pieces.clone()).or_insert_with(|| {
            self.list.push(template.clone());
            self.list.len() as u32 - 1
        })
    }

    /// The template of the lines of a key; makes one if it is worth it, else the one of all lines.
    fn find<'t>(
        &mut self,
        key: &Key,
        count: u32,
        text: &[u8],
        slots: impl Iterator<Item = &'t Token>,
    ) -> u32 {
        if let Some(id) = self.known.get(key) {
            return *id;
        }
        if key.group == NO_GROUP || self.list.len() >= TEMPLATES_MAX {
            return 0;
        }
        let mut pieces = Vec::new();
        let mut end = 0;
        for slot in slots {
            pieces.push(text.get(end..slot.start as usize).unwrap_or_default().to_vec());
            end = slot.end as usize;
        }
        pieces.push(text.get(end..).unwrap_or_default().to_vec());
        let template = Template { pieces };
        let is_cheap =
            self.list.len() < TEMPLATES_SPARE && template.fixed_bytes() <= SPARE_BYTES_MAX;
        if count < ROWS_MIN && !is_cheap {
            return 0;
        }
        let id = self.list.len() as u32;
        self.list.push(template);
        self.known.insert(*key, id);
        id
    }
}
