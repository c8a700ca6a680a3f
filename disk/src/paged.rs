//! Files that are written once, from front to back, and then read at any place: what sealed blocks
//! of all stores stand on.
//!
//! A file is a row of pages of [`PAGE_BYTES`] bytes, each followed by the CRC-32C of its number and
//! its bytes, so that a flipped bit and a page at the wrong place are both found. A trailer tells
//! the length, so that a cut file is found when it is opened. Users see one stretch of bytes.
//!
//! Nothing is mapped: a page is read by its position, checked once, and then lives in a
//! [`PageCache`] that all files share. A file may be unlinked while it is open.

mod cache;

use std::fs::File;
use std::ops::{Deref, Range};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use cache::{CacheStats, PageCache};

use crate::error::{Error, Result};
use crate::files::{AppendFile, Files, sync_folder};

/// Bytes of a page without its checksum.
pub const PAGE_BYTES: usize = 16 << 10;

const CHECKSUM_BYTES: usize = 4;
const STORED_BYTES: u64 = (PAGE_BYTES + CHECKSUM_BYTES) as u64;
const MAGIC: [u8; 8] = *b"SBXPAGE\n";
const VERSION: u32 = 1;
/// Magic, version, bytes of a page, length, checksum.
const TRAILER_BYTES: usize = 8 + 4 + 4 + 8 + 4;
/// How much is gathered before it is given to the system.
const WRITE_BYTES: usize = 256 << 10;
/// How many pages one read may take from the disk at once.
const RUN_PAGES: u64 = 64;

/// Writes a paged file. Nothing stands at the final path before [`PagedWriter::finish`].
pub struct PagedWriter {
    file: Option<Box<dyn AppendFile>>,
    temporary: PathBuf,
    path: PathBuf,
    /// Whole pages with their checksums that were not yet given to the system.
    pending: Vec<u8>,
    /// The page that is being filled.
    page: Vec<u8>,
    pages: u64,
    is_finished: bool,
}

impl PagedWriter {
    /// Makes `path` with `.tmp` behind its name; what is left of an earlier attempt is removed.
    pub fn create(files: &dyn Files, path: &Path) -> Result<Self> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &temporary)(error));
            }
            _ => {}
        }
        let file = files.create(&temporary).map_err(Error::io("create", &temporary))?;
        Ok(PagedWriter {
            file: Some(file),
            temporary,
            path: path.to_owned(),
            pending: Vec::with_capacity(WRITE_BYTES + 2 * PAGE_BYTES),
            page: Vec::with_capacity(PAGE_BYTES),
            pages: 0,
            is_finished: false,
        })
    }

    /// Where the file will stand.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes written so far: the offset of the next write.
    pub fn position(&self) -> u64 {
        self.pages * PAGE_BYTES as u64 + self.page.len() as u64
    }

    /// Appends bytes.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let taken = bytes.len().min(PAGE_BYTES - self.page.len());
            let (now, later) = bytes.split_at(taken);
            self.page.extend_from_slice(now);
            bytes = later;
            if self.page.len() == PAGE_BYTES {
                self.end_page();
                if self.pending.len() >= WRITE_BYTES {
                    self.write_pending()?;
                }
            }
        }
        Ok(())
    }

    /// Makes the file durable and gives it its name. Returns its size on disk.
    pub fn finish(mut self) -> Result<u64> {
        let length = self.position();
        if !self.page.is_empty() {
            self.end_page();
        }
        let size = self.pages * CHECKSUM_BYTES as u64 + length + TRAILER_BYTES as u64;
        let mut trailer = Vec::with_capacity(TRAILER_BYTES);
        trailer.extend_from_slice(&MAGIC);
        trailer.extend_from_slice(&VERSION.to_le_bytes());
        trailer.extend_from_slice(&(PAGE_BYTES as u32).to_le_bytes());
        trailer.extend_from_slice(&length.to_le_bytes());
        trailer.extend_from_slice(&crc32c::crc32c(&trailer).to_le_bytes());
        self.pending.extend_from_slice(&trailer);
        self.write_pending()?;
        if let Some(file) = &mut self.file {
            file.sync().map_err(Error::io("sync", &self.temporary))?;
        }
        self.file = None;
        std::fs::rename(&self.temporary, &self.path).map_err(Error::io("rename", &self.path))?;
        self.is_finished = true;
        if let Some(folder) = self.path.parent() {
            sync_folder(folder).map_err(Error::io("sync", folder))?;
        }
        Ok(size)
    }

    fn end_page(&mut self) {
        self.pending.extend_from_slice(&self.page);
        self.pending.extend_from_slice(&checksum(self.pages, &self.page).to_le_bytes());
        self.page.clear();
        self.pages += 1;
    }

    fn write_pending(&mut self) -> Result<()> {
        if let Some(file) = &mut self.file {
            file.append(&self.pending).map_err(Error::io("write", &self.temporary))?;
        }
        self.pending.clear();
        Ok(())
    }
}

impl Drop for PagedWriter {
    fn drop(&mut self) {
        if !self.is_finished {
            self.file = None;
            // What can not be removed here is removed by the next attempt.
            std::fs::remove_file(&self.temporary).ok();
        }
    }
}

fn checksum(page: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&page.to_le_bytes()), bytes)
}

/// A paged file that is open for reading. Its pages leave the cache when it is dropped.
#[derive(Debug)]
pub struct PagedFile {
    file: File,
    path: PathBuf,
    /// Its number in the cache.
    id: u64,
    length: u64,
    size: u64,
    cache: Arc<PageCache>,
}

impl PagedFile {
    /// Opens a file; reads the trailer only.
    pub fn open(path: &Path, cache: Arc<PageCache>) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let size = file.metadata().map_err(Error::io("open", path))?.len();
        let corrupt = |offset: u64, what: &str| Error::Corrupt {
            path: path.to_owned(),
            offset,
            what: what.to_owned(),
        };
        let Some(body) = size.checked_sub(TRAILER_BYTES as u64) else {
            return Err(corrupt(0, "a paged file shorter than its trailer"));
        };
        let mut trailer = [0u8; TRAILER_BYTES];
        file.read_exact_at(&mut trailer, body).map_err(Error::io("read", path))?;
        let (told, check) = trailer.split_at(TRAILER_BYTES - CHECKSUM_BYTES);
        if crc32c::crc32c(told).to_le_bytes() != check {
            return Err(corrupt(body, "a trailer with a wrong checksum"));
        }
        let mut fields = crate::codec::Reader::new(told);
        let wrong = |_| corrupt(body, "a trailer that does not decode");
        let magic: [u8; 8] = fields.array().map_err(wrong)?;
        let version = u32::from_le_bytes(fields.array().map_err(wrong)?);
        let page_bytes = u32::from_le_bytes(fields.array().map_err(wrong)?);
        let length = u64::from_le_bytes(fields.array().map_err(wrong)?);
        if magic != MAGIC || version != VERSION || page_bytes as usize != PAGE_BYTES {
            return Err(corrupt(body, "the trailer of an unknown kind of file"));
        }
        let pages = length.div_ceil(PAGE_BYTES as u64);
        if pages.checked_mul(CHECKSUM_BYTES as u64).and_then(|sums| sums.checked_add(length))
            != Some(body)
        {
            return Err(corrupt(body, "a length that is not that of the file"));
        }
        let id = cache.next_file();
        Ok(PagedFile { file, path: path.to_owned(), id, length, size, cache })
    }

    /// Where the file was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that can be read.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes on disk.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The error that names this file.
    pub fn corrupt(&self, offset: u64, what: impl Into<String>) -> Error {
        Error::Corrupt { path: self.path.clone(), offset, what: what.into() }
    }

    /// Bytes of the file; shares the cached page if they lie within one.
    pub fn view(&self, offset: u64, length: usize) -> Result<View> {
        self.check_range(offset, length)?;
        let (page, at) = (offset / PAGE_BYTES as u64, (offset % PAGE_BYTES as u64) as usize);
        if length == 0 {
            return Ok(View { bytes: Arc::new(Vec::new()), range: 0..0 });
        }
        if at + length <= PAGE_BYTES {
            let bytes = match self.cache.get(self.id, page) {
                Some(bytes) => bytes,
                None => self.load(page, 1)?.pop().ok_or_else(|| self.missing(page))?,
            };
            return Ok(View { bytes, range: at..at + length });
        }
        let mut bytes = Vec::with_capacity(length);
        self.read_into(offset, length, &mut bytes)?;
        Ok(View { bytes: Arc::new(bytes), range: 0..length })
    }

    /// Bytes of the file.
    pub fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_into(offset, length, &mut bytes)?;
        Ok(bytes)
    }

    /// Appends bytes of the file to `out`.
    pub fn read_into(&self, offset: u64, length: usize, out: &mut Vec<u8>) -> Result<()> {
        self.check_range(offset, length)?;
        out.reserve(length);
        let end = offset + length as u64;
        let mut next = offset;
        while next < end {
            let page = next / PAGE_BYTES as u64;
            let found = match self.cache.get(self.id, page) {
                Some(bytes) => vec![bytes],
                None => {
                    let last = (end - 1) / PAGE_BYTES as u64;
                    self.load(page, (last - page + 1).min(RUN_PAGES))?
                }
            };
            for bytes in found {
                let at = (next % PAGE_BYTES as u64) as usize;
                let taken = (bytes.len() - at.min(bytes.len())).min((end - next) as usize);
                if taken == 0 {
                    return Err(self.missing(page));
                }
                out.extend_from_slice(&bytes[at..at + taken]);
                next += taken as u64;
            }
        }
        Ok(())
    }

    fn missing(&self, page: u64) -> Error {
        self.corrupt(page * STORED_BYTES, "a page that is not there")
    }

    fn check_range(&self, offset: u64, length: usize) -> Result<()> {
        match offset.checked_add(length as u64) {
            Some(end) if end <= self.length => Ok(()),
            _ => Err(self.corrupt(offset, format!("{length} bytes that lie past the end"))),
        }
    }

    /// Reads neighbouring pages with one call to the system and checks them.
    fn load(&self, first: u64, count: u64) -> Result<Vec<Arc<Vec<u8>>>> {
        let start = first * PAGE_BYTES as u64;
        let bytes = (count * PAGE_BYTES as u64).min(self.length - start);
        let pages = bytes.div_ceil(PAGE_BYTES as u64);
        let mut stored = vec![0; (bytes + pages * CHECKSUM_BYTES as u64) as usize];
        self.file
            .read_exact_at(&mut stored, first * STORED_BYTES)
            .map_err(Error::io("read", &self.path))?;
        let mut found = Vec::with_capacity(pages as usize);
        for (page, stored) in (first..).zip(stored.chunks(STORED_BYTES as usize)) {
            let (bytes, check) = stored.split_at(stored.len() - CHECKSUM_BYTES);
            if checksum(page, bytes).to_le_bytes() != check {
                return Err(self.corrupt(page * STORED_BYTES, "a page with a wrong checksum"));
            }
            let bytes = Arc::new(bytes.to_vec());
            self.cache.insert(self.id, page, Arc::clone(&bytes));
            found.push(bytes);
        }
        Ok(found)
    }
}

impl Drop for PagedFile {
    fn drop(&mut self) {
        self.cache.forget(self.id);
    }
}

/// Bytes of a file, as they lie in a page or copied out of several.
#[derive(Debug, Clone)]
pub struct View {
    bytes: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl View {
    /// A part of these bytes, without a copy; empty if it lies outside.
    pub fn slice(&self, part: Range<usize>) -> View {
        let end = self.range.start.saturating_add(part.end).min(self.range.end);
        let start = self.range.start.saturating_add(part.start).min(end);
        View { bytes: Arc::clone(&self.bytes), range: start..end }
    }
}

impl Deref for View {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.range.clone()]
    }
}

#[cfg(test)]
mod tests;
