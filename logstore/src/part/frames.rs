//! The bytes of a block: frames of about [`FRAME_BYTES`], each packed by zstd or kept as it is,
//! that columns share, so that small columns cost little.

use std::cell::RefCell;

use disk::codec::{CodecError, Reader, put_u64};
use zstd::bulk::Decompressor;

/// How much is gathered in one frame.
const FRAME_BYTES: usize = 32 << 10;
/// No frame unpacks to more.
const FRAME_BYTES_MAX: u64 = 1 << 30;
const LEVEL: i32 = 1;

/// Where bytes lie in the frames of a block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) frame: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

impl Place {
    pub(crate) fn put(self, out: &mut Vec<u8>) {
        put_u64(out, self.frame.into());
        put_u64(out, self.offset.into());
        put_u64(out, self.length.into());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Place { frame: reader.u32()?, offset: reader.u32()?, length: reader.u32()? })
    }
}

/// Where a frame lies in the body of its block.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Frame {
    pub(crate) offset: u64,
    pub(crate) stored: usize,
    /// Its bytes unpacked; the same as `stored` if it is kept as it is.
    pub(crate) length: usize,
    is_packed: bool,
}

impl Frame {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_u64(out, self.offset << 1 | u64::from(self.is_packed));
        put_u64(out, self.stored as u64);
        put_u64(out, self.length as u64);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let offset = reader.u64()?;
        let (stored, length) = (reader.u64()?, reader.u64()?);
        if stored > FRAME_BYTES_MAX || length > FRAME_BYTES_MAX {
            return Err(CodecError { offset: reader.offset(), expected: "a frame under 1 GiB" });
        }
        let is_packed = offset & 1 == 1;
        let (stored, length) = (stored as usize, length as usize);
        Ok(Frame { offset: offset >> 1, stored, length, is_packed })
    }

    /// The bytes of the frame, of those that are stored.
    pub(crate) fn unpack(&self, stored: Vec<u8>) -> std::io::Result<Vec<u8>> {
        if self.is_packed { unpack(&stored, self.length) } else { Ok(stored) }
    }

    pub(crate) fn is_packed(&self) -> bool {
        self.is_packed
    }
}

thread_local! {
    /// Making one takes longer than unpacking a frame.
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Unpacks bytes to exactly `length`.
pub(crate) fn unpack(packed: &[u8], length: usize) -> std::io::Result<Vec<u8>> {
    UNPACKER.with_borrow_mut(|unpacker| {
        let unpacker = match unpacker {
            Some(unpacker) => unpacker,
            None => unpacker.insert(Decompressor::new()?),
        };
        let bytes = unpacker.decompress(packed, length)?;
        if bytes.len() != length {
            return Err(std::io::Error::other("packed bytes of another length"));
        }
        Ok(bytes)
    })
}

/// Whether bytes become smaller by packing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pack {
    /// Packed with others.
    Shared,
    /// Packed alone, since it is often read alone.
    Alone,
    /// Not packed.
    Raw,
}

/// Gathers the frames of a block.
pub(crate) struct FrameWriter {
    packer: zstd::bulk::Compressor<'static>,
    shared: Open,
    raw: Open,
    frames: Vec<Frame>,
    body: Vec<u8>,
}

#[derive(Default)]
struct Open {
    frame: Option<u32>,
    bytes: Vec<u8>,
}

impl FrameWriter {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(FrameWriter {
            packer: zstd::bulk::Compressor::new(LEVEL)?,
            shared: Open::default(),
            raw: Open::default(),
            frames: Vec::new(),
            body: Vec::new(),
        })
    }

    /// Adds bytes and tells where they will be.
    pub(crate) fn put(&mut self, bytes: &[u8], pack: Pack) -> std::io::Result<Place> {
        let length = bytes.len() as u32;
        if pack == Pack::Alone {
            let frame = self.frames.len() as u32;
            self.frames.push(Frame::default());
            self.write(frame, bytes, true)?;
            return Ok(Place { frame, offset: 0, length });
        }
        let open = if pack == Pack::Raw { &mut self.raw } else { &mut self.shared };
        let frame = *open.frame.get_or_insert_with(|| {
            self.frames.push(Frame::default());
            self.frames.len() as u32 - 1
        });
        let offset = open.bytes.len() as u32;
        open.bytes.extend_from_slice(bytes);
        if open.bytes.len() >= FRAME_BYTES {
            self.close(pack)?;
        }
        Ok(Place { frame, offset, length })
    }

    fn close(&mut self, pack: Pack) -> std::io::Result<()> {
        let open = if pack == Pack::Raw { &mut self.raw } else { &mut self.shared };
        let Some(frame) = open.frame.take() else { return Ok(()) };
        let mut bytes = std::mem::take(&mut open.bytes);
        self.write(frame, &bytes, pack == Pack::Shared)?;
        bytes.clear();
        let open = if pack == Pack::Raw { &mut self.raw } else { &mut self.shared };
        open.bytes = bytes;
        Ok(())
    }

    fn write(&mut self, frame: u32, bytes: &[u8], pack: bool) -> std::io::Result<()> {
        let offset = self.body.len() as u64;
        let packed = if pack { Some(self.packer.compress(bytes)?) } else { None };
        let packed = packed.filter(|packed| packed.len() < bytes.len());
        let stored = packed.as_deref().unwrap_or(bytes);
        self.body.extend_from_slice(stored);
        if let Some(entry) = self.frames.get_mut(frame as usize) {
            let (stored, length) = (stored.len(), bytes.len());
            *entry = Frame { offset, stored, length, is_packed: packed.is_some() };
        }
        Ok(())
    }

    /// Ends a block: its frames and their bytes; ready for the next one.
    pub(crate) fn finish(&mut self) -> std::io::Result<(Vec<Frame>, Vec<u8>)> {
        self.close(Pack::Shared)?;
        self.close(Pack::Raw)?;
        Ok((std::mem::take(&mut self.frames), std::mem::take(&mut self.body)))
    }

    /// Packs bytes that are no frame.
    pub(crate) fn pack(&mut self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        self.packer.compress(bytes)
    }
}
