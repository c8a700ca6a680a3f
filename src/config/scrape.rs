//! `scrape:` of the configuration: Prometheus's keys, so that people can paste the jobs they have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use collector::scrape::{
    Action, Auth, FileDiscovery, Job, Relabel, RelabelSettings, ScrapeFormat, Secret, SecretSource,
    TargetGroup, Tls,
};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::one_of;
use super::raw::RawScrape;
use super::units::{ByteSize, Span};

/// The value of a key that is known and refused.
#[derive(Debug, Default)]
pub(crate) struct Refused;

impl<'de> Deserialize<'de> for Refused {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(
            "this way of finding targets is not supported; static_configs and file_sd_configs are \
             accepted, and other tools can write the files of the latter",
        ))
    }
}

/// Makes the struct of a job with the discoveries that are refused.
macro_rules! scrape_config {
    ($($refused:ident)*; $($key:ident: $type:ty,)*) => {
        /// A job as it is written.
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct RawScrapeConfig {
            $($key: $type,)*
            $($refused: Refused,)*
        }
    };
}

scrape_config! {
    azure_sd_configs consul_sd_configs digitalocean_sd_configs dns_sd_configs docker_sd_configs
    dockerswarm_sd_configs ec2_sd_configs eureka_sd_configs gce_sd_configs hetzner_sd_configs
    http_sd_configs ionos_sd_configs kubernetes_sd_configs kuma_sd_configs lightsail_sd_configs
    linode_sd_configs marathon_sd_configs nerve_sd_configs nomad_sd_configs openstack_sd_configs
    ovhcloud_sd_configs puppetdb_sd_configs scaleway_sd_configs serverset_sd_configs
    stackit_sd_configs triton_sd_configs uyuni_sd_configs vultr_sd_configs;

    job_name: String,
    scrape_interval: Option<Span>,
    scrape_timeout: Option<Span>,
    metrics_path: Option<String>,
    scheme: Option<String>,
    params: BTreeMap<String, Vec<String>>,
    honor_labels: bool,
    honor_timestamps: Option<bool>,
    follow_redirects: Option<bool>,
    static_configs: Vec<RawGroup>,
    file_sd_configs: Vec<RawFiles>,
    relabel_configs: Vec<RawRelabel>,
    metric_relabel_configs: Vec<RawRelabel>,
    basic_auth: Option<RawBasicAuth>,
    authorization: Option<RawAuthorization>,
    tls_config: RawTls,
    sample_limit: u64,
    label_limit: usize,
    label_name_length_limit: usize,
    label_value_length_limit: usize,
    body_size_limit: Option<ByteSize>,
    fallback_scrape_protocol: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawGroup {
    targets: Vec<String>,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFiles {
    files: Vec<PathBuf>,
    refresh_interval: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRelabel {
    source_labels: Option<Vec<String>>,
    separator: Option<String>,
    target_label: Option<String>,
    regex: Option<String>,
    modulus: u64,
    replacement: Option<String>,
    action: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawBasicAuth {
    username: String,
    password: Option<Secret>,
    password_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawAuthorization {
    r#type: Option<String>,
    credentials: Option<Secret>,
    credentials_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTls {
    ca_file: Option<PathBuf>,
    insecure_skip_verify: bool,
}

const FALLBACKS: [(&str, ScrapeFormat); 4] = [
    ("PrometheusText0.0.4", ScrapeFormat::Text),
    ("PrometheusText1.0.0", ScrapeFormat::Text),
    ("OpenMetricsText0.0.1", ScrapeFormat::OpenMetrics),
    ("OpenMetricsText1.0.0", ScrapeFormat::OpenMetrics),
];

/// Prometheus's default of `file_sd_configs.refresh_interval`.
const REFRESH_INTERVAL_SECONDS: u64 = 300;

/// The jobs, checked; `folder` is what relative files are relative to.
pub(super) fn jobs(raw: &RawScrape, folder: &Path) -> anyhow::Result<Vec<Job>> {
    ensure!(!raw.scrape_interval.0.is_zero(), "scrape.scrape_interval: 0 is no time at all");
    ensure!(!raw.scrape_timeout.0.is_zero(), "scrape.scrape_timeout: 0 is no time at all");
    ensure!(raw.body_size_limit.0 > 0, "scrape.body_size_limit: 0 would let nothing through");
    let mut names = BTreeSet::new();
    let of_job = |(i, job): (usize, &RawScrapeConfig)| {
        let key = format!("scrape.scrape_configs[{i}]");
        ensure!(!job.job_name.is_empty(), "{key}.job_name: a job needs a name");
        if !names.insert(job.job_name.clone()) {
            bail!("{key}.job_name: {:?} is given twice", job.job_name);
        }
        to_job(raw, job, folder, &key)
    };
    raw.scrape_configs.iter().enumerate().map(of_job).collect()
}

fn to_job(raw: &RawScrape, job: &RawScrapeConfig, folder: &Path, key: &str) -> anyhow::Result<Job> {
    let interval = job.scrape_interval.unwrap_or(raw.scrape_interval).0;
    let timeout = job.scrape_timeout.map_or(raw.scrape_timeout.0.min(interval), |span| span.0);
    ensure!(!interval.is_zero(), "{key}.scrape_interval: 0 is no time at all");
    ensure!(!timeout.is_zero(), "{key}.scrape_timeout: 0 is no time at all");
    ensure!(
        timeout <= interval,
        "{key}.scrape_timeout: {timeout:?} is over the scrape_interval, {interval:?}"
    );
    let scheme = job.scheme.clone().unwrap_or_else(|| "http".to_owned());
    ensure!(
        ["http", "https"].contains(&scheme.as_str()),
        "{key}.scheme: {scheme:?} is unknown; http and https are accepted"
    );
    let body_bytes_max = job.body_size_limit.unwrap_or(raw.body_size_limit).0 as usize;
    ensure!(body_bytes_max > 0, "{key}.body_size_limit: 0 would let nothing through");
    let fallback = job.fallback_scrape_protocol.as_ref();
    let fallback_key = format!("{key}.fallback_scrape_protocol");
    Ok(Job {
        name: job.job_name.clone(),
        interval,
        timeout,
        metrics_path: job.metrics_path.clone().unwrap_or_else(|| "/metrics".to_owned()),
        scheme,
        params: job.params.clone(),
        honor_labels: job.honor_labels,
        honor_timestamps: job.honor_timestamps.unwrap_or(true),
        follow_redirects: job.follow_redirects.unwrap_or(true),
        auth: auth(job, folder, key)?,
        tls: Tls {
            ca_file: job.tls_config.ca_file.as_ref().map(|file| folder.join(file)),
            insecure_skip_verify: job.tls_config.insecure_skip_verify,
        },
        static_groups: static_groups(&job.static_configs, key)?,
        file_discovery: file_discovery(&job.file_sd_configs, folder, key)?,
        relabel: relabel(&job.relabel_configs, &format!("{key}.relabel_configs"))?,
        metric_relabel: relabel(
            &job.metric_relabel_configs,
            &format!("{key}.metric_relabel_configs"),
        )?,
        sample_limit: job.sample_limit,
        label_limit: job.label_limit,
        label_name_length_limit: job.label_name_length_limit,
        label_value_length_limit: job.label_value_length_limit,
        body_bytes_max,
        targets_max: raw.targets_max,
        fallback: fallback.map(|word| one_of(&fallback_key, word, &FALLBACKS)).transpose()?,
    })
}

fn static_groups(raw: &[RawGroup], key: &str) -> anyhow::Result<Vec<TargetGroup>> {
    let mut groups = Vec::with_capacity(raw.len());
    for (i, group) in raw.iter().enumerate() {
        if let Some(target) = group.targets.iter().find(|target| target.contains('/')) {
            bail!(
                "{key}.static_configs[{i}].targets: {target:?} is not a valid hostname; host:port \
                 is accepted, and a path goes to metrics_path"
            );
        }
        groups.push(TargetGroup { targets: group.targets.clone(), labels: group.labels.clone() });
    }
    Ok(groups)
}

fn file_discovery(
    raw: &[RawFiles],
    folder: &Path,
    key: &str,
) -> anyhow::Result<Vec<FileDiscovery>> {
    let mut all = Vec::with_capacity(raw.len());
    for (i, discovery) in raw.iter().enumerate() {
        let key = format!("{key}.file_sd_configs[{i}]");
        ensure!(!discovery.files.is_empty(), "{key}.files: at least one file is needed");
        for file in &discovery.files {
            let is_known = file.extension().is_some_and(|extension| {
                ["json", "yml", "yaml", "JSON", "YML", "YAML"].iter().any(|e| extension == *e)
            });
            let is_plain = file.parent().is_none_or(|p| !p.to_string_lossy().contains('*'));
            ensure!(
                is_known && is_plain,
                "{key}.files: {:?} is not accepted; it must end in .json, .yml or .yaml, and only \
                 its last part may have *",
                file.display()
            );
        }
        let default = Span(std::time::Duration::from_secs(REFRESH_INTERVAL_SECONDS));
        let refresh_interval = discovery.refresh_interval.unwrap_or(default).0;
        ensure!(!refresh_interval.is_zero(), "{key}.refresh_interval: 0 is no time at all");
        let files = discovery.files.iter().map(|file| folder.join(file)).collect();
        all.push(FileDiscovery { files, refresh_interval });
    }
    Ok(all)
}

fn relabel(raw: &[RawRelabel], key: &str) -> anyhow::Result<Vec<Relabel>> {
    let rule = |(i, raw): (usize, &RawRelabel)| {
        let action = match &raw.action {
            None => Action::Replace,
            Some(word) => {
                one_of(&format!("{key}[{i}].action"), &word.to_lowercase(), &Action::ALL)?
            }
        };
        let settings = RelabelSettings {
            source_labels: raw.source_labels.clone(),
            separator: raw.separator.clone(),
            target_label: raw.target_label.clone(),
            regex: raw.regex.clone(),
            modulus: raw.modulus,
            replacement: raw.replacement.clone(),
            action,
        };
        Relabel::new(settings).map_err(|error| anyhow::anyhow!("{key}[{i}]: {error}"))
    };
    raw.iter().enumerate().map(rule).collect()
}

fn auth(job: &RawScrapeConfig, folder: &Path, key: &str) -> anyhow::Result<Option<Auth>> {
    match (&job.basic_auth, &job.authorization) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            bail!("{key}: at most one of basic_auth and authorization is accepted")
        }
        (Some(basic), None) => {
            let key = format!("{key}.basic_auth");
            let source = secret_source(&basic.password, &basic.password_file, folder, &key)?;
            let password = source.unwrap_or(SecretSource::Inline(Secret::default()));
            Ok(Some(Auth::Basic { username: basic.username.clone(), password }))
        }
        (None, Some(authorization)) => {
            let key = format!("{key}.authorization");
            let scheme = authorization.r#type.clone().unwrap_or_else(|| "Bearer".to_owned());
            let scheme = scheme.trim();
            ensure!(
                !scheme.is_empty() && !scheme.eq_ignore_ascii_case("basic"),
                "{key}.type: {scheme:?} is not accepted; basic_auth is for user and password"
            );
            let (inline, file) = (&authorization.credentials, &authorization.credentials_file);
            let credentials = secret_source(inline, file, folder, &key)?
                .with_context(|| format!("{key}: credentials or credentials_file is needed"))?;
            Ok(Some(Auth::Header { scheme: scheme.to_owned(), credentials }))
        }
    }
}

fn secret_source(
    inline: &Option<Secret>,
    file: &Option<PathBuf>,
    folder: &Path,
    key: &str,
) -> anyhow::Result<Option<SecretSource>> {
    match (inline, file) {
        (None, None) => Ok(None),
        (Some(secret), None) => Ok(Some(SecretSource::Inline(secret.clone()))),
        (None, Some(file)) => Ok(Some(SecretSource::File(folder.join(file)))),
        (Some(_), Some(_)) => bail!("{key}: the secret is given twice, as such and as a file"),
    }
}

/// The configuration as it may be shown: without the secrets of its jobs. A secret that is written
/// in a way that can not be found in the text hides the text whole.
pub(super) fn masked(text: &str, jobs: &[Job]) -> String {
    let mut shown = text.to_owned();
    for job in jobs {
        let source = match &job.auth {
            Some(Auth::Basic { password, .. }) => password,
            Some(Auth::Header { credentials, .. }) => credentials,
            None => continue,
        };
        let SecretSource::Inline(secret) = source else { continue };
        if secret.expose().is_empty() {
            continue;
        }
        if !shown.contains(secret.expose()) && !text.contains(secret.expose()) {
            return "# <secret>: the configuration has a secret that can not be masked\n"
                .to_owned();
        }
        shown = shown.replace(secret.expose(), "<secret>");
    }
    shown
}
