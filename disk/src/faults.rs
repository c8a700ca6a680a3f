//! Faults that tests inject under a journal: a short write, a failed fsync, a full disk.

use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::files::{AppendFile, Files, RealFiles};

/// What goes wrong, and when. Shared with the files that are already open.
#[derive(Debug, Default, Clone)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    bytes_left: Option<(u64, io::ErrorKind)>,
    fail_syncs: bool,
}

impl Faults {
    /// After `bytes` more bytes, a write stops in the middle and fails.
    pub fn short_write_after(&self, bytes: u64) {
        self.0.lock().bytes_left = Some((bytes, io::ErrorKind::WriteZero));
    }

    /// After `bytes` more bytes, the disk is full.
    pub fn disk_full_after(&self, bytes: u64) {
        self.0.lock().bytes_left = Some((bytes, io::ErrorKind::StorageFull));
    }

    /// The disk has room again.
    pub fn free_disk(&self) {
        self.0.lock().bytes_left = None;
    }

    /// Every fsync from here on fails.
    pub fn fail_syncs(&self) {
        self.0.lock().fail_syncs = true;
    }

    /// The [`Files`] that suffer from these faults.
    pub fn files(&self) -> Arc<dyn Files> {
        Arc::new(FaultyFiles(self.clone()))
    }
}

/// Real files that fail as [`Faults`] says.
#[derive(Debug, Clone)]
pub struct FaultyFiles(Faults);

struct FaultyFile {
    inner: Box<dyn AppendFile>,
    faults: Faults,
}

impl Files for FaultyFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        Ok(Box::new(FaultyFile { inner: RealFiles.create(path)?, faults: self.0.clone() }))
    }
}

impl AppendFile for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut plan = self.faults.0.lock();
        let Some((left, kind)) = &mut plan.bytes_left else { return self.inner.append(bytes) };
        let length = bytes.len() as u64;
        if length <= *left {
            *left -= length;
            return self.inner.append(bytes);
        }
        let fits = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
        *left = 0;
        let kind = *kind;
        self.inner.append(&bytes[..fits])?;
        Err(io::Error::new(kind, "injected fault"))
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.faults.0.lock().fail_syncs {
            return Err(io::Error::other("injected fault: fsync failed"));
        }
        self.inner.sync()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.inner.truncate(length)
    }
}
