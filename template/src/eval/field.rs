//! Fields, entries and methods of values, and what bounds the result of a call.

use super::{Answer, Evaluator, Frame, Given};
use crate::function::{MissingKey, Steps, check_bytes};
use crate::methods;
use crate::syntax::Place;
use crate::value::{Text, Value};

impl<'v> Evaluator<'v> {
    /// `.a.b.c` of a receiver; only the last name gets arguments.
    pub(super) fn chain(
        &mut self,
        frame: &mut Frame<'v>,
        dot: &Value<'v>,
        mut receiver: Value<'v>,
        names: &'v [Box<str>],
        place: &Place,
        given: Given<'v>,
    ) -> Answer<'v, Value<'v>> {
        const STEP_NAMES: usize = 8;
        self.spend(frame, place, (names.len() / STEP_NAMES) as u64)?;
        let mut given = Some(given);
        for (i, name) in names.iter().enumerate() {
            let is_last = i + 1 == names.len();
            let given = given.take_if(|_| is_last).unwrap_or_default();
            if matches!(receiver, Value::Nil) && i > 0 && self.missing_key == MissingKey::Zero {
                let message = format!("nil pointer evaluating interface {{}}.{name}");
                return frame.fault(place, message);
            }
            receiver = self.field(frame, dot, &receiver, name, place, given)?;
        }
        Ok(receiver)
    }

    /// A method, field or entry.
    fn field(
        &mut self,
        frame: &mut Frame<'v>,
        dot: &Value<'v>,
        receiver: &Value<'v>,
        name: &str,
        place: &Place,
        given: Given<'v>,
    ) -> Answer<'v, Value<'v>> {
        let has_args = given.count() > 0;
        if let Value::Object(_) | Value::Time(_) | Value::Duration(_) = receiver {
            self.spend(frame, place, receiver.steps())?;
            let start = self.push_args(frame, dot, given)?;
            let args = self.args.get(start..).unwrap_or(&[]);
            let read: u64 = args.iter().map(Value::steps).sum();
            let called = methods::call(receiver, name, args);
            self.args.truncate(start);
            if let Some(made) = called {
                return made
                    .and_then(|value| check_made(value, read, &self.steps, self.bytes_max))
                    .or_else(|message| {
                        frame.fault(place, format!("error calling {name}: {message}"))
                    });
            }
        }
        self.entry(frame, receiver, name, place, has_args)
    }

    /// A field of a struct or an entry of a map; neither takes arguments.
    fn entry(
        &self,
        frame: &Frame<'v>,
        receiver: &Value<'v>,
        name: &str,
        place: &Place,
        has_args: bool,
    ) -> Answer<'v, Value<'v>> {
        let missing = |zero: Value<'v>| match self.missing_key {
            MissingKey::Invalid => Ok(Value::Nil),
            MissingKey::Zero => Ok(zero),
            MissingKey::Error => frame.fault(place, format!("map has no entry for key {name:?}")),
        };
        let found = match receiver {
            Value::Nil if self.missing_key == MissingKey::Error => {
                return frame.fault(place, format!("nil data; no entry for key {name:?}"));
            }
            Value::Nil => return Ok(Value::Nil),
            Value::Texts(_) | Value::Map(_) if has_args => {
                let message = format!("{name} is not a method but has arguments");
                return frame.fault(place, message);
            }
            Value::Texts(texts) => {
                let found = texts.get(name).map(Value::Text);
                return found.map_or_else(|| missing(Value::Text(Text::Borrowed(""))), Ok);
            }
            Value::Map(map) => {
                return map.entries().get(name).cloned().map_or_else(|| missing(Value::Nil), Ok);
            }
            Value::Struct(plain) => plain.field(name).cloned(),
            Value::Object(object) => match (object.field(name), object.plain()) {
                (Some(value), _) => Some(value),
                (None, plain @ (Value::Map(_) | Value::Texts(_))) => {
                    return self.entry(frame, &plain, name, place, has_args);
                }
                _ => None,
            },
            _ => None,
        };
        match found {
            None => {
                let kind = receiver.type_name();
                frame.fault(place, format!("can't evaluate field {name} in type {kind}"))
            }
            Some(_) if has_args => {
                let message = format!("{name} has arguments but cannot be invoked as function");
                frame.fault(place, message)
            }
            Some(value) => Ok(value),
        }
    }
}

/// Counts what a call has read and made; refuses long texts.
pub(super) fn check_made<'v>(
    value: Value<'v>,
    read: u64,
    steps: &Steps,
    bytes_max: usize,
) -> Result<Value<'v>, String> {
    let made = match &value {
        Value::Text(Text::Shared(text)) => {
            check_bytes(text.len(), bytes_max)?;
            value.steps()
        }
        // What is only cut costs nothing.
        Value::Text(Text::Borrowed(_)) => 0,
        other => other.steps(),
    };
    let spent = read.saturating_add(made);
    if spent > 0 {
        steps.spend(spent)?;
    }
    Ok(value)
}
