//! Journal records of this store; the same bytes are the head's memory. `docs/formats/journal.md`
//! lists their fields.

use disk::codec::{CodecError, Reader, put_i64, put_str, put_u64};
use model::TimestampNs;
use model::labels::Labels;
use model::log::{Field, Origin};
use model::write::{LogBatch, LogField};

/// The kind of a record: groups of log records.
pub(crate) const BATCH: u8 = 1;

/// Where things are in an encoded batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) groups: Vec<GroupLayout>,
}

/// Where the records of one group are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GroupLayout {
    pub(crate) stream: Labels,
    /// The fields that all records of the group have.
    pub(crate) shared: u32,
    /// Times and the offset of line and fields.
    pub(crate) records: Vec<(TimestampNs, u32)>,
}

fn put_fields(buffer: &mut Vec<u8>, fields: &[LogField<'_>]) {
    put_u64(buffer, fields.len() as u64);
    for field in fields {
        buffer.push(field.origin as u8);
        put_str(buffer, &field.name);
        put_str(buffer, &field.value);
    }
}

/// Encodes the records whose time `keep` accepts, and says where they are.
pub(crate) fn encode(
    batch: &LogBatch<'_>,
    mut keep: impl FnMut(TimestampNs) -> bool,
) -> (Vec<u8>, Layout) {
    let lines: usize = batch.records.iter().map(|record| record.line.len() + 8).sum();
    let fields: usize = batch.fields.iter().map(|f| f.name.len() + f.value.len() + 3).sum();
    let mut buffer = Vec::with_capacity(64 + lines + fields + batch.groups.len() * 256);
    let mut layout = Layout::default();
    put_u64(&mut buffer, batch.groups.len() as u64);
    for group in &batch.groups {
        put_u64(&mut buffer, group.stream.len() as u64);
        for (name, value) in group.stream.iter() {
            put_str(&mut buffer, name);
            put_str(&mut buffer, value);
        }
        let shared = buffer.len() as u32;
        put_fields(&mut buffer, slice(&batch.fields, &group.shared));
        let records = slice(&batch.records, &group.records);
        let kept: Vec<_> = records.iter().filter(|record| keep(record.at)).collect();
        put_u64(&mut buffer, kept.len() as u64);
        let mut before = 0;
        let mut offsets = Vec::with_capacity(kept.len());
        for record in kept {
            put_i64(&mut buffer, record.at.0.wrapping_sub(before));
            before = record.at.0;
            offsets.push((record.at, buffer.len() as u32));
            put_str(&mut buffer, &record.line);
            put_fields(&mut buffer, slice(&batch.fields, &record.fields));
        }
        layout.groups.push(GroupLayout { stream: group.stream.clone(), shared, records: offsets });
    }
    (buffer, layout)
}

fn slice<'a, T>(items: &'a [T], range: &std::ops::Range<u32>) -> &'a [T] {
    items.get(range.start as usize..range.end as usize).unwrap_or_default()
}

/// Finds where things are in an encoded batch, and checks all of it.
pub(crate) fn layout(bytes: &[u8]) -> Result<Layout, CodecError> {
    let mut reader = Reader::new(bytes);
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
        let mut records = Vec::new();
        let mut at = 0i64;
        for _ in 0..reader.count()? {
            at = at.wrapping_add(reader.i64()?);
            records.push((TimestampNs(at), reader.offset() as u32));
            reader.str()?;
            fields.clear();
            read_fields(&mut reader, &mut fields)?;
        }
        layout.groups.push(GroupLayout { stream, shared, records });
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

/// Appends the fields of a record, those of its group first.
pub(crate) fn fields<'a>(
    bytes: &'a [u8],
    shared: u32,
    offset: u32,
    fields: &mut Vec<Field<'a>>,
) -> Result<(), CodecError> {
    read_fields(&mut Reader::at(bytes, shared as usize), fields)?;
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
            fields(&bytes, offset, offset / 2, &mut Vec::new()).ok();
        }
    }
}
