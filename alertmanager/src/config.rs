//! Alertmanager's YAML (alertmanager `config/config.go`), as far as it is supported.
//!
//! The file is read as a tree and walked key by key, so that every key that is wrong, and every key
//! that Alertmanager knows and Signalbox does not yet, is refused with its path. A key that was
//! ignored would be a page that goes nowhere.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};
use template::duration;

use crate::error::{Error, Result};
use crate::notification::Integration;

/// What a binary without a file uses: alerts are grouped and shown, and nobody is called.
pub const DEFAULT: &str = "\
route:
  receiver: default
  group_by: [alertname]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 4h
receivers:
  - name: default
";

/// A configuration that was found good.
#[derive(Debug, Clone)]
pub struct Config {
    /// The text it was read from. It may hold secrets: see [`Config::redacted`].
    pub original: String,
    /// How long an alert fires whose sender did not say when it ends.
    pub resolve_timeout_ms: i64,
    /// The only route.
    pub route: Route,
    /// All receivers.
    pub receivers: Vec<Receiver>,
}

/// Where alerts go and how they are grouped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The name of a receiver.
    pub receiver: String,
    /// Labels that make a group.
    pub group_by: GroupBy,
    /// How long a new group waits for more alerts.
    pub group_wait_ms: i64,
    /// How long a group waits before it tells of changes.
    pub group_interval_ms: i64,
    /// How long a group waits before it says the same again.
    pub repeat_interval_ms: i64,
}

/// Which labels make a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupBy {
    /// `...`: every alert is a group.
    All,
    /// These.
    Labels(Vec<String>),
}

/// Someone who is told.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// Where to post.
    pub webhooks: Vec<Webhook>,
}

/// A URL that gets JSON.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Where to; often holds a token.
    pub url: Secret,
    /// Whether to tell that an alert is over.
    pub send_resolved: bool,
    /// The most alerts of one message; 0 is no limit.
    pub max_alerts: usize,
    /// How long one try may take; the rest of the group interval if 0.
    pub timeout_ms: i64,
    /// Who we are.
    pub auth: Option<Auth>,
    /// Whether a redirect within the same host is followed.
    pub follow_redirects: bool,
}

/// Credentials of a webhook.
#[derive(Debug, Clone)]
pub enum Auth {
    /// `basic_auth`.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// `authorization`.
    Header {
        /// `Bearer` unless said otherwise.
        scheme: String,
        /// What follows the scheme.
        credentials: Secret,
    },
}

/// A text that is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            original: DEFAULT.to_owned(),
            resolve_timeout_ms: RESOLVE_TIMEOUT_MS,
            route: Route {
                receiver: "default".to_owned(),
                group_by: GroupBy::Labels(vec!["alertname".to_owned()]),
                group_wait_ms: GROUP_WAIT_MS,
                group_interval_ms: GROUP_INTERVAL_MS,
                repeat_interval_ms: REPEAT_INTERVAL_MS,
            },
            receivers: vec![Receiver { name: "default".to_owned(), webhooks: Vec::new() }],
        }
    }
}

const RESOLVE_TIMEOUT_MS: i64 = 5 * 60_000;
const GROUP_WAIT_MS: i64 = 30_000;
const GROUP_INTERVAL_MS: i64 = 5 * 60_000;
const REPEAT_INTERVAL_MS: i64 = 4 * 3_600_000;

const TOP_LATER: &[&str] = &[
    "templates",
    "inhibit_rules",
    "time_intervals",
    "mute_time_intervals",
    "tracing",
    "event_recorder",
];
const GLOBAL_LATER: &[&str] = &[
    "http_config",
    "smtp_from",
    "smtp_smarthost",
    "smtp_hello",
    "smtp_auth_username",
    "smtp_auth_password",
    "smtp_auth_password_file",
    "smtp_auth_secret",
    "smtp_auth_secret_file",
    "smtp_auth_identity",
    "smtp_require_tls",
    "smtp_tls_config",
    "smtp_force_implicit_tls",
    "slack_api_url",
    "slack_api_url_file",
    "slack_app_token",
    "slack_app_token_file",
    "slack_app_url",
    "pagerduty_url",
    "opsgenie_api_url",
    "opsgenie_api_key",
    "opsgenie_api_key_file",
    "victorops_api_url",
    "victorops_api_key",
    "victorops_api_key_file",
    "wechat_api_url",
    "wechat_api_secret",
    "wechat_api_secret_file",
    "wechat_api_corp_id",
    "telegram_api_url",
    "telegram_bot_token",
    "telegram_bot_token_file",
    "webex_api_url",
    "rocketchat_api_url",
    "rocketchat_token",
    "rocketchat_token_file",
    "rocketchat_token_id",
    "rocketchat_token_id_file",
    "mattermost_webhook_url",
    "mattermost_webhook_url_file",
    "jira_api_url",
];
const ROUTE_LATER: &[&str] = &["routes", "mute_time_intervals", "active_time_intervals", "labels"];
const ROOT_ROUTE_NEVER: &[&str] = &["matchers", "match", "match_re", "continue"];
const RECEIVER_LATER: &[&str] = &[
    "labels",
    "discord_configs",
    "email_configs",
    "incidentio_configs",
    "jira_configs",
    "mattermost_configs",
    "msteams_configs",
    "msteamsv2_configs",
    "opsgenie_configs",
    "pagerduty_configs",
    "pushover_configs",
    "rocketchat_configs",
    "slack_configs",
    "sns_configs",
    "telegram_configs",
    "victorops_configs",
    "webex_configs",
    "wechat_configs",
];
const WEBHOOK_LATER: &[&str] = &["url_file", "payload"];
const HTTP_LATER: &[&str] = &[
    "oauth2",
    "tls_config",
    "proxy_url",
    "no_proxy",
    "proxy_from_environment",
    "proxy_connect_header",
    "http_headers",
    "bearer_token",
    "bearer_token_file",
];

impl Config {
    /// Reads a configuration.
    pub fn parse(text: &str) -> Result<Self> {
        let tree: Value = serde_saphyr::from_str(text)
            .map_err(|e| Error::Yaml { message: e.without_snippet().to_string() })?;
        let top = Node { path: String::new(), value: &tree }.object()?;
        top.only(&["global", "route", "receivers"], TOP_LATER)?;
        let mut resolve_timeout_ms = RESOLVE_TIMEOUT_MS;
        if let Some(global) = top.get("global") {
            let global = global.object()?;
            global.only(&["resolve_timeout"], GLOBAL_LATER)?;
            resolve_timeout_ms = global.duration("resolve_timeout", RESOLVE_TIMEOUT_MS)?;
        }
        let receivers = read_receivers(&top)?;
        let route = read_route(&top)?;
        if !receivers.iter().any(|receiver| receiver.name == route.receiver) {
            let message = format!("undefined receiver {:?}", route.receiver);
            return Err(Error::Config { path: "route.receiver".to_owned(), message });
        }
        Ok(Config { original: text.to_owned(), resolve_timeout_ms, route, receivers })
    }

    /// The original text with secrets replaced, for an API to show.
    pub fn redacted(&self) -> String {
        let mut text = self.original.clone();
        for webhook in self.receivers.iter().flat_map(|receiver| &receiver.webhooks) {
            let secrets = match &webhook.auth {
                Some(Auth::Basic { password, .. }) => vec![&webhook.url, password],
                Some(Auth::Header { credentials, .. }) => vec![&webhook.url, credentials],
                None => vec![&webhook.url],
            };
            for secret in secrets.into_iter().filter(|secret| !secret.0.is_empty()) {
                text = text.replace(&secret.0, "<secret>");
            }
        }
        text
    }

    /// What the receiver of the route is made of.
    pub fn integrations(&self) -> Vec<Integration> {
        let receiver = self.receivers.iter().find(|receiver| receiver.name == self.route.receiver);
        let webhooks = receiver.iter().flat_map(|receiver| receiver.webhooks.iter().enumerate());
        webhooks
            .map(|(index, webhook)| Integration {
                receiver: self.route.receiver.clone(),
                kind: "webhook".to_owned(),
                index,
                send_resolved: webhook.send_resolved,
            })
            .collect()
    }
}

fn read_route(top: &Object<'_>) -> Result<Route> {
    let route = top.require("route")?.object()?;
    for key in ROOT_ROUTE_NEVER {
        if let Some(found) = route.get(key).filter(|found| found.value != &Value::Bool(false)) {
            return Err(found.wrong("must not be set on the root route"));
        }
    }
    let known =
        ["receiver", "group_by", "group_wait", "group_interval", "repeat_interval", "continue"];
    route.only(&known, ROUTE_LATER)?;
    let parsed = Route {
        receiver: route.require("receiver")?.string()?,
        group_by: read_group_by(&route)?,
        group_wait_ms: route.duration("group_wait", GROUP_WAIT_MS)?,
        group_interval_ms: route.duration("group_interval", GROUP_INTERVAL_MS)?,
        repeat_interval_ms: route.duration("repeat_interval", REPEAT_INTERVAL_MS)?,
    };
    for (key, value) in [
        ("group_interval", parsed.group_interval_ms),
        ("repeat_interval", parsed.repeat_interval_ms),
    ] {
        if value == 0 {
            let message = "cannot be zero".to_owned();
            return Err(Error::Config { path: format!("route.{key}"), message });
        }
    }
    Ok(parsed)
}

fn read_group_by(route: &Object<'_>) -> Result<GroupBy> {
    let Some(group_by) = route.get("group_by") else { return Ok(GroupBy::Labels(Vec::new())) };
    let mut names = Vec::new();
    for item in group_by.list()? {
        let name = item.string()?;
        if names.contains(&name) {
            return Err(item.wrong(format!("duplicated label {name:?}")));
        }
        if name.is_empty() {
            return Err(item.wrong("invalid label name"));
        }
        names.push(name);
    }
    if !names.iter().any(|name| name == "...") {
        return Ok(GroupBy::Labels(names));
    }
    if names.len() > 1 {
        return Err(group_by.wrong("cannot have wildcard group_by (`...`) and other labels"));
    }
    Ok(GroupBy::All)
}

fn read_receivers(top: &Object<'_>) -> Result<Vec<Receiver>> {
    let Some(list) = top.get("receivers") else { return Ok(Vec::new()) };
    let mut names = BTreeSet::new();
    let mut receivers = Vec::new();
    for item in list.list()? {
        let receiver = item.object()?;
        receiver.only(&["name", "webhook_configs"], RECEIVER_LATER)?;
        let name = receiver.require("name")?.string()?;
        if name.is_empty() || !names.insert(name.clone()) {
            return Err(item.wrong(format!("receiver name {name:?} is empty or not unique")));
        }
        let mut webhooks = Vec::new();
        if let Some(list) = receiver.get("webhook_configs") {
            for webhook in list.list()? {
                webhooks.push(read_webhook(&webhook.object()?)?);
            }
        }
        receivers.push(Receiver { name, webhooks });
    }
    Ok(receivers)
}

fn read_webhook(webhook: &Object<'_>) -> Result<Webhook> {
    webhook
        .only(&["url", "send_resolved", "max_alerts", "timeout", "http_config"], WEBHOOK_LATER)?;
    let url_node = webhook.require("url")?;
    let url = url_node.string()?;
    match reqwest::Url::parse(&url) {
        Ok(parsed) if !["http", "https"].contains(&parsed.scheme()) => {
            return Err(url_node.wrong(format!("unsupported scheme {:?} for URL", parsed.scheme())));
        }
        Ok(parsed) if !parsed.has_host() => return Err(url_node.wrong("missing host for URL")),
        Ok(_) => {}
        Err(error) => return Err(url_node.wrong(format!("not a URL: {error}"))),
    }
    let max_alerts = match webhook.get("max_alerts") {
        Some(node) => {
            let count = node.value.as_u64().and_then(|count| usize::try_from(count).ok());
            count.ok_or_else(|| node.wrong("expected a whole number"))?
        }
        None => 0,
    };
    let (mut auth, mut follow_redirects) = (None, true);
    if let Some(http) = webhook.get("http_config") {
        let http = http.object()?;
        http.only(
            &["basic_auth", "authorization", "follow_redirects", "enable_http2"],
            HTTP_LATER,
        )?;
        http.boolean("enable_http2", true)?;
        follow_redirects = http.boolean("follow_redirects", true)?;
        auth = read_auth(&http)?;
    }
    Ok(Webhook {
        url: Secret(url),
        send_resolved: webhook.boolean("send_resolved", true)?,
        max_alerts,
        timeout_ms: webhook.duration("timeout", 0)?,
        auth,
        follow_redirects,
    })
}

fn read_auth(http: &Object<'_>) -> Result<Option<Auth>> {
    let (basic, authorization) = (http.get("basic_auth"), http.get("authorization"));
    match (basic, authorization) {
        (Some(basic), Some(_)) => {
            Err(basic.wrong("at most one of basic_auth and authorization must be configured"))
        }
        (Some(basic), None) => {
            let basic = basic.object()?;
            basic.only(
                &["username", "password"],
                &["username_file", "password_file", "username_ref", "password_ref"],
            )?;
            Ok(Some(Auth::Basic {
                username: basic.require("username")?.string()?,
                password: Secret(basic.optional_string("password")?.unwrap_or_default()),
            }))
        }
        (None, Some(node)) => {
            let authorization = node.object()?;
            authorization
                .only(&["type", "credentials"], &["credentials_file", "credentials_ref"])?;
            let scheme =
                authorization.optional_string("type")?.unwrap_or_else(|| "Bearer".to_owned());
            if scheme.eq_ignore_ascii_case("basic") {
                return Err(node.wrong("type cannot be set to \"basic\", use basic_auth instead"));
            }
            let credentials = Secret(authorization.require("credentials")?.string()?);
            Ok(Some(Auth::Header { scheme, credentials }))
        }
        (None, None) => Ok(None),
    }
}

/// A value of the file with the path of its key.
struct Node<'a> {
    path: String,
    value: &'a Value,
}

impl<'a> Node<'a> {
    fn wrong(&self, message: impl Into<String>) -> Error {
        let path = if self.path.is_empty() { "(top)".to_owned() } else { self.path.clone() };
        Error::Config { path, message: message.into() }
    }

    fn object(&self) -> Result<Object<'a>> {
        match self.value {
            Value::Object(map) => Ok(Object { path: self.path.clone(), map }),
            _ => Err(self.wrong("expected keys and values")),
        }
    }

    fn list(&self) -> Result<Vec<Node<'a>>> {
        match self.value {
            Value::Array(items) => Ok(items
                .iter()
                .enumerate()
                .map(|(i, value)| Node { path: format!("{}[{i}]", self.path), value })
                .collect()),
            _ => Err(self.wrong("expected a list")),
        }
    }

    fn string(&self) -> Result<String> {
        match self.value {
            Value::String(text) => Ok(text.clone()),
            // YAML reads a password of digits as a number.
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(self.wrong("expected a text")),
        }
    }
}

struct Object<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a key; one that is null counts as absent.
    fn get(&self, key: &str) -> Option<Node<'a>> {
        let value = self.map.get(key).filter(|value| !value.is_null())?;
        Some(Node { path: self.path_of(key), value })
    }

    fn require(&self, key: &str) -> Result<Node<'a>> {
        let message = || "is required".to_owned();
        self.get(key).ok_or_else(|| Error::Config { path: self.path_of(key), message: message() })
    }

    /// Refuses keys that are in neither list, and those of `later` that say anything.
    fn only(&self, known: &[&str], later: &[&str]) -> Result<()> {
        for (key, value) in self.map {
            if known.contains(&key.as_str()) {
                continue;
            }
            let path = self.path_of(key);
            if !later.contains(&key.as_str()) {
                let message = format!("unknown key, expected one of {}", known.join(", "));
                return Err(Error::Config { path, message });
            }
            let says_nothing = match value {
                Value::Null => true,
                Value::Array(items) => items.is_empty(),
                Value::Object(map) => map.is_empty(),
                _ => false,
            };
            if !says_nothing {
                return Err(Error::NotSupported { path });
            }
        }
        Ok(())
    }

    fn duration(&self, key: &str, default_ms: i64) -> Result<i64> {
        let Some(node) = self.get(key) else { return Ok(default_ms) };
        let text = node.string()?;
        duration::parse_ms(&text)
            .ok_or_else(|| node.wrong(format!("not a valid duration string: {text:?}")))
    }

    fn boolean(&self, key: &str, default: bool) -> Result<bool> {
        let Some(node) = self.get(key) else { return Ok(default) };
        node.value.as_bool().ok_or_else(|| node.wrong("expected true or false"))
    }

    fn optional_string(&self, key: &str) -> Result<Option<String>> {
        self.get(key).map(|node| node.string()).transpose()
    }
}

#[cfg(test)]
mod tests;
