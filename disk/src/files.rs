//! The few file operations that durability hangs on, behind a trait so that tests can make them
//! fail.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// A file that is only appended to.
pub trait AppendFile: Send {
    /// Writes all bytes at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns when everything appended is on the disk.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts off what lies beyond `length`, such as the half of an append that failed.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// Makes files. The only implementations are [`RealFiles`] and [`crate::faults::FaultyFiles`].
pub trait Files: Send + Sync {
    /// Makes a new file; fails if it exists. Durable (the folder is synced) on return.
    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>>;

    /// Gives a file the name of another one of its folder, which it replaces. Durable on return;
    /// after an error nobody knows which of both stands there.
    fn replace(&self, from: &Path, to: &Path) -> io::Result<()>;
}

/// The disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFiles;

impl Files for RealFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        if let Some(folder) = path.parent() {
            sync_folder(folder)?;
        }
        Ok(Box::new(file))
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)?;
        to.parent().map_or(Ok(()), sync_folder)
    }
}

impl AppendFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// Makes creations, removals and renames in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a folder and those above it that are absent. Durable on return: the folder above each new
/// one is synced.
pub fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let above = match folder.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return Ok(()),
    };
    create_folders(above)?;
    match std::fs::create_dir(folder) {
        // Another one may have made it meanwhile.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_folder(above)
}
