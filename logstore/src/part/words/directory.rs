//! tantivy's files in a section of the file of a part: read by position, never written.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk::PagedFile;
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    DirectoryLock, FileHandle, Lock, OwnedBytes, RamDirectory, WatchCallback, WatchHandle, WritePtr,
};
use tantivy::{Directory, HasLen, Index, TantivyError};

use super::{put_files, read_names};
use crate::part::index::Section;

/// Where a file lies in its section.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// The file that names the others.
const META: &str = "meta.json";
/// More names than this are not read.
const NAMES_BYTES_MAX: usize = 1 << 20;

/// The files of an index that was written into memory, as bytes.
pub(super) fn stored(index: &Index, memory: &RamDirectory) -> Result<Vec<u8>, TantivyError> {
    let mut names: Vec<PathBuf> = index.directory().list_managed_files().into_iter().collect();
    names.sort();
    let mut files = Vec::new();
    for name in names {
        if name.as_os_str() != META && memory.exists(&name)? {
            let bytes = memory.open_read(&name)?.read_bytes()?;
            files.push((name.to_string_lossy().into_owned(), bytes.as_slice().to_vec()));
        }
    }
    files.push((META.to_owned(), memory.atomic_read(Path::new(META))?));
    Ok(put_files(&files))
}

/// The files in a section.
#[derive(Debug, Clone)]
pub(super) struct StoredDirectory {
    file: Arc<PagedFile>,
    entries: Arc<HashMap<PathBuf, Entry>>,
}

impl StoredDirectory {
    pub(super) fn open(file: Arc<PagedFile>, section: &Section) -> Result<Self, TantivyError> {
        let wrong = |what: &str| TantivyError::InternalError(what.to_owned());
        let read = |offset: u64, length: usize| {
            file.read(offset, length).map_err(|error| wrong(&error.to_string()))
        };
        let length = read(section.offset, 4)?;
        let length = length.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)) as usize;
        if length > NAMES_BYTES_MAX {
            return Err(wrong("too many names of files"));
        }
        let names = read(section.offset.saturating_add(4), length)?;
        let mut entries = HashMap::new();
        for (name, entry) in read_names(&names).map_err(|error| wrong(&error.to_string()))? {
            let offset = section.offset.saturating_add(entry.offset);
            if offset.checked_add(entry.length).is_none_or(|end| end > file.length()) {
                return Err(wrong("a file outside of its section"));
            }
            entries.insert(PathBuf::from(name), Entry { offset, ..entry });
        }
        Ok(StoredDirectory { file, entries: Arc::new(entries) })
    }

    fn handle(&self, path: &Path) -> Result<StoredFile, OpenReadError> {
        match self.entries.get(path) {
            Some(entry) => Ok(StoredFile { file: self.file.clone(), entry: *entry }),
            None => Err(OpenReadError::FileDoesNotExist(path.to_owned())),
        }
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "a part is never written again")
}

impl Directory for StoredDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        Ok(Arc::new(self.handle(path)?))
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        let (io_error, filepath) = (Arc::new(read_only()), path.to_owned());
        Err(DeleteError::IoError { io_error, filepath })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        Ok(self.entries.contains_key(path))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let (io_error, filepath) = (Arc::new(read_only()), path.to_owned());
        Err(OpenWriteError::IoError { io_error, filepath })
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let file = self.handle(path)?;
        let bytes = file.read_bytes(0..file.len());
        let bytes = bytes.map_err(|error| OpenReadError::IoError {
            io_error: Arc::new(error),
            filepath: path.to_owned(),
        })?;
        Ok(bytes.as_slice().to_vec())
    }

    fn atomic_write(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn acquire_lock(&self, _: &Lock) -> Result<DirectoryLock, LockError> {
        // Nothing is ever written, so that there is nothing to keep apart.
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}

/// A file in a section.
#[derive(Debug)]
struct StoredFile {
    file: Arc<PagedFile>,
    entry: Entry,
}

impl HasLen for StoredFile {
    fn len(&self) -> usize {
        self.entry.length as usize
    }
}

impl FileHandle for StoredFile {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        if range.start > range.end || range.end as u64 > self.entry.length {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "bytes outside of a file"));
        }
        let offset = self.entry.offset + range.start as u64;
        let bytes = self.file.read(offset, range.len()).map_err(io::Error::other)?;
        Ok(OwnedBytes::new(bytes))
    }
}
