//! Repeated fields: messages read one by one while iterating, and numbers, packed or not.
//!
//! A message is read in one pass that only notes where each repeated field lies; the iterators here
//! go over that stretch again. Passing over a value costs a key, a length and a jump.

use std::marker::PhantomData;

use super::{DecodeError, FIXED64, Field, Message, Problem, Reader, Result, VARINT, delimited};

/// Where the occurrences of one repeated field lie in their message, gathered while its other
/// fields are read. Encoders write them side by side, so the later walk covers little else.
#[derive(Clone, Copy, Default)]
pub(crate) struct Occurrences {
    start: usize,
    end: usize,
    count: u32,
}

impl Occurrences {
    /// Notes a field that began at `field` and that `reader` has just passed.
    #[inline]
    pub(crate) fn note(&mut self, field: Field, reader: &Reader<'_>) {
        if self.count == 0 {
            self.start = field.start;
        }
        self.end = reader.offset();
        self.count += 1;
    }

    /// Passes a length-delimited value and notes it.
    #[inline]
    pub(crate) fn pass(
        &mut self,
        field: Field,
        reader: &mut Reader<'_>,
        name: &'static str,
    ) -> Result<()> {
        reader.bytes(name)?;
        self.note(field, reader);
        Ok(())
    }

    /// The noted part of `message`.
    #[inline]
    pub(crate) fn of<'a>(&self, message: Reader<'a>) -> Reader<'a> {
        if self.count == 0 { Reader::default() } else { message.between(self.start, self.end) }
    }
}

/// The messages of one repeated field, read one by one while iterating.
///
/// A copy is cheap and starts over where the original stands. An element that is malformed comes
/// out as an error and the walk can go on after it; when the run itself is malformed, its error is
/// the last item.
pub struct Messages<'a, T> {
    reader: Reader<'a>,
    key: u32,
    count: u32,
    item: PhantomData<fn() -> T>,
}

impl<'a, T> Messages<'a, T> {
    /// A run whose structure has been checked by gathering `found`.
    #[inline]
    pub(crate) fn new(message: Reader<'a>, number: u32, found: Occurrences) -> Self {
        let reader = found.of(message);
        Self { reader, key: delimited(number), count: found.count, item: PhantomData }
    }

    /// A run of which nothing is known yet.
    pub(crate) fn unchecked(message: Reader<'a>, number: u32) -> Self {
        let count = if message.rest().is_empty() { 0 } else { u32::MAX };
        Self { reader: message, key: delimited(number), count, item: PhantomData }
    }

    /// The same run read as messages of another type.
    #[inline]
    pub(crate) fn as_other<U>(&self) -> Messages<'a, U> {
        let Messages { reader, key, count, .. } = *self;
        Messages { reader, key, count, item: PhantomData }
    }

    /// The bytes of the next message, or `None` at the end of the run.
    #[inline]
    pub(crate) fn next_raw(&mut self) -> Result<Option<Reader<'a>>> {
        if self.count == 0 {
            return Ok(None);
        }
        while let Some(field) = self.reader.next_field()? {
            if field.key == self.key {
                self.count -= 1;
                return self.reader.message("").map(Some);
            }
            // Other fields of the same message, whose wire types are checked where they are read.
            self.reader.skip(field, 1 << (self.key >> 3))?;
        }
        self.count = 0;
        Ok(None)
    }

    #[inline]
    pub(crate) fn next_with<R>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Reader<'a>) -> Result<R>,
    ) -> Option<Result<R>> {
        match self.next_raw() {
            Ok(Some(message)) => Some(read(message).map_err(|error| error.within(name))),
            Ok(None) => None,
            Err(error) => {
                self.count = 0;
                Some(Err(error.within(name)))
            }
        }
    }
}

impl<'a, T: Message<'a>> Iterator for Messages<'a, T> {
    type Item = Result<T>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.next_with(T::NAME, T::read)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.count == u32::MAX { (0, None) } else { (0, Some(self.count as usize)) }
    }
}

impl<T> Clone for Messages<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Messages<'_, T> {}

impl<T> std::fmt::Debug for Messages<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messages").field("count", &self.count).finish_non_exhaustive()
    }
}

/// A number that may be packed.
pub(crate) trait Scalar: Sized {
    /// The wire type of an unpacked number.
    const WIRE_TYPE: u32;

    fn read(reader: &mut Reader<'_>) -> Result<Self>;
}

impl Scalar for u64 {
    const WIRE_TYPE: u32 = VARINT;

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        reader.varint("")
    }
}

impl Scalar for f64 {
    const WIRE_TYPE: u32 = FIXED64;

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        reader.double("")
    }
}

/// A `fixed64`, which has the same Rust type as a varint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fixed64(pub(crate) u64);

impl Scalar for Fixed64 {
    const WIRE_TYPE: u32 = FIXED64;

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        reader.fixed64("").map(Self)
    }
}

/// Where the numbers of one repeated field lie, packed or not, and how many they are.
#[derive(Clone, Copy, Default)]
pub(crate) struct ScalarOccurrences {
    found: Occurrences,
    count: usize,
}

impl ScalarOccurrences {
    /// Passes a packed run and checks every number in it.
    #[inline]
    pub(crate) fn pass_packed<S: Scalar>(
        &mut self,
        field: Field,
        reader: &mut Reader<'_>,
        name: &'static str,
    ) -> Result<()> {
        let start = reader.offset();
        let mut run = reader.message(name)?;
        self.found.note(field, reader);
        if S::WIRE_TYPE == FIXED64 {
            let length = run.rest().len();
            if length % 8 != 0 {
                let problem = Problem::PackedLength { length, size: 8 };
                return Err(DecodeError::new(start, name, problem));
            }
            self.count += length / 8;
        } else {
            while !run.rest().is_empty() {
                run.varint(name)?;
                self.count += 1;
            }
        }
        Ok(())
    }

    /// Passes a single number.
    pub(crate) fn pass_single<S: Scalar>(
        &mut self,
        field: Field,
        reader: &mut Reader<'_>,
        name: &'static str,
    ) -> Result<()> {
        if S::WIRE_TYPE == FIXED64 {
            reader.fixed64(name)?;
        } else {
            reader.varint(name)?;
        }
        self.found.note(field, reader);
        self.count += 1;
        Ok(())
    }
}

/// The numbers of one repeated field, packed or not. They were checked when their message was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scalars<'a, S> {
    run: Reader<'a>,
    reader: Reader<'a>,
    number: u32,
    left: usize,
    item: PhantomData<fn() -> S>,
}

impl<'a, S: Scalar> Scalars<'a, S> {
    #[inline]
    pub(crate) fn new(message: Reader<'a>, number: u32, found: ScalarOccurrences) -> Self {
        let reader = found.found.of(message);
        Self { run: Reader::default(), reader, number, left: found.count, item: PhantomData }
    }

    /// Moves on to the next numbers; a single one is a run of its own.
    #[inline(never)]
    fn next_run(&mut self) -> Result<bool> {
        while let Some(field) = self.reader.next_field()? {
            if field.key == delimited(self.number) {
                self.run = self.reader.message("")?;
            } else if field.key == (self.number << 3 | S::WIRE_TYPE) {
                let mut past = self.reader;
                S::read(&mut past)?;
                self.run = self.reader.between(self.reader.offset(), past.offset());
                self.reader = past;
            } else {
                self.reader.skip(field, 0)?;
            }
            if !self.run.rest().is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl<S: Scalar> Iterator for Scalars<'_, S> {
    type Item = S;

    #[inline]
    fn next(&mut self) -> Option<S> {
        if self.left == 0 || (self.run.rest().is_empty() && !self.next_run().ok()?) {
            return None;
        }
        self.left -= 1;
        let value = S::read(&mut self.run);
        debug_assert!(value.is_ok(), "numbers are checked before they are handed out");
        value.ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<S: Scalar> ExactSizeIterator for Scalars<'_, S> {}
