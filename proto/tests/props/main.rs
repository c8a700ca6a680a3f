//! Properties of the decoders, with prost as the oracle.
//!
//! For a valid request the walk finds exactly what prost decodes. For a damaged one the walk and
//! prost agree on whether it is valid and on what it says, apart from the differences listed in the
//! header of `proto::otlp`. No decoder panics, whatever it is given.

mod rebuild;
mod strategies;

use proptest::prelude::*;
use proto::generated::opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest;
use proto::generated::opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest;
use proto::generated::opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;
use proto::{Problem, Signal, json};

use self::rebuild::Request;
use self::strategies::{Damage, damages, logs, metrics, traces};

/// Compares as bytes, in which NaN equals itself and -0.0 differs from 0.0.
#[track_caller]
fn assert_equal<R: Request>(walked: &R, expected: &R) {
    let equal = walked.encode_to_vec() == expected.encode_to_vec();
    assert!(equal, "walked:   {walked:?}\nexpected: {expected:?}");
}

/// Decodes with prost and by a walk and compares.
#[track_caller]
fn check_same<R: Request>(bytes: &[u8]) {
    match (R::decode(bytes), R::rebuild(bytes)) {
        (Ok(mut expected), Ok(walked)) => {
            expected.normalize();
            assert_equal(&walked, &expected);
        }
        (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => assert!(
            matches!(
                error.problem(),
                Problem::Repeated | Problem::ValueTooDeep | Problem::GroupTooDeep
            ),
            "prost accepts what the walk refuses: {error}"
        ),
        (Err(error), Ok(_)) => {
            let text = error.to_string();
            assert!(
                text.contains("recursion limit") || text.contains("entity_refs"),
                "the walk accepts what prost refuses: {text}"
            );
        }
    }
}

/// A valid request must come out whole, without the leniency for damaged ones.
#[track_caller]
fn check_valid<R: Request>(mut request: R) {
    let walked = R::rebuild(&request.encode_to_vec()).expect("a valid request");
    request.normalize();
    assert_equal(&walked, &request);
}

fn damaged<R: Request>(request: &R, damages: &[Damage]) -> Vec<u8> {
    let mut bytes = request.encode_to_vec();
    for damage in damages {
        damage.apply(&mut bytes);
    }
    bytes
}

fn decode_json(body: &[u8]) {
    for signal in [Signal::Traces, Signal::Metrics, Signal::Logs] {
        // Whether it decodes does not matter here.
        json::to_protobuf(signal, body).ok();
    }
}

/// Tokens that make up OTLP/JSON, so that random text gets past the first bracket.
fn json_like() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "null",
        "true",
        "-1",
        "1e999",
        "0.5",
        "\"NaN\"",
        "\"7\"",
        "\"resourceSpans\"",
        "\"scopeSpans\"",
        "\"spans\"",
        "\"traceId\"",
        "\"resourceMetrics\"",
        "\"scopeMetrics\"",
        "\"metrics\"",
        "\"gauge\"",
        "\"dataPoints\"",
        "\"asInt\"",
        "\"resourceLogs\"",
        "\"scopeLogs\"",
        "\"logRecords\"",
        "\"body\"",
        "\"arrayValue\"",
        "\"values\"",
        "\"bytesValue\"",
        "\"\\ud800\"",
        " ",
    ]);
    proptest::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

const BODY: &str = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"a","value":
    {"kvlistValue":{"values":[{"key":"b","value":{"bytesValue":"aGVsbG8="}}]}}}]},
    "scopeMetrics":[{"metrics":[{"name":"n","sum":{"isMonotonic":true,"dataPoints":[
    {"asInt":"-5","timeUnixNano":"17","exemplars":[{"asDouble":"NaN","traceId":"00ff"}]}]}},
    {"exponentialHistogram":{"dataPoints":[{"positive":{"offset":-3,"bucketCounts":["1",2]},
    "sum":1.5e3,"scale":2}]}}]}]}]}"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_walk_over_traces_finds_what_prost_encoded(request in traces()) {
        check_valid(request);
    }

    #[test]
    fn a_walk_over_metrics_finds_what_prost_encoded(request in metrics()) {
        check_valid(request);
    }

    #[test]
    fn a_walk_over_logs_finds_what_prost_encoded(request in logs()) {
        check_valid(request);
    }

    #[test]
    fn damaged_traces_mean_the_same_to_the_walk_and_to_prost(
        request in traces(),
        damages in damages(),
    ) {
        check_same::<ExportTraceServiceRequest>(&damaged(&request, &damages));
    }

    #[test]
    fn damaged_metrics_mean_the_same_to_the_walk_and_to_prost(
        request in metrics(),
        damages in damages(),
    ) {
        check_same::<ExportMetricsServiceRequest>(&damaged(&request, &damages));
    }

    #[test]
    fn damaged_logs_mean_the_same_to_the_walk_and_to_prost(
        request in logs(),
        damages in damages(),
    ) {
        check_same::<ExportLogsServiceRequest>(&damaged(&request, &damages));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_mean_the_same_to_the_walk_and_to_prost(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        check_same::<ExportTraceServiceRequest>(&bytes);
        check_same::<ExportMetricsServiceRequest>(&bytes);
        check_same::<ExportLogsServiceRequest>(&bytes);
    }

    #[test]
    fn arbitrary_text_never_panics_the_json_decoder(
        text in prop_oneof!["\\PC{0,80}", json_like()],
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        decode_json(text.as_bytes());
        decode_json(&bytes);
    }

    #[test]
    fn a_damaged_json_body_never_panics_the_decoder(damages in damages()) {
        let mut body = BODY.as_bytes().to_vec();
        for damage in &damages {
            damage.apply(&mut body);
        }
        decode_json(&body);
    }
}

#[test]
fn a_request_cut_at_any_byte_means_the_same_to_the_walk_and_to_prost() {
    let bytes = json::to_protobuf(Signal::Metrics, BODY.as_bytes()).unwrap();
    for end in 0..=bytes.len() {
        check_same::<ExportMetricsServiceRequest>(&bytes[..end]);
    }
}

#[test]
fn a_json_body_cut_at_any_byte_is_an_error() {
    for end in 0..BODY.len() {
        assert!(json::decode_metrics(&BODY.as_bytes()[..end]).is_err(), "cut at {end}");
    }
    assert!(json::decode_metrics(BODY.as_bytes()).is_ok());
}
