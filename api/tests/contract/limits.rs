//! Queries are bounded in number, and end when nobody waits for them.

use std::sync::Arc;
use std::time::Duration;

use api::ApiOptions;
use axum::body::Body;
use http::Request;
use model::read::{RangeMs, SeriesRequest, SeriesStream};
use model::sample::{Exemplar, MetricMetadata};
use model::{ErrorKind, Labels, Matcher, QueryContext, Result, SeriesSource};
use tokio::sync::Notify;
use tower::ServiceExt;

use crate::fixture::Fixture;

/// Never answers; only cancelling ends its queries.
#[derive(Default)]
struct Stuck {
    started: Notify,
    canceled: Notify,
}

impl Stuck {
    fn wait(&self, context: &QueryContext) -> model::Error {
        self.started.notify_one();
        loop {
            std::thread::yield_now();
            if let Err(error) = context.check() {
                if error.kind() == ErrorKind::Canceled {
                    self.canceled.notify_one();
                }
                return error;
            }
        }
    }
}

impl SeriesSource for Stuck {
    fn select<'a>(
        &'a self,
        _request: &SeriesRequest,
        context: &'a QueryContext,
    ) -> Result<SeriesStream<'a>> {
        Err(self.wait(context))
    }

    fn label_names(
        &self,
        _matchers: &[Matcher],
        _range: RangeMs,
        context: &QueryContext,
    ) -> Result<Vec<String>> {
        Err(self.wait(context))
    }

    fn label_values(
        &self,
        _name: &str,
        _matchers: &[Matcher],
        _range: RangeMs,
        context: &QueryContext,
    ) -> Result<Vec<String>> {
        Err(self.wait(context))
    }

    fn exemplars(
        &self,
        _matchers: &[Matcher],
        _range: RangeMs,
        context: &QueryContext,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>> {
        Err(self.wait(context))
    }

    fn metadata(&self) -> Result<Vec<(String, MetricMetadata)>> {
        Ok(Vec::new())
    }
}

fn one_at_a_time() -> ApiOptions {
    ApiOptions {
        queries_concurrent_max: 1,
        queue_timeout: Duration::from_millis(20),
        ..ApiOptions::default()
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_query_and_frees_the_slot() {
    let stuck = Arc::new(Stuck::default());
    let fixture = Fixture::with(one_at_a_time(), stuck.clone());
    let request = Request::get("/api/v1/query?query=up").body(Body::empty()).unwrap();
    let client = tokio::spawn(fixture.router.clone().oneshot(request));
    stuck.started.notified().await;

    let reply = fixture.get("/api/v1/query?query=1").await;
    assert_eq!(reply.status, 503);
    assert_eq!(
        reply.text(),
        r#"{"status":"error","errorType":"unavailable","error":"1 queries run already (queries_concurrent_max) and none ended within 20ms; try again later"}"#
    );

    client.abort();
    stuck.canceled.notified().await;
    // The slot comes back with the end of the evaluation.
    while fixture.get("/api/v1/query?query=1").await.status != 200 {}
}

#[tokio::test]
async fn a_query_that_runs_out_of_time_says_so() {
    let stuck = Arc::new(Stuck::default());
    let fixture = Fixture::with(ApiOptions::default(), stuck.clone());
    let request = Request::get("/api/v1/query?query=up&timeout=1s").body(Body::empty()).unwrap();
    let client = tokio::spawn(fixture.router.clone().oneshot(request));
    stuck.started.notified().await;
    fixture.clock.advance(Duration::from_secs(2));
    let response = client.await.unwrap().unwrap();
    assert_eq!(response.status(), 503);
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
    assert_eq!(
        String::from_utf8_lossy(&bytes),
        r#"{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation: the query ran longer than its limit of 1s"}"#
    );
}
