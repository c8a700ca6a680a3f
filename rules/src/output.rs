//! Writes what a rule made, and ends what it no longer makes.

use std::collections::BTreeSet;

use model::sample::stale_nan;
use model::write::{FloatPoint, NO_START, SeriesBatch, append_resolved};
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
    let samples: Vec<(&Labels, f64)> = written.chain(ended).collect();
    if !samples.is_empty() {
        let appended = append_resolved(|| {
            let mut batch = SeriesBatch::default();
            for (labels, value) in &samples {
                let series = sink.series(labels)?;
                batch.points.push(FloatPoint { series, at, start: NO_START, value: *value });
            }
            sink.append(&batch)
        });
        let (outcome, commit) = appended.map_err(Error::Append)?;
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::testing::MemorySink;

    #[test]
    fn what_a_rule_made_is_not_lost_when_the_store_gives_all_series_other_ids_meanwhile() {
        let sink = MemorySink::default();
        let [a, b] = ["a", "b"].map(|name| Labels::from_pairs([("__name__", name)]));
        let mut previous = BTreeSet::new();
        let all = [(a.clone(), 1.0), (b, 2.0)];
        write(&sink, &all, TimestampMs(1), &mut previous).unwrap();
        sink.forgets.store(true, Ordering::SeqCst);
        write(&sink, &[(a, 3.0)], TimestampMs(2), &mut previous).unwrap();
        assert_eq!(sink.at(TimestampMs(2)), ["a 3", "b stale"]);
    }
}
