//! Values of LogQL as JSON (loki `pkg/util/marshal`).

use std::time::Duration;

use http::HeaderMap;
use query::logql::{LogEntry, LogResult, LogStats, LogStream, Value};
use query::promql::{self, SampleValue};

use crate::json::Json;

const FLAG: &str = "categorize-labels";

/// Whether the client wants each label of a line with its kind. If so, every value is a triple and
/// the answer says so before its first value.
pub(super) fn wants_categories(headers: &HeaderMap) -> bool {
    let values = headers.get_all("x-loki-response-encoding-flags").iter();
    values
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|flag| flag.trim().eq_ignore_ascii_case(FLAG)))
}

/// The cost of a query.
pub(super) struct Cost {
    pub(super) stats: LogStats,
    pub(super) queued: Duration,
    pub(super) evaluated: Duration,
}

/// The whole answer of a query.
pub(super) fn write_answer(
    json: &mut Json,
    value: Value,
    categorized: bool,
    cost: &Cost,
    warnings: &[String],
) {
    json.raw(r#"{"status":"success","data":{"resultType":""#);
    json.raw(match &value {
        Value::Streams(_) => "streams",
        Value::Metric(promql::Value::Scalar { .. }) => "scalar",
        Value::Metric(promql::Value::String { .. }) => "string",
        Value::Metric(promql::Value::Vector(_)) => "vector",
        Value::Metric(promql::Value::Matrix(_)) => "matrix",
    });
    json.raw(if categorized {
        r#"","encodingFlags":["categorize-labels"],"result":"#
    } else {
        r#"","result":"#
    });
    let returned = match value {
        Value::Streams(result) => write_streams(json, result, categorized),
        Value::Metric(value) => write_metric(json, &value),
    };
    json.raw(r#","stats":"#);
    write_stats(json, cost, returned);
    json.raw("}");
    if !warnings.is_empty() {
        json.raw(r#","warnings":"#);
        json.strings(warnings);
    }
    json.raw("}");
}

fn write_streams(json: &mut Json, result: LogResult, categorized: bool) -> usize {
    let streams = if categorized { result.streams } else { result.grouped_by_all_labels() };
    write_stream_list(json, &streams, categorized);
    streams.iter().map(|stream| stream.entries.len()).sum()
}

/// Streams: `stream` before `values`, since Grafana's parser streams.
pub(super) fn write_stream_list(json: &mut Json, streams: &[LogStream], categorized: bool) {
    json.array(streams, |json, stream| {
        json.raw(r#"{"stream":"#);
        json.labels(&stream.labels);
        json.raw(r#","values":"#);
        json.array(&stream.entries, |json, entry| write_entry(json, entry, categorized));
        json.raw("}");
    });
}

fn write_entry(json: &mut Json, entry: &LogEntry, categorized: bool) {
    json.raw_fmt(format_args!("[\"{}\",", entry.at.0));
    json.string(&entry.line);
    if categorized {
        // The object is there even if it is empty: Grafana reads triples or pairs, not both.
        json.raw(",{");
        let mut has_any = false;
        for (name, pairs) in [("structuredMetadata", &entry.metadata), ("parsed", &entry.parsed)] {
            if pairs.is_empty() {
                continue;
            }
            json.raw(if has_any { "," } else { "" });
            has_any = true;
            json.string(name);
            json.raw(":");
            json.object(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        }
        json.raw("}");
    }
    json.raw("]");
}

fn write_metric(json: &mut Json, value: &promql::Value) -> usize {
    match value {
        promql::Value::Scalar { at, value } => {
            write_point(json, at.0, *value);
            1
        }
        promql::Value::String { at, value } => {
            json.raw("[");
            json.short_timestamp(at.0);
            json.raw(",");
            json.string(value);
            json.raw("]");
            1
        }
        promql::Value::Vector(vector) => {
            json.array(vector, |json, sample| {
                json.raw(r#"{"metric":"#);
                json.labels(&sample.labels);
                json.raw(r#","value":"#);
                let value = match &sample.value {
                    SampleValue::Float(value) => *value,
                    // LogQL makes no histograms.
                    SampleValue::Histogram(_) => f64::NAN,
                };
                write_point(json, sample.at.0, value);
                json.raw("}");
            });
            vector.len()
        }
        promql::Value::Matrix(matrix) => {
            json.array(matrix, |json, series| {
                json.raw(r#"{"metric":"#);
                json.labels(&series.labels);
                json.raw(r#","values":"#);
                json.array(&series.points, |json, (at, value)| write_point(json, at.0, *value));
                json.raw("}");
            });
            matrix.len()
        }
    }
}

pub(super) fn write_point(json: &mut Json, at_ms: i64, value: f64) {
    json.raw("[");
    json.short_timestamp(at_ms);
    json.raw(",");
    json.decimal_float(value);
    json.raw("]");
}

/// The numbers that Grafana's inspector shows. Loki has an object for each of its services; what a
/// single process does not have is zero.
pub(super) fn write_stats(json: &mut Json, cost: &Cost, returned: usize) {
    let (queued, evaluated) = (cost.queued.as_secs_f64(), cost.evaluated.as_secs_f64());
    let LogStats { lines_read, bytes_read, lines_matched } = cost.stats;
    let per_second = |count: u64| {
        if evaluated > 0.0 { (count as f64 / evaluated) as u64 } else { 0 }
    };
    json.raw_fmt(format_args!(
        "{{\"summary\":{{\"bytesProcessedPerSecond\":{},\"linesProcessedPerSecond\":{},\
         \"totalBytesProcessed\":{bytes_read},\"totalLinesProcessed\":{lines_read},\
         \"execTime\":{evaluated},\"queueTime\":{queued},\"subqueries\":0,\
         \"totalEntriesReturned\":{returned},\"splits\":0,\"shards\":0,\
         \"totalPostFilterLines\":{lines_matched},\"totalStructuredMetadataBytesProcessed\":0}},",
        per_second(bytes_read),
        per_second(lines_read),
    ));
    json.raw_fmt(format_args!(
        "\"store\":{{\"totalChunksRef\":0,\"totalChunksDownloaded\":0,\"chunksDownloadTime\":0,\
         \"headChunkBytes\":0,\"headChunkLines\":0,\"decompressedBytes\":{bytes_read},\
         \"decompressedLines\":{lines_read},\"compressedBytes\":0,\"totalDuplicates\":0}},\
         \"ingester\":{{\"totalReached\":0,\"totalChunksMatched\":0,\"totalBatches\":0,\
         \"totalLinesSent\":0,\"headChunkBytes\":0,\"headChunkLines\":0,\"decompressedBytes\":0,\
         \"decompressedLines\":0,\"compressedBytes\":0,\"totalDuplicates\":0}}}}"
    ));
}
