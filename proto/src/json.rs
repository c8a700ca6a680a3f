//! OTLP/JSON: our own decoder, from the body of a request into the prost types.
//!
//! Why our own: a decoder derived from the prost types loses data without a word where OTLP's JSON
//! differs from serde's idea of it (64-bit numbers as strings, NaN as a string, a number in a
//! `oneof`). The rules are those of the OTLP specification, section "JSON Protobuf Encoding":
//!
//! - keys are lowerCamelCase only; unknown keys are ignored;
//! - `traceId`, `spanId`, `parentSpanId` are hex in either case; other bytes are base64;
//! - enums are integers, names are refused;
//! - 64-bit integers are strings or numbers, doubles are numbers, numeric strings, `"NaN"`,
//!   `"Infinity"` or `"-Infinity"`;
//! - `null` is the same as a missing key, and a missing key is the default.
//!
//! Choices where the specification is silent: a `null` in a list of messages is skipped, a `null`
//! in an `arrayValue` is an empty value, a `null` in a list of numbers is an error; of a key given
//! twice the last one counts, while two values in one `oneof` are an error.
//!
//! The text is deserialised straight into the prost types, so memory grows with the request and by
//! no factor of it, and nesting is bounded by serde_json's recursion limit.

mod common;
mod logs;
mod message;
mod metrics;
mod scalar;
mod traces;

use prost::Message as _;

use self::message::Message;
use crate::generated::opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest;
use crate::generated::opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest;
use crate::generated::opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;
use crate::response::Signal;

/// A body that is not OTLP/JSON: where, and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} column {column}: {message}")]
pub struct JsonError {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1; 0 when the line just began.
    pub column: usize,
    /// What is wrong, with the key it is under.
    pub message: String,
}

impl JsonError {
    fn new(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let position = format!(" at line {line} column {column}");
        let message = match text.strip_suffix(&position) {
            // serde_json tells this error apart by its text only.
            Some("recursion limit exceeded") => "nested deeper than 128 levels".to_owned(),
            Some(message) => message.to_owned(),
            None => text,
        };
        Self { line, column, message }
    }
}

/// Decodes the body of a traces request.
///
/// # Errors
///
/// When the body is not JSON, or a key of the schema holds something else than the schema says.
pub fn decode_traces(body: &[u8]) -> Result<ExportTraceServiceRequest, JsonError> {
    decode(body)
}

/// Decodes the body of a metrics request.
///
/// # Errors
///
/// As [`decode_traces`].
pub fn decode_metrics(body: &[u8]) -> Result<ExportMetricsServiceRequest, JsonError> {
    decode(body)
}

/// Decodes the body of a logs request.
///
/// # Errors
///
/// As [`decode_traces`].
pub fn decode_logs(body: &[u8]) -> Result<ExportLogsServiceRequest, JsonError> {
    decode(body)
}

/// Turns a JSON body into the protobuf body of the same request, for the walkers in
/// [`otlp`](crate::otlp).
///
/// # Errors
///
/// As [`decode_traces`].
pub fn to_protobuf(signal: Signal, body: &[u8]) -> Result<Vec<u8>, JsonError> {
    Ok(match signal {
        Signal::Traces => decode_traces(body)?.encode_to_vec(),
        Signal::Metrics => decode_metrics(body)?.encode_to_vec(),
        Signal::Logs => decode_logs(body)?.encode_to_vec(),
    })
}

fn decode<M: Message>(body: &[u8]) -> Result<M, JsonError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        let message = "the body is empty, an empty request is {}".to_owned();
        return Err(JsonError { line: 1, column: 0, message });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let request = message::read("the request", &mut deserializer);
    request
        .and_then(|request| deserializer.end().map(|()| request))
        .map_err(|error| JsonError::new(&error))
}

#[cfg(test)]
mod tests;
