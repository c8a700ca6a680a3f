//! What is scraped and how: a job, checked. The keys are Prometheus's.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::exposition::Format;

use super::relabel::Relabel;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Default, serde::Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself, for who must send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In the configuration.
    Inline(Secret),
    /// In a file that is read for every scrape.
    File(PathBuf),
}

/// How targets know who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// HTTP basic authentication.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: SecretSource,
    },
    /// The header `Authorization`.
    Header {
        /// Its first word, such as `Bearer`.
        scheme: String,
        /// Its second.
        credentials: SecretSource,
    },
}

/// Whom to trust by HTTPS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates, PEM, beside those of the machine.
    pub ca_file: Option<PathBuf>,
    /// Trust anybody.
    pub insecure_skip_verify: bool,
}

/// Addresses with the labels that they share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetGroup {
    /// `host:port`.
    pub targets: Vec<String>,
    /// Names and values.
    pub labels: BTreeMap<String, String>,
}

/// Files that hold target groups, YAML or JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDiscovery {
    /// Paths; the last part may have `*`.
    pub files: Vec<PathBuf>,
    /// How often the files are read at least.
    pub refresh_interval: Duration,
}

/// A scrape job.
#[derive(Debug, Clone)]
pub struct Job {
    /// The label `job`, unless relabelling changes it.
    pub name: String,
    /// From one scrape of a target to the next.
    pub interval: Duration,
    /// How long a scrape may take.
    pub timeout: Duration,
    /// The path of the URL.
    pub metrics_path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Parameters of the URL.
    pub params: BTreeMap<String, Vec<String>>,
    /// Whether labels of the target's text win over those of the target.
    pub honor_labels: bool,
    /// Whether times of the target's text are taken.
    pub honor_timestamps: bool,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Who asks.
    pub auth: Option<Auth>,
    /// Whom to trust.
    pub tls: Tls,
    /// Targets that are known.
    pub static_groups: Vec<TargetGroup>,
    /// Targets that files tell.
    pub file_discovery: Vec<FileDiscovery>,
    /// Rules for targets.
    pub relabel: Vec<Relabel>,
    /// Rules for samples.
    pub metric_relabel: Vec<Relabel>,
    /// Samples of a scrape after relabelling; 0 is any number.
    pub sample_limit: u64,
    /// Labels of a sample; 0 is any number.
    pub label_limit: usize,
    /// Bytes of a label name; 0 is any number.
    pub label_name_length_limit: usize,
    /// Bytes of a label value; 0 is any number.
    pub label_value_length_limit: usize,
    /// Bytes of a body, as sent and again after decompression.
    pub body_bytes_max: usize,
    /// Targets after relabelling; what is more is not scraped.
    pub targets_max: usize,
    /// What a body is whose content type says nothing; without it, such a scrape fails.
    pub fallback: Option<Format>,
}
