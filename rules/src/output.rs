//! Writes what a rule made, and ends what it no longer makes.

use std::collections::BTreeSet;

use model::sample::stale_nan;
use model::write::{FloatPoint, NO_START, SeriesBatch};
use model::{Labels, SeriesSink, TimestampMs};

use crate::error::{Error, Result};

/// Writes `series` at `at`, staleness markers for what is in `previous` only, and waits until they
/// are durable. Then `previous` holds `series`.
pub(crate) fn write(
    sink: &dyn SeriesSink,
    series: &[(Labels, f64)],
    at: TimestampMs,
    previous: &mut BTreeSet<Labels>,
) -> Result<()> {
    let current: BTreeSet<Labels> = series.iter().map(|(labels, _)| labels.clone()).collect();
    let ended = previous.difference(&current).map(|labels| (labels, stale_nan()));
    let written = series.iter().map(|(labels, value)| (labels, *value));
    let mut batch = SeriesBatch::default();
    for (labels, value) in written.chain(ended) {
        let series = sink.series(labels).map_err(Error::Append)?;
        batch.points.push(FloatPoint { series, at, start: NO_START, value });
    }
    if !batch.points.is_empty() {
        let (outcome, commit) = sink.append(&batch).map_err(Error::Append)?;
        for refusal in &outcome.refused {
            tracing::warn!(
                reason = refusal.reason,
                count = refusal.count,
                example = refusal.example,
                "samples of a rule were refused"
            );
        }
        commit.wait().map_err(Error::Append)?;
    }
    *previous = current;
    Ok(())
}
