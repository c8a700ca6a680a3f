//! Attribute values, key-value pairs, and the two things attributes describe: resource and scope.
//!
//! A value may hold arrays and maps of values. They are read lazily and each carries its depth, so
//! that a request nested a million levels deep is an error at level [`MAX_VALUE_DEPTH`] + 1 and
//! cannot exhaust the stack of whoever walks it recursively.

use crate::wire::{
    DecodeError, Message, Messages, Occurrences, Problem, Reader, delimited, fixed64, known, varint,
};

/// How deep arrays and maps may nest; a plain attribute value has depth 1.
pub const MAX_VALUE_DEPTH: usize = 64;

/// The attributes of a resource, scope, span, record or point.
pub type Attributes<'a> = Messages<'a, KeyValueRef<'a>>;

/// `AnyValue`: an attribute's value or a log's body.
#[derive(Debug, Clone, Copy, Default)]
pub enum ValueRef<'a> {
    /// No value is set.
    #[default]
    Empty,
    /// UTF-8 text.
    Str(&'a str),
    /// A boolean.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// A double; any bit pattern, NaN included.
    Double(f64),
    /// Opaque bytes.
    Bytes(&'a [u8]),
    /// Values in order, of mixed kinds.
    Array(ArrayRef<'a>),
    /// Key-value pairs in order; a key may appear twice.
    Map(MapRef<'a>),
}

impl<'a> ValueRef<'a> {
    #[inline]
    pub(crate) fn read(message: Reader<'a>, depth: u8) -> Result<Self, DecodeError> {
        const STR: u32 = delimited(1);
        const BOOL: u32 = varint(2);
        const INT: u32 = varint(3);
        const DOUBLE: u32 = fixed64(4);
        const ARRAY: u32 = delimited(5);
        const MAP: u32 = delimited(6);
        const BYTES: u32 = delimited(7);
        const STRING_TABLE_INDEX: u32 = varint(8);
        const KNOWN: u64 = known(&[1, 2, 3, 4, 5, 6, 7, 8]);

        if usize::from(depth) > MAX_VALUE_DEPTH {
            return Err(DecodeError::new(message.offset(), "", Problem::ValueTooDeep));
        }
        if let Some(text) = message.only_short_text(STR) {
            return Ok(ValueRef::Str(text));
        }
        let mut reader = message;
        let mut value = ValueRef::Empty;
        while let Some(field) = reader.next_field()? {
            if matches!(value, ValueRef::Array(_) | ValueRef::Map(_))
                && KNOWN >> (field.key >> 3).min(63) & 1 == 1
            {
                return Err(DecodeError::new(field.start, "value", Problem::Repeated));
            }
            value = match field.key {
                STR => ValueRef::Str(reader.text("string_value")?),
                BOOL => ValueRef::Bool(reader.boolean("bool_value")?),
                INT => ValueRef::Int(reader.varint("int_value")? as i64),
                DOUBLE => ValueRef::Double(reader.double("double_value")?),
                BYTES => ValueRef::Bytes(reader.bytes("bytes_value")?),
                ARRAY => {
                    ValueRef::Array(ArrayRef { message: reader.message("array_value")?, depth })
                }
                MAP => ValueRef::Map(MapRef { message: reader.message("kvlist_value")?, depth }),
                STRING_TABLE_INDEX => {
                    reader.varint("string_value_strindex")?;
                    ValueRef::Empty
                }
                _ => {
                    reader.skip(field, KNOWN)?;
                    continue;
                }
            };
        }
        Ok(value)
    }
}

/// `ArrayValue`: the values of an array, read while iterating.
#[derive(Debug, Clone, Copy)]
pub struct ArrayRef<'a> {
    message: Reader<'a>,
    depth: u8,
}

impl<'a> ArrayRef<'a> {
    /// The raw bytes of the `ArrayValue` message.
    pub fn raw(&self) -> &'a [u8] {
        self.message.rest()
    }

    /// The values in order.
    pub fn values(&self) -> impl Iterator<Item = Result<ValueRef<'a>, DecodeError>> + use<'a> {
        let mut run = Messages::<ValueRef<'a>>::unchecked(self.message, 1);
        let depth = self.depth + 1;
        std::iter::from_fn(move || {
            run.next_with("any_value", |message| ValueRef::read(message, depth))
        })
    }
}

/// `KeyValueList`: the entries of a map, read while iterating.
#[derive(Debug, Clone, Copy)]
pub struct MapRef<'a> {
    message: Reader<'a>,
    depth: u8,
}

impl<'a> MapRef<'a> {
    /// The raw bytes of the `KeyValueList` message.
    pub fn raw(&self) -> &'a [u8] {
        self.message.rest()
    }

    /// The entries in order.
    pub fn entries(&self) -> impl Iterator<Item = Result<KeyValueRef<'a>, DecodeError>> + use<'a> {
        let mut run = Messages::<KeyValueRef<'a>>::unchecked(self.message, 1);
        let depth = self.depth + 1;
        std::iter::from_fn(move || {
            run.next_with(KeyValueRef::NAME, |message| KeyValueRef::read_at(message, depth))
        })
    }
}

/// `KeyValue`: one attribute.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyValueRef<'a> {
    /// The key, possibly empty.
    pub key: &'a str,
    /// The value; [`ValueRef::Empty`] when there is none.
    pub value: ValueRef<'a>,
}

impl<'a> KeyValueRef<'a> {
    #[inline]
    fn read_at(message: Reader<'a>, depth: u8) -> Result<Self, DecodeError> {
        const KEY: u32 = delimited(1);
        const VALUE: u32 = delimited(2);
        const KEY_STRING_TABLE_INDEX: u32 = varint(3);
        const KNOWN: u64 = known(&[1, 2, 3]);

        // The form every encoder writes: a key, then a value, and nothing else.
        if let Some((key, value)) = message.short_text_and_message(KEY, VALUE) {
            let value = ValueRef::read(value, depth).map_err(|error| error.within("any_value"))?;
            return Ok(KeyValueRef { key, value });
        }
        let mut reader = message;
        let mut pair = KeyValueRef::default();
        let mut has_value = false;
        while let Some(field) = reader.next_field()? {
            match field.key {
                KEY => pair.key = reader.text("key")?,
                VALUE => {
                    if std::mem::replace(&mut has_value, true) {
                        return Err(DecodeError::new(field.start, "value", Problem::Repeated));
                    }
                    let value = reader.message("value")?;
                    pair.value =
                        ValueRef::read(value, depth).map_err(|error| error.within("any_value"))?;
                }
                KEY_STRING_TABLE_INDEX => drop(reader.varint("key_strindex")?),
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(pair)
    }
}

impl<'a> Message<'a> for KeyValueRef<'a> {
    const NAME: &'static str = "key_value";

    #[inline]
    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        Self::read_at(message, 1)
    }
}

/// `Resource`: what sent the telemetry.
#[derive(Debug, Clone, Copy)]
pub struct ResourceRef<'a> {
    /// The bytes of the message; empty when there is no resource. Equal bytes are equal resources.
    pub raw: &'a [u8],
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
    attributes: Attributes<'a>,
}

impl<'a> ResourceRef<'a> {
    /// The attributes in order.
    #[inline]
    pub fn attributes(&self) -> Attributes<'a> {
        self.attributes
    }

    pub(crate) fn empty() -> Self {
        Self {
            raw: &[],
            dropped_attributes_count: 0,
            attributes: Messages::new(Reader::default(), 1, Occurrences::default()),
        }
    }

    /// Reads the field `resource` into `slot`, which must not have been filled before.
    pub(crate) fn fill(
        slot: &mut Option<Self>,
        start: usize,
        message: Reader<'a>,
    ) -> Result<(), DecodeError> {
        if slot.is_some() {
            return Err(DecodeError::new(start, "resource", Problem::Repeated));
        }
        *slot = Some(Self::read(message).map_err(|error| error.within(Self::NAME))?);
        Ok(())
    }
}

impl<'a> Message<'a> for ResourceRef<'a> {
    const NAME: &'static str = "resource";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const ATTRIBUTES: u32 = delimited(1);
        const DROPPED_ATTRIBUTES_COUNT: u32 = varint(2);
        const ENTITY_REFS: u32 = delimited(3);
        const KNOWN: u64 = known(&[1, 2, 3]);

        let mut reader = message;
        let mut attributes = Occurrences::default();
        let mut dropped_attributes_count = 0;
        while let Some(field) = reader.next_field()? {
            match field.key {
                ATTRIBUTES => attributes.pass(field, &mut reader, "attributes")?,
                DROPPED_ATTRIBUTES_COUNT => {
                    dropped_attributes_count = reader.uint32("dropped_attributes_count")?;
                }
                ENTITY_REFS => drop(reader.bytes("entity_refs")?),
                _ => reader.skip(field, KNOWN)?,
            }
        }
        let attributes = Messages::new(message, 1, attributes);
        Ok(Self { raw: message.rest(), dropped_attributes_count, attributes })
    }
}

/// `InstrumentationScope`: the library that made the telemetry.
#[derive(Debug, Clone, Copy)]
pub struct ScopeRef<'a> {
    /// The bytes of the message; empty when there is no scope. Equal bytes are equal scopes.
    pub raw: &'a [u8],
    /// Name of the library.
    pub name: &'a str,
    /// Version of the library.
    pub version: &'a str,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
    attributes: Attributes<'a>,
}

impl<'a> ScopeRef<'a> {
    /// The attributes in order.
    #[inline]
    pub fn attributes(&self) -> Attributes<'a> {
        self.attributes
    }

    pub(crate) fn empty() -> Self {
        Self {
            raw: &[],
            name: "",
            version: "",
            dropped_attributes_count: 0,
            attributes: Messages::new(Reader::default(), 3, Occurrences::default()),
        }
    }

    /// Reads the field `scope` into `slot`, which must not have been filled before.
    pub(crate) fn fill(
        slot: &mut Option<Self>,
        start: usize,
        message: Reader<'a>,
    ) -> Result<(), DecodeError> {
        if slot.is_some() {
            return Err(DecodeError::new(start, "scope", Problem::Repeated));
        }
        *slot = Some(Self::read(message).map_err(|error| error.within(Self::NAME))?);
        Ok(())
    }
}

impl<'a> Message<'a> for ScopeRef<'a> {
    const NAME: &'static str = "scope";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const NAME: u32 = delimited(1);
        const VERSION: u32 = delimited(2);
        const ATTRIBUTES: u32 = delimited(3);
        const DROPPED_ATTRIBUTES_COUNT: u32 = varint(4);
        const KNOWN: u64 = known(&[1, 2, 3, 4]);

        let mut reader = message;
        let mut attributes = Occurrences::default();
        let mut scope = Self { raw: message.rest(), ..Self::empty() };
        while let Some(field) = reader.next_field()? {
            match field.key {
                NAME => scope.name = reader.text("name")?,
                VERSION => scope.version = reader.text("version")?,
                ATTRIBUTES => attributes.pass(field, &mut reader, "attributes")?,
                DROPPED_ATTRIBUTES_COUNT => {
                    scope.dropped_attributes_count = reader.uint32("dropped_attributes_count")?;
                }
                _ => reader.skip(field, KNOWN)?,
            }
        }
        scope.attributes = Messages::new(message, 3, attributes);
        Ok(scope)
    }
}
