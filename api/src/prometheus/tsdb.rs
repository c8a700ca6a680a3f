//! What the store says about itself in Prometheus's words: `status/tsdb`, its blocks, its replay.

use axum::extract::State;
use model::cardinality::{Counted, HeadCardinality, StoredBlock};

use super::{Answer, operate, success};
use crate::error::Error;
use crate::json::Json;
use crate::parameters::{Parameters, parse_integer};
use crate::state::App;

/// How many rows each table of `status/tsdb` has at most.
const ROWS_MAX: usize = 10_000;

/// `status/tsdb`: where the cardinality of the series in memory comes from.
pub(super) async fn head(State(app): App, parameters: Parameters) -> Answer {
    let rows = match parameters.get("limit") {
        None => 10,
        Some(text) => {
            let number = parse_integer(text).ok().and_then(|number| usize::try_from(number).ok());
            let bad = || Error::BadRequest("limit must be a positive number".to_owned());
            number.filter(|rows| *rows > 0).ok_or_else(bad)?
        }
    };
    if rows > ROWS_MAX {
        return Err(Error::BadRequest(format!("limit must not exceed {ROWS_MAX}")).into());
    }
    let head = operate(&app, move |admin| admin.head_cardinality(rows)).await?;
    Ok(success(|json| write_head(json, &head)))
}

fn write_head(json: &mut Json, head: &HeadCardinality) {
    json.raw_fmt(format_args!(
        "{{\"headStats\":{{\"numSeries\":{},\"numLabelPairs\":{},\"chunkCount\":{},\"minTime\":{},\
         \"maxTime\":{}}}",
        head.series, head.label_pairs, head.chunks, head.start.0, head.end.0
    ));
    for (name, table) in [
        ("seriesCountByMetricName", &head.series_by_metric),
        ("labelValueCountByLabelName", &head.values_by_label),
        ("memoryInBytesByLabelName", &head.bytes_by_label),
        ("seriesCountByLabelValuePair", &head.series_by_pair),
    ] {
        json.raw_fmt(format_args!(",\"{name}\":"));
        json.array(table, |json, Counted { name, count }| {
            json.raw(r#"{"name":"#);
            json.web_string(name);
            json.raw_fmt(format_args!(",\"value\":{count}}}"));
        });
    }
    json.raw("}");
}

/// `status/tsdb/blocks`: the blocks with samples. Numbers of files stand where Prometheus has ULIDs.
pub(super) async fn blocks(State(app): App) -> Answer {
    let blocks = operate(&app, |admin| Ok(admin.blocks())).await?;
    let raw = blocks.iter().filter(|block| block.rollup_ms.is_none());
    Ok(success(|json| {
        json.raw(r#"{"blocks":"#);
        json.array(raw, write_block);
        json.raw("}");
    }))
}

fn write_block(json: &mut Json, block: &StoredBlock) {
    let samples = block.float_samples.saturating_add(block.histogram_samples);
    json.raw_fmt(format_args!(
        "{{\"ulid\":\"{number:026}\",\"minTime\":{},\"maxTime\":{},\"stats\":{{\"numSamples\":{samples},\
         \"numFloatSamples\":{},\"numHistogramSamples\":{},\"numSeries\":{}}},\"compaction\":\
         {{\"level\":{},\"sources\":[\"{number:026}\"]}},\"version\":1}}",
        block.start.0,
        block.end.0.saturating_add(1),
        block.float_samples,
        block.histogram_samples,
        block.series,
        block.level.saturating_add(1),
        number = block.number,
    ));
}

/// `status/walreplay`: how far the start is, in segments of the journal. Only whether it is over is
/// known here, so that there is one segment.
pub(super) async fn replay(State(app): App) -> Answer {
    let current = u8::from(app.state.status.has_started());
    Ok(success(|json| {
        json.raw_fmt(format_args!("{{\"min\":0,\"max\":1,\"current\":{current}}}"));
    }))
}
