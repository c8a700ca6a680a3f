//! Faults that tests inject under the files of a store: a short write, a failed fsync, a full disk.

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
    fail_replaces: bool,
    /// Only files with this in their names suffer; empty for all.
    only: String,
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

    /// Every fsync of a file from here on fails.
    pub fn fail_syncs(&self) {
        self.0.lock().fail_syncs = true;
    }

    /// Files are renamed from here on, but the fsync of their folder fails.
    pub fn fail_replaces(&self) {
        self.0.lock().fail_replaces = true;
    }

    /// Only files whose names contain `part` suffer from what else is told.
    pub fn only(&self, part: &str) {
        self.0.lock().only = part.to_owned();
    }

    /// Nothing fails any more.
    pub fn end(&self) {
        *self.0.lock() = Plan::default();
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
    name: String,
}

impl Plan {
    fn hits(&self, name: &str) -> bool {
        name.contains(&self.only)
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Files for FaultyFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let (inner, faults) = (RealFiles.create(path)?, self.0.clone());
        Ok(Box::new(FaultyFile { inner, faults, name: name_of(path) }))
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFiles.replace(from, to)?;
        let plan = self.0.0.lock();
        if plan.fail_replaces && plan.hits(&name_of(to)) {
            return Err(io::Error::other("injected fault: fsync of the folder failed"));
        }
        Ok(())
    }
}

impl AppendFile for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut plan = self.faults.0.lock();
        if !plan.hits(&self.name) {
            return self.inner.append(bytes);
        }
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
        let plan = self.faults.0.lock();
        if plan.fail_syncs && plan.hits(&self.name) {
            return Err(io::Error::other("injected fault: fsync failed"));
        }
        drop(plan);
        self.inner.sync()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.inner.truncate(length)
    }
}
