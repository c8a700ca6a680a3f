//! Where the times and ids of an encoded request are, so that a replay of it is new data.
//!
//! A run may be longer than what fits in memory. Sending the same bytes again would send samples
//! that the server has and spans that it knows; a request moved in time and with other ids costs
//! the server what a new one does, and the sender little more than a copy. The values repeat, which
//! reads as counters that start anew.

use std::fmt;

use proto::Signal;

/// Offsets into the bytes of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moves {
    /// Each the start of a `fixed64` time.
    times: Vec<u32>,
    /// Each the start of a trace or span id, of which the first eight bytes change.
    ids: Vec<u32>,
}

/// The bytes are not the export request they were said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOtlp;

impl fmt::Display for NotOtlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes are not an export request of this signal")
    }
}

impl std::error::Error for NotOtlp {}

impl Moves {
    /// Finds all times and ids in a request.
    ///
    /// # Errors
    ///
    /// When the bytes are not protobuf.
    pub fn find(signal: Signal, bytes: &[u8]) -> Result<Self, NotOtlp> {
        let root = match signal {
            Signal::Metrics => Node::MetricsRequest,
            Signal::Logs => Node::LogsRequest,
            Signal::Traces => Node::TracesRequest,
        };
        let mut moves = Moves::default();
        moves.visit(root, bytes, 0).ok_or(NotOtlp)?;
        Ok(moves)
    }

    /// Adds `by_ns` to every time and changes every id by `lap`, in bytes that hold the request
    /// from `start` on. Lap 0 changes no id.
    pub fn apply(&self, bytes: &mut [u8], start: usize, by_ns: i64, lap: u64) {
        // An odd factor keeps laps apart; the multiplication spreads them over the whole id.
        let mask = lap.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        for &offset in &self.times {
            let at = start + offset as usize;
            if let Some(time) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<8>) {
                *time = u64::from_le_bytes(*time).wrapping_add_signed(by_ns).to_le_bytes();
            }
        }
        for &offset in &self.ids {
            let at = start + offset as usize;
            if let Some(id) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<8>) {
                id.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
            }
        }
    }

    fn visit(&mut self, node: Node, message: &[u8], start: usize) -> Option<()> {
        let mut at = 0;
        while at < message.len() {
            let key = varint(message, &mut at)?;
            let length = match key & 7 {
                0 => {
                    varint(message, &mut at)?;
                    continue;
                }
                1 => 8,
                2 => usize::try_from(varint(message, &mut at)?).ok()?,
                5 => 4,
                _ => return None,
            };
            let value = message.get(at..at.checked_add(length)?)?;
            let offset = start + at;
            match node.field(key >> 3) {
                Field::Node(node) => self.visit(node, value, offset)?,
                // An unknown time is 0 and stays unknown.
                Field::Time if value.iter().any(|byte| *byte != 0) => {
                    self.times.push(u32::try_from(offset).ok()?);
                }
                Field::Id if length >= 8 => self.ids.push(u32::try_from(offset).ok()?),
                Field::Time | Field::Id | Field::Other => {}
            }
            at += length;
        }
        Some(())
    }
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The messages on the way to a time or an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    MetricsRequest,
    ResourceMetrics,
    ScopeMetrics,
    Metric,
    Points,
    Point,
    LogsRequest,
    ResourceLogs,
    ScopeLogs,
    LogRecord,
    TracesRequest,
    ResourceSpans,
    ScopeSpans,
    Span,
    Event,
}

enum Field {
    Node(Node),
    Time,
    Id,
    Other,
}

impl Node {
    /// The numbers are those of the `.proto` files. All kinds of points have their two times under
    /// the same numbers.
    fn field(self, number: u64) -> Field {
        let node = match (self, number) {
            (Node::MetricsRequest, 1) => Node::ResourceMetrics,
            (Node::ResourceMetrics, 2) => Node::ScopeMetrics,
            (Node::ScopeMetrics, 2) => Node::Metric,
            (Node::Metric, 5 | 7 | 9 | 10 | 11) => Node::Points,
            (Node::Points, 1) => Node::Point,
            (Node::Point, 2 | 3) => return Field::Time,
            (Node::LogsRequest, 1) => Node::ResourceLogs,
            (Node::ResourceLogs, 2) => Node::ScopeLogs,
            (Node::ScopeLogs, 2) => Node::LogRecord,
            (Node::LogRecord, 1 | 11) => return Field::Time,
            (Node::LogRecord, 9 | 10) => return Field::Id,
            (Node::TracesRequest, 1) => Node::ResourceSpans,
            (Node::ResourceSpans, 2) => Node::ScopeSpans,
            (Node::ScopeSpans, 2) => Node::Span,
            (Node::Span, 7 | 8) => return Field::Time,
            (Node::Span, 1 | 2 | 4) => return Field::Id,
            (Node::Span, 11) => Node::Event,
            (Node::Event, 1) => return Field::Time,
            _ => return Field::Other,
        };
        Field::Node(node)
    }
}
