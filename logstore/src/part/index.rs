//! What is kept beside the blocks of a part: its streams and templates, where its blocks lie and
//! what is in them, and where the other sections are. Read whole when a part is opened.

use disk::codec::{CodecError, Reader, put_bytes, put_i64, put_str, put_u64};
use model::labels::Labels;

use super::cells::CellRun;

type ReadResult<T> = Result<T, CodecError>;

/// What stays in lines that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    /// What stays: before, between and behind the slots.
    pub(crate) pieces: Vec<Vec<u8>>,
}

impl Template {
    /// The template that every line has: one slot.
    pub(crate) fn any() -> Self {
        Template { pieces: vec![Vec::new(), Vec::new()] }
    }

    pub(crate) fn slots(&self) -> usize {
        self.pieces.len().saturating_sub(1)
    }

    /// Bytes of what stays.
    pub(crate) fn fixed_bytes(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }

    /// In LogQL's pattern syntax. What stays and looks like a name of that syntax becomes `<_>`,
    /// which matches it too.
    pub(crate) fn pattern(&self) -> String {
        let mut text = String::new();
        for (i, piece) in self.pieces.iter().enumerate() {
            if i > 0 && !text.ends_with("<_>") {
                text.push_str("<_>");
            }
            let mut rest = &*String::from_utf8_lossy(piece);
            while let Some((start, end)) = find_name(rest) {
                text.push_str(&rest[..start]);
                if !text.ends_with("<_>") {
                    text.push_str("<_>");
                }
                rest = &rest[end..];
            }
            text.push_str(rest);
        }
        text
    }
}

/// The range of the first `<name>`.
fn find_name(text: &str) -> Option<(usize, usize)> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.match_indices('<').find_map(|(start, _)| {
        let name = &text.as_bytes()[start + 1..];
        let length = name.iter().take_while(|byte| is_name(**byte)).count();
        let is_found = length > 0 && !name[0].is_ascii_digit() && name.get(length) == Some(&b'>');
        is_found.then_some((start, start + length + 2))
    })
}

/// Where a section of the file lies; packed by zstd if `length` differs from `stored`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) offset: u64,
    pub(crate) stored: u64,
    pub(crate) length: u64,
}

impl Section {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_u64(out, self.offset);
        put_u64(out, self.stored);
        put_u64(out, self.length);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> ReadResult<Self> {
        Ok(Section { offset: reader.u64()?, stored: reader.u64()?, length: reader.u64()? })
    }
}

/// What a stream has in a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamStats {
    pub(crate) stream: u32,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// Which bytes are in texts that the index does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct ByteSet([u64; 4]);

impl ByteSet {
    pub(crate) const ALL: Self = ByteSet([u64::MAX; 4]);

    pub(crate) fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte / 64)] |= 1 << (byte % 64);
    }

    pub(crate) fn insert_all(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.insert(*byte));
    }

    /// Adds all of another set.
    pub(crate) fn add(&mut self, other: ByteSet) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
    }

    /// Whether all bytes of a text are in.
    pub(crate) fn has_all(&self, text: &[u8]) -> bool {
        text.iter().all(|byte| self.has(*byte))
    }

    /// Whether all bytes of a text are in, as small or as capital letters of ASCII.
    pub(crate) fn has_all_folded(&self, text: &[u8]) -> bool {
        let has =
            |byte: &u8| self.has(byte.to_ascii_lowercase()) || self.has(byte.to_ascii_uppercase());
        text.iter().all(has)
    }

    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte / 64)] & (1 << (byte % 64)) != 0
    }
}

/// What is told of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockEntry {
    /// Frames of columns.
    pub(crate) body: Section,
    /// What tells of the columns.
    pub(crate) header: Section,
    /// The filter of ids.
    pub(crate) filter: Section,
    pub(crate) rows: usize,
    pub(crate) line_bytes: u64,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) first_arrival: u64,
    pub(crate) last_arrival: u64,
    /// Bytes of slots whose trigrams are not in the index.
    pub(crate) loose: ByteSet,
    /// Streams of the rows with how many rows each has, one behind the other.
    pub(crate) streams: Vec<(u32, u32)>,
    /// The templates that the block numbers from 0, with their rows.
    pub(crate) templates: Vec<(u32, u32)>,
}

impl BlockEntry {
    fn put(&self, out: &mut Vec<u8>) {
        self.body.put(out);
        self.header.put(out);
        self.filter.put(out);
        put_u64(out, self.rows as u64);
        put_u64(out, self.line_bytes);
        put_i64(out, self.first);
        put_i64(out, self.last);
        put_u64(out, self.first_arrival);
        put_u64(out, self.last_arrival);
        self.loose.0.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        for list in [&self.streams, &self.templates] {
            put_u64(out, list.len() as u64);
            for (id, rows) in list {
                put_u64(out, (*id).into());
                put_u64(out, (*rows).into());
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> ReadResult<Self> {
        let (body, header) = (Section::read(reader)?, Section::read(reader)?);
        let filter = Section::read(reader)?;
        let rows = reader.u32()? as usize;
        let line_bytes = reader.u64()?;
        let (first, last) = (reader.i64()?, reader.i64()?);
        let (first_arrival, last_arrival) = (reader.u64()?, reader.u64()?);
        let mut loose = ByteSet::default();
        for word in &mut loose.0 {
            *word = u64::from_le_bytes(reader.array()?);
        }
        let mut lists = [Vec::new(), Vec::new()];
        for list in &mut lists {
            let mut sum = 0usize;
            for _ in 0..reader.count()? {
                let (id, rows) = (reader.u32()?, reader.u32()?);
                sum = sum.saturating_add(rows as usize);
                list.push((id, rows));
            }
            if sum != rows {
                return Err(CodecError { offset: reader.offset(), expected: "rows of a block" });
            }
        }
        let [streams, templates] = lists;
        Ok(BlockEntry {
            body,
            header,
            filter,
            rows,
            line_bytes,
            first,
            last,
            first_arrival,
            last_arrival,
            loose,
            streams,
            templates,
        })
    }
}

/// The index of a part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) streams: Vec<Labels>,
    /// In order of stream.
    pub(crate) stats: Vec<StreamStats>,
    pub(crate) templates: Vec<Template>,
    /// Values of the level that counts are told apart by.
    pub(crate) levels: Vec<String>,
    pub(crate) blocks: Vec<BlockEntry>,
    /// Where the counts are.
    pub(crate) cells: Vec<CellRun>,
    /// Which blocks have a trigram.
    pub(crate) grams: Section,
}

impl Index {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u64(&mut out, self.streams.len() as u64);
        for stream in &self.streams {
            put_u64(&mut out, stream.len() as u64);
            for (name, value) in stream.iter() {
                put_str(&mut out, name);
                put_str(&mut out, value);
            }
        }
        put_u64(&mut out, self.stats.len() as u64);
        for stats in &self.stats {
            put_u64(&mut out, stats.stream.into());
            put_i64(&mut out, stats.first);
            put_u64(&mut out, stats.last.wrapping_sub(stats.first) as u64);
            put_u64(&mut out, stats.rows);
            put_u64(&mut out, stats.bytes);
        }
        put_u64(&mut out, self.templates.len() as u64);
        for template in &self.templates {
            put_u64(&mut out, template.pieces.len() as u64);
            for piece in &template.pieces {
                put_bytes(&mut out, piece);
            }
        }
        put_u64(&mut out, self.levels.len() as u64);
        for level in &self.levels {
            put_str(&mut out, level);
        }
        put_u64(&mut out, self.blocks.len() as u64);
        for block in &self.blocks {
            block.put(&mut out);
        }
        put_u64(&mut out, self.cells.len() as u64);
        for run in &self.cells {
            run.put(&mut out);
        }
        self.grams.put(&mut out);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> ReadResult<Self> {
        let reader = &mut Reader::new(bytes);
        let mut index = Index::default();
        for _ in 0..reader.count()? {
            let mut pairs = Vec::new();
            for _ in 0..reader.count()? {
                pairs.push((reader.str()?, reader.str()?));
            }
            index.streams.push(Labels::from_pairs(pairs));
        }
        for _ in 0..reader.count()? {
            let stream = reader.u32()?;
            let first = reader.i64()?;
            let last = first.wrapping_add(reader.u64()? as i64);
            let (rows, bytes) = (reader.u64()?, reader.u64()?);
            index.stats.push(StreamStats { stream, first, last, rows, bytes });
        }
        for _ in 0..reader.count()? {
            let mut pieces = Vec::new();
            for _ in 0..reader.count()? {
                pieces.push(reader.bytes()?.to_vec());
            }
            index.templates.push(Template { pieces });
        }
        for _ in 0..reader.count()? {
            index.levels.push(reader.str()?.to_owned());
        }
        for _ in 0..reader.count()? {
            index.blocks.push(BlockEntry::read(reader)?);
        }
        for _ in 0..reader.count()? {
            index.cells.push(CellRun::read(reader)?);
        }
        index.grams = Section::read(reader)?;
        index.check().map_err(|expected| CodecError { offset: reader.offset(), expected })?;
        Ok(index)
    }

    /// That everything which is referred to is there.
    fn check(&self) -> Result<(), &'static str> {
        let is_stream = |stream: u32| (stream as usize) < self.streams.len();
        let is_template = |id: u32| (id as usize) < self.templates.len();
        if !self.stats.iter().all(|stats| is_stream(stats.stream)) {
            return Err("figures of known streams");
        }
        if self.templates.iter().any(|template| template.pieces.is_empty()) {
            return Err("templates with pieces");
        }
        let is_known = |run: &CellRun| {
            run.kind.template.is_none_or(is_template)
                && (run.kind.level as usize) < self.levels.len()
                && is_stream(run.streams.0)
                && is_stream(run.streams.1)
        };
        if !self.cells.iter().all(is_known) {
            return Err("counts of known streams, templates and levels");
        }
        for block in &self.blocks {
            if !block.streams.iter().all(|(stream, _)| is_stream(*stream))
                || !block.templates.iter().all(|(id, _)| is_template(*id))
            {
                return Err("blocks of known streams and templates");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_no_names_and_no_two_captures_that_touch() {
        check(&["user ", " logged in"], "user <_> logged in");
        check(&["<id> of ", "<x1>", ""], "<_> of <_>");
        check(&["a < b <1> <>"], "a < b <1> <>");
        check(&["", ""], "<_>");
    }

    fn check(pieces: &[&str], expected: &str) {
        let pieces = pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect();
        assert_eq!(Template { pieces }.pattern(), expected);
    }
}
