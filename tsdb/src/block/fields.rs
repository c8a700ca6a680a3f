//! Reading the fields of a record, with errors that name file and offset.

use disk::codec::{CodecError, Reader};
use disk::paged::View;
use disk::{Error, PagedFile, Result};

/// A record of a block and where it lies.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) view: View,
    pub(super) offset: u64,
}

impl Record {
    pub(super) fn fields<'a>(&'a self, file: &'a PagedFile) -> Fields<'a> {
        Fields { reader: Reader::new(&self.view), file, offset: self.offset }
    }
}

/// Reads what the `put_*` functions of [`disk::codec`] wrote.
pub(super) struct Fields<'a> {
    reader: Reader<'a>,
    file: &'a PagedFile,
    offset: u64,
}

impl<'a> Fields<'a> {
    /// The error that names the place of the next field.
    pub(super) fn corrupt(&self, what: &str) -> Error {
        self.file.corrupt(self.offset + self.reader.offset() as u64, what)
    }

    fn named<T>(&self, found: Result<T, CodecError>) -> Result<T> {
        found.map_err(|error| {
            let offset = self.offset + error.offset as u64;
            self.file.corrupt(offset, format!("expected {}", error.expected))
        })
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        let found = self.reader.u8();
        self.named(found)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        let found = self.reader.u32();
        self.named(found)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        let found = self.reader.u64();
        self.named(found)
    }

    pub(super) fn i64(&mut self) -> Result<i64> {
        let found = self.reader.i64();
        self.named(found)
    }

    pub(super) fn f64(&mut self) -> Result<f64> {
        let found = self.reader.f64();
        self.named(found)
    }

    /// A count of items of at least one byte each.
    pub(super) fn count(&mut self) -> Result<usize> {
        let found = self.reader.count();
        self.named(found)
    }

    pub(super) fn str(&mut self) -> Result<&'a str> {
        let found = self.reader.str();
        self.named(found)
    }
}
