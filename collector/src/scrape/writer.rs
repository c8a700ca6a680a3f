//! Batches to the sink: tried a few times while it can take nothing, then dropped and counted. A
//! target is asked again soon; holding its samples back would only make memory short as well.

use std::time::Duration;

use model::write::SeriesBatch;

use super::Shared;

const TRIES: usize = 4;
const PAUSE: Duration = Duration::from_millis(200);

/// Writes a batch and waits until it is durable.
pub(super) async fn write(shared: &Shared, job: &str, batch: &SeriesBatch) {
    let mut pause = PAUSE;
    for left in (0..TRIES).rev() {
        let appended = shared.sink.append(batch);
        let error = match appended {
            Ok((outcome, commit)) => match commit.await {
                Ok(()) => {
                    shared.telemetry.accepted(outcome.accepted);
                    for refusal in &outcome.refused {
                        shared.telemetry.refused(refusal.reason, refusal.count);
                    }
                    return;
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        if left == 0 || !error.kind().is_retryable() {
            shared.telemetry.dropped_batches.inc();
            tracing::warn!(job, %error, "the samples of a scrape were dropped");
            return;
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}
