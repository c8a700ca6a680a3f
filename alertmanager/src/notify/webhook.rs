//! Alertmanager's webhook: JSON of version 4 (alertmanager `notify/webhook/webhook.go`,
//! `template/template.go` of 0.34), with its keys in upstream's order.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Labels, TimestampMs};
use serde::{Serialize, Serializer};

use crate::config::{Auth, Webhook};
use crate::error::{Error, Result};
use crate::notification::Notification;
use crate::notify::{BoxFuture, Deliver, DeliveryError};

/// How long a try may take when nothing is said.
const TIMEOUT: Duration = Duration::from_secs(30);
const REDIRECTS_MAX: usize = 10;
/// How much of an answer is quoted in an error.
const QUOTED_BYTES_MAX: usize = 256;

#[derive(Serialize)]
struct Message<'a> {
    receiver: String,
    status: &'static str,
    alerts: Vec<MessageAlert<'a>>,
    notification_reason: &'static str,
    #[serde(rename = "groupLabels", serialize_with = "as_map")]
    group_labels: &'a Labels,
    #[serde(rename = "commonLabels", serialize_with = "as_map")]
    common_labels: &'a Labels,
    #[serde(rename = "commonAnnotations", serialize_with = "as_map")]
    common_annotations: &'a Labels,
    #[serde(rename = "routeLabels")]
    route_labels: BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    version: &'static str,
    #[serde(rename = "groupKey")]
    group_key: &'a str,
    #[serde(rename = "truncatedAlerts")]
    truncated_alerts: usize,
}

#[derive(Serialize)]
struct MessageAlert<'a> {
    status: &'static str,
    #[serde(serialize_with = "as_map")]
    labels: &'a Labels,
    #[serde(serialize_with = "as_map")]
    annotations: &'a Labels,
    #[serde(rename = "startsAt")]
    starts_at: String,
    #[serde(rename = "endsAt")]
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

fn as_map<S: Serializer>(labels: &&Labels, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter())
}

/// Go's JSON of a time: RFC 3339 without trailing zeros.
fn format_time(at: TimestampMs) -> String {
    let text = at.to_string();
    match text.strip_suffix('Z').and_then(|text| text.split_once('.')) {
        Some((seconds, fraction)) => {
            let fraction = fraction.trim_end_matches('0');
            let point = if fraction.is_empty() { "" } else { "." };
            format!("{seconds}{point}{fraction}Z")
        }
        None => text,
    }
}

/// Go's zero time, which an alert that fires has as its end.
const NO_END: &str = "0001-01-01T00:00:00Z";

fn status(is_resolved: bool) -> &'static str {
    if is_resolved { "resolved" } else { "firing" }
}

/// Go's `regexp.QuoteMeta`, which upstream puts the receiver's name through.
fn quote_meta(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

/// The body of a webhook; with `max_alerts` above zero, only so many alerts.
pub(crate) fn message(notification: &Notification, max_alerts: usize) -> Vec<u8> {
    let count = notification.alerts.len();
    let shown = if max_alerts == 0 { count } else { count.min(max_alerts) };
    let alerts = notification.alerts[..shown].iter().map(|notified| MessageAlert {
        status: status(notified.is_resolved),
        labels: &notified.alert.labels,
        annotations: &notified.alert.annotations,
        starts_at: format_time(notified.alert.starts_at),
        ends_at: match notified.is_resolved {
            true => format_time(notified.alert.ends_at),
            false => NO_END.to_owned(),
        },
        generator_url: &notified.alert.generator_url,
        fingerprint: format!("{:016x}", notified.fingerprint),
    });
    let message = Message {
        receiver: quote_meta(&notification.integration.receiver),
        status: status(notification.is_resolved()),
        alerts: alerts.collect(),
        notification_reason: notification.reason.as_str(),
        group_labels: &notification.group_labels,
        common_labels: &notification.common_labels(),
        common_annotations: &notification.common_annotations(),
        route_labels: BTreeMap::new(),
        external_url: &notification.external_url,
        version: "4",
        group_key: &notification.group_key,
        truncated_alerts: count - shown,
    };
    // Texts and numbers always serialize.
    serde_json::to_vec(&message).unwrap_or_default()
}

/// Posts messages to one URL.
pub(crate) struct WebhookDeliver {
    client: reqwest::Client,
    settings: Webhook,
}

impl WebhookDeliver {
    pub(crate) fn new(settings: &Webhook) -> Result<Self> {
        Ok(WebhookDeliver {
            client: client(settings.follow_redirects)?,
            settings: settings.clone(),
        })
    }

    async fn post(&self, notification: &Notification) -> Result<(), DeliveryError> {
        let mut request = self
            .client
            .post(self.settings.url.expose())
            .header("content-type", "application/json")
            .body(message(notification, self.settings.max_alerts));
        request = match &self.settings.auth {
            Some(Auth::Basic { username, password }) => {
                request.basic_auth(username, Some(password.expose()))
            }
            Some(Auth::Header { scheme, credentials }) => {
                request.header("authorization", format!("{scheme} {}", credentials.expose()))
            }
            None => request,
        };
        let timeout = match self.settings.timeout_ms {
            0 => TIMEOUT,
            timeout_ms => Duration::from_millis(timeout_ms.unsigned_abs()),
        };
        let answer = request.timeout(timeout).send().await.map_err(|error| DeliveryError {
            // A request that can not even be made stays so.
            retryable: !error.is_builder(),
            // URLs hold tokens.
            message: describe(&error.without_url()),
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        Err(DeliveryError {
            retryable: status.is_server_error() || status.as_u16() == 429,
            message: format!("unexpected status code {status}: {}", quote(answer).await),
        })
    }
}

impl Deliver for WebhookDeliver {
    fn deliver<'a>(
        &'a self,
        notification: &'a Notification,
    ) -> BoxFuture<'a, Result<(), DeliveryError>> {
        Box::pin(self.post(notification))
    }
}

/// An error with its causes, which is where the useful words are.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The begin of an answer; the rest is never read.
async fn quote(mut answer: reqwest::Response) -> String {
    let mut quoted = Vec::new();
    while quoted.len() < QUOTED_BYTES_MAX {
        match answer.chunk().await {
            Ok(Some(chunk)) => quoted.extend_from_slice(&chunk),
            _ => break,
        }
    }
    quoted.truncate(QUOTED_BYTES_MAX);
    String::from_utf8_lossy(&quoted).escape_debug().to_string()
}

/// The HTTP client. This is the one place that says which cryptography is used: `reqwest` is built
/// without one and would panic when a client is made, even for plain HTTP.
fn client(follow_redirects: bool) -> Result<reqwest::Client> {
    // Fails only when the process has a provider already, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = || {
        let redirect =
            if follow_redirects { same_host_only() } else { reqwest::redirect::Policy::none() };
        reqwest::Client::builder()
            .user_agent(concat!("signalbox/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect)
    };
    builder().build().or_else(|error| {
        // A machine without root certificates can still be told by plain HTTP; HTTPS will fail
        // when it is tried, and say why.
        tracing::warn!(
            error = describe(&error),
            "no root certificates, webhooks by HTTPS will fail"
        );
        builder()
            .tls_certs_only(std::iter::empty::<reqwest::Certificate>())
            .build()
            .map_err(|error| Error::Client { message: describe(&error) })
    })
}

/// Alerts and credentials go where the configuration says and nowhere else.
fn same_host_only() -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(|attempt| {
        let origin = |url: &reqwest::Url| {
            (
                url.scheme().to_owned(),
                url.host_str().map(str::to_owned),
                url.port_or_known_default(),
            )
        };
        let is_same =
            attempt.previous().first().is_some_and(|first| origin(first) == origin(attempt.url()));
        if is_same && attempt.previous().len() <= REDIRECTS_MAX {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}
