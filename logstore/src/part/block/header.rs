//! What tells of the columns of a block: read once, and kept in memory while there is room
//! (`headers.rs`).

use disk::codec::{CodecError, Reader};
use model::log::Origin;

use crate::part::column::{Entry, read_dictionaries};
use crate::part::frames::{Frame, Place};
use crate::part::index::{BlockEntry, Template};

/// The header of a block.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) frames: Vec<Frame>,
    /// Of times, arrivals, lengths, templates of rows, shapes of rows.
    pub(crate) places: [Place; 5],
    /// By template of the block.
    pub(crate) slots: Vec<Vec<Entry>>,
    /// For each template, how many slots those before it have together.
    pub(crate) slot_starts: Vec<usize>,
    pub(crate) fields: Vec<HeaderField>,
    /// Fields in the order that rows have them.
    pub(crate) shapes: Vec<Vec<u32>>,
    /// Memory that it takes, about.
    pub(crate) bytes: usize,
}

/// A field that rows of a block can have.
#[derive(Debug)]
pub(crate) struct HeaderField {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    pub(crate) entry: Entry,
}

impl Header {
    /// Reads the header of the block that `entry` tells of.
    pub(crate) fn read(
        bytes: &[u8],
        entry: &BlockEntry,
        templates: &[Template],
    ) -> Result<Self, CodecError> {
        let reader = &mut Reader::new(bytes);
        let mut frames = Vec::new();
        for _ in 0..reader.count()? {
            frames.push(Frame::read(reader)?);
        }
        let mut places = [Place::default(); 5];
        for place in &mut places {
            *place = Place::read(reader)?;
        }
        let dictionaries = read_dictionaries(reader)?;
        let (mut slots, mut slot_starts, mut slot_count) = (Vec::new(), Vec::new(), 0);
        for _ in 0..reader.count()? {
            let own = (0..reader.count()?).map(|_| Entry::read(reader, &dictionaries));
            let own: Vec<Entry> = own.collect::<Result<_, _>>()?;
            slot_starts.push(slot_count);
            slot_count += own.len();
            slots.push(own);
        }
        let mut fields = Vec::new();
        for _ in 0..reader.count()? {
            let origin = match reader.u8()? {
                0 => Origin::Resource,
                1 => Origin::Scope,
                2 => Origin::Record,
                _ => Origin::Derived,
            };
            let name = reader.str()?.to_owned();
            let entry = Entry::read(reader, &dictionaries)?;
            fields.push(HeaderField { name, origin, entry });
        }
        let mut shapes: Vec<Vec<u32>> = Vec::new();
        for _ in 0..reader.count()? {
            let columns = (0..reader.count()?).map(|_| reader.u32());
            shapes.push(columns.collect::<Result<_, _>>()?);
        }
        let is_field = |field: &u32| (*field as usize) < fields.len();
        let fits = |(columns, (id, _)): (&Vec<_>, &(u32, u32))| {
            templates.get(*id as usize).is_some_and(|own| own.slots() == columns.len())
        };
        if shapes.is_empty()
            || !shapes.iter().flatten().all(is_field)
            || slots.len() != entry.templates.len()
            || !slots.iter().zip(&entry.templates).all(fits)
        {
            return Err(CodecError { offset: reader.offset(), expected: "columns of a block" });
        }
        let columns = slot_count + fields.len();
        let bytes = size_of::<Header>()
            + frames.len() * size_of::<Frame>()
            + columns * size_of::<Entry>()
            + shapes.iter().map(|shape| shape.len() * 4 + 24).sum::<usize>()
            // Names, values and texts of skeletons.
            + bytes.len();
        Ok(Header { frames, places, slots, slot_starts, fields, shapes, bytes })
    }
}
