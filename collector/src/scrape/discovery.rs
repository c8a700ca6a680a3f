//! Where targets are: lists in the configuration, and files that anybody may write. A file that can
//! not be read leaves the targets it told before; one that is gone takes them along.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::Labels;
use serde::Deserialize;

use super::config::{Job, TargetGroup};
use super::target::discovered;
use super::telemetry::ScrapeTelemetry;
use crate::glob;

/// A group as files have it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileGroup {
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// What the files said when they could last be read, and what was wrong with them since.
#[derive(Debug, Default)]
pub(super) struct Files {
    groups: BTreeMap<PathBuf, Vec<TargetGroup>>,
    errors: BTreeMap<PathBuf, String>,
}

/// Files that are larger are refused.
const FILE_BYTES_MAX: u64 = 64 << 20;

impl Files {
    /// Reads all files again. Blocks.
    pub(super) fn refresh(&mut self, job: &Job, telemetry: &ScrapeTelemetry) {
        let patterns = job.file_discovery.iter().flat_map(|discovery| &discovery.files);
        let found = patterns.filter_map(|pattern| glob::files(pattern).ok());
        let mut paths: Vec<PathBuf> = found.flatten().collect();
        paths.retain(|path| path.is_file());
        paths.sort();
        paths.dedup();
        self.groups.retain(|path, _| paths.contains(path));
        self.errors.retain(|path, _| paths.contains(path));
        for path in paths {
            match read(&path) {
                Ok(groups) => {
                    self.errors.remove(&path);
                    self.groups.insert(path, groups);
                }
                Err(error) => {
                    telemetry.discovery_failures.inc();
                    if self.errors.get(&path) != Some(&error) {
                        let path = path.display();
                        tracing::warn!(job = job.name, "reading targets of {path}: {error}");
                    }
                    self.errors.insert(path, error);
                }
            }
        }
    }

    /// What is known of all addresses of `job`.
    pub(super) fn discovered(&self, job: &Job) -> Vec<Labels> {
        let mut all = Vec::new();
        let mut add = |group: &TargetGroup, file: Option<&Path>| {
            let path = file.map(|file| file.display().to_string());
            for address in &group.targets {
                let labels = group.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
                let path = path.as_deref().map(|path| ("__meta_filepath", path));
                all.push(discovered(job, address, labels.chain(path)));
            }
        };
        job.static_groups.iter().for_each(|group| add(group, None));
        for (path, groups) in &self.groups {
            groups.iter().for_each(|group| add(group, Some(path)));
        }
        all
    }
}

fn read(path: &Path) -> Result<Vec<TargetGroup>, String> {
    let length = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if length > FILE_BYTES_MAX {
        return Err(format!("{length} bytes are over the limit of {FILE_BYTES_MAX}"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let is_json = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
    let groups: Vec<FileGroup> = if text.trim().is_empty() {
        Vec::new()
    } else if is_json {
        serde_json::from_str(&text).map_err(|e| e.to_string())?
    } else {
        serde_saphyr::from_str(&text).map_err(|e| e.without_snippet().to_string())?
    };
    let groups = groups.into_iter();
    Ok(groups.map(|group| TargetGroup { targets: group.targets, labels: group.labels }).collect())
}
