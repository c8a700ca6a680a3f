//! Requests as they go over the wire, made before the clock starts.

use std::io::Write as _;

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use proto::Signal;

use super::Transport;
use crate::corpora::{Corpus, Moves};

/// gRPC's compressed flag and length.
const PREFIX_BYTES: usize = 5;

/// How bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip at the level that zlib takes by default.
    Gzip,
    /// zstd at level 1.
    Zstd,
}

impl Compression {
    /// The name in reports and headers.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "identity",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }

    /// Compresses a message.
    ///
    /// # Errors
    ///
    /// When the library says so; memory is its only reason.
    pub fn compress(self, message: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        match self {
            Compression::None => Ok(message),
            Compression::Gzip => {
                let level = flate2::Compression::default();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(&message).context("gzip")?;
                encoder.finish().context("gzip")
            }
            Compression::Zstd => zstd::bulk::compress(&message, 1).context("zstd"),
        }
    }
}

/// The requests of one connection, in order.
#[derive(Debug, Clone, Default)]
pub struct Lane {
    requests: Vec<Packed>,
}

#[derive(Debug, Clone)]
struct Packed {
    body: Bytes,
    items: u64,
    samples: u64,
    /// What a later lap changes; `None` if it cannot.
    moves: Option<Moves>,
    /// Where the message begins in the body.
    start: usize,
}

/// A request to send.
#[derive(Debug)]
pub(super) struct ToSend {
    pub(super) body: Bytes,
    pub(super) items: u64,
    pub(super) samples: u64,
}

impl Lane {
    /// The request after `number` others. When all have been sent they are sent again, later by
    /// `lap_ns` for each lap; `None` when that is not possible because they are compressed.
    pub(super) fn request(&self, number: u64, lap_ns: i64) -> Option<ToSend> {
        let count = self.requests.len() as u64;
        let lap = number.checked_div(count)?;
        let packed = self.requests.get((number % count) as usize)?;
        let body = if lap == 0 {
            packed.body.clone()
        } else {
            let mut body = packed.body.to_vec();
            let by_ns = lap_ns.saturating_mul(i64::try_from(lap).unwrap_or(i64::MAX));
            packed.moves.as_ref()?.apply(&mut body, packed.start, by_ns, lap);
            body.into()
        };
        Some(ToSend { body, items: packed.items, samples: packed.samples })
    }

    /// How many requests it has.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
}

/// Compresses and frames a corpus for `connections` connections.
///
/// # Errors
///
/// When a message is larger than gRPC can frame.
pub fn pack(
    corpus: Corpus,
    transport: Transport,
    compression: Compression,
    connections: usize,
) -> anyhow::Result<Vec<Lane>> {
    let Corpus { signal, requests, .. } = corpus;
    let mut lanes = vec![Lane::default(); connections.max(1)];
    for request in requests {
        let lane = request.lane % lanes.len();
        let moves = find_moves(signal, compression, &request.bytes)?;
        let message = compression.compress(request.bytes)?;
        let (body, start) = match transport {
            Transport::Http => (message.into(), 0),
            Transport::Grpc => (frame(&message, compression)?, PREFIX_BYTES),
        };
        let (items, samples) = (request.items, request.samples);
        lanes[lane].requests.push(Packed { body, items, samples, moves, start });
    }
    lanes.retain(|lane| !lane.is_empty());
    Ok(lanes)
}

fn find_moves(
    signal: Signal,
    compression: Compression,
    message: &[u8],
) -> anyhow::Result<Option<Moves>> {
    match compression {
        Compression::None => Ok(Some(Moves::find(signal, message)?)),
        Compression::Gzip | Compression::Zstd => Ok(None),
    }
}

fn frame(message: &[u8], compression: Compression) -> anyhow::Result<Bytes> {
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(u8::from(compression != Compression::None));
    framed.put_u32(u32::try_from(message.len()).context("a request of more than 4 GiB")?);
    framed.extend_from_slice(message);
    Ok(framed.freeze())
}
