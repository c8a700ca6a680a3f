//! Journal records of this store; the same bytes are the head's memory. `docs/formats/journal.md`
//! lists their fields.

use std::ops::Range;

use disk::codec::{CodecError, Reader, put_i64, put_str, put_u64};
use model::TimestampNs;
use model::labels::Labels;
use model::log::{Field, Origin};
use model::write::{LogBatch, LogField, LogGroup};

/// The kind of a record: the number of its first record, and groups of log records.
pub(crate) const BATCH: u8 = 2;

/// Bytes of the number that a batch begins with.
const ARRIVAL_BYTES: usize = 8;

/// Where things are in an encoded batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) groups: Vec<GroupLayout>,
    /// Times, and the offset of line and fields, in order of arrival.
    pub(crate) records: Vec<(TimestampNs, u32)>,
}

/// Where the records of one group are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GroupLayout {
    pub(crate) stream: Labels,
    /// The fields that all records of the group have.
    pub(crate) shared: u32,
    /// In [`Layout::records`].
    pub(crate) records: Range<u32>,
}

impl Layout {
    /// The newest time of a record.
    pub(crate) fn newest(&self) -> i64 {
        self.records.iter().map(|(at, _)| at.0).max().unwrap_or(i64::MIN)
    }
}

fn put_fields(buffer: &mut Vec<u8>, fields: &[LogField<'_>]) {
    put_u64(buffer, fields.len() as u64);
    for field in fields {
        buffer.push(field.origin as u8);
        put_str(buffer, &field.name);
        put_str(buffer, &field.value);
    }
}

/// Encodes the groups that `admit` lets in, and of them the records whose time `keep` accepts,
/// given what `admit` said, and says where they are. The number of the first record is left open.
pub(crate) fn encode(
    batch: &LogBatch<'_>,
    mut admit: impl FnMut(&LogGroup) -> Option<TimestampNs>,
    mut keep: impl FnMut(TimestampNs, TimestampNs) -> bool,
) -> (Vec<u8>, Layout) {
    let lines: usize = batch.records.iter().map(|record| record.line.len() + 12).sum();
    let fields: usize = batch.fields.iter().map(|f| f.name.len() + f.value.len() + 3).sum();
    let mut buffer = Vec::with_capacity(64 + lines + fields + batch.groups.len() * 256);
    let mut layout = Layout {
        groups: Vec::with_capacity(batch.groups.len()),
        records: Vec::with_capacity(batch.records.len()),
    };
    buffer.extend_from_slice(&[0; ARRIVAL_BYTES]);
    let admitted = batch.groups.iter().filter_map(|group| Some((group, admit(group)?)));
    let groups: Vec<(&LogGroup, TimestampNs)> = admitted.collect();
    put_u64(&mut buffer, groups.len() as u64);
    let mut kept = Vec::new();
    for (group, oldest) in groups {
        put_u64(&mut buffer, group.stream.len() as u64);
        for (name, value) in group.stream.iter() {
            put_str(&mut buffer, name);
            put_str(&mut buffer, value);
        }
        let shared = buffer.len() as u32;
        put_fields(&mut buffer, slice(&batch.fields, &group.shared));
        let records = slice(&batch.records, &group.records);
        kept.clear();
        kept.extend(records.iter().filter(|record| keep(record.at, oldest)));
        put_u64(&mut buffer, kept.len() as u64);
        let first = layout.records.len() as u32;
        let mut before = 0;
        for record in &kept {
            put_i64(&mut buffer, record.at.0.wrapping_sub(before));
            before = record.at.0;
            layout.records.push((record.at, buffer.len() as u32));
            put_str(&mut buffer, &record.line);
            put_fields(&mut buffer, slice(&batch.fields, &record.fields));
        }
        let records = first..layout.records.len() as u32;
        if !records.is_empty() {
            layout.groups.push(GroupLayout { stream: group.stream.clone(), shared, records });
        }
    }
    (buffer, layout)
}

/// Numbers the records of an encoded batch from `first` on.
pub(crate) fn set_first_arrival(bytes: &mut [u8], first: u64) {
    if let Some(place) = bytes.first_chunk_mut::<ARRIVAL_BYTES>() {
        *place = first.to_le_bytes();
    }
}

/// The number of the first record of an encoded batch.
pub(crate) fn first_arrival(bytes: &[u8]) -> Result<u64, CodecError> {
    Ok(u64::from_le_bytes(Reader::new(bytes).array::<ARRIVAL_BYTES>()?))
}

fn slice<'a, T>(items: &'a [T], range: &Range<u32>) -> &'a [T] {
    items.get(range.start as usize..range.end as usize).unwrap_or_default()
}

/// Finds where things are in an encoded batch, and checks all of it.
pub(crate) fn layout(bytes: &[u8]) -> Result<Layout, CodecError> {
    let mut reader = Reader::at(bytes, ARRIVAL_BYTES);
    let mut layout = Layout::default();
    let mut fields = Vec::new();
    for _ in 0..reader.count()? {
        let mut pairs = Vec::new();
        for _ in 0..reader.count()? {
            pairs.push((reader.str()?, reader.str()?));
        }
        let stream = Labels::from_pairs(pairs);
        let shared = reader.offset() as u32;
        read_fields(&mut reader, &mut fields)?;
        let first = layout.records.len() as u32;
        let mut at = 0i64;
        for _ in 0..reader.count()? {
            at = at.wrapping_add(reader.i64()?);
            layout.records.push((TimestampNs(at), reader.offset() as u32));
            reader.str()?;
            fields.clear();
            read_fields(&mut reader, &mut fields)?;
        }
        let records = first..layout.records.len() as u32;
        if !records.is_empty() {
            layout.groups.push(GroupLayout { stream, shared, records });
        }
    }
    Ok(layout)
}

fn read_fields<'a>(reader: &mut Reader<'a>, fields: &mut Vec<Field<'a>>) -> Result<(), CodecError> {
    for _ in 0..reader.count()? {
        let origin = match reader.u8()? {
            0 => Origin::Resource,
            1 => Origin::Scope,
            2 => Origin::Record,
            _ => Origin::Derived,
        };
        fields.push(Field { name: reader.str()?, value: reader.str()?, origin });
    }
    Ok(())
}

/// The line of the record at `offset`.
pub(crate) fn line(bytes: &[u8], offset: u32) -> Result<&str, CodecError> {
    Reader::at(bytes, offset as usize).str()
}

/// Appends the fields that the records of a group share.
pub(crate) fn shared_fields<'a>(
    bytes: &'a [u8],
    shared: u32,
    fields: &mut Vec<Field<'a>>,
) -> Result<(), CodecError> {
    read_fields(&mut Reader::at(bytes, shared as usize), fields)
}

/// Appends the fields that only the record at `offset` has.
pub(crate) fn own_fields<'a>(
    bytes: &'a [u8],
    offset: u32,
    fields: &mut Vec<Field<'a>>,
) -> Result<(), CodecError> {
    let mut reader = Reader::at(bytes, offset as usize);
    reader.bytes()?;
    read_fields(&mut reader, fields)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, offset: u32) {
            layout(&bytes).ok();
            line(&bytes, offset).ok();
            shared_fields(&bytes, offset, &mut Vec::new()).ok();
            own_fields(&bytes, offset, &mut Vec::new()).ok();
            first_arrival(&bytes).ok();
        }
    }
}
