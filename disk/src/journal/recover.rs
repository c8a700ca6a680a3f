//! What happens to a journal at start: replay, cut the torn tail, report what is corrupt.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::sync_folder;
use crate::journal::{ClosedSegment, segment};

/// A record as it is replayed.
#[derive(Debug, Clone, Copy)]
pub struct Replayed<'a> {
    /// Its number in this run of the process.
    pub number: u64,
    /// What it was appended with.
    pub kind: u8,
    /// What it was appended with.
    pub payload: &'a [u8],
}

/// A stretch of a segment that holds no valid record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorruptRecord {
    /// The segment's file.
    pub path: PathBuf,
    /// Where the stretch begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// What is wrong with it.
    pub what: String,
}

/// What a start found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records replayed.
    pub records: u64,
    /// Bytes cut from the tail of the last segment: an append that was never acknowledged.
    pub torn_bytes: u64,
    /// Stretches that were skipped.
    pub corrupt: Vec<CorruptRecord>,
}

type Replay<'r> = dyn FnMut(Replayed<'_>) -> std::result::Result<i64, String> + 'r;

/// The segments of earlier runs, which were not replayed yet. Their tail is cut: a segment of this
/// run may stand behind them.
#[derive(Debug)]
pub struct Earlier {
    /// Number and file, in order.
    segments: Vec<(u64, PathBuf)>,
    torn_bytes: u64,
    next_segment: u64,
}

impl Earlier {
    /// Lists the segments in `dir` and cuts the torn tail of the last one.
    pub(crate) fn find(dir: &Path, segment_min: u64) -> Result<Earlier> {
        let mut earlier = Earlier { segments: list(dir)?, torn_bytes: 0, next_segment: 0 };
        if let Some((number, path)) = earlier.segments.last() {
            let (kept_bytes, torn_bytes) = cut_tail(path, *number)?;
            earlier.torn_bytes = torn_bytes;
            if kept_bytes == 0 {
                std::fs::remove_file(path).map_err(Error::io("remove", path))?;
                sync_folder(dir).map_err(Error::io("sync", dir))?;
                earlier.segments.pop();
            }
        }
        let last = earlier.segments.last().map_or(0, |(number, _)| *number);
        earlier.next_segment = segment_min.max(last + 1);
        Ok(earlier)
    }

    /// The number of the segment that this run begins with: higher than any before.
    pub fn next_segment(&self) -> u64 {
        self.next_segment
    }

    /// More than there are records: each takes bytes.
    pub(crate) fn records_max(&self) -> Result<u64> {
        let bytes =
            |path: &PathBuf| Ok(std::fs::metadata(path).map_err(Error::io("look at", path))?.len());
        self.segments.iter().map(|(_, path)| bytes(path)).sum()
    }
}

/// Replays segments and answers them as closed ones.
pub(crate) fn recover(
    earlier: Earlier,
    replay: &mut Replay<'_>,
) -> Result<(Recovery, Vec<ClosedSegment>)> {
    let mut recovery = Recovery { torn_bytes: earlier.torn_bytes, ..Default::default() };
    let mut closed = Vec::new();
    for (number, path) in earlier.segments {
        let (bytes, newest) = replay_segment(&path, number, &mut recovery, replay)?;
        closed.push(ClosedSegment { path, number, records_end: recovery.records, bytes, newest });
    }
    Ok((recovery, closed))
}

fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let path = entry.map_err(Error::io("list", dir))?.path();
        if let Some(number) = segment::number(&path) {
            segments.push((number, path));
        }
    }
    segments.sort();
    Ok(segments)
}

/// Cuts what stands behind the last valid record of the last segment: an append that was never
/// acknowledged. Answers how many bytes stay, none if the file was only being made, and how many go.
fn cut_tail(path: &Path, number: u64) -> Result<(u64, u64)> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let mut offset = match segment::check_header(&bytes, number) {
        Ok(()) => segment::HEADER_BYTES,
        Err(_) if bytes.len() < segment::HEADER_BYTES || bytes.iter().all(|byte| *byte == 0) => {
            return Ok((0, bytes.len() as u64));
        }
        Err(_) => segment::find_record(&bytes, 0).unwrap_or(bytes.len()),
    };
    while offset < bytes.len() {
        match segment::record_at(&bytes, offset) {
            Ok((.., next)) => offset = next,
            Err(_) => match segment::find_record(&bytes, offset + 1) {
                Some(next) => offset = next,
                None => {
                    cut(path, offset as u64)?;
                    break;
                }
            },
        }
    }
    Ok((offset as u64, (bytes.len() - offset) as u64))
}

/// Answers the bytes of the segment and the newest time in it.
fn replay_segment(
    path: &Path,
    number: u64,
    recovery: &mut Recovery,
    replay: &mut Replay<'_>,
) -> Result<(u64, i64)> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let mut newest = i64::MIN;
    let mut offset = match segment::check_header(&bytes, number) {
        Ok(()) => segment::HEADER_BYTES,
        Err(what) => {
            let next = segment::find_record(&bytes, 0).unwrap_or(bytes.len());
            report(recovery, path, 0, next, what);
            next
        }
    };
    while offset < bytes.len() {
        match segment::record_at(&bytes, offset) {
            Ok((kind, payload, next)) => {
                let replayed = Replayed { number: recovery.records, kind, payload };
                let time = replay(replayed).map_err(|cause| Error::Replay {
                    path: path.to_owned(),
                    cause: format!("record at offset {offset}: {cause}"),
                })?;
                newest = newest.max(time);
                recovery.records += 1;
                offset = next;
            }
            Err(what) => {
                let next = segment::find_record(&bytes, offset + 1).unwrap_or(bytes.len());
                report(recovery, path, offset, next, what.to_owned());
                offset = next;
            }
        }
    }
    Ok((bytes.len() as u64, newest))
}

fn report(recovery: &mut Recovery, path: &Path, offset: usize, next: usize, what: String) {
    recovery.corrupt.push(CorruptRecord {
        path: path.to_owned(),
        offset: offset as u64,
        bytes: (next - offset) as u64,
        what,
    });
}

fn cut(path: &Path, length: u64) -> Result<()> {
    let file = OpenOptions::new().write(true).open(path).map_err(Error::io("open", path))?;
    file.set_len(length).map_err(Error::io("cut", path))?;
    file.sync_all().map_err(Error::io("sync", path))
}
