//! A rule file as YAML has it, before anything is checked.
//!
//! What is read and which keys may be there are two readings of one text: unknown keys can then be
//! ignored on request without a second set of everything.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_saphyr::Spanned;

use super::UnknownKeys;

/// Reads one document.
pub(super) fn read(text: &str, unknown_keys: UnknownKeys) -> Result<RawFile, serde_saphyr::Error> {
    if unknown_keys == UnknownKeys::Refused {
        read_yaml::<KnownFile>(text)?;
    }
    read_yaml(text)
}

#[derive(Deserialize)]
pub(super) struct RawFile {
    #[serde(default)]
    pub(super) groups: Option<Vec<RawGroup>>,
}

#[derive(Deserialize)]
pub(super) struct RawGroup {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) interval: Option<Spanned<String>>,
    #[serde(default, rename = "type")]
    pub(super) language: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) query_offset: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) limit: Option<i64>,
    #[serde(default)]
    pub(super) labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) rules: Option<Vec<RawRule>>,
}

#[derive(Deserialize)]
pub(super) struct RawRule {
    #[serde(default)]
    pub(super) record: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) alert: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) expr: Option<Spanned<String>>,
    #[serde(default, rename = "for")]
    pub(super) for_: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) keep_firing_for: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what matters is that there are no other keys")]
struct KnownFile {
    groups: Option<Vec<KnownGroup>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what matters is that there are no other keys")]
struct KnownGroup {
    name: Option<IgnoredAny>,
    interval: Option<IgnoredAny>,
    #[serde(rename = "type")]
    language: Option<IgnoredAny>,
    query_offset: Option<IgnoredAny>,
    limit: Option<IgnoredAny>,
    labels: Option<IgnoredAny>,
    rules: Option<Vec<KnownRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what matters is that there are no other keys")]
struct KnownRule {
    record: Option<IgnoredAny>,
    alert: Option<IgnoredAny>,
    expr: Option<IgnoredAny>,
    #[serde(rename = "for")]
    for_: Option<IgnoredAny>,
    keep_firing_for: Option<IgnoredAny>,
    labels: Option<IgnoredAny>,
    annotations: Option<IgnoredAny>,
}

/// Reads YAML as Go's library does where our parser follows the letter of YAML 1.2: it lets lines of
/// a quoted text begin left of their key, which public rule packs do. Spaces at the begin of such a
/// line have no meaning, so that more of them can be put there.
fn read_yaml<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    const REPAIRS_MAX: usize = 100;
    let mut repaired = std::borrow::Cow::Borrowed(text);
    for _ in 0..REPAIRS_MAX {
        let error = match serde_saphyr::from_str(&repaired) {
            Ok(raw) => return Ok(raw),
            Err(error) => error,
        };
        let line = error.location().and_then(|at| usize::try_from(at.line()).ok());
        let Some(line) = line.filter(|_| error.to_string().contains("multiline quoted scalar"))
        else {
            return Err(error);
        };
        let mut lines: Vec<&str> = repaired.split_inclusive('\n').collect();
        let Some(found) = line.checked_sub(1).and_then(|index| lines.get_mut(index)) else {
            return Err(error);
        };
        let indented = format!("{:64}{found}", "");
        *found = &indented;
        repaired = lines.concat().into();
    }
    serde_saphyr::from_str(&repaired)
}
