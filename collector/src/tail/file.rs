//! One open file: its new bytes as lines, and whether it is still the file it was.

use std::fs::File;
use std::hash::Hasher;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::find::FileId;

/// The first bytes of a file, as a hash: a file that begins otherwise is another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// How many bytes.
    bytes: u64,
    hash: u64,
}

const HEAD_BYTES_MAX: u64 = 256;
/// So much is read at once.
const READ_BYTES: usize = 256 << 10;
/// A line is held in memory up to this even if lines are not cut.
const HELD_BYTES_MAX: usize = 64 << 20;

/// A line without its end, and where it lies in the file with its end.
pub(super) struct Line<'a> {
    pub(super) bytes: &'a [u8],
    /// Bytes of the line that were not kept.
    pub(super) beyond: usize,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// An open file.
pub(super) struct OpenFile {
    file: File,
    pub(super) head: Head,
    /// Where the line in `held` starts.
    line_start: u64,
    /// What was read of a line whose end is not there yet.
    held: Vec<u8>,
    /// And what of it was too much to hold.
    beyond: usize,
    held_bytes_max: usize,
    chunk: Vec<u8>,
}

impl OpenFile {
    /// Opens the file if it is `id`; reading starts at byte 0. Lines are held up to `held_bytes_max`.
    pub(super) fn open(path: &Path, id: FileId, held_bytes_max: usize) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        if FileId::of(&file.metadata()?) != id {
            return Ok(None);
        }
        let held_bytes_max = match held_bytes_max {
            0 => HELD_BYTES_MAX,
            bytes => bytes.min(HELD_BYTES_MAX),
        };
        let (head, held, chunk) = (Head::default(), Vec::new(), vec![0; READ_BYTES]);
        Ok(Some(OpenFile { file, head, line_start: 0, held, beyond: 0, held_bytes_max, chunk }))
    }

    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Whether the file has no name any more.
    pub(super) fn is_removed(&self) -> io::Result<bool> {
        Ok(std::os::unix::fs::MetadataExt::nlink(&self.file.metadata()?) == 0)
    }

    /// Where reading goes on.
    pub(super) fn position(&self) -> u64 {
        self.line_start + self.held.len() as u64 + self.beyond as u64
    }

    /// Where the first line starts whose end was not read.
    pub(super) fn line_start(&self) -> u64 {
        self.line_start
    }

    /// Goes on at the start of a line.
    pub(super) fn seek(&mut self, offset: u64) {
        (self.line_start, self.beyond) = (offset, 0);
        self.held.clear();
    }

    /// Whether the file still begins as `head` says and is at least `offset` long; else it was
    /// truncated.
    pub(super) fn is_same(&self, head: Head, offset: u64) -> io::Result<bool> {
        Ok(self.length()? >= offset && self.hash(head.bytes)? == Some(head.hash))
    }

    /// Looks at more of the beginning, as far as it is there and was read.
    pub(super) fn extend_head(&mut self) -> io::Result<()> {
        let bytes = self.position().min(HEAD_BYTES_MAX);
        if bytes > self.head.bytes
            && let Some(hash) = self.hash(bytes)?
        {
            self.head = Head { bytes, hash };
        }
        Ok(())
    }

    fn hash(&self, bytes: u64) -> io::Result<Option<u64>> {
        let mut first = [0; HEAD_BYTES_MAX as usize];
        let first = &mut first[..bytes.min(HEAD_BYTES_MAX) as usize];
        match self.file.read_exact_at(first, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut hash = Xxh3::new();
        hash.update(first);
        // No bytes have the hash that a new head has.
        Ok(Some(if first.is_empty() { 0 } else { hash.finish() }))
    }

    /// Reads on and hands out each line that is complete; false if there was nothing to read.
    pub(super) fn read(&mut self, each: &mut dyn FnMut(Line<'_>)) -> io::Result<bool> {
        let mut chunk = std::mem::take(&mut self.chunk);
        let read = self.file.read_at(&mut chunk, self.position());
        let mut rest = chunk.get(..*read.as_ref().unwrap_or(&0)).unwrap_or_default();
        let is_any = !rest.is_empty();
        while let Some(end) = memchr::memchr(b'\n', rest) {
            self.hold(&rest[..end]);
            rest = &rest[end + 1..];
            self.hand_out(1, each);
        }
        self.hold(rest);
        self.chunk = chunk;
        read?;
        Ok(is_any)
    }

    /// Hands out what is held as a line, though its end is missing.
    pub(super) fn finish(&mut self, each: &mut dyn FnMut(Line<'_>)) {
        if self.position() > self.line_start {
            self.hand_out(0, each);
        }
    }

    fn hold(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(self.held_bytes_max.saturating_sub(self.held.len()));
        self.held.extend_from_slice(&bytes[..kept]);
        self.beyond += bytes.len() - kept;
    }

    fn hand_out(&mut self, end_bytes: u64, each: &mut dyn FnMut(Line<'_>)) {
        let end = self.position() + end_bytes;
        let bytes = self.held.strip_suffix(b"\r").unwrap_or(&self.held);
        each(Line { bytes, beyond: self.beyond, start: self.line_start, end });
        self.seek(end);
        self.held.shrink_to(READ_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::find::file_id;
    use super::*;

    #[test]
    fn lines_come_when_their_ends_do_and_long_ones_are_held_in_part() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let mut writer = File::create(&path).unwrap();
        let mut file = OpenFile::open(&path, file_id(&path).unwrap(), 4).unwrap().unwrap();
        let mut lines = Vec::new();
        let mut read = |file: &mut OpenFile, finish: bool| {
            let mut each = |line: Line<'_>| {
                let text = String::from_utf8(line.bytes.to_vec()).unwrap();
                lines.push((text, line.beyond, line.start, line.end));
            };
            while file.read(&mut each).unwrap() {}
            if finish {
                file.finish(&mut each);
            }
            std::mem::take(&mut lines)
        };
        writer.write_all(b"a\r\nbc").unwrap();
        assert_eq!(read(&mut file, false), [("a".to_owned(), 0, 0, 3)]);
        writer.write_all(b"d\n\n123456\nend").unwrap();
        let expected = [("bcd".to_owned(), 0, 3, 7), (String::new(), 0, 7, 8)];
        let long = ("1234".to_owned(), 2, 8, 15);
        assert_eq!(read(&mut file, false), [&expected[..], &[long]].concat());
        assert_eq!(read(&mut file, true), [("end".to_owned(), 0, 15, 18)]);
        assert_eq!(read(&mut file, true), []);
    }

    #[test]
    fn a_file_that_begins_otherwise_or_is_shorter_is_not_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        std::fs::write(&path, "first\nsecond\n").unwrap();
        let mut file = OpenFile::open(&path, file_id(&path).unwrap(), 0).unwrap().unwrap();
        assert!(file.is_same(Head::default(), 0).unwrap());
        file.read(&mut |_| {}).unwrap();
        file.extend_head().unwrap();
        let (head, position) = (file.head, file.position());
        assert!(file.is_same(head, position).unwrap());
        std::fs::write(&path, "first\n").unwrap();
        assert!(!file.is_same(head, position).unwrap());
        std::fs::write(&path, "First\nsecond\nthird\n").unwrap();
        assert!(!file.is_same(head, position).unwrap());
    }
}
