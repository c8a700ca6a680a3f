//! Tables of records of any length, read by number.
//!
//! Records stand in groups; behind the groups stands where each begins. A group is found with one
//! read, a record in it by stepping over those before. What a group holds is up to the table.

use disk::codec::{Reader, put_bytes};
use disk::paged::View;
use disk::{PagedFile, PagedWriter, Result};
use serde::{Deserialize, Serialize};

use super::fields::Record;

/// Records of a group.
pub(super) const GROUP: u32 = 64;

/// Where a table lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct TablePlace {
    pub(super) offset: u64,
    /// Bytes of the groups; their offsets follow, eight bytes each.
    pub(super) length: u64,
    pub(super) records: u64,
}

impl TablePlace {
    fn groups(self) -> u64 {
        self.records.div_ceil(u64::from(GROUP))
    }

    /// Bytes of the table in the file.
    pub(super) fn bytes(self) -> u64 {
        self.length.saturating_add(self.groups().saturating_mul(8))
    }

    /// One group and where it lies.
    pub(super) fn group(self, group: u32, file: &PagedFile) -> Result<Record> {
        let wrong = || file.corrupt(self.offset, format!("expected a table with a group {group}"));
        if u64::from(group) >= self.groups() {
            return Err(wrong());
        }
        let at = self.offset.saturating_add(self.length).saturating_add(u64::from(group) * 8);
        let is_last = u64::from(group) + 1 == self.groups();
        let places = file.view(at, if is_last { 8 } else { 16 })?;
        let mut places = Reader::new(&places);
        let begin = u64::from_le_bytes(places.array().map_err(|_| wrong())?);
        let end = match is_last {
            true => self.length,
            false => u64::from_le_bytes(places.array().map_err(|_| wrong())?),
        };
        if begin > end || end > self.length {
            return Err(wrong());
        }
        let offset = self.offset.saturating_add(begin);
        let length = usize::try_from(end - begin).map_err(|_| wrong())?;
        Ok(Record { view: file.view(offset, length)?, offset })
    }
}

/// Gathers a table in memory.
#[derive(Debug, Default)]
pub(super) struct TableWriter {
    bytes: Vec<u8>,
    groups: Vec<u64>,
    records: u64,
}

impl TableWriter {
    /// The number of the next record.
    pub(super) fn next(&self) -> u32 {
        self.records as u32
    }

    /// Appends a record behind its length.
    pub(super) fn push(&mut self, record: &[u8]) {
        let (bytes, _) = self.begin();
        put_bytes(bytes, record);
    }

    /// Where the next record is to be put, and whether it begins a group.
    pub(super) fn begin(&mut self) -> (&mut Vec<u8>, bool) {
        let begins = self.records.is_multiple_of(u64::from(GROUP));
        if begins {
            self.groups.push(self.bytes.len() as u64);
        }
        self.records += 1;
        (&mut self.bytes, begins)
    }

    pub(super) fn finish(self, file: &mut PagedWriter) -> Result<TablePlace> {
        let place = TablePlace {
            offset: file.position(),
            length: self.bytes.len() as u64,
            records: self.records,
        };
        file.write(&self.bytes)?;
        for group in &self.groups {
            file.write(&group.to_le_bytes())?;
        }
        Ok(place)
    }
}

/// The last group that was read of a table of length-prefixed records.
#[derive(Debug, Default)]
pub(super) struct TableCursor {
    group: Option<(u32, Record)>,
    /// Where each record of the group begins and ends.
    records: Vec<(u32, u32)>,
}

impl TableCursor {
    /// One record.
    pub(super) fn get(
        &mut self,
        place: TablePlace,
        number: u32,
        file: &PagedFile,
    ) -> Result<Record> {
        let wrong = || file.corrupt(place.offset, format!("expected a record {number}"));
        if u64::from(number) >= place.records {
            return Err(wrong());
        }
        let group = number / GROUP;
        let found = match &self.group {
            Some((held, record)) if *held == group => record,
            _ => {
                self.group = None;
                let record = place.group(group, file)?;
                self.records.clear();
                let mut fields = Reader::new(&record.view);
                while !fields.is_at_end() {
                    let bytes = fields.bytes().map_err(|_| wrong())?.len();
                    let end = fields.offset();
                    self.records.push(((end - bytes) as u32, end as u32));
                }
                &self.group.insert((group, record)).1
            }
        };
        let (begin, end) = *self.records.get((number % GROUP) as usize).ok_or_else(wrong)?;
        let view: View = found.view.slice(begin as usize..end as usize);
        Ok(Record { view, offset: found.offset + u64::from(begin) })
    }
}
