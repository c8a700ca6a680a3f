//! gRPC `tempopb.StreamingQuerier`, which Grafana dials at the host and port of the data source when
//! streaming is switched on; the path of the URL does not matter to it.
//!
//! Each trace is sent once and complete, because Grafana keeps the first copy it sees. Messages stay
//! well below the 4 MiB that a client accepts by default.

use std::pin::Pin;
use std::sync::Arc;

use model::read::RangeNs;
use model::{ErrorKind, TimestampNs};
use prost::Message;
use proto::generated::tempopb::streaming_querier_server::{
    StreamingQuerier, StreamingQuerierServer,
};
use proto::generated::tempopb::{SearchRequest, SearchResponse, TraceSearchMetadata};
use tonic::codegen::tokio_stream::{self, Stream};
use tonic::{Code, Request, Response, Status};

use super::search::{LIMIT_DEFAULT, SPANS_DEFAULT, Search, parse, run};
use crate::error::{Error, Result};
use crate::state::Shared;

/// Traces of more bytes than this begin a new message.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// The service with the state it reads.
pub(super) struct Querier(Arc<Shared>);

/// The service for the route `/tempopb.StreamingQuerier/{method}`.
pub(super) fn streaming_querier(shared: Arc<Shared>) -> StreamingQuerierServer<Querier> {
    StreamingQuerierServer::new(Querier(shared))
}

fn status(error: &Error) -> Status {
    let code = match error.kind() {
        ErrorKind::BadRequest | ErrorKind::TooLarge | ErrorKind::Conflict => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Exhausted => Code::ResourceExhausted,
        ErrorKind::Timeout => Code::DeadlineExceeded,
        ErrorKind::Canceled => Code::Cancelled,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::Internal => Code::Internal,
    };
    Status::new(code, error.to_string())
}

/// Seconds, zero if not given.
fn seconds(seconds: u32) -> Option<TimestampNs> {
    (seconds > 0).then(|| TimestampNs(i64::from(seconds) * 1_000_000_000))
}

fn search_of(request: &SearchRequest) -> Result<Search> {
    let text = if request.query.is_empty() { "{}" } else { &request.query };
    let or_default = |number: u32, default: usize| match usize::try_from(number) {
        Ok(0) | Err(_) => default,
        Ok(number) => number,
    };
    Ok(Search {
        query: parse(text)?,
        range: RangeNs {
            start: seconds(request.start).unwrap_or(TimestampNs::MIN),
            end: seconds(request.end).map_or(TimestampNs::MAX, |end| end.plus_ns(1)),
        },
        limit: or_default(request.limit, LIMIT_DEFAULT),
        spans_per_set: or_default(request.spans_per_span_set, SPANS_DEFAULT),
    })
}

/// Splits a response; the last message has the metrics, and there is always one.
fn messages(response: SearchResponse) -> Vec<SearchResponse> {
    let mut messages = Vec::new();
    let mut traces: Vec<TraceSearchMetadata> = Vec::new();
    let mut bytes = 0;
    for trace in response.traces {
        let length = trace.encoded_len();
        if !traces.is_empty() && bytes + length > MESSAGE_BYTES_MAX {
            messages.push(SearchResponse { traces: std::mem::take(&mut traces), metrics: None });
            bytes = 0;
        }
        bytes += length;
        traces.push(trace);
    }
    messages.push(SearchResponse { traces, metrics: response.metrics });
    messages
}

#[tonic::async_trait]
impl StreamingQuerier for Querier {
    type SearchStream =
        Pin<Box<dyn Stream<Item = std::result::Result<SearchResponse, Status>> + Send>>;

    async fn search(
        &self,
        request: Request<SearchRequest>,
    ) -> std::result::Result<Response<Self::SearchStream>, Status> {
        let search = search_of(request.get_ref()).map_err(|error| status(&error))?;
        let response = run(&self.0, search).await.map_err(|error| status(&error))?;
        let messages = messages(response).into_iter().map(Ok);
        Ok(Response::new(Box::pin(tokio_stream::iter(messages))))
    }
}
