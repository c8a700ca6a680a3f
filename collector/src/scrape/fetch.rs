//! One HTTP request: asking a target for its text, within time and size.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use model::ErrorKind;

use super::config::{Auth, Job, SecretSource, Tls};
use super::target::Target;
use crate::body::{self, Encoding};
use crate::exposition::Format;
use crate::otlp::receiver::off_loop;

/// What is asked for, best first; Prometheus 3 without protobuf.
const ACCEPT: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
    application/openmetrics-text;version=0.0.1;q=0.5,\
    text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

const REDIRECTS_MAX: usize = 10;

/// How long a connection without a scrape is kept; most intervals are shorter.
const IDLE: Duration = Duration::from_secs(300);

/// A body and its language.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) body: Bytes,
    pub(super) format: Format,
}

/// Asks the targets of one job.
#[derive(Debug)]
pub(super) struct Fetcher {
    client: reqwest::Client,
    auth: Option<Auth>,
    body_bytes_max: usize,
    fallback: Option<Format>,
}

impl Fetcher {
    pub(super) fn new(job: &Job) -> Result<Fetcher, String> {
        Ok(Fetcher {
            client: client(job)?,
            auth: job.auth.clone(),
            body_bytes_max: job.body_bytes_max,
            fallback: job.fallback,
        })
    }

    pub(super) async fn fetch(&self, target: &Target) -> Result<Fetched, String> {
        let timeout = target.timeout;
        match tokio::time::timeout(timeout, self.fetch_unbounded(target)).await {
            Ok(result) => result,
            Err(_) => Err(format!("the target did not answer within {timeout:?}")),
        }
    }

    async fn fetch_unbounded(&self, target: &Target) -> Result<Fetched, String> {
        let mut request = self
            .client
            .get(target.url.clone())
            .header("accept", ACCEPT)
            .header("accept-encoding", "gzip")
            .header(
                "x-prometheus-scrape-timeout-seconds",
                target.timeout.as_secs_f64().to_string(),
            );
        request = match &self.auth {
            None => request,
            Some(Auth::Basic { username, password }) => {
                request.basic_auth(username, Some(expose(password).await?))
            }
            Some(Auth::Header { scheme, credentials }) => {
                let value = format!("{scheme} {}", expose(credentials).await?);
                request.header("authorization", value)
            }
        };
        let mut answer = request.send().await.map_err(|e| describe(&e.without_url()))?;
        let status = answer.status();
        if status != reqwest::StatusCode::OK {
            return Err(format!("server returned HTTP status {status}"));
        }
        let header = |name: &str| {
            let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let format = self.format_of(&header("content-type"))?;
        let encoding = header("content-encoding");
        let encoding = Encoding::parse(&encoding)
            .ok_or_else(|| format!("the body's encoding {encoding:?} was not asked for"))?;
        let limit = self.body_bytes_max;
        let too_large = || format!("body size limit exceeded: {limit} bytes");
        let mut wire = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| describe(&e.without_url()))? {
            if wire.len() + chunk.len() > limit {
                return Err(too_large());
            }
            wire.extend_from_slice(&chunk);
        }
        let wire = wire.freeze();
        let body = off_loop(wire.len(), || body::decompress(wire, encoding, limit));
        let body = body.map_err(|rejection| match rejection.kind {
            ErrorKind::TooLarge => too_large(),
            _ => rejection.message,
        })?;
        Ok(Fetched { body, format })
    }

    /// Which language a content type names.
    fn format_of(&self, content_type: &str) -> Result<Format, String> {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        match media.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" => Ok(Format::OpenMetrics),
            "text/plain" => Ok(Format::Text),
            _ => self.fallback.ok_or_else(|| {
                format!(
                    "content type {content_type:?} is neither Prometheus text nor OpenMetrics, and \
                     the job has no fallback_scrape_protocol"
                )
            }),
        }
    }
}

async fn expose(secret: &SecretSource) -> Result<String, String> {
    match secret {
        SecretSource::Inline(secret) => Ok(secret.expose().to_owned()),
        SecretSource::File(path) => match tokio::fs::read_to_string(path).await {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(error) => Err(format!("read the secret in {}: {error}", path.display())),
        },
    }
}

/// An error with its causes, which is where the useful words are.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn client(job: &Job) -> Result<reqwest::Client, String> {
    let Tls { ca_file, insecure_skip_verify } = &job.tls;
    let mut roots = Vec::new();
    if let Some(path) = ca_file {
        let pem = std::fs::read(path).map_err(|e| format!("read {}: {e}", path.display()))?;
        roots = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| describe(&e))?;
    }
    let builder = || {
        let redirects = if job.follow_redirects { REDIRECTS_MAX } else { 0 };
        base_client()
            .redirect(match redirects {
                0 => reqwest::redirect::Policy::none(),
                _ => reqwest::redirect::Policy::limited(redirects),
            })
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(1)
            .tls_danger_accept_invalid_certs(*insecure_skip_verify)
    };
    build(|| builder().tls_certs_merge(roots.iter().cloned()))
        .or_else(|_| build(|| builder().tls_certs_only(roots.iter().cloned())))
}

fn build(builder: impl FnOnce() -> reqwest::ClientBuilder) -> Result<reqwest::Client, String> {
    builder().build().map_err(|error| describe(&error))
}

/// A client that goes where it is told: through no proxy of the environment.
fn base_client() -> reqwest::ClientBuilder {
    // `reqwest` is built without cryptography and would panic even for plain HTTP. Fails only when
    // the process has a provider already, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .user_agent(concat!("signalbox/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
}

/// A client with the machine's root certificates, or, where it has none, for plain HTTP.
pub(crate) fn plain_client() -> Result<reqwest::Client, String> {
    build(base_client).or_else(|_| {
        build(|| base_client().tls_certs_only(std::iter::empty::<reqwest::Certificate>()))
    })
}
