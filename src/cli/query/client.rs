//! One request to a server's query API.

use std::time::Duration;

use anyhow::{Context, anyhow};
use reqwest::Url;

use super::When;
use super::answer::Envelope;

/// The most bytes of an answer that is not JSON to be quoted.
const QUOTED_BYTES_MAX: usize = 300;

/// Asks `server`. Fails if there is no answer or one that is not of Prometheus's API; an answer
/// that says what is wrong with the query is an answer.
pub(super) fn ask(
    server: &str,
    query: &str,
    when: When,
    timeout_ms: i64,
) -> anyhow::Result<Envelope> {
    let (url, form) = request(server, query, when, timeout_ms)?;
    let (status, answer) = post(server, &url, &[], &form, timeout_ms)?;
    serde_json::from_slice(&answer).map_err(|_| {
        let start = answer.get(..QUOTED_BYTES_MAX).unwrap_or(&answer);
        let start = String::from_utf8_lossy(start);
        anyhow!("{url} answered {status} without JSON: {}", start.trim().escape_debug())
    })
}

/// Sends a form and answers the status and the body. A form has no limit of length, which an
/// address has.
pub(super) fn post(
    server: &str,
    url: &Url,
    headers: &[(&str, &str)],
    form: &[(&str, String)],
    timeout_ms: i64,
) -> anyhow::Result<(u16, Vec<u8>)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let mut encoded = url.clone();
    encoded.query_pairs_mut().extend_pairs(form);
    let body = encoded.query().unwrap_or_default().to_owned();
    let timeout = Duration::from_millis(timeout_ms.unsigned_abs());
    runtime.block_on(async {
        let mut request = client(timeout)?
            .post(url.clone())
            .header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.body(body).send().await.map_err(|error| {
            let cause = anyhow::Error::from(error);
            let cause = cause.root_cause();
            anyhow!("no answer from {server}: {cause} (--server says where to ask)")
        })?;
        let status = response.status().as_u16();
        let answer = response.bytes().await.with_context(|| format!("read from {server}"))?;
        Ok((status, answer.to_vec()))
    })
}

type Form = Vec<(&'static str, String)>;

/// The address and the form.
fn request(server: &str, query: &str, when: When, timeout_ms: i64) -> anyhow::Result<(Url, Form)> {
    let seconds = |ms: i64| format!("{}", ms as f64 / 1000.0);
    let mut form = vec![("query", query.to_owned()), ("timeout", seconds(timeout_ms))];
    let path = match when {
        When::At(at) => {
            form.push(("time", seconds(at.0)));
            "query"
        }
        When::Range { start, end, step_ms } => {
            form.extend(
                [("start", start.0), ("end", end.0), ("step", step_ms)]
                    .map(|(name, ms)| (name, seconds(ms))),
            );
            "query_range"
        }
    };
    let server = server.trim_end_matches('/');
    // As people write it: localhost:4319.
    let scheme = if server.contains("://") { "" } else { "http://" };
    let address = format!("{scheme}{server}/api/v1/{path}");
    let url = Url::parse(&address).with_context(|| format!("{server:?} is no address"))?;
    Ok((url, form))
}

fn client(timeout: Duration) -> anyhow::Result<reqwest::Client> {
    /// The server is given the first word on a query that takes too long.
    const GRACE: Duration = Duration::from_secs(5);
    // Fails only if there is a provider already, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = || {
        reqwest::Client::builder()
            .user_agent(concat!("signalbox/", env!("CARGO_PKG_VERSION")))
            .timeout(timeout.saturating_add(GRACE))
    };
    // A machine without root certificates can still ask by plain HTTP.
    let without_roots =
        || builder().tls_certs_only(std::iter::empty::<reqwest::Certificate>()).build();
    builder().build().or_else(|_| without_roots()).context("make an HTTP client")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::TimestampMs;

    #[test]
    fn a_query_goes_as_a_form_to_the_path_of_its_kind() {
        let text = |form: &Form| {
            let pairs: Vec<String> = form.iter().map(|(n, v)| format!("{n}={v}")).collect();
            pairs.join("&")
        };
        let at = When::At(TimestampMs(1500));
        let (url, form) = request("localhost:4319/", "a + b", at, 30_000).unwrap();
        assert_eq!(url.as_str(), "http://localhost:4319/api/v1/query");
        assert_eq!(text(&form), "query=a + b&timeout=30&time=1.5");
        let range = When::Range { start: TimestampMs(0), end: TimestampMs(60_000), step_ms: 500 };
        let (url, form) = request("http://host/prometheus", "a", range, 1000).unwrap();
        assert_eq!(url.as_str(), "http://host/prometheus/api/v1/query_range");
        assert_eq!(text(&form), "query=a&timeout=1&start=0&end=60&step=0.5");
    }
}
