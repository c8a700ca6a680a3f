//! Batches to the sink: tried a few times while it can take nothing, then dropped and counted. A
//! target is asked again soon; holding its samples back would only make memory short as well.

use std::time::Duration;

use model::write::append_resolved;

use super::ingest::{Ingest, Output};

const TRIES: usize = 4;
const PAUSE: Duration = Duration::from_millis(200);

/// Writes what a target has to be written and waits until it is durable.
pub(super) async fn write(output: Output<'_>, job: &str, ingest: &mut Ingest) {
    let mut pause = PAUSE;
    for left in (0..TRIES).rev() {
        let mut is_resolved = true;
        let appended = append_resolved(|| {
            if !std::mem::replace(&mut is_resolved, false) {
                ingest.resolve_again(output);
            }
            output.sink.append(&ingest.batch)
        });
        let error = match appended {
            Ok((outcome, commit)) => match commit.await {
                Ok(()) => {
                    output.telemetry.accepted(outcome.accepted);
                    for refusal in &outcome.refused {
                        output.telemetry.refused(refusal.reason, refusal.count);
                    }
                    return;
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        if left == 0 || !error.kind().is_retryable() {
            output.telemetry.dropped_batches.inc();
            tracing::warn!(job, %error, "the samples of a scrape were dropped");
            return;
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}
