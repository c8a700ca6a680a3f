//! The messages all three signals share.

use serde::de::MapAccess;

use super::message::{Field, Message};
use super::scalar::{Base64, Boolean, Double, Integer, Text};
use crate::generated::opentelemetry::proto::common::v1::any_value::Value;
use crate::generated::opentelemetry::proto::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use crate::generated::opentelemetry::proto::resource::v1::Resource;

impl Message for Resource {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "attributes" => field.messages(&mut self.attributes),
            "droppedAttributesCount" => {
                field.scalar::<Integer<u32>>(&mut self.dropped_attributes_count)
            }
            "entityRefs" => field.messages(&mut self.entity_refs),
            _ => field.ignore(),
        }
    }
}

impl Message for EntityRef {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "schemaUrl" => field.scalar::<Text>(&mut self.schema_url),
            "type" => field.scalar::<Text>(&mut self.r#type),
            "idKeys" => field.scalars::<Text>(&mut self.id_keys),
            "descriptionKeys" => field.scalars::<Text>(&mut self.description_keys),
            _ => field.ignore(),
        }
    }
}

impl Message for InstrumentationScope {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "name" => field.scalar::<Text>(&mut self.name),
            "version" => field.scalar::<Text>(&mut self.version),
            "attributes" => field.messages(&mut self.attributes),
            "droppedAttributesCount" => {
                field.scalar::<Integer<u32>>(&mut self.dropped_attributes_count)
            }
            _ => field.ignore(),
        }
    }
}

impl Message for KeyValue {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "key" => field.scalar::<Text>(&mut self.key),
            "value" => field.message(&mut self.value),
            _ => field.ignore(),
        }
    }
}

impl Message for AnyValue {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        let value = &mut self.value;
        match field.key {
            "stringValue" => field.one_of::<Text, _>(value, Value::StringValue),
            "boolValue" => field.one_of::<Boolean, _>(value, Value::BoolValue),
            "intValue" => field.one_of::<Integer<i64>, _>(value, Value::IntValue),
            "doubleValue" => field.one_of::<Double, _>(value, Value::DoubleValue),
            "arrayValue" => field.one_of_messages(value, Value::ArrayValue),
            "kvlistValue" => field.one_of_messages(value, Value::KvlistValue),
            "bytesValue" => field.one_of::<Base64, _>(value, Value::BytesValue),
            _ => field.ignore(),
        }
    }
}

impl Message for ArrayValue {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "values" => field.messages_or_empty(&mut self.values),
            _ => field.ignore(),
        }
    }
}

impl Message for KeyValueList {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "values" => field.messages(&mut self.values),
            _ => field.ignore(),
        }
    }
}
