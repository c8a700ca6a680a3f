//! Reads a JSON object into a prost message, key by key.
//!
//! A message type says what to do with a key ([`Message::read_field`]); this file drives serde
//! through the object, treats `null` as a missing key and puts the key into error messages.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::scalar::{self, Scalar};

/// A message that can be read from a JSON object.
pub(super) trait Message: Default {
    /// Reads the value of one key into the message, or ignores it.
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error>;
}

/// One key of an object; its value is not read yet.
pub(super) struct Field<'m, A> {
    pub(super) key: &'m str,
    map: &'m mut A,
}

impl<'de, A: MapAccess<'de>> Field<'_, A> {
    /// A key the schema does not have.
    pub(super) fn ignore(self) -> Result<(), A::Error> {
        self.map.next_value::<IgnoredAny>().map(drop)
    }

    /// A string, a number or bytes, as `S` writes it.
    pub(super) fn scalar<S: Scalar>(self, slot: &mut S::Value) -> Result<(), A::Error> {
        let value = self.map.next_value_seed(Nullable(scalar::Seed::<S>::new(self.key)))?;
        *slot = value.unwrap_or_default();
        Ok(())
    }

    /// A scalar that tells missing from default.
    pub(super) fn optional<S: Scalar>(self, slot: &mut Option<S::Value>) -> Result<(), A::Error> {
        *slot = self.map.next_value_seed(Nullable(scalar::Seed::<S>::new(self.key)))?;
        Ok(())
    }

    /// A list of numbers.
    pub(super) fn scalars<S: Scalar>(self, slot: &mut Vec<S::Value>) -> Result<(), A::Error> {
        let item = scalar::Seed::<S>::new(self.key);
        self.list(item, slot)
    }

    /// A nested message.
    pub(super) fn message<M: Message>(self, slot: &mut Option<M>) -> Result<(), A::Error> {
        *slot = self.map.next_value_seed(Nullable(MessageSeed::new(self.key)))?;
        Ok(())
    }

    /// A list of messages, without its nulls.
    pub(super) fn messages<M: Message>(self, slot: &mut Vec<M>) -> Result<(), A::Error> {
        let item = NullableItem { seed: MessageSeed::new(self.key), keep_nulls: false };
        self.list(item, slot)
    }

    /// A list of messages in which a null keeps its place as an empty message.
    pub(super) fn messages_or_empty<M: Message>(self, slot: &mut Vec<M>) -> Result<(), A::Error> {
        let item = NullableItem { seed: MessageSeed::new(self.key), keep_nulls: true };
        self.list(item, slot)
    }

    fn list<I: ItemSeed>(self, item: I, slot: &mut Vec<I::Item>) -> Result<(), A::Error> {
        let list = ListSeed { key: self.key, item };
        *slot = self.map.next_value_seed(Nullable(list))?.unwrap_or_default();
        Ok(())
    }

    /// A scalar alternative of a `oneof`.
    pub(super) fn one_of<S: Scalar, T>(
        self,
        slot: &mut Option<T>,
        alternative: impl FnOnce(S::Value) -> T,
    ) -> Result<(), A::Error> {
        let seed = Nullable(scalar::Seed::<S>::new(self.key));
        let value = self.map.next_value_seed(seed)?;
        set_once(self.key, slot, value.map(alternative))
    }

    /// A message alternative of a `oneof`.
    pub(super) fn one_of_messages<M: Message, T>(
        self,
        slot: &mut Option<T>,
        alternative: impl FnOnce(M) -> T,
    ) -> Result<(), A::Error> {
        let value = self.map.next_value_seed(Nullable(MessageSeed::new(self.key)))?;
        set_once(self.key, slot, value.map(alternative))
    }
}

fn set_once<T, E: serde::de::Error>(
    key: &str,
    slot: &mut Option<T>,
    value: Option<T>,
) -> Result<(), E> {
    if value.is_none() {
        return Ok(());
    }
    if slot.is_some() {
        return Err(E::custom(format_args!("{key}: another value is set already")));
    }
    *slot = value;
    Ok(())
}

/// Reads a message that is not inside another one.
pub(super) fn read<'de, M: Message, D: Deserializer<'de>>(
    name: &str,
    deserializer: D,
) -> Result<M, D::Error> {
    MessageSeed::new(name).deserialize(deserializer)
}

/// Reads an object into a message.
struct MessageSeed<'k, M> {
    key: &'k str,
    message: PhantomData<M>,
}

impl<'k, M> MessageSeed<'k, M> {
    fn new(key: &'k str) -> Self {
        Self { key, message: PhantomData }
    }
}

impl<'de, M: Message> DeserializeSeed<'de> for MessageSeed<'_, M> {
    type Value = M;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<M, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, M: Message> Visitor<'de> for MessageSeed<'_, M> {
    type Value = M;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object for {}", self.key)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<M, A::Error> {
        let mut message = M::default();
        while let Some(Key(key)) = map.next_key_seed(KeySeed)? {
            message.read_field(Field { key: &key, map: &mut map })?;
        }
        Ok(message)
    }
}

/// A key, borrowed from the body unless it has escapes.
struct Key<'de>(Cow<'de, str>);

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key<'de>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}

/// Reads `null` as `None`.
struct Nullable<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Nullable<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Nullable<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

/// A seed for the items of a list, which are many.
trait ItemSeed {
    type Item;

    /// The next item, `Some(None)` for one to leave out, `None` at the end.
    fn read<'de, A: SeqAccess<'de>>(&self, list: &mut A) -> NextItem<Self::Item, A::Error>;
}

type NextItem<T, E> = Result<Option<Option<T>>, E>;

struct NullableItem<S> {
    seed: S,
    keep_nulls: bool,
}

impl<M: Message> ItemSeed for NullableItem<MessageSeed<'_, M>> {
    type Item = M;

    fn read<'de, A: SeqAccess<'de>>(&self, list: &mut A) -> NextItem<M, A::Error> {
        let item = list.next_element_seed(Nullable(MessageSeed::new(self.seed.key)))?;
        Ok(item.map(|message| message.or_else(|| self.keep_nulls.then(M::default))))
    }
}

impl<S: Scalar> ItemSeed for scalar::Seed<'_, S> {
    type Item = S::Value;

    fn read<'de, A: SeqAccess<'de>>(&self, list: &mut A) -> NextItem<S::Value, A::Error> {
        list.next_element_seed(Self::new(self.key)).map(|item| item.map(Some))
    }
}

/// Reads an array.
struct ListSeed<'k, I> {
    key: &'k str,
    item: I,
}

impl<'de, I: ItemSeed> DeserializeSeed<'de> for ListSeed<'_, I> {
    type Value = Vec<I::Item>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, I: ItemSeed> Visitor<'de> for ListSeed<'_, I> {
    type Value = Vec<I::Item>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array for {}", self.key)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = self.item.read(&mut list)? {
            items.extend(item);
        }
        Ok(items)
    }
}
