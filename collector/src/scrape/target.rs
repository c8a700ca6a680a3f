//! From an address to a target: `scrape/target.go` of Prometheus 3. An address is taken as it is
//! written; a port that it does not name is that of the scheme, and is not added to `instance`.

use std::time::Duration;

use model::Labels;

use super::config::Job;
use super::relabel::{LabelBuilder, relabel};

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const SCRAPE_INTERVAL: &str = "__scrape_interval__";
const SCRAPE_TIMEOUT: &str = "__scrape_timeout__";
const PARAM_PREFIX: &str = "__param_";
const META_PREFIX: &str = "__meta_";
const RESERVED_PREFIX: &str = "__";

/// One thing that is scraped.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Everything that tells it from another: also what samples do not show.
    pub(super) identity: Labels,
    /// What its samples show.
    pub(super) labels: Labels,
    /// What discovery told, before relabelling.
    pub(super) discovered: Labels,
    pub(super) url: reqwest::Url,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

/// What discovery tells of an address, with the job's defaults.
pub(super) fn discovered<'a>(
    job: &Job,
    address: &str,
    group_labels: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Labels {
    let mut labels = LabelBuilder::default();
    for (name, value) in group_labels {
        labels.set(name, value);
    }
    labels.set(ADDRESS, address);
    for (name, value) in [
        ("job", job.name.as_str()),
        (SCRAPE_INTERVAL, &format_duration(job.interval)),
        (SCRAPE_TIMEOUT, &format_duration(job.timeout)),
        (METRICS_PATH, &job.metrics_path),
        (SCHEME, &job.scheme),
    ] {
        labels.set_default(name, value);
    }
    for (name, values) in &job.params {
        if let Some(first) = values.first() {
            labels.set(&format!("{PARAM_PREFIX}{name}"), first);
        }
    }
    labels.to_labels()
}

/// The target that relabelling makes of what was discovered; nothing if it drops it.
pub(super) fn to_target(job: &Job, discovered: Labels) -> Result<Option<Target>, String> {
    let mut labels = LabelBuilder::of(&discovered);
    if !relabel(&job.relabel, &mut labels) {
        return Ok(None);
    }
    let address = labels.get(ADDRESS).to_owned();
    if address.is_empty() {
        return Err("no address".to_owned());
    }
    if address.contains('/') {
        return Err(format!("{address:?} is not a valid hostname"));
    }
    let duration = |name: &str| {
        let text = labels.get(name);
        let parsed = parse_duration(text).filter(|duration| !duration.is_zero());
        parsed.ok_or_else(|| format!("{name}: {text:?} is not a duration above 0"))
    };
    let (interval, timeout) = (duration(SCRAPE_INTERVAL)?, duration(SCRAPE_TIMEOUT)?);
    if timeout > interval {
        return Err(format!("scrape timeout {timeout:?} is over the interval {interval:?}"));
    }
    labels.retain(|name| !name.starts_with(META_PREFIX));
    labels.set_default("instance", &address);
    let url = url_of(job, &labels, &address)?;
    let identity = labels.to_labels();
    labels.retain(|name| !name.starts_with(RESERVED_PREFIX));
    let labels = labels.to_labels();
    Ok(Some(Target { identity, labels, discovered, url, interval, timeout }))
}

fn url_of(job: &Job, labels: &LabelBuilder, address: &str) -> Result<reqwest::Url, String> {
    let mut params = job.params.clone();
    for (name, value) in labels.iter() {
        let Some(name) = name.strip_prefix(PARAM_PREFIX) else { continue };
        let values = params.entry(name.to_owned()).or_default();
        match values.first_mut() {
            Some(first) => value.clone_into(first),
            None => values.push(value.to_owned()),
        }
    }
    let (scheme, path) = (labels.get(SCHEME), labels.get(METRICS_PATH));
    if !["http", "https"].contains(&scheme) {
        return Err(format!("__scheme__: {scheme:?} is neither http nor https"));
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut url = reqwest::Url::parse(&format!("{scheme}://{address}"))
        .map_err(|error| format!("{address:?} is not an address: {error}"))?;
    url.set_path(&format!("{slash}{path}"));
    let pairs = params.iter().flat_map(|(name, values)| values.iter().map(move |v| (name, v)));
    if pairs.clone().next().is_some() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    Ok(url)
}

/// Milliseconds of the units, and whether a unit is only used for whole ones.
const UNITS: [(&str, u64, bool); 7] = [
    ("y", 31_536_000_000, true),
    ("w", 604_800_000, true),
    ("d", 86_400_000, true),
    ("h", 3_600_000, false),
    ("m", 60_000, false),
    ("s", 1_000, false),
    ("ms", 1, false),
];

/// Prometheus's notation, such as `1h30m`.
pub(super) fn format_duration(duration: Duration) -> String {
    let mut ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, unit_ms, is_whole) in UNITS {
        let count = ms / unit_ms;
        if count > 0 && !(is_whole && ms % unit_ms != 0) {
            text.push_str(&format!("{count}{unit}"));
            ms %= unit_ms;
        }
    }
    text
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (mut rest, mut total_ms) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (_, unit_ms, _) = UNITS.iter().find(|(unit, ..)| Some(*unit) == rest.get(..end))?;
        total_ms = total_ms.checked_add(count.checked_mul(*unit_ms)?)?;
        rest = rest.get(end..)?;
    }
    (!text.is_empty()).then_some(Duration::from_millis(total_ms))
}
