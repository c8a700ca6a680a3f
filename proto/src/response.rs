//! The bodies a server of OTLP answers with, in both encodings.
//!
//! A success carries `Export<Signal>ServiceResponse`, which is empty unless something was rejected
//! or there is a warning. A failure carries `google.rpc.Status`. OTLP wants the answer in the
//! encoding of the request.

use std::time::Duration;

use prost::Message as _;
use serde_json::json;

use crate::generated::google::{protobuf, rpc};
use crate::generated::opentelemetry::proto::collector::{logs, metrics, trace};

/// One of OTLP's three signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// Name of the count of refused items in a JSON response.
    fn rejected_key(self) -> &'static str {
        match self {
            Signal::Traces => "rejectedSpans",
            Signal::Metrics => "rejectedDataPoints",
            Signal::Logs => "rejectedLogRecords",
        }
    }
}

/// The JSON body of a success. `{}` when nothing was rejected and there is nothing to say; a
/// `message` without rejected items is a warning.
pub fn partial_success_json(signal: Signal, rejected: i64, message: &str) -> String {
    let mut partial = serde_json::Map::new();
    if rejected != 0 {
        partial.insert(signal.rejected_key().to_owned(), json!(rejected.to_string()));
    }
    if !message.is_empty() {
        partial.insert("errorMessage".to_owned(), json!(message));
    }
    if partial.is_empty() {
        return "{}".to_owned();
    }
    json!({ "partialSuccess": partial }).to_string()
}

/// The protobuf body of a success. Empty when nothing was rejected and there is nothing to say.
pub fn partial_success_bytes(signal: Signal, rejected: i64, message: &str) -> Vec<u8> {
    if rejected == 0 && message.is_empty() {
        return Vec::new();
    }
    let error_message = message.to_owned();
    match signal {
        Signal::Traces => trace::v1::ExportTraceServiceResponse {
            partial_success: Some(trace::v1::ExportTracePartialSuccess {
                rejected_spans: rejected,
                error_message,
            }),
        }
        .encode_to_vec(),
        Signal::Metrics => metrics::v1::ExportMetricsServiceResponse {
            partial_success: Some(metrics::v1::ExportMetricsPartialSuccess {
                rejected_data_points: rejected,
                error_message,
            }),
        }
        .encode_to_vec(),
        Signal::Logs => logs::v1::ExportLogsServiceResponse {
            partial_success: Some(logs::v1::ExportLogsPartialSuccess {
                rejected_log_records: rejected,
                error_message,
            }),
        }
        .encode_to_vec(),
    }
}

/// The JSON body of a failure. `code` is a gRPC status code.
pub fn status_json(code: i32, message: &str) -> String {
    json!({ "code": code, "message": message }).to_string()
}

/// The protobuf body of a failure, which is also what gRPC carries in `grpc-status-details-bin`.
/// With `retry_delay` it tells the client when to send the request again.
pub fn status_bytes(code: i32, message: &str, retry_delay: Option<Duration>) -> Vec<u8> {
    let details = retry_delay.map(|delay| {
        let retry_delay = Some(protobuf::Duration {
            seconds: i64::try_from(delay.as_secs()).unwrap_or(i64::MAX),
            // Below 1e9, so it fits.
            nanos: delay.subsec_nanos() as i32,
        });
        protobuf::Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
            value: rpc::RetryInfo { retry_delay }.encode_to_vec(),
        }
    });
    let details = details.into_iter().collect();
    rpc::Status { code, message: message.to_owned(), details }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_success_has_an_empty_body() {
        assert_eq!(partial_success_json(Signal::Traces, 0, ""), "{}");
        assert!(partial_success_bytes(Signal::Logs, 0, "").is_empty());
    }

    #[test]
    fn a_partial_success_names_the_items_of_its_signal() {
        for (signal, key) in [
            (Signal::Traces, "rejectedSpans"),
            (Signal::Metrics, "rejectedDataPoints"),
            (Signal::Logs, "rejectedLogRecords"),
        ] {
            let body: serde_json::Value =
                serde_json::from_str(&partial_success_json(signal, 3, "bad \"name\"")).unwrap();
            let expected = json!({"partialSuccess": {key: "3", "errorMessage": "bad \"name\""}});
            assert_eq!(body, expected);
        }
    }

    #[test]
    fn a_warning_rejects_nothing() {
        let body = partial_success_json(Signal::Metrics, 0, "slow down");
        assert_eq!(body, r#"{"partialSuccess":{"errorMessage":"slow down"}}"#);
        let bytes = partial_success_bytes(Signal::Metrics, 0, "slow down");
        let response = metrics::v1::ExportMetricsServiceResponse::decode(&bytes[..]).unwrap();
        assert_eq!(response.partial_success.unwrap().error_message, "slow down");
    }

    #[test]
    fn a_status_carries_code_message_and_retry_delay() {
        assert_eq!(status_json(3, "no"), r#"{"code":3,"message":"no"}"#);
        let bytes = status_bytes(14, "busy", Some(Duration::from_millis(1_500)));
        let status = rpc::Status::decode(&bytes[..]).unwrap();
        assert_eq!((status.code, status.message.as_str()), (14, "busy"));
        let retry = rpc::RetryInfo::decode(&status.details[0].value[..]).unwrap();
        let expected = protobuf::Duration { seconds: 1, nanos: 500_000_000 };
        assert_eq!(retry.retry_delay, Some(expected));
    }
}
