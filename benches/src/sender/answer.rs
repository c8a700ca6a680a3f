//! Reads what the server said: how many items it took, or why it took none.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderMap;
use prost::Message as _;
use proto::Signal;
use proto::generated::google::rpc;
use proto::generated::opentelemetry::proto::collector::logs::v1::ExportLogsServiceResponse;
use proto::generated::opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceResponse;
use proto::generated::opentelemetry::proto::collector::trace::v1::ExportTraceServiceResponse;

/// The outcome of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The server took the request, but for some items.
    Success {
        /// How many items it refused.
        rejected: u64,
        /// Why.
        message: String,
    },
    /// The request was refused whole or not answered.
    Failure {
        /// Why.
        message: String,
    },
}

impl Answer {
    pub(super) fn failure(message: impl std::fmt::Display) -> Self {
        Answer::Failure { message: message.to_string() }
    }

    /// From an answer over HTTP.
    pub(super) fn of_http(signal: Signal, status: StatusCode, body: &[u8]) -> Self {
        if status == StatusCode::OK {
            return success(signal, body);
        }
        let said = match rpc::Status::decode(body) {
            Ok(status) => status.message,
            Err(_) => String::from_utf8_lossy(body).into_owned(),
        };
        Answer::failure(format_args!("HTTP {status}: {said}"))
    }

    /// From an answer over gRPC. The status is in the trailers, or in the headers if there is no
    /// message.
    pub(super) fn of_grpc(
        signal: Signal,
        status: StatusCode,
        headers: &HeaderMap,
        trailers: Option<&HeaderMap>,
        body: &Bytes,
    ) -> Self {
        if status != StatusCode::OK {
            return Answer::failure(format_args!("HTTP {status} instead of a gRPC answer"));
        }
        let header = |name: &str| {
            let value = trailers.and_then(|trailers| trailers.get(name)).or(headers.get(name));
            value.and_then(|value| value.to_str().ok()).unwrap_or("")
        };
        match header("grpc-status") {
            "0" => match body.get(5..) {
                Some(message) if body[0] == 0 => success(signal, message),
                _ => Answer::failure("the gRPC answer has no plain message"),
            },
            "" => Answer::failure("the gRPC answer has no status"),
            code => Answer::failure(format_args!("gRPC {code}: {}", header("grpc-message"))),
        }
    }
}

fn success(signal: Signal, message: &[u8]) -> Answer {
    let partial = match signal {
        Signal::Metrics => ExportMetricsServiceResponse::decode(message).map(|response| {
            response.partial_success.map(|some| (some.rejected_data_points, some.error_message))
        }),
        Signal::Logs => ExportLogsServiceResponse::decode(message).map(|response| {
            response.partial_success.map(|some| (some.rejected_log_records, some.error_message))
        }),
        Signal::Traces => ExportTraceServiceResponse::decode(message).map(|response| {
            response.partial_success.map(|some| (some.rejected_spans, some.error_message))
        }),
    };
    match partial {
        Ok(partial) => {
            let (rejected, message) = partial.unwrap_or_default();
            Answer::Success { rejected: u64::try_from(rejected).unwrap_or(0), message }
        }
        Err(error) => Answer::failure(format_args!("the answer is not protobuf: {error}")),
    }
}
