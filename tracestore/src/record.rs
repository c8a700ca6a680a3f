//! Journal records of this store; the same bytes are the head's memory. `docs/formats/journal.md`
//! lists their fields.

use std::ops::Range;

use disk::codec::{CodecError, Reader, put_bytes, put_f64, put_i64, put_str, put_u64};
use model::span::{Attributes, Event, Link, Resource, Scope, Span, SpanKind, StatusCode};
use model::value::ValueRef;
use model::write::{SpanBatch, SpanOrigin, SpanRow};
use model::{SpanId, TimestampNs, TraceId, Value};

/// The kind of a record: resources, scopes, then spans.
pub(crate) const BATCH: u8 = 1;

/// Values nest no deeper; the collector refuses deeper ones long before.
const VALUE_DEPTH_MAX: usize = 128;

/// Where things are in an encoded batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) resources: Vec<u32>,
    pub(crate) scopes: Vec<u32>,
    pub(crate) spans: Vec<SpanPlace>,
}

/// Where a span is, and what finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanPlace {
    pub(crate) trace_id: TraceId,
    pub(crate) start: TimestampNs,
    pub(crate) offset: u32,
}

/// Encodes the spans that `keep` accepts, and says where they are.
pub(crate) fn encode(
    batch: &SpanBatch<'_>,
    mut keep: impl FnMut(&SpanRow<'_>) -> bool,
) -> (Vec<u8>, Layout) {
    let mut buffer = Vec::with_capacity(batch.spans.len() * 160 + batch.attributes.len() * 32);
    let mut layout = Layout::default();
    for (origins, offsets) in
        [(&batch.resources, &mut layout.resources), (&batch.scopes, &mut layout.scopes)]
    {
        put_u64(&mut buffer, origins.len() as u64);
        for origin in origins {
            offsets.push(buffer.len() as u32);
            put_origin(&mut buffer, batch, origin);
        }
    }
    let kept: Vec<_> = batch.spans.iter().filter(|span| keep(span)).collect();
    put_u64(&mut buffer, kept.len() as u64);
    for span in kept {
        let offset = buffer.len() as u32;
        layout.spans.push(SpanPlace { trace_id: span.trace_id, start: span.start, offset });
        put_span(&mut buffer, batch, span);
    }
    (buffer, layout)
}

fn put_origin(buffer: &mut Vec<u8>, batch: &SpanBatch<'_>, origin: &SpanOrigin<'_>) {
    put_str(buffer, origin.name);
    put_str(buffer, origin.version);
    put_str(buffer, origin.schema_url);
    put_u64(buffer, u64::from(origin.dropped_attributes_count));
    put_attributes(buffer, batch, &origin.attributes);
}

fn put_span(buffer: &mut Vec<u8>, batch: &SpanBatch<'_>, span: &SpanRow<'_>) {
    buffer.extend_from_slice(&span.trace_id.0);
    put_i64(buffer, span.start.0);
    put_i64(buffer, span.end.0.wrapping_sub(span.start.0));
    put_u64(buffer, u64::from(span.resource));
    put_u64(buffer, u64::from(span.scope));
    buffer.extend_from_slice(&span.span_id.0);
    buffer.extend_from_slice(&span.parent_span_id.0);
    buffer.push(span.kind as u8);
    buffer.push(span.status as u8);
    put_u64(buffer, u64::from(span.flags));
    put_str(buffer, span.name);
    put_str(buffer, span.trace_state);
    put_str(buffer, span.status_message);
    put_u64(buffer, u64::from(span.dropped_attributes_count));
    put_u64(buffer, u64::from(span.dropped_events_count));
    put_u64(buffer, u64::from(span.dropped_links_count));
    put_attributes(buffer, batch, &span.attributes);
    let events = &batch.events[range(&span.events)];
    put_u64(buffer, events.len() as u64);
    for event in events {
        put_i64(buffer, event.at.0.wrapping_sub(span.start.0));
        put_str(buffer, event.name);
        put_u64(buffer, u64::from(event.dropped_attributes_count));
        put_attributes(buffer, batch, &event.attributes);
    }
    let links = &batch.links[range(&span.links)];
    put_u64(buffer, links.len() as u64);
    for link in links {
        buffer.extend_from_slice(&link.trace_id.0);
        buffer.extend_from_slice(&link.span_id.0);
        put_str(buffer, link.trace_state);
        put_u64(buffer, u64::from(link.flags));
        put_u64(buffer, u64::from(link.dropped_attributes_count));
        put_attributes(buffer, batch, &link.attributes);
    }
}

fn range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

fn put_attributes(buffer: &mut Vec<u8>, batch: &SpanBatch<'_>, attributes: &Range<u32>) {
    let attributes = batch.attributes(attributes);
    put_u64(buffer, attributes.len() as u64);
    for (name, value) in attributes {
        put_str(buffer, name);
        put_value_ref(buffer, value);
    }
}

fn put_value_ref(buffer: &mut Vec<u8>, value: &ValueRef<'_>) {
    match value {
        ValueRef::Empty => buffer.push(0),
        ValueRef::Str(text) => {
            buffer.push(1);
            put_str(buffer, text);
        }
        ValueRef::Bool(value) => buffer.extend_from_slice(&[2, u8::from(*value)]),
        ValueRef::Int(value) => {
            buffer.push(3);
            put_i64(buffer, *value);
        }
        ValueRef::Double(value) => {
            buffer.push(4);
            put_f64(buffer, *value);
        }
        ValueRef::Bytes(bytes) => {
            buffer.push(5);
            put_bytes(buffer, bytes);
        }
        ValueRef::Nested(value) => put_value(buffer, value),
    }
}

fn put_value(buffer: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Array(items) => {
            buffer.push(6);
            put_u64(buffer, items.len() as u64);
            items.iter().for_each(|item| put_value(buffer, item));
        }
        Value::Map(entries) => {
            buffer.push(7);
            put_u64(buffer, entries.len() as u64);
            for (name, item) in entries {
                put_str(buffer, name);
                put_value(buffer, item);
            }
        }
        plain => put_value_ref(buffer, &ValueRef::from(plain)),
    }
}

/// Finds where things are in an encoded batch, and checks all of it.
pub(crate) fn layout(bytes: &[u8]) -> Result<Layout, CodecError> {
    let mut reader = Reader::new(bytes);
    let mut layout = Layout::default();
    for offsets in [&mut layout.resources, &mut layout.scopes] {
        for _ in 0..reader.count()? {
            offsets.push(reader.offset() as u32);
            read_origin(&mut reader)?;
        }
    }
    for _ in 0..reader.count()? {
        let offset = reader.offset() as u32;
        let (span, ..) = read_span(&mut reader)?;
        layout.spans.push(SpanPlace { trace_id: span.trace_id, start: span.start, offset });
    }
    Ok(layout)
}

fn read_origin(reader: &mut Reader<'_>) -> Result<Scope, CodecError> {
    Ok(Scope {
        name: reader.str()?.to_owned(),
        version: reader.str()?.to_owned(),
        schema_url: reader.str()?.to_owned(),
        dropped_attributes_count: reader.u32()?,
        attributes: read_attributes(reader)?,
    })
}

/// The resource at `offset`.
pub(crate) fn resource(bytes: &[u8], offset: u32) -> Result<Resource, CodecError> {
    let origin = read_origin(&mut Reader::at(bytes, offset as usize))?;
    Ok(Resource {
        attributes: origin.attributes,
        dropped_attributes_count: origin.dropped_attributes_count,
        schema_url: origin.schema_url,
    })
}

/// The scope at `offset`.
pub(crate) fn scope(bytes: &[u8], offset: u32) -> Result<Scope, CodecError> {
    read_origin(&mut Reader::at(bytes, offset as usize))
}

/// The span at `offset`, the indexes of its resource and its scope, and how long it is encoded.
pub(crate) fn span(bytes: &[u8], offset: u32) -> Result<(Span, usize, usize, usize), CodecError> {
    let mut reader = Reader::at(bytes, offset as usize);
    let (span, resource, scope) = read_span(&mut reader)?;
    Ok((span, resource, scope, reader.offset() - offset as usize))
}

fn read_span(reader: &mut Reader<'_>) -> Result<(Span, usize, usize), CodecError> {
    let trace_id = TraceId(reader.array()?);
    let start = TimestampNs(reader.i64()?);
    let end = TimestampNs(start.0.wrapping_add(reader.i64()?));
    let (resource, scope) = (reader.u32()? as usize, reader.u32()? as usize);
    let mut span = Span {
        trace_id,
        start,
        end,
        span_id: SpanId(reader.array()?),
        parent_span_id: SpanId(reader.array()?),
        kind: SpanKind::from_otlp(i32::from(reader.u8()?)),
        status: StatusCode::from_otlp(i32::from(reader.u8()?)),
        flags: reader.u32()?,
        name: reader.str()?.to_owned(),
        trace_state: reader.str()?.to_owned(),
        status_message: reader.str()?.to_owned(),
        dropped_attributes_count: reader.u32()?,
        dropped_events_count: reader.u32()?,
        dropped_links_count: reader.u32()?,
        attributes: read_attributes(reader)?,
        ..Default::default()
    };
    for _ in 0..reader.count()? {
        span.events.push(Event {
            at: TimestampNs(start.0.wrapping_add(reader.i64()?)),
            name: reader.str()?.to_owned(),
            dropped_attributes_count: reader.u32()?,
            attributes: read_attributes(reader)?,
        });
    }
    for _ in 0..reader.count()? {
        span.links.push(Link {
            trace_id: TraceId(reader.array()?),
            span_id: SpanId(reader.array()?),
            trace_state: reader.str()?.to_owned(),
            flags: reader.u32()?,
            dropped_attributes_count: reader.u32()?,
            attributes: read_attributes(reader)?,
        });
    }
    Ok((span, resource, scope))
}

fn read_attributes(reader: &mut Reader<'_>) -> Result<Attributes, CodecError> {
    let count = reader.count()?;
    let mut attributes = Vec::with_capacity(count.min(256));
    for _ in 0..count {
        attributes.push((reader.str()?.to_owned(), read_value(reader, 0)?));
    }
    Ok(attributes)
}

fn read_value(reader: &mut Reader<'_>, depth: usize) -> Result<Value, CodecError> {
    let offset = reader.offset();
    if depth > VALUE_DEPTH_MAX {
        return Err(CodecError { offset, expected: "a value that nests less deep" });
    }
    Ok(match reader.u8()? {
        0 => Value::Empty,
        1 => Value::Str(reader.str()?.to_owned()),
        2 => Value::Bool(reader.u8()? != 0),
        3 => Value::Int(reader.i64()?),
        4 => Value::Double(reader.f64()?),
        5 => Value::Bytes(reader.bytes()?.to_vec()),
        6 => {
            let mut items = Vec::new();
            for _ in 0..reader.count()? {
                items.push(read_value(reader, depth + 1)?);
            }
            Value::Array(items)
        }
        7 => {
            let mut entries = Vec::new();
            for _ in 0..reader.count()? {
                entries.push((reader.str()?.to_owned(), read_value(reader, depth + 1)?));
            }
            Value::Map(entries)
        }
        _ => return Err(CodecError { offset, expected: "a kind of value" }),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, offset: u32) {
            layout(&bytes).ok();
            span(&bytes, offset).ok();
            resource(&bytes, offset).ok();
        }

        #[test]
        fn a_damaged_batch_never_panics(at in any::<prop::sample::Index>(), byte: u8) {
            let nested = Value::Map(vec![("a".into(), Value::Array(vec![Value::Int(1)]))]);
            let mut batch = SpanBatch::default();
            batch.attributes.push(("k", ValueRef::Nested(Box::new(nested))));
            batch.resources.push(SpanOrigin { attributes: 0..1, ..Default::default() });
            let (mut bytes, layout_before) = encode(&batch, |_| true);
            prop_assert_eq!(layout(&bytes).unwrap(), layout_before);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            layout(&bytes).ok();
        }
    }
}
