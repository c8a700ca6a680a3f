//! What a malformed message is told apart by, and where in the request it lies.

use super::MAX_GROUP_DEPTH;
use crate::otlp::MAX_VALUE_DEPTH;

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The message ends inside a value.
    #[error("the message ends inside a value of {wanted} bytes")]
    Truncated {
        /// Size of the value.
        wanted: usize,
    },
    /// The message ends inside a varint.
    #[error("the message ends inside a varint")]
    TruncatedVarint,
    /// A varint has more than 64 bits.
    #[error("a varint longer than 64 bits")]
    VarintTooLong,
    /// A length-delimited value does not fit in its message.
    #[error("length {length} runs past the end of the message")]
    LengthPastEnd {
        /// The length as written.
        length: u64,
    },
    /// A key with field number 0, or one too large for a field number.
    #[error("{key} is not a field key")]
    BadKey {
        /// The key as written.
        key: u64,
    },
    /// A field of the schema is written with another wire type.
    #[error("field {number} has wire type {wire_type}, which its type does not allow")]
    WireType {
        /// Field number.
        number: u32,
        /// Wire type as written.
        wire_type: u32,
    },
    /// Text is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// A packed run of fixed-size numbers has a length that is no multiple of their size.
    #[error("packed length {length} is not a multiple of {size}")]
    PackedLength {
        /// The length as written.
        length: usize,
        /// Size of one number.
        size: usize,
    },
    /// A group of unknown fields ends without having begun, or does not end.
    #[error("a group of unknown fields is not closed properly")]
    BadGroup,
    /// Groups of unknown fields nest too deep.
    #[error("groups of unknown fields nest deeper than {MAX_GROUP_DEPTH}")]
    GroupTooDeep,
    /// An attribute value or log body nests too deep.
    #[error("the value nests deeper than {} levels", MAX_VALUE_DEPTH)]
    ValueTooDeep,
    /// A field that holds one message is there twice. Protobuf would merge the two, no sender of
    /// OTLP writes this, and a borrowed reader cannot merge: refusing is better than losing half.
    #[error("a field that may appear once appears again")]
    Repeated,
}

/// Malformed protobuf: which field of which message, where in the request, and what is wrong.
///
/// Boxed, so that the `Result`s of the hot path stay small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError(Box<Details>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Details {
    offset: usize,
    message: &'static str,
    field: &'static str,
    problem: Problem,
}

impl DecodeError {
    #[cold]
    #[inline(never)]
    pub(crate) fn new(offset: usize, field: &'static str, problem: Problem) -> Self {
        Self(Box::new(Details { offset, message: "", field, problem }))
    }

    /// Names the message, unless an inner one has been named already.
    #[cold]
    #[inline(never)]
    pub(crate) fn within(mut self, message: &'static str) -> Self {
        if self.0.message.is_empty() {
            self.0.message = message;
        }
        self
    }

    /// Byte of the request at which the malformed element starts.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// The protobuf message, for example `span`.
    pub fn message(&self) -> &'static str {
        self.0.message
    }

    /// The field of the message; empty when the error lies between fields.
    pub fn field(&self) -> &'static str {
        self.0.field
    }

    /// What is wrong there.
    pub fn problem(&self) -> Problem {
        self.0.problem
    }
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Details { offset, message, field, problem } = &*self.0;
        let dot = if message.is_empty() || field.is_empty() { "" } else { "." };
        write!(f, "{message}{dot}{field} at byte {offset}: {problem}")
    }
}

impl std::error::Error for DecodeError {}
