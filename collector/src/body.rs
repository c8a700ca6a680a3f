//! Reading and decompressing a request body within limits.
//!
//! A compressed body may be a bomb: a megabyte that unpacks to gigabytes. Unpacking stops at the
//! limit, and a large body is measured, in constant memory, before there is memory for it. So a bomb
//! costs time only, up to the limit.

use std::io::{self, Read};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use model::ErrorKind;

use crate::otlp::receiver::Reservation;
use crate::rejection::Rejection;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
    /// What HTTP calls deflate: zlib framing. Raw deflate, which some senders mean by it, is taken too.
    Deflate,
}

impl Encoding {
    /// From the value of `Content-Encoding` or `grpc-encoding`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Encoding::Identity),
            "gzip" | "x-gzip" => Some(Encoding::Gzip),
            "zstd" => Some(Encoding::Zstd),
            "deflate" => Some(Encoding::Deflate),
            _ => None,
        }
    }
}

fn too_large(stage: &str, limit: usize) -> Rejection {
    let message =
        format!("the request is over the limit of {limit} bytes {stage}; send smaller batches");
    Rejection::permanent("too_large", ErrorKind::TooLarge, message)
}

/// Reads a whole body of at most `limit` bytes; each piece is asked of the budget as it comes.
pub(crate) async fn read(
    body: axum::body::Body,
    limit: usize,
    timeout: Duration,
    reservation: &mut Reservation<'_>,
) -> Result<Bytes, Rejection> {
    let collected = tokio::time::timeout(timeout, collect(body, limit, reservation)).await;
    collected.unwrap_or_else(|_| {
        let message = format!("the request body did not arrive within {timeout:?}");
        Err(Rejection {
            reason: "slow_body",
            kind: ErrorKind::Timeout,
            message,
            retry_after: Some(Duration::from_secs(1)),
        })
    })
}

async fn collect(
    mut body: axum::body::Body,
    limit: usize,
    reservation: &mut Reservation<'_>,
) -> Result<Bytes, Rejection> {
    let mut first: Option<Bytes> = None;
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| {
            let message = format!("the request body broke off: {e}");
            Rejection::permanent("broken_body", ErrorKind::BadRequest, message)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let length = first.as_ref().map_or(0, Bytes::len) + joined.len() + data.len();
        if length > limit {
            return Err(too_large("as sent", limit));
        }
        reservation.grow(data.len())?;
        // Most bodies are one frame, which needs no copy.
        match (&first, joined.is_empty()) {
            (None, true) => first = Some(data),
            _ => {
                if let Some(first) = first.take() {
                    joined.reserve(first.len() + data.len());
                    joined.extend_from_slice(&first);
                }
                joined.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| joined.freeze()))
}

/// A body is unpacked as it comes up to this size; what is larger is measured first. Few batches are.
const UNMEASURED_BYTES_MAX: usize = 4 << 20;

/// The widest window of zstd that a decoder of HTTP bodies must know (RFC 9659): 8 MiB. A wider one
/// would take memory as the sender pleases.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Decompresses to at most `limit` bytes.
pub(crate) fn decompress(
    body: Bytes,
    encoding: Encoding,
    limit: usize,
) -> Result<Bytes, Rejection> {
    let packed = &*body;
    match encoding {
        Encoding::Identity => Ok(body.clone()),
        Encoding::Gzip => {
            unpack("gzip", packed, limit, || Ok(flate2::read::MultiGzDecoder::new(packed)))
        }
        Encoding::Zstd => unpack("zstd", packed, limit, || {
            let mut decoder = zstd::stream::read::Decoder::new(packed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Ok(decoder)
        }),
        Encoding::Deflate if is_zlib(packed) => {
            unpack("deflate", packed, limit, || Ok(flate2::read::ZlibDecoder::new(packed)))
        }
        Encoding::Deflate => {
            unpack("deflate", packed, limit, || Ok(flate2::read::DeflateDecoder::new(packed)))
        }
    }
}

/// RFC 1950: the method is 8 and the first two bytes are a multiple of 31.
fn is_zlib(body: &[u8]) -> bool {
    let Some([cmf, flags]) = body.first_chunk::<2>() else { return false };
    cmf & 0x0f == 8 && (u16::from(*cmf) << 8 | u16::from(*flags)) % 31 == 0
}

fn broken(name: &str, error: &std::io::Error) -> Rejection {
    let message = format!("the body is not valid {name}: {error}");
    Rejection::permanent("bad_compression", ErrorKind::BadRequest, message)
}

/// Unpacks what `open` reads, and opens it again if it is large.
fn unpack<R: Read>(
    name: &str,
    packed: &[u8],
    limit: usize,
    open: impl Fn() -> io::Result<R>,
) -> Result<Bytes, Rejection> {
    let broken = |error: io::Error| broken(name, &error);
    let unmeasured = limit.min(UNMEASURED_BYTES_MAX);
    let mut decoder = open().map_err(broken)?;
    // Telemetry mostly packs to a fifth or less; growing from there costs one or two copies.
    let capacity = packed.len().saturating_mul(6).min(unmeasured);
    let mut unpacked = Vec::with_capacity(capacity);
    let read = (&mut decoder).take(unmeasured as u64).read_to_end(&mut unpacked).map_err(broken)?;
    let rest = measure(&mut decoder, limit - read).map_err(broken)?;
    let Some(rest) = rest else { return Err(too_large("after decompression", limit)) };
    if rest == 0 {
        return Ok(unpacked.into());
    }
    drop(unpacked);
    let mut unpacked = Vec::with_capacity(read + rest);
    open().and_then(|mut decoder| decoder.read_to_end(&mut unpacked)).map_err(broken)?;
    Ok(unpacked.into())
}

/// How many bytes a decoder still has; `None` if they are more than `limit`.
fn measure(decoder: &mut impl Read, limit: usize) -> io::Result<Option<usize>> {
    let (mut chunk, mut count) = ([0; 32 << 10], 0);
    loop {
        match decoder.read(&mut chunk) {
            Ok(0) => return Ok(Some(count)),
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if count > limit {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn pack(bytes: &[u8], encoding: Encoding) -> Bytes {
        let level = flate2::Compression::fast();
        match encoding {
            Encoding::Identity => bytes.to_vec(),
            Encoding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Encoding::Deflate => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Encoding::Zstd => zstd::encode_all(bytes, 1).unwrap(),
        }
        .into()
    }

    const ALL: [Encoding; 4] =
        [Encoding::Identity, Encoding::Gzip, Encoding::Zstd, Encoding::Deflate];

    #[test]
    fn every_encoding_unpacks_up_to_the_limit_and_not_over_it() {
        let bytes = vec![b'x'; 100_000];
        for encoding in &ALL[1..] {
            let packed = pack(&bytes, *encoding);
            assert_eq!(decompress(packed.clone(), *encoding, 100_000).unwrap(), bytes);
            let rejection = decompress(packed, *encoding, 99_999).unwrap_err();
            assert_eq!((rejection.reason, rejection.kind), ("too_large", ErrorKind::TooLarge));
        }
    }

    #[test]
    fn a_bomb_that_lies_about_its_size_stops_at_the_limit() {
        let mut bomb = pack(&vec![0; 10 << 20], Encoding::Gzip).to_vec();
        let size_at = bomb.len() - 4;
        bomb[size_at..].copy_from_slice(&5u32.to_le_bytes());
        let rejection = decompress(bomb.into(), Encoding::Gzip, 1 << 20).unwrap_err();
        assert_eq!(rejection.reason, "too_large");
    }

    #[test]
    fn raw_deflate_is_taken_as_deflate() {
        let level = flate2::Compression::fast();
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
        encoder.write_all(b"hello hello hello").unwrap();
        let packed = encoder.finish().unwrap();
        let unpacked = decompress(packed.into(), Encoding::Deflate, 100).unwrap();
        assert_eq!(unpacked, "hello hello hello");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            for encoding in ALL {
                decompress(bytes.clone().into(), encoding, 1000).ok();
            }
        }

        #[test]
        fn a_cut_body_is_refused_as_bad_compression(
            bytes in prop::collection::vec(any::<u8>(), 1..500),
            cut in any::<prop::sample::Index>(),
        ) {
            for encoding in &ALL[1..] {
                let packed = pack(&bytes, *encoding);
                let cut = packed.slice(..cut.index(packed.len() - 1) + 1);
                if cut.len() == packed.len() { continue; }
                if let Err(rejection) = decompress(cut, *encoding, 1 << 20) {
                    prop_assert_eq!(rejection.reason, "bad_compression");
                } else {
                    prop_assert!(false, "a cut {:?} body was accepted", encoding);
                }
            }
        }
    }
}
