//! Remote read, `POST /api/v1/read`: samples for other servers (`storage/remote/read_handler.go`).
//!
//! A request is a snappy block of protobuf. The answer is one message of samples, or, for who accepts
//! it, a stream of frames with chunks in Prometheus's own encoding: XOR for floats, float histograms
//! for native histograms, whatever their counts were sent as.

mod bits;
mod chunks;
mod histograms;

pub(super) use histograms::spans;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use model::read::{RangeMs, SeriesColumns, SeriesRequest};
use model::{ErrorKind, Labels, MatchOp, Matcher, QueryContext, SeriesSource, TimestampMs};
use prost::Message;
use proto::remote_read::{
    Chunk, ChunkedReadResponse, ChunkedSeries, Label, LabelMatcher, Query, QueryResult,
    ReadRequest, ReadResponse, SAMPLES, STREAMED_XOR_CHUNKS, Sample, TimeSeries,
};

use crate::error::{Error, Result};
use crate::run::Chunks;
use crate::state::{App, Shared};

/// A request may not be larger than this, packed or unpacked.
const REQUEST_BYTES_MAX: usize = 32 << 20;

/// A frame is closed when its chunks are about this large.
const FRAME_BYTES: usize = 1 << 20;

/// A failure as text, as Go's `http.Error` writes it.
pub(super) fn plain_error(status: StatusCode, message: &str) -> Response {
    let mut response = (status, format!("{message}\n")).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// The status of a failure that is told as text.
pub(super) fn status_of(error: &Error) -> StatusCode {
    match error.kind() {
        ErrorKind::Timeout | ErrorKind::Unavailable | ErrorKind::Canceled => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn unpack(body: &[u8]) -> Result<ReadRequest> {
    let bad = |message: String| Error::BadRequest(message);
    let length = snap::raw::decompress_len(body).map_err(|e| bad(format!("snappy: {e}")))?;
    if length > REQUEST_BYTES_MAX {
        return Err(bad(format!(
            "snappy: decoded length {length} exceeds limit {REQUEST_BYTES_MAX}"
        )));
    }
    let bytes = snap::raw::Decoder::new().decompress_vec(body);
    let bytes = bytes.map_err(|e| bad(format!("snappy: {e}")))?;
    ReadRequest::decode(bytes.as_slice()).map_err(|e| bad(format!("proto: {e}")))
}

/// The first accepted response type that is known.
fn negotiate(accepted: &[i32]) -> Result<i32> {
    if accepted.is_empty() {
        return Ok(SAMPLES);
    }
    let known = accepted.iter().find(|kind| matches!(**kind, SAMPLES | STREAMED_XOR_CHUNKS));
    known.copied().ok_or_else(|| {
        Error::BadRequest(format!(
            "server does not support any of the requested response types: {accepted:?}; supported: \
             [{SAMPLES} {STREAMED_XOR_CHUNKS}]"
        ))
    })
}

/// One selection. A matcher that an external label satisfies finds what has no such label, since
/// stored series do not have it.
fn selection(query: &Query, external: &Labels) -> Result<SeriesRequest> {
    let matchers: Result<Vec<Matcher>> = query
        .matchers
        .iter()
        .map(|LabelMatcher { r#type, name, value }| {
            let op = match r#type {
                0 => MatchOp::Equal,
                1 => MatchOp::NotEqual,
                2 => MatchOp::Matches,
                3 => MatchOp::NotMatches,
                _ => return Err(Error::BadRequest("invalid matcher type".to_owned())),
            };
            if op == MatchOp::Equal && external.get(name) == Some(value) {
                return Ok(Matcher::equal(name, ""));
            }
            Ok(Matcher::new(name, op, value)?)
        })
        .collect();
    let (start, end) = (TimestampMs(query.start_timestamp_ms), TimestampMs(query.end_timestamp_ms));
    Ok(SeriesRequest::samples(matchers?, RangeMs { start, end }))
}

/// Labels with the external ones that they lack.
fn with_external(labels: &Labels, external: &Labels) -> Vec<Label> {
    let mut all: BTreeMap<&str, &str> = external.iter().collect();
    all.extend(labels.iter());
    let label = |(name, value): (&str, &str)| Label { name: name.into(), value: value.into() };
    all.into_iter().map(label).collect()
}

/// `read`.
pub(super) async fn read(State(app): App, body: Bytes) -> Response {
    let prepared = unpack(&body).and_then(|request| {
        let kind = negotiate(&request.accepted_response_types)?;
        let external = &app.state.options.external_labels;
        let queries = request.queries.iter().map(|query| selection(query, external));
        Ok((kind, queries.collect::<Result<Vec<SeriesRequest>>>()?))
    });
    let answered = match prepared {
        Err(error) => Err(error),
        Ok((STREAMED_XOR_CHUNKS, queries)) => stream(&app, queries).await,
        Ok((_, queries)) => samples(&app, queries).await,
    };
    answered.unwrap_or_else(|error| plain_error(status_of(&error), &error.to_string()))
}

/// All samples in one message.
async fn samples(app: &Arc<Shared>, queries: Vec<SeriesRequest>) -> Result<Response> {
    let shared = app.clone();
    let work = move |context: &QueryContext, _| {
        let mut response = ReadResponse::default();
        for query in &queries {
            let mut timeseries = Vec::new();
            for series in sorted(&*shared.state.series, query, context)? {
                timeseries.push(to_message(&series, &shared.state.options.external_labels));
            }
            response.results.push(QueryResult { timeseries });
        }
        let packed = snap::raw::Encoder::new().compress_vec(&response.encode_to_vec());
        packed.map_err(|error| {
            model::Error::new(ErrorKind::TooLarge, format!("pack the answer: {error}")).into()
        })
    };
    let packed = app.runner.run(None, work).await?;
    let headers = [(CONTENT_TYPE, "application/x-protobuf"), (CONTENT_ENCODING, "snappy")];
    Ok((headers, packed).into_response())
}

/// The series of a selection in order of their labels.
fn sorted(
    source: &dyn SeriesSource,
    query: &SeriesRequest,
    context: &QueryContext,
) -> Result<Vec<SeriesColumns>> {
    let mut all = source.select(query, context)?.collect::<model::Result<Vec<_>>>()?;
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(all)
}

fn to_message(series: &SeriesColumns, external: &Labels) -> TimeSeries {
    let samples = series.times_ms.iter().zip(&series.values);
    let samples =
        samples.map(|(at, value)| Sample { value: *value, timestamp: *at, ..Default::default() });
    let histograms = series.histograms.iter();
    TimeSeries {
        labels: with_external(&series.labels, external),
        samples: samples.collect(),
        histograms: histograms.map(|(at, h)| histograms::to_message(*at, h)).collect(),
        ..Default::default()
    }
}

/// Chunks in frames. What waits to be sent is encoded, so that no more than some bytes a sample are
/// in memory.
async fn stream(app: &Arc<Shared>, queries: Vec<SeriesRequest>) -> Result<Response> {
    let shared = app.clone();
    let body = app.runner.respond_bytes(None, move |context, out| {
        let external = &shared.state.options.external_labels;
        for (index, query) in queries.iter().enumerate() {
            let mut encoded: Vec<(Labels, Vec<Chunk>)> = Vec::new();
            for series in shared.state.series.select(query, context)? {
                let series = series?;
                encoded.push((series.labels.clone(), chunks::encode(&series)));
            }
            // Series come in no order, and the protocol wants them in that of their labels.
            encoded.sort_by(|a, b| a.0.cmp(&b.0));
            for (labels, chunks) in encoded {
                context.check()?;
                write_frames(out, index as i64, &with_external(&labels, external), chunks);
            }
        }
        Ok(())
    });
    let kind = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
    Ok(([(CONTENT_TYPE, kind)], body.await?).into_response())
}

/// Frames of one series: each begins with its length as a varint and its checksum.
fn write_frames(out: &mut Chunks, query_index: i64, labels: &[Label], chunks: Vec<Chunk>) {
    let mut waiting: Vec<Chunk> = Vec::new();
    let mut bytes = 0;
    let mut chunks = chunks.into_iter().peekable();
    while let Some(chunk) = chunks.next() {
        bytes += chunk.data.len() + 24;
        waiting.push(chunk);
        if bytes < FRAME_BYTES && chunks.peek().is_some() {
            continue;
        }
        let series =
            ChunkedSeries { labels: labels.to_vec(), chunks: std::mem::take(&mut waiting) };
        let frame = ChunkedReadResponse { chunked_series: vec![series], query_index };
        let frame = frame.encode_to_vec();
        let mut head = Vec::with_capacity(14);
        prost::encoding::encode_varint(frame.len() as u64, &mut head);
        head.extend_from_slice(&crc32c::crc32c(&frame).to_be_bytes());
        out.write(&head);
        out.write(&frame);
        bytes = 0;
    }
}
