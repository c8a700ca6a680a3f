//! Small bodies that unpack to a gibibyte, made without packing a gibibyte where that is slow.

use std::io::Write as _;

use flate2::{Compress, Compression, FlushCompress};

const MEBIBYTE: usize = 1 << 20;

/// The header of RFC 1952: magic, deflate, no flags, no time, no system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Bytes as gzip.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One gzip stream. After a full flush deflate remembers nothing, so that the same packed mebibyte
/// may follow itself. The checksum at the end is wrong; nobody may read that far.
pub(super) fn gzip_of_a_gibibyte() -> Vec<u8> {
    let mut packer = Compress::new(Compression::best(), false);
    let mut packed = Vec::with_capacity(MEBIBYTE);
    packer.compress_vec(&vec![0; MEBIBYTE], &mut packed, FlushCompress::Full).unwrap();
    let mut bomb = GZIP_HEADER.to_vec();
    bomb.extend(packed.repeat(1024));
    // An empty last block of fixed codes, then checksum and length.
    bomb.extend([0x03, 0x00, 0, 0, 0, 0, 0, 0, 0, 0x40]);
    bomb
}

/// One zstd frame; zeros pack at memory speed.
pub(super) fn zstd_of_a_gibibyte() -> Vec<u8> {
    zstd_of_zeros(None)
}

/// The same, for a decoder that must remember 128 MiB.
pub(super) fn zstd_with_a_wide_window() -> Vec<u8> {
    zstd_of_zeros(Some(27))
}

fn zstd_of_zeros(window_log: Option<u32>) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    if let Some(window_log) = window_log {
        encoder.window_log(window_log).unwrap();
    }
    let zeros = vec![0; MEBIBYTE];
    for _ in 0..1024 {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap()
}
