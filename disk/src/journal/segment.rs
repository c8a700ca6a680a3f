//! The byte layout of a segment. `docs/formats/journal.md` draws it.

use std::path::{Path, PathBuf};

/// What every segment begins with.
const MAGIC: &[u8; 8] = b"SBXJRNL\n";
/// The version of the layout.
const VERSION: u32 = 1;
/// Magic, version, segment number, checksum of these.
pub(crate) const HEADER_BYTES: usize = 24;
/// What every record begins with; lets a reader find the next record behind a corrupt one.
const RECORD_MAGIC: [u8; 4] = [0x53, 0xb0, 0xc5, 0x1e];
/// Magic, payload length, checksum, kind, three zero bytes.
pub(crate) const RECORD_HEADER_BYTES: usize = 16;

/// The file of segment `number`; names sort as numbers do.
pub(crate) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:012}.journal"))
}

/// The number of a segment's file, or `None` for other files.
pub(crate) fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".journal")?.parse().ok()
}

/// The first bytes of segment `number`.
pub(crate) fn header(number: u64) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..20].copy_from_slice(&number.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..20]);
    bytes[20..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Whether these are the first bytes of segment `number` in a version that can be read.
pub(crate) fn check_header(bytes: &[u8], number: u64) -> Result<(), String> {
    let Some(found) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Err(format!("the header is cut off after {} bytes", bytes.len()));
    };
    if *found == header(number) {
        return Ok(());
    }
    if &found[..8] != MAGIC {
        return Err("not a journal segment (wrong magic)".to_owned());
    }
    let version = u32::from_le_bytes([found[8], found[9], found[10], found[11]]);
    if version != VERSION {
        return Err(format!("version {version} is not supported, only version {VERSION} is"));
    }
    Err("the header fails its checksum".to_owned())
}

/// CRC-32C over kind, length and payload.
pub(crate) fn checksum(kind: u8, payload: &[u8]) -> u32 {
    let mut prefix = [0; 5];
    prefix[0] = kind;
    prefix[1..].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&prefix), payload)
}

/// Appends a record's header and payload.
pub(crate) fn put_record(buffer: &mut Vec<u8>, kind: u8, checksum: u32, payload: &[u8]) {
    buffer.extend_from_slice(&RECORD_MAGIC);
    buffer.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    buffer.extend_from_slice(&checksum.to_le_bytes());
    buffer.extend_from_slice(&[kind, 0, 0, 0]);
    buffer.extend_from_slice(payload);
}

/// The record at `offset` and where the next begins, or what is wrong.
pub(crate) fn record_at(bytes: &[u8], offset: usize) -> Result<(u8, &[u8], usize), &'static str> {
    let rest = &bytes[offset..];
    let Some(header) = rest.first_chunk::<RECORD_HEADER_BYTES>() else {
        return Err("a record header is cut off");
    };
    if header[..4] != RECORD_MAGIC {
        return Err("no record begins here");
    }
    let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
    let expected = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
    let Some(payload) = rest.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + length) else {
        return Err("a record is cut off");
    };
    if header[13..] != [0; 3] || checksum(header[12], payload) != expected {
        return Err("a record fails its checksum");
    }
    Ok((header[12], payload, offset + RECORD_HEADER_BYTES + length))
}

/// Where the next valid record at or after `offset` begins.
pub(crate) fn find_record(bytes: &[u8], offset: usize) -> Option<usize> {
    (offset..bytes.len().saturating_sub(RECORD_HEADER_BYTES - 1))
        .find(|at| bytes[*at] == RECORD_MAGIC[0] && record_at(bytes, *at).is_ok())
}
