//! What no SDK sends: cut and broken bodies, bombs, absurd values, connections that say nothing.
//! Each is refused with the right words, counted, and costs nobody else anything.

mod bombs;

use std::time::Duration;

use prost::Message as _;
use proto::generated::google::rpc;
use proto::generated::opentelemetry::proto::collector;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::otlp::{self, LOGS, METRICS, TRACES};
use crate::support::{Answer, Server, eventually, now_ms, now_ns};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
const LOGS_EXPORT: &str = "opentelemetry.proto.collector.logs.v1.LogsService/Export";
const TRACES_EXPORT: &str = "opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// gRPC's numbers of codes.
const INVALID_ARGUMENT: &str = "3";
const RESOURCE_EXHAUSTED: &str = "8";
const UNIMPLEMENTED: &str = "12";

/// No single request, whatever is in it, may make the process grow by more than this.
const RSS_GROWTH_BYTES_MAX: u64 = 100 << 20;

async fn refused_requests(server: &Server, reason: &str) -> f64 {
    let reason = format!("reason=\"{reason}\"");
    server.own_metric("signalbox_otlp_refused_requests_total", &[&reason]).await
}

async fn refused_items(server: &Server, signal: &str, reason: &str) -> f64 {
    let labels = [format!("signal=\"{signal}\""), format!("reason=\"{reason}\"")];
    let labels = [labels[0].as_str(), labels[1].as_str()];
    server.own_metric("signalbox_otlp_refused_items_total", &labels).await
}

/// The server takes a log line and finds it again.
async fn still_serves(server: &Server) {
    let at = now_ns();
    server.send(LOGS, &otlp::logs("healthy", vec![otlp::record(at, "still here")])).await;
    assert_eq!(server.lines(r#"{service_name="healthy"}"#, at, at + 1).await.len(), 1);
    assert_eq!(server.get("/-/ready").await.status, 200);
}

/// A whole request is refused over HTTP with a status and a sentence, counted, and forgotten.
async fn is_refused(
    server: &Server,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
    (status, reason): (u16, &str),
) {
    let before = refused_requests(server, reason).await;
    let answer = server.post(path, headers, body).await;
    assert_eq!(answer.status, status, "{reason}: {}", answer.text());
    assert!(!answer.header("retry-after").contains(char::is_numeric), "{reason}: never again");
    if headers.contains(&PROTOBUF) && status != 415 {
        let told = rpc::Status::decode(&*answer.body).unwrap();
        assert!(!told.message.is_empty(), "{reason}: {told:?}");
    }
    assert_eq!(refused_requests(server, reason).await, before + 1.0, "{reason} is counted");
    still_serves(server).await;
}

/// The same over gRPC.
async fn is_refused_by_grpc(
    server: &Server,
    (encoding, message): (Option<&str>, &[u8]),
    (code, reason): (&str, &str),
) {
    let before = refused_requests(server, reason).await;
    let headers: Vec<_> = encoding.map(|name| ("grpc-encoding", name)).into_iter().collect();
    let answer = server.call(LOGS_EXPORT, &headers, encoding.is_some(), message).await;
    assert_eq!((answer.status, answer.header("grpc-status")), (200, code), "{answer:?}");
    assert!(!answer.header("grpc-message").is_empty(), "{answer:?}");
    assert_eq!(refused_requests(server, reason).await, before + 1.0, "{reason} is counted");
    still_serves(server).await;
}

fn one_line(text: &str) -> Vec<u8> {
    otlp::logs("victim", vec![otlp::record(now_ns(), text)]).encode_to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_protobuf_is_refused_whole() {
    let server = Server::start().await;
    let log = one_line("a line that is cut in its middle");
    let span = otlp::traces("victim", vec![otlp::span(1, 1, "cut", now_ns())]).encode_to_vec();
    let points = vec![otlp::point(now_ms(), 1.0, vec![otlp::attribute("a", "b")])];
    let metric = otlp::gauge("victim", "cut", points).encode_to_vec();
    for (path, body) in [(LOGS, &log), (TRACES, &span), (METRICS, &metric)] {
        for length in [1, body.len() / 2, body.len() - 1] {
            let cut = body[..length].to_vec();
            is_refused(&server, path, &[PROTOBUF], cut, (400, "bad_protobuf")).await;
        }
    }
    let cut = &log[..log.len() / 2];
    is_refused_by_grpc(&server, (None, cut), (INVALID_ARGUMENT, "bad_protobuf")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_compression_is_refused() {
    let server = Server::start().await;
    let mut gzip = bombs::gzip(&one_line("a line that is packed and then hit by a stone"));
    let middle = gzip.len() / 2;
    gzip[middle] ^= 0xff;
    for (name, body) in [
        ("gzip", gzip.clone()),
        ("gzip", b"not gzip at all".to_vec()),
        ("gzip", gzip[..4].to_vec()),
        ("zstd", gzip.clone()),
        ("deflate", b"\x78\x9c and then nothing good".to_vec()),
    ] {
        let headers = [PROTOBUF, ("content-encoding", name)];
        is_refused(&server, LOGS, &headers, body, (400, "bad_compression")).await;
    }
    let refusal = (INVALID_ARGUMENT, "bad_compression");
    is_refused_by_grpc(&server, (Some("gzip"), &gzip), refusal).await;
    is_refused_by_grpc(&server, (Some("zstd"), &gzip), refusal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_is_refused_at_the_limit_and_memory_stays_small() {
    let server = Server::start().await;
    let before_bytes = server.rss_peak_bytes();
    for (name, bomb) in
        [("gzip", bombs::gzip_of_a_gibibyte()), ("zstd", bombs::zstd_of_a_gibibyte())]
    {
        println!("the {name} bomb has {} bytes", bomb.len());
        for content_type in [PROTOBUF, JSON] {
            let headers = [content_type, ("content-encoding", name)];
            is_refused(&server, LOGS, &headers, bomb.clone(), (413, "too_large")).await;
        }
        let refusal = (RESOURCE_EXHAUSTED, "too_large");
        is_refused_by_grpc(&server, (Some(name), &bomb), refusal).await;
    }
    // A window as wide as zstd knows wants memory of its own. RFC 9659 lets a server refuse it.
    let headers = [PROTOBUF, ("content-encoding", "zstd")];
    let answer = server.post(LOGS, &headers, bombs::zstd_with_a_wide_window()).await;
    assert!([400, 413].contains(&answer.status), "{}", answer.text());
    still_serves(&server).await;
    let peak_bytes = server.rss_peak_bytes();
    println!("peak RSS: {} MiB, {} MiB before the bombs", peak_bytes >> 20, before_bytes >> 20);
    let grown_bytes = peak_bytes - before_bytes;
    assert!(grown_bytes < RSS_GROWTH_BYTES_MAX, "the process grew by {grown_bytes} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_type_or_encoding_that_is_not_served_is_415() {
    let server = Server::start().await;
    for headers in [
        &[("content-type", "text/plain")][..],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[],
    ] {
        is_refused(&server, LOGS, headers, one_line("x"), (415, "content_type")).await;
    }
    let headers = [PROTOBUF, ("content-encoding", "br")];
    is_refused(&server, LOGS, &headers, one_line("x"), (415, "content_encoding")).await;
    is_refused_by_grpc(&server, (Some("br"), b"x"), (UNIMPLEMENTED, "content_encoding")).await;
}

/// Replaces a text in a message by bytes that are no UTF-8.
fn spoil(mut body: Vec<u8>, text: &str) -> Vec<u8> {
    let at = body.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    body[at..at + text.len()].fill(0xff);
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_is_no_utf8_is_refused() {
    let server = Server::start().await;
    let mut span = otlp::span(1, 1, "SPOILED", now_ns());
    let name = otlp::traces("victim", vec![span.clone()]).encode_to_vec();
    span.name = "good".to_owned();
    span.attributes = vec![otlp::attribute("SPOILED", "value")];
    let key = otlp::traces("victim", vec![span]).encode_to_vec();
    let points = vec![otlp::point(now_ms(), 1.0, vec![otlp::attribute("key", "SPOILED")])];
    let label = otlp::gauge("victim", "m", points).encode_to_vec();
    for (path, body) in
        [(LOGS, one_line("SPOILED")), (TRACES, name), (TRACES, key), (METRICS, label)]
    {
        let body = spoil(body, "SPOILED");
        is_refused(&server, path, &[PROTOBUF], body, (400, "bad_protobuf")).await;
    }
    let json = spoil(br#"{"resourceLogs":[{"schemaUrl":"SPOILED"}]}"#.to_vec(), "SPOILED");
    is_refused(&server, LOGS, &[JSON], json, (400, "bad_json")).await;
    let body = spoil(one_line("SPOILED"), "SPOILED");
    is_refused_by_grpc(&server, (None, &body), (INVALID_ARGUMENT, "bad_protobuf")).await;
}

/// How many items an answer says were rejected, and why.
fn rejected(path: &str, answer: &Answer) -> (i64, String) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = &*answer.body;
    let partial = match path {
        TRACES => collector::trace::v1::ExportTraceServiceResponse::decode(body)
            .unwrap()
            .partial_success
            .map(|partial| (partial.rejected_spans, partial.error_message)),
        METRICS => collector::metrics::v1::ExportMetricsServiceResponse::decode(body)
            .unwrap()
            .partial_success
            .map(|partial| (partial.rejected_data_points, partial.error_message)),
        _ => collector::logs::v1::ExportLogsServiceResponse::decode(body)
            .unwrap()
            .partial_success
            .map(|partial| (partial.rejected_log_records, partial.error_message)),
    };
    partial.unwrap_or_default()
}

/// Sends a request of which `wanted` items, by signal and reason, are rejected.
async fn is_partly_rejected(server: &Server, path: &str, body: Vec<u8>, wanted: &[(&str, i64)]) {
    let signal = path.trim_start_matches("/v1/");
    let mut before = Vec::new();
    for (reason, _) in wanted {
        before.push(refused_items(server, signal, reason).await);
    }
    let (count, message) = rejected(path, &server.post(path, &[PROTOBUF], body).await);
    assert_eq!(count, wanted.iter().map(|(_, count)| count).sum::<i64>(), "{message}");
    for ((reason, count), before) in wanted.iter().zip(before) {
        assert!(message.contains(reason), "{message}");
        let moved = refused_items(server, signal, reason).await - before;
        assert_eq!(moved, *count as f64, "{signal}: {reason}");
    }
    still_serves(server).await;
}

/// A negative time, the largest number, the year 2500: none fits into signed nanoseconds.
const UNREPRESENTABLE: [u64; 3] = [(-5_i64).cast_unsigned(), u64::MAX, 16_725_225_600_000_000_000];
/// 2200-01-01: representable, and absurd for something that has happened.
const YEAR_2200_NS: u64 = 7_258_118_400_000_000_000;
const TIME_REFUSALS: [(&str, i64); 2] = [("timestamp_out_of_range", 3), ("too_far_in_future", 1)];

#[tokio::test(flavor = "multi_thread")]
async fn absurd_times_are_rejected_one_by_one_and_the_rest_is_kept() {
    let server = Server::start().await;
    let good = now_ns();
    let times: Vec<u64> = UNREPRESENTABLE.into_iter().chain([YEAR_2200_NS, good]).collect();

    let records = times.iter().map(|time| otlp::record(*time, "a line")).collect();
    let body = otlp::logs("absurd", records).encode_to_vec();
    is_partly_rejected(&server, LOGS, body, &TIME_REFUSALS).await;
    assert_eq!(server.lines(r#"{service_name="absurd"}"#, good, good + 1).await.len(), 1);

    let spans = times.iter().zip(1..).map(|(time, id)| otlp::span(7, id, "op", *time)).collect();
    let body = otlp::traces("absurd", spans).encode_to_vec();
    is_partly_rejected(&server, TRACES, body, &TIME_REFUSALS).await;
    let spans = server.trace(7).await;
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert_eq!(spans[0].1.start_time_unix_nano, good);

    let to_point = |(time, n): (&u64, u64)| {
        let mut point = otlp::point(1, 1.0, vec![otlp::attribute("n", n.to_string())]);
        point.time_unix_nano = *time;
        point
    };
    let points = times.iter().zip(1..).map(to_point).collect();
    let body = otlp::gauge("absurd", "absurd", points).encode_to_vec();
    is_partly_rejected(&server, METRICS, body, &TIME_REFUSALS).await;
    assert_eq!(server.number("count(absurd)").await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_negative_time_in_json_is_refused() {
    let server = Server::start().await;
    let json = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"-5"}]}]}]}"#;
    is_refused(&server, LOGS, &[JSON], json.into(), (400, "bad_json")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_attributes_reject_their_item_only() {
    let server = Server::start().await;
    let many: Vec<_> = (0..10_000).map(|n| otlp::attribute(format!("key{n}"), "value")).collect();
    let wanted = [("too_many_attributes", 1)];
    let at = now_ns();

    let mut record = otlp::record(at, "decorated");
    record.attributes = many.clone();
    let records = vec![record, otlp::record(at, "plain")];
    is_partly_rejected(&server, LOGS, otlp::logs("tree", records).encode_to_vec(), &wanted).await;
    let lines = server.lines(r#"{service_name="tree"}"#, at, at + 1).await;
    assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["plain"]);

    let mut span = otlp::span(8, 1, "decorated", at);
    span.attributes = many.clone();
    let spans = vec![span, otlp::span(8, 2, "plain", at)];
    let body = otlp::traces("tree", spans).encode_to_vec();
    is_partly_rejected(&server, TRACES, body, &wanted).await;
    let spans = server.trace(8).await;
    assert_eq!(spans.iter().map(|(_, span)| span.name.as_str()).collect::<Vec<_>>(), ["plain"]);

    let points = vec![otlp::point(now_ms(), 1.0, many), otlp::point(now_ms(), 2.0, vec![])];
    let body = otlp::gauge("tree", "decorations", points).encode_to_vec();
    is_partly_rejected(&server, METRICS, body, &wanted).await;
    assert_eq!(server.number("decorations").await, Some(2.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn values_nested_a_thousand_deep_are_refused() {
    let server = Server::start().await;
    let mut value = otlp::text("the bottom");
    for _ in 0..1000 {
        let values = value.into_iter().collect();
        let array = otlp::Value::ArrayValue(otlp::ArrayValue { values });
        value = Some(otlp::AnyValue { value: Some(array) });
    }
    let mut record = otlp::record(now_ns(), "a well");
    record.attributes = vec![otlp::KeyValue { value, ..otlp::attribute("deep", "") }];
    let body = otlp::logs("victim", vec![record]).encode_to_vec();
    is_refused(&server, LOGS, &[PROTOBUF], body.clone(), (400, "bad_protobuf")).await;
    is_refused_by_grpc(&server, (None, &body), (INVALID_ARGUMENT, "bad_protobuf")).await;

    let (open, close) = (r#"{"arrayValue":{"values":["#.repeat(1000), "]}}".repeat(1000));
    let json = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{open}{close}}}]}}]}}]}}"#
    );
    is_refused(&server, LOGS, &[JSON], json.into(), (400, "bad_json")).await;
    // OTLP wants unknown keys ignored, which must not recurse either.
    let json = format!(r#"{{"unknown":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(server.post(LOGS, &[JSON], json).await.status, 200);
    still_serves(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_or_stop_halfway_block_nobody() {
    let server = Server::start().await;
    let half_head: &[u8] = b"POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-ty";
    let half_body: &[u8] = b"POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\
                             content-type: application/x-protobuf\r\n\r\n\x0a";
    let http2_preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut open = Vec::new();
    for address in [server.addresses.http, server.addresses.grpc, server.addresses.query] {
        for said in [b"".as_slice(), half_head, half_body, http2_preface] {
            for _ in 0..50 {
                let mut connection = TcpStream::connect(address).await.unwrap();
                connection.write_all(said).await.unwrap();
                open.push(connection);
            }
        }
    }
    let served = tokio::time::timeout(Duration::from_secs(5), async {
        still_serves(&server).await;
        let answer = server.call(TRACES_EXPORT, &[], false, b"").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    });
    served.await.expect("others are answered at once");
    // A body that breaks off is counted and its connection is gone.
    let before = refused_requests(&server, "broken_body").await;
    drop(open);
    eventually("the broken bodies are counted", async || {
        (refused_requests(&server, "broken_body").await >= before + 100.0).then_some(())
    })
    .await;
    still_serves(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_methods_that_do_not_exist_are_named() {
    let server = Server::start().await;
    for path in ["/v1/profiles", "/v2/logs", "/", "/v1/logs/"] {
        let answer = server.post(path, &[PROTOBUF], one_line("x")).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    for path in ["/api/v1/nothing", "/loki/api/v9/query", "/alertmanager/api/v1/alerts", "/x"] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
    // The query port takes OTLP as well, and only by POST.
    for path in [LOGS, TRACES, METRICS, "/otlp/v1/logs"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "POST"), "{path}");
    }
    let answer = server.call("opentelemetry.proto.Unknown/Export", &[], false, b"").await;
    assert_eq!(answer.header("grpc-status"), UNIMPLEMENTED, "{answer:?}");
    still_serves(&server).await;
}
